/* listeners.c - sockets that listen, by inet_diag over NETLINK_SOCK_DIAG. The kernel filters by
 * state; a UDP socket that is bound and not connected is in TCP_CLOSE with no peer. */
#include "netlink/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

typedef struct Listener {
    uint32_t addr; /* network order; 0: any */
    uint16_t port;
    uint8_t proto;
} Listener;

struct Listeners {
    VEC(Listener) all;
    uint8_t proto; /* of the answer that is being read */
};

/* The IPv4 address that an IPv6 socket takes connections of; false: none. */
static bool v4_of_v6(const uint32_t addr[4], uint32_t *ret)
{
    bool prefix = addr[0] == 0 && addr[1] == 0;
    *ret = addr[3];
    return prefix && ((addr[2] == 0 && addr[3] == 0) || addr[2] == htonl(0xffff));
}

static bool is_v6_only(const struct nlmsghdr *h)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct inet_diag_msg))
    {
        if (mnl_attr_get_type(a) == INET_DIAG_SKV6ONLY)
            return mnl_attr_get_u8(a);
    }
    return false;
}

static int on_socket(const struct nlmsghdr *h, void *ctx)
{
    Listeners *l = ctx;
    const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
    if (mnl_nlmsg_get_payload_len(h) < sizeof *m)
        return MNL_CB_ERROR;
    Listener new = { .addr = m->id.idiag_src[0],
                     .port = ntohs(m->id.idiag_sport),
                     .proto = l->proto };
    if (m->id.idiag_dport || !new.port ||
        (m->idiag_family == AF_INET6 && (is_v6_only(h) || !v4_of_v6(m->id.idiag_src, &new.addr))))
        return MNL_CB_OK;
    errno = ENOMEM;
    return vec_push(&l->all, new) ? MNL_CB_OK : MNL_CB_ERROR;
}

static int ask(struct mnl_socket *s, Listeners *l, uint8_t family, uint8_t proto, uint32_t seq)
{
    char buf[32768];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    h->nlmsg_seq = seq;
    struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(h, sizeof *q);
    q->sdiag_family = family;
    q->sdiag_protocol = l->proto = proto;
    q->idiag_states = 1u << (proto == IPPROTO_UDP ? TCP_CLOSE : TCP_LISTEN);
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, buf, sizeof buf);
        int r =
            n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on_socket, l);
        if (r < 0)
            return -errno;
        if (r == MNL_CB_STOP)
            return 0;
    }
}

static int read_all(Listeners *l, Err *err)
{
    static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP },
                         families[] = { AF_INET, AF_INET6 };
    struct mnl_socket *s = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
    int r = 0;
    uint32_t seq = 1;
    if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
        r = err_errno(err, "open a socket for the list of listening sockets");
    for (size_t p = 0; r == 0 && p < ARRAY_SIZE(protos); p++)
        for (size_t f = 0; r == 0 && f < ARRAY_SIZE(families); f++) {
            int e = ask(s, l, families[f], protos[p], seq++);
            if (e < 0 && protos[p] != IPPROTO_SCTP) /* a kernel without SCTP has none */
                r = e == -ENOENT ? err_set(err, ERR_UNSUPPORTED, 0, "no sock_diag in this kernel")
                                 : err_neg(err, e, "list listening sockets");
        }
    if (s)
        mnl_socket_close(s);
    return r;
}

int listeners_read(Listeners **ret, Err *err)
{
    Listeners *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(err);
    int r = read_all(l, err);
    if (r < 0)
        listeners_free(l);
    else
        *ret = l;
    return r;
}

Listeners *listeners_free(Listeners *l)
{
    if (l)
        vec_free(&l->all);
    free(l);
    return NULL;
}

bool listeners_have(const Listeners *l, uint8_t proto, uint32_t addr, uint16_t port)
{
    vec_foreach (s, &l->all)
        if (s->proto == proto && s->port == port && (!s->addr || !addr || s->addr == addr))
            return true;
    return false;
}
