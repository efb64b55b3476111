/* otlp.c - /api/v1/otlp/v1/metrics: OpenTelemetry's metrics into the database. What can be stored
 * is; what cannot is told in a partial success, or with 400 when nothing could. */
#include <zlib.h>

#include "base/log.h"
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

static int inflate_body(StrView in, Buf *out, Err *err)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    int r = Z_OK;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return err_nomem(err);
    out->limit = DECODED_MAX;
    while (r == Z_OK && buf_reserve(out, 64 * 1024)) {
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = 64 * 1024;
        r = inflate(&z, Z_NO_FLUSH);
        out->len += 64 * 1024 - z.avail_out;
    }
    inflateEnd(&z);
    if (out->failed)
        return err_set(err, ERR_LIMIT, 0, "the message is larger than %d bytes", DECODED_MAX);
    return r == Z_STREAM_END ? 0 : err_set(err, ERR_INVALID, 0, "gzip: invalid data");
}

/* The message, plain. False: refused, and answered. */
static bool take_body(Call *c, Buf *plain, StrView *ret)
{
    StrView type, rest;
    Err err = { 0 };
    sv_cut(c->content_type, ';', &type, &rest);
    type = sv_trim(type);
    if (!sv_eq_nocase(type, SV("application/x-protobuf"))) {
        call_text(c, sv_eq_nocase(type, SV("application/json")) ? 415 : 400,
                  "unsupported content type: %.*s, supported: [application/x-protobuf]\n",
                  SV_FMT(c->content_type));
        return false;
    }
    *ret = c->body;
    if (!c->content_encoding.len)
        return true;
    if (!sv_eq_nocase(c->content_encoding, SV("gzip"))) {
        call_text(c, 400,
                  "unsupported compression: %.*s. Only \"gzip\" or no compression supported\n",
                  SV_FMT(c->content_encoding));
        return false;
    }
    if (inflate_body(c->body, plain, &err) < 0) {
        call_text(c, 400, "%s\n", err.msg);
        return false;
    }
    *ret = buf_view(plain);
    return true;
}

static void answer(Call *c, const OtlpOutcome *out)
{
    if (out->rejected && out->rejected >= out->points) {
        call_text(c, 400, "%.*s\n", SV_FMT(buf_view(&out->reasons)));
        return;
    }
    c->out_type = SV("application/x-protobuf");
    otlp_put_response(out, &c->out);
}

void serve_otlp(Call *c)
{
    _cleanup_buf_ Buf plain = BUF_INIT;
    StrView message;
    Err err = { 0 };
    OtlpOutcome out;
    Otel o = { .call = c, .latest = clock_real_ns() / NSEC_PER_MSEC + AHEAD_MS };
    if (!c->web->opt.otlp || !c->config) {
        call_text(c, 404,
                  "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n");
        return;
    }
    if (!take_body(c, &plain, &message))
        return;
    const OtlpOptions options = { .cfg = &c->config->otlp,
                                  .external = { 0 },
                                  .allow_delta = c->web->opt.otlp_delta,
                                  .fn = on_sample,
                                  .ctx = &o };
    int r = tsdb_appender_new(call_db(c), &o.app, &err);
    if (r < 0) {
        call_text(c, 500, "%s\n", err.msg);
        return;
    }
    r = otlp_translate(&options, message, &out, &err);
    if (r == 0)
        r = tsdb_appender_commit(TAKE_PTR(o.app), &err);
    tsdb_appender_rollback(o.app);
    if (r == 0) {
        answer(c, &out);
    } else {
        bool bad = err.code == ERR_INVALID || err.code == ERR_LIMIT;
        if (!bad)
            log_error("OTLP: %s", err.msg);
        call_text(c, bad ? 400 : 500, "%s\n", err.msg);
    }
    otlp_outcome_free(&out);
}
