/* fn_range.c - *_over_time, changes, resets, deriv, predict_linear and the like. Sums of histograms
 * are in fn_range_histogram.c. */
#include "monitor/model/number.h"
#include "monitor/promql/fn.h"

static void ignore_histograms(RangeCall *c, const RangeWindow *w)
{
    if (w->nh)
        annotate_named(&c->ev->annos, false, c->pos,
                       "ignored histograms in a range containing both floats and histograms for "
                       "metric name",
                       c->metric);
}

static int call_count(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    *v = (double)(w->nf + w->nh);
    return SAMPLE_FLOAT;
}

static int call_present(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    *v = 1;
    return SAMPLE_FLOAT;
}

static int call_first(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    if (!w->nh || (w->nf && w->ft[0] < w->ht[0])) {
        *v = w->fv[0];
        return SAMPLE_FLOAT;
    }
    *h = w->hh[0];
    return SAMPLE_HISTOGRAM;
}

static int call_last(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    if (!w->nh || (w->nf && w->ft[w->nf - 1] > w->ht[w->nh - 1])) {
        *v = w->fv[w->nf - 1];
        return SAMPLE_FLOAT;
    }
    *h = w->hh[w->nh - 1];
    return SAMPLE_HISTOGRAM;
}

static int call_ts_of_first(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    int64_t f = w->nf ? w->ft[0] : INT64_MAX, g = w->nh ? w->ht[0] : INT64_MAX;
    *v = (double)MIN(f, g) / 1000;
    return SAMPLE_FLOAT;
}

static int call_ts_of_last(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    int64_t f = w->nf ? w->ft[w->nf - 1] : INT64_MIN, g = w->nh ? w->ht[w->nh - 1] : INT64_MIN;
    *v = (double)MAX(f, g) / 1000;
    return SAMPLE_FLOAT;
}

/* The place of the extreme float; `last` takes the last of equals. */
static size_t extreme(const RangeWindow *w, bool max, bool last)
{
    size_t at = 0;
    for (size_t i = 1; i < w->nf; i++) {
        double v = w->fv[i], best = w->fv[at];
        if ((max ? v > best : v < best) || isnan(best) || (last && v == best))
            at = i;
    }
    return at;
}

static int extreme_call(RangeCall *c, const RangeWindow *w, bool max, bool time, double *v)
{
    if (!w->nf)
        return SAMPLE_NONE;
    ignore_histograms(c, w);
    size_t at = extreme(w, max, time);
    *v = time ? (double)w->ft[at] / 1000 : w->fv[at];
    return SAMPLE_FLOAT;
}

static int call_max(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return extreme_call(c, w, true, false, v);
}
static int call_min(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return extreme_call(c, w, false, false, v);
}
static int call_ts_of_max(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return extreme_call(c, w, true, true, v);
}
static int call_ts_of_min(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return extreme_call(c, w, false, true, v);
}

static int sort_window(RangeCall *c, const RangeWindow *w, double **ret)
{
    *ret = range_sort_buffer(c, w->nf);
    if (!*ret)
        return -ERR_NOMEM;
    memcpy(*ret, w->fv, w->nf * sizeof **ret);
    sort_doubles_nan_first(*ret, w->nf);
    return 0;
}

static int call_quantile(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    double q = w->args[0], *sorted;
    if (!w->nf)
        return SAMPLE_NONE;
    if (isnan(q) || q < 0 || q > 1) {
        _cleanup_buf_ Buf text = BUF_INIT;
        double_format_g(q, &text);
        annotate_warning(&c->ev->annos, c->call->args[0]->start,
                         "quantile value should be between 0 and 1, got %.*s",
                         SV_FMT(buf_view(&text)));
    }
    if (w->nh)
        annotate_named(&c->ev->annos, false, c->call->args[0]->start,
                       "ignored histograms in a range containing both floats and histograms for "
                       "metric name",
                       c->metric);
    if (sort_window(c, w, &sorted) < 0)
        return -ERR_NOMEM;
    *v = quantile_sorted(q, sorted, w->nf);
    return SAMPLE_FLOAT;
}

static int call_mad(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    double *sorted;
    if (!w->nf)
        return SAMPLE_NONE;
    ignore_histograms(c, w);
    if (sort_window(c, w, &sorted) < 0)
        return -ERR_NOMEM;
    *v = NAN;
    if (isnan(sorted[0])) /* NaN comes first */
        return SAMPLE_FLOAT;
    double median = quantile_sorted(0.5, sorted, w->nf);
    for (size_t i = 0; i < w->nf; i++)
        sorted[i] = fabs(sorted[i] - median);
    sort_doubles_nan_first(sorted, w->nf);
    *v = quantile_sorted(0.5, sorted, w->nf);
    return SAMPLE_FLOAT;
}

static int variance(RangeCall *c, const RangeWindow *w, double *v)
{
    double mean = 0, mean_c = 0, aux = 0, aux_c = 0;
    if (!w->nf)
        return SAMPLE_NONE;
    ignore_histograms(c, w);
    for (size_t i = 0; i < w->nf; i++) {
        double delta = w->fv[i] - (mean + mean_c);
        kahan_add(delta / (double)(i + 1), &mean, &mean_c);
        kahan_add(delta * (w->fv[i] - (mean + mean_c)), &aux, &aux_c);
    }
    *v = (aux + aux_c) / (double)w->nf;
    return SAMPLE_FLOAT;
}

static int call_stdvar(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return variance(c, w, v);
}
static int call_stddev(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    int kind = variance(c, w, v);
    if (kind == SAMPLE_FLOAT)
        *v = sqrt(*v);
    return kind;
}

static void linear_regression(const RangeWindow *w, int64_t intercept_time, double *slope,
                              double *intercept)
{
    double n = (double)w->nf, x_sum = 0, x_c = 0, y_sum = 0, y_c = 0, xy = 0, xy_c = 0, x2 = 0,
           x2_c = 0;
    bool constant = true;
    for (size_t i = 0; i < w->nf; i++) {
        double x = (double)(w->ft[i] - intercept_time) / 1e3, y = w->fv[i];
        constant = constant && (i == 0 || y == w->fv[0]);
        kahan_add(x, &x_sum, &x_c);
        kahan_add(y, &y_sum, &y_c);
        kahan_add(x * y, &xy, &xy_c);
        kahan_add(x * x, &x2, &x2_c);
    }
    if (constant) {
        *slope = isinf(w->fv[0]) ? NAN : 0;
        *intercept = isinf(w->fv[0]) ? NAN : w->fv[0];
        return;
    }
    x_sum += x_c;
    y_sum += y_c;
    xy += xy_c;
    x2 += x2_c;
    double cov = xy - x_sum * y_sum / n, var = x2 - x_sum * x_sum / n;
    *slope = cov / var;
    *intercept = y_sum / n - *slope * x_sum / n;
}

/* Fewer than two floats tell no trend. */
static bool has_trend(RangeCall *c, const RangeWindow *w)
{
    if (w->nf >= 1)
        ignore_histograms(c, w);
    return w->nf >= 2;
}

static int call_deriv(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    double intercept;
    if (!has_trend(c, w))
        return SAMPLE_NONE;
    linear_regression(w, w->ft[0], v, &intercept);
    return SAMPLE_FLOAT;
}

static int call_predict_linear(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    double slope, intercept;
    if (!has_trend(c, w))
        return SAMPLE_NONE;
    linear_regression(w, w->time, &slope, &intercept);
    *v = slope * w->args[0] + intercept;
    return SAMPLE_FLOAT;
}

static int call_double_exponential(RangeCall *c, const RangeWindow *w, double *v,
                                   const Histogram **h)
{
    double sf = w->args[0], tf = w->args[1];
    if (sf <= 0 || sf >= 1)
        return eval_fail(c->ev, PROMQL_EXECUTION, ERR_INVALID,
                         "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", sf);
    if (tf <= 0 || tf >= 1)
        return eval_fail(c->ev, PROMQL_EXECUTION, ERR_INVALID,
                         "invalid trend factor. Expected: 0 < tf < 1, got: %f", tf);
    if (!has_trend(c, w))
        return SAMPLE_NONE;
    double s0 = 0, s1 = w->fv[0], b = w->fv[1] - w->fv[0];
    for (size_t i = 1; i < w->nf; i++) {
        if (i > 1)
            b = tf * (s1 - s0) + (1 - tf) * b;
        double next = sf * w->fv[i] + (1 - sf) * (s1 + b);
        s0 = s1;
        s1 = next;
    }
    *v = s1;
    return SAMPLE_FLOAT;
}

/* Walks floats and histograms by time. */
typedef struct Walk {
    const RangeWindow *w;
    size_t f, h;
    int64_t t, st;
    double v;
    const Histogram *hist;
} Walk;

static bool walk_next(Walk *k)
{
    const RangeWindow *w = k->w;
    if (k->f >= w->nf && k->h >= w->nh)
        return false;
    bool is_float = k->h >= w->nh || (k->f < w->nf && w->ft[k->f] < w->ht[k->h]);
    k->t = is_float ? w->ft[k->f] : w->ht[k->h];
    k->st = is_float ? (w->fst ? w->fst[k->f] : 0) : w->hst ? w->hst[k->h] : 0;
    k->v = is_float ? w->fv[k->f] : 0;
    k->hist = is_float ? NULL : w->hh[k->h];
    if (is_float)
        k->f++;
    else
        k->h++;
    return true;
}

/* With `anchored` the last sample at or before the window's start is the base. False: nothing lies
 * behind the start. */
static bool walk_start(const RangeCall *c, const RangeWindow *w, Walk *k)
{
    *k = (Walk){ .w = w };
    if (!c->arg->mod.anchored)
        return true;
    while (k->f < w->nf && w->ft[k->f] <= w->start)
        k->f++;
    while (k->h < w->nh && w->ht[k->h] <= w->start)
        k->h++;
    if (k->f >= w->nf && k->h >= w->nh)
        return false;
    if (k->f && (!k->h || w->ft[k->f - 1] >= w->ht[k->h - 1]))
        k->f--;
    else if (k->h)
        k->h--;
    return true;
}

static int call_resets(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    Walk k;
    if (!walk_start(c, w, &k) || !walk_next(&k))
        return SAMPLE_NONE;
    unsigned n = 0;
    for (Walk prev = k; walk_next(&k); prev = k) {
        bool reset = !prev.hist != !k.hist;
        if (!reset)
            reset = start_time_is_reset(prev.st, prev.t, k.st, k.t) ||
                    (k.hist ? histogram_detect_reset(k.hist, prev.hist) : k.v < prev.v);
        n += reset;
    }
    *v = n;
    return SAMPLE_FLOAT;
}

static int call_changes(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    Walk k;
    if (!walk_start(c, w, &k) || !walk_next(&k))
        return SAMPLE_NONE;
    unsigned n = 0;
    for (Walk prev = k; walk_next(&k); prev = k) {
        if (!prev.hist != !k.hist)
            n++;
        else if (k.hist)
            n += !histogram_equal(k.hist, prev.hist);
        else
            n += k.v != prev.v && !(isnan(k.v) && isnan(prev.v));
    }
    *v = n;
    return SAMPLE_FLOAT;
}

const RangeFunction fn_count_over_time = { .call = call_count };
const RangeFunction fn_present_over_time = { .call = call_present };
const RangeFunction fn_first_over_time = { .call = call_first, .keeps_name = true };
const RangeFunction fn_last_over_time = { .call = call_last, .keeps_name = true };
const RangeFunction fn_ts_of_first_over_time = { .call = call_ts_of_first };
const RangeFunction fn_ts_of_last_over_time = { .call = call_ts_of_last };
const RangeFunction fn_max_over_time = { .call = call_max };
const RangeFunction fn_min_over_time = { .call = call_min };
const RangeFunction fn_ts_of_max_over_time = { .call = call_ts_of_max };
const RangeFunction fn_ts_of_min_over_time = { .call = call_ts_of_min };
const RangeFunction fn_quantile_over_time = { .call = call_quantile };
const RangeFunction fn_mad_over_time = { .call = call_mad };
const RangeFunction fn_stdvar_over_time = { .call = call_stdvar };
const RangeFunction fn_stddev_over_time = { .call = call_stddev };
const RangeFunction fn_deriv = { .call = call_deriv };
const RangeFunction fn_predict_linear = { .call = call_predict_linear };
const RangeFunction fn_double_exponential_smoothing = { .call = call_double_exponential };
const RangeFunction fn_resets = { .call = call_resets,
                                  .wants_start_times = true,
                                  .anchored = true };
const RangeFunction fn_changes = { .call = call_changes, .anchored = true };
