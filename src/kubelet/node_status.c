/* node_status.c - how what the node says of itself meets what the API server has: the parts of a
 * Node's status that are others' stay theirs. */
#include "kubelet/node_status.h"

static const Value *of_type(const Value *list, StrView type)
{
    value_list_foreach (item, list) {
        if (sv_eq(value_str(value_get(item, SV("type"))), type))
            return item;
    }
    return NULL;
}

static void keep_transitions(const Value *old, const Value *status, Arena *a)
{
    value_list_foreach (c, value_get(status, SV("conditions"))) {
        const Value *o =
            of_type(value_path(old, "status.conditions"), value_str(value_get(c, SV("type"))));
        const Value *at = value_get(o, SV("lastTransitionTime"));
        if (at &&
            sv_eq(value_str(value_get(o, SV("status"))), value_str(value_get(c, SV("status")))))
            value_set(a, c, SV("lastTransitionTime"), *at);
    }
}

/* Somebody patched "example.com/dongle" into the capacity: all of it may be given out. One that was
 * taken out of the capacity is not given out any more. */
static void keep_extended(const Value *old, Value *status, Arena *a)
{
    const Value *own = value_get(status, SV("capacity"));
    Value *allocatable = value_get(status, SV("allocatable"));
    const Value *capacity = value_path(old, "status.capacity");
    value_map_foreach (m, capacity) {
        if (!value_get(own, m->key))
            value_set(a, allocatable, m->key, m->val);
    }
    value_map_foreach (m, value_path(old, "status.allocatable")) {
        if (!value_get(own, m->key) && !value_get(capacity, m->key))
            value_set(a, allocatable, m->key, value_null());
    }
}

void node_status_join(const Value *old, Value *status, Arena *a)
{
    keep_transitions(old, status, a);
    keep_extended(old, status, a);
}

static bool is_heartbeat(StrView key)
{
    return sv_eq(key, SV("lastHeartbeatTime"));
}

static bool says(const Value *have, const Value *want);

static bool list_says(const Value *have, const Value *want)
{
    uint32_t i = 0;
    value_list_foreach (item, want) {
        StrView type = value_str(value_get(item, SV("type")));
        if (!says(type.len ? of_type(have, type) : value_at(have, i), item))
            return false;
        i++;
    }
    return true;
}

/* Would patching `have` with `want` change nothing but the times of heartbeats? */
static bool says(const Value *have, const Value *want)
{
    if (want->kind == VALUE_NULL)
        return !have || have->kind == VALUE_NULL;
    if (!have) /* empty text is left out when it is stored */
        return want->kind == VALUE_STRING && want->str_len == 0;
    if (want->kind == VALUE_LIST)
        return list_says(have, want);
    if (want->kind != VALUE_MAP)
        return value_equal(have, want);
    value_map_foreach (m, want) {
        if (!is_heartbeat(m->key) && !says(value_get(have, m->key), &m->val))
            return false;
    }
    return true;
}

bool node_status_is_news(const Value *old, const Value *status)
{
    const Value *have = value_get(old, SV("status"));
    return !have || !says(have, status);
}
