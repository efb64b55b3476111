/* test_promlint.c - metrics gathered into families, and what is unusual about them. */
#include "monitor/tool/promlint.h"
#include "unit.h"

#include <stdlib.h>

/* Lints `text`; problems as "metric: text\n" each. */
static void expect(const char *text, const char *want)
{
    _cleanup_buf_ Buf got = BUF_INIT;
    Families f;
    LintProblem *problems = NULL;
    size_t n = 0;
    Err err = { 0 };
    if (families_parse(sv_cstr(text), FAMILIES_MEMORY_MAX, &f, &err) < 0 ||
        promlint(&f, &problems, &n, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++)
        buf_printf(&got, "%.*s: %.*s\n", SV_FMT(problems[i].metric), SV_FMT(problems[i].text));
    assert_sv(buf_view(&got), want);
    families_free(&f);
}

#define DECLARED(name, type) "# HELP " name " Help.\n# TYPE " name " " type "\n"

static void test_what_is_usual_is_no_problem(void **state)
{
    expect("", "");
    expect(DECLARED("requests_total", "counter") "requests_total{code=\"200\"} 1\n"
                                                 "requests_total{code=\"500\"} 1\n",
           "");
    expect(DECLARED("size_bytes", "gauge") "size_bytes 1\n", "");
    expect(DECLARED("d_seconds", "histogram") "d_seconds_bucket{le=\"1\"} 1\n"
                                              "d_seconds_bucket{le=\"+Inf\"} 1\n"
                                              "d_seconds_sum 1\nd_seconds_count 1\n",
           "");
    expect("# HELP only_text Nothing else.\n", "");
    expect(DECLARED("thermometers", "gauge") "thermometers 1\n", "");
}

static void test_each_rule_finds_its_problem(void **state)
{
    expect("# TYPE a gauge\na 1\n", "a: no help text\n");
    expect(DECLARED("a_milliseconds", "gauge") "a_milliseconds 1\n",
           "a_milliseconds: use base unit \"seconds\" instead of \"milliseconds\"\n");
    expect(DECLARED("a_days_used", "gauge") "a_days_used 1\n",
           "a_days_used: use base unit \"seconds\" instead of \"days\"\n");
    expect(DECLARED("a", "counter") "a 1\n", "a: counter metrics should have \"_total\" suffix\n");
    expect(DECLARED("a_total", "gauge") "a_total 1\n",
           "a_total: non-counter metrics should not have \"_total\" suffix\n");
    expect(DECLARED("a_timestamp_seconds_total", "counter") "a_timestamp_seconds_total 1\n", "");
    expect(DECLARED("a_timestamp_seconds", "summary") "a_timestamp_seconds{quantile=\"1\"} 1\n",
           "a_timestamp_seconds: non-gauge metrics should not have \"_timestamp_seconds\" "
           "suffix\n");
    expect(DECLARED("a_bucket", "gauge") "a_bucket 1\n",
           "a_bucket: non-histogram metrics should not have \"_bucket\" suffix\n");
    expect(DECLARED("a_count", "gauge") "a_count 1\n",
           "a_count: non-histogram and non-summary metrics should not have \"_count\" suffix\n");
    expect(DECLARED("a", "gauge") "a{le=\"1\",quantile=\"1\"} 1\n",
           "a: non-histogram metrics should not have \"le\" label\n"
           "a: non-summary metrics should not have \"quantile\" label\n");
    expect(DECLARED("a_gauge_x", "gauge") "a_gauge_x 1\n",
           "a_gauge_x: metric name should not include type 'gauge'\n");
    expect(DECLARED("a:b", "gauge") "a:b 1\n", "a:b: metric names should not contain ':'\n");
    expect(DECLARED("aB", "gauge") "aB{cD=\"1\"} 1\n",
           "aB: label names should be written in 'snake_case' not 'camelCase'\n"
           "aB: metric names should be written in 'snake_case' not 'camelCase'\n");
    expect(DECLARED("a_ms", "gauge") "a_ms 1\n",
           "a_ms: metric names should not contain abbreviated units\n");
    expect(DECLARED("a", "gauge") "a{x=\"1\"} 1\na{x=\"1\"} 2\n", "a: metric not unique\n");
}

static void test_untyped_metrics_may_have_any_suffix(void **state)
{
    expect("# HELP a_total A.\na_total 1\n# HELP b_bucket B.\nb_bucket{le=\"1\"} 1\n", "");
}

static void test_series_of_a_histogram_are_one_metric(void **state)
{
    const char *text =
        DECLARED("h", "histogram") "h_bucket{x=\"1\",le=\"1\"} 1\n"
                                   "h_bucket{x=\"1\",le=\"+Inf\"} 2\n"
                                   "h_sum{x=\"1\"} 1\nh_count{x=\"1\"} 2\n"
                                   "h_count{x=\"2\"} 2\n" DECLARED(
                                       "s", "summary") "s{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n"
                                                       "other_count 1\n";
    Families f;
    Err err = { 0 };
    if (families_parse(sv_cstr(text), FAMILIES_MEMORY_MAX, &f, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f.n, 3);
    assert_sv(f.items[0]->name, "h");
    assert_int_equal(f.items[0]->n, 2);
    assert_int_equal(f.items[0]->metrics[0].parts, 2);
    assert_int_equal(f.items[0]->metrics[0].labels.len, 1);
    assert_int_equal(f.items[1]->n, 1);
    assert_int_equal(f.items[1]->metrics[0].parts, 1);
    assert_sv(f.items[2]->name, "other_count");
    families_free(&f);
}

static void refuse(const char *text, const char *want)
{
    Families f;
    Err err = { 0 };
    assert_int_equal(families_parse(sv_cstr(text), FAMILIES_MEMORY_MAX, &f, &err), -ERR_INVALID);
    if (!strstr(err.msg, want))
        fail_msg("'%s' has no '%s'", err.msg, want);
    families_free(&f);
}

static void test_a_family_is_declared_once(void **state)
{
    refuse("# HELP a A.\n\n# HELP a A.\na 1\n", "line 3: second HELP line for metric name \"a\"");
    refuse("# TYPE a gauge\n# TYPE a gauge\na 1\n", "line 2: second TYPE line for metric name");
    refuse("a 1\n# TYPE a gauge\n", "or TYPE reported after samples");
    refuse("a{\n", "while parsing");
}

static void test_the_number_of_families_is_limited(void **state)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Families f;
    Err err = { 0 };
    for (int i = 0; i < FAMILIES_MAX; i++)
        buf_printf(&text, "m%d 1\n", i);
    assert_int_equal(families_parse(buf_view(&text), FAMILIES_MEMORY_MAX, &f, &err), 0);
    assert_int_equal(f.n, FAMILIES_MAX);
    families_free(&f);
    buf_sv(&text, SV("one_more 1\n"));
    assert_int_equal(families_parse(buf_view(&text), FAMILIES_MEMORY_MAX, &f, &err), -ERR_LIMIT);
    families_free(&f);
}

static void test_running_out_of_memory_is_an_error(void **state)
{
    const char *text = DECLARED("aB_ms", "histogram") "aB_ms_bucket{le=\"1\"} 1\n"
                                                      "aB_ms_bucket{x=\"1\",le=\"1\"} 1\n";
    int r = -1;
    for (size_t limit = 1; r < 0; limit += 512) {
        Families f;
        LintProblem *problems;
        size_t n;
        Err err = { 0 };
        r = families_parse(sv_cstr(text), limit, &f, &err);
        if (r >= 0)
            r = promlint(&f, &problems, &n, &err);
        if (r < 0)
            assert_int_equal(r, -ERR_NOMEM);
        families_free(&f);
        assert_true(limit < 1024 * 1024);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_usual_is_no_problem),
        cmocka_unit_test(test_each_rule_finds_its_problem),
        cmocka_unit_test(test_untyped_metrics_may_have_any_suffix),
        cmocka_unit_test(test_series_of_a_histogram_are_one_metric),
        cmocka_unit_test(test_a_family_is_declared_once),
        cmocka_unit_test(test_the_number_of_families_is_limited),
        cmocka_unit_test(test_running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
