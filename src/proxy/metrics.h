/* metrics.h - what the service proxy counts, under kube-proxy's names. */
#pragma once

#include "base/metrics.h"

typedef enum ProxyChange { CHANGE_SERVICE, CHANGE_ENDPOINTS, CHANGE_MAX } ProxyChange;

typedef struct ProxyMetrics {
    Metric *duration, *last, *queued, *failures;
    Metric *total[CHANGE_MAX], *pending[CHANGE_MAX];
} ProxyMetrics; /* zero: nobody counts */

void proxy_metrics_init(ProxyMetrics *m, Metrics *registry);
void proxy_metrics_change(const ProxyMetrics *m, ProxyChange what);
/* The rules are in step with all changes; it took from `begin_ns` (monotonic) until now. */
void proxy_metrics_synced(const ProxyMetrics *m, int64_t begin_ns);
void proxy_metrics_failed(const ProxyMetrics *m);
