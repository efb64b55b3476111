/* server_h2.c - HTTP/2 on a connection of the server, over nghttp2's callbacks.
 *
 * nghttp2 must not be entered from its own callbacks. So input only collects requests; they go to
 * the handler afterwards (conn_dispatch), and whoever wants to send while nghttp2 is on the stack
 * (in_session) is served by the pump that follows.
 *
 * Flow control: a stream's window opens as its bytes arrive (a body is bounded by body_max), the
 * connection's window only when a body is whole: this bounds what one peer can make us keep. Both
 * windows of a body that streams open as the handler takes it. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "net/http_util.h"
#include "net/server_internal.h"

typedef struct ServerH2 {
    nghttp2_session *session;
    unsigned in_session;
} ServerH2;

static ServerH2 *h2_of(HttpConn *c)
{
    return c->proto;
}

static Exchange *exchange_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* Gives the connection's window back for what the exchange has collected. */
static void consume(HttpConn *c, Exchange *e)
{
    if (e->unconsumed > 0)
        nghttp2_session_consume_connection(h2_of(c)->session, e->unconsumed);
    e->unconsumed = 0;
}

static int h2_start(Exchange *e, int status, StrView content_type, size_t total, Err *err);
static void give_up(Exchange *e, uint32_t code);

/* ---- requests ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    HttpConn *c = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    Exchange *e = exchange_new(c, NULL);
    if (!e)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets this stream alone */
    e->req.version = 2;
    e->stream_id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, e);
    return 0;
}

static int take_header(Exchange *e, StrView name, StrView value)
{
    if (name.len == 0 || name.ptr[0] != ':')
        return exchange_add_header(e, name, value, NULL);
    if (sv_eq(name, SV(":path")))
        return exchange_target(e, value, NULL);
    StrView *to = sv_eq(name, SV(":method"))      ? &e->req.method
                  : sv_eq(name, SV(":authority")) ? &e->req.authority
                                                  : NULL;
    if (!to)
        return 0;
    *to = arena_sv(&e->arena, value);
    return to->ptr ? 0 : -1;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)flags;
    HttpConn *c = ctx;
    Exchange *e = exchange_at(session, frame->hd.stream_id);
    if (!e || frame->headers.cat != NGHTTP2_HCAT_REQUEST || e->headers_too_large)
        return 0;                             /* trailers are dropped */
    size_t bytes = name_len + value_len + 32; /* RFC 9113 section 6.5.2 counts so */
    if (bytes > c->cfg.header_max || e->header_bytes + bytes > c->cfg.header_max) {
        e->headers_too_large = true;
        return 0;
    }
    e->header_bytes += (uint32_t)bytes;
    if (take_header(e, sv_n(name, name_len), sv_trim(sv_n(value, value_len))) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static void request_over(HttpConn *c, Exchange *e)
{
    if (e->req.streams) { /* its windows open as it is taken */
        exchange_body_over(e);
        return;
    }
    consume(c, e);
    exchange_ready(e);
}

/* Its answer needs no handler; the pump after the input sends it. */
static void refuse_headers(Exchange *e)
{
    e->state = EX_ENDED;
    if (h2_start(e, 431, SV_NULL, 0, NULL) < 0)
        give_up(e, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    HttpConn *c = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    Exchange *e = exchange_at(session, frame->hd.stream_id);
    if (!e)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        e->head_only = sv_eq(e->req.method, SV("HEAD"));
        if (sv_empty(e->req.authority)) {
            StrView host = http_header(&e->req, SV("host"));
            e->req.authority = host.ptr ? host : SV("");
        }
        if (e->headers_too_large) {
            refuse_headers(e);
            return 0;
        }
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && exchange_wants_stream(e))
            return 0;
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        request_over(c, e);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *ctx)
{
    (void)flags;
    HttpConn *c = ctx;
    Exchange *e = exchange_at(session, stream_id);
    if (e && exchange_takes_body(e)) {
        e->unconsumed += len;
        exchange_body_chunk(e, data, len);
        return 0;
    }
    nghttp2_session_consume_stream(session, stream_id, len);
    if (!e || e->state != EX_READING) {
        nghttp2_session_consume_connection(session, len);
        return 0;
    }
    e->unconsumed += len;
    if (exchange_body(e, data, len, NULL) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (e->req.body_too_large)
        request_over(c, e);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
    (void)code;
    HttpConn *c = ctx;
    Exchange *e = exchange_at(session, stream_id);
    if (!e)
        return 0;
    consume(c, e);
    exchange_gone(e);
    return 0;
}

/* ---- responses ---- */

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)stream_id;
    (void)buf;
    (void)ctx;
    Exchange *e = source->ptr;
    size_t n = MIN(exchange_available(e), len);
    bool last = e->state == EX_ENDED && n == exchange_available(e);
    if (n == 0 && !last) {
        e->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t len, nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)frame; /* no padding is ever asked for */
    HttpConn *c = ctx;
    Exchange *e = source->ptr;
    Buf *out = net_stream_out(c->stream);
    buf_append(out, head, 9);
    exchange_take(e, out, len);
    exchange_after_take(e);
    return out->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static nghttp2_nv nv(StrView name, StrView value)
{
    return (nghttp2_nv){ (uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                         NGHTTP2_NV_FLAG_NONE };
}

static int h2_start(Exchange *e, int status, StrView content_type, size_t total, Err *err)
{
    enum { FIXED = 4 };
    HttpConn *c = e->conn;
    char status_text[12], length_text[24];
    nghttp2_nv *list = arena_array(&e->arena, nghttp2_nv, e->n_out_headers + FIXED);
    if (!list)
        return err_nomem(err);
    size_t n = 0;
    int len = snprintf(status_text, sizeof status_text, "%d", status);
    list[n++] = nv(SV(":status"), sv_n(status_text, (size_t)len));
    StrView date = conn_date(c);
    if (!sv_empty(date) && !exchange_has_header(e, SV("date")))
        list[n++] = nv(SV("date"), date);
    if (!sv_empty(content_type))
        list[n++] = nv(SV("content-type"), content_type);
    if (total != SIZE_MAX && http_status_has_body(status)) {
        len = snprintf(length_text, sizeof length_text, "%zu", total);
        list[n++] = nv(SV("content-length"), sv_n(length_text, (size_t)len));
    }
    for (uint32_t i = 0; i < e->n_out_headers; i++)
        list[n++] = nv(e->out_headers[i].name, e->out_headers[i].value);
    bool body = !e->head_only && http_status_has_body(status) &&
                (e->streaming || exchange_available(e) > 0);
    nghttp2_data_provider provider = { .source = { .ptr = e }, .read_callback = read_body };
    int r =
        nghttp2_submit_response(h2_of(c)->session, e->stream_id, list, n, body ? &provider : NULL);
    if (r != 0)
        return err_set(err, r == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_PROTO, 0,
                       "start a response: %s", nghttp2_strerror(r));
    return 0;
}

/* Answered although more of the request is to come: once the answer is out, tell the
 * peer to stop. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    (void)ctx;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    Exchange *e = exchange_at(session, frame->hd.stream_id);
    if (e && (e->req.body_too_large || e->headers_too_large || (e->req.streams && !e->body_over)))
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, e->stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static void session_failed(HttpConn *c)
{
    conn_close(c);
}

static void h2_pump(HttpConn *c)
{
    ServerH2 *h = h2_of(c);
    if (h->in_session) {
        conn_pump_later(c);
        return;
    }
    Buf *out = net_stream_out(c->stream);
    size_t before = out->len;
    while (out->len < HTTP_OUT_HIGH) {
        const uint8_t *data;
        h->in_session++;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        h->in_session--;
        if (n > 0)
            buf_append(out, data, (size_t)n);
        if (n < 0 || out->failed) {
            session_failed(c);
            return;
        }
        if (n == 0)
            break;
    }
    if (out->len != before)
        net_stream_written(c->stream);
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) &&
        !c->exchanges)
        conn_end(c);
}

static void h2_more(Exchange *e)
{
    if (!e->deferred)
        return;
    e->deferred = false;
    nghttp2_session_resume_data(h2_of(e->conn)->session, e->stream_id);
}

static void give_up(Exchange *e, uint32_t code)
{
    HttpConn *c = e->conn;
    nghttp2_session *session = h2_of(c)->session;
    nghttp2_session_set_stream_user_data(session, e->stream_id, NULL);
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, e->stream_id, code);
    consume(c, e);
    exchange_gone(e);
    conn_pump_later(c);
}

static void h2_reset(Exchange *e)
{
    give_up(e, NGHTTP2_INTERNAL_ERROR);
}

static void h2_body_paused(Exchange *e)
{
    (void)e; /* the windows stay closed */
}

static void h2_body_taken(Exchange *e, size_t len)
{
    nghttp2_session *session = h2_of(e->conn)->session;
    size_t n = MIN(len, e->unconsumed);
    e->unconsumed -= n;
    nghttp2_session_consume_connection(session, n);
    nghttp2_session_consume_stream(session, e->stream_id, n);
    conn_pump_later(e->conn);
}

static void h2_timed_out(Exchange *e)
{
    give_up(e, NGHTTP2_CANCEL);
}

static void h2_shutdown(HttpConn *c)
{
    nghttp2_session_terminate_session(h2_of(c)->session, NGHTTP2_NO_ERROR);
    conn_pump_later(c);
}

static int h2_feed(HttpConn *c, const void *data, size_t len, Err *err)
{
    ServerH2 *h = h2_of(c);
    h->in_session++;
    ssize_t n = nghttp2_session_mem_recv(h->session, data, len);
    h->in_session--;
    if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        return err_set(err, ERR_PROTO, 0, "the connection does not begin as HTTP/2");
    if (n < 0) { /* nghttp2 has queued a GOAWAY for what it could name */
        h2_pump(c);
        conn_end(c);
    }
    return 0;
}

static void h2_free(HttpConn *c)
{
    ServerH2 *h = h2_of(c);
    if (!h)
        return;
    nghttp2_session_del(h->session);
    free(h);
    c->proto = NULL;
}

static int session_new(HttpConn *c, nghttp2_session **ret)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return -1;
    if (nghttp2_option_new(&opt) != 0) {
        nghttp2_session_callbacks_del(cb);
        return -1;
    }
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_no_closed_streams(opt, 1);
    /* White space around a value is against RFC 9113 section 8.2.1, but Go's clients send it, and
     * its servers take it. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(opt, 1);
    /* Rapid reset (CVE-2023-44487): a burst, then so many a second. */
    nghttp2_option_set_stream_reset_rate_limit(opt, 1000, 100);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_body);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    int r = nghttp2_session_server_new2(ret, cb, c, opt);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return r == 0 ? 0 : -1;
}

int server_h2_init(HttpConn *c, Err *err)
{
    ServerH2 *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    if (session_new(c, &h->session) < 0) {
        free(h);
        return err_nomem(err);
    }
    c->proto = h;
    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->cfg.header_max },
    };
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                              HTTP2_CONN_WINDOW) != 0)
        return err_nomem(err);
    return 0;
}

const ConnOps server_h2_ops = {
    .feed = h2_feed,
    .start = h2_start,
    .pump = h2_pump,
    .more = h2_more,
    .reset = h2_reset,
    .body_paused = h2_body_paused,
    .body_taken = h2_body_taken,
    .timed_out = h2_timed_out,
    .shutdown = h2_shutdown,
    .free = h2_free,
};
