/* proxy.c - Services and EndpointSlices as informers keep them, turned into rules.
 *
 * Changes are gathered for a moment, then the whole plan is computed and its difference applied.
 * When the kernel refuses (someone changed the table), the table is made anew; failures are tried
 * again. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>

#include "api/events.h"
#include "api/informer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "netlink/rtnl.h"
#include "proxy/internal.h"
#include "proxy/metrics.h"

enum { GATHER_MS = 20, RETRY_MS = 2000, REFUSED_MS = 10000 };

struct Proxy {
    Loop *loop;
    Nft *nft;
    Informer *services, *slices;
    EventRecorder *events;
    Source *timer;
    bool armed;
    uint64_t due;  /* when the timer is armed: loop's milliseconds */
    Plan *applied; /* NULL: what the kernel has is not known */
    Map told;      /* refusals that an event was written for, by service and text */
    char *table, *bridge, *node;
    uint32_t service_addr, service_mask;
    uint16_t reserved[2];
    ProgramConfig cfg;
    ProxyMetrics metrics;
};

static void sync_now(void *ctx);

/* The earlier of what was asked for counts. */
static void arm(Proxy *p, uint64_t delay_ms)
{
    uint64_t due = (uint64_t)loop_now_ns(p->loop) / NSEC_PER_MSEC + delay_ms;
    if (p->armed && p->due <= due)
        return;
    Err err = { 0 };
    int r = p->timer ? source_set_timer(p->timer, delay_ms, 0, &err)
                     : loop_add_timer(p->loop, delay_ms, 0, sync_now, p, &p->timer, &err);
    p->armed = r == 0;
    p->due = due;
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

/* This machine's IPv4 addresses; *ret is freed by the caller. */
static int local_addrs(uint32_t **ret, size_t *ret_n, Err *err)
{
    struct ifaddrs *all;
    VEC(uint32_t) found = { 0 };
    int r = 0;
    if (getifaddrs(&all) < 0)
        return err_errno(err, "list the addresses of this machine");
    for (const struct ifaddrs *i = all; i && r == 0; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
            !vec_push(&found,
                      ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr.s_addr))
            r = err_nomem(err);
    freeifaddrs(all);
    *ret = found.items;
    *ret_n = found.len;
    return r;
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
    _cleanup_(listeners_freep) Listeners *listeners = NULL;
    _cleanup_free_ uint32_t *local = NULL;
    PlanInput in = { .services = services,
                     .slices = slices,
                     .n_services = ns,
                     .n_slices = k,
                     .service_addr = p->service_addr,
                     .service_mask = p->service_mask,
                     .pod_addr = p->cfg.pod_addr,
                     .pod_mask = p->cfg.pod_mask,
                     .reserved = p->reserved,
                     .n_reserved = ARRAY_SIZE(p->reserved) };
    int r = listeners_read(&listeners, err);
    if (r < 0 || (r = local_addrs(&local, &in.n_local, err)) < 0)
        return r;
    in.local = local;
    in.listeners = listeners;
    return plan_new(&in, ret, err);
}

/* An event for each refusal that was not there the time before. */
static void tell_refusals(Proxy *p, const Plan *now)
{
    Map told = { 0 };
    for (const PlanRefusal *r = now->refusals; r; r = r->next) {
        const ServiceModel *s = r->service;
        _cleanup_buf_ Buf key = BUF_INIT;
        buf_printf(&key, "%.*s %s", SV_FMT(s->uid), r->text);
        bool known = map_has(&p->told, buf_view(&key));
        if (key.failed || !map_set(&told, buf_view(&key), p, NULL) || known)
            continue;
        EventRef ref = { .api_version = SV("v1"),
                         .kind = SV("Service"),
                         .ns = s->ns,
                         .name = s->name,
                         .uid = s->uid };
        log_warn("service %.*s/%.*s: %s", SV_FMT(s->ns), SV_FMT(s->name), r->text);
        event_record(p->events, &ref, SV("Warning"), sv_cstr(r->reason), "not programmed: %s",
                     r->text);
    }
    map_free(&p->told);
    p->told = told;
}

/* Node ports answer on 127.0.0.1, too: such packets may leave by the bridge. The table drops what
 * would come in by it. */
static void allow_loopback(const Proxy *p)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", p->bridge);
    if (p->applied->has_node_ports)
        file_write(AT_FDCWD, path, SV("1"), 0644);
}

static void sync_now(void *ctx)
{
    Proxy *p = ctx;
    p->armed = false;
    if (!informer_synced(p->services) || !informer_synced(p->slices))
        return;
    Err err = { 0 };
    Plan *now = NULL;
    int64_t begin = clock_mono_ns();
    if (make_plan(p, &now, &err) == 0 && apply(p, now, &err) == 0) {
        proxy_metrics_synced(&p->metrics, begin);
        tell_refusals(p, now);
        allow_loopback(p);
        if (now->refusals) /* the port may be free by then */
            arm(p, REFUSED_MS);
        return;
    }
    if (now != p->applied)
        plan_free(now);
    proxy_metrics_failed(&p->metrics);
    log_warn("services are not in step: %s", err.msg);
    arm(p, RETRY_MS);
}

static void on_change(Proxy *p, ProxyChange what)
{
    proxy_metrics_change(&p->metrics, what);
    arm(p, GATHER_MS);
}

static void on_service(void *ctx, ApiObject *o)
{
    on_change(ctx, CHANGE_SERVICE);
}

static void on_service_changed(void *ctx, ApiObject *old, ApiObject *now)
{
    on_change(ctx, CHANGE_SERVICE);
}

static void on_slice(void *ctx, ApiObject *o)
{
    on_change(ctx, CHANGE_ENDPOINTS);
}

static void on_slice_changed(void *ctx, ApiObject *old, ApiObject *now)
{
    on_change(ctx, CHANGE_ENDPOINTS);
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
                           /* These are another proxy's, or nobody's. */
                           .label_selector = SV("!service.kubernetes.io/service-proxy-name,"
                                                "!service.kubernetes.io/headless"),
                           .project = project_service,
                           .unproject = service_model_free,
                           .drop_json = true,
                           .events.on_add = on_service,
                           .events.on_update = on_service_changed,
                           .events.on_delete = on_service,
                           .events.on_synced = on_synced,
                           .ctx = p,
                           .events.ctx = p };
    int r = informer_new(c, &cfg, &p->services, err);
    if (r < 0)
        return r;
    cfg.target = (ApiTarget){ .group = SV("discovery.k8s.io"),
                              .version = SV("v1"),
                              .plural = SV("endpointslices") };
    cfg.project = project_slice;
    cfg.unproject = slice_model_free;
    cfg.events.on_add = cfg.events.on_delete = on_slice;
    cfg.events.on_update = on_slice_changed;
    return informer_new(c, &cfg, &p->slices, err);
}

static int read_config(Proxy *p, const ProxyConfig *cfg, Err *err)
{
    IpPrefix pods, services;
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
    if (ip_prefix_parse(sv_cstr(cfg->service_cidr), &services) == 0 && services.family == AF_INET &&
        services.bits) {
        p->service_mask = htonl(UINT32_MAX << (32 - services.bits));
        memcpy(&p->service_addr, services.addr, sizeof p->service_addr);
    }
    memcpy(p->reserved, cfg->reserved, sizeof p->reserved);
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
    proxy_metrics_init(&p->metrics, api_client_metrics(c));
    int r = read_config(p, cfg, err);
    if (r < 0 || (r = nft_open(&p->nft, err)) < 0 ||
        (r = program_ensure(p->nft, &p->cfg, err)) < 0 ||
        (r = event_recorder_new(c, SV("kube-proxy"), sv_cstr(p->node), &p->events, err)) < 0 ||
        (r = follow(p, c, err)) < 0) {
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
    event_recorder_free(p->events);
    map_free(&p->told);
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
