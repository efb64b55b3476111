/* group.c - one evaluation of a group: its rules in order, each one's samples appended before the
 * next is evaluated, with staleness markers for series that the rule no longer gives. Rules of the
 * first and of the last stage are evaluated at once where there are helpers. */
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

int record_eval(const Eval *e, RuleSample **ret, size_t *ret_n, Err *err)
{
    const RuleDef *d = e->rule->def;
    const RuleStorage *st = &e->r->opt.storage;
    int64_t at = e->t - e->g->offset, limit = e->g->def->limit;
    TemplateSample *v = NULL;
    size_t n = 0;
    _cleanup_map_ Map seen = { 0 };
    int r = st->query(st->ctx, d->expr_text, at, e->a, &v, &n, err);
    RuleSample *out = arena_array(e->a, RuleSample, n + 1);
    if (r < 0 || !out)
        return r < 0 ? r : err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        LabelsBuilder b;
        _cleanup_buf_ Buf key = BUF_INIT;
        labels_builder_init(&b, e->a, v[i].labels);
        labels_builder_set(&b, LABEL_METRIC_NAME, d->name);
        for (unsigned k = 0; k < d->labels.len; k++)
            labels_builder_set(&b, d->labels.items[k].name, d->labels.items[k].value);
        out[i] = (RuleSample){ .t = at, .v = v[i].value, .h = v[i].h };
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
    if (limit > 0 && n > (size_t)limit)
        return err_set(err, ERR_LIMIT, 0, "exceeded limit of %lld with %zu series",
                       (long long)limit, n);
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

void stale_mark(Rules *r, Stale *s, int64_t t)
{
    (void)mark_stale(r, &s->series, NULL, t - s->offset, NULL);
    kept_free(&s->series);
}

/* False: the evaluation is to end here. */
static bool begin(Eval *e)
{
    const Rules *r = e->r;
    const RulesGlobals *g = &r->globals->g;
    pthread_mutex_lock(&e->r->lock);
    bool go = !e->g->gone && !atomic_load(&r->stopping);
    if (go) {
        go = labels_copy(g->external_labels, e->a, &e->external_labels);
        e->external_url = arena_sv(e->a, g->external_url);
    }
    pthread_mutex_unlock(&e->r->lock);
    return go;
}

/* What views show of the outcome. */
static void publish(const Eval *e, int64_t start, int64_t took, size_t n, const Err *why)
{
    Rule *rule = e->rule;
    pthread_mutex_lock(&e->r->lock);
    timing_add(&e->r->rule_times, (double)took / 1e9);
    e->g->evals++;
    e->g->failures += why != NULL;
    e->g->samples += n;
    rule->health = why ? "err" : "ok";
    buf_clear(&rule->last_error);
    if (why)
        buf_sv(&rule->last_error, sv_cstr(why->msg));
    rule->last_eval_ns = start;
    rule->eval_ns = took;
    pthread_mutex_unlock(&e->r->lock);
    if (why && e->r->opt.failed)
        e->r->opt.failed(e->r->opt.ctx,
                         &(RuleFailure){ e->g->file->path, e->g->def->name, rule->def->name, why });
}

bool rule_eval(Rules *r, Group *g, Rule *rule, int64_t t)
{
    Arena a;
    Err err = { 0 };
    RuleSample *s = NULL;
    size_t n = 0;
    int64_t start = clock_real_ns(), from = clock_mono_ns();
    Eval e = { .r = r, .g = g, .rule = rule, .t = t, .a = &a };
    arena_init(&a, RULES_EVAL_MEMORY_MAX);
    if (!begin(&e)) {
        arena_free(&a);
        return false;
    }
    int ok = rule->def->alerting ? alert_eval(&e, &s, &n, &err) : record_eval(&e, &s, &n, &err);
    if (ok >= 0 && rule->def->alerting)
        alert_notify(&e);
    if (ok >= 0)
        ok = store(r, g, rule, t, s, n, &err);
    bool ended = ok < 0 && atomic_load(&r->stopping); /* cancelled, not failed */
    if (!ended)
        publish(&e, start, clock_mono_ns() - from, n, ok < 0 ? &err : NULL);
    arena_free(&a);
    return !ended;
}

/* The first evaluation may have come before the first scrapes: state is restored after the second.
 */
static void restore(Rules *r, Group *g, int64_t t)
{
    if (g->restore_in == 0 || --g->restore_in > 0)
        return;
    int64_t from = clock_mono_ns();
    for (unsigned i = 0; i < g->def->n; i++)
        if (g->rules[i].def->alerting)
            alert_restore(r, &g->rules[i], t);
    pthread_mutex_lock(&r->lock);
    g->restore_ns = clock_mono_ns() - from;
    pthread_mutex_unlock(&r->lock);
}

static bool stage_eval(Rules *r, Group *g, RuleStage stage, int64_t t)
{
    Batch batch = { 0 };
    bool whole = true;
    for (unsigned i = 0; whole && i < g->def->n; i++) {
        const Job job = { g, &g->rules[i], t, &batch };
        if (g->rules[i].stage == stage && (stage == STAGE_IN_ORDER || !helpers_take(r, &job)))
            whole = rule_eval(r, g, &g->rules[i], t);
    }
    return helpers_wait(r, &batch) && whole;
}

void group_eval(Rules *r, Group *g, int64_t t)
{
    int64_t start = clock_real_ns(), from = clock_mono_ns();
    bool whole = true;
    pthread_mutex_lock(&r->lock);
    g->samples = 0;
    g->runs++;
    pthread_mutex_unlock(&r->lock);
    for (RuleStage stage = 0; whole && stage < STAGE_MAX; stage++)
        whole = stage_eval(r, g, stage, t);
    int64_t took = clock_mono_ns() - from;
    pthread_mutex_lock(&r->lock);
    g->last_eval_ns = start;
    g->eval_ns = took;
    timing_add(&r->group_times, (double)took / 1e9);
    pthread_mutex_unlock(&r->lock);
    if (whole)
        restore(r, g, t);
}
