/* workqueue.h - a queue of keys to reconcile, on a loop: each key is queued once, is never worked
 * on twice at the same time, and comes back after growing delays when its work fails. */
#pragma once

#include "base/metrics.h"
#include "base/str.h"
#include "net/loop.h"

typedef struct WorkQueue WorkQueue;

/* Starts the work for one key; workqueue_done() must follow, at once or later. `key` is valid until
 * then. */
typedef void WorkFn(void *ctx, StrView key);

enum {
    WORKQUEUE_TURN_ITEMS = 64,            /* keys started in one go, at most */
    WORKQUEUE_TURN_NS = 5 * 1000000,      /* ...and for how long */
    WORKQUEUE_BASE_DELAY_MS = 5,          /* times 2^failures … */
    WORKQUEUE_MAX_DELAY_MS = 1000 * 1000, /* … up to here */
};

/* `workers` is how many keys may be under way at the same time. */
int workqueue_new(Loop *l, unsigned workers, WorkFn *fn, void *ctx, WorkQueue **ret,
                  Err *err) NODISCARD;
/* Counts as `name` ("deployment") in workqueue_…; both must outlive it. */
void workqueue_count(WorkQueue *q, Metrics *m, const char *name);
WorkQueue *workqueue_free(WorkQueue *q); /* drops what waits; also from inside fn; always NULL */

/* None of these fails visibly: without memory a key is tried again with the next event for it, and
 * workqueue_lost() counts it. */
void workqueue_add(WorkQueue *q, StrView key);
void workqueue_add_after(WorkQueue *q, StrView key, uint64_t delay_ms);
void workqueue_add_rate_limited(WorkQueue *q, StrView key);
void workqueue_forget(WorkQueue *q,
                      StrView key); /* it succeeded: the next failure starts at 5 ms */
unsigned workqueue_failures(const WorkQueue *q, StrView key); /* since the last forget */
void workqueue_done(WorkQueue *q, StrView key); /* a key added meanwhile is queued again now */
/* The usual end of a reconcile in one call: forget on success, else rate-limited, then done. */
void workqueue_finish(WorkQueue *q, StrView key, bool ok);
size_t workqueue_len(const WorkQueue *q); /* ready and waiting for a worker */
uint64_t workqueue_lost(const WorkQueue *q);
