/* tunnel.c - a connection of its own as a byte stream, for Upgrade requests of clients. */
#include "net/client_internal.h"

struct HttpTunnel {
    Loop *loop;
    TlsContext *tls;
    char *server_name;
    uint32_t timeout_ms;
    Connector *connector;
    NetStream *stream;
    Source *timer;
    Buf head;
    HttpTunnelFn *fn;
    void *ctx;
};

HttpTunnel *http_tunnel_cancel(HttpTunnel *t)
{
    if (!t)
        return NULL;
    connector_cancel(t->connector);
    net_stream_free(t->stream);
    source_free(t->timer);
    tls_context_unref(t->tls);
    free(t->server_name);
    buf_free(&t->head);
    free(t);
    return NULL;
}

static void finish(HttpTunnel *t, const Err *why)
{
    HttpTunnelFn *fn = t->fn;
    void *ctx = t->ctx;
    Err copy = why ? *why : (Err){ 0 };
    NetStream *s = NULL;
    if (!why) {
        s = TAKE_PTR(t->stream);
        net_stream_on_ready(s, NULL, NULL);
        net_stream_set_events(s, &(NetStreamEvents){ 0 });
    }
    http_tunnel_cancel(t);
    fn(ctx, s, why ? &copy : NULL);
}

static void on_ready(void *ctx)
{
    HttpTunnel *t = ctx;
    Err err = { 0 };
    if (net_stream_write(t->stream, t->head.ptr, t->head.len, &err) < 0)
        finish(t, &err);
    else
        finish(t, NULL);
}

static void on_end(void *ctx, const Err *why)
{
    Err err = { 0 };
    err_set(&err, ERR_CLOSED, 0, "the server closed the connection");
    finish(ctx, why ? why : &err);
}

static void on_timeout(void *ctx)
{
    Err err = { 0 };
    err_set(&err, ERR_TIMEOUT, 0, "the TLS handshake did not end in time");
    finish(ctx, &err);
}

static void on_connected(void *ctx, int fd, const Err *why)
{
    HttpTunnel *t = ctx;
    Err err = { 0 };
    t->connector = NULL;
    if (fd < 0) {
        finish(t, why);
        return;
    }
    int r = net_stream_new_client(t->loop, fd, t->tls, t->server_name, false, &t->stream, &err);
    if (r == 0)
        r = loop_add_timer(t->loop, t->timeout_ms, 0, on_timeout, t, &t->timer, &err);
    if (r < 0) {
        finish(t, &err);
        return;
    }
    net_stream_pause(t->stream, true); /* the new owner starts delivery */
    net_stream_on_ready(t->stream, on_ready, t);
    net_stream_start(t->stream, &(NetStreamEvents){ NULL, on_end, NULL, t });
}

int http_tunnel(HttpClient *c, StrView request_head, HttpTunnelFn *on_connect, void *ctx,
                HttpTunnel **ret, Err *err)
{
    HttpTunnel *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->loop = c->loop;
    t->tls = tls_context_ref(c->cfg.tls);
    t->server_name = strdup(c->cfg.server_name);
    t->timeout_ms = c->cfg.connect_timeout_ms;
    t->fn = on_connect;
    t->ctx = ctx;
    buf_sv(&t->head, request_head);
    const ConnectTo to = client_connect_to(c);
    int r = t->server_name && !t->head.failed
                ? connector_new(c->loop, &to, on_connected, t, &t->connector, err)
                : err_nomem(err);
    if (r < 0) {
        http_tunnel_cancel(t);
        return r;
    }
    *ret = t;
    return 0;
}
