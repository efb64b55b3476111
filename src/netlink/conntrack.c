/* conntrack.c - forgets UDP connections through ctnetlink: lists the table, deletes the chosen
 * entries by their original tuple. A UDP flow otherwise sticks to an endpoint that is gone for as
 * long as it talks. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "netlink/nft.h"

typedef struct Tuple {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto;
} Tuple;

typedef struct Walk {
    NftStaleFn *stale;
    void *ctx;
    Buf found; /* Tuple: what goes */
} Walk;

static void read_tuple(const struct nlattr *nest, Tuple *t)
{
    const struct nlattr *part, *a;
    mnl_attr_for_each_nested(part, nest)
    {
        uint16_t type = mnl_attr_get_type(part);
        mnl_attr_for_each_nested(a, part)
        {
            uint16_t k = mnl_attr_get_type(a);
            if (type == CTA_TUPLE_IP && k == CTA_IP_V4_SRC)
                t->src = mnl_attr_get_u32(a);
            else if (type == CTA_TUPLE_IP && k == CTA_IP_V4_DST)
                t->dst = mnl_attr_get_u32(a);
            else if (type == CTA_TUPLE_PROTO && k == CTA_PROTO_NUM)
                t->proto = mnl_attr_get_u8(a);
            else if (type == CTA_TUPLE_PROTO && k == CTA_PROTO_SRC_PORT)
                t->sport = mnl_attr_get_u16(a);
            else if (type == CTA_TUPLE_PROTO && k == CTA_PROTO_DST_PORT)
                t->dport = mnl_attr_get_u16(a);
        }
    }
}

static int on_entry(const struct nlmsghdr *h, void *ctx)
{
    Walk *w = ctx;
    Tuple orig = { 0 }, reply = { 0 };
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
            read_tuple(a, &orig);
        else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY)
            read_tuple(a, &reply);
    }
    if (orig.proto == IPPROTO_UDP && w->stale(w->ctx, orig.dst, orig.dport, reply.src, reply.sport))
        buf_append(&w->found, &orig, sizeof orig);
    return MNL_CB_OK;
}

static struct nlmsghdr *request(char *space, uint16_t type, uint16_t flags, uint32_t seq)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(space);
    h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    h->nlmsg_seq = seq;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    *g = (struct nfgenmsg){ .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
    return h;
}

static int talk(struct mnl_socket *s, const struct nlmsghdr *h, mnl_cb_t cb, void *ctx)
{
    char in[32768];
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -1;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, in, sizeof in);
        if (n < 0)
            return -1;
        int r = mnl_cb_run(in, (size_t)n, h->nlmsg_seq, mnl_socket_get_portid(s), cb, ctx);
        if (r <= MNL_CB_STOP)
            return r;
    }
}

static int forget(struct mnl_socket *s, const Tuple *t, uint32_t seq)
{
    char space[256];
    struct nlmsghdr *h = request(space, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, seq);
    struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(h, CTA_TUPLE_IP);
    mnl_attr_put_u32(h, CTA_IP_V4_SRC, t->src);
    mnl_attr_put_u32(h, CTA_IP_V4_DST, t->dst);
    mnl_attr_nest_end(h, ip);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, t->proto);
    mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, t->sport);
    mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, t->dport);
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
    return talk(s, h, NULL, NULL) < 0 && errno != ENOENT ? -1 : 0;
}

int nft_conntrack_forget_udp(NftStaleFn *stale, void *ctx, Err *err)
{
    char space[256];
    Walk w = { .stale = stale, .ctx = ctx };
    uint32_t seq = (uint32_t)time(NULL);
    int r = 0;
    struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
        r = err_errno(err, "open a conntrack socket");
    else if (talk(s, request(space, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq), on_entry, &w) < 0)
        r = errno == EINVAL || errno == EOPNOTSUPP
                ? err_set(err, ERR_UNSUPPORTED, 0, "no conntrack in this kernel")
                : err_errno(err, "list conntrack entries");
    const Tuple *t = (const Tuple *)(const void *)w.found.ptr;
    for (size_t i = 0; r == 0 && i < w.found.len / sizeof *t; i++)
        if (forget(s, &t[i], ++seq) < 0)
            r = err_errno(err, "delete a conntrack entry");
    buf_free(&w.found);
    if (s)
        mnl_socket_close(s);
    return r;
}
