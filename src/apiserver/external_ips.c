/* external_ips.c - addresses from outside that a Service would take away from somebody. */
#include "apiserver/external_ips.h"

#include "api/validate.h"
#include "apiserver/addr.h"
#include "apiserver/object.h"
#include "apiserver/services.h"

/* Whose the address is on this node: its own, its pods' or nobody's there (NULL). */
static const char *node_owner(const Value *node, uint32_t addr)
{
    uint32_t own;
    value_list_foreach (a, value_path(node, "status.addresses")) {
        if (addr4_parse(value_str(value_get(a, SV("address"))), &own) && own == addr)
            return "is the address of a node";
    }
    if (addr4_in_cidr(addr, value_path_str(node, "spec.podCIDR")))
        return "is in the range of pods";
    value_list_foreach (cidr, value_path(node, "spec.podCIDRs")) {
        if (addr4_in_cidr(addr, value_str(cidr)))
            return "is in the range of pods";
    }
    return NULL;
}

static const char *pod_owner(const Value *pod, uint32_t addr)
{
    uint32_t own;
    return addr4_parse(value_path_str(pod, "status.podIP"), &own) && own == addr
               ? "is the address of a pod"
               : NULL;
}

typedef const char *OwnerFn(const Value *obj, uint32_t addr);

static const char *owner_among(ApiCall *x, const char *plural, OwnerFn *owner, uint32_t addr)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), sv_cstr(plural));
    char prefix[STORE_KEY_MAX];
    if (!registry_key(res, SV_NULL, SV_NULL, prefix))
        return NULL;
    Snapshot *sn = store_snapshot(x->srv->store);
    SnapshotIter it;
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    _cleanup_arena_ Arena scratch;
    arena_init(&scratch, 0);
    const char *found = NULL;
    for (ObjectRev *o; !found && (o = snapshot_next(&it));) {
        Value v;
        arena_reset(&scratch);
        if (object_decode(res, o, &scratch, &v, NULL) == 0)
            found = owner(&v, addr);
    }
    snapshot_unref(sn);
    return found;
}

/* Pods are asked one by one only where no node tells their range. */
static const char *owner_of(ApiCall *x, StrView text)
{
    uint32_t addr;
    const char *owner;
    if (!addr4_parse(text, &addr))
        return NULL;
    if (services_has_address(x->srv->services, text))
        return "is in the range of Services";
    if ((owner = owner_among(x, "nodes", node_owner, addr)))
        return owner;
    return owner_among(x, "pods", pod_owner, addr);
}

static bool has_address(const Value *list, const char *key, StrView text)
{
    value_list_foreach (v, list) {
        if (sv_eq(value_str(key ? value_get(v, sv_cstr(key)) : v), text))
            return true;
    }
    return false;
}

static void check(ApiCall *x, const ApiPath *p, StrView text, ApiErrors *errors)
{
    const char *owner = owner_of(x, text);
    api_validate_address_not_special(errors, p, text);
    if (owner)
        api_invalid(errors, p, value_sv(text), "%s", owner);
}

void external_ips_check(ApiCall *x, const Value *obj, const Value *old, ApiErrors *errors)
{
    enum { MOST = 64 }; /* each costs a walk over the nodes and pods */
    ApiPath spec = API_FIELD(NULL, "spec"), list = API_FIELD(&spec, "externalIPs"),
            lb = API_FIELD(&spec, "loadBalancerIP"), status = API_FIELD(NULL, "status"),
            balancer = API_FIELD(&status, "loadBalancer"),
            ingress = API_FIELD(&balancer, "ingress");
    const Value *external = value_path(obj, "spec.externalIPs"),
                *given = value_path(obj, "status.loadBalancer.ingress");
    StrView asked = value_path_str(obj, "spec.loadBalancerIP");
    uint32_t i = 0;
    if (value_len(external) > MOST)
        api_too_many(errors, &list, (uint32_t)value_len(external), MOST);
    if (value_len(given) > MOST)
        api_too_many(errors, &ingress, (uint32_t)value_len(given), MOST);
    if (errors->len)
        return;
    value_list_foreach (v, external) {
        ApiPath at = API_INDEX(&list, i++);
        if (!has_address(value_path(old, "spec.externalIPs"), NULL, value_str(v)))
            check(x, &at, value_str(v), errors);
    }
    if (asked.len && !sv_eq(asked, value_path_str(old, "spec.loadBalancerIP")))
        check(x, &lb, asked, errors);
    i = 0;
    value_list_foreach (v, given) {
        ApiPath at = API_INDEX(&ingress, i++), ip = API_FIELD(&at, "ip");
        StrView text = value_str(value_get(v, SV("ip")));
        if (text.len && !has_address(value_path(old, "status.loadBalancer.ingress"), "ip", text))
            check(x, &ip, text, errors);
    }
}

bool external_ips_new(const Value *obj, const Value *old)
{
    value_list_foreach (v, value_path(obj, "spec.externalIPs")) {
        if (!has_address(value_path(old, "spec.externalIPs"), NULL, value_str(v)))
            return true;
    }
    return false;
}
