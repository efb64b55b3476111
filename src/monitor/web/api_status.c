/* api_status.c - /api/v1/status/…. */
#include <unistd.h>

#include "base/proc.h"
#include "monitor/web/internal.h"

enum { TOP_DEFAULT = 10, TOP_MAX = 10000 };

static void put_member(Buf *out, bool first, const char *name, StrView value)
{
    buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
    json_put_text(out, value);
}

void serve_status_config(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    _cleanup_buf_ Buf yaml = BUF_INIT;
    if (p->config)
        p->config(p->ctx, &yaml);
    api_begin(c);
    buf_sv(&c->out, SV("{\"yaml\":"));
    json_put_text(&c->out, buf_view(&yaml));
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_status_flags(Call *c)
{
    const WebOptions *o = &c->web->opt;
    api_begin(c);
    buf_putc(&c->out, '{');
    for (unsigned i = 0; i < o->n_flags; i++) {
        if (i)
            buf_putc(&c->out, ',');
        json_put_text(&c->out, o->flags[i].name);
        buf_putc(&c->out, ':');
        json_put_text(&c->out, o->flags[i].value);
    }
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

/* The members that speak of Go's runtime have the value that stands for one thread and no garbage
 * collector. */
void serve_status_runtime(Call *c)
{
    Web *w = c->web;
    TsdbStats s = { 0 };
    Err err = { 0 };
    char started[RFC3339_SIZE], reloaded[RFC3339_SIZE], cwd[4096] = "", host[256] = "";
    if (tsdb_stats(web_db(w), 0, &c->arena, &s, &err) < 0) {
        api_error_from(c, &err);
        return;
    }
    if (!getcwd(cwd, sizeof cwd))
        cwd[0] = 0;
    gethostname(host, sizeof host - 1);
    api_begin(c);
    Buf *out = &c->out;
    buf_putc(out, '{');
    put_member(out, true, "startTime", sv_cstr(rfc3339_format_nano(w->started_ns, started)));
    put_member(out, false, "CWD", sv_cstr(cwd));
    put_member(out, false, "hostname", sv_cstr(host));
    put_member(out, false, "serverTime", sv_cstr(rfc3339_format_nano(clock_real_ns(), reloaded)));
    buf_printf(out, ",\"reloadConfigSuccess\":%s", w->reload_ok ? "true" : "false");
    put_member(out, false, "lastConfigTime", sv_cstr(rfc3339_format(w->reload_ok_ns, 0, reloaded)));
    buf_printf(out, ",\"corruptionCount\":%llu,\"goroutineCount\":%u,\"GOMAXPROCS\":%ld",
               (unsigned long long)s.wal_corruptions, 1 + w->in_flight,
               sysconf(_SC_NPROCESSORS_ONLN));
    buf_sv(out, SV(",\"GOMEMLIMIT\":0,\"GOGC\":\"\",\"GODEBUG\":\"\""));
    put_member(out, false, "storageRetention", w->opt.retention);
    buf_putc(out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_status_build(Call *c)
{
    api_begin(c);
    buf_sv(&c->out,
           SV("{\"version\":\"" PROMETHEUS_VERSION "\",\"revision\":\"knarr-" KNARR_VERSION
              "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}"));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_version(Call *c)
{
    buf_sv(&c->out,
           SV("{\"version\":\"" PROMETHEUS_VERSION "\",\"revision\":\"knarr-" KNARR_VERSION
              "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}\n"));
    c->out_type = SV("application/json");
}

static void put_top(Buf *out, const char *name, const TsdbStat *s, size_t n)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        buf_sv(out, i ? SV(",{\"name\":") : SV("{\"name\":"));
        json_put_text(out, s[i].name);
        buf_sv(out, SV(",\"value\":"));
        buf_u64(out, s[i].value);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

void serve_status_tsdb(Call *c)
{
    int64_t top = TOP_DEFAULT;
    TsdbStats s = { 0 };
    Err err = { 0 };
    StrView limit = call_param(c, SV("limit"));
    if (limit.len && (sv_to_i64(limit, &top) < 0 || top < 1)) {
        api_error(c, API_BAD_DATA, "limit must be a positive number");
        return;
    }
    if (top > TOP_MAX) {
        api_error(c, API_BAD_DATA, "limit must not exceed %d", TOP_MAX);
        return;
    }
    if (tsdb_stats(call_db(c), (unsigned)top, &c->arena, &s, &err) < 0) {
        api_error_from(c, &err);
        return;
    }
    api_begin(c);
    buf_sv(&c->out, SV("{\"headStats\":{\"numSeries\":"));
    buf_u64(&c->out, s.series);
    buf_sv(&c->out, SV(",\"numLabelPairs\":"));
    buf_u64(&c->out, s.label_pairs);
    buf_sv(&c->out, SV(",\"chunkCount\":"));
    buf_u64(&c->out, s.chunks);
    buf_sv(&c->out, SV(",\"minTime\":"));
    buf_i64(&c->out, s.min_time);
    buf_sv(&c->out, SV(",\"maxTime\":"));
    buf_i64(&c->out, s.max_time);
    buf_putc(&c->out, '}');
    put_top(&c->out, "seriesCountByMetricName", s.series_by_metric, s.n_series_by_metric);
    put_top(&c->out, "labelValueCountByLabelName", s.values_by_label, s.n_values_by_label);
    put_top(&c->out, "memoryInBytesByLabelName", s.bytes_by_label, s.n_bytes_by_label);
    put_top(&c->out, "seriesCountByLabelValuePair", s.series_by_pair, s.n_series_by_pair);
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_status_blocks(Call *c)
{
    Err err = { 0 };
    api_begin(c);
    buf_sv(&c->out, SV("{\"blocks\":"));
    if (tsdb_blocks_json(call_db(c), &c->out, &err) < 0) {
        api_error(c, API_INTERNAL, "error getting block metadata: %s", err.msg);
        return;
    }
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

/* The log is replayed in one go: there is nothing before it and all of it after it. */
void serve_status_replay(Call *c)
{
    TsdbStats s = { 0 };
    Tsdb *db = web_db(c->web);
    if (db && tsdb_stats(db, 0, &c->arena, &s, NULL) < 0)
        s.wal_segment = 0;
    api_begin(c);
    buf_printf(&c->out, "{\"min\":0,\"max\":%llu,\"current\":%llu}",
               (unsigned long long)s.wal_segment, (unsigned long long)s.wal_segment);
    api_end(c, NULL, 0, NULL, 0);
}
