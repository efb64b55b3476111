/* node.c - notices nodes that are silent: when a node's Lease is not renewed for 40 s its
 * conditions become Unknown and its pods are not ready any more. Keeps the taints that conditions
 * and cordoning bring (taint.c); eviction.c and the scheduler act on them. Keys are the nodes. */
#include "controller/controller_internal.h"
#include "controller/taint.h"

enum { GRACE_S = 40, LOOK_AGAIN_MS = 5000 };

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    (void)old;
    if (kind == &kind_nodes && now)
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
    ApiObject *const *pods = obj_indexed(j->c, &kind_pods, INDEX_NODE, node->name, &n);
    for (size_t i = 0; i < n; i++) {
        if (!pod_of(pods[i])->ready)
            continue;
        Value patch = value_map(), list = value_list(), ready = value_map();
        value_set(&j->arena, &ready, SV("type"), value_sv(SV("Ready")));
        value_set(&j->arena, &ready, SV("status"), value_sv(SV("False")));
        value_set(&j->arena, &ready, SV("lastTransitionTime"), time_now(&j->arena));
        value_push(&j->arena, &list, ready);
        value_set_path(&j->arena, &patch, "status.conditions", list);
        job_patch(j, &kind_pods, pods[i], SV("status"), API_PATCH_STRATEGIC, &patch);
        obj_event(j->c, &kind_pods, pods[i], SV("Warning"), SV("NodeNotReady"),
                  "Node is not ready");
    }
}

static bool is_silent(const Controller *c, const ApiObject *node)
{
    const ApiObject *lease = obj_find(c, &kind_node_leases, SV("kube-node-lease"), node->name);
    int64_t heard = meta_of(node)->created_ns;
    if (lease)
        heard = MAX(heard, ((const LeaseView *)lease->projection)->renewed_ns);
    return clock_real_ns() - heard > GRACE_S * NSEC_PER_SEC;
}

typedef enum Wish { NOTHING, STATUS, TAINTS } Wish;

/* What is to be written to the Node; makes the document say so. */
static Wish wish_for(Job *j, const ApiObject *node, Value *doc)
{
    if (is_silent(j->c, node) && silence(j, doc))
        return STATUS; /* the taints follow with the change that this makes */
    return taints_update(&j->arena, doc, time_now(&j->arena)) ? TAINTS : NOTHING;
}

/* The whole Node: it is written as it is now, or not at all. */
static bool on_node(Job *j, const ApiResult *r, void *arg)
{
    const ApiObject *node = obj_find(j->c, &kind_nodes, SV_NULL, j->name);
    Value doc;
    (void)arg;
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (!node || !sv_eq(value_path_str(r->body, "metadata.uid"), node->uid))
        return true;
    if (!value_clone(&j->arena, r->body, &doc)) {
        job_fail(j);
        return true;
    }
    switch (wish_for(j, node, &doc)) {
    case STATUS:
        job_update(j, &kind_nodes, SV("status"), &doc);
        obj_event(j->c, &kind_nodes, node, SV("Normal"), SV("NodeNotReady"),
                  "Node %.*s status is now: NodeNotReady", SV_FMT(node->name));
        break;
    case TAINTS:
        job_update(j, &kind_nodes, SV_NULL, &doc);
        break;
    case NOTHING:
        break;
    }
    return true;
}

static void reconcile(Job *j)
{
    ApiObject *node = obj_find(j->c, &kind_nodes, SV_NULL, j->name);
    Value doc;
    if (!node)
        return;
    job_again(j, LOOK_AGAIN_MS);
    if (!value_clone(&j->arena, &((const NodeView *)node->projection)->doc, &doc)) {
        job_fail(j);
        return;
    }
    Wish wish = wish_for(j, node, &doc);
    if (wish != STATUS && is_silent(j->c, node))
        mark_pods(j, node);
    if (wish != NOTHING)
        job_get(j, &kind_nodes, SV_NULL, j->name, on_node, NULL);
}

const ControllerDef node_controller = { .name = "node-controller",
                                        .queue = "node_lifecycle_controller",
                                        .workers = 2,
                                        .kinds = { &kind_nodes, &kind_node_leases, &kind_pods },
                                        .observe = observe,
                                        .reconcile = reconcile };
