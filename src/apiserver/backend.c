/* backend.c - what the server forwards to: kubelets, pods, and Services.
 *
 * Who may write a pod's status decides where a request to the pod goes. So the address must be one
 * that the pod's node gives to pods, or for a pod in the host's network one of that node's own;
 * loopback, link-local and multicast addresses are nobody's. An endpoint counts only when it names
 * a pod of the Service's namespace and the pod has that address. */
#include "apiserver/backend.h"

#include <stdio.h>

#include "apiserver/addr.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "apiserver/services.h"
#include "base/map.h"

enum {
    FEW = 64, /* forwarded requests and joined connections at a time */
    PENDING_OF_FEW = 256 * 1024,
    PENDING_OF_MANY = 32 * 1024,
};

struct Backends {
    BackendTls tls;
    Map clients;      /* of kubelets: "address:port" to HttpClient */
    char *advertised; /* the server's own address */
    unsigned turn;    /* which endpoint is next */
    unsigned open;    /* forwarded requests and joined connections */
    bool freed;       /* gone with the last of those */
};

int backend_tls_kubelet(const ApiServerConfig *cfg, TlsContext **ret, Err *err)
{
    TlsConfig tls = { .cert_chain = cfg->kubelet_client_cert,
                      .key = cfg->kubelet_client_key,
                      .ca = cfg->kubelet_ca,
                      .alpn_h2 = true };
    return cfg->kubelet_client_cert.len ? tls_context_new_client(&tls, ret, err) : 0;
}

int backend_tls_new(const ApiServerConfig *cfg, BackendTls *ret, Err *err)
{
    TlsConfig any = { .insecure_skip_verify = true };
    *ret = (BackendTls){ 0 };
    int r = tls_context_new_client(&any, &ret->any, err);
    if (r == 0)
        r = backend_tls_kubelet(cfg, &ret->kubelet, err);
    if (r < 0)
        backend_tls_free(ret);
    return r;
}

void backend_tls_free(BackendTls *t)
{
    t->kubelet = tls_context_unref(t->kubelet);
    t->any = tls_context_unref(t->any);
}

int backends_new(const BackendTls *tls, StrView advertised, Backends **ret, Err *err)
{
    Backends *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    b->advertised = strndup(advertised.len ? advertised.ptr : "", advertised.len);
    if (!b->advertised) {
        free(b);
        return err_nomem(err);
    }
    b->tls = (BackendTls){ tls_context_ref(tls->kubelet), tls_context_ref(tls->any) };
    *ret = b;
    return 0;
}

void backends_reload(Backends *b, TlsContext *kubelet)
{
    StrView key;
    void *client;
    for (size_t i = 0; map_next(&b->clients, &i, &key, &client);)
        http_client_set_tls(client, kubelet);
    tls_context_unref(b->tls.kubelet);
    b->tls.kubelet = tls_context_ref(kubelet);
}

static void free_last(Backends *b)
{
    if (b->freed && !b->open)
        free(b);
}

void backend_opened(Backends *b)
{
    b->open++;
}

void backend_closed(Backends *b)
{
    b->open--;
    free_last(b);
}

size_t backend_pending_max(const Backends *b)
{
    return b->open <= FEW ? PENDING_OF_FEW : PENDING_OF_MANY;
}

Backends *backends_free(Backends *b)
{
    if (!b)
        return NULL;
    StrView key;
    void *client;
    for (size_t i = 0; map_next(&b->clients, &i, &key, &client);)
        http_client_free(client);
    map_free(&b->clients);
    backend_tls_free(&b->tls);
    free(b->advertised);
    b->freed = true;
    free_last(b);
    return NULL;
}

static bool load(ApiCall *x, const char *plural, StrView ns, StrView name, Value *ret)
{
    return object_core(x->srv->store, sv_cstr(plural), ns, name, x->arena, ret);
}

/* ---- kubelets ---- */

static StrView node_address(const Value *node)
{
    value_list_foreach (addr, value_path(node, "status.addresses")) {
        if (sv_eq(value_str(value_get(addr, SV("type"))), SV("InternalIP")))
            return value_str(value_get(addr, SV("address")));
    }
    return SV_NULL;
}

static uint16_t kubelet_port(const Value *node)
{
    int64_t port =
        value_int_or(value_path(node, "status.daemonEndpoints.kubeletEndpoint.Port"), 10250);
    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 10250;
}

static bool load_node(ApiCall *x, StrView name, Value *node, StrView *ret_ip)
{
    if (!x->on->backends->tls.kubelet || !load(x, "nodes", SV_NULL, name, node)) {
        respond_status(x, REASON_NOT_FOUND, "node \"%.*s\" not found", SV_FMT(name));
        return false;
    }
    *ret_ip = node_address(node);
    if (ret_ip->len)
        return true;
    respond_status(x, REASON_SERVICE_UNAVAILABLE, "node \"%.*s\" has reported no address",
                   SV_FMT(name));
    return false;
}

HttpClient *backend_kubelet(ApiCall *x, StrView name)
{
    Backends *b = x->on->backends;
    Value node;
    StrView ip;
    if (!load_node(x, name, &node, &ip))
        return NULL;
    uint16_t port = kubelet_port(&node);
    StrView key = arena_printf(x->arena, "%.*s:%u", SV_FMT(ip), port);
    char *host = arena_cstr(x->arena, ip);
    HttpClient *client = key.ptr ? map_get(&b->clients, key) : NULL;
    if (client)
        return client;
    HttpClientConfig cfg = { .host = host, .port = port, .tls = b->tls.kubelet };
    Err err = { 0 };
    if (!host || !key.ptr)
        respond_nomem(x);
    else if (http_client_new(x->on->loop, &cfg, &client, &err) < 0)
        respond_err(x, &err);
    else if (!map_set(&b->clients, key, client, NULL)) {
        client = http_client_free(client);
        respond_nomem(x);
    }
    return client;
}

/* ---- NAME, NAME:PORT, SCHEME:NAME:PORT ---- */

typedef struct Target {
    StrView scheme, name, port;
} Target;

static bool split_name(StrView id, Target *ret)
{
    StrView parts[3], rest = id;
    size_t n = 0;
    *ret = (Target){ .scheme = SV(""), .port = SV("") };
    for (bool more = true; more; n++) {
        if (n == ARRAY_SIZE(parts))
            return false;
        more = sv_cut(rest, ':', &parts[n], &rest);
    }
    ret->name = parts[n == 3];
    if (n > 1)
        ret->port = parts[n - 1];
    if (n == 3)
        ret->scheme = parts[0];
    return ret->name.len &&
           (!ret->scheme.len || sv_eq(ret->scheme, SV("http")) || sv_eq(ret->scheme, SV("https")));
}

static bool is_number(StrView text, uint16_t *ret)
{
    uint64_t n;
    if (sv_to_u64(text, &n) < 0 || n == 0 || n > UINT16_MAX)
        return false;
    *ret = (uint16_t)n;
    return true;
}

static bool set_backend(ApiCall *x, const Target *t, StrView ip, uint16_t port, Backend *ret)
{
    bool tls = sv_eq(t->scheme, SV("https")), v6 = sv_find_char(ip, ':') >= 0;
    *ret = (Backend){ .host = ip,
                      .port = port  ? port
                              : tls ? 443
                                    : 80,
                      .tls = tls ? x->on->backends->tls.any : NULL };
    ret->shown = arena_printf(x->arena, v6 ? "[%.*s]" : "%.*s", SV_FMT(ip));
    if (port)
        ret->shown = arena_printf(x->arena, "%.*s:%u", SV_FMT(ret->shown), port);
    if (ret->shown.ptr)
        return true;
    respond_nomem(x);
    return false;
}

/* ---- pods ---- */

static bool has_ip(const Value *list, const char *key, StrView ip)
{
    value_list_foreach (v, list) {
        if (sv_eq(value_str(value_get(v, sv_cstr(key))), ip))
            return true;
    }
    return false;
}

static bool in_pod_range(const Value *node, StrView ip)
{
    uint32_t addr;
    if (!addr4_parse(ip, &addr))
        return false;
    value_list_foreach (cidr, value_path(node, "spec.podCIDRs")) {
        if (addr4_in_cidr(addr, value_str(cidr)))
            return true;
    }
    return addr4_in_cidr(addr, value_path_str(node, "spec.podCIDR"));
}

/* Only where a network gives addresses outside of the nodes' ranges: a walk over the nodes. */
static bool is_some_node(ApiCall *x, StrView ip)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), SV("nodes"));
    char prefix[STORE_KEY_MAX];
    SnapshotIter it;
    _cleanup_arena_ Arena scratch;
    arena_init(&scratch, 0);
    bool found = !registry_key(res, SV_NULL, SV_NULL, prefix);
    Snapshot *sn = store_snapshot(x->srv->store);
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    for (ObjectRev *o; !found && (o = snapshot_next(&it));) {
        Value node;
        arena_reset(&scratch);
        found = object_decode(res, o, &scratch, &node, NULL) < 0 ||
                has_ip(value_path(&node, "status.addresses"), "address", ip);
    }
    snapshot_unref(sn);
    return found;
}

static bool pod_may_have(ApiCall *x, const Value *pod, StrView ip)
{
    StrView node_name = value_path_str(pod, "spec.nodeName");
    Value node;
    if (!addr_is_proxyable(ip) || !node_name.len || !load(x, "nodes", SV_NULL, node_name, &node))
        return false;
    bool of_node = has_ip(value_path(&node, "status.addresses"), "address", ip);
    if (value_bool_or(value_path(pod, "spec.hostNetwork"), false))
        return of_node;
    if (of_node || sv_eq(ip, sv_cstr(x->on->backends->advertised)) ||
        services_has_address(x->srv->services, ip))
        return false;
    return in_pod_range(&node, ip) || !is_some_node(x, ip);
}

/* The number of a port that is named in the pod, or of its first one where none is. */
static bool pod_port(const Value *pod, StrView name, uint16_t *ret)
{
    *ret = 0;
    if (name.len && is_number(name, ret))
        return true;
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        value_list_foreach (p, value_get(c, SV("ports"))) {
            if (name.len && !sv_eq(value_str(value_get(p, SV("name"))), name))
                continue;
            *ret = (uint16_t)value_int_or(value_get(p, SV("containerPort")), 0);
            return true;
        }
    }
    return !name.len;
}

static bool find_pod(ApiCall *x, const Target *t, Backend *ret)
{
    Value pod;
    uint16_t port;
    if (!load(x, "pods", x->ns, t->name, &pod)) {
        respond_status(x, REASON_NOT_FOUND, "pods \"%.*s\" not found", SV_FMT(t->name));
        return false;
    }
    StrView ip = value_path_str(&pod, "status.podIP");
    if (!pod_may_have(x, &pod, ip))
        respond_status(x, REASON_BAD_REQUEST, "address not allowed");
    else if (!pod_port(&pod, t->port, &port))
        respond_status(x, REASON_SERVICE_UNAVAILABLE,
                       "error trying to reach service: unknown port \"%.*s\"", SV_FMT(t->port));
    else
        return set_backend(x, t, ip, port, ret);
    return false;
}

/* ---- Services ---- */

/* The name of the Service's port that is meant; a number is looked up. */
static bool service_port(ApiCall *x, const Value *service, const Target *t, StrView *ret)
{
    uint16_t number;
    *ret = t->port;
    if (!is_number(t->port, &number))
        return true;
    value_list_foreach (p, value_path(service, "spec.ports")) {
        if (value_int_or(value_get(p, SV("port")), 0) == number) {
            *ret = value_str(value_get(p, SV("name")));
            return true;
        }
    }
    respond_status(x, REASON_SERVICE_UNAVAILABLE, "no service port %u found for service \"%.*s\"",
                   number, SV_FMT(t->name));
    return false;
}

/* Whether the endpoint is a pod of this namespace that has the address. */
static bool endpoint_holds(ApiCall *x, const Value *endpoint, StrView ip)
{
    const Value *ref = value_get(endpoint, SV("targetRef"));
    Value pod;
    return ref && sv_eq(value_str(value_get(ref, SV("kind"))), SV("Pod")) &&
           sv_eq(value_str(value_get(ref, SV("namespace"))), x->ns) &&
           load(x, "pods", x->ns, value_str(value_get(ref, SV("name"))), &pod) &&
           has_ip(value_path(&pod, "status.podIPs"), "ip", ip) && pod_may_have(x, &pod, ip);
}

/* A ready endpoint of the slice, another one each time. */
static bool choose_endpoint(ApiCall *x, const Value *slice, StrView *ret_ip)
{
    enum { TRIES_MAX = 16 }; /* each looks a pod up */
    const Value *list = value_get(slice, SV("endpoints"));
    uint32_t n = (uint32_t)value_len(list), first = n ? x->on->backends->turn++ % n : 0;
    unsigned tries = 0;
    for (uint32_t i = 0; i < n && tries < TRIES_MAX; i++) {
        const Value *e = value_at(list, (first + i) % n);
        if (!value_bool_or(value_path(e, "conditions.ready"), true))
            continue;
        *ret_ip = value_str(value_at(value_get(e, SV("addresses")), 0));
        tries++;
        if (endpoint_holds(x, e, *ret_ip))
            return true;
    }
    return false;
}

static bool slice_port(const Value *slice, StrView name, uint16_t *ret)
{
    value_list_foreach (p, value_get(slice, SV("ports"))) {
        int64_t port = value_int_or(value_get(p, SV("port")), 0);
        if (sv_eq(value_str(value_get(p, SV("name"))), name) && port > 0 && port <= UINT16_MAX) {
            *ret = (uint16_t)port;
            return true;
        }
    }
    return false;
}

static bool search_slices(ApiCall *x, StrView service, StrView port_name, StrView *ret_ip,
                          uint16_t *ret_port)
{
    const ApiResource *res =
        api_resource_find(SV("discovery.k8s.io"), SV("v1"), SV("endpointslices"));
    char prefix[STORE_KEY_MAX];
    SnapshotIter it;
    bool found = false, labelled;
    if (!registry_key(res, x->ns, SV_NULL, prefix))
        return false;
    Snapshot *sn = store_snapshot(x->srv->store);
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    for (ObjectRev *o; !found && (o = snapshot_next(&it));) {
        Value slice;
        StrView of = attrs_label(o->attrs, SV("kubernetes.io/service-name"), &labelled);
        found = labelled && sv_eq(of, service) &&
                object_decode(res, o, x->arena, &slice, NULL) == 0 &&
                slice_port(&slice, port_name, ret_port) && choose_endpoint(x, &slice, ret_ip);
    }
    snapshot_unref(sn);
    return found;
}

static bool find_service(ApiCall *x, const Target *t, Backend *ret)
{
    Value service;
    StrView port_name, ip;
    uint16_t port;
    if (!load(x, "services", x->ns, t->name, &service)) {
        respond_status(x, REASON_NOT_FOUND, "services \"%.*s\" not found", SV_FMT(t->name));
        return false;
    }
    if (!service_port(x, &service, t, &port_name))
        return false;
    if (search_slices(x, t->name, port_name, &ip, &port))
        return set_backend(x, t, ip, port, ret);
    if (!respond_exhausted(x))
        respond_status(x, REASON_SERVICE_UNAVAILABLE, "no endpoints available for service \"%.*s\"",
                       SV_FMT(x->name));
    return false;
}

/* ---- nodes ---- */

static bool find_node(ApiCall *x, const Target *t, Backend *ret)
{
    Value node;
    StrView ip;
    uint16_t port = 0;
    if (!load_node(x, t->name, &node, &ip))
        return false;
    if (t->port.len && !is_number(t->port, &port)) {
        respond_status(x, REASON_SERVICE_UNAVAILABLE,
                       "error trying to reach service: unknown port \"%.*s\"", SV_FMT(t->port));
        return false;
    }
    if (!port || port == kubelet_port(&node)) {
        if (!set_backend(x, t, ip, kubelet_port(&node), ret))
            return false;
        ret->tls = x->on->backends->tls.kubelet;
        return true;
    }
    if (addr_is_proxyable(ip))
        return set_backend(x, t, ip, port, ret);
    respond_status(x, REASON_BAD_REQUEST, "address not allowed");
    return false;
}

bool backend_find(ApiCall *x, Backend *ret)
{
    static const struct {
        StrView resource;
        const char *what;
        bool (*find)(ApiCall *x, const Target *t, Backend *ret);
    } rows[] = {
        { SV_INIT("pods"), "pod", find_pod },
        { SV_INIT("services"), "service", find_service },
        { SV_INIT("nodes"), "node", find_node },
    };
    size_t i = 0;
    Target t;
    while (i < ARRAY_SIZE(rows) - 1 && !sv_eq(rows[i].resource, x->resource))
        i++;
    if (split_name(x->name, &t))
        return rows[i].find(x, &t, ret);
    respond_status(x, REASON_BAD_REQUEST, "invalid %s request \"%.*s\"", rows[i].what,
                   SV_FMT(x->name));
    return false;
}

int backend_client(ApiCall *x, const Backend *b, HttpClient **ret, Err *err)
{
    char *host = arena_cstr(x->arena, b->host);
    HttpClientConfig cfg = {
        .host = host, .port = b->port, .tls = b->tls, .http1_only = true, .no_reuse = true
    };
    return host ? http_client_new(x->on->loop, &cfg, ret, err) : err_nomem(err);
}
