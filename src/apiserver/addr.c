/* addr.c - IP addresses as objects write them. */
#include "apiserver/addr.h"

#include <arpa/inet.h>

bool addr4_parse(StrView text, uint32_t *ret)
{
    char buf[INET_ADDRSTRLEN];
    struct in_addr in;
    if (!sv_copy_cstr(text, buf, sizeof buf) || inet_pton(AF_INET, buf, &in) != 1)
        return false;
    *ret = ntohl(in.s_addr);
    return true;
}

bool addr4_in_cidr(uint32_t addr, StrView cidr)
{
    StrView net, bits;
    uint32_t base;
    uint64_t n;
    return sv_cut(cidr, '/', &net, &bits) && addr4_parse(net, &base) && sv_to_u64(bits, &n) == 0 &&
           n >= 1 && n <= 32 && ((addr ^ base) & ~(uint32_t)0 << (32 - n)) == 0;
}

static bool proxyable4(uint32_t addr)
{
    return addr != INADDR_ANY && addr != INADDR_BROADCAST && !IN_MULTICAST(addr) &&
           addr >> 24 != 127 && addr >> 16 != 0xa9fe; /* 169.254.0.0/16 */
}

bool addr_is_proxyable(StrView text)
{
    char buf[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    uint32_t v4;
    if (addr4_parse(text, &v4))
        return proxyable4(v4);
    if (!sv_copy_cstr(text, buf, sizeof buf) || inet_pton(AF_INET6, buf, &in6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&in6) || IN6_IS_ADDR_V4COMPAT(&in6)) {
        memcpy(&v4, in6.s6_addr + 12, sizeof v4);
        return !IN6_IS_ADDR_LOOPBACK(&in6) && proxyable4(ntohl(v4));
    }
    return !IN6_IS_ADDR_UNSPECIFIED(&in6) && !IN6_IS_ADDR_LOOPBACK(&in6) &&
           !IN6_IS_ADDR_LINKLOCAL(&in6) && !IN6_IS_ADDR_MULTICAST(&in6);
}
