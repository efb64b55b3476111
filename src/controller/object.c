/* object.c - reading the informers' objects, and the little documents that controllers write. */
#include <stdio.h>

#include "controller/controller_internal.h"

const KindInfo kind_info[KIND_MAX] = {
    [KIND_POD] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("pods"), SV_INIT("Pod"), SV_INIT("v1") },
    [KIND_REPLICASET] = { SV_INIT("apps"), SV_INIT("v1"), SV_INIT("replicasets"),
                          SV_INIT("ReplicaSet"), SV_INIT("apps/v1") },
    [KIND_REPLICATIONCONTROLLER] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("replicationcontrollers"),
                                     SV_INIT("ReplicationController"), SV_INIT("v1") },
    [KIND_DEPLOYMENT] = { SV_INIT("apps"), SV_INIT("v1"), SV_INIT("deployments"),
                          SV_INIT("Deployment"), SV_INIT("apps/v1") },
    [KIND_SERVICE] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("services"), SV_INIT("Service"),
                       SV_INIT("v1") },
    [KIND_ENDPOINTSLICE] = { SV_INIT("discovery.k8s.io"), SV_INIT("v1"), SV_INIT("endpointslices"),
                             SV_INIT("EndpointSlice"), SV_INIT("discovery.k8s.io/v1") },
    [KIND_ENDPOINTS] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("endpoints"), SV_INIT("Endpoints"),
                         SV_INIT("v1") },
    [KIND_NAMESPACE] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("namespaces"), SV_INIT("Namespace"),
                         SV_INIT("v1") },
    [KIND_SERVICEACCOUNT] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("serviceaccounts"),
                              SV_INIT("ServiceAccount"), SV_INIT("v1") },
    [KIND_TOKEN_SECRET] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("secrets"), SV_INIT("Secret"),
                            SV_INIT("v1") },
    [KIND_ROOT_CA] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("configmaps"), SV_INIT("ConfigMap"),
                       SV_INIT("v1") },
    [KIND_NODE] = { SV_INIT(""), SV_INIT("v1"), SV_INIT("nodes"), SV_INIT("Node"), SV_INIT("v1") },
    [KIND_LEASE] = { SV_INIT("coordination.k8s.io"), SV_INIT("v1"), SV_INIT("leases"),
                     SV_INIT("Lease"), SV_INIT("coordination.k8s.io/v1") },
};

/* What the informers keep of an object: the document in an arena of its own. */
typedef struct Doc {
    Arena arena;
    Value value;
} Doc;

void *doc_new(void *ctx, const Value *obj);
void *doc_new(void *ctx, const Value *obj)
{
    Doc *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    if (!value_clone(&d->arena, obj, &d->value)) {
        arena_free(&d->arena);
        free(d);
        return NULL;
    }
    return d;
}

void doc_free(void *projection);
void doc_free(void *projection)
{
    Doc *d = projection;
    arena_free(&d->arena);
    free(d);
}

const Value *obj_doc(const ApiObject *o)
{
    return o && o->projection ? &((const Doc *)o->projection)->value : NULL;
}

const Value *obj_meta(const ApiObject *o)
{
    return value_get(obj_doc(o), SV("metadata"));
}

bool obj_deleting(const ApiObject *o)
{
    return value_str(value_get(obj_meta(o), SV("deletionTimestamp"))).len > 0;
}

const Value *obj_controller_ref(const ApiObject *o)
{
    value_list_foreach (ref, value_get(obj_meta(o), SV("ownerReferences"))) {
        if (value_bool_or(value_get(ref, SV("controller")), false))
            return ref;
    }
    return NULL;
}

bool obj_has_finalizer(const ApiObject *o, StrView name)
{
    value_list_foreach (f, value_get(obj_meta(o), SV("finalizers"))) {
        if (sv_eq(value_str(f), name))
            return true;
    }
    return false;
}

ApiObject *obj_find(Controllers *cs, KindId kind, StrView ns, StrView name)
{
    return informer_get_named(cs->informers[kind], ns, name);
}

ApiObject *const *obj_owned(Controllers *cs, KindId kind, const ApiObject *owner, size_t *ret_n)
{
    return informer_by_index(cs->informers[kind], INDEX_OWNER, owner->uid, ret_n);
}

Value obj_copy(Job *j, const ApiObject *o)
{
    Value v = value_null();
    if (!value_clone(&j->arena, obj_doc(o), &v))
        job_fail(j);
    return v;
}

Value obj_owner_refs(Arena *a, KindId kind, const ApiObject *owner)
{
    Value refs = value_list(), ref = value_map();
    value_set(a, &ref, SV("apiVersion"), value_sv(kind_info[kind].api_version));
    value_set(a, &ref, SV("kind"), value_sv(kind_info[kind].kind));
    value_set(a, &ref, SV("name"), value_sv(owner->name));
    value_set(a, &ref, SV("uid"), value_sv(owner->uid));
    value_set(a, &ref, SV("controller"), value_bool(true));
    value_set(a, &ref, SV("blockOwnerDeletion"), value_bool(true));
    value_push(a, &refs, ref);
    return refs;
}

void obj_event(Controller *c, KindId kind, const ApiObject *o, StrView type, StrView reason,
               const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    EventRef ref = { .api_version = kind_info[kind].api_version,
                     .kind = kind_info[kind].kind,
                     .ns = o->ns,
                     .name = o->name,
                     .uid = o->uid,
                     .resource_version = o->resource_version };
    event_record(c->events, &ref, type, reason, "%s", text);
}

void controller_queue(Controller *c, StrView ns, StrView name)
{
    char key[512];
    int n = ns.len ? snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(ns), SV_FMT(name))
                   : snprintf(key, sizeof key, "%.*s", SV_FMT(name));
    if (n > 0 && (size_t)n < sizeof key)
        workqueue_add(c->queue, sv_n(key, (size_t)n));
}

int64_t time_of(const Value *v)
{
    int64_t ns;
    return rfc3339_parse(value_str(v), &ns) < 0 ? 0 : ns;
}

Value time_now(Arena *a)
{
    char text[RFC3339_SIZE];
    return value_sv(arena_sv(a, sv_cstr(rfc3339_format(clock_real_ns(), 0, text))));
}

const Value *condition_find(const Value *obj, StrView type)
{
    value_list_foreach (c, value_path(obj, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return c;
    }
    return NULL;
}

bool condition_true(const Value *obj, StrView type)
{
    return sv_eq(value_str(value_get(condition_find(obj, type), SV("status"))), SV("True"));
}

bool pod_active(const Controller *c, const ApiObject *pod)
{
    StrView phase = value_path_str(obj_doc(pod), "status.phase");
    return !obj_deleting(pod) && !sv_eq(phase, SV("Succeeded")) && !sv_eq(phase, SV("Failed")) &&
           !map_has(&c->doomed, pod->uid);
}

bool pod_ready(const Value *pod)
{
    return condition_true(pod, SV("Ready"));
}

bool pod_available(const Value *pod, int64_t min_ready_s, int64_t now_ns, uint64_t *ret_wait_ms)
{
    *ret_wait_ms = 0;
    if (!pod_ready(pod))
        return false;
    if (min_ready_s <= 0)
        return true;
    int64_t since = time_of(value_get(condition_find(pod, SV("Ready")), SV("lastTransitionTime")));
    int64_t left = since + min_ready_s * NSEC_PER_SEC - now_ns;
    if (left <= 0)
        return true;
    *ret_wait_ms = (uint64_t)(left / NSEC_PER_MSEC) + 1;
    return false;
}
