/* eval_range.h - functions of the samples of one series in a window of time. */
#pragma once

#include "monitor/promql/eval.h"

/* The samples of a series without staleness markers, floats and histograms apart. */
typedef struct RangeSeries {
    int64_t *ft, *fst, *ht, *hst; /* fst, hst: start times, NULL when not used */
    double *fv;
    const Histogram **hh;
    size_t nf, nh;
} RangeSeries;

/* What lies in the window of one step: (start, end], or more with anchored and smoothed. */
typedef struct RangeWindow {
    const int64_t *ft, *fst, *ht, *hst;
    const double *fv;
    const Histogram *const *hh;
    size_t nf, nh;
    size_t first; /* number of ft[0] in the series */
    int64_t time, start, end;
    double seconds; /* of the range */
    double args[2]; /* scalar arguments at this step */
} RangeWindow;

typedef struct RangeCall {
    Eval *ev;
    Node *call, *arg; /* arg: the range vector */
    unsigned pos;     /* of arg, for annotations */
    StrView metric;
    Arena *scratch;
    HistogramAcc acc, extra;
    size_t *resets; /* numbers of floats that are smaller than the one before */
    size_t n_resets, cap_resets, reset_at;
    double *sorted; /* scratch of quantiles */
    size_t cap_sorted;
    Steps steps;
    double *prefix, *prefix_lo; /* sums up to each float in twice a double's precision */
    size_t cap_prefix;
    double prefix_max; /* largest of them; negative: not to be used */
} RangeCall;

struct RangeFunction {
    /* SAMPLE_NONE, SAMPLE_FLOAT (*v), SAMPLE_HISTOGRAM (*h, in scratch or the series); negative:
     * the error is set. Only called with at least one sample in the window. */
    int (*call)(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h);
    /* NULL, or called once for each series before its windows. 0 or negative. */
    int (*prepare)(RangeCall *c, const RangeSeries *r);
    /* NULL, or all steps at once into `col`, of a series of floats alone, without start times and
     * with neither anchored nor smoothed. Returns whether there is any sample; negative: failed. */
    int (*floats)(RangeCall *c, const RangeSeries *r, Column *col);
    bool keeps_name, wants_start_times, anchored, smoothed;
    bool wants_counter; /* remarks when the name is not one of a counter's */
};

/* Grows an array of a call; false: the error is set. */
bool range_reserve(RangeCall *c, void *array, size_t *cap, size_t n, size_t size);
double *range_sort_buffer(RangeCall *c, size_t n); /* NULL: the error is set */
/* The accumulator as a histogram in scratch; NULL: the error is set. */
Histogram *range_take(RangeCall *c, HistogramAcc *acc, bool compact);

/* fn_rate.c, fn_rate_floats.c and fn_rate_extended.c share these. */
int rate_of_all_floats(RangeCall *c, const RangeSeries *r, bool counter, bool per_second,
                       Column *col);
void annotate_mixed_samples(RangeCall *c);
void annotate_mixed_schemas(Eval *ev, unsigned pos, StrView metric);
void annotate_reconciled(Eval *ev, unsigned pos, const char *operation);
bool start_time_is_reset(int64_t prev_st, int64_t prev_t, int64_t st, int64_t t);
/* Adds or subtracts with annotations; false: the kinds do not mix, or (failed) out of memory. */
bool range_combine(RangeCall *c, HistogramAcc *acc, const Histogram *h, bool subtract);
int extended_rate(RangeCall *c, const RangeWindow *w, bool counter, bool per_second, double *v,
                  const Histogram **h);
double interpolate(int64_t t1, double v1, int64_t t2, double v2, int64_t t, bool counter);
/* Between two histograms, in c->scratch; NULL: they do not mix, or the error is set (ev->err). */
const Histogram *interpolate_histograms(RangeCall *c, const Histogram *h1, int64_t t1,
                                        const Histogram *h2, int64_t t2, int64_t t, bool counter);
