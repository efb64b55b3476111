/* strategy.c - what the server itself sets or keeps on create and update, kind by kind.
 *
 * The general rule: a kind with a status subresource starts without status, its main resource
 * cannot change the status, and /status cannot change anything else; `generation` counts changes of
 * the spec. To add a rule for a kind, add a row to kinds[]. */
#include "apiserver/strategy.h"

#include "apiserver/respond.h"

typedef struct KindStrategy {
    StrView kind;
    void (*create)(Arena *a, Value *obj);
    void (*update)(Arena *a, Value *obj, const Value *old);
} KindStrategy;

/* A pod with gates says from its first moment why no scheduler looks at it. */
static void say_gated(Arena *a, const Value *pod, Value *status)
{
    Value list = value_list(), c = value_map();
    if (!value_len(value_path(pod, "spec.schedulingGates")))
        return;
    value_set(a, &c, SV("type"), value_sv(SV("PodScheduled")));
    value_set(a, &c, SV("status"), value_sv(SV("False")));
    value_set(a, &c, SV("lastProbeTime"), value_null());
    value_set(a, &c, SV("lastTransitionTime"), value_null());
    value_set(a, &c, SV("reason"), value_sv(SV("SchedulingGated")));
    value_set(a, &c, SV("message"),
              value_sv(SV("Scheduling is blocked due to non-empty scheduling gates")));
    value_push(a, &list, c);
    value_set(a, status, SV("conditions"), list);
}

static void create_pod(Arena *a, Value *obj)
{
    Value status = value_map();
    value_set(a, &status, SV("phase"), value_sv(SV("Pending")));
    say_gated(a, obj, &status);
    /* The class of service follows from requests and limits alone; the kubelet reports the rest. */
    bool any = false, guaranteed = true;
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers") };
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(value_get(obj, SV("spec")), lists[l])) {
            const Value *req = value_path(c, "resources.requests"),
                        *lim = value_path(c, "resources.limits");
            static const StrView counted[] = { SV_INIT("cpu"), SV_INIT("memory") };
            for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
                const Value *r = value_get(req, counted[i]), *m = value_get(lim, counted[i]);
                any |= r || m;
                guaranteed &= m && (!r || value_equal(r, m));
            }
        }
    }
    StrView qos = !any ? SV("BestEffort") : guaranteed ? SV("Guaranteed") : SV("Burstable");
    value_set(a, &status, SV("qosClass"), value_sv(qos));
    value_set(a, obj, SV("status"), status);
}

static void create_namespace(Arena *a, Value *obj)
{
    Value finalizers = value_list();
    value_push(a, &finalizers, value_sv(SV("kubernetes")));
    if (!value_len(value_path(obj, "spec.finalizers")))
        value_set_path(a, obj, "spec.finalizers", finalizers);
    value_set_path(a, obj, "status.phase", value_sv(SV("Active")));
    Value *meta = value_get(obj, SV("metadata"));
    if (!value_is(value_get(meta, SV("labels")), VALUE_MAP))
        value_set(a, meta, SV("labels"), value_map());
    value_set(a, value_get(meta, SV("labels")), SV("kubernetes.io/metadata.name"),
              *value_get(meta, SV("name")));
}

static void update_namespace(Arena *a, Value *obj, const Value *old)
{
    const Value *spec = value_get(old, SV("spec"));
    if (spec)
        value_set(a, obj, SV("spec"), *spec); /* finalizers change through /finalize only */
    Value *meta = value_get(obj, SV("metadata"));
    if (!value_is(value_get(meta, SV("labels")), VALUE_MAP))
        value_set(a, meta, SV("labels"), value_map());
    value_set(a, value_get(meta, SV("labels")), SV("kubernetes.io/metadata.name"),
              *value_get(meta, SV("name")));
}

static void create_service(Arena *a, Value *obj)
{
    value_set_path(a, obj, "status.loadBalancer", value_map());
}

static const KindStrategy kinds[] = {
    { SV_INIT("Pod"), create_pod, NULL },
    { SV_INIT("Namespace"), create_namespace, update_namespace },
    { SV_INIT("Service"), create_service, NULL },
};

static const KindStrategy *strategy_of(const ApiResource *res)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!res->group.len && sv_eq(kinds[i].kind, res->kind))
            return &kinds[i];
    return NULL;
}

static bool has_status(const ApiResource *res)
{
    return api_sub_find(res, SV("status")) != NULL;
}

/* Kinds whose generation Kubernetes counts. */
static bool counts_generation(const ApiResource *res)
{
    return has_status(res) && !sv_eq(res->kind, SV("Node")) && !sv_eq(res->kind, SV("Namespace")) &&
           !sv_eq(res->kind, SV("Service"));
}

void strategy_prepare_create(ApiCall *x, Value *obj)
{
    value_set(x->arena, obj, SV("kind"), value_sv(x->res->kind));
    value_set(x->arena, obj, SV("apiVersion"), value_sv(x->res->api_version));
    if (has_status(x->res) && !sv_eq(x->res->kind, SV("Node")))
        value_del(obj, SV("status"));
    Value *meta = value_get(obj, SV("metadata"));
    if (counts_generation(x->res))
        value_set(x->arena, meta, SV("generation"), value_int(1));
    else
        value_del(meta, SV("generation"));
    const KindStrategy *k = strategy_of(x->res);
    if (k && k->create)
        k->create(x->arena, obj);
}

static void keep_member(Arena *a, Value *obj, const Value *old, StrView key)
{
    const Value *v = value_get(old, key);
    if (v)
        value_set(a, obj, key, *v);
    else
        value_del(obj, key);
}

/* What of the metadata a write of the status cannot change, where that is more than for any write:
 * the status strategies of Kubernetes. */
static const struct {
    StrView group, kind, field;
} kept_by_status[] = {
    { SV_INIT("apps"), SV_INIT("Deployment"), SV_INIT("labels") },
    { SV_INIT(""), SV_INIT("Pod"), SV_INIT("ownerReferences") },
};

/* /status: everything but the status and the metadata is the old object's. */
static void keep_all_but_status(const ApiResource *res, Arena *a, Value *obj, const Value *old)
{
    Value status = value_null(), out;
    const Value *s = value_get(obj, SV("status"));
    if (s)
        status = *s;
    Value *meta = value_get(obj, SV("metadata"));
    for (size_t i = 0; i < ARRAY_SIZE(kept_by_status); i++)
        if (sv_eq(kept_by_status[i].kind, res->kind) && sv_eq(kept_by_status[i].group, res->group))
            keep_member(a, meta, value_get(old, SV("metadata")), kept_by_status[i].field);
    Value new_meta = *meta;
    if (!value_clone(a, old, &out))
        return;
    value_set(a, &out, SV("metadata"), new_meta);
    if (s)
        value_set(a, &out, SV("status"), status);
    else
        value_del(&out, SV("status"));
    *obj = out;
}

/* /ephemeralcontainers: nothing but that list is looked at. */
static void keep_all_but_ephemeral(Arena *a, Value *obj, const Value *old)
{
    StrView key = SV("ephemeralContainers");
    const Value *list = value_path(obj, "spec.ephemeralContainers");
    Value given = list ? *list : value_null(), out;
    if (!value_clone(a, old, &out)) /* the arena remembers */
        return;
    value_del(value_get(&out, SV("metadata")), SV("managedFields"));
    if (list)
        value_set(a, value_get(&out, SV("spec")), key, given);
    else
        value_del(value_get(&out, SV("spec")), key);
    *obj = out;
}

/* Did anything but metadata and status change? */
static bool spec_changed(const Value *obj, const Value *old)
{
    value_map_foreach (m, obj) {
        if (sv_eq(m->key, SV("metadata")) || sv_eq(m->key, SV("status")))
            continue;
        const Value *before = value_get(old, m->key);
        if (!before || !value_equal(before, &m->val))
            return true;
    }
    return false;
}

void strategy_prepare_update(ApiCall *x, Value *obj, const Value *old)
{
    if (sv_eq(x->sub, SV("ephemeralcontainers"))) {
        keep_all_but_ephemeral(x->arena, obj, old);
        return;
    }
    if (sv_eq(x->sub, SV("status"))) {
        keep_all_but_status(x->res, x->arena, obj, old);
        return;
    }
    if (has_status(x->res))
        keep_member(x->arena, obj, old, SV("status"));
    const KindStrategy *k = strategy_of(x->res);
    if (k && k->update && !x->sub.len)
        k->update(x->arena, obj, old);
    if (counts_generation(x->res) && spec_changed(obj, old)) {
        int64_t n = value_int_or(value_path(old, "metadata.generation"), 0);
        value_set_path(x->arena, obj, "metadata.generation", value_int(n + 1));
    }
}

/* ---- kinds that nothing acts on ---- */

/* Whoever writes one is told at once, and not by what does not happen. A row goes when its
 * controller comes. */
static const struct {
    StrView group, kind, why;
} idle[] = {
    { SV_INIT("networking.k8s.io"), SV_INIT("NetworkPolicy"), SV_INIT("is not enforced") },
    { SV_INIT("networking.k8s.io"), SV_INIT("Ingress"), SV_INIT("is not routed") },
    { SV_INIT(""), SV_INIT("ResourceQuota"), SV_INIT("is not enforced") },
    { SV_INIT(""), SV_INIT("LimitRange"), SV_INIT("is not enforced") },
    { SV_INIT(""), SV_INIT("PersistentVolumeClaim"), SV_INIT("is not bound") },
    { SV_INIT("policy"), SV_INIT("PodDisruptionBudget"), SV_INIT("is not enforced") },
    { SV_INIT("apps"), SV_INIT("StatefulSet"), SV_INIT("gets no pods") },
    { SV_INIT("apps"), SV_INIT("DaemonSet"), SV_INIT("gets no pods") },
    { SV_INIT("batch"), SV_INIT("Job"), SV_INIT("gets no pods") },
    { SV_INIT("batch"), SV_INIT("CronJob"), SV_INIT("gets no jobs") },
    { SV_INIT("autoscaling"), SV_INIT("HorizontalPodAutoscaler"), SV_INIT("scales nothing") },
};

void strategy_warn_if_idle(ApiCall *x)
{
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
        if (!sv_eq(idle[i].group, x->res->group) || !sv_eq(idle[i].kind, x->res->kind))
            continue;
        respond_warning(x, arena_printf(x->arena, "this %.*s is stored, but %.*s by this version",
                                        SV_FMT(idle[i].kind), SV_FMT(idle[i].why)));
    }
}
