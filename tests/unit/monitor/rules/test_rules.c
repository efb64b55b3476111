/* test_rules.c - rules over a real database: recording, staleness, the life of an alert, limits,
 * reloads that keep state, and state restored after a restart. */
#include "unit.h"

#include <stdlib.h>

#include "base/file.h"
#include "monitor/rules/rules.h"

enum { MINUTE = 60 * 1000, T0 = 1000 * MINUTE };

typedef struct Fixture {
    char dir[64];
    Tsdb *db;
    RulesTsdb storage;
    Rules *rules;
    unsigned sent;
    RuleAlert last; /* only numbers and state are good */
} Fixture;

static void on_notify(void *ctx, StrView expr, const RuleAlert *alerts, size_t n)
{
    Fixture *f = ctx;
    (void)expr;
    f->sent += (unsigned)n;
    f->last = alerts[n - 1];
}

static void load(Fixture *f, const char *text, int64_t now, bool restored)
{
    Err err = { 0 };
    RuleFile *file = NULL;
    if (rule_file_parse(sv_cstr(text), SV("f.yml"), 0, NULL, &file, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(rules_reload(f->rules, &file, 1, now, restored, &err), 0);
}

static void open_rules(Fixture *f)
{
    Err err = { 0 };
    TsdbOptions o = { .dir = f->dir };
    if (tsdb_open(&o, &f->db, &err) < 0)
        fail_msg("%s", err.msg);
    f->storage = (RulesTsdb){ .db = f->db };
    RulesOptions ro = { .storage = rules_tsdb(&f->storage), .notify = on_notify, .ctx = f };
    assert_int_equal(rules_new(&ro, &f->rules, &err), 0);
}

static void close_rules(Fixture *f)
{
    f->rules = rules_free(f->rules);
    f->db = tsdb_close(f->db);
}

static void setup(Fixture *f, const char *text, bool restored)
{
    *f = (Fixture){ .dir = "/tmp/test_rules.XXXXXX" };
    assert_non_null(mkdtemp(f->dir));
    open_rules(f);
    load(f, text, T0, restored);
}

static void teardown(Fixture *f)
{
    close_rules(f);
    assert_int_equal(rm_rf(AT_FDCWD, f->dir), 0);
}

static void put(Fixture *f, const char *job, int64_t t, double v)
{
    Err err = { 0 };
    size_t refused = 0;
    Label l[] = { { LABEL_METRIC_NAME, SV("up") }, { SV("job"), sv_cstr(job) } };
    RuleStorage st = rules_tsdb(&f->storage);
    RuleSample s = { .labels = { l, 2 }, .t = t, .v = v };
    assert_int_equal(st.append(st.ctx, &s, 1, &refused, &err), 0);
    assert_int_equal(refused, 0);
}

/* How many series `expr` has at t; the first one's value. */
static size_t ask(Fixture *f, const char *expr, int64_t t, double *ret)
{
    Arena a;
    Err err = { 0 };
    TemplateSample *s = NULL;
    size_t n = 0;
    RuleStorage st = rules_tsdb(&f->storage);
    arena_init(&a, 0);
    if (st.query(st.ctx, sv_cstr(expr), t, &a, &s, &n, &err) < 0)
        fail_msg("%s", err.msg);
    if (ret && n)
        *ret = s[0].value;
    arena_free(&a);
    return n;
}

static AlertState state_at(Fixture *f, const char *want_error)
{
    Arena a;
    RuleGroupView *g = NULL;
    size_t n = 0;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(rules_list(f->rules, &a, &g, &n, &err), 0);
    AlertState s = g[0].rules[0].state;
    assert_string_equal(g[0].rules[0].health, want_error ? "err" : "ok");
    if (want_error)
        assert_sv(g[0].rules[0].last_error, want_error);
    arena_free(&a);
    return s;
}

static void test_recorded_series_get_labels_and_go_stale(void **state)
{
    Fixture f;
    double v = 0;
    setup(&f,
          "groups:\n- name: g\n  rules:\n"
          "  - {record: job:up:sum, expr: 'sum by (job) (up)', labels: {team: x}}\n"
          "  - {record: again, expr: 'job:up:sum + 1'}\n",
          true);
    put(&f, "a", T0, 1);
    put(&f, "b", T0, 1);
    rules_eval_group(f.rules, 0, T0);
    assert_int_equal(ask(&f, "job:up:sum{team=\"x\"}", T0, &v), 2);
    assert_int_equal(ask(&f, "again{job=\"a\"}", T0, &v), 1); /* rules in order */
    assert_float_equal(v, 2, 0);
    put(&f, "a", T0 + MINUTE, double_from_bits(NAN_STALE_BITS));
    rules_eval_group(f.rules, 0, T0 + MINUTE);
    assert_int_equal(ask(&f, "job:up:sum", T0 + MINUTE, &v), 1);

    /* a rule that is gone: its series end with the next evaluation of the group */
    load(&f, "groups:\n- name: g\n  rules:\n  - {record: again, expr: 'up'}\n", T0 + MINUTE, true);
    rules_eval_group(f.rules, 0, T0 + 2 * MINUTE);
    assert_int_equal(ask(&f, "job:up:sum", T0 + 2 * MINUTE, NULL), 0);
    assert_int_equal(ask(&f, "again", T0 + 2 * MINUTE, NULL), 1);
    teardown(&f);
}

#define DOWN                                                                                       \
    "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    for: 2m\n"              \
    "    labels: {severity: page}\n"

static void test_an_alert_is_pending_then_fires_then_is_resolved(void **state)
{
    Fixture f;
    double v = 0;
    setup(&f, DOWN, true);
    put(&f, "a", T0, 0);
    rules_eval_group(f.rules, 0, T0);
    assert_int_equal(state_at(&f, NULL), ALERT_PENDING);
    assert_int_equal(f.sent, 0);
    assert_int_equal(ask(&f,
                         "ALERTS{alertname=\"Down\", alertstate=\"pending\", job=\"a\", "
                         "severity=\"page\"}",
                         T0, &v),
                     1);
    assert_int_equal(ask(&f, "ALERTS_FOR_STATE", T0, &v), 1);
    assert_float_equal(v, T0 / 1000, 0);
    rules_eval_group(f.rules, 0, T0 + 2 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_FIRING);
    assert_int_equal(f.sent, 1);
    assert_int_equal(ask(&f, "ALERTS{alertstate=\"pending\"}", T0 + 2 * MINUTE, NULL), 0);
    assert_int_equal(ask(&f, "ALERTS{alertstate=\"firing\"}", T0 + 2 * MINUTE, NULL), 1);
    load(&f, DOWN, T0 + 2 * MINUTE, true); /* a reload loses nothing */
    put(&f, "a", T0 + 3 * MINUTE, 1);
    rules_eval_group(f.rules, 0, T0 + 3 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_INACTIVE);
    assert_int_equal(f.sent, 2);
    assert_int_equal(f.last.resolved_at, T0 + 3 * MINUTE);
    /* resolved ones are sent on for 15 minutes */
    rules_eval_group(f.rules, 0, T0 + 5 * MINUTE);
    assert_int_equal(f.sent, 3);
    for (int i = 6; i < 25; i++)
        rules_eval_group(f.rules, 0, T0 + i * MINUTE);
    unsigned before = f.sent;
    rules_eval_group(f.rules, 0, T0 + 30 * MINUTE);
    assert_int_equal(f.sent, before);
    teardown(&f);
}

static void test_keep_firing_for_and_limit(void **state)
{
    Fixture f;
    setup(&f,
          "groups:\n- name: g\n  limit: 1\n  rules:\n  - {alert: A, expr: up == 0, "
          "keep_firing_for: 2m}\n",
          true);
    put(&f, "a", T0, 0);
    rules_eval_group(f.rules, 0, T0);
    assert_int_equal(state_at(&f, NULL), ALERT_FIRING);
    put(&f, "a", T0 + MINUTE, 1);
    rules_eval_group(f.rules, 0, T0 + MINUTE);
    rules_eval_group(f.rules, 0, T0 + 2 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_FIRING);
    rules_eval_group(f.rules, 0, T0 + 3 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_INACTIVE);
    put(&f, "a", T0 + 4 * MINUTE, 0);
    put(&f, "b", T0 + 4 * MINUTE, 0);
    rules_eval_group(f.rules, 0, T0 + 4 * MINUTE);
    assert_int_equal(state_at(&f, "exceeded limit of 1 with 2 alerts"), ALERT_INACTIVE);
    teardown(&f);
}

static void test_for_goes_on_after_a_restart(void **state)
{
    static const char rule[] =
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up == 0, for: 30m}\n";
    Fixture f;
    setup(&f, rule, true);
    put(&f, "a", T0, 0);
    rules_eval_group(f.rules, 0, T0);
    put(&f, "a", T0 + 10 * MINUTE, 0);
    rules_eval_group(f.rules, 0, T0 + 10 * MINUTE);
    close_rules(&f);

    open_rules(&f); /* five minutes later */
    load(&f, rule, T0 + 14 * MINUTE, false);
    put(&f, "a", T0 + 14 * MINUTE, 0);
    rules_eval_group(f.rules, 0, T0 + 14 * MINUTE);
    rules_eval_group(f.rules, 0, T0 + 15 * MINUTE);
    /* 20 of 30 minutes were left when it stopped: it fires 20 minutes from now on */
    put(&f, "a", T0 + 34 * MINUTE, 0);
    rules_eval_group(f.rules, 0, T0 + 34 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_PENDING);
    rules_eval_group(f.rules, 0, T0 + 35 * MINUTE);
    assert_int_equal(state_at(&f, NULL), ALERT_FIRING);
    teardown(&f);
}

static void test_groups_run_when_they_are_due(void **state)
{
    Fixture f;
    setup(&f, "groups:\n- {name: g, interval: 1m, rules: [{record: one, expr: '1'}]}\n", true);
    int64_t next = rules_run_due(f.rules, T0);
    assert_true(next > T0 && next <= T0 + MINUTE);
    assert_int_equal(ask(&f, "one", T0, NULL), 0);
    assert_int_equal(rules_run_due(f.rules, next), next + MINUTE);
    assert_int_equal(ask(&f, "one", next, NULL), 1);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_series_get_labels_and_go_stale),
        cmocka_unit_test(test_an_alert_is_pending_then_fires_then_is_resolved),
        cmocka_unit_test(test_keep_firing_for_and_limit),
        cmocka_unit_test(test_for_goes_on_after_a_restart),
        cmocka_unit_test(test_groups_run_when_they_are_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
