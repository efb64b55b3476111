/* rtnl.c - one socket, one request, one answer. */
#include "netlink/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"

enum { BUF_SIZE = 16384 };

struct Rtnl {
    struct mnl_socket *sock;
    uint32_t seq;
    uint32_t port;
};

int rtnl_open(Rtnl **ret, Err *err)
{
    Rtnl *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!r->sock || mnl_socket_bind(r->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        int e = err_errno(err, "open rtnetlink socket");
        rtnl_close(r);
        return e;
    }
    r->port = mnl_socket_get_portid(r->sock);
    *ret = r;
    return 0;
}

typedef struct Elsewhere {
    int netns_fd, result;
    Rtnl *rtnl;
    Err err;
} Elsewhere;

static void *open_elsewhere(void *ctx)
{
    Elsewhere *e = ctx;
    e->result = setns(e->netns_fd, CLONE_NEWNET) < 0 ? err_errno(&e->err, "enter network namespace")
                                                     : rtnl_open(&e->rtnl, &e->err);
    return NULL;
}

/* A thread that ends there needs no way back, which can fail: going on in a container's namespace
 * would do the caller's work to the wrong network. */
int rtnl_open_in(int netns_fd, Rtnl **ret, Err *err)
{
    Elsewhere e = { .netns_fd = netns_fd };
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, open_elsewhere, &e);
    if (failed)
        return err_set(err, ERR_SYS, failed, "start a thread for a network namespace");
    pthread_join(thread, NULL);
    if (e.result < 0 && err)
        *err = e.err;
    if (e.result == 0)
        *ret = e.rtnl;
    return e.result;
}

Rtnl *rtnl_close(Rtnl *r)
{
    if (r && r->sock)
        mnl_socket_close(r->sock);
    free(r);
    return NULL;
}

/* ---- talking ---- */

typedef struct Msg {
    struct nlmsghdr *h;
    _Alignas(8) char buf[BUF_SIZE];
} Msg;

static void start(Rtnl *r, Msg *m, uint16_t type, uint16_t flags)
{
    m->h = mnl_nlmsg_put_header(m->buf);
    m->h->nlmsg_type = type;
    m->h->nlmsg_flags = NLM_F_REQUEST | flags;
    m->h->nlmsg_seq = ++r->seq;
}

static struct ifinfomsg *start_link(Rtnl *r, Msg *m, uint16_t type, uint16_t flags, unsigned index)
{
    start(r, m, type, flags);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m->h, sizeof *ifi);
    ifi->ifi_family = AF_UNSPEC;
    ifi->ifi_index = (int)index;
    return ifi;
}

/* Sends, and gives each answer to `cb` (may be NULL) until the acknowledgement. 0 or negative
 * errno. */
static int talk(Rtnl *r, Msg *m, mnl_cb_t cb, void *ctx)
{
    if (mnl_socket_sendto(r->sock, m->h, m->h->nlmsg_len) < 0)
        return -errno;
    _Alignas(8) char buf[BUF_SIZE];
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(r->sock, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (mnl_nlmsg_ok((struct nlmsghdr *)buf, (int)n) &&
            ((struct nlmsghdr *)buf)->nlmsg_seq != r->seq)
            continue; /* of a request whose answer could not be read */
        int got = mnl_cb_run(buf, (size_t)n, r->seq, r->port, cb, ctx);
        if (got < 0)
            return -errno;
        if (got == MNL_CB_STOP)
            return 0;
    }
}

static int run(Rtnl *r, Msg *m, Err *err, const char *what, const char *name)
{
    m->h->nlmsg_flags |= NLM_F_ACK;
    int e = talk(r, m, NULL, NULL);
    if (e == -ENODEV || e == -EADDRNOTAVAIL)
        return err_set(err, ERR_NOT_FOUND, -e, "%s %s", what, name);
    return e < 0 ? err_neg(err, e, "%s %s", what, name) : 0;
}

static int run_index(Rtnl *r, Msg *m, Err *err, const char *what, unsigned index)
{
    char name[24];
    snprintf(name, sizeof name, "link %u", index);
    return run(r, m, err, what, name);
}

/* ---- links ---- */

static int on_link_info(const struct nlattr *attr, void *ctx)
{
    RtnlLink *l = ctx;
    if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
        snprintf(l->kind, sizeof l->kind, "%s", mnl_attr_get_str(attr));
    return MNL_CB_OK;
}

static int on_link_attr(const struct nlattr *attr, void *ctx)
{
    RtnlLink *l = ctx;
    switch (mnl_attr_get_type(attr)) {
    case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(attr) == sizeof l->mac)
            memcpy(l->mac, mnl_attr_get_payload(attr), sizeof l->mac);
        break;
    case IFLA_MTU:
        l->mtu = mnl_attr_get_u32(attr);
        break;
    case IFLA_MASTER:
        l->master = mnl_attr_get_u32(attr);
        break;
    case IFLA_LINKINFO:
        return mnl_attr_parse_nested(attr, on_link_info, l);
    }
    return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *h, void *ctx)
{
    RtnlLink *l = ctx;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
    l->index = (unsigned)ifi->ifi_index;
    l->up = ifi->ifi_flags & IFF_UP;
    mnl_attr_parse(h, sizeof *ifi, on_link_attr, l);
    return MNL_CB_OK;
}

static int check_name(const char *name, Err *err)
{
    size_t n = strlen(name);
    if (n == 0 || n >= IFNAMSIZ || strpbrk(name, "/ :\t\n") || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return err_set(
            err, ERR_INVALID, 0,
            "'%s' is no name for a network link (1 to 15 characters, no '/', ':' or blank)", name);
    return 0;
}

int rtnl_link_get(Rtnl *r, const char *name, RtnlLink *ret, Err *err)
{
    Msg m;
    int e = check_name(name, err);
    if (e < 0)
        return e;
    start_link(r, &m, RTM_GETLINK, 0, 0);
    mnl_attr_put_strz(m.h, IFLA_IFNAME, name);
    *ret = (RtnlLink){ 0 };
    m.h->nlmsg_flags |= NLM_F_ACK;
    e = talk(r, &m, on_link, ret);
    if (e == -ENODEV)
        return err_set(err, ERR_NOT_FOUND, ENODEV, "look up link %s", name);
    return e < 0 ? err_neg(err, e, "look up link %s", name) : 0;
}

int rtnl_bridge_add(Rtnl *r, const char *name, unsigned mtu, Err *err)
{
    Msg m;
    int e = check_name(name, err);
    if (e < 0)
        return e;
    struct ifinfomsg *ifi = start_link(r, &m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    mnl_attr_put_strz(m.h, IFLA_IFNAME, name);
    if (mtu)
        mnl_attr_put_u32(m.h, IFLA_MTU, mtu);
    uint8_t mac[6];
    if ((e = random_bytes(mac, sizeof mac)) < 0)
        return err_neg(err, e, "make an address for bridge '%s'", name);
    mac[0] = (mac[0] & 0xfc) | 0x02; /* one machine's, given locally */
    mnl_attr_put(m.h, IFLA_ADDRESS, sizeof mac, mac);
    struct nlattr *info = mnl_attr_nest_start(m.h, IFLA_LINKINFO);
    mnl_attr_put_strz(m.h, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(m.h, info);
    return run(r, &m, err, "make bridge", name);
}

int rtnl_veth_add(Rtnl *r, const char *name, const char *peer_name, int peer_netns, unsigned mtu,
                  Err *err)
{
    Msg m;
    int e;
    if ((e = check_name(name, err)) < 0 || (e = check_name(peer_name, err)) < 0)
        return e;
    struct ifinfomsg *ifi = start_link(r, &m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    mnl_attr_put_strz(m.h, IFLA_IFNAME, name);
    if (mtu)
        mnl_attr_put_u32(m.h, IFLA_MTU, mtu);
    struct nlattr *info = mnl_attr_nest_start(m.h, IFLA_LINKINFO);
    mnl_attr_put_strz(m.h, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(m.h, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(m.h, VETH_INFO_PEER);
    struct ifinfomsg *pifi = mnl_nlmsg_put_extra_header(m.h, sizeof *pifi);
    pifi->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(m.h, IFLA_IFNAME, peer_name);
    if (mtu)
        mnl_attr_put_u32(m.h, IFLA_MTU, mtu);
    mnl_attr_put_u32(m.h, IFLA_NET_NS_FD, (uint32_t)peer_netns);
    mnl_attr_nest_end(m.h, peer);
    mnl_attr_nest_end(m.h, data);
    mnl_attr_nest_end(m.h, info);
    return run(r, &m, err, "make veth pair", name);
}

int rtnl_link_del(Rtnl *r, const char *name, Err *err)
{
    Msg m;
    int e = check_name(name, err);
    if (e < 0)
        return e;
    start_link(r, &m, RTM_DELLINK, 0, 0);
    mnl_attr_put_strz(m.h, IFLA_IFNAME, name);
    return run(r, &m, err, "delete link", name);
}

int rtnl_link_set_up(Rtnl *r, unsigned index, Err *err)
{
    Msg m;
    struct ifinfomsg *ifi = start_link(r, &m, RTM_NEWLINK, 0, index);
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    return run_index(r, &m, err, "bring up", index);
}

int rtnl_link_set_promisc(Rtnl *r, unsigned index, bool on, Err *err)
{
    Msg m;
    struct ifinfomsg *ifi = start_link(r, &m, RTM_NEWLINK, 0, index);
    ifi->ifi_change = IFF_PROMISC;
    ifi->ifi_flags = on ? IFF_PROMISC : 0;
    return run_index(r, &m, err, "set promiscuous mode of", index);
}

int rtnl_link_set_master(Rtnl *r, unsigned index, unsigned master, Err *err)
{
    Msg m;
    start_link(r, &m, RTM_NEWLINK, 0, index);
    mnl_attr_put_u32(m.h, IFLA_MASTER, master);
    return run_index(r, &m, err, "connect to its bridge", index);
}

int rtnl_link_set_mac(Rtnl *r, unsigned index, const uint8_t mac[6], Err *err)
{
    Msg m;
    start_link(r, &m, RTM_NEWLINK, 0, index);
    mnl_attr_put(m.h, IFLA_ADDRESS, 6, mac);
    return run_index(r, &m, err, "set hardware address of", index);
}

int rtnl_port_set_hairpin(Rtnl *r, unsigned index, bool on, Err *err)
{
    Msg m;
    struct ifinfomsg *ifi = start_link(r, &m, RTM_SETLINK, 0, index);
    ifi->ifi_family = AF_BRIDGE;
    struct nlattr *port = mnl_attr_nest_start(m.h, IFLA_PROTINFO);
    mnl_attr_put_u8(m.h, IFLA_BRPORT_MODE, on);
    mnl_attr_nest_end(m.h, port);
    return run_index(r, &m, err, "set hairpin mode of", index);
}

/* ---- addresses and routes ---- */

static size_t addr_len(const IpPrefix *p)
{
    return p->family == AF_INET6 ? 16 : 4;
}

int ip_prefix_parse(StrView text, IpPrefix *ret)
{
    StrView addr, bits;
    char buf[INET6_ADDRSTRLEN];
    uint64_t n;
    bool has_bits = sv_cut(text, '/', &addr, &bits);
    IpPrefix p = { .family = sv_find_char(addr, ':') >= 0 ? AF_INET6 : AF_INET };
    if (!sv_copy_cstr(addr, buf, sizeof buf) || inet_pton(p.family, buf, p.addr) != 1)
        return -EINVAL;
    p.bits = (uint8_t)(8 * addr_len(&p));
    if (has_bits && (sv_to_u64(bits, &n) < 0 || n > p.bits))
        return -EINVAL;
    if (has_bits)
        p.bits = (uint8_t)n;
    *ret = p;
    return 0;
}

char *ip_text(const IpPrefix *p, bool with_bits, char buf[static IP_TEXT_SIZE])
{
    inet_ntop(p->family, p->addr, buf, IP_TEXT_SIZE);
    size_t n = strlen(buf);
    if (with_bits)
        snprintf(buf + n, IP_TEXT_SIZE - n, "/%u", p->bits);
    return buf;
}

int rtnl_addr_add(Rtnl *r, unsigned index, const IpPrefix *addr, Err *err)
{
    Msg m;
    char text[IP_TEXT_SIZE];
    start(r, &m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m.h, sizeof *ifa);
    *ifa = (struct ifaddrmsg){ .ifa_family = addr->family,
                               .ifa_prefixlen = addr->bits,
                               .ifa_index = index };
    if (addr->family == AF_INET6)
        ifa->ifa_flags = IFA_F_NODAD;
    mnl_attr_put(m.h, IFA_LOCAL, addr_len(addr), addr->addr);
    mnl_attr_put(m.h, IFA_ADDRESS, addr_len(addr), addr->addr);
    if (addr->family == AF_INET && addr->bits < 31) {
        uint32_t ip, mask = htonl(~(uint32_t)0 >> addr->bits);
        memcpy(&ip, addr->addr, 4);
        ip |= mask;
        mnl_attr_put(m.h, IFA_BROADCAST, 4, &ip);
    }
    return run(r, &m, err, "add address", ip_text(addr, true, text));
}

typedef struct AddrSearch {
    const IpPrefix *want;
    unsigned index;
    bool found;
} AddrSearch;

static int on_addr_attr(const struct nlattr *attr, void *ctx)
{
    AddrSearch *s = ctx;
    if ((mnl_attr_get_type(attr) == IFA_LOCAL || mnl_attr_get_type(attr) == IFA_ADDRESS) &&
        mnl_attr_get_payload_len(attr) == addr_len(s->want) &&
        memcmp(mnl_attr_get_payload(attr), s->want->addr, addr_len(s->want)) == 0)
        s->found = true;
    return MNL_CB_OK;
}

static int on_addr(const struct nlmsghdr *h, void *ctx)
{
    AddrSearch *s = ctx;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
    if (ifa->ifa_index == s->index)
        mnl_attr_parse(h, sizeof *ifa, on_addr_attr, s);
    return MNL_CB_OK;
}

int rtnl_addr_has(Rtnl *r, unsigned index, const IpPrefix *addr, bool *ret, Err *err)
{
    Msg m;
    AddrSearch s = { addr, index, false };
    start(r, &m, RTM_GETADDR, NLM_F_DUMP);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m.h, sizeof *ifa);
    ifa->ifa_family = addr->family;
    int e = talk(r, &m, on_addr, &s);
    if (e < 0)
        return err_neg(err, e, "list addresses of link %u", index);
    *ret = s.found;
    return 0;
}

int rtnl_route_add(Rtnl *r, unsigned index, const IpPrefix *dst, const IpPrefix *gateway, Err *err)
{
    Msg m;
    char text[IP_TEXT_SIZE];
    start(r, &m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(m.h, sizeof *rt);
    *rt = (struct rtmsg){ .rtm_family = dst->family,
                          .rtm_dst_len = dst->bits,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTPROT_STATIC,
                          .rtm_type = RTN_UNICAST,
                          .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
    if (dst->bits)
        mnl_attr_put(m.h, RTA_DST, addr_len(dst), dst->addr);
    if (gateway)
        mnl_attr_put(m.h, RTA_GATEWAY, addr_len(gateway), gateway->addr);
    mnl_attr_put_u32(m.h, RTA_OIF, index);
    return run(r, &m, err, "add route to", ip_text(dst, true, text));
}
