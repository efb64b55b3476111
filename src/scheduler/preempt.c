/* preempt.c - on each node that could be freed: take all pods of lower priority off, see whether
 * the pod fits, then put back as many as possible, the most important first. */
#include "scheduler/preempt.h"

#include <stdio.h>

enum { CANDIDATES_MIN = 100, CANDIDATES_PERCENT = 10 };

/* Reasons of the dry run, behind those of the filters. */
enum { NO_VICTIMS = FIT_MAX, NOT_HELPFUL, REASONS };

Budget *budget_new(const Value *pdb)
{
    Budget *b = calloc(1, sizeof *b);
    Value selector;
    if (!b)
        return NULL;
    arena_init(&b->arena, 0);
    b->ns = arena_sv(&b->arena, value_path_str(pdb, "metadata.namespace"));
    b->allowed = value_int_or(value_path(pdb, "status.disruptionsAllowed"), 0);
    const Value *spec = value_path(pdb, "spec.selector");
    b->pods.nothing = true;
    if (!spec)
        return b;
    if (!value_clone(&b->arena, spec, &selector) ||
        selector_from_object(&selector, &b->arena, &b->pods, NULL) < 0)
        return budget_free(b);
    return b;
}

Budget *budget_free(Budget *b)
{
    if (b)
        arena_free(&b->arena);
    free(b);
    return NULL;
}

typedef struct Trial {
    Cluster *c;
    const SchedPod *pod;
    Budget *const *budgets;
    size_t n_budgets;
    Arena *arena;
    Filters filters;
    unsigned *extras; /* nodes that lack each of the pod's extras even without the victims */
    bool failed;
} Trial;

static void exclude(SchedNode *n, SchedPod *p, bool yes)
{
    p->excluded = yes;
    cluster_count(n, p, !yes);
}

static FitReason check(Trial *t, const SchedNode *n)
{
    if (!t->filters.relational)
        return filters_check(&t->filters, n);
    Filters now; /* the counts are without the excluded */
    if (!filters_prepare(t->c, t->pod, t->arena, &now)) {
        t->failed = true;
        return FIT_CPU;
    }
    FitReason why = filters_check(&now, n);
    filters_free(&now);
    return why;
}

/* Higher priority first, then the one that runs longer. */
static int by_importance(const void *a, const void *b)
{
    const SchedPod *x = *(SchedPod *const *)a, *y = *(SchedPod *const *)b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

/* Whose eviction its budgets would not allow, given those before it in the list. */
static void mark_violations(const Trial *t, SchedPod **v, size_t n, bool *violates)
{
    int64_t *left = arena_array(t->arena, int64_t, t->n_budgets + 1);
    for (size_t b = 0; left && b < t->n_budgets; b++)
        left[b] = t->budgets[b]->allowed;
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; left && b < t->n_budgets; b++)
            if (sv_eq(t->budgets[b]->ns, v[i]->ns) &&
                selector_matches(&t->budgets[b]->pods, &v[i]->labels))
                violates[i] |= left[b]-- <= 0;
}

/* Puts back, of those that violate or of the others, all that leave enough room. */
static void reprieve(Trial *t, SchedNode *n, SchedPod **v, size_t n_v, const bool *violates,
                     bool which, Preemption *out)
{
    for (size_t i = 0; i < n_v; i++) {
        if (violates[i] != which)
            continue;
        exclude(n, v[i], false);
        if (check(t, n) == FIT_OK)
            continue;
        exclude(n, v[i], true);
        out->victims[out->n_victims++] = v[i];
        out->violations += which;
    }
}

/* The reason why it does not work, FIT_OK with the victims in *out. */
static int try_node(Trial *t, SchedNode *n, Preemption *out)
{
    SchedPod **v = arena_array(t->arena, SchedPod *, n->pods.len + 1);
    bool *violates = arena_array(t->arena, bool, n->pods.len + 1);
    size_t n_v = 0;
    *out = (Preemption){ .node = n, .victims = arena_array(t->arena, SchedPod *, n->pods.len + 1) };
    if (!v || !violates || !out->victims) {
        t->failed = true;
        return NO_VICTIMS;
    }
    pods_foreach (p, &n->pods) {
        if ((*p)->priority < t->pod->priority)
            v[n_v++] = *p;
    }
    if (!n_v)
        return NO_VICTIMS;
    for (size_t i = 0; i < n_v; i++)
        exclude(n, v[i], true);
    int why = check(t, n);
    for (uint32_t i = 0; why == FIT_EXTRA && i < t->pod->request.n_extras; i++)
        t->extras[i] += filters_lack_extra(&t->filters, n, i);
    if (why == FIT_OK) {
        qsort(v, n_v, sizeof *v, by_importance);
        mark_violations(t, v, n_v, violates);
        reprieve(t, n, v, n_v, violates, true, out);
        reprieve(t, n, v, n_v, violates, false, out);
    }
    for (size_t i = 0; i < n_v; i++)
        if (v[i]->excluded)
            exclude(n, v[i], false);
    return why;
}

static int64_t sum_of_priorities(const Preemption *p)
{
    int64_t sum = 0; /* shifted, so that each victim counts */
    for (size_t i = 0; i < p->n_victims; i++)
        sum += (int64_t)p->victims[i]->priority + INT32_MAX + 1;
    return sum;
}

static const SchedPod *most_important(const Preemption *p)
{
    const SchedPod *top = p->victims[0];
    for (size_t i = 1; i < p->n_victims; i++)
        if (by_importance(&p->victims[i], &top) < 0)
            top = p->victims[i];
    return top;
}

/* kube-scheduler's order of what is worth sparing. */
static bool better(const Preemption *a, const Preemption *b)
{
    if (!a->n_victims || !b->n_victims)
        return a->n_victims < b->n_victims;
    const SchedPod *x = most_important(a), *y = most_important(b);
    int64_t sx = sum_of_priorities(a), sy = sum_of_priorities(b);
    if (a->violations != b->violations)
        return a->violations < b->violations;
    if (x->priority != y->priority)
        return x->priority < y->priority;
    if (sx != sy)
        return sx < sy;
    if (a->n_victims != b->n_victims)
        return a->n_victims < b->n_victims;
    return x->start_ns > y->start_ns;
}

/* It has made room already and waits for those who go. */
static bool victims_are_leaving(const Cluster *c, const SchedPod *pod, const Decision *d)
{
    const SchedNode *n = pod->nominated.len ? cluster_node(c, pod->nominated) : NULL;
    if (!n || !fit_reason_resolvable(d->why[n->index]))
        return false;
    pods_foreach (p, &n->pods) {
        if ((*p)->terminating && (*p)->priority < pod->priority)
            return true;
    }
    return false;
}

static void explain(const Trial *t, unsigned nodes, const unsigned *counts, Buf *text)
{
    const char *texts[REASONS];
    for (int i = 0; i < FIT_MAX; i++)
        texts[i] = fit_reason_text[i];
    texts[NO_VICTIMS] = "No preemption victims found for incoming pod";
    texts[NOT_HELPFUL] = "Preemption is not helpful for scheduling";
    buf_printf(text, "preemption: 0/%u nodes are available: ", nodes);
    reasons_put(&(Reasons){ t->pod, t->extras, texts, counts, REASONS }, text);
}

/* Whether room on the node could be made at all. */
static bool may_help(const Trial *t, const Decision *d, const SchedNode *n)
{
    FitReason why = d->why[n->index];
    return fit_reason_resolvable(why) &&
           !(fit_reason_is_resource(why) &&
             request_exceeds(&t->pod->request, &n->facts.allocatable));
}

static void try_all(Trial *t, const Decision *d, Preemption *best, unsigned *counts)
{
    size_t all = t->c->nodes.len, found = 0;
    size_t enough = MAX(all * CANDIDATES_PERCENT / 100, (size_t)CANDIDATES_MIN);
    for (size_t i = 0; i < all && found < enough && !t->failed; i++) {
        SchedNode *n = t->c->nodes.items[(t->c->next + i) % all];
        Preemption one;
        int why = may_help(t, d, n) ? try_node(t, n, &one) : NOT_HELPFUL;
        if (why != FIT_OK) {
            counts[why]++;
            continue;
        }
        found++;
        if (!best->node || better(&one, best))
            *best = one;
    }
}

bool preempt_plan(Cluster *c, SchedPod *pod, const Decision *d, Budget *const *budgets,
                  size_t n_budgets, Arena *a, Preemption *ret, Buf *text)
{
    unsigned counts[REASONS] = { 0 };
    Trial t = { .c = c, .pod = pod, .budgets = budgets, .n_budgets = n_budgets, .arena = a };
    *ret = (Preemption){ 0 };
    ret->waits = true;
    if (pod->never_preempts) {
        buf_sv(text, SV("preemption: not eligible due to preemptionPolicy=Never."));
        return true;
    }
    if (victims_are_leaving(c, pod, d)) {
        buf_sv(text, SV("preemption: not eligible due to a terminating pod on the nominated "
                        "node."));
        return true;
    }
    ret->waits = false;
    t.extras = arena_array(a, unsigned, pod->request.n_extras + 1);
    if (!t.extras || !filters_prepare(c, pod, a, &t.filters))
        return false;
    try_all(&t, d, ret, counts);
    filters_free(&t.filters);
    if (!ret->node)
        explain(&t, d->nodes, counts, text);
    return !t.failed;
}
