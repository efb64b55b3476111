/* federate_proto.c - see federate.h. Field numbers are those of io.prometheus.client. */
#include "monitor/web/federate.h"

#include "monitor/model/pb.h"

enum { TYPE_UNTYPED = 3, TYPE_HISTOGRAM = 4, TYPE_GAUGE_HISTOGRAM = 5 };
enum { FAMILY_NAME = 1, FAMILY_TYPE = 3, FAMILY_METRIC = 4 };
enum { METRIC_LABEL = 1, METRIC_UNTYPED = 5, METRIC_TIME = 6, METRIC_HISTOGRAM = 7 };

/* ---- what the client reads ---- */

/* One element of the header; q < 0: none that is served. */
typedef struct Clause {
    FederateForm form;
    double q;
    bool escaping; /* it says how names are written */
} Clause;

static Clause read_clause(StrView text)
{
    Clause c = { .q = 1 };
    StrView type, part, name, value;
    bool family = false, delimited = false, version_fits = true;
    sv_next(&text, ';', &type);
    type = sv_trim(type);
    while (sv_next(&text, ';', &part)) {
        if (!sv_cut(part, '=', &name, &value))
            continue;
        name = sv_trim(name);
        value = sv_trim(value);
        if (sv_eq(name, SV("q")) && sv_to_double(value, &c.q) < 0)
            c.q = 0;
        else if (sv_eq(name, SV("proto")))
            family = sv_eq(value, SV("io.prometheus.client.MetricFamily"));
        else if (sv_eq(name, SV("encoding")))
            delimited = sv_eq(value, SV("delimited"));
        else if (sv_eq(name, SV("version"))) {
            c.form.text1 = sv_eq(value, SV("1.0.0"));
            version_fits = c.form.text1 || sv_eq(value, SV("0.0.4"));
        } else if (sv_eq(name, SV("escaping"))) {
            c.escaping = true;
            c.form.utf8 = sv_eq(value, SV("allow-utf-8"));
        }
    }
    c.form.proto = sv_eq(type, SV("application/vnd.google.protobuf"));
    if (c.form.proto ? !family || !delimited : !sv_eq(type, SV("text/plain")) || !version_fits)
        c.q = -1;
    return c;
}

FederateForm federate_negotiate(StrView accept)
{
    Clause best = { 0 };
    StrView text;
    bool utf8 = false; /* of a clause that is of no form here: it says what the client reads */
    while (sv_next(&accept, ',', &text)) {
        Clause c = read_clause(text);
        utf8 |= c.form.utf8;
        if (c.q > best.q)
            best = c;
    }
    if (!best.escaping)
        best.form.utf8 = utf8;
    return best.form;
}

StrView federate_type(FederateForm f)
{
#define PROTO                                                                                      \
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
#define TEXT(version) "text/plain; version=" version "; charset=utf-8"
#define UTF8          "; escaping=allow-utf-8"
#define LEGACY        "; escaping=underscores"
    if (f.proto)
        return f.utf8 ? SV(PROTO UTF8) : SV(PROTO LEGACY);
    if (f.text1)
        return f.utf8 ? SV(TEXT("1.0.0") UTF8) : SV(TEXT("1.0.0") LEGACY);
    return f.utf8 ? SV(TEXT("0.0.4") UTF8) : SV(TEXT("0.0.4") LEGACY);
}

/* ---- writing ---- */

static void put_text(Buf *out, unsigned field, StrView name, bool metric, bool utf8)
{
    size_t start = out->len;
    if (utf8)
        buf_sv(out, name);
    else
        federate_put_legacy(out, name, metric);
    pb_close(out, field, start);
}

static void put_side(Buf *out, unsigned field, const HistogramSpan *spans, unsigned n_spans,
                     const double *counts, unsigned n)
{
    for (unsigned i = 0; i < n_spans; i++) {
        size_t start = out->len;
        pb_put_int(out, 1, pb_to_zigzag(spans[i].offset));
        pb_put_int(out, 2, spans[i].length);
        pb_close(out, field, start);
    }
    if (!n)
        return;
    pb_put_varint(out, (field + 2) << 3 | 2);
    pb_put_varint(out, (uint64_t)n * sizeof *counts);
    for (unsigned i = 0; i < n; i++)
        pb_put_fixed64(out, 0, counts[i]);
}

static void put_native(Buf *out, const Histogram *h)
{
    /* Without it, one that observed nothing would be a classic histogram. */
    static const HistogramSpan nothing;
    bool empty = !h->n_pos_spans && !h->n_neg_spans;
    pb_put_int(out, 5, pb_to_zigzag(h->schema));
    pb_put_double(out, 4, h->count);
    pb_put_double(out, 6, h->zero_threshold);
    pb_put_double(out, 8, h->zero_count);
    put_side(out, 9, h->neg_spans, h->n_neg_spans, h->neg, h->n_neg);
    put_side(out, 12, empty ? &nothing : h->pos_spans, empty ? 1 : h->n_pos_spans, h->pos,
             h->n_pos);
}

/* Older readers know counts of classic histograms as whole numbers only; newer ones prefer the
 * other field. */
static void put_count(Buf *out, unsigned whole, unsigned any, double count)
{
    if (count >= 0 && count < 0x1p53 && count == trunc(count))
        pb_put_int(out, whole, (uint64_t)count);
    pb_put_double(out, any, count);
}

/* One with custom bounds, as a classic one. */
static void put_classic(Buf *out, const Histogram *h)
{
    HistogramIter it;
    HistogramBucket b;
    double sum = 0;
    put_count(out, 1, 4, h->count);
    histogram_iter(h, WALK_POSITIVE, &it);
    bool more = histogram_next(&it, &b);
    for (unsigned i = 0; i < h->n_bounds; i++) {
        for (; more && b.index <= (int32_t)i; more = histogram_next(&it, &b))
            sum += b.count;
        size_t start = out->len;
        put_count(out, 1, 4, sum);
        pb_put_double(out, 2, h->bounds[i]);
        pb_close(out, 3, start);
    }
}

static void put_metric(Buf *out, const Found *f, Labels external, bool utf8)
{
    size_t metric = out->len;
    Label l;
    for (unsigned pos = 0; found_label(f, external, &pos, &l);) {
        size_t start = out->len;
        put_text(out, 1, l.name, false, utf8);
        pb_put_bytes(out, 2, l.value);
        pb_close(out, METRIC_LABEL, start);
    }
    size_t value = out->len;
    if (f->h) {
        pb_put_double(out, 2, f->h->sum);
        if (histogram_is_custom(f->h))
            put_classic(out, f->h);
        else
            put_native(out, f->h);
    } else {
        pb_put_double(out, 1, f->v);
    }
    pb_close(out, f->h ? METRIC_HISTOGRAM : METRIC_UNTYPED, value);
    pb_put_int(out, METRIC_TIME, (uint64_t)f->t);
    pb_close(out, FAMILY_METRIC, metric);
}

void federate_put_proto(Buf *out, const FoundList *list, Labels external, bool utf8)
{
    _cleanup_buf_ Buf family = BUF_INIT;
    for (size_t i = 0; i < list->len; i++) {
        const Found *f = &list->items[i];
        if (i == 0 || !found_same_family(f - 1, f)) {
            buf_clear(&family);
            put_text(&family, FAMILY_NAME, f->name, true, utf8);
            pb_put_int(&family, FAMILY_TYPE,
                       !f->h                      ? TYPE_UNTYPED
                       : f->h->hint == HINT_GAUGE ? TYPE_GAUGE_HISTOGRAM
                                                  : TYPE_HISTOGRAM);
        }
        put_metric(&family, f, external, utf8);
        if (i + 1 == list->len || !found_same_family(f, f + 1)) {
            pb_put_varint(out, family.len);
            buf_sv(out, buf_view(&family));
            out->failed |= family.failed;
        }
    }
}
