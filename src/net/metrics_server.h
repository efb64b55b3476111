/* metrics_server.h - /metrics over HTTP: as an answer of a server that has other paths too, or by a
 * listener of its own, which also says at /healthz, /livez and /readyz that the program turns. */
#pragma once

#include "base/metrics.h"
#include "net/http.h"

/* Answers with all that is counted: OpenMetrics where Accept prefers it, else the text format. */
void metrics_respond(Metrics *m, HttpReq *req);

typedef struct MetricsServer MetricsServer;

/* Once the peer is known and may read. */
typedef void MetricsAllowedFn(void *server, HttpReq *req);

typedef struct MetricsServerConfig {
    const char *address; /* "127.0.0.1:10249"; port 0 picks one */
    bool address_later;  /* HttpServerConfig has it */
    TlsContext *tls;     /* NULL: clear text */
    Metrics *metrics;    /* must outlive the server */
    /* Decides who reads /metrics: calls allowed(server, req), now or later, or answers itself.
     * NULL: everybody. */
    void (*guard)(void *ctx, HttpReq *req, MetricsAllowedFn *allowed, void *server);
    void *ctx;
} MetricsServerConfig;

/* ERR_INVALID: it is no address; with `sys`: it cannot be had. */
int metrics_server_new(Loop *l, const MetricsServerConfig *cfg, MetricsServer **ret,
                       Err *err) NODISCARD;
uint16_t metrics_server_port(const MetricsServer *s);
/* For new connections. */
void metrics_server_set_tls(MetricsServer *s, TlsContext *tls);
MetricsServer *metrics_server_free(MetricsServer *s); /* NULL is fine; always NULL */
