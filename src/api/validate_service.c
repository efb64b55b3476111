/* validate_service.c - services, their endpoints, and what routes to them. */
#include <arpa/inet.h>

#include "api/validate_internal.h"

static const StrView protocols[] = { SV_INIT("SCTP"), SV_INIT("TCP"), SV_INIT("UDP") };

static bool is_address(StrView s)
{
    unsigned char buf[16];
    char name[64];

    return sv_copy_cstr(s, name, sizeof name) &&
           (inet_pton(AF_INET, name, buf) == 1 || inet_pton(AF_INET6, name, buf) == 1);
}

static void check_address(ApiErrors *e, const ApiPath *p, StrView s)
{
    if (!is_address(s))
        api_invalid(e, p, value_sv(s),
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

/* The part of a port that makes it unique, as an error shows it. */
static void check_twins(ApiErrors *e, const ApiPath *p, const Value *port, Twins *names,
                        Twins *numbers)
{
    ApiPath name = API_FIELD(p, "name");
    StrView s = text(port, "name"), protocol = text(port, "protocol");
    StrView both =
        arena_printf(e->arena, "%lld/%.*s", (long long)number(port, "port"), SV_FMT(protocol));

    if (s.len > 0 && is_twin(names, s))
        api_duplicate(e, &name, value_sv(s));
    if (is_twin(numbers, both)) {
        Value twin = value_map();
        value_set(e->arena, &twin, SV("protocol"), value_sv(protocol));
        value_set(e->arena, &twin, SV("port"), value_int(number(port, "port")));
        api_duplicate(e, p, twin);
    }
}

static void check_service_port(ApiErrors *e, const ApiPath *p, const Value *port, bool alone)
{
    ApiPath name = API_FIELD(p, "name"), app = API_FIELD(p, "appProtocol");

    if (text(port, "name").len > 0)
        check_name(e, &name, text(port, "name"), name_dns1123_label);
    else if (!alone)
        api_required(e, &name, "");
    check_port(e, p, port, "port");
    check_one_of(e, p, port, "protocol", protocols, ARRAY_SIZE(protocols), true);
    check_port(e, p, port, "targetPort");
    if (text(port, "appProtocol").len > 0)
        check_name(e, &app, text(port, "appProtocol"), name_label_key);
}

static void check_node_ports(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    uint32_t i = 0;

    if (!sv_eq(text(spec, "type"), SV("ClusterIP")))
        return;
    value_list_foreach (port, get(spec, "ports")) {
        ApiPath at = API_INDEX(p, i++), node = API_FIELD(&at, "nodePort");
        if (number(port, "nodePort") != 0)
            api_forbidden(e, &node, "may not be used when `type` is 'ClusterIP'");
    }
}

static void check_external_name(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    ApiPath name = API_FIELD(p, "externalName"), ip = API_FIELD(p, "clusterIP");
    StrView s = text(spec, "externalName"), host = sv_ends(s, SV(".")) ? sv_head(s, s.len - 1) : s;

    if (text(spec, "clusterIP").len > 0)
        api_forbidden(e, &ip, "may not be set when `type` is 'ExternalName'");
    if (host.len == 0)
        api_required(e, &name, "");
    else
        check_name(e, &name, host, name_dns1123_subdomain);
}

static void check_policies(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const StrView traffic[] = { SV_INIT("Cluster"), SV_INIT("Local") };
    static const StrView affinity[] = { SV_INIT("ClientIP"), SV_INIT("None") };
    ApiPath external = API_FIELD(p, "externalTrafficPolicy");
    bool outside = sv_eq(text(spec, "type"), SV("NodePort")) ||
                   sv_eq(text(spec, "type"), SV("LoadBalancer")) || count(spec, "externalIPs") > 0;

    check_one_of(e, p, spec, "sessionAffinity", affinity, ARRAY_SIZE(affinity), true);
    check_one_of(e, p, spec, "externalTrafficPolicy", traffic, ARRAY_SIZE(traffic), false);
    check_one_of(e, p, spec, "internalTrafficPolicy", traffic, ARRAY_SIZE(traffic), false);
    if (!outside && text(spec, "externalTrafficPolicy").len > 0)
        api_invalid(e, &external, *get(spec, "externalTrafficPolicy"),
                    "may only be set for externally-accessible services");
}

static void check_service_update(ApiErrors *e, const ApiPath *p, const Value *spec,
                                 const Value *old)
{
    /* Changing the type to ExternalName releases the address, from it takes one. */
    bool named = sv_eq(text(spec, "type"), SV("ExternalName")) ||
                 sv_eq(text(old, "type"), SV("ExternalName"));

    if (!named && text(old, "clusterIP").len > 0)
        check_immutable(e, p, spec, old, "clusterIP");
}

void validate_service(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView types[] = { SV_INIT("ClusterIP"), SV_INIT("ExternalName"),
                                     SV_INIT("LoadBalancer"), SV_INIT("NodePort") };
    const Value *spec = get(obj, "spec"), *list = get(spec, "ports");
    ApiPath p = API_FIELD(NULL, "spec"), ports = API_FIELD(&p, "ports");
    ApiPath selector = API_FIELD(&p, "selector"), ip = API_FIELD(&p, "clusterIP");
    ApiPath external = API_FIELD(&p, "externalIPs");
    bool headless = sv_eq(text(spec, "clusterIP"), SV("None"));
    bool named = sv_eq(text(spec, "type"), SV("ExternalName"));
    Twins names = { .errors = e }, numbers = { .errors = e };
    uint32_t i = 0;

    if (value_len(list) == 0 && !headless && !named)
        api_required(e, &ports, "");
    for (i = 0; i < value_len(list); i++) {
        ApiPath at = API_INDEX(&ports, i);
        check_service_port(e, &at, &list->items[i], list->len == 1);
        check_twins(e, &at, &list->items[i], &names, &numbers);
    }
    check_labels(e, &selector, get(spec, "selector"));
    check_one_of(e, &p, spec, "type", types, ARRAY_SIZE(types), true);
    if (named)
        check_external_name(e, &p, spec);
    else if (text(spec, "clusterIP").len > 0 && !headless)
        check_address(e, &ip, text(spec, "clusterIP"));
    check_node_ports(e, &ports, spec);
    check_policies(e, &p, spec);
    i = 0;
    value_list_foreach (a, get(spec, "externalIPs")) {
        ApiPath at = API_INDEX(&external, i++);
        check_address(e, &at, value_str(a));
    }
    if (old)
        check_service_update(e, &p, spec, get(old, "spec"));
}

/* What no endpoint may be: a Service would lead its clients to themselves, to the node, or to what
 * the node alone may ask (a cloud's metadata at 169.254.169.254). */
void api_validate_address_not_special(ApiErrors *e, const ApiPath *p, StrView s)
{
    struct in6_addr a6;
    struct in_addr a4;
    char name[64];
    bool v4 = false, v6 = false;
    if (sv_copy_cstr(s, name, sizeof name)) {
        v4 = inet_pton(AF_INET, name, &a4) == 1;
        v6 = !v4 && inet_pton(AF_INET6, name, &a6) == 1;
    }
    if (v6 && IN6_IS_ADDR_V4MAPPED(&a6)) {
        memcpy(&a4, a6.s6_addr + 12, sizeof a4);
        v4 = !(v6 = false);
    }
    uint32_t addr = v4 ? ntohl(a4.s_addr) : 0;
    if (v4 ? addr == INADDR_ANY : v6 && IN6_IS_ADDR_UNSPECIFIED(&a6))
        api_invalid(e, p, value_sv(s), "may not be unspecified (0.0.0.0 or ::)");
    if (v4 ? addr >> 24 == 127 : v6 && IN6_IS_ADDR_LOOPBACK(&a6))
        api_invalid(e, p, value_sv(s), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (v4 ? addr >> 16 == 0xa9fe : v6 && IN6_IS_ADDR_LINKLOCAL(&a6))
        api_invalid(e, p, value_sv(s),
                    "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (v4 ? addr >> 8 == 0xe00000 : v6 && IN6_IS_ADDR_MC_LINKLOCAL(&a6))
        api_invalid(e, p, value_sv(s),
                    "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

/* Its name for DNS, and where it is. */
static void check_endpoint_names(ApiErrors *e, const ApiPath *p, const Value *endpoint)
{
    ApiPath hostname = API_FIELD(p, "hostname"), node = API_FIELD(p, "nodeName");
    if (text(endpoint, "hostname").len)
        check_name(e, &hostname, text(endpoint, "hostname"), name_dns1123_label);
    if (text(endpoint, "nodeName").len)
        check_name(e, &node, text(endpoint, "nodeName"), name_dns1123_subdomain);
}

static void check_endpoint_addresses(ApiErrors *e, const ApiPath *p, const Value *list)
{
    uint32_t i = 0;

    value_list_foreach (a, list) {
        ApiPath at = API_INDEX(p, i++), ip = API_FIELD(&at, "ip");
        check_address(e, &ip, text(a, "ip"));
        api_validate_address_not_special(e, &ip, text(a, "ip"));
        check_endpoint_names(e, &at, a);
    }
}

void validate_endpoints(const Value *obj, const Value *old, ApiErrors *e)
{
    ApiPath p = API_FIELD(NULL, "subsets");
    uint32_t i = 0;

    value_list_foreach (s, get(obj, "subsets")) {
        ApiPath at = API_INDEX(&p, i++), ports = API_FIELD(&at, "ports");
        ApiPath ready = API_FIELD(&at, "addresses"), other = API_FIELD(&at, "notReadyAddresses");
        uint32_t j = 0;
        if (count(s, "addresses") == 0 && count(s, "notReadyAddresses") == 0)
            api_required(e, &at, "must specify `addresses` or `notReadyAddresses`");
        check_endpoint_addresses(e, &ready, get(s, "addresses"));
        check_endpoint_addresses(e, &other, get(s, "notReadyAddresses"));
        value_list_foreach (port, get(s, "ports")) {
            ApiPath one = API_INDEX(&ports, j++), name = API_FIELD(&one, "name");
            if (count(s, "ports") > 1 || text(port, "name").len > 0)
                check_required_name(e, &name, text(port, "name"), name_dns1123_label);
            check_port(e, &one, port, "port");
            check_one_of(e, &one, port, "protocol", protocols, ARRAY_SIZE(protocols), true);
        }
    }
}

static void check_slice_address(ApiErrors *e, const ApiPath *p, StrView s, StrView type)
{
    bool has_colon = sv_find_char(s, ':') >= 0;
    if (sv_eq(type, SV("FQDN"))) {
        check_name(e, p, s, name_dns1123_subdomain);
        return;
    }
    if (sv_eq(type, SV("IPv4")) && (has_colon || !is_address(s)))
        api_invalid(e, p, value_sv(s), "must be a valid IPv4 address");
    else if (sv_eq(type, SV("IPv6")) && (!has_colon || !is_address(s)))
        api_invalid(e, p, value_sv(s), "must be a valid IPv6 address");
    else
        api_validate_address_not_special(e, p, s);
}

static void check_slice_ports(ApiErrors *e, const ApiPath *p, const Value *list)
{
    uint32_t i = 0;
    value_list_foreach (port, list) {
        ApiPath at = API_INDEX(p, i++), name = API_FIELD(&at, "name");
        if (text(port, "name").len)
            check_name(e, &name, text(port, "name"), name_dns1123_label);
        if (get(port, "port"))
            check_port(e, &at, port, "port");
        check_one_of(e, &at, port, "protocol", protocols, ARRAY_SIZE(protocols), true);
    }
}

void validate_endpoint_slice(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView types[] = { SV_INIT("FQDN"), SV_INIT("IPv4"), SV_INIT("IPv6") };
    enum { ENDPOINTS_MAX = 1000, PORTS_MAX = 20000, ADDRESSES_MAX = 100 };
    ApiPath p = API_FIELD(NULL, "endpoints"), ports = API_FIELD(NULL, "ports");
    uint32_t i = 0;

    check_one_of(e, NULL, obj, "addressType", types, ARRAY_SIZE(types), true);
    if (count(obj, "endpoints") > ENDPOINTS_MAX)
        api_too_many(e, &p, count(obj, "endpoints"), ENDPOINTS_MAX);
    if (count(obj, "ports") > PORTS_MAX)
        api_too_many(e, &ports, count(obj, "ports"), PORTS_MAX);
    check_slice_ports(e, &ports, get(obj, "ports"));
    value_list_foreach (one, get(obj, "endpoints")) {
        ApiPath at = API_INDEX(&p, i++), list = API_FIELD(&at, "addresses");
        uint32_t j = 0;
        check_endpoint_names(e, &at, one);
        if (count(one, "addresses") == 0)
            api_required(e, &list, "must contain at least 1 address");
        else if (count(one, "addresses") > ADDRESSES_MAX)
            api_too_many(e, &list, count(one, "addresses"), ADDRESSES_MAX);
        value_list_foreach (a, get(one, "addresses")) {
            ApiPath address = API_INDEX(&list, j++);
            check_slice_address(e, &address, value_str(a), text(obj, "addressType"));
        }
    }
    if (old)
        check_immutable(e, NULL, obj, old, "addressType");
}

static void check_backend(ApiErrors *e, const ApiPath *p, const Value *backend)
{
    const Value *service = get(backend, "service"), *resource = get(backend, "resource");
    ApiPath at = API_FIELD(p, "service"), name = API_FIELD(&at, "name"),
            port = API_FIELD(&at, "port");

    if (!service && !resource) {
        api_required(e, p, "must specify either a `service` or `resource` backend");
        return;
    }
    if (service && resource)
        api_invalid(e, p, value_sv(SV("")), "cannot set both resource and service backends");
    if (!service)
        return;
    check_required_name(e, &name, text(service, "name"), name_dns1035_label);
    if (number(get(service, "port"), "number") == 0 && text(get(service, "port"), "name").len == 0)
        api_required(e, &port, "port name or number is required");
}

static void check_http_paths(ApiErrors *e, const ApiPath *p, const Value *paths)
{
    static const StrView types[] = { SV_INIT("Exact"), SV_INIT("ImplementationSpecific"),
                                     SV_INIT("Prefix") };
    uint32_t i = 0;

    if (value_len(paths) == 0)
        api_required(e, p, "");
    value_list_foreach (one, paths) {
        ApiPath at = API_INDEX(p, i++), path = API_FIELD(&at, "path");
        ApiPath backend = API_FIELD(&at, "backend");
        bool any = sv_eq(text(one, "pathType"), SV("ImplementationSpecific"));
        check_one_of(e, &at, one, "pathType", types, ARRAY_SIZE(types), true);
        if ((!any || text(one, "path").len > 0) && !sv_starts(text(one, "path"), SV("/")))
            api_invalid(e, &path, value_sv(text(one, "path")), "must be an absolute path");
        check_backend(e, &backend, get(one, "backend"));
    }
}

void validate_ingress(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec");
    ApiPath p = API_FIELD(NULL, "spec"), rules = API_FIELD(&p, "rules");
    ApiPath backend = API_FIELD(&p, "defaultBackend");
    uint32_t i = 0;

    if (count(spec, "rules") == 0 && !get(spec, "defaultBackend"))
        api_invalid(e, &p, shown(get(spec, "rules")),
                    "either `defaultBackend` or `rules` must be specified");
    if (get(spec, "defaultBackend"))
        check_backend(e, &backend, get(spec, "defaultBackend"));
    value_list_foreach (r, get(spec, "rules")) {
        ApiPath at = API_INDEX(&rules, i++), host = API_FIELD(&at, "host");
        ApiPath http = API_FIELD(&at, "http"), paths = API_FIELD(&http, "paths");
        StrView h = text(r, "host");
        if (h.len > 0 && is_address(h))
            api_invalid(e, &host, value_sv(h), "must be a DNS name, not an IP address");
        else if (h.len > 0)
            check_name(e, &host, h,
                       sv_find_char(h, '*') >= 0 ? name_wildcard_domain : name_dns1123_subdomain);
        if (get(r, "http"))
            check_http_paths(e, &paths, get(get(r, "http"), "paths"));
    }
}

static void check_policy_rules(ApiErrors *e, const ApiPath *p, const Value *rules,
                               const char *peers)
{
    uint32_t i = 0;

    value_list_foreach (r, rules) {
        ApiPath at = API_INDEX(p, i++), ports = API_FIELD(&at, "ports");
        ApiPath list = API_FIELD_SV(&at, sv_cstr(peers));
        uint32_t j = 0, k = 0;
        value_list_foreach (port, get(r, "ports")) {
            ApiPath one = API_INDEX(&ports, j++);
            check_one_of(e, &one, port, "protocol", protocols, ARRAY_SIZE(protocols), true);
            check_port(e, &one, port, "port");
        }
        value_list_foreach (peer, get(r, peers)) {
            ApiPath one = API_INDEX(&list, k++), pods = API_FIELD(&one, "podSelector");
            ApiPath spaces = API_FIELD(&one, "namespaceSelector");
            check_label_selector(e, &pods, get(peer, "podSelector"));
            check_label_selector(e, &spaces, get(peer, "namespaceSelector"));
            if (value_len(peer) == 0)
                api_required(e, &one, "must specify a peer");
            else if (get(peer, "ipBlock") && value_len(peer) > 1)
                api_forbidden(e, &one, "may not specify both ipBlock and another peer");
        }
    }
}

void validate_network_policy(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec");
    ApiPath p = API_FIELD(NULL, "spec"), selector = API_FIELD(&p, "podSelector");
    ApiPath in = API_FIELD(&p, "ingress"), out = API_FIELD(&p, "egress");

    check_label_selector(e, &selector, get(spec, "podSelector"));
    check_policy_rules(e, &in, get(spec, "ingress"), "from");
    check_policy_rules(e, &out, get(spec, "egress"), "to");
}

void validate_ip_address(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *parent = get(spec, "parentRef");
    ApiPath meta = API_FIELD(NULL, "metadata"), name = API_FIELD(&meta, "name");
    ApiPath p = API_FIELD(NULL, "spec"), ref = API_FIELD(&p, "parentRef");

    check_address(e, &name, text(get(obj, "metadata"), "name"));
    if (!parent) {
        api_required(e, &ref, "");
        return;
    }
    check_required_text(e, &ref, parent, "resource");
    check_required_text(e, &ref, parent, "name");
    if (old)
        check_immutable(e, &p, spec, get(old, "spec"), "parentRef");
}
