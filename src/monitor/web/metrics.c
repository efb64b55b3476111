/* metrics.c - /metrics: the monitor's own, under the names that Prometheus gives them. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/file.h"
#include "monitor/model/metric_text.h"
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
          s.running + s.waiting + w->queues[CALL_QUERY].waiting);
    GAUGE("prometheus_engine_queries_concurrent_max", "The most queries that run at once.",
          s.slots);
    metric_head(out, times, "summary", "Query timings.");
    for (size_t i = 0; i < ARRAY_SIZE(slices); i++)
        timing_put_summary(slices[i].t, times, slices[i].label, quantiles, ARRAY_SIZE(quantiles),
                           out);
}

static void put_tsdb_upkeep(Buf *out, const TsdbStats *s)
{
    COUNTER("prometheus_tsdb_head_series_created_total", "Series made in the head.",
            s->series_created);
    COUNTER("prometheus_tsdb_head_series_removed_total", "Series that left the head.",
            s->series_removed);
    COUNTER("prometheus_tsdb_head_chunks_created_total", "Chunks made in the head.",
            s->chunks_created);
    COUNTER("prometheus_tsdb_head_chunks_removed_total", "Chunks that left the head.",
            s->chunks_removed);
    COUNTER("prometheus_tsdb_head_truncations_total", "Times that old samples left the head.",
            s->truncations);
    COUNTER("prometheus_tsdb_checkpoint_creations_total", "Checkpoints of the log, tried.",
            s->checkpoints + s->checkpoints_failed);
    COUNTER("prometheus_tsdb_checkpoint_creations_failed_total",
            "Checkpoints of the log that failed.", s->checkpoints_failed);
    COUNTER("prometheus_tsdb_time_retentions_total", "Times that blocks went for their age.",
            s->time_retentions);
    COUNTER("prometheus_tsdb_size_retentions_total", "Times that blocks went for their size.",
            s->size_retentions);
    GAUGE("prometheus_tsdb_retention_limit_bytes", "Bytes that are kept at most; 0: no limit.",
          s->retention_bytes);
    GAUGE("prometheus_tsdb_retention_limit_seconds", "How long samples are kept; 0: no limit.",
          s->retention_ms / 1000);
}

static void put_tsdb(Buf *out, const TsdbStats *s)
{
    static const struct {
        AppendResult reason;
        const char *name, *help;
    } rejected[] = {
        { APPEND_OUT_OF_ORDER, "prometheus_tsdb_out_of_order_samples_total",
          "Samples refused as older than the newest of their series." },
        { APPEND_OUT_OF_BOUNDS, "prometheus_tsdb_out_of_bound_samples_total",
          "Samples refused as before what the head can take." },
        { APPEND_TOO_OLD, "prometheus_tsdb_too_old_samples_total",
          "Samples refused as beyond the out-of-order window." },
    };
    GAUGE("prometheus_tsdb_head_series", "Series in the head block.", s->series);
    GAUGE("prometheus_tsdb_head_chunks", "Chunks in the head block.", s->chunks);
    GAUGE("prometheus_tsdb_head_min_time", "Lowest time in the head block, in ms.", s->min_time);
    GAUGE("prometheus_tsdb_head_max_time", "Highest time in the head block, in ms.", s->max_time);
    GAUGE("prometheus_tsdb_head_min_time_seconds", "Lowest time in the head block.",
          s->min_time / 1000);
    GAUGE("prometheus_tsdb_head_max_time_seconds", "Highest time in the head block.",
          s->max_time / 1000);
    GAUGE("prometheus_tsdb_lowest_timestamp", "Lowest time in the database, in ms.",
          s->lowest_time);
    GAUGE("prometheus_tsdb_lowest_timestamp_seconds", "Lowest time in the database.",
          s->lowest_time / 1000);
    metric_head(out, "prometheus_tsdb_head_samples_appended_total", "counter", "Samples appended.");
    for (unsigned i = 0; i < 2; i++) {
        buf_printf(out, "prometheus_tsdb_head_samples_appended_total{type=\"%s\"}",
                   i ? "histogram" : "float");
        metric_value(out, (double)s->samples_appended[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rejected); i++) {
        metric_head(out, rejected[i].name, "counter", rejected[i].help);
        buf_printf(out, "%s{type=\"float\"}", rejected[i].name);
        metric_value(out, (double)s->rejected[rejected[i].reason]);
    }
    put_tsdb_upkeep(out, s);
    GAUGE("prometheus_tsdb_blocks_loaded", "Blocks that are open.", s->blocks);
    GAUGE("prometheus_tsdb_storage_blocks_bytes", "Bytes of all blocks.", s->block_bytes);
    GAUGE("prometheus_tsdb_wal_storage_size_bytes", "Bytes of the write-ahead log.", s->wal_bytes);
    GAUGE("prometheus_tsdb_wal_segment_current", "The log's newest segment.", s->wal_segment);
    COUNTER("prometheus_tsdb_wal_corruptions_total", "Damages found in the log.",
            s->wal_corruptions);
    COUNTER("prometheus_tsdb_compactions_total", "Compactions that were done.", s->compactions);
    COUNTER("prometheus_tsdb_compactions_failed_total", "Compactions that failed.",
            s->compactions_failed);
    COUNTER("prometheus_tsdb_reloads_total", "Times that the list of blocks was read.", s->reloads);
    COUNTER("prometheus_tsdb_reloads_failures_total", "Blocks that could not be loaded.",
            s->reloads_failed);
    GAUGE("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars that are kept.",
          s->exemplars);
    GAUGE("prometheus_tsdb_exemplar_max_exemplars", "The most exemplars that are kept.",
          s->exemplars_max);
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
    GAUGE("prometheus_api_remote_read_queries", "Remote reads that are being answered or wait.",
          w->queues[CALL_READ].running + w->queues[CALL_READ].waiting);
}

/* ---- the process, from /proc ---- */

static uint64_t open_fds(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n > 3 ? n - 3 : 0; /* without ".", ".." and the folder itself */
}

/* Field `n` (from 1) of /proc/self/stat, behind the name in parentheses. */
static double stat_field(StrView stat, unsigned n)
{
    ssize_t end = sv_rfind_char(stat, ')');
    StrView rest = end < 0 ? stat : sv_skip(stat, (size_t)end + 2), piece;
    double v = 0;
    for (unsigned i = 3; sv_next(&rest, ' ', &piece); i++)
        if (i == n)
            return sv_to_double(piece, &v) < 0 ? 0 : v;
    return 0;
}

static void put_process(Buf *out, const Web *w)
{
    enum { STAT_VSIZE = 23, STAT_RSS = 24, STAT_MAX = 4096 };
    _cleanup_buf_ Buf stat = BUF_INIT;
    struct rusage u = { 0 };
    struct rlimit fds = { 0 }, memory = { 0 };
    getrusage(RUSAGE_SELF, &u);
    getrlimit(RLIMIT_NOFILE, &fds);
    getrlimit(RLIMIT_AS, &memory);
    if (file_read(AT_FDCWD, "/proc/self/stat", STAT_MAX, &stat) < 0)
        buf_clear(&stat);
    COUNTER("process_cpu_seconds_total", "User and system CPU time in seconds.",
            (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    GAUGE("process_open_fds", "Open file descriptors.", open_fds());
    GAUGE("process_max_fds", "The most file descriptors that may be open.", fds.rlim_cur);
    GAUGE("process_virtual_memory_bytes", "Virtual memory in bytes.",
          stat_field(buf_view(&stat), STAT_VSIZE));
    GAUGE("process_virtual_memory_max_bytes", "The most virtual memory in bytes; -1: no limit.",
          memory.rlim_cur == RLIM_INFINITY ? -1 : (double)memory.rlim_cur);
    GAUGE("process_resident_memory_bytes", "Resident memory in bytes.",
          stat_field(buf_view(&stat), STAT_RSS) * (double)sysconf(_SC_PAGESIZE));
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
        put_tsdb(out, &s);
    put_engine(out, w);
    put_http(out, w);
    put_connections(out, w);
    COUNTER("prometheus_api_remote_write_invalid_labels_samples_total",
            "Samples of remote writes refused for their labels.", w->invalid_labels);
    COUNTER("prometheus_api_remote_write_without_metadata_appended_samples_total",
            "Samples of remote writes stored without metadata.", w->without_metadata);
    if (w->opt.otlp)
        put_otlp(out, w);
    COUNTER("prometheus_web_federation_errors_total", "Federation responses that failed.",
            w->federation_errors);
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
