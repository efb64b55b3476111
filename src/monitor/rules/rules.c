/* rules.c - the groups, and reloads that keep their state. */
#include "monitor/rules/internal.h"

enum { MINUTE_MS = 60 * 1000, GLOBALS_MAX = 64 * 1024 * 1024 };

struct RulesNext {
    Globals *globals; /* NULL: as they are */
    VEC(Group *) groups;
    VEC(RuleFile *) files;
};

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

static Globals *globals_free(Globals *g)
{
    if (g)
        arena_free(&g->arena);
    free(g);
    return NULL;
}

static Globals *globals_new(const RulesGlobals *from)
{
    Globals *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    arena_init(&g->arena, GLOBALS_MAX);
    g->g = *from;
    if (!g->g.interval)
        g->g.interval = MINUTE_MS;
    g->g.external_url = arena_sv(&g->arena, from->external_url);
    bool ok = labels_copy(from->external_labels, &g->arena, &g->g.external_labels);
    return ok && g->g.external_url.ptr ? g : globals_free(g);
}

int rules_new(const RulesOptions *opt, Rules **ret, Err *err)
{
    const RulesGlobals g = { opt->interval, opt->query_offset, opt->external_labels,
                             opt->external_url };
    Rules *r = calloc(1, sizeof *r);
    if (!r || !(r->globals = globals_new(&g))) {
        free(r);
        return err_nomem(err);
    }
    r->opt = *opt;
    if (!r->opt.outage_tolerance)
        r->opt.outage_tolerance = 60 * MINUTE_MS;
    r->opt.resend_delay = opt->resend_delay ? MAX(opt->resend_delay, 0) : MINUTE_MS;
    r->opt.grace_period = opt->grace_period ? MAX(opt->grace_period, 0) : 10 * MINUTE_MS;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, &attr);
    pthread_cond_init(&r->follow, &attr);
    pthread_cond_init(&r->job_there, &attr);
    pthread_cond_init(&r->job_done, &attr);
    pthread_condattr_destroy(&attr);
    *ret = r;
    return 0;
}

Rules *rules_free(Rules *r)
{
    if (!r)
        return NULL;
    ASSERT(!r->n_threads && !r->n_helpers);
    vec_foreach (g, &r->groups)
        group_free(*g);
    vec_foreach (s, &r->stale)
        kept_free(&s->series);
    vec_free(&r->groups);
    vec_free(&r->stale);
    globals_free(r->globals);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    pthread_cond_destroy(&r->follow);
    pthread_cond_destroy(&r->job_there);
    pthread_cond_destroy(&r->job_done);
    free(r);
    return NULL;
}

/* Groups of one interval are spread over it by the hash of file and name, and a restart does not
 * shift them. */
int64_t group_next_time(const Group *g, int64_t now)
{
    uint64_t h = sv_hash_stable(g->file->path) * 31 + sv_hash_stable(g->def->name);
    int64_t offset = (int64_t)(h % (uint64_t)g->interval), at = now - offset;
    return at - ((at % g->interval) + g->interval) % g->interval + offset + g->interval;
}

/* ---- what a reload makes ---- */

static Group *group_new(const RulesGlobals *globals, bool helped, RuleFile *f,
                        const RuleGroupDef *d)
{
    Group *g = calloc(1, sizeof *g);
    if (!g || !(g->rules = calloc(d->n + 1, sizeof *g->rules))) {
        free(g);
        return NULL;
    }
    g->def = d;
    g->file = f;
    f->refs++;
    g->interval = d->interval > 0 ? d->interval : globals->interval;
    g->offset = d->query_offset >= 0 ? d->query_offset : globals->query_offset;
    for (unsigned i = 0; i < d->n; i++)
        g->rules[i] = (Rule){ .def = &d->rules[i], .stage = STAGE_IN_ORDER, .health = "unknown" };
    if (helped)
        group_plan(g);
    return g;
}

static int group_cmp(const void *a, const void *b)
{
    const Group *x = *(Group *const *)a, *y = *(Group *const *)b;
    int c = sv_cmp(x->file->path, y->file->path);
    return c ? c : sv_cmp(x->def->name, y->def->name);
}

static bool make_groups(RulesNext *next, const RulesGlobals *globals, bool helped)
{
    vec_foreach (f, &next->files)
        for (unsigned i = 0; i < (*f)->n; i++) {
            Group *g = group_new(globals, helped, *f, &(*f)->groups[i]);
            if (!g || !vec_push(&next->groups, g)) {
                group_free(g);
                return false;
            }
        }
    if (next->groups.len > 1)
        qsort(next->groups.items, next->groups.len, sizeof(Group *), group_cmp);
    return true;
}

int rules_prepare(Rules *r, const RulesGlobals *globals, RuleFile **files, unsigned n,
                  RulesNext **ret, Err *err)
{
    RulesNext *next = calloc(1, sizeof *next);
    bool ok = next && vec_reserve(&next->files, n + 1);
    for (unsigned i = 0; i < n; i++)
        if (ok)
            (void)vec_push(&next->files, files[i]); /* room was made */
        else
            rule_file_free(files[i]);
    if (ok && globals)
        ok = (next->globals = globals_new(globals)) != NULL;
    /* Only this thread changes r->globals. */
    ok = ok && make_groups(next, globals ? &next->globals->g : &r->globals->g, r->opt.helpers > 0);
    if (!ok) {
        rules_next_free(next);
        return err_nomem(err);
    }
    *ret = next;
    return 0;
}

RulesNext *rules_next_free(RulesNext *next)
{
    if (!next)
        return NULL;
    vec_foreach (g, &next->groups)
        group_free(*g);
    vec_foreach (f, &next->files)
        rule_file_free(*f);
    vec_free(&next->groups);
    vec_free(&next->files);
    globals_free(next->globals);
    free(next);
    return NULL;
}

/* ---- taking over ---- */

static bool same_name(const RuleDef *a, const RuleDef *b)
{
    return a->alerting == b->alerting && sv_eq(a->name, b->name) && labels_eq(a->labels, b->labels);
}

static bool same_group(const Group *a, const Group *b)
{
    if (a->interval != b->interval || a->offset != b->offset || a->def->limit != b->def->limit ||
        a->def->n != b->def->n)
        return false;
    for (unsigned i = 0; i < a->def->n; i++) {
        const RuleDef *x = &a->def->rules[i], *y = &b->def->rules[i];
        if (!same_name(x, y) || !sv_eq(x->expr_text, y->expr_text) || x->hold != y->hold ||
            x->keep_firing != y->keep_firing || !labels_eq(x->annotations, y->annotations))
            return false;
    }
    return true;
}

/* Gives the state of old rules to those of the same name and labels. */
static void take_state(Group *to, Group *from)
{
    to->last_eval_ns = from->last_eval_ns;
    to->eval_ns = from->eval_ns;
    to->restore_ns = from->restore_ns;
    to->runs = from->runs;
    to->evals = from->evals;
    to->failures = from->failures;
    to->missed = from->missed;
    if (to->interval == from->interval)
        to->next = from->next;
    to->restore_in = MAX(to->restore_in, from->restore_in);
    for (unsigned i = 0; i < to->def->n; i++)
        for (unsigned k = 0; k < from->def->n; k++) {
            Rule *n = &to->rules[i], *o = &from->rules[k];
            if (!o->def || !same_name(n->def, o->def))
                continue;
            const Rule fresh = *n;
            *n = *o;
            n->def = fresh.def;
            n->stage = fresh.stage;
            *o = (Rule){ 0 };
            break;
        }
}

/* Ends an idle group. Series of rules that are gone get their markers: at once where an heir goes
 * on, else two intervals later, when a group that was only renamed has written its own. */
static void retire(Rules *r, Group *g, Group *heir, int64_t now)
{
    int64_t due = heir ? now : now + 2 * g->interval;
    if (heir)
        take_state(heir, g);
    for (unsigned i = 0; i < g->def->n; i++) {
        Rule *x = &g->rules[i];
        if (x->series.map.len > 0 && vec_push(&r->stale, ((Stale){ x->series, due, g->offset })))
            x->series = (Kept){ 0 };
    }
    group_free(g);
}

void group_done(Rules *r, Group *g, int64_t now)
{
    g->busy = false;
    if (g->gone) {
        if (g->heir)
            g->heir->before = NULL;
        retire(r, g, g->heir, now);
    }
    pthread_cond_broadcast(&r->changed);
}

static void replace(Rules *r, Group *old, Group *heir, int64_t now)
{
    Group *busy = old->busy ? old : old->before;
    if (!busy) {
        retire(r, old, heir, now);
        return;
    }
    busy->gone = true;
    busy->heir = heir;
    if (heir)
        heir->before = busy;
    if (busy != old) /* it was still waiting for its state */
        group_free(old);
}

/* Both lists are in order. A group that stays the same changes places with its new twin. */
static void swap_groups(Rules *r, RulesNext *next, int64_t now)
{
    size_t k = 0;
    vec_foreach (it, &r->groups) {
        Group **fresh = next->groups.items;
        while (k < next->groups.len && group_cmp(&fresh[k], it) < 0)
            k++;
        bool found = k < next->groups.len && group_cmp(&fresh[k], it) == 0;
        if (found && same_group(*it, fresh[k])) {
            group_free(fresh[k]);
            fresh[k] = *it;
        } else {
            replace(r, *it, found ? fresh[k] : NULL, now);
        }
    }
    vec_free(&r->groups);
    r->groups.items = next->groups.items;
    r->groups.len = next->groups.len;
    r->groups.cap = next->groups.cap;
    next->groups.items = NULL;
    next->groups.len = next->groups.cap = 0;
}

void rules_take(Rules *r, RulesNext *next, int64_t now, bool restored)
{
    bool restore = !restored && !r->loaded;
    vec_foreach (it, &next->groups) {
        Group *g = *it;
        g->next = group_next_time(g, now);
        g->restore_in = restore ? 2 : 0;
        for (unsigned i = 0; i < g->def->n; i++)
            g->rules[i].restored = !restore;
    }
    pthread_mutex_lock(&r->lock);
    swap_groups(r, next, now);
    if (next->globals) {
        Globals *old = r->globals;
        r->globals = next->globals;
        next->globals = old;
    }
    r->loaded = true;
    rules_next_free(next); /* files count their groups, which the lock guards */
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

int rules_reload(Rules *r, RuleFile **files, unsigned n, int64_t now, bool restored, Err *err)
{
    RulesNext *next = NULL;
    int e = rules_prepare(r, NULL, files, n, &next, err);
    if (e >= 0)
        rules_take(r, next, now, restored);
    return e;
}
