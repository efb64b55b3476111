/* number.h - numbers as text in Go's forms, which Prometheus shows in messages and JSON, and
 * compensated addition. */
#pragma once

#include <math.h>

#include "base/number.h"

/* The shortest text that reads back as the same number. `double_format_g` is Go's %g and %v
 * ("1e+06", "0.5", "NaN", "+Inf"); `double_format_f` never uses an exponent ("1000000"). */
void double_format_g(double v, Buf *out);
void double_format_f(double v, Buf *out);

/* The forms of the HTTP API, straight into `out` (not terminated); return the length. A value goes
 * without an exponent where it is of 1e-6 to 1e21; a time in ms becomes seconds with at most three
 * decimals, "1435781451.781". */
enum { DOUBLE_JSON_SIZE = 40 };
size_t double_format_json(double v, char out[static DOUBLE_JSON_SIZE]);
size_t time_format_json(int64_t t, char out[static DOUBLE_JSON_SIZE]);

/* A number from outside as a whole one, toward zero: what does not fit becomes the nearest that
 * does, NaN 0. (The language leaves such a conversion undefined.) */
static inline int64_t double_to_i64(double v)
{
    return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : isnan(v) ? 0 : (int64_t)v;
}
static inline uint64_t double_to_u64(double v)
{
    return v >= 0x1p64 ? UINT64_MAX : v >= 0 ? (uint64_t)v : 0; /* also NaN */
}

/* Adds `inc` to *sum with Neumaier's compensation in *c: the total is *sum + *c. As in Prometheus
 * the compensation is dropped once the sum is infinite. */
static inline void kahan_add(double inc, double *sum, double *c)
{
    double t = *sum + inc;
    if (isinf(t))
        *c = 0;
    else if (fabs(*sum) >= fabs(inc))
        *c += (*sum - t) + inc;
    else
        *c += (inc - t) + *sum;
    *sum = t;
}
