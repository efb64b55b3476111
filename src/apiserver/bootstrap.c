/* bootstrap.c - what every cluster has: namespaces, Kubernetes' default roles and bindings, the
 * system's priority classes and the `kubernetes` Service. Created where missing; an operator's
 * changes are left alone, except that the cluster roles named here get their rules back at each
 * start, as in Kubernetes. */
#include "apiserver/handlers.h"
#include "apiserver/node_rights.h"
#include "apiserver/object.h"
#include "apiserver/services.h"
#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"

/* One rule of a cluster role, lists separated by commas. `names` holds paths when there are no
 * groups. */
typedef struct RuleRow {
    const char *role, *verbs, *groups, *resources, *paths;
} RuleRow;

#define READ      "get,list,watch"
#define WRITE     "create,delete,deletecollection,patch,update"
#define READWRITE READ "," WRITE
#define CORE      "-" /* the empty group */

#define CORE_WORK                                                                                  \
    "configmaps,events,persistentvolumeclaims,pods,replicationcontrollers,"                        \
    "replicationcontrollers/scale,services"
#define CORE_VIEW                                                                                  \
    "configmaps,endpoints,events,persistentvolumeclaims,persistentvolumeclaims/status,pods,"       \
    "pods/status,pods/log,replicationcontrollers,replicationcontrollers/scale,"                    \
    "replicationcontrollers/status,serviceaccounts,services,services/status,limitranges,"          \
    "limitranges/status,namespaces,namespaces/status,resourcequotas,resourcequotas/status,bindings"
#define APPS_WORK                                                                                  \
    "daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale," \
    "statefulsets,statefulsets/scale"
#define APPS_VIEW                                                                                  \
    APPS_WORK                                                                                      \
    ",controllerrevisions,daemonsets/status,deployments/status,replicasets/status,statefulsets/status"

static const RuleRow rules[] = {
    { "cluster-admin", "*", "*", "*", NULL },
    { "cluster-admin", "*", NULL, NULL, "*" },

    { "admin", READ, CORE,
      CORE_VIEW ",secrets,pods/attach,pods/exec,pods/portforward,pods/proxy,services/proxy", NULL },
    { "admin", WRITE, CORE,
      CORE_WORK
      ",secrets,serviceaccounts,pods/attach,pods/exec,pods/portforward,pods/proxy,services/proxy",
      NULL },
    { "admin", "create", CORE, "pods/eviction,serviceaccounts/token", NULL },
    { "admin", "impersonate", CORE, "serviceaccounts", NULL },
    { "admin", READ, "apps", APPS_VIEW, NULL },
    { "admin", WRITE, "apps", APPS_WORK, NULL },
    { "admin", READ,
      "batch,autoscaling,policy,networking.k8s.io,discovery.k8s.io,coordination.k8s.io", "*",
      NULL },
    { "admin", WRITE, "batch", "cronjobs,jobs", NULL },
    { "admin", WRITE, "autoscaling", "horizontalpodautoscalers", NULL },
    { "admin", WRITE, "policy", "poddisruptionbudgets", NULL },
    { "admin", WRITE, "networking.k8s.io", "ingresses,networkpolicies", NULL },
    { "admin", "create", "authorization.k8s.io", "localsubjectaccessreviews", NULL },
    { "admin", READWRITE, "rbac.authorization.k8s.io", "rolebindings,roles", NULL },

    { "edit", READ, CORE,
      CORE_VIEW ",secrets,pods/attach,pods/exec,pods/portforward,pods/proxy,services/proxy", NULL },
    { "edit", WRITE, CORE,
      CORE_WORK
      ",secrets,serviceaccounts,pods/attach,pods/exec,pods/portforward,pods/proxy,services/proxy",
      NULL },
    { "edit", "create", CORE, "pods/eviction,serviceaccounts/token", NULL },
    { "edit", "impersonate", CORE, "serviceaccounts", NULL },
    { "edit", READ, "apps", APPS_VIEW, NULL },
    { "edit", WRITE, "apps", APPS_WORK, NULL },
    { "edit", READ,
      "batch,autoscaling,policy,networking.k8s.io,discovery.k8s.io,coordination.k8s.io", "*",
      NULL },
    { "edit", WRITE, "batch", "cronjobs,jobs", NULL },
    { "edit", WRITE, "autoscaling", "horizontalpodautoscalers", NULL },
    { "edit", WRITE, "policy", "poddisruptionbudgets", NULL },
    { "edit", WRITE, "networking.k8s.io", "ingresses,networkpolicies", NULL },

    { "view", READ, CORE, CORE_VIEW, NULL },
    { "view", READ, "apps", APPS_VIEW, NULL },
    { "view", READ, "batch,autoscaling,policy,networking.k8s.io,discovery.k8s.io", "*", NULL },

    { "system:basic-user", "create", "authorization.k8s.io",
      "selfsubjectaccessreviews,selfsubjectrulesreviews", NULL },
    { "system:basic-user", "create", "authentication.k8s.io", "selfsubjectreviews", NULL },
    { "system:discovery", "get", NULL, NULL,
      "/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/" },
    { "system:public-info-viewer", "get", NULL, NULL,
      "/healthz,/livez,/readyz,/version,/version/" },
    { "system:service-account-issuer-discovery", "get", NULL, NULL,
      "/.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/" },
    { "system:monitoring", "get", NULL, NULL,
      "/healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*" },
    { "system:auth-delegator", "create", "authentication.k8s.io", "tokenreviews", NULL },
    { "system:auth-delegator", "create", "authorization.k8s.io", "subjectaccessreviews", NULL },
    { "system:kubelet-api-admin", READ ",proxy", CORE, "nodes", NULL },
    { "system:kubelet-api-admin", "*", CORE, "nodes/log,nodes/metrics,nodes/proxy,nodes/stats",
      NULL },

    { "system:node-proxier", READ, CORE, "services,endpoints,nodes", NULL },
    { "system:node-proxier", READ, "discovery.k8s.io", "endpointslices", NULL },
    { "system:node-proxier", "create,patch,update", CORE ",events.k8s.io", "events", NULL },
    { "system:kube-dns", READ, CORE, "endpoints,services,namespaces,pods", NULL },
    { "system:kube-dns", READ, "discovery.k8s.io", "endpointslices", NULL },

    { "system:kube-scheduler", "create,patch,update", CORE ",events.k8s.io", "events", NULL },
    { "system:kube-scheduler", "create,get,update,list,watch", "coordination.k8s.io", "leases",
      NULL },
    { "system:kube-scheduler", READ, CORE,
      "nodes,pods,namespaces,persistentvolumeclaims,persistentvolumes,replicationcontrollers,services",
      NULL },
    { "system:kube-scheduler", "delete", CORE, "pods", NULL },
    { "system:kube-scheduler", "create", CORE, "bindings,pods/binding", NULL },
    { "system:kube-scheduler", "patch,update", CORE, "pods/status", NULL },
    { "system:kube-scheduler", READ, "apps", "replicasets,statefulsets", NULL },
    { "system:kube-scheduler", READ, "policy", "poddisruptionbudgets", NULL },
    { "system:kube-scheduler", READ, "scheduling.k8s.io", "priorityclasses", NULL },
    { "system:kube-scheduler", READ, "storage.k8s.io", "storageclasses", NULL },
    { "system:kube-scheduler", "create", "authentication.k8s.io", "tokenreviews", NULL },
    { "system:kube-scheduler", "create", "authorization.k8s.io", "subjectaccessreviews", NULL },

    { "system:kube-controller-manager", READ, "*", "*", NULL },
    { "system:kube-controller-manager", "create", "authentication.k8s.io", "tokenreviews", NULL },
    { "system:kube-controller-manager", "create", "authorization.k8s.io", "subjectaccessreviews",
      NULL },
    { "system:kube-controller-manager", "create,patch,update", CORE ",events.k8s.io", "events",
      NULL },
    { "system:kube-controller-manager", "create,get,update", "coordination.k8s.io", "leases",
      NULL },
    { "system:kube-controller-manager", "create,update,delete,patch", CORE,
      "pods,serviceaccounts,endpoints,configmaps", NULL },
    { "system:kube-controller-manager", "update,patch", CORE,
      "pods/status,nodes,nodes/status,namespaces,namespaces/status,namespaces/finalize,replicationcontrollers/status,pods/finalizers",
      NULL },
    { "system:kube-controller-manager", "create,update,delete,patch", "apps", "replicasets", NULL },
    { "system:kube-controller-manager", "update,patch", "apps",
      "deployments,deployments/status,replicasets/status,statefulsets/status,daemonsets/status,deployments/finalizers,replicasets/finalizers",
      NULL },
    { "system:kube-controller-manager", "create,update,delete,patch", "discovery.k8s.io",
      "endpointslices", NULL },
    /* The garbage collector and the namespace controller end whatever they find. */
    { "system:kube-controller-manager", "delete,deletecollection,patch,update", "*", "*", NULL },
};

static const struct {
    const char *name, *role, *kind, *subject;
} bindings[] = {
    { "cluster-admin", "cluster-admin", "Group", "system:masters" },
    { "system:basic-user", "system:basic-user", "Group", "system:authenticated" },
    { "system:discovery", "system:discovery", "Group", "system:authenticated" },
    { "system:public-info-viewer", "system:public-info-viewer", "Group", "system:unauthenticated" },
    { "system:public-info-viewer:authenticated", "system:public-info-viewer", "Group",
      "system:authenticated" },
    { "system:service-account-issuer-discovery", "system:service-account-issuer-discovery", "Group",
      "system:serviceaccounts" },
    { "system:monitoring", "system:monitoring", "Group", "system:monitoring" },
    { "system:node-proxier", "system:node-proxier", "User", "system:kube-proxy" },
    { "system:kube-dns", "system:kube-dns", "User", "system:kube-dns" },
    { "system:kubelet-api-admin", "system:kubelet-api-admin", "User",
      "kube-apiserver-kubelet-client" },
    { "system:kube-scheduler", "system:kube-scheduler", "User", "system:kube-scheduler" },
    { "system:kube-controller-manager", "system:kube-controller-manager", "User",
      "system:kube-controller-manager" },
};

static const char *const namespaces[] = { "default", "kube-node-lease", "kube-public",
                                          "kube-system" };

typedef struct Boot {
    ApiServer *srv;
    Snapshot *sn;
    Arena *a;
} Boot;

static Value list_of(Arena *a, const char *commas)
{
    Value v = value_list();
    StrView rest = sv_cstr(commas), piece;
    while (sv_next(&rest, ',', &piece))
        value_push(a, &v, value_sv(sv_eq(piece, SV("-")) ? SV("") : piece));
    return v;
}

static Value metadata(Arena *a, const char *name, const char *ns)
{
    char uid[UUID_SIZE] = "", now[RFC3339_SIZE];
    uuid4(uid);
    Value m = value_map();
    value_set(a, &m, SV("name"), value_sv(sv_cstr(name)));
    if (ns)
        value_set(a, &m, SV("namespace"), value_sv(sv_cstr(ns)));
    value_set(a, &m, SV("uid"), value_sv(arena_sv(a, sv_cstr(uid))));
    value_set(a, &m, SV("creationTimestamp"),
              value_sv(arena_sv(a, sv_cstr(rfc3339_format(clock_real_ns(), 0, now)))));
    return m;
}

/* Writes the object unless it is there; with `replace` also when its `rules` are different. */
static int ensure(Boot *b, StrView group, StrView plural, const char *ns, const char *name,
                  const Value *obj, bool replace, Err *err)
{
    const ApiResource *res = api_resource_find(group, SV("v1"), plural);
    char key[STORE_KEY_MAX];
    if (!res || !registry_key(res, sv_cstr(ns), sv_cstr(name), key))
        return err_set(err, ERR_INVALID, 0, "bootstrap: no resource %.*s", SV_FMT(plural));
    ObjectRev *have = snapshot_get(b->sn, sv_cstr(key));
    if (have && !replace)
        return 0;
    Value whole = *obj, old;
    if (have) {
        if (json_decode(arena_sv(b->a, have->val), b->a, NULL, &old, err) < 0)
            return -ERR_CORRUPT;
        if (value_equal(value_get(&old, SV("rules")), value_get(obj, SV("rules"))))
            return 0;
        value_set(b->a, &whole, SV("metadata"), *value_get(&old, SV("metadata")));
    }
    _cleanup_buf_ Buf val = BUF_INIT, attrs = BUF_INIT;
    object_store_form(res, &whole, &val);
    attrs_build(res, &whole, &attrs);
    StoreOp op = { STORE_PUT,      sv_cstr(key),     have ? have->mod_rev : 0,
                   buf_view(&val), buf_view(&attrs), 0 };
    return val.failed || attrs.failed ? err_nomem(err)
                                      : store_commit_sync(b->srv->store, &op, 1, NULL, err);
}

static int ensure_namespaces(Boot *b, Err *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(namespaces) && r == 0; i++) {
        Value obj = value_map(), meta = metadata(b->a, namespaces[i], NULL), labels = value_map();
        value_set(b->a, &labels, SV("kubernetes.io/metadata.name"),
                  value_sv(sv_cstr(namespaces[i])));
        value_set(b->a, &meta, SV("labels"), labels);
        value_set(b->a, &obj, SV("metadata"), meta);
        Value finalizers = list_of(b->a, "kubernetes");
        value_set_path(b->a, &obj, "spec.finalizers", finalizers);
        value_set_path(b->a, &obj, "status.phase", value_sv(SV("Active")));
        r = ensure(b, SV(""), SV("namespaces"), NULL, namespaces[i], &obj, false, err);
    }
    return r;
}

static void mark_bootstrapped(Boot *b, Value *obj)
{
    Value labels = value_map(), notes = value_map();
    value_set(b->a, &labels, SV("kubernetes.io/bootstrapping"), value_sv(SV("rbac-defaults")));
    value_set(b->a, &notes, SV("rbac.authorization.kubernetes.io/autoupdate"),
              value_sv(SV("true")));
    Value *meta = value_get(obj, SV("metadata"));
    value_set(b->a, meta, SV("labels"), labels);
    value_set(b->a, meta, SV("annotations"), notes);
}

static Value rule_value(Arena *a, const RuleRow *row)
{
    Value v = value_map();
    if (row->groups) {
        value_set(a, &v, SV("apiGroups"), list_of(a, row->groups));
        value_set(a, &v, SV("resources"), list_of(a, row->resources));
    } else
        value_set(a, &v, SV("nonResourceURLs"), list_of(a, row->paths));
    value_set(a, &v, SV("verbs"), list_of(a, row->verbs));
    return v;
}

static int ensure_roles(Boot *b, Err *err)
{
    int r = 0;
    for (size_t i = 0, n; i < ARRAY_SIZE(rules) && r == 0; i += n) {
        Value obj = value_map(), list = value_list();
        for (n = 0; i + n < ARRAY_SIZE(rules) && strcmp(rules[i + n].role, rules[i].role) == 0; n++)
            value_push(b->a, &list, rule_value(b->a, &rules[i + n]));
        value_set(b->a, &obj, SV("metadata"), metadata(b->a, rules[i].role, NULL));
        value_set(b->a, &obj, SV("rules"), list);
        mark_bootstrapped(b, &obj);
        r = ensure(b, SV("rbac.authorization.k8s.io"), SV("clusterroles"), NULL, rules[i].role,
                   &obj, true, err);
    }
    return r;
}

static int ensure_bindings(Boot *b, Err *err)
{
    int r = 0;
    StrView rbac = SV("rbac.authorization.k8s.io");
    for (size_t i = 0; i < ARRAY_SIZE(bindings) && r == 0; i++) {
        Value obj = value_map(), ref = value_map(), subject = value_map(), subjects = value_list();
        value_set(b->a, &ref, SV("apiGroup"), value_sv(rbac));
        value_set(b->a, &ref, SV("kind"), value_sv(SV("ClusterRole")));
        value_set(b->a, &ref, SV("name"), value_sv(sv_cstr(bindings[i].role)));
        value_set(b->a, &subject, SV("apiGroup"), value_sv(rbac));
        value_set(b->a, &subject, SV("kind"), value_sv(sv_cstr(bindings[i].kind)));
        value_set(b->a, &subject, SV("name"), value_sv(sv_cstr(bindings[i].subject)));
        value_push(b->a, &subjects, subject);
        value_set(b->a, &obj, SV("metadata"), metadata(b->a, bindings[i].name, NULL));
        value_set(b->a, &obj, SV("roleRef"), ref);
        value_set(b->a, &obj, SV("subjects"), subjects);
        mark_bootstrapped(b, &obj);
        r = ensure(b, rbac, SV("clusterrolebindings"), NULL, bindings[i].name, &obj, false, err);
    }
    return r;
}

/* The classes that admission knows by name, as objects that users can see. */
static int ensure_priority_classes(Boot *b, Err *err)
{
    static const struct {
        const char *name, *description;
        int64_t value;
    } classes[] = {
        { "system-cluster-critical",
          "For pods that the cluster needs, and that may move to another node if they must.",
          2000000000 },
        { "system-node-critical", "For pods that their node needs, and that no other node can run.",
          2000001000 },
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(classes) && r == 0; i++) {
        Value obj = value_map();
        value_set(b->a, &obj, SV("metadata"), metadata(b->a, classes[i].name, NULL));
        value_set(b->a, &obj, SV("value"), value_int(classes[i].value));
        value_set(b->a, &obj, SV("description"), value_sv(sv_cstr(classes[i].description)));
        value_set(b->a, &obj, SV("preemptionPolicy"), value_sv(SV("PreemptLowerPriority")));
        r = ensure(b, SV("scheduling.k8s.io"), SV("priorityclasses"), NULL, classes[i].name, &obj,
                   false, err);
    }
    return r;
}

static StrView address_text(Boot *b, unsigned nth)
{
    char ip[16];
    services_first_address(b->srv->services, nth, ip);
    return arena_sv(b->a, sv_cstr(ip));
}

/* kube-system/kube-dns on the tenth address of the range, and the slice that leads to the DNS role.
 */
static int ensure_dns_service(Boot *b, StrView endpoint, Err *err)
{
    StrView addr, port, ip = address_text(b, 10);
    if (!endpoint.len)
        return 0;
    if (!sv_cut(endpoint, ':', &addr, &port))
        return err_set(err, ERR_INVALID, 0, "cluster DNS endpoint '%.*s': expected ADDRESS:PORT",
                       SV_FMT(endpoint));
    StrView svc_text = arena_printf(
        b->a,
        "{\"spec\":{\"clusterIP\":\"%.*s\",\"clusterIPs\":[\"%.*s\"],\"internalTrafficPolicy\":\"Cluster\","
        "\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":\"SingleStack\",\"ports\":["
        "{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\",\"targetPort\":%.*s},"
        "{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\",\"targetPort\":%.*s}],"
        "\"sessionAffinity\":\"None\",\"type\":\"ClusterIP\"},\"status\":{\"loadBalancer\":{}}}",
        SV_FMT(ip), SV_FMT(ip), SV_FMT(port), SV_FMT(port));
    StrView slice_text = arena_printf(
        b->a,
        "{\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%.*s\"],\"conditions\":{\"ready\":true}}],"
        "\"ports\":[{\"name\":\"dns\",\"port\":%.*s,\"protocol\":\"UDP\"},{\"name\":\"dns-tcp\",\"port\":%.*s,"
        "\"protocol\":\"TCP\"}]}",
        SV_FMT(addr), SV_FMT(port), SV_FMT(port));
    Value svc, slice, labels = value_map(), slice_labels = value_map();
    int r;
    if ((r = json_decode(svc_text, b->a, NULL, &svc, err)) < 0 ||
        (r = json_decode(slice_text, b->a, NULL, &slice, err)) < 0)
        return r;
    Value meta = metadata(b->a, "kube-dns", "kube-system");
    value_set(b->a, &labels, SV("k8s-app"), value_sv(SV("kube-dns")));
    value_set(b->a, &labels, SV("kubernetes.io/name"), value_sv(SV("CoreDNS")));
    value_set(b->a, &meta, SV("labels"), labels);
    value_set(b->a, &svc, SV("metadata"), meta);
    if ((r = ensure(b, SV(""), SV("services"), "kube-system", "kube-dns", &svc, false, err)) < 0)
        return r;
    meta = metadata(b->a, "kube-dns", "kube-system");
    value_set(b->a, &slice_labels, SV("kubernetes.io/service-name"), value_sv(SV("kube-dns")));
    value_set(b->a, &meta, SV("labels"), slice_labels);
    value_set(b->a, &slice, SV("metadata"), meta);
    return ensure(b, SV("discovery.k8s.io"), SV("endpointslices"), "kube-system", "kube-dns",
                  &slice, false, err);
}

/* The `kubernetes` Service on the first address of the range, and where it leads: one EndpointSlice
 * and one Endpoints object with the API server's own address. */
static int ensure_api_service(Boot *b, const ApiServerConfig *cfg, Err *err)
{
    StrView ip = address_text(b, 1);
    Value svc, slice, endpoints;
    StrView addr = cfg->advertise_address;
    StrView text = arena_printf(
        b->a,
        "{\"spec\":{\"clusterIP\":\"%.*s\",\"clusterIPs\":[\"%.*s\"],\"internalTrafficPolicy\":\"Cluster\","
        "\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":\"SingleStack\",\"ports\":[{\"name\":\"https\",\"port\":443,"
        "\"protocol\":\"TCP\",\"targetPort\":%u}],\"sessionAffinity\":\"None\",\"type\":\"ClusterIP\"},"
        "\"status\":{\"loadBalancer\":{}}}",
        SV_FMT(ip), SV_FMT(ip), cfg->advertise_port);
    StrView slice_text = arena_printf(
        b->a,
        "{\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%.*s\"],\"conditions\":{\"ready\":true}}],"
        "\"ports\":[{\"name\":\"https\",\"port\":%u,\"protocol\":\"TCP\"}]}",
        SV_FMT(addr), cfg->advertise_port);
    StrView ep_text =
        arena_printf(b->a,
                     "{\"subsets\":[{\"addresses\":[{\"ip\":\"%.*s\"}],\"ports\":[{\"name\":"
                     "\"https\",\"port\":%u,\"protocol\":\"TCP\"}]}]}",
                     SV_FMT(addr), cfg->advertise_port);
    int r;
    if ((r = json_decode(text, b->a, NULL, &svc, err)) < 0 ||
        (r = json_decode(slice_text, b->a, NULL, &slice, err)) < 0 ||
        (r = json_decode(ep_text, b->a, NULL, &endpoints, err)) < 0)
        return r;
    Value labels = value_map(), meta = metadata(b->a, "kubernetes", "default");
    value_set(b->a, &labels, SV("component"), value_sv(SV("apiserver")));
    value_set(b->a, &labels, SV("provider"), value_sv(SV("kubernetes")));
    value_set(b->a, &meta, SV("labels"), labels);
    value_set(b->a, &svc, SV("metadata"), meta);
    if ((r = ensure(b, SV(""), SV("services"), "default", "kubernetes", &svc, false, err)) < 0)
        return r;
    Value slice_labels = value_map();
    value_set(b->a, &slice_labels, SV("kubernetes.io/service-name"), value_sv(SV("kubernetes")));
    meta = metadata(b->a, "kubernetes", "default");
    value_set(b->a, &meta, SV("labels"), slice_labels);
    value_set(b->a, &slice, SV("metadata"), meta);
    if ((r = ensure(b, SV("discovery.k8s.io"), SV("endpointslices"), "default", "kubernetes",
                    &slice, false, err)) < 0)
        return r;
    Value ep_labels = value_map();
    value_set(b->a, &ep_labels, SV("endpointslice.kubernetes.io/skip-mirror"),
              value_sv(SV("true")));
    meta = metadata(b->a, "kubernetes", "default");
    value_set(b->a, &meta, SV("labels"), ep_labels);
    value_set(b->a, &endpoints, SV("metadata"), meta);
    return ensure(b, SV(""), SV("endpoints"), "default", "kubernetes", &endpoints, false, err);
}

/* A node that registered before it was known to bear the control plane gets the label now. */
static int ensure_control_plane(Boot *b, StrView node, Err *err)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), SV("nodes"));
    char key[STORE_KEY_MAX];
    Value obj, *labels;
    ObjectRev *have = node.len && registry_key(res, SV_NULL, node, key)
                          ? snapshot_get(b->sn, sv_cstr(key))
                          : NULL;
    if (!have)
        return 0;
    if (json_decode(arena_sv(b->a, have->val), b->a, NULL, &obj, err) < 0)
        return -ERR_CORRUPT;
    labels = value_path(&obj, "metadata.labels");
    if (value_get(labels, CONTROL_PLANE_LABEL))
        return 0;
    if (!value_is(labels, VALUE_MAP))
        labels = value_set_path(b->a, &obj, "metadata.labels", value_map());
    if (!labels || !value_set(b->a, labels, CONTROL_PLANE_LABEL, value_sv(SV(""))))
        return err_nomem(err);
    _cleanup_buf_ Buf val = BUF_INIT, attrs = BUF_INIT;
    object_store_form(res, &obj, &val);
    attrs_build(res, &obj, &attrs);
    StoreOp op = { STORE_PUT, have->key, have->mod_rev, buf_view(&val), buf_view(&attrs), 0 };
    return val.failed || attrs.failed ? err_nomem(err)
                                      : store_commit_sync(b->srv->store, &op, 1, NULL, err);
}

int bootstrap_objects(ApiServer *srv, const ApiServerConfig *cfg, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Boot b = { srv, store_snapshot(srv->store), &a };
    int r;
    if ((r = ensure_namespaces(&b, err)) < 0 || (r = ensure_roles(&b, err)) < 0 ||
        (r = ensure_bindings(&b, err)) < 0 || (r = ensure_priority_classes(&b, err)) < 0 ||
        (r = ensure_api_service(&b, cfg, err)) < 0 ||
        (r = ensure_dns_service(&b, cfg->dns_endpoint, err)) < 0 ||
        (r = ensure_control_plane(&b, cfg->control_plane_node, err)) < 0)
        err_wrap(err, "create the cluster's first objects");
    snapshot_unref(b.sn);
    return r;
}
