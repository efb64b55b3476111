/* remote_histogram.c - the message Histogram of remote write and read. */
#include "monitor/model/number.h"
#include "monitor/model/pb.h"
#include "monitor/remote/remote_message.h"

enum {
    F_COUNT_INT = 1,
    F_COUNT_FLOAT,
    F_SUM,
    F_SCHEMA,
    F_ZERO_THRESHOLD,
    F_ZERO_INT,
    F_ZERO_FLOAT,
    F_NEG_SPANS,
    F_NEG_DELTAS,
    F_NEG_COUNTS,
    F_POS_SPANS,
    F_POS_DELTAS,
    F_POS_COUNTS,
    F_HINT,
    F_TIME,
    F_CUSTOM,
    F_START,
};

typedef struct Side {
    VEC(HistogramSpan) spans;
    VEC(double) counts;
    int64_t last; /* of deltas */
} Side;

static int add_span(Side *s, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    HistogramSpan span = { 0 };
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 0)
            span.offset = (int32_t)pb_zigzag(f.n);
        else if (f.number == 2 && f.wire == 0)
            span.length = (uint32_t)f.n;
    }
    if (p.failed)
        return err_set(err, ERR_INVALID, 0, "the message is malformed: a span");
    if (s->spans.len == REMOTE_BUCKETS_MAX)
        return err_set(err, ERR_LIMIT, 0, "a histogram has more than %d spans", REMOTE_BUCKETS_MAX);
    return vec_push(&s->spans, span) ? 0 : err_nomem(err);
}

static bool add_number(Side *s, uint64_t n, bool delta)
{
    double v;
    if (delta) {
        s->last = (int64_t)((uint64_t)s->last + (uint64_t)pb_zigzag(n));
        v = (double)s->last;
    } else {
        v = pb_double(n);
    }
    return vec_push(&s->counts, v);
}

/* Counts come one by one or packed. */
static int add_counts(Side *s, const PbField *f, bool delta, Err *err)
{
    PbReader p = pb_reader(f->wire == 2 ? f->bytes : SV(""));
    if (f->wire == (delta ? 0 : 1))
        return add_number(s, f->n, delta) ? 0 : err_nomem(err);
    while (p.at < p.end) {
        uint64_t n = delta ? pb_varint(&p) : pb_fixed(&p, 8);
        if (s->counts.len == REMOTE_BUCKETS_MAX)
            return err_set(err, ERR_LIMIT, 0, "a histogram has more than %d buckets",
                           REMOTE_BUCKETS_MAX);
        if (!p.failed && !add_number(s, n, delta))
            return err_nomem(err);
    }
    return p.failed ? err_set(err, ERR_INVALID, 0, "the message is malformed: buckets") : 0;
}

typedef struct Sides {
    Side pos, neg, custom;
} Sides;

static int take_list(Sides *s, const PbField *f, Err *err)
{
    switch (f->number) {
    case F_NEG_SPANS:
        return add_span(&s->neg, f->bytes, err);
    case F_POS_SPANS:
        return add_span(&s->pos, f->bytes, err);
    case F_NEG_DELTAS:
    case F_NEG_COUNTS:
        return add_counts(&s->neg, f, f->number == F_NEG_DELTAS, err);
    case F_POS_DELTAS:
    case F_POS_COUNTS:
        return add_counts(&s->pos, f, f->number == F_POS_DELTAS, err);
    case F_CUSTOM:
        return add_counts(&s->custom, f, false, err);
    default:
        return 0;
    }
}

static void take_number(Histogram *h, RemoteHistogram *to, const PbField *f)
{
    switch (f->number) {
    case F_COUNT_INT:
        h->integer = true;
        h->count = (double)f->n;
        break;
    case F_COUNT_FLOAT:
        h->integer = false;
        h->count = pb_double(f->n);
        break;
    case F_SUM:
        h->sum = pb_double(f->n);
        break;
    case F_SCHEMA:
        h->schema = (int32_t)pb_zigzag(f->n);
        break;
    case F_ZERO_THRESHOLD:
        h->zero_threshold = pb_double(f->n);
        break;
    case F_ZERO_INT:
        h->zero_count = (double)f->n;
        break;
    case F_ZERO_FLOAT:
        h->zero_count = pb_double(f->n);
        break;
    case F_HINT:
        h->hint = f->n <= HINT_GAUGE ? (HistogramHint)f->n : HINT_UNKNOWN;
        break;
    case F_TIME:
        to->t = (int64_t)f->n;
        break;
    case F_START:
        to->start = (int64_t)f->n;
        break;
    }
}

static const void *keep(Arena *a, const void *items, size_t n, size_t size, bool *ok)
{
    void *copy = arena_alloc(a, n * size + 1);
    *ok = *ok && copy;
    if (copy && n)
        memcpy(copy, items, n * size);
    return copy;
}

static int finish(Histogram *h, const Sides *s, Arena *a, Err *err)
{
    bool ok = true;
    h->pos_spans = keep(a, s->pos.spans.items, s->pos.spans.len, sizeof(HistogramSpan), &ok);
    h->neg_spans = keep(a, s->neg.spans.items, s->neg.spans.len, sizeof(HistogramSpan), &ok);
    h->pos = keep(a, s->pos.counts.items, s->pos.counts.len, sizeof(double), &ok);
    h->neg = keep(a, s->neg.counts.items, s->neg.counts.len, sizeof(double), &ok);
    h->bounds = keep(a, s->custom.counts.items, s->custom.counts.len, sizeof(double), &ok);
    h->n_pos_spans = (unsigned)s->pos.spans.len;
    h->n_neg_spans = (unsigned)s->neg.spans.len;
    h->n_pos = (unsigned)s->pos.counts.len;
    h->n_neg = (unsigned)s->neg.counts.len;
    h->n_bounds = (unsigned)s->custom.counts.len;
    return ok ? 0 : err_nomem(err);
}

int remote_histogram_decode(StrView bytes, Arena *a, RemoteHistogram *ret, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    Sides s = { 0 };
    Histogram *h = arena_new(a, Histogram);
    *ret = (RemoteHistogram){ .h = h };
    int r = h ? 0 : err_nomem(err);
    if (r == 0)
        h->integer = true; /* an empty one, whose count is not written */
    while (r == 0 && pb_next(&p, &f)) {
        take_number(h, ret, &f);
        r = take_list(&s, &f, err);
    }
    if (r == 0 && p.failed)
        r = err_set(err, ERR_INVALID, 0, "the message is malformed: a histogram");
    if (r == 0)
        r = finish(h, &s, a, err);
    vec_free(&s.pos.spans);
    vec_free(&s.pos.counts);
    vec_free(&s.neg.spans);
    vec_free(&s.neg.counts);
    vec_free(&s.custom.counts);
    return r;
}

/* ---- writing ---- */

static void put_spans(Buf *out, unsigned number, const HistogramSpan *spans, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t at = out->len;
        pb_put_int(out, 1, pb_to_zigzag(spans[i].offset));
        pb_put_int(out, 2, spans[i].length);
        pb_close(out, number, at);
    }
}

static void put_counts(Buf *out, unsigned deltas, unsigned counts, const double *v, unsigned n,
                       bool integer)
{
    size_t at = out->len;
    int64_t last = 0;
    if (n == 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        if (integer) {
            int64_t now = double_to_i64(v[i]); /* wraps as the reader's addition does */
            pb_put_varint(out, pb_to_zigzag((int64_t)((uint64_t)now - (uint64_t)last)));
            last = now;
        } else {
            pb_put_fixed64(out, 0, v[i]);
        }
    }
    pb_close(out, integer ? deltas : counts, at);
}

void remote_histogram_encode(const Histogram *h, int64_t t, Buf *out)
{
    /* Of a oneof also the zero is written: it says which kind it is. */
    if (h->integer) {
        pb_put_varint(out, F_COUNT_INT << 3);
        pb_put_varint(out, double_to_u64(h->count));
    } else {
        pb_put_fixed64(out, F_COUNT_FLOAT, h->count);
    }
    pb_put_double(out, F_SUM, h->sum);
    pb_put_int(out, F_SCHEMA, pb_to_zigzag(h->schema));
    pb_put_double(out, F_ZERO_THRESHOLD, h->zero_threshold);
    if (h->integer) {
        pb_put_varint(out, F_ZERO_INT << 3);
        pb_put_varint(out, double_to_u64(h->zero_count));
    } else {
        pb_put_fixed64(out, F_ZERO_FLOAT, h->zero_count);
    }
    put_spans(out, F_NEG_SPANS, h->neg_spans, h->n_neg_spans);
    put_counts(out, F_NEG_DELTAS, F_NEG_COUNTS, h->neg, h->n_neg, h->integer);
    put_spans(out, F_POS_SPANS, h->pos_spans, h->n_pos_spans);
    put_counts(out, F_POS_DELTAS, F_POS_COUNTS, h->pos, h->n_pos, h->integer);
    pb_put_int(out, F_HINT, (uint64_t)h->hint);
    pb_put_int(out, F_TIME, (uint64_t)t);
    put_counts(out, F_CUSTOM, F_CUSTOM, h->bounds, h->n_bounds, false);
}
