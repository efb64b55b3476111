/* dns.c - joins the parts: informers fill the zone, the listener brings questions, the zone or the
 * forwarder has the answers.
 *
 * An ExternalName Service that leads out of the cluster is answered with its CNAME and what the
 * host's resolvers know of the target. */
#include "dns/dns.h"

#include <stdio.h>

#include "api/informer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "dns/forward.h"
#include "dns/listen.h"
#include "dns/metrics.h"
#include "dns/zone.h"

enum { RESOLV_CONF_MAX = 65536 };

struct Dns {
    Loop *loop;
    DnsConfig cfg;
    char domain[128];
    DnsZone zone;
    DnsListener *listener;
    DnsForwarder *forwarder;
    Informer *services, *slices;
    Map kept_services, kept_slices; /* by key, what the zone refers to */
    bool services_synced, slices_synced;
    DnsMetrics metrics;
};

/* A question that was handed on. */
typedef struct Handed {
    Dns *dns;
    DnsPeer *peer;
    DnsQuestion q;
    Buf query;  /* as it came */
    bool alias; /* what was asked for is the target of the name's CNAME */
    DnsWaiter *waiter;
} Handed;

/* ---- answers ---- */

static void answer_peer(Dns *d, DnsPeer *p, StrView answer)
{
    dns_metrics_answered(&d->metrics, answer, p->asked_ns);
    dns_peer_reply(p, answer);
}

static size_t size_for(const DnsPeer *p, const DnsQuestion *q)
{
    return p->tcp ? DNS_PACKET_MAX : q->udp_size;
}

static void reply_failure(Dns *d, DnsPeer *p, StrView packet, const DnsQuestion *q, unsigned rcode)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    dns_failure_encode(packet, q, rcode, &out);
    answer_peer(d, p, out.failed ? SV_NULL : buf_view(&out));
}

static void handed_free(Handed *h)
{
    dns_waiter_cancel(h->waiter);
    buf_free(&h->query);
    free(h);
}

static void reply_forwarded(Dns *d, DnsPeer *p, StrView query, const DnsQuestion *q, StrView reply)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    if (reply.len && dns_reply_fit(reply, query, q, size_for(p, q), &out))
        answer_peer(d, p, buf_view(&out));
    else
        reply_failure(d, p, query, q, DNS_RCODE_SERVFAIL);
}

/* The alias is looked up once more: its Service may have changed meanwhile. */
static void reply_alias(Handed *h, StrView reply)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    DnsRecords r;
    unsigned rcode = reply.len ? dns_reply_rcode(reply) : DNS_RCODE_SERVFAIL;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (rcode != 0 && rcode != DNS_RCODE_NXDOMAIN) {
        reply_failure(h->dns, h->peer, buf_view(&h->query), &h->q, DNS_RCODE_SERVFAIL);
        return;
    }
    dns_zone_look_up(&h->dns->zone, sv_cstr(h->q.name), h->q.type, &a, &r);
    dns_records_add_reply(&r, &a, reply);
    dns_answer_encode(buf_view(&h->query), &h->q, &r, h->dns->domain, size_for(h->peer, &h->q),
                      &out);
    answer_peer(h->dns, h->peer, out.failed ? SV_NULL : buf_view(&out));
}

static void on_forwarded(void *ctx, StrView reply)
{
    Handed *h = ctx;
    h->waiter = NULL; /* gone with this call */
    if (h->alias)
        reply_alias(h, reply);
    else
        reply_forwarded(h->dns, h->peer, buf_view(&h->query), &h->q, reply);
    handed_free(h);
}

/* Asks for `question` (name, type, class), which is read as `asked`; answers when that fails. */
static void hand_on(Dns *d, DnsPeer *p, StrView packet, const DnsQuestion *q, bool alias,
                    const DnsQuestion *asked, StrView question)
{
    Handed *h = calloc(1, sizeof *h);
    Err err = { 0 };
    if (h) {
        *h = (Handed){ .dns = d, .peer = p, .q = *q, .alias = alias };
        buf_sv(&h->query, packet);
    }
    if (!h || h->query.failed ||
        dns_forward_ask(d->forwarder, asked, question, on_forwarded, h, &h->waiter, &err) < 0) {
        if (h)
            handed_free(h);
        reply_failure(d, p, packet, q, DNS_RCODE_SERVFAIL);
        return;
    }
    p->state = h;
}

static void forward(Dns *d, DnsPeer *p, StrView packet, const DnsQuestion *q)
{
    _cleanup_buf_ Buf reply = BUF_INIT;
    if (dns_forward_cached(d->forwarder, q, &reply))
        reply_forwarded(d, p, packet, q, buf_view(&reply));
    else
        hand_on(d, p, packet, q, false, q, sv_n(packet.ptr + DNS_HEADER, q->end - DNS_HEADER));
}

static void forward_alias(Dns *d, DnsPeer *p, StrView packet, const DnsQuestion *q,
                          const char *target)
{
    _cleanup_buf_ Buf question = BUF_INIT, reply = BUF_INIT;
    DnsQuestion asked = { .flags = DNS_FLAG_RD, .type = q->type, .class = q->class };
    snprintf(asked.name, sizeof asked.name, "%s", target);
    dns_name_put(&question, sv_cstr(target));
    dns_put16(&question, q->type);
    dns_put16(&question, q->class);
    if (question.failed)
        reply_failure(d, p, packet, q, DNS_RCODE_SERVFAIL);
    else if (dns_forward_cached(d->forwarder, &asked, &reply)) {
        Handed h = { .dns = d, .peer = p, .q = *q, .alias = true };
        buf_sv(&h.query, packet);
        reply_alias(&h, buf_view(&reply));
        buf_free(&h.query);
    } else
        hand_on(d, p, packet, q, true, &asked, buf_view(&question));
}

static bool synced(const Dns *d)
{
    return d->services_synced && d->slices_synced;
}

static void on_query(void *ctx, DnsPeer *p, StrView packet)
{
    Dns *d = ctx;
    DnsQuestion q;
    DnsRecords r;
    Err err = { 0 };
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    p->asked_ns = clock_mono_ns();
    bool readable = dns_question_parse(packet, &q, &err) == 0;
    dns_metrics_asked(&d->metrics, p->tcp, readable ? q.type : 0);
    if (!readable) {
        reply_failure(d, p, packet, NULL,
                      err.code == ERR_UNSUPPORTED ? DNS_RCODE_NOTIMP : DNS_RCODE_FORMERR);
        return;
    }
    StrView name = sv_cstr(q.name);
    if (q.class == 1 && !synced(d) && dns_zone_scope(&d->zone, name) != DNS_FOREIGN)
        reply_failure(d, p, packet, &q, DNS_RCODE_SERVFAIL);
    else if (q.class != 1 || !dns_zone_look_up(&d->zone, name, q.type, &a, &r))
        forward(d, p, packet, &q);
    else if (r.chase && dns_forwarder_has_servers(d->forwarder))
        forward_alias(d, p, packet, &q, r.chase);
    else {
        _cleanup_buf_ Buf out = BUF_INIT;
        dns_answer_encode(packet, &q, &r, d->domain, size_for(p, &q), &out);
        answer_peer(d, p, out.failed ? SV_NULL : buf_view(&out));
    }
}

static void on_gone(void *ctx, DnsPeer *p)
{
    handed_free(p->state);
}

/* ---- what the informers bring ---- */

static void told(Dns *d)
{
    if (synced(d) && d->cfg.on_synced)
        d->cfg.on_synced(d->cfg.ctx);
}

static void on_services(void *ctx)
{
    Dns *d = ctx;
    d->services_synced = true;
    told(d);
}

static void on_slices(void *ctx)
{
    Dns *d = ctx;
    d->slices_synced = true;
    told(d);
}

static void *project_service(void *ctx, const Value *v)
{
    return dns_service_new(v);
}

static void unproject_service(void *p)
{
    dns_service_free(p);
}

static void *project_slice(void *ctx, const Value *v)
{
    return dns_slice_new(v);
}

static void unproject_slice(void *p)
{
    dns_slice_free(p);
}

/* The object with a deletion is another version of the one that was added: what the zone refers to
 * is found by its key. */
static void remove_service(void *ctx, ApiObject *o)
{
    Dns *d = ctx;
    DnsService *s = map_del(&d->kept_services, o->key);
    if (s)
        dns_zone_remove_service(&d->zone, s);
}

static void add_service(void *ctx, ApiObject *o)
{
    Dns *d = ctx;
    if (!map_set(&d->kept_services, o->key, o->projection, NULL) ||
        !dns_zone_add_service(&d->zone, o->projection))
        log_error("service %.*s: out of memory, its name is not served", SV_FMT(o->key));
}

static void change_service(void *ctx, ApiObject *old, ApiObject *now)
{
    remove_service(ctx, old);
    add_service(ctx, now);
}

static void remove_slice(void *ctx, ApiObject *o)
{
    Dns *d = ctx;
    DnsSlice *s = map_del(&d->kept_slices, o->key);
    if (s)
        dns_zone_remove_slice(&d->zone, s);
}

static void add_slice(void *ctx, ApiObject *o)
{
    Dns *d = ctx;
    if (!map_set(&d->kept_slices, o->key, o->projection, NULL) ||
        !dns_zone_add_slice(&d->zone, o->projection))
        log_error("endpoints %.*s: out of memory, not served", SV_FMT(o->key));
}

static void change_slice(void *ctx, ApiObject *old, ApiObject *now)
{
    remove_slice(ctx, old);
    add_slice(ctx, now);
}

/* ---- start ---- */

static int watch(Dns *d, ApiClient *api, Err *err)
{
    InformerConfig services = { .target = { SV(""), SV("v1"), SV("services"), SV_NULL, SV_NULL,
                                            SV_NULL },
                                .project = project_service,
                                .unproject = unproject_service,
                                .drop_json = true,
                                .events.on_add = add_service,
                                .events.on_update = change_service,
                                .events.on_delete = remove_service,
                                .events.on_synced = on_services,
                                .events.ctx = d };
    InformerConfig slices = { .target = { SV("discovery.k8s.io"), SV("v1"), SV("endpointslices"),
                                          SV_NULL, SV_NULL, SV_NULL },
                              .project = project_slice,
                              .unproject = unproject_slice,
                              .drop_json = true,
                              .events.on_add = add_slice,
                              .events.on_update = change_slice,
                              .events.on_delete = remove_slice,
                              .events.on_synced = on_slices,
                              .events.ctx = d };
    int r = informer_new(api, &services, &d->services, err);
    return r < 0 ? r : informer_new(api, &slices, &d->slices, err);
}

/* No resolv.conf is fine: then only the cluster's names are answered. */
static int start_forwarder(Dns *d, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    DnsForwardConfig cfg = { 0 };
    const char *path = d->cfg.resolv_conf ? d->cfg.resolv_conf : "/etc/resolv.conf";
    if (file_read(AT_FDCWD, path, RESOLV_CONF_MAX, &text) == 0)
        dns_servers_read(buf_view(&text), &cfg.servers);
    return dns_forwarder_new(d->loop, &cfg, &d->forwarder, err);
}

static int start(Dns *d, ApiClient *api, Err *err)
{
    DnsHandler handler = { .on_query = on_query, .on_gone = on_gone, .ctx = d };
    int r;
    if (!sv_copy_cstr(sv_cstr(d->cfg.cluster_domain), d->domain, sizeof d->domain) ||
        !dns_name_fits(sv_cstr(d->domain)))
        return err_set(err, ERR_INVALID, 0,
                       "--cluster-domain: '%s' is no domain name of up to %zu "
                       "characters",
                       d->cfg.cluster_domain, sizeof d->domain - 1);
    d->zone.domain = d->domain;
    if ((r = start_forwarder(d, err)) < 0 ||
        (r = dns_listener_new(d->loop, d->cfg.listen, &handler, &d->listener, err)) < 0)
        return r;
    dns_metrics_init(&d->metrics, api_client_metrics(api), dns_listener_port(d->listener));
    return watch(d, api, err);
}

int dns_new(Loop *l, ApiClient *api, const DnsConfig *cfg, Dns **ret, Err *err)
{
    Dns *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(err);
    d->loop = l;
    d->cfg = *cfg;
    int r = start(d, api, err);
    if (r < 0) {
        dns_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

Dns *dns_free(Dns *d)
{
    if (!d)
        return NULL;
    dns_listener_free(d->listener);
    dns_forwarder_free(d->forwarder);
    dns_zone_free(&d->zone);
    map_free(&d->kept_services);
    map_free(&d->kept_slices);
    informer_free(d->services);
    informer_free(d->slices);
    free(d);
    return NULL;
}
