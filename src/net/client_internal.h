/* client_internal.h - how the parts of the HTTP client fit together. Private to src/net.
 *
 *   client.c     calls, which connection each goes to, retries, time
 *   client_h1.c  HTTP/1.1 on a connection   } behind ClientOps
 *   client_h2.c  HTTP/2 on a connection     }
 *   tunnel.c     a connection of its own as a byte stream
 *
 * As in the server, a connection that is closed while its code is on the stack (`busy`) is
 * destroyed when the outermost frame leaves; a call likewise by `held`. */
#pragma once

#include "net/connect.h"
#include "net/http_client.h"
#include "net/stream_internal.h"

enum {
    CLIENT_CONNECT_TIMEOUT_DEFAULT = 10 * 1000,
    CLIENT_CONNS_MAX = 64, /* HTTP/1.1: calls at the same time */
    CLIENT_HEADER_MAX = 256 * 1024,
    CLIENT_STREAM_WINDOW = 1024 * 1024,
    CLIENT_CONN_WINDOW = 16 * 1024 * 1024,
    CLIENT_OUT_HIGH = 64 * 1024,
};

typedef struct ClientConn ClientConn;

typedef struct CallList {
    HttpCall *head, *tail;
    unsigned n;
} CallList;

struct HttpCall {
    HttpClient *client;
    ClientConn *conn; /* NULL while it waits for one */
    HttpCall *next, *prev;
    Arena arena;
    HttpCallSpec spec; /* views in the arena; header names in lower case */
    Source *timer;
    int32_t stream_id;
    size_t body_off;
    int status; /* of the head that has arrived; 0: none yet */
    HttpHeader *headers;
    uint32_t n_headers, headers_cap, header_bytes;
    unsigned interims; /* HTTP/2: informational answers so far */
    bool retried;      /* was sent again after a connection had gone stale */
    bool gone;
    bool paused;
    Buf out; /* a body that streams: what has been written and not yet sent */
    bool out_over, out_told, out_chunked, drain_due;
    size_t unread; /* HTTP/2: bytes that came while paused, whose window is still held back */
    unsigned held;
};

typedef struct ClientOps {
    void (*start)(ClientConn *c, HttpCall *call);
    int (*feed)(ClientConn *c, const void *data, size_t len, Err *err);
    void (*ended)(ClientConn *c); /* the peer has closed: complete what ends so */
    void (*cancel)(ClientConn *c, HttpCall *call);
    void (*pause)(ClientConn *c, HttpCall *call);
    void (*pump)(ClientConn *c);
    void (*free)(ClientConn *c);
} ClientOps;

extern const ClientOps client_h1_ops, client_h2_ops;
/* The state of either protocol (c->proto) for a connection that has been made. ERR_NOMEM. */
int client_h1_init(ClientConn *c, Err *err) NODISCARD;
int client_h2_init(ClientConn *c, Err *err) NODISCARD;

struct ClientConn {
    HttpClient *client; /* NULL once the client is gone */
    Loop *loop;
    Connector *connector;
    NetStream *stream;
    Source *timer; /* until ready */
    const ClientOps *ops;
    void *proto;
    CallList calls;
    unsigned max_calls;
    ClientConn *next, *prev;
    unsigned busy;
    bool ready, draining, closing, own, used, pump_due, h2c;
    bool dialed; /* counted as established */
};

struct HttpClient {
    Loop *loop;
    HttpClientConfig cfg; /* texts are owned */
    Buf proxy_head;
    char *authority;
    ClientConn *conns;
    unsigned n_conns, n_connecting;
    CallList waiting;
    bool speaks_h1; /* known from an earlier connection */
    bool schedule_due;
};

/* Where its connections go, those of tunnels too: the server, or its proxy. */
static inline ConnectTo client_connect_to(const HttpClient *cl)
{
    const HttpClientConfig *f = &cl->cfg;
    return (ConnectTo){ f->proxy_host ? f->proxy_host : f->host,
                        f->proxy_host ? f->proxy_port : f->port, f->connect_timeout_ms,
                        f->any_address, f->proxy_head };
}

/* ---- client.c ---- */
static inline void client_conn_enter(ClientConn *c)
{
    c->busy++;
}
void client_conn_leave(ClientConn *c);
/* Closes now; its calls get `why`, or are sent again where that is safe. */
void client_conn_close(ClientConn *c, const Err *why);
void client_conn_idle(ClientConn *c); /* has room again: look for waiting calls */
void client_pump_later(ClientConn *c);
void call_hold(HttpCall *call);
void call_unhold(HttpCall *call);
int call_add_header(HttpCall *call, StrView name, StrView value, Err *err) NODISCARD;
void call_head(HttpCall *call); /* reports status and headers */
void call_data(HttpCall *call, const void *data, size_t len);
void call_done(HttpCall *call, const Err *err); /* takes it off its connection, reports, frees */
/* Never processed by the peer: goes back to the queue, or fails with `why` the second time. */
void call_again(HttpCall *call, const Err *why);
void call_drained(HttpCall *call); /* nothing of `out` waits any more */
StrView call_find_request_header(const HttpCall *call, StrView lower_name);
