/* internal.h - what the files with I/O share.
 *
 *   scheduler.c  informers, the queue's turn, start
 *   act.c        what is decided is told to the API server: bindings, conditions, evictions
 */
#pragma once

#include "api/events.h"
#include "api/informer.h"
#include "scheduler/metrics.h"
#include "scheduler/preempt.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"

typedef enum Watched {
    WATCH_PODS,
    WATCH_NODES,
    WATCH_NAMESPACES,
    WATCH_BUDGETS,
    WATCH_MAX
} Watched;

struct Scheduler {
    Loop *loop;
    ApiClient *api;
    Informer *informers[WATCH_MAX];
    unsigned synced; /* how many */
    EventRecorder *events;
    Cluster cluster;
    Map pods; /* by key, those that the cluster refers to */
    SchedQueue queue;
    SchedMetrics metrics;
    Source *turn, *wake, *retry;
    bool wake_armed;
    unsigned binding; /* calls under way */
    void (*on_synced)(void *ctx);
    void *ctx;
};

/* NULL when the pod is gone. */
SchedPod *scheduler_pod(Scheduler *s, StrView key);
void scheduler_turn_soon(Scheduler *s);

/* Binds a pod that cluster_place() counts on its node; takes it off again when that fails. The
 * attempt began at `begin_ns` (monotonic). */
void act_bind(Scheduler *s, SchedPod *p, StrView node, int64_t begin_ns);
/* Sets the condition PodScheduled to False, once for each new message, and status.nominatedNodeName
 * (NULL: leave it; empty: clear it). */
void act_report(Scheduler *s, const SchedPod *p, StrView message, const StrView *nominated);
void act_evict(Scheduler *s, const SchedPod *victim, const SchedPod *by, StrView node);
