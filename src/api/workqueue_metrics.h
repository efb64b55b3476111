/* workqueue_metrics.h - what a work queue counts, under Kubernetes' names (workqueue_…); each
 * series is labelled with the queue's name. Of workqueue.c alone. */
#pragma once

#include "base/metrics.h"

typedef struct WorkQueueMetrics {
    StrView name;
    Metric *adds, *depth, *waited, *worked, *retries, *unfinished, *longest;
} WorkQueueMetrics; /* zero: nobody counts */

void queue_metrics_init(WorkQueueMetrics *c, Metrics *m, const char *name);
void queue_metrics_added(const WorkQueueMetrics *c);
void queue_metrics_waited(const WorkQueueMetrics *c, int64_t ns); /* until its work began */
void queue_metrics_worked(const WorkQueueMetrics *c, int64_t ns);
void queue_metrics_retried(const WorkQueueMetrics *c);
/* How it is now: keys that wait; how long those under way have been, in all and the longest. */
void queue_metrics_state(const WorkQueueMetrics *c, size_t ready, int64_t sum_ns,
                         int64_t longest_ns);
