/* node_link.c - the way to a kubelet: logs, exec, attach and port-forward of a pod.
 *
 * Logs are an ordinary request whose answer is streamed on. The others are upgraded connections:
 * once the kubelet is reached, both byte streams are joined, and whether WebSocket or SPDY runs
 * over them is between the client and the kubelet. The server shows the kubelet its own client
 * certificate; the user's credentials end here. */
#include <stdio.h>

#include "api/check.h"
#include "apiserver/handlers.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "base/map.h"
#include "net/http_client.h"

enum {
    PENDING_MAX = 256 * 1024, /* bytes in one direction before the other side is paused */
    LOG_PENDING_MAX = 1024 * 1024,
};

struct NodeLinks {
    ApiServer *srv;
    TlsContext *tls;
    Map clients; /* "address:port" to HttpClient */
};

static int make_tls(const ApiServerConfig *cfg, TlsContext **ret, Err *err)
{
    TlsConfig tls = { .cert_chain = cfg->kubelet_client_cert,
                      .key = cfg->kubelet_client_key,
                      .ca = cfg->kubelet_ca,
                      .alpn_h2 = true };
    return cfg->kubelet_client_cert.len ? tls_context_new_client(&tls, ret, err) : 0;
}

int node_links_new(ApiServer *srv, const ApiServerConfig *cfg, NodeLinks **ret, Err *err)
{
    NodeLinks *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    n->srv = srv;
    int r = make_tls(cfg, &n->tls, err);
    if (r < 0) {
        free(n);
        return r;
    }
    *ret = n;
    return 0;
}

int node_links_reload(NodeLinks *n, const ApiServerConfig *cfg, Err *err)
{
    TlsContext *tls = NULL;
    int r = make_tls(cfg, &tls, err);
    if (r < 0)
        return r;
    StrView key;
    void *client;
    for (size_t i = 0; map_next(&n->clients, &i, &key, &client);)
        http_client_set_tls(client, tls);
    tls_context_unref(n->tls);
    n->tls = tls;
    return 0;
}

NodeLinks *node_links_free(NodeLinks *n)
{
    if (!n)
        return NULL;
    StrView key;
    void *client;
    for (size_t i = 0; map_next(&n->clients, &i, &key, &client);)
        http_client_free(client);
    map_free(&n->clients);
    tls_context_unref(n->tls);
    free(n);
    return NULL;
}

static bool decode_object(ApiCall *x, const char *plural, StrView ns, StrView name, Value *ret)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), sv_cstr(plural));
    char key[STORE_KEY_MAX];
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *o = registry_key(res, ns, name, key) ? snapshot_get(sn, sv_cstr(key)) : NULL;
    bool ok = o && object_decode(res, o, x->arena, ret, NULL) == 0;
    snapshot_unref(sn);
    return ok;
}

static HttpClient *client_for(ApiCall *x, StrView node_name)
{
    NodeLinks *n = x->srv->nodes;
    Value node;
    StrView ip = SV_NULL;
    if (!n->tls || !decode_object(x, "nodes", SV_NULL, node_name, &node)) {
        respond_status(x, REASON_NOT_FOUND, "node \"%.*s\" not found", SV_FMT(node_name));
        return NULL;
    }
    value_list_foreach (addr, value_path(&node, "status.addresses")) {
        if (sv_eq(value_str(value_get(addr, SV("type"))), SV("InternalIP")))
            ip = value_str(value_get(addr, SV("address")));
    }
    int64_t port =
        value_int_or(value_path(&node, "status.daemonEndpoints.kubeletEndpoint.Port"), 10250);
    StrView key = arena_printf(x->arena, "%.*s:%lld", SV_FMT(ip), (long long)port);
    HttpClient *client = map_get(&n->clients, key);
    char *host = arena_cstr(x->arena, ip);
    if (client || !host)
        return client;
    HttpClientConfig cfg = { .host = host, .port = (uint16_t)port, .tls = n->tls };
    Err err = { 0 };
    if (!ip.len)
        respond_status(x, REASON_SERVICE_UNAVAILABLE, "node \"%.*s\" has reported no address",
                       SV_FMT(node_name));
    else if (http_client_new(x->srv->loop, &cfg, &client, &err) < 0)
        respond_err(x, &err);
    else if (!map_set(&n->clients, key, client, NULL)) {
        client = http_client_free(client);
        respond_nomem(x);
    }
    return client;
}

/* The container that is meant: the one named, or the only one. */
static bool choose_container(ApiCall *x, const Value *pod, StrView *ret)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers"),
                                     SV_INIT("ephemeralContainers") };
    const Value *containers = value_path(pod, "spec.containers");
    if (!http_query(x->req, SV("container"), ret) || !ret->len) {
        *ret = value_str(value_get(value_at(containers, 0), SV("name")));
        if (value_len(containers) == 1)
            return true;
        _cleanup_buf_ Buf names = BUF_INIT;
        value_list_foreach (c, containers)
            buf_printf(&names, "%s%.*s", names.len ? " " : "",
                       SV_FMT(value_str(value_get(c, SV("name")))));
        respond_status(x, REASON_BAD_REQUEST,
                       "a container name must be specified for pod %.*s, choose one of: [%.*s]",
                       SV_FMT(x->name), (int)names.len, names.ptr);
        return false;
    }
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(value_get(pod, SV("spec")), lists[l])) {
            if (sv_eq(value_str(value_get(c, SV("name"))), *ret))
                return true;
        }
    }
    respond_status(x, REASON_BAD_REQUEST, "container %.*s is not valid for pod %.*s", SV_FMT(*ret),
                   SV_FMT(x->name));
    return false;
}

static void escape(StrView s, Buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/", c))
            buf_putc(out, (char)c);
        else {
            buf_putc(out, '%');
            buf_putc(out, hex[c >> 4]);
            buf_putc(out, hex[c & 15]);
        }
    }
}

/* The kubelet's own names for the options of exec and attach. */
static StrView kubelet_param(StrView name)
{
    if (sv_eq(name, SV("stdin")))
        return SV("input");
    if (sv_eq(name, SV("stdout")))
        return SV("output");
    if (sv_eq(name, SV("stderr")))
        return SV("error");
    return name;
}

/* "/exec/NS/POD/CONTAINER?command=…" */
static void build_target(ApiCall *x, const char *verb, StrView container, Buf *out)
{
    buf_printf(out, "/%s/", verb);
    escape(x->ns, out);
    buf_putc(out, '/');
    escape(x->name, out);
    if (container.len) {
        buf_putc(out, '/');
        escape(container, out);
    }
    StrView rest = x->req->query, name, value;
    char sep = '?';
    while (http_query_next(x->arena, &rest, &name, &value)) {
        if (sv_eq(name, SV("container")))
            continue;
        StrView own = kubelet_param(name);
        if (!sv_eq(own, name)) /* stdin=true becomes input=1 */
            value = http_bool_value(value) ? SV("1") : SV("0");
        buf_putc(out, sep);
        escape(own, out);
        buf_putc(out, '=');
        escape(value, out);
        sep = '&';
    }
}

/* ---- logs ---- */

typedef struct LogStream {
    ApiCall *x;
    HttpCall *call;
    bool started;
    int status;
    Buf refused; /* the kubelet's words when it is not 200 */
} LogStream;

static void log_free(LogStream *s)
{
    http_call_cancel(s->call);
    buf_free(&s->refused);
    free(s);
}

static void on_log_peer_gone(void *ctx)
{
    log_free(ctx);
}

static void on_log_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    LogStream *s = ctx;
    s->status = status;
    if (status == 200)
        s->started = http_stream_start(s->x->req, 200, SV("text/plain"), NULL) == 0;
}

static void on_log_drain(void *ctx)
{
    LogStream *s = ctx;
    http_call_pause(s->call, false);
}

static void on_log_data(void *ctx, const void *data, size_t len)
{
    LogStream *s = ctx;
    if (!s->started) {
        if (s->refused.len < 1024)
            buf_append(&s->refused, data, len);
        return;
    }
    http_stream_write(s->x->req, data, len, NULL);
    if (http_stream_pending(s->x->req) > LOG_PENDING_MAX) {
        http_stream_on_drain(s->x->req, on_log_drain, s);
        http_call_pause(s->call, true);
    }
}

static void on_log_done(void *ctx, const Err *err)
{
    LogStream *s = ctx;
    ApiCall *x = s->x;
    s->call = NULL;
    http_on_close(x->req, NULL, NULL);
    if (s->started && err)
        http_abort(x->req);
    else if (s->started)
        http_stream_end(x->req);
    else if (err)
        respond_status(x, REASON_INTERNAL, "Internal error occurred: reach the kubelet: %s",
                       err->msg);
    else
        respond_status(x,
                       s->status == 404   ? REASON_NOT_FOUND
                       : s->status == 400 ? REASON_BAD_REQUEST
                                          : REASON_INTERNAL,
                       "%.*s", (int)s->refused.len, s->refused.ptr ? s->refused.ptr : "");
    log_free(s);
}

static void open_log(ApiCall *x, HttpClient *client, StrView target)
{
    Err err = { 0 };
    LogStream *s = calloc(1, sizeof *s);
    if (!s) {
        err_nomem(&err);
        respond_err(x, &err);
        return;
    }
    s->x = x;
    HttpCallSpec spec = { .method = SV("GET"),
                          .target = target,
                          .on_head = on_log_head,
                          .on_data = on_log_data,
                          .on_done = on_log_done,
                          .ctx = s };
    http_on_close(x->req, on_log_peer_gone, s);
    if (http_call(client, &spec, &s->call, &err) < 0) {
        http_on_close(x->req, NULL, NULL);
        log_free(s);
        respond_err(x, &err);
    }
}

/* ---- joined streams ---- */

typedef struct Join {
    ApiCall *x;         /* until the connection is taken over */
    HttpTunnel *tunnel; /* until it is connected */
    NetStream *side[2]; /* 0: client, 1: kubelet */
    struct JoinEnd {
        struct Join *join;
        int from;
    } end[2];
} Join;

static void join_free(Join *j)
{
    http_tunnel_cancel(j->tunnel);
    net_stream_free(j->side[0]);
    net_stream_free(j->side[1]);
    free(j);
}

static void on_join_data(void *ctx, const void *data, size_t len)
{
    struct JoinEnd *e = ctx;
    NetStream *to = e->join->side[!e->from];
    if (!to)
        return;
    net_stream_write(to, data, len, NULL);
    if (net_stream_pending(to) > PENDING_MAX)
        net_stream_pause(e->join->side[e->from], true);
}

static void on_join_drain(void *ctx)
{
    struct JoinEnd *e = ctx;
    if (e->join->side[!e->from])
        net_stream_pause(e->join->side[!e->from], false);
}

static void on_join_end(void *ctx, const Err *why)
{
    struct JoinEnd *e = ctx;
    Join *j = e->join;
    j->side[e->from] = net_stream_free(j->side[e->from]);
    NetStream *other = j->side[!e->from];
    if (other)
        net_stream_end(other); /* its own end follows when everything is sent */
    else
        join_free(j);
}

static void join_start(Join *j)
{
    for (int i = 0; i < 2; i++) {
        j->end[i].join = j;
        j->end[i].from = i;
    }
    for (int i = 0; i < 2 && j->side[i]; i++) {
        NetStreamEvents ev = { on_join_data, on_join_end, on_join_drain, &j->end[i] };
        net_stream_start(j->side[i], &ev);
    }
}

static void on_join_peer_gone(void *ctx)
{
    join_free(ctx);
}

static void on_tunnel(void *ctx, NetStream *stream, const Err *err)
{
    Join *j = ctx;
    ApiCall *x = j->x;
    Err own = { 0 };
    j->tunnel = NULL;
    http_on_close(x->req, NULL, NULL);
    if (!stream) {
        respond_status(x, REASON_INTERNAL, "Internal error occurred: error dialing backend: %s",
                       err->msg);
        join_free(j);
        return;
    }
    j->side[1] = stream;
    if (http_take_over(x->req, SV(""), &j->side[0], &own) < 0) {
        respond_status(x, REASON_INTERNAL, "Internal error occurred: %s", own.msg);
        join_free(j);
        return;
    }
    join_start(j);
}

static bool passes_on(StrView name)
{
    static const StrView kept[] = { SV_INIT("connection"), SV_INIT("upgrade"),
                                    SV_INIT("origin"),     SV_INIT("x-stream-protocol-version"),
                                    SV_INIT("user-agent"), SV_INIT("content-length"),
                                    SV_INIT("accept") };
    if (sv_starts(name, SV("sec-websocket-")))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (sv_eq(kept[i], name))
            return true;
    return false;
}

static void open_stream(ApiCall *x, HttpClient *client, StrView target)
{
    _cleanup_buf_ Buf head = BUF_INIT;
    Err err = { 0 };
    if (!http_header(x->req, SV("upgrade")).len) {
        respond_status(x, REASON_BAD_REQUEST, "Upgrade request required");
        return;
    }
    buf_printf(&head, "%.*s %.*s HTTP/1.1\r\nHost: kubelet\r\n", SV_FMT(x->req->method),
               SV_FMT(target));
    for (uint32_t i = 0; i < x->req->n_headers; i++) {
        const HttpHeader *h = &x->req->headers[i];
        /* A token may hide in the WebSocket protocols; it is for this server alone. */
        if (passes_on(h->name) && sv_find(h->value, SV("base64url.bearer.authorization")) < 0)
            buf_printf(&head, "%.*s: %.*s\r\n", SV_FMT(h->name), SV_FMT(h->value));
    }
    buf_sv(&head, SV("\r\n"));
    Join *j = calloc(1, sizeof *j);
    if (!j || head.failed) {
        free(j);
        respond_nomem(x);
        return;
    }
    j->x = x;
    http_on_close(x->req, on_join_peer_gone, j);
    if (http_tunnel(client, buf_view(&head), on_tunnel, j, &j->tunnel, &err) < 0) {
        http_on_close(x->req, NULL, NULL);
        free(j);
        respond_err(x, &err);
    }
}

bool node_link_handle(ApiCall *x)
{
    static const struct {
        StrView sub;
        const char *path;
        bool container;
    } rows[] = {
        { SV_INIT("log"), "containerLogs", true },
        { SV_INIT("exec"), "exec", true },
        { SV_INIT("attach"), "attach", true },
        { SV_INIT("portforward"), "portForward", false },
    };
    size_t i = 0;
    while (i < ARRAY_SIZE(rows) && !sv_eq(rows[i].sub, x->sub))
        i++;
    if (i == ARRAY_SIZE(rows) || !sv_eq(x->resource, SV("pods")))
        return false;
    Value pod;
    StrView container = SV_NULL;
    if (!decode_object(x, "pods", x->ns, x->name, &pod)) {
        respond_not_found(x);
        return true;
    }
    StrView node = value_path_str(&pod, "spec.nodeName");
    if (rows[i].container && !choose_container(x, &pod, &container))
        return true;
    if (!node.len) {
        if (i == 0)
            http_respond(x->req, 200, SV("text/plain"),
                         SV("")); /* as the peer: no node, no log yet */
        else
            respond_status(x, REASON_BAD_REQUEST, "pod %.*s does not have a host assigned",
                           SV_FMT(x->name));
        return true;
    }
    HttpClient *client = client_for(x, node);
    if (!client)
        return true;
    _cleanup_buf_ Buf target = BUF_INIT;
    build_target(x, rows[i].path, container, &target);
    if (target.failed)
        respond_nomem(x);
    else if (i == 0)
        open_log(x, client, buf_view(&target));
    else
        open_stream(x, client, buf_view(&target));
    return true;
}
