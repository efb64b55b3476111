/* validate_event.c - Events: of both groups what core/v1 has always asked for, of events.k8s.io
 * also that they are of the newer kind, and change in their series alone. Paths in errors are those
 * of Kubernetes: core/v1's names, for both. */
#include "api/validate_internal.h"

enum { EVENT_TEXT_MAX = 128, EVENT_NOTE_MAX = 1024 };

/* What members that the groups call differently are called. */
typedef struct EventNames {
    const char *involved, *message, *reporter;
} EventNames;
static const EventNames core = { "involvedObject", "message", "reportingComponent" };
static const EventNames newer = { "regarding", "note", "reportingController" };

static void check_involved(ApiErrors *e, const Value *ev, const EventNames *n)
{
    ApiPath p = API_FIELD(NULL, "involvedObject"), at = API_FIELD(&p, "namespace");
    StrView own = text(get(ev, "metadata"), "namespace"),
            of = text(get(ev, n->involved), "namespace");
    bool dated = text(ev, "eventTime").len > 0;
    bool agree = of.len ? dated || sv_eq(of, own)
                        : sv_eq(own, SV("default")) || (dated && sv_eq(own, SV("kube-system")));

    if (!agree)
        api_invalid(e, &at, value_sv(of), "does not match event.namespace");
}

static void check_length(ApiErrors *e, const char *path, StrView s, size_t max)
{
    ApiPath at = API_FIELD_SV(NULL, sv_cstr(path));

    if (s.len > max)
        api_invalid(e, &at, value_sv(SV("")), "can have at most %zu characters", max);
}

static void check_event(ApiErrors *e, const Value *ev, const EventNames *n)
{
    static const char *const needed[] = { "reportingInstance", "action", "reason" };
    ApiPath reporter = API_FIELD_SV(NULL, sv_cstr(n->reporter));

    check_involved(e, ev, n);
    if (text(ev, "eventTime").len == 0) /* of the older kind */
        return;
    check_required_text(e, NULL, ev, n->reporter);
    check_name(e, &reporter, text(ev, n->reporter), name_label_key);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        check_required_text(e, NULL, ev, needed[i]);
        check_length(e, needed[i], text(ev, needed[i]), EVENT_TEXT_MAX);
    }
    check_length(e, "message", text(ev, n->message), EVENT_NOTE_MAX);
}

static void check_series(ApiErrors *e, const Value *ev)
{
    const Value *series = get(ev, "series");
    ApiPath times = API_FIELD(NULL, "series.count"),
            last = API_FIELD(NULL, "series.lastObservedTime");

    if (!value_is(series, VALUE_MAP))
        return;
    if (number(series, "count") < 2)
        api_invalid(e, &times, value_sv(SV("")), "should be at least 2");
    if (text(series, "lastObservedTime").len == 0)
        api_required(e, &last, "");
}

static void check_made(ApiErrors *e, const Value *ev)
{
    static const struct {
        const char *served, *path;
    } unset[] = { { "deprecatedFirstTimestamp", "firstTimestamp" },
                  { "deprecatedLastTimestamp", "lastTimestamp" },
                  { "deprecatedCount", "count" },
                  { "deprecatedSource", "source" } };
    ApiPath type = API_FIELD(NULL, "type");
    StrView t = text(ev, "type");

    check_series(e, ev);
    check_required_text(e, NULL, ev, "eventTime");
    if (!sv_eq(t, SV("Normal")) && !sv_eq(t, SV("Warning")))
        api_invalid(e, &type, value_sv(SV("")), "has invalid value: %.*s", SV_FMT(t));
    for (size_t i = 0; i < ARRAY_SIZE(unset); i++) {
        ApiPath at = API_FIELD_SV(NULL, sv_cstr(unset[i].path));
        const Value *v = get(ev, unset[i].served);
        if (!same(v, NULL) && !(value_is(v, VALUE_INT) && v->i == 0))
            api_invalid(e, &at, value_sv(SV("")), "needs to be unset");
    }
}

static void check_changed(ApiErrors *e, const Value *ev, const Value *old)
{
    static const struct {
        const char *served, *path;
    } fixed[] = { { "regarding", "involvedObject" },
                  { "reason", "reason" },
                  { "note", "message" },
                  { "deprecatedSource", "source" },
                  { "deprecatedFirstTimestamp", "firstTimestamp" },
                  { "deprecatedLastTimestamp", "lastTimestamp" },
                  { "deprecatedCount", "count" },
                  { "type", "type" },
                  { "eventTime", "eventTime" },
                  { "action", "action" },
                  { "related", "related" },
                  { "reportingController", "reportingController" },
                  { "reportingInstance", "reportingInstance" } };

    if (!same(get(ev, "series"), get(old, "series")))
        check_series(e, ev);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        ApiPath at = API_FIELD_SV(NULL, sv_cstr(fixed[i].path));
        const Value *v = get(ev, fixed[i].served);
        if (!same(v, get(old, fixed[i].served)))
            api_invalid(e, &at, shown(v), "field is immutable");
    }
}

void validate_event(const Value *obj, const Value *old, ApiErrors *e)
{
    check_event(e, obj, &core);
}

void validate_newer_event(const Value *obj, const Value *old, ApiErrors *e)
{
    check_event(e, obj, &newer);
    if (old)
        check_changed(e, obj, old);
    else
        check_made(e, obj);
}
