/* services.c - cluster addresses and node ports of Services.
 *
 * One bitmap for each range, filled from the store at start and kept by the events of committed
 * Services. What is assigned stays reserved from the request on, so that two requests under way
 * never get the same. */
#include "apiserver/services.h"

#include <arpa/inet.h>
#include "base/encode.h"
#include "codec/json.h"

enum { ADDRESSES_MAX = 65536 };

struct ServiceAlloc {
    uint32_t net; /* first address, host order */
    uint32_t n_addrs;
    uint16_t port_min, port_max;
    uint8_t *addrs; /* one byte each: used */
    uint8_t *ports;
};

static int parse_cidr(StrView cidr, uint32_t *ret_net, uint32_t *ret_size, Err *err)
{
    StrView addr, bits;
    char text[INET_ADDRSTRLEN];
    struct in_addr in;
    uint64_t n;
    if (!sv_cut(cidr, '/', &addr, &bits) || !sv_copy_cstr(addr, text, sizeof text) ||
        inet_pton(AF_INET, text, &in) != 1 || sv_to_u64(bits, &n) < 0 || n < 12 || n > 28)
        return err_set(
            err, ERR_INVALID, 0,
            "service range '%.*s': expected an IPv4 range with 12 to 28 bits, like 10.96.0.0/16",
            SV_FMT(cidr));
    uint32_t mask = ~(uint32_t)0 << (32 - n);
    *ret_net = ntohl(in.s_addr) & mask;
    *ret_size = MIN((uint32_t)1 << (32 - n), (uint32_t)ADDRESSES_MAX);
    return 0;
}

static bool addr_index(const ServiceAlloc *a, StrView text, uint32_t *ret)
{
    char buf[INET_ADDRSTRLEN];
    struct in_addr in;
    if (!sv_copy_cstr(text, buf, sizeof buf) || inet_pton(AF_INET, buf, &in) != 1)
        return false;
    *ret = ntohl(in.s_addr) - a->net;
    return *ret < a->n_addrs;
}

static void mark_service(ServiceAlloc *a, const Value *svc, uint8_t used)
{
    uint32_t i;
    const Value *spec = value_get(svc, SV("spec"));
    if (addr_index(a, value_str(value_get(spec, SV("clusterIP"))), &i))
        a->addrs[i] = used;
    value_list_foreach (port, value_get(spec, SV("ports"))) {
        int64_t n = value_int_or(value_get(port, SV("nodePort")), 0);
        if (n >= a->port_min && n <= a->port_max)
            a->ports[n - a->port_min] = used;
    }
}

static void mark_stored(ServiceAlloc *a, const ObjectRev *o, uint8_t used)
{
    _cleanup_arena_ Arena arena;
    arena_init(&arena, 0);
    Value v;
    if (json_decode(o->val, &arena, NULL, &v, NULL) == 0)
        mark_service(a, &v, used);
}

int services_new(Store *store, StrView cidr, uint16_t port_min, uint16_t port_max,
                 ServiceAlloc **ret, Err *err)
{
    ServiceAlloc *a = calloc(1, sizeof *a);
    if (!a)
        return err_nomem(err);
    int r = parse_cidr(cidr, &a->net, &a->n_addrs, err);
    a->port_min = port_min;
    a->port_max = port_max;
    if (r == 0 && (!(a->addrs = calloc(a->n_addrs, 1)) ||
                   !(a->ports = calloc((size_t)(port_max - port_min) + 1, 1))))
        r = err_nomem(err);
    if (r < 0) {
        services_free(a);
        return r;
    }
    a->addrs[0] = a->addrs[1] = a->addrs[a->n_addrs - 1] = 1; /* network, `kubernetes`, broadcast */
    a->addrs[10] = 1; /* the cluster's DNS asks for it by number */
    Snapshot *sn = store_snapshot(store);
    SnapshotIter it;
    snapshot_iter(sn, SV("/registry/services/specs/"), SV_NULL, &it);
    for (ObjectRev *o; (o = snapshot_next(&it));)
        mark_stored(a, o, 1);
    snapshot_unref(sn);
    *ret = a;
    return 0;
}

ServiceAlloc *services_free(ServiceAlloc *a)
{
    if (a) {
        free(a->addrs);
        free(a->ports);
        free(a);
    }
    return NULL;
}

void services_first_address(const ServiceAlloc *a, unsigned nth, char buf[static 16])
{
    struct in_addr in = { htonl(a->net + nth) };
    inet_ntop(AF_INET, &in, buf, 16);
}

void services_event(void *alloc, const StoreEvent *ev)
{
    ServiceAlloc *a = alloc;
    if (!ev)
        return;
    if (ev->prev)
        mark_stored(a, ev->prev, 0);
    if (ev->obj)
        mark_stored(a, ev->obj, 1);
}

void services_forget(ServiceAlloc *a, const Value *obj)
{
    mark_service(a, obj, 0);
}

/* A free entry, searched from a random start. -1: all used. */
static int64_t pick(uint8_t *used, uint32_t n)
{
    uint32_t start = 0;
    random_bytes(&start, sizeof start);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (start % n + i) % n;
        if (!used[at]) {
            used[at] = 1;
            return at;
        }
    }
    return -1;
}

static bool same_text(const Value *obj, const Value *old, const char *path)
{
    return old && sv_eq(value_path_str(obj, path), value_path_str(old, path));
}

static bool assign_address(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old,
                           ApiErrors *errors)
{
    Value *spec = value_get(obj, SV("spec"));
    StrView ip = value_str(value_get(spec, SV("clusterIP")));
    ApiPath top = API_FIELD(NULL, "spec"), path = API_FIELD(&top, "clusterIPs");
    uint32_t i;
    if (!ip.len && old) {
        ip = value_path_str(old, "spec.clusterIP"); /* an update that leaves it out keeps it */
        value_set(arena, spec, SV("clusterIP"), value_sv(ip));
    }
    if (!ip.len) {
        int64_t at = pick(a->addrs, a->n_addrs);
        if (at < 0) {
            api_forbidden(errors, &path, "failed to allocate IP: range is full");
            return false;
        }
        char text[16];
        services_first_address(a, (unsigned)at, text);
        ip = arena_sv(arena, sv_cstr(text));
        value_set(arena, spec, SV("clusterIP"), value_sv(ip));
    } else if (!sv_eq(ip, SV("None")) && !same_text(obj, old, "spec.clusterIP")) {
        bool reserved = addr_index(a, ip, &i) && i == 10;
        if (!addr_index(a, ip, &i)) {
            api_invalid(errors, &path, value_sv(ip),
                        "failed to allocate IP: the provided IP is not in the valid range");
            return false;
        }
        if (a->addrs[i] && !reserved) {
            api_invalid(errors, &path, value_sv(ip),
                        "failed to allocate IP: provided IP is already allocated");
            return false;
        }
        a->addrs[i] = 1;
    }
    Value ips = value_list();
    value_push(arena, &ips, value_sv(ip));
    value_set(arena, spec, SV("clusterIPs"), ips);
    return true;
}

static bool port_known(const Value *old, int64_t port)
{
    value_list_foreach (p, value_path(old, "spec.ports")) {
        if (value_int_or(value_get(p, SV("nodePort")), 0) == port)
            return true;
    }
    return false;
}

/* The node port that the old object has for the same port, if any. */
static int64_t port_before(const Value *old, const Value *port)
{
    value_list_foreach (p, value_path(old, "spec.ports")) {
        if (value_int_or(value_get(p, SV("port")), 0) ==
                value_int_or(value_get(port, SV("port")), -1) &&
            sv_eq(value_str(value_get(p, SV("protocol"))),
                  value_str(value_get(port, SV("protocol")))))
            return value_int_or(value_get(p, SV("nodePort")), 0);
    }
    return 0;
}

static bool assign_port(ServiceAlloc *a, Arena *arena, Value *port, const Value *old,
                        const ApiPath *item, ApiErrors *errors)
{
    ApiPath path = API_FIELD(item, "nodePort");
    int64_t n = value_int_or(value_get(port, SV("nodePort")), 0);
    if (!n && (n = port_before(old, port)))
        value_set(arena, port, SV("nodePort"), value_int(n));
    if (!n) {
        int64_t at = pick(a->ports, (uint32_t)(a->port_max - a->port_min) + 1);
        if (at < 0) {
            api_forbidden(errors, &path, "failed to allocate a nodePort: range is full");
            return false;
        }
        value_set(arena, port, SV("nodePort"), value_int(a->port_min + at));
        return true;
    }
    if (port_known(old, n))
        return true;
    if (n < a->port_min || n > a->port_max) {
        api_invalid(errors, &path, value_int(n),
                    "provided port is not in the valid range. The range of valid ports is %u-%u",
                    a->port_min, a->port_max);
        return false;
    }
    if (a->ports[n - a->port_min]) {
        api_invalid(errors, &path, value_int(n), "provided port is already allocated");
        return false;
    }
    a->ports[n - a->port_min] = 1;
    return true;
}

bool services_assign(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old, ApiErrors *errors)
{
    Value *spec = value_get(obj, SV("spec"));
    StrView type = value_str(value_get(spec, SV("type")));
    if (!value_is(spec, VALUE_MAP))
        return true; /* validation says what is missing */
    if (sv_eq(type, SV("ExternalName")))
        return true;
    if (!assign_address(a, arena, obj, old, errors))
        return false;
    Value families = value_list();
    value_push(arena, &families, value_sv(SV("IPv4")));
    if (!value_len(value_get(spec, SV("ipFamilies"))))
        value_set(arena, spec, SV("ipFamilies"), families);
    if (!value_get(spec, SV("ipFamilyPolicy")))
        value_set(arena, spec, SV("ipFamilyPolicy"), value_sv(SV("SingleStack")));
    bool wants_ports = sv_eq(type, SV("NodePort")) || sv_eq(type, SV("LoadBalancer"));
    ApiPath top = API_FIELD(NULL, "spec"), list = API_FIELD(&top, "ports");
    const Value *ports = value_get(spec, SV("ports"));
    for (uint32_t i = 0; wants_ports && i < value_len(ports); i++) {
        ApiPath item = API_INDEX(&list, i);
        if (!assign_port(a, arena, value_at(ports, i), old, &item, errors))
            return false;
    }
    return true;
}
