/* node_rights.c - what the credential of a node may do.
 *
 * rights[] says who may ask for what and how far that reaches; the functions behind it
 * (node_restriction) look into what is written. A node whose machine has been taken over can so do
 * to the cluster what it can do to its own pods, and no more: it reads what its pods name, reports
 * on them and on itself, and cannot draw others' pods or secrets to itself.
 *
 * Pods are not created by nodes at all: Kubernetes lets them make mirror pods of static pods, and
 * no node here has static pods.
 * Source: Kubernetes 1.35, node authorisation and the admission plugin NodeRestriction. */
#include "apiserver/node_rights.h"

#include "api/selector.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "codec/json.h"

/* How far a right reaches. */
typedef enum Reach {
    REACH_ALL,
    REACH_OWN,      /* the object that has the node's name; of a create, admission knows the name */
    REACH_LEASE,    /* the same, in the namespace of nodes' leases */
    REACH_OWN_PODS, /* one pod of the node; or a list or watch of exactly those */
    REACH_ADMITTED, /* admission tells whose it is */
    REACH_NAMED,    /* what a pod of the node names */
} Reach;

static const struct {
    StrView group, resource, verbs;
    Reach reach;
} rights[] = {
    { SV_INIT(""), SV_INIT("nodes"), SV_INIT("get,list,watch"), REACH_OWN },
    { SV_INIT(""), SV_INIT("nodes"), SV_INIT("create,update,patch"), REACH_ADMITTED },
    { SV_INIT(""), SV_INIT("nodes/status"), SV_INIT("update,patch"), REACH_ADMITTED },
    { SV_INIT(""), SV_INIT("pods"), SV_INIT("get,list,watch"), REACH_OWN_PODS },
    { SV_INIT(""), SV_INIT("pods"), SV_INIT("delete"), REACH_ADMITTED },
    { SV_INIT(""), SV_INIT("pods/status"), SV_INIT("update,patch"), REACH_ADMITTED },
    { SV_INIT(""), SV_INIT("pods/eviction"), SV_INIT("create"), REACH_ADMITTED },
    { SV_INIT(""), SV_INIT("secrets"), SV_INIT("get,list,watch"), REACH_NAMED },
    { SV_INIT(""), SV_INIT("configmaps"), SV_INIT("get,list,watch"), REACH_NAMED },
    { SV_INIT(""), SV_INIT("persistentvolumeclaims"), SV_INIT("get"), REACH_NAMED },
    { SV_INIT(""), SV_INIT("serviceaccounts/token"), SV_INIT("create"), REACH_NAMED },
    { SV_INIT(""), SV_INIT("services"), SV_INIT("get,list,watch"), REACH_ALL },
    { SV_INIT(""), SV_INIT("endpoints"), SV_INIT("get"), REACH_ALL },
    { SV_INIT(""), SV_INIT("events"), SV_INIT("create,update,patch"), REACH_ALL },
    { SV_INIT("coordination.k8s.io"), SV_INIT("leases"), SV_INIT("get,create,update,patch,delete"),
      REACH_LEASE },
    { SV_INIT("storage.k8s.io"), SV_INIT("csinodes"), SV_INIT("get,create,update,patch,delete"),
      REACH_OWN },
    { SV_INIT("storage.k8s.io"), SV_INIT("csidrivers"), SV_INIT("get,list,watch"), REACH_ALL },
    { SV_INIT("node.k8s.io"), SV_INIT("runtimeclasses"), SV_INIT("get,list,watch"), REACH_ALL },
    { SV_INIT("certificates.k8s.io"), SV_INIT("certificatesigningrequests"),
      SV_INIT("create,get,list,watch"), REACH_ALL },
    { SV_INIT("authentication.k8s.io"), SV_INIT("tokenreviews"), SV_INIT("create"), REACH_ALL },
    { SV_INIT("authorization.k8s.io"), SV_INIT("subjectaccessreviews"), SV_INIT("create"),
      REACH_ALL },
    { SV_INIT("authorization.k8s.io"), SV_INIT("localsubjectaccessreviews"), SV_INIT("create"),
      REACH_ALL },
};

/* The name of the node that a user is; empty: it is none. */
static StrView node_of(const User *u)
{
    StrView prefix = SV("system:node:");
    if (!user_in_group(u, SV("system:nodes")) || !sv_starts(u->name, prefix))
        return SV_NULL;
    return sv_skip(u->name, prefix.len);
}

/* ---- what pods name ---- */

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

static bool names_in_containers(const Value *spec, StrView kind, StrView name)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers"),
                                     SV_INIT("ephemeralContainers") };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        value_list_foreach (c, value_get(spec, lists[i])) {
            if (names_in_env(c, kind, name))
                return true;
        }
    }
    return false;
}

/* Does this pod name the object that is asked for? */
static bool pod_names(const Value *pod, StrView kind, StrView name)
{
    const Value *spec = value_get(pod, SV("spec"));
    if (sv_eq(kind, SV("serviceaccounts")))
        return sv_eq(value_str(value_get(spec, SV("serviceAccountName"))), name);
    bool claim = sv_eq(kind, SV("persistentvolumeclaims"));
    value_list_foreach (volume, value_get(spec, SV("volumes"))) {
        if (claim ? sv_eq(value_path_str(volume, "persistentVolumeClaim.claimName"), name)
                  : names_in_sources(volume, kind, name))
            return true;
    }
    if (claim)
        return false;
    if (sv_eq(kind, SV("secrets"))) {
        value_list_foreach (ref, value_get(spec, SV("imagePullSecrets"))) {
            if (sv_eq(value_str(value_get(ref, SV("name"))), name))
                return true;
        }
    }
    return names_in_containers(spec, kind, name);
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

/* ---- authorisation ---- */

static bool pod_is_on(ApiServer *srv, StrView node, const Access *a)
{
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    char key[STORE_KEY_MAX];
    if (!a->ns.len || !a->name.len || !registry_key(pods, a->ns, a->name, key))
        return false;
    Snapshot *sn = store_snapshot(srv->store);
    ObjectRev *o = snapshot_get(sn, sv_cstr(key));
    bool on = o && sv_eq(attrs_field(pods, o, SV("spec.nodeName")), node);
    snapshot_unref(sn);
    return on;
}

static bool reaches(ApiServer *srv, Reach reach, StrView node, const Access *a)
{
    bool creates = sv_eq(a->verb, SV("create"));
    switch (reach) {
    case REACH_ALL:
    case REACH_ADMITTED:
        return true;
    case REACH_LEASE:
        return sv_eq(a->ns, SV("kube-node-lease")) && (creates || sv_eq(a->name, node));
    case REACH_OWN:
        return creates || sv_eq(a->name, node);
    case REACH_OWN_PODS:
        return pod_is_on(srv, node, a) || (!sv_eq(a->verb, SV("get")) && sv_eq(a->on_node, node));
    case REACH_NAMED:
        return node_needs(srv, node, a);
    }
    return false;
}

static bool has_verb(StrView verbs, StrView verb)
{
    StrView v;
    while (sv_next(&verbs, ',', &v))
        if (sv_eq(v, verb))
            return true;
    return false;
}

bool node_may(ApiServer *srv, const Access *a)
{
    StrView node = node_of(a->user);
    if (!node.len || !a->is_resource)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
        StrView resource, sub;
        sv_cut(rights[i].resource, '/', &resource, &sub);
        if (sv_eq(rights[i].group, a->group) && sv_eq(resource, a->resource) &&
            sv_eq(sub, a->sub) && has_verb(rights[i].verbs, a->verb))
            return reaches(srv, rights[i].reach, node, a);
    }
    return false;
}

/* ---- admission: nodes ---- */

/* Labels of Kubernetes' own domains that a node may give itself. */
static bool is_node_label(StrView key, StrView domain)
{
    static const StrView keys[] = {
        SV_INIT("kubernetes.io/hostname"),
        SV_INIT("kubernetes.io/os"),
        SV_INIT("kubernetes.io/arch"),
        SV_INIT("beta.kubernetes.io/os"),
        SV_INIT("beta.kubernetes.io/arch"),
        SV_INIT("beta.kubernetes.io/instance-type"),
        SV_INIT("node.kubernetes.io/instance-type"),
        SV_INIT("topology.kubernetes.io/zone"),
        SV_INIT("topology.kubernetes.io/region"),
        SV_INIT("failure-domain.beta.kubernetes.io/zone"),
        SV_INIT("failure-domain.beta.kubernetes.io/region"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (sv_eq(keys[i], key))
            return true;
    return sv_eq(domain, SV("kubelet.kubernetes.io")) ||
           sv_ends(domain, SV(".kubelet.kubernetes.io")) ||
           sv_eq(domain, SV("node.kubernetes.io")) || sv_ends(domain, SV(".node.kubernetes.io"));
}

static bool label_is_forbidden(StrView key)
{
    StrView domain, name;
    if (!sv_cut(key, '/', &domain, &name))
        return false;
    if (sv_eq(domain, SV("node-restriction.kubernetes.io")) ||
        sv_ends(domain, SV(".node-restriction.kubernetes.io")))
        return true;
    bool reserved = sv_eq(domain, SV("kubernetes.io")) || sv_ends(domain, SV(".kubernetes.io")) ||
                    sv_eq(domain, SV("k8s.io")) || sv_ends(domain, SV(".k8s.io"));
    return reserved && !is_node_label(key, domain);
}

/* Appends the forbidden labels of `a` that `b` has not, or has otherwise (`lost`: has not at all).
 */
static void forbidden_labels(const Value *a, const Value *b, bool lost, Buf *out)
{
    value_map_foreach (m, a) {
        if (!label_is_forbidden(m->key)) /* first: the look-up is linear, and these are few */
            continue;
        const Value *other = value_get(b, m->key);
        if (!other || (!lost && !value_equal(other, &m->val)))
            buf_printf(out, "%s%.*s", out->len ? ", " : "", SV_FMT(m->key));
    }
}

static bool same(const Value *a, const Value *b)
{
    if (!value_len(a) || !value_len(b))
        return value_len(a) == value_len(b);
    return value_equal(a, b);
}

static bool node_labels_allowed(AdmitChain *c, StrView node)
{
    enum { LISTED_MAX = 4096 };
    _cleanup_buf_ Buf list = BUF_INIT;
    const Value *now = value_path(c->obj, "metadata.labels"),
                *before = value_path(c->old, "metadata.labels");
    forbidden_labels(now, before, false, &list);
    forbidden_labels(before, now, true, &list);
    if (!list.len && !list.failed)
        return true;
    int len = (int)MIN(list.len, (size_t)LISTED_MAX);
    if (c->old)
        respond_forbidden(c->x, "is not allowed to modify labels: %.*s", len, list.ptr);
    else
        respond_forbidden(c->x, "node \"%.*s\" is not allowed to set the following labels: %.*s",
                          SV_FMT(node), len, list.ptr);
    return false;
}

static bool admit_node(AdmitChain *c, StrView node)
{
    ApiCall *x = c->x;
    const Value *source = value_path(c->obj, "spec.configSource");
    const char *what = NULL;
    if (!sv_eq(x->name, node)) {
        respond_forbidden(x, "node \"%.*s\" is not allowed to modify node \"%.*s\"", SV_FMT(node),
                          SV_FMT(x->name));
        return false;
    }
    if (c->phase == ADMIT_DELETING)
        what = "delete nodes";
    else if (value_is(source, VALUE_MAP) && !same(source, value_path(c->old, "spec.configSource")))
        what = c->old ? "update configSource to a new non-nil configSource"
                      : "create pods with a non-nil configSource";
    else if (c->old && !same(value_path(c->obj, "spec.taints"), value_path(c->old, "spec.taints")))
        what = "modify taints";
    else if (!same(value_path(c->obj, "metadata.ownerReferences"),
                   value_path(c->old, "metadata.ownerReferences")))
        what = "modify ownerReferences"; /* its deletion, and a new one without taints */
    if (!what)
        return node_labels_allowed(c, node);
    respond_forbidden(x, "node \"%.*s\" is not allowed to %s", SV_FMT(node), what);
    return false;
}

/* ---- admission: everything else ---- */

static bool admit_pod(AdmitChain *c, StrView node)
{
    ApiCall *x = c->x;
    bool own = sv_eq(value_path_str(c->old, "spec.nodeName"), node);
    bool status = sv_eq(x->sub, SV("status"));
    if (c->phase == ADMIT_DELETING) { /* an eviction is a create that leads to one */
        bool evicts = sv_eq(x->verb, SV("create"));
        if (!own)
            respond_forbidden(x, "node \"%.*s\" can only %s pods with spec.nodeName set to itself",
                              SV_FMT(node), evicts ? "evict" : "delete");
        return own;
    }
    if (!c->old)
        respond_forbidden(
            x, "node \"%.*s\" can only create mirror pods, and no node here has static pods",
            SV_FMT(node));
    else if (!status && x->sub.len)
        respond_forbidden(
            x, "unexpected pod subresource \"%.*s\", only 'status' and 'eviction' are allowed",
            SV_FMT(x->sub));
    else if (!status)
        respond_forbidden(
            x,
            "unexpected operation \"UPDATE\", node \"%.*s\" can only create and delete mirror pods",
            SV_FMT(node));
    else if (!own)
        respond_forbidden(
            x, "node \"%.*s\" can only update pod status for pods with spec.nodeName set to itself",
            SV_FMT(node));
    else if (!same(value_path(c->obj, "metadata.labels"), value_path(c->old, "metadata.labels")))
        respond_forbidden(x, "node \"%.*s\" cannot update labels through pod status", SV_FMT(node));
    else if (!same(value_path(c->obj, "status.resourceClaimStatuses"),
                   value_path(c->old, "status.resourceClaimStatuses")))
        respond_forbidden(x, "node \"%.*s\" cannot update resource claim statues", SV_FMT(node));
    else
        return true;
    return false;
}

static bool admit_lease(AdmitChain *c, StrView node)
{
    if (!sv_eq(c->x->ns, SV("kube-node-lease")))
        respond_forbidden(c->x,
                          "can only access leases in the \"kube-node-lease\" system namespace");
    else if (!sv_eq(c->x->name, node))
        respond_forbidden(c->x,
                          "can only access node lease with the same name as the requesting node");
    else
        return true;
    return false;
}

static bool admit_csi_node(AdmitChain *c, StrView node)
{
    if (sv_eq(c->x->name, node))
        return true;
    respond_forbidden(c->x, "can only access CSINode with the same name as the requesting node");
    return false;
}

static bool admit_claim(AdmitChain *c, StrView node)
{
    (void)node; /* no volume of a claim is grown by a node */
    respond_forbidden(c->x, "may only update PVC status");
    return false;
}

AdmitResult node_restriction(AdmitChain *c)
{
    static const struct {
        StrView group, kind;
        bool (*fn)(AdmitChain *c, StrView node);
    } rows[] = {
        { SV_INIT(""), SV_INIT("Node"), admit_node },
        { SV_INIT(""), SV_INIT("Pod"), admit_pod },
        { SV_INIT(""), SV_INIT("PersistentVolumeClaim"), admit_claim },
        { SV_INIT("coordination.k8s.io"), SV_INIT("Lease"), admit_lease },
        { SV_INIT("storage.k8s.io"), SV_INIT("CSINode"), admit_csi_node },
    };
    StrView node = node_of(&c->x->user);
    for (size_t i = 0; node.len && i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].kind, c->x->res->kind) && sv_eq(rows[i].group, c->x->res->group))
            return rows[i].fn(c, node) ? ADMIT_OK : ADMIT_REFUSED;
    return ADMIT_OK;
}

bool node_token_allowed(ApiCall *x, const Value *ref, StrView pod_node)
{
    StrView node = node_of(&x->user);
    if (!node.len)
        return true;
    if (!sv_eq(value_str(value_get(ref, SV("apiVersion"))), SV("v1")) ||
        !sv_eq(value_str(value_get(ref, SV("kind"))), SV("Pod")) ||
        !value_str(value_get(ref, SV("name"))).len)
        respond_forbidden(x, "node requested token not bound to a pod");
    else if (!value_str(value_get(ref, SV("uid"))).len)
        respond_forbidden(x, "node requested token with a pod binding without a uid");
    else if (!sv_eq(pod_node, node))
        respond_forbidden(x, "node requested token bound to a pod scheduled on a different node");
    else
        return true;
    return false;
}
