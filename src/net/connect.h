/* connect.h - from a host name and port to a connected socket, on the loop. */
#pragma once

#include "base/buf.h"
#include "net/loop.h"

typedef struct Connector Connector;
/* Called once: with a connected non-blocking socket that now belongs to the callee, or with -1 and
 * the reason. The connector is gone after it. */
typedef void ConnectFn(void *ctx, int fd, const Err *err);

typedef struct ConnectTo {
    const char *host; /* a name, an address, or "unix:/path"; copied */
    uint16_t port;
    uint32_t timeout_ms;
    /* Of several addresses any is tried first, and the others after it in turn; else they are tried
     * in the resolver's order. */
    bool any_first;
    /* Not empty: host and port are those of an HTTP proxy, which gets this CONNECT request. An
     * answer of 2xx makes the socket one to the other end, any other is ERR_DENIED with its status
     * (RFC 9110 9.3.6). Copied. */
    StrView proxy_head;
} ConnectTo;

/* Begins; fn is called once, later, with a socket that becomes its own, or an error; the connector
 * is gone then. `to` is copied. ERR_NOMEM, ERR_SYS. */
int connector_new(Loop *l, const ConnectTo *to, ConnectFn *fn, void *ctx, Connector **ret,
                  Err *err) NODISCARD;
Connector *connector_cancel(Connector *c); /* always NULL; NULL is fine */

/* What a proxy has answered so far. 1: it goes ahead; 0: more is to come; negative: it does not
 * (ERR_DENIED), or that is no answer (ERR_PROTO). */
int connect_answer(StrView bytes, Err *err) NODISCARD;
