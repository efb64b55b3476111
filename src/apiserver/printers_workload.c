/* printers_workload.c - the columns of what runs pods: Deployments and their like, Jobs, budgets.
 */
#include "apiserver/printers_internal.h"

#include "base/clock.h"

/* Columns of a pod's template under `spec`, and its selector. */
static bool print_template(Arena *a, StrView col, const Value *spec, Value *ret)
{
    if (!sv_eq(col, SV("Selector")))
        return cell_of_containers(a, col, value_path(spec, "template.spec"), ret);
    *ret = cell_text(cell_selector(a, value_get(spec, SV("selector"))));
    return true;
}

static StrView ready_of_wanted(Arena *a, const Value *obj)
{
    return arena_printf(a, "%lld/%lld",
                        (long long)value_int_or(value_path(obj, "status.readyReplicas"), 0),
                        (long long)value_int_or(value_path(obj, "spec.replicas"), 0));
}

bool print_stateful_set(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Ready")))
        return print_template(a, col, value_get(obj, SV("spec")), ret);
    *ret = cell_text(ready_of_wanted(a, obj));
    return true;
}

bool print_deployment(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Up-to-date"), "status.updatedReplicas", FIELD_NUMBER, NULL },
        { SV_INIT("Available"), "status.availableReplicas", FIELD_NUMBER, NULL },
    };
    return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret) ||
           print_stateful_set(a, col, obj, ret);
}

static const FieldColumn replica_columns[] = {
    { SV_INIT("Desired"), "spec.replicas", FIELD_NUMBER, NULL },
    { SV_INIT("Current"), "status.replicas", FIELD_NUMBER, NULL },
    { SV_INIT("Ready"), "status.readyReplicas", FIELD_NUMBER, NULL },
};

bool print_replica_set(Arena *a, StrView col, const Value *obj, Value *ret)
{
    return cell_of_field(replica_columns, ARRAY_SIZE(replica_columns), col, obj, ret) ||
           print_template(a, col, value_get(obj, SV("spec")), ret);
}

/* Its selector is a map of labels. */
bool print_replication_controller(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Selector")))
        return print_replica_set(a, col, obj, ret);
    *ret = cell_text(cell_labels(a, value_path(obj, "spec.selector")));
    return true;
}

bool print_daemon_set(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Desired"), "status.desiredNumberScheduled", FIELD_NUMBER, NULL },
        { SV_INIT("Current"), "status.currentNumberScheduled", FIELD_NUMBER, NULL },
        { SV_INIT("Ready"), "status.numberReady", FIELD_NUMBER, NULL },
        { SV_INIT("Up-to-date"), "status.updatedNumberScheduled", FIELD_NUMBER, NULL },
        { SV_INIT("Available"), "status.numberAvailable", FIELD_NUMBER, NULL },
    };
    if (sv_eq(col, SV("Node Selector"))) {
        *ret = cell_text(cell_labels(a, value_path(obj, "spec.template.spec.nodeSelector")));
        return true;
    }
    return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret) ||
           print_template(a, col, value_get(obj, SV("spec")), ret);
}

/* "daemonset.apps/web" */
static StrView controller_of(Arena *a, const Value *obj)
{
    value_list_foreach (ref, value_path(obj, "metadata.ownerReferences")) {
        StrView version = value_str(value_get(ref, SV("apiVersion"))), group = SV_NULL, rest;
        if (!value_bool_or(value_get(ref, SV("controller")), false))
            continue;
        if (!sv_cut(version, '/', &group, &rest))
            group = SV_NULL;
        StrView kind =
            arena_printf(a, "%.*s%s%.*s", SV_FMT(value_str(value_get(ref, SV("kind")))),
                         group.len ? "." : "", (int)group.len, group.len ? group.ptr : "");
        return arena_printf(a, "%.*s/%.*s", SV_FMT(cell_lower(a, kind)),
                            SV_FMT(value_str(value_get(ref, SV("name")))));
    }
    return SV("<none>");
}

bool print_controller_revision(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Revision"), "revision", FIELD_NUMBER, NULL } };
    if (!sv_eq(col, SV("Controller")))
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    *ret = cell_text(controller_of(a, obj));
    return true;
}

/* ---- jobs ---- */

static StrView job_status(const Value *job)
{
    static const StrView ended[] = { SV_INIT("Complete"), SV_INIT("Failed") };
    static const StrView on_the_way[] = { SV_INIT("Suspended"), SV_INIT("FailureTarget"),
                                          SV_INIT("SuccessCriteriaMet") };
    for (size_t i = 0; i < ARRAY_SIZE(ended); i++)
        if (cell_condition(job, ended[i]))
            return ended[i];
    if (value_path(job, "metadata.deletionTimestamp"))
        return SV("Terminating");
    for (size_t i = 0; i < ARRAY_SIZE(on_the_way); i++)
        if (cell_condition(job, on_the_way[i]))
            return on_the_way[i];
    return SV("Running");
}

static StrView job_completions(Arena *a, const Value *job)
{
    const Value *wanted = value_path(job, "spec.completions");
    long long done = value_int_or(value_path(job, "status.succeeded"), 0);
    long long parallel = value_int_or(value_path(job, "spec.parallelism"), 0);
    if (value_is(wanted, VALUE_INT))
        return arena_printf(a, "%lld/%lld", done, (long long)wanted->i);
    return parallel > 1 ? arena_printf(a, "%lld/1 of %lld", done, parallel)
                        : arena_printf(a, "%lld/1", done);
}

static StrView job_duration(Arena *a, const Value *job)
{
    int64_t from, to = clock_real_ns();
    StrView end = value_path_str(job, "status.completionTime");
    if (rfc3339_parse(value_path_str(job, "status.startTime"), &from) < 0 ||
        (end.len && rfc3339_parse(end, &to) < 0))
        return SV("");
    return print_duration(a, (to - from) / NSEC_PER_SEC);
}

bool print_job(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (sv_eq(col, SV("Status")))
        *ret = cell_text(job_status(obj));
    else if (sv_eq(col, SV("Completions")))
        *ret = cell_text(job_completions(a, obj));
    else if (sv_eq(col, SV("Duration")))
        *ret = cell_text(job_duration(a, obj));
    else
        return print_template(a, col, value_get(obj, SV("spec")), ret);
    return true;
}

bool print_cron_job(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Schedule"), "spec.schedule", FIELD_TEXT, NULL },
        { SV_INIT("Timezone"), "spec.timeZone", FIELD_TEXT, "<none>" },
    };
    if (sv_eq(col, SV("Suspend"))) {
        const Value *v = value_path(obj, "spec.suspend");
        *ret = cell_text(!value_is(v, VALUE_BOOL) ? SV("<unset>")
                         : v->b                   ? SV("True")
                                                  : SV("False"));
    } else if (sv_eq(col, SV("Active")))
        *ret = value_int(value_len(value_path(obj, "status.active")));
    else if (sv_eq(col, SV("Last Schedule"))) {
        StrView last = value_path_str(obj, "status.lastScheduleTime");
        *ret = cell_text(last.len ? print_since(a, last) : SV("<none>"));
    } else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret) ||
               print_template(a, col, value_path(obj, "spec.jobTemplate.spec"), ret);
    return true;
}

bool print_disruption_budget(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Allowed Disruptions"),
                                          "status.disruptionsAllowed", FIELD_NUMBER, NULL } };
    if (sv_eq(col, SV("Min Available")))
        *ret = cell_text(cell_scalar(a, value_path(obj, "spec.minAvailable"), SV("N/A")));
    else if (sv_eq(col, SV("Max Unavailable")))
        *ret = cell_text(cell_scalar(a, value_path(obj, "spec.maxUnavailable"), SV("N/A")));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    return true;
}

/* One metric of an autoscaler: what it is now, and what it should be. */
static StrView autoscaler_metric(Arena *a, const Value *metric, const Value *now)
{
    const Value *source = NULL, *current = NULL;
    value_map_foreach (m, metric) {
        if (m->val.kind == VALUE_MAP) {
            source = &m->val;
            current = value_get(value_get(now, m->key), SV("current"));
        }
    }
    const Value *percent = value_path(source, "target.averageUtilization");
    const Value *is = value_get(current, SV("averageUtilization"));
    StrView name = value_path_str(source, "name"), label = SV("");
    if (name.len)
        label = arena_printf(a, "%.*s: ", SV_FMT(name));
    if (percent && is)
        return arena_printf(a, "%.*s%lld%%/%lld%%", SV_FMT(label), (long long)value_int_or(is, 0),
                            (long long)value_int_or(percent, 0));
    if (percent)
        return arena_printf(a, "%.*s<unknown>/%lld%%", SV_FMT(label),
                            (long long)value_int_or(percent, 0));
    StrView average = value_path_str(source, "target.averageValue");
    StrView want = average.len ? average : value_path_str(source, "target.value");
    StrView have = value_str(value_get(current, average.len ? SV("averageValue") : SV("value")));
    bool says = average.len && value_path(metric, "external");
    return arena_printf(a, "%.*s%.*s/%.*s%s", SV_FMT(label),
                        SV_FMT(have.len ? have : SV("<unknown>")), SV_FMT(want),
                        says ? " (avg)" : "");
}

/* The first two, and how many more there are. */
static StrView autoscaler_metrics(Arena *a, const Value *obj)
{
    enum { SHOWN = 2 };
    const Value *metrics = value_path(obj, "spec.metrics");
    StrView out = SV("<none>");
    for (uint32_t i = 0; i < MIN(value_len(metrics), SHOWN); i++) {
        const Value *now = value_at(value_path(obj, "status.currentMetrics"), i);
        StrView one = autoscaler_metric(a, value_at(metrics, i), now);
        out = i ? arena_printf(a, "%.*s, %.*s", SV_FMT(out), SV_FMT(one)) : one;
    }
    if (value_len(metrics) > SHOWN)
        out = arena_printf(a, "%.*s + %u more...", SV_FMT(out), value_len(metrics) - SHOWN);
    return out;
}

bool print_autoscaler(Arena *a, StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("MaxPods"), "spec.maxReplicas", FIELD_NUMBER, NULL },
        { SV_INIT("Replicas"), "status.currentReplicas", FIELD_NUMBER, NULL },
    };
    const Value *least = value_path(obj, "spec.minReplicas");
    if (sv_eq(col, SV("Reference")))
        *ret = cell_text(arena_printf(a, "%.*s/%.*s",
                                      SV_FMT(value_path_str(obj, "spec.scaleTargetRef.kind")),
                                      SV_FMT(value_path_str(obj, "spec.scaleTargetRef.name"))));
    else if (sv_eq(col, SV("Targets")))
        *ret = cell_text(autoscaler_metrics(a, obj));
    else if (sv_eq(col, SV("MinPods")))
        *ret = cell_text(least ? arena_printf(a, "%lld", (long long)value_int_or(least, 0))
                               : SV("<unset>"));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    return true;
}
