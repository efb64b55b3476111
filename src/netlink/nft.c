/* nft.c - messages of nf_tables, packed by libmnl.
 *
 * Each message is built in a scratch area and appended to the batch, which keeps the name of every
 * operation by sequence number so that a refusal can be told in words. Only the last message asks
 * for an acknowledgement; refused ones are reported by the kernel anyway. To add an expression: one
 * function between expr() and expr_end(). */
#include "netlink/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum { SCRATCH_SIZE = 65536, ELEMS_PER_MESSAGE = 512, ANSWER_TIMEOUT_MS = 10000, OP_SIZE = 64 };

struct Nft {
    struct mnl_socket *sock;
    uint32_t next_seq;
};

typedef struct Op {
    char text[OP_SIZE];
} Op;

struct NftBatch {
    char *table;
    uint8_t family;
    Buf bytes, ops;
    uint32_t n, next_id;
    char *scratch;
    struct nlmsghdr *h;
    struct nlattr *list, *elem, *data; /* open nests of a rule */
    size_t last_at;
};

int nft_open(Nft **ret, Err *err)
{
    Nft *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    n->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    n->next_seq = (uint32_t)time(NULL);
    if (!n->sock || mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        int r = err_errno(err, "open an nf_tables socket");
        nft_close(n);
        return r;
    }
    *ret = n;
    return 0;
}

Nft *nft_close(Nft *n)
{
    if (n && n->sock)
        mnl_socket_close(n->sock);
    free(n);
    return NULL;
}

static NftBatch *batch_new(const char *table, uint8_t family)
{
    NftBatch *b = calloc(1, sizeof *b);
    if (!b || !(b->table = strdup(table)) || !(b->scratch = malloc(SCRATCH_SIZE)))
        return nft_batch_free(b);
    b->family = family;
    return b;
}

NftBatch *nft_batch_new(const char *table)
{
    return batch_new(table, NFPROTO_IPV4);
}

NftBatch *nft_batch_new_netdev(const char *table)
{
    return batch_new(table, NFPROTO_NETDEV);
}

NftBatch *nft_batch_free(NftBatch *b)
{
    if (b) {
        buf_free(&b->bytes);
        buf_free(&b->ops);
        free(b->table);
        free(b->scratch);
    }
    free(b);
    return NULL;
}

size_t nft_batch_len(const NftBatch *b)
{
    return b->n;
}

/* --- messages ------------------------------------------------------------------------------------
 */

static void begin(NftBatch *b, uint16_t type, uint16_t flags, const char *what, const char *name)
{
    Op op;
    snprintf(op.text, sizeof op.text, "%s %s", what, name);
    buf_append(&b->ops, &op, sizeof op);
    b->h = mnl_nlmsg_put_header(b->scratch);
    b->h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    b->h->nlmsg_flags = NLM_F_REQUEST | flags;
    b->h->nlmsg_seq = b->n++; /* made absolute by the commit */
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(b->h, sizeof *g);
    *g = (struct nfgenmsg){ .nfgen_family = b->family, .version = NFNETLINK_V0 };
}

static void end(NftBatch *b)
{
    b->last_at = b->bytes.len;
    buf_append(&b->bytes, b->h, b->h->nlmsg_len);
}

static void put_u32(NftBatch *b, uint16_t attr, uint32_t v)
{
    mnl_attr_put_u32(b->h, attr, htonl(v));
}

void nft_table_add(NftBatch *b)
{
    begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, "add table", b->table);
    mnl_attr_put_strz(b->h, NFTA_TABLE_NAME, b->table);
    end(b);
}

void nft_table_del(NftBatch *b)
{
    begin(b, NFT_MSG_DELTABLE, 0, "delete table", b->table);
    mnl_attr_put_strz(b->h, NFTA_TABLE_NAME, b->table);
    end(b);
}

static void chain_begin(NftBatch *b, uint16_t type, uint16_t flags, const char *what,
                        const char *name)
{
    begin(b, type, flags, what, name);
    mnl_attr_put_strz(b->h, NFTA_CHAIN_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_CHAIN_NAME, name);
}

void nft_chain_add(NftBatch *b, const char *name)
{
    chain_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain", name);
    end(b);
}

/* `device` NULL: the hook is of no single one. */
static void base(NftBatch *b, const char *name, const char *type, uint32_t hook, int32_t priority,
                 const char *device)
{
    chain_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain", name);
    struct nlattr *nest = mnl_attr_nest_start(b->h, NFTA_CHAIN_HOOK);
    put_u32(b, NFTA_HOOK_HOOKNUM, hook);
    put_u32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    if (device)
        mnl_attr_put_strz(b->h, NFTA_HOOK_DEV, device);
    mnl_attr_nest_end(b->h, nest);
    put_u32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
    mnl_attr_put_strz(b->h, NFTA_CHAIN_TYPE, type);
    end(b);
}

void nft_chain_base(NftBatch *b, const char *name, const char *type, uint32_t hook,
                    int32_t priority)
{
    base(b, name, type, hook, priority, NULL);
}

void nft_chain_ingress(NftBatch *b, const char *name, const char *device, int32_t priority)
{
    base(b, name, "filter", NF_NETDEV_INGRESS, priority, device);
}

void nft_chain_del(NftBatch *b, const char *name)
{
    chain_begin(b, NFT_MSG_DELCHAIN, 0, "delete chain", name);
    end(b);
}

void nft_chain_flush(NftBatch *b, const char *name)
{
    begin(b, NFT_MSG_DELRULE, 0, "flush chain", name);
    mnl_attr_put_strz(b->h, NFTA_RULE_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_RULE_CHAIN, name);
    end(b);
}

/* --- sets ----------------------------------------------------------------------------------------
 */

static void set_put(NftBatch *b, const NftSetSpec *s, uint32_t flags, uint32_t id)
{
    begin(b, NFT_MSG_NEWSET, NLM_F_CREATE, "add set", s->name);
    mnl_attr_put_strz(b->h, NFTA_SET_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_SET_NAME, s->name);
    put_u32(b, NFTA_SET_ID, id);
    if (s->data_len)
        flags |= NFT_SET_MAP;
    if (s->timeout_ms)
        flags |= NFT_SET_TIMEOUT | NFT_SET_EVAL;
    put_u32(b, NFTA_SET_FLAGS, flags);
    put_u32(b, NFTA_SET_KEY_TYPE, s->key_type);
    put_u32(b, NFTA_SET_KEY_LEN, s->key_len);
    if (s->data_len == NFT_DATA_IS_VERDICT)
        put_u32(b, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
    else if (s->data_len) {
        put_u32(b, NFTA_SET_DATA_TYPE, s->data_type);
        put_u32(b, NFTA_SET_DATA_LEN, (uint32_t)s->data_len);
    }
    if (s->timeout_ms)
        mnl_attr_put_u64(b->h, NFTA_SET_TIMEOUT, htobe64(s->timeout_ms));
    end(b);
}

void nft_set_add(NftBatch *b, const NftSetSpec *s)
{
    set_put(b, s, 0, ++b->next_id);
}

void nft_set_del(NftBatch *b, const char *name)
{
    begin(b, NFT_MSG_DELSET, 0, "delete set", name);
    mnl_attr_put_strz(b->h, NFTA_SET_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_SET_NAME, name);
    end(b);
}

static void elems_begin(NftBatch *b, uint16_t type, uint16_t flags, const char *what,
                        const char *set)
{
    begin(b, type, flags, what, set);
    mnl_attr_put_strz(b->h, NFTA_SET_ELEM_LIST_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_SET_ELEM_LIST_SET, set);
}

void nft_set_flush(NftBatch *b, const char *name)
{
    elems_begin(b, NFT_MSG_DELSETELEM, 0, "flush set", name);
    end(b);
}

static void put_data(NftBatch *b, uint16_t attr, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(b->h, attr);
    mnl_attr_put(b->h, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(b->h, nest);
}

static void put_verdict(NftBatch *b, uint16_t attr, int code, const char *chain)
{
    struct nlattr *nest = mnl_attr_nest_start(b->h, attr);
    struct nlattr *v = mnl_attr_nest_start(b->h, NFTA_DATA_VERDICT);
    put_u32(b, NFTA_VERDICT_CODE, (uint32_t)code);
    if (chain)
        mnl_attr_put_strz(b->h, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(b->h, v);
    mnl_attr_nest_end(b->h, nest);
}

void nft_elem_add(NftBatch *b, const char *set, const void *key, size_t len, const char *goto_chain)
{
    elems_begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "add element to", set);
    struct nlattr *list = mnl_attr_nest_start(b->h, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *e = mnl_attr_nest_start(b->h, NFTA_LIST_ELEM);
    put_data(b, NFTA_SET_ELEM_KEY, key, len);
    if (goto_chain)
        put_verdict(b, NFTA_SET_ELEM_DATA, NFT_GOTO, goto_chain);
    mnl_attr_nest_end(b->h, e);
    mnl_attr_nest_end(b->h, list);
    end(b);
}

void nft_elem_del(NftBatch *b, const char *set, const void *key, size_t len)
{
    elems_begin(b, NFT_MSG_DELSETELEM, 0, "delete element of", set);
    struct nlattr *list = mnl_attr_nest_start(b->h, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *e = mnl_attr_nest_start(b->h, NFTA_LIST_ELEM);
    put_data(b, NFTA_SET_ELEM_KEY, key, len);
    mnl_attr_nest_end(b->h, e);
    mnl_attr_nest_end(b->h, list);
    end(b);
}

#define ANON_MAP "__map%d" /* the kernel fills the number in */

uint32_t nft_anon_map(NftBatch *b, const void *data, size_t data_len, uint32_t data_type, size_t n)
{
    uint32_t id = ++b->next_id;
    NftSetSpec s = { .name = ANON_MAP,
                     .key_type = NFT_T_U32,
                     .key_len = 4,
                     .data_len = (int)data_len,
                     .data_type = data_type };
    set_put(b, &s, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT, id);
    for (size_t at = 0; at < n;) {
        elems_begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "add endpoints to", ANON_MAP);
        put_u32(b, NFTA_SET_ELEM_LIST_SET_ID, id);
        struct nlattr *list = mnl_attr_nest_start(b->h, NFTA_SET_ELEM_LIST_ELEMENTS);
        for (size_t stop = MIN(n, at + ELEMS_PER_MESSAGE); at < stop; at++) {
            uint32_t key = (uint32_t)at;
            struct nlattr *e = mnl_attr_nest_start(b->h, NFTA_LIST_ELEM);
            put_data(b, NFTA_SET_ELEM_KEY, &key, sizeof key);
            put_data(b, NFTA_SET_ELEM_DATA, (const char *)data + at * data_len, data_len);
            mnl_attr_nest_end(b->h, e);
        }
        mnl_attr_nest_end(b->h, list);
        end(b);
    }
    return id;
}

/* --- rules ---------------------------------------------------------------------------------------
 */

void nft_rule_begin(NftBatch *b, const char *chain)
{
    begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add rule to", chain);
    mnl_attr_put_strz(b->h, NFTA_RULE_TABLE, b->table);
    mnl_attr_put_strz(b->h, NFTA_RULE_CHAIN, chain);
    b->list = mnl_attr_nest_start(b->h, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(NftBatch *b)
{
    mnl_attr_nest_end(b->h, b->list);
    end(b);
}

static void expr(NftBatch *b, const char *name)
{
    b->elem = mnl_attr_nest_start(b->h, NFTA_LIST_ELEM);
    mnl_attr_put_strz(b->h, NFTA_EXPR_NAME, name);
    b->data = mnl_attr_nest_start(b->h, NFTA_EXPR_DATA);
}

static void expr_end(NftBatch *b)
{
    mnl_attr_nest_end(b->h, b->data);
    mnl_attr_nest_end(b->h, b->elem);
}

static void put_reg(NftBatch *b, uint16_t attr, unsigned reg)
{
    put_u32(b, attr, NFT_REG32_00 + reg);
}

void nft_x_payload(NftBatch *b, unsigned reg, uint32_t base, uint32_t offset, uint32_t len)
{
    expr(b, "payload");
    put_reg(b, NFTA_PAYLOAD_DREG, reg);
    put_u32(b, NFTA_PAYLOAD_BASE, base);
    put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(b, NFTA_PAYLOAD_LEN, len);
    expr_end(b);
}

void nft_x_meta(NftBatch *b, unsigned reg, uint32_t key)
{
    expr(b, "meta");
    put_reg(b, NFTA_META_DREG, reg);
    put_u32(b, NFTA_META_KEY, key);
    expr_end(b);
}

void nft_x_meta_set(NftBatch *b, unsigned reg, uint32_t key)
{
    expr(b, "meta");
    put_u32(b, NFTA_META_KEY, key);
    put_reg(b, NFTA_META_SREG, reg);
    expr_end(b);
}

void nft_x_ct(NftBatch *b, unsigned reg, uint32_t key)
{
    expr(b, "ct");
    put_reg(b, NFTA_CT_DREG, reg);
    put_u32(b, NFTA_CT_KEY, key);
    expr_end(b);
}

void nft_x_fib_type(NftBatch *b, unsigned reg, bool of_source)
{
    expr(b, "fib");
    put_reg(b, NFTA_FIB_DREG, reg);
    put_u32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_u32(b, NFTA_FIB_FLAGS, of_source ? NFTA_FIB_F_SADDR : NFTA_FIB_F_DADDR);
    expr_end(b);
}

void nft_x_cmp(NftBatch *b, unsigned reg, bool equal, const void *data, size_t len)
{
    expr(b, "cmp");
    put_reg(b, NFTA_CMP_SREG, reg);
    put_u32(b, NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    put_data(b, NFTA_CMP_DATA, data, len);
    expr_end(b);
}

void nft_x_load(NftBatch *b, unsigned reg, const void *data, size_t len)
{
    expr(b, "immediate");
    put_reg(b, NFTA_IMMEDIATE_DREG, reg);
    put_data(b, NFTA_IMMEDIATE_DATA, data, len);
    expr_end(b);
}

void nft_x_bitwise(NftBatch *b, unsigned reg, uint32_t mask, uint32_t flip)
{
    expr(b, "bitwise");
    put_reg(b, NFTA_BITWISE_SREG, reg);
    put_reg(b, NFTA_BITWISE_DREG, reg);
    put_u32(b, NFTA_BITWISE_LEN, sizeof mask);
    put_data(b, NFTA_BITWISE_MASK, &mask, sizeof mask);
    put_data(b, NFTA_BITWISE_XOR, &flip, sizeof flip);
    expr_end(b);
}

void nft_x_lookup(NftBatch *b, unsigned reg, const char *set)
{
    expr(b, "lookup");
    mnl_attr_put_strz(b->h, NFTA_LOOKUP_SET, set);
    put_reg(b, NFTA_LOOKUP_SREG, reg);
    expr_end(b);
}

void nft_x_vmap(NftBatch *b, unsigned reg, const char *map)
{
    expr(b, "lookup");
    mnl_attr_put_strz(b->h, NFTA_LOOKUP_SET, map);
    put_reg(b, NFTA_LOOKUP_SREG, reg);
    put_u32(b, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
    expr_end(b);
}

void nft_x_anon_map(NftBatch *b, unsigned reg, uint32_t id, unsigned dreg)
{
    expr(b, "lookup");
    mnl_attr_put_strz(b->h, NFTA_LOOKUP_SET, ANON_MAP);
    put_u32(b, NFTA_LOOKUP_SET_ID, id);
    put_reg(b, NFTA_LOOKUP_SREG, reg);
    put_reg(b, NFTA_LOOKUP_DREG, dreg);
    expr_end(b);
}

void nft_x_random(NftBatch *b, unsigned reg, uint32_t modulus)
{
    expr(b, "numgen");
    put_reg(b, NFTA_NG_DREG, reg);
    put_u32(b, NFTA_NG_MODULUS, modulus);
    put_u32(b, NFTA_NG_TYPE, NFT_NG_RANDOM);
    expr_end(b);
}

void nft_x_remember(NftBatch *b, unsigned reg, const char *set, uint64_t timeout_ms)
{
    expr(b, "dynset");
    mnl_attr_put_strz(b->h, NFTA_DYNSET_SET_NAME, set);
    put_u32(b, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    put_reg(b, NFTA_DYNSET_SREG_KEY, reg);
    mnl_attr_put_u64(b->h, NFTA_DYNSET_TIMEOUT, htobe64(timeout_ms));
    expr_end(b);
}

void nft_x_dnat(NftBatch *b, unsigned addr_reg, unsigned port_reg)
{
    expr(b, "nat");
    put_u32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_u32(b, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    put_reg(b, NFTA_NAT_REG_ADDR_MIN, addr_reg);
    put_reg(b, NFTA_NAT_REG_PROTO_MIN, port_reg);
    expr_end(b);
}

void nft_x_l4proto(NftBatch *b, uint8_t proto)
{
    nft_x_meta(b, 0, NFT_META_L4PROTO);
    nft_x_cmp(b, 0, true, &proto, sizeof proto);
}

void nft_x_dnat_to(NftBatch *b, uint32_t addr, uint16_t port)
{
    nft_x_load(b, 0, &addr, sizeof addr);
    nft_x_load(b, 1, &port, sizeof port);
    nft_x_dnat(b, 0, 1);
}

void nft_x_masquerade(NftBatch *b)
{
    expr(b, "masq");
    expr_end(b);
}

void nft_x_reject(NftBatch *b, bool tcp_reset)
{
    enum { PORT_UNREACHABLE = 3 };
    expr(b, "reject");
    put_u32(b, NFTA_REJECT_TYPE, tcp_reset ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMP_UNREACH);
    if (!tcp_reset)
        mnl_attr_put_u8(b->h, NFTA_REJECT_ICMP_CODE, PORT_UNREACHABLE);
    expr_end(b);
}

void nft_x_verdict(NftBatch *b, int code, const char *chain)
{
    expr(b, "immediate");
    put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    put_verdict(b, NFTA_IMMEDIATE_DATA, code, chain);
    expr_end(b);
}

void nft_drop_foreign_loopback(NftBatch *b, const char *chain)
{
    static const uint32_t at[] = { offsetof(struct iphdr, saddr), offsetof(struct iphdr, daddr) };
    const uint32_t mask = htonl(0xff000000), net = htonl(0x7f000000);
    const char lo[IFNAMSIZ] = "lo";
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        nft_rule_begin(b, chain);
        nft_x_meta(b, 0, NFT_META_IIFNAME);
        nft_x_cmp(b, 0, false, lo, sizeof lo);
        nft_x_payload(b, 0, NFT_AT_NETWORK, at[i], sizeof net);
        nft_x_bitwise(b, 0, mask, 0);
        nft_x_cmp(b, 0, true, &net, sizeof net);
        nft_x_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
    }
}

/* --- commit --------------------------------------------------------------------------------------
 */

static void put_mark(Buf *out, uint16_t type, uint32_t seq)
{
    char space[64];
    struct nlmsghdr *h = mnl_nlmsg_put_header(space);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST;
    h->nlmsg_seq = seq;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    *g = (struct nfgenmsg){ .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
    buf_append(out, h, h->nlmsg_len);
}

static int refused(const NftBatch *b, uint32_t index, int e, Err *err)
{
    ErrCode code = e == ENOENT       ? ERR_NOT_FOUND
                   : e == EEXIST     ? ERR_EXISTS
                   : e == EPERM      ? ERR_DENIED
                   : e == EOPNOTSUPP ? ERR_UNSUPPORTED
                   : e == ENOMEM     ? ERR_NOMEM
                                     : ERR_SYS;
    const char *op = index < b->n ? ((const Op *)b->ops.ptr)[index].text : "commit";
    return err_set(err, code, e, "nf_tables '%s': %s", b->table, op);
}

/* Waits for the last message's word; the first refusal counts. */
static int answers(Nft *n, const NftBatch *b, uint32_t seq, Err *err)
{
    _Alignas(struct nlmsghdr) char in[16384];
    int r = 0, fd = mnl_socket_get_fd(n->sock);
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (r < 0 && poll(&p, 1, 0) <= 0)
            return r;
        if (r == 0 && poll(&p, 1, ANSWER_TIMEOUT_MS) <= 0)
            return err_set(err, ERR_TIMEOUT, 0, "nf_tables '%s': no answer from the kernel",
                           b->table);
        ssize_t got = recv(fd, in, sizeof in, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(err, "nf_tables '%s': read the answer", b->table);
        int left = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)in; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - seq > b->n)
                continue;
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (e->error && r == 0)
                r = refused(b, h->nlmsg_seq - seq - 1, -e->error, err);
            else if (!e->error && h->nlmsg_seq == seq + b->n)
                return r;
        }
    }
}

int nft_commit(Nft *n, NftBatch *b, Err *err)
{
    if (b->n == 0)
        return 0;
    _cleanup_buf_ Buf out = BUF_INIT;
    uint32_t seq = n->next_seq;
    n->next_seq += b->n + 2;
    put_mark(&out, NFNL_MSG_BATCH_BEGIN, seq);
    size_t body = out.len;
    buf_sv(&out, buf_view(&b->bytes));
    put_mark(&out, NFNL_MSG_BATCH_END, seq + b->n + 1);
    if (out.failed || b->bytes.failed || b->ops.failed)
        return err_nomem(err);
    for (size_t at = body; at < body + b->bytes.len;) {
        struct nlmsghdr *h = (struct nlmsghdr *)(void *)(out.ptr + at);
        h->nlmsg_seq += seq + 1;
        if (at == body + b->last_at)
            h->nlmsg_flags |= NLM_F_ACK;
        at += MNL_ALIGN(h->nlmsg_len);
    }
    int fd = mnl_socket_get_fd(n->sock), size = (int)MAX(out.len * 2, (size_t)1 << 20);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (mnl_socket_sendto(n->sock, out.ptr, out.len) < 0)
        return err_errno(err, "nf_tables '%s': send %u operations", b->table, b->n);
    return answers(n, b, seq, err);
}
