/* testfile.h - the files of `promtool test rules`: input series, and what rules make of them
 * (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/). Durations and
 * times are ms. */
#pragma once

#include "monitor/config/config.h"

typedef struct TestSeries {
    StrView series, values;
} TestSeries;

typedef struct TestAlert {
    Labels labels, annotations;
} TestAlert;

typedef struct TestAlertCase {
    int64_t eval_time;
    StrView alertname;
    LIST(TestAlert) alerts;
} TestAlertCase;

typedef struct TestSample {
    StrView labels, value_text, histogram;
    double value;
} TestSample;

typedef struct TestExprCase {
    StrView expr;
    int64_t eval_time;
    LIST(TestSample) samples;
} TestExprCase;

typedef struct TestGroup {
    StrView name, external_url, start_text;
    int64_t interval; /* between values of the series */
    int64_t start;    /* when the test begins; 0: 1970 */
    Labels external_labels;
    LIST(TestSeries) series;
    LIST(TestAlertCase) alerts;
    LIST(TestExprCase) exprs;
} TestGroup;

typedef struct TestFile {
    StrList rule_files; /* patterns, relative to the folder of the file */
    StrList group_eval_order;
    int64_t evaluation_interval;
    bool fuzzy_compare;
    LIST(TestGroup) tests;
    Arena arena; /* holds all */
} TestFile;

enum { TEST_FILE_MAX = 64 * 1024 * 1024, TEST_FILE_MEMORY_MAX = 1024 * 1024 * 1024 };

/* Defaults are filled in. `text` must outlive the file, which takes at most `memory` bytes.
 * Whatever it returns, test_file_free() ends *ret. ERR_INVALID: "NAME:LINE: PATH: …". */
int test_file_parse(StrView text, const char *name, size_t memory, TestFile *ret,
                    Err *err) NODISCARD;
void test_file_free(TestFile *f);
