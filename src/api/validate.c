/* validate.c - the entry, metadata, and the vocabulary of the checks.
 * To add a kind: write its function in the validate_*.c of its group and add a row to kinds[]. */
#include "api/validate_internal.h"

#include "api/selector.h"

enum { ANNOTATIONS_MAX = 256 * 1024, NAME_BUFFER = 512 };

bool is_twin(Twins *t, StrView name)
{
    uint32_t at;
    bool fresh;

    /* Without memory nothing is committed: the arena remembers. */
    return key_index_add(&t->seen, t->errors->arena, name, 0, &at, &fresh) && !fresh;
}

bool twin_known(const Twins *t, StrView name)
{
    return key_index_find(&t->seen, name) >= 0;
}

void check_name(ApiErrors *e, const ApiPath *p, StrView s, NameCheck *check)
{
    NameFaults f = { .n = 0 };

    check(s, &f);
    for (unsigned i = 0; i < f.n; i++)
        api_invalid(e, p, value_sv(s), "%.*s", SV_FMT(f.why[i]));
}

void check_required_name(ApiErrors *e, const ApiPath *p, StrView s, NameCheck *check)
{
    if (s.len == 0)
        api_required(e, p, "");
    else
        check_name(e, p, s, check);
}

void check_not_negative(ApiErrors *e, const ApiPath *p, const Value *map, const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));

    if (number(map, key) < 0)
        api_invalid(e, &at, *get(map, key), "must be greater than or equal to 0");
}

void check_range(ApiErrors *e, const ApiPath *p, const Value *map, const char *key, int64_t low,
                 int64_t high)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));
    const Value *v = get(map, key);

    if (value_is(v, VALUE_INT) && (v->i < low || v->i > high))
        api_invalid(e, &at, *v, "must be between %lld and %lld, inclusive", (long long)low,
                    (long long)high);
}

void check_required_text(ApiErrors *e, const ApiPath *p, const Value *map, const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));

    if (text(map, key).len == 0)
        api_required(e, &at, "");
}

void check_one_of(ApiErrors *e, const ApiPath *p, const Value *map, const char *key,
                  const StrView *allowed, size_t n, bool required)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));
    StrView s = text(map, key);

    if (s.len == 0) {
        if (required)
            api_required(e, &at, "");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (sv_eq(allowed[i], s))
            return;
    }
    api_not_supported(e, &at, value_sv(s), allowed, n);
}

void check_port(ApiErrors *e, const ApiPath *p, const Value *map, const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));
    const Value *v = get(map, key);

    if (value_is(v, VALUE_STRING))
        check_name(e, &at, value_str(v), name_port);
    else if (value_is(v, VALUE_INT) && (v->i < 1 || v->i > 65535))
        api_invalid(e, &at, *v, "must be between 1 and 65535, inclusive");
}

void check_labels(ApiErrors *e, const ApiPath *p, const Value *labels)
{
    value_map_foreach (m, labels) {
        check_name(e, p, m->key, name_label_key);
        check_name(e, p, value_str(&m->val), name_label_value);
    }
}

static void check_expression(ApiErrors *e, const ApiPath *p, const Value *x)
{
    ApiPath values = API_FIELD(p, "values"), op = API_FIELD(p, "operator"),
            key = API_FIELD(p, "key");
    StrView operator= text(x, "operator");
    bool in = sv_eq(operator, SV("In")) || sv_eq(operator, SV("NotIn"));
    bool exists = sv_eq(operator, SV("Exists")) || sv_eq(operator, SV("DoesNotExist"));
    uint32_t i = 0;

    if (in && count(x, "values") == 0)
        api_required(e, &values, "must be specified when `operator` is 'In' or 'NotIn'");
    else if (exists && count(x, "values") > 0)
        api_forbidden(e, &values,
                      "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    else if (!in && !exists)
        api_invalid(e, &op, value_sv(operator), "not a valid selector operator");
    check_name(e, &key, text(x, "key"), name_label_key);
    value_list_foreach (v, get(x, "values")) {
        ApiPath at = API_INDEX(&values, i++);
        check_name(e, &at, value_str(v), name_label_value);
    }
}

void check_label_selector(ApiErrors *e, const ApiPath *p, const Value *selector)
{
    ApiPath labels = API_FIELD(p, "matchLabels"), list = API_FIELD(p, "matchExpressions");
    uint32_t i = 0;

    check_labels(e, &labels, get(selector, "matchLabels"));
    value_list_foreach (x, get(selector, "matchExpressions")) {
        ApiPath at = API_INDEX(&list, i++);
        check_expression(e, &at, x);
    }
}

static bool is_empty(const Value *v)
{
    return !v || v->kind == VALUE_NULL ||
           ((v->kind == VALUE_LIST || v->kind == VALUE_MAP) && v->len == 0) ||
           (v->kind == VALUE_STRING && v->str_len == 0);
}

bool same(const Value *a, const Value *b)
{
    return (is_empty(a) && is_empty(b)) || value_equal(a, b);
}

void check_immutable(ApiErrors *e, const ApiPath *p, const Value *map, const Value *old,
                     const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));

    if (!same(get(map, key), get(old, key)))
        api_invalid(e, &at, shown(get(map, key)), "field is immutable");
}

void check_relative_path(ApiErrors *e, const ApiPath *p, StrView path)
{
    StrView rest = path, part;

    if (sv_starts(path, SV("/")))
        api_invalid(e, p, value_sv(path), "must be a relative path");
    while (sv_next(&rest, '/', &part)) {
        if (sv_eq(part, SV(".."))) {
            api_invalid(e, p, value_sv(path), "must not contain '..'");
            return;
        }
    }
}

static const struct {
    StrView group, kind;
    ValidateFn *fn;  /* NULL: metadata only */
    NameCheck *name; /* NULL: a DNS subdomain */
} kinds[] = {
    { SV_INIT(""), SV_INIT("Pod"), validate_pod, NULL },
    { SV_INIT(""), SV_INIT("Service"), validate_service, name_dns1035_label },
    { SV_INIT(""), SV_INIT("Namespace"), NULL, name_dns1123_label },
    { SV_INIT(""), SV_INIT("ConfigMap"), validate_config_map, NULL },
    { SV_INIT(""), SV_INIT("Secret"), validate_secret, NULL },
    { SV_INIT(""), SV_INIT("Node"), validate_node, NULL },
    { SV_INIT(""), SV_INIT("Event"), validate_event, NULL },
    { SV_INIT("events.k8s.io"), SV_INIT("Event"), validate_newer_event, NULL },
    { SV_INIT(""), SV_INIT("Endpoints"), validate_endpoints, NULL },
    { SV_INIT(""), SV_INIT("PersistentVolumeClaim"), validate_claim, NULL },
    { SV_INIT(""), SV_INIT("PersistentVolume"), validate_volume, NULL },
    { SV_INIT(""), SV_INIT("ReplicationController"), validate_replication_controller, NULL },
    { SV_INIT("apps"), SV_INIT("Deployment"), validate_deployment, NULL },
    { SV_INIT("apps"), SV_INIT("ReplicaSet"), validate_replica_set, NULL },
    { SV_INIT("apps"), SV_INIT("StatefulSet"), validate_stateful_set, NULL },
    { SV_INIT("apps"), SV_INIT("DaemonSet"), validate_daemon_set, NULL },
    { SV_INIT("batch"), SV_INIT("Job"), validate_job, NULL },
    { SV_INIT("batch"), SV_INIT("CronJob"), validate_cron_job, NULL },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("Role"), validate_role, name_path_segment },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("ClusterRole"), validate_cluster_role,
      name_path_segment },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("RoleBinding"), validate_role_binding,
      name_path_segment },
    { SV_INIT("rbac.authorization.k8s.io"), SV_INIT("ClusterRoleBinding"),
      validate_cluster_role_binding, name_path_segment },
    { SV_INIT("coordination.k8s.io"), SV_INIT("Lease"), validate_lease, NULL },
    { SV_INIT("discovery.k8s.io"), SV_INIT("EndpointSlice"), validate_endpoint_slice, NULL },
    { SV_INIT("policy"), SV_INIT("PodDisruptionBudget"), validate_disruption_budget, NULL },
    { SV_INIT("autoscaling"), SV_INIT("HorizontalPodAutoscaler"), validate_autoscaler, NULL },
    { SV_INIT("scheduling.k8s.io"), SV_INIT("PriorityClass"), validate_priority_class, NULL },
    { SV_INIT("storage.k8s.io"), SV_INIT("StorageClass"), validate_storage_class, NULL },
    { SV_INIT("networking.k8s.io"), SV_INIT("Ingress"), validate_ingress, NULL },
    { SV_INIT("networking.k8s.io"), SV_INIT("NetworkPolicy"), validate_network_policy, NULL },
    { SV_INIT("networking.k8s.io"), SV_INIT("IPAddress"), validate_ip_address, NULL },
};

static int find_kind(const ApiResource *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (sv_eq(kinds[i].kind, r->kind) && sv_eq(kinds[i].group, r->group))
            return (int)i;
    }
    return -1;
}

NameCheck *api_name_format(const ApiResource *r)
{
    int kind = find_kind(r);
    return kind >= 0 && kinds[kind].name ? kinds[kind].name : name_dns1123_subdomain;
}

/* A generated name gets more characters, so the start of one may end with a dash. */
static void check_generate_name(ApiErrors *e, const ApiPath *p, StrView s, NameCheck *check)
{
    NameFaults f = { .n = 0 };
    char buf[NAME_BUFFER];

    if (s.len > 1 && sv_ends(s, SV("-")) &&
        sv_copy_cstr(sv_head(s, s.len - 2), buf, sizeof buf - 1)) {
        strcat(buf, "a");
        check(sv_cstr(buf), &f);
    } else {
        check(s, &f);
    }
    for (unsigned i = 0; i < f.n; i++)
        api_invalid(e, p, value_sv(s), "%.*s", SV_FMT(f.why[i]));
}

static void check_annotations(ApiErrors *e, const ApiPath *p, const Value *annotations)
{
    size_t total = 0;
    char buf[NAME_BUFFER];

    value_map_foreach (m, annotations) {
        NameFaults f = { .n = 0 };
        StrView key = m->key;
        total += key.len + value_str(&m->val).len;
        if (sv_copy_cstr(key, buf, sizeof buf)) { /* case does not matter here */
            for (char *c = buf; *c; c++)
                *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
            key = sv_n(buf, key.len);
        }
        name_label_key(key, &f);
        for (unsigned i = 0; i < f.n; i++)
            api_invalid(e, p, value_sv(m->key), "%.*s", SV_FMT(f.why[i]));
    }
    if (total > ANNOTATIONS_MAX)
        api_too_long(e, p, ANNOTATIONS_MAX);
}

static void check_owners(ApiErrors *e, const ApiPath *p, const Value *owners)
{
    static const char *const members[] = { "kind", "name", "uid" };
    const Value *controller = NULL;
    bool reported = false;
    uint32_t i = 0;

    value_list_foreach (o, owners) {
        ApiPath at = API_INDEX(p, i++), version = API_FIELD(&at, "apiVersion");
        if (text(o, "apiVersion").len == 0)
            api_invalid(e, &version, value_sv(SV("")), "version must not be empty");
        for (size_t k = 0; k < ARRAY_SIZE(members); k++) {
            ApiPath m = API_FIELD_SV(&at, sv_cstr(members[k]));
            if (text(o, members[k]).len == 0)
                api_invalid(e, &m, value_sv(SV("")), "must not be empty");
        }
        if (!truth(o, "controller"))
            continue;
        if (controller && !reported)
            api_invalid(e, p, *owners,
                        "Only one reference can have Controller set to true. Found \"true\" in "
                        "references for %.*s/%.*s and %.*s/%.*s",
                        SV_FMT(text(controller, "kind")), SV_FMT(text(controller, "name")),
                        SV_FMT(text(o, "kind")), SV_FMT(text(o, "name")));
        reported |= controller != NULL; /* once: the sentence shows the whole list */
        controller = o;
    }
}

static void check_finalizers(ApiErrors *e, const ApiPath *p, const Value *finalizers)
{
    value_list_foreach (f, finalizers)
        check_name(e, p, value_str(f), name_label_key);
}

static void check_meta_update(ApiErrors *e, const ApiPath *p, const Value *meta, const Value *old)
{
    static const char *const fixed[] = { "name",
                                         "namespace",
                                         "uid",
                                         "creationTimestamp",
                                         "deletionTimestamp",
                                         "deletionGracePeriodSeconds" };
    ApiPath finalizers = API_FIELD(p, "finalizers");
    Twins known = { .errors = e };

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        check_immutable(e, p, meta, old, fixed[i]);
    if (!get(old, "deletionTimestamp"))
        return;
    value_list_foreach (g, get(old, "finalizers"))
        is_twin(&known, value_str(g));
    value_list_foreach (f, get(meta, "finalizers")) {
        if (!twin_known(&known, value_str(f)))
            api_forbidden(
                e, &finalizers,
                "no new finalizers can be added if the object is being deleted, found new "
                "finalizers []string{\"%.*s\"}",
                SV_FMT(value_str(f)));
    }
}

void api_validate_meta(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *meta = get(obj, "metadata");
    ApiPath p = API_FIELD(NULL, "metadata"), name = API_FIELD(&p, "name");
    ApiPath generate = API_FIELD(&p, "generateName"), ns = API_FIELD(&p, "namespace");
    ApiPath labels = API_FIELD(&p, "labels"), annotations = API_FIELD(&p, "annotations");
    ApiPath owners = API_FIELD(&p, "ownerReferences"), finalizers = API_FIELD(&p, "finalizers");
    NameCheck *check = api_name_format(r);

    if (text(meta, "generateName").len > 0)
        check_generate_name(e, &generate, text(meta, "generateName"), check);
    if (text(meta, "name").len == 0)
        api_required(e, &name, "name or generateName is required");
    else
        check_name(e, &name, text(meta, "name"), check);
    if (r->namespaced)
        check_required_name(e, &ns, text(meta, "namespace"), name_dns1123_label);
    else if (text(meta, "namespace").len > 0)
        api_forbidden(e, &ns, "not allowed on this type");
    check_not_negative(e, &p, meta, "generation");
    check_labels(e, &labels, get(meta, "labels"));
    check_annotations(e, &annotations, get(meta, "annotations"));
    check_owners(e, &owners, get(meta, "ownerReferences"));
    check_finalizers(e, &finalizers, get(meta, "finalizers"));
    if (old)
        check_meta_update(e, &p, meta, get(old, "metadata"));
}

void api_validate(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e)
{
    int kind = find_kind(r);

    if (r->stored)
        api_validate_meta(r, obj, old, e);
    if (kind >= 0 && kinds[kind].fn)
        kinds[kind].fn(obj, old, e);
}
