/* test_testfile.c - files of unit tests of rules: what is read, and what is said about wrong ones.
 */
#include "monitor/tool/testfile.h"
#include "unit.h"

#include <math.h>

static const char *const whole =
    "rule_files: [a.yml, 'b*.yml']\n"
    "evaluation_interval: 30s\n"
    "group_eval_order: [x, y]\n"
    "fuzzy_compare: true\n"
    "tests:\n"
    "- name: first\n  interval: 10s\n  external_url: http://p\n  external_labels: {dc: n}\n"
    "  start_timestamp: 1767323045.5\n"
    "  input_series:\n  - {series: 'up{a=\"b\"}', values: 1 2x3}\n"
    "  alert_rule_test:\n  - eval_time: 1m\n    alertname: Down\n"
    "    exp_alerts:\n    - exp_labels: {a: 1.0}\n      exp_annotations: {s: text}\n    - {}\n"
    "  promql_expr_test:\n  - expr: up\n    eval_time: 2m30s\n"
    "    exp_samples:\n"
    "    - {labels: up, value: 1_000.5}\n    - {labels: up, value: -.inf}\n"
    "    - {labels: up, value: .NaN}\n    - {labels: up, histogram: '{{}}'}\n"
    "- {}\n";

static void test_a_file_is_read_with_all_its_keys(void **state)
{
    TestFile f;
    Err err = { 0 };
    if (test_file_parse(sv_cstr(whole), "t.yml", TEST_FILE_MEMORY_MAX, &f, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f.rule_files.len, 2);
    assert_int_equal(f.evaluation_interval, 30000);
    assert_sv(f.group_eval_order.items[1], "y");
    assert_true(f.fuzzy_compare);
    assert_int_equal(f.tests.len, 2);
    const TestGroup *g = &f.tests.items[0];
    assert_sv(g->name, "first");
    assert_int_equal(g->interval, 10000);
    assert_int_equal(g->start, 1767323045500);
    assert_sv(labels_get(g->external_labels, SV("dc")), "n");
    assert_sv(g->series.items[0].values, "1 2x3");
    assert_int_equal(g->alerts.items[0].eval_time, 60000);
    assert_int_equal(g->alerts.items[0].alerts.len, 2);
    assert_sv(labels_get(g->alerts.items[0].alerts.items[0].labels, SV("a")), "1.0");
    const TestExprCase *e = &g->exprs.items[0];
    assert_int_equal(e->eval_time, 150000);
    assert_int_equal(e->samples.len, 4);
    assert_true(e->samples.items[0].value == 1000.5);
    assert_true(e->samples.items[1].value == -INFINITY);
    assert_true(isnan(e->samples.items[2].value));
    assert_sv(e->samples.items[3].histogram, "{{}}");
    assert_int_equal(f.tests.items[1].interval, 30000); /* the file's */
    test_file_free(&f);
}

static void test_an_empty_file_has_defaults(void **state)
{
    TestFile f;
    Err err = { 0 };
    assert_int_equal(test_file_parse(SV(" \n"), "t", TEST_FILE_MEMORY_MAX, &f, &err), 0);
    assert_int_equal(f.evaluation_interval, 60000);
    assert_int_equal(f.tests.len, 0);
    test_file_free(&f);
}

static void refuse(const char *text, const char *want)
{
    TestFile f;
    Err err = { 0 };
    assert_int_equal(test_file_parse(sv_cstr(text), "t.yml", TEST_FILE_MEMORY_MAX, &f, &err),
                     -ERR_INVALID);
    assert_string_equal(err.msg, want);
    test_file_free(&f);
}

static void test_mistakes_name_their_place(void **state)
{
    refuse("tests:\n- nonsense: 1\n",
           "t.yml:2: tests[0]: field nonsense not found in type main.testGroup");
    refuse("tests:\n- interval: soon\n",
           "t.yml:2: tests[0].interval: not a valid duration string: \"soon\"");
    refuse("tests:\n- promql_expr_test:\n  - exp_samples:\n    - {value: one}\n",
           "t.yml:4: tests[0].promql_expr_test[0].exp_samples[0].value: cannot unmarshal \"one\" "
           "into float64");
    refuse("tests:\n- start_timestamp: never\n",
           "t.yml:2: tests[0].start_timestamp: cannot parse \"never\" to a valid timestamp");
    refuse("group_eval_order: [a, b, a]\n", "group name repeated in evaluation order: a");
    refuse("tests: []\ntests: []\n", "t.yml: tests: field already set");
    refuse("just text\n", "t.yml:1: cannot unmarshal !!str `just text` into main.unitTestFile");
}

static void test_running_out_of_memory_is_an_error(void **state)
{
    int r = -1;
    for (size_t limit = 1; r < 0; limit += 512) {
        TestFile f;
        Err err = { 0 };
        r = test_file_parse(sv_cstr(whole), "t.yml", limit, &f, &err);
        if (r < 0)
            assert_int_equal(r, -ERR_NOMEM);
        test_file_free(&f);
        assert_true(limit < 1024 * 1024);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_read_with_all_its_keys),
        cmocka_unit_test(test_an_empty_file_has_defaults),
        cmocka_unit_test(test_mistakes_name_their_place),
        cmocka_unit_test(test_running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
