/* bridge.c - connects a container to a bridge of the host by a veth pair.
 *
 * Beside the reference's options it has `ipspoofchk`, which like `macspoofchk` is off by default:
 * the port takes only what has one of the container's addresses (guard.h).
 *
 * ADD is all or nothing: what was made is taken away when a later step fails. Steps: bridge, veth
 * pair straight into the container's namespace, port settings, address from IPAM, then inside the
 * container addresses and routes, the gateway address on the bridge, and last the port's guard. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "cni/guard.h"
#include "cni/plugin.h"

#define DEFAULT_BRIDGE "cni0"

typedef struct BridgeConf {
    StrView name;
    bool is_gateway, default_gateway, force_address, hairpin, promisc, guard_mac, guard_ip;
    bool masquerade, isolated;
    int64_t mtu, vlan;
    char bridge[16];
} BridgeConf;

static const Field bridge_fields[] = {
    BIND(BridgeConf, "bridge", TEXT, name),
    BIND(BridgeConf, "isGateway", BOOL, is_gateway),
    BIND(BridgeConf, "isDefaultGateway", BOOL, default_gateway),
    BIND(BridgeConf, "forceAddress", BOOL, force_address),
    BIND(BridgeConf, "hairpinMode", BOOL, hairpin),
    BIND(BridgeConf, "promiscMode", BOOL, promisc),
    BIND(BridgeConf, "macspoofchk", BOOL, guard_mac),
    BIND(BridgeConf, "ipspoofchk", BOOL, guard_ip),
    BIND(BridgeConf, "ipMasq", BOOL, masquerade),
    BIND(BridgeConf, "portIsolation", BOOL, isolated),
    BIND(BridgeConf, "mtu", INT, mtu),
    BIND(BridgeConf, "vlan", INT, vlan),
};
static const Type type_bridge = { "NetConf", sizeof(BridgeConf), bridge_fields,
                                  ARRAY_SIZE(bridge_fields) };

static int read_conf(CniCall *c, BridgeConf *b, Err *err)
{
    *b = (BridgeConf){ 0 };
    int r = cni_bind(c, &type_bridge, b, err);
    if (r < 0)
        return r;
    b->is_gateway |= b->default_gateway;
    if (!sv_copy_cstr(b->name.len ? b->name : SV(DEFAULT_BRIDGE), b->bridge, sizeof b->bridge))
        return cni_fail(c, CNI_ERR_CONFIG, err, "bridge: '%.*s' is too long for a link name",
                        SV_FMT(sv_head(b->name, 60)));
    if (b->mtu < 0 || b->mtu > 65535)
        return cni_fail(c, CNI_ERR_CONFIG, err, "mtu: %lld is not between 0 and 65535",
                        (long long)b->mtu);
    if (b->hairpin && b->promisc)
        return cni_fail(c, CNI_ERR_CONFIG, err,
                        "cannot set hairpin mode and promiscuous mode at the same time");
    /* What this plugin does not do it refuses: an operator relies on it. */
    if (b->masquerade)
        return cni_fail(
            c, CNI_ERR_FIELD, err,
            "ipMasq: not supported by this plugin; the service proxy masquerades pod traffic");
    if (b->vlan || b->isolated)
        return cni_fail(c, CNI_ERR_FIELD, err,
                        "vlan and portIsolation are not supported by this plugin");
    return 0;
}

static int ensure_bridge(Rtnl *nl, const BridgeConf *b, RtnlLink *ret, Err *err)
{
    int r = rtnl_link_get(nl, b->bridge, ret, err);
    if (r == -ERR_NOT_FOUND) {
        err_clear(err);
        r = rtnl_bridge_add(nl, b->bridge, (unsigned)b->mtu, err);
        if (r < 0 && r != -ERR_EXISTS) /* another ADD may have been faster */
            return r;
        err_clear(err);
        r = rtnl_link_get(nl, b->bridge, ret, err);
    }
    if (r < 0)
        return r;
    if (strcmp(ret->kind, "bridge") != 0)
        return err_set(err, ERR_EXISTS, 0, "link '%s' exists but is not a bridge", b->bridge);
    if (!ret->up && (r = rtnl_link_set_up(nl, ret->index, err)) < 0)
        return r;
    return b->promisc ? rtnl_link_set_promisc(nl, ret->index, true, err) : 0;
}

/* The host's end has its name from the container's: DEL finds the port's guard by it when the link
 * is gone already. */
static void host_name(const CniCall *c, char buf[static 16])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum { PREFIX = 4, DIGITS = 11 };
    StrView whole = arena_printf(c->arena, "%s\n%s", c->container_id, c->ifname);
    uint64_t hash = sv_hash_stable(whole);
    memcpy(buf, "veth", PREFIX);
    for (int i = 0; i < DIGITS; i++, hash >>= 5)
        buf[PREFIX + i] = digits[hash & 31];
    buf[PREFIX + DIGITS] = 0;
}

/* Makes the pair and connects the host's end; *ret_host is its name. On failure nothing stays, also
 * of a pair whose making was not heard of any more: the name is this container's alone. */
static int make_pair(CniCall *c, Rtnl *nl, const BridgeConf *b, const RtnlLink *bridge, int netns,
                     char host[static 16], RtnlLink *ret_port, Err *err)
{
    host_name(c, host);
    int r = rtnl_veth_add(nl, host, c->ifname, netns, (unsigned)b->mtu, err);
    if (r == -ERR_EXISTS && rtnl_link_del(nl, host, NULL) == 0) { /* of the same container before */
        err_clear(err);
        r = rtnl_veth_add(nl, host, c->ifname, netns, (unsigned)b->mtu, err);
    }
    if (r == -ERR_EXISTS)
        return err_set(err, ERR_EXISTS, 0, "container has a link named %s already", c->ifname);
    if (r < 0 || (r = rtnl_link_get(nl, host, ret_port, err)) < 0 ||
        (r = rtnl_link_set_master(nl, ret_port->index, bridge->index, err)) < 0 ||
        (b->hairpin && (r = rtnl_port_set_hairpin(nl, ret_port->index, true, err)) < 0))
        if (rtnl_link_del(nl, host, NULL) < 0)
            return r;
    return r;
}

static bool is_default(const IpPrefix *p)
{
    static const uint8_t zero[16];
    return p->bits == 0 && memcmp(p->addr, zero, sizeof zero) == 0;
}

static int add_route(Rtnl *nl, unsigned index, const Value *route, const CniResult *res, Err *err)
{
    StrView dst = value_str(value_get(route, SV("dst"))),
            gw = value_str(value_get(route, SV("gw")));
    IpPrefix to, via;
    if (ip_prefix_parse(dst, &to) < 0 || (gw.len && ip_prefix_parse(gw, &via) < 0))
        return err_set(err, ERR_INVALID, 0, "routes: dst '%.*s' gw '%.*s': expected addresses",
                       SV_FMT(dst), SV_FMT(gw));
    const IpPrefix *next = gw.len ? &via : NULL;
    for (unsigned i = 0; !next && i < res->n_ips; i++)
        if (res->ips[i].has_gateway && res->ips[i].gateway.family == to.family)
            next = &res->ips[i].gateway;
    int r = rtnl_route_add(nl, index, &to, next, err);
    return r == -ERR_EXISTS && is_default(&to) ? 0 : r;
}

/* With isDefaultGateway each address brings a default route through its gateway. */
static int add_default_routes(CniCall *c, CniResult *res, Err *err)
{
    for (unsigned i = 0; i < res->n_ips; i++) {
        char gw[IP_TEXT_SIZE];
        Value route = value_map();
        bool v6 = res->ips[i].address.family == AF_INET6;
        if (!res->ips[i].has_gateway)
            continue;
        value_set(c->arena, &route, SV("dst"), value_sv(v6 ? SV("::/0") : SV("0.0.0.0/0")));
        value_set(c->arena, &route, SV("gw"),
                  value_sv(arena_sv(c->arena, sv_cstr(ip_text(&res->ips[i].gateway, false, gw)))));
        if (!value_push(c->arena, &res->routes, route))
            return err_nomem(err);
    }
    return 0;
}

/* Inside the container: neighbours learn of a reused address by the announcement that arp_notify
 * makes. */
static int configure_inside(CniCall *c, int netns, const BridgeConf *b, CniResult *res, Err *err)
{
    _cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    char path[128];
    Rtnl *nl = NULL;
    RtnlLink link;
    int r;
    if (own < 0 || setns(netns, CLONE_NEWNET) < 0)
        return err_errno(err, "enter network namespace '%s'", c->netns);
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/arp_notify", c->ifname);
    file_write(AT_FDCWD, path, SV("1"), 0644);
    if ((r = rtnl_open(&nl, err)) < 0 || (r = rtnl_link_get(nl, c->ifname, &link, err)) < 0)
        goto out;
    for (unsigned i = 0; i < res->n_ips && r == 0; i++) {
        res->ips[i].interface = 2;
        r = rtnl_addr_add(nl, link.index, &res->ips[i].address, err);
    }
    if (r == 0)
        r = rtnl_link_set_up(nl, link.index, err);
    value_list_foreach (route, &res->routes) {
        if (r == 0)
            r = add_route(nl, link.index, route, res, err);
    }
    CniInterface *inside = &res->interfaces[2];
    snprintf(inside->mac, sizeof inside->mac, "%02x:%02x:%02x:%02x:%02x:%02x", link.mac[0],
             link.mac[1], link.mac[2], link.mac[3], link.mac[4], link.mac[5]);
out:
    rtnl_close(nl);
    if (setns(own, CLONE_NEWNET) < 0 && r == 0)
        r = err_errno(err, "return to the host's network namespace");
    return r;
}

static int set_gateways(Rtnl *nl, const BridgeConf *b, const RtnlLink *bridge, const CniResult *res,
                        Err *err)
{
    int r = 0;
    for (unsigned i = 0; i < res->n_ips && b->is_gateway && r == 0; i++) {
        IpPrefix gw = res->ips[i].gateway;
        if (!res->ips[i].has_gateway)
            continue;
        gw.bits = res->ips[i].address.bits;
        r = rtnl_addr_add(nl, bridge->index, &gw, err);
        if (r == -ERR_EXISTS)
            r = 0;
        const char *knob = gw.family == AF_INET6 ? "/proc/sys/net/ipv6/conf/all/forwarding"
                                                 : "/proc/sys/net/ipv4/ip_forward";
        int e = file_write(AT_FDCWD, knob, SV("1"), 0644);
        if (r == 0 && e < 0 && e != -EROFS)
            r = err_neg(err, e, "turn on forwarding; do it with `sysctl -w net.ipv4.ip_forward=1`");
    }
    return r;
}

static int guard_port(const CniCall *c, int netns, const BridgeConf *b, const char *host,
                      const CniResult *res, Err *err)
{
    PortGuard g = { .bridge = b->bridge, .port = host, .addresses = b->guard_ip };
    Rtnl *nl = NULL;
    RtnlLink inside;
    if (!b->guard_mac && !b->guard_ip)
        return 0;
    int r = rtnl_open_in(netns, &nl, err);
    if (r == 0)
        r = rtnl_link_get(nl, c->ifname, &inside, err);
    rtnl_close(nl);
    if (r < 0)
        return r;
    memcpy(g.mac, inside.mac, sizeof g.mac);
    for (unsigned i = 0; i < res->n_ips && b->guard_ip; i++) {
        const IpPrefix *ip = &res->ips[i].address;
        if (ip->family != AF_INET || g.n_ips == GUARD_IPS_MAX)
            return err_set(err, ERR_UNSUPPORTED, 0,
                           "ipspoofchk: expected at most %d IPv4 addresses and no IPv6",
                           GUARD_IPS_MAX);
        memcpy(&g.ips[g.n_ips++], ip->addr, sizeof g.ips[0]);
    }
    return port_guard_set(&g, err);
}

static void mac_text(const uint8_t mac[6], char buf[static 18])
{
    snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

static void fill_interfaces(CniCall *c, const BridgeConf *b, const RtnlLink *bridge,
                            const char *host, const RtnlLink *port, CniResult *res)
{
    res->n_interfaces = 3;
    snprintf(res->interfaces[0].name, sizeof res->interfaces[0].name, "%s", b->bridge);
    mac_text(bridge->mac, res->interfaces[0].mac);
    snprintf(res->interfaces[1].name, sizeof res->interfaces[1].name, "%s", host);
    mac_text(port->mac, res->interfaces[1].mac);
    snprintf(res->interfaces[2].name, sizeof res->interfaces[2].name, "%s", c->ifname);
    snprintf(res->interfaces[2].sandbox, sizeof res->interfaces[2].sandbox, "%s", c->netns);
}

static int address_and_configure(CniCall *c, Rtnl *nl, const BridgeConf *b, const RtnlLink *bridge,
                                 int netns, CniResult *res, Err *err)
{
    CniResult got = { .routes = value_list(), .dns = value_map() };
    int r = cni_ipam_add(c, &got, err);
    if (r < 0)
        return r;
    memcpy(res->ips, got.ips, sizeof got.ips);
    res->n_ips = got.n_ips;
    if (!value_clone(c->arena, &got.routes, &res->routes))
        r = err_nomem(err);
    res->dns = got.dns;
    const Value *dns = value_get(&c->config, SV("dns"));
    if (value_len(dns))
        res->dns = *dns;
    if (r == 0 && res->n_ips == 0)
        r = cni_fail(c, CNI_ERR_PLUGIN, err, "the IPAM plugin returned no address");
    if (r == 0 && b->default_gateway)
        r = add_default_routes(c, res, err);
    if (r == 0 && (r = configure_inside(c, netns, b, res, err)) == 0)
        r = set_gateways(nl, b, bridge, res, err);
    if (r < 0 && cni_ipam_run(c, "DEL", NULL) < 0)
        return r; /* the first failure is the one to tell */
    return r;
}

static bool has_ipam(const CniCall *c)
{
    return value_path(&c->config, "ipam.type") != NULL;
}

static int bridge_add(CniCall *c, CniResult *ret, Err *err)
{
    BridgeConf b;
    RtnlLink bridge, port;
    Rtnl *nl = NULL;
    char host[16];
    int r = read_conf(c, &b, err);
    if (r < 0)
        return r;
    _cleanup_close_ int netns = open(c->netns, O_RDONLY | O_CLOEXEC);
    if (netns < 0) {
        c->code = CNI_ERR_UNKNOWN_CONTAINER;
        return err_errno(err, "open network namespace '%s'", c->netns);
    }
    if ((r = rtnl_open(&nl, err)) < 0 || (r = ensure_bridge(nl, &b, &bridge, err)) < 0 ||
        (r = make_pair(c, nl, &b, &bridge, netns, host, &port, err)) < 0)
        goto out;
    fill_interfaces(c, &b, &bridge, host, &port, ret);
    if (has_ipam(c))
        r = address_and_configure(c, nl, &b, &bridge, netns, ret, err);
    if (r == 0 && (r = guard_port(c, netns, &b, host, ret, err)) < 0) {
        /* The first failure is the one to tell. */
        if (has_ipam(c))
            (void)!cni_ipam_run(c, "DEL", NULL);
        (void)!port_guard_remove(b.bridge, host, NULL);
    }
    if (r < 0 && rtnl_link_del(nl, host, NULL) < 0)
        goto out;
    /* The first port gives a new bridge its address: tell the one that it has now. */
    if (r == 0 && rtnl_link_get(nl, b.bridge, &bridge, NULL) == 0)
        mac_text(bridge.mac, ret->interfaces[0].mac);
out:
    rtnl_close(nl);
    return r;
}

/* Opens the container's namespace: 1, or 0 when it is gone with everything in it. After a boot the
 * file that it was mounted on is there, and an ordinary one. */
static int open_netns(const CniCall *c, int *ret_fd, Err *err)
{
    _cleanup_close_ int fd = *c->netns ? open(c->netns, O_RDONLY | O_CLOEXEC) : -1;
    struct statfs fs;
    if (!*c->netns || (fd < 0 && errno == ENOENT))
        return 0;
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return err_errno(err, "open network namespace '%s'", c->netns);
    if (fs.f_type != NSFS_MAGIC && fs.f_type != PROC_SUPER_MAGIC)
        return 0;
    *ret_fd = TAKE_FD(fd);
    return 1;
}

static int delete_link(const CniCall *c, Err *err)
{
    _cleanup_close_ int netns = -1;
    Rtnl *nl = NULL;
    int r = open_netns(c, &netns, err);
    if (r <= 0 || (r = rtnl_open_in(netns, &nl, err)) < 0)
        return r;
    r = rtnl_link_del(nl, c->ifname, err);
    rtnl_close(nl);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static int bridge_del(CniCall *c, Err *err)
{
    BridgeConf b;
    char host[16];
    int r = has_ipam(c) ? cni_ipam_run(c, "DEL", err) : 0;
    if (r < 0 || (r = delete_link(c, err)) < 0 || (r = read_conf(c, &b, err)) < 0)
        return r;
    host_name(c, host);
    return b.guard_mac || b.guard_ip ? port_guard_remove(b.bridge, host, err) : 0;
}

static int bridge_check(CniCall *c, Err *err)
{
    BridgeConf b;
    RtnlLink bridge, link;
    Rtnl *host = NULL, *inside = NULL;
    CniResult prev;
    const Value *p = value_get(&c->config, SV("prevResult"));
    int r = read_conf(c, &b, err);
    if (r == 0 && !p)
        r = cni_fail(c, CNI_ERR_CONFIG, err, "prevResult: needed for CHECK");
    _cleanup_close_ int netns = open(c->netns, O_RDONLY | O_CLOEXEC);
    if (r == 0 && netns < 0)
        r = err_errno(err, "open network namespace '%s'", c->netns);
    if (r < 0 || (r = cni_result_parse(p, c->arena, &prev, err)) < 0 ||
        (r = cni_ipam_run(c, "CHECK", err)) < 0 || (r = rtnl_open(&host, err)) < 0 ||
        (r = rtnl_link_get(host, b.bridge, &bridge, err)) < 0 ||
        (r = rtnl_open_in(netns, &inside, err)) < 0 ||
        (r = rtnl_link_get(inside, c->ifname, &link, err)) < 0)
        goto out;
    for (unsigned i = 0; i < prev.n_ips && r == 0; i++) {
        bool has;
        char text[IP_TEXT_SIZE];
        r = rtnl_addr_has(inside, link.index, &prev.ips[i].address, &has, err);
        if (r == 0 && !has)
            r = err_set(err, ERR_NOT_FOUND, 0, "%s lacks the address %s", c->ifname,
                        ip_text(&prev.ips[i].address, true, text));
    }
out:
    rtnl_close(host);
    rtnl_close(inside);
    return r;
}

static int bridge_gc(CniCall *c, Err *err)
{
    return has_ipam(c) ? cni_ipam_run(c, "GC", err) : 0;
}

static int bridge_status(CniCall *c, Err *err)
{
    BridgeConf b;
    int r = read_conf(c, &b, err);
    return r < 0 || !has_ipam(c) ? r : cni_ipam_run(c, "STATUS", err);
}

const CniPlugin cni_bridge = { "bridge",     bridge_add, bridge_del,
                               bridge_check, bridge_gc,  bridge_status };
