/* test_unittest.c - what alerts and rules give is compared as promtool does it. */
#include "monitor/tool/unittest.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

typedef struct World {
    char dir[64];
    char *out, *err;
    int code;
} World;

static int setup(void **state)
{
    World *w = calloc(1, sizeof *w);
    strcpy(w->dir, "/tmp/knarr-unittest-"
                   "XXXXXX");
    *state = w;
    return mkdtemp(w->dir) ? 0 : -1;
}

static int teardown(void **state)
{
    World *w = *state;
    rm_rf(AT_FDCWD, w->dir);
    free(w->out);
    free(w->err);
    free(w);
    return 0;
}

static const char *put(World *w, const char *name, const char *text, char path[128])
{
    snprintf(path, 128, "%s/%s", w->dir, name);
    assert_int_equal(file_write(AT_FDCWD, path, sv_cstr(text), 0600), 0);
    return path;
}

static void run(World *w, const char *test, const UnittestOptions *o)
{
    size_t n;
    char path[128];
    const char *file = put(w, "test.yml", test, path);
    free(w->out);
    free(w->err);
    const ToolIo io = { stdin, open_memstream(&w->out, &n), open_memstream(&w->err, &n) };
    w->code = tool_test_rules(&io, o, (ToolFiles){ &file, 1 });
    fclose(io.out);
    fclose(io.err);
}

static void rules(World *w, const char *text)
{
    char path[128];
    put(w, "rules.yml", text, path);
}

static void passes(World *w, const char *test)
{
    run(w, test, &(UnittestOptions){ 0 });
    if (w->code != TOOL_OK)
        fail_msg("%s", w->err);
    assert_string_equal(w->out, "  SUCCESS\n\n");
}

static void test_groups_run_in_the_order_that_is_asked_for(void **state)
{
    World *w = *state;
    rules(w, "groups:\n- name: a\n  rules: [{record: late, expr: early + 1}]\n"
             "- name: b\n  rules: [{record: early, expr: vector(1)}]\n");
    passes(w, "rule_files: [rules.yml]\ngroup_eval_order: [b, a]\ntests:\n- promql_expr_test:\n"
              "  - {expr: late, eval_time: 0, exp_samples: [{labels: late, value: 2}]}\n");
    passes(w, "rule_files: [rules.yml]\ngroup_eval_order: [a, b]\ntests:\n- promql_expr_test:\n"
              "  - {expr: late, eval_time: 0, exp_samples: []}\n"
              "  - {expr: late, eval_time: 1m, exp_samples: [{labels: late, value: 2}]}\n");
}

/* At each step there is nothing of what comes after it. */
static void test_rules_do_not_see_the_future(void **state)
{
    World *w = *state;
    rules(w, "groups:\n- name: a\n  rules: [{record: ahead, expr: x offset -2m}]\n");
    passes(w, "rule_files: [rules.yml]\ntests:\n"
              "- input_series: [{series: x, values: 0+1x10}]\n  promql_expr_test:\n"
              "  - {expr: ahead, eval_time: 3m, exp_samples: [{labels: ahead, value: 3}]}\n");
}

static void test_of_a_series_that_is_listed_twice_the_last_counts(void **state)
{
    World *w = *state;
    rules(w, "groups: []\n");
    passes(w, "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n"
              "  input_series:\n  - {series: 'a{x=\"1\",y=\"2\"}', values: '1 1 1'}\n"
              "  - {series: b, values: '7'}\n  - {series: 'a{y=\"2\",x=\"1\"}', values: '5 6'}\n"
              "  promql_expr_test:\n"
              "  - {expr: 'sum_over_time(a[5m])', eval_time: 3m, exp_samples: [{labels: '{x=\"1\", "
              "y=\"2\"}', value: 11}]}\n");
}

static void test_gaps_and_ends_of_series_are_kept(void **state)
{
    World *w = *state;
    passes(w, "tests:\n- interval: 1m\n"
              "  input_series: [{series: x, values: '1 _ _ 4 stale 6'}]\n  promql_expr_test:\n"
              "  - {expr: x, eval_time: 2m, exp_samples: [{labels: x, value: 1}]}\n"
              "  - {expr: 'count_over_time(x[4m])', eval_time: 3m, exp_samples: [{labels: '{}', "
              "value: 2}]}\n"
              "  - {expr: x, eval_time: 4m, exp_samples: []}\n"
              "  - {expr: x, eval_time: 5m, exp_samples: [{labels: x, value: 6}]}\n");
}

static void test_fuzzy_comparison_allows_one_step(void **state)
{
    World *w = *state;
    const char *exact = "tests:\n- input_series: [{series: x, values: '2.9999999999999996'}]\n"
                        "  promql_expr_test:\n"
                        "  - {expr: x, eval_time: 0, exp_samples: [{labels: x, value: 3}]}\n";
    char fuzzy[400];
    run(w, exact, &(UnittestOptions){ 0 });
    assert_int_equal(w->code, TOOL_FAILED);
    assert_non_null(strstr(w->err, "        exp: {__name__=\"x\"} 3E+00\n"
                                   "        got: {__name__=\"x\"} 2.9999999999999996E+00\n"));
    snprintf(fuzzy, sizeof fuzzy, "fuzzy_compare: true\n%s", exact);
    passes(w, fuzzy);
}

static void test_an_error_of_a_rule_ends_its_test(void **state)
{
    World *w = *state;
    rules(w, "groups:\n- name: a\n  rules: [{record: r, expr: x + on() y}]\n");
    run(w,
        "rule_files: [rules.yml]\ntests:\n"
        "- input_series:\n  - {series: 'x', values: 1x5}\n  - {series: 'y{a=\"1\"}', values: 1x5}\n"
        "  - {series: 'y{a=\"2\"}', values: 1x5}\n"
        "  promql_expr_test: [{expr: x, eval_time: 3m}]\n",
        &(UnittestOptions){ 0 });
    assert_int_equal(w->code, TOOL_FAILED);
    assert_non_null(strstr(w->err, "    rule: r, time: 0s, err: found duplicate series"));
    assert_null(strstr(w->err, "time: 1m0s"));
}

static void test_the_same_alert_in_two_groups_is_no_error(void **state)
{
    World *w = *state;
    rules(w, "groups:\n- name: a\n  rules: [{alert: A, expr: x > 0}]\n"
             "- name: b\n  rules: [{alert: A, expr: x > 0}]\n");
    passes(w, "rule_files: [rules.yml]\ntests:\n- input_series: [{series: x, values: 1x5}]\n"
              "  alert_rule_test: [{eval_time: 2m, alertname: A, exp_alerts: [{}, {}]}]\n");
}

static void test_a_file_that_is_not_there_is_told(void **state)
{
    World *w = *state;
    run(w, "rule_files: [nowhere.yml]\ntests: [{}]\n", &(UnittestOptions){ 0 });
    assert_int_equal(w->code, TOOL_OK);
    assert_non_null(strstr(w->err, "  WARNING: no file match pattern "));
    const char *const bad[] = { "(" };
    run(w, "tests: []\n", &(UnittestOptions){ .run = bad, .n_run = 1 });
    assert_int_equal(w->code, TOOL_FAILED);
    assert_non_null(strstr(w->err, "--run: "));
    run(w, "tests: []\n", &(UnittestOptions){ .junit = "/nowhere/at/all.xml" });
    assert_int_equal(w->code, TOOL_FAILED);
    assert_non_null(strstr(w->err, "'/nowhere/at/all.xml'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_groups_run_in_the_order_that_is_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_rules_do_not_see_the_future, setup, teardown),
        cmocka_unit_test_setup_teardown(test_of_a_series_that_is_listed_twice_the_last_counts,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_gaps_and_ends_of_series_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fuzzy_comparison_allows_one_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_error_of_a_rule_ends_its_test, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_same_alert_in_two_groups_is_no_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_not_there_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
