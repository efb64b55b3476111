/* http_get.h - the request of an httpGet probe or hook, sent as Kubernetes sends it: redirects to
 * the same host are followed, one to another host is the answer; no proxies, no check of
 * certificates, a connection of its own. On the loop's thread. */
#pragma once

#include "codec/value.h"
#include "fetch/fetch.h"

typedef struct HttpGet HttpGet;

enum { HTTP_GET_BODY_MAX = 10 * 1024 }; /* of an answer; no more of it is read */

typedef struct HttpGetSpec {
    const Value *action; /* HTTPGetAction: scheme, path, httpHeaders */
    const char *host;    /* where it goes, without brackets */
    uint16_t port;
    StrView agent; /* User-Agent where httpHeaders have none */
    FetchDoneFn *done;
    void *ctx;
} HttpGetSpec;

/* `spec` is not needed after the call. done() is called once, never from inside, unless it is freed
 * before; it is the caller's who has to bound the time. *ret stays the caller's. */
int http_get_new(Loop *l, const HttpGetSpec *spec, HttpGet **ret, Err *err) NODISCARD;
HttpGet *http_get_free(HttpGet *g); /* not inside done(); NULL is fine; always NULL */
