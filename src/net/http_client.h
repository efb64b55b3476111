/* http_client.h - HTTP client on a loop: one origin, connections kept, HTTP/2 (multiplexed) where
 * the server speaks it, else HTTP/1.1. For API servers, kubelets, probes and scrapes. */
#pragma once

#include "net/http.h"

typedef struct HttpClient HttpClient;
typedef struct HttpCall HttpCall;

/* What became of connections that were begun. */
typedef enum HttpDialFailure {
    HTTP_DIAL_REFUSED,
    HTTP_DIAL_RESOLUTION,
    HTTP_DIAL_TIMEOUT,
    HTTP_DIAL_UNKNOWN,
    HTTP_DIAL_FAILURE_MAX
} HttpDialFailure;
typedef struct HttpDials {
    uint64_t attempted, established, closed; /* closed: of the established ones */
    uint64_t failed[HTTP_DIAL_FAILURE_MAX];
} HttpDials;

typedef struct HttpClientConfig {
    const char *host; /* name or address, or "unix:/path" */
    uint16_t port;
    TlsContext *tls;             /* NULL: clear text (HTTP/1.1) */
    const char *server_name;     /* checked in the certificate; NULL: host */
    uint32_t connect_timeout_ms; /* 0: 10 s */
    bool http1_only;             /* also for take-over */
    bool h2c;                    /* clear text is HTTP/2 from the start (RFC 9113 3.3): gRPC */
    bool no_reuse;               /* a connection of its own for every call (probes) */
    bool any_address;            /* each connection goes to any of the host's addresses */
    /* An HTTP proxy that carries connections to the origin: where it is, and the CONNECT request.
     * NULL: none. */
    const char *proxy_host;
    uint16_t proxy_port;
    StrView proxy_head;
    HttpDials *dials; /* counts connections, but not of tunnels; must outlive the client. NULL */
} HttpClientConfig;

/* `cfg` is copied but for what its fields say. Nothing is connected yet. To be ended by
 * http_client_free() before the loop. ERR_NOMEM. */
int http_client_new(Loop *l, const HttpClientConfig *cfg, HttpClient **ret, Err *err) NODISCARD;
/* For new connections; those that are open stay as they are. */
void http_client_set_tls(HttpClient *c, TlsContext *tls);
HttpClient *http_client_free(HttpClient *c); /* ends all calls without events; always NULL */

typedef struct HttpCallSpec {
    StrView method, target; /* target: path and query, already escaped */
    const HttpHeader *headers;
    uint32_t n_headers;
    StrView body; /* copied */
    /* The body comes by http_call_write(). Its length is that of a content-length header; without
     * one it is sent in chunks. HTTP/1.1 only (http1_only). Such a call is never sent twice. */
    bool streams;
    uint32_t timeout_ms; /* of the whole call; 0: none (watches) */
    /* Once the head has arrived. Headers live until on_done. May be NULL. */
    void (*on_head)(void *ctx, int status, const HttpHeader *headers, uint32_t n);
    void (*on_data)(void *ctx, const void *data, size_t len);
    /* Exactly once unless cancelled: err is NULL when the response came whole. The call is gone
     * after. */
    void (*on_done)(void *ctx, const Err *err);
    LoopFn *on_drain; /* `streams`: what was written is on its way; may be NULL */
    void *ctx;
} HttpCallSpec;

/* Begins a call; `spec` and its texts are copied. What goes wrong later is told by on_done, never
 * before this returns. ERR_NOMEM: nothing was begun. */
int http_call(HttpClient *c, const HttpCallSpec *spec, HttpCall **ret, Err *err) NODISCARD;
HttpCall *http_call_cancel(HttpCall *call); /* no more events; always NULL; NULL is fine */

/* Back pressure: while paused the server soon has to wait (a window's worth of data may still
 * come). */
void http_call_pause(HttpCall *call, bool paused);

/* A body that streams. Writes are copied; http_call_pending() says how many bytes wait. */
int http_call_write(HttpCall *call, const void *data, size_t len, Err *err) NODISCARD;
size_t http_call_pending(const HttpCall *call);
void http_call_end(HttpCall *call); /* the body is complete */

/* What a server answered to the head of a tunnel. Lives as long as the callback. */
enum { HTTP_TUNNEL_BODY_MAX = 64 * 1024 };
typedef struct HttpTunnelAnswer {
    int status;
    const HttpHeader *headers;
    uint32_t n_headers;
    StrView body; /* unless 101; no more of it than HTTP_TUNNEL_BODY_MAX */
} HttpTunnelAnswer;

/* Opens a connection of its own, sends the request head (an Upgrade) and waits for the answer. With
 * 101 the callback gets the byte stream behind the answer's head, which becomes the caller's; with
 * any other answer there is no stream, and the connection is closed: nobody may use it for a second
 * request. Else the answer is NULL and the error says why. Cancel by http_tunnel_cancel() before
 * the callback. */
typedef struct HttpTunnel HttpTunnel;
typedef void HttpTunnelFn(void *ctx, const HttpTunnelAnswer *answer, NetStream *stream,
                          const Err *err);
int http_tunnel(HttpClient *c, StrView request_head, HttpTunnelFn *on_answer, void *ctx,
                HttpTunnel **ret, Err *err) NODISCARD;
/* No callback any more; always NULL; NULL is fine. */
HttpTunnel *http_tunnel_cancel(HttpTunnel *t);
