/* classic.h - quantiles and fractions of classic histograms: cumulative counts by upper bound. */
#pragma once

#include "base/str.h"

typedef struct ClassicBucket {
    double le, count;
} ClassicBucket;

/* What had to be done to counts that fell with rising bounds. */
typedef struct ClassicFix {
    bool forced;
    double min_bucket, max_bucket, max_diff;
} ClassicFix;

bool classic_bound(StrView text, double *ret); /* the value of "le"; false: not a number */
/* Both sort `b`, which needs n > 0. Without a +Inf bucket: NaN. */
double classic_quantile(double q, ClassicBucket *b, unsigned n, ClassicFix *ret);
double classic_fraction(double lower, double upper, ClassicBucket *b, unsigned n);
/* Differ by less than a share `epsilon` of their sum; NaN equals NaN, the stale one only itself. */
bool almost_equal(double a, double b, double epsilon);
