/* tls.h - TLS 1.2 and 1.3 contexts for servers and clients, on OpenSSL. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

typedef struct TlsContext TlsContext; /* reference-counted, immutable after creation */

typedef struct TlsConfig {
    /* PEM texts (not file names); views need to live only during the call. */
    StrView cert_chain, key;   /* server: required; client: optional */
    StrView ca;                /* roots that the peer is checked against; empty: the system's */
    bool request_client_cert;  /* server: ask, verify against `ca` if one comes, accept none */
    bool insecure_skip_verify; /* client: for probes only */
    bool alpn_h2;              /* offer or accept "h2" beside "http/1.1" */
} TlsConfig;

int tls_context_new_server(const TlsConfig *cfg, TlsContext **ret, Err *err) NODISCARD;
int tls_context_new_client(const TlsConfig *cfg, TlsContext **ret, Err *err) NODISCARD;
TlsContext *tls_context_ref(TlsContext *c);
TlsContext *tls_context_unref(TlsContext *c);

/* Who the peer proved to be, from its verified client certificate. */
typedef struct TlsPeer {
    bool presented; /* sent a certificate; without `verified`: one that did not hold */
    bool verified;
    StrView common_name;
    StrView orgs[16]; /* subject's O values, in order */
    unsigned n_orgs;
} TlsPeer;
