/* histogram_mean.h - sums and means of histograms as aggregations and *_over_time take them. */
#pragma once

#include "monitor/model/histogram.h"

/* A mean is a compensated sum divided at the end. Should the sum overflow, it goes on as a running
 * mean from there: less exact, but it cannot overflow. */
typedef struct HistogramMean {
    HistogramAcc acc, trial;
    bool running;
    double count;
    bool reset_seen, no_reset_seen; /* hints that contradict each other */
} HistogramMean;

void histogram_mean_free(HistogramMean *m);
void histogram_mean_start(HistogramMean *m, const Histogram *h);
/* Returns HistogramAddFlags; with HISTOGRAM_ADD_MIXED nothing was added. */
unsigned histogram_mean_sum(HistogramMean *m, const Histogram *h);
unsigned histogram_mean_add(HistogramMean *m, const Histogram *h, Arena *scratch);
/* NULL: out of memory. */
Histogram *histogram_mean_take(HistogramMean *m, bool mean, Arena *a);
