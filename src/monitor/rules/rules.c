/* rules.c - the groups: their schedule, reloads that keep state, and views of them. */
#include "monitor/rules/internal.h"

enum { MINUTE_MS = 60 * 1000 };

static void rule_free(Rule *x)
{
    vec_foreach (a, &x->active)
        alert_free(*a);
    vec_free(&x->active);
    map_free(&x->by_key);
    kept_free(&x->series);
    buf_free(&x->last_error);
}

static Group *group_free(Group *g)
{
    if (!g)
        return NULL;
    for (unsigned i = 0; g->rules && i < g->def->n; i++)
        rule_free(&g->rules[i]);
    free(g->rules);
    rule_file_free(g->file);
    free(g);
    return NULL;
}

int rules_new(const RulesOptions *opt, Rules **ret, Err *err)
{
    Rules *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->opt = *opt;
    if (!r->opt.interval)
        r->opt.interval = MINUTE_MS;
    if (!r->opt.outage_tolerance)
        r->opt.outage_tolerance = 60 * MINUTE_MS;
    if (!r->opt.resend_delay)
        r->opt.resend_delay = MINUTE_MS;
    r->opt.grace_period = opt->grace_period ? MAX(opt->grace_period, 0) : 10 * MINUTE_MS;
    pthread_mutex_init(&r->lock, NULL);
    *ret = r;
    return 0;
}

Rules *rules_free(Rules *r)
{
    if (!r)
        return NULL;
    vec_foreach (g, &r->groups)
        group_free(*g);
    vec_foreach (s, &r->stale)
        kept_free(&s->series);
    vec_free(&r->groups);
    vec_free(&r->stale);
    pthread_mutex_destroy(&r->lock);
    free(r);
    return NULL;
}

/* The next time of a group after `now`: groups of one interval are spread over it by the hash of
 * file and name, and a restart does not shift them. */
static int64_t next_time(const Group *g, int64_t now)
{
    uint64_t h = sv_hash(g->file->path) * 31 + sv_hash(g->def->name);
    int64_t offset = (int64_t)(h % (uint64_t)g->interval), at = now - offset;
    return at - ((at % g->interval) + g->interval) % g->interval + offset + g->interval;
}

static Group *group_new(const Rules *r, RuleFile *f, const RuleGroupDef *d, int64_t now,
                        bool restore)
{
    Group *g = calloc(1, sizeof *g);
    if (!g || !(g->rules = calloc(d->n + 1, sizeof *g->rules))) {
        free(g);
        return NULL;
    }
    g->def = d;
    g->file = f;
    f->refs++;
    g->interval = d->interval > 0 ? d->interval : r->opt.interval;
    g->offset = d->query_offset >= 0 ? d->query_offset : r->opt.query_offset;
    g->restore_in = restore ? 2 : 0;
    for (unsigned i = 0; i < d->n; i++)
        g->rules[i] = (Rule){ .def = &d->rules[i], .health = "unknown", .restored = !restore };
    g->next = next_time(g, now);
    return g;
}

static bool same_rule(const RuleDef *a, const RuleDef *b)
{
    return sv_eq(a->name, b->name) && labels_eq(a->labels, b->labels);
}

/* Gives the state of old rules to those of the same name and labels. */
static void take_state(Group *to, Group *from)
{
    to->last_eval = from->last_eval;
    to->eval_ns = from->eval_ns;
    if (to->interval == from->interval)
        to->next = from->next;
    to->restore_in = MAX(to->restore_in, from->restore_in);
    for (unsigned i = 0; i < to->def->n; i++)
        for (unsigned k = 0; k < from->def->n; k++) {
            Rule *n = &to->rules[i], *o = &from->rules[k];
            if (!o->def || n->def->alerting != o->def->alerting || !same_rule(n->def, o->def))
                continue;
            const RuleDef *def = n->def;
            *n = *o;
            n->def = def;
            *o = (Rule){ 0 };
            break;
        }
}

/* Series of rules that are gone get their markers two intervals later, when a rule that was only
 * renamed has written its own. */
static void retire(Rules *r, Group *g, int64_t due)
{
    for (unsigned i = 0; i < g->def->n; i++) {
        Rule *x = &g->rules[i];
        if (x->series.map.len > 0 && vec_push(&r->stale, ((Stale){ x->series, due })))
            x->series = (Kept){ 0 };
    }
    group_free(g);
}

static int group_cmp(const void *a, const void *b)
{
    const Group *x = *(Group *const *)a, *y = *(Group *const *)b;
    int c = sv_cmp(x->file->path, y->file->path);
    return c ? c : sv_cmp(x->def->name, y->def->name);
}

static void swap_groups(Rules *r, Group **fresh, size_t n, int64_t now)
{
    for (size_t i = 0; i < r->groups.len; i++) {
        Group *old = r->groups.items[i];
        int64_t due = now + 2 * old->interval;
        for (size_t k = 0; k < n; k++)
            if (group_cmp(&old, &fresh[k]) == 0) {
                take_state(fresh[k], old);
                due = now;
            }
        retire(r, old, due);
    }
    vec_clear(&r->groups);
    for (size_t k = 0; k < n; k++)
        (void)vec_push(&r->groups, fresh[k]); /* room was made */
    if (n > 1)
        qsort(r->groups.items, n, sizeof *r->groups.items, group_cmp);
    r->loaded = true;
}

int rules_reload(Rules *r, RuleFile **files, unsigned n, int64_t now, bool restored, Err *err)
{
    VEC(Group *) fresh = { 0 };
    bool ok = true;
    pthread_mutex_lock(&r->lock);
    for (unsigned f = 0; f < n; f++)
        for (unsigned i = 0; ok && i < files[f]->n; i++) {
            Group *g = group_new(r, files[f], &files[f]->groups[i], now, !restored && !r->loaded);
            ok = g && vec_push(&fresh, g);
            if (!ok)
                group_free(g);
        }
    ok = ok && vec_reserve(&r->groups, fresh.len + 1);
    if (ok)
        swap_groups(r, fresh.items, fresh.len, now);
    for (size_t k = 0; !ok && k < fresh.len; k++)
        group_free(fresh.items[k]);
    pthread_mutex_unlock(&r->lock);
    vec_free(&fresh);
    for (unsigned f = 0; f < n; f++)
        rule_file_free(files[f]); /* groups hold their own references */
    return ok ? 0 : err_nomem(err);
}

int64_t rules_run_due(Rules *r, int64_t now)
{
    int64_t next = now + r->opt.interval;
    pthread_mutex_lock(&r->lock);
    vec_foreach (it, &r->groups) {
        Group *g = *it;
        if (g->next <= now) {
            int64_t late = (now - g->next) / g->interval;
            g->missed += (uint64_t)late;
            g->next += late * g->interval;
            group_eval(r, g, g->next);
            g->next += g->interval;
        }
        next = MIN(next, g->next);
    }
    pthread_mutex_unlock(&r->lock);
    return next;
}

void rules_eval_group(Rules *r, size_t i, int64_t t)
{
    pthread_mutex_lock(&r->lock);
    if (i < r->groups.len)
        group_eval(r, r->groups.items[i], t);
    pthread_mutex_unlock(&r->lock);
}

static int alert_cmp(const void *a, const void *b)
{
    return labels_cmp(((const RuleAlert *)a)->labels, ((const RuleAlert *)b)->labels);
}

static bool view_rule(const Rule *x, Arena *a, RuleView *v)
{
    RuleAlert *alerts = arena_array(a, RuleAlert, x->active.len + 1);
    bool ok = alerts != NULL;
    *v = (RuleView){ .def = x->def,
                     .health = x->health,
                     .last_error = arena_sv(a, buf_view(&x->last_error)),
                     .last_eval = x->last_eval,
                     .eval_ns = x->eval_ns,
                     .alerts = alerts };
    for (size_t i = 0; ok && i < x->active.len; i++) {
        const RuleAlert *from = &x->active.items[i]->a;
        v->state = MAX(v->state, from->state);
        if (from->state == ALERT_INACTIVE)
            continue;
        RuleAlert *to = &alerts[v->n_alerts++];
        *to = *from;
        ok = labels_copy(from->labels, a, &to->labels) &&
             labels_copy(from->annotations, a, &to->annotations);
    }
    if (ok && v->n_alerts > 1)
        qsort(alerts, v->n_alerts, sizeof *alerts, alert_cmp);
    return ok;
}

int rules_list(Rules *r, Arena *a, RuleGroupView **ret, size_t *ret_n, Err *err)
{
    pthread_mutex_lock(&r->lock);
    RuleGroupView *views = arena_array(a, RuleGroupView, r->groups.len + 1);
    bool ok = views != NULL;
    for (size_t i = 0; ok && i < r->groups.len; i++) {
        const Group *g = r->groups.items[i];
        RuleView *rules = arena_array(a, RuleView, g->def->n + 1);
        views[i] = (RuleGroupView){ g->file->path, g->def,   g->interval, g->last_eval,
                                    g->eval_ns,    g->evals, g->failures, g->missed,
                                    g->samples,    rules,    g->def->n };
        ok = rules != NULL;
        for (unsigned k = 0; ok && k < g->def->n; k++)
            ok = view_rule(&g->rules[k], a, &rules[k]);
    }
    *ret = views;
    *ret_n = r->groups.len;
    pthread_mutex_unlock(&r->lock);
    return ok ? 0 : err_nomem(err);
}
