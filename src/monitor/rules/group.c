/* group.c - one evaluation of a group: its rules in order, each one's samples appended before the
 * next is evaluated, with staleness markers for series that the rule no longer gives. */
#include "base/clock.h"
#include "monitor/rules/internal.h"

void kept_free(Kept *k)
{
    map_free(&k->map);
    arena_free(&k->arena);
}

bool kept_add(Kept *k, Labels l)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    Labels *copy = arena_new(&k->arena, Labels);
    labels_format(l, &key);
    return copy && !key.failed && labels_copy(l, &k->arena, copy) &&
           map_set(&k->map, buf_view(&key), copy, NULL);
}

int record_eval(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a, RuleSample **ret,
                size_t *ret_n, Err *err)
{
    const RuleDef *d = rule->def;
    TemplateSample *v = NULL;
    size_t n = 0;
    _cleanup_map_ Map seen = { 0 };
    int e = r->opt.storage.query(r->opt.storage.ctx, d->expr_text, t - g->offset, a, &v, &n, err);
    RuleSample *out = arena_array(a, RuleSample, n + 1);
    if (e < 0 || !out)
        return e < 0 ? e : err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        LabelsBuilder b;
        _cleanup_buf_ Buf key = BUF_INIT;
        labels_builder_init(&b, a, v[i].labels);
        labels_builder_set(&b, LABEL_METRIC_NAME, d->name);
        for (unsigned k = 0; k < d->labels.len; k++)
            labels_builder_set(&b, d->labels.items[k].name, d->labels.items[k].value);
        out[i] = (RuleSample){ .t = t - g->offset, .v = v[i].value, .h = v[i].h };
        if (!labels_builder_take(&b, &out[i].labels))
            return err_nomem(err);
        labels_format(out[i].labels, &key);
        if (map_has(&seen, buf_view(&key)))
            return err_set(err, ERR_INVALID, 0,
                           "vector contains metrics with the same labelset "
                           "after applying rule labels");
        if (key.failed || !map_set(&seen, buf_view(&key), &out[i], NULL))
            return err_nomem(err);
    }
    if (g->def->limit > 0 && n > (size_t)g->def->limit)
        return err_set(err, ERR_LIMIT, 0, "exceeded limit of %lld with %zu series",
                       (long long)g->def->limit, n);
    *ret = out;
    *ret_n = n;
    return 0;
}

/* Markers for what is in `before` and not in `now`. */
static int mark_stale(Rules *r, const Kept *before, const Kept *now, int64_t t, Err *err)
{
    VEC(RuleSample) gone = { 0 };
    StrView key;
    void *val;
    size_t refused = 0;
    int e = 0;
    for (size_t i = 0; map_next(&before->map, &i, &key, &val);)
        if ((!now || !map_has(&now->map, key)) &&
            !vec_push(&gone, ((RuleSample){ .labels = *(Labels *)val,
                                            .t = t,
                                            .v = double_from_bits(NAN_STALE_BITS) })))
            e = err_nomem(err);
    if (gone.len > 0 && e >= 0)
        e = r->opt.storage.append(r->opt.storage.ctx, gone.items, gone.len, &refused, err);
    vec_free(&gone);
    return e; /* refused ones: another rule gives the series */
}

static int store(Rules *r, const Group *g, Rule *rule, int64_t t, const RuleSample *s, size_t n,
                 Err *err)
{
    Kept now = { 0 };
    size_t refused = 0;
    int e = n ? r->opt.storage.append(r->opt.storage.ctx, s, n, &refused, err) : 0;
    for (size_t i = 0; e >= 0 && i < n; i++)
        if (!kept_add(&now, s[i].labels))
            e = err_nomem(err);
    if (e >= 0)
        e = mark_stale(r, &rule->series, &now, t - g->offset, err);
    if (e < 0) {
        kept_free(&now);
        return e;
    }
    kept_free(&rule->series);
    rule->series = now;
    if (refused)
        return err_set(err, ERR_CONFLICT, 0, "%zu samples are out of order or doubled", refused);
    return 0;
}

static void rule_eval(Rules *r, Group *g, Rule *rule, int64_t t)
{
    Arena a;
    Err err = { 0 };
    RuleSample *s = NULL;
    size_t n = 0;
    int64_t begin = clock_mono_ns();
    arena_init(&a, RULES_EVAL_MEMORY_MAX);
    int e = rule->def->alerting ? alert_eval(r, g, rule, t, &a, &s, &n, &err)
                                : record_eval(r, g, rule, t, &a, &s, &n, &err);
    if (e >= 0 && rule->def->alerting)
        alert_notify(r, g, rule, t, &a);
    if (e >= 0)
        e = store(r, g, rule, t, s, n, &err);
    g->evals++;
    g->failures += e < 0;
    g->samples += n;
    rule->health = e < 0 ? "err" : "ok";
    buf_clear(&rule->last_error);
    if (e < 0)
        buf_sv(&rule->last_error, sv_cstr(err.msg));
    rule->last_eval = t;
    rule->eval_ns = clock_mono_ns() - begin;
    arena_free(&a);
}

void group_eval(Rules *r, Group *g, int64_t t)
{
    int64_t begin = clock_mono_ns();
    g->samples = 0;
    for (unsigned i = 0; i < g->def->n; i++)
        rule_eval(r, g, &g->rules[i], t);
    /* The first evaluation may have come before the first scrapes: state is restored after the
     * second. */
    if (g->restore_in > 0 && --g->restore_in == 0)
        for (unsigned i = 0; i < g->def->n; i++)
            if (g->rules[i].def->alerting)
                alert_restore(r, &g->rules[i], t);
    for (size_t i = r->stale.len; i-- > 0;)
        if (r->stale.items[i].due <= t) {
            (void)mark_stale(r, &r->stale.items[i].series, NULL, t - g->offset, NULL);
            kept_free(&r->stale.items[i].series);
            vec_swap_remove(&r->stale, i);
        }
    g->last_eval = t;
    g->eval_ns = clock_mono_ns() - begin;
}
