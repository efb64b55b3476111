/* node.c - notices nodes that are silent: when a node's Lease is not renewed for 40 s its Ready condition
 * becomes Unknown and it is tainted as unreachable; pods bound to a node that is gone are deleted. */
#include "controller/controller_internal.h"

enum { GRACE_S = 40, LOOK_AGAIN_MS = 5000 };

#define UNREACHABLE SV("node.kubernetes.io/unreachable")

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    StrView node = value_path_str(obj_doc(now), "spec.nodeName");
    if (kind == KIND_NODE)
        controller_queue(c, SV_NULL, (now ? now : old)->name);
    else if (kind == KIND_POD && node.len && !obj_find(c->cs, KIND_NODE, SV_NULL, node))
        controller_queue(c, SV_NULL, node);
}

static void delete_pods(Job *j)
{
    size_t n;
    ApiObject *const *pods = informer_by_index(j->c->cs->informers[KIND_POD], INDEX_NODE, j->name, &n);
    for (size_t i = 0; i < n; i++) {
        Value options = value_map();
        value_set(&j->arena, &options, SV("gracePeriodSeconds"), value_int(0));
        job_call(j, &(JobRequest){ .method = SV("DELETE"), .kind = KIND_POD, .body = &options,
                                   .target = { .ns = pods[i]->ns, .name = pods[i]->name } });
    }
}

/* Adds or removes the two taints; false when they are right already. */
static bool set_taints(Job *j, Value *node, bool wanted)
{
    static const StrView effects[] = { SV_INIT("NoSchedule"), SV_INIT("NoExecute") };
    Arena *a = &j->arena;
    Value *taints = value_path(node, "spec.taints");
    uint32_t had = 0;
    for (uint32_t i = value_len(taints); i-- > 0;)
        if (sv_eq(value_str(value_get(value_at(taints, i), SV("key"))), UNREACHABLE)) {
            had++;
            if (!wanted)
                value_remove(taints, i);
        }
    if (wanted == (had > 0))
        return false;
    if (wanted && !taints)
        taints = value_set_path(a, node, "spec.taints", value_list());
    for (size_t i = 0; wanted && taints && i < ARRAY_SIZE(effects); i++) {
        Value taint = value_map();
        value_set(a, &taint, SV("key"), value_sv(UNREACHABLE));
        value_set(a, &taint, SV("effect"), value_sv(effects[i]));
        value_set(a, &taint, SV("timeAdded"), time_now(a));
        value_push(a, taints, taint);
    }
    return true;
}

static void set_unknown(Job *j, const ApiObject *node)
{
    Value copy = obj_copy(j, node);
    value_list_foreach(c, value_path(&copy, "status.conditions")) {
        if (!sv_eq(value_str(value_get(c, SV("type"))), SV("Ready")))
            continue;
        value_set(&j->arena, c, SV("status"), value_sv(SV("Unknown")));
        value_set(&j->arena, c, SV("reason"), value_sv(SV("NodeStatusUnknown")));
        value_set(&j->arena, c, SV("message"), value_sv(SV("Kubelet stopped posting node status.")));
        value_set(&j->arena, c, SV("lastTransitionTime"), time_now(&j->arena));
    }
    job_update(j, KIND_NODE, SV("status"), &copy);
    obj_event(j->c, KIND_NODE, node, SV("Normal"), SV("NodeNotReady"), "Node %.*s status is now: NodeNotReady",
              SV_FMT(node->name));
}

static void reconcile(Job *j)
{
    ApiObject *node = obj_find(j->c->cs, KIND_NODE, SV_NULL, j->name);
    if (!node) {
        delete_pods(j);
        return;
    }
    job_again(j, LOOK_AGAIN_MS);
    ApiObject *lease = obj_find(j->c->cs, KIND_LEASE, SV("kube-node-lease"), j->name);
    int64_t renewed = time_of(value_path(obj_doc(lease), "spec.renewTime"));
    if (!renewed)
        renewed = time_of(value_path(obj_doc(node), "metadata.creationTimestamp"));
    bool silent = clock_real_ns() - renewed > GRACE_S * NSEC_PER_SEC;
    const Value *ready = condition_find(obj_doc(node), SV("Ready"));
    if (silent && ready && !sv_eq(value_str(value_get(ready, SV("status"))), SV("Unknown"))) {
        set_unknown(j, node);
        return; /* the taints follow with the change that this makes */
    }
    Value copy = obj_copy(j, node);
    if (set_taints(j, &copy, silent))
        job_update(j, KIND_NODE, SV_NULL, &copy);
}

const ControllerDef node_controller = { "node-controller", observe, reconcile, 2 };
