/* stats.c - what discovery tells of itself on /metrics, under Prometheus' names. A count is a field
 * of DiscoveryStats; what is true of the moment is asked of the discoveries that live. */
#include "monitor/discovery/internal.h"
#include "base/metric_text.h"

static const double quantiles[] = { 0.5, 0.9, 0.99 };
static const char *const users[DISCOVERY_USER_MAX] = {
    [DISCOVERY_SCRAPE] = "scrape", [DISCOVERY_NOTIFY] = "notify"
};

int discovery_stats_new(DiscoveryStats **ret, Err *err)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : err_nomem(err);
}

DiscoveryStats *discovery_stats_free(DiscoveryStats *s)
{
    if (s)
        vec_free(&s->live);
    free(s);
    return NULL;
}

const HttpDials *discovery_dials(const DiscoveryStats *s)
{
    return &s->http_dials;
}

static void put_counts(const DiscoveryStats *s, Buf *out)
{
    METRIC_COUNTER(out, "prometheus_sd_dns_lookups_total", "Names that were looked up by DNS-SD.",
                   s->dns_lookups);
    METRIC_COUNTER(out, "prometheus_sd_dns_lookup_failures_total",
                   "Names that could not be looked up by DNS-SD.", s->dns_failures);
    METRIC_COUNTER(out, "prometheus_sd_http_failures_total", "Refreshes by HTTP that failed.",
                   s->http_failures);
    METRIC_COUNTER(out, "prometheus_sd_file_read_errors_total",
                   "Times that a file of targets could not be read.", s->file_read_errors);
    METRIC_COUNTER(out, "prometheus_sd_file_watcher_errors_total",
                   "Folders of files of targets that could not be watched.",
                   s->file_watcher_errors);
    METRIC_COUNTER(out, "prometheus_sd_kubernetes_failures_total",
                   "Lists and watches of Kubernetes objects that failed.", s->kubernetes_failures);
}

static void put_refreshes(const DiscoveryStats *s, Buf *out)
{
    static const char *const labels[REFRESH_MAX] = {
        [REFRESH_DNS] = "mechanism=\"dns\"", [REFRESH_HTTP] = "mechanism=\"http\""
    };
    const char *failures = "prometheus_sd_refresh_failures_total";
    const char *duration = "prometheus_sd_refresh_duration_seconds";
    const char *scan = "prometheus_sd_file_scan_duration_seconds";
    metric_head(out, failures, "counter", "Refreshes that failed.");
    for (unsigned i = 0; i < REFRESH_MAX; i++)
        metric_series(out, failures, sv_cstr(labels[i]), (double)s->refresh[i].failures);
    metric_head(out, duration, "summary", "How long refreshes took.");
    for (unsigned i = 0; i < REFRESH_MAX; i++)
        timing_put_summary(&s->refresh[i].duration, duration, sv_cstr(labels[i]), quantiles,
                           ARRAY_SIZE(quantiles), out);
    metric_head(out, scan, "summary", "How long reading all files of targets of a job took.");
    timing_put_summary(&s->file_scan, scan, SV(""), quantiles, ARRAY_SIZE(quantiles), out);
}

static void put_events(const DiscoveryStats *s, Buf *out)
{
    static const char *const events[EVENT_MAX] = { "add", "update", "delete" };
    const char *name = "prometheus_sd_kubernetes_events_total";
    metric_head(out, name, "counter", "Kubernetes events that were handled.");
    for (unsigned k = 0; k < ROLES_MAX; k++)
        for (unsigned e = 0; e < EVENT_MAX; e++) {
            buf_printf(out, "%s{event=\"%s\",role=\"%s\"}", name, events[e], k8s_role_name(k));
            metric_value(out, (double)s->kubernetes_events[k][e]);
        }
}

static void put_users(const DiscoveryStats *s, Buf *out)
{
    /* Groups are handed on as they come: what is received is sent, and nothing is delayed. */
    static const struct {
        const char *name, *help;
        bool zero;
    } rows[] = {
        { "prometheus_sd_received_updates_total", "Updates that discovery brought.", false },
        { "prometheus_sd_updates_total", "Updates that were handed on.", false },
        { "prometheus_sd_updates_delayed_total", "Updates that could not be handed on at once.",
          true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metric_head(out, rows[i].name, "counter", rows[i].help);
        for (unsigned u = DISCOVERY_SCRAPE; u < DISCOVERY_USER_MAX; u++) {
            buf_printf(out, "%s{name=\"%s\"}", rows[i].name, users[u]);
            metric_value(out, rows[i].zero ? 0 : (double)s->updates[u]);
        }
    }
    metric_head(out, "prometheus_sd_failed_configs", "gauge",
                "Sections of the configuration whose discovery could not be started.");
    for (unsigned u = DISCOVERY_SCRAPE; u < DISCOVERY_USER_MAX; u++) {
        unsigned failed = 0;
        vec_foreach (d, &s->live)
            failed += (*d)->opt.user == u ? (*d)->failed : 0;
        buf_printf(out, "prometheus_sd_failed_configs{name=\"%s\"}", users[u]);
        metric_value(out, failed);
    }
}

static void put_live(const DiscoveryStats *s, Buf *out)
{
    metric_head(out, "prometheus_sd_discovered_targets", "gauge",
                "Targets that discovery tells of.");
    vec_foreach (d, &s->live) {
        if ((*d)->opt.user == DISCOVERY_TOOL)
            continue;
        buf_printf(out,
                   "prometheus_sd_discovered_targets{name=\"%s\",config=", users[(*d)->opt.user]);
        text_quote_value((*d)->opt.section, out);
        buf_putc(out, '}');
        metric_value(out, (double)(*d)->targets);
    }
    Map told = { 0 };
    metric_head(out, "prometheus_sd_file_mtime_seconds", "gauge",
                "When a file of targets that was read was changed, in seconds since 1970.");
    vec_foreach (d, &s->live)
        vec_foreach (p, &(*d)->providers)
            if ((*p)->put_files)
                (*p)->put_files(*p, &told, out);
    map_free(&told);
}

void discovery_metrics(const DiscoveryStats *s, Buf *out)
{
    put_counts(s, out);
    put_refreshes(s, out);
    put_events(s, out);
    put_users(s, out);
    put_live(s, out);
}
