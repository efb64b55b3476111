/* forward.c - exchanges under way, by question, and who waits for each. */
#include "dns/forward.h"

#include "base/clock.h"

typedef struct Query {
    DnsForwarder *f;
    Buf key;
    DnsExchange *exchange;
    Source *timer; /* first the moment for a stale answer, then the end */
    int64_t end_ns;
    bool has_stale;
    DnsWaiter *waiters;
} Query;

struct DnsWaiter {
    Query *query;
    DnsWaiter *next;
    DnsForwardFn *fn;
    void *ctx;
};

struct DnsForwarder {
    Loop *loop;
    DnsForwardConfig cfg;
    DnsCache cache;
    Map queries; /* by cache key */
    unsigned n_waiters;
};

int dns_forwarder_new(Loop *l, const DnsForwardConfig *cfg, DnsForwarder **ret, Err *err)
{
    DnsForwarder *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(err);
    f->loop = l;
    f->cfg = *cfg;
    if (!f->cfg.servers.attempt_ms)
        f->cfg.servers.attempt_ms = DNS_ATTEMPT_MS;
    if (!f->cfg.stale_ms)
        f->cfg.stale_ms = DNS_STALE_MS;
    if (!f->cfg.total_ms)
        f->cfg.total_ms = DNS_TOTAL_MS;
    *ret = f;
    return 0;
}

static void query_free(Query *q)
{
    map_del(&q->f->queries, buf_view(&q->key));
    for (DnsWaiter *w = q->waiters, *next; w; w = next) {
        next = w->next;
        q->f->n_waiters--;
        free(w);
    }
    dns_exchange_free(q->exchange);
    source_free(q->timer);
    buf_free(&q->key);
    free(q);
}

DnsForwarder *dns_forwarder_free(DnsForwarder *f)
{
    if (!f)
        return NULL;
    StrView key;
    void *q;
    for (size_t i = 0; map_next(&f->queries, &i, &key, &q); i = 0)
        query_free(q);
    map_free(&f->queries);
    dns_cache_free(&f->cache);
    free(f);
    return NULL;
}

bool dns_forwarder_has_servers(const DnsForwarder *f)
{
    return f->cfg.servers.n > 0;
}

const DnsCache *dns_forwarder_cache(const DnsForwarder *f)
{
    return &f->cache;
}

/* One at a time off the list: a waiter's callback may cancel others, but not the query. */
static void tell_all(Query *q, StrView reply)
{
    while (q->waiters) {
        DnsWaiter *w = q->waiters;
        q->waiters = w->next;
        q->f->n_waiters--;
        w->fn(w->ctx, reply);
        free(w);
    }
}

/* The stale reply if there is one, else none. */
static void tell_stale(Query *q)
{
    _cleanup_buf_ Buf reply = BUF_INIT;
    bool recheck;
    DnsCache *c = &q->f->cache;
    if (q->has_stale && q->waiters &&
        dns_cache_get(c, buf_view(&q->key), loop_now_ns(q->f->loop), &reply, &recheck) !=
            DNS_CACHE_MISS)
        c->stale++;
    tell_all(q, buf_view(&reply));
}

static void give_up(Query *q, StrView reply)
{
    dns_cache_failed(&q->f->cache, buf_view(&q->key), loop_now_ns(q->f->loop));
    if (q->has_stale)
        tell_stale(q);
    tell_all(q, reply);
    query_free(q);
}

static void on_timer(void *ctx)
{
    Query *q = ctx;
    int64_t left = q->end_ns - loop_now_ns(q->f->loop);
    if (left <= 0) {
        give_up(q, SV_NULL);
        return;
    }
    tell_stale(q);
    if (source_set_timer(q->timer, (uint64_t)(left / NSEC_PER_MSEC) + 1, 0, NULL) < 0)
        query_free(q);
}

static void on_reply(void *ctx, StrView reply)
{
    Query *q = ctx;
    unsigned rcode = reply.len ? dns_reply_rcode(reply) : DNS_RCODE_SERVFAIL;
    if (rcode != 0 && rcode != DNS_RCODE_NXDOMAIN) {
        give_up(q, reply);
        return;
    }
    dns_cache_put(&q->f->cache, buf_view(&q->key), reply, loop_now_ns(q->f->loop));
    tell_all(q, reply);
    query_free(q);
}

/* Whether the entry is one to answer with at once: fresh, or stale with nobody to ask right now. */
bool dns_forward_cached(DnsForwarder *f, const DnsQuestion *q, Buf *reply)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    bool recheck;
    dns_cache_key(q, &key);
    if (key.failed)
        return false;
    DnsCacheState s =
        dns_cache_get(&f->cache, buf_view(&key), loop_now_ns(f->loop), reply, &recheck);
    if (s == DNS_CACHE_HIT)
        return true;
    if (s == DNS_CACHE_STALE && !recheck) {
        f->cache.stale++;
        return true;
    }
    buf_clear(reply);
    return false;
}

static int query_new(DnsForwarder *f, const DnsQuestion *q, StrView question, Buf *key, Query **ret,
                     Err *err)
{
    Query *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    n->f = f;
    n->key = *key;
    *key = (Buf)BUF_INIT;
    n->end_ns = loop_now_ns(f->loop) + f->cfg.total_ms * NSEC_PER_MSEC;
    n->has_stale = map_has(&f->cache.entries, buf_view(&n->key));
    int r = map_set(&f->queries, buf_view(&n->key), n, NULL) ? 0 : err_nomem(err);
    if (r == 0)
        r = loop_add_timer(f->loop, n->has_stale ? f->cfg.stale_ms : f->cfg.total_ms, 0, on_timer,
                           n, &n->timer, err);
    if (r == 0)
        r = dns_exchange_new(f->loop, &f->cfg.servers, question,
                             q->flags & (DNS_FLAG_RD | DNS_FLAG_CD), q->dnssec_ok, on_reply, n,
                             &n->exchange, err);
    if (r < 0)
        query_free(n);
    else
        *ret = n;
    return r;
}

int dns_forward_ask(DnsForwarder *f, const DnsQuestion *q, StrView question, DnsForwardFn *fn,
                    void *ctx, DnsWaiter **ret, Err *err)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    if (!f->cfg.servers.n)
        return err_set(err, ERR_NOT_FOUND, 0, "there are no name servers to ask");
    dns_cache_key(q, &key);
    if (key.failed)
        return err_nomem(err);
    Query *query = map_get(&f->queries, buf_view(&key));
    if (f->n_waiters >= DNS_WAITERS_MAX || (!query && f->queries.len >= DNS_QUERIES_MAX))
        return err_set(err, ERR_BUSY, 0, "too many questions are under way");
    DnsWaiter *w = calloc(1, sizeof *w);
    int r = w ? 0 : err_nomem(err);
    if (r == 0 && !query)
        r = query_new(f, q, question, &key, &query, err);
    if (r < 0) {
        free(w);
        return r;
    }
    *w = (DnsWaiter){ .query = query, .next = query->waiters, .fn = fn, .ctx = ctx };
    query->waiters = w;
    f->n_waiters++;
    *ret = w;
    return 0;
}

DnsWaiter *dns_waiter_cancel(DnsWaiter *w)
{
    if (!w)
        return NULL;
    DnsWaiter **at = &w->query->waiters;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at) {
        *at = w->next;
        w->query->f->n_waiters--;
        free(w);
    }
    return NULL;
}
