/* decide.c - one pod, all nodes: the search goes round the nodes, beginning where the last one
 * ended, and stops when it has found enough. */
#include "scheduler/decide.h"

#include <stdio.h>

enum { SCORE_MAX = 100, REASON_SIZE = 400 }; /* a resource's name has up to 317 bytes */

size_t decide_enough(size_t nodes)
{
    size_t share = nodes / 125 > 45 ? 5 : 50 - nodes / 125; /* percent */
    return nodes <= DECIDE_ENOUGH_MIN ? nodes : MAX(nodes * share / 100, (size_t)DECIDE_ENOUGH_MIN);
}

bool filters_prepare(const Cluster *c, const SchedPod *pod, Arena *a, Filters *f)
{
    *f = (Filters){ .pod = pod };
    if (!affinity_prepare(c, pod, &f->affinity) || !spread_prepare(c, pod, a, &f->spread)) {
        filters_free(f);
        return false;
    }
    f->relational =
        pod->required.n || pod->required_anti.n || f->spread.n_hard || f->affinity.existing.map.len;
    return true;
}

void filters_free(Filters *f)
{
    affinity_free(&f->affinity);
    spread_free(&f->spread);
}

static bool clash(const HostPort *a, const HostPort *b)
{
    return a->port == b->port && sv_eq(a->protocol, b->protocol) &&
           (!a->ip.len || !b->ip.len || sv_eq(a->ip, b->ip));
}

static bool ports_are_free(const SchedPod *pod, const SchedNode *n)
{
    if (!pod->n_ports)
        return true;
    pods_foreach (other, &n->pods) {
        for (uint32_t i = 0; !(*other)->excluded && i < (*other)->n_ports; i++)
            for (uint32_t k = 0; k < pod->n_ports; k++)
                if (clash(&pod->ports[k], &(*other)->ports[i]))
                    return false;
    }
    return true;
}

/* Whether room is kept for `other`, which is nominated to the node. */
static bool counts_nominated(const Filters *f, const SchedPod *other)
{
    return other != f->pod && other->priority >= f->pod->priority && !other->node;
}

bool filters_lack_extra(const Filters *f, const SchedNode *n, uint32_t i)
{
    const Extra *want = &f->pod->request.extras[i];
    int64_t used = extras_amount(n->extras.items, n->extras.len, want->name);
    pods_foreach (p, &n->nominated) {
        if (counts_nominated(f, *p))
            used += extras_amount((*p)->request.extras, (*p)->request.n_extras, want->name);
    }
    const Request *has = &n->facts.allocatable;
    return want->amount > extras_amount(has->extras, has->n_extras, want->name) - used;
}

static bool lacks_extras(const Filters *f, const SchedNode *n)
{
    for (uint32_t i = 0; i < f->pod->request.n_extras; i++)
        if (filters_lack_extra(f, n, i))
            return true;
    return false;
}

FitReason filters_check(const Filters *f, const SchedNode *n)
{
    NodeFacts facts = n->facts;
    pods_foreach (p, &n->nominated) {
        if (counts_nominated(f, *p))
            request_add(&facts.used, &(*p)->request);
    }
    FitReason why = fit_check(&f->pod->pod, &f->pod->request, &facts);
    if (why == FIT_OK && lacks_extras(f, n))
        why = FIT_EXTRA;
    bool by_itself = why == FIT_OK || fit_reason_is_resource(why);
    if (by_itself && !ports_are_free(f->pod, n))
        return FIT_PORTS;
    if (why == FIT_OK && f->spread.n_hard)
        why = spread_check(&f->spread, &facts);
    return why == FIT_OK ? affinity_check(&f->affinity, &facts) : why;
}

/* ---- scores ---- */

typedef struct Scored {
    SchedNode *node;
    double spread;
    int64_t affinity;
} Scored;

typedef struct Range {
    double spread_min, spread_max;
    int64_t affinity_min, affinity_max;
} Range;

static Range measure(const Filters *f, Scored *v, size_t n)
{
    Range r = { 1e300, -1, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < n; i++) {
        v[i].spread = spread_scores(&f->spread) ? spread_score(&f->spread, &v[i].node->facts) : 0;
        v[i].affinity = affinity_score(&f->affinity, &v[i].node->facts);
        if (v[i].spread >= 0) {
            r.spread_min = MIN(r.spread_min, v[i].spread);
            r.spread_max = MAX(r.spread_max, v[i].spread);
        }
        r.affinity_min = MIN(r.affinity_min, v[i].affinity);
        r.affinity_max = MAX(r.affinity_max, v[i].affinity);
    }
    return r;
}

static int64_t total(const Filters *f, const Scored *s, const Range *r)
{
    int64_t score = fit_score(&f->pod->pod, &f->pod->request, &s->node->facts);
    if (affinity_scores(&f->affinity) && r->affinity_max > r->affinity_min)
        score +=
            2 * SCORE_MAX * (s->affinity - r->affinity_min) / (r->affinity_max - r->affinity_min);
    if (spread_scores(&f->spread) && s->spread >= 0)
        score += r->spread_max > 0
                     ? (int64_t)(2 * SCORE_MAX * (r->spread_max + r->spread_min - s->spread) /
                                 r->spread_max)
                     : 2 * SCORE_MAX;
    return score;
}

static SchedNode *best_of(const Filters *f, Scored *v, size_t n)
{
    Range range = measure(f, v, n);
    SchedNode *best = NULL;
    int64_t best_score = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t score = total(f, &v[i], &range);
        if (!best || score > best_score) {
            best = v[i].node;
            best_score = score;
        }
    }
    return best;
}

/* ---- the search ---- */

static void note_reason(const Filters *f, const SchedNode *n, FitReason why, Decision *d)
{
    unsigned lacks = 0;
    if (fit_reason_is_resource(why))
        lacks = fit_resources(&f->pod->request, &n->facts);
    d->why[n->index] = (uint8_t)why;
    for (uint32_t i = 0; fit_reason_is_resource(why) && i < f->pod->request.n_extras; i++)
        d->against_extras[i] += filters_lack_extra(f, n, i);
    for (int r = FIT_OK + 1; r < FIT_MAX; r++)
        d->against[r] += r == (int)why || lacks >> r & 1;
}

static SchedNode *nominated_node(const Cluster *c, const Filters *f)
{
    SchedNode *n = f->pod->nominated.len ? cluster_node(c, f->pod->nominated) : NULL;
    return n && filters_check(f, n) == FIT_OK ? n : NULL;
}

bool decide(Cluster *c, const SchedPod *pod, Arena *a, Decision *d)
{
    size_t all = c->nodes.len, enough = decide_enough(all), n = 0, i;
    Filters f;
    *d = (Decision){ .nodes = (unsigned)all,
                     .why = arena_alloc(a, all + 1),
                     .pod = pod,
                     .against_extras = arena_array(a, unsigned, pod->request.n_extras + 1) };
    Scored *fits = arena_array(a, Scored, enough + 1);
    if (!d->why || !d->against_extras || !fits || !filters_prepare(c, pod, a, &f))
        return false;
    if (!(d->node = nominated_node(c, &f))) {
        size_t first = all ? c->next % all : 0;
        for (i = 0; i < all && n < enough; i++) {
            SchedNode *node = c->nodes.items[(first + i) % all];
            FitReason why = filters_check(&f, node);
            if (why == FIT_OK)
                fits[n++].node = node;
            else
                note_reason(&f, node, why, d);
        }
        c->next = first + i;
        d->node = best_of(&f, fits, n);
    }
    filters_free(&f);
    return true;
}

/* ---- explanations ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

void reasons_put(const Reasons *r, Buf *out)
{
    char lines[32][REASON_SIZE];
    size_t used = 0;
    for (size_t i = 0; i < r->n && used < ARRAY_SIZE(lines); i++)
        if (r->counts[i] && i != FIT_EXTRA)
            snprintf(lines[used++], REASON_SIZE, "%u %s", r->counts[i], r->texts[i]);
    for (uint32_t i = 0; i < r->pod->request.n_extras && used < ARRAY_SIZE(lines); i++)
        if (r->extras[i])
            snprintf(lines[used++], REASON_SIZE, "%u %s %.*s", r->extras[i],
                     fit_reason_text[FIT_EXTRA], SV_FMT(r->pod->request.extras[i].name));
    qsort(lines, used, REASON_SIZE, by_text);
    for (size_t i = 0; i < used; i++)
        buf_printf(out, "%s%s", i ? ", " : "", lines[i]);
    buf_putc(out, '.');
}

void decision_explain(const Decision *d, Buf *out)
{
    if (!d->nodes) {
        buf_sv(out, SV("no nodes available to schedule pods"));
        return;
    }
    buf_printf(out, "0/%u nodes are available: ", d->nodes);
    reasons_put(&(Reasons){ d->pod, d->against_extras, fit_reason_text, d->against, FIT_MAX }, out);
}
