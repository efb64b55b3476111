/* server.c - the kubelet's own API: the API server comes here for logs, exec, attach and
 * port-forward; monitoring reads /metrics. Every request but /healthz is authorised first. A new
 * path is a row of `routes`. */
#include "kubelet/server.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "net/metrics_server.h"

void session_add(KubeletServer *s, Session *x, void (*end)(Session *x))
{
    x->end = end;
    x->next = s->sessions;
    x->link = &s->sessions;
    if (x->next)
        x->next->link = &x->next;
    s->sessions = x;
}

void session_del(Session *x)
{
    if (!x->link)
        return;
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->link = NULL;
}

void kubelet_refuse(HttpReq *req, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(req->arena, fmt, ap);
    va_end(ap);
    http_respond(req, status, SV("text/plain; charset=utf-8"),
                 text.ptr ? text : SV("out of memory"));
}

int kubelet_upgrade_status(const Err *err)
{
    return err->code == ERR_DENIED                              ? 403
           : err->code == ERR_INVALID || err->code == ERR_LIMIT ? 400
                                                                : 500;
}

bool kubelet_flag(const HttpReq *req, StrView name)
{
    return http_query_true(req, name);
}

Worker *kubelet_find_pod(Kubelet *k, StrView ns, StrView name)
{
    StrView uid;
    void *v;
    Worker *found = NULL;
    for (size_t i = 0; map_next(&k->workers, &i, &uid, &v);) {
        Worker *w = v;
        if (sv_eq(sv_cstr(w->ns), ns) && sv_eq(sv_cstr(w->name), name) && (!found || w->conn))
            found = w;
    }
    return found;
}

Worker *kubelet_request_pod(KubeletRequest *r)
{
    Worker *w = r->n_rest >= 2 ? kubelet_find_pod(r->server->k, r->rest[0], r->rest[1]) : NULL;
    if (!w)
        kubelet_refuse(r->req, 404, "pod \"%.*s\" does not exist on this node",
                       SV_FMT(r->n_rest >= 2 ? r->rest[1] : SV("")));
    return w;
}

Container *kubelet_request_container(KubeletRequest *r)
{
    Worker *w = kubelet_request_pod(r);
    if (!w)
        return NULL;
    Container *c = r->n_rest == 3 ? worker_container(w, r->rest[2]) : NULL;
    if (!c)
        kubelet_refuse(r->req, 404, "container \"%.*s\" not found in pod \"%s\"",
                       SV_FMT(r->n_rest == 3 ? r->rest[2] : SV("")), w->name);
    return c;
}

/* ---- small answers ---- */

static void serve_pods(KubeletRequest *r)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView uid;
    void *v;
    bool more = false;
    buf_sv(&b, SV("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":["));
    for (size_t i = 0; map_next(&r->server->k->workers, &i, &uid, &v);) {
        const Worker *w = v;
        if (!w->obj)
            continue;
        if (more)
            buf_putc(&b, ',');
        buf_sv(&b, w->obj->json);
        more = true;
    }
    buf_sv(&b, SV("]}"));
    if (b.failed)
        kubelet_refuse(r->req, 500, "out of memory");
    else
        http_respond(r->req, 200, SV("application/json"), buf_view(&b));
}

static void serve_metrics(KubeletRequest *r)
{
    metrics_respond(api_client_metrics(r->server->k->api), r->req);
}

/* ---- routes ---- */

/* `stream`: something is run or opened in the pod. That needs the right to create, whatever the
 * method: a WebSocket begins with GET, and the right to read must not be enough for it. */
static const struct Route {
    StrView name, subresource;
    KubeletHandler *handler;
    bool stream;
} routes[] = {
    { SV_INIT("containerLogs"), SV_INIT("proxy"), serve_logs, false },
    { SV_INIT("exec"), SV_INIT("proxy"), serve_exec, true },
    { SV_INIT("attach"), SV_INIT("proxy"), serve_attach, true },
    { SV_INIT("portForward"), SV_INIT("proxy"), serve_port_forward, true },
    { SV_INIT("pods"), SV_INIT("proxy"), serve_pods, false },
    { SV_INIT("logs"), SV_INIT("log"), serve_log_files, false },
    { SV_INIT("metrics"), SV_INIT("metrics"), serve_metrics, false },
    { SV_INIT("stats"), SV_INIT("stats"), serve_stats, false },
};

/* Splits "/exec/NS/POD/CONTAINER"; NULL when there is no such path. */
static const struct Route *find_route(HttpReq *req, KubeletRequest *r)
{
    StrView rest = sv_skip(req->path, 1), first, piece;
    if (!sv_next(&rest, '/', &first))
        return NULL;
    while (sv_next(&rest, '/', &piece)) {
        if (r->n_rest == ARRAY_SIZE(r->rest))
            return NULL;
        r->rest[r->n_rest++] = piece;
    }
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
        if (sv_eq(routes[i].name, first))
            return &routes[i];
    return NULL;
}

static void on_allowed(KubeletServer *s, HttpReq *req)
{
    KubeletRequest r = { .server = s, .req = req };
    const struct Route *route = find_route(req, &r);
    ASSERT(route);
    route->handler(&r);
}

static void on_request(void *ctx, HttpReq *req)
{
    KubeletServer *s = ctx;
    KubeletRequest r = { .server = s, .req = req };
    const struct Route *route = find_route(req, &r);
    bool get = sv_eq(req->method, SV("GET"));
    if (get && sv_eq(req->path, SV("/healthz")))
        kubelet_refuse(req, 200, "ok");
    else if (!route)
        kubelet_refuse(req, 404, "404 page not found");
    else if (!get && !(route->stream && sv_eq(req->method, SV("POST"))))
        kubelet_refuse(req, 405, "405: Method Not Allowed");
    else
        kubelet_authorize(s, req, route->stream ? SV("create") : SV("get"), route->subresource,
                          on_allowed);
}

static int make_tls(StrView cert, StrView key, StrView client_ca, TlsContext **ret, Err *err)
{
    TlsConfig tls = { .cert_chain = cert,
                      .key = key,
                      .ca = client_ca,
                      .client_auth = TLS_CLIENT_ASK,
                      .alpn_h2 = true };
    return tls_context_new_server(&tls, ret, err);
}

int kubelet_server_reload(KubeletServer *s, StrView cert, StrView key, StrView client_ca, Err *err)
{
    TlsContext *tls = NULL;
    int r = make_tls(cert, key, client_ca, &tls, err);
    if (r == 0)
        http_server_set_tls(s->http, tls);
    tls_context_unref(tls);
    return r;
}

int kubelet_server_new(Kubelet *k, KubeletServer **ret, Err *err)
{
    KubeletServer *s = calloc(1, sizeof *s);
    TlsContext *tls = NULL;
    char addr[32];
    if (!s)
        return err_nomem(err);
    s->k = k;
    snprintf(addr, sizeof addr, "0.0.0.0:%u", k->cfg.port);
    int r = access_gate_new(k->api, &s->gate, err);
    if (r == 0)
        r = make_tls(k->cfg.tls_cert, k->cfg.tls_key, k->cfg.client_ca, &tls, err);
    if (r == 0) {
        HttpServerConfig cfg = { .tls = tls, .handler = on_request, .ctx = s, .body_max = 65536 };
        r = http_server_new(k->loop, addr, &cfg, &s->http, err);
    }
    tls_context_unref(tls);
    if (r < 0) {
        kubelet_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

KubeletServer *kubelet_server_free(KubeletServer *s)
{
    if (!s)
        return NULL;
    while (s->sessions)
        s->sessions->end(s->sessions);
    http_server_free(s->http);
    access_gate_free(s->gate);
    kubelet_samples_free(s);
    free(s);
    return NULL;
}
