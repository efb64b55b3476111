/* pod_gc.c - removes pods that nobody will ever end: those of nodes that do not exist any more, and
 * ended ones beyond a number. Keys: the names of missing nodes, and ":ended" for the sweep. */
#include "controller/controller_internal.h"

enum {
    ENDED_MAX = 12500,
    MISSING_MS = 40 * 1000, /* a node that is away for so long does not come back under its name */
    SWEEP_MS = 20 * 1000,
};

#define ENDED SV(":ended")

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    if (kind == &kind_nodes && !now)
        workqueue_add_after(c->queue, old->name, MISSING_MS);
    if (kind != &kind_pods || !now)
        return;
    StrView node = pod_of(now)->node;
    if (node.len && !obj_find(c, &kind_nodes, SV_NULL, node))
        workqueue_add_after(c->queue, node, MISSING_MS);
    if (obj_count(c, &kind_pods) > ENDED_MAX)
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
                               .kind = &kind_pods,
                               .body = &options,
                               .target = { .ns = pod->ns, .name = pod->name } });
}

/* The informer may be behind: the server is asked before a pod is given up. */
static bool on_node(Job *j, const ApiResult *r, void *arg)
{
    size_t n;
    bool gone = r->err && r->err->code == ERR_NOT_FOUND;
    ApiObject *const *pods = obj_indexed(j->c, &kind_pods, INDEX_NODE, j->name, &n);
    for (size_t i = 0; gone && i < n; i++)
        remove_pod(j, pods[i]);
    return gone;
}

static int by_age(const void *a, const void *b)
{
    int64_t x = meta_of(*(ApiObject *const *)a)->created_ns;
    int64_t y = meta_of(*(ApiObject *const *)b)->created_ns;
    return x < y ? -1 : x > y;
}

static void sweep(Job *j)
{
    ApiObject **ended = arena_array(&j->arena, ApiObject *, obj_count(j->c, &kind_pods) + 1), *o;
    size_t n = 0;
    if (!ended) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; (o = obj_next(j->c, &kind_pods, &i)) != NULL;)
        if (!obj_deleting(o) && pod_ended(pod_of(o)))
            ended[n++] = o;
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
    (void)obj_indexed(j->c, &kind_pods, INDEX_NODE, j->name, &n);
    if (n > 0 && !obj_find(j->c, &kind_nodes, SV_NULL, j->name))
        job_get(j, &kind_nodes, SV_NULL, j->name, on_node, NULL);
}

const ControllerDef pod_gc_controller = { .name = "pod-garbage-collector",
                                          .queue = "orphaned_pods_nodes",
                                          .workers = 2,
                                          .kinds = { &kind_pods, &kind_nodes },
                                          .observe = observe,
                                          .reconcile = reconcile };
