/* script.h - private to promqltest/: one evaluation of a script and what it expects. */
#pragma once

#include "base/regex.h"
#include "monitor/promql/promql.h"
#include "monitor/promqltest/memory.h"
#include "monitor/promqltest/promqltest.h"
#include "monitor/promqltest/series.h"

enum { SCRIPT_MAX_SAMPLES = 10000, SCRIPT_SIZE_MAX = 16 * 1024 * 1024 };
#define SCRIPT_EPSILON 0.000001 /* relative error allowed for values */

typedef enum ExpectKind {
    EXPECT_ORDERED,
    EXPECT_FAIL,
    EXPECT_WARN,
    EXPECT_NO_WARN,
    EXPECT_INFO,
    EXPECT_NO_INFO,
    EXPECT_MAX,
} ExpectKind;

/* `expect warn msg: …`; neither text nor expression: anything will do. */
typedef struct Expectation {
    ExpectKind kind;
    StrView text;
    Regex *regex;
} Expectation;

typedef struct ExpectedSeries {
    Labels labels;
    SeriesValues values;
    unsigned position; /* from 1 */
    bool seen;
} ExpectedSeries;

enum { EXPECTATIONS_MAX = 64 };

typedef struct Evaluation {
    StrView expr;
    bool range, range_vector; /* range_vector: an instant query whose result is one */
    int64_t start, end, step, at;
    bool has[EXPECT_MAX]; /* also from `eval_fail` and the like, without text */
    Expectation expect[EXPECTATIONS_MAX];
    unsigned n_expect;
    bool scalar, has_string;
    double scalar_value;
    StrView string;
    ExpectedSeries *series;
    size_t n_series, cap_series;
} Evaluation;

void evaluation_free(Evaluation *e);
/* Empty when the result is what was expected; else what is not, in a sentence. */
void evaluation_compare(Evaluation *e, const PromqlResult *r, Buf *why);
void evaluation_check_failure(const Evaluation *e, StrView message, Buf *why);
void evaluation_check_annotations(const Evaluation *e, const PromqlResult *r, Buf *why);

/* Runs it in all ways: as given; an instant query also pinned with @ to its time and evaluated at
 * others, and each as the middle step of a range query. */
int evaluation_run(Evaluation *e, Memory *m, Buf *why, Err *err) NODISCARD;

/* Classic histograms of a load become native ones with custom buckets as well. */
int nhcb_convert(Memory *m, const Labels *labels, const SeriesValues *values, size_t n, int64_t gap,
                 Arena *a, Err *err) NODISCARD;
