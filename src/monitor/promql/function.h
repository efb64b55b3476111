/* function.h - the table of functions. To add one: a row in function.c, and its implementation of
 * the kind that the row names. */
#pragma once

#include "monitor/promql/ast.h"

enum { FUNCTION_ARGS_MAX = 5 };

typedef struct RangeFunction RangeFunction;   /* eval_range.h */
typedef struct VectorFunction VectorFunction; /* eval.h */

typedef enum FunctionId {
    FN_OTHER, /* decided by its implementation alone */
    FN_ABSENT,
    FN_ABSENT_OVER_TIME,
    FN_END,
    FN_HISTOGRAM_FRACTION,
    FN_HISTOGRAM_QUANTILE,
    FN_HISTOGRAM_QUANTILES,
    FN_INFO,
    FN_LABEL_JOIN,
    FN_LABEL_REPLACE,
    FN_MAX_OF,
    FN_MIN_OF,
    FN_PI,
    FN_RANGE,
    FN_SCALAR,
    FN_SORT,
    FN_SORT_DESC,
    FN_SORT_BY_LABEL,
    FN_SORT_BY_LABEL_DESC,
    FN_START,
    FN_START_TIMESTAMP,
    FN_STEP,
    FN_TIME,
    FN_TIMESTAMP,
    FN_VECTOR,
} FunctionId;

struct Function {
    StrView name;
    PromqlType ret;
    PromqlType args[FUNCTION_ARGS_MAX];
    unsigned n_args;
    int variadic; /* more of the last: at most so many, -1 without limit; the last may be missing */
    bool experimental;
    bool varies; /* with the evaluation time, even of arguments that do not */
    FunctionId id;
    const RangeFunction *range;   /* of a range of one series */
    const VectorFunction *vector; /* of one sample */
};

const Function *function_find(StrView name);
