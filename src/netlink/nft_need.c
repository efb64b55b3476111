/* nft_need.c - one row for each module: to use a new expression in rules, add its row. */
#include "netlink/nft_need.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#define TABLE "knarr-probe"

static void ct_rule(NftBatch *b)
{
    nft_x_ct(b, 0, NFT_CT_STATE);
}

static void fib_rule(NftBatch *b)
{
    nft_x_fib_type(b, 0, false);
}

static void random_rule(NftBatch *b)
{
    nft_x_random(b, 0, 2);
}

static void reject_rule(NftBatch *b)
{
    nft_x_reject(b, false);
}

static void masquerade_rule(NftBatch *b)
{
    nft_x_masquerade(b);
}

static void dnat_rule(NftBatch *b)
{
    nft_x_l4proto(b, IPPROTO_TCP);
    nft_x_dnat_to(b, htonl(INADDR_LOOPBACK), htons(1));
}

static void empty_rule(NftBatch *b)
{
    nft_x_verdict(b, NF_ACCEPT, NULL);
}

/* `type` NULL: of family netdev. */
static bool try_batch(NftBatch *b, const char *type, uint32_t hook, void (*rule)(NftBatch *b))
{
    Err err = { 0 };
    Nft *n = NULL;
    if (nft_open(&n, &err) < 0)
        return true; /* another row's business */
    int r = 0;
    if (b) {
        nft_table_add(b);
        if (type)
            nft_chain_base(b, "probe", type, hook, 0);
        else
            nft_chain_ingress(b, "probe", "lo", 0);
        nft_rule_begin(b, "probe");
        rule(b);
        nft_rule_end(b);
        nft_table_del(b);
        r = nft_commit(n, b, &err);
    }
    nft_close(n);
    return r != -ERR_NOT_FOUND && r != -ERR_UNSUPPORTED;
}

bool nft_try(const char *type, uint32_t hook, void (*rule)(NftBatch *b))
{
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(TABLE);
    return try_batch(b, type, hook, rule);
}

bool nft_has_netdev(void)
{
    _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new_netdev(TABLE);
    return try_batch(b, NULL, 0, empty_rule);
}

const char *nft_missing_module(void)
{
    static const struct {
        const char *module, *type;
        uint32_t hook;
        void (*rule)(NftBatch *b);
    } rows[] = {
        { "nft_chain_nat", "nat", NF_INET_POST_ROUTING, empty_rule },
        { "nft_ct", "filter", NF_INET_PRE_ROUTING, ct_rule },
        { "nft_fib_ipv4", "filter", NF_INET_PRE_ROUTING, fib_rule },
        { "nft_numgen", "filter", NF_INET_PRE_ROUTING, random_rule },
        { "nft_reject_ipv4", "filter", NF_INET_PRE_ROUTING, reject_rule },
        { "nft_masq", "nat", NF_INET_POST_ROUTING, masquerade_rule },
        { "nft_nat", "nat", NF_INET_PRE_ROUTING, dnat_rule },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!nft_try(rows[i].type, rows[i].hook, rows[i].rule))
            return rows[i].module;
    return NULL;
}
