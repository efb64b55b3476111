/* fetch.h - HTTP requests to others: TLS, basic auth, bearer tokens, OAuth 2 client credentials,
 * signatures and tokens of clouds, own headers, redirects, gzip, proxies. For scrapes, discovery
 * over HTTP, remote storages, probes and hooks. Everything on the loop's thread.
 *
 * A Fetcher is one set of options; it keeps connections to each origin it talks to, and reads files
 * with secrets and certificates again when they change.
 *
 * To add a call to the outside: FetchOptions of where its user configures it (all that is zero is
 * off), a Fetcher beside its owner, fetch_start() with a limit of time and of size, fetch_cancel()
 * or fetcher_free() where the owner ends. */
#pragma once

#include "base/buf.h"
#include "fetch/options.h"
#include "net/http_client.h"

typedef struct Fetcher Fetcher;
typedef struct Fetch Fetch;

enum {
    FETCH_BODY_MAX = 1024 * 1024 * 1024, /* where no limit is said */
    FETCH_SMALL = 1024 * 1024,           /* bodies that are received even when others take much */
    FETCH_REDIRECTS_MAX = 10,
    FETCH_ORIGIN_IDLE_S = 300, /* connections of origins unused for so long are closed */
    FETCH_NO_TIMEOUT = INT32_MAX,
};

#define FETCH_TOO_LARGE "body size limit exceeded"

/* Where a URL points. Views into it. */
typedef struct FetchUrl {
    StrView scheme, host, userinfo; /* host without brackets */
    StrView authority;              /* host and port as written */
    uint16_t port;
    StrView target; /* path and query, at least "/" (a literal when the URL has none) */
} FetchUrl;
/* ERR_INVALID: not http or https, or no host. */
int fetch_url_parse(StrView url, FetchUrl *ret, Err *err) NODISCARD;

/* `cfg` must outlive the fetcher. Files are not read yet. */
int fetcher_new(Loop *l, const FetchOptions *cfg, Fetcher **ret, Err *err) NODISCARD;
/* Counts its connections in `dials` from now on, which must outlive it. */
void fetcher_count(Fetcher *f, HttpDials *dials);
Fetcher *fetcher_free(Fetcher *f); /* ends its fetches without events; always NULL */

typedef struct FetchResult {
    int status; /* 0: no answer */
    StrView content_type;
    const HttpHeader *headers; /* of the answer, names in lower case */
    unsigned n_headers;
    StrView body;   /* decompressed, but: */
    bool is_gzip;   /* it is as it came (keep_gzip) */
    Buf *take;      /* what holds it: may be taken over (and left empty) */
    const Err *err; /* NULL: the answer came whole, whatever its status */
} FetchResult;
/* Memory that the bodies of several fetches share: a body of more than FETCH_SMALL that would go
 * beyond fails with ERR_LIMIT. Zero but for `max`. */
typedef struct FetchBudget {
    size_t max, used;
} FetchBudget;

/* Exactly once unless cancelled; the fetch is gone after it, and everything in the result. */
typedef void FetchDoneFn(void *ctx, const FetchResult *r);

typedef struct FetchSpec {
    StrView url;
    StrView method; /* empty: GET */
    StrView body;   /* copied */
    /* A host among them is sent instead of the URL's, also after redirects that name no host. */
    const HttpHeader *headers;
    unsigned n_headers;
    uint32_t timeout_ms; /* of the whole, redirects included; 0: 30 s */
    size_t body_max;     /* larger: ERR_LIMIT with FETCH_TOO_LARGE; 0: FETCH_BODY_MAX */
    bool body_cut;       /* or no more of it is read, and the answer counts as whole */
    bool keep_gzip;      /* unpacking is left to the caller, who may have a thread for it */
    FetchBudget *budget; /* NULL: none; must outlive the fetch */
    /* A body that is not kept. Asked when the head of an answer is there that is no redirect which
     * is followed: true, and the bytes go to on_data as they come, not unpacked; their sum is not
     * limited. on_data may cancel the fetch. Both NULL, or both said. */
    bool (*on_head)(void *ctx, int status, const HttpHeader *headers, unsigned n);
    void (*on_data)(void *ctx, const void *data, size_t len);
    /* A request's body that comes by fetch_write(), of the length in a content-length header. It
     * is sent once: an answer that redirects is the answer. Not with enable_http2. */
    bool streams;
    LoopFn *on_drain; /* `streams`: what was written is on its way; may be NULL */
    FetchDoneFn *done;
    void *ctx;
} FetchSpec;

/* Nothing is called back from inside. */
int fetch_start(Fetcher *f, const FetchSpec *spec, Fetch **ret, Err *err) NODISCARD;
Fetch *fetch_cancel(Fetch *x); /* NULL is fine; always NULL */
/* Back pressure for on_data: while paused the server soon has to wait. */
void fetch_pause(Fetch *x, bool paused);
/* The body of a request that `streams`; writes are copied. ERR_NOMEM, ERR_CLOSED: it has ended, and
 * `done` says why. */
int fetch_write(Fetch *x, const void *data, size_t len, Err *err) NODISCARD;
void fetch_end(Fetch *x); /* the body is complete */
