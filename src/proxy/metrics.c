/* metrics.c - see metrics.h. */
#include "proxy/metrics.h"

#include "base/clock.h"

#define FAMILY  LABEL_VALUES(SV("IPv4"))
#define LABELED .labels = { "ip_family" }

static const double bounds[] = { 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384 };
static const MetricDef duration = { .name = "kubeproxy_sync_proxy_rules_duration_seconds",
                                    .help = "How long it took to bring the rules in step.",
                                    .type = METRIC_HISTOGRAM,
                                    LABELED,
                                    .buckets = bounds,
                                    .n_buckets = ARRAY_SIZE(bounds) };
static const MetricDef last = { .name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                                .help = "When the rules were in step last.",
                                .type = METRIC_GAUGE,
                                LABELED };
static const MetricDef queued = { .name =
                                      "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                                  .help = "When a change of the rules was asked for last.",
                                  .type = METRIC_GAUGE,
                                  LABELED };
static const MetricDef failures = { .name =
                                        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                                    .help = "Times that the rules could not be brought in step.",
                                    .type = METRIC_COUNTER,
                                    LABELED };
static const MetricDef total[CHANGE_MAX] = {
    [CHANGE_SERVICE] = { .name = "kubeproxy_sync_proxy_rules_service_changes_total",
                         .help = "Changes of Services.",
                         .type = METRIC_COUNTER,
                         LABELED },
    [CHANGE_ENDPOINTS] = { .name = "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                           .help = "Changes of EndpointSlices.",
                           .type = METRIC_COUNTER,
                           LABELED },
};
static const MetricDef pending[CHANGE_MAX] = {
    [CHANGE_SERVICE] = { .name = "kubeproxy_sync_proxy_rules_service_changes_pending",
                         .help = "Changes of Services that are not in the rules yet.",
                         .type = METRIC_GAUGE,
                         LABELED },
    [CHANGE_ENDPOINTS] = { .name = "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                           .help = "Changes of EndpointSlices that are not in the rules yet.",
                           .type = METRIC_GAUGE,
                           LABELED },
};

static double now_s(void)
{
    return (double)(clock_real_ns() / NSEC_PER_MSEC) / 1e3;
}

void proxy_metrics_init(ProxyMetrics *m, Metrics *registry)
{
    *m = (ProxyMetrics){ .duration = metrics_add(registry, &duration),
                         .last = metrics_add(registry, &last),
                         .queued = metrics_add(registry, &queued),
                         .failures = metrics_add(registry, &failures) };
    metric_add(m->failures, FAMILY, 0);
    for (int i = 0; i < CHANGE_MAX; i++) {
        m->total[i] = metrics_add(registry, &total[i]);
        m->pending[i] = metrics_add(registry, &pending[i]);
        metric_add(m->total[i], FAMILY, 0);
        metric_set(m->pending[i], FAMILY, 0);
    }
}

void proxy_metrics_change(const ProxyMetrics *m, ProxyChange what)
{
    metric_add(m->total[what], FAMILY, 1);
    metric_add(m->pending[what], FAMILY, 1);
    metric_set(m->queued, FAMILY, now_s());
}

void proxy_metrics_synced(const ProxyMetrics *m, int64_t begin_ns)
{
    metric_observe(m->duration, FAMILY, (double)(clock_mono_ns() - begin_ns) / 1e9);
    metric_set(m->last, FAMILY, now_s());
    for (int i = 0; i < CHANGE_MAX; i++)
        metric_set(m->pending[i], FAMILY, 0);
}

void proxy_metrics_failed(const ProxyMetrics *m)
{
    metric_add(m->failures, FAMILY, 1);
}
