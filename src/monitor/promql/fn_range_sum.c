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

const RangeFunction fn_sum_over_time = { .call = call_sum };
const RangeFunction fn_avg_over_time = { .call = call_avg };
