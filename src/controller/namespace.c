/* namespace.c - empties a namespace that is being deleted, then lets it go: one deletecollection
 * for each kind of namespaced object, again until nothing is left, then the finalizer "kubernetes"
 * is removed. */
#include "api/kinds.h"
#include "controller/controller_internal.h"

enum { LOOK_AGAIN_MS = 300 }; /* pods take their grace period to go */

typedef struct Emptying {
    Job *job;
    unsigned waiting; /* answers to come */
    bool left;        /* something is still there */
} Emptying;

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    if (kind == KIND_NAMESPACE && now && obj_deleting(now))
        controller_queue(c, SV_NULL, now->name);
}

static void finalize(Job *j)
{
    ApiObject *ns = obj_find(j->c->cs, KIND_NAMESPACE, SV_NULL, j->name);
    if (!ns)
        return;
    Value copy = obj_copy(j, ns);
    value_set_path(&j->arena, &copy, "spec.finalizers", value_list());
    job_update(j, KIND_NAMESPACE, SV("finalize"), &copy);
}

static void answered(Emptying *e)
{
    if (--e->waiting || e->job->failed)
        return;
    if (e->left)
        job_again(e->job, LOOK_AGAIN_MS);
    else
        finalize(e->job);
}

static bool on_list(Job *j, const ApiResult *r, void *arg)
{
    Emptying *e = arg;
    if (r->err)
        job_fail(j);
    else if (value_len(value_get(r->body, SV("items"))))
        e->left = true;
    answered(e);
    return false;
}

static bool on_emptied(Job *j, const ApiResult *r, void *arg)
{
    if (r->err)
        job_fail(j);
    answered(arg);
    return false;
}

static bool is_emptied(const ApiResource *k)
{
    return k->namespaced && k->served && k->stored && (k->verbs & API_DELETECOLLECTION) &&
           (k->verbs & API_LIST);
}

static void reconcile(Job *j)
{
    ApiObject *ns = obj_find(j->c->cs, KIND_NAMESPACE, SV_NULL, j->name);
    if (!ns || !obj_deleting(ns))
        return;
    Emptying *e = arena_new(&j->arena, Emptying);
    if (!e) {
        job_fail(j);
        return;
    }
    e->job = j;
    for (size_t i = 0; i < api_resources_len && !j->failed; i++) {
        const ApiResource *k = &api_resources[i];
        if (!is_emptied(k))
            continue;
        JobRequest req = { .method = SV("DELETE"),
                           .query = SV("propagationPolicy=Background"),
                           .kind = KIND_NAMESPACE,
                           .arg = e,
                           .done = on_emptied,
                           .target = { .group = k->group,
                                       .version = k->version,
                                       .plural = k->plural,
                                       .ns = j->name } };
        e->waiting += 2;
        job_call(j, &req);
        req.method = SV("GET");
        req.query = SV("limit=1");
        req.done = on_list;
        job_call(j, &req);
    }
}

const ControllerDef namespace_controller = { "namespace-controller", observe, reconcile, 2 };
