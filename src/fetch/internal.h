/* internal.h - what the files of the folder share. */
#pragma once

#include "base/map.h"
#include "codec/gzip.h"
#include "fetch/fetch.h"
#include "fetch/identity.h"

typedef struct Origin {
    HttpClient *client;
    unsigned busy;
    int64_t used_ns;
    bool retired; /* of an older TLS context: freed when idle */
    struct Origin *next;
} Origin;

struct Fetcher {
    Loop *loop;
    const FetchOptions *cfg;
    TlsContext *tls;
    Buf tls_state; /* identity of the files that `tls` was made of */
    int64_t tls_checked_ns;
    Map origins;
    Origin *retired;
    Fetch *fetches;
    HttpDials *dials;   /* NULL: nobody counts */
    Identity *identity; /* NULL: nothing is got before a request */
};

struct Fetch {
    Fetcher *f;
    Fetch *next, *prev;
    Arena arena;
    FetchSpec spec; /* its views are in the arena */
    StrView url;    /* of this hop */
    Origin *origin;
    HttpCall *call;
    int64_t deadline_ns;
    unsigned redirects;
    bool foreign; /* redirected to another host: no credentials */
    bool waiting; /* for credentials */
    bool named;   /* a URL of this hop names its host, which the first one did not */
    bool cut;     /* there is more of the body than is wanted */
    bool passed;  /* the body goes to spec.on_data */
    int status;
    StrView content_type, location;
    HttpHeader *answer; /* headers of the answer */
    unsigned n_answer;
    Buf body;
    size_t counted; /* of the budget */
    bool gzip;      /* the body comes so */
    Gunzip unpacker;
    Err err;
};

/* Where a request goes. Views into the fetch's arena and configuration. */
typedef struct FetchRoute {
    FetchUrl to, proxy;
    bool is_tls, has_proxy;
    StrView target;        /* of the request line */
    StrView authorization; /* for the proxy; empty: none */
    StrView connect_head;  /* of the tunnel through it, with TLS */
} FetchRoute;
int fetch_route(Fetch *x, FetchRoute *ret, Err *err) NODISCARD;
/* Whether a host is one of those that no_proxy names, or this machine. */
bool fetch_proxy_skips(StrView no_proxy, StrView host, uint16_t port);

/* "Basic …" of a URL's user and password; ptr NULL: out of memory. */
StrView fetch_basic_of_url(Arena *a, StrView userinfo);

/* Headers of the request with credentials; in the fetch's arena. */
int fetch_headers(Fetch *x, const FetchRoute *to, HttpHeader **ret, unsigned *ret_n,
                  Err *err) NODISCARD;
/* The TLS context of now; borrowed. */
int fetcher_tls(Fetcher *f, TlsContext **ret, Err *err) NODISCARD;
