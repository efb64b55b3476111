/* rtnl.h - links, addresses and routes through rtnetlink (rtnetlink(7)), messages packed by libmnl.
 *
 * Blocking, one request at a time: for plugins and set-up code. Every failure names the operation
 * and the link. A handle belongs to the network namespace that it was opened in. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "base/err.h"
#include "base/str.h"

typedef struct Rtnl Rtnl;

int rtnl_open(Rtnl **ret, Err *err) NODISCARD; /* in the caller's network namespace */
/* In the namespace behind `netns_fd`. The calling thread stays where it is: one of its own goes
 * there and ends. */
int rtnl_open_in(int netns_fd, Rtnl **ret, Err *err) NODISCARD;
Rtnl *rtnl_close(Rtnl *r); /* always NULL */

typedef struct RtnlLink {
    unsigned index;
    unsigned mtu;
    unsigned master; /* index of its bridge; 0: none */
    bool up;
    uint8_t mac[6];
    char kind[16]; /* "bridge", "veth", …; empty for a device of the machine */
} RtnlLink;

int rtnl_link_get(Rtnl *r, const char *name, RtnlLink *ret, Err *err) NODISCARD; /* ERR_NOT_FOUND */
/* Its hardware address is its own: it does not become that of a port, and neighbours do not lose it
 * when that port goes. ERR_EXISTS. */
int rtnl_bridge_add(Rtnl *r, const char *name, unsigned mtu, Err *err) NODISCARD;
/* A veth pair, one end here, the other in the namespace `peer_netns` with its own name. mtu 0:
 * default. */
int rtnl_veth_add(Rtnl *r, const char *name, const char *peer_name, int peer_netns, unsigned mtu,
                  Err *err) NODISCARD;
int rtnl_link_del(Rtnl *r, const char *name, Err *err) NODISCARD; /* ERR_NOT_FOUND */
int rtnl_link_set_up(Rtnl *r, unsigned index, Err *err) NODISCARD;
int rtnl_link_set_master(Rtnl *r, unsigned index, unsigned master, Err *err) NODISCARD;
int rtnl_link_set_mac(Rtnl *r, unsigned index, const uint8_t mac[6], Err *err) NODISCARD;
/* Lets a bridge port send a frame back where it came from. */
int rtnl_port_set_hairpin(Rtnl *r, unsigned index, bool on, Err *err) NODISCARD;
int rtnl_link_set_promisc(Rtnl *r, unsigned index, bool on, Err *err) NODISCARD;

typedef struct IpPrefix {
    uint8_t family; /* AF_INET or AF_INET6 */
    uint8_t bits;
    uint8_t addr[16];
} IpPrefix;

/* "10.1.0.0/16", "fd00::1/64", or an address alone (all bits). -EINVAL. */
int ip_prefix_parse(StrView text, IpPrefix *ret);
enum { IP_TEXT_SIZE = INET6_ADDRSTRLEN + 4 };
/* Writes it as text, with "/BITS" or without; returns buf. */
char *ip_text(const IpPrefix *p, bool with_bits, char buf[static IP_TEXT_SIZE]);

/* Adds an address; one that is there already is ERR_EXISTS. */
int rtnl_addr_add(Rtnl *r, unsigned index, const IpPrefix *addr, Err *err) NODISCARD;
/* Is this address on the link, with any prefix length? */
int rtnl_addr_has(Rtnl *r, unsigned index, const IpPrefix *addr, bool *ret, Err *err) NODISCARD;
/* Route to dst (bits 0: default) via `gateway` (NULL: directly) through the link. */
int rtnl_route_add(Rtnl *r, unsigned index, const IpPrefix *dst, const IpPrefix *gateway,
                   Err *err) NODISCARD;
