/* test_rulefile.c - rule files that are read, and what is said about wrong ones. */
#include "unit.h"

#include <stdlib.h>

#include "monitor/rules/rulefile.h"

static void test_a_file_is_read_with_all_its_keys(void **state)
{
    Err err = { 0 };
    RuleFile *f = NULL;
    const char *text = "groups:\n"
                       "- name: g\n  interval: 30s\n  limit: 7\n  query_offset: 1m\n"
                       "  labels: {team: a, x: g}\n  rules:\n"
                       "  - record: job:up:sum\n    expr: sum by(job)(up)\n    labels: {x: 1.0}\n"
                       "  - alert: Down\n    expr: up == 0\n    for: 5m\n    keep_firing_for: 10m\n"
                       "    annotations: {summary: 'down {{ $labels.instance }}'}\n"
                       "- name: h\n  rules: []\n";
    if (rule_file_parse(sv_cstr(text), SV("f.yml"), 0, NULL, &f, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->n, 2);
    RuleGroupDef *g = &f->groups[0];
    assert_sv(g->name, "g");
    assert_int_equal(g->interval, 30000);
    assert_int_equal(g->limit, 7);
    assert_int_equal(g->query_offset, 60000);
    assert_int_equal(f->groups[1].query_offset, -1);
    assert_sv(g->rules[0].expr_text, "sum by (job) (up)");
    assert_sv(labels_get(g->rules[0].labels, SV("x")), "1.0");
    assert_sv(labels_get(g->rules[0].labels, SV("team")), "a");
    assert_true(g->rules[1].alerting);
    assert_int_equal(g->rules[1].hold, 300000);
    assert_int_equal(g->rules[1].keep_firing, 600000);
    assert_sv(labels_get(g->rules[1].annotations, SV("summary")), "down {{ $labels.instance }}");
    rule_file_free(f);
}

static void expect(const char *rules, const char *want)
{
    Err err = { 0 };
    RuleFile *f = NULL;
    Buf problems = BUF_INIT;
    if (rule_file_parse(sv_cstr(rules), SV("f.yml"), 0, &problems, &f, &err) >= 0)
        fail_msg("accepted: %s", rules);
    if (!strstr(buf_cstr(&problems), want))
        fail_msg("got '%s', want '%s'", problems.ptr, want);
    assert_true(err.msg[0]);
    buf_free(&problems);
}

#define GROUP "groups:\n- name: g\n  rules:\n  - "

static void test_problems_name_file_line_group_and_rule(void **state)
{
    expect(GROUP "alert: A\n    expr: up ==\n",
           "f.yml: 5: group \"g\", rule 1, \"A\": could not parse expression: ");
    expect(GROUP "alert: A\n    record: b\n    expr: up\n",
           "only one of 'record' and 'alert' must be set");
    expect(GROUP "expr: up\n", "rule 1, \"\": one of 'record' or 'alert' must be set");
    expect(GROUP "record: a\n", "field 'expr' must be set in rule");
    expect(GROUP "record: a\n    expr: up\n    for: 1m\n", "invalid field 'for' in recording rule");
    expect(GROUP "record: a{b}\n    expr: up\n", "braces present in the recording rule name");
    expect(GROUP "alert: A\n    expr: up\n    for: 1x\n", "field for: ");
    expect(GROUP "alert: A\n    expr: up\n    foo: 1\n",
           "f.yml: 6: group \"g\", rule 1, \"\": field foo not found in type rulefmt.Rule");
    expect(GROUP "alert: A\n    expr: up\n    labels: {__name__: x}\n",
           "invalid label name: __name__");
    expect(GROUP "alert: A\n    expr: up\n    annotations: {s: '{{ foo }}'}\n",
           "annotation \"s\": template: __alert_A:1: function \"foo\" not defined");
    expect("groups:\n- name: g\n- name: g\n", "groupname: \"g\" is repeated in the same file");
    expect("groups:\n- rules: []\n", "Groupname must not be empty");
    expect("groups: [\n", "f.yml: yaml: line");
    /* all problems of a file, not the first alone */
    expect("groups:\n- name: g\n  rules:\n  - record: a\n  - alert: B\n", "rule 2, \"B\": field");
}

/* A rule with `n` labels. */
static int parse_labels(unsigned n, const char *more, RuleFile **ret, Err *err)
{
    Buf b = BUF_INIT;
    buf_sv(&b, SV("groups:\n- name: g\n  labels: {l1: group, z: group}\n  rules:\n"
                  "  - alert: A\n    expr: up\n    labels:\n"));
    for (unsigned i = n; i-- > 0;)
        buf_printf(&b, "      l%u: x\n", i);
    buf_sv(&b, sv_cstr(more));
    int r = rule_file_parse(buf_view(&b), SV("f.yml"), 0, NULL, ret, err);
    buf_free(&b);
    return r;
}

static void test_labels_are_merged_sorted_and_counted(void **state)
{
    Err err = { 0 };
    RuleFile *f = NULL;
    assert_int_equal(parse_labels(3, "      z: ''\n", &f, &err), 0);
    Labels l = f->groups[0].rules[0].labels;
    assert_int_equal(l.len, 4);
    assert_sv(l.items[1].name, "l1");
    assert_sv(l.items[1].value, "x");
    assert_sv(l.items[3].name, "z"); /* empty: takes the label of the result away */
    assert_sv(l.items[3].value, "");
    rule_file_free(f);
    assert_int_equal(parse_labels(LABELS_MAX - 1, "", &f, &err), 0); /* with the group's z */
    rule_file_free(f);
    assert_int_equal(parse_labels(LABELS_MAX, "", &f, &err), -(int)ERR_INVALID);
    assert_non_null(strstr(err.msg, "field labels: more than 1024"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_read_with_all_its_keys),
        cmocka_unit_test(test_problems_name_file_line_group_and_rule),
        cmocka_unit_test(test_labels_are_merged_sorted_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
