/* connect.h - from a host name and port to a connected socket, on the loop. */
#pragma once

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
} ConnectTo;

int connector_new(Loop *l, const ConnectTo *to, ConnectFn *fn, void *ctx, Connector **ret,
                  Err *err) NODISCARD;
Connector *connector_cancel(Connector *c); /* always NULL; NULL is fine */
