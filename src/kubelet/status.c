/* status.c - PodStatus from what a worker knows, sent as a merge patch when it differs from the
 * last one.
 *
 * Lists in a merge patch replace the stored ones: conditions that belong to others (PodScheduled,
 * readiness gates) are carried over from the newest version of the pod. */
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "kubelet/cri_log.h"
#include "kubelet/internal.h"
#include "pod/log_file.h"

enum {
    MESSAGE_MAX = 4096,
    POD_MESSAGES_MAX = 12 * 1024,
    LOG_TAIL_MAX = 2048,
    LOG_TAIL_LINES = 80,
    LOG_READ_MAX = 128 * 1024
};

static Value when(Arena *a, int64_t ns)
{
    char text[RFC3339_SIZE];
    return ns ? value_sv(arena_sv(a, sv_cstr(rfc3339_format(ns, 0, text)))) : value_null();
}

static Value text(Arena *a, const char *s)
{
    return value_sv(arena_sv(a, sv_cstr(s)));
}

/* ---- containers ---- */

/* The end of the log, as text: for FallbackToLogsOnError. */
static StrView log_tail(const Container *c, unsigned attempt, Arena *a)
{
    char path[PATH_SIZE];
    CriFilter f = { .limit = -1 };
    _cleanup_buf_ Buf raw = BUF_INIT, out = BUF_INIT;
    _cleanup_close_ int fd = log_file_open(container_log_path(c, attempt, path), O_RDONLY);
    int64_t from = fd < 0 ? -1 : cri_tail_offset(fd, LOG_TAIL_LINES);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    from = MAX(from, (int64_t)size - LOG_READ_MAX); /* what begins within a line is left out */
    if (fd < 0 || lseek(fd, MAX(from, INT64_C(0)), SEEK_SET) < 0 ||
        fd_read_all(fd, LOG_READ_MAX, &raw) < 0)
        return SV("");
    cri_filter(&f, buf_view(&raw), &out);
    StrView tail = buf_view(&out);
    return arena_sv(a, tail.len > LOG_TAIL_MAX ? sv_skip(tail, tail.len - LOG_TAIL_MAX) : tail);
}

/* The last bytes of a file, which may be of any size: the container wrote it. */
static void read_end(const char *path, size_t max, Buf *ret)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !buf_reserve(ret, max))
        return;
    ssize_t n = pread(fd, ret->ptr, max, MAX(st.st_size - (off_t)max, (off_t)0));
    ret->len = n > 0 ? (size_t)n : 0;
}

static StrView termination_message(const Container *c, unsigned attempt, const AppStatus *s,
                                   Arena *a)
{
    char dir[PATH_SIZE], path[PATH_SIZE + 300];
    _cleanup_buf_ Buf msg = BUF_INIT;
    if (s->message[0])
        return arena_sv(a, sv_cstr(s->message));
    snprintf(path, sizeof path, "%s/messages/%s.%u", worker_dir(c->worker, dir), c->name, attempt);
    read_end(path, MESSAGE_MAX, &msg);
    bool fallback = sv_eq(value_str(value_get(c->spec, SV("terminationMessagePolicy"))),
                          SV("FallbackToLogsOnError"));
    if (msg.len)
        return arena_sv(a, buf_view(&msg));
    return fallback && s->exit_code ? log_tail(c, attempt, a) : SV("");
}

static Value terminated(const Container *c, unsigned attempt, const AppStatus *s, Arena *a)
{
    Value v = value_map(), state = value_map();
    char id[160];
    /* All containers of a pod share POD_MESSAGES_MAX. */
    StrView message = sv_head(termination_message(c, attempt, s, a),
                              POD_MESSAGES_MAX / MAX(c->worker->n_containers, 1u));
    snprintf(id, sizeof id, "knarr://%.60s-%.60s.%u", c->worker->uid, c->name, attempt);
    value_set(a, &v, SV("exitCode"), value_int(s->exit_code));
    if (s->signal && s->exit_code == 0)
        value_set(a, &v, SV("signal"), value_int(s->signal));
    const char *reason = s->oom_killed  ? "OOMKilled"
                         : s->reason[0] ? s->reason
                         : s->exit_code ? "Error"
                                        : "Completed";
    value_set(a, &v, SV("reason"),
              text(a, strcmp(reason, "Stage1Died") == 0 ? "ContainerStatusUnknown" : reason));
    if (message.len)
        value_set(a, &v, SV("message"), value_sv(message));
    value_set(a, &v, SV("startedAt"), when(a, s->started_ns));
    value_set(a, &v, SV("finishedAt"), when(a, s->finished_ns));
    value_set(a, &v, SV("containerID"), text(a, id));
    value_set(a, &state, SV("terminated"), v);
    return state;
}

static Value waiting(const Container *c, Arena *a)
{
    Value v = value_map(), state = value_map();
    value_set(a, &v, SV("reason"), text(a, c->reason));
    if (c->message[0])
        value_set(a, &v, SV("message"), text(a, c->message));
    value_set(a, &state, SV("waiting"), v);
    return state;
}

static Value running(const Container *c, Arena *a)
{
    Value v = value_map(), state = value_map();
    value_set(a, &v, SV("startedAt"), when(a, c->run.started_ns));
    value_set(a, &state, SV("running"), v);
    return state;
}

/* As in Kubernetes a container waits until its postStart hook has ended. */
static bool runs(const Container *c)
{
    return c->phase == PHASE_RUNNING && !c->post_start;
}

/* A restart counts when it begins, not while it is waited for. */
static unsigned restart_count(const Container *c)
{
    bool begun = c->phase == PHASE_RUNNING || c->phase == PHASE_EXITED;
    return begun || (!c->has_last && !c->counted) ? c->attempt : c->attempt - 1;
}

const Value *container_known_status(const Container *c)
{
    static const StrView lists[] = { SV_INIT("containerStatuses"),
                                     SV_INIT("initContainerStatuses") };
    const Value *status = value_get(&c->worker->pod, SV("status"));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        value_list_foreach (s, value_get(status, lists[i])) {
            if (sv_eq(value_str(value_get(s, SV("name"))), sv_cstr(c->name)) &&
                sv_eq(value_str(value_get(s, SV("containerID"))), sv_cstr(c->container_id)) &&
                value_path(s, "state.running"))
                return s;
        }
    return NULL;
}

static Value container_status(const Container *c, Arena *a)
{
    Value v = value_map(), last = value_map();
    bool is_running = runs(c);
    Value state = is_running                 ? running(c, a)
                  : c->phase == PHASE_EXITED ? terminated(c, c->attempt, &c->run, a)
                                             : waiting(c, a);
    if (c->has_last && c->attempt > 0)
        last = terminated(c, c->attempt - 1, &c->last, a);
    bool init_done = c->kind == CONTAINER_INIT && c->phase == PHASE_EXITED && c->run.exit_code == 0;
    value_set(a, &v, SV("name"), text(a, c->name));
    value_set(a, &v, SV("state"), state);
    value_set(a, &v, SV("lastState"), last);
    value_set(a, &v, SV("ready"), value_bool(init_done || (is_running && c->ready)));
    value_set(a, &v, SV("restartCount"), value_int(restart_count(c)));
    value_set(a, &v, SV("image"), text(a, c->image));
    value_set(a, &v, SV("imageID"), text(a, c->image_id));
    if (c->container_id[0])
        value_set(a, &v, SV("containerID"), text(a, c->container_id));
    value_set(a, &v, SV("started"), value_bool(is_running && c->started));
    return v;
}

/* ---- conditions ---- */

static const Value *old_condition(const Worker *w, StrView type)
{
    value_list_foreach (c, value_path(&w->pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return c;
    }
    return NULL;
}

static void add_condition(Worker *w, Value *list, StrView type, bool yes, StrView reason,
                          StrView message, Arena *a)
{
    Value c = value_map();
    const Value *old = old_condition(w, type);
    StrView status = yes ? SV("True") : SV("False");
    bool same = sv_eq(value_str(value_get(old, SV("status"))), status);
    value_set(a, &c, SV("type"), value_sv(type));
    value_set(a, &c, SV("status"), value_sv(status));
    value_set(a, &c, SV("lastProbeTime"), value_null());
    value_set(a, &c, SV("lastTransitionTime"),
              same && value_get(old, SV("lastTransitionTime"))
                  ? *value_get(old, SV("lastTransitionTime"))
                  : when(a, clock_real_ns()));
    if (reason.len)
        value_set(a, &c, SV("reason"), value_sv(reason));
    if (message.len)
        value_set(a, &c, SV("message"), value_sv(message));
    value_push(a, list, c);
}

typedef struct Summary {
    bool initialized, containers_ready;
    bool any_started; /* one of the main containers, ever */
    bool any_running;
    bool all_ended, all_succeeded; /* of the main containers */
    StrView incomplete;            /* "containers with incomplete status: [prepare]"; empty: none */
    StrView unready;               /* "containers with unready status: [web]" */
} Summary;

static bool is_complete(const Container *c)
{
    if (c->kind == CONTAINER_INIT)
        return c->phase == PHASE_EXITED && c->run.exit_code == 0;
    return c->kind == CONTAINER_MAIN || (runs(c) && c->started);
}

static StrView with_status(const char *status, const Buf *names, Arena *a)
{
    return names->len == 0 ? SV_NULL
                           : arena_printf(a, "containers with %s status: [%.*s]", status,
                                          (int)names->len, names->ptr);
}

static void summarize(const Worker *w, Summary *s, Arena *a)
{
    _cleanup_buf_ Buf incomplete = BUF_INIT, unready = BUF_INIT;
    *s = (Summary){
        .initialized = true, .containers_ready = true, .all_ended = true, .all_succeeded = true
    };
    for (unsigned i = 0; i < w->n_containers; i++) {
        const Container *c = w->containers[i];
        bool is_running = runs(c);
        if (!is_complete(c)) {
            s->initialized = false;
            buf_printf(&incomplete, "%s%s", incomplete.len ? " " : "", c->name);
        }
        if (c->kind == CONTAINER_INIT)
            continue;
        /* One that has ended before counts as running while its next start is waited for. */
        bool again = c->phase != PHASE_EXITED && (c->ever_started || c->has_last);
        s->any_running |= c->kind == CONTAINER_MAIN && (is_running || again);
        bool ended = c->phase == PHASE_EXITED || (!is_running && c->has_last);
        s->all_ended &= c->kind == CONTAINER_SIDECAR || ended;
        s->all_succeeded &=
            c->kind == CONTAINER_SIDECAR || (c->phase == PHASE_EXITED && c->run.exit_code == 0);
        s->any_started |= c->kind == CONTAINER_MAIN && (c->ever_started || c->has_last);
        if (!is_running || !c->ready) {
            s->containers_ready = false;
            buf_printf(&unready, "%s%s", unready.len ? " " : "", c->name);
        }
    }
    s->initialized |= s->any_started;
    s->incomplete = with_status("incomplete", &incomplete, a);
    s->unready = with_status("unready", &unready, a);
}

/* What the readiness gates wait for; empty: they are open. */
static StrView closed_gates(const Worker *w, Arena *a)
{
    _cleanup_buf_ Buf why = BUF_INIT;
    value_list_foreach (gate, value_path(&w->pod, "spec.readinessGates")) {
        StrView type = value_str(value_get(gate, SV("conditionType")));
        const Value *c = old_condition(w, type);
        StrView status = value_str(value_get(c, SV("status")));
        if (sv_eq(status, SV("True")))
            continue;
        buf_printf(&why, "%s", why.len ? ", " : "");
        if (c)
            buf_printf(&why, "the status of pod readiness gate \"%.*s\" is not \"True\", but %.*s",
                       SV_FMT(type), SV_FMT(status));
        else
            buf_printf(&why,
                       "corresponding condition of pod readiness gate \"%.*s\" does not exist.",
                       SV_FMT(type));
    }
    return arena_sv(a, buf_view(&why));
}

static bool is_own_condition(StrView type)
{
    static const StrView own[] = { SV_INIT("PodReadyToStartContainers"), SV_INIT("Initialized"),
                                   SV_INIT("Ready"), SV_INIT("ContainersReady") };
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (sv_eq(own[i], type))
            return true;
    return false;
}

/* ContainersReady and Ready: the second is the first's, and waits for the gates too. */
static void add_readiness(Worker *w, const Summary *s, StrView phase, Value *list, Arena *a)
{
    bool failed = sv_eq(phase, SV("Failed")), over = failed || sv_eq(phase, SV("Succeeded"));
    bool ready = s->containers_ready && !over && w->phase <= WORKER_STOPPING;
    StrView why = ready    ? SV_NULL
                  : failed ? SV("PodFailed")
                  : over   ? SV("PodCompleted")
                           : SV("ContainersNotReady");
    StrView message = over ? SV_NULL : s->unready;
    StrView gates = ready ? closed_gates(w, a) : SV_NULL;
    add_condition(w, list, SV("Ready"), ready && !gates.len,
                  gates.len ? SV("ReadinessGatesNotReady") : why, gates.len ? gates : message, a);
    add_condition(w, list, SV("ContainersReady"), ready, why, message, a);
}

static Value conditions(Worker *w, const Summary *s, StrView phase, Arena *a)
{
    Value list = value_list();
    bool succeeded = sv_eq(phase, SV("Succeeded"));
    bool initialized = succeeded || s->initialized;
    add_condition(w, &list, SV("PodReadyToStartContainers"), w->phase == WORKER_RUNNING,
                  w->refused ? SV("UnsupportedField") : SV_NULL,
                  w->refused ? sv_cstr(w->message) : SV_NULL, a);
    add_condition(w, &list, SV("Initialized"), initialized,
                  succeeded      ? SV("PodCompleted")
                  : !initialized ? SV("ContainersNotInitialized")
                                 : SV_NULL,
                  initialized ? SV_NULL : s->incomplete, a);
    add_readiness(w, s, phase, &list, a);
    value_list_foreach (c, value_path(&w->pod, "status.conditions")) {
        if (!is_own_condition(value_str(value_get(c, SV("type")))))
            value_push(a, &list, *c);
    }
    return list;
}

static StrView phase_of(const Worker *w, const Summary *s)
{
    StrView stored = value_path_str(&w->pod, "status.phase");
    if (w->terminal)
        return w->terminal_phase;
    if (sv_eq(stored, SV("Failed")) || sv_eq(stored, SV("Succeeded")))
        return stored;
    /* What is deleted is not started again, whatever its policy: its end is told before it goes. */
    if (w->phase == WORKER_GONE && s->any_started && s->all_ended)
        return s->all_succeeded ? SV("Succeeded") : SV("Failed");
    /* Once Running, a pod stays so until it is over, as in Kubernetes. */
    return s->any_running || sv_eq(stored, SV("Running")) ? SV("Running") : SV("Pending");
}

static void set_ips(Worker *w, Value *status, Arena *a)
{
    Value hosts = value_list(), host = value_map(), pods = value_list(), pod = value_map();
    value_set(a, &host, SV("ip"), text(a, w->k->cfg.node_ip));
    value_push(a, &hosts, host);
    value_set(a, status, SV("hostIP"), text(a, w->k->cfg.node_ip));
    value_set(a, status, SV("hostIPs"), hosts);
    if (!w->pod_ip[0])
        return;
    value_set(a, &pod, SV("ip"), text(a, w->pod_ip));
    value_push(a, &pods, pod);
    value_set(a, status, SV("podIP"), text(a, w->pod_ip));
    value_set(a, status, SV("podIPs"), pods);
}

static Value build(Worker *w, Arena *a)
{
    Value status = value_map(), main = value_list(), init = value_list();
    Summary s;
    summarize(w, &s, a);
    for (unsigned i = 0; i < w->n_containers; i++) {
        const Container *c = w->containers[i];
        if (c->spec && !w->rejected)
            value_push(a, c->kind == CONTAINER_MAIN ? &main : &init, container_status(c, a));
    }
    StrView phase = phase_of(w, &s);
    value_set(a, &status, SV("phase"), value_sv(phase));
    value_set(a, &status, SV("conditions"), conditions(w, &s, phase, a));
    if (w->reason[0]) {
        value_set(a, &status, SV("reason"), text(a, w->reason));
        value_set(a, &status, SV("message"), text(a, w->message));
    }
    set_ips(w, &status, a);
    const Value *started = value_path(&w->pod, "status.startTime");
    value_set(a, &status, SV("startTime"),
              value_is(started, VALUE_STRING)
                  ? *started
                  : when(a, w->started_at ? w->started_at : clock_real_ns()));
    if (value_len(&init))
        value_set(a, &status, SV("initContainerStatuses"), init);
    value_set(a, &status, SV("containerStatuses"), main);
    const Value *generation = value_path(&w->pod, "metadata.generation");
    if (generation)
        value_set(a, &status, SV("observedGeneration"), *generation);
    return status;
}

/* ---- sending ---- */

static void on_sent(void *ctx, const ApiResult *r)
{
    Worker *w = ctx;
    w->status_call = NULL;
    w->status_busy = false;
    if (r->err && r->err->code == ERR_NOT_FOUND)
        return; /* deleted in between; the informer will tell */
    if (r->err) {
        log_warn("pod %s/%s: report status: %s", w->ns, w->name, r->err->msg);
        buf_clear(&w->sent_status);
        worker_wake_in(w, 1000);
        return;
    }
    worker_wake(w);
}

/* After our own restart, until stage1 has said what runs: the API knows more than we do. */
static bool is_unsure(const Worker *w)
{
    for (unsigned i = 0; w->conn && i < w->n_containers; i++)
        if (w->containers[i]->restored && w->containers[i]->phase == PHASE_STARTING)
            return true;
    return false;
}

void status_send(Worker *w)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf body = BUF_INIT;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (w->status_busy || w->deleted || !w->obj || w->settled || is_unsure(w))
        return;
    Value patch = value_map(), meta = value_map();
    value_set(&a, &meta, SV("uid"), text(&a, w->uid));
    value_set(&a, &patch, SV("metadata"), meta);
    value_set(&a, &patch, SV("status"), build(w, &a));
    json_encode(&patch, &body);
    if (body.failed || sv_eq(buf_view(&body), buf_view(&w->sent_status)))
        return;
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), sv_cstr(w->ns), sv_cstr(w->name), SV("status") };
    Err err = { 0 };
    if (api_patch(w->k->api, &t, API_PATCH_MERGE, SV_NULL, &patch, on_sent, w, &w->status_call,
                  &err) < 0) {
        log_warn("pod %s/%s: report status: %s", w->ns, w->name, err.msg);
        worker_wake_in(w, 1000);
        return;
    }
    w->status_busy = true;
    buf_clear(&w->sent_status);
    buf_sv(&w->sent_status, buf_view(&body));
}
