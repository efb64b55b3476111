/* sigv4.h - signs a request for AWS: Signature Version 4. No I/O.
 *
 * Source: "Signature Version 4 signing process" of the AWS General Reference. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "net/http.h"

typedef struct Sigv4 {
    StrView key_id, secret, session; /* session may be empty */
    StrView region, service;
    int64_t now_s; /* since 1970 */
} Sigv4;

typedef struct Sigv4Request {
    StrView method, target, body; /* target: path and query as they are sent */
    const HttpHeader *headers;    /* names in lower case, "host" among them */
    unsigned n_headers;
} Sigv4Request;

enum { SIGV4_HEADERS_MAX = 4 };

/* The headers that are to be added; names are literals, values in `a`. */
int sigv4_sign(const Sigv4 *s, const Sigv4Request *rq, Arena *a,
               HttpHeader ret[static SIGV4_HEADERS_MAX], unsigned *ret_n, Err *err) NODISCARD;
