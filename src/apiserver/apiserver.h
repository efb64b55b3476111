/* apiserver.h - the Kubernetes API server: authentication, authorisation, admission, storage,
 * watch. */
#pragma once

#include "api/kind_set.h"
#include "base/metrics.h"
#include "net/http.h"
#include "store/store.h"

typedef struct ApiServer ApiServer;

enum { API_LOOPS_MAX = 8 };

typedef struct ApiServerConfig {
    Store *store;              /* stays the caller's; opened with apiserver_store_config() */
    ApiKinds *kinds;           /* that are served at first; stays the caller's */
    const char *listen;        /* "127.0.0.1:6443" */
    StrView cert_chain, key;   /* PEM of the serving certificate */
    StrView client_ca;         /* PEM: who signs client certificates, also published to pods */
    StrView token_key;         /* PEM: signs service-account tokens */
    StrView issuer;            /* of tokens: "https://kubernetes.default.svc" */
    StrView service_cidr;      /* IPv4: "10.96.0.0/16" */
    StrView advertise_address; /* where the `kubernetes` Service leads */
    uint16_t advertise_port;
    StrView control_plane_node; /* the node on which this runs, labelled so; empty: none */
    StrView dns_endpoint; /* "10.244.0.1:10053": where the `kube-dns` Service leads; empty: none */
    StrView
        admission_plugins; /* beside the built-in ones: DenyServiceExternalIPs; comma separated */
    Metrics *metrics;      /* where it counts; NULL: nowhere. Must outlive it */
    unsigned loops;        /* threads that serve; 0: one for each processor that this process may
                              use, at most API_LOOPS_MAX. The first is the caller's */
    unsigned group;        /* connections that follow each other onto one loop; 0: four */
    uint16_t node_port_min, node_port_max; /* 0: 30000-32767 */
    size_t arena_limit; /* of each request, for tests; 0: the default (net/http.h) */
    StrView kubelet_client_cert, kubelet_client_key,
        kubelet_ca; /* PEM, for logs and exec; may be empty */
} ApiServerConfig;

/* What store_open() needs to be told, so that attributes for selectors are derived at load. `kinds`
 * must live until the store is open. */
StoreConfig apiserver_store_config(ApiKinds *kinds);

/* Creates what every cluster has (namespaces, default roles, the `kubernetes` Service) where it is
 * missing, then serves on the loop and on threads of its own, which apiserver_free() ends.
 * ERR_INVALID names the bad field; ERR_SYS the address in use. */
int apiserver_new(Loop *loop, const ApiServerConfig *cfg, ApiServer **ret, Err *err) NODISCARD;
/* New connections, those to kubelets too, use the certificates and keys of `cfg`, which may have
 * come anew; nothing else of it is looked at. */
int apiserver_reload(ApiServer *s, const ApiServerConfig *cfg, Err *err) NODISCARD;
/* Runs the loop until what is under way has been answered, for some seconds at most: before the
 * end, so that nobody is left without knowing whether their write was made. Watches and other
 * streams are not waited for. What comes meanwhile is answered 429, to be asked again. Ends early
 * by loop_stop(). */
void apiserver_finish(ApiServer *s);
/* Every connection is closed; waits for writes that the store has in hand and for what works on
 * other threads. What is left of these are tasks on the loop, which must run once more. Like all of
 * these on the loop's thread, outside of its requests. Always NULL. */
ApiServer *apiserver_free(ApiServer *s);
uint16_t apiserver_port(const ApiServer *s);
