/* dns.c - targets from DNS records. The C library's resolver asks on a pool thread, with the search
 * list and servers of resolv.conf (or one given server); answers come back to the loop. A name that
 * cannot be asked keeps its targets; one that does not exist loses them. */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>

#undef MIN /* sys/param.h has them, too, by way of resolv.h */
#undef MAX

#include "base/clock.h"
#include "monitor/discovery/internal.h"

enum { ANSWER_MAX = 65535, RECORDS_MAX = 10000 };

typedef struct Record {
    char target[NS_MAXDNAME]; /* name or address */
    uint16_t port;            /* of SRV */
} Record;

/* One look at all names; belongs to the pool thread until `done`. */
typedef struct Lookup {
    struct DnsProvider *provider; /* NULL: stopped in between */
    int type;                     /* ns_t_… */
    int64_t started_ns;
    char server[64];
    unsigned n_names;
    char (*names)[NS_MAXDNAME];
    struct {
        VEC(Record) records;
        bool failed;
        Err err;
    } * answers;
} Lookup;

typedef struct DnsProvider {
    Provider base;
    const ConfigDnsSd *cfg;
    Source *timer;
    Lookup *lookup;
} DnsProvider;

static void lookup_free(Lookup *l)
{
    for (unsigned i = 0; l->answers && i < l->n_names; i++)
        vec_free(&l->answers[i].records);
    free(l->answers);
    free(l->names);
    free(l);
}

/* ---- on the pool thread ---- */

static bool use_server(struct __res_state *state, const char *server)
{
    char host[64];
    StrView head, tail;
    uint64_t port = 53;
    struct sockaddr_in *in = &state->nsaddr_list[0];

    sv_cut(sv_cstr(server), ':', &head, &tail);
    if (!sv_copy_cstr(head, host, sizeof host) || (tail.len && sv_to_u64(tail, &port) < 0))
        return false;
    *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    state->nscount = 1;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

static bool read_record(ns_msg *msg, const ns_rr *rr, Record *ret)
{
    const unsigned char *data = ns_rr_rdata(*rr);
    size_t len = ns_rr_rdlen(*rr), skip = 0;

    switch (ns_rr_type(*rr)) {
    case ns_t_a:
        return len == 4 && inet_ntop(AF_INET, data, ret->target, sizeof ret->target);
    case ns_t_aaaa:
        return len == 16 && inet_ntop(AF_INET6, data, ret->target, sizeof ret->target);
    case ns_t_srv:
        skip = 6;
        ret->port = len > 6 ? (uint16_t)(data[4] << 8 | data[5]) : 0;
        break;
    case ns_t_mx:
        skip = 2;
        break;
    default: /* NS */
        break;
    }
    return len > skip && ns_name_uncompress(ns_msg_base(*msg), ns_msg_end(*msg), data + skip,
                                            ret->target, sizeof ret->target) >= 0;
}

static void ask(Lookup *l, unsigned i, struct __res_state *state, unsigned char *answer)
{
    ns_msg msg;
    ns_rr rr;
    int n = res_nsearch(state, l->names[i], ns_c_in, l->type, answer, ANSWER_MAX);

    if (n < 0) {
        if (state->res_h_errno == HOST_NOT_FOUND || state->res_h_errno == NO_DATA)
            return;
        l->answers[i].failed = true;
        err_set(&l->answers[i].err, ERR_SYS, 0, "could not resolve \"%s\": %s", l->names[i],
                hstrerror(state->res_h_errno));
        return;
    }
    if (ns_initparse(answer, MIN(n, ANSWER_MAX), &msg) < 0) {
        l->answers[i].failed = true;
        err_set(&l->answers[i].err, ERR_PROTO, 0, "malformed answer for \"%s\"", l->names[i]);
        return;
    }
    for (int k = 0; k < ns_msg_count(msg, ns_s_an) && k < RECORDS_MAX; k++) {
        Record record = { 0 };
        if (ns_parserr(&msg, ns_s_an, k, &rr) == 0 && (int)ns_rr_type(rr) == l->type &&
            read_record(&msg, &rr, &record))
            (void)!vec_push(&l->answers[i].records, record);
    }
}

static void work(void *ctx)
{
    Lookup *l = ctx;
    struct __res_state state = { 0 };
    unsigned char *answer = malloc(ANSWER_MAX);
    bool ready =
        answer && res_ninit(&state) == 0 && (!l->server[0] || use_server(&state, l->server));

    for (unsigned i = 0; i < l->n_names; i++) {
        if (ready) {
            ask(l, i, &state, answer);
            continue;
        }
        l->answers[i].failed = true;
        err_set(&l->answers[i].err, ERR_SYS, 0, "cannot set the resolver up");
    }
    res_nclose(&state);
    free(answer);
}

/* ---- on the loop ---- */

static bool make_target(const DnsProvider *p, StrView name, const Record *r, Arena *a, Labels *ret)
{
    StrView target = sv_cstr(r->target), type = p->cfg->type;
    LabelsBuilder b;
    bool srv = sv_eq(type, SV("SRV"));
    uint64_t port = srv ? r->port : p->cfg->port;

    if (sv_ends(target, SV(".")))
        target = sv_head(target, target.len - 1);
    bool v6 = sv_find_char(target, ':') >= 0;
    StrView dotted = arena_printf(a, "%.*s.", SV_FMT(target));
    labels_builder_init(&b, a, (Labels){ 0 });
    labels_builder_set(&b, SV("__address__"),
                       arena_printf(a, v6 ? "[%.*s]:%llu" : "%.*s:%llu", SV_FMT(target),
                                    (unsigned long long)port));
    labels_builder_set(&b, SV("__meta_dns_name"), name);
    if (srv) {
        labels_builder_set(&b, SV("__meta_dns_srv_record_target"), dotted);
        labels_builder_set(&b, SV("__meta_dns_srv_record_port"), arena_printf(a, "%u", r->port));
    } else if (sv_eq(type, SV("MX"))) {
        labels_builder_set(&b, SV("__meta_dns_mx_record_target"), dotted);
    } else if (sv_eq(type, SV("NS"))) {
        labels_builder_set(&b, SV("__meta_dns_ns_record_target"), dotted);
    }
    return labels_builder_take(&b, ret);
}

static void emit(DnsProvider *p, const Lookup *l, unsigned i)
{
    _cleanup_arena_ Arena a;
    StrView name = p->cfg->names.items[i];
    size_t n = l->answers[i].records.len;

    arena_init(&a, 0);
    Labels *targets = arena_array(&a, Labels, n + 1);
    TargetGroup g = { .source = name, .targets = targets, .n_targets = n };
    if (!targets)
        return;
    for (size_t k = 0; k < n; k++)
        if (!make_target(p, name, &l->answers[i].records.items[k], &a, &targets[k]))
            return;
    provider_emit(&p->base, &g, 1);
}

static void done(void *ctx)
{
    Lookup *l = ctx;
    DnsProvider *p = l->provider;
    Err err = { 0 };

    if (p) {
        DiscoveryStats *s = p->base.owner->stats;
        p->lookup = NULL;
        for (unsigned i = 0; i < l->n_names; i++) {
            s->dns_lookups++;
            s->dns_failures += l->answers[i].failed;
            if (l->answers[i].failed)
                err = l->answers[i].err;
            else
                emit(p, l, i);
        }
        /* A name that fails is no failed refresh, as in Prometheus. */
        provider_refreshed(&p->base, REFRESH_DNS, l->started_ns, false);
        if (err.code)
            provider_failed(&p->base, "Error refreshing DNS targets", &err);
        else
            provider_works(&p->base);
    }
    lookup_free(l);
}

static int type_number(StrView type)
{
    return sv_eq(type, SV("SRV"))    ? ns_t_srv
           : sv_eq(type, SV("A"))    ? ns_t_a
           : sv_eq(type, SV("AAAA")) ? ns_t_aaaa
           : sv_eq(type, SV("MX"))   ? ns_t_mx
                                     : ns_t_ns;
}

static void on_timer(void *ctx)
{
    DnsProvider *p = ctx;
    unsigned n = p->cfg->names.len;
    const char *server = p->base.owner->dns_server;
    Lookup *l = p->lookup ? NULL : calloc(1, sizeof *l);

    if (!l)
        return; /* the last one is still under way */
    l->names = calloc(n, sizeof *l->names);
    l->answers = calloc(n, sizeof *l->answers);
    l->n_names = n;
    l->type = type_number(p->cfg->type);
    bool ok = l->names && l->answers &&
              sv_copy_cstr(sv_cstr(server ? server : ""), l->server, sizeof l->server);
    for (unsigned i = 0; ok && i < n; i++)
        ok = sv_copy_cstr(p->cfg->names.items[i], l->names[i], sizeof l->names[i]);
    l->provider = p;
    l->started_ns = clock_mono_ns();
    if (!ok || loop_work(p->base.owner->loop, work, done, l, NULL) < 0)
        lookup_free(l);
    else
        p->lookup = l;
}

static Provider *dns_stop(Provider *base)
{
    DnsProvider *p = (DnsProvider *)base;
    if (p->lookup)
        p->lookup->provider = NULL; /* read on the loop only */
    source_free(p->timer);
    free(p);
    return NULL;
}

int dns_provider_new(Discovery *d, const ConfigDnsSd *cfg, Provider **ret, Err *err)
{
    DnsProvider *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->base = (Provider){ .owner = d, .stop = dns_stop };
    p->cfg = cfg;
    int r = loop_add_timer(d->loop, 0, (uint64_t)MAX(cfg->refresh_interval, INT64_C(100)), on_timer,
                           p, &p->timer, err);
    if (r < 0)
        free(p);
    else
        *ret = &p->base;
    return r;
}
