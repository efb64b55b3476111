/* metrics_port.h - where a role's /metrics is read: in clear text on an address that only the
 * machine or its pods reach, or over HTTPS by whom the API server lets.
 *
 * A port that is taken costs the role its metrics, not its work: the log says so, and *ret stays
 * NULL. */
#pragma once

#include "cmd/daemon.h"
#include "cmd/flags.h"
#include "net/metrics_server.h"

/* Of Kubernetes' own roles. */
typedef struct MetricsPortArgs {
    const char *bind; /* an address */
    uint16_t port;
    const char *cert, *key; /* files; NULL: a certificate of its own, made at each start */
    const char *client_ca;  /* file: who signs clients' certificates; NULL: tokens only */
} MetricsPortArgs;

/* Rows for the role's table of flags. */
#define METRICS_PORT_FLAGS(a)                                                                      \
    { "bind-address", FLAG_TEXT, &(a)->bind, "ADDRESS", "where /metrics is served (0.0.0.0)" },    \
        { "secure-port", FLAG_PORT, &(a)->port, "N", "its port, HTTPS" },                          \
        { "tls-cert-file", FLAG_TEXT, &(a)->cert, "FILE",                                          \
          "certificate of that port; none: one is made at each start" },                           \
        { "tls-private-key-file", FLAG_TEXT, &(a)->key, "FILE", "its key" },                       \
    {                                                                                              \
        "client-ca-file", FLAG_TEXT, &(a)->client_ca, "FILE",                                      \
            "who signs the certificates of those who read /metrics; without it they show tokens"   \
    }

typedef struct MetricsPort MetricsPort;

/* What `api` counts in, for those who may get /metrics. Files are read again on SIGHUP: the only
 * user of daemon_on_reload(). */
int metrics_port_open(Daemon *d, ApiClient *api, const MetricsPortArgs *args, MetricsPort **ret,
                      Err *err) NODISCARD;
MetricsPort *metrics_port_close(MetricsPort *p); /* before the client; NULL is fine; always NULL */

/* In clear text, for everybody. `later`: the address may appear later. ERR_INVALID: it is none. */
int metrics_port_plain(Loop *l, const char *address, bool later, Metrics *m, MetricsServer **ret,
                       Err *err) NODISCARD;
