/* metrics.c - see metrics.h. All is one server block of CoreDNS, that of the root zone. */
#include "dns/metrics.h"

#include <stdio.h>

#include "base/clock.h"

#define ZONE SV(".")
#define VIEW SV("")

static const double bounds[] = { 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032,
                                 0.064,   0.128,  0.256, 0.512, 1.024, 2.048, 4.096, 8.192 };
static const MetricDef requests = { .name = "coredns_dns_requests_total",
                                    .help = "Questions, by type.",
                                    .type = METRIC_COUNTER,
                                    .labels = { "server", "zone", "view", "proto", "family",
                                                "type" } };
static const MetricDef responses = { .name = "coredns_dns_responses_total",
                                     .help = "Answers, by their code.",
                                     .type = METRIC_COUNTER,
                                     .labels = { "server", "zone", "view", "rcode" } };
static const MetricDef durations = { .name = "coredns_dns_request_duration_seconds",
                                     .help = "Time until a question was answered.",
                                     .type = METRIC_HISTOGRAM,
                                     .labels = { "server", "zone", "view" },
                                     .buckets = bounds,
                                     .n_buckets = ARRAY_SIZE(bounds) };

void dns_metrics_init(DnsMetrics *m, Metrics *registry, unsigned port)
{
    *m = (DnsMetrics){ .requests = metrics_add(registry, &requests),
                       .responses = metrics_add(registry, &responses),
                       .durations = metrics_add(registry, &durations) };
    snprintf(m->server, sizeof m->server, "dns://:%u", port);
}

/* The types that CoreDNS tells apart; it counts all others together. */
static StrView type_name(unsigned type)
{
    static const struct {
        unsigned type;
        StrView name;
    } names[] = {
        { DNS_TYPE_A, SV_INIT("A") },
        { DNS_TYPE_AAAA, SV_INIT("AAAA") },
        { 2, SV_INIT("NS") },
        { DNS_TYPE_CNAME, SV_INIT("CNAME") },
        { DNS_TYPE_SOA, SV_INIT("SOA") },
        { DNS_TYPE_PTR, SV_INIT("PTR") },
        { 15, SV_INIT("MX") },
        { DNS_TYPE_TXT, SV_INIT("TXT") },
        { DNS_TYPE_SRV, SV_INIT("SRV") },
        { 35, SV_INIT("NAPTR") },
        { 43, SV_INIT("DS") },
        { 46, SV_INIT("RRSIG") },
        { 47, SV_INIT("NSEC") },
        { 48, SV_INIT("DNSKEY") },
        { 65, SV_INIT("HTTPS") },
        { DNS_TYPE_ANY, SV_INIT("ANY") },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].type == type)
            return names[i].name;
    return SV("other");
}

void dns_metrics_asked(const DnsMetrics *m, bool tcp, unsigned type)
{
    metric_add(m->requests,
               LABEL_VALUES(sv_cstr(m->server), ZONE, VIEW, tcp ? SV("tcp") : SV("udp"), SV("1"),
                            type_name(type)),
               1);
}

static StrView rcode_name(unsigned rcode)
{
    static const StrView names[] = { SV_INIT("NOERROR"),  SV_INIT("FORMERR"), SV_INIT("SERVFAIL"),
                                     SV_INIT("NXDOMAIN"), SV_INIT("NOTIMP"),  SV_INIT("REFUSED") };
    return rcode < ARRAY_SIZE(names) ? names[rcode] : SV("other");
}

void dns_metrics_answered(const DnsMetrics *m, StrView answer, int64_t since_ns)
{
    unsigned rcode = answer.len >= DNS_HEADER ? (unsigned char)answer.ptr[3] & 15u
                                              : (unsigned)DNS_RCODE_SERVFAIL;
    StrView server = sv_cstr(m->server);
    metric_add(m->responses, LABEL_VALUES(server, ZONE, VIEW, rcode_name(rcode)), 1);
    metric_observe(m->durations, LABEL_VALUES(server, ZONE, VIEW),
                   (double)(clock_mono_ns() - since_ns) / 1e9);
}
