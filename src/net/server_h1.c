/* server_h1.c - HTTP/1.1 on a connection of the server: one exchange at a time, keep-alive,
 * chunked both ways, Expect: 100-continue, take-over after Upgrade. */
#include "net/http1.h"
#include "net/http_util.h"
#include "net/server_internal.h"

enum { H1_AHEAD_MAX = 64 * 1024 }; /* bytes of further requests kept while one is answered */

typedef struct ServerH1 {
    Http1 *parser;
    Exchange *cur;     /* from its head until its response is sent */
    Buf ahead;         /* input after the present request */
    bool parsing;      /* inside the parser: its exchange must stay */
    bool request_over; /* of `cur`: the parser has seen its end */
} ServerH1;

static ServerH1 *h1_of(HttpConn *c)
{
    return c->proto;
}

static void out_sv(HttpConn *c, StrView s)
{
    buf_sv(net_stream_out(c->stream), s);
}

/* ---- requests ---- */

static int read_headers(Exchange *e, Http1 *p, Err *err)
{
    e->req.method = arena_sv(&e->arena, http1_method(p));
    if (!e->req.method.ptr)
        return err_nomem(err);
    unsigned hosts = 0;
    for (uint32_t i = 0; i < http1_n_headers(p); i++) {
        HttpHeader h = http1_header_at(p, i);
        int r = exchange_add_header(e, h.name, h.value, err);
        if (r < 0)
            return r;
        if (sv_eq(h.name, SV("host"))) {
            hosts++;
            e->req.authority = e->req.headers[e->req.n_headers - 1].value;
        }
    }
    /* RFC 9112 section 3.2: exactly one Host in HTTP/1.1 */
    if (hosts > 1 || (hosts == 0 && http1_minor(p) >= 1))
        return err_set(err, ERR_INVALID, 0, "the request needs one Host header");
    return exchange_target(e, http1_target(p), err);
}

static int on_head(void *ctx, Http1 *p)
{
    HttpConn *c = ctx;
    ServerH1 *h = h1_of(c);
    Exchange *e = exchange_new(c, NULL);
    if (!e)
        return -1;
    h->cur = e;
    h->request_over = false;
    c->message_ns = 0;
    e->req.version = 1;
    if (read_headers(e, p, NULL) < 0)
        return -1;
    e->head_only = sv_eq(e->req.method, SV("HEAD"));
    e->chunked = http1_minor(p) >= 1;
    e->close_after = http1_minor(p) == 0;
    bool streams = http1_has_body(p) && exchange_wants_stream(e);
    if (!streams && http1_content_length(p) > c->cfg.body_max) {
        e->req.body_too_large = true;
        e->close_after = true; /* rather than reading what nobody wants */
        exchange_ready(e);
        return 0;
    }
    if (http1_minor(p) >= 1 &&
        sv_eq_nocase(http_header(&e->req, SV("expect")), SV("100-continue"))) {
        out_sv(c, SV("HTTP/1.1 100 Continue\r\n\r\n"));
        net_stream_written(c->stream);
    }
    return 0;
}

static int on_body(void *ctx, const void *data, size_t len)
{
    HttpConn *c = ctx;
    Exchange *e = h1_of(c)->cur;
    if (e && exchange_takes_body(e)) {
        exchange_body_chunk(e, data, len);
        return 0;
    }
    if (!e || e->state != EX_READING)
        return 0;
    if (exchange_body(e, data, len, NULL) < 0)
        return -1;
    if (e->req.body_too_large) {
        e->close_after = true;
        exchange_ready(e);
    }
    return 0;
}

static int on_complete(void *ctx, Http1 *p)
{
    HttpConn *c = ctx;
    ServerH1 *h = h1_of(c);
    h->request_over = true;
    if (!h->cur)
        return 0;
    if (!http1_keep_alive(p) && !http1_is_upgrade(p))
        h->cur->close_after = true;
    if (h->cur->req.streams)
        exchange_body_over(h->cur);
    else
        exchange_ready(h->cur);
    return 0;
}

int server_h1_init(HttpConn *c, Err *err)
{
    static const Http1Events events = { on_head, on_body, on_complete };
    ServerH1 *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    int r = http1_new(HTTP1_REQUEST, c->cfg.header_max, &events, c, &h->parser, err);
    if (r < 0) {
        free(h);
        return r;
    }
    c->proto = h;
    return 0;
}

static void h1_free(HttpConn *c)
{
    ServerH1 *h = h1_of(c);
    if (!h)
        return;
    http1_free(h->parser);
    buf_free(&h->ahead);
    free(h);
    c->proto = NULL;
}

/* A request that is no request: say so and close. */
static void refuse(HttpConn *c, int status)
{
    ServerH1 *h = h1_of(c);
    if (h->cur)
        exchange_gone(TAKE_PTR(h->cur));
    buf_printf(net_stream_out(c->stream),
               "HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", status,
               http_reason(status));
    net_stream_written(c->stream);
    conn_end(c);
}

static int keep_ahead(HttpConn *c, const void *data, size_t len, Err *err)
{
    ServerH1 *h = h1_of(c);
    buf_append(&h->ahead, data, len);
    if (h->ahead.failed)
        return err_nomem(err);
    if (h->ahead.len > H1_AHEAD_MAX)
        net_stream_pause(c->stream, true);
    return 0;
}

static int h1_feed(HttpConn *c, const void *data, size_t len, Err *err)
{
    ServerH1 *h = h1_of(c);
    if (h->cur && h->cur->upgraded) {
        if (exchange_takes_body(h->cur))
            exchange_body_chunk(h->cur, data, len);
        return 0;
    }
    if (h->cur && h->request_over)
        return keep_ahead(c, data, len, err);
    if (h->cur && h->cur->close_after && h->cur->state != EX_READING &&
        !exchange_takes_body(h->cur))
        return 0; /* the rest of a body that is too large, or whose request has been answered */
    Err why = { 0 };
    ssize_t n = http1_feed(h->parser, data, len, &why);
    if (n < 0) {
        bool had_head = h->cur != NULL && why.code == ERR_CLOSED;
        refuse(c, why.code == ERR_LIMIT ? 431 : why.code == ERR_NOMEM && !had_head ? 503 : 400);
        return 0;
    }
    if (h->cur)
        c->message_ns = 0;
    else if (http1_in_message(h->parser) && c->message_ns == 0)
        c->message_ns = loop_now_ns(c->loop);
    if ((size_t)n < len)
        return keep_ahead(c, (const char *)data + n, len - (size_t)n, err);
    return 0;
}

/* ---- responses ---- */

static int h1_start(Exchange *e, int status, StrView content_type, size_t total, Err *err)
{
    HttpConn *c = e->conn;
    ServerH1 *h = h1_of(c);
    Buf *out = net_stream_out(c->stream);
    if (!h->request_over) /* answered before the request was whole */
        e->close_after = true;
    bool told = total == SIZE_MAX && exchange_has_header(e, SV("content-length"));
    bool sized = total != SIZE_MAX || told;
    if (!sized && !e->chunked)
        e->close_after = true; /* HTTP/1.0: the end of the connection ends the body */
    if (!sized && e->head_only)
        e->chunked = false;
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    StrView date = conn_date(c);
    if (!sv_empty(date) && !exchange_has_header(e, SV("date")))
        buf_printf(out, "date: %.*s\r\n", SV_FMT(date));
    if (!sv_empty(content_type))
        buf_printf(out, "content-type: %.*s\r\n", SV_FMT(content_type));
    for (uint32_t i = 0; i < e->n_out_headers; i++)
        buf_printf(out, "%.*s: %.*s\r\n", SV_FMT(e->out_headers[i].name),
                   SV_FMT(e->out_headers[i].value));
    if (sized || !http_status_has_body(status))
        e->chunked = false;
    if (sized && !told && http_status_has_body(status))
        buf_printf(out, "content-length: %zu\r\n", total);
    else if (e->chunked)
        buf_sv(out, SV("transfer-encoding: chunked\r\n"));
    buf_sv(out, e->close_after && !e->upgraded ? SV("connection: close\r\n\r\n") : SV("\r\n"));
    if (out->failed)
        return err_nomem(err);
    net_stream_written(c->stream);
    return 0;
}

static void next_request(void *ctx);

static void response_sent(HttpConn *c, Exchange *e)
{
    ServerH1 *h = h1_of(c);
    bool close_after = e->close_after;
    h->cur = NULL;
    bool paused = e->body_paused;
    exchange_gone(e);
    if (close_after || c->ending) {
        conn_end(c);
        return;
    }
    if (paused)
        net_stream_pause(c->stream, false);
    http1_next(h->parser);
    h->request_over = false;
    if (h->ahead.len > 0 && !h->parsing) {
        /* Not from here: answers that come at once would nest without end. */
        h->parsing = loop_defer(c->loop, next_request, c, NULL) == 0;
        if (!h->parsing)
            conn_close(c);
    }
}

static void h1_pump(HttpConn *c)
{
    ServerH1 *h = h1_of(c);
    Exchange *e = h->cur;
    if (!e || e->state < EX_RESPONDING)
        return;
    Buf *out = net_stream_out(c->stream);
    size_t before = out->len;
    while (out->len < HTTP_OUT_HIGH && exchange_available(e) > 0) {
        size_t n = MIN(exchange_available(e), (size_t)HTTP_OUT_HIGH);
        if (e->chunked)
            buf_printf(out, "%zx\r\n", n);
        exchange_take(e, out, n);
        if (e->chunked)
            buf_sv(out, SV("\r\n"));
    }
    bool done = exchange_all_sent(e);
    if (done && e->chunked)
        buf_sv(out, SV("0\r\n\r\n"));
    if (out->failed) {
        conn_close(c);
        return;
    }
    if (out->len > before)
        net_stream_written(c->stream);
    if (done)
        response_sent(c, e);
    else
        exchange_after_take(e);
}

static void next_request(void *ctx)
{
    HttpConn *c = ctx;
    ServerH1 *h = h1_of(c);
    conn_enter(c);
    h->parsing = false;
    Buf b = h->ahead;
    h->ahead = (Buf)BUF_INIT;
    if (!c->closing && !c->ending) {
        net_stream_pause(c->stream, false);
        if (h1_feed(c, b.ptr, b.len, NULL) < 0)
            conn_close(c);
        conn_dispatch(c);
    }
    if (!c->closing && c->stream)
        h1_pump(c);
    buf_free(&b);
    conn_leave(c);
}

static void h1_more(Exchange *e)
{
    (void)e; /* the pump looks at the exchange itself */
}

static void h1_reset(Exchange *e)
{
    HttpConn *c = e->conn;
    if (h1_of(c)->cur == e)
        h1_of(c)->cur = NULL;
    exchange_gone(e);
    conn_close(c);
}

static void h1_body_paused(Exchange *e)
{
    if (e->conn->stream)
        net_stream_pause(e->conn->stream, e->body_paused);
}

static void h1_body_taken(Exchange *e, size_t len)
{
    (void)e; /* what is not read is not sent */
    (void)len;
}

static void h1_timed_out(Exchange *e)
{
    refuse(e->conn, 408);
}

static void h1_shutdown(HttpConn *c)
{
    conn_end(c);
}

static void h1_release(HttpConn *c)
{
    ServerH1 *h = h1_of(c);
    if (h && h->parsing)
        loop_defer_cancel(c->loop, next_request, c);
    h1_free(c);
}

const ConnOps server_h1_ops = {
    .feed = h1_feed,
    .start = h1_start,
    .pump = h1_pump,
    .more = h1_more,
    .reset = h1_reset,
    .body_paused = h1_body_paused,
    .body_taken = h1_body_taken,
    .timed_out = h1_timed_out,
    .shutdown = h1_shutdown,
    .free = h1_release,
};

int http_upgrade(HttpReq *req, const HttpBodyEvents *ev, Err *err)
{
    Exchange *e = (Exchange *)req;
    if (req->version != 1 || e->state != EX_HANDLING || !h1_of(e->conn)->request_over)
        return err_set(err, ERR_UNSUPPORTED, 0, "only an HTTP/1.1 connection can be upgraded");
    ServerH1 *h = h1_of(e->conn);
    e->upgraded = e->close_after = true;
    int r = http_stream_start(req, 101, SV(""), err);
    if (r < 0)
        return r;
    exchange_drop_body(e);
    e->body = h->ahead; /* what came right behind the request */
    h->ahead = (Buf)BUF_INIT;
    e->body_paused = true;
    http_body_start(req, ev);
    return 0;
}

int http_take_over(HttpReq *req, StrView head, NetStream **ret, Err *err)
{
    Exchange *e = (Exchange *)req;
    HttpConn *c = e->conn;
    if (req->version != 1 || e->state != EX_HANDLING)
        return err_set(err, ERR_UNSUPPORTED, 0, "only an HTTP/1.1 connection can be taken over");
    ServerH1 *h = h1_of(c);
    NetStream *s = c->stream;
    int r = net_stream_unread(s, h->ahead.ptr, h->ahead.len, err);
    if (r == 0 && head.len > 0)
        r = net_stream_write(s, head.ptr, head.len, err);
    if (r < 0)
        return r;
    conn_enter(c);
    /* Nothing may reach the connection any more; the new owner starts delivery. */
    net_stream_set_events(s, &(NetStreamEvents){ 0 });
    net_stream_pause(s, true);
    c->stream = NULL;
    h->cur = NULL;
    e->state = EX_ENDED;
    e->status = 101;
    exchange_gone(e);
    conn_close(c);
    conn_leave(c);
    *ret = s;
    return 0;
}
