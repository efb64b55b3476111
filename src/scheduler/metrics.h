/* metrics.h - what the scheduler counts, under Kubernetes' names. */
#pragma once

#include "base/metrics.h"
#include "scheduler/queue.h"

typedef enum AttemptResult {
    ATTEMPT_SCHEDULED,
    ATTEMPT_UNSCHEDULABLE,
    ATTEMPT_ERROR
} AttemptResult;

typedef struct SchedMetrics {
    Metrics *registry;
    const SchedQueue *queue;
    Metric *attempts, *durations, *pending, *preemptions;
} SchedMetrics; /* zero: nobody counts */

/* `m` must stay where it is; `queue` is looked at whenever somebody asks, until
 * sched_metrics_stop(). */
void sched_metrics_start(SchedMetrics *m, Metrics *registry, const SchedQueue *queue);
void sched_metrics_stop(SchedMetrics *m);
/* An attempt that began at `begin_ns` (monotonic) has ended; with ATTEMPT_SCHEDULED the binding is
 * durable. */
void sched_metrics_attempt(const SchedMetrics *m, AttemptResult result, int64_t begin_ns);
void sched_metrics_preemption(const SchedMetrics *m); /* room was looked for */
