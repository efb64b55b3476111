/* defaults.c - defaults of all kinds but pods: one function per kind, found by a table.
 * To add a kind: write its function and add a row to kinds[]. Defaults without a condition can
 * stand in the .kapi file instead (default=…). */
#include "api/defaults.h"

#include "api/check.h"
#include "api/defaults_internal.h"
#include "base/encode.h"
#include "codec/json.h"

typedef void DefaultsFn(Defaults *d, Value *obj);

void default_value(Defaults *d, Value *map, const char *key, Value v)
{
    if (value_is(map, VALUE_MAP) && !member(map, key) && !value_set(d->arena, map, sv_cstr(key), v))
        d->failed = true;
}

void default_text(Defaults *d, Value *map, const char *key, const char *text)
{
    /* Go cannot tell an empty string from an absent one, so it gets the default too. */
    Value *old = value_is(map, VALUE_MAP) ? member(map, key) : NULL;

    if (old && old->kind == VALUE_STRING && old->str_len == 0)
        *old = value_sv(sv_cstr(text));
    default_value(d, map, key, value_sv(sv_cstr(text)));
}

void default_int(Defaults *d, Value *map, const char *key, int64_t i)
{
    default_value(d, map, key, value_int(i));
}

void default_bool(Defaults *d, Value *map, const char *key, bool b)
{
    default_value(d, map, key, value_bool(b));
}

Value *default_map(Defaults *d, Value *map, const char *key)
{
    default_value(d, map, key, value_map());
    Value *v = member(map, key);
    return value_is(v, VALUE_MAP) ? v : NULL;
}

static Value *spec_of(Value *obj)
{
    return member(obj, "spec");
}

static void copy_member(Defaults *d, Value *to, const char *key, const Value *from)
{
    Value copy;

    if (!from || !value_is(to, VALUE_MAP) || value_len(member(to, key)) > 0)
        return;
    if (!value_clone(d->arena, from, &copy) || !value_set(d->arena, to, sv_cstr(key), copy))
        d->failed = true;
}

static void deployment(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);

    default_int(d, spec, "replicas", 1);
    Value *strategy = default_map(d, spec, "strategy");
    default_text(d, strategy, "type", "RollingUpdate");
    if (text_is(strategy, "type", "RollingUpdate")) {
        Value *rolling = default_map(d, strategy, "rollingUpdate");
        default_value(d, rolling, "maxUnavailable", value_sv(SV("25%")));
        default_value(d, rolling, "maxSurge", value_sv(SV("25%")));
    }
    default_int(d, spec, "revisionHistoryLimit", 10);
    default_int(d, spec, "progressDeadlineSeconds", 600);
    default_pod_template(d, spec);
}

static void replica_set(Defaults *d, Value *obj)
{
    default_int(d, spec_of(obj), "replicas", 1);
    default_pod_template(d, spec_of(obj));
}

static void replication_controller(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);
    const Value *labels = member(member(member(spec, "template"), "metadata"), "labels");

    default_int(d, spec, "replicas", 1);
    if (value_len(labels) > 0) {
        copy_member(d, spec, "selector", labels);
        copy_member(d, default_map(d, obj, "metadata"), "labels", labels);
    }
    default_pod_template(d, spec);
}

static void daemon_set(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj), *update = default_map(d, spec, "updateStrategy");

    default_text(d, update, "type", "RollingUpdate");
    if (text_is(update, "type", "RollingUpdate")) {
        Value *rolling = default_map(d, update, "rollingUpdate");
        default_int(d, rolling, "maxUnavailable", 1);
        default_int(d, rolling, "maxSurge", 0);
    }
    default_int(d, spec, "revisionHistoryLimit", 10);
    default_pod_template(d, spec);
}

static void claim(Defaults *d, Value *obj)
{
    default_claim_spec(d, spec_of(obj));
    default_text(d, default_map(d, obj, "status"), "phase", "Pending");
}

static void stateful_set(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);

    default_text(d, spec, "podManagementPolicy", "OrderedReady");
    Value *update = default_map(d, spec, "updateStrategy");
    default_text(d, update, "type", "RollingUpdate");
    if (text_is(update, "type", "RollingUpdate"))
        default_int(d, default_map(d, update, "rollingUpdate"), "partition", 0);
    Value *keep = default_map(d, spec, "persistentVolumeClaimRetentionPolicy");
    default_text(d, keep, "whenDeleted", "Retain");
    default_text(d, keep, "whenScaled", "Retain");
    default_int(d, spec, "replicas", 1);
    default_int(d, spec, "revisionHistoryLimit", 10);
    value_list_foreach (c, member(spec, "volumeClaimTemplates")) {
        default_text(d, c, "apiVersion", "v1");
        default_text(d, c, "kind", "PersistentVolumeClaim");
        claim(d, c);
    }
    default_pod_template(d, spec);
}

static void job(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);
    bool both = !member(spec, "completions") && !member(spec, "parallelism");

    if (both)
        default_int(d, spec, "completions", 1);
    default_int(d, spec, "parallelism", 1);
    default_int(d, spec, "backoffLimit", member(spec, "backoffLimitPerIndex") ? INT32_MAX : 6);
    default_text(d, spec, "completionMode", "NonIndexed");
    default_bool(d, spec, "suspend", false);
    value_list_foreach (rule, member(member(spec, "podFailurePolicy"), "rules")) {
        value_list_foreach (c, member(rule, "onPodConditions"))
            default_text(d, c, "status", "True");
    }
    default_text(d, spec, "podReplacementPolicy",
                 member(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
    copy_member(d, default_map(d, obj, "metadata"), "labels",
                member(member(member(spec, "template"), "metadata"), "labels"));
    default_pod_template(d, spec);
}

static void cron_job(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);

    default_text(d, spec, "concurrencyPolicy", "Allow");
    default_bool(d, spec, "suspend", false);
    default_int(d, spec, "successfulJobsHistoryLimit", 3);
    default_int(d, spec, "failedJobsHistoryLimit", 1);
    default_pod_template(d, member(member(spec, "jobTemplate"), "spec"));
}

static void service_port(Defaults *d, Value *port)
{
    Value *target = member(port, "targetPort"), *number = member(port, "port");

    default_text(d, port, "protocol", "TCP");
    bool none = !target || (target->kind == VALUE_INT && target->i == 0) ||
                (target->kind == VALUE_STRING && target->str_len == 0);
    if (none && number && !value_set(d->arena, port, SV("targetPort"), *number))
        d->failed = true;
}

static void service(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj);

    default_text(d, spec, "sessionAffinity", "None");
    if (text_is(spec, "sessionAffinity", "ClientIP")) {
        Value *config = default_map(d, default_map(d, spec, "sessionAffinityConfig"), "clientIP");
        default_int(d, config, "timeoutSeconds", 10800);
    } else if (value_is(spec, VALUE_MAP)) {
        value_del(spec, SV("sessionAffinityConfig"));
    }
    default_text(d, spec, "type", "ClusterIP");
    value_list_foreach (p, member(spec, "ports"))
        service_port(d, p);
    bool balanced = text_is(spec, "type", "LoadBalancer");
    bool external = balanced || text_is(spec, "type", "NodePort");
    if (external || value_len(member(spec, "externalIPs")) > 0)
        default_text(d, spec, "externalTrafficPolicy", "Cluster");
    if (external || text_is(spec, "type", "ClusterIP"))
        default_text(d, spec, "internalTrafficPolicy", "Cluster");
    if (balanced)
        default_bool(d, spec, "allocateLoadBalancerNodePorts", true);
    value_list_foreach (in, member(member(member(obj, "status"), "loadBalancer"), "ingress")) {
        if (value_len(member(in, "ip")) || value_str(member(in, "ip")).len)
            default_text(d, in, "ipMode", "VIP");
    }
}

/* stringData is a convenience for writers: its texts replace those of data. */
static void secret(Defaults *d, Value *obj)
{
    Value *texts = member(obj, "stringData");

    default_text(d, obj, "type", "Opaque");
    if (value_len(texts) > 0) {
        Value *data = default_map(d, obj, "data");
        value_map_foreach (m, member(obj, "stringData")) {
            _cleanup_buf_ Buf out = BUF_INIT;
            base64_encode(BASE64_STD, value_str(&m->val), &out);
            StrView text = out.failed ? SV_NULL : arena_sv(d->arena, buf_view(&out));
            if (!data || !text.ptr || !value_set(d->arena, data, m->key, value_sv(text)))
                d->failed = true;
        }
    }
    value_del(obj, SV("stringData"));
}

void default_claim_spec(Defaults *d, Value *spec)
{
    default_text(d, spec, "volumeMode", "Filesystem");
}

static void volume(Defaults *d, Value *obj)
{
    default_text(d, default_map(d, obj, "status"), "phase", "Pending");
    default_text(d, spec_of(obj), "persistentVolumeReclaimPolicy", "Retain");
    default_text(d, spec_of(obj), "volumeMode", "Filesystem");
    default_text(d, member(spec_of(obj), "hostPath"), "type", "");
}

static void endpoints(Defaults *d, Value *obj)
{
    value_list_foreach (subset, member(obj, "subsets")) {
        value_list_foreach (p, member(subset, "ports"))
            default_text(d, p, "protocol", "TCP");
    }
}

static void endpoint_slice(Defaults *d, Value *obj)
{
    value_list_foreach (p, member(obj, "ports")) {
        default_value(d, p, "name", value_sv(SV("")));
        default_text(d, p, "protocol", "TCP");
    }
}

static void node(Defaults *d, Value *obj)
{
    Value *status = member(obj, "status");

    copy_member(d, status, "allocatable", member(status, "capacity"));
}

/* Limits of containers: the default is the maximum, the default request the default or the minimum.
 */
static void limit_range(Defaults *d, Value *obj)
{
    value_list_foreach (item, member(spec_of(obj), "limits")) {
        if (!text_is(item, "type", "Container"))
            continue;
        Value *def = default_map(d, item, "default");
        value_map_foreach (m, member(item, "max"))
            if (def && !value_get(def, m->key) && !value_set(d->arena, def, m->key, m->val))
                d->failed = true;
        Value *request = default_map(d, item, "defaultRequest");
        const char *const from[] = { "default", "min" };
        for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
            value_map_foreach (m, member(item, from[i]))
                if (request && !value_get(request, m->key) &&
                    !value_set(d->arena, request, m->key, m->val))
                    d->failed = true;
        }
    }
}

static void binding(Defaults *d, Value *obj)
{
    default_text(d, member(obj, "roleRef"), "apiGroup", "rbac.authorization.k8s.io");
    value_list_foreach (s, member(obj, "subjects")) {
        if (!text_is(s, "kind", "ServiceAccount"))
            default_text(d, s, "apiGroup", "rbac.authorization.k8s.io");
    }
}

static void policy_ports(Defaults *d, const Value *rules)
{
    value_list_foreach (rule, rules) {
        value_list_foreach (p, member(rule, "ports"))
            default_text(d, p, "protocol", "TCP");
    }
}

static void network_policy(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj), types = value_list();

    if (value_len(member(spec, "policyTypes")) == 0 && value_is(spec, VALUE_MAP)) {
        bool ok = value_push(d->arena, &types, value_sv(SV("Ingress")));
        if (value_len(member(spec, "egress")) > 0)
            ok = ok && value_push(d->arena, &types, value_sv(SV("Egress")));
        if (!ok || !value_set(d->arena, spec, SV("policyTypes"), types))
            d->failed = true;
    }
    policy_ports(d, member(spec, "ingress"));
    policy_ports(d, member(spec, "egress"));
}

static void ingress_class(Defaults *d, Value *obj)
{
    default_text(d, member(spec_of(obj), "parameters"), "scope", "Cluster");
}

static void storage_class(Defaults *d, Value *obj)
{
    default_text(d, obj, "reclaimPolicy", "Delete");
    default_text(d, obj, "volumeBindingMode", "Immediate");
}

static void priority_class(Defaults *d, Value *obj)
{
    default_text(d, obj, "preemptionPolicy", "PreemptLowerPriority");
}

static void scaling_rules(Defaults *d, Value *behavior, const char *name, const char *usual)
{
    Value rules;
    if (json_decode(sv_cstr(usual), d->arena, NULL, &rules, NULL) < 0) {
        d->failed = true;
        return;
    }
    default_map(d, behavior, name);
    value_map_foreach (m, &rules) {
        Value *have = member(behavior, name);
        if (!value_get(have, m->key) && !value_set(d->arena, have, m->key, m->val))
            d->failed = true;
    }
}

/* Of version 2; version 1 has minReplicas alone, and gets the metric when it is converted. */
static void autoscaler(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj), *behavior = member(spec, "behavior");
    default_int(d, spec, "minReplicas", 1);
    if (!sv_eq(value_str(value_get(obj, SV("apiVersion"))), SV("autoscaling/v2")))
        return;
    if (!value_len(value_get(spec, SV("metrics")))) {
        Value usual;
        if (json_decode(SV("[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{"
                           "\"type\":\"Utilization\",\"averageUtilization\":80}}}]"),
                        d->arena, NULL, &usual, NULL) < 0 ||
            !spec || !value_set(d->arena, spec, SV("metrics"), usual))
            d->failed = true;
    }
    if (behavior && behavior->kind == VALUE_MAP) {
        scaling_rules(d, behavior, "scaleUp",
                      "{\"stabilizationWindowSeconds\":0,\"selectPolicy\":\"Max\",\"policies\":["
                      "{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15},"
                      "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}");
        scaling_rules(d, behavior, "scaleDown",
                      "{\"selectPolicy\":\"Max\",\"policies\":["
                      "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}");
    }
}

static void csi_driver(Defaults *d, Value *obj)
{
    Value *spec = spec_of(obj), modes = value_list();

    default_bool(d, spec, "attachRequired", true);
    default_bool(d, spec, "podInfoOnMount", false);
    default_bool(d, spec, "storageCapacity", false);
    default_bool(d, spec, "requiresRepublish", false);
    default_bool(d, spec, "seLinuxMount", false);
    default_text(d, spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if (value_push(d->arena, &modes, value_sv(SV("Persistent"))))
        default_value(d, spec, "volumeLifecycleModes", modes);
    else
        d->failed = true;
}

static void webhooks(Defaults *d, Value *obj)
{
    value_list_foreach (w, member(obj, "webhooks")) {
        default_text(d, w, "failurePolicy", "Fail");
        default_text(d, w, "matchPolicy", "Equivalent");
        default_map(d, w, "namespaceSelector");
        default_map(d, w, "objectSelector");
        default_int(d, w, "timeoutSeconds", 10);
        default_int(d, member(member(w, "clientConfig"), "service"), "port", 443);
        value_list_foreach (r, member(w, "rules"))
            default_text(d, r, "scope", "*");
    }
}

static void mutating_webhooks(Defaults *d, Value *obj)
{
    webhooks(d, obj);
    value_list_foreach (w, member(obj, "webhooks"))
        default_text(d, w, "reinvocationPolicy", "Never");
}

static void pod_template(Defaults *d, Value *obj)
{
    default_pod_template(d, obj);
}

static const struct {
    StrView group, kind;
    DefaultsFn *fn;
} kinds[] = {
    { SV_INIT(""), SV_INIT("Pod"), default_pod },
    { SV_INIT(""), SV_INIT("PodTemplate"), pod_template },
    { SV_INIT(""), SV_INIT("Service"), service },
    { SV_INIT(""), SV_INIT("Secret"), secret },
    { SV_INIT(""), SV_INIT("ReplicationController"), replication_controller },
    { SV_INIT(""), SV_INIT("PersistentVolume"), volume },
    { SV_INIT(""), SV_INIT("PersistentVolumeClaim"), claim },
    { SV_INIT(""), SV_INIT("Endpoints"), endpoints },
    { SV_INIT(""), SV_INIT("Node"), node },
    { SV_INIT(""), SV_INIT("LimitRange"), limit_range },
    { SV_INIT("apps"), SV_INIT("Deployment"), deployment },
    { SV_INIT("apps"), SV_INIT("ReplicaSet"), replica_set },
    { SV_INIT("apps"), SV_INIT("DaemonSet"), daemon_set },
    { SV_INIT("apps"), SV_INIT("StatefulSet"), stateful_set },
    { SV_INIT("batch"), SV_INIT("Job"), job },
    { SV_INIT("batch"), SV_INIT("CronJob"), cron_job },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("RoleBinding"), binding },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("ClusterRoleBinding"), binding },
    { SV_INIT("networking.k8s.io"), SV_INIT("NetworkPolicy"), network_policy },
    { SV_INIT("networking.k8s.io"), SV_INIT("IngressClass"), ingress_class },
    { SV_INIT("discovery.k8s.io"), SV_INIT("EndpointSlice"), endpoint_slice },
    { SV_INIT("storage.k8s.io"), SV_INIT("StorageClass"), storage_class },
    { SV_INIT("storage.k8s.io"), SV_INIT("CSIDriver"), csi_driver },
    { SV_INIT("scheduling.k8s.io"), SV_INIT("PriorityClass"), priority_class },
    { SV_INIT("autoscaling"), SV_INIT("HorizontalPodAutoscaler"), autoscaler },
    { SV_INIT("admissionregistration.k8s.io"), SV_INIT("ValidatingWebhookConfiguration"),
      webhooks },
    { SV_INIT("admissionregistration.k8s.io"), SV_INIT("MutatingWebhookConfiguration"),
      mutating_webhooks },
};

/* The defaults that the type's table has. An empty string is what Go's zero value is anyway. */
static bool from_table(void *defaults, const SchemaObject *type, Value *obj)
{
    Defaults *d = defaults;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const SchemaField *f = &type->fields[i];
        if (f->flags & SCHEMA_F_INLINE) {
            if (!from_table(d, f->object, obj))
                return false;
            continue;
        }
        Value *v = value_get(obj, f->name), made;
        if (!v && f->def.len > 0 && !sv_eq(f->def, SV("\"\""))) {
            if (json_decode(f->def, d->arena, NULL, &made, NULL) < 0 ||
                !value_set(d->arena, obj, f->name, made))
                d->failed = true;
        }
        if (v && !schema_each_object(f, v, from_table, d))
            return false;
    }
    return true;
}

bool api_defaults_apply(const ApiResource *r, Value *obj, Arena *a)
{
    Defaults d = { .arena = a };

    if (!api_fill_always(r->schema, obj, a))
        return false;
    if (!from_table(&d, r->schema, obj))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !d.failed; i++) {
        if (sv_eq(kinds[i].kind, r->kind) && sv_eq(kinds[i].group, r->group))
            kinds[i].fn(&d, obj);
    }
    return !d.failed;
}
