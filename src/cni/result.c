/* result.c - results between their versions. 1.0.0 dropped `version` from addresses; nothing else
 * that these plugins use has changed. */
#include "cni/cni.h"

#include <arpa/inet.h>
#include <stdio.h>

const JsonOptions cni_json = { .lines = true };
const BindFormat cni_format = { .typed = true, .lenient = true };

bool cni_version_known(StrView version)
{
    static const StrView known[] = { SV_INIT("0.3.0"), SV_INIT("0.3.1"), SV_INIT("0.4.0"),
                                     SV_INIT("1.0.0"), SV_INIT("1.1.0") };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq(known[i], version))
            return true;
    return false;
}

static Value copied(Arena *a, const char *text)
{
    return value_sv(arena_sv(a, sv_cstr(text)));
}

static Value interface_value(const CniInterface *i, Arena *a)
{
    Value v = value_map();
    value_set(a, &v, SV("name"), copied(a, i->name));
    if (i->mac[0])
        value_set(a, &v, SV("mac"), copied(a, i->mac));
    if (i->sandbox[0])
        value_set(a, &v, SV("sandbox"), copied(a, i->sandbox));
    return v;
}

static Value ip_value(const CniIp *ip, bool with_version, Arena *a)
{
    Value v = value_map();
    char text[IP_TEXT_SIZE];
    if (with_version)
        value_set(a, &v, SV("version"),
                  value_sv(ip->address.family == AF_INET6 ? SV("6") : SV("4")));
    if (ip->interface >= 0)
        value_set(a, &v, SV("interface"), value_int(ip->interface));
    value_set(a, &v, SV("address"), copied(a, ip_text(&ip->address, true, text)));
    if (ip->has_gateway)
        value_set(a, &v, SV("gateway"), copied(a, ip_text(&ip->gateway, false, text)));
    return v;
}

Value cni_result_value(const CniResult *r, StrView version, Arena *a)
{
    Value v = value_map(), interfaces = value_list(), ips = value_list();
    bool old = sv_starts(version, SV("0."));
    for (unsigned i = 0; i < r->n_interfaces; i++)
        value_push(a, &interfaces, interface_value(&r->interfaces[i], a));
    for (unsigned i = 0; i < r->n_ips; i++)
        value_push(a, &ips, ip_value(&r->ips[i], old, a));
    value_set(a, &v, SV("cniVersion"), value_sv(version));
    if (r->n_interfaces)
        value_set(a, &v, SV("interfaces"), interfaces);
    if (r->n_ips)
        value_set(a, &v, SV("ips"), ips);
    if (value_len(&r->routes))
        value_set(a, &v, SV("routes"), r->routes);
    value_set(a, &v, SV("dns"), r->dns.kind == VALUE_MAP ? r->dns : value_map());
    return v;
}

static int parse_ip(const Value *v, CniIp *ip, Err *err)
{
    StrView address = value_str(value_get(v, SV("address"))),
            gateway = value_str(value_get(v, SV("gateway")));
    if (ip_prefix_parse(address, &ip->address) < 0)
        return err_set(err, ERR_INVALID, 0,
                       "CNI result: ips.address '%.*s' is no address with prefix", SV_FMT(address));
    ip->has_gateway = gateway.len > 0;
    if (ip->has_gateway && ip_prefix_parse(gateway, &ip->gateway) < 0)
        return err_set(err, ERR_INVALID, 0, "CNI result: ips.gateway '%.*s' is no address",
                       SV_FMT(gateway));
    ip->interface = (int)value_int_or(value_get(v, SV("interface")), -1);
    return 0;
}

int cni_result_parse(const Value *v, Arena *a, CniResult *ret, Err *err)
{
    *ret = (CniResult){ .routes = value_list(), .dns = value_map() };
    if (!value_is(v, VALUE_MAP))
        return err_set(err, ERR_INVALID, 0, "CNI result: expected a JSON object");
    value_list_foreach (i, value_get(v, SV("interfaces"))) {
        if (ret->n_interfaces == CNI_INTERFACES_MAX)
            return err_set(err, ERR_LIMIT, 0, "CNI result: more than %d interfaces",
                           CNI_INTERFACES_MAX);
        CniInterface *to = &ret->interfaces[ret->n_interfaces++];
        if (!sv_copy_cstr(value_str(value_get(i, SV("name"))), to->name, sizeof to->name) ||
            !sv_copy_cstr(value_str(value_get(i, SV("mac"))), to->mac, sizeof to->mac) ||
            !sv_copy_cstr(value_str(value_get(i, SV("sandbox"))), to->sandbox, sizeof to->sandbox))
            return err_set(err, ERR_INVALID, 0, "CNI result: a text of interfaces is too long");
    }
    value_list_foreach (i, value_get(v, SV("ips"))) {
        if (ret->n_ips == CNI_IPS_MAX)
            return err_set(err, ERR_LIMIT, 0, "CNI result: more than %d addresses", CNI_IPS_MAX);
        int r = parse_ip(i, &ret->ips[ret->n_ips++], err);
        if (r < 0)
            return r;
    }
    if (value_is(value_get(v, SV("routes")), VALUE_LIST))
        ret->routes = *value_get(v, SV("routes"));
    if (value_is(value_get(v, SV("dns")), VALUE_MAP))
        ret->dns = *value_get(v, SV("dns"));
    return 0;
}
