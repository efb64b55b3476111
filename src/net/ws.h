/* ws.h - the server's side of WebSocket (RFC 6455), framing by wslay: bytes in, messages out, and
 * frames appended to a buffer. No I/O. */
#pragma once

#include "base/buf.h"
#include "net/http.h"

typedef struct Ws Ws;

enum { WS_MESSAGE_MAX = 4 * 1024 * 1024 }; /* bytes of one message from the client */

typedef struct WsEvents {
    /* A whole message. The owner may be freed here: then *dead must become true (ws_feed). */
    void (*on_message)(void *ctx, bool text, const void *data, size_t len);
    void (*on_close)(void *ctx, uint16_t code); /* the client says goodbye; answered already */
} WsEvents;

/* Frames go to the end of *out, whose failure the owner checks. */
int ws_new(Buf *out, const WsEvents *ev, void *ctx, Ws **ret, Err *err) NODISCARD;
void ws_set_out(Ws *w, Buf *out);
Ws *ws_free(Ws *w); /* always NULL; not from inside ws_feed() (use *dead) */

/* Takes all bytes; stops early, without error, once *dead is true (may be NULL). */
int ws_feed(Ws *w, const void *data, size_t len, const bool *dead, Err *err) NODISCARD;
int ws_send(Ws *w, bool text, const void *data, size_t len, Err *err) NODISCARD;
int ws_close(Ws *w, uint16_t code, Err *err) NODISCARD; /* 1000: normal */

/* Is this a WebSocket handshake that can be accepted (GET, version 13, a key)? */
bool ws_wanted(const HttpReq *req);
/* The value of Sec-WebSocket-Accept for a key (terminated). */
enum { WS_ACCEPT_SIZE = 29 };
void ws_accept_key(StrView key, char out[static WS_ACCEPT_SIZE]);
/* Appends the 101 response; `protocol` may be empty. */
void ws_handshake(const HttpReq *req, StrView protocol, Buf *out);
/* A WebSocket that the server only writes to, on an exchange: watches and logs. The exchange lives
 * on as a stream: http_stream_pending(), http_stream_on_drain() and http_abort() are as ever. What
 * the client sends is read and dropped, but for pings and its goodbye. */
typedef struct WsPush WsPush;
/* Answers the handshake. on_close is called once when the client has gone or says goodbye, and not
 * after ws_push_free(); the exchange is gone then. ERR_UNSUPPORTED: not a handshake that can be
 * accepted; nothing has been answered. */
int ws_push_start(HttpReq *req, StrView protocol, LoopFn *on_close, void *ctx, WsPush **ret,
                  Err *err) NODISCARD;
/* A message, or a part of one: `first` and `last` say which. Copies. */
typedef struct WsPart {
    bool text, first, last;
} WsPart;
int ws_push(WsPush *w, WsPart part, const void *data, size_t len, Err *err) NODISCARD;
void ws_push_end(WsPush *w);     /* says goodbye and ends the exchange; frees */
WsPush *ws_push_free(WsPush *w); /* leaves the exchange to the caller; always NULL */

/* Does the request ask for a WebSocket at all, whether or not it can be accepted? */
bool ws_asked_for(const HttpReq *req);
/* The first subprotocol that the client names and `allowed` holds (names with ',' between); true
 * with an empty one when it names none. */
bool ws_choose_protocol(const HttpReq *req, StrView allowed, StrView *ret);
/* Is `token` one of the comma-separated tokens of all headers of this name? */
bool http_header_has_token(const HttpReq *req, StrView lower_name, StrView token);
