/* fn.h - the implementations that function.c's table names. */
#pragma once

#include "monitor/promql/eval.h"
#include "monitor/promql/eval_range.h"

extern const VectorFunction fn_abs, fn_acos, fn_acosh, fn_asin, fn_asinh, fn_atan, fn_atanh,
    fn_ceil, fn_clamp, fn_clamp_max, fn_clamp_min, fn_cos, fn_cosh, fn_day_of_month, fn_day_of_week,
    fn_day_of_year, fn_days_in_month, fn_deg, fn_exp, fn_floor, fn_histogram_avg,
    fn_histogram_count, fn_histogram_stddev, fn_histogram_stdvar, fn_histogram_sum, fn_hour, fn_ln,
    fn_log10, fn_log2, fn_minute, fn_month, fn_rad, fn_round, fn_sgn, fn_sin, fn_sinh, fn_sqrt,
    fn_tan, fn_tanh, fn_year;

extern const RangeFunction fn_avg_over_time, fn_changes, fn_count_over_time, fn_delta, fn_deriv,
    fn_double_exponential_smoothing, fn_first_over_time, fn_idelta, fn_increase, fn_irate,
    fn_last_over_time, fn_mad_over_time, fn_max_over_time, fn_min_over_time, fn_predict_linear,
    fn_present_over_time, fn_quantile_over_time, fn_rate, fn_resets, fn_stddev_over_time,
    fn_stdvar_over_time, fn_sum_over_time, fn_ts_of_first_over_time, fn_ts_of_last_over_time,
    fn_ts_of_max_over_time, fn_ts_of_min_over_time;
