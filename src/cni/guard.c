/* guard.c - see guard.h. */
#include "cni/guard.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "netlink/nft.h"

#define ENTRY "source"
#define PORTS "ports"

enum {
    NAME_SIZE = 32,
    PORT_SIZE = 16,     /* IFNAMSIZ */
    PRIORITY = -300,    /* before all other rules for bridges */
    AT_LINK = 0,        /* NFT_PAYLOAD_LL_HEADER */
    LINK_SOURCE = 6,    /* of an Ethernet header */
    IP_SOURCE = 12,     /* of an IPv4 header */
    ARP_SENDER_MAC = 8, /* of ARP for Ethernet and IPv4 (RFC 826) */
    ARP_SENDER_IP = 14,
};

static NftBatch *batch_of(const char *bridge)
{
    char table[NAME_SIZE];
    snprintf(table, sizeof table, "%.20s-guard", bridge);
    return nft_batch_new_bridge(table);
}

static void match(NftBatch *b, uint32_t base, uint32_t offset, bool equal, const void *data,
                  size_t len)
{
    nft_x_payload(b, 0, base, offset, (uint32_t)len);
    nft_x_cmp(b, 0, equal, data, len);
}

static void match_protocol(NftBatch *b, uint16_t protocol)
{
    uint16_t wire = htons(protocol);
    nft_x_meta(b, 0, NFT_META_PROTOCOL);
    nft_x_cmp(b, 0, true, &wire, sizeof wire);
}

static void address_rule(NftBatch *b, const char *chain, uint16_t protocol, uint32_t offset,
                         uint32_t ip)
{
    nft_rule_begin(b, chain);
    match_protocol(b, protocol);
    match(b, NFT_AT_NETWORK, offset, true, &ip, sizeof ip);
    nft_x_verdict(b, NF_ACCEPT, NULL);
    nft_rule_end(b);
}

static void drop_rule(NftBatch *b, const char *chain)
{
    nft_rule_begin(b, chain);
    nft_x_verdict(b, NF_DROP, NULL);
    nft_rule_end(b);
}

static void port_rules(NftBatch *b, const PortGuard *g)
{
    nft_rule_begin(b, g->port);
    match(b, AT_LINK, LINK_SOURCE, false, g->mac, sizeof g->mac);
    nft_x_verdict(b, NF_DROP, NULL);
    nft_rule_end(b);
    nft_rule_begin(b, g->port);
    match_protocol(b, ETH_P_ARP);
    match(b, NFT_AT_NETWORK, ARP_SENDER_MAC, false, g->mac, sizeof g->mac);
    nft_x_verdict(b, NF_DROP, NULL);
    nft_rule_end(b);
    if (!g->addresses)
        return;
    for (unsigned i = 0; i < g->n_ips; i++) {
        address_rule(b, g->port, ETH_P_IP, IP_SOURCE, g->ips[i]);
        address_rule(b, g->port, ETH_P_ARP, ARP_SENDER_IP, g->ips[i]);
    }
    address_rule(b, g->port, ETH_P_ARP, ARP_SENDER_IP,
                 0); /* a probe announces nothing (RFC 5227) */
    drop_rule(b, g->port);
}

/* What all ports share; whoever sets a guard makes it anew, in the same transaction. */
static void entry_rules(NftBatch *b)
{
    NftSetSpec ports = { .name = PORTS,
                         .key_type = NFT_T_IFNAME,
                         .key_len = PORT_SIZE,
                         .data_len = NFT_DATA_IS_VERDICT };
    nft_table_add(b);
    nft_chain_base(b, ENTRY, "filter", NF_INET_PRE_ROUTING, PRIORITY);
    nft_set_add(b, &ports);
    nft_chain_flush(b, ENTRY);
    nft_rule_begin(b, ENTRY);
    nft_x_meta(b, 0, NFT_META_IIFNAME);
    nft_x_vmap(b, 0, PORTS);
    nft_rule_end(b);
}

static int commit(NftBatch *b, Err *err)
{
    Nft *n = NULL;
    if (!b)
        return err_nomem(err);
    int r = nft_open(&n, err);
    if (r == 0)
        r = nft_commit(n, b, err);
    nft_close(n);
    return r;
}

int port_guard_set(const PortGuard *g, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = batch_of(g->bridge);
    char key[PORT_SIZE] = "";
    memcpy(key, g->port, strnlen(g->port, sizeof key - 1));
    if (b) {
        entry_rules(b);
        nft_chain_add(b, g->port);
        nft_chain_flush(b, g->port);
        port_rules(b, g);
        nft_elem_add(b, PORTS, key, sizeof key, g->port);
    }
    int r = commit(b, err);
    return r < 0 ? err_wrap(err, "guard port '%s' of bridge '%s'", g->port, g->bridge) : 0;
}

int port_guard_remove(const char *bridge, const char *port, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = batch_of(bridge);
    char key[PORT_SIZE] = "";
    memcpy(key, port, strnlen(port, sizeof key - 1));
    if (b) {
        nft_elem_del(b, PORTS, key, sizeof key);
        nft_chain_flush(b, port);
        nft_chain_del(b, port);
    }
    int r = commit(b, err);
    return r == -ERR_NOT_FOUND || r == -ERR_UNSUPPORTED ? 0 : r;
}

int port_guard_cleanup(const char *bridge, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = batch_of(bridge);
    if (b)
        nft_table_del(b);
    int r = commit(b, err);
    return r == -ERR_NOT_FOUND || r == -ERR_UNSUPPORTED ? 0 : r;
}
