/* plan.c - from services and endpoints to the chains and elements that should be.
 *
 * Each service port has "svc/…" (any endpoint, or those of this node when internalTrafficPolicy
 * says so), and where something outside can reach it "ext/…" (node ports, external addresses) and
 * "lb/…" (source ranges in front of it). A key without endpoints goes to the sets of refused ones
 * instead. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "proxy/internal.h"

const char *const plan_set_names[PLAN_SET_MAX] = { "services", "nodeports", "refused",
                                                   "refused-nodeports", "hairpin" };

enum { NAME_SIZE = 256, PLAN_SIZE_MAX = 1 << 30, CHAIN_RULES = 3 /* beside the source ranges */ };

typedef struct Picked {
    PlanTarget *all, *local; /* as the policy gives them */
    unsigned n_all, n_local;
} Picked;

typedef struct SliceList { /* the slices of one service */
    const SliceModel *slice;
    struct SliceList *next;
} SliceList;

static int add_elem(Plan *p, PlanSet set, uint32_t a, uint32_t b, uint32_t c, unsigned len,
                    const char *chain, Err *err)
{
    PlanElem *e = arena_new(&p->arena, PlanElem);
    char key[64];
    if (!e)
        return err_nomem(err);
    *e = (PlanElem){ .set = set, .key = { a, b, c }, .key_len = len, .chain = chain };
    int n = snprintf(key, sizeof key, "%u %08x.%08x.%08x", set, a, b, c);
    if (map_has(&p->elems, sv_n(key, (size_t)n)))
        return 0;
    return map_set(&p->elems, sv_n(key, (size_t)n), e, NULL) ? 0 : err_nomem(err);
}

static const char *proto_name(uint8_t proto)
{
    return proto == IPPROTO_UDP ? "udp" : proto == IPPROTO_SCTP ? "sctp" : "tcp";
}

static PlanChain *chain_new(Plan *p, const char *kind, const ServiceModel *s, const ServicePort *sp)
{
    PlanChain *c = arena_new(&p->arena, PlanChain);
    unsigned max_rules = CHAIN_RULES + s->n_ranges;
    StrView name = arena_printf(&p->arena, "%s/%.*s/%.*s/%s/%u", kind, SV_FMT(s->ns),
                                SV_FMT(s->name), proto_name(sp->proto), sp->port);
    if (!c || !name.ptr || !(c->rules = arena_array(&p->arena, PlanRule, max_rules)))
        return NULL;
    c->max_rules = max_rules;
    c->name = name.ptr;
    c->proto = sp->proto;
    return c;
}

static PlanRule *rule(PlanChain *c, RuleKind kind)
{
    ASSERT(c->n_rules < c->max_rules);
    PlanRule *r = &c->rules[c->n_rules++];
    r->kind = kind;
    return r;
}

static void goto_rule(PlanChain *c, RuleKind kind, const PlanChain *to)
{
    rule(c, kind)->chain = to->name;
}

static void dnat_rule(PlanChain *c, const ServiceModel *s, PlanTarget *targets, unsigned n)
{
    if (n == 0) {
        rule(c, RULE_DROP);
        return;
    }
    PlanRule *r = rule(c, RULE_DNAT);
    r->targets = targets;
    r->n_targets = n;
    r->affinity_s = s->affinity_s;
}

static int chain_done(Plan *p, PlanChain *c, Err *err)
{
    static const char *const words[] = { "mark",       "mark-outsiders", "pods-goto", "host-goto",
                                         "range-goto", "goto",           "drop",      "dnat" };
    _cleanup_buf_ Buf text = BUF_INIT;
    char a[INET_ADDRSTRLEN];
    for (unsigned i = 0; i < c->n_rules; i++) {
        const PlanRule *r = &c->rules[i];
        buf_printf(&text, "%s%s", i ? "; " : "", words[r->kind]);
        if (r->kind == RULE_RANGE_GOTO)
            buf_printf(&text, " %s/%08x", inet_ntop(AF_INET, &r->addr, a, sizeof a),
                       ntohl(r->mask));
        if (r->chain)
            buf_printf(&text, " %s", r->chain);
        if (r->affinity_s)
            buf_printf(&text, " affinity %us", r->affinity_s);
        for (unsigned t = 0; t < r->n_targets; t++)
            buf_printf(&text, " %s:%u", inet_ntop(AF_INET, &r->targets[t].addr, a, sizeof a),
                       ntohs(r->targets[t].port));
    }
    if (text.failed || !(c->text = arena_cstr(&p->arena, buf_view(&text))) ||
        !map_set(&p->chains, sv_cstr(c->name), c, NULL))
        return err_nomem(err);
    return 0;
}

static int target_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(PlanTarget));
}

static unsigned unique(PlanTarget *t, unsigned n)
{
    unsigned out = 0;
    qsort(t, n, sizeof *t, target_cmp);
    for (unsigned i = 0; i < n; i++)
        if (i == 0 || target_cmp(&t[i], &t[out - 1]) != 0)
            t[out++] = t[i];
    return out;
}

static bool is_port(const ServicePort *of_slice, const ServicePort *of_service)
{
    return of_slice->proto == of_service->proto && sv_eq(of_slice->name, of_service->name);
}

/* Ready ones; when there is none, those that end but still serve. */
static unsigned pick(const PlanInput *in, const SliceList *list, const ServiceModel *s,
                     const ServicePort *sp, bool local_only, PlanTarget *out)
{
    for (int ending = 0; ending < 2; ending++) {
        unsigned n = 0;
        for (const SliceList *l = list; l; l = l->next)
            for (unsigned k = 0; k < l->slice->n_ports; k++) {
                const ServicePort *port = &l->slice->ports[k];
                if (!is_port(port, sp))
                    continue;
                for (unsigned i = 0; i < l->slice->n_eps; i++) {
                    const Endpoint *e = &l->slice->eps[i];
                    bool use =
                        ending ? e->serving && e->terminating : e->ready || s->publish_not_ready;
                    if (use && (e->local || !local_only) && !plan_endpoint_fault(in, e->addr))
                        out[n++] = (PlanTarget){ .addr = e->addr, .port = htons(port->port) };
                }
            }
        if (n)
            return unique(out, n);
    }
    return 0;
}

static int pick_both(Plan *p, const PlanInput *in, const SliceList *list, const ServiceModel *s,
                     const ServicePort *sp, Picked *ret, Err *err)
{
    size_t most = 1;
    for (const SliceList *l = list; l; l = l->next)
        for (unsigned k = 0; k < l->slice->n_ports; k++)
            if (is_port(&l->slice->ports[k], sp))
                most += l->slice->n_eps;
    ret->all = arena_array(&p->arena, PlanTarget, most);
    ret->local = arena_array(&p->arena, PlanTarget, most);
    if (!ret->all || !ret->local)
        return err_nomem(err);
    ret->n_all = pick(in, list, s, sp, false, ret->all);
    ret->n_local = pick(in, list, s, sp, true, ret->local);
    return 0;
}

static int plan_outside(Plan *p, const ServiceModel *s, const ServicePort *sp,
                        const PlanOutside *out, const Picked *eps, Err *err)
{
    PlanChain *ext = chain_new(p, "ext", s, sp), *lb = chain_new(p, "lb", s, sp),
              *any = chain_new(p, "any", s, sp);
    int r = 0;
    if (!ext || !lb || !any)
        return err_nomem(err);
    dnat_rule(any, s, eps->all, eps->n_all);
    if (s->external_local) {
        goto_rule(ext, RULE_PODS_GOTO, any);
        goto_rule(ext, RULE_HOST_GOTO, any);
        dnat_rule(ext, s, eps->local, eps->n_local);
    } else {
        rule(ext, RULE_MARK);
        goto_rule(ext, RULE_GOTO, any);
    }
    for (unsigned i = 0; i < s->n_ranges; i++) {
        goto_rule(lb, RULE_RANGE_GOTO, ext);
        lb->rules[i].addr = s->range_addr[i];
        lb->rules[i].mask = s->range_mask[i];
    }
    rule(lb, RULE_DROP);
    if ((r = chain_done(p, any, err)) < 0 || (r = chain_done(p, ext, err)) < 0 ||
        (s->n_ranges && (r = chain_done(p, lb, err)) < 0))
        return r;
    uint32_t port = htons(sp->port);
    if (out->node_port)
        r = add_elem(p, PLAN_NODEPORTS, sp->proto, htons(out->node_port), 0, 8, ext->name, err);
    for (unsigned i = 0; r == 0 && i < out->n_external; i++)
        r = add_elem(p, PLAN_SERVICES, out->external[i], sp->proto, port, 12, ext->name, err);
    for (unsigned i = 0; r == 0 && i < out->n_ingress; i++)
        r = add_elem(p, PLAN_SERVICES, out->ingress[i], sp->proto, port, 12,
                     (s->n_ranges ? lb : ext)->name, err);
    return r;
}

static int plan_refused(Plan *p, const ServiceModel *s, const ServicePort *sp,
                        const PlanOutside *out, Err *err)
{
    uint32_t port = htons(sp->port);
    int r = add_elem(p, PLAN_REFUSED, s->cluster_ip, sp->proto, port, 12, NULL, err);
    if (r == 0 && out->node_port)
        r = add_elem(p, PLAN_REFUSED_NODEPORTS, sp->proto, htons(out->node_port), 0, 8, NULL, err);
    for (unsigned i = 0; r == 0 && i < out->n_external; i++)
        r = add_elem(p, PLAN_REFUSED, out->external[i], sp->proto, port, 12, NULL, err);
    for (unsigned i = 0; r == 0 && i < out->n_ingress; i++)
        r = add_elem(p, PLAN_REFUSED, out->ingress[i], sp->proto, port, 12, NULL, err);
    return r;
}

static int plan_port(Plan *p, const PlanInput *in, const SliceList *list, const ServiceModel *s,
                     const ServicePort *sp, Err *err)
{
    Picked eps = { 0 };
    PlanOutside out;
    int r = pick_both(p, in, list, s, sp, &eps, err);
    if (r < 0)
        return r;
    if (!plan_outside_of(p, in, s, sp, &out))
        return err_nomem(err);
    p->has_node_ports |= out.node_port != 0;
    if (eps.n_all == 0)
        return plan_refused(p, s, sp, &out, err);
    PlanChain *svc = chain_new(p, "svc", s, sp);
    if (!svc)
        return err_nomem(err);
    rule(svc, RULE_MARK_OUTSIDERS);
    dnat_rule(svc, s, s->internal_local ? eps.local : eps.all,
              s->internal_local ? eps.n_local : eps.n_all);
    if ((r = chain_done(p, svc, err)) < 0 ||
        (r = add_elem(p, PLAN_SERVICES, s->cluster_ip, sp->proto, htons(sp->port), 12, svc->name,
                      err)) < 0)
        return r;
    if (out.node_port || out.n_external || out.n_ingress)
        r = plan_outside(p, s, sp, &out, &eps, err);
    for (unsigned i = 0; r == 0 && i < eps.n_all; i++)
        r = add_elem(p, PLAN_HAIRPIN, eps.all[i].addr, eps.all[i].addr, 0, 8, NULL, err);
    return r;
}

/* One refusal for a service however many endpoints are wrong. */
static int refuse_endpoints(Plan *p, const PlanInput *in, const SliceList *list,
                            const ServiceModel *s, Err *err)
{
    char text[INET_ADDRSTRLEN];
    for (const SliceList *l = list; l; l = l->next)
        for (unsigned i = 0; i < l->slice->n_eps; i++) {
            uint32_t addr = l->slice->eps[i].addr;
            const char *fault = plan_endpoint_fault(in, addr);
            if (fault)
                return plan_refuse(p, s, "EndpointNotProgrammed", "endpoint %s %s",
                                   inet_ntop(AF_INET, &addr, text, sizeof text), fault)
                           ? 0
                           : err_nomem(err);
        }
    return 0;
}

/* Beyond so many pairs of port and endpoint a service costs the others too much; each pair of one
 * with affinity is two rules and a set. */
enum { PAIRS_MAX = 100000, AFFINE_PAIRS_MAX = 5000 };

static bool is_too_large(const SliceList *list, const ServiceModel *s)
{
    uint64_t eps = 0;
    for (const SliceList *l = list; l; l = l->next)
        eps += l->slice->n_eps;
    return MAX(eps, UINT64_C(1)) * s->n_ports > (s->affinity_s ? AFFINE_PAIRS_MAX : PAIRS_MAX);
}

static int plan_service(Plan *p, const PlanInput *in, const Map *groups, const ServiceModel *s,
                        Err *err)
{
    char key[NAME_SIZE];
    int n = snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(s->ns), SV_FMT(s->name));
    const SliceList *list = map_get(groups, sv_n(key, (size_t)n));
    if (!s->cluster_ip)
        return 0;
    if (is_too_large(list, s))
        return plan_refuse(p, s, "ServiceTooLarge",
                           "its ports and endpoints are more than %d pairs%s",
                           s->affinity_s ? AFFINE_PAIRS_MAX : PAIRS_MAX,
                           s->affinity_s ? " with session affinity" : "")
                   ? 0
                   : err_nomem(err);
    int r = refuse_endpoints(p, in, list, s, err);
    for (unsigned k = 0; r == 0 && k < s->n_ports; k++)
        r = plan_port(p, in, list, s, &s->ports[k], err);
    return r;
}

static int group_slices(Plan *p, const PlanInput *in, Map *groups, Err *err)
{
    char key[NAME_SIZE];
    for (size_t i = 0; i < in->n_slices; i++) {
        SliceList *l = arena_new(&p->arena, SliceList);
        int n = snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(in->slices[i]->ns),
                         SV_FMT(in->slices[i]->service));
        if (!l)
            return err_nomem(err);
        l->slice = in->slices[i];
        l->next = map_get(groups, sv_n(key, (size_t)n));
        if (!map_set(groups, sv_n(key, (size_t)n), l, NULL))
            return err_nomem(err);
    }
    return 0;
}

static int age_cmp(const void *a, const void *b)
{
    const ServiceModel *x = *(ServiceModel *const *)a, *y = *(ServiceModel *const *)b;
    int r = sv_cmp(x->created, y->created);
    r = r ? r : sv_cmp(x->ns, y->ns);
    return r ? r : sv_cmp(x->name, y->name);
}

int plan_new(const PlanInput *in, Plan **ret, Err *err)
{
    _cleanup_map_ Map groups = { 0 };
    Plan *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    arena_init(&p->arena, PLAN_SIZE_MAX);
    const ServiceModel **by_age = arena_array(&p->arena, const ServiceModel *, in->n_services + 1);
    int r = by_age ? group_slices(p, in, &groups, err) : err_nomem(err);
    if (r == 0 && in->n_services) {
        memcpy(by_age, in->services, in->n_services * sizeof *by_age);
        qsort(by_age, in->n_services, sizeof *by_age, age_cmp);
    }
    for (size_t i = 0; r == 0 && i < in->n_services; i++)
        r = plan_service(p, in, &groups, by_age[i], err);
    if (r < 0)
        plan_free(p);
    else
        *ret = p;
    return r;
}

Plan *plan_free(Plan *p)
{
    if (p) {
        map_free(&p->chains);
        map_free(&p->elems);
        arena_free(&p->arena);
    }
    free(p);
    return NULL;
}

static int line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void plan_text(const Plan *p, Buf *out)
{
    size_t n = 0, pos = 0, most = p->chains.len + p->elems.len;
    char **lines = calloc(most + 1, sizeof *lines), a[INET_ADDRSTRLEN];
    StrView key;
    void *val;
    while (lines && map_next(&p->chains, &pos, &key, &val)) {
        const PlanChain *c = val;
        if (asprintf(&lines[n], "chain %s: %s\n", c->name, c->text) > 0)
            n++;
    }
    for (pos = 0; lines && map_next(&p->elems, &pos, &key, &val);) {
        const PlanElem *e = val;
        const char *to = e->chain ? e->chain : "-";
        int r =
            e->key_len == 12 ? asprintf(&lines[n], "%s %s %u %u -> %s\n", plan_set_names[e->set],
                                        inet_ntop(AF_INET, &e->key[0], a, sizeof a), e->key[1],
                                        ntohs((uint16_t)e->key[2]), to)
            : e->set == PLAN_HAIRPIN
                ? asprintf(&lines[n], "hairpin %s\n", inet_ntop(AF_INET, &e->key[0], a, sizeof a))
                : asprintf(&lines[n], "%s %u %u -> %s\n", plan_set_names[e->set], e->key[0],
                           ntohs((uint16_t)e->key[1]), to);
        if (r > 0)
            n++;
    }
    if (lines)
        qsort(lines, n, sizeof *lines, line_cmp);
    for (size_t i = 0; i < n; i++) {
        buf_sv(out, sv_cstr(lines[i]));
        free(lines[i]);
    }
    free(lines);
}
