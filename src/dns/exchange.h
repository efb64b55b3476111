/* exchange.h - one question put to the host's resolvers, in turn, until one gives an answer.
 *
 * Each attempt has a socket and an id of its own, both hard to guess; what does not come from the
 * server, or does not repeat id and question, is no answer. A truncated answer is fetched again
 * over TCP. A server that is silent, refuses or fails makes room for the next; the list is gone
 * through twice, beginning with the one that answered last. */
#pragma once

#include <netinet/in.h>

#include "base/str.h"
#include "net/loop.h"

enum { DNS_SERVERS_MAX = 3, DNS_ROUNDS = 2 }; /* resolv.conf(5): MAXNS */

typedef struct DnsServers {
    struct sockaddr_in addr[DNS_SERVERS_MAX];
    unsigned n;
    unsigned first;      /* the one that answered last */
    uint32_t attempt_ms; /* how long each is waited for */
} DnsServers;

/* The IPv4 name servers of the text of a resolv.conf; none is fine. */
void dns_servers_read(StrView resolv_conf, DnsServers *ret);

typedef struct DnsExchange DnsExchange;
/* Once, never from inside dns_exchange_new(); the exchange is over and freed by its owner. `reply`
 * is empty when no server gave any; it dies with the call. */
typedef void DnsExchangeFn(void *ctx, StrView reply);

/* `question` is name, type and class as on the wire; copied. `servers` must outlive it. */
int dns_exchange_new(Loop *l, DnsServers *servers, StrView question, uint16_t flags, bool dnssec_ok,
                     DnsExchangeFn *done, void *ctx, DnsExchange **ret, Err *err) NODISCARD;
DnsExchange *dns_exchange_free(DnsExchange *e); /* ends it silently; always NULL */
