/* timing.h - how long something took: quantiles of the last values and four buckets, as the
 * summaries and histograms of the monitor's own metrics show it; and how anything else is spread
 * over buckets. */
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

/* A histogram with bounds of its own; zero: without any, which is a sum and a count. */
enum { SPREAD_BOUNDS_MAX = 14 };
typedef struct Spread {
    double bounds[SPREAD_BOUNDS_MAX];
    unsigned n_bounds;
    uint64_t counts[SPREAD_BOUNDS_MAX]; /* of values up to the bound */
    uint64_t n;
    double sum;
} Spread;

/* `n` bounds, each `factor` times the one before. */
Spread spread_exponential(double first, double factor, unsigned n);
void spread_add(Spread *s, double v);
void spread_merge(Spread *into, const Spread *from); /* of the same bounds */
/* Appends the lines of a histogram, or without bounds of a summary. */
void spread_put(const Spread *s, const char *name, Buf *out);
