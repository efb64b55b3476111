/* timing.h - how long something took: quantiles of the last values and four buckets, as the
 * summaries and histograms of the monitor's own metrics show it. */
#pragma once

#include "base/buf.h"

enum { TIMING_WINDOW = 256, TIMING_BUCKETS = 4 };

typedef struct Timing {
    double window[TIMING_WINDOW]; /* the last values */
    uint64_t buckets[TIMING_BUCKETS];
    uint64_t n;
    double sum;
} Timing;

void timing_add(Timing *t, double seconds);
/* Appends the lines of a summary or histogram; `labels` (`a="b"` or empty) come before theirs. */
void timing_put_summary(const Timing *t, const char *name, StrView labels, const double *quantiles,
                        unsigned n_quantiles, Buf *out);
void timing_put_histogram(const Timing *t, const char *name, StrView labels, Buf *out);
