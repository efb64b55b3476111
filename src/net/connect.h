/* connect.h - from a host name and port to a connected socket, on the loop. */
#pragma once

#include "net/loop.h"

typedef struct Connector Connector;
/* Called once: with a connected non-blocking socket that now belongs to the callee, or with -1 and
 * the reason. The connector is gone after it. */
typedef void ConnectFn(void *ctx, int fd, const Err *err);

/* `host` is a name, an address, or "unix:/path"; addresses are tried in the resolver's order. */
int connector_new(Loop *l, const char *host, uint16_t port, uint32_t timeout_ms, ConnectFn *fn,
                  void *ctx, Connector **ret, Err *err) NODISCARD;
Connector *connector_cancel(Connector *c); /* always NULL; NULL is fine */
