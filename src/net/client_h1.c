/* client_h1.c - HTTP/1.1 on a connection of the client: one call at a time. */
#include "net/client_internal.h"
#include "net/http1.h"
#include "net/http_util.h"

typedef struct ClientH1 {
    Http1 *parser;
    bool complete; /* the response of the present call is */
} ClientH1;

static ClientH1 *h1_of(ClientConn *c)
{
    return c->proto;
}

static int on_head(void *ctx, Http1 *p)
{
    ClientConn *c = ctx;
    HttpCall *call = c->calls.head;
    if (!call)
        return -1; /* an answer that nobody asked for */
    int status = http1_status(p);
    if (status < 200 && status != 101)
        return 0; /* "100 Continue" and its kin: the answer follows */
    call->status = status;
    for (uint32_t i = 0; i < http1_n_headers(p); i++) {
        HttpHeader h = http1_header_at(p, i);
        if (call_add_header(call, h.name, h.value, NULL) < 0)
            return -1;
    }
    /* Whatever its length says. What follows would else be taken for a body here, and for the next
     * answer by whoever knows better. */
    bool none = sv_eq(call->spec.method, SV("HEAD")) || !http_status_has_body(status);
    call_head(call);
    return c->closing ? -1 : none;
}

static int on_body(void *ctx, const void *data, size_t len)
{
    ClientConn *c = ctx;
    if (c->calls.head)
        call_data(c->calls.head, data, len);
    return c->closing ? -1 : 0;
}

static int on_complete(void *ctx, Http1 *p)
{
    (void)p;
    ClientConn *c = ctx;
    h1_of(c)->complete = c->calls.head && c->calls.head->status != 0;
    return 0;
}

int client_h1_init(ClientConn *c, Err *err)
{
    static const Http1Events events = { on_head, on_body, on_complete };
    ClientH1 *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    int r = http1_new(HTTP1_RESPONSE, CLIENT_HEADER_MAX, &events, c, &h->parser, err);
    if (r < 0) {
        free(h);
        return r;
    }
    c->proto = h;
    return 0;
}

static void h1_free(ClientConn *c)
{
    ClientH1 *h = h1_of(c);
    if (!h)
        return;
    http1_free(h->parser);
    free(h);
    c->proto = NULL;
}

/* What was appended to the connection's buffer goes out, or the connection ends without it. */
static void written(ClientConn *c, const Buf *out)
{
    Err err = { 0 };
    if (!out->failed) {
        net_stream_written(c->stream);
        return;
    }
    err_nomem(&err);
    client_conn_close(c, &err);
}

static void h1_start(ClientConn *c, HttpCall *call)
{
    Buf *out = net_stream_out(c->stream);
    const HttpCallSpec *s = &call->spec;
    buf_printf(out, "%.*s %.*s HTTP/1.1\r\n", SV_FMT(s->method), SV_FMT(s->target));
    if (!call_find_request_header(call, SV("host")).ptr)
        buf_printf(out, "host: %s\r\n", call->client->authority);
    for (uint32_t i = 0; i < s->n_headers; i++)
        buf_printf(out, "%.*s: %.*s\r\n", SV_FMT(s->headers[i].name), SV_FMT(s->headers[i].value));
    bool sends = sv_eq(s->method, SV("POST")) || sv_eq(s->method, SV("PUT")) ||
                 sv_eq(s->method, SV("PATCH"));
    call->out_chunked = s->streams && !call_find_request_header(call, SV("content-length")).ptr;
    if (call->out_chunked)
        buf_sv(out, SV("transfer-encoding: chunked\r\n"));
    else if (!s->streams && (s->body.len > 0 || sends))
        buf_printf(out, "content-length: %zu\r\n", s->body.len);
    if (c->own)
        buf_sv(out, SV("connection: close\r\n"));
    buf_sv(out, SV("\r\n"));
    written(c, out);
}

static void pump_stream(ClientConn *c, HttpCall *call, Buf *out)
{
    if (call->out.len > 0) {
        if (call->out_chunked)
            buf_printf(out, "%zx\r\n", call->out.len);
        buf_append(out, call->out.ptr, call->out.len);
        if (call->out_chunked)
            buf_sv(out, SV("\r\n"));
        buf_clear(&call->out);
        call_drained(call);
    }
    if (call->out_over && !call->out_told) {
        call->out_told = true;
        if (call->out_chunked)
            buf_sv(out, SV("0\r\n\r\n"));
    }
    written(c, out);
}

static void h1_pump(ClientConn *c)
{
    HttpCall *call = c->calls.head;
    Buf *out = net_stream_out(c->stream);
    if (call && call->spec.streams && out->len < CLIENT_OUT_HIGH)
        pump_stream(c, call, out);
    if (!call || call->body_off == call->spec.body.len || out->len >= CLIENT_OUT_HIGH)
        return;
    size_t n = MIN(call->spec.body.len - call->body_off, (size_t)CLIENT_OUT_HIGH);
    Err err = { 0 };
    if (net_stream_write(c->stream, call->spec.body.ptr + call->body_off, n, &err) < 0)
        client_conn_close(c, &err);
    else
        call->body_off += n;
}

/* The present call has its whole answer. */
static void answered(ClientConn *c)
{
    ClientH1 *h = h1_of(c);
    HttpCall *call = c->calls.head;
    bool keep = http1_keep_alive(h->parser) && call->body_off == call->spec.body.len &&
                (!call->spec.streams || call->out_told) && call->status != 101;
    h->complete = false;
    if (call->paused) /* it was the call that did not want more, not who has the connection next */
        net_stream_pause(c->stream, false);
    if (keep)
        http1_next(h->parser);
    else
        c->draining = true; /* no further call may be given to it by the callback below */
    call_done(call, NULL);
    if (!c->closing)
        client_conn_idle(c);
}

static int h1_feed(ClientConn *c, const void *data, size_t len, Err *err)
{
    ClientH1 *h = h1_of(c);
    const char *at = data, *end = at + len;
    while (at < end && !c->closing) {
        if (!c->calls.head)
            return err_set(err, ERR_PROTO, 0, "the server sent an answer without a request");
        ssize_t n = http1_feed(h->parser, at, (size_t)(end - at), err);
        if (n < 0)
            return (int)n;
        at += n;
        if (h->complete)
            answered(c);
        else
            http1_next(h->parser); /* an interim answer */
    }
    return 0;
}

static void h1_ended(ClientConn *c)
{
    ClientH1 *h = h1_of(c);
    if (c->calls.head && http1_finish(h->parser, NULL) == 0 && h->complete) {
        HttpCall *call = c->calls.head;
        h->complete = false;
        call_done(call, NULL);
    }
}

static void h1_cancel(ClientConn *c, HttpCall *call)
{
    (void)call;
    /* The answer is still to come on this connection: it cannot be used again. */
    c->draining = true;
    client_pump_later(c);
}

static void h1_pump_or_close(ClientConn *c)
{
    if (c->draining && !c->calls.head)
        client_conn_close(c, NULL);
    else
        h1_pump(c);
}

static void h1_pause(ClientConn *c, HttpCall *call)
{
    net_stream_pause(c->stream, call->paused);
}

const ClientOps client_h1_ops = {
    .pause = h1_pause,
    .start = h1_start,
    .feed = h1_feed,
    .ended = h1_ended,
    .cancel = h1_cancel,
    .pump = h1_pump_or_close,
    .free = h1_free,
};
