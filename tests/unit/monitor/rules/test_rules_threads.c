/* test_rules_threads.c - rules that are evaluated by threads: groups do not wait for each other,
 * nor views and reloads for an evaluation; what reloads change. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "monitor/rules/rules.h"

/* A storage whose query of `slow` waits until it is let go. */
typedef struct World {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    unsigned waiting, fast, slow; /* queries: under way, done */
    unsigned sent, failed;
    char summary[128]; /* of the last alert that was sent */
    Rules *rules;
} World;

static int on_query(void *ctx, StrView expr, int64_t t, Arena *a, TemplateSample **ret,
                    size_t *ret_n, Err *err)
{
    World *w = ctx;
    bool slow = sv_starts(expr, SV("slow"));
    pthread_mutex_lock(&w->lock);
    w->waiting += slow;
    pthread_cond_broadcast(&w->changed);
    while (slow && w->held)
        pthread_cond_wait(&w->changed, &w->lock);
    w->waiting -= slow;
    *(slow ? &w->slow : &w->fast) += 1;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (sv_eq(expr, SV("fails")))
        return err_set(err, ERR_INVALID, 0, "it fails");
    TemplateSample *s = arena_new(a, TemplateSample);
    if (!s)
        return err_nomem(err);
    s->value = 1;
    *ret = s;
    *ret_n = 1;
    return 0;
}

static int on_append(void *ctx, const RuleSample *samples, size_t n, size_t *ret_refused, Err *err)
{
    *ret_refused = 0;
    return 0;
}

static void on_notify(void *ctx, StrView expr, const RuleAlert *alerts, size_t n)
{
    World *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->sent += (unsigned)n;
    StrView s = labels_get(alerts[0].annotations, SV("summary"));
    snprintf(w->summary, sizeof w->summary, "%.*s", SV_FMT(s));
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void on_failed(void *ctx, const RuleFailure *f)
{
    World *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->failed++;
    pthread_mutex_unlock(&w->lock);
}

static int64_t now_ms(void)
{
    return clock_real_ns() / NSEC_PER_MSEC;
}

static void world_init(World *w)
{
    Err err = { 0 };
    *w = (World){ 0 };
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    const RulesOptions o = { .storage = { .query = on_query, .append = on_append, .ctx = w },
                             .interval = 20,
                             .resend_delay = -1,
                             .notify = on_notify,
                             .failed = on_failed,
                             .ctx = w };
    assert_int_equal(rules_new(&o, &w->rules, &err), 0);
}

static void world_free(World *w)
{
    rules_stop(w->rules);
    rules_free(w->rules);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

static void load(World *w, const char *text, const RulesGlobals *g)
{
    Err err = { 0 };
    RuleFile *file = NULL;
    RulesNext *next = NULL;
    if (rule_file_parse(sv_cstr(text), SV("f.yml"), 0, NULL, &file, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(rules_prepare(w->rules, g, &file, 1, &next, &err), 0);
    rules_take(w->rules, next, now_ms(), true);
}

static void start(World *w, unsigned threads)
{
    Err err = { 0 };
    assert_int_equal(rules_start(w->rules, threads, &err), 0);
}

static void hold(World *w, bool held)
{
    pthread_mutex_lock(&w->lock);
    w->held = held;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* Until *n is at least `want`. */
static void wait_until(World *w, const unsigned *n, unsigned want)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 10;
    pthread_mutex_lock(&w->lock);
    int r = 0;
    while (*n < want && r == 0)
        r = pthread_cond_timedwait(&w->changed, &w->lock, &end);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(r, 0);
}

static unsigned look(World *w, const unsigned *n)
{
    pthread_mutex_lock(&w->lock);
    unsigned v = *n;
    pthread_mutex_unlock(&w->lock);
    return v;
}

typedef struct View {
    size_t n;
    AlertState state;
    int64_t active_at;
    char expr[64];
} View;

static View view(World *w, const char *group)
{
    Arena a;
    Err err = { 0 };
    RuleGroupView *g = NULL;
    View v = { 0 };
    arena_init(&a, 0);
    assert_int_equal(rules_list(w->rules, &a, &g, &v.n, &err), 0);
    for (size_t i = 0; i < v.n; i++) {
        const RuleView *r = &g[i].rules[0];
        if (!sv_eq(g[i].def->name, sv_cstr(group)))
            continue;
        v.state = r->state;
        v.active_at = r->n_alerts ? r->alerts[0].active_at : 0;
        snprintf(v.expr, sizeof v.expr, "%.*s", SV_FMT(r->def->expr_text));
    }
    arena_free(&a);
    return v;
}

#define FAST "- {name: fast, rules: [{record: a, expr: quick}]}\n"

static void test_a_slow_group_holds_up_nobody(void **state)
{
    World w;
    world_init(&w);
    load(&w, "groups:\n" FAST "- {name: slow, rules: [{alert: S, expr: slow}]}\n", NULL);
    start(&w, 2);
    wait_until(&w, &w.sent, 1);
    int64_t since = view(&w, "slow").active_at;
    hold(&w, true);
    wait_until(&w, &w.waiting, 1);
    wait_until(&w, &w.fast, look(&w, &w.fast) + 3);

    /* A reload that changes it twice, while it is under way: its alert is there all the time. */
    load(&w, "groups:\n" FAST "- {name: slow, rules: [{alert: S, expr: slow > 0}]}\n", NULL);
    assert_string_equal(view(&w, "slow").expr, "slow > 0");
    assert_int_equal(view(&w, "slow").state, ALERT_FIRING);
    load(&w, "groups:\n" FAST "- {name: slow, rules: [{alert: S, expr: slow > 1}]}\n", NULL);
    assert_int_equal(view(&w, "slow").n, 2);
    assert_int_equal(view(&w, "slow").active_at, since);
    wait_until(&w, &w.fast, look(&w, &w.fast) + 3);
    assert_int_equal(look(&w, &w.waiting), 1); /* the new one waits for the old one */
    hold(&w, false);
    wait_until(&w, &w.slow, look(&w, &w.slow) + 3);
    assert_string_equal(view(&w, "slow").expr, "slow > 1");
    assert_int_equal(view(&w, "slow").active_at, since);

    /* One that is gone while it is under way. */
    hold(&w, true);
    wait_until(&w, &w.waiting, 1);
    load(&w, "groups:\n" FAST, NULL);
    assert_int_equal(view(&w, "slow").n, 1);
    hold(&w, false);
    wait_until(&w, &w.fast, look(&w, &w.fast) + 3);
    assert_int_equal(look(&w, &w.waiting), 0);
    world_free(&w);
}

static void test_a_reload_changes_external_labels_and_url(void **state)
{
    World w;
    char text[] = "one";
    Label l = { SV("region"), sv_cstr(text) };
    world_init(&w);
    RulesGlobals g = { .interval = 20,
                       .external_labels = { &l, 1 },
                       .external_url = SV("http://a") };
    static const char rules[] =
        "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: quick\n    annotations:\n"
        "      summary: '{{ $externalLabels.region }} {{ $externalURL }}'\n";
    load(&w, rules, &g);
    memset(text, 'x', 3); /* copied */
    start(&w, 1);
    wait_until(&w, &w.sent, 1);
    pthread_mutex_lock(&w.lock);
    assert_string_equal(w.summary, "one http://a");
    pthread_mutex_unlock(&w.lock);
    g.external_url = SV("http://b");
    int64_t since = view(&w, "g").active_at;
    load(&w, rules, &g); /* the group is the same, and goes on */
    wait_until(&w, &w.sent, look(&w, &w.sent) + 3);
    pthread_mutex_lock(&w.lock);
    assert_string_equal(w.summary, "xxx http://b");
    pthread_mutex_unlock(&w.lock);
    assert_int_equal(view(&w, "g").active_at, since);
    world_free(&w);
}

static void test_counts(void **state)
{
    World w;
    Arena a;
    RulesStats s;
    Err err = { 0 };
    world_init(&w);
    load(&w,
         "groups:\n" FAST
         "- {name: bad, rules: [{record: b, expr: fails}, {record: c, expr: d}]}\n",
         NULL);
    start(&w, 3);
    wait_until(&w, &w.fast, 12);
    rules_stop(w.rules);
    rules_stop(w.rules); /* a second time is fine */
    arena_init(&a, 0);
    assert_int_equal(rules_stats(w.rules, &a, &s, &err), 0);
    assert_int_equal(s.n, 2);
    assert_sv(s.groups[0].name, "bad");
    assert_int_equal(s.groups[0].rules, 2);
    assert_int_equal(s.groups[0].failures, s.groups[0].runs);
    assert_int_equal(s.groups[0].failures, w.failed);
    assert_int_equal(s.groups[0].samples, 1);
    assert_int_equal(s.groups[0].interval, 20);
    assert_int_equal(s.groups[1].failures, 0);
    assert_int_equal(s.groups[0].evals + s.groups[1].evals, s.rules.n);
    assert_int_equal(s.groups[0].runs + s.groups[1].runs, s.iterations.n);
    arena_free(&a);
    world_free(&w);
}

static void test_what_was_prepared_can_be_thrown_away(void **state)
{
    World w;
    Err err = { 0 };
    RuleFile *file = NULL;
    RulesNext *next = NULL;
    world_init(&w);
    load(&w, "groups:\n" FAST, NULL);
    assert_int_equal(rule_file_parse(SV("groups:\n" FAST "- {name: more}\n"), SV("f.yml"), 0, NULL,
                                     &file, &err),
                     0);
    assert_int_equal(rules_prepare(w.rules, NULL, &file, 1, &next, &err), 0);
    next = rules_next_free(next);
    assert_int_equal(view(&w, "fast").n, 1);
    world_free(&w);
}

/* ---- rules of one group at once ---- */

/* Queries that are under way together, and the order in which they began. */
typedef struct Together {
    World w;
    unsigned under_way, most, want; /* queries wait a while for company */
    Buf order;
} Together;

static int on_query_together(void *ctx, StrView expr, int64_t t, Arena *a, TemplateSample **ret,
                             size_t *ret_n, Err *err)
{
    Together *x = ctx;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (end.tv_nsec += 50 * NSEC_PER_MSEC) / NSEC_PER_SEC;
    end.tv_nsec %= NSEC_PER_SEC;
    pthread_mutex_lock(&x->w.lock);
    buf_printf(&x->order, "%.*s;", SV_FMT(expr));
    x->under_way++;
    x->most = MAX(x->most, x->under_way);
    pthread_cond_broadcast(&x->w.changed);
    int e = 0;
    while (x->most < x->want && e == 0)
        e = pthread_cond_timedwait(&x->w.changed, &x->w.lock, &end);
    x->under_way--;
    pthread_mutex_unlock(&x->w.lock);
    *ret = NULL;
    *ret_n = 0;
    return 0;
}

/* One evaluation of a group of these rules with helpers. */
static void evaluate_together(const char *rules, unsigned want, const char *order)
{
    Together x = { .want = want };
    Err err = { 0 };
    _cleanup_buf_ Buf text = BUF_INIT;
    pthread_mutex_init(&x.w.lock, NULL);
    pthread_cond_init(&x.w.changed, NULL);
    const RulesOptions o = {
        .storage = { .query = on_query_together, .append = on_append, .ctx = &x },
        .helpers = 3,
        .interval = 1000 * 1000,
    };
    assert_int_equal(rules_new(&o, &x.w.rules, &err), 0);
    buf_printf(&text, "groups:\n- name: g\n  rules: [%s]\n", rules);
    load(&x.w, buf_cstr(&text), NULL);
    start(&x.w, 1);
    /* Helpers that are not idle yet leave a rule to the group's thread. */
    for (unsigned i = 0; i < 1000 && x.most < want; i++)
        rules_eval_group(x.w.rules, 0, now_ms());
    rules_stop(x.w.rules);
    assert_int_equal(x.most, want);
    if (order)
        assert_true(sv_starts(buf_view(&x.order), sv_cstr(order)));
    buf_free(&x.order);
    world_free(&x.w);
}

#define RULE(name, expr) "{record: " name ", expr: '" expr "'}"

static void test_rules_that_do_not_read_each_other_run_at_once(void **state)
{
    evaluate_together(RULE("a", "x") "," RULE("b", "y") "," RULE("c", "z"), 3, NULL);
    /* The last ones read the first, and not each other. */
    evaluate_together(RULE("a", "x") "," RULE("b", "a + 1") "," RULE("c", "a + 2"), 2, "x;");
}

static void test_rules_that_read_others_follow_them(void **state)
{
    evaluate_together(RULE("a", "x") "," RULE("b", "a") "," RULE("c", "b") "," RULE("d", "c"), 1,
                      "x;a;b;c;");
    /* Whoever selects without a name may read anything. */
    evaluate_together(RULE("a", "x") "," RULE("b", "{job=\"j\"}") "," RULE("c", "z"), 1,
                      "x;{job=\"j\"};z;");
    evaluate_together("{alert: A, expr: x}," RULE("b", "ALERTS{alertname=\"A\"}") "," RULE("c",
                                                                                           "b"),
                      1, "x;ALERTS{alertname=\"A\"};b;");
    evaluate_together(RULE("b:a", "x") "," RULE("c", "{__name__=~\"b:.*\"}"), 1,
                      "x;{__name__=~\"b:.*\"};");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slow_group_holds_up_nobody),
        cmocka_unit_test(test_a_reload_changes_external_labels_and_url),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_what_was_prepared_can_be_thrown_away),
        cmocka_unit_test(test_rules_that_do_not_read_each_other_run_at_once),
        cmocka_unit_test(test_rules_that_read_others_follow_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
