/* cols.h - columns of samples: deleted ranges cut out, two sources merged. */
#pragma once

#include "monitor/model/sample.h"

typedef struct Interval {
    int64_t start, end; /* both inclusive */
} Interval;
typedef struct Intervals {
    Interval *items; /* sorted, not touching */
    size_t len, cap;
} Intervals;
/* Adds one, merging what touches. False: out of memory. */
bool intervals_add(Intervals *v, int64_t start, int64_t end) NODISCARD;
/* Takes samples that lie in an interval out of the columns, from index `from` on. NULL: none. */
void intervals_cut(const Intervals *v, SampleCols *c, size_t from);

/* Merges the samples of `with` that lie in start … end into those that stand in `to` from index
 * `from` on. Of two at one time the one that stands in `to` stays. False: out of memory. */
bool cols_merge(SampleCols *to, size_t from, const SampleCols *with, int64_t start,
                int64_t end) NODISCARD;
