/* series.h - series of test scripts: `metric{a="b"} 1 2+3x4 _ stale {{count:3 sum:4}}x5`. */
#pragma once

#include "base/err.h"
#include "monitor/model/labels.h"
#include "monitor/model/sample.h"

typedef struct SeriesValue {
    bool omitted;
    double v;
    const Histogram *h;
    bool hint_given; /* the histogram says its counter_reset_hint */
} SeriesValue;

enum { SERIES_VALUES_MAX = 1000000, SERIES_BUCKETS_MAX = 4096 };

typedef struct SeriesValues {
    SeriesValue *items;
    size_t len, cap;
} SeriesValues;

/* Everything lives in `a`. ERR_INVALID: a sentence with the byte. ERR_LIMIT: too many values. */
int series_parse(StrView line, Arena *a, Labels *ret_labels, SeriesValues *ret, Err *err) NODISCARD;
/* `metric{…}` alone, as it stands in front of "@st". */
int series_parse_metric(StrView text, Arena *a, Labels *ret, Err *err) NODISCARD;
/* Offsets of start times, ms: `-1m 30s+15sx4 _x2`. */
int series_parse_starts(StrView text, Arena *a, SeriesValues *ret, Err *err) NODISCARD;
