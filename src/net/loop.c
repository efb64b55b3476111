/* loop.c - the event loop: a small face over libuv.
 *
 * Every source is one libuv handle in a heap block of its own. source_free() stops the handle at
 * once and gives the block to uv_close(), whose callback frees it: so a callback may free any
 * source, also its own. Work that other threads hand in goes through one mutex-guarded queue and a
 * uv_async; deferred work of the loop's own thread runs from a prepare and a check handle, that is
 * before the loop sleeps and after it has handled what woke it. To add a kind of source: a member
 * in Source's union, a loop_add_*(), and, if it owns a descriptor, a line in source_closed(). */
#include "net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uv.h>

#include "base/clock.h"
#include "base/vec.h"

/* Deferred work that begets more is gone on with for so long, then other sources get their turn:
 * whoever produces a long answer in parts may ask for the next part at once. */
enum { DEFER_ROUNDS_MAX = 16, DEFER_MAX_NS = 1000 * 1000 };

typedef struct Task {
    LoopFn *fn;
    void *ctx;
} Task;

typedef VEC(Task) TaskVec;

typedef struct TaskList {
    LoopTask *first, *last;
} TaskList;

typedef struct PostedBatch {
    TaskVec tasks;
    struct PostedBatch *outer;
} PostedBatch;

struct Loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    TaskVec deferred;
    TaskVec running; /* the batch of `deferred` that is being run */
    pthread_mutex_t lock;
    TaskVec posted;       /* guarded by lock */
    TaskList tasks;       /* guarded by lock */
    TaskList due;         /* tasks whose turn this is */
    PostedBatch *posting; /* what is being run of it */
    unsigned n_sources;
    bool stopped;
};

typedef enum SourceKind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL, SOURCE_CHILD } SourceKind;

struct Source {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_timer_t timer;
        uv_signal_t signal;
    } u;
    Loop *loop;
    SourceKind kind;
    bool dead;
    int pidfd;
    pid_t pid;
    void *ctx;
    union {
        LoopFdFn *on_fd;
        LoopFn *on_timer;
        LoopSignalFn *on_signal;
        LoopChildFn *on_child;
    } fn;
};

static int uv_fail(Err *err, int r, const char *what)
{
    return err_neg(err, r, "%s", what); /* libuv's codes are negative errno values on Linux */
}

/* ---- deferred and posted work ---- */

static void run_deferred(Loop *l)
{
    if (l->running.len > 0) /* a nested run of the loop: the outer one goes on later */
        return;
    int64_t begin = l->deferred.len > 0 ? clock_mono_ns() : 0;
    for (int round = 0; l->deferred.len > 0 && round < DEFER_ROUNDS_MAX; round++) {
        if (round > 0 && clock_mono_ns() - begin > DEFER_MAX_NS)
            break;
        TaskVec batch = l->deferred;
        l->deferred = l->running;
        l->running = batch;
        for (size_t i = 0; i < l->running.len; i++) {
            Task t = l->running.items[i];
            if (t.fn)
                t.fn(t.ctx);
        }
        vec_clear(&l->running);
    }
    if (l->deferred.len > 0) /* do not sleep on what is left */
        uv_async_send(&l->wake);
}

static void on_prepare(uv_prepare_t *h)
{
    run_deferred(h->data);
}

static void on_check(uv_check_t *h)
{
    run_deferred(h->data);
}

/* All of `from` behind `to`. A list's `last` says something only where it has a first. */
static void task_list_move(TaskList *to, TaskList *from)
{
    if (!from->first)
        return;
    if (to->first)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    from->first = NULL;
}

static void task_list_remove(TaskList *list, const LoopTask *t)
{
    LoopTask *before = NULL;
    for (LoopTask *x = list->first; x; before = x, x = x->next) {
        if (x != t)
            continue;
        if (before)
            before->next = x->next;
        else
            list->first = x->next;
        if (list->last == x)
            list->last = before;
        return;
    }
}

static void run_posted(Loop *l)
{
    PostedBatch batch = { .outer = l->posting }; /* of a nested run, when there is one */
    pthread_mutex_lock(&l->lock);
    batch.tasks = l->posted;
    l->posted = (TaskVec){ 0 };
    task_list_move(&l->due, &l->tasks);
    pthread_mutex_unlock(&l->lock);
    l->posting = &batch;
    for (size_t i = 0; i < batch.tasks.len; i++) {
        Task t = batch.tasks.items[i];
        if (t.fn)
            t.fn(t.ctx);
    }
    l->posting = batch.outer;
    vec_free(&batch.tasks);
    for (LoopTask *t; (t = l->due.first);) {
        l->due.first = t->next;
        t->fn(t->ctx); /* it may be posted again, or freed */
    }
}

static void on_wake(uv_async_t *h)
{
    run_posted(h->data);
}

int loop_post(Loop *l, LoopFn *fn, void *ctx, Err *err)
{
    Task t = { fn, ctx };
    pthread_mutex_lock(&l->lock);
    bool ok = vec_push(&l->posted, t);
    pthread_mutex_unlock(&l->lock);
    if (!ok)
        return err_nomem(err);
    int r = uv_async_send(&l->wake);
    return r < 0 ? uv_fail(err, r, "wake the loop") : 0;
}

void loop_post_task(Loop *l, LoopTask *t)
{
    TaskList one = { t, t };
    t->next = NULL;
    pthread_mutex_lock(&l->lock);
    task_list_move(&l->tasks, &one);
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->wake);
}

void loop_task_cancel(Loop *l, LoopTask *t)
{
    pthread_mutex_lock(&l->lock);
    task_list_remove(&l->tasks, t);
    pthread_mutex_unlock(&l->lock);
    task_list_remove(&l->due, t);
}

int loop_defer(Loop *l, LoopFn *fn, void *ctx, Err *err)
{
    Task t = { fn, ctx };
    if (!vec_push(&l->deferred, t))
        return err_nomem(err);
    return 0;
}

static void forget(TaskVec *tasks, LoopFn *fn, void *ctx)
{
    vec_foreach (t, tasks)
        if (t->fn == fn && t->ctx == ctx)
            t->fn = NULL;
}

void loop_defer_cancel(Loop *l, LoopFn *fn, void *ctx)
{
    forget(&l->deferred, fn, ctx);
    forget(&l->running, fn, ctx);
}

void loop_post_cancel(Loop *l, LoopFn *fn, void *ctx)
{
    pthread_mutex_lock(&l->lock);
    forget(&l->posted, fn, ctx);
    pthread_mutex_unlock(&l->lock);
    for (PostedBatch *b = l->posting; b; b = b->outer)
        forget(&b->tasks, fn, ctx);
}

/* ---- the loop ---- */

static void loop_free_parts(Loop *l)
{
    vec_free(&l->deferred);
    vec_free(&l->running);
    vec_free(&l->posted);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int loop_new(Loop **ret, Err *err)
{
    Loop *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(err);
    pthread_mutex_init(&l->lock, NULL);
    int r = uv_loop_init(&l->uv);
    if (r < 0) {
        loop_free_parts(l);
        return uv_fail(err, r, "make an event loop");
    }
    r = uv_async_init(&l->uv, &l->wake, on_wake);
    if (r < 0) {
        uv_loop_close(&l->uv);
        loop_free_parts(l);
        return uv_fail(err, r, "make an event loop's wake-up");
    }
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    l->wake.data = l->prepare.data = l->check.data = l;
    /* These three must not keep the loop running. */
    uv_unref((uv_handle_t *)&l->wake);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    *ret = l;
    return 0;
}

static void close_walked(uv_handle_t *h, void *arg)
{
    Loop *l = arg;
    if (uv_is_closing(h))
        return;
    if (h == (uv_handle_t *)&l->wake || h == (uv_handle_t *)&l->prepare ||
        h == (uv_handle_t *)&l->check)
        uv_close(h, NULL);
    else
        source_free(h->data);
}

Loop *loop_free(Loop *l)
{
    if (!l)
        return NULL;
    do { /* again where the end of some work made new sources, or a stop was still pending */
        uv_walk(&l->uv, close_walked, l);
        uv_run(&l->uv, UV_RUN_DEFAULT); /* close callbacks, and work that is under way */
    } while (uv_loop_alive(&l->uv));
    int r = uv_loop_close(&l->uv);
    ASSERT_MSG(r == 0, "%s", uv_strerror(r));
    loop_free_parts(l);
    return NULL;
}

int loop_run(Loop *l, Err *err)
{
    l->stopped = false;
    do {
        run_deferred(l);
        if (l->stopped)
            break;
        int r = uv_run(&l->uv, UV_RUN_DEFAULT);
        if (r < 0)
            return uv_fail(err, r, "run the event loop");
    } while (!l->stopped && (l->deferred.len > 0 || uv_loop_alive(&l->uv)));
    return 0;
}

void loop_stop(Loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

int64_t loop_now_ns(Loop *l)
{
    return (int64_t)uv_now(&l->uv) * 1000000;
}

unsigned loop_source_count(const Loop *l)
{
    return l->n_sources;
}

/* ---- sources ---- */

static Source *source_alloc(Loop *l, SourceKind kind, void *ctx)
{
    Source *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->loop = l;
    s->kind = kind;
    s->ctx = ctx;
    s->pidfd = -1;
    return s;
}

static void source_ready(Source *s, Source **ret)
{
    s->u.handle.data = s;
    s->loop->n_sources++;
    *ret = s;
}

static void source_closed(uv_handle_t *h)
{
    Source *s = h->data;
    free(s);
}

Source *source_free(Source *s)
{
    if (!s || s->dead)
        return NULL;
    s->dead = true;
    s->loop->n_sources--;
    uv_close(&s->u.handle, source_closed); /* a poll handle lets go of its descriptor right here */
    closep(&s->pidfd);
    return NULL;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    Source *s = h->data;
    uint32_t e = 0;
    /* libuv stops the handle on POLLERR: report everything, so that the owner's next read, write or
     * getsockopt finds the reason. */
    if (status < 0)
        e = LOOP_READ | LOOP_WRITE | LOOP_HUP;
    if (events & UV_READABLE)
        e |= LOOP_READ;
    if (events & UV_WRITABLE)
        e |= LOOP_WRITE;
    if (events & UV_DISCONNECT)
        e |= LOOP_HUP;
    s->fn.on_fd(s->ctx, e);
}

static int poll_start(Source *s, uint32_t events)
{
    int e = 0;
    if (events & LOOP_READ)
        e |= UV_READABLE;
    if (events & LOOP_WRITE)
        e |= UV_WRITABLE;
    if (events & LOOP_HUP)
        e |= UV_DISCONNECT;
    return e ? uv_poll_start(&s->u.poll, e, on_poll) : uv_poll_stop(&s->u.poll);
}

int loop_add_fd(Loop *l, int fd, uint32_t events, LoopFdFn *fn, void *ctx, Source **ret, Err *err)
{
    Source *s = source_alloc(l, SOURCE_FD, ctx);
    if (!s)
        return err_nomem(err);
    s->fn.on_fd = fn;
    int r = uv_poll_init(&l->uv, &s->u.poll, fd);
    if (r < 0) {
        free(s);
        return uv_fail(err, r, "watch a descriptor");
    }
    Source *out;
    source_ready(s, &out);
    r = poll_start(s, events);
    if (r < 0) {
        source_free(s);
        return uv_fail(err, r, "watch a descriptor");
    }
    *ret = out;
    return 0;
}

int source_set_events(Source *s, uint32_t events, Err *err)
{
    ASSERT(s->kind == SOURCE_FD && !s->dead);
    int r = poll_start(s, events);
    return r < 0 ? uv_fail(err, r, "watch a descriptor") : 0;
}

static void on_timer(uv_timer_t *h)
{
    Source *s = h->data;
    s->fn.on_timer(s->ctx);
}

int loop_add_timer(Loop *l, uint64_t delay_ms, uint64_t repeat_ms, LoopFn *fn, void *ctx,
                   Source **ret, Err *err)
{
    Source *s = source_alloc(l, SOURCE_TIMER, ctx);
    if (!s)
        return err_nomem(err);
    s->fn.on_timer = fn;
    uv_timer_init(&l->uv, &s->u.timer);
    Source *out;
    source_ready(s, &out);
    int r = source_set_timer(s, delay_ms, repeat_ms, err);
    if (r < 0) {
        source_free(s);
        return r;
    }
    *ret = out;
    return 0;
}

int source_set_timer(Source *s, uint64_t delay_ms, uint64_t repeat_ms, Err *err)
{
    ASSERT(s->kind == SOURCE_TIMER && !s->dead);
    /* libuv counts from the start of the turn; a long callback must not shorten the delay. */
    uv_update_time(&s->loop->uv);
    int r = uv_timer_start(&s->u.timer, on_timer, delay_ms, repeat_ms);
    return r < 0 ? uv_fail(err, r, "start a timer") : 0;
}

void source_stop_timer(Source *s)
{
    ASSERT(s->kind == SOURCE_TIMER);
    uv_timer_stop(&s->u.timer);
}

static void on_signal(uv_signal_t *h, int signo)
{
    Source *s = h->data;
    s->fn.on_signal(s->ctx, signo);
}

int loop_add_signal(Loop *l, int signo, LoopSignalFn *fn, void *ctx, Source **ret, Err *err)
{
    Source *s = source_alloc(l, SOURCE_SIGNAL, ctx);
    if (!s)
        return err_nomem(err);
    s->fn.on_signal = fn;
    int r = uv_signal_init(&l->uv, &s->u.signal);
    if (r < 0) {
        free(s);
        return uv_fail(err, r, "watch a signal");
    }
    Source *out;
    source_ready(s, &out);
    r = uv_signal_start(&s->u.signal, on_signal, signo);
    if (r < 0) {
        source_free(s);
        return uv_fail(err, r, "watch a signal");
    }
    *ret = out;
    return 0;
}

static void on_child(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    Source *s = h->data;
    int wait_status = 0;
    pid_t r = waitpid(s->pid, &wait_status, WNOHANG);
    if (r == 0 || (r < 0 && errno == EINTR))
        return;
    uv_poll_stop(&s->u.poll);
    /* Reaped by someone else: the owner still has to learn that it ended. */
    s->fn.on_child(s->ctx, s->pid, r < 0 ? 0 : wait_status);
}

int loop_add_child(Loop *l, pid_t pid, LoopChildFn *fn, void *ctx, Source **ret, Err *err)
{
    Source *s = source_alloc(l, SOURCE_CHILD, ctx);
    if (!s)
        return err_nomem(err);
    s->fn.on_child = fn;
    s->pid = pid;
    s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by definition */
    if (s->pidfd < 0) {
        int e = errno;
        free(s);
        return err_set(err, e == ESRCH ? ERR_NOT_FOUND : ERR_SYS, e, "watch child %d", (int)pid);
    }
    int r = uv_poll_init(&l->uv, &s->u.poll, s->pidfd);
    if (r < 0) {
        close(s->pidfd);
        free(s);
        return uv_fail(err, r, "watch a child");
    }
    Source *out;
    source_ready(s, &out);
    r = uv_poll_start(&s->u.poll, UV_READABLE, on_child);
    if (r < 0) {
        source_free(s);
        return uv_fail(err, r, "watch a child");
    }
    *ret = out;
    return 0;
}

/* ---- the worker pool ---- */

typedef struct Work {
    uv_work_t req;
    LoopFn *work, *done;
    void *ctx;
} Work;

static void work_run(uv_work_t *req)
{
    Work *w = req->data;
    w->work(w->ctx);
}

static void work_done(uv_work_t *req, int status)
{
    (void)status;
    Work *w = req->data;
    w->done(w->ctx);
    free(w);
}

int loop_work(Loop *l, LoopFn *work, LoopFn *done, void *ctx, Err *err)
{
    Work *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->work = work;
    w->done = done;
    w->ctx = ctx;
    w->req.data = w;
    int r = uv_queue_work(&l->uv, &w->req, work_run, work_done);
    if (r < 0) {
        free(w);
        return uv_fail(err, r, "queue work");
    }
    return 0;
}
