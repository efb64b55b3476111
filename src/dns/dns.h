/* dns.h - the cluster's DNS (Kubernetes DNS specification 1.1.0) over UDP and TCP; IPv4. */
#pragma once

#include "api/client.h"
#include "net/loop.h"

typedef struct Dns Dns;

typedef struct DnsConfig {
    const char *listen;         /* "10.244.0.1:10053"; the address may appear later */
    const char *cluster_domain; /* "cluster.local" */
    const char
        *resolv_conf; /* whose name servers get all other questions; NULL: /etc/resolv.conf */
    void (*on_synced)(void *ctx);
    void *ctx;
} DnsConfig;

/* Answers SERVFAIL for the cluster's names until the first state of Services and EndpointSlices is
 * known; forwards the others from the start. ERR_INVALID names a bad address or domain. */
int dns_new(Loop *l, ApiClient *api, const DnsConfig *cfg, Dns **ret, Err *err) NODISCARD;
Dns *dns_free(Dns *d); /* always NULL */
