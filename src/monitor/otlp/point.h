/* point.h - one data point, as it was read. Private to the folder. */
#pragma once

#include "monitor/otlp/internal.h"

typedef struct Quantile {
    double q, v;
} Quantile;

/* All that any kind of point has. */
typedef struct Point {
    uint64_t start, time, count, zero_count;
    double value, sum;
    int32_t scale;
    bool has_sum, is_stale;
    OtlpBuckets pos, neg; /* pos also: of a histogram with bounds */
    VEC(double) bounds;
    VEC(Quantile) quantiles;
} Point;

static inline void point_free(Point *p)
{
    vec_free(&p->pos.counts);
    vec_free(&p->neg.counts);
    vec_free(&p->bounds);
    vec_free(&p->quantiles);
}

/* delta.c: `p` becomes the sum of its stream with it. DELTA_DROPPED: it is not newer than the
 * stream, or there is no room for another stream (then it was rejected). */
enum { DELTA_SUM, DELTA_DROPPED };
int otlp_accumulate(Otlp *x, Point *p, Err *err) NODISCARD;
