/* classic.c - see classic.h. Inside a bucket observations are taken to be spread evenly. */
#include "monitor/promql/classic.h"

#include <float.h>

#include "monitor/model/sample.h"

/* Relative differences of counts below it are artefacts of floating point. */
#define SMALL_DELTA 1e-12

bool almost_equal(double a, double b, double epsilon)
{
    if (is_stale_nan(a) || is_stale_nan(b))
        return is_stale_nan(a) && is_stale_nan(b);
    if ((isnan(a) && isnan(b)) || a == b)
        return true;
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return diff < epsilon * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < epsilon;
}

bool classic_bound(StrView text, double *ret)
{
    char buf[64], *end;
    if (!text.len || !sv_copy_cstr(text, buf, sizeof buf) || buf[0] == ' ')
        return false;
    *ret = strtod(buf, &end);
    return !*end && end != buf;
}

static int by_bound(const void *a, const void *b)
{
    double x = ((const ClassicBucket *)a)->le, y = ((const ClassicBucket *)b)->le;
    return (x > y) - (x < y);
}

/* Sorts and joins buckets of the same bound; 0: there is no +Inf bucket. */
static unsigned prepare(ClassicBucket *b, unsigned n)
{
    bool sorted = true;
    for (unsigned i = 1; i < n && sorted; i++)
        sorted = b[i - 1].le <= b[i].le;
    if (!sorted)
        qsort(b, n, sizeof *b, by_bound);
    if (!(isinf(b[n - 1].le) && b[n - 1].le > 0))
        return 0;
    unsigned last = 0;
    for (unsigned i = 1; i < n; i++) {
        if (b[i].le == b[last].le)
            b[last].count += b[i].count;
        else
            b[++last] = b[i];
    }
    return last + 1;
}

static void make_monotonic(ClassicBucket *b, unsigned n, ClassicFix *fix)
{
    double prev = b[0].count;
    *fix = (ClassicFix){ .min_bucket = INFINITY, .max_bucket = -INFINITY };
    for (unsigned i = 1; i < n; i++) {
        double cur = b[i].count;
        if (cur == prev)
            continue;
        bool small = almost_equal(prev, cur, SMALL_DELTA);
        if (!small && !(cur < prev)) {
            prev = cur;
            continue;
        }
        b[i].count = prev;
        if (small)
            continue;
        fix->forced = true;
        fix->min_bucket = fmin(fix->min_bucket, b[i].le);
        fix->max_bucket = fmax(fix->max_bucket, b[i].le);
        fix->max_diff = fmax(fix->max_diff, prev - cur);
    }
}

double classic_quantile(double q, ClassicBucket *b, unsigned n, ClassicFix *ret)
{
    *ret = (ClassicFix){ 0 };
    if (isnan(q))
        return NAN;
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    n = prepare(b, n);
    if (!n)
        return NAN;
    make_monotonic(b, n, ret);
    double all = b[n - 1].count;
    if (n < 2 || all == 0)
        return NAN;
    double rank = q * all;
    unsigned at = 0;
    while (at < n - 1 && !(b[at].count >= rank))
        at++;
    if (at == n - 1)
        return b[n - 2].le;
    if (at == 0 && b[0].le <= 0)
        return b[0].le;
    double start = 0, end = b[at].le, count = b[at].count;
    if (at > 0) {
        start = b[at - 1].le;
        count -= b[at - 1].count;
        rank -= b[at - 1].count;
    }
    return start + (end - start) * (rank / count);
}

typedef struct Edge {
    double at, rank;
    bool set;
} Edge;

static void edge_step(Edge *e, double lower, double upper, double rank, double count)
{
    if (e->set)
        return;
    if (lower >= e->at) {
        e->rank = rank;
        e->set = true;
    } else if (upper > e->at) {
        e->rank = isinf(lower) ? count : rank + (count - rank) * (e->at - lower) / (upper - lower);
        e->set = true;
    }
}

double classic_fraction(double lower, double upper, ClassicBucket *b, unsigned n)
{
    Edge lo = { .at = lower }, hi = { .at = upper };
    n = prepare(b, n);
    if (!n)
        return NAN;
    double count = b[n - 1].count, rank = 0;
    if (count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    for (unsigned i = 0; i < n && !(lo.set && hi.set); i++) {
        double start = i ? b[i - 1].le : b[0].le <= 0 ? -INFINITY : 0;
        edge_step(&lo, start, b[i].le, rank, b[i].count);
        edge_step(&hi, start, b[i].le, rank, b[i].count);
        rank = b[i].count;
    }
    if (!lo.set || lo.rank > count)
        lo.rank = count;
    if (!hi.set || hi.rank > count)
        hi.rank = count;
    return (hi.rank - lo.rank) / count;
}
