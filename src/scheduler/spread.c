/* spread.c - kube-scheduler's PodTopologySpread. A domain is a value of the constraint's label
 * among the nodes that count for the pod: those that its node affinity allows, and whose taints it
 * tolerates where the constraint says so. */
#include "scheduler/spread.h"

#include <math.h>

static bool is(const Value *c, StrView field, StrView value)
{
    return sv_eq(value_str(value_get(c, field)), value);
}

static bool read_constraint(const Value *c, const SchedPod *pod, Arena *a, SpreadConstraint *s)
{
    *s = (SpreadConstraint){ .key = value_str(value_get(c, SV("topologyKey"))),
                             .max_skew = value_int_or(value_get(c, SV("maxSkew")), 1),
                             .min_domains = value_int_or(value_get(c, SV("minDomains")), 1),
                             .hard = !is(c, SV("whenUnsatisfiable"), SV("ScheduleAnyway")),
                             .honor_affinity = !is(c, SV("nodeAffinityPolicy"), SV("Ignore")),
                             .honor_taints = is(c, SV("nodeTaintsPolicy"), SV("Honor")) };
    if (selector_from_object(value_get(c, SV("labelSelector")), a, &s->pods, NULL) < 0 ||
        !selector_add_keys(&s->pods, value_get(c, SV("matchLabelKeys")), &pod->labels, false, a))
        return false;
    s->matches_itself = selector_matches(&s->pods, &pod->labels);
    return true;
}

static bool has_keys(const Spread *s, const NodeFacts *n, bool hard)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i].hard == hard && !value_get(n->labels, s->v[i].key))
            return false;
    return true;
}

static bool counts_for(const Spread *s, const SpreadConstraint *c, const NodeFacts *n)
{
    return has_keys(s, n, c->hard) && (!c->honor_affinity || fit_selector(&s->pod->pod, n)) &&
           (!c->honor_taints || fit_taints(&s->pod->pod, n));
}

static int64_t matching(const SpreadConstraint *c, const SchedNode *n, StrView ns)
{
    int64_t sum = 0;
    pods_foreach (p, &n->pods)
        sum += !(*p)->excluded && !(*p)->terminating && sv_eq((*p)->ns, ns) &&
               selector_matches(&c->pods, &(*p)->labels);
    return sum;
}

/* Numbers are kept one higher than they are, so that an empty domain is in the map too. */
static bool count(const Cluster *cl, Spread *s, uint32_t i)
{
    SpreadConstraint *c = &s->v[i];
    Pairs *counts = &s->counts[i];
    for (size_t k = 0; k < cl->nodes.len; k++) {
        const SchedNode *n = cl->nodes.items[k];
        if (!counts_for(s, c, &n->facts))
            continue;
        StrView value = value_str(value_get(n->facts.labels, c->key));
        int64_t first = pairs_get(counts, c->key, value) == 0;
        pairs_add(counts, c->key, value, first + matching(c, n, s->pod->ns));
    }
    StrView key;
    void *number;
    c->domains = (int64_t)counts->map.len;
    c->least = INT64_MAX;
    for (size_t pos = 0; map_next(&counts->map, &pos, &key, &number);)
        c->least = MIN(c->least, (int64_t)(intptr_t)number - 1);
    if (c->domains < c->min_domains || !c->domains)
        c->least = 0;
    return !counts->failed;
}

bool spread_prepare(const Cluster *c, const SchedPod *pod, Arena *a, Spread *s)
{
    const Value *list = value_path(&pod->pod, "spec.topologySpreadConstraints");
    *s = (Spread){ .pod = pod };
    if (!value_len(list))
        return true;
    s->v = arena_array(a, SpreadConstraint, value_len(list));
    s->counts = arena_array(a, Pairs, value_len(list));
    if (!s->v || !s->counts)
        return false;
    value_list_foreach (v, list) {
        if (!read_constraint(v, pod, a, &s->v[s->n]))
            return false;
        s->n_hard += s->v[s->n++].hard;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (!count(c, s, i))
            return false;
    return true;
}

void spread_free(Spread *s)
{
    for (uint32_t i = 0; s->counts && i < s->n; i++)
        pairs_free(&s->counts[i]);
}

FitReason spread_check(const Spread *s, const NodeFacts *n)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const SpreadConstraint *c = &s->v[i];
        if (!c->hard)
            continue;
        const Value *value = value_get(n->labels, c->key);
        if (!value)
            return FIT_SPREAD_LABEL;
        int64_t have = MAX(pairs_get(&s->counts[i], c->key, value_str(value)) - 1, INT64_C(0));
        if (have + c->matches_itself - c->least > c->max_skew)
            return FIT_SPREAD;
    }
    return FIT_OK;
}

bool spread_scores(const Spread *s)
{
    return s->n > s->n_hard;
}

double spread_score(const Spread *s, const NodeFacts *n)
{
    double score = 0;
    if (!has_keys(s, n, false))
        return -1;
    for (uint32_t i = 0; i < s->n; i++) {
        const SpreadConstraint *c = &s->v[i];
        if (c->hard)
            continue;
        StrView value = value_str(value_get(n->labels, c->key));
        int64_t have = MAX(pairs_get(&s->counts[i], c->key, value) - 1, INT64_C(0));
        score += (double)have * log((double)c->domains + 2) + (double)(c->max_skew - 1);
    }
    return score;
}
