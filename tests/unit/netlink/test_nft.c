/* test_nft.c - batches of nf_tables, for real: in a network namespace of its own. Needs root and
 * nf_tables. */
#include "netlink/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "netlink/nft_need.h"
#include "unit.h"

static Nft *nft;
static Err err;

static int setup(void **state)
{
    err_clear(&err);
    nft = NULL;
    if (geteuid() != 0)
        return 0;
    return unshare(CLONE_NEWNET) < 0 || nft_open(&nft, &err) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    nft = nft_close(nft);
    return 0;
}

#define NEED_ROOT                                                                                  \
    do {                                                                                           \
        if (!nft)                                                                                  \
            skip();                                                                                \
    } while (0)

/* Sends the batch and frees it. */
static int commit(NftBatch *b)
{
    err_clear(&err);
    int r = nft_commit(nft, b, &err);
    nft_batch_free(b);
    return r;
}

static void ok(int r)
{
    if (r < 0)
        fail_msg("%s", err.msg);
}

static NftBatch *batch(void)
{
    NftBatch *b = nft_batch_new("t");
    assert_non_null(b);
    return b;
}

static NftBatch *with_table(void)
{
    NftBatch *b = batch();
    nft_table_add(b);
    return b;
}

static bool has_chain(const char *name)
{
    NftBatch *b = batch();
    nft_chain_flush(b, name); /* of one that is not there: ENOENT */
    return commit(b) == 0;
}

static void test_an_empty_batch_is_fine(void **state)
{
    NEED_ROOT;
    NftBatch *b = batch();
    assert_int_equal(nft_batch_len(b), 0);
    ok(commit(b));
    nft_batch_freep(&(NftBatch *){ NULL });
}

static void test_a_table_may_be_there_already(void **state)
{
    NEED_ROOT;
    ok(commit(with_table()));
    ok(commit(with_table()));
    NftBatch *b = batch();
    nft_table_del(b);
    ok(commit(b));
    b = batch();
    nft_table_del(b);
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
    b = batch();
    nft_chain_add(b, "c"); /* its table is not there */
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
}

static void test_all_or_nothing(void **state)
{
    NEED_ROOT;
    NftBatch *b = with_table();
    nft_chain_add(b, "first");
    nft_chain_del(b, "no-such");
    nft_chain_add(b, "last");
    assert_true(nft_batch_len(b) >= 4);
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
    assert_true(err.msg[0]);
    assert_false(has_chain("first"));
    assert_false(has_chain("last"));
}

static void test_a_chain_in_use_is_not_removed(void **state)
{
    NEED_ROOT;
    NftBatch *b = with_table();
    nft_chain_add(b, "target");
    nft_chain_base(b, "in", "filter", NF_INET_LOCAL_IN, 0);
    nft_rule_begin(b, "in");
    nft_x_verdict(b, NFT_JUMP, "target");
    nft_rule_end(b);
    ok(commit(b));
    b = batch();
    nft_chain_del(b, "target");
    assert_true(commit(b) < 0);
    assert_true(has_chain("target"));
    b = batch();
    nft_chain_flush(b, "in");
    nft_chain_del(b, "target");
    nft_chain_del(b, "in");
    ok(commit(b));
    assert_false(has_chain("target"));
}

static void test_elements(void **state)
{
    NEED_ROOT;
    const NftSetSpec set = { .name = "pods",
                             .key_type = NFT_T_IPV4,
                             .key_len = 4,
                             .data_len = NFT_DATA_NONE },
                     map = { .name = "to",
                             .key_type = NFT_T_IPV4,
                             .key_len = 4,
                             .data_len = NFT_DATA_IS_VERDICT };
    uint32_t ip = htonl(0x0a000001), other = htonl(0x0a000002);
    NftBatch *b = with_table();
    nft_chain_add(b, "c");
    nft_set_add(b, &set);
    nft_set_add(b, &map);
    nft_elem_add(b, "pods", &ip, sizeof ip, NULL);
    nft_elem_add(b, "to", &ip, sizeof ip, "c");
    ok(commit(b));
    b = batch();
    nft_elem_del(b, "pods", &other, sizeof other);
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
    b = batch();
    nft_chain_del(b, "c"); /* an element leads to it */
    assert_true(commit(b) < 0);
    b = batch();
    nft_elem_del(b, "pods", &ip, sizeof ip);
    nft_set_flush(b, "to");
    nft_chain_del(b, "c");
    ok(commit(b));
    b = batch();
    nft_elem_del(b, "pods", &ip, sizeof ip);
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
    b = batch();
    nft_elem_add(b, "to", &ip, sizeof ip, "c"); /* to a chain that is gone */
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
    b = batch();
    nft_set_del(b, "pods");
    nft_set_del(b, "to");
    ok(commit(b));
}

/* Each expression is one that this kernel takes. */
static void test_rules_of_the_proxy_are_taken(void **state)
{
    NEED_ROOT;
    if (nft_missing_module())
        skip();
    const NftSetSpec seen = {
        .name = "seen", .key_type = NFT_T_IPV4, .key_len = 4, .timeout_ms = 1000
    };
    uint32_t targets[2] = { htonl(0x0a000001), htonl(0x0a000002) }, ip = targets[0];
    NftBatch *b = with_table();
    nft_set_add(b, &seen);
    nft_chain_base(b, "pre", "nat", NF_INET_PRE_ROUTING, -100);
    uint32_t map = nft_anon_map(b, targets, 4, NFT_T_IPV4, 2);
    nft_rule_begin(b, "pre");
    nft_x_payload(b, 0, NFT_AT_NETWORK, 16, 4);
    nft_x_cmp(b, 0, true, &ip, sizeof ip);
    nft_x_bitwise(b, 0, htonl(0xffffff00), 0);
    nft_x_random(b, 1, 2);
    nft_x_anon_map(b, 1, map, 2);
    nft_x_dnat(b, 2, 2);
    nft_rule_end(b);
    nft_rule_begin(b, "pre");
    nft_x_payload(b, 0, NFT_AT_NETWORK, 12, 4);
    nft_x_remember(b, 0, "seen", 1000);
    nft_rule_end(b);
    nft_rule_begin(b, "pre");
    nft_x_l4proto(b, IPPROTO_TCP);
    nft_x_dnat_to(b, ip, htons(80));
    nft_rule_end(b);
    nft_chain_base(b, "post", "nat", NF_INET_POST_ROUTING, 100);
    nft_rule_begin(b, "post");
    nft_x_meta(b, 0, NFT_META_MARK);
    nft_x_lookup(b, 0, "seen");
    nft_x_masquerade(b);
    nft_rule_end(b);
    nft_chain_base(b, "raw", "filter", NF_INET_PRE_ROUTING, -300);
    nft_drop_foreign_loopback(b, "raw");
    nft_rule_begin(b, "raw");
    nft_x_fib_type(b, 0, false);
    nft_x_ct(b, 1, NFT_CT_STATE);
    nft_x_reject(b, false);
    nft_rule_end(b);
    ok(commit(b));
    b = batch();
    nft_table_del(b);
    ok(commit(b));
}

static void test_a_loop_of_chains_is_refused(void **state)
{
    NEED_ROOT;
    NftBatch *b = with_table();
    nft_chain_base(b, "in", "filter", NF_INET_LOCAL_IN, 0);
    nft_chain_add(b, "a");
    nft_chain_add(b, "b");
    const char *const way[][2] = { { "in", "a" }, { "a", "b" }, { "b", "a" } };
    for (size_t i = 0; i < 3; i++) {
        nft_rule_begin(b, way[i][0]);
        nft_x_verdict(b, NFT_JUMP, way[i][1]);
        nft_rule_end(b);
    }
    assert_true(commit(b) < 0);
    assert_false(has_chain("a"));
}

static void never(NftBatch *b)
{
    nft_x_verdict(b, NFT_JUMP, "no-such-chain");
}

static void accept_all(NftBatch *b)
{
    nft_x_verdict(b, NF_ACCEPT, NULL);
}

static void test_a_probe_leaves_nothing(void **state)
{
    NEED_ROOT;
    assert_true(nft_try("filter", NF_INET_LOCAL_IN, accept_all));
    assert_false(nft_try("filter", NF_INET_LOCAL_IN, never));
    assert_false(nft_try("no-such-type", NF_INET_LOCAL_IN, accept_all));
    (void)nft_has_netdev();
    NftBatch *b = nft_batch_new("knarr-probe");
    nft_table_del(b);
    assert_int_equal(commit(b), -ERR_NOT_FOUND);
}

static bool all(void *ctx, uint32_t dst, uint16_t dport, uint32_t reply_src, uint16_t reply_sport)
{
    ++*(unsigned *)ctx;
    return true;
}

static void test_nothing_to_forget_is_fine(void **state)
{
    NEED_ROOT;
    unsigned asked = 0;
    int r = nft_conntrack_forget_udp(all, &asked, &err);
    if (r == -ERR_UNSUPPORTED)
        skip();
    ok(r);
    assert_int_equal(asked, 0);
}

#define NFT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NFT_TEST(test_an_empty_batch_is_fine),
        NFT_TEST(test_a_table_may_be_there_already),
        NFT_TEST(test_all_or_nothing),
        NFT_TEST(test_a_chain_in_use_is_not_removed),
        NFT_TEST(test_elements),
        NFT_TEST(test_rules_of_the_proxy_are_taken),
        NFT_TEST(test_a_loop_of_chains_is_refused),
        NFT_TEST(test_a_probe_leaves_nothing),
        NFT_TEST(test_nothing_to_forget_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
