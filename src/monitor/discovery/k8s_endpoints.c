/* k8s_endpoints.c - Endpoints and EndpointSlices as target groups. An endpoint that is a pod has
 * the pod's labels too, and ports of the pod that no service names become targets of their own. */
#include "monitor/discovery/kubernetes.h"

typedef struct SeenPod {
    const Value *pod;
    VEC(int64_t) ports;
} SeenPod;

typedef struct Seen {
    VEC(SeenPod) pods;
} Seen;

static void seen_free(Seen *s)
{
    vec_foreach (p, &s->pods)
        vec_free(&p->ports);
    vec_free(&s->pods);
}

static SeenPod *see(Seen *s, const Value *pod)
{
    StrView uid = value_path_str(pod, "metadata.name"),
            ns = value_path_str(pod, "metadata.namespace");
    vec_foreach (p, &s->pods)
        if (sv_eq(value_path_str(p->pod, "metadata.name"), uid) &&
            sv_eq(value_path_str(p->pod, "metadata.namespace"), ns))
            return p;
    return vec_push(&s->pods, ((SeenPod){ .pod = pod })) ? &s->pods.items[s->pods.len - 1] : NULL;
}

static void set_container_port(LabelsBuilder *t, const Value *c, const Value *port, bool init)
{
    k8s_set(t, "pod_container_name", value_str(value_get(c, SV("name"))));
    k8s_set(t, "pod_container_image", value_str(value_get(c, SV("image"))));
    k8s_set(t, "pod_container_port_name", value_str(value_get(port, SV("name"))));
    k8s_set(t, "pod_container_port_number",
            k8s_number(t->arena, value_int_or(value_get(port, SV("containerPort")), 0)));
    k8s_set(t, "pod_container_port_protocol", value_str(value_get(port, SV("protocol"))));
    k8s_set(t, "pod_container_init", init ? SV("true") : SV("false"));
}

static void set_matching_port(LabelsBuilder *t, const Value *pod, int64_t number)
{
    const Value *c;
    bool init;
    for (unsigned i = 0; (c = k8s_container(pod, i, &init)); i++)
        value_list_foreach (p, value_get(c, SV("ports")))
            if (number >= 0 && value_int_or(value_get(p, SV("containerPort")), -1) == number) {
                set_container_port(t, c, p, init);
                break;
            }
}

/* Ends a target: with what its pod adds, where it is one. */
static void finish(K8sBuild *k, Seen *seen, LabelsBuilder *t, const Value *ref, int64_t port)
{
    bool is_pod = sv_eq(value_str(value_get(ref, SV("kind"))), SV("Pod"));
    const Value *pod =
        is_pod ? k->look->get(k->look->ctx, K8S_POD, value_str(value_get(ref, SV("namespace"))),
                              value_str(value_get(ref, SV("name"))), k->arena)
               : NULL;
    if (pod) {
        SeenPod *s = see(seen, pod);
        if (!s || !vec_push(&s->ports, port))
            k->failed = true;
        k8s_set_pod(t, pod);
        set_matching_port(t, pod, port);
    }
    k8s_add_target(k, t);
}

static bool has_port(const SeenPod *s, int64_t number)
{
    for (size_t i = 0; i < s->ports.len; i++)
        if (s->ports.items[i] == number)
            return true;
    return false;
}

static void add_other_ports(K8sBuild *k, Seen *seen)
{
    const Value *c;
    bool init;
    vec_foreach (s, &seen->pods) {
        StrView ip = value_path_str(s->pod, "status.podIP");
        for (unsigned i = 0; ip.len && (c = k8s_container(s->pod, i, &init)); i++)
            value_list_foreach (p, value_get(c, SV("ports"))) {
                int64_t number = value_int_or(value_get(p, SV("containerPort")), 0);
                LabelsBuilder t;
                if (has_port(s, number))
                    continue;
                labels_builder_init(&t, k->arena, (Labels){ 0 });
                k8s_set_address(&t, ip, number);
                k8s_set_pod(&t, s->pod);
                set_container_port(&t, c, p, init);
                k8s_add_target(k, &t);
            }
    }
}

static const Value *set_service(K8sBuild *k, StrView name)
{
    StrView ns = value_path_str(k->obj, "metadata.namespace");
    const Value *svc =
        name.len ? k->look->get(k->look->ctx, K8S_SERVICE, ns, name, k->arena) : NULL;
    if (svc)
        k8s_set_meta(&k->group, "service", svc, true);
    return svc;
}

static void set_ref(LabelsBuilder *t, const char *kind, const char *name, const Value *ref)
{
    k8s_set(t, kind, value_str(value_get(ref, SV("kind"))));
    k8s_set(t, name, value_str(value_get(ref, SV("name"))));
}

/* ---- endpoints ---- */

static void add_address(K8sBuild *k, Seen *seen, const Value *addr, const Value *port,
                        StrView ready)
{
    const Value *ref = value_get(addr, SV("targetRef"));
    StrView node = value_str(value_get(addr, SV("nodeName")));
    int64_t number = value_int_or(value_get(port, SV("port")), 0);
    LabelsBuilder t;

    labels_builder_init(&t, k->arena, (Labels){ 0 });
    k8s_set_address(&t, value_str(value_get(addr, SV("ip"))), number);
    k8s_set(&t, "endpoint_port_name", value_str(value_get(port, SV("name"))));
    k8s_set(&t, "endpoint_port_protocol", value_str(value_get(port, SV("protocol"))));
    k8s_set(&t, "endpoint_ready", ready);
    set_ref(&t, "endpoint_address_target_kind", "endpoint_address_target_name", ref);
    k8s_set(&t, "endpoint_node_name", node);
    k8s_set(&t, "endpoint_hostname", value_str(value_get(addr, SV("hostname"))));
    if (node.len)
        k8s_set_node(k, &t, node);
    else if (sv_eq(value_str(value_get(ref, SV("kind"))), SV("Node")))
        k8s_set_node(k, &t, value_str(value_get(ref, SV("name"))));
    finish(k, seen, &t, ref, number);
}

void k8s_build_endpoints(K8sBuild *k)
{
    Seen seen = { 0 };

    k8s_set(&k->group, "namespace", value_path_str(k->obj, "metadata.namespace"));
    set_service(k, value_path_str(k->obj, "metadata.name"));
    k8s_set_meta(&k->group, "endpoints", k->obj, true);
    value_list_foreach (s, value_get(k->obj, SV("subsets")))
        value_list_foreach (port, value_get(s, SV("ports"))) {
            value_list_foreach (a, value_get(s, SV("addresses")))
                add_address(k, &seen, a, port, SV("true"));
            value_list_foreach (a, value_get(s, SV("notReadyAddresses")))
                add_address(k, &seen, a, port, SV("false"));
        }
    add_other_ports(k, &seen);
    seen_free(&seen);
}

/* ---- endpointslice ---- */

static void set_port(LabelsBuilder *t, const Value *port, int64_t number)
{
    k8s_set(t, "endpointslice_port_name", value_str(value_get(port, SV("name"))));
    k8s_set(t, "endpointslice_port_protocol", value_str(value_get(port, SV("protocol"))));
    if (number >= 0)
        k8s_set(t, "endpointslice_port", k8s_number(t->arena, number));
    k8s_set(t, "endpointslice_port_app_protocol", value_str(value_get(port, SV("appProtocol"))));
}

static void add_endpoint(K8sBuild *k, Seen *seen, StrView addr, const Value *ep, const Value *port)
{
    const Value *ref = value_get(ep, SV("targetRef")), *cond = value_get(ep, SV("conditions"));
    StrView node = value_str(value_get(ep, SV("nodeName")));
    int64_t number = value_int_or(value_get(port, SV("port")), -1);
    LabelsBuilder t;

    labels_builder_init(&t, k->arena, (Labels){ 0 });
    k8s_set_address(&t, addr, number);
    set_port(&t, port, number);
    k8s_set_bool(&t, "endpointslice_endpoint_conditions_ready", value_get(cond, SV("ready")));
    k8s_set_bool(&t, "endpointslice_endpoint_conditions_serving", value_get(cond, SV("serving")));
    k8s_set_bool(&t, "endpointslice_endpoint_conditions_terminating",
                 value_get(cond, SV("terminating")));
    k8s_set(&t, "endpointslice_endpoint_hostname", value_str(value_get(ep, SV("hostname"))));
    set_ref(&t, "endpointslice_address_target_kind", "endpointslice_address_target_name", ref);
    k8s_set(&t, "endpointslice_endpoint_node_name", node);
    k8s_set(&t, "endpointslice_endpoint_zone", value_str(value_get(ep, SV("zone"))));
    value_map_foreach (m, value_get(ep, SV("deprecatedTopology"))) {
        StrView clean = k8s_sanitize(k->arena, m->key);
        StrView name =
            arena_printf(k->arena, "endpointslice_endpoint_topology_%.*s", SV_FMT(clean));
        StrView present =
            arena_printf(k->arena, "endpointslice_endpoint_topology_present_%.*s", SV_FMT(clean));
        if (name.ptr && present.ptr) {
            k8s_set(&t, name.ptr, value_str(&m->val));
            k8s_set(&t, present.ptr, SV("true"));
        }
    }
    bool is_node = sv_eq(value_str(value_get(ref, SV("kind"))), SV("Node"));
    k8s_set_node(k, &t, is_node ? value_str(value_get(ref, SV("name"))) : node);
    finish(k, seen, &t, ref, number);
}

/* The second slice of a dual-stack service has the same endpoints again. */
static bool is_secondary(const Value *svc, StrView address_type)
{
    StrView policy = value_path_str(svc, "spec.ipFamilyPolicy");
    const Value *first = value_at(value_path(svc, "spec.ipFamilies"), 0);
    bool dual = sv_eq(policy, SV("PreferDualStack")) || sv_eq(policy, SV("RequireDualStack"));
    return dual && first && !sv_eq(value_str(first), address_type);
}

void k8s_build_slice(K8sBuild *k)
{
    StrView type = value_str(value_get(k->obj, SV("addressType")));
    const Value *labels = value_path(k->obj, "metadata.labels");
    Seen seen = { 0 };

    k8s_set(&k->group, "namespace", value_path_str(k->obj, "metadata.namespace"));
    k8s_set(&k->group, "endpointslice_address_type", type);
    k8s_set_meta(&k->group, "endpointslice", k->obj, true);
    const Value *svc =
        set_service(k, value_str(value_get(labels, SV("kubernetes.io/service-name"))));
    if (svc && is_secondary(svc, type))
        return;
    value_list_foreach (ep, value_get(k->obj, SV("endpoints")))
        value_list_foreach (port, value_get(k->obj, SV("ports")))
            value_list_foreach (addr, value_get(ep, SV("addresses")))
                add_endpoint(k, &seen, value_str(addr), ep, port);
    add_other_ports(k, &seen);
    seen_free(&seen);
}
