/* ws_push.c - a WebSocket that the server only writes to (net/ws.h).
 *
 * Frames of messages are made here: those of a server are a head and the bytes. A message that is
 * sent in parts is a row of fragments, between which wslay's answers to pings may go. */
#include "net/server_internal.h"
#include "net/ws.h"

enum {
    ANSWERS_MAX = 64 * 1024, /* a client that takes nothing gets no answers to its pings either */
    FRAME_HEAD_MAX = 10,
    OP_CONTINUATION = 0,
    OP_TEXT = 1,
    OP_BINARY = 2,
    FIN = 0x80,
};

struct WsPush {
    HttpReq *req;
    Ws *in;
    Buf answers; /* of wslay: pongs and goodbyes */
    LoopFn *on_close;
    void *ctx;
    bool dead, feeding, closed;
};

static void push_destroy(WsPush *w)
{
    ws_free(w->in);
    buf_free(&w->answers);
    free(w);
}

WsPush *ws_push_free(WsPush *w)
{
    if (!w)
        return NULL;
    if (!w->dead)
        http_on_close(w->req, NULL, NULL);
    w->dead = true;
    if (!w->feeding)
        push_destroy(w);
    return NULL;
}

/* The exchange is gone, or is about to be. */
static void gone(void *ctx)
{
    WsPush *w = ctx;
    w->dead = true;
    w->on_close(w->ctx); /* frees it */
}

static void on_message(void *ctx, bool text, const void *data, size_t len)
{
    (void)ctx; /* nothing is expected of the client */
    (void)text;
    (void)data;
    (void)len;
}

static void on_goodbye(void *ctx, uint16_t code)
{
    (void)code;
    ((WsPush *)ctx)->closed = true;
}

static void send_answers(WsPush *w)
{
    if (w->answers.failed || http_stream_pending(w->req) > ANSWERS_MAX)
        w->answers.failed = false;
    else
        (void)http_stream_write(w->req, w->answers.ptr, w->answers.len, NULL);
    buf_clear(&w->answers);
}

static void on_bytes(void *ctx, const void *data, size_t len)
{
    WsPush *w = ctx;
    HttpReq *req = w->req;
    if (w->dead || w->closed)
        return;
    w->feeding = true;
    int r = ws_feed(w->in, data, len, &w->dead, NULL);
    w->feeding = false;
    if (w->dead) {
        push_destroy(w);
        return;
    }
    send_answers(w);
    if (r == 0 && !w->closed)
        return;
    http_on_close(req, NULL, NULL);
    gone(w);
    http_stream_end(req);
}

int ws_push_start(HttpReq *req, StrView protocol, LoopFn *on_close, void *ctx, WsPush **ret,
                  Err *err)
{
    static const WsEvents events = { on_message, on_goodbye };
    if (!ws_wanted(req))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "a WebSocket begins with GET over HTTP/1.1, version 13 and a key");
    WsPush *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    *w = (WsPush){ .req = req, .on_close = on_close, .ctx = ctx };
    char accept[WS_ACCEPT_SIZE];
    ws_accept_key(http_header(req, SV("sec-websocket-key")), accept);
    int r = ws_new(&w->answers, &events, w, &w->in, err);
    if (r == 0)
        r = http_set_header(req, SV("Upgrade"), SV("websocket"), err);
    if (r == 0)
        r = http_set_header(req, SV("Connection"), SV("Upgrade"), err);
    if (r == 0)
        r = http_set_header(req, SV("Sec-WebSocket-Accept"), sv_cstr(accept), err);
    if (r == 0 && protocol.len)
        r = http_set_header(req, SV("Sec-WebSocket-Protocol"), protocol, err);
    if (r == 0)
        r = http_upgrade(req, &(HttpBodyEvents){ on_bytes, NULL, w }, err);
    if (r < 0) {
        push_destroy(w);
        return r;
    }
    http_on_close(req, gone, w);
    *ret = w;
    return 0;
}

/* RFC 6455 section 5.2, without a mask. */
static size_t frame_head(WsPart part, size_t len, uint8_t head[static FRAME_HEAD_MAX])
{
    size_t n = 2;
    head[0] = (uint8_t)(!part.first ? OP_CONTINUATION : part.text ? OP_TEXT : OP_BINARY);
    if (part.last)
        head[0] |= FIN;
    size_t bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
    head[1] = (uint8_t)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
    while (bytes-- > 0)
        head[n++] = (uint8_t)(len >> (8 * bytes));
    return n;
}

int ws_push(WsPush *w, WsPart part, const void *data, size_t len, Err *err)
{
    uint8_t head[FRAME_HEAD_MAX];
    int r = http_stream_write(w->req, head, frame_head(part, len, head), err);
    return r < 0 ? r : http_stream_write(w->req, data, len, err);
}

void ws_push_end(WsPush *w)
{
    HttpReq *req = w->req;
    if (ws_close(w->in, 1000, NULL) == 0)
        send_answers(w);
    ws_push_free(w);
    http_stream_end(req);
}

/* ---- what the client asks for ---- */

bool ws_asked_for(const HttpReq *req)
{
    return req->version == 1 && http_header_has_token(req, SV("upgrade"), SV("websocket")) &&
           http_header_has_token(req, SV("connection"), SV("upgrade"));
}

static bool is_allowed(StrView allowed, StrView name)
{
    StrView one;
    while (sv_next(&allowed, ',', &one))
        if (sv_eq(one, name))
            return true;
    return false;
}

bool ws_choose_protocol(const HttpReq *req, StrView allowed, StrView *ret)
{
    bool named = false;
    *ret = SV("");
    for (uint32_t i = 0; i < req->n_headers; i++) {
        StrView rest = req->headers[i].value, piece;
        if (!sv_eq(req->headers[i].name, SV("sec-websocket-protocol")))
            continue;
        while (sv_next(&rest, ',', &piece)) {
            StrView name = sv_trim(piece);
            /* A token may come along as one of the protocols; it is no answer. */
            if (sv_starts(name, SV("base64url.bearer.authorization.")) || !name.len)
                continue;
            named = true;
            if (is_allowed(allowed, name)) {
                *ret = name;
                return true;
            }
        }
    }
    return !named;
}
