/* eviction.c - deletes pods that do not bear their node's NoExecute taints, when their
 * tolerationSeconds are over. Keys are the pods. */
#include "controller/controller_internal.h"
#include "controller/taint.h"

static bool evicts(const ApiObject *node)
{
    value_list_foreach (t, value_path(obj_doc(node), "spec.taints")) {
        if (sv_eq(value_str(value_get(t, SV("effect"))), SV("NoExecute")))
            return true;
    }
    return false;
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    if (kind == KIND_POD && now) {
        StrView node = value_path_str(obj_doc(now), "spec.nodeName");
        if (node.len && evicts(obj_find(c->cs, KIND_NODE, SV_NULL, node)))
            controller_queue(c, now->ns, now->name);
    }
    if (kind != KIND_NODE || !now || !evicts(now) ||
        (old && value_equal(value_path(obj_doc(old), "spec.taints"),
                            value_path(obj_doc(now), "spec.taints"))))
        return;
    size_t n;
    ApiObject *const *pods =
        informer_by_index(c->cs->informers[KIND_POD], INDEX_NODE, now->name, &n);
    for (size_t i = 0; i < n; i++)
        controller_queue(c, pods[i]->ns, pods[i]->name);
}

static void reconcile(Job *j)
{
    ApiObject *pod = obj_find(j->c->cs, KIND_POD, j->ns, j->name);
    if (!pod || obj_deleting(pod))
        return;
    const Value *doc = obj_doc(pod);
    const ApiObject *node =
        obj_find(j->c->cs, KIND_NODE, SV_NULL, value_path_str(doc, "spec.nodeName"));
    int64_t now = clock_real_ns();
    int64_t at = taints_evict_at(value_path(obj_doc(node), "spec.taints"),
                                 value_path(doc, "spec.tolerations"), now);
    if (at == TAINT_STAYS)
        return;
    if (at > now) {
        job_again(j, (uint64_t)((at - now) / NSEC_PER_MSEC) + 1);
        return;
    }
    obj_event(j->c, KIND_POD, pod, SV("Normal"), SV("TaintManagerEviction"),
              "Marking for deletion Pod %.*s/%.*s", SV_FMT(pod->ns), SV_FMT(pod->name));
    job_delete(j, KIND_POD, pod, SV("Background"), NULL, NULL);
}

const ControllerDef eviction_controller = {
    "taint-eviction-controller", observe, reconcile, 8, NULL, NULL
};
