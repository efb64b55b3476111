/* admission.c - built-in admission, in kube-apiserver's order of plugins: NamespaceLifecycle,
 * NodeRestriction, ServiceAccount, Priority, DefaultTolerationSeconds; and the escalation check of
 * RBAC. To add a link, write its function and put it into links[]. */
#include "apiserver/admit.h"
#include "apiserver/authz.h"
#include "apiserver/external_ips.h"
#include "apiserver/node_rights.h"
#include "apiserver/object.h"
#include "apiserver/pod_security.h"
#include "apiserver/respond.h"
#include "apiserver/services.h"
#include "apiserver/token_secret.h"
#include "base/encode.h"
#include "codec/json.h"

/* One link: it changes the object, refuses (then it has answered), or asks to be called again
 * later. */
typedef AdmitResult AdmitFn(AdmitChain *c);

/* Kubernetes tries ten times to find an account that its controller is about to make. */
enum { ACCOUNT_TRIES = 10, ACCOUNT_WAIT_MS = 100 };

static void on_waited(void *ctx)
{
    AdmitChain *c = ctx;
    c->timer = source_free(c->timer);
    c->resume(c->ctx);
}

/* The link that returns this is called again after so long. */
static AdmitResult wait_a_while(AdmitChain *c, uint64_t ms)
{
    Err err = { 0 };
    if (loop_add_timer(c->x->on->loop, ms, 0, on_waited, c, &c->timer, &err) == 0)
        return ADMIT_WAIT;
    respond_err(c->x, &err);
    return ADMIT_REFUSED;
}

static bool is_kind(const ApiCall *x, const char *group, const char *kind)
{
    return sv_eq(x->res->kind, sv_cstr(kind)) && sv_eq(x->res->group, sv_cstr(group));
}

/* The call's namespace and its revision. */
static bool read_namespace(ApiCall *x, Value *ret, uint64_t *ret_rev)
{
    char key[STORE_KEY_MAX];
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), SV("namespaces"));
    if (!registry_key(res, SV_NULL, x->ns, key))
        return false;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *o = snapshot_get(sn, sv_cstr(key));
    bool ok = o && object_decode(res, o, x->arena, ret, NULL) == 0;
    *ret_rev = ok ? o->mod_rev : 0;
    snapshot_unref(sn);
    return ok;
}

/* Nothing new in a namespace that is missing or on its way out. That it stays so until the object
 * is stored is a condition of the transaction. */
static AdmitResult namespace_lifecycle(AdmitChain *c)
{
    ApiCall *x = c->x;
    const Value *old = c->old;
    if (old || !x->res->namespaced)
        return ADMIT_OK;
    Value ns;
    if (!read_namespace(x, &ns, &c->ns_rev)) {
        ApiCall about = *x; /* the call itself may be gone once it is answered */
        about.resource = SV("namespaces");
        about.name = x->ns;
        about.group = SV_NULL;
        respond_not_found(&about);
        return ADMIT_REFUSED;
    }
    if (value_path(&ns, "metadata.deletionTimestamp")) {
        respond_forbidden(
            x, "unable to create new content in namespace %.*s because it is being terminated",
            SV_FMT(x->ns));
        return ADMIT_REFUSED;
    }
    return ADMIT_OK;
}

static bool has_mount_at(const Value *container, StrView path)
{
    value_list_foreach (m, value_get(container, SV("volumeMounts"))) {
        if (sv_eq(value_str(value_get(m, SV("mountPath"))), path))
            return true;
    }
    return false;
}

/* The projected volume with token, CA and namespace that every pod gets (KEP-1205). */
static bool add_token_volume(ApiCall *x, Value *spec, StrView name)
{
    static const char text[] =
        "{\"name\":\"\",\"projected\":{\"defaultMode\":420,\"sources\":["
        "{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},"
        "{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},"
        "{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
        "\"metadata.namespace\"}}]}}]}}";
    Value volume;
    if (json_decode(sv_cstr(text), x->arena, NULL, &volume, NULL) < 0)
        return false;
    value_set(x->arena, &volume, SV("name"), value_sv(name));
    Value *list = value_get(spec, SV("volumes"));
    if (!value_is(list, VALUE_LIST))
        list = value_set(x->arena, spec, SV("volumes"), value_list());
    return list && value_push(x->arena, list, volume);
}

static bool mount_token(ApiCall *x, Value *spec, StrView volume, bool *ret_used)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers") };
    StrView path = SV("/var/run/secrets/kubernetes.io/serviceaccount");
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(spec, lists[l])) {
            if (has_mount_at(c, path) || c->kind != VALUE_MAP)
                continue;
            Value m = value_map(), *mounts = value_get(c, SV("volumeMounts"));
            if (!value_is(mounts, VALUE_LIST))
                mounts = value_set(x->arena, c, SV("volumeMounts"), value_list());
            if (!mounts || !value_set(x->arena, &m, SV("name"), value_sv(volume)) ||
                !value_set(x->arena, &m, SV("readOnly"), value_bool(true)) ||
                !value_set(x->arena, &m, SV("mountPath"), value_sv(path)) ||
                !value_push(x->arena, mounts, m))
                return false;
            *ret_used = true;
        }
    }
    return true;
}

static bool automounts(const Value *spec, const Value *account)
{
    const Value *pod_says = value_get(spec, SV("automountServiceAccountToken"));
    if (pod_says)
        return value_bool_or(pod_says, true);
    return value_bool_or(value_get(account, SV("automountServiceAccountToken")), true);
}

static AdmitResult service_account(AdmitChain *c)
{
    ApiCall *x = c->x;
    Value *obj = c->obj;
    const Value *old = c->old;
    Value *spec = value_get(obj, SV("spec")), account;
    if (old || !is_kind(x, "", "Pod") || x->sub.len || !value_is(spec, VALUE_MAP))
        return ADMIT_OK;
    StrView name = value_str(value_get(spec, SV("serviceAccountName")));
    if (!name.len)
        name = value_str(value_get(spec, SV("serviceAccount")));
    if (!name.len)
        name = SV("default");
    value_set(x->arena, spec, SV("serviceAccountName"), value_sv(name));
    value_set(x->arena, spec, SV("serviceAccount"), value_sv(name));
    if (!object_core(x->srv->store, SV("serviceaccounts"), x->ns, name, x->arena, &account)) {
        if (respond_exhausted(x)) /* it may well be there */
            return ADMIT_REFUSED;
        if (sv_eq(name, SV("default")) && ++c->tries < ACCOUNT_TRIES)
            return wait_a_while(c, ACCOUNT_WAIT_MS); /* a new namespace gets it within moments */
        respond_forbidden(
            x, "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
            SV_FMT(x->ns), SV_FMT(name), SV_FMT(name));
        return ADMIT_REFUSED;
    }
    const Value *pull = value_get(&account, SV("imagePullSecrets"));
    if (value_len(pull) && !value_len(value_get(spec, SV("imagePullSecrets"))))
        value_set(x->arena, spec, SV("imagePullSecrets"), *pull);
    if (!automounts(spec, &account))
        return ADMIT_OK;
    char suffix[5];
    bool used = false;
    random_suffix(suffix, sizeof suffix);
    StrView volume = arena_printf(x->arena, "kube-api-access-%.5s", suffix);
    if (mount_token(x, spec, volume, &used) && (!used || add_token_volume(x, spec, volume)))
        return ADMIT_OK;
    respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    return ADMIT_REFUSED;
}

/* The node on which the control plane runs bears its role. The server knows it from its own flags:
 * a node's credential may not label itself so, and a label that is set here, after it has been
 * looked at, leaves that rule whole. An administrator may take the label away until the next start.
 */
static AdmitResult control_plane_node(AdmitChain *c)
{
    ApiCall *x = c->x;
    if (c->old || !is_kind(x, "", "Node") || !x->srv->control_plane_node.len ||
        !sv_eq(x->name, x->srv->control_plane_node))
        return ADMIT_OK;
    Value *labels = value_path(c->obj, "metadata.labels");
    if (!value_is(labels, VALUE_MAP))
        labels = value_set_path(x->arena, c->obj, "metadata.labels", value_map());
    if (labels && value_set(x->arena, labels, CONTROL_PLANE_LABEL, value_sv(SV(""))))
        return ADMIT_OK;
    respond_nomem(x);
    return ADMIT_REFUSED;
}

/* A Secret that is to hold an account's token needs the account. Kubernetes takes one without and
 * deletes it unasked; the refusal says why. One whose account has gone can still be changed. */
static AdmitResult token_secret(AdmitChain *c)
{
    ApiCall *x = c->x;
    StrView name;
    if (c->old || !token_secret_lacks_account(x, c->obj, &name))
        return ADMIT_OK;
    if (respond_exhausted(x)) /* it may well be there */
        return ADMIT_REFUSED;
    if (++c->tries < ACCOUNT_TRIES)
        return wait_a_while(c, ACCOUNT_WAIT_MS); /* it may be on its way, too */
    respond_forbidden(
        x, "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
        SV_FMT(x->ns), SV_FMT(name), SV_FMT(name));
    return ADMIT_REFUSED;
}

/* What a PriorityClass gives to a pod. */
typedef struct Priority {
    StrView class, policy;
    int64_t number;
} Priority;

static const ApiResource *priority_classes(void)
{
    return api_resource_find(SV("scheduling.k8s.io"), SV("v1"), SV("priorityclasses"));
}

static bool read_priority(ApiCall *x, const ObjectRev *o, Priority *ret, Value *class)
{
    if (!o || object_decode(priority_classes(), o, x->arena, class, NULL) < 0)
        return false;
    StrView policy = value_str(value_get(class, SV("preemptionPolicy")));
    *ret = (Priority){ .class = value_path_str(class, "metadata.name"),
                       .policy = policy.len ? policy : SV("PreemptLowerPriority"),
                       .number = value_int_or(value_get(class, SV("value")), 0) };
    return true;
}

/* The class that pods get which name none: of several the lowest. False: there is none. */
static bool default_priority(ApiCall *x, Snapshot *sn, Priority *ret)
{
    char prefix[STORE_KEY_MAX];
    SnapshotIter it;
    Value class;
    Priority p;
    bool any = false;
    if (!registry_key(priority_classes(), SV_NULL, SV_NULL, prefix))
        return false;
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    for (ObjectRev *o; (o = snapshot_next(&it));) {
        if (sv_find(o->val, SV("\"globalDefault\":true")) < 0 || /* few are worth decoding */
            !read_priority(x, o, &p, &class) ||
            !value_bool_or(value_get(&class, SV("globalDefault")), false))
            continue;
        if (!any || p.number < ret->number)
            *ret = p;
        any = true;
    }
    return any;
}

static bool named_priority(ApiCall *x, Snapshot *sn, StrView name, Priority *ret)
{
    char key[STORE_KEY_MAX];
    Value class;
    return registry_key(priority_classes(), SV_NULL, name, key) &&
           read_priority(x, snapshot_get(sn, sv_cstr(key)), ret, &class);
}

/* A pod may repeat what its class says, and not say anything else. */
static bool priority_fits(ApiCall *x, const Value *spec, const Priority *p)
{
    const Value *number = value_get(spec, SV("priority"));
    StrView policy = value_str(value_get(spec, SV("preemptionPolicy")));
    if (value_is(number, VALUE_INT) && number->i != p->number)
        respond_forbidden(
            x,
            "the integer value of priority (%lld) must not be provided in pod spec; "
            "priority admission controller computed %lld from the given PriorityClass "
            "name",
            (long long)number->i, (long long)p->number);
    else if (policy.len && !sv_eq(policy, p->policy))
        respond_forbidden(x,
                          "the string value of PreemptionPolicy (%.*s) must not be provided in pod "
                          "spec; priority admission controller computed %.*s from the given "
                          "PriorityClass name",
                          SV_FMT(policy), SV_FMT(p->policy));
    else
        return true;
    return false;
}

/* priorityClassName becomes a number. */
static AdmitResult priority(AdmitChain *c)
{
    ApiCall *x = c->x;
    Value *spec = value_get(c->obj, SV("spec"));
    if (c->old || !is_kind(x, "", "Pod") || x->sub.len || !value_is(spec, VALUE_MAP))
        return ADMIT_OK;
    StrView name = value_str(value_get(spec, SV("priorityClassName")));
    Priority p = { .policy = SV("PreemptLowerPriority") };
    Snapshot *sn = store_snapshot(x->srv->store);
    bool found = name.len ? named_priority(x, sn, name, &p) : default_priority(x, sn, &p);
    snapshot_unref(sn);
    if (name.len && !found) {
        respond_forbidden(x, "no PriorityClass with name %.*s was found", SV_FMT(name));
        return ADMIT_REFUSED;
    }
    if (!priority_fits(x, spec, &p))
        return ADMIT_REFUSED;
    if (p.class.len)
        value_set(x->arena, spec, SV("priorityClassName"), value_sv(p.class));
    value_set(x->arena, spec, SV("priority"), value_int(p.number));
    value_set(x->arena, spec, SV("preemptionPolicy"), value_sv(p.policy));
    return ADMIT_OK;
}

/* One class at most is the default. */
static AdmitResult one_default_class(AdmitChain *c)
{
    ApiCall *x = c->x;
    Priority p;
    if (!is_kind(x, "scheduling.k8s.io", "PriorityClass") ||
        !value_bool_or(value_get(c->obj, SV("globalDefault")), false))
        return ADMIT_OK;
    Snapshot *sn = store_snapshot(x->srv->store);
    bool taken = default_priority(x, sn, &p) && !sv_eq(p.class, x->name);
    snapshot_unref(sn);
    if (!taken)
        return ADMIT_OK;
    respond_forbidden(x,
                      "PriorityClass %.*s is already marked as default. Only one default can exist",
                      SV_FMT(p.class));
    return ADMIT_REFUSED;
}

static bool tolerates(const Value *list, StrView key)
{
    value_list_foreach (t, list) {
        StrView k = value_str(value_get(t, SV("key"))),
                effect = value_str(value_get(t, SV("effect")));
        if ((sv_eq(k, key) || !k.len) && (!effect.len || sv_eq(effect, SV("NoExecute"))))
            return true;
    }
    return false;
}

static AdmitResult default_tolerations(AdmitChain *c)
{
    ApiCall *x = c->x;
    Value *obj = c->obj;
    const Value *old = c->old;
    static const StrView taints[] = { SV_INIT("node.kubernetes.io/not-ready"),
                                      SV_INIT("node.kubernetes.io/unreachable") };
    Value *spec = value_get(obj, SV("spec"));
    if (old || !is_kind(x, "", "Pod") || x->sub.len || !value_is(spec, VALUE_MAP))
        return ADMIT_OK;
    for (size_t i = 0; i < ARRAY_SIZE(taints); i++) {
        Value *list = value_get(spec, SV("tolerations")), t = value_map();
        if (tolerates(list, taints[i]))
            continue;
        if (!value_is(list, VALUE_LIST))
            list = value_set(x->arena, spec, SV("tolerations"), value_list());
        value_set(x->arena, &t, SV("key"), value_sv(taints[i]));
        value_set(x->arena, &t, SV("operator"), value_sv(SV("Exists")));
        value_set(x->arena, &t, SV("effect"), value_sv(SV("NoExecute")));
        value_set(x->arena, &t, SV("tolerationSeconds"), value_int(300));
        if (list)
            value_push(x->arena, list, t);
    }
    return ADMIT_OK;
}

/* Kubernetes' plugin DenyServiceExternalIPs: off unless it is asked for. */
static AdmitResult deny_external_ips(AdmitChain *c)
{
    ApiCall *x = c->x;
    if (!x->srv->deny_external_ips || !is_kind(x, "", "Service") || x->sub.len ||
        !external_ips_new(c->obj, c->old))
        return ADMIT_OK;
    respond_forbidden(x, "Use of external IPs is denied by admission control");
    return ADMIT_REFUSED;
}

static AdmitResult service_addresses(AdmitChain *c)
{
    ApiCall *x = c->x;
    if (!is_kind(x, "", "Service") || (x->sub.len && !sv_eq(x->sub, SV("status"))))
        return ADMIT_OK;
    ApiErrors errors = { .arena = x->arena };
    external_ips_check(x, c->obj, c->old, &errors);
    if (!errors.len &&
        (x->sub.len || services_choose(x->srv->services, x->arena, c->obj, c->old, &errors)))
        return ADMIT_OK;
    respond_invalid(x, x->name, &errors);
    return ADMIT_REFUSED;
}

/* The role behind a roleRef; false when there is none. */
static bool referenced_role(ApiCall *x, const Value *ref, Value *role)
{
    bool cluster = sv_eq(value_str(value_get(ref, SV("kind"))), SV("ClusterRole"));
    const ApiResource *res = api_resource_find(SV("rbac.authorization.k8s.io"), SV("v1"),
                                               cluster ? SV("clusterroles") : SV("roles"));
    char key[STORE_KEY_MAX];
    Snapshot *sn = store_snapshot(x->srv->store);
    StrView ns = cluster ? SV_NULL : x->ns;
    ObjectRev *o = registry_key(res, ns, value_str(value_get(ref, SV("name"))), key)
                       ? snapshot_get(sn, sv_cstr(key))
                       : NULL;
    bool ok = o && object_decode(res, o, x->arena, role, NULL) == 0;
    snapshot_unref(sn);
    return ok;
}

static bool aggregates(const Value *role)
{
    return value_is(value_get(role, SV("aggregationRule")), VALUE_MAP);
}

static bool same_aggregation(const Value *obj, const Value *old)
{
    return aggregates(obj) == aggregates(old) &&
           (!aggregates(obj) || value_equal(value_get(obj, SV("aggregationRule")),
                                            value_get(old, SV("aggregationRule"))));
}

/* A role that gathers others' rules may come to hold anything. */
static bool holds_everything(ApiCall *x)
{
    static const char everything[] =
        "[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]},"
        "{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]";
    Value rules;
    return json_decode(sv_cstr(everything), x->arena, NULL, &rules, NULL) == 0 &&
           rbac_covers(x->srv->rbac, &x->user, SV_NULL, &rules);
}

/* Nobody may grant what they do not hold, unless they may "escalate" roles or "bind" them. */
static AdmitResult rbac_escalation(AdmitChain *c)
{
    ApiCall *x = c->x;
    Value *obj = c->obj;
    const Value *old = c->old;
    if (!sv_eq(x->res->group, SV("rbac.authorization.k8s.io")))
        return ADMIT_OK;
    bool is_role = sv_eq(x->res->kind, SV("Role")) || sv_eq(x->res->kind, SV("ClusterRole"));
    Value role = value_null();
    bool there = is_role || referenced_role(x, value_get(obj, SV("roleRef")), &role);
    const Value *rules = value_get(is_role ? obj : &role, SV("rules"));
    bool gathers = is_role && (aggregates(obj) || aggregates(old));
    if (is_role && old && value_get(old, SV("rules")) && rules &&
        value_equal(rules, value_get(old, SV("rules"))) && same_aggregation(obj, old))
        return ADMIT_OK;
    const Value *ref = value_get(obj, SV("roleRef"));
    bool ref_cluster = sv_eq(value_str(value_get(ref, SV("kind"))), SV("ClusterRole"));
    Access a = { .user = &x->user,
                 .verb = is_role ? SV("escalate") : SV("bind"),
                 .is_resource = true,
                 .group = x->res->group,
                 .ns = x->ns,
                 .resource = is_role       ? x->resource
                             : ref_cluster ? SV("clusterroles")
                                           : SV("roles"),
                 .name = is_role ? x->name : value_str(value_get(ref, SV("name"))) };
    if (authorize(x->srv, &a))
        return ADMIT_OK;
    if (!there) { /* whoever makes such a role later would grant it by that */
        respond_status(x, REASON_NOT_FOUND, "%.*s.rbac.authorization.k8s.io \"%.*s\" not found",
                       SV_FMT(a.resource), SV_FMT(a.name));
        return ADMIT_REFUSED;
    }
    if (gathers && !holds_everything(x)) {
        respond_forbidden(x, "must have cluster-admin privileges to use the aggregationRule");
        return ADMIT_REFUSED;
    }
    if (rbac_covers(x->srv->rbac, &x->user, x->ns, rules))
        return ADMIT_OK;
    respond_forbidden(
        x, "user \"%.*s\" (groups=%u) is attempting to grant RBAC permissions not currently held",
        SV_FMT(x->user.name), x->user.n_groups);
    return ADMIT_REFUSED;
}

/* The namespaces that a cluster cannot be without. */
static AdmitResult immortal_namespaces(AdmitChain *c)
{
    static const StrView immortal[] = { SV_INIT("default"), SV_INIT("kube-system"),
                                        SV_INIT("kube-public") };
    for (size_t i = 0; i < ARRAY_SIZE(immortal) && is_kind(c->x, "", "Namespace"); i++)
        if (sv_eq(c->x->name, immortal[i])) {
            respond_forbidden(c->x, "this namespace may not be deleted");
            return ADMIT_REFUSED;
        }
    return ADMIT_OK;
}

static AdmitFn *const links[ADMIT_PHASE_MAX][9] = {
    [ADMIT_MUTATING] = { namespace_lifecycle, node_restriction, control_plane_node, service_account,
                         token_secret, priority, default_tolerations, deny_external_ips,
                         service_addresses },
    [ADMIT_VALIDATING] = { namespace_lifecycle, rbac_escalation, one_default_class, pod_security },
    [ADMIT_DELETING] = { immortal_namespaces, node_restriction },
};

void admit_begin(AdmitChain *c, AdmitPhase phase)
{
    admit_stop(c);
    c->phase = phase;
    c->at = 0;
    c->tries = 0;
}

AdmitResult admit_run(AdmitChain *c)
{
    AdmitFn *const *phase = links[c->phase];
    for (; c->at < ARRAY_SIZE(links[0]) && phase[c->at]; c->at++, c->tries = 0) {
        AdmitResult r = phase[c->at](c);
        if (r != ADMIT_OK)
            return r;
    }
    return ADMIT_OK;
}

void admit_stop(AdmitChain *c)
{
    c->timer = source_free(c->timer);
}
