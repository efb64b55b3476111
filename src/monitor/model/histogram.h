/* histogram.h - native histograms: exponential (schema -4 … 8) and with custom bounds (schema -53).
 *
 * One type for both natures of counts: absolute bucket counts as doubles. Whole-number histograms
 * are exact up to 2^53; the storage remembers separately that a sample was a whole-number one.
 * Spans and buckets lie as in Prometheus: a span's offset is the distance to the end of the span
 * before (of the first: the index itself). A histogram never changes once it is shared. */
#pragma once

#include <math.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

typedef struct HistogramSpan {
    int32_t offset;
    uint32_t length;
} HistogramSpan;

typedef enum HistogramHint {
    HINT_UNKNOWN,
    HINT_COUNTER_RESET,
    HINT_NO_COUNTER_RESET,
    HINT_GAUGE,
} HistogramHint;

enum {
    HISTOGRAM_SCHEMA_MIN = -4,
    HISTOGRAM_SCHEMA_MAX = 8,
    HISTOGRAM_SCHEMA_CUSTOM = -53,
    HISTOGRAM_BUCKETS_MAX = 65536, /* of one side, named in errors */
    HISTOGRAM_INDEX_MAX = 1 << 20, /* of a bucket, both ways; numbers end long before */
};

typedef struct Histogram {
    HistogramHint hint;
    int32_t schema;
    double zero_threshold, zero_count, count, sum;
    const HistogramSpan *pos_spans, *neg_spans;
    unsigned n_pos_spans, n_neg_spans;
    const double *pos, *neg; /* absolute counts, one for each bucket of the spans */
    unsigned n_pos, n_neg;
    const double *bounds; /* schema -53: upper bounds, ascending, without +Inf */
    unsigned n_bounds;
    bool integer; /* came as whole numbers */
} Histogram;

static inline bool histogram_is_custom(const Histogram *h)
{
    return h->schema == HISTOGRAM_SCHEMA_CUSTOM;
}
bool histogram_schema_is_valid(int32_t schema); /* exponential, or custom bounds */
/* The upper bound of bucket `index` of an exponential schema (of the positive side). The last one
 * before the bucket of infinities is the largest finite number. */
double histogram_bound(int32_t index, int32_t schema);

/* A deep copy in `a`; NULL: the arena is exhausted. */
const Histogram *histogram_copy(const Histogram *h, Arena *a);
/* A copy of the struct alone, sharing spans and buckets with `h`: to change its hint or sums. */
Histogram *histogram_shallow(const Histogram *h, Arena *a);

/* Spans, buckets, bounds and counts fit together. ERR_INVALID: a sentence. */
int histogram_validate(const Histogram *h, Err *err) NODISCARD;
/* The same data bit by bit: layout and counts, not the hint. */
bool histogram_equal(const Histogram *a, const Histogram *b);
bool histogram_same_bounds(const Histogram *a, const Histogram *b); /* of custom bounds */
/* `cur` cannot come from counting on from `prev` (a bucket or count is smaller or gone). A hint of
 * `cur` that says so decides alone. */
bool histogram_detect_reset(const Histogram *cur, const Histogram *prev);
bool histogram_has_inf(const Histogram *h); /* a count, the sum or a bucket overflowed */
/* How many samples of 16 bytes it counts for in the limit of samples of a query. */
size_t histogram_weight(const Histogram *h);

/* `{count:3, sum:4, (1,2]:3}` */
void histogram_format(const Histogram *h, Buf *out);
/* The notation of test scripts: `{{schema:1 count:3 buckets:[1 2]}}`. Spans with gaps are shown as
 * one with zeros. */
void histogram_format_test(const Histogram *h, Buf *out);

typedef struct HistogramBucket {
    double lower, upper, count;
    bool lower_inclusive, upper_inclusive;
    int32_t index; /* inside its side */
} HistogramBucket;

/* Walks the buckets of one side, or all of both sides and the zero bucket, also backwards. */
typedef enum HistogramWalk {
    WALK_POSITIVE,    /* from zero up */
    WALK_NEGATIVE,    /* from zero down */
    WALK_ALL,         /* from the lowest up; a zero bucket with observations between the sides */
    WALK_ALL_REVERSE, /* from the highest down */
} HistogramWalk;

typedef struct HistogramIter {
    const Histogram *h;
    HistogramWalk walk;
    int stage; /* of WALK_ALL*: first side, zero bucket, second side */
    bool negative, backwards;
    unsigned span, in_span, at, left;
    int32_t index;
} HistogramIter;

void histogram_iter(const Histogram *h, HistogramWalk walk, HistogramIter *ret);
bool histogram_next(HistogramIter *it, HistogramBucket *ret);

/* What a bucket holds up to `v`, which lies strictly inside, as a share: linear, or on a
 * logarithmic scale. */
double histogram_bucket_below(const HistogramBucket *b, double v, bool linear);

/* Remarks of the two below: Prometheus reports them as infos. */
typedef enum HistogramRemark {
    HISTOGRAM_FINE,
    HISTOGRAM_NAN_RESULT, /* the quantile lies in NaN observations */
    HISTOGRAM_NAN_SKEW,   /* NaN observations shift the result */
} HistogramRemark;
double histogram_quantile(double q, const Histogram *h, HistogramRemark *ret);
double histogram_fraction(double lower, double upper, const Histogram *h, HistogramRemark *ret);

/* Without the observations above (`upper`) or below `limit`; NULL: the arena is exhausted. */
const Histogram *histogram_trim(const Histogram *h, double limit, bool upper, Arena *a);

/* Arithmetic: an accumulator takes one histogram, adds others, and is taken as a new histogram. It
 * keeps its memory from one use to the next, so a query has one for each running sum. */
typedef struct HistogramSide {
    int32_t *index;       /* ascending */
    double *count, *comp; /* comp: compensation */
    unsigned len, cap;
} HistogramSide;

typedef struct HistogramAcc {
    bool used, failed; /* failed: out of memory, sticky until the next set */
    bool compensate;   /* Neumaier's compensation in every count */
    HistogramHint hint;
    int32_t schema;
    double zero_threshold, zero_count, count, sum;
    double zero_comp, count_comp, sum_comp;
    HistogramSide pos, neg;
    HistogramSide tmp_pos, tmp_neg, merged; /* scratch */
    double *bounds;
    unsigned n_bounds, cap_bounds;
} HistogramAcc;

typedef enum HistogramAddFlag {
    HISTOGRAM_ADD_COLLISION = 1,  /* one says reset, the other no reset: the hint is unknown now */
    HISTOGRAM_ADD_RECONCILED = 2, /* custom bounds differed: reduced to what both have */
    HISTOGRAM_ADD_MIXED = 4,      /* exponential with custom: nothing was added */
} HistogramAddFlag;

void histogram_acc_free(HistogramAcc *acc);
void histogram_acc_set(HistogramAcc *acc, const Histogram *h);
/* Adds (or with `subtract` takes away) `h`; returns HistogramAddFlags. Schemas are reduced to the
 * coarser, zero buckets widened to the larger. */
unsigned histogram_acc_add(HistogramAcc *acc, const Histogram *h, bool subtract);
void histogram_acc_mul(HistogramAcc *acc, double factor);
void histogram_acc_div(HistogramAcc *acc, double divisor); /* by 0: no buckets are left */
void histogram_acc_compact(HistogramAcc *acc);             /* drops empty buckets */
void histogram_acc_reduce(HistogramAcc *acc, int32_t schema);
/* A histogram of what was gathered, compensation added, in `a`; NULL: memory exhausted. */
Histogram *histogram_acc_take(const HistogramAcc *acc, Arena *a);

/* Empty buckets cut out; runs of at most `max_empty` stay inside a span. */
const Histogram *histogram_compact(const Histogram *h, unsigned max_empty, Arena *a);
/* To a coarser schema of the exponential kind. */
const Histogram *histogram_reduce(const Histogram *h, int32_t schema, Arena *a);
