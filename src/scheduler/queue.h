/* queue.h - pods that wait: by priority, then by age; those that could not be placed are parked
 * until something changes, and come back after a pause that grows with each failure. No I/O: the
 * caller brings the time. */
#pragma once

#include "base/heap.h"
#include "base/map.h"

enum { QUEUE_BACKOFF_MIN_MS = 100, QUEUE_BACKOFF_MAX_MS = 10 * 1000 };

typedef struct SchedQueue {
    Map entries; /* by key */
    Heap ready, pausing;
    size_t parked;
    uint64_t sequence;
} SchedQueue;

void queue_free(SchedQueue *q);
/* Makes the pod ready; a parked or pausing one at once, as its own change is news. */
bool queue_add(SchedQueue *q, StrView key, int32_t priority) NODISCARD;
void queue_remove(SchedQueue *q, StrView key);
/* The next ready pod; it stays known, and out of the way, until queue_remove(), queue_park() or
 * queue_add(). SV_NULL: none. */
StrView queue_pop(SchedQueue *q, int64_t now_ns);
/* It could not be placed: parked; with `retry` it comes back after its pause by itself. */
void queue_park(SchedQueue *q, StrView key, int64_t now_ns, bool retry);
/* Something has changed: all that are parked come back after their pause. */
void queue_wake(SchedQueue *q, int64_t now_ns);
/* When the next pause ends; INT64_MAX: never. */
int64_t queue_next(const SchedQueue *q);
