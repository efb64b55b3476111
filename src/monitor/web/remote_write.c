/* remote_write.c - /api/v1/write: remote write 1.0 and 2.0.
 *
 * A sample that the database cannot take (out of order, a doubled time) makes the answer 400 with
 * Prometheus' sentence, so that it is not sent again; all others are stored. What is answered with
 * 2xx or 400 has been committed. */
#include <errno.h>
#include <snappy-c.h>

#include "base/log.h"
#include "monitor/web/internal.h"
#include "monitor/remote/remote_message.h"

enum {
    DECODED_MAX = 256 << 20,
    AHEAD_MS = 10 * 60 * 1000, /* samples may be so far in the future */
    REASONS_MAX = 10,          /* sentences in an answer */
};

typedef struct Write {
    Call *call;
    TsdbAppender *app;
    bool v2;
    int64_t latest;
    Buf reasons;
    unsigned n_reasons;
    uint64_t samples, histograms, exemplars; /* written */
    Err *err;
} Write;

/* ---- one series ---- */

static void refuse(Write *w, const char *why, Labels l)
{
    if (w->n_reasons++ >= REASONS_MAX || (!w->v2 && w->n_reasons > 1))
        return;
    if (w->reasons.len)
        buf_putc(&w->reasons, '\n');
    buf_sv(&w->reasons, sv_cstr(why));
    if (w->v2) {
        buf_sv(&w->reasons, SV(" for series "));
        labels_format_set(l, &w->reasons);
    }
}

static bool labels_valid(Labels l)
{
    if (labels_get(l, LABEL_METRIC_NAME).len == 0)
        return false;
    for (unsigned i = 0; i < l.len; i++)
        if (l.items[i].name.len == 0 || l.items[i].name.len > LABEL_TEXT_MAX ||
            l.items[i].value.len > LABEL_TEXT_MAX || !sv_is_utf8(l.items[i].name) ||
            !sv_is_utf8(l.items[i].value))
            return false;
    return true;
}

/* 0: stored or refused; negative: the batch cannot go on. */
static int judge(Write *w, AppendResult r, Labels l, uint64_t *written)
{
    if (r == APPEND_OK)
        (*written)++;
    else if (r == APPEND_FAILED)
        return w->err->code ? -(int)w->err->code : err_nomem(w->err);
    else if (r == APPEND_INVALID && w->err->msg[0])
        refuse(w, w->err->msg, l);
    else
        refuse(w, append_result_text(r), l);
    err_clear(w->err);
    return 0;
}

/* Start times of 2.0: most were seen before, and are older than what is there. */
static void write_start(Write *w, const RemoteSeries *s, SeriesRef *ref, int64_t start, int64_t t,
                        const Histogram *h)
{
    if (!w->v2 || !w->call->web->opt.start_times || !start || !t || start >= t)
        return;
    (void)tsdb_append_zero(w->app, ref, s->labels, start, h, w->err);
    err_clear(w->err);
}

static int write_sample(Write *w, const RemoteSeries *s, SeriesRef *ref, const RemoteSample *x)
{
    write_start(w, s, ref, x->start, x->t, NULL);
    return judge(w, tsdb_append(w->app, ref, s->labels, x->t, x->v, w->err), s->labels,
                 &w->samples);
}

static int write_histogram(Write *w, const RemoteSeries *s, SeriesRef *ref,
                           const RemoteHistogram *x)
{
    if (histogram_validate(x->h, w->err) < 0)
        return judge(w, APPEND_INVALID, s->labels, &w->histograms);
    write_start(w, s, ref, x->start, x->t, x->h);
    return judge(w, tsdb_append_histogram(w->app, ref, s->labels, x->t, x->h, w->err), s->labels,
                 &w->histograms);
}

static int write_samples(Write *w, const RemoteSeries *s, SeriesRef *ref)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->samples.len; i++) {
        const RemoteSample *x = &s->samples.items[i];
        if (x->t > w->latest)
            refuse(w, "out of bounds: timestamp is too far in the future", s->labels);
        else
            r = write_sample(w, s, ref, x);
    }
    for (size_t i = 0; r == 0 && i < s->histograms.len; i++) {
        const RemoteHistogram *x = &s->histograms.items[i];
        if (x->t > w->latest)
            refuse(w, "out of bounds: timestamp is too far in the future", s->labels);
        else
            r = write_histogram(w, s, ref, x);
    }
    return r;
}

/* An exemplar that is not taken is no failure of 1.0. */
static int write_exemplars(Write *w, const RemoteSeries *s, SeriesRef ref)
{
    for (size_t i = 0; ref && i < s->exemplars.len; i++) {
        const Exemplar *e = &s->exemplars.items[i];
        AppendResult r =
            e->t > w->latest ? APPEND_OUT_OF_BOUNDS : tsdb_append_exemplar(w->app, ref, e, w->err);
        if (r == APPEND_OK)
            w->exemplars++;
        else if (r == APPEND_FAILED)
            return w->err->code ? -(int)w->err->code : err_nomem(w->err);
        else if (r == APPEND_OUT_OF_ORDER && w->v2)
            refuse(w, "out of order exemplar", s->labels);
        err_clear(w->err);
    }
    for (unsigned i = 0; i < s->exemplars_wrong; i++)
        refuse(w, "parsing exemplar: a reference to a symbol that is not there", s->labels);
    return 0;
}

static int write_metadata(Write *w, const RemoteSeries *s, SeriesRef ref)
{
    bool said = s->metadata.type.len || s->metadata.help.len || s->metadata.unit.len;
    if (!w->v2 || !ref || !said || !w->call->web->opt.metadata_in_log)
        return 0;
    if (tsdb_append_metadata(w->app, ref, &s->metadata, w->err) == APPEND_FAILED)
        return w->err->code ? -(int)w->err->code : err_nomem(w->err);
    err_clear(w->err);
    return 0;
}

static int write_series(Write *w, const RemoteSeries *s)
{
    SeriesRef ref = 0;
    if (s->labels_wrong || !labels_valid(s->labels)) {
        w->call->counts.invalid_labels += s->samples.len + s->histograms.len;
        refuse(w, s->labels_wrong ? s->labels_wrong : "invalid metric name or labels", s->labels);
        return 0;
    }
    if (w->v2 && s->samples.len == 0 && s->histograms.len == 0) {
        refuse(w, "TimeSeries must contain at least one sample or histogram", s->labels);
        return 0;
    }
    int r = write_samples(w, s, &ref);
    if (r == 0)
        r = write_exemplars(w, s, ref);
    return r == 0 ? write_metadata(w, s, ref) : r;
}

/* ---- the request ---- */

/* 0, or the status of a refusal, which was answered. */
static int negotiate(Call *c, bool *ret_v2)
{
    StrView type, rest, param;
    sv_cut(c->content_type, ';', &type, &rest);
    *ret_v2 = false;
    if (!sv_eq_nocase(sv_trim(type), SV("application/x-protobuf"))) {
        call_text(c, 415, "expected application/x-protobuf as the Content-Type, got '%.*s'\n",
                  SV_FMT(c->content_type));
        return c->status;
    }
    while (sv_next(&rest, ';', &param)) {
        StrView name, value;
        sv_cut(sv_trim(param), '=', &name, &value);
        if (!sv_eq(name, SV("proto")))
            continue;
        *ret_v2 = sv_eq(value, SV("io.prometheus.write.v2.Request"));
        if (!*ret_v2 && !sv_eq(value, SV("prometheus.WriteRequest"))) {
            call_text(c, 415, "unknown remote write protobuf message '%.*s'\n", SV_FMT(value));
            return c->status;
        }
    }
    const WebOptions *o = &c->web->opt;
    if (*ret_v2 ? o->refuse_write_v2 : o->refuse_write_v1) {
        call_text(c, 415, "the remote write message %s is not accepted by this server\n",
                  *ret_v2 ? "io.prometheus.write.v2.Request" : "prometheus.WriteRequest");
        return c->status;
    }
    if (c->content_encoding.len && !sv_eq_nocase(c->content_encoding, SV("snappy"))) {
        call_text(c, 415, "unsupported compression '%.*s'; only snappy is\n",
                  SV_FMT(c->content_encoding));
        return c->status;
    }
    return 0;
}

int remote_uncompress(StrView body, Buf *out, Err *err)
{
    size_t len;
    if (snappy_uncompressed_length(body.ptr, body.len, &len) != SNAPPY_OK)
        return err_set(err, ERR_INVALID, 0, "snappy: corrupt input");
    if (len > DECODED_MAX)
        return err_set(err, ERR_LIMIT, 0, "the message is larger than %d bytes", DECODED_MAX);
    if (!buf_reserve(out, len + 1))
        return err_nomem(err);
    if (snappy_uncompress(body.ptr, body.len, out->ptr, &len) != SNAPPY_OK)
        return err_set(err, ERR_INVALID, 0, "snappy: corrupt input");
    out->len = len;
    return 0;
}

static int write_all(Write *w, StrView message)
{
    RemoteReader reader;
    const RemoteSeries *s;
    int r = remote_reader_init(&reader, message, w->v2, w->err);
    if (r == 0)
        r = tsdb_appender_new(call_db(w->call), &w->app, w->err);
    while (r == 0 && (r = remote_reader_next(&reader, &s, w->err)) > 0)
        r = write_series(w, s);
    remote_reader_free(&reader);
    if (r < 0) {
        w->app = tsdb_appender_rollback(w->app);
        w->samples = w->histograms = w->exemplars = 0;
        return r;
    }
    return tsdb_appender_commit(TAKE_PTR(w->app), w->err);
}

static void put_written(Write *w)
{
    const struct {
        StrView name;
        uint64_t n;
    } counts[] = { { SV("X-Prometheus-Remote-Write-Samples-Written"), w->samples },
                   { SV("X-Prometheus-Remote-Write-Histograms-Written"), w->histograms },
                   { SV("X-Prometheus-Remote-Write-Exemplars-Written"), w->exemplars } };
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        call_header(w->call, counts[i].name,
                    arena_printf(&w->call->arena, "%llu", (unsigned long long)counts[i].n));
}

static void answer(Write *w, int r)
{
    Call *c = w->call;
    if (w->v2)
        put_written(w);
    if (r < 0) {
        bool bad = w->err->code == ERR_INVALID || w->err->code == ERR_LIMIT;
        if (!bad && log_gate(&c->web->write_said, 30 * 1000))
            log_error("remote write: %s", w->err->msg);
        call_text(c, bad ? 400 : 500, "%s\n", w->err->msg);
    } else if (w->n_reasons) {
        call_text(c, 400, "%.*s\n", SV_FMT(buf_view(&w->reasons)));
    } else {
        c->status = 204;
    }
}

void serve_remote_write(Call *c)
{
    Err err = { 0 };
    _cleanup_buf_ Buf message = BUF_INIT;
    Write w = { .call = c, .err = &err, .latest = clock_real_ns() / NSEC_PER_MSEC + AHEAD_MS };
    if (!c->web->opt.remote_write) {
        call_text(c, 404,
                  "remote write receiver needs to be enabled with "
                  "--web.enable-remote-write-receiver\n");
        return;
    }
    if (negotiate(c, &w.v2) != 0)
        return;
    int r = remote_uncompress(c->body, &message, &err);
    if (r == 0)
        r = write_all(&w, buf_view(&message));
    answer(&w, r);
    buf_free(&w.reasons);
}
