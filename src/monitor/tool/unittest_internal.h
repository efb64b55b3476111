/* unittest_internal.h - how the parts of `test rules` fit together.
 *
 *   unittest.c         the files, and what is printed about them
 *   unittest_run.c     one test: series go into memory step by step, rules run on them
 *   unittest_compare.c what alerts and expressions give against what was expected
 *   unittest_text.c    samples, alerts and differences as text
 *   junit.c            the results as XML */
#pragma once

#include "base/vec.h"
#include "monitor/promqltest/memory.h"
#include "monitor/promqltest/series.h"
#include "monitor/rules/rules.h"
#include "monitor/tool/internal.h"
#include "monitor/tool/testfile.h"
#include "monitor/tool/unittest.h"

/* What is wrong, in the order in which it was found. */
typedef struct Failures {
    Arena arena;
    VEC(StrView) items;
    bool nomem;
} Failures;
void failures_free(Failures *f);
void failures_add(Failures *f, StrView text);
void failures_printf(Failures *f, const char *fmt, ...) PRINTF(2, 3);

typedef struct InputSeries {
    Labels labels;
    SeriesValues values;
    size_t next;   /* the first value that is not in memory yet */
    bool replaced; /* the same series comes again later in the list: that one counts */
} InputSeries;

typedef struct GroupOrder {
    unsigned order; /* of group_eval_order */
    unsigned file, place;
    size_t index; /* of rules_list() */
} GroupOrder;

typedef struct UnitTest {
    const ToolIo *io;
    const UnittestOptions *opt;
    const TestFile *file;
    const TestGroup *group;
    char **rule_files;
    size_t n_rule_files;
    Arena arena; /* of the test */
    Memory *memory;
    InputSeries *series;
    Rules *rules;
    GroupOrder *groups;
    size_t n_groups;
    Failures *failures;
} UnitTest;

typedef struct Alerts { /* labels and annotations, sorted */
    TestAlert *items;
    size_t n;
} Alerts;

typedef struct Sample {
    Labels labels;
    double value;
    StrView histogram; /* in the notation of tests; empty: `value` counts */
} Sample;
typedef struct Samples { /* sorted by labels */
    Sample *items;
    size_t n;
} Samples;

/* Failures go to t->failures; negative only when memory is exhausted. */
int unit_test_run(UnitTest *t, Err *err) NODISCARD;

/* The vector of an instant query over what is in memory, in `a`. */
int unit_test_query(UnitTest *t, StrView expr, int64_t time, Arena *a, TemplateSample **ret,
                    size_t *ret_n, Err *err) NODISCARD;

/* Compares the alerts of one time, which is in the test's own time, with those that are firing. */
int unit_test_alerts(UnitTest *t, int64_t eval_time, Err *err) NODISCARD;
int unit_test_exprs(UnitTest *t, Err *err) NODISCARD;
void unit_test_dump(UnitTest *t);
int64_t unit_test_length(const TestGroup *g); /* the latest time that is looked at */

void samples_format(const Samples *s, Buf *out);
void alerts_format(const Alerts *a, Buf *out);                     /* indented as promtool does */
void alerts_diff(const Alerts *want, const Alerts *got, Buf *out); /* coloured JSON */

typedef struct Junit {
    Arena arena;
    Buf text; /* the suites that are complete */
    Buf cases;
    unsigned tests, failures, errors;
    char timestamp[32];
} Junit;
void junit_case(Junit *j, StrView name, const StrView *failures, size_t n, StrView error);
/* Ends the suite of a file. */
void junit_suite(Junit *j, StrView name);
int junit_write(Junit *j, FILE *out); /* 0 or negative errno */
void junit_free(Junit *j);
