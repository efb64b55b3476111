/* tunnel.c - a connection of its own as a byte stream, for Upgrade requests of clients.
 *
 * The stream is handed out behind the head of a 101 answer and never else: on a connection whose
 * server did not switch protocols, whatever the client sends next would be a request of its own,
 * which nobody has checked. */
#include "net/client_internal.h"
#include "net/http1.h"

struct HttpTunnel {
    Loop *loop;
    TlsContext *tls;
    char *server_name;
    uint32_t timeout_ms;
    Connector *connector;
    NetStream *stream;
    Source *timer;
    Buf head;
    Http1 *parser;
    Arena arena; /* the answer's head */
    HttpTunnelAnswer answer;
    Buf body;
    bool complete;
    unsigned busy; /* the callback runs: it is freed behind it */
    HttpTunnelFn *fn;
    void *ctx;
};

static void tunnel_free(HttpTunnel *t)
{
    connector_cancel(t->connector);
    net_stream_free(t->stream);
    source_free(t->timer);
    tls_context_unref(t->tls);
    http1_free(t->parser);
    free(t->server_name);
    buf_free(&t->head);
    buf_free(&t->body);
    arena_free(&t->arena);
    free(t);
}

HttpTunnel *http_tunnel_cancel(HttpTunnel *t)
{
    if (t && t->busy == 0)
        tunnel_free(t);
    return NULL;
}

/* Tells the caller; the tunnel is gone. */
static void finish(HttpTunnel *t, const Err *why)
{
    Err copy = why ? *why : (Err){ 0 };
    NetStream *s = NULL;
    if (!why && t->answer.status == 101) {
        s = TAKE_PTR(t->stream);
        net_stream_pause(s, true); /* the new owner starts delivery */
        net_stream_on_ready(s, NULL, NULL);
        net_stream_set_events(s, &(NetStreamEvents){ 0 });
    }
    t->busy++; /* the answer outlives the callback */
    t->answer.body = buf_view(&t->body);
    t->fn(t->ctx, why ? NULL : &t->answer, s, why ? &copy : NULL);
    t->busy--;
    tunnel_free(t);
}

/* ---- the answer ---- */

static int on_head(void *ctx, Http1 *p)
{
    HttpTunnel *t = ctx;
    int status = http1_status(p);
    if (status < 200 && status != 101)
        return 0; /* an interim answer */
    uint32_t n = http1_n_headers(p);
    HttpHeader *h = arena_array(&t->arena, HttpHeader, n ? n : 1);
    if (!h)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        HttpHeader from = http1_header_at(p, i);
        h[i] = (HttpHeader){ arena_sv(&t->arena, from.name), arena_sv(&t->arena, from.value) };
        if (!h[i].name.ptr || !h[i].value.ptr)
            return -1;
    }
    t->answer = (HttpTunnelAnswer){ .status = status, .headers = h, .n_headers = n };
    return status == 101;
}

static int on_body(void *ctx, const void *data, size_t len)
{
    HttpTunnel *t = ctx;
    size_t room = HTTP_TUNNEL_BODY_MAX - t->body.len;
    buf_append(&t->body, data, MIN(len, room));
    return t->body.failed ? -1 : 0;
}

static int on_complete(void *ctx, Http1 *p)
{
    (void)p;
    HttpTunnel *t = ctx;
    t->complete = t->answer.status != 0;
    return 0;
}

static void on_data(void *ctx, const void *data, size_t len)
{
    HttpTunnel *t = ctx;
    Err err = { 0 };
    const char *at = data, *end = at + len;
    while (at < end && !t->complete) {
        ssize_t n = http1_feed(t->parser, at, (size_t)(end - at), &err);
        if (n < 0) {
            finish(t, &err);
            return;
        }
        at += n;
        if (!t->complete)
            http1_next(t->parser);
    }
    if (!t->complete && t->body.len < HTTP_TUNNEL_BODY_MAX)
        return;
    if (t->answer.status == 101 && at < end &&
        net_stream_unread(t->stream, at, (size_t)(end - at), &err) < 0)
        finish(t, &err);
    else
        finish(t, NULL);
}

static void on_end(void *ctx, const Err *why)
{
    HttpTunnel *t = ctx;
    Err err = { 0 };
    err_set(&err, ERR_CLOSED, 0, "the server closed the connection");
    bool whole = t->answer.status && !why && http1_finish(t->parser, NULL) == 0;
    finish(t, whole ? NULL : why ? why : &err);
}

/* ---- the connection ---- */

static void on_ready(void *ctx)
{
    HttpTunnel *t = ctx;
    Err err = { 0 };
    t->timer = source_free(t->timer);
    if (net_stream_write(t->stream, t->head.ptr, t->head.len, &err) < 0)
        finish(t, &err);
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
    net_stream_on_ready(t->stream, on_ready, t);
    net_stream_start(t->stream, &(NetStreamEvents){ on_data, on_end, NULL, t });
}

int http_tunnel(HttpClient *c, StrView request_head, HttpTunnelFn *on_answer, void *ctx,
                HttpTunnel **ret, Err *err)
{
    static const Http1Events events = { on_head, on_body, on_complete };
    HttpTunnel *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    arena_init(&t->arena, 0);
    t->loop = c->loop;
    t->tls = tls_context_ref(c->cfg.tls);
    t->server_name = strdup(c->cfg.server_name);
    t->timeout_ms = c->cfg.connect_timeout_ms;
    t->fn = on_answer;
    t->ctx = ctx;
    buf_sv(&t->head, request_head);
    const ConnectTo to = client_connect_to(c);
    int r = t->server_name && !t->head.failed
                ? http1_new(HTTP1_RESPONSE, CLIENT_HEADER_MAX, &events, t, &t->parser, err)
                : err_nomem(err);
    if (r == 0)
        r = connector_new(c->loop, &to, on_connected, t, &t->connector, err);
    if (r < 0) {
        tunnel_free(t);
        return r;
    }
    *ret = t;
    return 0;
}
