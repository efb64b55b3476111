/* listen.h - the sockets that askers talk to: UDP, and TCP with many questions on a connection,
 * answered in the order in which their answers are ready (RFC 7766). */
#pragma once

#include <netinet/in.h>

#include "base/buf.h"
#include "net/loop.h"

enum {
    DNS_TCP_MAX = 64,         /* connections; one more takes the place of the longest idle */
    DNS_TCP_IDLE_MS = 10000,  /* without a message either way */
    DNS_TCP_PENDING_MAX = 64, /* questions of one connection; more wait in its socket */
    DNS_TCP_OUT_MAX = 1024 * 1024,
    DNS_UDP_PENDING_MAX = 4096,
};

typedef struct DnsListener DnsListener;

/* One question that waits for its answer. */
typedef struct DnsPeer {
    void *state;      /* the handler's */
    int64_t asked_ns; /* the handler's */
    bool tcp;
    /* The rest is the listener's. */
    DnsListener *listener;
    struct DnsConn *conn;
    struct sockaddr_in from;
    struct DnsPeer *prev, *next;
} DnsPeer;

typedef struct DnsHandler {
    /* A packet with a whole header that is a query; dns_peer_reply() must follow, at once or later.
     */
    void (*on_query)(void *ctx, DnsPeer *peer, StrView packet);
    /* The asker has gone: the peer is gone with this call; frees its `state`. Only for those that
     * have one. */
    void (*on_gone)(void *ctx, DnsPeer *peer);
    void *ctx;
    uint32_t idle_ms; /* 0: DNS_TCP_IDLE_MS */
} DnsHandler;

/* Listens on "ADDRESS:PORT" (the address may appear later; port 0: any). ERR_INVALID names a bad
 * address. */
int dns_listener_new(Loop *l, const char *address, const DnsHandler *h, DnsListener **ret,
                     Err *err) NODISCARD;
DnsListener *dns_listener_free(DnsListener *s); /* on_gone for all that wait; always NULL */
uint16_t dns_listener_port(const DnsListener *s);

/* Sends the answer (empty: none) and frees the peer. */
void dns_peer_reply(DnsPeer *peer, StrView answer);
