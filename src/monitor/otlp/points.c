/* points.c - one data point, of any kind, as samples. */
#include <stdio.h>

#include "base/encode.h"
#include "monitor/model/number.h"
#include "monitor/otlp/point.h"

enum { NO_RECORDED_VALUE = 1, EXEMPLAR_RUNES_MAX = 128 };
#define ZERO_THRESHOLD 1e-128 /* of exponential histograms, which do not say one */

static int malformed(Err *err, const char *what)
{
    return err_set(err, ERR_INVALID, 0, "the message is malformed: %s", what);
}

/* ---- reading ---- */

/* One of a repeated field, or all packed; `size` 8: fixed, 0: varints. */
static int add_counts(OtlpBuckets *b, const PbField *f, unsigned size, Err *err)
{
    PbReader p = pb_reader(f->wire == 2 ? f->bytes : SV(""));
    if (f->wire == (size ? 1u : 0u))
        return vec_push(&b->counts, f->n) ? 0 : err_nomem(err);
    while (p.at < p.end) {
        uint64_t n = size ? pb_fixed(&p, size) : pb_varint(&p);
        if (b->counts.len == OTLP_BUCKETS_MAX)
            return err_set(err, ERR_LIMIT, 0, "a histogram has more than %d buckets",
                           OTLP_BUCKETS_MAX);
        if (!p.failed && !vec_push(&b->counts, n))
            return err_nomem(err);
    }
    return p.failed ? malformed(err, "buckets") : 0;
}

static int add_bounds(Point *to, const PbField *f, Err *err)
{
    PbReader p = pb_reader(f->wire == 2 ? f->bytes : SV(""));
    if (f->wire == 1)
        return vec_push(&to->bounds, pb_double(f->n)) ? 0 : err_nomem(err);
    while (p.at < p.end) {
        double v = pb_double(pb_fixed(&p, 8));
        if (to->bounds.len == OTLP_BUCKETS_MAX)
            return err_set(err, ERR_LIMIT, 0, "a histogram has more than %d bounds",
                           OTLP_BUCKETS_MAX);
        if (!p.failed && !vec_push(&to->bounds, v))
            return err_nomem(err);
    }
    return p.failed ? malformed(err, "bounds") : 0;
}

static int read_buckets(OtlpBuckets *b, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 0)
            b->offset = (int32_t)pb_zigzag(f.n);
        else if (f.number == 2)
            r = add_counts(b, &f, 0, err);
    }
    return r == 0 && p.failed ? malformed(err, "buckets") : r;
}

static int add_quantile(Point *to, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    Quantile q = { 0 };
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 1)
            q.q = pb_double(f.n);
        else if (f.number == 2 && f.wire == 1)
            q.v = pb_double(f.n);
    }
    if (p.failed)
        return malformed(err, "a quantile");
    return vec_push(&to->quantiles, q) ? 0 : err_nomem(err);
}

static size_t runes(StrView s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static int hex_label(LabelsBuilder *b, StrView name, StrView bytes, size_t *n_runes, Err *err)
{
    bool empty = true;
    for (size_t i = 0; i < bytes.len; i++)
        empty &= bytes.ptr[i] == 0;
    if (empty)
        return 0;
    char *hex = arena_alloc(b->arena, 2 * bytes.len);
    if (!hex)
        return err_nomem(err);
    hex_encode(bytes.ptr, bytes.len, hex);
    labels_builder_set(b, name, sv_n(hex, 2 * bytes.len));
    *n_runes += name.len + 2 * bytes.len;
    return 0;
}

/* Ids first; the attributes only where all together stay short, as OpenMetrics wants it. */
static int add_exemplar(Otlp *x, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    Exemplar e = { 0 };
    OtlpAttributes attributes = { 0 };
    StrView span = SV(""), trace = SV("");
    LabelsBuilder b;
    size_t n = 0;
    int r = 0;
    if (x->exemplars.len == OTLP_EXEMPLARS_MAX)
        return err_set(err, ERR_LIMIT, 0, "a data point has more than %d exemplars",
                       OTLP_EXEMPLARS_MAX);
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number == 2 && f.wire == 1)
            e.t = (int64_t)(f.n / 1000000);
        else if (f.number == 3 && f.wire == 1)
            e.value = pb_double(f.n);
        else if (f.number == 6 && f.wire == 1)
            e.value = (double)(int64_t)f.n;
        else if (f.number == 4 && f.wire == 2)
            span = sv_head(f.bytes, 64);
        else if (f.number == 5 && f.wire == 2)
            trace = sv_head(f.bytes, 64);
        else if (f.number == 7 && f.wire == 2)
            r = otlp_add_attribute(&attributes, f.bytes, &x->point_arena, err);
    }
    if (r == 0 && p.failed)
        r = malformed(err, "an exemplar");
    labels_builder_init(&b, &x->point_arena, (Labels){ 0 });
    if (r == 0)
        r = hex_label(&b, SV("trace_id"), trace, &n, err);
    if (r == 0)
        r = hex_label(&b, SV("span_id"), span, &n, err);
    for (size_t i = 0; i < attributes.len; i++)
        n += runes(attributes.items[i].key) + runes(attributes.items[i].value);
    for (size_t i = 0; n <= EXEMPLAR_RUNES_MAX && i < attributes.len; i++)
        labels_builder_set(&b, attributes.items[i].key, attributes.items[i].value);
    vec_free(&attributes);
    if (r == 0 && (!labels_builder_take(&b, &e.labels) || !vec_push(&x->exemplars, e)))
        r = err_nomem(err);
    return r;
}

static void take_double(double *to, const PbField *f, bool *ret_has)
{
    if (f->wire == 1) {
        *to = pb_double(f->n);
        *ret_has = true;
    }
}

/* A field of NumberDataPoint, HistogramDataPoint or SummaryDataPoint: times, attributes and flags
 * stand at other numbers in each. */
static int take_field(Otlp *x, Point *to, const PbField *f, Err *err)
{
    OtlpType type = x->metric.type;
    bool number = type <= OTLP_UPDOWN, exponential = type == OTLP_EXPONENTIAL,
         histogram = type == OTLP_HISTOGRAM;
    unsigned attributes = exponential ? 1 : histogram ? 9 : 7;
    unsigned exemplars = exponential ? 11 : histogram ? 8 : number ? 5 : 0;
    unsigned flags = histogram || exponential ? 10 : 8;
    bool has;
    if (f->number == 2 && f->wire == 1)
        to->start = f->n;
    else if (f->number == 3 && f->wire == 1)
        to->time = f->n;
    else if (f->number == attributes && f->wire == 2)
        return otlp_add_attribute(&x->point, f->bytes, &x->point_arena, err);
    else if (f->number == exemplars && f->wire == 2)
        return add_exemplar(x, f->bytes, err);
    else if (f->number == flags && f->wire == 0)
        to->is_stale = f->n & NO_RECORDED_VALUE;
    else if (number && f->number == 4)
        take_double(&to->value, f, &has);
    else if (number && f->number == 6 && f->wire == 1)
        to->value = (double)(int64_t)f->n;
    else if (!number && f->number == 4 && f->wire == 1)
        to->count = f->n;
    else if (!number && f->number == 5)
        take_double(&to->sum, f, &to->has_sum);
    else if (type == OTLP_SUMMARY && f->number == 6 && f->wire == 2)
        return add_quantile(to, f->bytes, err);
    else if (histogram && f->number == 6)
        return add_counts(&to->pos, f, 8, err);
    else if (histogram && f->number == 7)
        return add_bounds(to, f, err);
    else if (exponential && f->number == 6 && f->wire == 0)
        to->scale = (int32_t)pb_zigzag(f->n);
    else if (exponential && f->number == 7 && f->wire == 1)
        to->zero_count = f->n;
    else if (exponential && (f->number == 8 || f->number == 9) && f->wire == 2)
        return read_buckets(f->number == 8 ? &to->pos : &to->neg, f->bytes, err);
    return 0;
}

static int read_point(Otlp *x, StrView bytes, Point *to, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f))
        r = take_field(x, to, &f, err);
    if (r == 0 && p.failed)
        r = malformed(err, "a data point");
    x->earliest = MIN(x->earliest, to->time);
    x->latest = MAX(x->latest, to->time);
    return r;
}

/* ---- samples ---- */

static int put_sample(Otlp *x, const Point *p, Labels base, const char *suffix, Label more,
                      double v, const Exemplar *exemplars, unsigned n, Err *err)
{
    LabelsBuilder b;
    OtlpSample s = { .t = (int64_t)(p->time / 1000000),
                     .v = p->is_stale ? double_from_bits(NAN_STALE_BITS) : v,
                     .exemplars = exemplars,
                     .n_exemplars = n,
                     .metadata = x->metric.metadata };
    labels_builder_init(&b, &x->point_arena, base);
    if (more.name.len)
        labels_builder_set(&b, more.name, more.value);
    labels_builder_set(&b, LABEL_METRIC_NAME,
                       arena_printf(&x->point_arena, "%.*s%s", SV_FMT(x->metric.prom_name),
                                    suffix));
    if (!labels_builder_take(&b, &s.labels))
        return err_nomem(err);
    return otlp_emit(x, &s, err);
}

static Label number_label(Otlp *x, StrView name, double v)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    double_format_f(v, &text);
    return (Label){ name, arena_sv(&x->point_arena, buf_view(&text)) };
}

static int put_buckets(Otlp *x, const Point *p, Labels base, Err *err)
{
    uint64_t below = 0;
    unsigned next = 0, n = (unsigned)x->exemplars.len;
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->bounds.len && i < p->pos.counts.len; i++) {
        unsigned first = next;
        below += p->pos.counts.items[i];
        while (next < n && !(x->exemplars.items[next].value > p->bounds.items[i]))
            next++;
        r = put_sample(x, p, base, "_bucket", number_label(x, SV("le"), p->bounds.items[i]),
                       (double)below, next > first ? x->exemplars.items + first : NULL,
                       next - first, err);
    }
    if (r < 0)
        return r;
    return put_sample(x, p, base, "_bucket", (Label){ SV("le"), SV("+Inf") }, (double)p->count,
                      n > next ? x->exemplars.items + next : NULL, n - next, err);
}

static int put_classic(Otlp *x, const Point *p, Labels base, Err *err)
{
    const Label none = { SV(""), SV("") };
    int r = 0;
    if (p->has_sum || x->metric.type == OTLP_SUMMARY)
        r = put_sample(x, p, base, "_sum", none, p->sum, NULL, 0, err);
    if (r == 0)
        r = put_sample(x, p, base, "_count", none, (double)p->count, NULL, 0, err);
    if (r == 0 && x->metric.type == OTLP_HISTOGRAM)
        return put_buckets(x, p, base, err);
    for (size_t i = 0; r == 0 && i < p->quantiles.len; i++)
        r = put_sample(x, p, base, "", number_label(x, SV("quantile"), p->quantiles.items[i].q),
                       p->quantiles.items[i].v, NULL, 0, err);
    return r;
}

/* False: the buckets cannot be; *ret_why says so. */
static bool make_native(Otlp *x, const Point *p, Histogram *h, const char **ret_why)
{
    Arena *a = &x->point_arena;
    *h = (Histogram){ .sum = p->has_sum ? p->sum : 0, .count = (double)p->count, .integer = true };
    if (x->metric.temporality == 1)
        h->hint = HINT_GAUGE;
    *ret_why = "a bucket's index is out of range";
    if (x->metric.type == OTLP_HISTOGRAM) {
        size_t skip = 0;
        while (skip < p->pos.counts.len && p->pos.counts.items[skip] == 0)
            skip++;
        h->schema = HISTOGRAM_SCHEMA_CUSTOM;
        h->bounds = p->bounds.items;
        h->n_bounds = (unsigned)p->bounds.len;
        return otlp_layout(p->pos.counts.items ? p->pos.counts.items + skip : NULL,
                           p->pos.counts.len - skip, (int32_t)skip, 0, false, a, &h->pos_spans,
                           &h->n_pos_spans, &h->pos, &h->n_pos);
    }
    if (p->scale < HISTOGRAM_SCHEMA_MIN) {
        *ret_why = "cannot convert exponential to native histogram: the scale must be >= -4";
        return false;
    }
    int32_t down = MAX(p->scale - HISTOGRAM_SCHEMA_MAX, 0);
    h->schema = p->scale - down;
    h->zero_threshold = ZERO_THRESHOLD;
    h->zero_count = (double)p->zero_count;
    return otlp_layout(p->pos.counts.items, p->pos.counts.len, p->pos.offset, down, true, a,
                       &h->pos_spans, &h->n_pos_spans, &h->pos, &h->n_pos) &&
           otlp_layout(p->neg.counts.items, p->neg.counts.len, p->neg.offset, down, true, a,
                       &h->neg_spans, &h->n_neg_spans, &h->neg, &h->n_neg);
}

static int put_native(Otlp *x, const Point *p, Err *err)
{
    Histogram h;
    const char *why;
    OtlpSample s = { .t = (int64_t)(p->time / 1000000),
                     .exemplars = x->exemplars.items,
                     .n_exemplars = (unsigned)x->exemplars.len,
                     .metadata = x->metric.metadata };
    if (p->is_stale) {
        s.v = double_from_bits(NAN_STALE_BITS);
    } else if (make_native(x, p, &h, &why)) {
        s.h = &h;
        s.v = h.sum;
    } else {
        otlp_reject(x, 1, why);
        return 0;
    }
    int r = otlp_labels(x, &x->point, true, true, x->metric.prom_name, &s.labels, err);
    return r < 0 ? r : otlp_emit(x, &s, err);
}

static int by_value(const void *a, const void *b)
{
    const Exemplar *p = a, *q = b;
    return (p->value > q->value) - (p->value < q->value);
}

static int by_key(const void *a, const void *b)
{
    return sv_cmp(((const OtlpAttribute *)a)->key, ((const OtlpAttribute *)b)->key);
}

static int put_point(Otlp *x, const Point *p, Err *err)
{
    bool native = x->metric.type == OTLP_EXPONENTIAL ||
                  (x->metric.type == OTLP_HISTOGRAM && x->o->cfg->convert_histograms_to_nhcb);
    Labels base;
    if (native)
        return put_native(x, p, err);
    int r = otlp_labels(x, &x->point, true, true, SV(""), &base, err);
    if (r < 0)
        return r;
    if (x->metric.type == OTLP_HISTOGRAM || x->metric.type == OTLP_SUMMARY)
        return put_classic(x, p, base, err);
    return put_sample(x, p, base, "", (Label){ SV(""), SV("") }, p->value, x->exemplars.items,
                      x->metric.type == OTLP_GAUGE ? 0 : (unsigned)x->exemplars.len, err);
}

int otlp_point(Otlp *x, StrView bytes, Err *err)
{
    Point p = { 0 };
    int r = read_point(x, bytes, &p, err);
    if (r == 0 && x->point.len)
        qsort(x->point.items, x->point.len, sizeof *x->point.items, by_key);
    if (r == 0 && x->exemplars.len && x->metric.type == OTLP_HISTOGRAM)
        qsort(x->exemplars.items, x->exemplars.len, sizeof *x->exemplars.items, by_value);
    if (r == 0 && x->metric.adds_up)
        r = otlp_accumulate(x, &p, err);
    if (r == DELTA_SUM)
        r = put_point(x, &p, err);
    else if (r == DELTA_DROPPED)
        r = 0;
    point_free(&p);
    return r;
}
