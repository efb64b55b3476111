/* portmap.c - ports of the host that lead to a container, in nf_tables.
 *
 * Configuration as the reference plugin has it: runtimeConfig.portMappings (the capability of that
 * name), snat, masqAll, conditionsV4. Everything lies in one table: two verdict maps, by protocol
 * and port and by address, too, lead to a chain for each mapping; a third one, by the container's
 * address, to the chain that says whose connections are masqueraded. ADD writes the base anew and
 * the container's part in one transaction, so that many at once do not get in each other's way;
 * DEL takes the container's part away. IPv4: mappings of IPv6 addresses are left alone. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/file.h"
#include "cni/plugin.h"
#include "netlink/listeners.h"
#include "netlink/nft.h"

#define TABLE   "knarr-hostport" /* unless the configuration names another */
#define BY_PORT "ports"
#define BY_ADDR "addresses"
#define BY_POD  "containers"

enum {
    MAPPINGS_MAX = 256,
    CONDITIONS_MAX = 8,
    NAME_SIZE = 200,
    AT_SOURCE = 12,
    AT_DEST = 16,
    AT_PORT_DEST = 2,
    PRIO_RAW = -300,
    PRIO_DNAT = -100,
    PRIO_SNAT = 100,
    STATUS_DNAT = 32, /* bit of ct status */
};

typedef struct Mapping {
    uint32_t host_ip; /* 0: any of this machine's */
    uint16_t host_port, container_port;
    uint8_t proto;
} Mapping;

typedef struct Condition {
    bool source, equal;
    uint32_t addr, mask;
} Condition;

typedef struct PortmapConf {
    Mapping mappings[MAPPINGS_MAX];
    unsigned n_mappings;
    Condition conditions[CONDITIONS_MAX];
    unsigned n_conditions;
    char table[64];
    const Value *reserved; /* mappings that are never made: ports of the platform */
    bool snat, masq_all;
    uint32_t pod, pod_mask; /* the container's address and its network's mask; 0: no IPv4 */
    char bridge[16];        /* link of the host that leads to it; empty: not known */
} PortmapConf;

/* ---- configuration ---- */

/* host_port 0: nothing to map. */
static int read_mapping(CniCall *c, const Value *v, const char *key, Mapping *ret, Err *err)
{
    StrView proto = value_str(value_get(v, SV("protocol"))),
            ip = value_str(value_get(v, SV("hostIP")));
    int64_t host = value_int_or(value_get(v, SV("hostPort")), 0),
            inside = value_int_or(value_get(v, SV("containerPort")), ret->container_port);
    Mapping m = { .proto = !proto.len || sv_eq_nocase(proto, SV("tcp")) ? IPPROTO_TCP
                           : sv_eq_nocase(proto, SV("udp"))             ? IPPROTO_UDP
                           : sv_eq_nocase(proto, SV("sctp"))            ? IPPROTO_SCTP
                                                                        : 0 };
    char text[64];
    if (!m.proto || host < 0 || host > 65535 || inside < 1 || inside > 65535)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "%s: hostPort %lld, containerPort %lld, protocol "
                        "'%.*s': expected ports of 1 to 65535 and tcp, udp or sctp",
                        key, (long long)host, (long long)inside, SV_FMT(sv_head(proto, 20)));
    *ret = m;
    if (host == 0 || sv_find_char(ip, ':') >= 0)
        return 0;
    if (ip.len &&
        (!sv_copy_cstr(ip, text, sizeof text) || inet_pton(AF_INET, text, &ret->host_ip) != 1))
        return cni_fail(c, CNI_ERR_CONFIG, err, "%s.hostIP: '%.*s' is no address", key,
                        SV_FMT(sv_head(ip, 60)));
    ret->host_port = (uint16_t)host;
    ret->container_port = (uint16_t)inside;
    return 0;
}

static int read_mappings(CniCall *c, PortmapConf *p, Err *err)
{
    static const char key[] = "runtimeConfig.portMappings";
    value_list_foreach (v, value_path(&c->config, key)) {
        Mapping m = { 0 };
        int r = read_mapping(c, v, key, &m, err);
        if (r < 0)
            return r;
        if (p->n_mappings == MAPPINGS_MAX)
            return cni_fail(c, CNI_ERR_CONFIG, err, "%s: more than %d", key, MAPPINGS_MAX);
        if (m.host_port)
            p->mappings[p->n_mappings++] = m;
    }
    return 0;
}

static int taken(CniCall *c, const Mapping *m, const char *by, Err *err)
{
    return cni_fail(c, CNI_ERR_PLUGIN, err, "port %u/%s of the host: %s", m->host_port,
                    m->proto == IPPROTO_UDP    ? "UDP"
                    : m->proto == IPPROTO_SCTP ? "SCTP"
                                               : "TCP",
                    by);
}

/* A mapping takes what comes to a port before any process sees it: ports that one listens on, and
 * those of "reserved", are never mapped. */
static int check_free(CniCall *c, const PortmapConf *p, Err *err)
{
    _cleanup_(listeners_freep) Listeners *l = NULL;
    int r = listeners_read(&l, err);
    for (unsigned i = 0; r == 0 && i < p->n_mappings; i++) {
        const Mapping *m = &p->mappings[i];
        if (listeners_have(l, m->proto, m->host_ip, m->host_port))
            r = taken(c, m, "a process of the host listens on it", err);
        value_list_foreach (v, p->reserved) {
            Mapping own = { .container_port = 1 };
            if (r == 0 && (r = read_mapping(c, v, "reserved", &own, err)) == 0 &&
                own.proto == m->proto && own.host_port == m->host_port &&
                (!own.host_ip || !m->host_ip || own.host_ip == m->host_ip))
                r = taken(c, m, "it is reserved for the platform", err);
        }
    }
    return r;
}

static int bad_condition(CniCall *c, StrView word, Err *err)
{
    return cni_fail(c, CNI_ERR_FIELD, err,
                    "conditionsV4: '%.*s' is not supported by this plugin; expected [\"!\"] "
                    "\"-s\"|\"-d\" RANGE, or \"ip\" \"saddr\"|\"daddr\" [\"!=\"] RANGE",
                    SV_FMT(sv_head(word, 40)));
}

/* The words of iptables and those of nft for sources and destinations; others are refused, because
 * leaving one out would open a port to more than was meant. */
static int read_conditions(CniCall *c, const Value *list, PortmapConf *p, Err *err)
{
    for (uint32_t i = 0; i < value_len(list);) {
        Condition k = { .equal = true };
        IpPrefix prefix;
        StrView word = value_str(value_at(list, i));
        if (sv_eq(word, SV("!")) || sv_eq(word, SV("ip"))) {
            k.equal = !sv_eq(word, SV("!"));
            word = value_str(value_at(list, ++i));
        }
        k.source = sv_eq(word, SV("-s")) || sv_eq(word, SV("--source")) || sv_eq(word, SV("saddr"));
        if (!k.source && !sv_eq(word, SV("-d")) && !sv_eq(word, SV("--destination")) &&
            !sv_eq(word, SV("daddr")))
            return bad_condition(c, word, err);
        word = value_str(value_at(list, ++i));
        if (sv_eq(word, SV("!="))) {
            k.equal = false;
            word = value_str(value_at(list, ++i));
        }
        if (ip_prefix_parse(word, &prefix) < 0 || prefix.family != AF_INET ||
            p->n_conditions == CONDITIONS_MAX)
            return bad_condition(c, word, err);
        k.mask = prefix.bits ? htonl(UINT32_MAX << (32 - prefix.bits)) : 0;
        memcpy(&k.addr, prefix.addr, sizeof k.addr);
        k.addr &= k.mask;
        p->conditions[p->n_conditions++] = k;
        i++;
    }
    return 0;
}

static void read_pod(const CniResult *prev, PortmapConf *p)
{
    for (unsigned i = 0; i < prev->n_ips && !p->pod; i++) {
        const IpPrefix *a = &prev->ips[i].address;
        if (a->family != AF_INET)
            continue;
        memcpy(&p->pod, a->addr, sizeof p->pod);
        p->pod_mask = a->bits ? htonl(UINT32_MAX << (32 - a->bits)) : 0;
    }
    for (unsigned i = 0; i < prev->n_interfaces && !p->bridge[0]; i++)
        if (!prev->interfaces[i].sandbox[0])
            snprintf(p->bridge, sizeof p->bridge, "%s", prev->interfaces[i].name);
}

static int read_conf(CniCall *c, PortmapConf *p, CniResult *prev, Err *err)
{
    const Value *v = &c->config, *result = value_get(v, SV("prevResult"));
    StrView backend = value_str(value_get(v, SV("backend")));
    *p = (PortmapConf){ .snat = value_bool_or(value_get(v, SV("snat")), true),
                        .masq_all = value_bool_or(value_get(v, SV("masqAll")), false),
                        .reserved = value_get(v, SV("reserved")) };
    StrView table = value_str(value_get(v, SV("table")));
    if (!sv_copy_cstr(table.len ? table : SV(TABLE), p->table, sizeof p->table))
        return cni_fail(c, CNI_ERR_CONFIG, err, "table: '%.*s' is longer than %zu bytes",
                        SV_FMT(sv_head(table, 60)), sizeof p->table - 1);
    if (backend.len && !sv_eq(backend, SV("nftables")))
        return cni_fail(c, CNI_ERR_FIELD, err,
                        "backend: '%.*s' is not supported by this plugin; expected nftables",
                        SV_FMT(sv_head(backend, 40)));
    if (value_str(value_get(v, SV("externalSetMarkChain"))).len)
        return cni_fail(c, CNI_ERR_FIELD, err,
                        "externalSetMarkChain: not supported by this plugin");
    int r = read_mappings(c, p, err);
    if (r < 0 || (r = read_conditions(c, value_get(v, SV("conditionsV4")), p, err)) < 0 || !result)
        return r;
    if ((r = cni_result_parse(result, c->arena, prev, err)) == 0)
        read_pod(prev, p);
    return r;
}

/* ---- the base ---- */

static void net_match(NftBatch *b, uint32_t at, bool equal, uint32_t addr, uint32_t mask)
{
    nft_x_payload(b, 0, NFT_AT_NETWORK, at, 4);
    nft_x_bitwise(b, 0, mask, 0);
    nft_x_cmp(b, 0, equal, &addr, 4);
}

static void to_this_machine(NftBatch *b, const char *chain)
{
    uint32_t local = RTN_LOCAL;
    nft_rule_begin(b, chain);
    nft_x_fib_type(b, 0, false);
    nft_x_cmp(b, 0, true, &local, 4);
    nft_x_verdict(b, NFT_JUMP, "hostports");
    nft_rule_end(b);
}

static void look_up_rules(NftBatch *b)
{
    nft_rule_begin(b, "hostports");
    nft_x_payload(b, 0, NFT_AT_NETWORK, AT_DEST, 4);
    nft_x_meta(b, 1, NFT_META_L4PROTO);
    nft_x_payload(b, 2, NFT_AT_TRANSPORT, AT_PORT_DEST, 2);
    nft_x_vmap(b, 0, BY_ADDR);
    nft_rule_end(b);
    nft_rule_begin(b, "hostports");
    nft_x_meta(b, 0, NFT_META_L4PROTO);
    nft_x_payload(b, 1, NFT_AT_TRANSPORT, AT_PORT_DEST, 2);
    nft_x_vmap(b, 0, BY_PORT);
    nft_rule_end(b);
    nft_rule_begin(b, "postrouting");
    nft_x_payload(b, 0, NFT_AT_NETWORK, AT_DEST, 4);
    nft_x_vmap(b, 0, BY_POD);
    nft_rule_end(b);
}

/* May be repeated: chains and maps that are there stay, their rules are written again. */
static void put_base(NftBatch *b)
{
    static const char *const chains[] = { "hostports", "prerouting", "output", "postrouting",
                                          "loopback" };
    const NftSetSpec sets[] = {
        { BY_PORT, NFT_TYPE2(NFT_T_PROTO, NFT_T_PORT), 8, NFT_DATA_IS_VERDICT, 0, 0 },
        { BY_ADDR, NFT_TYPE3(NFT_T_IPV4, NFT_T_PROTO, NFT_T_PORT), 12, NFT_DATA_IS_VERDICT, 0, 0 },
        { BY_POD, NFT_T_IPV4, 4, NFT_DATA_IS_VERDICT, 0, 0 },
    };
    nft_table_add(b);
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        nft_set_add(b, &sets[i]);
    nft_chain_add(b, "hostports");
    nft_chain_base(b, "prerouting", "nat", NF_INET_PRE_ROUTING, PRIO_DNAT);
    nft_chain_base(b, "output", "nat", NF_INET_LOCAL_OUT, PRIO_DNAT);
    nft_chain_base(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIO_SNAT);
    nft_chain_base(b, "loopback", "filter", NF_INET_PRE_ROUTING, PRIO_RAW);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
        nft_chain_flush(b, chains[i]);
    to_this_machine(b, "prerouting");
    to_this_machine(b, "output");
    look_up_rules(b);
    nft_drop_foreign_loopback(b, "loopback");
}

/* ---- a container's part ---- */

static const char *mapping_chain(const CniCall *c, const Mapping *m, char buf[static NAME_SIZE])
{
    snprintf(buf, NAME_SIZE, "dnat-%.100s-%u-%u-%08x", c->container_id, m->proto, m->host_port,
             ntohl(m->host_ip));
    return buf;
}

static const char *pod_chain(const CniCall *c, char buf[static NAME_SIZE])
{
    snprintf(buf, NAME_SIZE, "snat-%.100s", c->container_id);
    return buf;
}

static void mapping_elem(NftBatch *b, const Mapping *m, const char *chain, bool add)
{
    uint32_t by_addr[] = { m->host_ip, m->proto, htons(m->host_port) };
    const char *map = m->host_ip ? BY_ADDR : BY_PORT;
    const uint32_t *key = m->host_ip ? by_addr : by_addr + 1;
    size_t len = m->host_ip ? 12 : 8;
    if (add)
        nft_elem_add(b, map, key, len, chain);
    else
        nft_elem_del(b, map, key, len);
}

static void put_mapping(NftBatch *b, const CniCall *c, const PortmapConf *p, const Mapping *m)
{
    char chain[NAME_SIZE];
    mapping_chain(c, m, chain);
    nft_chain_add(b, chain);
    nft_chain_flush(b, chain);
    nft_rule_begin(b, chain);
    for (unsigned i = 0; i < p->n_conditions; i++) {
        const Condition *k = &p->conditions[i];
        net_match(b, k->source ? AT_SOURCE : AT_DEST, k->equal, k->addr, k->mask);
    }
    nft_x_l4proto(b, m->proto);
    nft_x_dnat_to(b, p->pod, htons(m->container_port));
    nft_rule_end(b);
    mapping_elem(b, m, chain, true);
}

/* Connections through a mapping whose replies would not come back by themselves: from the
 * container's own network (and so from itself), and from this machine's loopback; all of them with
 * masqAll. */
static void put_masquerade(NftBatch *b, const char *chain, const PortmapConf *p)
{
    const struct {
        uint32_t addr, mask;
    } from[] = { { p->pod & p->pod_mask, p->pod_mask },
                 { htonl(INADDR_LOOPBACK & 0xff000000), htonl(0xff000000) } };
    for (size_t i = 0; i < (p->masq_all ? 1 : ARRAY_SIZE(from)); i++) {
        uint32_t dnat = STATUS_DNAT, zero = 0;
        nft_rule_begin(b, chain);
        nft_x_ct(b, 0, NFT_CT_STATUS);
        nft_x_bitwise(b, 0, dnat, 0);
        nft_x_cmp(b, 0, false, &zero, 4);
        if (!p->masq_all)
            net_match(b, AT_SOURCE, true, from[i].addr, from[i].mask);
        nft_x_masquerade(b);
        nft_rule_end(b);
    }
}

/* One transaction for each: an element goes only together with this container's chain, so that what
 * another container holds stays. */
static int take_one(Nft *n, const char *chain, const Mapping *m, const PortmapConf *p, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(p->table);
    if (!b)
        return err_nomem(err);
    nft_chain_flush(b, chain);
    if (m)
        mapping_elem(b, m, NULL, false);
    else
        nft_elem_del(b, BY_POD, &p->pod, sizeof p->pod);
    nft_chain_del(b, chain);
    int r = nft_commit(n, b, err);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

/* Fine when there is nothing of it. */
static int take_all(const CniCall *c, const PortmapConf *p, Err *err)
{
    char chain[NAME_SIZE];
    Nft *n = NULL;
    int r = nft_open(&n, err);
    for (unsigned i = 0; i < p->n_mappings && r == 0; i++)
        r = take_one(n, mapping_chain(c, &p->mappings[i], chain), &p->mappings[i], p, err);
    if (r == 0 && p->snat && p->pod)
        r = take_one(n, pod_chain(c, chain), NULL, p, err);
    nft_close(n);
    return r;
}

static bool leads_elsewhere(void *ctx, uint32_t dst, uint16_t dport, uint32_t reply_src,
                            uint16_t reply_sport)
{
    const PortmapConf *p = ctx;
    for (unsigned i = 0; i < p->n_mappings; i++)
        if (p->mappings[i].proto == IPPROTO_UDP && dport == htons(p->mappings[i].host_port))
            return reply_src != p->pod;
    return false;
}

/* Packets of this machine to its own 127.0.0.1 may leave by the bridge; what comes in by it with
 * such an address is dropped (the chain "loopback"). */
static void allow_loopback(const PortmapConf *p)
{
    char path[128];
    if (!p->snat || !p->bridge[0])
        return;
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", p->bridge);
    file_write(AT_FDCWD, path, SV("1"), 0644);
}

static int put_all(CniCall *c, PortmapConf *p, Err *err)
{
    char chain[NAME_SIZE];
    Nft *n = NULL;
    int r = nft_open(&n, err);
    if (r < 0)
        return r;
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(p->table);
    if (b) {
        put_base(b);
        for (unsigned i = 0; i < p->n_mappings; i++)
            put_mapping(b, c, p, &p->mappings[i]);
        if (p->snat) {
            pod_chain(c, chain);
            nft_chain_add(b, chain);
            nft_chain_flush(b, chain);
            put_masquerade(b, chain, p);
            nft_elem_add(b, BY_POD, &p->pod, sizeof p->pod, chain);
        }
        r = nft_commit(n, b, err);
    } else
        r = err_nomem(err);
    nft_close(n);
    if (r < 0) {
        /* Of an answer that was lost nobody knows what it was. */
        (void)!take_all(c, p, NULL);
        return err_wrap(err, "map ports of the host (are they taken?)");
    }
    allow_loopback(p);
    Err own = { 0 }; /* without connection tracking there is nothing to forget */
    (void)!nft_conntrack_forget_udp(leads_elsewhere, p, &own);
    return 0;
}

static int portmap_add(CniCall *c, CniResult *ret, Err *err)
{
    PortmapConf *p = arena_new(c->arena, PortmapConf);
    if (!p)
        return err_nomem(err);
    if (!value_get(&c->config, SV("prevResult")))
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "prevResult: this plugin must be called behind another");
    int r = read_conf(c, p, ret, err);
    if (r < 0 || !p->n_mappings || !p->pod || (r = check_free(c, p, err)) < 0)
        return r;
    return put_all(c, p, err);
}

static int portmap_del(CniCall *c, Err *err)
{
    PortmapConf *p = arena_new(c->arena, PortmapConf);
    CniResult prev;
    if (!p)
        return err_nomem(err);
    int r = read_conf(c, p, &prev, err);
    return r < 0 || !p->n_mappings ? r : take_all(c, p, err);
}

/* The kernel is asked to exchange each element for itself: it refuses when there is none. */
static int portmap_check(CniCall *c, Err *err)
{
    PortmapConf *p = arena_new(c->arena, PortmapConf);
    CniResult prev;
    char chain[NAME_SIZE];
    Nft *n = NULL;
    if (!p)
        return err_nomem(err);
    int r = read_conf(c, p, &prev, err);
    if (r < 0 || !p->n_mappings || !p->pod || (r = nft_open(&n, err)) < 0)
        return r;
    for (unsigned i = 0; i < p->n_mappings && r == 0; i++) {
        _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(p->table);
        if (!b)
            r = err_nomem(err);
        else {
            mapping_elem(b, &p->mappings[i], NULL, false);
            mapping_elem(b, &p->mappings[i], mapping_chain(c, &p->mappings[i], chain), true);
            r = nft_commit(n, b, err);
        }
        if (r < 0)
            r = err_wrap(err, "port %u of the host is not mapped", p->mappings[i].host_port);
    }
    nft_close(n);
    return r;
}

const CniPlugin cni_portmap = { "portmap", portmap_add, portmap_del, portmap_check, NULL, NULL };
