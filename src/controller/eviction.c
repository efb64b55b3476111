/* eviction.c - deletes pods that do not bear their node's NoExecute taints, when their
 * tolerationSeconds are over. Keys are the pods. */
#include "controller/controller_internal.h"
#include "controller/taint.h"

static const Value *taints_of(const ApiObject *node)
{
    return node ? value_path(&((const NodeView *)node->projection)->doc, "spec.taints") : NULL;
}

static bool evicts(const ApiObject *node)
{
    return node && ((const NodeView *)node->projection)->evicts;
}

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    if (kind == &kind_pods && now) {
        StrView node = pod_of(now)->node;
        if (node.len && evicts(obj_find(c, &kind_nodes, SV_NULL, node)))
            controller_queue(c, now->ns, now->name);
    }
    if (kind != &kind_nodes || !now || !evicts(now) ||
        (old && value_equal(taints_of(old), taints_of(now))))
        return;
    size_t n;
    ApiObject *const *pods = obj_indexed(c, &kind_pods, INDEX_NODE, now->name, &n);
    for (size_t i = 0; i < n; i++)
        controller_queue(c, pods[i]->ns, pods[i]->name);
}

static void reconcile(Job *j)
{
    ApiObject *pod = obj_find(j->c, &kind_pods, j->ns, j->name);
    if (!pod || obj_deleting(pod))
        return;
    const ApiObject *node = obj_find(j->c, &kind_nodes, SV_NULL, pod_of(pod)->node);
    int64_t now = clock_real_ns();
    int64_t at = taints_evict_at(taints_of(node), pod_of(pod)->tolerations, now);
    if (at == TAINT_STAYS)
        return;
    if (at > now) {
        job_again(j, (uint64_t)((at - now) / NSEC_PER_MSEC) + 1);
        return;
    }
    obj_event(j->c, &kind_pods, pod, SV("Normal"), SV("TaintManagerEviction"),
              "Marking for deletion Pod %.*s/%.*s", SV_FMT(pod->ns), SV_FMT(pod->name));
    job_delete(j, &kind_pods, pod, SV("Background"), NULL, NULL);
}

const ControllerDef eviction_controller = { .name = "taint-eviction-controller",
                                            .queue = "noexec_taint_pod",
                                            .workers = 8,
                                            .kinds = { &kind_pods, &kind_nodes },
                                            .observe = observe,
                                            .reconcile = reconcile };
