/* fit.c - filters and scores of a node by itself. To add a filter: a reason in fit.h, its text
 * here, a line in fit_check(). */
#include "scheduler/fit.h"

enum { SCORE_MAX = 100 };

const char *const fit_reason_text[FIT_MAX] = {
    [FIT_OK] = "fits",
    [FIT_CPU] = "Insufficient cpu",
    [FIT_MEMORY] = "Insufficient memory",
    [FIT_STORAGE] = "Insufficient ephemeral-storage",
    [FIT_PODS] = "Too many pods",
    [FIT_EXTRA] = "Insufficient", /* followed by the name */
    [FIT_SELECTOR] = "node(s) didn't match Pod's node affinity/selector",
    [FIT_PORTS] = "node(s) didn't have free ports for the requested pod ports",
    [FIT_UNSCHEDULABLE] = "node(s) were unschedulable",
    [FIT_TAINT] = "node(s) had untolerated taint(s)",
    [FIT_AFFINITY] = "node(s) didn't match pod affinity rules",
    [FIT_ANTI_AFFINITY] = "node(s) didn't match pod anti-affinity rules",
    [FIT_EXISTING_ANTI] = "node(s) didn't satisfy existing pods anti-affinity rules",
    [FIT_SPREAD] = "node(s) didn't match pod topology spread constraints",
    [FIT_SPREAD_LABEL] =
        "node(s) didn't match pod topology spread constraints (missing required label)",
};

/* ---- labels ---- */

static bool in_list(const Value *list, StrView s)
{
    value_list_foreach (v, list) {
        if (sv_eq(value_str(v), s))
            return true;
    }
    return false;
}

static bool compare_numbers(StrView label, const Value *values, bool greater)
{
    int64_t have, want;
    if (sv_to_i64(label, &have) < 0 || sv_to_i64(value_str(value_at(values, 0)), &want) < 0)
        return false;
    return greater ? have > want : have < want;
}

static bool expression_holds(const Value *e, const Value *label)
{
    StrView op = value_str(value_get(e, SV("operator"))), have = value_str(label);
    const Value *values = value_get(e, SV("values"));
    if (sv_eq(op, SV("In")))
        return label && in_list(values, have);
    if (sv_eq(op, SV("NotIn")))
        return !label || !in_list(values, have);
    if (sv_eq(op, SV("Exists")))
        return label != NULL;
    if (sv_eq(op, SV("DoesNotExist")))
        return label == NULL;
    if (sv_eq(op, SV("Gt")))
        return label && compare_numbers(have, values, true);
    return sv_eq(op, SV("Lt")) && label && compare_numbers(have, values, false);
}

/* A NodeSelectorTerm; one without requirements selects nothing. */
static bool term_holds(const Value *term, const NodeFacts *n)
{
    const Value *labels = value_get(term, SV("matchExpressions")),
                *fields = value_get(term, SV("matchFields"));
    if (!value_len(labels) && !value_len(fields))
        return false;
    value_list_foreach (e, labels) {
        if (!expression_holds(e, value_get(n->labels, value_str(value_get(e, SV("key"))))))
            return false;
    }
    value_list_foreach (e, fields) { /* metadata.name is the only one that there is */
        Value name = value_sv(n->name);
        if (!expression_holds(e, &name))
            return false;
    }
    return true;
}

bool fit_selector(const Value *pod, const NodeFacts *n)
{
    value_map_foreach (m, value_path(pod, "spec.nodeSelector")) {
        const Value *label = value_get(n->labels, m->key);
        if (!label || !sv_eq(value_str(label), value_str(&m->val)))
            return false;
    }
    const Value *required =
        value_path(pod,
                   "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    if (!required)
        return true;
    value_list_foreach (term, value_get(required, SV("nodeSelectorTerms"))) {
        if (term_holds(term, n))
            return true;
    }
    return false;
}

/* ---- taints ---- */

static bool tolerates(const Value *pod, const Value *taint)
{
    StrView key = value_str(value_get(taint, SV("key"))),
            effect = value_str(value_get(taint, SV("effect")));
    value_list_foreach (t, value_path(pod, "spec.tolerations")) {
        StrView tkey = value_str(value_get(t, SV("key"))),
                teffect = value_str(value_get(t, SV("effect")));
        bool exists = sv_eq(value_str(value_get(t, SV("operator"))), SV("Exists"));
        if ((teffect.len && !sv_eq(teffect, effect)) || (tkey.len && !sv_eq(tkey, key)) ||
            (!tkey.len && !exists))
            continue;
        if (exists ||
            sv_eq(value_str(value_get(t, SV("value"))), value_str(value_get(taint, SV("value")))))
            return true;
    }
    return false;
}

static const Value *untolerated(const Value *pod, const NodeFacts *n, bool hard)
{
    value_list_foreach (taint, n->taints) {
        bool soft = sv_eq(value_str(value_get(taint, SV("effect"))), SV("PreferNoSchedule"));
        if (soft != hard && !tolerates(pod, taint))
            return taint;
    }
    return NULL;
}

static const Member unschedulable_members[] = {
    { SV_INIT("key"),
      { .kind = VALUE_STRING, .str = "node.kubernetes.io/unschedulable", .str_len = 32 } },
    { SV_INIT("effect"), { .kind = VALUE_STRING, .str = "NoSchedule", .str_len = 10 } },
};
/* What a cordoned node amounts to. */
static const Value unschedulable_taint = {
    .kind = VALUE_MAP, .len = 2, .cap = 2, .members = (Member *)unschedulable_members
};

bool fit_taints(const Value *pod, const NodeFacts *n)
{
    return !untolerated(pod, n, true) &&
           (!n->unschedulable || tolerates(pod, &unschedulable_taint));
}

unsigned fit_resources(const Request *req, const NodeFacts *n)
{
    unsigned lacks = 0;
    if (n->used.pods + req->pods > n->allocatable.pods)
        lacks |= 1u << FIT_PODS;
    if (req->cpu_milli && n->used.cpu_milli + req->cpu_milli > n->allocatable.cpu_milli)
        lacks |= 1u << FIT_CPU;
    if (req->memory && n->used.memory + req->memory > n->allocatable.memory)
        lacks |= 1u << FIT_MEMORY;
    if (req->storage && n->used.storage + req->storage > n->allocatable.storage)
        lacks |= 1u << FIT_STORAGE;
    return lacks;
}

bool fit_reason_is_resource(FitReason why)
{
    return why == FIT_CPU || why == FIT_MEMORY || why == FIT_STORAGE || why == FIT_PODS ||
           why == FIT_EXTRA;
}

FitReason fit_check(const Value *pod, const Request *req, const NodeFacts *n)
{
    if (n->unschedulable && !tolerates(pod, &unschedulable_taint))
        return FIT_UNSCHEDULABLE;
    if (untolerated(pod, n, true))
        return FIT_TAINT;
    if (!fit_selector(pod, n))
        return FIT_SELECTOR;
    unsigned lacks = fit_resources(req, n);
    return lacks & 1u << FIT_PODS      ? FIT_PODS
           : lacks & 1u << FIT_CPU     ? FIT_CPU
           : lacks & 1u << FIT_MEMORY  ? FIT_MEMORY
           : lacks & 1u << FIT_STORAGE ? FIT_STORAGE
                                       : FIT_OK;
}

bool fit_reason_resolvable(FitReason why)
{
    return fit_reason_is_resource(why) || why == FIT_PORTS || why == FIT_ANTI_AFFINITY ||
           why == FIT_EXISTING_ANTI || why == FIT_SPREAD;
}

static int64_t free_share(int64_t used, int64_t request, int64_t all)
{
    return all <= 0 || used + request > all ? 0 : (all - used - request) * SCORE_MAX / all;
}

int64_t fit_score(const Value *pod, const Request *req, const NodeFacts *n)
{
    int64_t cpu = free_share(n->used.cpu_milli, req->cpu_milli, n->allocatable.cpu_milli);
    int64_t memory = free_share(n->used.memory, req->memory, n->allocatable.memory);
    int64_t spread = free_share(n->used.pods, 1, n->allocatable.pods);
    int64_t balance = SCORE_MAX - (cpu > memory ? cpu - memory : memory - cpu);
    int64_t preferred = 0;
    value_list_foreach (
        p,
        value_path(pod,
                   "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution")) {
        if (term_holds(value_get(p, SV("preference")), n))
            preferred += value_int_or(value_get(p, SV("weight")), 1);
    }
    return (cpu + memory) / 2 + balance + spread + 2 * preferred -
           (untolerated(pod, n, false) ? 3 * SCORE_MAX : 0);
}
