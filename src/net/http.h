/* http.h - HTTP/1.1 and HTTP/2 server on a loop.
 *
 * The server reads a request whole (up to body_max), then calls the handler. The exchange `HttpReq`
 * with its arena lives until the response has been sent or the peer has gone; whoever answers later
 * sets http_on_close() and stops using the exchange when that is called. All on the loop's thread,
 * but for http_server_adopt() and http_server_open(): by these one server accepts for others, each
 * on a loop and thread of its own. A connection stays with the server that has it. */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"

typedef struct HttpServer HttpServer;
typedef struct HttpReq HttpReq;

enum { HTTP_CONNS_MAX = 20000 };

typedef struct HttpHeader {
    StrView name, value; /* names in lower case */
} HttpHeader;

const char *http_reason(int status); /* "Not Found"; never NULL */

typedef void HttpHandlerFn(void *ctx, HttpReq *req);

/* A bound that several servers of one loop share: at `max` connections further ones wait to be
 * accepted. Zero but for `max`; must outlive the servers. */
typedef struct HttpConnLimit {
    unsigned max;
    unsigned open;     /* connections; the rest is the servers' own */
    uint64_t accepted; /* since the start */
    HttpServer *waiting;
} HttpConnLimit;

/* A bound on the bytes of requests that are arriving and have not been answered, for all
 * connections of the servers that share it, on whichever loops. Zero but for the first two; must
 * outlive the servers. */
typedef struct HttpBodyLimit {
    size_t max;
    /* Whether a peer may use the last quarter, which is kept for those that the program itself
     * depends on; NULL: all may. */
    bool (*preferred)(const TlsPeer *peer);
    atomic_size_t held; /* the servers' own */
} HttpBodyLimit;

typedef struct HttpServerConfig {
    TlsContext *tls;    /* NULL: clear text */
    bool address_later; /* the address may not be this machine's yet (IP_FREEBIND) */
    HttpHandlerFn *handler;
    void *ctx;
    size_t body_max;             /* larger: handler is called with body_too_large set and no body */
    HttpBodyLimit *bodies;       /* NULL: no bound. Beyond: as body_max, and `busy` is set */
    size_t arena_limit;          /* per exchange; 0: ARENA_DEFAULT_LIMIT */
    uint32_t header_max;         /* bytes of all headers; 0: 64 KiB; larger: 431 */
    uint32_t idle_timeout_ms;    /* of a connection without exchanges; 0: 120 s */
    HttpConnLimit *limit;        /* NULL: only the server's own, conns_max */
    unsigned conns_max;          /* further ones are closed at once; 0: HTTP_CONNS_MAX */
    uint32_t request_timeout_ms; /* until a request has arrived whole; 0: 30 s (slow loris) */
    /* Told once of each request that a handler had, when its response has been sent or the peer has
     * gone; status 0: nothing was answered. Not after http_server_free(). NULL: nobody. */
    void (*ended)(void *ctx, HttpReq *req, int status);
    /* Asked when the head of a request has arrived that more follows: true: the handler is called
     * at once, with `streams` set, and takes the body by http_body_start(). NULL: never. */
    bool (*streams)(void *ctx, HttpReq *req);
    /* Asked for each connection that is accepted, which server is to have it: this one, or one of
     * another loop that then adopts it. NULL: this one has them all. */
    HttpServer *(*spread)(void *ctx);
} HttpServerConfig;

/* One listening address. `addr` is "127.0.0.1:6443", "[::]:443" or "unix:/path". Port 0 picks one.
 */
int http_server_new(Loop *l, const char *addr, const HttpServerConfig *cfg, HttpServer **ret,
                    Err *err) NODISCARD;
/* The same on a socket that listens already (takes the descriptor over). */
int http_server_new_fd(Loop *l, int fd, const HttpServerConfig *cfg, HttpServer **ret,
                       Err *err) NODISCARD;
/* One without an address, that serves what it adopts. */
int http_server_new_adopting(Loop *l, const HttpServerConfig *cfg, HttpServer **ret,
                             Err *err) NODISCARD;
/* The server serves this connected, non-blocking socket (taken over) with its peer's address; from
 * any thread, until http_server_free() is called. What it cannot serve is closed. */
void http_server_adopt(HttpServer *s, int fd, const struct sockaddr_storage *remote);
/* Its connections, those included that it is about to adopt; from any thread. */
unsigned http_server_open(const HttpServer *s);
/* Closes all connections; of what has been answered the kernel gets what it takes. Always NULL. */
HttpServer *http_server_free(HttpServer *s);
uint16_t http_server_port(const HttpServer *s);
void http_server_set_tls(HttpServer *s, TlsContext *tls); /* for new connections */

/* What was asked. Views live as long as the exchange. */
struct HttpReq {
    Arena *arena;
    StrView method;
    StrView path; /* percent-decoded, without the query; raw in raw_path */
    StrView raw_path;
    StrView query;     /* raw, without '?' */
    StrView authority; /* Host or :authority */
    HttpHeader *headers;
    uint32_t n_headers;
    StrView body;
    bool body_too_large;
    bool busy;    /* the body was dropped because others' fill the server: to be tried again */
    bool streams; /* the body is not here, but comes by http_body_start() */
    bool is_tls;
    uint8_t version; /* 1 or 2 */
    const TlsPeer *peer;
    const struct sockaddr *remote;
    void *user; /* the handler's */
};

StrView http_header(const HttpReq *req, StrView lower_name); /* first one; SV_NULL when absent */
/* The decoded value of a query parameter; false when absent, and when req->arena is full, which
 * that remembers. Iterate over all with http_query_next. */
bool http_query(const HttpReq *req, StrView name, StrView *ret);
/* A boolean parameter as Kubernetes reads it (apimachinery's Convert_Slice_string_To_bool): false
 * when absent, for "0" and for "false" in any case; true for everything else, "" included. */
bool http_query_true(const HttpReq *req, StrView name);
bool http_bool_value(StrView value); /* the same for a value that was there */
/* Walks a raw query: *rest starts as req->query. Decoded into the arena. */
bool http_query_next(Arena *a, StrView *rest, StrView *ret_name, StrView *ret_value);
/* Percent-decoding; `plus` turns + into space. ptr is NULL on bad input or no memory. */
StrView http_unescape(Arena *a, StrView s, bool plus);

/* Response headers besides Content-Type and Content-Length, before the response starts. Copies. A
 * stream may be told its Content-Length so: the bytes must be as many. Without memory the answer
 * goes out without the header. */
int http_set_header(HttpReq *req, StrView name, StrView value, Err *err) IGNORABLE;

/* Answers at once; the body is copied (or referred to if it lies in req->arena). Ends the exchange.
 */
void http_respond(HttpReq *req, int status, StrView content_type, StrView body);

/* Answers with pieces that are not copied: release(ctx) is called once all bytes are sent or the
 * peer has gone. `iov` itself is copied into the arena. */
typedef struct HttpPiece {
    const void *ptr;
    size_t len;
} HttpPiece;
void http_respond_pieces(HttpReq *req, int status, StrView content_type, const HttpPiece *pieces,
                         uint32_t n, LoopFn *release, void *ctx);

/* A response of unknown length: start, write any number of times, end. Writes are copied into the
 * connection's own buffer; http_stream_pending() says how many bytes wait (watchers that fall too
 * far behind are cut by the caller with http_abort). on_drain (optional) fires when it becomes
 * zero. A write that fails ends the connection, which on_close tells. */
int http_stream_start(HttpReq *req, int status, StrView content_type, Err *err) NODISCARD;
int http_stream_write(HttpReq *req, const void *data, size_t len, Err *err) IGNORABLE;
/* The same for bytes that nobody else needs: they are taken over where nothing waits, `data` is
 * then empty. The caller frees it in any case. */
int http_stream_take(HttpReq *req, Buf *data, Err *err) IGNORABLE;
size_t http_stream_pending(const HttpReq *req);
void http_stream_on_drain(HttpReq *req, LoopFn *fn, void *ctx);
void http_stream_end(HttpReq *req); /* ends the exchange */
void http_abort(HttpReq *req);      /* reset without a proper end; ends the exchange */

/* What a peer sends after the head of a request that `streams`, or after http_upgrade(). */
typedef struct HttpBodyEvents {
    void (*on_data)(void *ctx, const void *data, size_t len);
    void (*on_end)(void *ctx); /* the body is complete; never after http_upgrade() */
    void *ctx;
} HttpBodyEvents;
/* Begins delivery, later than this call; until then, and while paused, the peer soon has to wait.
 * What comes after the response has ended is dropped. A peer that goes away in between is told by
 * http_on_close() alone. */
void http_body_start(HttpReq *req, const HttpBodyEvents *ev);
void http_body_pause(HttpReq *req, bool paused);

/* Answers an HTTP/1.1 request with 101 and the headers set: from then on the exchange is a byte
 * stream both ways, out by http_stream_write() and its kin, in by the events. */
int http_upgrade(HttpReq *req, const HttpBodyEvents *ev, Err *err) NODISCARD;

/* Called once when the peer goes away before the response has ended; the exchange is gone after it.
 */
void http_on_close(HttpReq *req, LoopFn *fn, void *ctx);

/* What the exchange owns (arena, headers, body) stays until http_release(), also when the peer goes
 * away: for work on another thread, during which nobody else uses it. on_close is called as ever.
 */
void http_hold(HttpReq *req);
void http_release(HttpReq *req);

/* Takes an HTTP/1.1 connection over after an Upgrade (or CONNECT-like) request: sends the given
 * head (a complete "HTTP/1.1 101 …\r\n…\r\n\r\n", may be empty) and hands a byte stream out. The
 * exchange ends. Bytes that already arrived are delivered first. */
typedef struct NetStream NetStream;
int http_take_over(HttpReq *req, StrView head, NetStream **ret, Err *err) NODISCARD;

/* A bidirectional byte stream (TCP or TLS) after a take-over, or of a client (net/http_client.h).
 */
typedef struct NetStreamEvents {
    void (*on_data)(void *ctx, const void *data, size_t len);
    void (*on_end)(void *ctx, const Err *why); /* once; why is NULL at a clean end */
    void (*on_drain)(void *ctx); /* all written bytes are with the kernel; may be NULL */
    void *ctx;
} NetStreamEvents;
void net_stream_start(NetStream *s, const NetStreamEvents *ev); /* begins delivery */
int net_stream_write(NetStream *s, const void *data, size_t len,
                     Err *err) IGNORABLE; /* copies; a failure ends it */
/* Bytes that are written and not yet with the kernel. */
size_t net_stream_pending(const NetStream *s);
void net_stream_pause(NetStream *s, bool paused); /* back pressure: stop reading */
void net_stream_end(NetStream *s); /* sends what waits, then closes; no more events after on_end */
NetStream *net_stream_free(NetStream *s); /* drops it now; no event; always NULL */
