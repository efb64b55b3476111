/* ws.c - the server's side of WebSocket (RFC 6455), on wslay.
 *
 * wslay pulls its input through a callback: ws_feed() offers the bytes it was given until they are
 * used up. Whole messages are collected up to WS_MESSAGE_MAX; pings are answered by wslay itself.
 */
#include "net/ws.h"

#include <openssl/evp.h>
#include <wslay/wslay.h>

struct Ws {
    wslay_event_context_ptr ctx;
    Buf *out;
    WsEvents ev;
    void *user;
    const uint8_t *in; /* during ws_feed() */
    size_t in_len;
    const bool *dead;
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    (void)flags;
    Ws *w = user;
    if (w->in_len == 0 || (w->dead && *w->dead)) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = MIN(len, w->in_len);
    memcpy(buf, w->in, n);
    w->in += n;
    w->in_len -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    (void)flags;
    Ws *w = user;
    buf_append(w->out, data, len);
    if (w->out->failed) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
                       void *user)
{
    (void)ctx;
    Ws *w = user;
    if (w->dead && *w->dead)
        return;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE)
        w->ev.on_close(w->user, arg->status_code);
    else if (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME)
        w->ev.on_message(w->user, arg->opcode == WSLAY_TEXT_FRAME, arg->msg, arg->msg_length);
}

int ws_new(Buf *out, const WsEvents *ev, void *ctx, Ws **ret, Err *err)
{
    static const struct wslay_event_callbacks callbacks = { .recv_callback = on_recv,
                                                            .send_callback = on_send,
                                                            .on_msg_recv_callback = on_message };
    Ws *w = calloc(1, sizeof *w);
    if (!w || wslay_event_context_server_init(&w->ctx, &callbacks, w) != 0) {
        free(w);
        return err_nomem(err);
    }
    wslay_event_config_set_max_recv_msg_length(w->ctx, WS_MESSAGE_MAX);
    w->out = out;
    w->ev = *ev;
    w->user = ctx;
    *ret = w;
    return 0;
}

void ws_set_out(Ws *w, Buf *out)
{
    w->out = out;
}

Ws *ws_free(Ws *w)
{
    if (!w)
        return NULL;
    wslay_event_context_free(w->ctx);
    free(w);
    return NULL;
}

static int flush(Ws *w, Err *err)
{
    int r = wslay_event_send(w->ctx);
    if (r == WSLAY_ERR_NOMEM || w->out->failed)
        return err_nomem(err);
    return r == 0 ? 0 : err_set(err, ERR_CLOSED, 0, "the WebSocket is closed");
}

int ws_feed(Ws *w, const void *data, size_t len, const bool *dead, Err *err)
{
    w->in = data;
    w->in_len = len;
    w->dead = dead;
    int r = wslay_event_recv(w->ctx);
    w->dead = NULL;
    if (dead && *dead)
        return 0;
    if (r == WSLAY_ERR_NOMEM)
        return err_nomem(err);
    if (r != 0)
        return err_set(err, ERR_PROTO, 0, "bad WebSocket frame");
    r = flush(w, err); /* pongs, the answer to a close, or wslay's own refusal of a bad frame */
    if (r < 0)
        return r;
    if (!wslay_event_get_read_enabled(w->ctx) && !wslay_event_get_close_received(w->ctx))
        return err_set(err, ERR_PROTO, 0, "bad WebSocket frame");
    return 0;
}

int ws_send(Ws *w, bool text, const void *data, size_t len, Err *err)
{
    struct wslay_event_msg msg = { text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data, len };
    int r = wslay_event_queue_msg(w->ctx, &msg);
    if (r == WSLAY_ERR_NOMEM)
        return err_nomem(err);
    if (r != 0)
        return err_set(err, ERR_CLOSED, 0, "the WebSocket is closed");
    return flush(w, err);
}

int ws_close(Ws *w, uint16_t code, Err *err)
{
    if (wslay_event_queue_close(w->ctx, code, NULL, 0) != 0)
        return err_set(err, ERR_CLOSED, 0, "the WebSocket is closed");
    return flush(w, err);
}

/* ---- the handshake ---- */

bool http_header_has_token(const HttpReq *req, StrView lower_name, StrView token)
{
    for (uint32_t i = 0; i < req->n_headers; i++) {
        StrView rest = req->headers[i].value, piece;
        if (!sv_eq(req->headers[i].name, lower_name))
            continue;
        while (sv_next(&rest, ',', &piece))
            if (sv_eq_nocase(sv_trim(piece), token))
                return true;
    }
    return false;
}

bool ws_wanted(const HttpReq *req)
{
    return req->version == 1 && sv_eq(req->method, SV("GET")) &&
           http_header_has_token(req, SV("connection"), SV("upgrade")) &&
           http_header_has_token(req, SV("upgrade"), SV("websocket")) &&
           sv_eq(http_header(req, SV("sec-websocket-version")), SV("13")) &&
           http_header(req, SV("sec-websocket-key")).len > 0;
}

void ws_accept_key(StrView key, char out[static WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    out[0] = 0;
    if (md && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 &&
        EVP_DigestUpdate(md, key.ptr, key.len) == 1 &&
        EVP_DigestUpdate(md, guid, sizeof guid - 1) == 1 && EVP_DigestFinal_ex(md, hash, &n) == 1)
        EVP_EncodeBlock((unsigned char *)out, hash, (int)n);
    EVP_MD_CTX_free(md);
}

void ws_handshake(const HttpReq *req, StrView protocol, Buf *out)
{
    char accept[WS_ACCEPT_SIZE];
    ws_accept_key(http_header(req, SV("sec-websocket-key")), accept);
    buf_printf(out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n",
               accept);
    if (protocol.len)
        buf_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n", SV_FMT(protocol));
    buf_sv(out, SV("\r\n"));
}
