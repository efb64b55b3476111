/* loop.h - one event loop per thread: a small face over libuv for descriptors, timers, signals,
 * children and a worker pool.
 *
 * The loop is always an argument. source_free() is legal at any time, also inside the source's own
 * callback: it detaches at once, and the memory goes when libuv has closed the handle. Not
 * thread-safe, but for loop_post(). */
#pragma once

#include <sys/types.h>

#include "base/err.h"

typedef struct Loop Loop;
typedef struct Source Source;

typedef void LoopFdFn(void *ctx, uint32_t events); /* LOOP_READ | LOOP_WRITE | LOOP_HUP */
typedef void LoopFn(void *ctx);
typedef void LoopSignalFn(void *ctx, int signo);
typedef void LoopChildFn(void *ctx, pid_t pid, int wait_status);

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };

/* The caller ends it with loop_free(). ERR_SYS, ERR_NOMEM. */
int loop_new(Loop **ret, Err *err) NODISCARD;
/* Closes what is left (sources that others still hold are gone with it) and waits for work under
 * way, whose `done` is still called. Always NULL. */
Loop *loop_free(Loop *l);
int loop_run(Loop *l, Err *err) NODISCARD; /* until loop_stop() or nothing is left to wait for */
void loop_stop(Loop *l);
int64_t loop_now_ns(Loop *l); /* monotonic time of this turn of the loop */

int loop_add_fd(Loop *l, int fd, uint32_t events, LoopFdFn *fn, void *ctx, Source **ret,
                Err *err) NODISCARD; /* the descriptor stays the caller's */
/* Fails only for events that the descriptor cannot have. */
int source_set_events(Source *s, uint32_t events, Err *err) IGNORABLE;
/* Calls fn after delay_ms, then every repeat_ms (0: once; the source stays until freed). */
int loop_add_timer(Loop *l, uint64_t delay_ms, uint64_t repeat_ms, LoopFn *fn, void *ctx,
                   Source **ret, Err *err) NODISCARD;
/* Fails only for a source that is none of a timer. */
int source_set_timer(Source *s, uint64_t delay_ms, uint64_t repeat_ms,
                     Err *err) IGNORABLE; /* (re)arms */
void source_stop_timer(Source *s);
int loop_add_signal(Loop *l, int signo, LoopSignalFn *fn, void *ctx, Source **ret,
                    Err *err) NODISCARD;
/* Reaps one child when it ends (pidfd). */
int loop_add_child(Loop *l, pid_t pid, LoopChildFn *fn, void *ctx, Source **ret,
                   Err *err) NODISCARD;
/* Runs work(ctx) on a pool thread, then done(ctx) on the loop. */
int loop_work(Loop *l, LoopFn *work, LoopFn *done, void *ctx, Err *err) NODISCARD;
/* Runs fn(ctx) on the loop's thread soon; from any thread. */
int loop_post(Loop *l, LoopFn *fn, void *ctx, Err *err) NODISCARD;
/* The same for what must not fail: the caller brings the memory. A task is given away until it runs
 * or is cancelled (from the loop's thread, when no other posts it any more). Tasks run in the order
 * of their posting, behind what loop_post() took before that turn. */
typedef struct LoopTask {
    LoopFn *fn;
    void *ctx;
    struct LoopTask *next; /* the loop's */
} LoopTask;
void loop_post_task(Loop *l, LoopTask *t);
void loop_task_cancel(Loop *l, LoopTask *t); /* fine when it is not posted */
/* Forgets what was posted for this pair; from the loop's thread, when no other posts any more. */
void loop_post_cancel(Loop *l, LoopFn *fn, void *ctx);
/* Runs fn(ctx) once, later in this turn; from the loop's thread. */
int loop_defer(Loop *l, LoopFn *fn, void *ctx, Err *err) NODISCARD;
/* Forgets what loop_defer() took for this pair: for an owner that is freed before its turn. */
void loop_defer_cancel(Loop *l, LoopFn *fn, void *ctx);
unsigned loop_source_count(
    const Loop *l);             /* sources not yet freed: tests prove that none is left */
Source *source_free(Source *s); /* always NULL; NULL is fine */
static inline void source_freep(Source **s)
{
    *s = source_free(*s);
}
