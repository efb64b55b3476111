/* validate_apps.c - workload controllers: selectors, templates, update strategies. */
#include <stdio.h>

#include "api/selector.h"
#include "api/validate_internal.h"

enum { CRON_JOB_NAME_MAX = 52 };

/* A selector that must be there, not be empty, and match the labels of the template. */
static void check_selector(ApiErrors *e, const ApiPath *p, const Value *spec, const char *workload)
{
    const Value *selector = get(spec, "selector");
    const Value *labels = get(get(get(spec, "template"), "metadata"), "labels");
    ApiPath at = API_FIELD(p, "selector"), template = API_FIELD(p, "template");
    ApiPath meta = API_FIELD(&template, "metadata"), label_path = API_FIELD(&meta, "labels");
    Selector s;

    if (!selector) {
        api_required(e, &at, "");
        return;
    }
    check_label_selector(e, &at, selector);
    if (count(selector, "matchLabels") == 0 && count(selector, "matchExpressions") == 0) {
        api_invalid(e, &at, *selector, "empty selector is invalid for %s", workload);
        return;
    }
    if (selector_from_object(selector, e->arena, &s, NULL) == 0 && !selector_matches(&s, labels))
        api_invalid(e, &label_path, labels ? *labels : value_map(),
                    "`selector` does not match template `labels`");
}

static void check_always(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const StrView always[] = { SV_INIT("Always") };
    const Value *pod = get(get(spec, "template"), "spec");
    ApiPath template = API_FIELD(p, "template"), pod_path = API_FIELD(&template, "spec");
    ApiPath restart = API_FIELD(&pod_path, "restartPolicy");
    ApiPath deadline = API_FIELD(&pod_path, "activeDeadlineSeconds");
    StrView policy = text(pod, "restartPolicy");

    validate_template(e, &template, get(spec, "template"), get(spec, "volumeClaimTemplates"));
    if (policy.len > 0 && !sv_eq(policy, SV("Always")))
        api_not_supported(e, &restart, value_sv(policy), always, 1);
    if (get(pod, "activeDeadlineSeconds"))
        api_forbidden(e, &deadline, "activeDeadlineSeconds in ReplicaSet is not Supported");
}

/* A number of pods or a percentage; its value, or -1 when it is neither. */
static int64_t check_share(ApiErrors *e, const ApiPath *p, const Value *map, const char *key)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));
    const Value *v = get(map, key);
    StrView s = value_str(v);
    int64_t n;

    if (!v)
        return 0;
    if (v->kind == VALUE_INT) {
        if (v->i < 0)
            api_invalid(e, &at, *v, "must be greater than or equal to 0");
        return v->i;
    }
    if (!sv_ends(s, SV("%")) || sv_to_i64(sv_head(s, s.len - 1), &n) < 0 || n < 0) {
        api_invalid(
            e, &at, *v,
            "a valid percent string must be a numeric string followed by an "
            "ending '%%' (e.g. '1%%',  or '93%%', regex used for validation is '[0-9]+%%')");
        return -1;
    }
    return n;
}

static void check_not_above_all(ApiErrors *e, const ApiPath *p, const Value *map, const char *key,
                                int64_t n)
{
    ApiPath at = API_FIELD_SV(p, sv_cstr(key));

    if (value_is(get(map, key), VALUE_STRING) && n > 100)
        api_invalid(e, &at, *get(map, key), "must not be greater than 100%%");
}

static void check_rolling(ApiErrors *e, const ApiPath *p, const Value *rolling)
{
    int64_t unavailable = check_share(e, p, rolling, "maxUnavailable");
    int64_t surge = check_share(e, p, rolling, "maxSurge");
    ApiPath at = API_FIELD(p, "maxUnavailable");

    if (unavailable == 0 && surge == 0)
        api_invalid(e, &at, shown(get(rolling, "maxUnavailable")),
                    "may not be 0 when `maxSurge` is 0");
    check_not_above_all(e, p, rolling, "maxUnavailable", unavailable);
}

void validate_deployment(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView types[] = { SV_INIT("Recreate"), SV_INIT("RollingUpdate") };
    const Value *spec = get(obj, "spec"), *strategy = get(spec, "strategy");
    ApiPath p = API_FIELD(NULL, "spec"), at = API_FIELD(&p, "strategy");
    ApiPath rolling = API_FIELD(&at, "rollingUpdate");
    ApiPath deadline = API_FIELD(&p, "progressDeadlineSeconds");

    check_not_negative(e, &p, spec, "replicas");
    check_selector(e, &p, spec, "deployment");
    check_always(e, &p, spec);
    check_one_of(e, &at, strategy, "type", types, ARRAY_SIZE(types), true);
    if (sv_eq(text(strategy, "type"), SV("Recreate")) && get(strategy, "rollingUpdate"))
        api_forbidden(e, &rolling, "may not be specified when strategy `type` is 'Recreate'");
    else if (sv_eq(text(strategy, "type"), SV("RollingUpdate")))
        check_rolling(e, &rolling, get(strategy, "rollingUpdate"));
    check_not_negative(e, &p, spec, "minReadySeconds");
    check_not_negative(e, &p, spec, "revisionHistoryLimit");
    check_not_negative(e, &p, spec, "progressDeadlineSeconds");
    if (get(spec, "progressDeadlineSeconds") &&
        number(spec, "progressDeadlineSeconds") <= number(spec, "minReadySeconds"))
        api_invalid(e, &deadline, *get(spec, "progressDeadlineSeconds"),
                    "must be greater than minReadySeconds");
    if (old)
        check_immutable(e, &p, spec, get(old, "spec"), "selector");
}

void validate_replica_set(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec");
    ApiPath p = API_FIELD(NULL, "spec");

    check_not_negative(e, &p, spec, "replicas");
    check_not_negative(e, &p, spec, "minReadySeconds");
    check_selector(e, &p, spec, "deployment");
    check_always(e, &p, spec);
    if (old)
        check_immutable(e, &p, spec, get(old, "spec"), "selector");
}

void validate_replication_controller(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *selector = get(spec, "selector");
    const Value *labels = get(get(get(spec, "template"), "metadata"), "labels");
    ApiPath p = API_FIELD(NULL, "spec"), at = API_FIELD(&p, "selector");
    ApiPath template = API_FIELD(&p, "template"), meta = API_FIELD(&template, "metadata");
    ApiPath label_path = API_FIELD(&meta, "labels");
    Selector s;

    check_not_negative(e, &p, spec, "replicas");
    check_not_negative(e, &p, spec, "minReadySeconds");
    if (value_len(selector) == 0)
        api_required(e, &at, "");
    if (!get(spec, "template")) {
        api_required(e, &template, "");
        return;
    }
    if (value_len(selector) > 0 && selector_from_labels(selector, e->arena, &s, NULL) == 0 &&
        !selector_matches(&s, labels))
        api_invalid(e, &label_path, labels ? *labels : value_map(),
                    "`selector` does not match template `labels`");
    check_always(e, &p, spec);
}

/* Everything of a StatefulSet's spec but these is fixed once it is made. */
static bool only_allowed_changed(Arena *a, const Value *spec, const Value *old)
{
    static const char *const allowed[] = {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    };
    Value x, y;

    if (!value_clone(a, spec, &x) || !value_clone(a, old, &y))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        value_del(&x, sv_cstr(allowed[i]));
        value_del(&y, sv_cstr(allowed[i]));
    }
    return value_equal(&x, &y);
}

void validate_stateful_set(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView updates[] = { SV_INIT("OnDelete"), SV_INIT("RollingUpdate") };
    static const StrView management[] = { SV_INIT("OrderedReady"), SV_INIT("Parallel") };
    const Value *spec = get(obj, "spec"), *update = get(spec, "updateStrategy");
    ApiPath p = API_FIELD(NULL, "spec"), at = API_FIELD(&p, "updateStrategy");
    ApiPath rolling = API_FIELD(&at, "rollingUpdate");

    check_one_of(e, &p, spec, "podManagementPolicy", management, ARRAY_SIZE(management), true);
    check_one_of(e, &at, update, "type", updates, ARRAY_SIZE(updates), true);
    check_not_negative(e, &rolling, get(update, "rollingUpdate"), "partition");
    check_not_negative(e, &p, spec, "replicas");
    check_not_negative(e, &p, spec, "minReadySeconds");
    check_not_negative(e, &p, spec, "revisionHistoryLimit");
    check_selector(e, &p, spec, "statefulset");
    check_always(e, &p, spec);
    if (old && !only_allowed_changed(e->arena, spec, get(old, "spec")))
        api_forbidden(e, &p,
                      "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                      "'template', 'updateStrategy', 'revisionHistoryLimit', "
                      "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void validate_daemon_set(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView updates[] = { SV_INIT("OnDelete"), SV_INIT("RollingUpdate") };
    const Value *spec = get(obj, "spec"), *update = get(spec, "updateStrategy");
    ApiPath p = API_FIELD(NULL, "spec"), at = API_FIELD(&p, "updateStrategy");
    ApiPath rolling = API_FIELD(&at, "rollingUpdate");

    check_selector(e, &p, spec, "daemonset");
    check_always(e, &p, spec);
    check_not_negative(e, &p, spec, "minReadySeconds");
    check_not_negative(e, &p, spec, "revisionHistoryLimit");
    check_one_of(e, &at, update, "type", updates, ARRAY_SIZE(updates), true);
    if (sv_eq(text(update, "type"), SV("RollingUpdate"))) {
        if (get(update, "rollingUpdate"))
            check_rolling(e, &rolling, get(update, "rollingUpdate"));
        else
            api_required(e, &rolling, "");
    }
    if (old)
        check_immutable(e, &p, spec, get(old, "spec"), "selector");
}

/* A job's pods end: their restart policy cannot be Always. */
static void check_job_template(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const StrView allowed[] = { SV_INIT("OnFailure"), SV_INIT("Never") };
    ApiPath template = API_FIELD(p, "template"), pod = API_FIELD(&template, "spec");
    ApiPath restart = API_FIELD(&pod, "restartPolicy");
    StrView policy = text(get(get(spec, "template"), "spec"), "restartPolicy");

    validate_template(e, &template, get(spec, "template"), NULL);
    if (policy.len == 0 || sv_eq(policy, SV("Always")))
        api_required(e, &restart, "valid values: \"OnFailure\", \"Never\"");
    else if (!sv_eq(policy, allowed[0]) && !sv_eq(policy, allowed[1]))
        api_not_supported(e, &restart, value_sv(policy), allowed, ARRAY_SIZE(allowed));
}

static void check_job_spec(ApiErrors *e, const ApiPath *p, const Value *spec)
{
    static const char *const numbers[] = { "parallelism",
                                           "completions",
                                           "activeDeadlineSeconds",
                                           "backoffLimit",
                                           "ttlSecondsAfterFinished",
                                           "backoffLimitPerIndex" };
    static const StrView modes[] = { SV_INIT("Indexed"), SV_INIT("NonIndexed") };
    ApiPath completions = API_FIELD(p, "completions");

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        check_not_negative(e, p, spec, numbers[i]);
    check_one_of(e, p, spec, "completionMode", modes, ARRAY_SIZE(modes), false);
    if (sv_eq(text(spec, "completionMode"), SV("Indexed")) && !get(spec, "completions"))
        api_required(e, &completions, "when completion mode is Indexed");
    check_job_template(e, p, spec);
}

void validate_job(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *was = get(old, "spec");
    ApiPath p = API_FIELD(NULL, "spec");
    bool suspended = truth(was, "suspend") && !get(get(old, "status"), "startTime");

    check_job_spec(e, &p, spec);
    if (!old)
        return;
    if (!sv_eq(text(was, "completionMode"), SV("Indexed")))
        check_immutable(e, &p, spec, was, "completions");
    check_immutable(e, &p, spec, was, "selector");
    if (!suspended) /* a job that never started may still change where its pods go */
        check_immutable(e, &p, spec, was, "template");
    check_immutable(e, &p, spec, was, "completionMode");
    check_immutable(e, &p, spec, was, "podFailurePolicy");
    check_immutable(e, &p, spec, was, "backoffLimitPerIndex");
}

void validate_cron_job(const Value *obj, const Value *old, ApiErrors *e)
{
    static const StrView policies[] = { SV_INIT("Allow"), SV_INIT("Forbid"), SV_INIT("Replace") };
    const Value *spec = get(obj, "spec");
    ApiPath meta = API_FIELD(NULL, "metadata"), name = API_FIELD(&meta, "name");
    ApiPath p = API_FIELD(NULL, "spec"), job = API_FIELD(&p, "jobTemplate");
    ApiPath job_spec = API_FIELD(&job, "spec");

    /* Its jobs' names have eleven characters more. */
    if (!old && text(get(obj, "metadata"), "name").len > CRON_JOB_NAME_MAX)
        api_invalid(e, &name, *get(get(obj, "metadata"), "name"),
                    "must be no more than %d characters", CRON_JOB_NAME_MAX);
    check_required_text(e, &p, spec, "schedule");
    check_one_of(e, &p, spec, "concurrencyPolicy", policies, ARRAY_SIZE(policies), true);
    check_not_negative(e, &p, spec, "startingDeadlineSeconds");
    check_not_negative(e, &p, spec, "successfulJobsHistoryLimit");
    check_not_negative(e, &p, spec, "failedJobsHistoryLimit");
    check_job_spec(e, &job_spec, get(get(spec, "jobTemplate"), "spec"));
}

void validate_disruption_budget(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec");
    ApiPath p = API_FIELD(NULL, "spec"), selector = API_FIELD(&p, "selector");

    if (get(spec, "minAvailable") && get(spec, "maxUnavailable"))
        api_invalid(e, &p, *spec, "minAvailable and maxUnavailable cannot be both set");
    int64_t least = check_share(e, &p, spec, "minAvailable");
    check_not_above_all(e, &p, spec, "minAvailable", least);
    int64_t most = check_share(e, &p, spec, "maxUnavailable");
    check_not_above_all(e, &p, spec, "maxUnavailable", most);
    check_label_selector(e, &selector, get(spec, "selector"));
}

static void check_metric(ApiErrors *e, const ApiPath *p, const Value *metric)
{
    static const StrView types[] = { SV_INIT("ContainerResource"), SV_INIT("External"),
                                     SV_INIT("Object"), SV_INIT("Pods"), SV_INIT("Resource") };
    static const char *const sources[] = { "containerResource", "external", "object", "pods",
                                           "resource" };
    StrView type = text(metric, "type");
    check_one_of(e, p, metric, "type", types, ARRAY_SIZE(types), true);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        ApiPath at = API_FIELD_SV(p, sv_cstr(sources[i])), target = API_FIELD(&at, "target");
        ApiPath percent_at = API_FIELD(&target, "averageUtilization");
        const Value *source = get(metric, sources[i]);
        const Value *percent = get(get(source, "target"), "averageUtilization");
        if (sv_eq(type, types[i]) && !source)
            api_required(e, &at, "must populate information for the given metric source");
        if (percent && value_int_or(percent, 1) < 1)
            api_invalid(e, &percent_at, *percent, "must be greater than 0");
    }
}

/* Of both versions of autoscaling: the fields that they share, and the first one's percentage. */
void validate_autoscaler(const Value *obj, const Value *old, ApiErrors *e)
{
    const Value *spec = get(obj, "spec"), *target = get(spec, "scaleTargetRef");
    const Value *least = get(spec, "minReplicas"), *most = get(spec, "maxReplicas");
    const Value *percent = get(spec, "targetCPUUtilizationPercentage");
    ApiPath p = API_FIELD(NULL, "spec"), ref = API_FIELD(&p, "scaleTargetRef");
    ApiPath kind = API_FIELD(&ref, "kind"), name = API_FIELD(&ref, "name");
    ApiPath min = API_FIELD(&p, "minReplicas"), max = API_FIELD(&p, "maxReplicas");
    ApiPath cpu = API_FIELD(&p, "targetCPUUtilizationPercentage"),
            metrics = API_FIELD(&p, "metrics");
    uint32_t i = 0;

    if (least && value_int_or(least, 1) < 1)
        api_invalid(e, &min, *least, "must be greater than or equal to 1");
    if (value_int_or(most, 0) < 1)
        api_invalid(e, &max, most ? *most : value_int(0), "must be greater than 0");
    else if (value_int_or(most, 0) < value_int_or(least, 1))
        api_invalid(e, &max, *most, "must be greater than or equal to `minReplicas`");
    if (!text(target, "kind").len)
        api_required(e, &kind, "");
    if (!text(target, "name").len)
        api_required(e, &name, "");
    if (percent && value_int_or(percent, 1) < 1)
        api_invalid(e, &cpu, *percent, "must be greater than 0");
    value_list_foreach (m, get(spec, "metrics")) {
        ApiPath at = API_INDEX(&metrics, i++);
        check_metric(e, &at, m);
    }
}
