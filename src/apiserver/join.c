/* join.c - a connection of a client and one of a backend, joined after an upgrade.
 *
 * Whether WebSocket or SPDY runs over them is between the two. They are joined only when the
 * backend has switched protocols: on a connection that still speaks HTTP the client could send
 * further requests, which the backend would take for this server's. */
#include "apiserver/join.h"

#include "apiserver/backend.h"
#include "apiserver/passing.h"
#include "apiserver/respond.h"

typedef struct Join {
    ApiCall *x;         /* until the connection is taken over */
    HttpTunnel *tunnel; /* until it is connected */
    HttpClient *client; /* if it is ours */
    Backends *backends;
    NetStream *side[2]; /* 0: client, 1: backend */
    struct JoinEnd {
        struct Join *join;
        int from;
    } end[2];
} Join;

static void join_free(Join *j)
{
    backend_closed(j->backends);
    http_tunnel_cancel(j->tunnel);
    http_client_free(j->client);
    net_stream_free(j->side[0]);
    net_stream_free(j->side[1]);
    free(j);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    struct JoinEnd *e = ctx;
    NetStream *to = e->join->side[!e->from];
    if (!to)
        return;
    net_stream_write(to, data, len, NULL);
    if (net_stream_pending(to) > backend_pending_max(e->join->backends))
        net_stream_pause(e->join->side[e->from], true);
}

static void on_drain(void *ctx)
{
    struct JoinEnd *e = ctx;
    if (e->join->side[!e->from])
        net_stream_pause(e->join->side[!e->from], false);
}

static void on_end(void *ctx, const Err *why)
{
    struct JoinEnd *e = ctx;
    Join *j = e->join;
    (void)why;
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
        NetStreamEvents ev = { on_data, on_end, on_drain, &j->end[i] };
        net_stream_start(j->side[i], &ev);
    }
}

static void on_peer_gone(void *ctx)
{
    join_free(ctx);
}

/* ---- the backend's answer ---- */

static void write_switch(const HttpTunnelAnswer *a, Buf *head)
{
    buf_sv(head, SV("HTTP/1.1 101 Switching Protocols\r\n"));
    for (uint32_t i = 0; i < a->n_headers; i++)
        if (passes_back(a->headers, a->n_headers, a->headers[i].name) ||
            sv_eq(a->headers[i].name, SV("upgrade")))
            buf_printf(head, "%.*s: %.*s\r\n", SV_FMT(a->headers[i].name),
                       SV_FMT(a->headers[i].value));
    buf_sv(head, SV("Connection: Upgrade\r\n\r\n"));
}

static void refused(ApiCall *x, const HttpTunnelAnswer *a)
{
    StrView type = SV("text/plain");
    if (a->status < 400) {
        respond_status(x, REASON_INTERNAL,
                       "Internal error occurred: invalid upgrade response: status code %d",
                       a->status);
        return;
    }
    for (uint32_t i = 0; i < a->n_headers; i++)
        if (sv_eq(a->headers[i].name, SV("content-type")))
            type = a->headers[i].value;
    http_respond(x->req, a->status, type, a->body);
}

static void on_answer(void *ctx, const HttpTunnelAnswer *a, NetStream *stream, const Err *err)
{
    Join *j = ctx;
    ApiCall *x = j->x;
    _cleanup_buf_ Buf head = BUF_INIT;
    Err own = { 0 };
    j->tunnel = NULL;
    j->side[1] = stream;
    http_on_close(x->req, NULL, NULL);
    if (a && stream)
        write_switch(a, &head);
    if (!a)
        respond_status(x, REASON_INTERNAL, "Internal error occurred: error dialing backend: %s",
                       err->msg);
    else if (!stream)
        refused(x, a);
    else if (head.failed)
        respond_nomem(x);
    else if (http_take_over(x->req, buf_view(&head), &j->side[0], &own) < 0)
        respond_status(x, REASON_INTERNAL, "Internal error occurred: %s", own.msg);
    else {
        join_start(j);
        return;
    }
    join_free(j);
}

/* ---- the request ---- */

/* A token may hide in the WebSocket protocols; it is for this server alone. */
static void write_protocols(StrView list, Buf *out)
{
    StrView one;
    bool any = false;
    while (sv_next(&list, ',', &one)) {
        one = sv_trim(one);
        if (!one.len || sv_starts(one, SV("base64url.bearer.authorization.")))
            continue;
        buf_printf(out, "%s%.*s", any ? ", " : "Sec-WebSocket-Protocol: ", SV_FMT(one));
        any = true;
    }
    if (any)
        buf_sv(out, SV("\r\n"));
}

bool join_headers(const HttpReq *req, Buf *out)
{
    for (uint32_t i = 0; i < req->n_headers; i++) {
        const HttpHeader *h = &req->headers[i];
        bool upgrade = sv_eq(h->name, SV("upgrade"));
        for (size_t k = 0; k < h->value.len; k++)
            if (h->value.ptr[k] == '\r' || h->value.ptr[k] == '\n' || !h->value.ptr[k])
                return false;
        if (sv_eq(h->name, SV("sec-websocket-protocol")))
            write_protocols(h->value, out);
        else if (upgrade || passes_on(req, h->name))
            buf_printf(out, "%.*s: %.*s\r\n", SV_FMT(h->name), SV_FMT(h->value));
    }
    buf_sv(out, SV("Connection: Upgrade\r\n"));
    return !out->failed;
}

void join_open(ApiCall *x, HttpClient *client, bool owned, StrView head)
{
    Err err = { 0 };
    Join *j = calloc(1, sizeof *j);
    if (!j) {
        if (owned)
            http_client_free(client);
        respond_nomem(x);
        return;
    }
    j->x = x;
    j->client = owned ? client : NULL;
    j->backends = x->on->backends;
    backend_opened(j->backends);
    http_on_close(x->req, on_peer_gone, j);
    if (http_tunnel(client, head, on_answer, j, &j->tunnel, &err) < 0) {
        http_on_close(x->req, NULL, NULL);
        join_free(j);
        respond_err(x, &err);
    }
}
