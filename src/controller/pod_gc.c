/* pod_gc.c - removes pods that nobody will ever end: those of nodes that do not exist any more, and
 * ended ones beyond a number. Keys: the names of missing nodes, and ":ended" for the sweep. */
#include "controller/controller_internal.h"

enum {
    ENDED_MAX = 12500,
    MISSING_MS = 40 * 1000, /* a node that is away for so long does not come back under its name */
    SWEEP_MS = 20 * 1000,
};

#define ENDED SV(":ended")

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    StrView node = value_path_str(obj_doc(now), "spec.nodeName");
    if (kind == KIND_NODE && !now)
        workqueue_add_after(c->queue, old->name, MISSING_MS);
    if (kind != KIND_POD || !now)
        return;
    if (node.len && !obj_find(c->cs, KIND_NODE, SV_NULL, node))
        workqueue_add_after(c->queue, node, MISSING_MS);
    if (informer_len(c->cs->informers[KIND_POD]) > ENDED_MAX)
        workqueue_add_after(c->queue, ENDED, SWEEP_MS);
}

static void remove_pod(Job *j, const ApiObject *pod)
{
    Value options = value_map();
    if (!value_set_path(&j->arena, &options, "preconditions.uid", value_sv(pod->uid)) ||
        !value_set(&j->arena, &options, SV("gracePeriodSeconds"), value_int(0))) {
        job_fail(j);
        return;
    }
    job_call(j, &(JobRequest){ .method = SV("DELETE"),
                               .kind = KIND_POD,
                               .body = &options,
                               .target = { .ns = pod->ns, .name = pod->name } });
}

/* The informer may be behind: the server is asked before a pod is given up. */
static bool on_node(Job *j, const ApiResult *r, void *arg)
{
    size_t n;
    bool gone = r->err && r->err->code == ERR_NOT_FOUND;
    ApiObject *const *pods =
        informer_by_index(j->c->cs->informers[KIND_POD], INDEX_NODE, j->name, &n);
    for (size_t i = 0; gone && i < n; i++)
        remove_pod(j, pods[i]);
    return gone;
}

static int by_age(const void *a, const void *b)
{
    int64_t x = time_of(value_path(obj_doc(*(ApiObject *const *)a), "metadata.creationTimestamp"));
    int64_t y = time_of(value_path(obj_doc(*(ApiObject *const *)b), "metadata.creationTimestamp"));
    return x < y ? -1 : x > y;
}

static void sweep(Job *j)
{
    const Informer *pods = j->c->cs->informers[KIND_POD];
    ApiObject **ended = arena_array(&j->arena, ApiObject *, informer_len(pods) + 1), *o;
    size_t n = 0;
    if (!ended) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; (o = informer_next(pods, &i)) != NULL;) {
        StrView phase = value_path_str(obj_doc(o), "status.phase");
        if (!obj_deleting(o) && (sv_eq(phase, SV("Succeeded")) || sv_eq(phase, SV("Failed"))))
            ended[n++] = o;
    }
    if (n <= ENDED_MAX)
        return;
    qsort(ended, n, sizeof *ended, by_age);
    for (size_t i = 0; i < n - ENDED_MAX; i++)
        remove_pod(j, ended[i]);
}

static void reconcile(Job *j)
{
    size_t n;
    if (sv_eq(j->key, ENDED)) {
        sweep(j);
        return;
    }
    (void)informer_by_index(j->c->cs->informers[KIND_POD], INDEX_NODE, j->name, &n);
    if (n > 0 && !obj_find(j->c->cs, KIND_NODE, SV_NULL, j->name))
        job_call(j, &(JobRequest){ .method = SV("GET"),
                                   .kind = KIND_NODE,
                                   .target = { .name = j->name },
                                   .done = on_node });
}

const ControllerDef pod_gc_controller = {
    "pod-garbage-collector", observe, reconcile, 2, NULL, NULL
};
