/* convert_hpa.c - see convert_hpa.h. Semantics: k8s.io/kubernetes/pkg/apis/autoscaling/v1. */
#include "apiserver/convert_hpa.h"

#include "base/buf.h"
#include "codec/json.h"

/* The annotations of v1. */
enum { METRICS_NOTE, BEHAVIOR_NOTE, CURRENT_NOTE, CONDITIONS_NOTE, STATUS_NOTES = CURRENT_NOTE };
static const StrView note_keys[] = {
    [METRICS_NOTE] = SV_INIT("autoscaling.alpha.kubernetes.io/metrics"),
    [BEHAVIOR_NOTE] = SV_INIT("autoscaling.alpha.kubernetes.io/behavior"),
    [CURRENT_NOTE] = SV_INIT("autoscaling.alpha.kubernetes.io/current-metrics"),
    [CONDITIONS_NOTE] = SV_INIT("autoscaling.alpha.kubernetes.io/conditions"),
};

enum { NOTE_DEPTH_MAX = 30 }; /* of the trees in annotations; metrics take 8 */

/* Where a source's fields lie in either version. `type`: the target's, when it has this field. */
typedef struct FieldPair {
    const char *source, *v1, *v2, *type;
} FieldPair;

static const FieldPair spec_fields[] = {
    { "resource", "name", "name", NULL },
    { "resource", "targetAverageUtilization", "target.averageUtilization", "Utilization" },
    { "resource", "targetAverageValue", "target.averageValue", "AverageValue" },
    { "containerResource", "name", "name", NULL },
    { "containerResource", "container", "container", NULL },
    { "containerResource", "targetAverageUtilization", "target.averageUtilization", "Utilization" },
    { "containerResource", "targetAverageValue", "target.averageValue", "AverageValue" },
    { "pods", "metricName", "metric.name", NULL },
    { "pods", "selector", "metric.selector", NULL },
    { "pods", "targetAverageValue", "target.averageValue", "AverageValue" },
    { "object", "target", "describedObject", NULL },
    { "object", "metricName", "metric.name", NULL },
    { "object", "selector", "metric.selector", NULL },
    { "object", "targetValue", "target.value", "Value" },
    { "object", "averageValue", "target.averageValue", "AverageValue" },
    { "external", "metricName", "metric.name", NULL },
    { "external", "metricSelector", "metric.selector", NULL },
    { "external", "targetValue", "target.value", "Value" },
    { "external", "targetAverageValue", "target.averageValue", "AverageValue" },
};

static const FieldPair status_fields[] = {
    { "resource", "name", "name", NULL },
    { "resource", "currentAverageUtilization", "current.averageUtilization", NULL },
    { "resource", "currentAverageValue", "current.averageValue", NULL },
    { "containerResource", "name", "name", NULL },
    { "containerResource", "container", "container", NULL },
    { "containerResource", "currentAverageUtilization", "current.averageUtilization", NULL },
    { "containerResource", "currentAverageValue", "current.averageValue", NULL },
    { "pods", "metricName", "metric.name", NULL },
    { "pods", "selector", "metric.selector", NULL },
    { "pods", "currentAverageValue", "current.averageValue", NULL },
    { "object", "target", "describedObject", NULL },
    { "object", "metricName", "metric.name", NULL },
    { "object", "selector", "metric.selector", NULL },
    { "object", "currentValue", "current.value", NULL },
    { "object", "averageValue", "current.averageValue", NULL },
    { "external", "metricName", "metric.name", NULL },
    { "external", "metricSelector", "metric.selector", NULL },
    { "external", "currentValue", "current.value", NULL },
    { "external", "currentAverageValue", "current.averageValue", NULL },
};

/* Members that v1 has always, though v2 may lack their value. */
static const FieldPair v1_always[] = {
    { "object", "targetValue", NULL, NULL },
};
static const FieldPair v1_status_always[] = {
    { "resource", "currentAverageValue", NULL, NULL },
    { "containerResource", "currentAverageValue", NULL, NULL },
    { "object", "currentValue", NULL, NULL },
    { "external", "currentValue", NULL, NULL },
};

typedef struct FieldTable {
    const FieldPair *pairs;
    size_t n;
    const FieldPair *always;
    size_t n_always;
} FieldTable;

static const FieldTable specs = { spec_fields, ARRAY_SIZE(spec_fields), v1_always,
                                  ARRAY_SIZE(v1_always) };
static const FieldTable statuses = { status_fields, ARRAY_SIZE(status_fields), v1_status_always,
                                     ARRAY_SIZE(v1_status_always) };

/* The one member of a metric that is not its type. */
static const Member *source_of(const Value *metric)
{
    value_map_foreach (m, metric) {
        if (!sv_eq(m->key, SV("type")) && m->val.kind == VALUE_MAP)
            return m;
    }
    return NULL;
}

/* An average goes before a value: v1 always has one of the latter, "0" where it says nothing. */
static void set_target_type(Arena *a, Value *source, const char *type)
{
    const Value *have = value_path(source, "target.type");
    if (!have || sv_eq(value_str(have), SV("Value")))
        value_set_path(a, source, "target.type", value_sv(sv_cstr(type)));
    if (strcmp(type, "AverageValue") == 0 && value_path(source, "target.value"))
        value_del(value_path(source, "target"), SV("value"));
}

static Value metric_to(const FieldTable *t, const Value *metric, bool to_v2, Arena *a)
{
    const Member *from = source_of(metric);
    Value out = value_map(), source = value_map();
    const Value *type = value_get(metric, SV("type"));
    if (type)
        value_set(a, &out, SV("type"), *type);
    if (!from)
        return out;
    for (size_t i = 0; i < t->n; i++) {
        const FieldPair *p = &t->pairs[i];
        const Value *v = sv_eq(from->key, sv_cstr(p->source))
                             ? value_path(&from->val, to_v2 ? p->v1 : p->v2)
                             : NULL;
        if (!v)
            continue;
        if (to_v2 && p->type)
            set_target_type(a, &source, p->type);
        value_set_path(a, &source, to_v2 ? p->v2 : p->v1, *v);
    }
    for (size_t i = 0; !to_v2 && i < t->n_always; i++) {
        StrView name = sv_cstr(t->always[i].v1);
        if (sv_eq(from->key, sv_cstr(t->always[i].source)) && !value_get(&source, name))
            value_set(a, &source, name, value_sv(SV("0")));
    }
    value_set(a, &out, from->key, source);
    return out;
}

static bool is_cpu_utilization(const Value *metric, const char *percent)
{
    return sv_eq(value_path_str(metric, "type"), SV("Resource")) &&
           sv_eq(value_path_str(metric, "resource.name"), SV("cpu")) && value_path(metric, percent);
}

/* The tree that an annotation holds; NULL: there is none, or it is not one of this kind. */
static const Value *noted(const Value *obj, int key, ValueKind kind, Arena *a)
{
    StrView text = value_str(value_get(value_path(obj, "metadata.annotations"), note_keys[key]));
    const JsonOptions opt = { .depth_max = NOTE_DEPTH_MAX };
    Value *v = text.ptr ? arena_new(a, Value) : NULL;
    return v && json_decode(text, a, &opt, v, NULL) == 0 && v->kind == kind ? v : NULL;
}

static void note(Value *notes, int key, const Value *v, Arena *a)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    json_encode(v, &text);
    StrView copy = text.failed ? SV_NULL : arena_sv(a, buf_view(&text));
    if (copy.ptr)
        value_set(a, notes, note_keys[key], value_sv(copy));
    else
        a->failed = true;
}

static void copy_members(Value *to, const Value *from, const StrView *names, size_t n, Arena *a)
{
    for (size_t i = 0; i < n; i++) {
        const Value *v = value_get(from, names[i]);
        if (v)
            value_set(a, to, names[i], *v);
    }
}

static const StrView spec_common[] = { SV_INIT("scaleTargetRef"), SV_INIT("minReplicas"),
                                       SV_INIT("maxReplicas") };
static const StrView status_common[] = { SV_INIT("observedGeneration"), SV_INIT("lastScaleTime"),
                                         SV_INIT("currentReplicas"), SV_INIT("desiredReplicas") };

/* The metadata with other annotations; without any there is no such member. */
static Value with_notes(const Value *metadata, Value notes, Arena *a)
{
    Value out = value_map();
    bool done = false;
    value_map_foreach (m, metadata) {
        bool is_notes = sv_eq(m->key, SV("annotations"));
        if (!is_notes)
            value_append(a, &out, m->key, m->val);
        else if (notes.len)
            value_append(a, &out, m->key, notes);
        done |= is_notes;
    }
    if (!done && notes.len)
        value_append(a, &out, SV("annotations"), notes);
    return out;
}

/* The annotations of anybody else. */
static Value other_notes(const Value *obj, Arena *a)
{
    Value out = value_map();
    value_map_foreach (m, value_path(obj, "metadata.annotations")) {
        bool ours = false;
        for (size_t i = 0; i < ARRAY_SIZE(note_keys); i++)
            ours |= sv_eq(m->key, note_keys[i]);
        if (!ours)
            value_append(a, &out, m->key, m->val);
    }
    return out;
}

/* Metadata, spec and status put in their places; all else as it was. */
static Value assemble(const Value *obj, Value metadata, Value spec, const Value *status, Arena *a)
{
    Value out = value_map();
    value_map_foreach (m, obj) {
        if (sv_eq(m->key, SV("metadata")))
            value_append(a, &out, m->key, metadata);
        else if (sv_eq(m->key, SV("spec")))
            value_append(a, &out, m->key, spec);
        else if (!sv_eq(m->key, SV("status")))
            value_append(a, &out, m->key, m->val);
        else if (status)
            value_append(a, &out, m->key, *status);
    }
    return out;
}

static Value cpu_metric(const char *group, const char *type, const Value *percent, Arena *a)
{
    Value m = value_map(), inner = value_map();
    value_set(a, &m, SV("type"), value_sv(SV("Resource")));
    value_set_path(a, &m, "resource.name", value_sv(SV("cpu")));
    if (type)
        value_set(a, &inner, SV("type"), value_sv(sv_cstr(type)));
    value_set(a, &inner, SV("averageUtilization"), *percent);
    value_set(a, value_get(&m, SV("resource")), sv_cstr(group), inner);
    return m;
}

static void append_converted(Value *list, const FieldTable *t, const Value *metrics, Arena *a)
{
    value_list_foreach (it, metrics)
        value_push(a, list, metric_to(t, it, true, a));
}

Value hpa_to_v2(const Value *obj, Arena *a)
{
    static const Value usual = { .kind = VALUE_INT, .i = 80 };
    const Value *old = value_get(obj, SV("spec")), *was = value_get(obj, SV("status"));
    const Value *percent = value_get(old, SV("targetCPUUtilizationPercentage"));
    const Value *others = noted(obj, METRICS_NOTE, VALUE_LIST, a);
    const Value *behavior = noted(obj, BEHAVIOR_NOTE, VALUE_MAP, a);
    Value spec = value_map(), status = value_map(), metrics = value_list(), current = value_list();
    copy_members(&spec, old, spec_common, ARRAY_SIZE(spec_common), a);
    append_converted(&metrics, &specs, others, a);
    if (percent || !value_len(others)) /* last, as the peer */
        value_push(a, &metrics, cpu_metric("target", "Utilization", percent ? percent : &usual, a));
    value_set(a, &spec, SV("metrics"), metrics);
    if (behavior)
        value_set(a, &spec, SV("behavior"), *behavior);

    copy_members(&status, was, status_common, ARRAY_SIZE(status_common), a);
    const Value *now = value_get(was, SV("currentCPUUtilizationPercentage"));
    const Value *all = noted(obj, CURRENT_NOTE, VALUE_LIST, a);
    const Value *conditions = noted(obj, CONDITIONS_NOTE, VALUE_LIST, a);
    append_converted(&current, &statuses, all, a);
    if (!all && now)
        value_push(a, &current, cpu_metric("current", NULL, now, a));
    value_set(a, &status, SV("currentMetrics"), current.len ? current : value_null());
    if (conditions)
        value_set(a, &status, SV("conditions"), *conditions);
    Value metadata = with_notes(value_get(obj, SV("metadata")), other_notes(obj, a), a);
    return assemble(obj, metadata, spec, was ? &status : NULL, a);
}

void hpa_keep_status(Value *obj, const Value *old, Arena *a)
{
    Value *notes = value_path(obj, "metadata.annotations");
    for (size_t i = STATUS_NOTES; i < ARRAY_SIZE(note_keys); i++) {
        const Value *had = value_get(value_path(old, "metadata.annotations"), note_keys[i]);
        if (notes)
            value_del(notes, note_keys[i]);
        if (had && !notes)
            notes = value_set_path(a, obj, "metadata.annotations", value_map());
        if (had && notes)
            value_set(a, notes, note_keys[i], *had);
    }
}

static void spec_to_v1(const Value *old, Value *spec, Value *notes, Arena *a)
{
    const Value *behavior = value_get(old, SV("behavior"));
    Value others = value_list();
    copy_members(spec, old, spec_common, ARRAY_SIZE(spec_common), a);
    value_list_foreach (m, value_get(old, SV("metrics"))) {
        if (!is_cpu_utilization(m, "resource.target.averageUtilization"))
            value_push(a, &others, metric_to(&specs, m, false, a));
        else if (!value_get(spec, SV("targetCPUUtilizationPercentage")))
            value_set(a, spec, SV("targetCPUUtilizationPercentage"),
                      *value_path(m, "resource.target.averageUtilization"));
    }
    if (others.len)
        note(notes, METRICS_NOTE, &others, a);
    if (value_is(behavior, VALUE_MAP))
        note(notes, BEHAVIOR_NOTE, behavior, a);
}

static void status_to_v1(const Value *was, Value *status, Value *notes, Arena *a)
{
    const Value *conditions = was ? value_get(was, SV("conditions")) : NULL;
    Value all = value_list();
    copy_members(status, was, status_common, ARRAY_SIZE(status_common), a);
    value_list_foreach (m, value_get(was, SV("currentMetrics"))) {
        if (is_cpu_utilization(m, "resource.current.averageUtilization"))
            value_set(a, status, SV("currentCPUUtilizationPercentage"),
                      *value_path(m, "resource.current.averageUtilization"));
        value_push(a, &all, metric_to(&statuses, m, false, a));
    }
    if (all.len)
        note(notes, CURRENT_NOTE, &all, a);
    if (value_len(conditions))
        note(notes, CONDITIONS_NOTE, conditions, a);
}

Value hpa_to_v1(const Value *obj, Arena *a)
{
    const Value *was = value_get(obj, SV("status"));
    Value spec = value_map(), status = value_map(), notes = other_notes(obj, a);
    spec_to_v1(value_get(obj, SV("spec")), &spec, &notes, a);
    status_to_v1(was, &status, &notes, a);
    Value metadata = with_notes(value_get(obj, SV("metadata")), notes, a);
    return assemble(obj, metadata, spec, was ? &status : NULL, a);
}
