#include "net_test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Fix {
    Loop *loop;
    Source *src, *other;
    int count, deferred;
    int fds[2];
    int status;
} Fix;

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ .fds = { -1, -1 } };
    *state = &f;
    return loop_new(&f.loop, NULL);
}

static int teardown(void **state)
{
    Fix *f = *state;
    closep(&f->fds[0]);
    closep(&f->fds[1]);
    f->loop = loop_free(f->loop);
    return 0;
}

static void count_and_free(void *ctx)
{
    Fix *f = ctx;
    f->count++;
    f->src = source_free(f->src);
}

static void test_timer_may_free_itself(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_add_timer(f->loop, 1, 1, count_and_free, f, &f->src, &err));
    assert_ok(loop_run(f->loop, &err)); /* ends because nothing is left */
    assert_int_equal(f->count, 1);
    assert_int_equal(loop_source_count(f->loop), 0);
}

static void on_readable(void *ctx, uint32_t events)
{
    Fix *f = ctx;
    char c;
    assert_true(events & LOOP_READ);
    ssize_t n = read(f->fds[0], &c, 1);
    if (n == 1)
        f->count++;
    else
        f->src = source_free(f->src);
}

static void write_and_close(void *ctx)
{
    Fix *f = ctx;
    assert_int_equal(write(f->fds[1], "xy", 2), 2);
    closep(&f->fds[1]);
    f->other = source_free(f->other);
}

static void test_fd_is_reported_readable_and_ended(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_int_equal(pipe(f->fds), 0);
    assert_ok(loop_add_fd(f->loop, f->fds[0], LOOP_READ, on_readable, f, &f->src, &err));
    assert_ok(loop_add_timer(f->loop, 1, 0, write_and_close, f, &f->other, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->count, 2);
    assert_int_equal(loop_source_count(f->loop), 0);
}

static void on_child(void *ctx, pid_t pid, int wait_status)
{
    Fix *f = ctx;
    assert_true(pid > 0);
    f->status = wait_status;
    f->src = source_free(f->src);
}

static void test_child_is_reaped_with_its_status(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    assert_ok(loop_add_child(f->loop, pid, on_child, f, &f->src, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_true(WIFEXITED(f->status));
    assert_int_equal(WEXITSTATUS(f->status), 7);
}

static void on_signal(void *ctx, int signo)
{
    Fix *f = ctx;
    assert_int_equal(signo, SIGUSR1);
    f->src = source_free(f->src);
}

static void raise_signal(void *ctx)
{
    (void)ctx;
    raise(SIGUSR1);
}

static void test_signal_arrives_on_the_loop(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_add_signal(f->loop, SIGUSR1, on_signal, f, &f->src, &err));
    assert_ok(loop_defer(f->loop, raise_signal, f, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(loop_source_count(f->loop), 0);
}

static void work(void *ctx)
{
    Fix *f = ctx;
    f->status = 42;
}

static void work_done(void *ctx)
{
    Fix *f = ctx;
    assert_int_equal(f->status, 42);
    f->count++;
}

static void test_work_runs_and_reports_on_the_loop(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_work(f->loop, work, work_done, f, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->count, 1);
}

static void count(void *ctx)
{
    Fix *f = ctx;
    f->count++;
}

static void defer_again(void *ctx)
{
    Fix *f = ctx;
    assert_int_equal(loop_defer(f->loop, count, f, NULL), 0);
    assert_int_equal(loop_defer(f->loop, count, f, NULL), 0);
    loop_defer_cancel(f->loop, count, f);
    assert_int_equal(loop_defer(f->loop, count, f, NULL), 0);
}

static void test_deferred_work_runs_once_and_can_be_cancelled(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_defer(f->loop, defer_again, f, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->count, 1);
}

static void post_from_thread(void *ctx)
{
    Fix *f = ctx;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(loop_post(f->loop, count, f, NULL), 0);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void test_posts_of_other_threads_all_arrive(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_add_timer(f->loop, 10000, 0, nothing, f, &f->src, &err));
    run_script(f->loop, post_from_thread, f);
    assert_int_equal(f->count, 1000);
    source_free(f->src);
}

static void test_free_closes_what_is_left(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_ok(loop_add_timer(f->loop, 10000, 0, nothing, f, &f->src, &err));
    assert_ok(loop_work(f->loop, work, work_done, f, &err));
    loop_stop(f->loop);
    f->loop = loop_free(f->loop);
    assert_int_equal(f->count, 1); /* work under way still reports */
}

static void test_unknown_child_is_an_error(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    assert_true(loop_add_child(f->loop, 0x3ffffff, on_child, f, &f->src, &err) < 0);
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void count_only(void *ctx)
{
    ((Fix *)ctx)->count++;
}

static void forget_the_next(void *ctx)
{
    Fix *f = ctx;
    loop_post_cancel(f->loop, count_only, f);
    f->src = source_free(f->src);
}

static void test_posted_work_can_be_forgotten(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    /* Before its turn, and from the one before it in the same batch. */
    assert_ok(loop_post(f->loop, count_only, f, &err));
    loop_post_cancel(f->loop, count_only, f);
    assert_ok(loop_add_timer(f->loop, 1000, 0, count_only, f, &f->src, &err));
    assert_ok(loop_post(f->loop, forget_the_next, f, &err));
    assert_ok(loop_post(f->loop, count_only, f, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->count, 0);
}

typedef struct TaskCount {
    LoopTask task;
    Loop *loop;
    struct TaskCount *other;
    int runs;
    char *said;
} TaskCount;

static void on_task(void *ctx)
{
    TaskCount *c = ctx;
    strcat(c->said, c->other ? "a" : "b");
    if (c->other && c->runs == 0) /* from inside: the other one not, and this one again */
        loop_task_cancel(c->loop, &c->other->task);
    if (++c->runs < 3)
        loop_post_task(c->loop, &c->task);
    else
        loop_stop(c->loop);
}

/* What brings its own memory runs in order, can be posted again from inside, and be taken back. */
static void test_tasks_run_in_order_and_can_be_cancelled(void **state)
{
    Fix *f = *state;
    Loop *l = f->loop;
    Err err = { 0 };
    char said[16] = "";
    TaskCount b = { .loop = l, .said = said }, a = { .loop = l, .said = said, .other = &b };
    a.task = (LoopTask){ .fn = on_task, .ctx = &a };
    b.task = (LoopTask){ .fn = on_task, .ctx = &b };
    assert_ok(loop_add_timer(l, 60000, 0, count_only, f, &f->src, &err)); /* else it ends at once */
    loop_task_cancel(l, &a.task);                                         /* not posted: nothing */
    loop_post_task(l, &a.task);
    loop_post_task(l, &b.task);
    assert_ok(loop_run(l, &err));
    assert_string_equal(said, "aaa");
    loop_post_task(l, &b.task);
    loop_post_task(l, &a.task);
    loop_task_cancel(l, &a.task); /* the last one of the list */
    b.runs = 2;
    assert_ok(loop_run(l, &err));
    assert_string_equal(said, "aaab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timer_may_free_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posted_work_can_be_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fd_is_reported_readable_and_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_child_is_reaped_with_its_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_arrives_on_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_runs_and_reports_on_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deferred_work_runs_once_and_can_be_cancelled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_tasks_run_in_order_and_can_be_cancelled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_posts_of_other_threads_all_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_closes_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_child_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
