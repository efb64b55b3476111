/* proxy.c - Services and EndpointSlices as informers keep them, turned into rules.
 *
 * Changes are gathered for a moment, then the whole plan is computed and its difference applied.
 * When the kernel refuses (someone changed the table), the table is made anew; failures are tried
 * again. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "api/informer.h"
#include "base/log.h"
#include "netlink/rtnl.h"
#include "proxy/internal.h"

enum { GATHER_MS = 20, RETRY_MS = 2000 };

struct Proxy {
    Loop *loop;
    Nft *nft;
    Informer *services, *slices;
    Source *timer;
    bool armed;
    Plan *applied; /* NULL: what the kernel has is not known */
    char *table, *bridge, *node;
    ProgramConfig cfg;
};

static void sync_now(void *ctx);

static void arm(Proxy *p, uint64_t delay_ms)
{
    if (p->armed)
        return;
    Err err = { 0 };
    int r = p->timer ? source_set_timer(p->timer, delay_ms, 0, &err)
                     : loop_add_timer(p->loop, delay_ms, 0, sync_now, p, &p->timer, &err);
    p->armed = r == 0;
    if (r < 0)
        log_debug("%s", err.msg);
}

/* UDP flows to keys that changed go unless their endpoint is still one. */
typedef struct StaleSearch {
    const Plan *old, *now;
} StaleSearch;

static const PlanElem *find_elem(const Plan *p, uint32_t dst, uint16_t dport, bool translated)
{
    char key[64];
    int n = snprintf(key, sizeof key, "%u %08x.%08x.%08x", PLAN_SERVICES, dst,
                     (uint32_t)IPPROTO_UDP, (uint32_t)dport);
    const PlanElem *e = p ? map_get(&p->elems, sv_n(key, (size_t)n)) : NULL;
    if (e ||
        !translated) /* what goes untranslated to a node port's number is somebody else's talk */
        return e;
    n = snprintf(key, sizeof key, "%u %08x.%08x.%08x", PLAN_NODEPORTS, (uint32_t)IPPROTO_UDP,
                 (uint32_t)dport, 0u);
    return p ? map_get(&p->elems, sv_n(key, (size_t)n)) : NULL;
}

static bool chain_leads_to(const Plan *p, const char *name, uint32_t addr, uint16_t port)
{
    const PlanChain *c = name ? map_get(&p->chains, sv_cstr(name)) : NULL;
    for (unsigned i = 0; c && i < c->n_rules; i++) {
        for (unsigned t = 0; t < c->rules[i].n_targets; t++)
            if (c->rules[i].targets[t].addr == addr && c->rules[i].targets[t].port == port)
                return true;
        if (c->rules[i].chain && chain_leads_to(p, c->rules[i].chain, addr, port))
            return true;
    }
    return false;
}

static bool is_stale(void *ctx, uint32_t dst, uint16_t dport, uint32_t reply_src,
                     uint16_t reply_sport)
{
    const StaleSearch *s = ctx;
    bool translated = dst != reply_src || dport != reply_sport;
    const PlanElem *is = find_elem(s->now, dst, dport, translated);
    if (is)
        return !chain_leads_to(s->now, is->chain, reply_src, reply_sport);
    return find_elem(s->old, dst, dport, translated) != NULL;
}

static bool has_udp(const Plan *p)
{
    StrView key;
    void *val;
    for (size_t i = 0; p && map_next(&p->elems, &i, &key, &val);) {
        const PlanElem *e = val;
        if ((e->set == PLAN_SERVICES && e->key[1] == IPPROTO_UDP) ||
            (e->set == PLAN_NODEPORTS && e->key[0] == IPPROTO_UDP))
            return true;
    }
    return false;
}

static int apply(Proxy *p, Plan *now, Err *err)
{
    size_t ops = 1;
    int r = p->applied ? program_change(p->nft, &p->cfg, p->applied, now, &ops, err) : -1;
    if (r < 0) {
        if (p->applied)
            log_debug("%s; making the table anew", err->msg);
        p->applied = plan_free(p->applied);
        err_clear(err);
        ops = 1;
        if ((r = program_replace(p->nft, &p->cfg, now, err)) < 0)
            return r;
    }
    StaleSearch search = { p->applied, now };
    Err own = { 0 };
    if (ops && (has_udp(p->applied) || has_udp(now)) &&
        nft_conntrack_forget_udp(is_stale, &search, &own) < 0)
        log_debug("%s", own.msg);
    plan_free(p->applied);
    p->applied = now;
    return 0;
}

static int make_plan(Proxy *p, Plan **ret, Err *err)
{
    size_t ns = informer_len(p->services), nl = informer_len(p->slices), i = 0, k = 0;
    _cleanup_free_ const ServiceModel **services = calloc(ns + 1, sizeof *services);
    _cleanup_free_ const SliceModel **slices = calloc(nl + 1, sizeof *slices);
    if (!services || !slices)
        return err_nomem(err);
    for (ApiObject *o; k < ns && (o = informer_next(p->services, &i));)
        services[k++] = o->projection;
    ns = k;
    for (i = k = 0; k < nl;) {
        ApiObject *o = informer_next(p->slices, &i);
        if (!o)
            break;
        slices[k++] = o->projection;
    }
    PlanInput in = { services, slices, ns, k };
    return plan_new(&in, ret, err);
}

static void sync_now(void *ctx)
{
    Proxy *p = ctx;
    p->armed = false;
    if (!informer_synced(p->services) || !informer_synced(p->slices))
        return;
    Err err = { 0 };
    Plan *now = NULL;
    if (make_plan(p, &now, &err) == 0 && apply(p, now, &err) == 0)
        return;
    if (now != p->applied)
        plan_free(now);
    log_debug("services are not in step: %s", err.msg);
    arm(p, RETRY_MS);
}

static void on_object(void *ctx, ApiObject *o)
{
    arm(ctx, GATHER_MS);
}

static void on_changed(void *ctx, ApiObject *old, ApiObject *now)
{
    arm(ctx, GATHER_MS);
}

static void on_synced(void *ctx)
{
    arm(ctx, 1);
}

static void *project_service(void *ctx, const Value *obj)
{
    return service_model_new(obj);
}

static void *project_slice(void *ctx, const Value *obj)
{
    return slice_model_new(obj, sv_cstr(((Proxy *)ctx)->node));
}

static int follow(Proxy *p, ApiClient *c, Err *err)
{
    InformerConfig cfg = { .target = { .version = SV("v1"), .plural = SV("services") },
                           .project = project_service,
                           .unproject = service_model_free,
                           .drop_json = true,
                           .on_add = on_object,
                           .on_update = on_changed,
                           .on_delete = on_object,
                           .on_synced = on_synced,
                           .ctx = p };
    int r = informer_new(c, &cfg, &p->services, err);
    if (r < 0)
        return r;
    cfg.target = (ApiTarget){ .group = SV("discovery.k8s.io"),
                              .version = SV("v1"),
                              .plural = SV("endpointslices") };
    cfg.project = project_slice;
    cfg.unproject = slice_model_free;
    return informer_new(c, &cfg, &p->slices, err);
}

static int read_config(Proxy *p, const ProxyConfig *cfg, Err *err)
{
    IpPrefix pods;
    if (ip_prefix_parse(sv_cstr(cfg->pod_cidr), &pods) < 0 || pods.family != AF_INET ||
        pods.bits == 0)
        return err_set(err, ERR_INVALID, 0, "pod range '%s': an IPv4 range is needed",
                       cfg->pod_cidr);
    p->table = strdup(cfg->instance);
    p->bridge = strdup(cfg->bridge);
    p->node = strdup(cfg->node_name ? cfg->node_name : "");
    if (!p->table || !p->bridge || !p->node)
        return err_nomem(err);
    uint32_t addr, mask = htonl(UINT32_MAX << (32 - pods.bits));
    memcpy(&addr, pods.addr, sizeof addr);
    p->cfg = (ProgramConfig){ .table = p->table,
                              .bridge = p->bridge,
                              .pod_addr = addr & mask,
                              .pod_mask = mask,
                              .bridge_calls = program_bridge_calls() };
    return 0;
}

int proxy_new(Loop *l, ApiClient *c, const ProxyConfig *cfg, Proxy **ret, Err *err)
{
    Proxy *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->loop = l;
    int r = read_config(p, cfg, err);
    if (r < 0 || (r = nft_open(&p->nft, err)) < 0 ||
        (r = program_ensure(p->nft, &p->cfg, err)) < 0 || (r = follow(p, c, err)) < 0) {
        proxy_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

Proxy *proxy_free(Proxy *p)
{
    if (!p)
        return NULL;
    informer_free(p->services);
    informer_free(p->slices);
    source_free(p->timer);
    plan_free(p->applied);
    nft_close(p->nft);
    free(p->table);
    free(p->bridge);
    free(p->node);
    free(p);
    return NULL;
}

int proxy_cleanup(const char *instance, Err *err)
{
    Nft *n = NULL;
    int r = nft_open(&n, err);
    if (r < 0)
        return r;
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(instance);
    if (b) {
        nft_table_add(b); /* so that a missing one is no failure */
        nft_table_del(b);
        r = nft_commit(n, b, err);
    } else
        r = err_nomem(err);
    nft_close(n);
    return r;
}
