/* program.c - plans as nf_tables.
 *
 * A packet passes: "loopback" (no 127.0.0.0/8 from outside), "refuse-*" (before translation: keys
 * without endpoints are refused), "nat-prerouting" or "nat-output" (one look-up in each verdict
 * map, then the service's chain), "nat-postrouting". Only the mark's bit MARK is ours; it is taken
 * off again once it has done its work. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/file.h"
#include "proxy/internal.h"

enum {
    MARK = 0x4000,
    AT_PROTO = 9,
    AT_SOURCE = 12,
    AT_DEST = 16,
    AT_PORT_DEST = 2, /* offsets in the headers */
    PRIO_RAW = -300,
    PRIO_REFUSE = -110,
    PRIO_DNAT = -100,
    PRIO_SNAT = 100,
    PRIO_FILTER = 0,
    STATE_NEW = 8,
    STATUS_DNAT = 32,    /* bits of ct state and ct status */
    SET_NAME_SIZE = 256, /* the kernel's limit */
};

#define DATA_TYPE NFT_TYPE2(NFT_T_IPV4, NFT_T_PORT)

bool program_bridge_calls(void)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    return file_read(AT_FDCWD, "/proc/sys/net/bridge/bridge-nf-call-iptables", 64, &b) == 0 &&
           b.len && b.ptr[0] == '1';
}

static void net_match(NftBatch *b, uint32_t at, bool equal, uint32_t addr, uint32_t mask)
{
    nft_x_payload(b, 0, NFT_AT_NETWORK, at, 4);
    nft_x_bitwise(b, 0, mask, 0);
    nft_x_cmp(b, 0, equal, &addr, 4);
}

static void load_key(NftBatch *b, bool with_addr)
{
    unsigned reg = 0;
    if (with_addr)
        nft_x_payload(b, reg++, NFT_AT_NETWORK, AT_DEST, 4);
    nft_x_meta(b, reg++, NFT_META_L4PROTO);
    nft_x_payload(b, reg, NFT_AT_TRANSPORT, AT_PORT_DEST, 2);
}

static void local_match(NftBatch *b, bool source)
{
    uint32_t local = RTN_LOCAL;
    nft_x_fib_type(b, 0, source);
    nft_x_cmp(b, 0, true, &local, 4);
}

static void mark(NftBatch *b)
{
    nft_x_meta(b, 0, NFT_META_MARK);
    nft_x_bitwise(b, 0, ~(uint32_t)MARK, MARK);
    nft_x_meta_set(b, 0, NFT_META_MARK);
}

static void jump(NftBatch *b, const char *from, const char *to)
{
    nft_rule_begin(b, from);
    nft_x_verdict(b, NFT_JUMP, to);
    nft_rule_end(b);
}

static void refuse_rules(NftBatch *b, bool node_ports)
{
    for (int tcp = 1; tcp >= 0; tcp--) {
        uint32_t new_state = STATE_NEW, zero = 0;
        uint8_t proto = IPPROTO_TCP;
        nft_rule_begin(b, "refuse");
        nft_x_ct(b, 0, NFT_CT_STATE);
        nft_x_bitwise(b, 0, new_state, 0);
        nft_x_cmp(b, 0, false, &zero, 4);
        if (tcp) {
            nft_x_meta(b, 0, NFT_META_L4PROTO);
            nft_x_cmp(b, 0, true, &proto, 1);
        }
        if (node_ports)
            local_match(b, false);
        load_key(b, !node_ports);
        nft_x_lookup(b, 0, plan_set_names[node_ports ? PLAN_REFUSED_NODEPORTS : PLAN_REFUSED]);
        nft_x_reject(b, tcp);
        nft_rule_end(b);
    }
}

static void service_rules(NftBatch *b)
{
    nft_rule_begin(b, "services");
    load_key(b, true);
    nft_x_vmap(b, 0, plan_set_names[PLAN_SERVICES]);
    nft_rule_end(b);
    nft_rule_begin(b, "services");
    local_match(b, false);
    load_key(b, false);
    nft_x_vmap(b, 0, plan_set_names[PLAN_NODEPORTS]);
    nft_rule_end(b);
}

static void leave_rules(NftBatch *b, const ProgramConfig *cfg)
{
    const char *chain = "nat-postrouting";
    uint32_t m = MARK, zero = 0, dnat = STATUS_DNAT;
    nft_rule_begin(b, chain);
    nft_x_meta(b, 0, NFT_META_MARK);
    nft_x_bitwise(b, 0, m, 0);
    nft_x_cmp(b, 0, true, &m, 4);
    nft_x_meta(b, 0, NFT_META_MARK);
    nft_x_bitwise(b, 0, ~m, 0);
    nft_x_meta_set(b, 0, NFT_META_MARK);
    nft_x_masquerade(b);
    nft_rule_end(b);
    nft_rule_begin(b, chain); /* a pod that reached itself; without calls from the bridge, any pod
                                 that reached another */
    nft_x_ct(b, 0, NFT_CT_STATUS);
    nft_x_bitwise(b, 0, dnat, 0);
    nft_x_cmp(b, 0, false, &zero, 4);
    if (cfg->bridge_calls) {
        nft_x_payload(b, 0, NFT_AT_NETWORK, AT_SOURCE, 4);
        nft_x_payload(b, 1, NFT_AT_NETWORK, AT_DEST, 4);
        nft_x_lookup(b, 0, plan_set_names[PLAN_HAIRPIN]);
    } else {
        net_match(b, AT_SOURCE, true, cfg->pod_addr, cfg->pod_mask);
        net_match(b, AT_DEST, true, cfg->pod_addr, cfg->pod_mask);
    }
    nft_x_masquerade(b);
    nft_rule_end(b);
    char bridge[16] = { 0 };
    snprintf(bridge, sizeof bridge, "%s", cfg->bridge);
    nft_rule_begin(b, chain); /* pods talking to the world */
    net_match(b, AT_SOURCE, true, cfg->pod_addr, cfg->pod_mask);
    net_match(b, AT_DEST, false, cfg->pod_addr, cfg->pod_mask);
    net_match(b, AT_DEST, false, htonl(0xe0000000),
              htonl(0xf0000000)); /* multicast goes as it is */
    nft_x_meta(b, 0, NFT_META_OIFNAME);
    nft_x_cmp(b, 0, false, bridge, sizeof bridge);
    nft_x_masquerade(b);
    nft_rule_end(b);
}

/* Node ports answer on 127.0.0.1, too, for which the bridge has route_localnet: so what comes over
 * a wire or from a pod with an address of the loopback on it is dropped before anything looks at
 * it. */
static void loopback_rules(NftBatch *b)
{
    nft_chain_base(b, "loopback", "filter", NF_INET_PRE_ROUTING, PRIO_RAW);
    nft_drop_foreign_loopback(b, "loopback");
}

static void forward_rules(NftBatch *b, const ProgramConfig *cfg)
{
    for (int dst = 0; dst < 2; dst++) {
        nft_rule_begin(b, "forward");
        net_match(b, dst ? AT_DEST : AT_SOURCE, true, cfg->pod_addr, cfg->pod_mask);
        nft_x_verdict(b, NF_ACCEPT, NULL);
        nft_rule_end(b);
    }
}

static void base_sets(NftBatch *b)
{
    const uint32_t by_addr = NFT_TYPE3(NFT_T_IPV4, NFT_T_PROTO, NFT_T_PORT),
                   by_port = NFT_TYPE2(NFT_T_PROTO, NFT_T_PORT);
    const NftSetSpec sets[] = {
        { plan_set_names[PLAN_SERVICES], by_addr, 12, NFT_DATA_IS_VERDICT, 0, 0 },
        { plan_set_names[PLAN_NODEPORTS], by_port, 8, NFT_DATA_IS_VERDICT, 0, 0 },
        { plan_set_names[PLAN_REFUSED], by_addr, 12, NFT_DATA_NONE, 0, 0 },
        { plan_set_names[PLAN_REFUSED_NODEPORTS], by_port, 8, NFT_DATA_NONE, 0, 0 },
        { plan_set_names[PLAN_HAIRPIN], NFT_TYPE2(NFT_T_IPV4, NFT_T_IPV4), 8, NFT_DATA_NONE, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        nft_set_add(b, &sets[i]);
}

static void put_base(NftBatch *b, const ProgramConfig *cfg)
{
    nft_table_add(b);
    nft_table_del(b);
    nft_table_add(b);
    base_sets(b);
    nft_chain_add(b, "services");
    nft_chain_add(b, "refuse");
    nft_chain_base(b, "refuse-prerouting", "filter", NF_INET_PRE_ROUTING, PRIO_REFUSE);
    nft_chain_base(b, "refuse-output", "filter", NF_INET_LOCAL_OUT, PRIO_REFUSE);
    nft_chain_base(b, "nat-prerouting", "nat", NF_INET_PRE_ROUTING, PRIO_DNAT);
    nft_chain_base(b, "nat-output", "nat", NF_INET_LOCAL_OUT, PRIO_DNAT);
    nft_chain_base(b, "nat-postrouting", "nat", NF_INET_POST_ROUTING, PRIO_SNAT);
    nft_chain_base(b, "forward", "filter", NF_INET_FORWARD, PRIO_FILTER);
    loopback_rules(b);
    refuse_rules(b, false);
    refuse_rules(b, true);
    service_rules(b);
    leave_rules(b, cfg);
    forward_rules(b, cfg);
    jump(b, "refuse-prerouting", "refuse");
    jump(b, "refuse-output", "refuse");
    jump(b, "nat-prerouting", "services");
    jump(b, "nat-output", "services");
}

static const char *memory_name(const char *chain, const PlanTarget *t,
                               char buf[static SET_NAME_SIZE])
{
    char ip[INET_ADDRSTRLEN];
    snprintf(buf, SET_NAME_SIZE, "aff-%s/%s/%u", chain, inet_ntop(AF_INET, &t->addr, ip, sizeof ip),
             ntohs(t->port));
    return buf;
}

static void dnat_and_remember(NftBatch *b, const char *memory, const PlanTarget *t,
                              uint32_t seconds)
{
    nft_x_payload(b, 4, NFT_AT_NETWORK, AT_SOURCE, 4);
    nft_x_remember(b, 4, memory, seconds * UINT64_C(1000));
    nft_x_dnat_to(b, t->addr, t->port);
}

/* First the endpoint that knows the client, then one by lot: the first of n with a chance of 1/n,
 * else the next of n - 1, and so on. */
static void dnat_with_affinity(NftBatch *b, const PlanChain *c, const PlanRule *r)
{
    char memory[SET_NAME_SIZE];
    uint32_t zero = 0;
    for (unsigned i = 0; i < r->n_targets; i++) {
        memory_name(c->name, &r->targets[i], memory);
        nft_rule_begin(b, c->name);
        nft_x_l4proto(b, c->proto);
        nft_x_payload(b, 4, NFT_AT_NETWORK, AT_SOURCE, 4);
        nft_x_lookup(b, 4, memory);
        dnat_and_remember(b, memory, &r->targets[i], r->affinity_s);
        nft_rule_end(b);
    }
    for (unsigned i = 0; i < r->n_targets; i++) {
        memory_name(c->name, &r->targets[i], memory);
        nft_rule_begin(b, c->name);
        nft_x_l4proto(b, c->proto);
        nft_x_random(b, 8, r->n_targets - i);
        nft_x_cmp(b, 8, true, &zero, 4);
        dnat_and_remember(b, memory, &r->targets[i], r->affinity_s);
        nft_rule_end(b);
    }
}

static void dnat(NftBatch *b, const PlanChain *c, const PlanRule *r)
{
    if (r->affinity_s) {
        dnat_with_affinity(b, c, r);
        return;
    }
    uint32_t id = nft_anon_map(b, r->targets, sizeof *r->targets, DATA_TYPE, r->n_targets);
    nft_rule_begin(b, c->name);
    nft_x_l4proto(b, c->proto);
    nft_x_random(b, 8, r->n_targets);
    nft_x_anon_map(b, 8, id, 0);
    nft_x_dnat(b, 0, 1);
    nft_rule_end(b);
}

static void put_rule(NftBatch *b, const ProgramConfig *cfg, const PlanChain *c, const PlanRule *r)
{
    if (r->kind == RULE_DNAT) {
        dnat(b, c, r);
        return;
    }
    nft_rule_begin(b, c->name);
    switch (r->kind) {
    case RULE_MARK_OUTSIDERS:
        net_match(b, AT_SOURCE, false, cfg->pod_addr, cfg->pod_mask);
        break;
    case RULE_PODS_GOTO:
        net_match(b, AT_SOURCE, true, cfg->pod_addr, cfg->pod_mask);
        break;
    case RULE_HOST_GOTO:
        local_match(b, true);
        break;
    case RULE_RANGE_GOTO:
        net_match(b, AT_SOURCE, true, r->addr, r->mask);
        break;
    default:
        break;
    }
    if (r->kind == RULE_MARK || r->kind == RULE_MARK_OUTSIDERS || r->kind == RULE_HOST_GOTO)
        mark(b);
    if (r->kind == RULE_DROP)
        nft_x_verdict(b, NF_DROP, NULL);
    else if (r->chain)
        nft_x_verdict(b, NFT_GOTO, r->chain);
    nft_rule_end(b);
}

/* The rule of a chain that remembers clients; NULL: none does. */
static const PlanRule *memory_of(const PlanChain *c)
{
    for (unsigned i = 0; c && i < c->n_rules; i++)
        if (c->rules[i].kind == RULE_DNAT && c->rules[i].affinity_s)
            return &c->rules[i];
    return NULL;
}

static bool has_memory(const PlanRule *r, const PlanTarget *t, uint32_t seconds)
{
    for (unsigned i = 0; r && r->affinity_s == seconds && i < r->n_targets; i++)
        if (memcmp(&r->targets[i], t, sizeof *t) == 0)
            return true;
    return false;
}

/* Memories that `a` has and `b` has not: made, or forgotten. Those that stay keep their clients. */
static void memories_differ(NftBatch *batch, const PlanChain *a, const PlanChain *b, bool add)
{
    const PlanRule *has = memory_of(a), *other = memory_of(b);
    char memory[SET_NAME_SIZE];
    for (unsigned i = 0; has && i < has->n_targets; i++) {
        if (has_memory(other, &has->targets[i], has->affinity_s))
            continue;
        memory_name(a->name, &has->targets[i], memory);
        NftSetSpec s = { .name = memory,
                         .key_type = NFT_T_IPV4,
                         .key_len = 4,
                         .timeout_ms = has->affinity_s * UINT64_C(1000) };
        if (add)
            nft_set_add(batch, &s);
        else
            nft_set_del(batch, memory);
    }
}

static bool same_elem(const PlanElem *a, const PlanElem *b)
{
    return a && b &&
           (a->chain == b->chain || (a->chain && b->chain && strcmp(a->chain, b->chain) == 0));
}

static const PlanChain *chain_of(const Plan *p, StrView name)
{
    return p ? map_get(&p->chains, name) : NULL;
}

static void elems_differ(NftBatch *b, const Plan *from, const Plan *to, bool add)
{
    StrView key;
    void *val;
    for (size_t i = 0; from && map_next(&from->elems, &i, &key, &val);) {
        const PlanElem *e = val;
        if (same_elem(e, to ? map_get(&to->elems, key) : NULL))
            continue;
        if (add)
            nft_elem_add(b, plan_set_names[e->set], e->key, e->key_len, e->chain);
        else
            nft_elem_del(b, plan_set_names[e->set], e->key, e->key_len);
    }
}

/* What changes loses its rules (and the memories of endpoints that go) first; then new chains stand
 * before any rule names them. */
static void chains_clear(NftBatch *b, const Plan *old, const Plan *now)
{
    StrView key;
    void *val;
    for (size_t i = 0; old && map_next(&old->chains, &i, &key, &val);) {
        const PlanChain *was = val, *is = chain_of(now, key);
        if (is && strcmp(was->text, is->text) == 0)
            continue;
        nft_chain_flush(b, was->name);
        memories_differ(b, was, is, false);
    }
}

static void chains_fill(NftBatch *b, const ProgramConfig *cfg, const Plan *old, const Plan *now)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&now->chains, &i, &key, &val);)
        if (!chain_of(old, key))
            nft_chain_add(b, ((const PlanChain *)val)->name);
    for (size_t i = 0; map_next(&now->chains, &i, &key, &val);) {
        const PlanChain *is = val, *was = chain_of(old, key);
        if (was && strcmp(was->text, is->text) == 0)
            continue;
        memories_differ(b, is, was, true);
        for (unsigned k = 0; k < is->n_rules; k++)
            put_rule(b, cfg, is, &is->rules[k]);
    }
}

static void put_change(NftBatch *b, const ProgramConfig *cfg, const Plan *old, const Plan *now)
{
    StrView key;
    void *val;
    elems_differ(b, old, now, false);
    chains_clear(b, old, now);
    chains_fill(b, cfg, old, now);
    elems_differ(b, now, old, true);
    for (size_t i = 0; old && map_next(&old->chains, &i, &key, &val);)
        if (!chain_of(now, key))
            nft_chain_del(b, ((const PlanChain *)val)->name);
}

int program_change(Nft *n, const ProgramConfig *cfg, const Plan *old, const Plan *now,
                   size_t *ret_ops, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(cfg->table);
    if (!b)
        return err_nomem(err);
    put_change(b, cfg, old, now);
    if (ret_ops)
        *ret_ops = nft_batch_len(b);
    return nft_commit(n, b, err);
}

int program_replace(Nft *n, const ProgramConfig *cfg, const Plan *now, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(cfg->table);
    if (!b)
        return err_nomem(err);
    put_base(b, cfg);
    if (now)
        put_change(b, cfg, NULL, now);
    return nft_commit(n, b, err);
}

int program_ensure(Nft *n, const ProgramConfig *cfg, Err *err)
{
    Err probe = { 0 };
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(cfg->table);
    if (!b)
        return err_nomem(err);
    nft_chain_add(b, "services"); /* nothing changes where it is; without the table it is refused */
    return nft_commit(n, b, &probe) == 0 ? 0 : program_replace(n, cfg, NULL, err);
}
