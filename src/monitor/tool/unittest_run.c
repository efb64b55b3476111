/* unittest_run.c - runs one test. Time goes from its start in steps of the evaluation interval: at
 * each step the series' values up to it go into memory, then all groups are evaluated in their
 * order, then the alerts of that time are compared. Expressions come last. */
#include <stdarg.h>

#include "base/map.h"
#include "base/clock.h"
#include "monitor/model/duration.h"
#include "monitor/tool/unittest_internal.h"

void failures_free(Failures *f)
{
    vec_free(&f->items);
    arena_free(&f->arena);
}

void failures_add(Failures *f, StrView text)
{
    StrView copy = arena_sv(&f->arena, text);
    f->nomem |= !copy.ptr || !vec_push(&f->items, copy);
}

void failures_printf(Failures *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(&f->arena, fmt, ap);
    va_end(ap);
    f->nomem |= !text.ptr || !vec_push(&f->items, text);
}

/* ---- the storage of the rules ---- */

static int copy_result(const PromqlResult *res, Arena *a, TemplateSample **ret, size_t *ret_n,
                       Err *err)
{
    if (res->type != PROMQL_VECTOR && res->type != PROMQL_SCALAR)
        return err_set(err, ERR_INVALID, 0, "rule result is not a vector or scalar");
    TemplateSample *s = arena_array(a, TemplateSample, res->n + 1);
    if (!s)
        return err_nomem(err);
    *ret = s;
    *ret_n = res->type == PROMQL_SCALAR ? 1 : res->n;
    s[0].value = res->scalar;
    for (size_t i = 0; res->type == PROMQL_VECTOR && i < res->n; i++) {
        const PromqlPoint *p = &res->series[i].points[0];
        s[i].value = p->v;
        if (!labels_copy(res->series[i].labels, a, &s[i].labels) ||
            (p->h && !(s[i].h = histogram_copy(p->h, a))))
            return err_nomem(err);
    }
    return 0;
}

int unit_test_query(UnitTest *t, StrView expr, int64_t time, Arena *a, TemplateSample **ret,
                    size_t *ret_n, Err *err)
{
    const PromqlOptions opt = { .features = t->opt->features,
                                .subquery_step_ms = t->file->evaluation_interval };
    const PromqlQuery query = { .text = expr, .start = time, .end = time };
    PromqlResult res;
    int r = promql_query(&opt, memory_querier(t->memory), &query, &res, err);
    if (r >= 0)
        r = copy_result(&res, a, ret, ret_n, err);
    promql_result_free(&res);
    return r;
}

static int storage_query(void *ctx, StrView expr, int64_t time, Arena *a, TemplateSample **ret,
                         size_t *ret_n, Err *err)
{
    return unit_test_query(ctx, expr, time, a, ret, ret_n, err);
}

/* The same sample again is no mistake: two alerts of one name may be of one series. */
static bool is_there(const MemorySeries *series, const RuleSample *s)
{
    int64_t t;
    double v;
    const Histogram *h;
    if (!memory_last(series, &t, &v, &h) || t != s->t || !h != !s->h)
        return false;
    return h ? histogram_equal(h, s->h) : double_bits(v) == double_bits(s->v);
}

static int storage_append(void *ctx, const RuleSample *s, size_t n, size_t *ret_refused, Err *err)
{
    UnitTest *t = ctx;
    *ret_refused = 0;
    for (size_t i = 0; i < n; i++) {
        MemorySeries *to = memory_series(t->memory, s[i].labels);
        if (to && is_there(to, &s[i]))
            continue;
        int r = to ? memory_append(t->memory, to, s[i].t, s[i].v, s[i].h, 0, err) : err_nomem(err);
        if (r == -(int)ERR_NOMEM)
            return r;
        *ret_refused += r < 0;
    }
    return 0;
}

/* ---- before it begins ---- */

/* Of a series that is listed twice the last one counts, as in promtool. */
static int find_replaced(UnitTest *t, Err *err)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    Map seen = { 0 };
    void *earlier;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < t->group->series.len; i++) {
        buf_clear(&key);
        labels_format(t->series[i].labels, &key);
        earlier = NULL;
        if (key.failed || !map_set(&seen, buf_view(&key), &t->series[i], &earlier))
            r = err_nomem(err);
        else if (earlier)
            ((InputSeries *)earlier)->replaced = true;
    }
    map_free(&seen);
    return r;
}

static int load_series(UnitTest *t, Err *err)
{
    unsigned n = t->group->series.len;
    t->series = arena_array(&t->arena, InputSeries, n + 1u);
    if (!t->series)
        return err_nomem(err);
    for (unsigned i = 0; i < n; i++) {
        const TestSeries *s = &t->group->series.items[i];
        StrView line = arena_printf(&t->arena, "%.*s %.*s", SV_FMT(s->series), SV_FMT(s->values));
        int r = line.ptr
                    ? series_parse(line, &t->arena, &t->series[i].labels, &t->series[i].values, err)
                    : err_nomem(err);
        if (r < 0)
            return r;
    }
    return find_replaced(t, err);
}

static int group_cmp(const void *x, const void *y)
{
    const GroupOrder *a = x, *b = y;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* As group_eval_order says; groups that it does not name go with the first one. Those of one place
 * in the order of files and of groups in them. */
static int order_groups(UnitTest *t, RuleFile *const *files, unsigned n, Err *err)
{
    RuleGroupView *views;
    int r = rules_list(t->rules, &t->arena, &views, &t->n_groups, err);
    if (r < 0)
        return r;
    t->groups = arena_array(&t->arena, GroupOrder, t->n_groups + 1);
    if (!t->groups)
        return err_nomem(err);
    for (size_t i = 0; i < t->n_groups; i++) {
        GroupOrder *o = &t->groups[i];
        *o = (GroupOrder){ .index = i };
        for (unsigned k = 0; k < t->file->group_eval_order.len; k++)
            if (sv_eq(t->file->group_eval_order.items[k], views[i].def->name))
                o->order = k;
        for (unsigned f = 0; f < n; f++)
            if (views[i].def >= files[f]->groups && views[i].def < files[f]->groups + files[f]->n) {
                o->file = f;
                o->place = (unsigned)(views[i].def - files[f]->groups);
            }
    }
    if (t->n_groups)
        qsort(t->groups, t->n_groups, sizeof *t->groups, group_cmp);
    return 0;
}

static int load_rules(UnitTest *t, Err *err)
{
    const RulesOptions opt = {
        .storage = { .query = storage_query, .append = storage_append, .ctx = t },
        .interval = t->group->interval,
        .external_labels = t->group->external_labels,
        .external_url = t->group->external_url
    };
    unsigned features = t->opt->features | (t->opt->ignore_unknown ? RULE_FILE_IGNORE_UNKNOWN : 0);
    _cleanup_buf_ Buf problems = BUF_INIT;
    RuleFile **files = arena_array(&t->arena, RuleFile *, t->n_rule_files + 1);
    unsigned n = 0;
    int r = files ? rules_new(&opt, &t->rules, err) : err_nomem(err);
    for (size_t i = 0; r >= 0 && i < t->n_rule_files; i++)
        if ((r = rule_file_load(t->rule_files[i], features, &problems, &files[n], err)) >= 0)
            n++;
    if (r < 0) {
        while (n > 0)
            rule_file_free(files[--n]);
        StrView rest = buf_view(&problems), line;
        while (sv_next(&rest, '\n', &line))
            failures_add(t->failures, line);
        return r;
    }
    r = rules_reload(t->rules, files, n, t->group->start, true, err);
    return r < 0 ? r : order_groups(t, files, n, err);
}

static bool check_names(UnitTest *t)
{
    for (unsigned i = 0; i < t->group->alerts.len; i++) {
        const TestAlertCase *c = &t->group->alerts.items[i];
        if (c->alertname.len)
            continue;
        _cleanup_buf_ Buf time = BUF_INIT;
        prom_duration_format(c->eval_time, &time);
        if (t->group->name.len)
            failures_printf(t->failures,
                            "an item under alert_rule_test misses required attribute alertname at "
                            "eval_time %.*s (in TestGroup %.*s)",
                            SV_FMT(buf_view(&time)), SV_FMT(t->group->name));
        else
            failures_printf(t->failures,
                            "an item under alert_rule_test misses required attribute alertname at "
                            "eval_time %.*s",
                            SV_FMT(buf_view(&time)));
        return false;
    }
    return true;
}

/* ---- running ---- */

int64_t unit_test_length(const TestGroup *g)
{
    int64_t most = 0;
    for (unsigned i = 0; i < g->alerts.len; i++)
        most = MAX(most, g->alerts.items[i].eval_time);
    for (unsigned i = 0; i < g->exprs.len; i++)
        most = MAX(most, g->exprs.items[i].eval_time);
    return most;
}

static int feed(UnitTest *t, int64_t until, Err *err)
{
    for (unsigned i = 0; i < t->group->series.len; i++) {
        InputSeries *s = &t->series[i];
        MemorySeries *to = NULL;
        for (; !s->replaced && s->next < s->values.len; s->next++) {
            int64_t at = t->group->start + (int64_t)s->next * t->group->interval;
            const SeriesValue *v = &s->values.items[s->next];
            if (at > until)
                break;
            if (v->omitted)
                continue;
            if (!to && !(to = memory_series(t->memory, s->labels)))
                return err_nomem(err);
            int r = memory_append(t->memory, to, at, v->v, v->h, 0, err);
            if (r == -(int)ERR_NOMEM)
                return r;
            if (r < 0)
                failures_printf(t->failures, "%s", err->msg);
        }
    }
    return 0;
}

/* 1: a rule could not be evaluated, and the failure was noted. */
static int evaluate(UnitTest *t, int64_t at, Err *err)
{
    _cleanup_arena_ Arena a;
    RuleGroupView *groups;
    size_t n;
    char time[DURATION_SIZE];
    int failed = 0;
    arena_init(&a, 0);
    for (size_t i = 0; i < t->n_groups; i++)
        rules_eval_group(t->rules, t->groups[i].index, at);
    int r = rules_list(t->rules, &a, &groups, &n, err);
    if (r < 0)
        return r;
    duration_format(at * NSEC_PER_MSEC, time);
    for (size_t i = 0; i < t->n_groups; i++) {
        const RuleGroupView *g = &groups[t->groups[i].index];
        for (unsigned k = 0; k < g->n; k++) {
            if (!g->rules[k].last_error.len)
                continue;
            failures_printf(t->failures, "    rule: %.*s, time: %s, err: %.*s",
                            SV_FMT(g->rules[k].def->name), time, SV_FMT(g->rules[k].last_error));
            failed = 1;
        }
    }
    return failed;
}

static int time_cmp(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* The times at which alerts are looked at, each once. */
static int alert_times(UnitTest *t, int64_t **ret, size_t *ret_n, Err *err)
{
    size_t n = t->group->alerts.len, kept = 0;
    int64_t *times = arena_array(&t->arena, int64_t, n + 1);
    if (!times)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        times[i] = t->group->alerts.items[i].eval_time;
    qsort(times, n, sizeof *times, time_cmp);
    for (size_t i = 0; i < n; i++)
        if (!kept || times[kept - 1] != times[i])
            times[kept++] = times[i];
    *ret = times;
    *ret_n = kept;
    return 0;
}

static int step_through(UnitTest *t, Err *err)
{
    int64_t *times = NULL, step = t->file->evaluation_interval, length = unit_test_length(t->group);
    size_t n = 0, next = 0;
    int r = alert_times(t, &times, &n, err);
    for (int64_t at = 0; r >= 0 && at <= length; at += step) {
        if ((r = feed(t, t->group->start + at, err)) < 0 ||
            (r = evaluate(t, t->group->start + at, err)) != 0)
            return r;
        while (r >= 0 && next < n && times[next] < at + step)
            r = unit_test_alerts(t, times[next++], err);
    }
    return r;
}

static int run(UnitTest *t, Err *err)
{
    int r;
    if ((r = load_series(t, err)) < 0 || (r = load_rules(t, err)) < 0 || !check_names(t) ||
        (r = step_through(t, err)) != 0)
        return r;
    if ((r = unit_test_exprs(t, err)) < 0)
        return r;
    if (t->opt->debug)
        unit_test_dump(t);
    return 0;
}

int unit_test_run(UnitTest *t, Err *err)
{
    size_t before = t->failures->items.len;
    int r;
    arena_init(&t->arena, 0);
    t->memory = memory_new();
    r = t->memory ? run(t, err) : err_nomem(err);
    rules_free(t->rules);
    memory_free(t->memory);
    arena_free(&t->arena);
    if (r < 0 && r != -(int)ERR_NOMEM && t->failures->items.len == before)
        failures_printf(t->failures, "%s", err->msg);
    return r == -(int)ERR_NOMEM || t->failures->nomem ? err_nomem(err) : 0;
}
