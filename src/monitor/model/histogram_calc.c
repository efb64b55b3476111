/* histogram_calc.c - quantiles, fractions and trimming: estimates inside a bucket.
 *
 * Inside exponential buckets observations are taken to be spread evenly on a logarithmic scale; in
 * the zero bucket and in custom buckets evenly on a linear one. A histogram with buckets on one
 * side only has a zero bucket that ends at 0 on the other. */
#include "monitor/model/histogram.h"

double histogram_bucket_below(const HistogramBucket *b, double v, bool linear)
{
    if (linear)
        return (v - b->lower) / (b->upper - b->lower);
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), at = log2(fabs(v));
    if (v > 0)
        return (at - lower) / (upper - lower);
    return 1 - (at - upper) / (lower - upper);
}

static void narrow_zero_bucket(const Histogram *h, HistogramBucket *b)
{
    if (h->n_neg == 0 && h->n_pos > 0)
        b->lower = 0;
    else if (h->n_pos == 0 && h->n_neg > 0)
        b->upper = 0;
}

/* NaN observations are counted but lie in no bucket. Only then is the sum NaN and the buckets hold
 * less than the count. */
static bool has_nans(HistogramIter *it, double counted, const Histogram *h)
{
    HistogramBucket b;
    while (histogram_next(it, &b))
        counted += b.count;
    return counted < h->count;
}

double histogram_quantile(double q, const Histogram *h, HistogramRemark *ret)
{
    HistogramIter it;
    HistogramBucket b = { 0 };
    double count = 0, rank;
    bool nan = isnan(h->sum), forward = nan || q < 0.5, custom = histogram_is_custom(h);

    *ret = HISTOGRAM_FINE;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (h->count == 0 || isnan(q))
        return NAN;
    histogram_iter(h, forward ? WALK_ALL : WALK_ALL_REVERSE, &it);
    rank = (forward ? q : 1 - q) * h->count;
    while (histogram_next(&it, &b)) {
        if (b.count == 0)
            continue;
        count += b.count;
        if (count >= rank)
            break;
    }
    if (!custom && b.lower < 0 && b.upper > 0) {
        narrow_zero_bucket(h, &b);
    } else if (custom) {
        if (b.lower == -INFINITY) {
            if (b.upper <= 0)
                return b.upper;
            b.lower = 0;
        } else if (b.upper == INFINITY) {
            return b.lower;
        }
    }
    count = MIN(count, h->count);
    if (count < rank) {
        if (!nan)
            return b.upper;
        *ret = HISTOGRAM_NAN_RESULT;
        return NAN;
    }
    rank = forward ? rank - (count - b.count) : count - rank;
    if (nan && has_nans(&it, count, h))
        *ret = HISTOGRAM_NAN_SKEW;
    double share = rank / b.count;
    if (custom || (b.lower <= 0 && b.upper >= 0))
        return b.lower + (b.upper - b.lower) * share;
    double lower = log2(fabs(b.lower)), upper = log2(fabs(b.upper));
    if (b.lower > 0)
        return exp2(lower + (upper - lower) * share);
    return -exp2(upper + (lower - upper) * (1 - share));
}

typedef struct Edge {
    double at, rank;
    bool set;
} Edge;

static void edge_at_start(Edge *e, const HistogramBucket *b, double rank)
{
    if (e->set || b->lower < e->at)
        return;
    e->rank = rank;
    e->set = true;
}

static void edge_inside(Edge *e, const HistogramBucket *b, double rank, bool linear)
{
    if (e->set || !(b->lower < e->at && b->upper > e->at))
        return;
    if (linear && b->lower == -INFINITY)
        e->rank = b->count;
    else
        e->rank = rank + b->count * histogram_bucket_below(b, e->at, linear);
    e->set = true;
}

double histogram_fraction(double lower, double upper, const Histogram *h, HistogramRemark *ret)
{
    Edge lo = { .at = lower }, hi = { .at = upper };
    HistogramIter it;
    HistogramBucket b;
    double count = 0, rank = 0;

    *ret = HISTOGRAM_FINE;
    if (h->count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    histogram_iter(h, WALK_ALL, &it);
    while (histogram_next(&it, &b)) {
        bool zero = b.lower <= 0 && b.upper >= 0, linear = histogram_is_custom(h) || zero;
        count += b.count;
        if (zero)
            narrow_zero_bucket(h, &b);
        edge_at_start(&lo, &b, rank);
        edge_at_start(&hi, &b, rank);
        edge_inside(&lo, &b, rank, linear);
        edge_inside(&hi, &b, rank, linear);
        if (lo.set && hi.set)
            break;
        rank += b.count;
    }
    if (!isnan(h->sum)) {
        count = h->count;
    } else {
        while (histogram_next(&it, &b))
            count += b.count;
        if (count < h->count)
            *ret = HISTOGRAM_NAN_SKEW;
    }
    if (!lo.set || lo.rank > count)
        lo.rank = count;
    if (!hi.set || hi.rank > count)
        hi.rank = count;
    return (hi.rank - lo.rank) / h->count;
}

static double finite_or_zero(double v)
{
    return isinf(v) ? 0 : v;
}

/* What is kept of a bucket without end, of whose inside nothing is known: all or nothing, but for
 * the first custom bucket, which is taken to start at 0 when it ends above. */
static double trim_endless(const HistogramBucket *b, double limit, bool upper, double *mid)
{
    *mid = 0;
    if (b->lower == -INFINITY) {
        bool from_zero = b->upper > 0 && isfinite(b->upper);
        if (upper ? limit >= b->upper : limit <= b->lower)
            return b->count;
        if (upper && limit > 0 && from_zero) {
            *mid = limit / 2;
            return b->count * limit / b->upper;
        }
        if (upper && b->upper <= 0) {
            *mid = limit;
            return b->count;
        }
        if (!upper && limit >= 0 && b->upper > limit && isfinite(b->upper)) {
            *mid = (limit + b->upper) / 2;
            return b->count * (1 - limit / b->upper);
        }
        *mid = finite_or_zero(b->upper);
        return 0;
    }
    if (!upper && limit >= b->lower) {
        *mid = limit;
        return b->count;
    }
    *mid = finite_or_zero(b->lower);
    return 0;
}

static double midpoint(double lower, double upper, bool negative, bool linear)
{
    if (isinf(lower))
        return isinf(upper) ? 0 : upper > 0 ? upper / 2 : upper;
    if (isinf(upper))
        return lower;
    if (linear)
        return (lower + upper) / 2;
    double mean = sqrt(fabs(lower * upper));
    return negative ? -mean : mean;
}

typedef struct Trim {
    double limit, count, sum;
    bool upper, custom, cut;
} Trim;

static double trim_bucket(const HistogramBucket *b, const Trim *t, bool negative, double *mid)
{
    if (b->lower == -INFINITY || b->upper == INFINITY)
        return trim_endless(b, t->limit, t->upper, mid);
    double below = b->count * histogram_bucket_below(b, t->limit, t->custom);
    *mid = t->upper ? midpoint(b->lower, t->limit, negative, t->custom)
                    : midpoint(t->limit, b->upper, negative, t->custom);
    return t->upper ? below : b->count - below;
}

/* Cuts the buckets of one side; true: it had observations. */
static bool trim_side(const Histogram *h, HistogramSide *s, bool negative, Trim *t)
{
    HistogramIter it;
    HistogramBucket b;
    bool any = false;
    histogram_iter(h, negative ? WALK_NEGATIVE : WALK_POSITIVE, &it);
    for (unsigned i = 0; histogram_next(&it, &b); i++) {
        double mid, keep;
        if (b.count == 0)
            continue;
        any = true;
        if (t->upper ? b.upper <= t->limit : b.lower >= t->limit) {
            keep = b.count;
            mid = midpoint(b.lower, b.upper, negative, t->custom);
        } else if (t->upper ? b.lower < t->limit : b.upper > t->limit) {
            keep = trim_bucket(&b, t, negative, &mid);
        } else {
            keep = mid = 0;
        }
        t->count += keep;
        t->sum += mid * keep;
        if (keep != b.count || (keep == 0 && b.count == 0)) {
            s->count[i] = keep;
            t->cut = true;
        }
    }
    return any;
}

static void trim_zero(HistogramAcc *acc, Trim *t, bool has_neg, bool has_pos)
{
    double lower = has_pos && !has_neg ? 0 : -acc->zero_threshold;
    double upper = has_neg && !has_pos ? 0 : acc->zero_threshold;
    double share, mid, keep;
    if (t->limit <= lower) {
        share = t->upper ? 0 : 1;
        mid = t->upper ? 0 : (lower + upper) / 2;
    } else if (t->limit >= upper) {
        share = t->upper ? 1 : 0;
        mid = t->upper ? (lower + upper) / 2 : 0;
    } else {
        share = (t->upper ? t->limit - lower : upper - t->limit) / (upper - lower);
        mid = (t->limit + (t->upper ? lower : upper)) / 2;
    }
    keep = acc->zero_count * share;
    if (keep != acc->zero_count)
        t->cut = true;
    acc->zero_count = keep;
    t->sum += mid * keep;
    t->count += keep;
}

const Histogram *histogram_trim(const Histogram *h, double limit, bool upper, Arena *a)
{
    Trim t = { .limit = limit, .upper = upper, .custom = histogram_is_custom(h) };
    HistogramAcc acc = { 0 };
    histogram_acc_set(&acc, h);
    const Histogram *ret = NULL;
    if (!acc.failed) {
        bool has_pos = trim_side(h, &acc.pos, false, &t),
             has_neg = trim_side(h, &acc.neg, true, &t);
        if (acc.zero_count > 0)
            trim_zero(&acc, &t, has_neg, has_pos);
        if (t.cut) {
            acc.count = t.count;
            acc.sum = t.sum;
            histogram_acc_compact(&acc);
        }
        ret = histogram_acc_take(&acc, a);
    }
    histogram_acc_free(&acc);
    return ret;
}
