/* api_query.c - /api/v1/query, query_range, format_query, parse_query and query_exemplars. */
#include <arpa/inet.h>

#include "monitor/web/internal.h"

enum { POINTS_MAX = 11000, NOTES_MAX = 10 };

/* ---- evaluation ---- */

static ApiError error_type(PromqlErrorType t)
{
    switch (t) {
    case PROMQL_BAD_DATA:
        return API_BAD_DATA;
    case PROMQL_TIMEOUT:
        return API_TIMEOUT;
    case PROMQL_CANCELED:
        return API_CANCELED;
    case PROMQL_INTERNAL:
        return API_INTERNAL;
    default:
        return API_EXECUTION;
    }
}

/* The time a query waited for its thread counts against its timeout. */
static bool query_options(Call *c, PromqlOptions *ret)
{
    int64_t ms;
    *ret = c->web->opt.promql;
    ret->max_annotations = NOTES_MAX;
    if (call_param(c, SV("timeout")).len) {
        if (!call_duration(c, SV("timeout"), &ms))
            return false;
        ret->timeout_ms = ret->timeout_ms ? MIN(ret->timeout_ms, MAX(ms, 1)) : MAX(ms, 1);
    }
    if (call_param(c, SV("lookback_delta")).len) {
        if (!call_duration(c, SV("lookback_delta"), &ms))
            return false;
        ret->lookback_ms = ms > 0 ? ms : ret->lookback_ms;
    }
    if (ret->timeout_ms) {
        ret->timeout_ms -= (clock_mono_ns() - c->started_ns) / NSEC_PER_MSEC;
        if (ret->timeout_ms <= 0)
            return api_error(c, API_TIMEOUT, "query timed out in query queue");
    }
    return true;
}

static void put_per_step(Buf *out, const char *name, const PromqlStats *s, const uint64_t *counts)
{
    buf_printf(out, "\"%s\":[", name);
    for (unsigned i = 0; i < s->steps; i++) {
        buf_sv(out, i ? SV(",[") : SV("["));
        json_put_time(out, s->start + (int64_t)i * s->step);
        buf_putc(out, ',');
        buf_u64(out, counts[i]);
        buf_putc(out, ']');
    }
    buf_sv(out, SV("],"));
}

/* Those of each step with stats=all, and only behind the feature flag, as in Prometheus. */
static void put_stats(Call *c, const PromqlStats *s, bool per_step)
{
    Buf *out = &c->out;
    buf_sv(out, SV(",\"stats\":{"));
    promql_put_timings(s, out);
    buf_sv(out, SV(",\"samples\":{"));
    if (per_step)
        put_per_step(out, "totalQueryableSamplesPerStep", s, s->scanned_at);
    buf_sv(out, SV("\"totalQueryableSamples\":"));
    buf_u64(out, s->samples_scanned);
    buf_putc(out, ',');
    if (per_step)
        put_per_step(out, "samplesReadPerStep", s, s->read_at);
    buf_sv(out, SV("\"samplesRead\":"));
    buf_u64(out, s->samples_read);
    buf_sv(out, SV(",\"peakSamples\":"));
    buf_u64(out, s->peak_samples);
    buf_sv(out, SV("}}"));
}

static void answer(Call *c, const PromqlResult *r, int64_t limit)
{
    StrView warnings[2];
    unsigned n = 0;
    bool cut;
    StrView stats = call_param(c, SV("stats"));
    api_begin(c);
    buf_printf(&c->out, "{\"resultType\":\"%s\",\"result\":", promql_type_name(r->type));
    json_put_result(&c->out, r, (size_t)limit, &cut);
    if (stats.len)
        put_stats(c, &r->stats,
                  sv_eq(stats, SV("all")) &&
                      (c->web->opt.promql.features & PROMQL_PER_STEP_STATS) != 0);
    buf_putc(&c->out, '}');
    if (cut)
        warnings[n++] = API_TRUNCATED;
    if (stats.len && !sv_eq(stats, SV("true")) && !sv_eq(stats, SV("all")))
        warnings[n++] = arena_printf(
            &c->arena,
            "value \"%.*s\" for parameter \"stats\" is deprecated and will be rejected in the next "
            "major release, use \"true\" or \"all\"",
            SV_FMT(stats));
    api_end(c, r->annotations, r->n_annotations, warnings, n);
}

/* A querier without bounds: selectors narrow it themselves, by offset, @ and lookback. */
/* For the log: "httpRequest":{…}. */
static StrView origin_of(Call *c)
{
    char address[INET6_ADDRSTRLEN] = "";
    bool v4 = memcmp(c->turn.client, client_v4, sizeof client_v4) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, c->turn.client + (v4 ? sizeof client_v4 : 0), address,
              sizeof address);
    return arena_printf(&c->arena,
                        "\"httpRequest\":{\"clientIP\":\"%s\",\"method\":\"%s\",\"path\":\"%.*s\"}",
                        address, c->method == METHOD_POST ? "POST" : "GET", SV_FMT(c->route->path));
}

static void evaluate(Call *c, PromqlQuery *q, int64_t limit)
{
    PromqlOptions opts;
    PromqlResult r = { 0 };
    CallQuerier querier;
    Err err = { 0 };
    if (!query_options(c, &opts))
        return;
    if (call_querier(c, INT64_MIN, INT64_MAX, &querier, &err) < 0) {
        api_error_from(c, &err);
        return;
    }
    q->text = call_param(c, SV("query"));
    q->cancel = &c->cancel;
    q->stats = call_param(c, SV("stats")).len > 0;
    q->waited_ns = c->begun_ns - c->started_ns;
    q->origin = origin_of(c);
    int failed = promql_query(&opts, querier.q, q, &r, &err);
    if (failed == 0)
        answer(c, &r, limit);
    else if (r.error_type == PROMQL_BAD_DATA)
        api_error_invalid(c, SV("query"), "%s", err.msg);
    else
        api_error(c, error_type(r.error_type), "%s", err.msg);
    promql_result_free(&r);
    call_querier_free(&querier);
}

void serve_query(Call *c)
{
    PromqlQuery q = { 0 };
    int64_t limit;
    if (call_limit(c, &limit) &&
        call_time(c, SV("time"), clock_real_ns() / NSEC_PER_MSEC, &q.start))
        evaluate(c, &q, limit);
}

void serve_query_range(Call *c)
{
    PromqlQuery q = { .range = true };
    int64_t limit;
    if (!call_limit(c, &limit) || !call_time_needed(c, SV("start"), &q.start) ||
        !call_time_needed(c, SV("end"), &q.end))
        return;
    if (q.end < q.start) {
        api_error_invalid(c, SV("end"), "end timestamp must not be before start time");
        return;
    }
    if (!call_duration(c, SV("step"), &q.step))
        return;
    if (q.step <= 0)
        api_error_invalid(c, SV("step"),
                          "zero or negative query resolution step widths are not accepted. Try a "
                          "positive integer");
    else if (((uint64_t)q.end - (uint64_t)q.start) / (uint64_t)q.step > POINTS_MAX)
        api_error(c, API_BAD_DATA,
                  "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
                  "query resolution (?step=XX)");
    else
        evaluate(c, &q, limit);
}

/* ---- expressions ---- */

static bool parse(Call *c, PromqlExpr **ret)
{
    Err err = { 0 };
    if (promql_parse(call_param(c, SV("query")), c->web->opt.promql.features, &c->arena, ret,
                     &err) == 0)
        return true;
    return api_error_invalid(c, SV("query"), "%s", err.msg);
}

void serve_format_query(Call *c)
{
    PromqlExpr *e;
    _cleanup_buf_ Buf text = BUF_INIT;
    if (!parse(c, &e))
        return;
    promql_format(e, true, &text);
    promql_expr_free(e);
    api_begin(c);
    json_put_text(&c->out, buf_view(&text));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_parse_query(Call *c)
{
    PromqlExpr *e;
    if (!parse(c, &e))
        return;
    api_begin(c);
    promql_tree_json(e, &c->out);
    promql_expr_free(e);
    api_end(c, NULL, 0, NULL, 0);
}

/* ---- exemplars ---- */

typedef struct Selectors {
    Arena *arena;
    MatcherSet *sets;
    unsigned len;
    bool failed;
} Selectors;

static void add_selector(void *ctx, const Matcher *ms, unsigned n)
{
    Selectors *s = ctx;
    MatcherSet *more =
        arena_realloc(s->arena, s->sets, s->len * sizeof *more, (s->len + 1) * sizeof *more);
    if (!more) {
        s->failed = true;
        return;
    }
    s->sets = more;
    s->sets[s->len++] = (MatcherSet){ ms, n };
}

static void put_exemplars(Call *c, const ExemplarSeries *series, size_t n)
{
    api_begin(c);
    buf_putc(&c->out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_sv(&c->out, i ? SV(",{\"seriesLabels\":") : SV("{\"seriesLabels\":"));
        json_put_labels(&c->out, series[i].labels);
        buf_sv(&c->out, SV(",\"exemplars\":["));
        for (size_t j = 0; j < series[i].len; j++) {
            const Exemplar *e = &series[i].items[j];
            buf_sv(&c->out, j ? SV(",{\"labels\":") : SV("{\"labels\":"));
            json_put_labels(&c->out, e->labels);
            buf_sv(&c->out, SV(",\"value\":"));
            json_put_double(&c->out, e->value);
            buf_sv(&c->out, SV(",\"timestamp\":"));
            json_put_time(&c->out, e->t);
            buf_putc(&c->out, '}');
        }
        buf_sv(&c->out, SV("]}"));
    }
    buf_putc(&c->out, ']');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_query_exemplars(Call *c)
{
    int64_t start, end;
    PromqlExpr *e;
    Err err = { 0 };
    ExemplarSeries *series = NULL;
    size_t n = 0;
    Selectors s = { .arena = &c->arena };
    if (!call_time(c, SV("start"), CALL_TIME_MIN, &start) ||
        !call_time(c, SV("end"), CALL_TIME_MAX, &end))
        return;
    if (end < start) {
        api_error(c, API_BAD_DATA, "end timestamp must not be before start timestamp");
        return;
    }
    if (promql_parse(call_param(c, SV("query")), c->web->opt.promql.features, &c->arena, &e, &err) <
        0) {
        api_error(c, API_BAD_DATA, "%s", err.msg);
        return;
    }
    promql_expr_selectors(e, add_selector, &s);
    if (s.failed)
        api_error(c, API_INTERNAL, "out of memory");
    else if (s.len == 0)
        c->status = 204;
    else if (tsdb_exemplars(call_db(c), start, end, s.sets, s.len, &c->arena, &series, &n, &err) <
             0)
        api_error(c, API_EXECUTION, "%s", err.msg);
    else
        put_exemplars(c, series, n);
    promql_expr_free(e);
}
