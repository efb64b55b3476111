/* validate_pod.c - pods and pod templates without their containers: volumes, policies, updates. */
#include "api/validate_internal.h"

enum { MODE_MAX = 0777 };

static void check_mode(ApiErrors *e, const ApiPath *p, const Value *map, const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));
    const Value *v = get(map, key);

    if (value_is(v, VALUE_INT) && (v->i < 0 || v->i > MODE_MAX))
        api_invalid(e, &at, *v, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void check_items(ApiErrors *e, const ApiPath *p, const Value *source)
{
    ApiPath list = API_FIELD(p, "items");
    uint32_t i = 0;

    check_mode(e, p, source, "defaultMode");
    value_list_foreach (item, get(source, "items")) {
        ApiPath at = API_INDEX(&list, i++), path = API_FIELD(&at, "path");
        check_required_text(e, &at, item, "key");
        if (text(item, "path").len == 0)
            api_required(e, &path, "");
        else
            check_relative_path(e, &path, text(item, "path"));
        check_mode(e, &at, item, "mode");
    }
}

static void check_host_path(ApiErrors *e, const ApiPath *p, const Value *v)
{
    static const StrView types[] = {
        SV_INIT(""),
        SV_INIT("BlockDevice"),
        SV_INIT("CharDevice"),
        SV_INIT("Directory"),
        SV_INIT("DirectoryOrCreate"),
        SV_INIT("File"),
        SV_INIT("FileOrCreate"),
        SV_INIT("Socket"),
    };
    ApiPath path = API_FIELD(p, "path");
    StrView rest = text(v, "path"), part;

    if (rest.len == 0)
        api_required(e, &path, "");
    while (sv_next(&rest, '/', &part)) {
        if (sv_eq(part, SV("..")))
            api_invalid(e, &path, value_sv(text(v, "path")), "must not contain '..'");
    }
    check_one_of(e, p, v, "type", types, ARRAY_SIZE(types), false);
}

/* The sources whose content we know; the others are taken as they are. */
static void check_source(ApiErrors *e, const ApiPath *p, StrView kind, const Value *v)
{
    if (sv_eq(kind, SV("hostPath"))) {
        check_host_path(e, p, v);
    } else if (sv_eq(kind, SV("secret"))) {
        check_required_text(e, p, v, "secretName");
        check_items(e, p, v);
    } else if (sv_eq(kind, SV("configMap"))) {
        check_required_text(e, p, v, "name");
        check_items(e, p, v);
    } else if (sv_eq(kind, SV("persistentVolumeClaim"))) {
        check_required_text(e, p, v, "claimName");
    } else if (sv_eq(kind, SV("nfs"))) {
        check_required_text(e, p, v, "server");
        check_required_text(e, p, v, "path");
    } else if (sv_eq(kind, SV("csi"))) {
        check_required_text(e, p, v, "driver");
    } else if (sv_eq(kind, SV("projected"))) {
        check_mode(e, p, v, "defaultMode");
    }
}

void validate_volumes(ApiErrors *e, const ApiPath *p, const Value *volumes)
{
    uint32_t i = 0;
    Twins names = { .errors = e };

    value_list_foreach (v, volumes) {
        ApiPath at = API_INDEX(p, i), name = API_FIELD(&at, "name");
        StrView s = text(v, "name");
        unsigned sources = 0;
        check_required_name(e, &name, s, name_dns1123_label);
        if (s.len > 0 && is_twin(&names, s))
            api_duplicate(e, &name, value_sv(s));
        value_map_foreach (m, v) {
            ApiPath source = API_FIELD_SV(&at, m->key);
            if (sv_eq(m->key, SV("name")))
                continue;
            if (sources++ > 0)
                api_forbidden(e, &source, "may not specify more than 1 volume type");
            else
                check_source(e, &source, m->key, &m->val);
        }
        if (sources == 0)
            api_required(e, &at, "must specify a volume type");
        i++;
    }
}

static void check_tolerations(ApiErrors *e, const ApiPath *p, const Value *list)
{
    static const StrView operators[] = { SV_INIT("Equal"), SV_INIT("Exists") };
    static const StrView effects[] = { SV_INIT("NoExecute"), SV_INIT("NoSchedule"),
                                       SV_INIT("PreferNoSchedule") };
    uint32_t i = 0;

    value_list_foreach (t, list) {
        ApiPath at = API_INDEX(p, i++), key = API_FIELD(&at, "key"),
                op = API_FIELD(&at, "operator");
        ApiPath effect = API_FIELD(&at, "effect");
        bool exists = sv_eq(text(t, "operator"), SV("Exists"));
        if (text(t, "key").len > 0)
            check_name(e, &key, text(t, "key"), name_label_key);
        else if (!exists)
            api_invalid(
                e, &op, value_sv(text(t, "operator")),
                "operator must be Exists when `key` is empty, which means \"match all values "
                "and all keys\"");
        if (exists && text(t, "value").len > 0)
            api_invalid(e, &op, value_sv(text(t, "value")),
                        "value must be empty when `operator` is 'Exists'");
        if (get(t, "tolerationSeconds") && !sv_eq(text(t, "effect"), SV("NoExecute")))
            api_invalid(e, &effect, value_sv(text(t, "effect")),
                        "effect must be 'NoExecute' when `tolerationSeconds` is set");
        check_one_of(e, &at, t, "operator", operators, ARRAY_SIZE(operators), false);
        check_one_of(e, &at, t, "effect", effects, ARRAY_SIZE(effects), false);
    }
}

static void check_names(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const struct {
        const char *key;
        NameCheck *check;
    } names[] = {
        { "nodeName", name_dns1123_subdomain },
        { "serviceAccountName", name_dns1123_subdomain },
        { "priorityClassName", name_dns1123_subdomain },
        { "runtimeClassName", name_dns1123_subdomain },
        { "schedulerName", name_label_key },
        { "hostname", name_dns1123_label },
        { "subdomain", name_dns1123_label },
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        ApiPath at = API_FIELD_SV(p, sv_cstr(names[i].key));
        if (text(spec, names[i].key).len > 0)
            check_name(e, &at, text(spec, names[i].key), names[i].check);
    }
}

static void check_host_ports(ApiErrors *e, const ApiPath *p, const Value *containers)
{
    uint32_t i = 0;

    value_list_foreach (c, containers) {
        ApiPath at = API_INDEX(p, i++), ports = API_FIELD(&at, "ports");
        uint32_t j = 0;
        value_list_foreach (port, get(c, "ports")) {
            ApiPath one = API_INDEX(&ports, j++), container = API_FIELD(&one, "containerPort");
            int64_t host = number(port, "hostPort");
            if (host != 0 && host != number(port, "containerPort"))
                api_invalid(e, &container, value_int(number(port, "containerPort")),
                            "must match `hostPort` when `hostNetwork` is true");
        }
    }
}

/* Parts of small letters, digits, '-' and '_' (not at an end), between dots or slashes. */
static bool is_sysctl_name(StrView s)
{
    bool inside = false, edge = false; /* within a part; its last byte may end it */
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool separates = c == '.' || c == '/';
        if ((separates && !edge) || (!separates && !plain && !((c == '-' || c == '_') && inside)))
            return false;
        inside = !separates;
        edge = plain;
    }
    return edge;
}

static void check_sysctl(ApiErrors *e, const ApiPath *p, StrView name, Twins *seen)
{
    enum { SYSCTL_NAME_MAX = 253 };
    ApiPath name_at = API_FIELD(p, "name");
    if (!name.len)
        api_required(e, &name_at, "");
    else if (name.len > SYSCTL_NAME_MAX || !is_sysctl_name(name))
        api_invalid(e, &name_at, value_sv(name),
                    "must have at most 253 characters and match regex "
                    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    else if (is_twin(seen, name))
        api_duplicate(e, &name_at, value_sv(name));
}

static void check_pod_security(ApiErrors *e, const ApiPath *p, const Value *s)
{
    ApiPath sysctls = API_FIELD(p, "sysctls");
    Twins seen = { .errors = e };
    uint32_t i = 0;

    check_range(e, p, s, "runAsUser", 0, INT32_MAX);
    check_range(e, p, s, "runAsGroup", 0, INT32_MAX);
    check_range(e, p, s, "fsGroup", 0, INT32_MAX);
    value_list_foreach (one, get(s, "sysctls")) {
        ApiPath at = API_INDEX(&sysctls, i++);
        check_sysctl(e, &at, text(one, "name"), &seen);
    }
}

static void check_spread(ApiErrors *e, const ApiPath *p, const Value *list)
{
    static const StrView actions[] = { SV_INIT("DoNotSchedule"), SV_INIT("ScheduleAnyway") };
    uint32_t i = 0;

    value_list_foreach (t, list) {
        ApiPath at = API_INDEX(p, i++), skew = API_FIELD(&at, "maxSkew");
        ApiPath key = API_FIELD(&at, "topologyKey");
        if (number(t, "maxSkew") <= 0)
            api_invalid(e, &skew, value_int(number(t, "maxSkew")), "must be greater than zero");
        if (text(t, "topologyKey").len == 0)
            api_required(e, &key, "can not be empty");
        check_one_of(e, &at, t, "whenUnsatisfiable", actions, ARRAY_SIZE(actions), true);
    }
}

void validate_pod_spec(ApiErrors *e, const ApiPath *p, const Value *spec, const Value *claims)
{
    static const StrView restart[] = { SV_INIT("Always"), SV_INIT("OnFailure"), SV_INIT("Never") };
    static const StrView dns[] = { SV_INIT("ClusterFirstWithHostNet"), SV_INIT("ClusterFirst"),
                                   SV_INIT("Default"), SV_INIT("None") };
    ApiPath volumes = API_FIELD(p, "volumes"), containers = API_FIELD(p, "containers");
    ApiPath tolerations = API_FIELD(p, "tolerations"), selector = API_FIELD(p, "nodeSelector");
    ApiPath security = API_FIELD(p, "securityContext"), config = API_FIELD(p, "dnsConfig");
    ApiPath nameservers = API_FIELD(&config, "nameservers");
    ApiPath spread = API_FIELD(p, "topologySpreadConstraints");
    const Value *dns_config = get(spec, "dnsConfig");

    validate_volumes(e, &volumes, get(spec, "volumes"));
    validate_containers(e, p, spec, claims);
    check_one_of(e, p, spec, "restartPolicy", restart, ARRAY_SIZE(restart), true);
    check_one_of(e, p, spec, "dnsPolicy", dns, ARRAY_SIZE(dns), true);
    if (sv_eq(text(spec, "dnsPolicy"), SV("None")) && !dns_config)
        api_required(e, &config, "must provide `dnsConfig` when `dnsPolicy` is None");
    else if (sv_eq(text(spec, "dnsPolicy"), SV("None")) && count(dns_config, "nameservers") == 0)
        api_required(e, &nameservers,
                     "must provide at least one DNS nameserver when `dnsPolicy` is None");
    check_labels(e, &selector, get(spec, "nodeSelector"));
    check_names(e, p, spec);
    check_tolerations(e, &tolerations, get(spec, "tolerations"));
    check_pod_security(e, &security, get(spec, "securityContext"));
    check_spread(e, &spread, get(spec, "topologySpreadConstraints"));
    check_not_negative(e, p, spec, "terminationGracePeriodSeconds");
    check_range(e, p, spec, "activeDeadlineSeconds", 1, INT32_MAX);
    if (truth(spec, "hostNetwork"))
        check_host_ports(e, &containers, get(spec, "containers"));
}

void validate_template(ApiErrors *e, const ApiPath *p, const Value *template, const Value *claims)
{
    ApiPath meta = API_FIELD(p, "metadata"), labels = API_FIELD(&meta, "labels");
    ApiPath spec = API_FIELD(p, "spec");

    check_labels(e, &labels, get(get(template, "metadata"), "labels"));
    validate_pod_spec(e, &spec, get(template, "spec"), claims);
}

/* A copy of the new spec in which everything that may change is as it was. */
static bool with_old_mutables(Arena *a, const Value *spec, const Value *old, Value *ret)
{
    static const char *const lists[] = { "containers", "initContainers" };
    static const char *const free_members[] = {
        "activeDeadlineSeconds", "tolerations",  "terminationGracePeriodSeconds",
        "schedulingGates",       "nodeSelector", "affinity"
    };

    if (!value_clone(a, spec, ret))
        return false;
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        Value *list = value_get(ret, sv_cstr(lists[k]));
        for (uint32_t i = 0; i < value_len(list); i++) {
            const Value *was = get(value_at(get(old, lists[k]), i), "image");
            if (was && !value_set(a, &list->items[i], SV("image"), *was))
                return false;
        }
    }
    /* A gated pod is not scheduled yet: where it may go can still be narrowed down. */
    size_t n = count(old, "schedulingGates") ? ARRAY_SIZE(free_members) : 3;
    for (size_t i = 0; i < n; i++) {
        const Value *was = get(old, free_members[i]);
        value_del(ret, sv_cstr(free_members[i]));
        if (was && !value_set(a, ret, sv_cstr(free_members[i]), *was))
            return false;
    }
    return true;
}

/* What makes a toleration; its seconds may change. */
static StrView toleration_key(Arena *a, const Value *t)
{
    const StrView parts[] = { text(t, "key"),   SV("\n"), text(t, "operator"), SV("\n"),
                              text(t, "value"), SV("\n"), text(t, "effect") };
    return arena_join(a, parts, ARRAY_SIZE(parts));
}

/* Tolerations may only be added. */
static bool only_added(ApiErrors *e, const Value *list, const Value *old)
{
    Twins present = { .errors = e };

    value_list_foreach (t, list)
        is_twin(&present, toleration_key(e->arena, t));
    value_list_foreach (o, old) {
        if (!twin_known(&present, toleration_key(e->arena, o)))
            return false;
    }
    return true;
}

static void check_pod_update(ApiErrors *e, const ApiPath *p, const Value *spec, const Value *old)
{
    ApiPath containers = API_FIELD(p, "containers"), init = API_FIELD(p, "initContainers");
    ApiPath tolerations = API_FIELD(p, "tolerations"),
            deadline = API_FIELD(p, "activeDeadlineSeconds");
    Value as_was;

    if (count(spec, "containers") != count(old, "containers")) {
        api_forbidden(e, &containers, "pod updates may not add or remove containers");
        return;
    }
    if (count(spec, "initContainers") != count(old, "initContainers")) {
        api_forbidden(e, &init, "pod updates may not add or remove containers");
        return;
    }
    const Value *now = get(spec, "activeDeadlineSeconds"), *was = get(old, "activeDeadlineSeconds");
    if (was && now && now->i > was->i)
        api_invalid(e, &deadline, *now, "must be less than or equal to previous value");
    else if (was && !now)
        api_invalid(e, &deadline, value_null(),
                    "must not update from a positive integer to nil value");
    if (!only_added(e, get(spec, "tolerations"), get(old, "tolerations")))
        api_forbidden(e, &tolerations,
                      "existing toleration can not be modified except its tolerationSeconds");
    if (!with_old_mutables(e->arena, spec, old, &as_was))
        e->failed = true;
    else if (!value_equal(&as_was, old))
        api_forbidden(
            e, p,
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
            "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
            "(allow it to be set to 1 if it was previously negative)");
}

void validate_pod(const Value *obj, const Value *old, ApiErrors *e)
{
    ApiPath spec = API_FIELD(NULL, "spec");

    validate_pod_spec(e, &spec, get(obj, "spec"), NULL);
    if (old)
        check_pod_update(e, &spec, get(obj, "spec"), get(old, "spec"));
}

void api_validate_ephemeral(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e)
{
    ApiPath spec = API_FIELD(NULL, "spec"), p = API_FIELD(&spec, "ephemeralContainers");
    const Value *now = get(get(obj, "spec"), "ephemeralContainers");
    KeyIndex places = { 0 };
    uint32_t at, i = 0;
    bool fresh;

    api_validate_meta(r, obj, old, e);
    validate_pod_spec(e, &spec, get(obj, "spec"), NULL);
    value_list_foreach (c, now)
        e->failed |= !key_index_add(&places, e->arena, text(c, "name"), i++, &at, &fresh);
    value_list_foreach (c, get(get(old, "spec"), "ephemeralContainers")) {
        int64_t place = key_index_find(&places, text(c, "name"));
        if (place < 0)
            api_forbidden(e, &p, "existing ephemeral containers \"%.*s\" may not be removed\n",
                          SV_FMT(text(c, "name")));
        else if (!value_equal(c, value_at(now, (uint32_t)place)))
            api_forbidden(e, &p, "existing ephemeral containers \"%.*s\" may not be changed\n",
                          SV_FMT(text(c, "name")));
    }
}
