/* tls.h - TLS 1.2 and 1.3 contexts for servers and clients, on OpenSSL. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

typedef struct TlsContext TlsContext; /* reference-counted, immutable after creation */

/* What a server wants of its clients' certificates, which are checked against `ca`. */
typedef enum TlsClientAuth {
    TLS_CLIENT_NONE,         /* does not ask */
    TLS_CLIENT_ASK,          /* takes any and none; TlsPeer.verified tells whether it holds */
    TLS_CLIENT_VERIFY_GIVEN, /* one that comes must hold */
    TLS_CLIENT_NEED,         /* one must come, of whomever */
    TLS_CLIENT_VERIFY,       /* one must come and hold */
} TlsClientAuth;

typedef enum TlsVersion { TLS_DEFAULT, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 } TlsVersion;

typedef struct TlsConfig {
    /* PEM texts (not file names); views need to live only during the call. */
    StrView cert_chain, key;   /* server: required; client: optional */
    StrView ca;                /* roots that the peer is checked against; empty: the system's */
    TlsClientAuth client_auth; /* server */
    /* Server: with TLS_CLIENT_NEED and _VERIFY, a certificate must name one of these exactly as a
     * DNS name, e-mail address, URI or IP address. */
    const StrView *client_sans;
    unsigned n_client_sans;
    TlsVersion min_version, max_version; /* default: 1.2 and 1.3 */
    /* OpenSSL's names with ':' between, best first; NULL: its own list. Suites are those up to TLS
     * 1.2; "": none, which leaves 1.3. */
    const char *ciphers, *groups;
    bool client_order;         /* server: the client's order of suites counts */
    bool insecure_skip_verify; /* client: probes, proxied pods */
    bool system_roots;         /* client: the system's roots count beside those of `ca` */
    bool alpn_h2;              /* offer or accept "h2" beside "http/1.1" */
} TlsConfig;

/* Reads certificates and keys; `cfg` is not needed afterwards. A context may be used by several
 * threads; the caller owns one reference. ERR_INVALID says what of it is wrong, ERR_SYS, ERR_NOMEM.
 */
int tls_context_new_server(const TlsConfig *cfg, TlsContext **ret, Err *err) NODISCARD;
int tls_context_new_client(const TlsConfig *cfg, TlsContext **ret, Err *err) NODISCARD;
/* One more reference, and one less; connections hold their own. unref: always NULL, NULL is fine.
 */
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
