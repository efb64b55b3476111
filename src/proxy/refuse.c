/* refuse.c - what a Service or an EndpointSlice may ask for and is never given: it would take
 * connections that belong to the machine or to somebody else's Service. Each costs its own Service
 * only, which hears of it in an event. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#include "proxy/internal.h"

static bool in_range(uint32_t addr, uint32_t net, uint32_t mask)
{
    return mask && ((addr ^ net) & mask) == 0;
}

/* Addresses that are nobody's own (RFC 6890). */
static const char *special_fault(uint32_t addr)
{
    static const struct {
        uint32_t net, mask;
        const char *what;
    } ranges[] = {
        { 0x00000000, 0xff000000, "is no address of a machine" },
        { 0x7f000000, 0xff000000, "is a loopback address" },
        { 0xa9fe0000, 0xffff0000, "is a link-local address" },
        { 0xe0000000, 0xf0000000, "is a multicast address" },
        { 0xffffffff, 0xffffffff, "is the broadcast address" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (((ntohl(addr) ^ ranges[i].net) & ranges[i].mask) == 0)
            return ranges[i].what;
    return NULL;
}

const char *plan_endpoint_fault(const PlanInput *in, uint32_t addr)
{
    if (in_range(addr, in->service_addr, in->service_mask))
        return "is in the range of Services";
    return special_fault(addr);
}

const char *plan_external_fault(const PlanInput *in, uint32_t addr)
{
    if (in_range(addr, in->service_addr, in->service_mask))
        return "is in the range of Services";
    if (in_range(addr, in->pod_addr, in->pod_mask))
        return "is in the range of pods";
    return special_fault(addr);
}

static bool is_local(const PlanInput *in, uint32_t addr)
{
    for (size_t i = 0; i < in->n_local; i++)
        if (in->local[i] == addr)
            return true;
    return false;
}

static bool is_listened(const PlanInput *in, uint8_t proto, uint32_t addr, uint16_t port)
{
    for (size_t i = 0; i < in->n_reserved && proto == IPPROTO_TCP; i++)
        if (in->reserved[i] == port)
            return true;
    return in->listeners && listeners_have(in->listeners, proto, addr, port);
}

bool plan_refuse(Plan *p, const ServiceModel *s, const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(&p->arena, fmt, ap);
    va_end(ap);
    PlanRefusal *new = arena_new(&p->arena, PlanRefusal);
    if (!text.ptr || !new)
        return false;
    for (const PlanRefusal *r = p->refusals; r && r->service == s; r = r->next)
        if (sv_eq(text, sv_cstr(r->text)))
            return true;
    *new = (PlanRefusal){ s, reason, text.ptr, p->refusals };
    p->refusals = new;
    return true;
}

static bool take_addrs(Plan *p, const PlanInput *in, const ServiceModel *s, const ServicePort *sp,
                       const uint32_t *list, unsigned n, uint32_t **ret, unsigned *ret_n)
{
    *ret = arena_array(&p->arena, uint32_t, n + 1);
    if (!*ret)
        return false;
    for (unsigned i = 0; i < n; i++) {
        char text[INET_ADDRSTRLEN];
        const char *fault = plan_external_fault(in, list[i]);
        inet_ntop(AF_INET, &list[i], text, sizeof text);
        if (fault) {
            if (!plan_refuse(p, s, "AddressNotProgrammed", "external address %s %s", text, fault))
                return false;
        } else if (is_local(in, list[i]) && is_listened(in, sp->proto, list[i], sp->port)) {
            if (!plan_refuse(p, s, "PortInUse",
                             "external address %s: a process of the node listens on port %u", text,
                             sp->port))
                return false;
        } else {
            (*ret)[(*ret_n)++] = list[i];
        }
    }
    return true;
}

bool plan_outside_of(Plan *p, const PlanInput *in, const ServiceModel *s, const ServicePort *sp,
                     PlanOutside *ret)
{
    *ret = (PlanOutside){ .node_port = sp->node_port };
    if (sp->node_port && is_listened(in, sp->proto, 0, sp->node_port)) {
        ret->node_port = 0;
        if (!plan_refuse(p, s, "PortInUse", "node port %u: a process of the node listens on it",
                         sp->node_port))
            return false;
    }
    return take_addrs(p, in, s, sp, s->external, s->n_external, &ret->external, &ret->n_external) &&
           take_addrs(p, in, s, sp, s->ingress, s->n_ingress, &ret->ingress, &ret->n_ingress);
}
