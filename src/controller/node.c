/* node.c - notices nodes that are silent: when a node's Lease is not renewed for 40 s its
 * conditions become Unknown and its pods are not ready any more. Keeps the taints that conditions
 * and cordoning bring (taint.c); eviction.c and the scheduler act on them. Keys are the nodes. */
#include "controller/controller_internal.h"
#include "controller/taint.h"

enum { GRACE_S = 40, LOOK_AGAIN_MS = 5000 };

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    if (kind == KIND_NODE && now)
        controller_queue(c, SV_NULL, now->name);
}

static bool silence(Job *j, Value *node)
{
    static const StrView types[] = { SV_INIT("Ready"), SV_INIT("MemoryPressure"),
                                     SV_INIT("DiskPressure"), SV_INIT("PIDPressure") };
    bool changed = false;
    value_list_foreach (c, value_path(node, "status.conditions")) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
            known |= sv_eq(value_str(value_get(c, SV("type"))), types[i]);
        if (!known || sv_eq(value_str(value_get(c, SV("status"))), SV("Unknown")))
            continue;
        value_set(&j->arena, c, SV("status"), value_sv(SV("Unknown")));
        value_set(&j->arena, c, SV("reason"), value_sv(SV("NodeStatusUnknown")));
        value_set(&j->arena, c, SV("message"),
                  value_sv(SV("Kubelet stopped posting node status.")));
        value_set(&j->arena, c, SV("lastTransitionTime"), time_now(&j->arena));
        changed = true;
    }
    return changed;
}

/* Nobody can reach them: Services must not lead there. */
static void mark_pods(Job *j, const ApiObject *node)
{
    size_t n;
    ApiObject *const *pods =
        informer_by_index(j->c->cs->informers[KIND_POD], INDEX_NODE, node->name, &n);
    for (size_t i = 0; i < n; i++) {
        if (!pod_ready(obj_doc(pods[i])))
            continue;
        Value patch = value_map(), list = value_list(), ready = value_map();
        value_set(&j->arena, &ready, SV("type"), value_sv(SV("Ready")));
        value_set(&j->arena, &ready, SV("status"), value_sv(SV("False")));
        value_set(&j->arena, &ready, SV("lastTransitionTime"), time_now(&j->arena));
        value_push(&j->arena, &list, ready);
        value_set_path(&j->arena, &patch, "metadata.uid", value_sv(pods[i]->uid));
        value_set_path(&j->arena, &patch, "status.conditions", list);
        job_call(j, &(JobRequest){ .method = SV("PATCH"),
                                   .kind = KIND_POD,
                                   .body = &patch,
                                   .content_type = API_PATCH_STRATEGIC,
                                   .target = { .ns = pods[i]->ns,
                                               .name = pods[i]->name,
                                               .subresource = SV("status") } });
        obj_event(j->c, KIND_POD, pods[i], SV("Warning"), SV("NodeNotReady"), "Node is not ready");
    }
}

static void reconcile(Job *j)
{
    ApiObject *node = obj_find(j->c->cs, KIND_NODE, SV_NULL, j->name);
    if (!node)
        return;
    job_again(j, LOOK_AGAIN_MS);
    const ApiObject *lease = obj_find(j->c->cs, KIND_LEASE, SV("kube-node-lease"), j->name);
    int64_t heard = time_of(value_path(obj_doc(node), "metadata.creationTimestamp"));
    heard = MAX(heard, time_of(value_path(obj_doc(lease), "spec.renewTime")));
    bool silent = clock_real_ns() - heard > GRACE_S * NSEC_PER_SEC;
    Value copy = obj_copy(j, node);
    if (silent && silence(j, &copy)) {
        job_update(j, KIND_NODE, SV("status"), &copy);
        obj_event(j->c, KIND_NODE, node, SV("Normal"), SV("NodeNotReady"),
                  "Node %.*s status is now: NodeNotReady", SV_FMT(node->name));
        return; /* the rest follows with the change that this makes */
    }
    if (silent)
        mark_pods(j, node);
    if (taints_update(&j->arena, &copy, time_now(&j->arena)))
        job_update(j, KIND_NODE, SV_NULL, &copy);
}

const ControllerDef node_controller = { "node-controller", observe, reconcile, 2, NULL, NULL };
