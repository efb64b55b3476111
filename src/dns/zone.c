/* zone.c - projections of Services and EndpointSlices, and the maps that find them. */
#include "dns/zone.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { KEY_SIZE = 64 + 254 };

static StrView lower(Arena *a, StrView s)
{
    char *p = arena_alloc(a, s.len + 1);
    for (size_t i = 0; p && i < s.len; i++)
        p[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i];
    return sv_n(p, p ? s.len : 0);
}

static bool parse_ip(StrView text, uint8_t ip[static 4])
{
    char buf[INET_ADDRSTRLEN];
    return sv_copy_cstr(text, buf, sizeof buf) && inet_pton(AF_INET, buf, ip) == 1;
}

static bool read_ports(const Value *list, Arena *a, DnsPort **ret, unsigned *ret_n)
{
    DnsPort *p = arena_array(a, DnsPort, value_len(list) + 1);
    if (!p)
        return false;
    *ret = p;
    value_list_foreach (v, list) {
        StrView protocol = value_str(value_get(v, SV("protocol")));
        p->name = lower(a, value_str(value_get(v, SV("name"))));
        p->protocol = lower(a, protocol.len ? protocol : SV("tcp"));
        p->port = (uint16_t)value_int_or(value_get(v, SV("port")), 0);
        p++;
    }
    *ret_n = (unsigned)(p - *ret);
    return true;
}

/* ---- services ---- */

static bool fill_service(DnsService *s, const Value *v)
{
    const Value *spec = value_get(v, SV("spec"));
    StrView ip = value_str(value_get(spec, SV("clusterIP")));
    s->ns = arena_sv(&s->arena, value_path_str(v, "metadata.namespace"));
    s->name = arena_sv(&s->arena, value_path_str(v, "metadata.name"));
    if (sv_eq(value_str(value_get(spec, SV("type"))), SV("ExternalName"))) {
        s->external_name = lower(&s->arena, value_str(value_get(spec, SV("externalName"))));
        if (sv_ends(s->external_name, SV(".")))
            s->external_name.len--;
        return s->external_name.ptr != NULL;
    }
    s->headless = sv_eq(ip, SV("None"));
    s->has_ip = parse_ip(ip, s->ip);
    value_list_foreach (other, value_get(spec, SV("clusterIPs"))) {
        if (!s->has_ip) /* IPv6 first, of two stacks */
            s->has_ip = parse_ip(value_str(other), s->ip);
    }
    return s->ns.ptr && s->name.ptr &&
           read_ports(value_get(spec, SV("ports")), &s->arena, &s->ports, &s->n_ports);
}

DnsService *dns_service_new(const Value *v)
{
    DnsService *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    arena_init(&s->arena, 0);
    return fill_service(s, v) ? s : dns_service_free(s);
}

DnsService *dns_service_free(DnsService *s)
{
    if (s)
        arena_free(&s->arena);
    free(s);
    return NULL;
}

/* ---- slices ---- */

static bool read_endpoint(DnsSlice *s, const Value *v, DnsEndpoint *e)
{
    StrView hostname = value_str(value_get(v, SV("hostname")));
    *e = (DnsEndpoint){ .slice = s, .has_hostname = hostname.len > 0 };
    if (!value_bool_or(value_path(v, "conditions.ready"), true) ||
        !parse_ip(value_str(value_at(value_get(v, SV("addresses")), 0)), e->ip))
        return false;
    e->host = hostname.len
                  ? lower(&s->arena, hostname)
                  : arena_printf(&s->arena, "%u-%u-%u-%u", e->ip[0], e->ip[1], e->ip[2], e->ip[3]);
    return e->host.ptr != NULL;
}

static bool fill_slice(DnsSlice *s, const Value *v)
{
    const Value *list = value_get(v, SV("endpoints"));
    s->ns = arena_sv(&s->arena, value_path_str(v, "metadata.namespace"));
    s->service = arena_sv(&s->arena, value_str(value_get(value_path(v, "metadata.labels"),
                                                         SV("kubernetes.io/service-name"))));
    s->endpoints = arena_array(&s->arena, DnsEndpoint, value_len(list) + 1);
    if (!s->ns.ptr || !s->service.ptr || !s->endpoints)
        return false;
    value_list_foreach (e, list) {
        if (read_endpoint(s, e, &s->endpoints[s->n_endpoints]))
            s->n_endpoints++;
    }
    return read_ports(value_get(v, SV("ports")), &s->arena, &s->ports, &s->n_ports);
}

DnsSlice *dns_slice_new(const Value *v)
{
    DnsSlice *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    arena_init(&s->arena, 0);
    return fill_slice(s, v) ? s : dns_slice_free(s);
}

DnsSlice *dns_slice_free(DnsSlice *s)
{
    if (s)
        arena_free(&s->arena);
    free(s);
    return NULL;
}

/* ---- the maps ---- */

static StrView key_of(StrView ns, StrView name, char buf[static KEY_SIZE])
{
    int n = snprintf(buf, KEY_SIZE, "%.*s/%.*s", SV_FMT(ns), SV_FMT(name));
    return sv_n(buf, MIN((size_t)n, (size_t)KEY_SIZE - 1));
}

static StrView ip_key(const uint8_t ip[static 4])
{
    return sv_n(ip, 4);
}

bool dns_zone_add_service(DnsZone *z, DnsService *s)
{
    char key[KEY_SIZE];
    return map_set(&z->services, key_of(s->ns, s->name, key), s, NULL) &&
           (!s->has_ip || map_set(&z->by_ip, ip_key(s->ip), s, NULL));
}

void dns_zone_remove_service(DnsZone *z, DnsService *s)
{
    char key[KEY_SIZE];
    StrView k = key_of(s->ns, s->name, key);
    if (map_get(&z->services, k) == s)
        map_del(&z->services, k);
    if (s->has_ip && map_get(&z->by_ip, ip_key(s->ip)) == s)
        map_del(&z->by_ip, ip_key(s->ip));
}

bool dns_zone_add_slice(DnsZone *z, DnsSlice *s)
{
    char key[KEY_SIZE];
    StrView k = key_of(s->ns, s->service, key);
    s->next = map_get(&z->slices, k);
    if (!map_set(&z->slices, k, s, NULL))
        return false;
    for (unsigned i = 0; i < s->n_endpoints; i++) {
        DnsEndpoint *e = &s->endpoints[i];
        if (!e->has_hostname)
            continue;
        e->next = map_get(&z->hosts, ip_key(e->ip));
        if (!map_set(&z->hosts, ip_key(e->ip), e, NULL)) {
            e->next = NULL;
            return false;
        }
    }
    return true;
}

static void forget_host(DnsZone *z, DnsEndpoint *e)
{
    DnsEndpoint *first = map_get(&z->hosts, ip_key(e->ip)), **at = &first;
    DnsEndpoint *head = first;
    while (*at && *at != e)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = e->next;
    if (!first)
        map_del(&z->hosts, ip_key(e->ip));
    else if (first != head && !map_set(&z->hosts, ip_key(e->ip), first, NULL))
        map_del(&z->hosts, ip_key(e->ip)); /* replacing does not allocate: never reached */
}

void dns_zone_remove_slice(DnsZone *z, DnsSlice *s)
{
    char key[KEY_SIZE];
    StrView k = key_of(s->ns, s->service, key);
    DnsSlice *first = map_get(&z->slices, k), **at = &first;
    DnsSlice *head = first;
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
    if (!first)
        map_del(&z->slices, k);
    else if (first != head && !map_set(&z->slices, k, first, NULL))
        map_del(&z->slices, k);
    for (unsigned i = 0; i < s->n_endpoints; i++)
        if (s->endpoints[i].has_hostname)
            forget_host(z, &s->endpoints[i]);
}

void dns_zone_free(DnsZone *z)
{
    map_free(&z->services);
    map_free(&z->by_ip);
    map_free(&z->slices);
    map_free(&z->hosts);
}
