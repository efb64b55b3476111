/* view.c - what others may see of the groups: copies, made with the lock held. */
#include "monitor/rules/internal.h"

static int alert_cmp(const void *a, const void *b)
{
    return labels_cmp(((const RuleAlert *)a)->labels, ((const RuleAlert *)b)->labels);
}

static bool copy_def(const RuleDef *d, Arena *a, RuleDef *to)
{
    *to = *d;
    to->parsed = NULL;
    to->name = arena_sv(a, d->name);
    to->expr = arena_sv(a, d->expr);
    to->expr_text = arena_sv(a, d->expr_text);
    return to->name.ptr && to->expr.ptr && to->expr_text.ptr &&
           labels_copy(d->labels, a, &to->labels) &&
           labels_copy(d->annotations, a, &to->annotations);
}

static bool copy_alerts(const Rule *x, Arena *a, RuleView *v)
{
    RuleAlert *alerts = arena_array(a, RuleAlert, x->active.len + 1);
    if (!alerts)
        return false;
    v->alerts = alerts;
    for (size_t i = 0; i < x->active.len; i++) {
        const RuleAlert *from = &x->active.items[i]->a;
        v->state = MAX(v->state, from->state);
        if (from->state == ALERT_INACTIVE)
            continue;
        RuleAlert *to = &alerts[v->n_alerts++];
        *to = *from;
        if (!labels_copy(from->labels, a, &to->labels) ||
            !labels_copy(from->annotations, a, &to->annotations))
            return false;
    }
    if (v->n_alerts > 1)
        qsort(alerts, v->n_alerts, sizeof *alerts, alert_cmp);
    return true;
}

/* Where the state of a rule is: while a group waits for that of the one it replaces, there. */
static const Rule *state_of(const Group *g, unsigned i)
{
    const Group *b = g->before;
    for (unsigned k = 0; b && k < b->def->n; k++) {
        const RuleDef *d = b->rules[k].def, *own = g->rules[i].def;
        if (d->alerting == own->alerting && sv_eq(d->name, own->name) &&
            labels_eq(d->labels, own->labels))
            return &b->rules[k];
    }
    return &g->rules[i];
}

static bool view_rule(const Rule *x, Arena *a, RuleDef *def, RuleView *v)
{
    *v = (RuleView){ .def = def,
                     .health = x->health,
                     .last_error = arena_sv(a, buf_view(&x->last_error)),
                     .last_eval_ns = x->last_eval_ns,
                     .eval_ns = x->eval_ns };
    return copy_alerts(x, a, v);
}

static bool view_group(const Group *g, Arena *a, RuleGroupView *v)
{
    RuleView *rules = arena_array(a, RuleView, g->def->n + 1);
    RuleDef *defs = arena_array(a, RuleDef, g->def->n + 1);
    RuleGroupDef *def = arena_new(a, RuleGroupDef);
    const Group *state = g->before ? g->before : g;
    if (!rules || !defs || !def)
        return false;
    *def = *g->def;
    def->rules = defs;
    def->name = arena_sv(a, g->def->name);
    *v = (RuleGroupView){ .file = arena_sv(a, g->file->path),
                          .def = def,
                          .interval = g->interval,
                          .last_eval_ns = state->last_eval_ns,
                          .eval_ns = state->eval_ns,
                          .rules = rules,
                          .n = g->def->n };
    for (unsigned k = 0; k < g->def->n; k++)
        if (!copy_def(g->rules[k].def, a, &defs[k]) ||
            !view_rule(state_of(g, k), a, &defs[k], &rules[k]))
            return false;
    return v->file.ptr && def->name.ptr;
}

int rules_list(Rules *r, Arena *a, RuleGroupView **ret, size_t *ret_n, Err *err)
{
    pthread_mutex_lock(&r->lock);
    RuleGroupView *views = arena_array(a, RuleGroupView, r->groups.len + 1);
    bool ok = views != NULL;
    for (size_t i = 0; ok && i < r->groups.len; i++)
        ok = view_group(r->groups.items[i], a, &views[i]);
    *ret = views;
    *ret_n = r->groups.len;
    pthread_mutex_unlock(&r->lock);
    return ok ? 0 : err_nomem(err);
}

static void group_stats(const Group *g, Arena *a, RuleGroupStats *s)
{
    const Group *state = g->before ? g->before : g;
    *s = (RuleGroupStats){ .file = arena_sv(a, g->file->path),
                           .name = arena_sv(a, g->def->name),
                           .rules = g->def->n,
                           .interval = g->interval,
                           .last_eval_ns = state->last_eval_ns,
                           .eval_ns = state->eval_ns,
                           .restore_ns = state->restore_ns,
                           .runs = state->runs,
                           .missed = state->missed,
                           .evals = state->evals,
                           .failures = state->failures,
                           .samples = state->samples };
    for (unsigned i = 0; i < state->def->n; i++)
        s->rules_ns += state->rules[i].eval_ns;
}

int rules_stats(Rules *r, Arena *a, RulesStats *ret, Err *err)
{
    bool ok = true;
    pthread_mutex_lock(&r->lock);
    *ret = (RulesStats){ .groups = arena_array(a, RuleGroupStats, r->groups.len + 1),
                         .rules = r->rule_times,
                         .iterations = r->group_times,
                         .expansions = atomic_load(&r->expansions),
                         .expansion_failures = atomic_load(&r->expansion_failures) };
    for (size_t i = 0; ret->groups && i < r->groups.len; i++) {
        group_stats(r->groups.items[i], a, &ret->groups[i]);
        ok = ok && ret->groups[i].file.ptr && ret->groups[i].name.ptr;
        ret->n++;
    }
    pthread_mutex_unlock(&r->lock);
    return ok && ret->groups ? 0 : err_nomem(err);
}
