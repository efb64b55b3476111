/* metrics.c - see metrics.h. */
#include "scheduler/metrics.h"

#include "base/clock.h"

#define PROFILE SV("default-scheduler")

static const double bounds[] = { 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384 };
static const MetricDef attempts = { .name = "scheduler_schedule_attempts_total",
                                    .help = "Attempts to schedule pods, by result.",
                                    .type = METRIC_COUNTER,
                                    .labels = { "profile", "result" } };
static const MetricDef durations = { .name = "scheduler_scheduling_attempt_duration_seconds",
                                     .help = "How long an attempt took, the binding included.",
                                     .type = METRIC_HISTOGRAM,
                                     .labels = { "profile", "result" },
                                     .buckets = bounds,
                                     .n_buckets = ARRAY_SIZE(bounds) };
static const MetricDef pending = { .name = "scheduler_pending_pods",
                                   .help = "Pods that wait, by the queue that they are in.",
                                   .type = METRIC_GAUGE,
                                   .labels = { "queue" } };
static const MetricDef preemptions = { .name = "scheduler_preemption_attempts_total",
                                       .help = "Times that room was looked for.",
                                       .type = METRIC_COUNTER };

static void collect(void *ctx)
{
    const SchedMetrics *m = ctx;
    metric_set(m->pending, LABEL_VALUES(SV("active")), (double)heap_len(&m->queue->ready));
    metric_set(m->pending, LABEL_VALUES(SV("backoff")), (double)heap_len(&m->queue->pausing));
    metric_set(m->pending, LABEL_VALUES(SV("unschedulable")), (double)m->queue->parked);
}

void sched_metrics_start(SchedMetrics *m, Metrics *registry, const SchedQueue *queue)
{
    *m = (SchedMetrics){ .registry = registry,
                         .queue = queue,
                         .attempts = metrics_add(registry, &attempts),
                         .durations = metrics_add(registry, &durations),
                         .pending = metrics_add(registry, &pending),
                         .preemptions = metrics_add(registry, &preemptions) };
    metrics_on_collect(registry, collect, m);
}

void sched_metrics_stop(SchedMetrics *m)
{
    metrics_off_collect(m->registry, collect, m);
}

void sched_metrics_attempt(const SchedMetrics *m, AttemptResult result, int64_t begin_ns)
{
    static const StrView names[] = { [ATTEMPT_SCHEDULED] = SV_INIT("scheduled"),
                                     [ATTEMPT_UNSCHEDULABLE] = SV_INIT("unschedulable"),
                                     [ATTEMPT_ERROR] = SV_INIT("error") };
    const StrView *labels = LABEL_VALUES(PROFILE, names[result]);
    metric_add(m->attempts, labels, 1);
    metric_observe(m->durations, labels, (double)(clock_mono_ns() - begin_ns) / 1e9);
}

void sched_metrics_preemption(const SchedMetrics *m)
{
    metric_add(m->preemptions, NULL, 1);
}
