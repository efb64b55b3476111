/* cache.h - replies of other name servers, kept for as long as their TTLs say and, for the days
 * when no server answers, a while longer (RFC 8767). Bounded in number and bytes: the one that was
 * not asked for the longest goes first. No I/O; the caller brings the time. */
#pragma once

#include "base/map.h"
#include "dns/message.h"

enum {
    DNS_CACHE_ENTRIES_MAX = 8192,
    DNS_CACHE_BYTES_MAX = 4 * 1024 * 1024,
    DNS_CACHE_POSITIVE_MAX_S = 3600, /* CoreDNS' bounds */
    DNS_CACHE_NEGATIVE_MAX_S = 1800,
    DNS_STALE_MAX_S = 24 * 3600, /* RFC 8767 5: one to three days */
    DNS_STALE_TTL_S = 30,
    DNS_STALE_RECHECK_S = 30, /* after a failure the servers are left alone for so long */
};

typedef struct DnsCacheEntry DnsCacheEntry;
typedef struct DnsCache {
    Map entries;
    DnsCacheEntry *newest, *oldest;
    size_t bytes;
    uint64_t hits, misses, stale, evictions;
} DnsCache;

typedef enum DnsCacheState {
    DNS_CACHE_MISS,
    DNS_CACHE_HIT,
    DNS_CACHE_STALE, /* too old; good for when nobody answers */
} DnsCacheState;

/* What tells questions apart: name, type, class, DO and CD. */
void dns_cache_key(const DnsQuestion *q, Buf *key);
/* Keeps a copy if its lifetime is above zero; without memory it is not kept. */
void dns_cache_put(DnsCache *c, StrView key, StrView reply, int64_t now_ns);
/* HIT and STALE append the reply with its TTLs as they are now (stale ones: DNS_STALE_TTL_S).
 * *ret_recheck (STALE): the servers may be asked again. */
DnsCacheState dns_cache_get(DnsCache *c, StrView key, int64_t now_ns, Buf *reply,
                            bool *ret_recheck);
/* Nobody answered this question. */
void dns_cache_failed(DnsCache *c, StrView key, int64_t now_ns);
void dns_cache_free(DnsCache *c); /* leaves an empty one */
