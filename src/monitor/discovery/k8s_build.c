/* k8s_build.c - pods, services, nodes and ingresses as target groups, with Prometheus' labels. */
#include "monitor/discovery/kubernetes.h"

#define PREFIX "__meta_kubernetes_"

void k8s_set(LabelsBuilder *b, const char *name, StrView value)
{
    if (sv_empty(value))
        return;
    StrView full = arena_printf(b->arena, PREFIX "%s", name);
    if (!full.ptr)
        b->failed = true;
    else
        labels_builder_set(b, full, value);
}

void k8s_set_bool(LabelsBuilder *b, const char *name, const Value *v)
{
    if (value_is(v, VALUE_BOOL))
        k8s_set(b, name, v->b ? SV("true") : SV("false"));
}

StrView k8s_number(Arena *a, int64_t n)
{
    return arena_printf(a, "%lld", (long long)n);
}

StrView k8s_sanitize(Arena *a, StrView s)
{
    char *out = arena_alloc(a, s.len + 1);
    for (size_t i = 0; out && i < s.len; i++) {
        char c = s.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        out[i] = fine ? c : '_';
    }
    return out ? sv_n(out, s.len) : SV_NULL;
}

static void set_map(LabelsBuilder *b, const char *role, const char *what, const Value *map)
{
    value_map_foreach (m, map) {
        StrView name = k8s_sanitize(b->arena, m->key);
        StrView value = arena_printf(b->arena, PREFIX "%s_%s_%.*s", role, what, SV_FMT(name));
        StrView present =
            arena_printf(b->arena, PREFIX "%s_%spresent_%.*s", role, what, SV_FMT(name));
        if (!name.ptr || !value.ptr || !present.ptr) {
            b->failed = true;
            return;
        }
        labels_builder_set(b, value, value_str(&m->val));
        labels_builder_set(b, present, SV("true"));
    }
}

void k8s_set_meta(LabelsBuilder *b, const char *role, const Value *obj, bool with_name)
{
    const Value *meta = value_get(obj, SV("metadata"));
    if (with_name) {
        StrView name = arena_printf(b->arena, PREFIX "%s_name", role);
        if (!name.ptr)
            b->failed = true;
        else
            labels_builder_set(b, name, value_str(value_get(meta, SV("name"))));
    }
    set_map(b, role, "label", value_get(meta, SV("labels")));
    set_map(b, role, "annotation", value_get(meta, SV("annotations")));
}

void k8s_set_address(LabelsBuilder *b, StrView host, int64_t port)
{
    bool v6 = sv_find_char(host, ':') >= 0;
    StrView text = port < 0 ? host
                   : v6     ? arena_printf(b->arena, "[%.*s]:%lld", SV_FMT(host), (long long)port)
                            : arena_printf(b->arena, "%.*s:%lld", SV_FMT(host), (long long)port);
    if (!text.ptr)
        b->failed = true;
    else
        labels_builder_set(b, SV("__address__"), text);
}

void k8s_add_target(K8sBuild *k, LabelsBuilder *b)
{
    if (k->n == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 8;
        Labels *grown =
            arena_realloc(k->arena, k->targets, k->cap * sizeof *grown, cap * sizeof *grown);
        if (!grown) {
            k->failed = true;
            return;
        }
        k->targets = grown;
        k->cap = cap;
    }
    if (!labels_builder_take(b, &k->targets[k->n++]))
        k->failed = true;
}

static StrView namespace_of(const Value *obj)
{
    return value_path_str(obj, "metadata.namespace");
}

/* ---- node ---- */

static void node_labels(LabelsBuilder *b, const Value *node)
{
    k8s_set(b, "node_provider_id", value_path_str(node, "spec.providerID"));
    value_list_foreach (c, value_path(node, "status.conditions")) {
        StrView type = arena_sv(b->arena, value_str(value_get(c, SV("type"))));
        StrView status = arena_sv(b->arena, value_str(value_get(c, SV("status"))));
        char *t = (char *)(uintptr_t)type.ptr, *s = (char *)(uintptr_t)status.ptr;
        for (size_t i = 0; t && i < type.len; i++)
            t[i] = t[i] >= 'A' && t[i] <= 'Z' ? (char)(t[i] + 32) : t[i];
        for (size_t i = 0; s && i < status.len; i++)
            s[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
        StrView clean = k8s_sanitize(b->arena, type);
        StrView name = arena_printf(b->arena, PREFIX "node_condition_%.*s", SV_FMT(clean));
        if (!t || !s || !clean.ptr || !name.ptr)
            b->failed = true;
        else
            labels_builder_set(b, name, status);
    }
    k8s_set_meta(b, "node", node, true);
}

void k8s_set_node(K8sBuild *k, LabelsBuilder *b, StrView node)
{
    const Value *v = k->look->attach_node && node.len
                         ? k->look->get(k->look->ctx, K8S_NODE, SV(""), node, k->arena)
                         : NULL;
    if (v)
        node_labels(b, v);
}

static StrView node_address(const Value *node)
{
    static const char *const types[] = { "InternalIP",  "InternalDNS",  "ExternalIP",
                                         "ExternalDNS", "LegacyHostIP", "Hostname" };
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
        value_list_foreach (a, value_path(node, "status.addresses"))
            if (sv_eq(value_str(value_get(a, SV("type"))), sv_cstr(types[i])))
                return value_str(value_get(a, SV("address")));
    return SV("");
}

static void build_node(K8sBuild *k)
{
    StrView address = node_address(k->obj);
    LabelsBuilder t;

    node_labels(&k->group, k->obj);
    if (sv_empty(address))
        return;
    labels_builder_init(&t, k->arena, (Labels){ 0 });
    const Value *port = value_path(k->obj, "status.daemonEndpoints.kubeletEndpoint");
    k8s_set_address(&t, address, value_int_or(value_get(port, SV("Port")), 0));
    labels_builder_set(&t, SV("instance"), value_path_str(k->obj, "metadata.name"));
    value_list_foreach (a, value_path(k->obj, "status.addresses")) {
        StrView type = k8s_sanitize(k->arena, value_str(value_get(a, SV("type"))));
        StrView name = arena_printf(k->arena, PREFIX "node_address_%.*s", SV_FMT(type));
        if (!type.ptr || !name.ptr)
            k->failed = true;
        else if (sv_empty(labels_builder_get(&t, name))) /* the first of a type */
            labels_builder_set(&t, name, value_str(value_get(a, SV("address"))));
    }
    k8s_add_target(k, &t);
}

/* ---- pod ---- */

static StrView pod_ready(const Value *pod)
{
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        if (!sv_eq(value_str(value_get(c, SV("type"))), SV("Ready")))
            continue;
        StrView s = value_str(value_get(c, SV("status")));
        return sv_eq(s, SV("True"))    ? SV("true")
               : sv_eq(s, SV("False")) ? SV("false")
                                       : SV("unknown");
    }
    return SV("unknown");
}

void k8s_set_pod(LabelsBuilder *b, const Value *pod)
{
    k8s_set(b, "pod_ip", value_path_str(pod, "status.podIP"));
    k8s_set(b, "pod_ready", pod_ready(pod));
    k8s_set(b, "pod_phase", value_path_str(pod, "status.phase"));
    k8s_set(b, "pod_node_name", value_path_str(pod, "spec.nodeName"));
    k8s_set(b, "pod_host_ip", value_path_str(pod, "status.hostIP"));
    k8s_set(b, "pod_uid", value_path_str(pod, "metadata.uid"));
    k8s_set_meta(b, "pod", pod, true);
    value_list_foreach (o, value_path(pod, "metadata.ownerReferences")) {
        if (!value_bool_or(value_get(o, SV("controller")), false))
            continue;
        k8s_set(b, "pod_controller_kind", value_str(value_get(o, SV("kind"))));
        k8s_set(b, "pod_controller_name", value_str(value_get(o, SV("name"))));
        break;
    }
}

const Value *k8s_container(const Value *pod, unsigned i, bool *ret_init)
{
    const Value *own = value_path(pod, "spec.containers");
    *ret_init = i >= value_len(own);
    return *ret_init ? value_at(value_path(pod, "spec.initContainers"), i - value_len(own))
                     : value_at(own, i);
}

static StrView container_id(const Value *pod, StrView name, bool init)
{
    const Value *list =
        value_path(pod, init ? "status.initContainerStatuses" : "status.containerStatuses");
    value_list_foreach (s, list)
        if (sv_eq(value_str(value_get(s, SV("name"))), name))
            return value_str(value_get(s, SV("containerID")));
    return SV("");
}

static void add_container(K8sBuild *k, StrView ip, const Value *c, bool init, const Value *port)
{
    LabelsBuilder t;
    StrView name = value_str(value_get(c, SV("name")));
    int64_t number = value_int_or(value_get(port, SV("containerPort")), -1);

    labels_builder_init(&t, k->arena, (Labels){ 0 });
    k8s_set_address(&t, ip, number);
    k8s_set(&t, "pod_container_name", name);
    k8s_set(&t, "pod_container_id", container_id(k->obj, name, init));
    k8s_set(&t, "pod_container_image", value_str(value_get(c, SV("image"))));
    k8s_set(&t, "pod_container_init", init ? SV("true") : SV("false"));
    if (port) {
        k8s_set(&t, "pod_container_port_number", k8s_number(k->arena, number));
        k8s_set(&t, "pod_container_port_name", value_str(value_get(port, SV("name"))));
        k8s_set(&t, "pod_container_port_protocol", value_str(value_get(port, SV("protocol"))));
    }
    k8s_add_target(k, &t);
}

static void build_pod(K8sBuild *k)
{
    StrView ip = value_path_str(k->obj, "status.podIP");
    StrView node = value_path_str(k->obj, "spec.nodeName");
    const Value *c;
    bool init;

    if (sv_empty(ip)) /* starting, or evicted */
        return;
    if (k->look->attach_node && !k->look->get(k->look->ctx, K8S_NODE, SV(""), node, k->arena))
        return; /* a selector of nodes leaves it out */
    k8s_set_pod(&k->group, k->obj);
    k8s_set(&k->group, "namespace", namespace_of(k->obj));
    k8s_set_node(k, &k->group, node);
    for (unsigned i = 0; (c = k8s_container(k->obj, i, &init)); i++) {
        const Value *ports = value_get(c, SV("ports"));
        if (!value_len(ports))
            add_container(k, ip, c, init, NULL);
        value_list_foreach (p, ports)
            add_container(k, ip, c, init, p);
    }
}

/* ---- service ---- */

static StrView balancer_ips(K8sBuild *k)
{
    StrView all = SV("");
    value_list_foreach (i, value_path(k->obj, "status.loadBalancer.ingress")) {
        StrView ip = value_str(value_get(i, SV("ip")));
        if (ip.len)
            all = all.len ? arena_printf(k->arena, "%.*s,%.*s", SV_FMT(all), SV_FMT(ip)) : ip;
    }
    return all.len ? all : value_path_str(k->obj, "spec.loadBalancerIP");
}

static void build_service(K8sBuild *k)
{
    StrView type = value_path_str(k->obj, "spec.type");
    StrView host =
        arena_printf(k->arena, "%.*s.%.*s.svc", SV_FMT(value_path_str(k->obj, "metadata.name")),
                     SV_FMT(namespace_of(k->obj)));

    k8s_set(&k->group, "namespace", namespace_of(k->obj));
    k8s_set_meta(&k->group, "service", k->obj, true);
    value_list_foreach (p, value_path(k->obj, "spec.ports")) {
        int64_t port = value_int_or(value_get(p, SV("port")), 0);
        LabelsBuilder t;
        labels_builder_init(&t, k->arena, (Labels){ 0 });
        k8s_set_address(&t, host, port);
        k8s_set(&t, "service_port_name", value_str(value_get(p, SV("name"))));
        k8s_set(&t, "service_port_number", k8s_number(k->arena, port));
        k8s_set(&t, "service_port_protocol", value_str(value_get(p, SV("protocol"))));
        k8s_set(&t, "service_type", type);
        if (sv_eq(type, SV("ExternalName")))
            k8s_set(&t, "service_external_name", value_path_str(k->obj, "spec.externalName"));
        else
            k8s_set(&t, "service_cluster_ip", value_path_str(k->obj, "spec.clusterIP"));
        if (sv_eq(type, SV("LoadBalancer")))
            k8s_set(&t, "service_loadbalancer_ip", balancer_ips(k));
        k8s_add_target(k, &t);
    }
}

/* ---- ingress ---- */

/* "*.example.org" stands for one more part in front. */
static bool host_matches(StrView pattern, StrView host)
{
    if (sv_eq(pattern, host))
        return true;
    ssize_t dot = sv_find_char(host, '.');
    return sv_starts(pattern, SV("*.")) && dot >= 0 &&
           sv_eq(sv_skip(pattern, 1), sv_skip(host, (size_t)dot));
}

static bool has_tls(const Value *ingress, StrView host)
{
    value_list_foreach (t, value_path(ingress, "spec.tls"))
        value_list_foreach (h, value_get(t, SV("hosts")))
            if (host_matches(value_str(h), host))
                return true;
    return false;
}

static void add_path(K8sBuild *k, StrView host, StrView path)
{
    LabelsBuilder t;
    labels_builder_init(&t, k->arena, (Labels){ 0 });
    labels_builder_set(&t, SV("__address__"), host);
    k8s_set(&t, "ingress_scheme", has_tls(k->obj, host) ? SV("https") : SV("http"));
    k8s_set(&t, "ingress_host", host);
    k8s_set(&t, "ingress_path", path.len ? path : SV("/"));
    k8s_add_target(k, &t);
}

static void build_ingress(K8sBuild *k)
{
    k8s_set(&k->group, "namespace", namespace_of(k->obj));
    k8s_set(&k->group, "ingress_class_name", value_path_str(k->obj, "spec.ingressClassName"));
    k8s_set_meta(&k->group, "ingress", k->obj, true);
    value_list_foreach (rule, value_path(k->obj, "spec.rules")) {
        StrView host = value_str(value_get(rule, SV("host")));
        const Value *http = value_get(rule, SV("http"));
        if (!value_is(http, VALUE_MAP))
            add_path(k, host, SV("/"));
        value_list_foreach (p, value_get(http, SV("paths")))
            add_path(k, host, value_str(value_get(p, SV("path"))));
    }
}

/* ---- the whole ---- */

static void (*const builders[K8S_KIND_MAX])(K8sBuild *) = {
    [K8S_POD] = build_pod,
    [K8S_SERVICE] = build_service,
    [K8S_ENDPOINTS] = k8s_build_endpoints,
    [K8S_ENDPOINTSLICE] = k8s_build_slice,
    [K8S_NODE] = build_node,
    [K8S_INGRESS] = build_ingress,
};

bool k8s_build(K8sKind kind, const Value *obj, const K8sLookup *look, Arena *a, TargetGroup *ret)
{
    K8sBuild k = { .obj = obj, .look = look, .arena = a };

    labels_builder_init(&k.group, a, (Labels){ 0 });
    builders[kind](&k);
    if (look->attach_namespace && k.n) {
        const Value *ns = look->get(look->ctx, K8S_NAMESPACE, SV(""), namespace_of(obj), a);
        if (ns)
            k8s_set_meta(&k.group, "namespace", ns, false);
    }
    *ret = (TargetGroup){ .targets = k.targets, .n_targets = k.n };
    return labels_builder_take(&k.group, &ret->labels) && !k.failed;
}
