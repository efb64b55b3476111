/* printers_network.c - the columns of Services, their endpoints and addresses, and of Ingresses. */
#include "apiserver/printers_internal.h"

#include <stdio.h>

/* ---- services ---- */

static StrView service_ports(Arena *a, const Value *svc)
{
    Buf out = BUF_INIT;
    value_list_foreach (p, value_path(svc, "spec.ports")) {
        buf_printf(&out, "%s%lld", out.len ? "," : "",
                   (long long)value_int_or(value_get(p, SV("port")), 0));
        int64_t node = value_int_or(value_get(p, SV("nodePort")), 0);
        if (node)
            buf_printf(&out, ":%lld", (long long)node);
        buf_printf(&out, "/%.*s", SV_FMT(value_str(value_get(p, SV("protocol")))));
    }
    return cell_or_none(cell_take(a, &out));
}

/* The addresses or names of status.loadBalancer, sorted. */
static StrView balancer_addresses(Arena *a, const Value *obj)
{
    const Value *list = value_path(obj, "status.loadBalancer.ingress");
    StrView *items = arena_array(a, StrView, value_len(list) + 1);
    size_t n = 0;
    if (!items)
        return SV_NULL;
    value_list_foreach (i, list) {
        StrView ip = value_str(value_get(i, SV("ip")));
        items[n] = ip.len ? ip : value_str(value_get(i, SV("hostname")));
        n += items[n].len > 0;
    }
    return cell_set(a, items, n);
}

static StrView external_ip(Arena *a, const Value *svc)
{
    StrView type = value_path_str(svc, "spec.type");
    bool balanced = sv_eq(type, SV("LoadBalancer"));
    Buf out = BUF_INIT;
    if (sv_eq(type, SV("ExternalName")))
        return value_path_str(svc, "spec.externalName");
    if (balanced)
        buf_sv(&out, balancer_addresses(a, svc));
    value_list_foreach (i, value_path(svc, "spec.externalIPs"))
        buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(value_str(i)));
    StrView s = cell_take(a, &out);
    return s.len ? s : balanced ? SV("<pending>") : SV("<none>");
}

static StrView cluster_ip(const Value *svc)
{
    StrView first = value_str(value_at(value_path(svc, "spec.clusterIPs"), 0));
    return cell_or_none(first.len ? first : value_path_str(svc, "spec.clusterIP"));
}

bool print_service(Arena *a, StrView col, const Value *svc, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Type"), "spec.type", FIELD_TEXT, NULL } };
    if (sv_eq(col, SV("Cluster-IP")))
        *ret = cell_text(cluster_ip(svc));
    else if (sv_eq(col, SV("External-IP")))
        *ret = cell_text(external_ip(a, svc));
    else if (sv_eq(col, SV("Port(s)")))
        *ret = cell_text(service_ports(a, svc));
    else if (sv_eq(col, SV("Selector")))
        *ret = cell_text(cell_labels(a, value_path(svc, "spec.selector")));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, svc, ret);
    return true;
}

/* ---- endpoints ---- */

static void list_subset(CellList *l, const Value *set)
{
    const Value *ports = value_get(set, SV("ports"));
    uint32_t n = value_len(ports);
    for (uint32_t i = 0; i < MAX(n, 1u); i++) {
        long long port = value_int_or(value_get(value_at(ports, i), SV("port")), 0);
        value_list_foreach (addr, value_get(set, SV("addresses"))) {
            StrView ip = value_str(value_get(addr, SV("ip")));
            if (!n) /* a headless Service without ports */
                cell_list_add(l, "%.*s", SV_FMT(ip));
            else
                cell_list_add(l, sv_find_char(ip, ':') < 0 ? "%.*s:%lld" : "[%.*s]:%lld",
                              SV_FMT(ip), port);
        }
    }
}

bool print_endpoints(Arena *a, StrView col, const Value *obj, Value *ret)
{
    CellList l = { 0 };
    const Value *subsets = value_get(obj, SV("subsets"));
    if (!sv_eq(col, SV("Endpoints")))
        return false;
    value_list_foreach (set, subsets)
        list_subset(&l, set);
    *ret = cell_text(cell_list_end(a, &l, value_len(subsets) ? SV("") : SV("<none>")));
    return true;
}

bool print_endpoint_slice(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("AddressType"), "addressType", FIELD_TEXT,
                                          NULL } };
    CellList l = { 0 };
    if (sv_eq(col, SV("Ports"))) {
        value_list_foreach (p, value_get(obj, SV("ports"))) {
            const Value *port = value_get(p, SV("port")), *name = value_get(p, SV("name"));
            if (value_is(port, VALUE_INT))
                cell_list_add(&l, "%lld", (long long)port->i);
            else
                cell_list_add(&l, "%.*s", SV_FMT(name ? value_str(name) : SV("*")));
        }
    } else if (sv_eq(col, SV("Endpoints"))) {
        value_list_foreach (e, value_get(obj, SV("endpoints"))) {
            value_list_foreach (addr, value_get(e, SV("addresses")))
                cell_list_add(&l, "%.*s", SV_FMT(value_str(addr)));
        }
    } else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    *ret = cell_text(cell_list_end(a, &l, SV("<unset>")));
    return true;
}

bool print_ip_address(Arena *a, StrView col, const Value *obj, Value *ret)
{
    const Value *ref = value_path(obj, "spec.parentRef");
    StrView group = value_str(value_get(ref, SV("group"))),
            ns = value_str(value_get(ref, SV("namespace")));
    if (!sv_eq(col, SV("ParentRef")))
        return false;
    StrView resource =
        arena_printf(a, "%.*s%s%.*s", SV_FMT(value_str(value_get(ref, SV("resource")))),
                     group.len ? "." : "", SV_FMT(group));
    *ret = cell_text(!ref ? SV("<none>")
                          : arena_printf(a, "%.*s%s%.*s/%.*s", SV_FMT(cell_lower(a, resource)),
                                         ns.len ? "/" : "", SV_FMT(ns),
                                         SV_FMT(value_str(value_get(ref, SV("name"))))));
    return true;
}

/* ---- ingresses, policies ---- */

/* Rules are counted, hosts are shown: as Kubernetes does it. */
static StrView ingress_hosts(Arena *a, const Value *obj)
{
    const Value *rules = value_path(obj, "spec.rules");
    Buf out = BUF_INIT;
    unsigned shown = 0;
    bool more = false;
    value_list_foreach (r, rules) {
        StrView host = value_str(value_get(r, SV("host")));
        more |= shown == CELL_SHOWN;
        if (more || !host.len)
            continue;
        buf_printf(&out, "%s%.*s", shown++ ? "," : "", SV_FMT(host));
    }
    if (more)
        buf_printf(&out, " + %u more...", value_len(rules) - CELL_SHOWN);
    StrView s = cell_take(a, &out);
    return s.len ? s : SV("*");
}

bool print_ingress(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Class"), "spec.ingressClassName", FIELD_TEXT,
                                          "<none>" } };
    if (sv_eq(col, SV("Hosts")))
        *ret = cell_text(ingress_hosts(a, obj));
    else if (sv_eq(col, SV("Address")))
        *ret = cell_text(balancer_addresses(a, obj));
    else if (sv_eq(col, SV("Ports")))
        *ret = cell_text(value_len(value_path(obj, "spec.tls")) ? SV("80, 443") : SV("80"));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    return true;
}

bool print_ingress_class(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Controller"), "spec.controller", FIELD_TEXT,
                                          NULL } };
    const Value *ref = value_path(obj, "spec.parameters"), *group = value_get(ref, SV("apiGroup"));
    if (!sv_eq(col, SV("Parameters")))
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    *ret = cell_text(!ref ? SV("<none>")
                          : arena_printf(a, "%.*s%s%.*s/%.*s",
                                         SV_FMT(value_str(value_get(ref, SV("kind")))),
                                         group ? "." : "", SV_FMT(value_str(group)),
                                         SV_FMT(value_str(value_get(ref, SV("name"))))));
    return true;
}

bool print_network_policy(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Pod-Selector")))
        return false;
    *ret = cell_text(cell_selector(a, value_path(obj, "spec.podSelector")));
    return true;
}
