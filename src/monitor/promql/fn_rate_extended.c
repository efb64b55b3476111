/* fn_rate_extended.c - rate, increase and delta with `anchored` and `smoothed`: no extrapolation;
 * the values at the window's edges are those of the sample before, or lie between the neighbours.
 */
#include "monitor/promql/fn.h"

double interpolate(int64_t t1, double v1, int64_t t2, double v2, int64_t t, bool counter)
{
    if (counter && v2 < v1)
        v1 = 0; /* it started again in between */
    return v1 + (v2 - v1) * (double)(t - t1) / (double)(t2 - t1);
}

const Histogram *interpolate_histograms(RangeCall *c, const Histogram *h1, int64_t t1,
                                        const Histogram *h2, int64_t t2, int64_t t, bool counter)
{
    if (t == t1)
        return h1;
    if (t == t2)
        return h2;
    double share = (double)(t - t1) / (double)(t2 - t1);
    HistogramAcc *acc = &c->extra;
    acc->compensate = false;
    histogram_acc_set(acc, h2);
    if (counter && histogram_detect_reset(h2, h1)) {
        histogram_acc_mul(acc, share);
        return range_take(c, acc, false);
    }
    if (!range_combine(c, acc, h1, true))
        return NULL;
    histogram_acc_mul(acc, share);
    return range_combine(c, acc, h1, false) ? range_take(c, acc, false) : NULL;
}

/* The samples that decide: `first` is the last at or before the window's start (or the first there
 * is), `last` the last inside, or with smoothed the first at or behind its end. */
static bool find_edges(const RangeWindow *w, const int64_t *t, size_t n, bool smoothed,
                       size_t *ret_first, size_t *ret_last)
{
    size_t last = n - 1, first = 0;
    while (first < last && t[first] <= w->start)
        first++;
    first = first ? first - 1 : 0;
    if (smoothed) {
        size_t i = 0;
        while (i < last && t[i] < w->end)
            i++;
        last = i;
    }
    *ret_first = first;
    *ret_last = last;
    return t[last] > w->start && !(smoothed && t[first] > w->end);
}

static double float_corrections(const RangeWindow *w, size_t first, size_t last, double left,
                                double right)
{
    double sum = 0, prev = left;
    size_t end = last + 1;
    if (w->ft[first] <= w->start)
        first++;
    if (w->ft[last] >= w->end)
        end--;
    for (size_t i = first; i < end; i++) {
        if (w->fv[i] < prev)
            sum += prev;
        prev = w->fv[i];
    }
    return right < prev ? sum + prev : sum;
}

static int extended_floats(RangeCall *c, const RangeWindow *w, bool counter, bool per_second,
                           double *v)
{
    bool smoothed = c->arg->mod.smoothed;
    const int64_t *t = w->ft;
    size_t first, last;
    if (!find_edges(w, t, w->nf, smoothed, &first, &last))
        return SAMPLE_NONE;
    double left = w->fv[first], right = w->fv[last];
    if (smoothed && t[first] < w->start)
        left =
            interpolate(t[first], w->fv[first], t[first + 1], w->fv[first + 1], w->start, counter);
    if (smoothed && last > 0 && t[last] > w->end)
        right = interpolate(t[last - 1], w->fv[last - 1], t[last], w->fv[last], w->end, counter);
    *v = right - left;
    if (counter)
        *v += float_corrections(w, first, last, left, right);
    if (per_second)
        *v /= w->seconds;
    return SAMPLE_FLOAT;
}

static bool check_kinds(RangeCall *c, const RangeWindow *w, size_t first, size_t last, bool counter)
{
    bool custom = histogram_is_custom(w->hh[first]);
    for (size_t i = first; i <= last; i++) {
        if (histogram_is_custom(w->hh[i]) != custom) {
            annotate_mixed_schemas(c->ev, c->pos, c->metric);
            return false;
        }
        if (counter && w->hh[i]->hint == HINT_GAUGE)
            annotate_named(&c->ev->annos, true, c->pos,
                           "this native histogram metric is not a counter:", c->metric);
    }
    return true;
}

/* Adds to c->acc what the counter had reached before resets between the edges. */
static bool histogram_corrections(RangeCall *c, const RangeWindow *w, size_t first, size_t last,
                                  const Histogram *left, const Histogram *right)
{
    const Histogram *prev = left;
    size_t i = first + 1;
    /* The interpolation on the left has taken a reset behind the first sample into account. */
    if (c->arg->mod.smoothed && w->ht[first] < w->start &&
        histogram_detect_reset(w->hh[first + 1], w->hh[first])) {
        prev = w->hh[first + 1];
        i++;
    }
    if (i > last)
        return true;
    for (; i < last; i++) {
        if (histogram_detect_reset(w->hh[i], prev) && !range_combine(c, &c->acc, prev, false))
            return false;
        prev = w->hh[i];
    }
    return !histogram_detect_reset(right, prev) || range_combine(c, &c->acc, prev, false);
}

static int failed_or_none(RangeCall *c)
{
    return c->ev->error_type ? -ERR_NOMEM : SAMPLE_NONE;
}

static int extended_histograms(RangeCall *c, const RangeWindow *w, bool counter, bool per_second,
                               const Histogram **ret)
{
    bool smoothed = c->arg->mod.smoothed;
    const int64_t *t = w->ht;
    size_t first, last;
    if (!find_edges(w, t, w->nh, smoothed, &first, &last) ||
        !check_kinds(c, w, first, last, counter))
        return SAMPLE_NONE;
    const Histogram *left = w->hh[first], *right = w->hh[last];
    if (smoothed && t[first] < w->start)
        left = interpolate_histograms(c, w->hh[first], t[first], w->hh[first + 1], t[first + 1],
                                      w->start, counter);
    if (left && smoothed && last > 0 && t[last] > w->end)
        right = interpolate_histograms(c, w->hh[last - 1], t[last - 1], w->hh[last], t[last],
                                       w->end, counter);
    if (!left || !right)
        return failed_or_none(c);
    if (!counter && (left->hint != HINT_GAUGE || right->hint != HINT_GAUGE))
        annotate_named(&c->ev->annos, true, c->pos,
                       "this native histogram metric is not a gauge:", c->metric);
    c->acc.compensate = false;
    histogram_acc_set(&c->acc, right);
    if (!range_combine(c, &c->acc, left, true))
        return SAMPLE_NONE;
    if (counter && !histogram_corrections(c, w, first, last, left, right))
        return SAMPLE_NONE;
    if (per_second)
        histogram_acc_div(&c->acc, w->seconds);
    c->acc.hint = HINT_GAUGE;
    *ret = range_take(c, &c->acc, true);
    return *ret ? SAMPLE_HISTOGRAM : -ERR_NOMEM;
}

int extended_rate(RangeCall *c, const RangeWindow *w, bool counter, bool per_second, double *v,
                  const Histogram **h)
{
    return w->nh ? extended_histograms(c, w, counter, per_second, h)
                 : extended_floats(c, w, counter, per_second, v);
}
