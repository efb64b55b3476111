/* histogram.h - native histograms: exponential (schema -4 … 8) and with custom bounds (schema -53).
 *
 * One type for both natures of counts: absolute bucket counts as doubles. Whole-number histograms
 * are exact up to 2^53; the storage remembers separately that a sample was a whole-number one.
 * Spans and buckets lie as in Prometheus: a span's offset is the distance to the end of the span
 * before (of the first: the index itself). A histogram never changes once it is shared. */
#pragma once

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
