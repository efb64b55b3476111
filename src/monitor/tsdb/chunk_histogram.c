/* chunk_histogram.c - chunks of native histograms.
 *
 * The header says how the first sample relates to what came before (a reset, none, unknown,
 * gauges); then follow the layout that all samples share, and the samples: whole-number counts as
 * differences of differences in varbits, float counts each by xor. */
#include <errno.h>
#include <math.h>

#include "monitor/model/number.h"
#include "monitor/tsdb/chunk.h"

enum {
    HEADER_RESET = 0x80,
    HEADER_NO_RESET = 0x40,
    HEADER_GAUGE = 0xc0,
    HEADER_MASK = 0xc0,
    VARBIT_BITS_MAX = 72, /* less than XOR_BITS_MAX */
    SPANS_MAX = 65536,    /* of one side, that a reader believes */
};

/* The counts of one side, and what codes the next ones. */
typedef struct Side {
    unsigned n;
    double *abs; /* last counts, absolute */
    int64_t *b,
        *delta;  /* CHUNK_HISTOGRAM: as differences between neighbours, and their differences */
    XorState *x; /* CHUNK_FLOAT_HISTOGRAM */
} Side;

struct HistogramChunk {
    BitWriter w;
    ChunkEncoding encoding;
    uint16_t len;
    Histogram last; /* spans and bounds are owned; pos and neg are those of the sides */
    Side pos, neg;
    int64_t t, delta;
    int64_t count_delta, zero_delta;
    XorState count, zero, sum;
    Arena arena; /* of all the above but the bytes */
};

/* ---- varbits ---- */

static const uint8_t widths[] = { 0, 3, 6, 9, 12, 18, 25, 56, 64 };

static void put_class(BitWriter *w, unsigned k)
{
    if (k < 8)
        bits_put(w, (1u << (k + 1)) - 2, k + 1);
    else
        bits_put(w, 0xff, 8);
}

static void put_varbit(BitWriter *w, int64_t v)
{
    unsigned k = 0;
    if (v)
        for (k = 1; k < 8 && !bits_fits(v, widths[k]); k++)
            ;
    put_class(w, k);
    bits_put(w, (uint64_t)v, widths[k]);
}

static void put_varbit_u(BitWriter *w, uint64_t v)
{
    unsigned k = 0;
    if (v)
        for (k = 1; k < 8 && v >> widths[k]; k++)
            ;
    put_class(w, k);
    bits_put(w, v, widths[k]);
}

static uint64_t get_varbit_raw(BitReader *r, unsigned *ret_width)
{
    unsigned n = widths[bits_get_ones(r, 8)];
    *ret_width = n;
    return n == 64 ? bits_get_64(r) : bits_get(r, n);
}

static int64_t get_varbit(BitReader *r)
{
    unsigned n;
    uint64_t v = get_varbit_raw(r, &n);
    return bits_signed(v, n ? n : 64);
}

static uint64_t get_varbit_u(BitReader *r)
{
    unsigned n;
    return get_varbit_raw(r, &n);
}

/* ---- layout ---- */

static void put_zero_threshold(BitWriter *w, double v)
{
    int exp;
    if (v == 0) {
        bits_put(w, 0, 8);
    } else if (frexp(v, &exp) != 0.5 || exp < -242 || exp > 11) {
        bits_put(w, 255, 8);
        bits_put(w, double_bits(v), 64);
    } else {
        bits_put(w, (uint64_t)(exp + 243), 8);
    }
}

static double get_zero_threshold(BitReader *r)
{
    uint64_t b = bits_get(r, 8);
    return b == 0 ? 0 : b == 255 ? double_from_bits(bits_get_64(r)) : ldexp(0.5, (int)b - 243);
}

static void put_bound(BitWriter *w, double v)
{
    double thousands = v * 1000;
    if (thousands < 0 || thousands > 33554430 || round(thousands) / 1000 != v) {
        bits_put(w, 0, 1);
        bits_put(w, double_bits(v), 64);
    } else {
        put_varbit_u(w, (uint64_t)round(thousands) + 1);
    }
}

static double get_bound(BitReader *r)
{
    uint64_t v = get_varbit_u(r);
    return v ? (double)(v - 1) / 1000 : double_from_bits(bits_get_64(r));
}

static void put_spans(BitWriter *w, const HistogramSpan *s, unsigned n)
{
    put_varbit_u(w, n);
    for (unsigned i = 0; i < n; i++) {
        put_varbit_u(w, s[i].length);
        put_varbit(w, s[i].offset);
    }
}

static bool put_layout(BitWriter *w, const Histogram *h)
{
    size_t values = 4 + 2 * ((size_t)h->n_pos_spans + h->n_neg_spans) + h->n_bounds;
    if (!bits_reserve(w, 72 + values * VARBIT_BITS_MAX))
        return false;
    put_zero_threshold(w, h->zero_threshold);
    put_varbit(w, h->schema);
    put_spans(w, h->pos_spans, h->n_pos_spans);
    put_spans(w, h->neg_spans, h->n_neg_spans);
    if (histogram_is_custom(h)) {
        put_varbit_u(w, h->n_bounds);
        for (unsigned i = 0; i < h->n_bounds; i++)
            put_bound(w, h->bounds[i]);
    }
    return true;
}

static bool same_spans(const HistogramSpan *x, unsigned nx, const HistogramSpan *y, unsigned ny)
{
    return nx == ny && (nx == 0 || memcmp(x, y, nx * sizeof *x) == 0);
}

static bool same_layout(const Histogram *x, const Histogram *y)
{
    return x->schema == y->schema && x->zero_threshold == y->zero_threshold &&
           same_spans(x->pos_spans, x->n_pos_spans, y->pos_spans, y->n_pos_spans) &&
           same_spans(x->neg_spans, x->n_neg_spans, y->neg_spans, y->n_neg_spans) &&
           (!histogram_is_custom(x) || histogram_same_bounds(x, y));
}

/* ---- writing ---- */

static void put_side_first(HistogramChunk *c, Side *s, const double *counts)
{
    double before = 0;
    for (unsigned i = 0; i < s->n; i++) {
        s->abs[i] = counts[i];
        if (s->x) {
            s->x[i] = (XorState){ .v = counts[i], .leading = 0xff };
            bits_put(&c->w, double_bits(counts[i]), 64);
        } else {
            s->b[i] = double_to_i64(counts[i] - before);
            s->delta[i] = 0;
            put_varbit(&c->w, s->b[i]);
            before = counts[i];
        }
    }
}

static void put_side(HistogramChunk *c, Side *s, const double *counts)
{
    double before = 0;
    for (unsigned i = 0; i < s->n; i++) {
        s->abs[i] = counts[i];
        if (s->x) {
            xor_put(&c->w, &s->x[i], counts[i]);
            continue;
        }
        int64_t b = double_to_i64(counts[i] - before), delta = bits_diff(b, s->b[i]);
        put_varbit(&c->w, bits_diff(delta, s->delta[i]));
        s->b[i] = b;
        s->delta[i] = delta;
        before = counts[i];
    }
}

static bool side_init(Side *s, unsigned n, bool floats, Arena *a)
{
    *s = (Side){ .n = n };
    if (!n)
        return true;
    s->abs = arena_array(a, double, n);
    if (floats)
        s->x = arena_array(a, XorState, n);
    else
        s->b = arena_array(a, int64_t, 2 * (size_t)n);
    s->delta = s->b ? s->b + n : NULL;
    return s->abs && (s->x || s->b);
}

static bool keep_layout(HistogramChunk *c, const Histogram *h)
{
    const Histogram *copy = histogram_copy(h, &c->arena);
    if (!copy || !side_init(&c->pos, h->n_pos, !h->integer, &c->arena) ||
        !side_init(&c->neg, h->n_neg, !h->integer, &c->arena))
        return false;
    c->last = *copy;
    c->last.pos = c->pos.abs;
    c->last.neg = c->neg.abs;
    return true;
}

static void note_last(HistogramChunk *c, int64_t t, const Histogram *h)
{
    c->last.hint = h->hint;
    c->last.count = h->count;
    c->last.zero_count = h->zero_count;
    c->last.sum = h->sum;
    c->t = t;
    c->len++;
    c->w.bytes[0] = (uint8_t)(c->len >> 8);
    c->w.bytes[1] = (uint8_t)c->len;
}

static bool reserve_sample(HistogramChunk *c)
{
    return bits_reserve(&c->w, (4 + (size_t)c->pos.n + c->neg.n) * XOR_BITS_MAX);
}

HistogramChunk *histogram_chunk_new(int64_t t, const Histogram *h)
{
    static const uint8_t headers[] = { [HINT_UNKNOWN] = 0,
                                       [HINT_COUNTER_RESET] = HEADER_RESET,
                                       [HINT_NO_COUNTER_RESET] = HEADER_NO_RESET,
                                       [HINT_GAUGE] = HEADER_GAUGE };
    HistogramChunk *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    arena_init(&c->arena, 0);
    c->encoding = h->integer ? CHUNK_HISTOGRAM : CHUNK_FLOAT_HISTOGRAM;
    if (!keep_layout(c, h) || !bits_reserve(&c->w, 24) ||
        (bits_put(&c->w, headers[h->hint], 24), !put_layout(&c->w, h)) || !reserve_sample(c))
        return histogram_chunk_free(c);
    put_varbit(&c->w, t);
    if (h->integer) {
        put_varbit_u(&c->w, double_to_u64(h->count));
        put_varbit_u(&c->w, double_to_u64(h->zero_count));
    } else {
        bits_put(&c->w, double_bits(h->count), 64);
        bits_put(&c->w, double_bits(h->zero_count), 64);
    }
    bits_put(&c->w, double_bits(h->sum), 64);
    c->count = (XorState){ .v = h->count, .leading = 0xff };
    c->zero = (XorState){ .v = h->zero_count, .leading = 0xff };
    c->sum = (XorState){ .v = h->sum, .leading = 0xff };
    put_side_first(c, &c->pos, h->pos);
    put_side_first(c, &c->neg, h->neg);
    note_last(c, t, h);
    return c;
}

/* Does it go on where the last sample stopped? Gauges may go up and down. */
static bool goes_on(const HistogramChunk *c, const Histogram *h)
{
    bool gauge = h->hint == HINT_GAUGE;
    if (c->last.integer != h->integer || (c->last.hint == HINT_GAUGE) != gauge ||
        h->hint == HINT_COUNTER_RESET || !same_layout(&c->last, h) || c->len == UINT16_MAX ||
        (c->w.len >= CHUNK_BYTES && c->len >= CHUNK_HISTOGRAMS_MIN))
        return false;
    return gauge || !histogram_detect_reset(h, &c->last);
}

int histogram_chunk_append(HistogramChunk *c, int64_t t, const Histogram *h)
{
    if (!goes_on(c, h))
        return 0;
    if (!reserve_sample(c))
        return -ENOMEM;
    int64_t delta = bits_diff(t, c->t);
    put_varbit(&c->w, bits_diff(delta, c->delta));
    c->delta = delta;
    if (h->integer) {
        int64_t count = double_to_i64(h->count - c->last.count),
                zero = double_to_i64(h->zero_count - c->last.zero_count);
        put_varbit(&c->w, bits_diff(count, c->count_delta));
        put_varbit(&c->w, bits_diff(zero, c->zero_delta));
        c->count_delta = count;
        c->zero_delta = zero;
    } else {
        xor_put(&c->w, &c->count, h->count);
        xor_put(&c->w, &c->zero, h->zero_count);
    }
    xor_put(&c->w, &c->sum, h->sum);
    put_side(c, &c->pos, h->pos);
    put_side(c, &c->neg, h->neg);
    note_last(c, t, h);
    return 1;
}

HistogramChunk *histogram_chunk_free(HistogramChunk *c)
{
    if (c) {
        free(c->w.bytes);
        arena_free(&c->arena);
        free(c);
    }
    return NULL;
}

ChunkEncoding histogram_chunk_encoding(const HistogramChunk *c)
{
    return c->encoding;
}

StrView histogram_chunk_bytes(const HistogramChunk *c)
{
    return sv_n(c->w.bytes, c->w.len);
}

unsigned histogram_chunk_len(const HistogramChunk *c)
{
    return c->len;
}

const Histogram *histogram_chunk_last(const HistogramChunk *c)
{
    return &c->last;
}

/* ---- reading ---- */

typedef struct Decoder {
    BitReader r;
    bool floats;
    Histogram h; /* the present sample */
    Side pos, neg;
    int64_t t, delta, count_delta, zero_delta;
    XorState count, zero, sum;
    Arena *arena;
} Decoder;

static int bad(Err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "a histogram chunk is malformed");
}

/* *ret_buckets: how many buckets the spans speak of. */
static bool get_spans(Decoder *d, const HistogramSpan **ret, unsigned *ret_n, unsigned *ret_buckets)
{
    uint64_t n = get_varbit_u(&d->r), buckets = 0;
    if (d->r.failed || n > SPANS_MAX)
        return false;
    HistogramSpan *s = arena_array(d->arena, HistogramSpan, n ? (size_t)n : 1);
    for (uint64_t i = 0; s && i < n; i++) {
        uint64_t length = get_varbit_u(&d->r);
        int64_t offset = get_varbit(&d->r);
        if (d->r.failed || length > HISTOGRAM_BUCKETS_MAX || offset < INT32_MIN ||
            offset > INT32_MAX || (buckets += length) > HISTOGRAM_BUCKETS_MAX)
            return false;
        s[i] = (HistogramSpan){ (int32_t)offset, (uint32_t)length };
    }
    *ret = s;
    *ret_n = (unsigned)n;
    *ret_buckets = (unsigned)buckets;
    return s != NULL;
}

static bool get_layout(Decoder *d)
{
    d->h.zero_threshold = get_zero_threshold(&d->r);
    d->h.schema = (int32_t)get_varbit(&d->r);
    d->h.integer = !d->floats;
    if (d->r.failed || !get_spans(d, &d->h.pos_spans, &d->h.n_pos_spans, &d->h.n_pos) ||
        !get_spans(d, &d->h.neg_spans, &d->h.n_neg_spans, &d->h.n_neg) ||
        !side_init(&d->pos, d->h.n_pos, d->floats, d->arena) ||
        !side_init(&d->neg, d->h.n_neg, d->floats, d->arena))
        return false;
    d->h.pos = d->pos.abs;
    d->h.neg = d->neg.abs;
    if (!histogram_is_custom(&d->h))
        return true;
    uint64_t n = get_varbit_u(&d->r);
    double *bounds = d->r.failed || n > HISTOGRAM_BUCKETS_MAX
                         ? NULL
                         : arena_array(d->arena, double, n ? (size_t)n : 1);
    for (uint64_t i = 0; bounds && i < n; i++)
        bounds[i] = get_bound(&d->r);
    d->h.bounds = bounds;
    d->h.n_bounds = (unsigned)n;
    return bounds && !d->r.failed;
}

static void get_side(Decoder *d, Side *s, bool first)
{
    double before = 0;
    for (unsigned i = 0; i < s->n && !d->r.failed; i++) {
        if (s->x) {
            if (first)
                s->x[i] = (XorState){ .v = double_from_bits(bits_get_64(&d->r)), .leading = 0xff };
            else
                xor_get(&d->r, &s->x[i]);
            s->abs[i] = s->x[i].v;
            continue;
        }
        if (first) {
            s->b[i] = get_varbit(&d->r);
        } else {
            s->delta[i] = (int64_t)((uint64_t)s->delta[i] + (uint64_t)get_varbit(&d->r));
            s->b[i] = (int64_t)((uint64_t)s->b[i] + (uint64_t)s->delta[i]);
        }
        s->abs[i] = before += (double)s->b[i];
    }
}

static void get_first(Decoder *d)
{
    d->t = get_varbit(&d->r);
    if (d->floats) {
        d->h.count = double_from_bits(bits_get_64(&d->r));
        d->h.zero_count = double_from_bits(bits_get_64(&d->r));
    } else {
        d->h.count = (double)get_varbit_u(&d->r);
        d->h.zero_count = (double)get_varbit_u(&d->r);
    }
    d->h.sum = double_from_bits(bits_get_64(&d->r));
    d->count = (XorState){ .v = d->h.count, .leading = 0xff };
    d->zero = (XorState){ .v = d->h.zero_count, .leading = 0xff };
    d->sum = (XorState){ .v = d->h.sum, .leading = 0xff };
}

static void get_next(Decoder *d)
{
    d->delta = (int64_t)((uint64_t)d->delta + (uint64_t)get_varbit(&d->r));
    d->t = (int64_t)((uint64_t)d->t + (uint64_t)d->delta);
    if (d->floats) {
        d->h.count = xor_get(&d->r, &d->count);
        d->h.zero_count = xor_get(&d->r, &d->zero);
    } else {
        d->count_delta = (int64_t)((uint64_t)d->count_delta + (uint64_t)get_varbit(&d->r));
        d->zero_delta = (int64_t)((uint64_t)d->zero_delta + (uint64_t)get_varbit(&d->r));
        d->h.count += (double)d->count_delta;
        d->h.zero_count += (double)d->zero_delta;
    }
    d->h.sum = xor_get(&d->r, &d->sum);
}

/* A stale histogram holds nothing but its mark: it is handed out as a stale float. */
static bool emit(Decoder *d, SampleCols *out)
{
    return is_stale_nan(d->h.sum) ? sample_cols_float(out, d->t, d->h.sum)
                                  : sample_cols_histogram(out, d->t, &d->h);
}

static int decode_all(Decoder *d, uint8_t header, unsigned n, int64_t start, int64_t end,
                      SampleCols *out, Err *err)
{
    bool gauge = header == HEADER_GAUGE;
    for (unsigned i = 0; i < n; i++) {
        if (i == 0)
            get_first(d);
        else
            get_next(d);
        get_side(d, &d->pos, i == 0);
        get_side(d, &d->neg, i == 0);
        if (d->r.failed)
            return bad(err);
        if (d->t > end)
            return 0;
        d->h.hint = gauge                                ? HINT_GAUGE
                    : i > 0 || header == HEADER_NO_RESET ? HINT_NO_COUNTER_RESET
                    : header == HEADER_RESET             ? HINT_COUNTER_RESET
                                                         : HINT_UNKNOWN;
        if (d->t >= start && !emit(d, out))
            return err_nomem(err);
    }
    return 0;
}

int chunk_decode_histograms(ChunkEncoding encoding, StrView bytes, int64_t start, int64_t end,
                            SampleCols *out, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 64 * 1024 * 1024);
    Decoder d = { .floats = encoding == CHUNK_FLOAT_HISTOGRAM, .arena = &a };
    unsigned n = chunk_samples(bytes);
    if (n == 0)
        return 0;
    if (bytes.len < 4)
        return bad(err);
    bits_reader(&d.r, (const uint8_t *)bytes.ptr + 3, bytes.len - 3);
    if (!get_layout(&d))
        return bad(err);
    return decode_all(&d, (uint8_t)bytes.ptr[2] & HEADER_MASK, n, start, end, out, err);
}
