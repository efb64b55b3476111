/* worker.c - one pod's state machine.
 *
 * worker_sync() is called after everything that happens (a new version of the pod, a finished job,
 * a message of stage1, a timer) and goes as far as it can without waiting. Blocking work is done by
 * jobs on pool threads with copies of what they need; while one is under way (`busy`) only new
 * facts are noted.
 *
 *     NEW -> GATHERING -> SETUP -> RUNNING -> STOPPING -> CLEANUP -> GONE
 *      ^________|___________|_________|  (failed, or stage1 died: tried again after a while)
 *
 * What holds, and why:
 * - All of a worker is touched by the loop's thread alone. A job knows its worker by UID, because
 *   the worker may be gone when the job ends (worker_of()).
 * - At most one job of a worker is under way. A phase that has a job (SETUP, CLEANUP) is left only
 *   by that job's end; whatever else wants to change the phase waits for it.
 * - `conn` is there from the end of SETUP until stage1 has gone. Whatever may close it
 *   (note_stage1_gone()) is done with the worker's containers first: they are EXITED without it.
 * - What runs is what stage1 says. A container is RUNNING or EXITED by a message of stage1 or by
 *   the files that it left, never because we asked for it; STARTING is all that asking makes.
 * - `attempt` only grows, and names app, log and message: one attempt is never started twice, also
 *   not after a restart of the agent (worker_restore()) or a power cut (count_lost_run()).
 * - The disk comes before the API server: a pod's object is deleted only in GONE, when nothing of
 *   the pod is left, so that a name in the API means that its resources may still be in use.
 * - `terminal` is final: status_send() has told Succeeded or Failed, and nothing is begun again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdarg.h>

#include "api/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "kubelet/internal.h"

static void on_wake(void *ctx)
{
    worker_sync(ctx);
}

void worker_wake(Worker *w)
{
    worker_wake_in(w, 0);
}

/* One timer per worker: the nearest wish wins, since every sync asks again for what it waits for.
 */
void worker_wake_in(Worker *w, int64_t ms)
{
    Err err = { 0 };
    if (ms < 0)
        ms = 0;
    int r = w->timer ? source_set_timer(w->timer, (uint64_t)ms, 0, &err)
                     : loop_add_timer(w->k->loop, (uint64_t)ms, 0, on_wake, w, &w->timer, &err);
    if (r < 0)
        log_error("pod %s/%s: set a timer: %s", w->ns, w->name, err.msg);
}

Worker *worker_new(Kubelet *k, const char *uid)
{
    Worker *w = calloc(1, sizeof *w);
    if (!w || !sv_copy_cstr(sv_cstr(uid), w->uid, sizeof w->uid)) {
        free(w);
        return NULL;
    }
    w->k = k;
    w->seen_ns = clock_mono_ns();
    arena_init(&w->arena, ARENA_DEFAULT_LIMIT);
    return w;
}

Worker *worker_free(Worker *w)
{
    if (!w)
        return NULL;
    gather_cancel(w);
    for (unsigned i = 0; i < w->n_containers; i++) {
        probes_stop(w->containers[i]);
        hook_cancel(w->containers[i]);
        image_wait_cancel(w->containers[i]->image_wait);
        free(w->containers[i]);
    }
    api_call_cancel(w->status_call);
    api_call_cancel(w->delete_call);
    source_free(w->conn_source);
    source_free(w->timer);
    source_free(w->deadline);
    pod_close(w->conn);
    resources_free(&w->resources);
    buf_free(&w->sent_status);
    api_object_unref(w->obj);
    arena_free(&w->arena);
    free(w);
    return NULL;
}

/* NULL when there is no room, or no memory. */
static Container *add_container(Worker *w, StrView name)
{
    Container *c = w->n_containers < CONTAINERS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->worker = w;
    sv_copy_cstr(name, c->name, sizeof c->name);
    return w->containers[w->n_containers++] = c;
}

Container *worker_container(Worker *w, StrView name)
{
    for (unsigned i = 0; i < w->n_containers; i++)
        if (sv_eq(sv_cstr(w->containers[i]->name), name))
            return w->containers[i];
    return NULL;
}

const char *container_app_id(const Container *c, char buf[static APP_ID_MAX + 1])
{
    snprintf(buf, APP_ID_MAX + 1, "%s.%u", c->name, c->attempt);
    return buf;
}

void worker_event(Worker *w, const Container *c, StrView type, StrView reason, const char *fmt, ...)
{
    char text[1024], path[128] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c)
        snprintf(path, sizeof path, "spec.%s{%s}",
                 c->kind == CONTAINER_MAIN ? "containers" : "initContainers", c->name);
    EventRef ref = { .api_version = SV("v1"),
                     .kind = SV("Pod"),
                     .ns = sv_cstr(w->ns),
                     .name = sv_cstr(w->name),
                     .uid = sv_cstr(w->uid),
                     .field_path = sv_cstr(path),
                     .resource_version = w->obj ? w->obj->resource_version : SV_NULL };
    event_record(w->k->events, &ref, type, reason, "%s", text);
}

/* ---- the pod as wanted ---- */

/* A container that this node has nothing of may have run before the node was taken down: its runs
 * are counted on. */
static unsigned next_attempt(const Worker *w, StrView name, bool init)
{
    const Value *statuses =
        value_path(&w->pod, init ? "status.initContainerStatuses" : "status.containerStatuses");
    value_list_foreach (s, statuses) {
        if (sv_eq(value_str(value_get(s, SV("name"))), name) &&
            value_str(value_get(s, SV("containerID"))).len)
            return (unsigned)MAX(value_int_or(value_get(s, SV("restartCount")), 0), INT64_C(0)) + 1;
    }
    return 0;
}

/* A power cut may have taken what the disk said of a run; the API server was told of it. */
static void count_lost_run(Worker *w, Container *c, bool init)
{
    unsigned next = next_attempt(w, sv_cstr(c->name), init);
    if (c->phase != PHASE_WAITING || c->run.state != APP_CREATED || next <= c->attempt)
        return;
    c->attempt = next;
    c->counted = true;
}

static void list_containers(Worker *w, StrView list, bool init, bool first)
{
    bool has_init = value_len(value_path(&w->pod, "spec.initContainers")) > 0;
    value_list_foreach (spec, value_get(value_get(&w->pod, SV("spec")), list)) {
        StrView name = value_str(value_get(spec, SV("name")));
        Container *c = worker_container(w, name);
        if (!c && (c = add_container(w, name))) {
            snprintf(c->reason, sizeof c->reason, "%s",
                     has_init ? "PodInitializing" : "ContainerCreating");
            c->attempt = next_attempt(w, name, init);
            c->counted = c->attempt > 0;
        } else if (c && first)
            count_lost_run(w, c, init);
        if (!c)
            continue;
        bool sidecar = init && sv_eq(value_str(value_get(spec, SV("restartPolicy"))), SV("Always"));
        c->kind = sidecar ? CONTAINER_SIDECAR : init ? CONTAINER_INIT : CONTAINER_MAIN;
        c->spec = spec;
        sv_copy_cstr(value_str(value_get(spec, SV("image"))), c->image, sizeof c->image);
    }
}

static int take_version(Worker *w, ApiObject *obj, Err *err)
{
    Arena fresh;
    arena_init(&fresh, ARENA_DEFAULT_LIMIT);
    StrView text = arena_sv(&fresh, obj->json);
    Value pod;
    bool first = !w->obj;
    int r = text.ptr ? json_decode(text, &fresh, NULL, &pod, err) : err_nomem(err);
    if (r < 0) {
        arena_free(&fresh);
        return r;
    }
    arena_free(&w->arena);
    w->arena = fresh;
    w->pod = pod;
    api_object_unref(w->obj);
    w->obj = api_object_ref(obj);
    sv_copy_cstr(obj->ns, w->ns, sizeof w->ns);
    sv_copy_cstr(obj->name, w->name, sizeof w->name);
    list_containers(w, SV("initContainers"), true, first);
    list_containers(w, SV("containers"), false, first);
    return 0;
}

static int ask_status(Worker *w, Err *err);

void worker_update(Worker *w, ApiObject *obj)
{
    Err err = { 0 };
    bool first = !w->obj;
    if (!obj)
        w->deleted = true;
    else if (take_version(w, obj, &err) < 0 || (first && w->conn && ask_status(w, &err) < 0))
        log_error("pod %.*s: %s", SV_FMT(obj->key), err.msg);
    worker_wake(w);
}

static bool is_terminating(const Worker *w)
{
    return w->deleted || value_path(&w->pod, "metadata.deletionTimestamp");
}

/* The phase of a pod that is over, or SV_NULL. It outlives the version of the pod it is read from.
 */
static StrView finished_phase(const Worker *w)
{
    StrView phase = value_path_str(&w->pod, "status.phase");
    return sv_eq(phase, SV("Succeeded")) ? SV("Succeeded")
           : sv_eq(phase, SV("Failed"))  ? SV("Failed")
                                         : SV_NULL;
}

/* ---- what stage1 reports ---- */

static Container *container_of_app(Worker *w, const char *id, unsigned *ret_attempt)
{
    StrView all = sv_cstr(id);
    ssize_t dot = sv_rfind_char(all, '.');
    uint64_t n;
    if (dot < 0 || sv_to_u64(sv_skip(all, (size_t)dot + 1), &n) < 0)
        return NULL;
    *ret_attempt = (unsigned)n;
    return worker_container(w, sv_head(all, (size_t)dot));
}

static void set_container_id(Container *c)
{
    char app[APP_ID_MAX + 1];
    snprintf(c->container_id, sizeof c->container_id, "knarr://%.60s-%.80s", c->worker->uid,
             container_app_id(c, app));
}

static void note_running(Container *c, const AppStatus *s)
{
    bool was_running = c->phase == PHASE_RUNNING;
    c->phase = PHASE_RUNNING;
    c->ever_started = true;
    c->run = *s;
    set_container_id(c);
    if (was_running)
        return;
    c->kill_sent = c->stopping = false;
    c->started = c->ready = c->restored = false;
    bool launched = c->launched;
    c->launched = false;
    if (launched)
        kubelet_metrics_running(c);
    if (!launched || !hook_post_start(c))
        container_begin_probes(c);
}

void container_begin_probes(Container *c)
{
    bool has_startup = value_get(c->spec, SV("startupProbe")) != NULL;
    bool has_readiness = value_get(c->spec, SV("readinessProbe")) != NULL;
    /* One that ran before we did keeps what was known of it until its probes say otherwise, as
     * since Kubernetes 1.35: our restart takes nobody out of a Service. The same run only. */
    const Value *known = container_known_status(c);
    bool was_started = value_bool_or(value_get(known, SV("started")), false);
    bool was_ready = was_started && value_bool_or(value_get(known, SV("ready")), false);
    c->started = !has_startup || was_started;
    c->ready = c->started && (!has_readiness || was_ready);
    probes_start(c);
}

static void note_exited(Container *c, const AppStatus *s)
{
    if (c->phase == PHASE_EXITED)
        return;
    if (strcmp(s->reason, "StartError") == 0)
        worker_event(c->worker, c, SV("Warning"), SV("Failed"),
                     "Error: failed to start container \"%s\": %s", c->name, s->message);
    c->phase = PHASE_EXITED;
    c->run = *s;
    c->ready = c->started = c->restored = false;
    set_container_id(c);
    probes_stop(c);
    hook_cancel(c);
}

static void note_app(Worker *w, const AppStatus *s)
{
    unsigned attempt;
    Container *c = container_of_app(w, s->id, &attempt);
    if (!c || attempt < c->attempt)
        return;
    c->attempt = attempt;
    if (s->state == APP_RUNNING)
        note_running(c, s);
    else if (s->state == APP_EXITED)
        note_exited(c, s);
}

static void drop_connection(Worker *w)
{
    w->conn_source = source_free(w->conn_source);
    w->conn = pod_close(w->conn);
}

/* stage1 ended without being told to: its apps went with it; what they left is on disk. */
static void note_stage1_gone(Worker *w)
{
    char dir[PATH_SIZE], id[APP_ID_MAX + 1];
    drop_connection(w);
    for (unsigned i = 0; i < w->n_containers; i++) {
        Container *c = w->containers[i];
        AppStatus s;
        if (c->phase != PHASE_RUNNING && c->phase != PHASE_STARTING)
            continue;
        if (pod_app_read(worker_dir(w, dir), container_app_id(c, id), &s, NULL) < 0 ||
            s.state != APP_EXITED)
            s = (AppStatus){ .state = APP_EXITED,
                             .exit_code = 137,
                             .signal = SIGKILL,
                             .reason = "Stage1Died",
                             .started_ns = c->run.started_ns,
                             .finished_ns = clock_real_ns() };
        note_exited(c, &s);
    }
    if (w->phase == WORKER_RUNNING) {
        worker_event(w, NULL, SV("Normal"), SV("SandboxChanged"),
                     "Pod sandbox changed, it will be killed and re-created.");
        w->phase = WORKER_NEW;
    }
}

/* A connection that fails says nothing of the apps: as long as stage1 lives they run, and it is
 * asked again, or they would be started a second time beside themselves. */
static void note_disconnected(Worker *w)
{
    char dir[PATH_SIZE];
    drop_connection(w);
    if (w->phase == WORKER_RUNNING && pod_is_alive(worker_dir(w, dir)))
        worker_wake_in(w, RECONNECT_MS);
    else
        note_stage1_gone(w);
}

static void on_start_reply(Worker *w, const PodMsg *m)
{
    unsigned attempt;
    Container *c = m->status.id[0] ? container_of_app(w, m->status.id, &attempt) : NULL;
    if (c && m->err.code == ERR_NONE)
        note_app(w, &m->status);
}

static void on_conn_readable(void *ctx, uint32_t events)
{
    Worker *w = ctx;
    PodMsg m;
    Err err = { 0 };
    int r = 0;
    while (w->conn && (r = pod_read(w->conn, &m, &err)) > 0) {
        if (m.kind == POD_MSG_APP)
            note_app(w, &m.status);
        else if (m.kind == POD_MSG_REPLY)
            on_start_reply(w, &m);
        bool closed = m.kind == POD_MSG_CLOSED;
        pod_msg_close(&m);
        if (closed)
            note_disconnected(w);
    }
    if (r < 0) {
        log_warn("pod %s/%s: talk to its supervisor: %s", w->ns, w->name, err.msg);
        note_disconnected(w);
    }
    if (w->conn || w->phase != WORKER_RUNNING) /* else reconnect() has its time */
        worker_wake(w);
}

/* Asks for the state of all apps; their probes begin with the answer, so the pod's spec must be
 * known. */
static int ask_status(Worker *w, Err *err)
{
    uint32_t request;
    return pod_send_status(w->conn, "", &request, err);
}

static int adopt_connection(Worker *w, Pod *conn, Err *err)
{
    w->conn = conn;
    int r =
        loop_add_fd(w->k->loop, pod_fd(conn), LOOP_READ, on_conn_readable, w, &w->conn_source, err);
    if (r == 0 && w->obj)
        r = ask_status(w, err);
    if (r < 0)
        drop_connection(w);
    return r;
}

/* False: not now, and it is tried again. */
static bool reconnect(Worker *w)
{
    char dir[PATH_SIZE];
    Pod *conn = NULL;
    Err err = { 0 };
    if (!pod_is_alive(worker_dir(w, dir))) {
        note_stage1_gone(w);
        return true;
    }
    if (pod_connect(dir, &conn, &err) == 0 && adopt_connection(w, conn, &err) == 0)
        return true;
    worker_wake_in(w, RECONNECT_MS);
    return false;
}

/* ---- restoring ---- */

/* Newest attempt of each container, and how the one before ended, from the files of their apps. */
static void restore_app(Worker *w, const char *dir, const char *id)
{
    AppStatus s;
    StrView all = sv_cstr(id);
    ssize_t dot = sv_rfind_char(all, '.');
    uint64_t attempt;
    if (dot < 0 || sv_to_u64(sv_skip(all, (size_t)dot + 1), &attempt) < 0 ||
        pod_app_read(dir, id, &s, NULL) < 0)
        return;
    Container *c = worker_container(w, sv_head(all, (size_t)dot));
    if (!c)
        c = add_container(w, sv_head(all, (size_t)dot));
    if (!c || (c->ever_started && attempt < c->attempt))
        return;
    if (c->ever_started && c->run.state == APP_EXITED) {
        c->last = c->run;
        c->has_last = true;
    }
    c->attempt = (unsigned)attempt;
    c->ever_started = true;
    c->run = s;
    /* One that runs is reported by stage1 as soon as we are connected: then its probes begin. */
    c->phase = s.state == APP_EXITED    ? PHASE_EXITED
               : s.state == APP_RUNNING ? PHASE_STARTING
                                        : PHASE_WAITING;
    c->restored = c->phase == PHASE_STARTING;
    set_container_id(c);
}

static int compare_attempts(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t nx = strlen(x), ny = strlen(y);
    return nx != ny ? (nx > ny) - (nx < ny) : strcmp(x, y); /* "web.9" before "web.10" */
}

int worker_restore(Worker *w, Err *err)
{
    char dir[PATH_SIZE];
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    WireStrings apps;
    Pod *conn = NULL;
    worker_dir(w, dir);
    if (pod_app_list(dir, &a, &apps, NULL) == 0) {
        if (apps.len)
            qsort(apps.items, apps.len, sizeof *apps.items, compare_attempts);
        for (uint32_t i = 0; i < apps.len; i++)
            restore_app(w, dir, apps.items[i]);
    }
    if (sandbox_read_ip(w->k, w->uid, w->pod_ip) < 0)
        w->pod_ip[0] = 0;
    int r = pod_connect(dir, &conn, err);
    if (r == 0 && (r = adopt_connection(w, conn, err)) == 0)
        w->phase = WORKER_RUNNING;
    w->start_counted = true;
    return r;
}

/* ---- set-up ---- */

bool worker_copy_inputs(Worker *w, SetupJob *job)
{
    arena_init(&job->arena, ARENA_DEFAULT_LIMIT);
    job->k = w->k;
    snprintf(job->uid, sizeof job->uid, "%s", w->uid);
    snprintf(job->pod_ip, sizeof job->pod_ip, "%s", w->pod_ip);
    return value_clone(&job->arena, &w->pod, &job->pod) &&
           resources_copy(&w->resources, &job->resources);
}

static void setup_job_free(SetupJob *job)
{
    arena_free(&job->arena);
    resources_free(&job->resources);
    pod_close(job->conn);
    free(job);
}

static void setup_work(void *ctx)
{
    SetupJob *job = ctx;
    if (!job->volumes_only && sandbox_create(job, &job->err) < 0)
        return;
    if (volumes_write(job, &job->err) < 0)
        return;
}

Worker *worker_of(Kubelet *k, const char *uid)
{
    return map_get(&k->workers, sv_cstr(uid));
}

void worker_retry_later(Worker *w)
{
    w->retry_ms = w->retry_ms ? MIN(w->retry_ms * 2, SETUP_RETRY_MAX_MS) : SETUP_RETRY_MIN_MS;
    worker_wake_in(w, w->retry_ms);
}

static void take_setup(Worker *w, SetupJob *job)
{
    Err err = job->err;
    w->busy = false;
    w->refreshed = clock_mono_ns();
    if (err.code == ERR_NONE && !job->volumes_only) {
        snprintf(w->pod_ip, sizeof w->pod_ip, "%s", job->pod_ip);
        adopt_connection(w, TAKE_PTR(job->conn), &err);
    }
    if (err.code != ERR_NONE) {
        worker_event(w, NULL, SV("Warning"),
                     job->volumes_only ? SV("FailedMount") : SV("FailedCreatePodSandBox"), "%s",
                     err.msg);
        log_warn("pod %s/%s: set up: %s", w->ns, w->name, err.msg);
        if (!job->volumes_only)
            w->phase = WORKER_NEW;
        worker_retry_later(w);
        return;
    }
    if (!job->volumes_only)
        w->phase = WORKER_RUNNING;
    w->retry_ms = 0;
    worker_wake(w);
}

static void setup_done(void *ctx)
{
    SetupJob *job = ctx;
    Kubelet *k = job->k;
    Worker *w = worker_of(k, job->uid);
    if (w)
        take_setup(w, job);
    setup_job_free(job);
    kubelet_job_done(k);
}

static void start_setup(Worker *w, bool volumes_only)
{
    Err err = { 0 };
    SetupJob *job = calloc(1, sizeof *job);
    if (job && worker_copy_inputs(w, job)) {
        job->volumes_only = volumes_only;
        if (kubelet_job(w->k, setup_work, setup_done, job, &err) == 0) {
            w->busy = true;
            if (!volumes_only)
                w->phase = WORKER_SETUP;
            return;
        }
    }
    if (job)
        setup_job_free(job);
    log_error("pod %s/%s: %s", w->ns, w->name, err.code ? err.msg : "out of memory");
    worker_retry_later(w);
}

void worker_gathered(Worker *w, const Err *err)
{
    bool refresh = w->phase == WORKER_RUNNING;
    if (err) {
        worker_event(w, NULL, SV("Warning"), SV("FailedMount"), "%s", err->msg);
        if (!refresh)
            w->phase = WORKER_NEW;
        w->refreshed = clock_mono_ns(); /* a refresh is tried again in its time */
        worker_retry_later(w);
    } else
        start_setup(w, refresh);
}

/* ---- stopping ---- */

static void send_stop(Worker *w, int64_t grace_ms)
{
    uint32_t request;
    Err err = { 0 };
    if (w->conn &&
        pod_send_stop(w->conn, (uint32_t)MIN(grace_ms, (int64_t)UINT32_MAX), &request, &err) < 0) {
        log_warn("pod %s/%s: stop: %s", w->ns, w->name, err.msg);
        note_stage1_gone(w);
    }
}

static int64_t stop_grace_ms(const Worker *w)
{
    return w->deleted ? 0 : worker_grace(w) * 1000;
}

/* Whoever asks again, with less time, gets it: hooks are given up, and the supervisor goes by the
 * shorter time. */
static void shorten_stop(Worker *w)
{
    int64_t grace_ms = stop_grace_ms(w), kill_at = clock_mono_ns() + grace_ms * NSEC_PER_MSEC;
    if (!w->conn || grace_ms >= w->stop_grace_ms)
        return;
    w->stop_grace_ms = grace_ms;
    if (kill_at >= w->kill_at)
        return;
    w->kill_at = kill_at;
    for (unsigned i = 0; i < w->n_containers; i++)
        hook_cancel(w->containers[i]);
    w->by_hand = false;
    send_stop(w, grace_ms);
}

/* Without hooks the supervisor ends all containers; with hooks each is ended when its own has run,
 * and the supervisor when none is left. */
static void begin_stop(Worker *w)
{
    int64_t grace_ms = stop_grace_ms(w);
    w->phase = WORKER_STOPPING;
    gather_cancel(w);
    w->stop_grace_ms = grace_ms;
    w->kill_at = clock_mono_ns() + grace_ms * NSEC_PER_MSEC;
    w->by_hand = false;
    for (unsigned i = 0; i < w->n_containers; i++) {
        Container *c = w->containers[i];
        if (c->phase == PHASE_PULLING) {
            image_wait_cancel(c->image_wait);
            c->phase = PHASE_WAITING;
        }
        probes_stop_but_readiness(c);
        w->by_hand |= grace_ms > 0 && hook_pre_stop_wanted(c);
        if (c->phase == PHASE_RUNNING && !c->stopping)
            worker_event(w, c, SV("Normal"), SV("Killing"), "Stopping container %s", c->name);
    }
    if (!w->by_hand)
        send_stop(w, grace_ms);
    for (unsigned i = 0; i < w->n_containers && w->by_hand; i++) {
        Container *c = w->containers[i];
        if (c->phase == PHASE_RUNNING && !c->stopping) {
            c->stopping = true;
            hook_end(c, grace_ms);
        }
    }
}

/* Kills those whose time is over; when none runs any more the supervisor may go. */
static void stop_by_hand(Worker *w)
{
    int64_t now = clock_mono_ns(), next = 0;
    bool running = false;
    for (unsigned i = 0; i < w->n_containers; i++) {
        Container *c = w->containers[i];
        if (c->phase != PHASE_RUNNING || c->kill_sent)
            continue;
        running = true;
        /* The supervisor's events bring us back when a container ends. */
        if (c->pre_stop)
            continue;
        if (now < c->kill_at && !w->deleted) {
            next = next ? MIN(next, c->kill_at) : c->kill_at;
            continue;
        }
        c->kill_sent = true;
        container_signal(c, SIGKILL);
    }
    if (next)
        worker_wake_in(w, (next - now) / NSEC_PER_MSEC + 1);
    if (running && !w->deleted)
        return;
    for (unsigned i = 0; i < w->n_containers; i++)
        hook_cancel(w->containers[i]);
    w->by_hand = false;
    send_stop(w, 0);
}

static void forget(Worker *w)
{
    Kubelet *k = w->k;
    map_del(&k->workers, sv_cstr(w->uid));
    event_forget(k->events, sv_cstr(w->uid));
    worker_free(w);
    kubelet_trim_soon(k);
}

static void sync_stopping(Worker *w)
{
    if (w->busy)
        return;
    if (w->phase == WORKER_NEW || w->phase == WORKER_GATHERING || w->phase == WORKER_RUNNING)
        begin_stop(w);
    if (w->phase == WORKER_STOPPING) {
        shorten_stop(w);
        if (w->conn && w->by_hand)
            stop_by_hand(w);
        if (!w->conn)
            worker_clean_up(w);
        return;
    }
    if (w->phase == WORKER_CLEANUP)
        worker_clean_up(w); /* the last try failed */
}

/* ---- one turn ---- */

static void sync_new(Worker *w)
{
    StrView finished = finished_phase(w);
    if (finished.len) {
        w->terminal = w->settled = true;
        w->terminal_phase = finished;
        return;
    }
    if (!w->started_at)
        w->started_at = clock_real_ns();
    if (!pod_admit(w))
        return;
    w->phase = WORKER_GATHERING;
    gather_start(w);
}

void worker_sync(void *ctx)
{
    Worker *w = ctx;
    if (!w->obj && !w->deleted)
        return; /* restored; the API server has not spoken yet */
    if (is_terminating(w)) {
        if (w->phase != WORKER_GONE)
            sync_stopping(w);
        if (w->phase == WORKER_GONE && w->deleted) {
            forget(w);
            return;
        }
        status_send(w);
        if (w->phase == WORKER_GONE && !w->status_busy)
            worker_delete_object(w);
        return;
    }
    if (w->phase == WORKER_RUNNING && !w->conn && !reconnect(w))
        return;
    if (w->phase == WORKER_NEW && !w->busy && !w->terminal && !w->refused)
        sync_new(w);
    if (w->phase != WORKER_NEW || w->refused)
        pod_watch_deadline(w);
    if (w->phase == WORKER_RUNNING && !w->terminal)
        containers_run(w);
    if (w->terminal && !w->conn && w->gather)
        gather_cancel(w);
    if (w->terminal && w->conn && !w->busy && w->phase != WORKER_STOPPING)
        begin_stop(w); /* sidecars and stage1 are not needed any more; files and logs stay */
    if (w->terminal && w->conn && w->by_hand)
        stop_by_hand(w);
    status_send(w);
}
