/* lookup.c - from a name to its records.
 *
 * Below the cluster's domain the labels are read from the right: "svc" or "pod", the namespace, the
 * Service, and before it an endpoint's name or "_port._protocol". To add a kind of name: a case in
 * look_up_cluster(). */
#include <arpa/inet.h>
#include <stdio.h>

#include "dns/zone.h"

enum { KEY_SIZE = 64 + 254 };

typedef struct Lookup {
    const DnsZone *zone;
    uint16_t type;
    Arena *arena;
    DnsRecords *out;
    const char *owner; /* of the records: NULL is the question's name */
    unsigned depth;    /* CNAMEs followed so far */
} Lookup;

static bool look_up(Lookup *l, StrView name);

/* Takes the last label of *s. */
static StrView last_label(StrView *s)
{
    ssize_t dot = sv_rfind_char(*s, '.');
    StrView label = dot < 0 ? *s : sv_skip(*s, (size_t)dot + 1);
    *s = dot < 0 ? sv_head(*s, 0) : sv_head(*s, (size_t)dot);
    return label;
}

static bool below(StrView name, StrView domain)
{
    return name.len > domain.len + 1 && sv_ends(name, domain) &&
           name.ptr[name.len - domain.len - 1] == '.';
}

DnsScope dns_zone_scope(const DnsZone *z, StrView name)
{
    StrView domain = sv_cstr(z->domain);
    if (sv_eq(name, domain) || below(name, domain))
        return DNS_CLUSTER;
    return sv_ends(name, SV(".in-addr.arpa")) ? DNS_REVERSE : DNS_FOREIGN;
}

static bool wants(const Lookup *l, uint16_t type)
{
    return l->type == type || l->type == DNS_TYPE_ANY;
}

static void add_address(Lookup *l, const uint8_t ip[static 4])
{
    DnsRecord rec = { .type = DNS_TYPE_A, .owner = l->owner };
    memcpy(rec.addr, ip, 4);
    if (wants(l, DNS_TYPE_A))
        dns_records_add(l->out, l->arena, &rec);
}

/* A SRV record and the address of its target, once for each target. */
static void add_srv(Lookup *l, const char *target, const uint8_t ip[static 4], uint16_t port)
{
    DnsRecord srv = { .type = DNS_TYPE_SRV, .owner = l->owner, .text = target, .port = port };
    DnsRecord addr = { .type = DNS_TYPE_A, .owner = target, .additional = true };
    if (!wants(l, DNS_TYPE_SRV) || !dns_records_add(l->out, l->arena, &srv))
        return;
    memcpy(addr.addr, ip, 4);
    for (size_t i = 0; i < l->out->n; i++)
        if (l->out->v[i].additional && l->out->v[i].owner == target)
            return;
    dns_records_add(l->out, l->arena, &addr);
}

/* `before` is "_port._protocol" or, for a question of type SRV, empty: any port. */
typedef struct PortQuestion {
    bool any;
    StrView name, protocol;
} PortQuestion;

static bool port_matches(const PortQuestion *q, const DnsPort *p)
{
    return q->any || (sv_eq(q->name, p->name) && sv_eq(q->protocol, p->protocol));
}

static const DnsSlice *first_slice(const Lookup *l, const DnsService *s)
{
    char key[KEY_SIZE];
    int n = snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(s->ns), SV_FMT(s->name));
    return n < (int)sizeof key ? map_get(&l->zone->slices, sv_n(key, (size_t)n)) : NULL;
}

/* "web-0.nginx.default.svc.cluster.local"; NULL: memory is exhausted. */
static const char *full_name(Lookup *l, StrView host, const DnsService *s)
{
    return arena_printf(l->arena, "%.*s%s%.*s.%.*s.svc.%s", (int)host.len, host.len ? host.ptr : "",
                        host.len ? "." : "", SV_FMT(s->name), SV_FMT(s->ns), l->zone->domain)
        .ptr;
}

static bool address_seen(const Lookup *l, const uint8_t ip[static 4])
{
    for (size_t i = 0; i < l->out->n; i++)
        if (l->out->v[i].type == DNS_TYPE_A && !l->out->v[i].additional &&
            memcmp(l->out->v[i].addr, ip, 4) == 0)
            return true;
    return false;
}

/* Addresses of ready endpoints; with `host` only of those of that name. An endpoint that stands in
 * two slices while they are rewritten counts once. */
static void endpoint_addresses(Lookup *l, const DnsService *s, StrView host)
{
    for (const DnsSlice *slice = first_slice(l, s); slice; slice = slice->next)
        for (unsigned i = 0; i < slice->n_endpoints; i++) {
            const DnsEndpoint *e = &slice->endpoints[i];
            if (host.len && !sv_eq(host, e->host))
                continue;
            l->out->exists = true;
            if (!address_seen(l, e->ip))
                add_address(l, e->ip);
        }
}

static void endpoint_ports(Lookup *l, const DnsService *s, const PortQuestion *q, StrView host)
{
    for (const DnsSlice *slice = first_slice(l, s); slice; slice = slice->next)
        for (unsigned i = 0; i < slice->n_endpoints; i++) {
            const DnsEndpoint *e = &slice->endpoints[i];
            const char *target = full_name(l, e->host, s);
            for (unsigned p = 0; p < slice->n_ports && target; p++) {
                if ((host.len && !sv_eq(host, e->host)) || !port_matches(q, &slice->ports[p]))
                    continue;
                l->out->exists = true;
                add_srv(l, target, e->ip, slice->ports[p].port);
            }
        }
}

static void service_ports(Lookup *l, const DnsService *s, const PortQuestion *q)
{
    const char *target = full_name(l, SV_NULL, s);
    for (unsigned i = 0; i < s->n_ports && target; i++) {
        if (!port_matches(q, &s->ports[i]))
            continue;
        l->out->exists = true;
        add_srv(l, target, s->ip, s->ports[i].port);
    }
}

/* The CNAME of an ExternalName Service, and what is behind it when that is the cluster's. */
static void external(Lookup *l, const DnsService *s)
{
    const char *target = arena_cstr(l->arena, s->external_name);
    DnsRecord rec = { .type = DNS_TYPE_CNAME, .owner = l->owner, .text = target };
    l->out->exists = true;
    if (!target || l->depth == DNS_CHASE_MAX || !dns_records_add(l->out, l->arena, &rec) ||
        l->type == DNS_TYPE_CNAME)
        return;
    if (dns_zone_scope(l->zone, sv_cstr(target)) != DNS_CLUSTER) {
        l->out->chase = target;
        return;
    }
    l->owner = target;
    l->depth++;
    look_up(l, sv_cstr(target));
    l->out->exists = true; /* the alias is there, whatever it leads to */
}

/* Kubernetes' rule for weights, as CoreDNS has it: equal shares of 100. */
static void share_weights(DnsRecords *r)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->v[i].type == DNS_TYPE_SRV;
    for (size_t i = 0; i < r->n; i++)
        r->v[i].weight = (uint16_t)(n ? MAX(100 / n, 1u) : 0);
}

/* `before` is what stands in front of SERVICE.NS.svc.DOMAIN. */
static void look_up_service(Lookup *l, StrView ns, StrView name, StrView before)
{
    char key[KEY_SIZE];
    int n = snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(ns), SV_FMT(name));
    const DnsService *s =
        n < (int)sizeof key ? map_get(&l->zone->services, sv_n(key, (size_t)n)) : NULL;
    PortQuestion q = { .any = true };
    StrView port, protocol;
    bool names_port = sv_starts(before, SV("_")) && sv_cut(before, '.', &port, &protocol) &&
                      sv_starts(protocol, SV("_"));
    if (names_port) {
        q = (PortQuestion){ false, sv_skip(port, 1), sv_skip(protocol, 1) };
        before = SV_NULL;
    }
    if (!s || sv_find_char(before, '.') >= 0)
        return;
    if (s->external_name.len) {
        if (!before.len && !names_port)
            external(l, s);
    } else if (s->headless || before.len) {
        l->out->exists |= !before.len && !names_port;
        if (!names_port)
            endpoint_addresses(l, s, before);
        endpoint_ports(l, s, &q, before);
    } else {
        l->out->exists |= !names_port;
        if (!names_port && s->has_ip)
            add_address(l, s->ip);
        service_ports(l, s, &q);
    }
    share_weights(l->out);
}

/* a-b-c-d.NS.pod.DOMAIN: the address is in the name itself. */
static void look_up_pod(Lookup *l, StrView rest)
{
    char text[INET_ADDRSTRLEN];
    uint8_t ip[4];
    if (sv_find_char(rest, '.') >= 0 || !sv_copy_cstr(rest, text, sizeof text))
        return;
    for (char *p = text; *p; p++)
        if (*p == '-')
            *p = '.';
    if (inet_pton(AF_INET, text, ip) != 1)
        return;
    l->out->exists = true;
    add_address(l, ip);
}

static void look_up_cluster(Lookup *l, StrView rest)
{
    StrView kind = last_label(&rest);
    DnsRecord version = { .type = DNS_TYPE_TXT, .owner = l->owner, .text = "1.1.0" };
    if (sv_eq(kind, SV("dns-version")) && !rest.len) {
        l->out->exists = true;
        if (wants(l, DNS_TYPE_TXT))
            dns_records_add(l->out, l->arena, &version);
        return;
    }
    if (!sv_eq(kind, SV("svc")) && !sv_eq(kind, SV("pod")))
        return;
    StrView ns = rest.len ? last_label(&rest) : SV_NULL;
    if (!rest.len) /* empty names between those that exist */
        l->out->exists = true;
    else if (sv_eq(kind, SV("pod")))
        look_up_pod(l, rest);
    else {
        StrView service = last_label(&rest);
        look_up_service(l, ns, service, rest);
    }
}

/* 4.3.2.1.in-addr.arpa: the Service with that address, else endpoints with a hostname of their own.
 * True when the name is ours to answer. */
static bool look_up_reverse(Lookup *l, StrView name)
{
    StrView suffix = SV(".in-addr.arpa"), part[4], rest = sv_head(name, name.len - suffix.len);
    char text[INET_ADDRSTRLEN];
    uint8_t ip[4];
    unsigned n = 0;
    while (n < 4 && sv_next(&rest, '.', &part[n]))
        n++;
    if (n != 4 || rest.len ||
        snprintf(text, sizeof text, "%.*s.%.*s.%.*s.%.*s", SV_FMT(part[3]), SV_FMT(part[2]),
                 SV_FMT(part[1]), SV_FMT(part[0])) >= (int)sizeof text ||
        inet_pton(AF_INET, text, ip) != 1)
        return false;
    DnsRecord rec = { .type = DNS_TYPE_PTR };
    const DnsService *s = map_get(&l->zone->by_ip, sv_n(ip, 4));
    const DnsEndpoint *e = s ? NULL : map_get(&l->zone->hosts, sv_n(ip, 4));
    if (!s && !e)
        return false;
    l->out->exists = true;
    if (!wants(l, DNS_TYPE_PTR))
        return true;
    if (s && (rec.text = full_name(l, SV_NULL, s)))
        dns_records_add(l->out, l->arena, &rec);
    for (; e; e = e->next) {
        DnsService of = { .ns = e->slice->ns, .name = e->slice->service };
        if ((rec.text = full_name(l, e->host, &of)))
            dns_records_add(l->out, l->arena, &rec);
    }
    return true;
}

static bool look_up(Lookup *l, StrView name)
{
    StrView domain = sv_cstr(l->zone->domain);
    switch (dns_zone_scope(l->zone, name)) {
    case DNS_FOREIGN:
        return false;
    case DNS_REVERSE:
        return look_up_reverse(l, name);
    case DNS_CLUSTER:
        if (sv_eq(name, domain))
            l->out->exists = true;
        else
            look_up_cluster(l, sv_head(name, name.len - domain.len - 1));
        return true;
    }
    return false;
}

bool dns_zone_look_up(const DnsZone *z, StrView name, uint16_t type, Arena *a, DnsRecords *ret)
{
    Lookup l = { .zone = z, .type = type, .arena = a, .out = ret };
    *ret = (DnsRecords){ 0 };
    return look_up(&l, name);
}
