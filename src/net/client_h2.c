/* client_h2.c - HTTP/2 on a connection of the client, over nghttp2's callbacks: many calls at a
 * time.
 *
 * Answers are handed to the callers from nghttp2's callbacks; what they start or cancel from there
 * is only submitted and leaves with the pump that follows (nghttp2 must not be entered twice). */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "net/client_internal.h"
#include "net/http_util.h"

typedef struct ClientH2 {
    nghttp2_session *session;
    unsigned in_session;
} ClientH2;

static ClientH2 *h2_of(ClientConn *c)
{
    return c->proto;
}

static HttpCall *call_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- answers ---- */

/* The status of an answer, or of an informational one before it. */
static int on_status(ClientConn *c, HttpCall *call, int32_t stream_id, int status)
{
    Err err = { 0 };
    call->n_headers = 0; /* those of an interim answer */
    call->stream_id = stream_id;
    call->status = status < 200 ? 0 : -status; /* negative until the head is whole */
    if (status >= 200 || ++call->interims <= HTTP_INTERIMS_MAX)
        return 0;
    http_too_many_interims(&err);
    client_conn_close(c, &err); /* the server would go on */
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)flags;
    HttpCall *call = call_at(session, frame->hd.stream_id);
    if (!call || call->gone || call->status >= 200)
        return 0; /* trailers are dropped */
    StrView n = sv_n(name, name_len), v = sv_trim(sv_n(value, value_len));
    if (sv_eq(n, SV(":status"))) {
        int64_t status;
        if (sv_to_i64(v, &status) < 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return on_status(ctx, call, frame->hd.stream_id, (int)status);
    }
    return call_add_header(call, n, v, NULL) < 0 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    ClientConn *c = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->draining = true;
        return 0;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        c->max_calls =
            nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
        client_conn_idle(c);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    HttpCall *call = call_at(session, frame->hd.stream_id);
    if (call && !call->gone && call->status < 0) {
        call->status = -call->status;
        call_head(call);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *ctx)
{
    (void)flags;
    (void)ctx;
    HttpCall *call = call_at(session, stream_id);
    nghttp2_session_consume_connection(session, len);
    if (call && call->paused)
        call->unread += len;
    else
        nghttp2_session_consume_stream(session, stream_id, len);
    if (call)
        call_data(call, data, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
    ClientConn *c = ctx;
    HttpCall *call = call_at(session, stream_id);
    if (!call)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    if (code == NGHTTP2_NO_ERROR && call->status >= 200) {
        call_done(call, NULL);
    } else {
        Err err = { 0 };
        err_set(&err, ERR_CLOSED, 0, "the server reset the stream: %s",
                nghttp2_http2_strerror(code));
        if (call->status < 0)
            call->status = 0;
        /* REFUSED_STREAM also stands for streams above the number in a GOAWAY: not processed. */
        if (code == NGHTTP2_REFUSED_STREAM)
            call_again(call, &err);
        else
            call_done(call, &err);
    }
    if (!c->closing)
        client_conn_idle(c);
    return 0;
}

/* ---- requests ---- */

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)stream_id;
    (void)ctx;
    HttpCall *call = source->ptr;
    size_t n = MIN(call->spec.body.len - call->body_off, len);
    memcpy(buf, call->spec.body.ptr + call->body_off, n);
    call->body_off += n;
    if (call->body_off == call->spec.body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv(StrView name, StrView value)
{
    return (nghttp2_nv){ (uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                         NGHTTP2_NV_FLAG_NONE };
}

static void h2_start(ClientConn *c, HttpCall *call)
{
    enum { FIXED = 5 };
    const HttpCallSpec *s = &call->spec;
    char length[24];
    nghttp2_nv *list = arena_array(&call->arena, nghttp2_nv, s->n_headers + FIXED);
    Err err = { 0 };
    if (!list || s->streams) {
        if (s->streams)
            err_set(&err, ERR_UNSUPPORTED, 0, "a body that streams needs HTTP/1.1");
        else
            err_nomem(&err);
        call_done(call, &err);
        return;
    }
    StrView host = call_find_request_header(call, SV("host"));
    size_t n = 0;
    list[n++] = nv(SV(":method"), s->method);
    list[n++] = nv(SV(":scheme"), c->h2c ? SV("http") : SV("https"));
    list[n++] = nv(SV(":authority"), host.ptr ? host : sv_cstr(call->client->authority));
    list[n++] = nv(SV(":path"), s->target);
    if (s->body.len > 0) {
        int len = snprintf(length, sizeof length, "%zu", s->body.len);
        list[n++] = nv(SV("content-length"), sv_n(length, (size_t)len));
    }
    for (uint32_t i = 0; i < s->n_headers; i++)
        if (!sv_eq(s->headers[i].name, SV("host")) && !sv_eq(s->headers[i].name, SV("connection")))
            list[n++] = nv(s->headers[i].name, s->headers[i].value);
    nghttp2_data_provider body = { .source = { .ptr = call }, .read_callback = read_body };
    int32_t id =
        nghttp2_submit_request(h2_of(c)->session, NULL, list, n, s->body.len ? &body : NULL, call);
    if (id < 0) {
        c->draining = true; /* out of stream numbers, most likely */
        err_set(&err, ERR_CLOSED, 0, "start a request: %s", nghttp2_strerror(id));
        call_again(call, &err);
        return;
    }
    call->stream_id = id;
}

static void h2_pump(ClientConn *c)
{
    ClientH2 *h = h2_of(c);
    if (h->in_session) {
        client_pump_later(c);
        return;
    }
    Buf *out = net_stream_out(c->stream);
    size_t before = out->len;
    while (out->len < CLIENT_OUT_HIGH) {
        const uint8_t *data;
        h->in_session++;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        h->in_session--;
        if (n > 0)
            buf_append(out, data, (size_t)n);
        if (n < 0 || out->failed) {
            Err err = { 0 };
            err_set(&err, ERR_CLOSED, 0, "HTTP/2: %s",
                    n < 0 ? nghttp2_strerror((int)n) : "no memory");
            client_conn_close(c, &err);
            return;
        }
        if (n == 0)
            break;
    }
    if (out->len != before)
        net_stream_written(c->stream);
    if (!c->closing && !nghttp2_session_want_read(h->session) &&
        !nghttp2_session_want_write(h->session))
        client_conn_close(c, NULL);
}

static int h2_feed(ClientConn *c, const void *data, size_t len, Err *err)
{
    ClientH2 *h = h2_of(c);
    h->in_session++;
    ssize_t n = nghttp2_session_mem_recv(h->session, data, len);
    h->in_session--;
    if (n < 0)
        return err_set(err, ERR_PROTO, 0, "HTTP/2: %s", nghttp2_strerror((int)n));
    return 0;
}

static void h2_cancel(ClientConn *c, HttpCall *call)
{
    nghttp2_session *session = h2_of(c)->session;
    if (call->stream_id == 0)
        return;
    nghttp2_session_set_stream_user_data(session, call->stream_id, NULL);
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
    client_pump_later(c);
}

static void h2_ended(ClientConn *c)
{
    (void)c; /* a stream that the end of the connection cuts is not complete */
}

static void h2_free(ClientConn *c)
{
    ClientH2 *h = h2_of(c);
    if (!h)
        return;
    nghttp2_session_del(h->session);
    free(h);
    c->proto = NULL;
}

int client_h2_init(ClientConn *c, Err *err)
{
    ClientH2 *h = calloc(1, sizeof *h);
    nghttp2_session_callbacks *cb = NULL;
    if (!h || nghttp2_session_callbacks_new(&cb) != 0) {
        free(h);
        return err_nomem(err);
    }
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_option *opt = NULL;
    int r = nghttp2_option_new(&opt);
    if (r == 0) {
        nghttp2_option_set_no_auto_window_update(opt, 1); /* windows open as calls are not paused */
        nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(opt,
                                                                         1); /* as the server */
        r = nghttp2_session_client_new2(&h->session, cb, c, opt);
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    if (r != 0) {
        free(h);
        return err_nomem(err);
    }
    c->proto = h;
    c->max_calls = 100; /* until the server's settings are known */
    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CLIENT_STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CLIENT_HEADER_MAX },
    };
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                              CLIENT_CONN_WINDOW) != 0)
        return err_nomem(err);
    return 0;
}

static void h2_pause(ClientConn *c, HttpCall *call)
{
    ClientH2 *h = c->proto;
    if (call->paused || !call->unread)
        return;
    nghttp2_session_consume_stream(h->session, call->stream_id, call->unread);
    call->unread = 0;
    client_pump_later(c);
}

const ClientOps client_h2_ops = {
    .pause = h2_pause,
    .start = h2_start,
    .feed = h2_feed,
    .ended = h2_ended,
    .cancel = h2_cancel,
    .pump = h2_pump,
    .free = h2_free,
};
