/* histogram.c - copies, checks, comparison, walking buckets, text. Arithmetic is in
 * histogram_acc.c, quantiles and fractions in histogram_calc.c. */
#include "monitor/model/histogram.h"

#include <inttypes.h>
#include <string.h>

#include "monitor/model/number.h"
#include "monitor/model/sample.h"

enum { STRUCT_WEIGHT = 168, SAMPLE_SIZE = 16 }; /* Prometheus' own reckoning */

static const void *copy_array(const void *src, size_t n, size_t size, Arena *a, bool *failed)
{
    if (!n)
        return NULL;
    void *dst = arena_alloc_n(a, n, size);
    if (dst)
        memcpy(dst, src, n * size);
    else
        *failed = true;
    return dst;
}

const Histogram *histogram_copy(const Histogram *h, Arena *a)
{
    bool failed = false;
    Histogram *c = histogram_shallow(h, a);
    if (!c)
        return NULL;
    c->pos_spans = copy_array(h->pos_spans, h->n_pos_spans, sizeof *h->pos_spans, a, &failed);
    c->neg_spans = copy_array(h->neg_spans, h->n_neg_spans, sizeof *h->neg_spans, a, &failed);
    c->pos = copy_array(h->pos, h->n_pos, sizeof *h->pos, a, &failed);
    c->neg = copy_array(h->neg, h->n_neg, sizeof *h->neg, a, &failed);
    c->bounds = copy_array(h->bounds, h->n_bounds, sizeof *h->bounds, a, &failed);
    return failed ? NULL : c;
}

Histogram *histogram_shallow(const Histogram *h, Arena *a)
{
    Histogram *c = arena_new(a, Histogram);
    if (c)
        *c = *h;
    return c;
}

static int check_spans(const HistogramSpan *spans, unsigned n, unsigned n_buckets, bool first,
                       uint64_t *ret_length, Err *err)
{
    uint64_t buckets = 0, length = 0;
    int64_t index = 0;
    for (unsigned i = 0; i < n; i++) {
        index += spans[i].offset;
        if (index < -HISTOGRAM_INDEX_MAX || index + spans[i].length > HISTOGRAM_INDEX_MAX)
            return err_set(err, ERR_INVALID, 0,
                           "span number %u with offset %d: buckets lie beyond index %d", i + 1,
                           spans[i].offset, HISTOGRAM_INDEX_MAX);
        index += spans[i].length;
        if ((i > 0 || first) && spans[i].offset < 0)
            return err_set(err, ERR_INVALID, 0,
                           "span number %u with offset %d: histogram has a span whose offset is "
                           "negative",
                           i + 1, spans[i].offset);
        buckets += spans[i].length;
        length += spans[i].length + (uint64_t)MAX(spans[i].offset, 0);
    }
    if (buckets != n_buckets)
        return err_set(err, ERR_INVALID, 0,
                       "spans need %" PRIu64 " buckets, have %u buckets: histogram spans specify "
                       "different number of buckets than provided",
                       buckets, n_buckets);
    *ret_length = length;
    return 0;
}

static int check_counts(const double *counts, unsigned n, Err *err)
{
    for (unsigned i = 0; i < n; i++) {
        if (counts[i] < 0) {
            _cleanup_buf_ Buf text = BUF_INIT;
            double_format_g(counts[i], &text);
            return err_set(err, ERR_INVALID, 0,
                           "bucket number %u has observation count of %.*s: histogram has a bucket "
                           "whose observation count is negative",
                           i + 1, SV_FMT(buf_view(&text)));
        }
    }
    return 0;
}

static int check_custom(const Histogram *h, Err *err)
{
    uint64_t length = 0;
    int r = 0;
    for (unsigned i = 0; i < h->n_bounds; i++) {
        if (isnan(h->bounds[i]))
            return err_set(err, ERR_INVALID, 0,
                           "custom buckets: histogram custom bounds must not be NaN");
        if (i > 0 && h->bounds[i] <= h->bounds[i - 1])
            return err_set(err, ERR_INVALID, 0,
                           "custom buckets: previous bound is %f and current is %f: histogram "
                           "custom bounds must be in strictly increasing order",
                           h->bounds[i - 1], h->bounds[i]);
    }
    if (h->n_bounds && isinf(h->bounds[h->n_bounds - 1]) && h->bounds[h->n_bounds - 1] > 0)
        return err_set(err, ERR_INVALID, 0,
                       "custom buckets: last +Inf bound must not be explicitly defined: histogram "
                       "custom bounds must be finite");
    r = check_spans(h->pos_spans, h->n_pos_spans, h->n_pos, true, &length, err);
    if (r < 0)
        return err_wrap(err, "custom buckets");
    if (h->n_bounds + 1ull < length)
        return err_set(err, ERR_INVALID, 0,
                       "custom buckets: only %u custom bounds defined which is insufficient to "
                       "cover total span length of %" PRIu64
                       ": histogram custom bounds are too few",
                       h->n_bounds, length);
    if (h->zero_count != 0)
        return err_set(err, ERR_INVALID, 0, "custom buckets: must have zero count of 0");
    if (h->zero_threshold != 0)
        return err_set(err, ERR_INVALID, 0, "custom buckets: must have zero threshold of 0");
    if (h->n_neg_spans || h->n_neg)
        return err_set(err, ERR_INVALID, 0, "custom buckets: must not have negative %s",
                       h->n_neg_spans ? "spans" : "buckets");
    return 0;
}

static int check_exponential(const Histogram *h, Err *err)
{
    uint64_t length;
    if (check_spans(h->pos_spans, h->n_pos_spans, h->n_pos, false, &length, err) < 0)
        return err_wrap(err, "positive side");
    if (check_spans(h->neg_spans, h->n_neg_spans, h->n_neg, false, &length, err) < 0 ||
        check_counts(h->neg, h->n_neg, err) < 0)
        return err_wrap(err, "negative side");
    if (h->zero_count < 0)
        return err_set(err, ERR_INVALID, 0,
                       "zero bucket has observation count of %g: histogram has a bucket whose "
                       "observation count is negative",
                       h->zero_count);
    if (h->n_bounds)
        return err_set(err, ERR_INVALID, 0,
                       "histogram with exponential schema must not have custom bounds");
    return 0;
}

int histogram_validate(const Histogram *h, Err *err)
{
    if (!histogram_schema_is_valid(h->schema))
        return err_set(err, ERR_INVALID, 0,
                       "histogram has an invalid schema, which must be between %d and %d for "
                       "exponential buckets, or %d for custom buckets, got schema %d",
                       HISTOGRAM_SCHEMA_MIN, HISTOGRAM_SCHEMA_MAX, HISTOGRAM_SCHEMA_CUSTOM,
                       h->schema);
    if (h->n_pos > HISTOGRAM_BUCKETS_MAX || h->n_neg > HISTOGRAM_BUCKETS_MAX)
        return err_set(err, ERR_LIMIT, 0, "histogram has more than %d buckets on one side",
                       HISTOGRAM_BUCKETS_MAX);
    int r = histogram_is_custom(h) ? check_custom(h, err) : check_exponential(h, err);
    if (r < 0)
        return r;
    if (h->count < 0)
        return err_set(err, ERR_INVALID, 0,
                       "observation count is  %g: histogram's observation count is negative",
                       h->count);
    if (check_counts(h->pos, h->n_pos, err) < 0)
        return err_wrap(err, "positive side");
    return 0;
}

static bool same_bits(double a, double b)
{
    return double_bits(a) == double_bits(b);
}

/* The next span with buckets; offsets of empty ones are added to its own. */
static bool next_span(const HistogramSpan *spans, unsigned n, unsigned *at, HistogramSpan *ret)
{
    int32_t offset = 0;
    while (*at < n) {
        HistogramSpan s = spans[(*at)++];
        offset += s.offset;
        /* What follows without a gap belongs to it. */
        if (!s.length)
            continue;
        *ret = (HistogramSpan){ offset, s.length };
        while (*at < n && (spans[*at].offset == 0))
            ret->length += spans[(*at)++].length;
        return true;
    }
    return false;
}

static bool same_side(const HistogramSpan *sa, unsigned na, const HistogramSpan *sb, unsigned nb,
                      const double *ca, unsigned n_ca, const double *cb, unsigned n_cb)
{
    HistogramSpan a, b;
    unsigned ia = 0, ib = 0;
    if (n_ca != n_cb)
        return false;
    for (;;) {
        bool more = next_span(sa, na, &ia, &a);
        if (more != next_span(sb, nb, &ib, &b))
            return false;
        if (!more)
            break;
        if (a.offset != b.offset || a.length != b.length)
            return false;
    }
    for (unsigned i = 0; i < n_ca; i++)
        if (!same_bits(ca[i], cb[i]))
            return false;
    return true;
}

bool histogram_same_bounds(const Histogram *a, const Histogram *b)
{
    if (a->n_bounds != b->n_bounds)
        return false;
    for (unsigned i = 0; i < a->n_bounds; i++)
        if (a->bounds[i] != b->bounds[i])
            return false;
    return true;
}

bool histogram_equal(const Histogram *a, const Histogram *b)
{
    return a->schema == b->schema && same_bits(a->count, b->count) && same_bits(a->sum, b->sum) &&
           histogram_same_bounds(a, b) && a->zero_threshold == b->zero_threshold &&
           same_bits(a->zero_count, b->zero_count) &&
           same_side(a->neg_spans, a->n_neg_spans, b->neg_spans, b->n_neg_spans, a->neg, a->n_neg,
                     b->neg, b->n_neg) &&
           same_side(a->pos_spans, a->n_pos_spans, b->pos_spans, b->n_pos_spans, a->pos, a->n_pos,
                     b->pos, b->n_pos);
}

bool histogram_has_inf(const Histogram *h)
{
    bool inf = isinf(h->zero_count) || isinf(h->count) || isinf(h->sum);
    for (unsigned i = 0; i < h->n_pos && !inf; i++)
        inf = isinf(h->pos[i]);
    for (unsigned i = 0; i < h->n_neg && !inf; i++)
        inf = isinf(h->neg[i]);
    return inf;
}

size_t histogram_weight(const Histogram *h)
{
    size_t bytes = STRUCT_WEIGHT + 8ul * (h->n_pos_spans + h->n_neg_spans) +
                   8ul * (h->n_pos + h->n_neg + h->n_bounds);
    return (bytes + 8) / SAMPLE_SIZE;
}

/* Starts one side at its first bucket, or at its last when walking backwards. */
static void start_side(HistogramIter *it, bool negative, bool backwards)
{
    const Histogram *h = it->h;
    const HistogramSpan *spans = negative ? h->neg_spans : h->pos_spans;
    unsigned n = negative ? h->n_neg_spans : h->n_pos_spans;
    it->negative = negative;
    it->backwards = backwards;
    it->left = negative ? h->n_neg : h->n_pos;
    it->span = it->in_span = it->at = 0;
    it->index = n ? spans[0].offset - 1 : 0;
    if (!backwards)
        return;
    it->at = it->left - 1;
    it->span = n ? n - 1 : 0;
    it->in_span = n ? spans[n - 1].length : 0;
    it->index = 0;
    for (unsigned i = 0; i < n; i++)
        it->index += spans[i].offset + (int32_t)spans[i].length;
}

static bool step_forward(HistogramIter *it, const HistogramSpan *spans, unsigned n)
{
    if (it->span >= n)
        return false;
    it->index++;
    while (it->in_span >= spans[it->span].length) {
        it->in_span = 0;
        if (++it->span >= n)
            return false;
        it->index += spans[it->span].offset;
    }
    it->in_span++;
    return true;
}

static bool step_back(HistogramIter *it, const HistogramSpan *spans)
{
    it->index--;
    while (it->in_span == 0) {
        if (it->span == 0)
            return false;
        it->index -= spans[it->span].offset;
        it->in_span = spans[--it->span].length;
    }
    it->in_span--;
    return true;
}

static double bound_of(const Histogram *h, int32_t index)
{
    if (!histogram_is_custom(h))
        return histogram_bound(index, h->schema);
    if (index < 0)
        return -INFINITY;
    return (unsigned)index < h->n_bounds ? h->bounds[index] : INFINITY;
}

static bool next_of_side(HistogramIter *it, HistogramBucket *ret)
{
    const Histogram *h = it->h;
    const HistogramSpan *spans = it->negative ? h->neg_spans : h->pos_spans;
    unsigned n = it->negative ? h->n_neg_spans : h->n_pos_spans;
    if (!it->left || !n || !(it->backwards ? step_back(it, spans) : step_forward(it, spans, n)))
        return false;
    it->left--;
    double near = bound_of(h, it->index - 1), far = bound_of(h, it->index);
    *ret = (HistogramBucket){ .lower = it->negative ? -far : near,
                              .upper = it->negative ? -near : far,
                              .count = (it->negative ? h->neg : h->pos)[it->at],
                              .index = it->index };
    it->at += it->backwards ? -1u : 1u;
    if (histogram_is_custom(h)) {
        ret->lower_inclusive = it->index == 0;
        ret->upper_inclusive = true;
    } else {
        ret->lower_inclusive = ret->lower < 0;
        ret->upper_inclusive = ret->upper > 0;
    }
    return true;
}

void histogram_iter(const Histogram *h, HistogramWalk walk, HistogramIter *ret)
{
    *ret = (HistogramIter){ .h = h, .walk = walk };
    if (walk == WALK_POSITIVE || walk == WALK_NEGATIVE)
        start_side(ret, walk == WALK_NEGATIVE, false);
    else
        start_side(ret, walk == WALK_ALL, true);
}

bool histogram_next(HistogramIter *it, HistogramBucket *ret)
{
    const Histogram *h = it->h;
    double zero = h->zero_threshold;
    if (it->walk == WALK_POSITIVE || it->walk == WALK_NEGATIVE)
        return next_of_side(it, ret);
    for (; it->stage < 3; it->stage++) {
        if (it->stage != 1 && next_of_side(it, ret)) {
            /* A bucket that reaches into the zero bucket ends at its edge. */
            if (ret->lower > 0 && ret->lower < zero)
                ret->lower = zero;
            else if (ret->upper < 0 && ret->upper > -zero)
                ret->upper = -zero;
            return true;
        }
        if (it->stage != 1)
            continue;
        start_side(it, it->walk == WALK_ALL_REVERSE, false);
        if (h->zero_count > 0) {
            it->stage = 2;
            *ret = (HistogramBucket){ -zero, zero, h->zero_count, true, true, 0 };
            return true;
        }
    }
    return false;
}

static void put_bucket(const HistogramBucket *b, Buf *out)
{
    buf_sv(out, b->lower_inclusive ? SV(", [") : SV(", ("));
    double_format_g(b->lower, out);
    buf_putc(out, ',');
    double_format_g(b->upper, out);
    buf_sv(out, b->upper_inclusive ? SV("]:") : SV("):"));
    double_format_g(b->count, out);
}

void histogram_format(const Histogram *h, Buf *out)
{
    buf_sv(out, SV("{count:"));
    double_format_g(h->count, out);
    buf_sv(out, SV(", sum:"));
    double_format_g(h->sum, out);
    HistogramIter it;
    HistogramBucket b;
    it = (HistogramIter){ .h = h };
    start_side(&it, true, true);
    while (next_of_side(&it, &b))
        if (b.count != 0)
            put_bucket(&b, out);
    if (h->zero_count != 0)
        put_bucket(&(HistogramBucket){ -h->zero_threshold, h->zero_threshold, h->zero_count, true,
                                       true, 0 },
                   out);
    it = (HistogramIter){ .h = h };
    start_side(&it, false, false);
    while (next_of_side(&it, &b))
        if (b.count != 0)
            put_bucket(&b, out);
    buf_putc(out, '}');
}
