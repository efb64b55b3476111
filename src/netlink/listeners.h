/* listeners.h - which ports processes of this network namespace listen on, as the kernel's
 * sock_diag (man 7 sock_diag) tells: TCP and SCTP sockets that listen, UDP sockets that are not
 * connected. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

typedef struct Listeners Listeners;

/* A picture of now, of the caller's network namespace. ERR_UNSUPPORTED when the kernel does not
 * tell. */
int listeners_read(Listeners **ret, Err *err) NODISCARD;
Listeners *listeners_free(Listeners *l); /* always NULL */
static inline void listeners_freep(Listeners **l)
{
    *l = listeners_free(*l);
}

/* Whether a socket would take what comes for `addr` (network order; 0: any address) and `port`
 * (host order). proto: IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP. */
bool listeners_have(const Listeners *l, uint8_t proto, uint32_t addr, uint16_t port);
