/* sample.h - columns of samples of one series, as the storage hands them to queries. */
#pragma once

#include <math.h>
#include <string.h>

#include "monitor/model/histogram.h"

/* The two NaNs with a meaning (Prometheus' value package): every other NaN is just a NaN. */
#define NAN_STALE_BITS  0x7ff0000000000002ULL
#define NAN_NORMAL_BITS 0x7ff8000000000001ULL

static inline uint64_t double_bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}
static inline double double_from_bits(uint64_t u)
{
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}
static inline bool is_stale_nan(double v)
{
    return double_bits(v) == NAN_STALE_BITS;
}

/* Samples in the order of time, no time twice. For sample i: where `h` is not NULL and h[i] is not
 * NULL it is a histogram (v[i] is its sum; a staleness marker is a float), else a float. `st`
 * (start times in ms, 0: unknown) is NULL where no sample has one. The arrays are reused for the
 * next series: whoever keeps a sample copies it. */
typedef struct SampleCols {
    size_t len, cap;
    int64_t *t; /* ms since 1970 */
    double *v;
    const Histogram **h;
    int64_t *st;
    Arena *arena; /* of the histograms; reset by the reader of the next series */
} SampleCols;

void sample_cols_init(SampleCols *c);
void sample_cols_free(SampleCols *c);
void sample_cols_clear(SampleCols *c); /* forgets samples and histograms, keeps the memory */
/* Room for n samples in all: who decodes many at once may then write t and v itself and set len. */
bool sample_cols_reserve(SampleCols *c, size_t n) NODISCARD;
/* Appends; false: out of memory. Times must go up. */
bool sample_cols_float(SampleCols *c, int64_t t, double v) NODISCARD;
/* A deep copy of `h` goes into the columns' own arena. */
bool sample_cols_histogram(SampleCols *c, int64_t t, const Histogram *h) NODISCARD;
bool sample_cols_start(SampleCols *c, int64_t st) NODISCARD; /* of the last appended sample */
