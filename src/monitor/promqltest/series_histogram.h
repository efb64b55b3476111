/* series_histogram.h - `{{schema:1 count:3 buckets:[1 2]}}`. */
#pragma once

#include "base/err.h"
#include "monitor/model/histogram.h"

/* Reads one at the head of *rest, which then stands behind it. The histogram is not checked for
 * consistency, as expectations of scripts need not be. In `a`. */
int series_parse_histogram(StrView *rest, Arena *a, const Histogram **ret, bool *ret_hint_given,
                           Err *err) NODISCARD;
