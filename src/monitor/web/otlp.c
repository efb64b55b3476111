/* otlp.c - /api/v1/otlp/v1/metrics: OpenTelemetry's metrics into the database. What can be stored
 * is; what cannot is told in a partial success, or with 400 when nothing could. */
#include "base/log.h"
#include "codec/gzip.h"
#include "monitor/otlp/otlp.h"
#include "monitor/web/internal.h"

enum { DECODED_MAX = 256 << 20, AHEAD_MS = 10 * 60 * 1000 };

typedef struct Otel {
    Call *call;
    TsdbAppender *app;
    int64_t latest;
} Otel;

static bool labels_valid(Labels l)
{
    for (unsigned i = 0; i < l.len; i++)
        if (!l.items[i].name.len || !sv_is_utf8(l.items[i].name) || !sv_is_utf8(l.items[i].value))
            return false;
    return true;
}

static int refuse(const OtlpSample *s, const char *why, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    labels_format_set(s->labels, &text);
    err_set(err, ERR_INVALID, 0, "%s for series %.*s", why, SV_FMT(sv_head(buf_view(&text), 300)));
    return 0;
}

static int take_exemplars(Otel *o, const OtlpSample *s, SeriesRef ref, Err *err)
{
    for (unsigned i = 0; ref && i < s->n_exemplars; i++) {
        Exemplar e = s->exemplars[i];
        e.t = e.t ? e.t : s->t;
        if (!labels_valid(e.labels))
            continue;
        AppendResult r = tsdb_append_exemplar(o->app, ref, &e, err);
        if (r == APPEND_FAILED)
            return err->code ? -(int)err->code : err_nomem(err);
        o->call->counts.otlp_exemplars_refused += r != APPEND_OK && r != APPEND_DUPLICATE;
        err_clear(err); /* an exemplar that is not taken is no failure */
    }
    return 0;
}

static bool is_described(const MetricMetadata *m)
{
    return m->unit.len || m->help.len || (m->type.len && !sv_eq(m->type, SV("unknown")));
}

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    Otel *o = ctx;
    SeriesRef ref = 0;
    if (!labels_valid(s->labels))
        return refuse(s, "invalid labels", err);
    if (s->t > o->latest)
        return refuse(s, "out of bounds: timestamp is too far in the future", err);
    AppendResult r = s->h ? tsdb_append_histogram(o->app, &ref, s->labels, s->t, s->h, err)
                          : tsdb_append(o->app, &ref, s->labels, s->t, s->v, err);
    if (r == APPEND_FAILED)
        return err->code ? -(int)err->code : err_nomem(err);
    if (r != APPEND_OK)
        return refuse(s, r == APPEND_INVALID && err->msg[0] ? err->msg : append_result_text(r),
                      err);
    o->call->counts.otlp_without_metadata += !is_described(&s->metadata);
    int x = take_exemplars(o, s, ref, err);
    if (x == 0 && o->call->web->opt.metadata_in_log &&
        tsdb_append_metadata(o->app, ref, &s->metadata, err) == APPEND_FAILED)
        x = err->code ? -(int)err->code : err_nomem(err);
    return x < 0 ? x : 1;
}

/* ---- the request ---- */

typedef struct OtlpBody {
    StrView message;
    bool is_json; /* as it came */
    Buf plain, protobuf;
} OtlpBody;

/* The message, plain, as protobuf. False: refused, and answered. */
static bool take_body(Call *c, OtlpBody *b)
{
    StrView type, rest;
    Err err = { 0 };
    int r = 0;
    sv_cut(c->content_type, ';', &type, &rest);
    type = sv_trim(type);
    b->is_json = sv_eq_nocase(type, SV("application/json"));
    if (!b->is_json && !sv_eq_nocase(type, SV("application/x-protobuf"))) {
        call_text(c, 400,
                  "unsupported content type: %.*s, supported: [application/json, "
                  "application/x-protobuf]\n",
                  SV_FMT(c->content_type));
        return false;
    }
    if (c->content_encoding.len && !sv_eq_nocase(c->content_encoding, SV("gzip"))) {
        call_text(c, 400,
                  "unsupported compression: %.*s. Only \"gzip\" or no compression supported\n",
                  SV_FMT(c->content_encoding));
        return false;
    }
    b->message = c->body;
    if (c->content_encoding.len) {
        r = gunzip(c->body, DECODED_MAX, &b->plain, &err);
        b->message = buf_view(&b->plain);
    }
    if (r == 0 && b->is_json) {
        r = otlp_from_json(b->message, &b->protobuf, &err);
        b->message = buf_view(&b->protobuf);
    }
    if (r < 0)
        call_text(c, err.code == ERR_NOMEM ? 500 : 400, "%s\n", err.msg);
    return r == 0;
}

static void answer(Call *c, const OtlpOutcome *out, bool json)
{
    if (out->rejected && out->rejected >= out->points) {
        call_text(c, 400, "%.*s\n", SV_FMT(buf_view(&out->reasons)));
        return;
    }
    c->out_type = json ? SV("application/json") : SV("application/x-protobuf");
    otlp_put_response(out, json, &c->out);
}

static void translate(Call *c, const OtlpBody *b)
{
    Err err = { 0 };
    OtlpOutcome out;
    Otel o = { .call = c, .latest = clock_real_ns() / NSEC_PER_MSEC + AHEAD_MS };
    const OtlpOptions options = { .cfg = &c->config->otlp,
                                  .external = { 0 },
                                  .allow_delta = c->web->opt.otlp_delta,
                                  .deltas = c->web->deltas,
                                  .fn = on_sample,
                                  .ctx = &o };
    int r = tsdb_appender_new(call_db(c), &o.app, &err);
    if (r < 0) {
        call_text(c, 500, "%s\n", err.msg);
        return;
    }
    r = otlp_translate(&options, b->message, &out, &err);
    if (r == 0)
        r = tsdb_appender_commit(TAKE_PTR(o.app), &err);
    tsdb_appender_rollback(o.app);
    if (r == 0) {
        answer(c, &out, b->is_json);
    } else {
        bool bad = err.code == ERR_INVALID || err.code == ERR_LIMIT;
        if (!bad)
            log_error("OTLP: %s", err.msg);
        call_text(c, bad ? 400 : 500, "%s\n", err.msg);
    }
    otlp_outcome_free(&out);
}

void serve_otlp(Call *c)
{
    OtlpBody b = { 0 };
    if (!c->web->opt.otlp || !c->config) {
        call_text(c, 404,
                  "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n");
        return;
    }
    if (take_body(c, &b))
        translate(c, &b);
    buf_free(&b.plain);
    buf_free(&b.protobuf);
}
