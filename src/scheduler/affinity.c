/* affinity.c - kube-scheduler's InterPodAffinity: counts by topology first, then each node is a few
 * look-ups. */
#include "scheduler/affinity.h"

enum { HARD_WEIGHT = 1 }; /* what the required affinity of others counts in scores */

static bool meant(const Cluster *c, const AffinityTerm *t, const SchedPod *p)
{
    return affinity_term_matches(t, p->ns, &p->labels, &c->namespaces);
}

static bool matches_all(const Cluster *c, const AffinityTerms *terms, const SchedPod *p)
{
    for (uint32_t i = 0; i < terms->n; i++)
        if (!meant(c, &terms->v[i], p))
            return false;
    return terms->n > 0;
}

static bool present(const SchedPod *p)
{
    return !p->excluded && p->node && p->node->info;
}

/* Each term that means `whom` adds to the topology of the node `at`. */
static void add_terms(const Cluster *c, Pairs *to, const AffinityTerms *terms, const SchedPod *whom,
                      const SchedNode *at, int64_t fixed, int64_t sign)
{
    for (uint32_t i = 0; i < terms->n; i++) {
        const AffinityTerm *t = &terms->v[i];
        if (meant(c, t, whom))
            pairs_add_node(to, t->topology_key, at->facts.labels, fixed ? fixed : sign * t->weight);
    }
}

static void count_one(const Cluster *c, Affinity *a, const SchedPod *other)
{
    const SchedPod *pod = a->pod;
    if (pod->required.n && matches_all(c, &pod->required, other)) {
        for (uint32_t i = 0; i < pod->required.n; i++)
            pairs_add_node(&a->with, pod->required.v[i].topology_key, other->node->facts.labels, 1);
        a->any_with = a->with.map.len > 0;
    }
    add_terms(c, &a->against, &pod->required_anti, other, other->node, 1, 0);
    add_terms(c, &a->wishes, &pod->preferred, other, other->node, 0, 1);
    add_terms(c, &a->wishes, &pod->preferred_anti, other, other->node, 0, -1);
}

bool affinity_prepare(const Cluster *c, const SchedPod *pod, Affinity *a)
{
    *a = (Affinity){ .pod = pod };
    a->matches_itself = matches_all(c, &pod->required, pod);
    pods_foreach (p, &c->with_anti)
        if (present(*p))
            add_terms(c, &a->existing, &(*p)->required_anti, pod, (*p)->node, 1, 0);
    pods_foreach (p, &c->with_terms)
        if (present(*p)) {
            add_terms(c, &a->wishes, &(*p)->required, pod, (*p)->node, HARD_WEIGHT, 0);
            add_terms(c, &a->wishes, &(*p)->preferred, pod, (*p)->node, 0, 1);
            add_terms(c, &a->wishes, &(*p)->preferred_anti, pod, (*p)->node, 0, -1);
        }
    bool own = pod->required.n || pod->required_anti.n || pod->preferred.n || pod->preferred_anti.n;
    for (size_t i = 0; own && i < c->nodes.len; i++) {
        pods_foreach (p, &c->nodes.items[i]->pods)
            if (!(*p)->excluded)
                count_one(c, a, *p);
    }
    return !a->with.failed && !a->against.failed && !a->existing.failed && !a->wishes.failed;
}

void affinity_free(Affinity *a)
{
    pairs_free(&a->with);
    pairs_free(&a->against);
    pairs_free(&a->existing);
    pairs_free(&a->wishes);
}

/* The first of a group of pods that want to be together finds nobody: it may go anywhere. */
static bool with_others(const Affinity *a, const NodeFacts *n)
{
    bool all = true;
    for (uint32_t i = 0; i < a->pod->required.n; i++) {
        StrView key = a->pod->required.v[i].topology_key;
        const Value *value = value_get(n->labels, key);
        if (!value)
            return false;
        all &= pairs_get(&a->with, key, value_str(value)) > 0;
    }
    return all || (!a->any_with && a->matches_itself);
}

static bool away_from_others(const Affinity *a, const NodeFacts *n)
{
    for (uint32_t i = 0; i < a->pod->required_anti.n; i++) {
        StrView key = a->pod->required_anti.v[i].topology_key;
        const Value *value = value_get(n->labels, key);
        if (value && pairs_get(&a->against, key, value_str(value)) > 0)
            return false;
    }
    return true;
}

static int64_t sum_over(const Pairs *p, const NodeFacts *n)
{
    int64_t sum = 0;
    if (!p->map.len)
        return 0;
    value_map_foreach (m, n->labels)
        sum += pairs_get(p, m->key, value_str(&m->val));
    return sum;
}

FitReason affinity_check(const Affinity *a, const NodeFacts *n)
{
    if (!with_others(a, n))
        return FIT_AFFINITY;
    if (!away_from_others(a, n))
        return FIT_ANTI_AFFINITY;
    return sum_over(&a->existing, n) > 0 ? FIT_EXISTING_ANTI : FIT_OK;
}

bool affinity_scores(const Affinity *a)
{
    return a->wishes.map.len > 0;
}

int64_t affinity_score(const Affinity *a, const NodeFacts *n)
{
    return sum_over(&a->wishes, n);
}
