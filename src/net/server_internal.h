/* server_internal.h - how the parts of the HTTP server fit together. Private to src/net.
 *
 *   server.c     listens, keeps the connections, their timeouts and their life
 *   exchange.c   one request and its response: everything a handler calls
 *   exchange_body.c  what follows a request's head: collected, or handed on
 *   server_h1.c  HTTP/1.1 on a connection      } behind ConnOps
 *   server_h2.c  HTTP/2 on a connection        }
 *
 * A connection may be closed at any depth of calls: conn_close() only marks it while `busy` > 0,
 * and the outermost conn_leave() destroys it. Exchanges likewise by `held`. */
#pragma once

#include <pthread.h>

#include "base/vec.h"
#include "net/stream_internal.h"

enum {
    HTTP_HEADER_MAX_DEFAULT = 64 * 1024,
    HTTP_IDLE_TIMEOUT_DEFAULT = 120 * 1000,
    HTTP_REQUEST_TIMEOUT_DEFAULT = 30 * 1000,
    HTTP_OUT_HIGH = 64 * 1024, /* a connection's buffer is filled up to about here */
    HTTP2_STREAMS_MAX = 250,
    HTTP2_STREAM_WINDOW = 1024 * 1024,
    HTTP2_CONN_WINDOW = 16 * 1024 * 1024,
};

typedef struct HttpConn HttpConn;
typedef struct Exchange Exchange;

typedef enum ExState {
    EX_READING,    /* the request is arriving */
    EX_READY,      /* waits for the handler */
    EX_HANDLING,   /* with the handler */
    EX_RESPONDING, /* the response has started */
    EX_ENDED,      /* the handler is done; bytes may still wait */
} ExState;

struct Exchange {
    HttpReq req; /* first member: handlers hold its address */
    Arena arena;
    HttpConn *conn;
    Exchange *next, *prev; /* all of the connection */
    Exchange *next_ready;  /* those that wait for the handler */
    ExState state;
    int32_t stream_id; /* HTTP/2 */
    unsigned held;
    int status;     /* of the response that has started; 0: none has */
    bool handled;   /* the handler has had it */
    bool gone;      /* off its connection; freed when nobody holds it */
    bool head_only; /* HEAD */
    bool streaming; /* a response of unknown length */
    bool aborted;
    bool deferred;    /* HTTP/2: its data source sleeps */
    bool close_after; /* HTTP/1: no further request on this connection */
    bool chunked;     /* HTTP/1: response framing */
    bool headers_too_large;
    bool upgraded;                                    /* HTTP/1: both ways are raw bytes */
    bool body_paused, body_over, body_told, body_due; /* of a body that streams */
    HttpBodyEvents sink;
    int64_t
        since_ns; /* when the request began; once it is answered, when the peer took some last */
    Buf body;
    HttpBodyLimit *bodies;
    size_t held_bytes; /* of it */
    size_t unconsumed; /* HTTP/2: bytes of the connection's window it holds */
    uint32_t header_bytes, headers_cap;
    HttpHeader *out_headers; /* set by the handler, in the arena */
    uint32_t n_out_headers, out_headers_cap;
    /* What is to be sent: pieces, or the buffer of a stream. */
    HttpPiece *pieces;
    HttpPiece one_piece;
    uint32_t n_pieces, piece_at;
    size_t piece_off;
    LoopFn *release;
    void *release_ctx;
    void *copy; /* owned copy of a body that could not be sent at once */
    Buf out;
    size_t out_off;
    LoopFn *on_drain;
    void *drain_ctx;
    bool drain_due;
    LoopFn *on_close;
    void *close_ctx;
};

typedef struct ConnOps {
    int (*feed)(HttpConn *c, const void *data, size_t len, Err *err);
    /* Starts the response of `e`; total is SIZE_MAX for a stream. */
    int (*start)(Exchange *e, int status, StrView content_type, size_t total, Err *err);
    void (*pump)(HttpConn *c);        /* moves what can be sent into the stream's buffer */
    void (*more)(Exchange *e);        /* the exchange has new bytes, or has ended */
    void (*reset)(Exchange *e);       /* gives it up towards the peer */
    void (*body_paused)(Exchange *e); /* body_paused has changed */
    void (*body_taken)(Exchange *e, size_t len); /* the handler has had so much of the body */
    void (*timed_out)(Exchange *e);              /* the request did not arrive in time */
    void (*shutdown)(HttpConn *c); /* no further requests; closes when the last one is answered */
    void (*free)(HttpConn *c);     /* its protocol state */
} ConnOps;

extern const ConnOps server_h1_ops, server_h2_ops;
int server_h1_init(HttpConn *c, Err *err) NODISCARD;
int server_h2_init(HttpConn *c, Err *err) NODISCARD;

struct HttpConn {
    HttpServer *srv;      /* NULL once the server is gone */
    HttpServerConfig cfg; /* a copy: the server may be freed inside a handler */
    Loop *loop;
    NetStream *stream;
    const ConnOps *ops; /* NULL until the protocol is known */
    void *proto;
    HttpConn *next, *prev;
    Exchange *exchanges;
    Exchange *ready, *ready_tail;
    unsigned n_exchanges;
    unsigned busy;
    char start[3]; /* first bytes, until they tell the protocol */
    uint8_t n_start;
    bool closing, pump_due, ending;
    int64_t since_ns;   /* of the last change between idle and not */
    int64_t message_ns; /* HTTP/1: since when a head has been arriving; 0: none is */
    struct sockaddr_storage remote;
};

/* A connection on its way from the server that accepted it. */
typedef struct Adoption Adoption;

struct HttpServer {
    Loop *loop;
    int fd; /* -1: it adopts */
    Source *src, *sweep;
    HttpServerConfig cfg;
    char *unix_path;
    HttpConn *conns;
    unsigned n_conns;
    atomic_uint n_open;   /* these, and those that are being adopted; read by other threads */
    pthread_mutex_t lock; /* guards the following two */
    Adoption *adoptions;
    bool adopt_posted;
    LoopTask adopt;
    uint16_t port;
    bool accept_paused;
    bool limited; /* in cfg.limit's list of those that wait */
    HttpServer *next_waiting;
    int64_t date_sec;
    char date[40];
};

/* ---- server.c ---- */
static inline void conn_enter(HttpConn *c)
{
    c->busy++;
}
void conn_leave(HttpConn *c); /* may free it */
void conn_close(HttpConn *c); /* now, or when the outermost caller leaves */
void conn_end(HttpConn *c);   /* after what waits has been sent */
void conn_pump_later(HttpConn *c);
void conn_dispatch(HttpConn *c); /* hands ready exchanges to the handler */
StrView conn_date(HttpConn *c);  /* for the Date header; valid until the next call */

/* ---- exchange.c ---- */
Exchange *exchange_new(HttpConn *c, Err *err) NODISCARD;
/* Off its connection: runs on_close (if the handler still has it) and release, then frees. */
void exchange_gone(Exchange *e);
void exchange_hold(Exchange *e);
void exchange_unhold(Exchange *e);
/* Whether the handler has set the header itself. */
bool exchange_has_header(const Exchange *e, StrView lower_name);
int exchange_target(Exchange *e, StrView target, Err *err) NODISCARD; /* splits path and query */
int exchange_add_header(Exchange *e, StrView name, StrView value, Err *err) NODISCARD; /* copies */
void exchange_ready(Exchange *e);             /* the request is whole: queue it for the handler */
size_t exchange_available(const Exchange *e); /* bytes that could be sent now */
void exchange_take(Exchange *e, Buf *dst, size_t n); /* moves n of them */
bool exchange_all_sent(const Exchange *e);           /* ended and nothing left */
void exchange_after_take(Exchange *e);               /* schedules on_drain */

/* ---- exchange_body.c ---- */
/* Collects the body; over body_max it is dropped and req.body_too_large set. */
int exchange_body(Exchange *e, const void *data, size_t len, Err *err) NODISCARD;
void exchange_drop_body(Exchange *e);
void exchange_uncount_body(Exchange *e); /* its bytes weigh on the limit no more */
/* The head is there and more follows: whether that streams. Then the handler's turn has come. */
bool exchange_wants_stream(Exchange *e);
bool exchange_takes_body(const Exchange *e); /* streams, is not over, and is still wanted */
void exchange_body_chunk(Exchange *e, const void *data, size_t len); /* may end the exchange */
void exchange_body_over(Exchange *e);
void exchange_body_forget(Exchange *e); /* nothing more is delivered */
