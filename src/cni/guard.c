/* guard.c - see guard.h. */
#include "cni/guard.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "netlink/nft.h"

enum {
    NAME_SIZE = 32,
    PRIORITY = -300,    /* before all other rules of the device */
    AT_LINK = 0,        /* NFT_PAYLOAD_LL_HEADER */
    LINK_SOURCE = 6,    /* of an Ethernet header */
    LINK_TYPE = 12,     /* of a tagged frame that of its tag, though the kernel has taken it off */
    IP_SOURCE = 12,     /* of an IPv4 header */
    ARP_SENDER_MAC = 8, /* of ARP for Ethernet and IPv4 (RFC 826) */
    ARP_SENDER_IP = 14,
};

static NftBatch *batch_of(const char *bridge)
{
    char table[NAME_SIZE];
    snprintf(table, sizeof table, "%.20s-guard", bridge);
    return nft_batch_new_netdev(table);
}

static void match(NftBatch *b, uint32_t base, uint32_t offset, bool equal, const void *data,
                  size_t len)
{
    nft_x_payload(b, 0, base, offset, (uint32_t)len);
    nft_x_cmp(b, 0, equal, data, len);
}

/* A rule that looks at the Ethernet header. */
static void link_rule_begin(NftBatch *b, const char *chain)
{
    uint16_t ethernet = ARPHRD_ETHER;
    nft_rule_begin(b, chain);
    nft_x_meta(b, 0, NFT_META_IIFTYPE);
    nft_x_cmp(b, 0, true, &ethernet, sizeof ethernet);
}

static void match_protocol(NftBatch *b, uint16_t protocol)
{
    uint16_t wire = htons(protocol);
    nft_x_meta(b, 0, NFT_META_PROTOCOL);
    nft_x_cmp(b, 0, true, &wire, sizeof wire);
}

/* All but IPv4 and ARP; what match_protocol() matches may lie behind a tag. */
static void drop_others(NftBatch *b, const char *chain)
{
    uint16_t ip = htons(ETH_P_IP), arp = htons(ETH_P_ARP);
    link_rule_begin(b, chain);
    match(b, AT_LINK, LINK_TYPE, false, &ip, sizeof ip);
    match(b, AT_LINK, LINK_TYPE, false, &arp, sizeof arp);
    nft_x_verdict(b, NF_DROP, NULL);
    nft_rule_end(b);
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
    link_rule_begin(b, g->port);
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
    drop_others(b, g->port);
    for (unsigned i = 0; i < g->n_ips; i++) {
        address_rule(b, g->port, ETH_P_IP, IP_SOURCE, g->ips[i]);
        address_rule(b, g->port, ETH_P_ARP, ARP_SENDER_IP, g->ips[i]);
    }
    address_rule(b, g->port, ETH_P_ARP, ARP_SENDER_IP,
                 0); /* a probe announces nothing (RFC 5227) */
    drop_rule(b, g->port);
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
    if (b) {
        nft_table_add(b);
        nft_chain_ingress(b, g->port, g->port, PRIORITY);
        nft_chain_flush(b, g->port);
        port_rules(b, g);
    }
    int r = commit(b, err);
    return r < 0 ? err_wrap(err, "guard port '%s' of bridge '%s'", g->port, g->bridge) : 0;
}

int port_guard_remove(const char *bridge, const char *port, Err *err)
{
    _cleanup_(nft_batch_freep) NftBatch *b = batch_of(bridge);
    if (b) {
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
