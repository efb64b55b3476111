/* http1.h - HTTP/1.1 messages: bytes in, events out, on llhttp. No I/O. Private to src/net. */
#pragma once

#include "base/buf.h"
#include "net/http.h"

typedef struct Http1 Http1;

typedef enum Http1Kind { HTTP1_REQUEST, HTTP1_RESPONSE } Http1Kind;

typedef struct Http1Events {
    /* Method or status and all headers are there. Returns 0, 1 for a response that has no body
     * whatever its headers say (to HEAD), or a negative code. */
    int (*on_head)(void *ctx, Http1 *h);
    int (*on_body)(void *ctx, const void *data, size_t len); /* 0 or a negative code */
    int (*on_complete)(void *ctx, Http1 *h);                 /* 0 or a negative code */
} Http1Events;

/* `header_max` bounds what comes besides bodies in one exchange: head, trailers and chunk
 * extensions of a request; of an answer and of the informational ones before it together. */
int http1_new(Http1Kind kind, uint32_t header_max, const Http1Events *ev, void *ctx, Http1 **ret,
              Err *err) NODISCARD;
Http1 *http1_free(Http1 *h); /* always NULL */

/* Returns the bytes used, which are fewer than `len` only after a complete message: the parser then
 * stands still until http1_next(). ERR_LIMIT: more besides bodies than there may be; ERR_PROTO: not
 * HTTP/1. Errors of the callbacks come back as ERR_CLOSED. */
ssize_t http1_feed(Http1 *h, const void *data, size_t len, Err *err) NODISCARD;
void http1_next(Http1 *h);
/* The peer has closed: fine between messages and for a response that ends so (on_complete is called
 * then), else ERR_CLOSED. */
int http1_finish(Http1 *h, Err *err) NODISCARD;

/* Valid from on_head until http1_next(); views point into the parser. */
StrView http1_method(const Http1 *h);
StrView http1_target(const Http1 *h);
int http1_status(const Http1 *h);
unsigned http1_minor(const Http1 *h); /* of HTTP/1.x */
uint32_t http1_n_headers(const Http1 *h);
HttpHeader http1_header_at(const Http1 *h, uint32_t i); /* names in lower case */
StrView http1_find(const Http1 *h, StrView lower_name); /* SV_NULL when absent */
bool http1_keep_alive(const Http1 *h);                  /* valid from on_complete */
bool http1_is_upgrade(const Http1 *h);
bool http1_in_message(const Http1 *h); /* has begun and is not complete */
bool http1_has_body(const Http1 *h);   /* a request that is followed by one */
/* What Content-Length says; 0 without one. */
uint64_t http1_content_length(const Http1 *h);
