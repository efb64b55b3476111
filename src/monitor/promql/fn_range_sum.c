/* fn_range_sum.c - sum_over_time and avg_over_time, of floats and of histograms. */
#include "monitor/model/number.h"
#include "monitor/promql/fn.h"
#include "monitor/promql/histogram_mean.h"

/* The mean is of a compensated sum; when that overflows, a running mean goes on. */
static double mean_of(const double *v, size_t n)
{
    double sum = v[0], mean = 0, c = 0;
    bool running = false;
    for (size_t i = 1; i < n; i++) {
        double count = (double)(i + 1);
        if (!running) {
            double next = sum, next_c = c;
            kahan_add(v[i], &next, &next_c);
            if (!isinf(next)) {
                sum = next;
                c = next_c;
                continue;
            }
            running = true;
            mean = sum / (count - 1);
            c /= count - 1;
        }
        double q = (count - 1) / count;
        mean *= q;
        c *= q;
        kahan_add(v[i] / count, &mean, &c);
    }
    return running ? mean + c : sum / (double)n + c / (double)n;
}

static double sum_of(const double *v, size_t n)
{
    double sum = 0, c = 0;
    for (size_t i = 0; i < n; i++)
        kahan_add(v[i], &sum, &c);
    return isinf(sum) ? sum : sum + c;
}

/* Windows that overlap would add the same samples again and again. Compensated sums up to each
 * sample give a window's sum as one difference, to the last place. */
static int sum_up(RangeCall *c, const RangeSeries *r)
{
    double hi = 0, lo = 0, max = 0;
    c->prefix_max = -1;
    if (c->steps.n < 2 || c->arg->mod.range < 4 * c->steps.step)
        return 0;
    size_t cap = c->cap_prefix;
    if (!range_reserve(c, &c->prefix, &c->cap_prefix, r->nf + 1, sizeof hi) ||
        !range_reserve(c, &c->prefix_lo, &cap, r->nf + 1, sizeof lo))
        return -ERR_NOMEM;
    c->prefix[0] = c->prefix_lo[0] = 0;
    for (size_t i = 0; i < r->nf; i++) {
        double v = r->fv[i], t = hi + v, part = t - hi;
        lo += (hi - (t - part)) + (v - part); /* what the addition has rounded off */
        hi = t;
        c->prefix[i + 1] = hi;
        c->prefix_lo[i + 1] = lo;
        max = fabs(hi) > max ? fabs(hi) : max;
    }
    if (isfinite(hi) && max < 1e290) /* else also NaN and infinity have been in it */
        c->prefix_max = max;
    return 0;
}

/* False: too little of the precision is left, as the sums are so much larger than the window's. */
static bool window_sum(const RangeCall *c, const RangeWindow *w, double *ret)
{
    if (c->prefix_max < 0)
        return false;
    size_t a = w->first, b = w->first + w->nf;
    double x = c->prefix[b], y = -c->prefix[a], t = x + y, part = t - x;
    double error = (x - (t - part)) + (y - part);
    *ret = t + (error + (c->prefix_lo[b] - c->prefix_lo[a]));
    return fabs(*ret) >= c->prefix_max * 0x1p-20;
}

static int sum_histograms(RangeCall *c, const RangeWindow *w, bool mean, const Histogram **ret)
{
    HistogramMean m = { .acc = c->acc, .trial = c->extra };
    unsigned flags = 0;
    histogram_mean_start(&m, w->hh[0]);
    for (size_t i = 1; i < w->nh && !(flags & HISTOGRAM_ADD_MIXED); i++)
        flags |=
            mean ? histogram_mean_add(&m, w->hh[i], c->scratch) : histogram_mean_sum(&m, w->hh[i]);
    if (!(flags & HISTOGRAM_ADD_MIXED))
        *ret = histogram_mean_take(&m, mean, c->scratch);
    c->acc = m.acc;
    c->extra = m.trial;
    if (flags & HISTOGRAM_ADD_MIXED) {
        annotate_mixed_schemas(c->ev, c->pos, c->metric);
        return SAMPLE_NONE;
    }
    if (m.reset_seen && m.no_reset_seen)
        annotate_warning(&c->ev->annos, c->pos,
                         "conflicting counter resets during histogram aggregation");
    if (flags & HISTOGRAM_ADD_RECONCILED)
        annotate_reconciled(c->ev, c->pos, "aggregation");
    return *ret ? SAMPLE_HISTOGRAM : eval_nomem(c->ev);
}

static int total(RangeCall *c, const RangeWindow *w, bool mean, double *v, const Histogram **h)
{
    if (w->nf && w->nh) {
        annotate_mixed_samples(c);
        return SAMPLE_NONE;
    }
    if (w->nh)
        return sum_histograms(c, w, mean, h);
    if (window_sum(c, w, v)) {
        if (mean)
            *v /= (double)w->nf;
        return SAMPLE_FLOAT;
    }
    *v = mean ? mean_of(w->fv, w->nf) : sum_of(w->fv, w->nf);
    return SAMPLE_FLOAT;
}

static int call_sum(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return total(c, w, false, v, h);
}
static int call_avg(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return total(c, w, true, v, h);
}

const RangeFunction fn_sum_over_time = { .call = call_sum, .prepare = sum_up };
const RangeFunction fn_avg_over_time = { .call = call_avg, .prepare = sum_up };
