/* proxy.h - the service proxy of one node: keeps nf_tables in step with Services and
 * EndpointSlices.
 *
 * One table of its own (named after the instance, family ip) holds everything, so that removing the
 * table removes every trace. A change of objects becomes one atomic transaction. IPv4. */
#pragma once

#include "api/client.h"
#include "net/loop.h"

typedef struct Proxy Proxy;

typedef struct ProxyConfig {
    const char *instance;     /* the table's name */
    const char *pod_cidr;     /* "10.42.0.0/24" */
    const char *service_cidr; /* "10.43.0.0/16" */
    const char *node_ip;
    const char *node_name; /* which endpoints are local */
    const char *bridge;    /* link of the pods: "knarr0" */
    uint16_t reserved[2];  /* TCP ports of the platform, which are never a node port even while
                              nothing listens; 0: none */
} ProxyConfig;             /* texts are copied */

/* Makes a table with base rules unless a run before left one (which goes on serving), then follows
 * the API server; the first whole state replaces everything in one transaction. ERR_INVALID for a
 * range that is none; ERR_DENIED without CAP_NET_ADMIN. */
int proxy_new(Loop *l, ApiClient *c, const ProxyConfig *cfg, Proxy **ret, Err *err) NODISCARD;
Proxy *proxy_free(Proxy *p); /* the rules stay: a restart does not interrupt traffic; always NULL */
/* Deletes a table; fine when there is none. */
int proxy_cleanup(const char *instance, Err *err) NODISCARD;
