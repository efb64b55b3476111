/* metrics.h - what the cluster's DNS counts, under CoreDNS' names. */
#pragma once

#include "base/metrics.h"
#include "dns/answer.h"

typedef struct DnsMetrics {
    char server[32]; /* "dns://:53" */
    Metric *requests, *responses, *durations;
} DnsMetrics; /* zero: nobody counts */

/* `port` is where it listens. */
void dns_metrics_init(DnsMetrics *m, Metrics *registry, unsigned port);
/* A question came; `type` 0: it could not be read. */
void dns_metrics_asked(const DnsMetrics *m, bool tcp, unsigned type);
/* Its answer goes out; an empty one counts as SERVFAIL. `since_ns`: monotonic. */
void dns_metrics_answered(const DnsMetrics *m, StrView answer, int64_t since_ns);
