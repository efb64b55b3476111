/* printers.c - what the columns of each kind show, as Kubernetes' printers do.
 *
 * The columns themselves stand in the table of kinds (schema/ *.kapi); here a kind's function makes
 * the cells of its columns by their names. To print a new kind, write its function beside those of
 * its like (printers_pod.c, printers_workload.c, printers_network.c, printers_storage.c, or here)
 * and name it in print_cell(). */
#include "apiserver/printers_internal.h"

#include <stdlib.h>

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
    StrView prefix = SV("node-role.kubernetes.io/");
    const Value *labels = value_path(node, "metadata.labels");
    StrView *roles = arena_array(a, StrView, value_len(labels) + 1);
    size_t n = 0;
    if (!roles)
        return SV_NULL;
    value_map_foreach (m, labels) {
        if (sv_starts(m->key, prefix) && m->key.len > prefix.len)
            roles[n++] = sv_skip(m->key, prefix.len);
        else if (sv_eq(m->key, SV("kubernetes.io/role")) && value_str(&m->val).len)
            roles[n++] = value_str(&m->val);
    }
    return cell_or_none(cell_set(a, roles, n));
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
    static const FieldColumn info[] = {
        { SV_INIT("Version"), "status.nodeInfo.kubeletVersion", FIELD_TEXT, NULL },
        { SV_INIT("OS-Image"), "status.nodeInfo.osImage", FIELD_TEXT, "<unknown>" },
        { SV_INIT("Kernel-Version"), "status.nodeInfo.kernelVersion", FIELD_TEXT, "<unknown>" },
        { SV_INIT("Container-Runtime"), "status.nodeInfo.containerRuntimeVersion", FIELD_TEXT,
          "<unknown>" },
    };
    if (sv_eq(col, SV("Status")))
        *ret = cell_text(node_status(a, node));
    else if (sv_eq(col, SV("Roles")))
        *ret = cell_text(node_roles(a, node));
    else if (sv_eq(col, SV("Internal-IP")))
        *ret = cell_text(node_address(node, SV("InternalIP")));
    else if (sv_eq(col, SV("External-IP")))
        *ret = cell_text(node_address(node, SV("ExternalIP")));
    else
        return cell_of_field(info, ARRAY_SIZE(info), col, node, ret);
    return true;
}

static bool print_namespace(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Status"), "status.phase", FIELD_TEXT, NULL } };
    return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
}

/* ---- data, quotas, classes ---- */

static bool print_config_map(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Data")))
        return false;
    *ret = value_int((int64_t)value_len(value_get(obj, SV("data"))) +
                     value_len(value_get(obj, SV("binaryData"))));
    return true;
}

static bool print_secret(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Type")))
        *ret = cell_text(value_path_str(obj, "type"));
    else if (sv_eq(col, SV("Data")))
        *ret = value_int(value_len(value_get(obj, SV("data"))));
    else
        return false;
    return true;
}

static int by_key(const void *a, const void *b)
{
    return sv_cmp((*(Member *const *)a)->key, (*(Member *const *)b)->key);
}

/* "pods: 1/4, requests.cpu: 0/1" of the resources that are limits, or of all others. */
static StrView quota_cell(Arena *a, const Value *quota, bool limits)
{
    const Value *hard = value_path(quota, "status.hard"), *used = value_path(quota, "status.used");
    const Member **rows = arena_array(a, const Member *, value_len(hard) + 1);
    size_t n = 0;
    Buf out = BUF_INIT;
    if (!rows)
        return SV_NULL;
    value_map_foreach (m, hard) {
        if (sv_starts(m->key, SV("limits.")) == limits)
            rows[n++] = m;
    }
    if (n)
        qsort(rows, n, sizeof *rows, by_key);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%.*s: %.*s/%.*s", out.len ? ", " : "", SV_FMT(rows[i]->key),
                   SV_FMT(cell_quantity(a, value_get(used, rows[i]->key))),
                   SV_FMT(cell_quantity(a, &rows[i]->val)));
    return cell_take(a, &out);
}

static bool print_quota(Arena *a, StrView col, const Value *obj, Value *ret)
{
    bool limits = sv_eq(col, SV("Limit"));
    if (!limits && !sv_eq(col, SV("Request")))
        return false;
    *ret = cell_text(quota_cell(a, obj, limits));
    return true;
}

static bool print_priority_class(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Value"), "value", FIELD_NUMBER, NULL },
        { SV_INIT("Global-Default"), "globalDefault", FIELD_BOOL, NULL },
        { SV_INIT("PreemptionPolicy"), "preemptionPolicy", FIELD_TEXT, NULL },
    };
    return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
}

static bool print_lease(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Holder"), "spec.holderIdentity", FIELD_TEXT,
                                          NULL } };
    return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
}

/* ---- roles ---- */

static StrView subjects_of(Arena *a, const Value *obj, StrView kind)
{
    bool accounts = sv_eq(kind, SV("ServiceAccount"));
    Buf out = BUF_INIT;
    value_list_foreach (s, value_get(obj, SV("subjects"))) {
        StrView ns = value_str(value_get(s, SV("namespace")));
        if (!sv_eq(value_str(value_get(s, SV("kind"))), kind))
            continue;
        if (out.len)
            buf_sv(&out, SV(", "));
        if (accounts)
            buf_printf(&out, "%.*s/", SV_FMT(ns));
        buf_sv(&out, value_str(value_get(s, SV("name"))));
    }
    return cell_take(a, &out);
}

static bool print_binding(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Role")))
        *ret = cell_text(arena_printf(a, "%.*s/%.*s", SV_FMT(value_path_str(obj, "roleRef.kind")),
                                      SV_FMT(value_path_str(obj, "roleRef.name"))));
    else if (sv_eq(col, SV("Users")))
        *ret = cell_text(subjects_of(a, obj, SV("User")));
    else if (sv_eq(col, SV("Groups")))
        *ret = cell_text(subjects_of(a, obj, SV("Group")));
    else if (sv_eq(col, SV("ServiceAccounts")))
        *ret = cell_text(subjects_of(a, obj, SV("ServiceAccount")));
    else
        return false;
    return true;
}

/* ---- events ---- */

/* The field of an event by its name in core/v1, or in events.k8s.io/v1. */
static StrView event_field(const Value *ev, const char *core, const char *events)
{
    StrView s = value_path_str(ev, core);
    return s.len ? s : value_path_str(ev, events);
}

static StrView event_first(const Value *ev)
{
    StrView first = event_field(ev, "firstTimestamp", "deprecatedFirstTimestamp");
    return first.len ? first : value_path_str(ev, "eventTime");
}

static StrView event_last(const Value *ev)
{
    StrView last = value_path_str(ev, "series.lastObservedTime");
    if (!last.len)
        last = event_field(ev, "lastTimestamp", "deprecatedLastTimestamp");
    return last.len ? last : event_first(ev);
}

static int64_t event_count(const Value *ev)
{
    int64_t n = value_int_or(value_path(ev, "series.count"), 0);
    if (!n)
        n = value_int_or(value_get(ev, SV("count")),
                         value_int_or(value_get(ev, SV("deprecatedCount")), 0));
    return n ? n : 1;
}

static StrView event_object(Arena *a, const Value *ev)
{
    StrView kind = event_field(ev, "involvedObject.kind", "regarding.kind"),
            name = event_field(ev, "involvedObject.name", "regarding.name");
    StrView low = cell_lower(a, kind);
    return name.len ? arena_printf(a, "%.*s/%.*s", SV_FMT(low), SV_FMT(name)) : low;
}

static StrView event_source(Arena *a, const Value *ev)
{
    StrView from = event_field(ev, "source.component", "deprecatedSource.component"),
            host = event_field(ev, "source.host", "deprecatedSource.host");
    if (!from.len)
        from = event_field(ev, "reportingComponent", "reportingController");
    if (!host.len)
        host = value_path_str(ev, "reportingInstance");
    return host.len ? arena_printf(a, "%.*s, %.*s", SV_FMT(from), SV_FMT(host)) : from;
}

static bool print_event(Arena *a, StrView col, const Value *ev, Value *ret)
{
    if (sv_eq(col, SV("Last Seen")))
        *ret = cell_text(print_since(a, event_last(ev)));
    else if (sv_eq(col, SV("First Seen")))
        *ret = cell_text(print_since(a, event_first(ev)));
    else if (sv_eq(col, SV("Type")))
        *ret = cell_text(value_path_str(ev, "type"));
    else if (sv_eq(col, SV("Reason")))
        *ret = cell_text(value_path_str(ev, "reason"));
    else if (sv_eq(col, SV("Object")))
        *ret = cell_text(event_object(a, ev));
    else if (sv_eq(col, SV("Subobject")))
        *ret = cell_text(event_field(ev, "involvedObject.fieldPath", "regarding.fieldPath"));
    else if (sv_eq(col, SV("Source")))
        *ret = cell_text(event_source(a, ev));
    else if (sv_eq(col, SV("Message")))
        *ret = cell_text(sv_trim(event_field(ev, "message", "note")));
    else if (sv_eq(col, SV("Count")))
        *ret = value_int(event_count(ev));
    else
        return false;
    return true;
}

bool print_cell(Arena *a, const ApiResource *res, const ApiColumn *col, const Value *obj,
                Value *ret)
{
    static const struct {
        StrView kind;
        PrintFn *fn;
    } rows[] = {
        { SV_INIT("Pod"), print_pod },
        { SV_INIT("Deployment"), print_deployment },
        { SV_INIT("ReplicaSet"), print_replica_set },
        { SV_INIT("ReplicationController"), print_replication_controller },
        { SV_INIT("StatefulSet"), print_stateful_set },
        { SV_INIT("DaemonSet"), print_daemon_set },
        { SV_INIT("Job"), print_job },
        { SV_INIT("CronJob"), print_cron_job },
        { SV_INIT("ControllerRevision"), print_controller_revision },
        { SV_INIT("PodTemplate"), print_pod_template },
        { SV_INIT("PodDisruptionBudget"), print_disruption_budget },
        { SV_INIT("HorizontalPodAutoscaler"), print_autoscaler },
        { SV_INIT("Service"), print_service },
        { SV_INIT("Endpoints"), print_endpoints },
        { SV_INIT("EndpointSlice"), print_endpoint_slice },
        { SV_INIT("Ingress"), print_ingress },
        { SV_INIT("IngressClass"), print_ingress_class },
        { SV_INIT("NetworkPolicy"), print_network_policy },
        { SV_INIT("IPAddress"), print_ip_address },
        { SV_INIT("Node"), print_node },
        { SV_INIT("Namespace"), print_namespace },
        { SV_INIT("ConfigMap"), print_config_map },
        { SV_INIT("Secret"), print_secret },
        { SV_INIT("ResourceQuota"), print_quota },
        { SV_INIT("PriorityClass"), print_priority_class },
        { SV_INIT("PersistentVolume"), print_volume },
        { SV_INIT("PersistentVolumeClaim"), print_volume_claim },
        { SV_INIT("StorageClass"), print_storage_class },
        { SV_INIT("RoleBinding"), print_binding },
        { SV_INIT("ClusterRoleBinding"), print_binding },
        { SV_INIT("Lease"), print_lease },
        { SV_INIT("Event"), print_event },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_eq(rows[i].kind, res->kind) && rows[i].fn(a, col->name, obj, ret))
            return true;
    if (sv_eq(col->name, SV("Name")))
        *ret = cell_text(value_path_str(obj, "metadata.name"));
    else if (sv_eq(col->name, SV("Age")))
        *ret = cell_text(print_since(a, value_path_str(obj, "metadata.creationTimestamp")));
    else if (sv_eq(col->name, SV("Created At")))
        *ret = cell_text(value_path_str(obj, "metadata.creationTimestamp"));
    else
        return false;
    return true;
}
