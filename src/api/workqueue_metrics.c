/* workqueue_metrics.c - see workqueue_metrics.h. */
#include "api/workqueue_metrics.h"

#define BY_NAME .labels = { "name" }
#define TIMES   .type = METRIC_HISTOGRAM, .buckets = bounds, .n_buckets = ARRAY_SIZE(bounds)

static const double bounds[] = { 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000 };
static const MetricDef adds = {
    .name = "workqueue_adds_total", .help = "Keys that were added.", .type = METRIC_COUNTER, BY_NAME
};
static const MetricDef depth = { .name = "workqueue_depth",
                                 .help = "Keys that are ready and wait for a worker.",
                                 .type = METRIC_GAUGE,
                                 BY_NAME };
static const MetricDef waited = { .name = "workqueue_queue_duration_seconds",
                                  .help = "How long keys waited before their work began.",
                                  TIMES,
                                  BY_NAME };
static const MetricDef worked = { .name = "workqueue_work_duration_seconds",
                                  .help = "How long the work for keys took.",
                                  TIMES,
                                  BY_NAME };
static const MetricDef retries = { .name = "workqueue_retries_total",
                                   .help = "Keys that came back after a failure.",
                                   .type = METRIC_COUNTER,
                                   BY_NAME };
static const MetricDef unfinished = { .name = "workqueue_unfinished_work_seconds",
                                      .help = "How long the keys under way have been, in all.",
                                      .type = METRIC_GAUGE,
                                      BY_NAME };
static const MetricDef longest = { .name = "workqueue_longest_running_processor_seconds",
                                   .help = "How long the longest of the keys under way has been.",
                                   .type = METRIC_GAUGE,
                                   BY_NAME };

void queue_metrics_init(WorkQueueMetrics *c, Metrics *m, const char *name)
{
    *c = (WorkQueueMetrics){ .name = sv_cstr(name),
                             .adds = metrics_add(m, &adds),
                             .depth = metrics_add(m, &depth),
                             .waited = metrics_add(m, &waited),
                             .worked = metrics_add(m, &worked),
                             .retries = metrics_add(m, &retries),
                             .unfinished = metrics_add(m, &unfinished),
                             .longest = metrics_add(m, &longest) };
    metric_add(c->adds, &c->name, 0); /* there from the start */
    metric_add(c->retries, &c->name, 0);
}

void queue_metrics_added(const WorkQueueMetrics *c)
{
    metric_add(c->adds, &c->name, 1);
}

void queue_metrics_waited(const WorkQueueMetrics *c, int64_t ns)
{
    metric_observe(c->waited, &c->name, (double)ns / 1e9);
}

void queue_metrics_worked(const WorkQueueMetrics *c, int64_t ns)
{
    metric_observe(c->worked, &c->name, (double)ns / 1e9);
}

void queue_metrics_retried(const WorkQueueMetrics *c)
{
    metric_add(c->retries, &c->name, 1);
}

void queue_metrics_state(const WorkQueueMetrics *c, size_t ready, int64_t sum_ns,
                         int64_t longest_ns)
{
    metric_set(c->depth, &c->name, (double)ready);
    metric_set(c->unfinished, &c->name, (double)sum_ns / 1e9);
    metric_set(c->longest, &c->name, (double)longest_ns / 1e9);
}
