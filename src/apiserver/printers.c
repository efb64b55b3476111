/* printers.c - what the columns of each kind show, as Kubernetes' printers do. One row per column.
 */
#include "apiserver/printers.h"

#include <stdio.h>

#include "api/selector.h"
#include "base/clock.h"

/* Kubernetes' duration.HumanDuration: "5s", "3m20s", "2h", "5d". */
StrView print_duration(Arena *a, int64_t sec)
{
    if (sec < -1)
        return SV("<invalid>");
    if (sec < 0)
        return SV("0s");
    if (sec < 120)
        return arena_printf(a, "%llds", (long long)sec);
    int64_t min = sec / 60, hours = sec / 3600, days = hours / 24;
    if (min < 10)
        return sec % 60 ? arena_printf(a, "%lldm%llds", (long long)min, (long long)(sec % 60))
                        : arena_printf(a, "%lldm", (long long)min);
    if (min < 180)
        return arena_printf(a, "%lldm", (long long)min);
    if (hours < 8)
        return min % 60 ? arena_printf(a, "%lldh%lldm", (long long)hours, (long long)(min % 60))
                        : arena_printf(a, "%lldh", (long long)hours);
    if (hours < 48)
        return arena_printf(a, "%lldh", (long long)hours);
    if (hours < 192)
        return hours % 24 ? arena_printf(a, "%lldd%lldh", (long long)days, (long long)(hours % 24))
                          : arena_printf(a, "%lldd", (long long)days);
    if (days < 730)
        return arena_printf(a, "%lldd", (long long)days);
    if (days < 365 * 8 && days % 365)
        return arena_printf(a, "%lldy%lldd", (long long)(days / 365), (long long)(days % 365));
    return arena_printf(a, "%lldy", (long long)(days / 365));
}

StrView print_since(Arena *a, StrView rfc3339)
{
    int64_t ns;
    if (!rfc3339.len || rfc3339_parse(rfc3339, &ns) < 0)
        return SV("<unknown>");
    return print_duration(a, (clock_real_ns() - ns) / NSEC_PER_SEC);
}

static Value text(StrView s)
{
    return value_sv(s.ptr ? s : SV(""));
}

static StrView or_none(StrView s)
{
    return s.len ? s : SV("<none>");
}

static Value number(const Value *obj, const char *path)
{
    return value_int(value_int_or(value_path(obj, path), 0));
}

static StrView join(Arena *a, Buf *b)
{
    StrView s = arena_sv(a, buf_view(b));
    buf_free(b);
    return s;
}

static StrView selector_cell(Arena *a, const Value *label_selector)
{
    Selector s;
    _cleanup_buf_ Buf out = BUF_INIT;
    if (!label_selector || selector_from_object(label_selector, a, &s, NULL) < 0)
        return SV("<none>");
    selector_format(&s, &out);
    return or_none(arena_sv(a, buf_view(&out)));
}

static StrView labels_cell(Arena *a, const Value *labels)
{
    Buf out = BUF_INIT;
    value_map_foreach (m, labels)
        buf_printf(&out, "%s%.*s=%.*s", out.len ? "," : "", SV_FMT(m->key),
                   SV_FMT(value_str(&m->val)));
    return or_none(join(a, &out));
}

static StrView container_list(Arena *a, const Value *pod_spec, StrView member)
{
    Buf out = BUF_INIT;
    value_list_foreach (c, value_get(pod_spec, SV("containers")))
        buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(value_str(value_get(c, member))));
    return join(a, &out);
}

/* ---- pods ---- */

static StrView state_reason(Arena *a, const Value *status)
{
    const Value *state = value_get(status, SV("state"));
    StrView waiting = value_path_str(state, "waiting.reason");
    if (waiting.len)
        return waiting;
    const Value *ended = value_get(state, SV("terminated"));
    if (!ended)
        return SV_NULL;
    StrView reason = value_str(value_get(ended, SV("reason")));
    if (reason.len)
        return reason;
    int64_t sig = value_int_or(value_get(ended, SV("signal")), 0);
    return sig ? arena_printf(a, "Signal:%lld", (long long)sig)
               : arena_printf(a, "ExitCode:%lld",
                              (long long)value_int_or(value_get(ended, SV("exitCode")), 0));
}

static bool is_ready(const Value *status)
{
    return value_bool_or(value_get(status, SV("ready")), false);
}

static bool condition_true(const Value *obj, StrView type)
{
    value_list_foreach (c, value_path(obj, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return sv_eq(value_str(value_get(c, SV("status"))), SV("True"));
    }
    return false;
}

/* "Init:1/3" and the like while init containers are at work; SV_NULL when they are done: then a
 * sidecar that was killed at the pod's end says nothing of it. */
static StrView init_status(Arena *a, const Value *pod)
{
    uint32_t total = value_len(value_path(pod, "spec.initContainers")), i = 0;
    if (condition_true(pod, SV("Initialized")))
        return SV_NULL;
    value_list_foreach (s, value_path(pod, "status.initContainerStatuses")) {
        const Value *ended = value_path(s, "state.terminated");
        bool done = ended && value_int_or(value_get(ended, SV("exitCode")), 1) == 0;
        if (!done && !(value_bool_or(value_get(s, SV("started")), false))) {
            StrView reason = state_reason(a, s);
            if (reason.len && !sv_eq(reason, SV("PodInitializing")))
                return arena_printf(a, "Init:%.*s", SV_FMT(reason));
            return arena_printf(a, "Init:%u/%u", i, total);
        }
        i++;
    }
    return SV_NULL;
}

static StrView pod_status(Arena *a, const Value *pod)
{
    StrView reason = value_path_str(pod, "status.reason");
    if (!reason.len)
        reason = value_path_str(pod, "status.phase");
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled")) &&
            sv_eq(value_str(value_get(c, SV("reason"))), SV("SchedulingGated")))
            reason = SV("SchedulingGated");
    }
    StrView init = init_status(a, pod);
    bool running = false;
    if (init.len)
        reason = init;
    else {
        value_list_foreach (s, value_path(pod, "status.containerStatuses")) {
            StrView r = state_reason(a, s);
            if (r.len)
                reason = r;
            running |= is_ready(s) && value_path(s, "state.running");
        }
        if (sv_eq(reason, SV("Completed")) && running)
            reason = condition_true(pod, SV("Ready")) ? SV("Running") : SV("NotReady");
    }
    if (value_path(pod, "metadata.deletionTimestamp"))
        reason = sv_eq(value_path_str(pod, "status.reason"), SV("NodeLost")) ? SV("Unknown")
                                                                             : SV("Terminating");
    return reason;
}

static StrView pod_restarts(Arena *a, const Value *pod)
{
    int64_t n = 0, last = 0;
    value_list_foreach (s, value_path(pod, "status.containerStatuses")) {
        int64_t at;
        n += value_int_or(value_get(s, SV("restartCount")), 0);
        StrView finished = value_path_str(s, "lastState.terminated.finishedAt");
        if (finished.len && rfc3339_parse(finished, &at) == 0)
            last = MAX(last, at);
    }
    if (!n || !last)
        return arena_printf(a, "%lld", (long long)n);
    StrView ago = print_duration(a, (clock_real_ns() - last) / NSEC_PER_SEC);
    return arena_printf(a, "%lld (%.*s ago)", (long long)n, SV_FMT(ago));
}

static bool print_pod(Arena *a, StrView col, const Value *pod, Value *ret)
{
    if (sv_eq(col, SV("Ready"))) {
        unsigned ready = 0;
        value_list_foreach (s, value_path(pod, "status.containerStatuses"))
            ready += is_ready(s);
        *ret = text(arena_printf(a, "%u/%u", ready, value_len(value_path(pod, "spec.containers"))));
    } else if (sv_eq(col, SV("Status")))
        *ret = text(pod_status(a, pod));
    else if (sv_eq(col, SV("Restarts")))
        *ret = text(pod_restarts(a, pod));
    else if (sv_eq(col, SV("IP")))
        *ret = text(or_none(value_path_str(pod, "status.podIP")));
    else if (sv_eq(col, SV("Node")))
        *ret = text(or_none(value_path_str(pod, "spec.nodeName")));
    else if (sv_eq(col, SV("Nominated Node")))
        *ret = text(or_none(value_path_str(pod, "status.nominatedNodeName")));
    else if (sv_eq(col, SV("Readiness Gates")))
        *ret = text(SV("<none>"));
    else
        return false;
    return true;
}

/* ---- workloads ---- */

static bool print_template(Arena *a, StrView col, const Value *obj, Value *ret)
{
    const Value *spec = value_path(obj, "spec.template.spec");
    if (sv_eq(col, SV("Containers")))
        *ret = text(container_list(a, spec, SV("name")));
    else if (sv_eq(col, SV("Images")))
        *ret = text(container_list(a, spec, SV("image")));
    else if (sv_eq(col, SV("Selector")))
        *ret = text(selector_cell(a, value_path(obj, "spec.selector")));
    else
        return false;
    return true;
}

static bool print_deployment(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Ready")))
        *ret =
            text(arena_printf(a, "%lld/%lld",
                              (long long)value_int_or(value_path(obj, "status.readyReplicas"), 0),
                              (long long)value_int_or(value_path(obj, "spec.replicas"), 0)));
    else if (sv_eq(col, SV("Up-to-date")))
        *ret = number(obj, "status.updatedReplicas");
    else if (sv_eq(col, SV("Available")))
        *ret = number(obj, "status.availableReplicas");
    else
        return print_template(a, col, obj, ret);
    return true;
}

static bool print_replicas(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Desired")))
        *ret = number(obj, "spec.replicas");
    else if (sv_eq(col, SV("Current")))
        *ret = number(obj, "status.replicas");
    else if (sv_eq(col, SV("Ready")))
        *ret = number(obj, "status.readyReplicas");
    else
        return print_template(a, col, obj, ret);
    return true;
}

static bool print_daemonset(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const struct {
        StrView col;
        const char *path;
    } rows[] = {
        { SV_INIT("Desired"), "status.desiredNumberScheduled" },
        { SV_INIT("Current"), "status.currentNumberScheduled" },
        { SV_INIT("Ready"), "status.numberReady" },
        { SV_INIT("Up-to-date"), "status.updatedNumberScheduled" },
        { SV_INIT("Available"), "status.numberAvailable" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].col, col)) {
            *ret = number(obj, rows[i].path);
            return true;
        }
    if (sv_eq(col, SV("Node Selector"))) {
        *ret = text(labels_cell(a, value_path(obj, "spec.template.spec.nodeSelector")));
        return true;
    }
    return print_template(a, col, obj, ret);
}

/* ---- network ---- */

static StrView service_ports(Arena *a, const Value *svc)
{
    Buf out = BUF_INIT;
    value_list_foreach (p, value_path(svc, "spec.ports")) {
        buf_printf(&out, "%s%lld", out.len ? "," : "",
                   (long long)value_int_or(value_get(p, SV("port")), 0));
        int64_t node = value_int_or(value_get(p, SV("nodePort")), 0);
        if (node)
            buf_printf(&out, ":%lld", (long long)node);
        buf_printf(&out, "/%.*s", SV_FMT(value_str(value_get(p, SV("protocol")))));
    }
    return or_none(join(a, &out));
}

static StrView external_ip(Arena *a, const Value *svc)
{
    Buf out = BUF_INIT;
    value_list_foreach (i, value_path(svc, "status.loadBalancer.ingress")) {
        StrView ip = value_str(value_get(i, SV("ip")));
        buf_printf(&out, "%s%.*s", out.len ? "," : "",
                   SV_FMT(ip.len ? ip : value_str(value_get(i, SV("hostname")))));
    }
    value_list_foreach (i, value_path(svc, "spec.externalIPs"))
        buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(value_str(i)));
    if (!out.len && sv_eq(value_path_str(svc, "spec.type"), SV("LoadBalancer")))
        buf_sv(&out, SV("<pending>"));
    if (sv_eq(value_path_str(svc, "spec.type"), SV("ExternalName")))
        buf_sv(&out, value_path_str(svc, "spec.externalName"));
    return or_none(join(a, &out));
}

static bool print_service(Arena *a, StrView col, const Value *svc, Value *ret)
{
    if (sv_eq(col, SV("Type")))
        *ret = text(value_path_str(svc, "spec.type"));
    else if (sv_eq(col, SV("Cluster-IP")))
        *ret = text(or_none(value_path_str(svc, "spec.clusterIP")));
    else if (sv_eq(col, SV("External-IP")))
        *ret = text(external_ip(a, svc));
    else if (sv_eq(col, SV("Port(s)")))
        *ret = text(service_ports(a, svc));
    else if (sv_eq(col, SV("Selector")))
        *ret = text(labels_cell(a, value_path(svc, "spec.selector")));
    else
        return false;
    return true;
}

enum { ENDPOINTS_SHOWN = 3 };

static StrView endpoints_cell(Arena *a, const Value *ep)
{
    Buf out = BUF_INIT;
    unsigned n = 0;
    value_list_foreach (set, value_get(ep, SV("subsets"))) {
        value_list_foreach (port, value_get(set, SV("ports"))) {
            value_list_foreach (addr, value_get(set, SV("addresses"))) {
                if (n++ < ENDPOINTS_SHOWN)
                    buf_printf(&out, "%s%.*s:%lld", out.len ? "," : "",
                               SV_FMT(value_str(value_get(addr, SV("ip")))),
                               (long long)value_int_or(value_get(port, SV("port")), 0));
            }
        }
    }
    if (n > ENDPOINTS_SHOWN)
        buf_printf(&out, " + %u more...", n - ENDPOINTS_SHOWN);
    return or_none(join(a, &out));
}

static bool print_endpoints(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Endpoints")))
        return false;
    *ret = text(endpoints_cell(a, obj));
    return true;
}

static bool print_slice(Arena *a, StrView col, const Value *obj, Value *ret)
{
    Buf out = BUF_INIT;
    unsigned n = 0;
    if (sv_eq(col, SV("AddressType")))
        *ret = text(value_path_str(obj, "addressType"));
    else if (sv_eq(col, SV("Ports"))) {
        value_list_foreach (p, value_get(obj, SV("ports")))
            buf_printf(&out, "%s%lld", out.len ? "," : "",
                       (long long)value_int_or(value_get(p, SV("port")), 0));
        *ret = text(out.len ? join(a, &out) : SV("<unset>"));
    } else if (sv_eq(col, SV("Endpoints"))) {
        value_list_foreach (e, value_get(obj, SV("endpoints"))) {
            value_list_foreach (addr, value_get(e, SV("addresses"))) {
                if (n++ < ENDPOINTS_SHOWN)
                    buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(value_str(addr)));
            }
        }
        if (n > ENDPOINTS_SHOWN)
            buf_printf(&out, " + %u more...", n - ENDPOINTS_SHOWN);
        *ret = text(out.len ? join(a, &out) : SV("<unset>"));
    } else
        return false;
    buf_free(&out);
    return true;
}

/* ---- nodes, namespaces ---- */

static StrView node_status(Arena *a, const Value *node)
{
    StrView ready = SV("Unknown");
    value_list_foreach (c, value_path(node, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("Ready")))
            ready = sv_eq(value_str(value_get(c, SV("status"))), SV("True")) ? SV("Ready")
                                                                             : SV("NotReady");
    }
    bool cordoned = value_bool_or(value_path(node, "spec.unschedulable"), false);
    return cordoned ? arena_printf(a, "%.*s,SchedulingDisabled", SV_FMT(ready)) : ready;
}

static StrView node_roles(Arena *a, const Value *node)
{
    Buf out = BUF_INIT;
    StrView prefix = SV("node-role.kubernetes.io/");
    value_map_foreach (m, value_path(node, "metadata.labels")) {
        if (sv_starts(m->key, prefix))
            buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(sv_skip(m->key, prefix.len)));
    }
    return or_none(join(a, &out));
}

static StrView node_address(const Value *node, StrView type)
{
    value_list_foreach (addr, value_path(node, "status.addresses")) {
        if (sv_eq(value_str(value_get(addr, SV("type"))), type))
            return value_str(value_get(addr, SV("address")));
    }
    return SV("<none>");
}

static bool print_node(Arena *a, StrView col, const Value *node, Value *ret)
{
    static const struct {
        StrView col;
        const char *path;
    } info[] = {
        { SV_INIT("Version"), "status.nodeInfo.kubeletVersion" },
        { SV_INIT("OS-Image"), "status.nodeInfo.osImage" },
        { SV_INIT("Kernel-Version"), "status.nodeInfo.kernelVersion" },
        { SV_INIT("Container-Runtime"), "status.nodeInfo.containerRuntimeVersion" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(info); i++)
        if (sv_eq(info[i].col, col)) {
            *ret = text(value_path_str(node, info[i].path));
            return true;
        }
    if (sv_eq(col, SV("Status")))
        *ret = text(node_status(a, node));
    else if (sv_eq(col, SV("Roles")))
        *ret = text(node_roles(a, node));
    else if (sv_eq(col, SV("Internal-IP")))
        *ret = text(node_address(node, SV("InternalIP")));
    else if (sv_eq(col, SV("External-IP")))
        *ret = text(node_address(node, SV("ExternalIP")));
    else
        return false;
    return true;
}

static bool print_namespace(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Status")))
        return false;
    *ret = text(value_path_str(obj, "status.phase"));
    return true;
}

/* ---- data, accounts, roles ---- */

static bool print_configmap(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Data")))
        return false;
    *ret = value_int(value_len(value_get(obj, SV("data"))) +
                     value_len(value_get(obj, SV("binaryData"))));
    return true;
}

static bool print_secret(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Type")))
        *ret = text(value_path_str(obj, "type"));
    else if (sv_eq(col, SV("Data")))
        *ret = value_int(value_len(value_get(obj, SV("data"))));
    else
        return false;
    return true;
}

static bool print_ip_address(Arena *a, StrView col, const Value *obj, Value *ret)
{
    StrView group = value_path_str(obj, "spec.parentRef.group"),
            ns = value_path_str(obj, "spec.parentRef.namespace");
    if (!sv_eq(col, SV("ParentRef")))
        return false;
    *ret = text(arena_printf(a, "%.*s%s%.*s/%.*s%s%.*s",
                             SV_FMT(value_path_str(obj, "spec.parentRef.resource")),
                             group.len ? "." : "", SV_FMT(group), SV_FMT(ns), ns.len ? "/" : "",
                             SV_FMT(value_path_str(obj, "spec.parentRef.name"))));
    return true;
}

static bool print_service_account(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Secrets")))
        return false;
    *ret = value_int(value_len(value_get(obj, SV("secrets"))));
    return true;
}

static StrView subjects_of(Arena *a, const Value *obj, StrView kind)
{
    Buf out = BUF_INIT;
    value_list_foreach (s, value_get(obj, SV("subjects"))) {
        StrView ns = value_str(value_get(s, SV("namespace")));
        if (!sv_eq(value_str(value_get(s, SV("kind"))), kind))
            continue;
        buf_printf(&out, "%s%.*s%s%.*s", out.len ? ", " : "", SV_FMT(ns), ns.len ? "/" : "",
                   SV_FMT(value_str(value_get(s, SV("name")))));
    }
    return join(a, &out);
}

static bool print_binding(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Role")))
        *ret = text(arena_printf(a, "%.*s/%.*s", SV_FMT(value_path_str(obj, "roleRef.kind")),
                                 SV_FMT(value_path_str(obj, "roleRef.name"))));
    else if (sv_eq(col, SV("Users")))
        *ret = text(subjects_of(a, obj, SV("User")));
    else if (sv_eq(col, SV("Groups")))
        *ret = text(subjects_of(a, obj, SV("Group")));
    else if (sv_eq(col, SV("ServiceAccounts")))
        *ret = text(subjects_of(a, obj, SV("ServiceAccount")));
    else
        return false;
    return true;
}

static bool print_lease(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Holder")))
        return false;
    *ret = text(value_path_str(obj, "spec.holderIdentity"));
    return true;
}

/* ---- events ---- */

static bool print_event(Arena *a, StrView col, const Value *ev, Value *ret)
{
    StrView first = value_path_str(ev, "firstTimestamp"),
            last = value_path_str(ev, "lastTimestamp");
    StrView when = value_path_str(ev, "eventTime");
    if (sv_eq(col, SV("Last Seen")))
        *ret = text(print_since(a, last.len   ? last
                                   : when.len ? when
                                              : value_path_str(ev, "metadata.creationTimestamp")));
    else if (sv_eq(col, SV("First Seen")))
        *ret = text(print_since(a, first.len ? first : when));
    else if (sv_eq(col, SV("Type")))
        *ret = text(value_path_str(ev, "type"));
    else if (sv_eq(col, SV("Reason")))
        *ret = text(value_path_str(ev, "reason"));
    else if (sv_eq(col, SV("Object"))) {
        StrView kind = value_path_str(ev, "involvedObject.kind");
        char low[64];
        for (size_t i = 0; i < kind.len && i < sizeof low; i++)
            low[i] =
                (char)(kind.ptr[i] >= 'A' && kind.ptr[i] <= 'Z' ? kind.ptr[i] + 32 : kind.ptr[i]);
        *ret = text(arena_printf(a, "%.*s/%.*s", (int)MIN(kind.len, sizeof low), low,
                                 SV_FMT(value_path_str(ev, "involvedObject.name"))));
    } else if (sv_eq(col, SV("Subobject")))
        *ret = text(value_path_str(ev, "involvedObject.fieldPath"));
    else if (sv_eq(col, SV("Source"))) {
        StrView c = value_path_str(ev, "source.component"), h = value_path_str(ev, "source.host");
        *ret = text(h.len ? arena_printf(a, "%.*s, %.*s", SV_FMT(c), SV_FMT(h)) : c);
    } else if (sv_eq(col, SV("Message")))
        *ret = text(sv_trim(value_path_str(ev, "message")));
    else if (sv_eq(col, SV("Count")))
        *ret = number(ev, "count");
    else
        return false;
    return true;
}

bool print_cell(Arena *a, const ApiResource *res, const ApiColumn *col, const Value *obj,
                Value *ret)
{
    static const struct {
        StrView kind;
        bool (*fn)(Arena *a, StrView col, const Value *obj, Value *ret);
    } rows[] = {
        { SV_INIT("Pod"), print_pod },
        { SV_INIT("Deployment"), print_deployment },
        { SV_INIT("ReplicaSet"), print_replicas },
        { SV_INIT("ReplicationController"), print_replicas },
        { SV_INIT("StatefulSet"), print_deployment },
        { SV_INIT("DaemonSet"), print_daemonset },
        { SV_INIT("Service"), print_service },
        { SV_INIT("Endpoints"), print_endpoints },
        { SV_INIT("EndpointSlice"), print_slice },
        { SV_INIT("Node"), print_node },
        { SV_INIT("Namespace"), print_namespace },
        { SV_INIT("ConfigMap"), print_configmap },
        { SV_INIT("Secret"), print_secret },
        { SV_INIT("ServiceAccount"), print_service_account },
        { SV_INIT("IPAddress"), print_ip_address },
        { SV_INIT("RoleBinding"), print_binding },
        { SV_INIT("ClusterRoleBinding"), print_binding },
        { SV_INIT("Lease"), print_lease },
        { SV_INIT("Event"), print_event },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].kind, res->kind))
            return rows[i].fn(a, col->name, obj, ret);
    return false;
}
