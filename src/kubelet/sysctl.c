/* sysctl.c - spec.securityContext.sysctls: those that Kubernetes calls safe (they belong to a
 * namespace of the pod's own, and cannot hurt other pods) are set, all others are refused. To add
 * one: a row, when Kubernetes has it in its safe set. */
#include "kubelet/internal.h"

typedef enum Namespace { NS_NET, NS_IPC } Namespace;

/* k8s.io/kubernetes/pkg/kubelet/sysctl: the safe set of 1.35. */
static const struct {
    StrView name;
    Namespace ns;
} safe[] = {
    { SV_INIT("kernel.shm_rmid_forced"), NS_IPC },
    { SV_INIT("net.ipv4.ip_local_port_range"), NS_NET },
    { SV_INIT("net.ipv4.tcp_syncookies"), NS_NET },
    { SV_INIT("net.ipv4.ping_group_range"), NS_NET },
    { SV_INIT("net.ipv4.ip_unprivileged_port_start"), NS_NET },
    { SV_INIT("net.ipv4.ip_local_reserved_ports"), NS_NET },
    { SV_INIT("net.ipv4.tcp_keepalive_time"), NS_NET },
    { SV_INIT("net.ipv4.tcp_fin_timeout"), NS_NET },
    { SV_INIT("net.ipv4.tcp_keepalive_intvl"), NS_NET },
    { SV_INIT("net.ipv4.tcp_keepalive_probes"), NS_NET },
    { SV_INIT("net.ipv4.tcp_rmem"), NS_NET },
    { SV_INIT("net.ipv4.tcp_wmem"), NS_NET },
};

/* A name may be written with slashes; then its dots are parts of names ("net/ipv4/conf/eth0.1/x").
 */
static StrView with_dots(StrView name, Arena *a)
{
    StrView copy = arena_sv(a, name);
    bool slashes = false;
    for (size_t i = 0; i < name.len && name.ptr[i] != '.' && !slashes; i++)
        slashes = name.ptr[i] == '/';
    for (size_t i = 0; slashes && copy.ptr && i < copy.len; i++)
        ((char *)copy.ptr)[i] = name.ptr[i] == '/' ? '.' : name.ptr[i] == '.' ? '/' : name.ptr[i];
    return copy;
}

static int forbidden(StrView name, const char *why, uint32_t i, Err *err)
{
    return err_set(err, ERR_DENIED, 0,
                   "forbidden sysctl: \"%.*s\" %s (spec.securityContext.sysctls[%u].name)",
                   SV_FMT(sv_head(name, 253)), why, i);
}

int sysctls_check(const Value *pod, Err *err)
{
    const Value *list = value_path(pod, "spec.securityContext.sysctls");
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    for (uint32_t i = 0; i < value_len(list); i++) {
        StrView name = with_dots(value_str(value_get(value_at(list, i), SV("name"))), &a);
        size_t k = 0;
        while (k < ARRAY_SIZE(safe) && !sv_eq(safe[k].name, name))
            k++;
        if (k == ARRAY_SIZE(safe))
            return forbidden(name, "not allowlisted", i, err);
        if (safe[k].ns == NS_NET && pod_is_host_network(pod))
            return forbidden(name, "not allowed with host net enabled", i, err);
        if (safe[k].ns == NS_IPC && value_bool_or(value_path(pod, "spec.hostIPC"), false))
            return forbidden(name, "not allowed with host ipc enabled", i, err);
    }
    return 0;
}

int sysctls_of(const Value *pod, Arena *a, PodSpec *ret, Err *err)
{
    const Value *list = value_path(pod, "spec.securityContext.sysctls");
    ret->sysctls.items = arena_array(a, OciSysctl, value_len(list) + 1);
    if (!ret->sysctls.items)
        return err_nomem(err);
    value_list_foreach (s, list) {
        StrView name = with_dots(value_str(value_get(s, SV("name"))), a);
        OciSysctl one = { .key = name.ptr ? arena_cstr(a, name) : NULL,
                          .value = arena_cstr(a, value_str(value_get(s, SV("value")))) };
        if (!one.key || !one.value)
            return err_nomem(err);
        ret->sysctls.items[ret->sysctls.len++] = one;
    }
    return 0;
}
