/* validate_container.c - containers of a pod: ports, environment, mounts, probes, resources. */
#include "api/quantity.h"
#include "api/validate_internal.h"

static const StrView protocols[] = { SV_INIT("SCTP"), SV_INIT("TCP"), SV_INIT("UDP") };

static void check_ports(ApiErrors *e, const ApiPath *p, const Value *ports)
{
    uint32_t i = 0;
    Twins names = { .errors = e };

    value_list_foreach (port, ports) {
        ApiPath at = API_INDEX(p, i), name = API_FIELD(&at, "name");
        ApiPath container = API_FIELD(&at, "containerPort");
        StrView s = text(port, "name");
        if (s.len > 0) {
            check_name(e, &name, s, name_port);
            if (is_twin(&names, s))
                api_duplicate(e, &name, value_sv(s));
        }
        if (number(port, "containerPort") == 0)
            api_required(e, &container, "");
        else
            check_port(e, &at, port, "containerPort");
        if (number(port, "hostPort") != 0)
            check_port(e, &at, port, "hostPort");
        check_one_of(e, &at, port, "protocol", protocols, ARRAY_SIZE(protocols), true);
        i++;
    }
}

static void check_value_from(ApiErrors *e, const ApiPath *p, const Value *var)
{
    const Value *from = get(var, "valueFrom");
    ApiPath field = API_FIELD(p, "fieldRef"), secret = API_FIELD(p, "secretKeyRef");
    ApiPath config = API_FIELD(p, "configMapKeyRef"), resource = API_FIELD(p, "resourceFieldRef");

    if (text(var, "value").len > 0)
        api_invalid(e, p, value_sv(SV("")), "may not be specified when `value` is not empty");
    if (value_len(from) == 0)
        api_invalid(e, p, value_sv(SV("")),
                    "must specify one of: `fieldRef`, `resourceFieldRef`, "
                    "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
    else if (value_len(from) > 1)
        api_invalid(e, p, value_sv(SV("")), "may not have more than one field specified at a time");
    if (get(from, "fieldRef"))
        check_required_text(e, &field, get(from, "fieldRef"), "fieldPath");
    if (get(from, "resourceFieldRef"))
        check_required_text(e, &resource, get(from, "resourceFieldRef"), "resource");
    if (get(from, "secretKeyRef")) {
        check_required_text(e, &secret, get(from, "secretKeyRef"), "name");
        check_required_text(e, &secret, get(from, "secretKeyRef"), "key");
    }
    if (get(from, "configMapKeyRef")) {
        check_required_text(e, &config, get(from, "configMapKeyRef"), "name");
        check_required_text(e, &config, get(from, "configMapKeyRef"), "key");
    }
}

static void check_env(ApiErrors *e, const ApiPath *p, const Value *env)
{
    uint32_t i = 0;

    value_list_foreach (var, env) {
        ApiPath at = API_INDEX(p, i++), name = API_FIELD(&at, "name");
        ApiPath from = API_FIELD(&at, "valueFrom");
        check_required_name(e, &name, text(var, "name"), name_env);
        if (get(var, "valueFrom"))
            check_value_from(e, &from, var);
    }
}

static void check_env_from(ApiErrors *e, const ApiPath *p, const Value *list)
{
    uint32_t i = 0;

    value_list_foreach (from, list) {
        ApiPath at = API_INDEX(p, i++), prefix = API_FIELD(&at, "prefix");
        ApiPath config = API_FIELD(&at, "configMapRef"), secret = API_FIELD(&at, "secretRef");
        const Value *c = get(from, "configMapRef"), *s = get(from, "secretRef");
        if (text(from, "prefix").len > 0)
            check_name(e, &prefix, text(from, "prefix"), name_env);
        if (!c && !s)
            api_invalid(e, &at, value_sv(SV("")),
                        "must specify one of: `configMapRef` or `secretRef`");
        else if (c && s)
            api_invalid(e, &at, value_sv(SV("")),
                        "may not have more than one field specified at a time");
        if (c)
            check_required_text(e, &config, c, "name");
        if (s)
            check_required_text(e, &secret, s, "name");
    }
}

static void check_mounts(ApiErrors *e, const ApiPath *p, const Value *mounts, const Twins *volumes)
{
    static const StrView propagation[] = { SV_INIT("Bidirectional"), SV_INIT("HostToContainer"),
                                           SV_INIT("None") };
    uint32_t i = 0;
    Twins places = { .errors = e };

    value_list_foreach (m, mounts) {
        ApiPath at = API_INDEX(p, i), name = API_FIELD(&at, "name");
        ApiPath path = API_FIELD(&at, "mountPath"), sub = API_FIELD(&at, "subPath");
        ApiPath expr = API_FIELD(&at, "subPathExpr");
        StrView where = text(m, "mountPath");
        if (text(m, "name").len == 0)
            api_required(e, &name, "");
        else if (!twin_known(volumes, text(m, "name")))
            api_not_found(e, &name, value_sv(text(m, "name")));
        if (where.len == 0)
            api_required(e, &path, "");
        if (where.len > 0 && is_twin(&places, where))
            api_invalid(e, &path, value_sv(where), "must be unique");
        if (text(m, "subPath").len > 0)
            check_relative_path(e, &sub, text(m, "subPath"));
        if (text(m, "subPathExpr").len > 0) {
            if (text(m, "subPath").len > 0)
                api_invalid(e, &expr, value_sv(text(m, "subPathExpr")),
                            "subPathExpr and subPath are mutually exclusive");
            check_relative_path(e, &expr, text(m, "subPathExpr"));
        }
        check_one_of(e, &at, m, "mountPropagation", propagation, ARRAY_SIZE(propagation), false);
        i++;
    }
}

static void check_http_get(ApiErrors *e, const ApiPath *p, const Value *get_action)
{
    static const StrView schemes[] = { SV_INIT("HTTP"), SV_INIT("HTTPS") };
    ApiPath headers = API_FIELD(p, "httpHeaders");
    uint32_t i = 0;

    check_required_text(e, p, get_action, "path");
    check_port(e, p, get_action, "port");
    check_one_of(e, p, get_action, "scheme", schemes, ARRAY_SIZE(schemes), true);
    value_list_foreach (h, get(get_action, "httpHeaders")) {
        ApiPath at = API_INDEX(&headers, i++), name = API_FIELD(&at, "name");
        check_name(e, &name, text(h, "name"), name_http_header);
    }
}

/* The one action of a probe or hook. */
static void check_handler(ApiErrors *e, const ApiPath *p, const Value *h)
{
    static const char *const actions[] = { "exec", "httpGet", "tcpSocket", "grpc", "sleep" };
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        const Value *action = get(h, actions[i]);
        ApiPath at = API_FIELD_SV(p, sv_cstr(actions[i])), command = API_FIELD(&at, "command");
        if (!action)
            continue;
        if (n++ > 0) {
            api_forbidden(e, &at, "may not specify more than 1 handler type");
        } else if (i == 0) {
            if (count(action, "command") == 0)
                api_required(e, &command, "");
        } else if (i == 1) {
            check_http_get(e, &at, action);
        } else if (i <= 3) {
            check_port(e, &at, action, "port");
        }
    }
    if (n == 0)
        api_required(e, p, "must specify a handler type");
}

static void check_probe(ApiErrors *e, const ApiPath *p, const Value *probe, bool once)
{
    static const char *const numbers[] = { "initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                           "successThreshold", "failureThreshold" };
    ApiPath success = API_FIELD(p, "successThreshold");

    if (!probe)
        return;
    check_handler(e, p, probe);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        check_not_negative(e, p, probe, numbers[i]);
    if (once && number(probe, "successThreshold") != 1)
        api_invalid(e, &success, value_int(number(probe, "successThreshold")), "must be 1");
}

static bool is_standard_resource(StrView name)
{
    static const StrView names[] = { SV_INIT("cpu"), SV_INIT("memory"),
                                     SV_INIT("ephemeral-storage") };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (sv_eq(names[i], name))
            return true;
    }
    return sv_starts(name, SV("hugepages-")) || sv_find_char(name, '/') >= 0;
}

#define NANO_ONE 1000000000

static void check_amounts(ApiErrors *e, const ApiPath *p, const Value *amounts)
{
    value_map_foreach (m, amounts) {
        ApiPath at = API_KEY(p, m->key);
        ApiQuantity q;
        check_name(e, &at, m->key, name_label_key);
        if (!is_standard_resource(m->key))
            api_invalid(e, &at, value_sv(m->key),
                        "must be a standard resource type or fully qualified");
        if (api_quantity_from(&m->val, &q, NULL) < 0)
            continue;
        if (q.nano < 0)
            api_invalid(e, &at, m->val, "must be greater than or equal to 0");
        else if (sv_find_char(m->key, '/') >= 0 && q.nano % NANO_ONE != 0)
            api_invalid(e, &at, m->val, "must be an integer"); /* of things: none can be shared */
    }
}

void validate_resources(ApiErrors *e, const ApiPath *p, const Value *resources)
{
    const Value *limits = get(resources, "limits"), *requests = get(resources, "requests");
    ApiPath lp = API_FIELD(p, "limits"), rp = API_FIELD(p, "requests");

    check_amounts(e, &lp, limits);
    check_amounts(e, &rp, requests);
    value_map_foreach (m, requests) {
        const Value *limit = value_get(limits, m->key);
        ApiQuantity asked, most;
        if (!limit || api_quantity_from(&m->val, &asked, NULL) < 0 ||
            api_quantity_from(limit, &most, NULL) < 0)
            continue;
        if (api_quantity_cmp(&asked, &most) > 0)
            api_invalid(e, &rp, m->val, "must be less than or equal to %.*s limit of %.*s",
                        SV_FMT(m->key), SV_FMT(value_str(limit)));
    }
}

static void check_security(ApiErrors *e, const ApiPath *p, const Value *s)
{
    const Value *escalation = get(s, "allowPrivilegeEscalation");

    check_range(e, p, s, "runAsUser", 0, INT32_MAX);
    check_range(e, p, s, "runAsGroup", 0, INT32_MAX);
    if (truth(s, "privileged") && escalation && !value_bool_or(escalation, true))
        api_invalid(e, p, *s,
                    "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
}

static void check_policies(ApiErrors *e, const ApiPath *p, const Value *c)
{
    static const StrView pull[] = { SV_INIT("Always"), SV_INIT("IfNotPresent"), SV_INIT("Never") };
    static const StrView message[] = { SV_INIT("FallbackToLogsOnError"), SV_INIT("File") };

    check_one_of(e, p, c, "imagePullPolicy", pull, ARRAY_SIZE(pull), true);
    check_one_of(e, p, c, "terminationMessagePolicy", message, ARRAY_SIZE(message), true);
}

static void check_container(ApiErrors *e, const ApiPath *p, const Value *c, const Twins *volumes)
{
    ApiPath image = API_FIELD(p, "image"), ports = API_FIELD(p, "ports"), env = API_FIELD(p, "env");
    ApiPath from = API_FIELD(p, "envFrom"), mounts = API_FIELD(p, "volumeMounts");
    ApiPath live = API_FIELD(p, "livenessProbe"), ready = API_FIELD(p, "readinessProbe");
    ApiPath startup = API_FIELD(p, "startupProbe"), resources = API_FIELD(p, "resources");
    ApiPath hooks = API_FIELD(p, "lifecycle"), security = API_FIELD(p, "securityContext");
    ApiPath start = API_FIELD(&hooks, "postStart"), stop = API_FIELD(&hooks, "preStop");
    const Value *lifecycle = get(c, "lifecycle");
    StrView s = text(c, "image");

    if (s.len == 0)
        api_required(e, &image, "");
    else if (sv_trim(s).len != s.len)
        api_invalid(e, &image, value_sv(s), "must not have leading or trailing whitespace");
    check_ports(e, &ports, get(c, "ports"));
    check_env(e, &env, get(c, "env"));
    check_env_from(e, &from, get(c, "envFrom"));
    check_mounts(e, &mounts, get(c, "volumeMounts"), volumes);
    check_probe(e, &live, get(c, "livenessProbe"), true);
    check_probe(e, &ready, get(c, "readinessProbe"), false);
    check_probe(e, &startup, get(c, "startupProbe"), true);
    if (get(lifecycle, "postStart"))
        check_handler(e, &start, get(lifecycle, "postStart"));
    if (get(lifecycle, "preStop"))
        check_handler(e, &stop, get(lifecycle, "preStop"));
    check_policies(e, p, c);
    validate_resources(e, &resources, get(c, "resources"));
    check_security(e, &security, get(c, "securityContext"));
}

/* A container that runs to the end before the others start cannot be probed or hooked. */
static void check_init(ApiErrors *e, const ApiPath *p, const Value *c)
{
    static const char *const members[] = { "lifecycle", "livenessProbe", "readinessProbe",
                                           "startupProbe" };
    static const StrView always[] = { SV_INIT("Always") };

    check_one_of(e, p, c, "restartPolicy", always, 1, false);
    if (sv_eq(text(c, "restartPolicy"), SV("Always"))) /* a sidecar */
        return;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        ApiPath at = API_FIELD_SV(p, sv_cstr(members[i]));
        if (get(c, members[i]))
            api_forbidden(e, &at,
                          "may not be set for init containers without restartPolicy=Always");
    }
}

void validate_containers(ApiErrors *e, const ApiPath *spec_path, const Value *spec,
                         const Value *claims)
{
    static const char *const keys[] = { "containers", "initContainers", "ephemeralContainers" };
    Twins names = { .errors = e }, volumes = { .errors = e };

    value_list_foreach (v, get(spec, "volumes"))
        is_twin(&volumes, text(v, "name"));
    value_list_foreach (v, claims)
        is_twin(&volumes, text(get(v, "metadata"), "name"));
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        const Value *list = get(spec, keys[k]);
        ApiPath p = API_FIELD_SV(spec_path, sv_cstr(keys[k]));
        if (k == 0 && value_len(list) == 0)
            api_required(e, &p, "");
        for (uint32_t i = 0; i < value_len(list); i++) {
            const Value *c = &list->items[i];
            ApiPath at = API_INDEX(&p, i), name = API_FIELD(&at, "name");
            check_required_name(e, &name, text(c, "name"), name_dns1123_label);
            if (text(c, "name").len > 0 && is_twin(&names, text(c, "name")))
                api_duplicate(e, &name, value_sv(text(c, "name")));
            check_container(e, &at, c, &volumes);
            if (k == 1)
                check_init(e, &at, c);
        }
    }
}
