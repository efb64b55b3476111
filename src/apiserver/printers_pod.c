/* printers_pod.c - the columns of pods. What STATUS says follows Kubernetes' printPod step by step:
 * scripts read it. */
#include "apiserver/printers_internal.h"

#include "base/clock.h"
#include "base/map.h"

typedef struct PodSummary {
    StrView status;
    unsigned ready, total;
    int64_t restarts, last_restart_ns; /* 0: no time is known */
} PodSummary;

/* What a container waits for or how it ended; SV_NULL when neither says anything. */
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

static void count_restarts(PodSummary *s, const Value *status)
{
    int64_t at;
    StrView finished = value_path_str(status, "lastState.terminated.finishedAt");
    s->restarts += value_int_or(value_get(status, SV("restartCount")), 0);
    if (finished.len && rfc3339_parse(finished, &at) == 0)
        s->last_restart_ns = MAX(s->last_restart_ns, at);
}

static bool is_sidecar(const Value *container)
{
    return sv_eq(value_str(value_get(container, SV("restartPolicy"))), SV("Always"));
}

/* The container of an init container's status: statuses stand in the order of the spec, so that
 * `hint`, which the caller keeps, makes this cheap. */
static const Value *container_of(const Value *containers, const Value *status, uint32_t *hint)
{
    StrView name = value_str(value_get(status, SV("name")));
    for (uint32_t n = value_len(containers), i = 0; i < n; i++) {
        const Value *c = value_at(containers, (*hint + i) % n);
        if (sv_eq(value_str(value_get(c, SV("name"))), name)) {
            *hint = (*hint + i + 1) % n;
            return c;
        }
    }
    return NULL;
}

/* Counts init containers; *ret_sidecars counts only the restarts of those that stay. True while one
 * of them is still at work or has failed: the status then says so. */
static bool summarise_init(Arena *a, const Value *pod, PodSummary *s, PodSummary *ret_sidecars)
{
    const Value *containers = value_path(pod, "spec.initContainers");
    uint32_t i = 0, hint = 0;
    value_list_foreach (st, value_path(pod, "status.initContainerStatuses")) {
        const Value *ended = value_path(st, "state.terminated");
        bool sidecar = is_sidecar(container_of(containers, st, &hint));
        count_restarts(s, st);
        if (sidecar)
            count_restarts(ret_sidecars, st);
        bool done = ended && value_int_or(value_get(ended, SV("exitCode")), 0) == 0;
        if (!done && sidecar && value_bool_or(value_get(st, SV("started")), false)) {
            s->ready += is_ready(st);
            done = true;
        }
        if (!done) {
            StrView reason = state_reason(a, st);
            bool plain = !reason.len || (!ended && sv_eq(reason, SV("PodInitializing")));
            s->status = plain ? arena_printf(a, "Init:%u/%u", i, value_len(containers))
                              : arena_printf(a, "Init:%.*s", SV_FMT(reason));
            return true;
        }
        i++;
    }
    return false;
}

/* The first container that has something to say is heard: from the last to the first. */
static void summarise_containers(Arena *a, const Value *pod, PodSummary *s)
{
    const Value *list = value_path(pod, "status.containerStatuses");
    StrView failed = SV_NULL;
    bool running = false;
    for (uint32_t i = value_len(list); i-- > 0;) {
        const Value *st = value_at(list, i);
        StrView reason = state_reason(a, st);
        count_restarts(s, st);
        if (reason.len) {
            s->status = reason;
            if (value_int_or(value_path(st, "state.terminated.exitCode"), 0) &&
                !value_path_str(st, "state.waiting.reason").len)
                failed = reason;
        } else if (is_ready(st) && value_path(st, "state.running")) {
            running = true;
            s->ready++;
        }
    }
    if (!sv_eq(s->status, SV("Completed")))
        return;
    if (running && cell_condition(pod, SV("Ready")))
        s->status = SV("Running");
    else if (failed.len)
        s->status = failed;
    else if (running)
        s->status = SV("NotReady");
}

static StrView status_before_containers(const Value *pod)
{
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled")) &&
            sv_eq(value_str(value_get(c, SV("reason"))), SV("SchedulingGated")))
            return SV("SchedulingGated");
    }
    StrView reason = value_path_str(pod, "status.reason");
    return reason.len ? reason : value_path_str(pod, "status.phase");
}

static PodSummary summarise(Arena *a, const Value *pod)
{
    PodSummary s = { .status = status_before_containers(pod) }, sidecars = { 0 };
    StrView phase = value_path_str(pod, "status.phase");
    s.total = value_len(value_path(pod, "spec.containers"));
    value_list_foreach (c, value_path(pod, "spec.initContainers"))
        s.total += is_sidecar(c);
    StrView before = s.status;
    bool initialising = summarise_init(a, pod, &s, &sidecars);
    if (!initialising || cell_condition(pod, SV("Initialized"))) {
        s.restarts = sidecars.restarts;
        s.last_restart_ns = sidecars.last_restart_ns;
        s.status = before;
        summarise_containers(a, pod, &s);
    }
    if (!value_path(pod, "metadata.deletionTimestamp"))
        return s;
    if (sv_eq(value_path_str(pod, "status.reason"), SV("NodeLost")))
        s.status = SV("Unknown");
    else if (!sv_eq(phase, SV("Succeeded")) && !sv_eq(phase, SV("Failed")))
        s.status = SV("Terminating");
    return s;
}

static StrView restarts_cell(Arena *a, const PodSummary *s)
{
    if (!s->restarts || !s->last_restart_ns)
        return arena_printf(a, "%lld", (long long)s->restarts);
    StrView ago = print_duration(a, (clock_real_ns() - s->last_restart_ns) / NSEC_PER_SEC);
    return arena_printf(a, "%lld (%.*s ago)", (long long)s->restarts, SV_FMT(ago));
}

/* Gates and conditions may be many: each is looked at once. */
static StrView gates_cell(Arena *a, const Value *pod)
{
    const Value *gates = value_path(pod, "spec.readinessGates");
    _cleanup_map_ Map conditions = { 0 }; /* type → the status of the first of that type */
    unsigned passed = 0;
    if (!value_len(gates))
        return SV("<none>");
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        StrView type = value_str(value_get(c, SV("type")));
        if (type.len && !map_has(&conditions, type) &&
            !map_set(&conditions, type, value_get(c, SV("status")), NULL))
            return SV_NULL;
    }
    value_list_foreach (g, gates)
        passed +=
            sv_eq(value_str(map_get(&conditions, value_str(value_get(g, SV("conditionType"))))),
                  SV("True"));
    return arena_printf(a, "%u/%u", passed, value_len(gates));
}

static StrView pod_address(const Value *pod)
{
    StrView first = value_str(value_get(value_at(value_path(pod, "status.podIPs"), 0), SV("ip")));
    return cell_or_none(first.len ? first : value_path_str(pod, "status.podIP"));
}

bool print_pod(Arena *a, StrView col, const Value *pod, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Node"), "spec.nodeName", FIELD_TEXT, "<none>" },
        { SV_INIT("Nominated Node"), "status.nominatedNodeName", FIELD_TEXT, "<none>" },
    };
    if (sv_eq(col, SV("Ready"))) {
        PodSummary s = summarise(a, pod);
        *ret = cell_text(arena_printf(a, "%u/%u", s.ready, s.total));
    } else if (sv_eq(col, SV("Status")))
        *ret = cell_text(summarise(a, pod).status);
    else if (sv_eq(col, SV("Restarts"))) {
        PodSummary s = summarise(a, pod);
        *ret = cell_text(restarts_cell(a, &s));
    } else if (sv_eq(col, SV("IP")))
        *ret = cell_text(pod_address(pod));
    else if (sv_eq(col, SV("Readiness Gates")))
        *ret = cell_text(gates_cell(a, pod));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, pod, ret);
    return true;
}

bool print_pod_template(Arena *a, StrView col, const Value *obj, Value *ret)
{
    if (!sv_eq(col, SV("Pod Labels")))
        return cell_of_containers(a, col, value_path(obj, "template.spec"), ret);
    *ret = cell_text(cell_labels(a, value_path(obj, "template.metadata.labels")));
    return true;
}
