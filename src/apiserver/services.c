/* services.c - cluster addresses and node ports of Services.
 *
 * What a Service has is claimed by keys of the store, written and deleted in the transaction that
 * writes the Service: an IPAddress object for its address, as Kubernetes 1.35 keeps them, and
 * /registry/nodeports/NUMBER for a port. Two requests that pick the same meet in the store, and the
 * slower one picks again; nothing is reserved before, so a refusal or a dry run leaves nothing. The
 * bytes kept here for each range only say where to look for something free: one loop writes them as
 * events come, all read them, and one that is behind costs a look at the store. */
#include "apiserver/services.h"

#include <arpa/inet.h>
#include <stdio.h>
#include "apiserver/object.h"
#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"

enum {
    ADDRESSES_MAX = 65536,
    CLAIMS_MAX = STORE_OPS_MAX - 2, /* beside the Service and the look at its namespace */
};

struct ServiceAlloc {
    uint32_t net; /* first address, host order */
    uint32_t n_addrs;
    uint16_t port_min, port_max;
    atomic_uchar *addrs; /* one byte each: used, as far as the events so far tell */
    atomic_uchar *ports;
    Store *store;
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
    a->store = store;
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

bool services_has_address(const ServiceAlloc *a, StrView text)
{
    uint32_t i;
    return addr_index(a, text, &i);
}

void services_first_address(const ServiceAlloc *a, unsigned nth, char buf[static 16])
{
    struct in_addr in = { htonl(a->net + nth) };
    inet_ntop(AF_INET, &in, buf, 16);
}

void services_event(void *alloc, const StoreEvent *ev)
{
    ServiceAlloc *a = alloc;
    if (!ev) /* a look at the store decides; what is missed here costs a look more */
        return;
    if (ev->prev)
        mark_stored(a, ev->prev, 0);
    if (ev->obj)
        mark_stored(a, ev->obj, 1);
}

/* ---- claims as keys ---- */

static bool address_key(const Value *svc, char buf[static STORE_KEY_MAX])
{
    StrView ip = value_path_str(svc, "spec.clusterIP");
    if (!ip.len || sv_eq(ip, SV("None")))
        return false;
    int n = snprintf(buf, STORE_KEY_MAX, "/registry/ipaddresses/%.*s", SV_FMT(ip));
    return n < STORE_KEY_MAX;
}

static void port_key(int64_t port, char buf[static STORE_KEY_MAX])
{
    snprintf(buf, STORE_KEY_MAX, "/registry/nodeports/%lld", (long long)port);
}

static bool is_claimed(Store *store, const char *key)
{
    Snapshot *sn = store_snapshot(store);
    bool found = snapshot_get(sn, sv_cstr(key)) != NULL;
    snapshot_unref(sn);
    return found;
}

static bool has_port(const Value *svc, int64_t port, uint32_t before)
{
    const Value *ports = value_path(svc, "spec.ports");
    for (uint32_t i = 0; i < value_len(ports) && i < before; i++)
        if (value_int_or(value_get(value_at(ports, i), SV("nodePort")), 0) == port)
            return true;
    return false;
}

/* The claim's value: whose it is. */
static StrView claim_text(Arena *a, const Value *svc, StrView name, bool address)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    char uid[UUID_SIZE] = "", now[RFC3339_SIZE];
    uuid4(uid);
    rfc3339_format(clock_real_ns(), 0, now);
    buf_sv(&out, address ? SV("{\"kind\":\"IPAddress\",\"apiVersion\":\"networking.k8s.io/v1\",")
                         : SV("{"));
    buf_printf(&out, "\"metadata\":{\"name\":\"%.*s\",\"uid\":\"%s\",\"creationTimestamp\":\"%s\"",
               SV_FMT(name), uid, now);
    if (address)
        buf_sv(&out, SV(",\"labels\":{\"ipaddress.kubernetes.io/ip-family\":\"IPv4\","
                        "\"ipaddress.kubernetes.io/managed-by\":\"ipallocator.k8s.io\"}"));
    buf_sv(&out, SV("},\"spec\":{\"parentRef\":{\"resource\":\"services\",\"namespace\":"));
    json_encode_string(value_path_str(svc, "metadata.namespace"), &out);
    buf_sv(&out, SV(",\"name\":"));
    json_encode_string(value_path_str(svc, "metadata.name"), &out);
    buf_sv(&out, SV("}}}"));
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

typedef struct Claims {
    Arena *arena;
    Store *store;
    StoreOp *ops;
    size_t n;
    bool failed;
} Claims;

/* A key that the Service takes (`owner` is it) or gives back (NULL). What an older program has left
 * unclaimed cannot be given back. */
static void add_claim(Claims *c, const char *key, const Value *owner, bool address)
{
    if (c->n == CLAIMS_MAX)
        c->failed = true;
    if (c->failed || (!owner && !is_claimed(c->store, key)))
        return;
    StrView k = arena_sv(c->arena, sv_cstr(key)), text = SV_NULL;
    StoreOp op = { .kind = STORE_DELETE, .key = k, .if_rev = STORE_ANY_REV };
    if (owner) {
        text =
            claim_text(c->arena, owner, sv_skip(k, (size_t)(sv_rfind_char(k, '/') + 1)), address);
        op = (StoreOp){ .kind = STORE_PUT, .key = k, .if_rev = 0, .val = text };
    }
    _cleanup_buf_ Buf attrs = BUF_INIT;
    Value v;
    if (text.ptr && address && json_decode(text, c->arena, NULL, &v, NULL) == 0) {
        attrs_build(api_resource_find(SV("networking.k8s.io"), SV("v1"), SV("ipaddresses")), &v,
                    &attrs);
        op.attrs = arena_sv(c->arena, buf_view(&attrs));
    }
    c->failed |= !k.ptr || attrs.failed || (owner && !text.ptr);
    c->ops[c->n++] = op;
}

/* The claims of `svc` that `other` does not have. */
static void add_difference(Claims *c, const Value *svc, const Value *other, bool take)
{
    char key[STORE_KEY_MAX], same[STORE_KEY_MAX];
    const Value *ports = value_path(svc, "spec.ports");
    if (address_key(svc, key) && !(address_key(other, same) && strcmp(key, same) == 0))
        add_claim(c, key, take ? svc : NULL, true);
    for (uint32_t i = 0; i < value_len(ports); i++) {
        int64_t n = value_int_or(value_get(value_at(ports, i), SV("nodePort")), 0);
        if (!n || has_port(svc, n, i) || has_port(other, n, UINT32_MAX))
            continue;
        port_key(n, key);
        add_claim(c, key, take ? svc : NULL, false);
    }
}

int services_claims(Store *store, const Value *obj, const Value *old, Arena *arena,
                    StoreOp **ret_ops, size_t *ret_n, Err *err)
{
    Claims c = { arena, store, arena_array(arena, StoreOp, CLAIMS_MAX), 0, false };
    if (!c.ops)
        return err_nomem(err);
    add_difference(&c, obj, old, true);
    add_difference(&c, old, obj, false);
    if (c.n == CLAIMS_MAX && c.failed)
        return err_set(
            err, ERR_INVALID, 0,
            "spec.ports: Too many: one change may take or give back %d addresses and node "
            "ports at most",
            CLAIMS_MAX);
    if (c.failed)
        return err_nomem(err);
    *ret_ops = c.ops;
    *ret_n = c.n;
    return 0;
}

static int claim_stored(Store *store, const ObjectRev *o, Err *err)
{
    _cleanup_arena_ Arena arena;
    arena_init(&arena, 0);
    Value svc;
    StoreOp *ops;
    size_t n = 0;
    int r;
    if ((r = json_decode(o->val, &arena, NULL, &svc, err)) < 0 ||
        (r = services_claims(store, &svc, NULL, &arena, &ops, &n, err)) < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        /* The first of two Services that an older program gave the same keeps it. */
        r = store_commit_sync(store, &ops[i], 1, NULL, err);
        if (r < 0 && r != -ERR_EXISTS)
            return r;
    }
    return 0;
}

/* A claim whose Service is gone: an older program has deleted it. */
static bool is_orphan(const Snapshot *sn, const ObjectRev *claim)
{
    _cleanup_arena_ Arena arena;
    arena_init(&arena, 0);
    Value v;
    char key[STORE_KEY_MAX];
    if (json_decode(claim->val, &arena, NULL, &v, NULL) < 0 ||
        !sv_eq(value_path_str(&v, "spec.parentRef.resource"), SV("services")))
        return false;
    StrView ns = value_path_str(&v, "spec.parentRef.namespace"),
            name = value_path_str(&v, "spec.parentRef.name");
    snprintf(key, sizeof key, "/registry/services/specs/%.*s/%.*s", SV_FMT(ns), SV_FMT(name));
    return !snapshot_get(sn, sv_cstr(key));
}

int services_repair(Store *store, Err *err)
{
    static const StrView places[] = { SV_INIT("/registry/ipaddresses/"),
                                      SV_INIT("/registry/nodeports/") };
    Snapshot *sn = store_snapshot(store);
    SnapshotIter it;
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        snapshot_iter(sn, places[i], SV_NULL, &it);
        for (ObjectRev *o; r == 0 && (o = snapshot_next(&it));) {
            StoreOp op = { .kind = STORE_DELETE, .key = o->key, .if_rev = o->mod_rev };
            if (is_orphan(sn, o))
                r = store_commit_sync(store, &op, 1, NULL, err);
        }
    }
    snapshot_iter(sn, SV("/registry/services/specs/"), SV_NULL, &it);
    for (ObjectRev *o; r == 0 && (o = snapshot_next(&it));)
        r = claim_stored(store, o, err);
    snapshot_unref(sn);
    return r;
}

/* ---- choosing ---- */

static bool same_text(const Value *obj, const Value *old, const char *path)
{
    return old && sv_eq(value_path_str(obj, path), value_path_str(old, path));
}

/* An entry that nobody has, searched from a random start. -1: all used. */
static int64_t pick(const atomic_uchar *used, uint32_t n,
                    bool (*is_free)(const ServiceAlloc *, uint32_t), const ServiceAlloc *a)
{
    uint32_t start = 0;
    random_bytes(&start, sizeof start);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (start % n + i) % n;
        if (!used[at] && is_free(a, at))
            return at;
    }
    return -1;
}

static bool address_is_free(const ServiceAlloc *a, uint32_t at)
{
    char ip[16], key[64];
    services_first_address(a, at, ip);
    snprintf(key, sizeof key, "/registry/ipaddresses/%s", ip);
    return !is_claimed(a->store, key);
}

static bool port_is_free(const ServiceAlloc *a, uint32_t at)
{
    char key[STORE_KEY_MAX];
    port_key(a->port_min + (int64_t)at, key);
    return !is_claimed(a->store, key);
}

/* An address that the client names, and that the Service does not have yet. */
static bool check_address(const ServiceAlloc *a, StrView ip, const ApiPath *path, ApiErrors *errors)
{
    uint32_t i;
    if (!addr_index(a, ip, &i))
        api_invalid(errors, path, value_sv(ip),
                    "failed to allocate IP: the provided IP is not in the valid range");
    else if (i == 0 || i == a->n_addrs - 1 || !address_is_free(a, i))
        api_invalid(errors, path, value_sv(ip),
                    "failed to allocate IP: provided IP is already allocated");
    else
        return true;
    return false;
}

static bool choose_address(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old,
                           ApiErrors *errors)
{
    Value *spec = value_get(obj, SV("spec"));
    StrView ip = value_str(value_get(spec, SV("clusterIP")));
    ApiPath top = API_FIELD(NULL, "spec"), path = API_FIELD(&top, "clusterIPs");
    if (!ip.len && old) {
        ip = value_path_str(old, "spec.clusterIP"); /* an update that leaves it out keeps it */
        value_set(arena, spec, SV("clusterIP"), value_sv(ip));
    }
    if (!ip.len) {
        int64_t at = pick(a->addrs, a->n_addrs, address_is_free, a);
        if (at < 0) {
            api_forbidden(errors, &path, "failed to allocate IP: range is full");
            return false;
        }
        char text[16];
        services_first_address(a, (unsigned)at, text);
        ip = arena_sv(arena, sv_cstr(text));
        value_set(arena, spec, SV("clusterIP"), value_sv(ip));
    } else if (!sv_eq(ip, SV("None")) && !same_text(obj, old, "spec.clusterIP") &&
               !check_address(a, ip, &path, errors))
        return false;
    Value ips = value_list();
    value_push(arena, &ips, value_sv(ip));
    value_set(arena, spec, SV("clusterIPs"), ips);
    return true;
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

/* A node port that neither the store nor the object has. -1: the range is full. */
static int64_t free_port(ServiceAlloc *a, const Value *obj)
{
    uint32_t n = (uint32_t)(a->port_max - a->port_min) + 1, start = 0;
    random_bytes(&start, sizeof start);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (start % n + i) % n;
        if (!a->ports[at] && !has_port(obj, a->port_min + at, UINT32_MAX) && port_is_free(a, at))
            return a->port_min + at;
    }
    return -1;
}

/* A node port for the port at `index` of the object's. */
static bool choose_port(ServiceAlloc *a, Arena *arena, Value *obj, uint32_t index, const Value *old,
                        const ApiPath *item, ApiErrors *errors)
{
    Value *port = value_at(value_path(obj, "spec.ports"), index);
    ApiPath path = API_FIELD(item, "nodePort");
    int64_t n = value_int_or(value_get(port, SV("nodePort")), 0), before = port_before(old, port);
    if (!n && before && !has_port(obj, before, UINT32_MAX))
        n = before;
    if (!n && (n = free_port(a, obj)) < 0) {
        api_forbidden(errors, &path, "failed to allocate a nodePort: range is full");
        return false;
    }
    value_set(arena, port, SV("nodePort"), value_int(n));
    if (has_port(old, n, UINT32_MAX) || has_port(obj, n, index))
        return true;
    if (n < a->port_min || n > a->port_max)
        api_invalid(errors, &path, value_int(n),
                    "provided port is not in the valid range. The range of valid ports is %u-%u",
                    a->port_min, a->port_max);
    else if (!port_is_free(a, (uint32_t)(n - a->port_min)))
        api_invalid(errors, &path, value_int(n), "provided port is already allocated");
    else
        return true;
    return false;
}

/* ---- what depends on the type ---- */

static bool is_type(const Value *svc, const char *type)
{
    return sv_eq(value_path_str(svc, "spec.type"), sv_cstr(type));
}

static bool wants_address(const Value *svc)
{
    return !is_type(svc, "ExternalName");
}

static bool is_balanced(const Value *svc)
{
    return is_type(svc, "LoadBalancer");
}

static bool wants_ports(const Value *svc)
{
    return is_type(svc, "NodePort") ||
           (is_balanced(svc) &&
            value_bool_or(value_path(svc, "spec.allocateLoadBalancerNodePorts"), true));
}

static bool wants_traffic_policy(const Value *svc)
{
    return is_type(svc, "NodePort") || is_balanced(svc) ||
           value_len(value_path(svc, "spec.externalIPs")) > 0;
}

static bool wants_health_port(const Value *svc)
{
    return is_balanced(svc) &&
           sv_eq(value_path_str(svc, "spec.externalTrafficPolicy"), SV("Local"));
}

/* Takes a field out that the new type has no use for and that came with the old one: the client has
 * not set it, it is only still there. */
static void drop_field(Value *obj, const Value *old, const char *field,
                       bool (*wanted)(const Value *))
{
    Value *spec = value_get(obj, SV("spec"));
    const Value *now = value_get(spec, sv_cstr(field)),
                *before = value_get(value_get(old, SV("spec")), sv_cstr(field));
    if (wanted(old) && !wanted(obj) && now && before && value_equal(now, before))
        value_del(spec, sv_cstr(field));
}

/* Kubernetes' dropTypeDependentFields(). */
static void drop_for_type(Value *obj, const Value *old)
{
    static const char *const of_address[] = { "clusterIP", "clusterIPs", "ipFamilies",
                                              "ipFamilyPolicy" };
    for (size_t i = 0; i < ARRAY_SIZE(of_address); i++)
        drop_field(obj, old, of_address[i], wants_address);
    bool kept = true;
    value_list_foreach (p, value_path(obj, "spec.ports")) {
        int64_t n = value_int_or(value_get(p, SV("nodePort")), 0);
        kept &= !n || has_port(old, n, UINT32_MAX);
    }
    if (kept && wants_ports(old) && !wants_ports(obj)) {
        value_list_foreach (p, value_path(obj, "spec.ports"))
            value_del(p, SV("nodePort"));
    }
    drop_field(obj, old, "healthCheckNodePort", wants_health_port);
    drop_field(obj, old, "externalTrafficPolicy", wants_traffic_policy);
    drop_field(obj, old, "allocateLoadBalancerNodePorts", is_balanced);
    drop_field(obj, old, "loadBalancerClass", is_balanced);
}

bool services_choose(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old, ApiErrors *errors)
{
    Value *spec = value_get(obj, SV("spec"));
    if (!value_is(spec, VALUE_MAP))
        return true; /* validation says what is missing */
    if (old)
        drop_for_type(obj, old);
    if (!wants_address(obj))
        return true;
    if (!choose_address(a, arena, obj, old, errors))
        return false;
    Value families = value_list();
    value_push(arena, &families, value_sv(SV("IPv4")));
    if (!value_len(value_get(spec, SV("ipFamilies"))))
        value_set(arena, spec, SV("ipFamilies"), families);
    if (!value_get(spec, SV("ipFamilyPolicy")))
        value_set(arena, spec, SV("ipFamilyPolicy"), value_sv(SV("SingleStack")));
    ApiPath top = API_FIELD(NULL, "spec"), list = API_FIELD(&top, "ports");
    uint32_t n = wants_ports(obj) ? value_len(value_get(spec, SV("ports"))) : 0;
    for (uint32_t i = 0; i < n; i++) {
        ApiPath item = API_INDEX(&list, i);
        if (!choose_port(a, arena, obj, i, old, &item, errors))
            return false;
    }
    return true;
}
