/* authz.c - may they: the Node authoriser for kubelets, RBAC for everybody.
 *
 * A kubelet (user system:node:NAME in group system:nodes) may read a Secret, ConfigMap or service
 * account only when a pod that is bound to its node names it, and may write only its own Node,
 * Lease and its pods' status. What it does not decide goes on to RBAC. */
#include "apiserver/authz.h"

#include "apiserver/object.h"
#include "codec/json.h"

static StrView node_of(const User *u)
{
    StrView prefix = SV("system:node:");
    if (!user_in_group(u, SV("system:nodes")) || !sv_starts(u->name, prefix))
        return SV_NULL;
    return sv_skip(u->name, prefix.len);
}

typedef struct PodSearch {
    const Access *access;
    StrView node;
    Arena *arena;
} PodSearch;

static bool names_in_sources(const Value *volume, StrView kind, StrView name)
{
    bool secret = sv_eq(kind, SV("secrets"));
    StrView direct = secret ? value_path_str(volume, "secret.secretName")
                            : value_path_str(volume, "configMap.name");
    if (sv_eq(direct, name))
        return true;
    value_list_foreach (src, value_path(volume, "projected.sources")) {
        if (sv_eq(value_path_str(src, secret ? "secret.name" : "configMap.name"), name))
            return true;
    }
    return false;
}

static bool names_in_env(const Value *container, StrView kind, StrView name)
{
    bool secret = sv_eq(kind, SV("secrets"));
    value_list_foreach (from, value_get(container, SV("envFrom"))) {
        if (sv_eq(value_path_str(from, secret ? "secretRef.name" : "configMapRef.name"), name))
            return true;
    }
    value_list_foreach (env, value_get(container, SV("env"))) {
        if (sv_eq(value_path_str(env, secret ? "valueFrom.secretKeyRef.name"
                                             : "valueFrom.configMapKeyRef.name"),
                  name))
            return true;
    }
    return false;
}

/* Does this pod name the object that is asked for? */
static bool pod_names(const Value *pod, StrView kind, StrView name)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers"),
                                     SV_INIT("ephemeralContainers") };
    const Value *spec = value_get(pod, SV("spec"));
    if (sv_eq(kind, SV("serviceaccounts")))
        return sv_eq(value_str(value_get(spec, SV("serviceAccountName"))), name);
    value_list_foreach (volume, value_get(spec, SV("volumes"))) {
        if (names_in_sources(volume, kind, name))
            return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        value_list_foreach (c, value_get(spec, lists[i])) {
            if (names_in_env(c, kind, name))
                return true;
        }
    }
    if (sv_eq(kind, SV("secrets"))) {
        value_list_foreach (ref, value_get(spec, SV("imagePullSecrets"))) {
            if (sv_eq(value_str(value_get(ref, SV("name"))), name))
                return true;
        }
    }
    return false;
}

/* Is there a pod of this node, in the namespace, that names the object? */
static bool node_needs(ApiServer *srv, StrView node, const Access *a)
{
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    char prefix[STORE_KEY_MAX];
    if (!a->ns.len || !a->name.len || !registry_key(pods, a->ns, SV_NULL, prefix))
        return false;
    Snapshot *sn = store_snapshot(srv->store);
    SnapshotIter it;
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    bool found = false;
    for (ObjectRev *o; !found && (o = snapshot_next(&it));) {
        if (!sv_eq(attrs_field(pods, o, SV("spec.nodeName")), node))
            continue;
        _cleanup_arena_ Arena arena;
        arena_init(&arena, 0);
        Value pod;
        found = json_decode(o->val, &arena, NULL, &pod, NULL) == 0 &&
                pod_names(&pod, a->resource, a->name);
    }
    snapshot_unref(sn);
    return found;
}

/* What every kubelet may do besides; Kubernetes' NodeRules(). */
static bool node_rules_allow(const Access *a)
{
    static const struct {
        StrView group, resource, verbs;
    } rules[] = {
        { SV_INIT(""), SV_INIT("nodes"), SV_INIT("create,get,list,watch,update,patch") },
        { SV_INIT(""), SV_INIT("nodes/status"), SV_INIT("update,patch") },
        { SV_INIT(""), SV_INIT("pods"), SV_INIT("get,list,watch,create,delete") },
        { SV_INIT(""), SV_INIT("pods/status"), SV_INIT("update,patch") },
        { SV_INIT(""), SV_INIT("pods/eviction"), SV_INIT("create") },
        { SV_INIT(""), SV_INIT("services"), SV_INIT("get,list,watch") },
        { SV_INIT(""), SV_INIT("events"), SV_INIT("create,update,patch") },
        { SV_INIT("authentication.k8s.io"), SV_INIT("tokenreviews"), SV_INIT("create") },
        { SV_INIT("authorization.k8s.io"), SV_INIT("subjectaccessreviews"), SV_INIT("create") },
        { SV_INIT("authorization.k8s.io"), SV_INIT("localsubjectaccessreviews"),
          SV_INIT("create") },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        StrView res, sub, verbs = rules[i].verbs, verb;
        sv_cut(rules[i].resource, '/', &res, &sub);
        if (!sv_eq(rules[i].group, a->group) || !sv_eq(res, a->resource) || !sv_eq(sub, a->sub))
            continue;
        while (sv_next(&verbs, ',', &verb))
            if (sv_eq(verb, a->verb))
                return true;
    }
    return false;
}

static bool node_authorize(ApiServer *srv, const Access *a, bool *ret_decided)
{
    StrView node = node_of(a->user);
    *ret_decided = false;
    if (!node.len || !a->is_resource)
        return false;
    bool read =
        sv_eq(a->verb, SV("get")) || sv_eq(a->verb, SV("list")) || sv_eq(a->verb, SV("watch"));
    if (!a->group.len &&
        (sv_eq(a->resource, SV("secrets")) || sv_eq(a->resource, SV("configmaps")))) {
        *ret_decided = true;
        return read && node_needs(srv, node, a);
    }
    if (!a->group.len && sv_eq(a->resource, SV("serviceaccounts")) && sv_eq(a->sub, SV("token"))) {
        *ret_decided = true;
        return sv_eq(a->verb, SV("create")) && node_needs(srv, node, a);
    }
    if (sv_eq(a->resource, SV("leases"))) {
        *ret_decided = true;
        return sv_eq(a->group, SV("coordination.k8s.io")) && sv_eq(a->ns, SV("kube-node-lease")) &&
               (sv_eq(a->name, node) || (sv_eq(a->verb, SV("create")) && !a->name.len));
    }
    *ret_decided =
        true; /* the rest needs no look at pods; NodeRestriction checks the content of writes */
    return node_rules_allow(a);
}

bool authorize(ApiServer *srv, const Access *a)
{
    bool decided;
    bool ok = node_authorize(srv, a, &decided);
    return decided ? ok : rbac_allows(srv->rbac, a);
}

bool authorize_call(ApiCall *x, StrView verb)
{
    Access a = { .user = &x->user,
                 .verb = verb,
                 .is_resource = x->is_resource,
                 .group = x->group,
                 .version = x->version,
                 .resource = x->resource,
                 .sub = x->sub,
                 .ns = x->ns,
                 .name = x->name,
                 .path = x->req->path };
    return authorize(x->srv, &a);
}
