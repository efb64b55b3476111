/* metrics.c - /metrics: the monitor's own, under the names that Prometheus gives them. */
#include "base/metric_text.h"
#include "base/process_stats.h"
#include "monitor/model/number.h"
#include "monitor/web/internal.h"

static const double duration_bounds[DURATION_BUCKETS] = { .1, .2, .4, 1, 3, 8, 20, 60, 120 };
static const double size_bounds[SIZE_BUCKETS] = { 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };

/* ---- counting ---- */

static unsigned route_index(const Route *r)
{
    for (unsigned i = 0; i < route_count(); i++)
        if (route_at(i) == r)
            return i;
    return route_count();
}

static void count_code(RouteStats *s, int code)
{
    for (unsigned i = 0; i < CODES_MAX; i++)
        if (s->codes[i].code == code || s->codes[i].code == 0) {
            s->codes[i].code = code;
            s->codes[i].n++;
            return;
        }
}

void web_count(Web *w, const Call *c, size_t body_len)
{
    RouteStats *s = &w->routes[route_index(c->route)];
    double seconds = (double)(clock_mono_ns() - c->started_ns) / 1e9;
    count_code(s, c->status);
    s->n++;
    s->duration_sum += seconds;
    s->size_sum += (double)body_len;
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        s->durations[i] += seconds <= duration_bounds[i];
    for (unsigned i = 0; i < SIZE_BUCKETS; i++)
        s->sizes[i] += (double)body_len <= size_bounds[i];
    w->invalid_labels += c->counts.invalid_labels;
    w->federation_errors += c->counts.federation_failed;
    w->without_metadata += c->counts.without_metadata;
    w->otlp_without_metadata += c->counts.otlp_without_metadata;
    w->otlp_exemplars_refused += c->counts.otlp_exemplars_refused;
}

/* ---- writing ---- */

#define GAUGE(name, help, v)   METRIC_GAUGE(out, name, help, v)
#define COUNTER(name, help, v) METRIC_COUNTER(out, name, help, v)

/* "/api/v1/label/:name/values", as Prometheus labels it. */
static void put_handler(Buf *out, StrView path)
{
    StrView before, after;
    bool star = sv_cut(path, '*', &before, &after);
    buf_printf(out, "handler=\"%.*s%s%.*s\"", SV_FMT(before), star ? ":name" : "", SV_FMT(after));
}

static void put_histogram(Buf *out, const char *name, const Web *w, bool sizes)
{
    unsigned n = sizes ? SIZE_BUCKETS : DURATION_BUCKETS;
    for (unsigned i = 0; i < route_count(); i++) {
        const RouteStats *s = &w->routes[i];
        if (!s->n)
            continue;
        for (unsigned b = 0; b < n; b++) {
            buf_printf(out, "%s_bucket{", name);
            put_handler(out, route_at(i)->path);
            buf_sv(out, SV(",le=\""));
            double_format_g(sizes ? size_bounds[b] : duration_bounds[b], out);
            buf_sv(out, SV("\"}"));
            metric_value(out, (double)(sizes ? s->sizes[b] : s->durations[b]));
        }
        buf_printf(out, "%s_bucket{", name);
        put_handler(out, route_at(i)->path);
        buf_sv(out, SV(",le=\"+Inf\"}"));
        metric_value(out, (double)s->n);
        buf_printf(out, "%s_sum{", name);
        put_handler(out, route_at(i)->path);
        buf_putc(out, '}');
        metric_value(out, sizes ? s->size_sum : s->duration_sum);
        buf_printf(out, "%s_count{", name);
        put_handler(out, route_at(i)->path);
        buf_putc(out, '}');
        metric_value(out, (double)s->n);
    }
}

static void put_http(Buf *out, const Web *w)
{
    metric_head(out, "prometheus_http_requests_total", "counter", "Counter of HTTP requests.");
    for (unsigned i = 0; i < route_count(); i++)
        for (unsigned k = 0; k < CODES_MAX && w->routes[i].codes[k].code; k++) {
            buf_printf(out, "prometheus_http_requests_total{code=\"%d\",",
                       w->routes[i].codes[k].code);
            put_handler(out, route_at(i)->path);
            buf_putc(out, '}');
            metric_value(out, (double)w->routes[i].codes[k].n);
        }
    metric_head(out, "prometheus_http_request_duration_seconds", "histogram",
                "Latencies of HTTP requests.");
    put_histogram(out, "prometheus_http_request_duration_seconds", w, false);
    metric_head(out, "prometheus_http_response_size_bytes", "histogram",
                "Sizes of HTTP responses.");
    put_histogram(out, "prometheus_http_response_size_bytes", w, true);
}

static void put_engine(Buf *out, const Web *w)
{
    static const double quantiles[] = { 0.5, 0.9, 0.99 };
    const char *times = "prometheus_engine_query_duration_seconds";
    PromqlEngineStats s;
    if (!w->opt.promql.engine)
        return;
    promql_engine_stats(w->opt.promql.engine, &s);
    const struct {
        const Timing *t;
        StrView label;
    } slices[] = { { &s.inner, SV("slice=\"inner_eval\"") },
                   { &s.prepare, SV("slice=\"prepare_time\"") },
                   { &s.queue, SV("slice=\"queue_time\"") },
                   { &s.sort, SV("slice=\"result_sort\"") } };
    GAUGE("prometheus_engine_queries", "Queries that are being executed or wait.",
          s.running + s.waiting + w->queues[CALL_QUERY].n_waiting);
    GAUGE("prometheus_engine_query_log_enabled", "Queries that have run are written to a file.",
          s.log_enabled);
    COUNTER("prometheus_engine_query_log_failures_total",
            "Queries that could not be written to the file.", s.log_failures);
    COUNTER("prometheus_engine_query_samples_total", "Samples that queries read from storage.",
            s.samples);
    GAUGE("prometheus_engine_queries_concurrent_max", "The most queries that run at once.",
          s.slots);
    metric_head(out, times, "summary", "Query timings.");
    for (size_t i = 0; i < ARRAY_SIZE(slices); i++)
        timing_put_summary(slices[i].t, times, slices[i].label, quantiles, ARRAY_SIZE(quantiles),
                           out);
}

/* Of /metrics itself: it is answered on the loop, so never two at once. */
static void put_own_handler(Buf *out, const Web *w)
{
    static const int codes[] = { 200, 500, 503 };
    const char *name = "promhttp_metric_handler_requests_total";
    const RouteStats *s = NULL;
    for (unsigned i = 0; i < route_count(); i++)
        if (sv_eq(route_at(i)->path, SV("/metrics")))
            s = &w->routes[i];
    GAUGE("promhttp_metric_handler_requests_in_flight", "Scrapes that are being answered.", 1);
    metric_head(out, name, "counter", "Scrapes that were answered, by status.");
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        uint64_t n = 0;
        for (unsigned k = 0; s && k < CODES_MAX; k++)
            n += s->codes[k].code == codes[i] ? s->codes[k].n : 0;
        buf_printf(out, "%s{code=\"%d\"}", name, codes[i]);
        metric_value(out, (double)n);
    }
}

/* ---- connections ---- */

static void put_connections(Buf *out, const Web *w)
{
    static const char accepted[] = "net_conntrack_listener_conn_accepted_total",
                      closed[] = "net_conntrack_listener_conn_closed_total";
    metric_head(out, accepted, "counter", "Connections of the listeners that were accepted.");
    buf_printf(out, "%s{listener_name=\"http\"} %llu\n", accepted,
               (unsigned long long)w->limit.accepted);
    metric_head(out, closed, "counter", "Connections of the listeners that are closed.");
    buf_printf(out, "%s{listener_name=\"http\"} %llu\n", closed,
               (unsigned long long)(w->limit.accepted - w->limit.open));
    const Turns *reads = &w->queues[CALL_READ];
    GAUGE("prometheus_api_remote_read_queries", "Remote reads that are being answered or wait.",
          reads->n_active + reads->n_waiting);
    GAUGE("prometheus_remote_read_handler_queries", "Remote reads that are being answered or wait.",
          reads->n_active + reads->n_waiting);
}

/* ---- the process ---- */

static void put_process(Buf *out, const Web *w)
{
    ProcessStats s;
    process_stats(&s);
    COUNTER("process_cpu_seconds_total", "User and system CPU time in seconds.", s.cpu_s);
    GAUGE("process_open_fds", "Open file descriptors.", s.open_fds);
    GAUGE("process_max_fds", "The most file descriptors that may be open.", s.max_fds);
    GAUGE("process_virtual_memory_bytes", "Virtual memory in bytes.", s.virtual_bytes);
    GAUGE("process_virtual_memory_max_bytes", "The most virtual memory in bytes; -1: no limit.",
          s.virtual_max_bytes);
    GAUGE("process_resident_memory_bytes", "Resident memory in bytes.", s.resident_bytes);
    GAUGE("process_start_time_seconds", "Start of the process, in seconds since 1970.",
          (double)(w->started_ns / NSEC_PER_MSEC) / 1e3);
}

static void put_otlp(Buf *out, const Web *w)
{
    COUNTER("prometheus_api_otlp_appended_samples_without_metadata_total",
            "Samples of OTLP stored without metadata.", w->otlp_without_metadata);
    COUNTER("prometheus_api_otlp_out_of_order_exemplars_total",
            "Exemplars of OTLP refused, most of them for being out of order.",
            w->otlp_exemplars_refused);
}

void metrics_text(Call *c, Buf *out)
{
    Web *w = c->web;
    Tsdb *db = web_db(w);
    TsdbStats s = { 0 };
    metric_head(out, "prometheus_build_info", "gauge", "What was built, as labels; always 1.");
    buf_sv(out, SV("prometheus_build_info{version=\"" PROMETHEUS_VERSION
                   "\",revision=\"knarr-" KNARR_VERSION "\",branch=\"\",goversion=\"\"} 1\n"));
    GAUGE("prometheus_ready", "The server is ready to serve.", db != NULL);
    GAUGE("prometheus_config_last_reload_successful",
          "The last reload of the configuration worked.", w->reload_ok);
    GAUGE("prometheus_config_last_reload_success_timestamp_seconds",
          "The last reload that worked, in seconds since 1970.",
          (double)(w->reload_ok_ns / NSEC_PER_MSEC) / 1e3);
    if (db && tsdb_stats(db, 0, &c->arena, &s, NULL) == 0)
        metrics_put_tsdb(out, &s);
    put_engine(out, w);
    put_http(out, w);
    put_own_handler(out, w);
    put_connections(out, w);
    COUNTER("prometheus_api_remote_write_invalid_labels_samples_total",
            "Samples of remote writes refused for their labels.", w->invalid_labels);
    COUNTER("prometheus_api_remote_write_without_metadata_appended_samples_total",
            "Samples of remote writes stored without metadata.", w->without_metadata);
    if (w->opt.otlp)
        put_otlp(out, w);
    COUNTER("prometheus_web_federation_errors_total", "Federation responses that failed.",
            w->federation_errors);
    /* They are of the local storage alone, which never answers in part. */
    COUNTER("prometheus_web_federation_warnings_total", "Warnings of federation responses.", 0);
    GAUGE("prometheus_api_notification_active_subscribers", "Readers of live notifications.",
          w->notices.n_readers);
    COUNTER("prometheus_api_notification_updates_sent_total",
            "Notifications sent to readers, or meant to be.", w->notices.sent);
    COUNTER("prometheus_api_notification_updates_dropped_total",
            "Notifications that a reader did not take in time.", w->notices.dropped);
    put_process(out, w);
    if (w->opt.parts.metrics)
        w->opt.parts.metrics(w->opt.parts.ctx, out);
}

void serve_metrics(Call *c)
{
    c->out_type = SV("text/plain; version=0.0.4; charset=utf-8");
    metrics_text(c, &c->out);
}
