/* forward.h - questions that are not the cluster's: from the cache, or from the host's resolvers.
 *
 * Equal questions that arrive while one is under way share its answer. When the servers are silent
 * an answer that is too old is better than none (RFC 8767): it is given after stale_ms while the
 * servers are still asked. */
#pragma once

#include "dns/cache.h"
#include "dns/exchange.h"

enum {
    DNS_ATTEMPT_MS = 1500,
    DNS_STALE_MS = 1800, /* RFC 8767 5: the client response timer */
    DNS_TOTAL_MS = 5000, /* what stub resolvers wait for */
    DNS_QUERIES_MAX = 512,
    DNS_WAITERS_MAX = 4096,
};

typedef struct DnsForwarder DnsForwarder;
typedef struct DnsWaiter DnsWaiter;

typedef struct DnsForwardConfig {
    DnsServers servers;          /* attempt_ms 0: DNS_ATTEMPT_MS */
    uint32_t stale_ms, total_ms; /* 0: as above */
} DnsForwardConfig;

/* Once, later; the waiter is gone with it. An empty reply: no server answered. The reply has
 * another id and perhaps another spelling than the query: see dns_reply_fit(). */
typedef void DnsForwardFn(void *ctx, StrView reply);

int dns_forwarder_new(Loop *l, const DnsForwardConfig *cfg, DnsForwarder **ret, Err *err) NODISCARD;
DnsForwarder *dns_forwarder_free(DnsForwarder *f); /* its waiters are never called; always NULL */
bool dns_forwarder_has_servers(const DnsForwarder *f);

/* Appends a fresh reply from the cache; false when there is none. */
bool dns_forward_cached(DnsForwarder *f, const DnsQuestion *q, Buf *reply);
/* Asks. `question` is the part of a packet that q was read from: name, type and class. ERR_BUSY:
 * too much is under way; ERR_NOT_FOUND: there are no servers. */
int dns_forward_ask(DnsForwarder *f, const DnsQuestion *q, StrView question, DnsForwardFn *fn,
                    void *ctx, DnsWaiter **ret, Err *err) NODISCARD;
DnsWaiter *dns_waiter_cancel(DnsWaiter *w); /* always NULL; NULL is fine */
const DnsCache *dns_forwarder_cache(const DnsForwarder *f);
