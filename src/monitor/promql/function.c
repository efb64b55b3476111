/* function.c - all functions. Sorted by name, which function_find() relies on. */
#include "monitor/promql/fn.h"

#define V PROMQL_VECTOR
#define S PROMQL_SCALAR
#define M PROMQL_MATRIX
#define T PROMQL_STRING
#define ROW(n, ...)                                                                                \
    {                                                                                              \
        .name = SV_INIT(n), __VA_ARGS__                                                            \
    }
/* A function of one vector, sample by sample. */
#define MATH(n, f) ROW(n, .ret = V, .args = { V }, .n_args = 1, .vector = &f)
/* A date part: of the samples' values, or without an argument of the evaluation time. */
#define DATE(n, f)                                                                                 \
    ROW(n, .ret = V, .args = { V }, .n_args = 1, .variadic = 1, .varies = true, .vector = &f)
#define OVER_TIME(n, f) ROW(n, .ret = V, .args = { M }, .n_args = 1, .range = &f)
#define OVER_TIME_EXP(n, f)                                                                        \
    ROW(n, .ret = V, .args = { M }, .n_args = 1, .experimental = true, .range = &f)
#define SPECIAL(n, i, r, ...) ROW(n, .ret = r, .id = i, __VA_ARGS__)

static const Function functions[] = {
    MATH("abs", fn_abs),
    SPECIAL("absent", FN_ABSENT, V, .args = { V }, .n_args = 1),
    SPECIAL("absent_over_time", FN_ABSENT_OVER_TIME, V, .args = { M }, .n_args = 1,
            .range = &fn_present_over_time),
    MATH("acos", fn_acos),
    MATH("acosh", fn_acosh),
    MATH("asin", fn_asin),
    MATH("asinh", fn_asinh),
    MATH("atan", fn_atan),
    MATH("atanh", fn_atanh),
    OVER_TIME("avg_over_time", fn_avg_over_time),
    MATH("ceil", fn_ceil),
    OVER_TIME("changes", fn_changes),
    ROW("clamp", .ret = V, .args = { V, S, S }, .n_args = 3, .vector = &fn_clamp),
    ROW("clamp_max", .ret = V, .args = { V, S }, .n_args = 2, .vector = &fn_clamp_max),
    ROW("clamp_min", .ret = V, .args = { V, S }, .n_args = 2, .vector = &fn_clamp_min),
    MATH("cos", fn_cos),
    MATH("cosh", fn_cosh),
    OVER_TIME("count_over_time", fn_count_over_time),
    DATE("day_of_month", fn_day_of_month),
    DATE("day_of_week", fn_day_of_week),
    DATE("day_of_year", fn_day_of_year),
    DATE("days_in_month", fn_days_in_month),
    MATH("deg", fn_deg),
    OVER_TIME("delta", fn_delta),
    OVER_TIME("deriv", fn_deriv),
    ROW("double_exponential_smoothing", .ret = V, .args = { M, S, S }, .n_args = 3,
        .experimental = true, .range = &fn_double_exponential_smoothing),
    SPECIAL("end", FN_END, S, .experimental = true, .varies = true),
    MATH("exp", fn_exp),
    OVER_TIME("first_over_time", fn_first_over_time),
    MATH("floor", fn_floor),
    MATH("histogram_avg", fn_histogram_avg),
    MATH("histogram_count", fn_histogram_count),
    SPECIAL("histogram_fraction", FN_HISTOGRAM_FRACTION, V, .args = { S, S, V }, .n_args = 3),
    SPECIAL("histogram_quantile", FN_HISTOGRAM_QUANTILE, V, .args = { S, V }, .n_args = 2),
    SPECIAL("histogram_quantiles", FN_HISTOGRAM_QUANTILES, V, .args = { V, T, S, S }, .n_args = 4,
            .variadic = 9, .experimental = true),
    MATH("histogram_stddev", fn_histogram_stddev),
    MATH("histogram_stdvar", fn_histogram_stdvar),
    MATH("histogram_sum", fn_histogram_sum),
    DATE("hour", fn_hour),
    OVER_TIME("idelta", fn_idelta),
    OVER_TIME("increase", fn_increase),
    SPECIAL("info", FN_INFO, V, .args = { V, V }, .n_args = 2, .variadic = 1, .experimental = true),
    OVER_TIME("irate", fn_irate),
    SPECIAL("label_join", FN_LABEL_JOIN, V, .args = { V, T, T, T }, .n_args = 4, .variadic = -1),
    SPECIAL("label_replace", FN_LABEL_REPLACE, V, .args = { V, T, T, T, T }, .n_args = 5),
    OVER_TIME("last_over_time", fn_last_over_time),
    MATH("ln", fn_ln),
    MATH("log10", fn_log10),
    MATH("log2", fn_log2),
    OVER_TIME_EXP("mad_over_time", fn_mad_over_time),
    SPECIAL("max_of", FN_MAX_OF, S, .args = { S, S }, .n_args = 2, .experimental = true),
    OVER_TIME("max_over_time", fn_max_over_time),
    SPECIAL("min_of", FN_MIN_OF, S, .args = { S, S }, .n_args = 2, .experimental = true),
    OVER_TIME("min_over_time", fn_min_over_time),
    DATE("minute", fn_minute),
    DATE("month", fn_month),
    SPECIAL("pi", FN_PI, S, .n_args = 0),
    ROW("predict_linear", .ret = V, .args = { M, S }, .n_args = 2, .varies = true,
        .range = &fn_predict_linear),
    OVER_TIME("present_over_time", fn_present_over_time),
    ROW("quantile_over_time", .ret = V, .args = { S, M }, .n_args = 2,
        .range = &fn_quantile_over_time),
    MATH("rad", fn_rad),
    SPECIAL("range", FN_RANGE, S, .experimental = true, .varies = true),
    OVER_TIME("rate", fn_rate),
    OVER_TIME("resets", fn_resets),
    ROW("round", .ret = V, .args = { V, S }, .n_args = 2, .variadic = 1, .vector = &fn_round),
    SPECIAL("scalar", FN_SCALAR, S, .args = { V }, .n_args = 1),
    MATH("sgn", fn_sgn),
    MATH("sin", fn_sin),
    MATH("sinh", fn_sinh),
    SPECIAL("sort", FN_SORT, V, .args = { V }, .n_args = 1),
    SPECIAL("sort_by_label", FN_SORT_BY_LABEL, V, .args = { V, T }, .n_args = 2, .variadic = -1,
            .experimental = true),
    SPECIAL("sort_by_label_desc", FN_SORT_BY_LABEL_DESC, V, .args = { V, T }, .n_args = 2,
            .variadic = -1, .experimental = true),
    SPECIAL("sort_desc", FN_SORT_DESC, V, .args = { V }, .n_args = 1),
    MATH("sqrt", fn_sqrt),
    SPECIAL("start", FN_START, S, .experimental = true, .varies = true),
    SPECIAL("start_timestamp", FN_START_TIMESTAMP, V, .args = { V }, .n_args = 1,
            .experimental = true),
    OVER_TIME("stddev_over_time", fn_stddev_over_time),
    OVER_TIME("stdvar_over_time", fn_stdvar_over_time),
    SPECIAL("step", FN_STEP, S, .experimental = true, .varies = true),
    OVER_TIME("sum_over_time", fn_sum_over_time),
    MATH("tan", fn_tan),
    MATH("tanh", fn_tanh),
    SPECIAL("time", FN_TIME, S, .varies = true),
    SPECIAL("timestamp", FN_TIMESTAMP, V, .args = { V }, .n_args = 1, .varies = true),
    OVER_TIME_EXP("ts_of_first_over_time", fn_ts_of_first_over_time),
    OVER_TIME_EXP("ts_of_last_over_time", fn_ts_of_last_over_time),
    OVER_TIME_EXP("ts_of_max_over_time", fn_ts_of_max_over_time),
    OVER_TIME_EXP("ts_of_min_over_time", fn_ts_of_min_over_time),
    SPECIAL("vector", FN_VECTOR, V, .args = { S }, .n_args = 1),
    DATE("year", fn_year),
};

const Function *function_find(StrView name)
{
    size_t lo = 0, hi = ARRAY_SIZE(functions);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int r = sv_cmp(functions[mid].name, name);
        if (!r)
            return &functions[mid];
        if (r < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static const struct {
    StrView name;
    unsigned feature;
} feature_flags[] = {
    { SV_INIT("promql-experimental-functions"), PROMQL_EXPERIMENTAL_FUNCTIONS },
    { SV_INIT("promql-duration-expr"), PROMQL_DURATION_EXPR },
    { SV_INIT("promql-extended-range-selectors"), PROMQL_EXTENDED_RANGE_SELECTORS },
    { SV_INIT("promql-binop-fill-modifiers"), PROMQL_BINOP_FILL_MODIFIERS },
    { SV_INIT("promql-delayed-name-removal"), PROMQL_DELAYED_NAME_REMOVAL },
    { SV_INIT("type-and-unit-labels"), PROMQL_TYPE_AND_UNIT_LABELS },
    { SV_INIT("use-start-timestamps"), PROMQL_START_TIMESTAMPS },
    { SV_INIT("promql-per-step-stats"), PROMQL_PER_STEP_STATS },
};

unsigned promql_feature(StrView name)
{
    for (size_t i = 0; i < ARRAY_SIZE(feature_flags); i++)
        if (sv_eq(feature_flags[i].name, name))
            return feature_flags[i].feature;
    return 0;
}

bool promql_function_at(unsigned i, unsigned features, StrView *ret_name, bool *ret_on)
{
    if (i >= ARRAY_SIZE(functions))
        return false;
    *ret_name = functions[i].name;
    *ret_on = !functions[i].experimental || (features & PROMQL_EXPERIMENTAL_FUNCTIONS) != 0;
    return true;
}
