#include "unit.h"

#include <stdio.h>

#include "api/workqueue.h"

typedef struct Fix {
    Loop *loop;
    WorkQueue *q;
    char seen[256];
    unsigned active, max_active, calls;
    bool hold;     /* leave the work under way */
    bool readd;    /* add the key again while it runs */
    unsigned fail; /* so many times */
    bool free_it;
    Source *timer;
} Fix;

static void work(void *ctx, StrView key)
{
    Fix *f = ctx;
    size_t n = strlen(f->seen);
    snprintf(f->seen + n, sizeof f->seen - n, "%.*s ", SV_FMT(key));
    f->calls++;
    f->active++;
    if (f->active > f->max_active)
        f->max_active = f->active;
    if (f->free_it) {
        f->q = workqueue_free(f->q);
        return;
    }
    if (f->readd) {
        f->readd = false;
        workqueue_add(f->q, key);
        workqueue_add(f->q, key);
    }
    if (f->hold)
        return;
    f->active--;
    bool ok = f->fail == 0;
    if (!ok)
        f->fail--;
    workqueue_finish(f->q, key, ok);
}

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ 0 };
    *state = &f;
    return loop_new(&f.loop, NULL) < 0 || workqueue_new(f.loop, 2, work, &f, &f.q, NULL) < 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    workqueue_free(f->q);
    unsigned left = loop_source_count(f->loop);
    loop_free(f->loop);
    return (int)left;
}

static void run(Fix *f)
{
    assert_int_equal(loop_run(f->loop, NULL), 0); /* ends when nothing is left to wait for */
}

static void test_key_added_twice_is_worked_on_once(void **state)
{
    Fix *f = *state;
    workqueue_add(f->q, SV("a"));
    workqueue_add(f->q, SV("a"));
    workqueue_add(f->q, SV("b"));
    assert_int_equal(workqueue_len(f->q), 2);
    run(f);
    assert_string_equal(f->seen, "a b ");
}

static void test_key_added_during_its_work_comes_again_after_it(void **state)
{
    Fix *f = *state;
    f->readd = true;
    workqueue_add(f->q, SV("a"));
    run(f);
    assert_string_equal(f->seen, "a a ");
    assert_int_equal(f->max_active, 1);
}

static void test_workers_bound_what_is_under_way(void **state)
{
    Fix *f = *state;
    f->hold = true;
    workqueue_add(f->q, SV("a"));
    workqueue_add(f->q, SV("b"));
    workqueue_add(f->q, SV("c"));
    run(f);
    assert_string_equal(f->seen, "a b ");
    workqueue_done(f->q, SV("a"));
    run(f);
    assert_string_equal(f->seen, "a b c ");
    workqueue_done(f->q, SV("unknown")); /* harmless */
}

static void test_failures_come_back_and_success_forgets_them(void **state)
{
    Fix *f = *state;
    f->fail = 3; /* 5 + 10 + 20 ms */
    int64_t from = loop_now_ns(f->loop);
    workqueue_add(f->q, SV("a"));
    run(f);
    assert_int_equal(f->calls, 4);
    assert_int_equal(workqueue_failures(f->q, SV("a")), 0);
    assert_true(loop_now_ns(f->loop) - from >= 33 * 1000000);
}

static void test_delayed_keys_come_in_order_of_time(void **state)
{
    Fix *f = *state;
    workqueue_add_after(f->q, SV("late"), 30);
    workqueue_add_after(f->q, SV("mid"), 15);
    workqueue_add_after(f->q, SV("soon"), 5);
    workqueue_add_after(f->q, SV("late"), 10); /* the earlier moment wins */
    workqueue_add_after(f->q, SV("soon"), 500);
    run(f);
    assert_string_equal(f->seen, "soon late mid ");
}

static void test_many_delayed_keys_keep_their_order(void **state)
{
    Fix *f = *state;
    for (unsigned i = 0; i < 20; i++) {
        char key[8];
        unsigned n = i * 7 % 20;
        snprintf(key, sizeof key, "%02u", n);
        workqueue_add_after(f->q, sv_cstr(key), 5 + n * 3);
    }
    run(f);
    assert_string_equal(f->seen, "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 ");
}

static void test_queue_may_be_freed_inside_the_work(void **state)
{
    Fix *f = *state;
    f->free_it = true;
    workqueue_add(f->q, SV("a"));
    workqueue_add(f->q, SV("b"));
    run(f);
    assert_string_equal(f->seen, "a ");
}

typedef struct Circle { /* a key that makes itself dirty again for ever */
    Loop *loop;
    WorkQueue *q;
    unsigned calls;
} Circle;

static void again_at_once(void *ctx, StrView key)
{
    Circle *c = ctx;
    c->calls++;
    workqueue_add(c->q, key);
    workqueue_finish(c->q, key, true);
}

static void stop(void *ctx)
{
    Circle *c = ctx;
    loop_stop(c->loop);
}

static void test_a_key_that_never_rests_leaves_other_sources_their_turn(void **state)
{
    Fix *f = *state;
    Circle c = { .loop = f->loop };
    Source *timer = NULL;
    assert_int_equal(workqueue_new(f->loop, 2, again_at_once, &c, &c.q, NULL), 0);
    assert_int_equal(loop_add_timer(f->loop, 1, 0, stop, &c, &timer, NULL), 0);
    workqueue_add(c.q, SV("a"));
    run(f);
    assert_true(c.calls > 0);
    source_free(timer);
    workqueue_free(c.q);
}

static void test_what_happens_is_counted(void **state)
{
    Fix *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    Metrics *m = metrics_new();
    workqueue_count(f->q, m, "things");
    f->fail = 2;
    f->hold = true;
    workqueue_add(f->q, SV("a"));
    workqueue_add(f->q, SV("b"));
    workqueue_add(f->q, SV("c")); /* waits: there are two workers */
    run(f);
    metrics_write(m, METRICS_TEXT, &out);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "workqueue_adds_total{name=\"things\"} 3\n"));
    assert_non_null(strstr(text, "workqueue_depth{name=\"things\"} 1\n"));
    assert_non_null(strstr(text, "workqueue_queue_duration_seconds_count{name=\"things\"} 2\n"));
    assert_null(strstr(text, "workqueue_unfinished_work_seconds{name=\"things\"} 0\n"));
    f->hold = false;
    f->active = 0;
    workqueue_finish(f->q, SV("a"), true);
    workqueue_finish(f->q, SV("b"), false);
    run(f); /* "b" and "c" until both have succeeded */
    buf_clear(&out);
    metrics_write(m, METRICS_TEXT, &out);
    text = buf_cstr(&out);
    assert_non_null(strstr(text, "workqueue_depth{name=\"things\"} 0\n"));
    assert_non_null(strstr(text, "workqueue_retries_total{name=\"things\"} 3\n"));
    assert_non_null(strstr(text, "workqueue_work_duration_seconds_count{name=\"things\"} 6\n"));
    assert_non_null(strstr(text, "workqueue_unfinished_work_seconds{name=\"things\"} 0\n"));
    assert_non_null(
        strstr(text, "workqueue_longest_running_processor_seconds{name=\"things\"} 0\n"));
    f->q = workqueue_free(f->q);
    metrics_write(m, METRICS_TEXT, &out); /* it is asked no more */
    metrics_free(m);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_key_added_twice_is_worked_on_once),
        CASE(test_key_added_during_its_work_comes_again_after_it),
        CASE(test_workers_bound_what_is_under_way),
        CASE(test_failures_come_back_and_success_forgets_them),
        CASE(test_delayed_keys_come_in_order_of_time),
        CASE(test_many_delayed_keys_keep_their_order),
        CASE(test_queue_may_be_freed_inside_the_work),
        CASE(test_what_happens_is_counted),
        CASE(test_a_key_that_never_rests_leaves_other_sources_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
