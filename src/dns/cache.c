/* cache.c - a map of replies, threaded by a list in the order of their last use. */
#include "dns/cache.h"

#include "base/clock.h"

struct DnsCacheEntry {
    DnsCacheEntry *newer, *older;
    char *key, *reply;
    size_t key_len, len;
    int64_t stored_ns, expires_ns, recheck_ns;
};

void dns_cache_key(const DnsQuestion *q, Buf *key)
{
    buf_sv(key, sv_cstr(q->name));
    buf_putc(key, 0);
    dns_put16(key, q->type);
    dns_put16(key, q->class);
    buf_putc(key, (char)((q->dnssec_ok ? 1 : 0) | (q->flags & DNS_FLAG_CD ? 2 : 0)));
}

static void unlink_entry(DnsCache *c, DnsCacheEntry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void link_newest(DnsCache *c, DnsCacheEntry *e)
{
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static size_t size_of(const DnsCacheEntry *e)
{
    return sizeof *e + 2 * e->key_len + e->len;
}

static void drop(DnsCache *c, DnsCacheEntry *e)
{
    map_del(&c->entries, sv_n(e->key, e->key_len));
    unlink_entry(c, e);
    c->bytes -= size_of(e);
    free(e->key);
    free(e->reply);
    free(e);
}

static char *copy(StrView s)
{
    char *p = malloc(s.len + 1);
    if (p && s.len)
        memcpy(p, s.ptr, s.len);
    return p;
}

static uint32_t lifetime(StrView reply)
{
    bool positive =
        dns_reply_rcode(reply) == 0 && ((unsigned char)reply.ptr[6] || (unsigned char)reply.ptr[7]);
    uint32_t max = positive ? DNS_CACHE_POSITIVE_MAX_S : DNS_CACHE_NEGATIVE_MAX_S;
    return MIN(dns_reply_lifetime(reply), max);
}

void dns_cache_put(DnsCache *c, StrView key, StrView reply, int64_t now)
{
    uint32_t seconds = lifetime(reply);
    DnsCacheEntry *old = map_get(&c->entries, key);
    if (old && seconds)
        drop(c, old);
    if (!seconds)
        return;
    DnsCacheEntry *e = calloc(1, sizeof *e);
    if (!e)
        return;
    *e = (DnsCacheEntry){ .key = copy(key),
                          .key_len = key.len,
                          .reply = copy(reply),
                          .len = reply.len,
                          .stored_ns = now,
                          .expires_ns = now + seconds * NSEC_PER_SEC };
    if (!e->key || !e->reply || !map_set(&c->entries, key, e, NULL)) {
        free(e->key);
        free(e->reply);
        free(e);
        return;
    }
    link_newest(c, e);
    c->bytes += size_of(e);
    while (c->oldest != e &&
           (c->entries.len > DNS_CACHE_ENTRIES_MAX || c->bytes > DNS_CACHE_BYTES_MAX)) {
        drop(c, c->oldest);
        c->evictions++;
    }
}

DnsCacheState dns_cache_get(DnsCache *c, StrView key, int64_t now, Buf *reply, bool *ret_recheck)
{
    DnsCacheEntry *e = map_get(&c->entries, key);
    *ret_recheck = true;
    if (e && now >= e->expires_ns + DNS_STALE_MAX_S * NSEC_PER_SEC) {
        drop(c, e);
        e = NULL;
    }
    if (!e) {
        c->misses++;
        return DNS_CACHE_MISS;
    }
    bool stale = now >= e->expires_ns;
    size_t at = reply->len;
    buf_append(reply, e->reply, e->len);
    if (reply->failed)
        return DNS_CACHE_MISS;
    uint32_t age = stale ? UINT32_MAX : (uint32_t)((now - e->stored_ns) / NSEC_PER_SEC);
    dns_reply_age(reply->ptr + at, e->len, age, stale ? DNS_STALE_TTL_S : 0);
    unlink_entry(c, e);
    link_newest(c, e);
    *ret_recheck = now >= e->recheck_ns;
    if (stale)
        c->misses++;
    else
        c->hits++;
    return stale ? DNS_CACHE_STALE : DNS_CACHE_HIT;
}

void dns_cache_failed(DnsCache *c, StrView key, int64_t now)
{
    DnsCacheEntry *e = map_get(&c->entries, key);
    if (e)
        e->recheck_ns = now + DNS_STALE_RECHECK_S * NSEC_PER_SEC;
}

void dns_cache_free(DnsCache *c)
{
    while (c->oldest)
        drop(c, c->oldest);
    map_free(&c->entries);
    *c = (DnsCache){ 0 };
}
