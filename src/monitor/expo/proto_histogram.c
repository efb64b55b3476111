/* proto_histogram.c - histograms of decoded messages: native ones, and classic buckets turned into
 * a native histogram with custom bounds. */
#include <math.h>

#include "monitor/expo/proto.h"

bool proto_is_native(const ProtoMetric *m)
{
    return m->pos.n_spans || m->neg.n_spans || m->zero_threshold > 0 || m->zero_count > 0;
}

static int check_side(const ProtoSide *s, bool floats, const char *side, StrView name, Err *err)
{
    uint64_t want = 0, have = floats ? s->n_counts : s->n_deltas;
    for (unsigned i = 0; i < s->n_spans; i++)
        want += s->spans[i].length;
    if (want == have)
        return 0;
    return err_set(err, ERR_INVALID, 0,
                   "histogram \"%.*s\": %s side: spans require %llu buckets, have %llu",
                   (int)MIN(name.len, (size_t)200), name.ptr, side, (unsigned long long)want,
                   (unsigned long long)have);
}

/* Absolute counts of a side. NULL: exhausted. */
static const double *absolute(const ProtoSide *s, Arena *a)
{
    double *out = arena_array(a, double, s->n_deltas + 1u);
    int64_t sum = 0;
    for (unsigned i = 0; out && i < s->n_deltas; i++) {
        sum = (int64_t)((uint64_t)sum + (uint64_t)s->deltas[i]);
        out[i] = (double)sum;
    }
    return out;
}

int proto_native(const ProtoMetric *m, bool gauge, StrView name, Arena *a, const Histogram **ret,
                 Err *err)
{
    bool floats = m->count_float > 0 || m->zero_count_float > 0;
    int r;

    if ((r = check_side(&m->pos, floats, "positive", name, err)) < 0 ||
        (r = check_side(&m->neg, floats, "negative", name, err)) < 0)
        return r;
    Histogram h = {
        .hint = gauge ? HINT_GAUGE : HINT_UNKNOWN,
        .schema = m->schema,
        .zero_threshold = m->zero_threshold,
        .zero_count = floats ? m->zero_count_float : m->zero_count,
        .count = floats ? m->count_float : m->count,
        .sum = m->sum,
        .pos_spans = m->pos.spans,
        .neg_spans = m->neg.spans,
        .n_pos_spans = m->pos.n_spans,
        .n_neg_spans = m->neg.n_spans,
        .pos = floats ? m->pos.counts : absolute(&m->pos, a),
        .neg = floats ? m->neg.counts : absolute(&m->neg, a),
        .n_pos = floats ? m->pos.n_counts : m->pos.n_deltas,
        .n_neg = floats ? m->neg.n_counts : m->neg.n_deltas,
        .integer = !floats,
    };
    if (!floats && (!h.pos || !h.neg))
        return err_nomem(err);
    const Histogram *compact = histogram_compact(&h, 0, a);
    /* compact may hand the struct itself back when there is nothing to do */
    *ret = compact == &h ? histogram_copy(&h, a) : compact;
    return *ret ? 0 : err_nomem(err);
}

static bool whole(double v)
{
    return v == floor(v) && fabs(v) < 9007199254740992.0;
}

int proto_custom(const ProtoMetric *m, bool gauge, Arena *a, const Histogram **ret, Err *err)
{
    unsigned n = m->n_buckets;
    double count = m->count_float != 0 ? m->count_float : m->count, before = 0;
    double *bounds = arena_array(a, double, n + 1u), *counts = arena_array(a, double, n + 1u);
    HistogramSpan *span = arena_new(a, HistogramSpan);
    bool integer = whole(count);

    if (!bounds || !counts || !span)
        return err_nomem(err);
    if (n && isinf(m->buckets[n - 1].bound) && m->buckets[n - 1].bound > 0)
        n--; /* +Inf has no bound of its own */
    for (unsigned i = 0; i < n; i++) {
        double bound = m->buckets[i].bound, c = m->buckets[i].count;
        if (isnan(bound) || (i && bound <= bounds[i - 1]))
            return err_set(err, ERR_INVALID, 0, "histogram bounds are not in ascending order");
        if (c < before)
            return err_set(err, ERR_INVALID, 0,
                           "count is not a monotonically increasing value in cumulative buckets");
        bounds[i] = bound;
        counts[i] = c - before;
        before = c;
        integer &= whole(c);
    }
    if (count < before)
        return err_set(err, ERR_INVALID, 0,
                       "the count of a histogram is smaller than that of its last bucket");
    counts[n] = count - before;
    *span = (HistogramSpan){ 0, n + 1 };
    Histogram h = { .hint = gauge ? HINT_GAUGE : HINT_UNKNOWN,
                    .schema = HISTOGRAM_SCHEMA_CUSTOM,
                    .count = count,
                    .sum = m->sum,
                    .pos_spans = span,
                    .n_pos_spans = 1,
                    .pos = counts,
                    .n_pos = n + 1,
                    .bounds = bounds,
                    .n_bounds = n,
                    .integer = integer };
    const Histogram *compact = histogram_compact(&h, 2, a);
    *ret = compact == &h ? histogram_copy(&h, a) : compact;
    return *ret ? 0 : err_nomem(err);
}
