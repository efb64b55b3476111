/* loopback.c - brings `lo` up in the container's namespace. */
#include <fcntl.h>
#include <arpa/inet.h>
#include <stdio.h>

#include "cni/plugin.h"

static int open_netns(CniCall *c, Rtnl **ret, Err *err)
{
    _cleanup_close_ int ns = open(c->netns, O_RDONLY | O_CLOEXEC);
    return ns < 0 ? err_errno(err, "open network namespace '%s'", c->netns)
                  : rtnl_open_in(ns, ret, err);
}

static int loopback_add(CniCall *c, CniResult *ret, Err *err)
{
    Rtnl *nl = NULL;
    RtnlLink lo;
    int r = open_netns(c, &nl, err);
    if (r == 0 && (r = rtnl_link_get(nl, "lo", &lo, err)) == 0)
        r = rtnl_link_set_up(nl, lo.index, err);
    rtnl_close(nl);
    if (r < 0)
        return r;
    CniInterface *i = &ret->interfaces[ret->n_interfaces++];
    snprintf(i->name, sizeof i->name, "lo");
    snprintf(i->mac, sizeof i->mac, "00:00:00:00:00:00");
    snprintf(i->sandbox, sizeof i->sandbox, "%s", c->netns);
    CniIp *ip = &ret->ips[ret->n_ips++];
    *ip = (CniIp){ .interface = 0 };
    return ip_prefix_parse(SV("127.0.0.1/8"), &ip->address) < 0 ? -ERR_INVALID : 0;
}

static int loopback_check(CniCall *c, Err *err)
{
    Rtnl *nl = NULL;
    RtnlLink lo;
    int r = open_netns(c, &nl, err);
    if (r == 0 && (r = rtnl_link_get(nl, "lo", &lo, err)) == 0 && !lo.up)
        r = err_set(err, ERR_INVALID, 0, "lo is down in '%s'", c->netns);
    rtnl_close(nl);
    return r;
}

const CniPlugin cni_loopback = { "loopback", loopback_add, NULL, loopback_check, NULL, NULL };
