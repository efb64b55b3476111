/* taint.c - taints of nodes and who bears them. */
#include "controller/taint.h"

#include "base/clock.h"

typedef struct TaintRule {
    StrView key, condition, status; /* the condition with this status brings it */
    bool evicts;                    /* NoExecute as well */
} TaintRule;

static const TaintRule rules[] = {
    { SV_INIT("node.kubernetes.io/not-ready"), SV_INIT("Ready"), SV_INIT("False"), true },
    { SV_INIT("node.kubernetes.io/unreachable"), SV_INIT("Ready"), SV_INIT("Unknown"), true },
    { SV_INIT("node.kubernetes.io/memory-pressure"), SV_INIT("MemoryPressure"), SV_INIT("True"),
      false },
    { SV_INIT("node.kubernetes.io/disk-pressure"), SV_INIT("DiskPressure"), SV_INIT("True"),
      false },
    { SV_INIT("node.kubernetes.io/pid-pressure"), SV_INIT("PIDPressure"), SV_INIT("True"), false },
    { SV_INIT("node.kubernetes.io/network-unavailable"), SV_INIT("NetworkUnavailable"),
      SV_INIT("True"), false },
    { SV_INIT("node.kubernetes.io/unschedulable"), SV_INIT(""), SV_INIT(""),
      false }, /* spec.unschedulable */
};

static bool is_wanted(const TaintRule *r, const Value *node)
{
    if (!r->condition.len)
        return value_bool_or(value_path(node, "spec.unschedulable"), false);
    value_list_foreach (c, value_path(node, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), r->condition))
            return sv_eq(value_str(value_get(c, SV("status"))), r->status);
    }
    return false;
}

static bool set_one(Arena *a, Value *node, StrView key, StrView effect, bool wanted, Value now)
{
    Value *list = value_path(node, "spec.taints");
    for (uint32_t i = 0; i < value_len(list); i++) {
        const Value *t = value_at(list, i);
        if (!sv_eq(value_str(value_get(t, SV("key"))), key) ||
            !sv_eq(value_str(value_get(t, SV("effect"))), effect))
            continue;
        if (!wanted)
            value_remove(list, i);
        return !wanted;
    }
    if (!wanted)
        return false;
    if (!value_is(list, VALUE_LIST))
        list = value_set_path(a, node, "spec.taints", value_list());
    Value taint = value_map();
    value_set(a, &taint, SV("key"), value_sv(key));
    value_set(a, &taint, SV("effect"), value_sv(effect));
    value_set(a, &taint, SV("timeAdded"), now);
    return list && value_push(a, list, taint);
}

bool taints_update(Arena *a, Value *node, Value now)
{
    bool changed = false;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        bool wanted = is_wanted(&rules[i], node);
        changed |= set_one(a, node, rules[i].key, SV("NoSchedule"), wanted, now);
        if (rules[i].evicts)
            changed |= set_one(a, node, rules[i].key, SV("NoExecute"), wanted, now);
    }
    return changed;
}

bool taint_tolerated(const Value *taint, const Value *tol)
{
    StrView key = value_str(value_get(tol, SV("key"))),
            effect = value_str(value_get(tol, SV("effect")));
    StrView op = value_str(value_get(tol, SV("operator")));
    if (effect.len && !sv_eq(effect, value_str(value_get(taint, SV("effect")))))
        return false;
    if (key.len && !sv_eq(key, value_str(value_get(taint, SV("key")))))
        return false;
    if (sv_eq(op, SV("Exists")))
        return true;
    return key.len &&
           sv_eq(value_str(value_get(tol, SV("value"))), value_str(value_get(taint, SV("value"))));
}

/* How long one taint is borne, in seconds: the shortest of the tolerations that match. -1: for
 * ever; -2: not at all. */
static int64_t borne_for(const Value *taint, const Value *tolerations)
{
    int64_t shortest = -2;
    value_list_foreach (tol, tolerations) {
        if (!taint_tolerated(taint, tol))
            continue;
        const Value *seconds = value_get(tol, SV("tolerationSeconds"));
        int64_t s = value_is(seconds, VALUE_INT) ? MAX(seconds->i, (int64_t)0) : -1;
        if (shortest < 0)
            shortest = s >= 0 ? s : MAX(shortest, s);
        else if (s >= 0)
            shortest = MIN(shortest, s);
    }
    return shortest;
}

int64_t taints_evict_at(const Value *taints, const Value *tolerations, int64_t now_ns)
{
    int64_t at = TAINT_STAYS;
    value_list_foreach (taint, taints) {
        if (!sv_eq(value_str(value_get(taint, SV("effect"))), SV("NoExecute")))
            continue;
        int64_t seconds = borne_for(taint, tolerations), since = now_ns;
        if (seconds == -2)
            return 0;
        if (seconds == -1)
            continue;
        (void)rfc3339_parse(value_str(value_get(taint, SV("timeAdded"))), &since);
        int64_t until = since + MIN(seconds, INT64_C(4000000000)) * NSEC_PER_SEC;
        at = at == TAINT_STAYS ? until : MIN(at, until);
    }
    return at;
}
