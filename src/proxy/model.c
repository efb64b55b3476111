/* model.c - what the proxy needs of a Service and of an EndpointSlice. IPv6 addresses are left out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "netlink/rtnl.h"
#include "proxy/internal.h"

enum { MODEL_SIZE_MAX = 16 * 1024 * 1024, DEFAULT_AFFINITY_S = 10800 };

static uint32_t ipv4(StrView text)
{
    char buf[64];
    uint32_t a = 0;
    return sv_copy_cstr(text, buf, sizeof buf) && inet_pton(AF_INET, buf, &a) == 1 ? a : 0;
}

/* 0: none that there is. */
static uint8_t protocol(StrView s)
{
    return s.len == 0 || sv_eq(s, SV("TCP")) ? IPPROTO_TCP
           : sv_eq(s, SV("UDP"))             ? IPPROTO_UDP
           : sv_eq(s, SV("SCTP"))            ? IPPROTO_SCTP
                                             : 0;
}

static bool read_ports(Arena *a, const Value *list, ServicePort **ret, unsigned *ret_n)
{
    *ret = arena_array(a, ServicePort, value_len(list) + 1);
    *ret_n = 0;
    value_list_foreach (v, list) {
        ServicePort p = { .name = arena_sv(a, value_str(value_get(v, SV("name")))),
                          .proto = protocol(value_str(value_get(v, SV("protocol")))),
                          .port = (uint16_t)value_int_or(value_get(v, SV("port")), 0),
                          .node_port = (uint16_t)value_int_or(value_get(v, SV("nodePort")), 0) };
        if (!*ret || !p.name.ptr)
            return false;
        if (p.proto && p.port)
            (*ret)[(*ret_n)++] = p;
    }
    return *ret != NULL;
}

/* Strings, or the member `key` of maps. */
static bool read_addrs(Arena *a, const Value *list, const char *key, uint32_t **ret,
                       unsigned *ret_n)
{
    *ret = arena_array(a, uint32_t, value_len(list) + 1);
    *ret_n = 0;
    value_list_foreach (v, list) {
        uint32_t addr = ipv4(value_str(key ? value_get(v, sv_cstr(key)) : v));
        if (*ret && addr)
            (*ret)[(*ret_n)++] = addr;
    }
    return *ret != NULL;
}

static bool read_ranges(ServiceModel *m, const Value *list)
{
    m->range_addr = arena_array(&m->arena, uint32_t, value_len(list) + 1);
    m->range_mask = arena_array(&m->arena, uint32_t, value_len(list) + 1);
    if (!m->range_addr || !m->range_mask)
        return false;
    value_list_foreach (v, list) {
        IpPrefix p;
        if (ip_prefix_parse(sv_trim(value_str(v)), &p) < 0 || p.family != AF_INET)
            continue;
        uint32_t mask = p.bits ? htonl(UINT32_MAX << (32 - p.bits)) : 0, addr;
        memcpy(&addr, p.addr, sizeof addr);
        m->range_addr[m->n_ranges] = addr & mask;
        m->range_mask[m->n_ranges++] = mask;
    }
    return true;
}

static bool fill_service(ServiceModel *m, const Value *o)
{
    const Value *spec = value_get(o, SV("spec"));
    StrView type = value_path_str(spec, "type");
    m->ns = arena_sv(&m->arena, value_path_str(o, "metadata.namespace"));
    m->name = arena_sv(&m->arena, value_path_str(o, "metadata.name"));
    m->uid = arena_sv(&m->arena, value_path_str(o, "metadata.uid"));
    m->created = arena_sv(&m->arena, value_path_str(o, "metadata.creationTimestamp"));
    if (!m->ns.ptr || !m->name.ptr || !m->uid.ptr || !m->created.ptr)
        return false;
    if (sv_eq(type, SV("ExternalName")))
        return true;
    m->cluster_ip = ipv4(value_path_str(spec, "clusterIP"));
    m->external_local = sv_eq(value_path_str(spec, "externalTrafficPolicy"), SV("Local"));
    m->internal_local = sv_eq(value_path_str(spec, "internalTrafficPolicy"), SV("Local"));
    m->publish_not_ready = value_bool_or(value_path(spec, "publishNotReadyAddresses"), false);
    if (sv_eq(value_path_str(spec, "sessionAffinity"), SV("ClientIP")))
        m->affinity_s = (uint32_t)value_int_or(
            value_path(spec, "sessionAffinityConfig.clientIP.timeoutSeconds"), DEFAULT_AFFINITY_S);
    return read_ports(&m->arena, value_get(spec, SV("ports")), &m->ports, &m->n_ports) &&
           read_addrs(&m->arena, value_get(spec, SV("externalIPs")), NULL, &m->external,
                      &m->n_external) &&
           read_addrs(&m->arena, value_path(o, "status.loadBalancer.ingress"), "ip", &m->ingress,
                      &m->n_ingress) &&
           read_ranges(m, value_get(spec, SV("loadBalancerSourceRanges")));
}

ServiceModel *service_model_new(const Value *service)
{
    ServiceModel *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    arena_init(&m->arena, MODEL_SIZE_MAX);
    if (fill_service(m, service))
        return m;
    service_model_free(m);
    return NULL;
}

void service_model_free(void *p)
{
    ServiceModel *m = p;
    if (m)
        arena_free(&m->arena);
    free(m);
}

static bool fill_slice(SliceModel *m, const Value *o, StrView node)
{
    const Value *eps = value_get(o, SV("endpoints"));
    m->ns = arena_sv(&m->arena, value_path_str(o, "metadata.namespace"));
    m->service = arena_sv(&m->arena, value_str(value_get(value_path(o, "metadata.labels"),
                                                         SV("kubernetes.io/service-name"))));
    m->eps = arena_array(&m->arena, Endpoint, value_len(eps) + 1);
    if (!m->ns.ptr || !m->service.ptr || !m->eps)
        return false;
    value_list_foreach (v, eps) {
        Endpoint e = { .addr = ipv4(value_str(value_at(value_get(v, SV("addresses")), 0))) };
        e.ready = value_bool_or(value_path(v, "conditions.ready"), true);
        e.serving = value_bool_or(value_path(v, "conditions.serving"), e.ready);
        e.terminating = value_bool_or(value_path(v, "conditions.terminating"), false);
        e.local = sv_eq(value_path_str(v, "nodeName"), node);
        if (e.addr)
            m->eps[m->n_eps++] = e;
    }
    return read_ports(&m->arena, value_get(o, SV("ports")), &m->ports, &m->n_ports);
}

SliceModel *slice_model_new(const Value *slice, StrView node_name)
{
    SliceModel *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    arena_init(&m->arena, MODEL_SIZE_MAX);
    if (fill_slice(m, slice, node_name))
        return m;
    slice_model_free(m);
    return NULL;
}

void slice_model_free(void *p)
{
    SliceModel *m = p;
    if (m)
        arena_free(&m->arena);
    free(m);
}
