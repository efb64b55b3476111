/* run.c - the containers of one pod: started in order, restarted by the policy with growing
 * back-off, stopped.
 *
 * containers_run() brings each container one step forward; init containers hold back those behind
 * them. */
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "kubelet/internal.h"

static void start_job_free(StartJob *job)
{
    arena_free(&job->base.arena);
    resources_free(&job->base.resources);
    free(job);
}

static void start_work(void *ctx)
{
    StartJob *job = ctx;
    if (container_prepare(job, &job->base.err) < 0)
        return;
}

static void start_failed(Container *c, const char *reason, const Err *err)
{
    c->phase = PHASE_WAITING;
    bool news = strcmp(c->reason, reason) != 0;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    snprintf(c->message, sizeof c->message, "%s", err->msg);
    c->backoff_ms = c->backoff_ms ? MIN(c->backoff_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    c->restart_at = clock_mono_ns() + c->backoff_ms * NSEC_PER_MSEC;
    if (news)
        worker_event(c->worker, c, SV("Warning"), SV("Failed"), "Error: %s", err->msg);
}

/* One ended attempt is kept for lastState and `logs --previous`; what is older goes, with its log.
 */
static void drop_old_attempt(Container *c)
{
    char id[APP_ID_MAX + 1];
    uint32_t request;
    Err err = { 0 };
    if (c->attempt < 2)
        return;
    snprintf(id, sizeof id, "%s.%u", c->name, c->attempt - 2);
    if (pod_send_remove(c->worker->conn, id, &request, &err) < 0)
        log_debug("pod %s/%s: remove %s: %s", c->worker->ns, c->worker->name, id, err.msg);
    log_remove_attempt(c, c->attempt - 2);
}

static void send_start(Container *c, const StartJob *job)
{
    Worker *w = c->worker;
    Err err = { 0 };
    uint32_t add, start;
    char id[APP_ID_MAX + 1];
    container_app_id(c, id);
    if (!w->conn)
        err_set(&err, ERR_CLOSED, 0, "the pod's supervisor is gone");
    else if (pod_send_add(w->conn, &job->app, &add, &err) == 0 &&
             pod_send_start(w->conn, id, &start, &err) == 0) {
        snprintf(c->image_id, sizeof c->image_id, "%s", job->image_id);
        c->launched = true;
        drop_old_attempt(c);
        if (!job->image_ok)
            worker_event(w, c, SV("Normal"), SV("Pulled"),
                         "Container image \"%s\" already present on machine and can be accessed "
                         "by the pod",
                         c->image);
        worker_event(w, c, SV("Normal"), SV("Created"), "Container created");
        worker_event(w, c, SV("Normal"), SV("Started"), "Container started");
        return;
    }
    start_failed(c, "CreateContainerError", &err);
}

/* ---- images ---- */

void container_image_ready(Container *c)
{
    c->phase = PHASE_WAITING;
    c->image_ok = true;
    c->pull_backoff_ms = c->pull_failed_at = c->restart_at = 0;
    worker_wake(c->worker);
}

/* First with the error itself, then with that it is waited for, as Kubernetes' two states are. */
void container_image_failed(Container *c, const char *why, const char *message)
{
    enum { SAY_BACKOFF_MS = 1000 };
    int64_t now = clock_mono_ns();
    c->phase = PHASE_WAITING;
    c->pull_backoff_ms =
        c->pull_backoff_ms ? MIN(c->pull_backoff_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    c->restart_at = now + c->pull_backoff_ms * NSEC_PER_MSEC;
    c->pull_failed_at = now + SAY_BACKOFF_MS * NSEC_PER_MSEC;
    snprintf(c->reason, sizeof c->reason, "%s", why);
    snprintf(c->message, sizeof c->message, "%s", message);
    worker_event(c->worker, c, SV("Warning"), SV("Failed"), "Error: %s", why);
    worker_wake(c->worker);
}

static void say_pull_backoff(Container *c)
{
    char text[sizeof c->message];
    snprintf(text, sizeof text, "Back-off pulling image \"%s\": %s: %.600s", c->image, c->reason,
             c->message);
    snprintf(c->message, sizeof c->message, "%s", text);
    snprintf(c->reason, sizeof c->reason, "ImagePullBackOff");
    c->pull_failed_at = 0;
    worker_event(c->worker, c, SV("Normal"), SV("BackOff"), "Back-off pulling image \"%s\"",
                 c->image);
    worker_event(c->worker, c, SV("Warning"), SV("Failed"), "Error: ImagePullBackOff");
}

/* ---- starts ---- */

static void start_done(void *ctx)
{
    StartJob *job = ctx;
    Kubelet *k = job->base.k;
    Worker *w = worker_of(k, job->base.uid);
    Container *c = w ? worker_container(w, sv_cstr(job->container)) : NULL;
    if (w)
        w->busy = false;
    if (c && job->base.err.code != ERR_NONE)
        start_failed(c, job->waiting[0] ? job->waiting : "CreateContainerError", &job->base.err);
    else if (c && job->need != IMAGE_READY) {
        c->phase = PHASE_PULLING;
        c->image_allowed = job->image_allowed;
        image_wait_start(c, job->need, &job->record);
    } else if (c)
        send_start(c, job);
    start_job_free(job);
    if (w)
        worker_wake(w);
    kubelet_job_done(k);
}

static void start_container(Container *c)
{
    Worker *w = c->worker;
    Err err = { 0 };
    StartJob *job = calloc(1, sizeof *job);
    if (job && worker_copy_inputs(w, &job->base)) {
        snprintf(job->container, sizeof job->container, "%s", c->name);
        job->image_ok = c->image_ok;
        job->image_allowed = c->image_allowed;
        c->image_ok = false;
        job->attempt = c->attempt;
        job->is_init = c->kind != CONTAINER_MAIN;
        container_log_path(c, c->attempt, job->pod_log);
        bool links = value_bool_or(value_path(&w->pod, "spec.enableServiceLinks"), true);
        job->service_env = service_links(w->k, links ? sv_cstr(w->ns) : SV_NULL, &job->base.arena);
        if (kubelet_job(w->k, start_work, start_done, job, &err) == 0) {
            w->busy = true;
            c->phase = PHASE_STARTING;
            return;
        }
    }
    if (job)
        start_job_free(job);
    if (!err.code)
        err_nomem(&err);
    start_failed(c, "CreateContainerError", &err);
}

static bool may_restart(const Container *c)
{
    StrView own = value_str(value_get(c->spec, SV("restartPolicy")));
    StrView policy = own.len ? own : value_path_str(&c->worker->pod, "spec.restartPolicy");
    if (c->kind == CONTAINER_SIDECAR)
        return true;
    if (c->kind ==
        CONTAINER_INIT) /* init containers that succeeded are done; others follow the policy */
        return c->run.exit_code != 0 && !sv_eq(policy, SV("Never"));
    if (sv_eq(policy, SV("Never")))
        return false;
    return !sv_eq(policy, SV("OnFailure")) || c->run.exit_code != 0;
}

/* Ends a run: the next attempt waits for its back-off, which grows while the container keeps dying.
 */
static void schedule_restart(Container *c)
{
    int64_t ran_ms =
        c->run.started_ns ? (c->run.finished_ns - c->run.started_ns) / NSEC_PER_MSEC : 0;
    Worker *w = c->worker;
    c->last = c->run;
    c->has_last = true;
    bool first = c->backoff_ms == 0 || ran_ms > BACKOFF_RESET_MS;
    c->backoff_ms = first ? BACKOFF_MIN_MS : MIN(c->backoff_ms * 2, BACKOFF_MAX_MS);
    c->restart_at = first ? 0 : clock_mono_ns() + c->backoff_ms / 2 * NSEC_PER_MSEC;
    c->attempt++;
    c->phase = PHASE_WAITING;
    snprintf(c->reason, sizeof c->reason, "%s", first ? "ContainerCreating" : "CrashLoopBackOff");
    c->message[0] = 0;
    if (first)
        return;
    snprintf(c->message, sizeof c->message,
             "back-off %llds restarting failed container=%s pod=%s_%s(%s)",
             (long long)c->backoff_ms / 2000, c->name, w->name, w->ns, w->uid);
    worker_event(w, c, SV("Warning"), SV("BackOff"),
                 "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, w->name,
                 w->ns, w->uid);
}

void container_signal(Container *c, int sig)
{
    char id[APP_ID_MAX + 1];
    uint32_t request;
    Err err = { 0 };
    Worker *w = c->worker;
    if (w->conn && pod_send_signal(w->conn, container_app_id(c, id), sig, &request, &err) < 0)
        log_warn("pod %s/%s: signal %s: %s", w->ns, w->name, c->name, err.msg);
}

int64_t worker_grace(const Worker *w)
{
    int64_t own = value_int_or(value_path(&w->pod, "spec.terminationGracePeriodSeconds"), 30);
    return value_int_or(value_path(&w->pod, "metadata.deletionGracePeriodSeconds"), own);
}

void container_stop(Container *c, const char *why)
{
    if (c->phase != PHASE_RUNNING || c->stopping)
        return;
    c->stopping = true;
    c->ready = false;
    worker_event(c->worker, c, SV("Normal"), SV("Killing"), "%s", why);
    hook_end(c, worker_grace(c->worker) * 1000);
    worker_wake(c->worker);
}

/* A container whose time to stop is over gets SIGKILL. Returns when to look again (mono ns), or 0.
 */
static int64_t enforce_stop(Container *c, int64_t now)
{
    if (c->phase != PHASE_RUNNING || !c->stopping || c->kill_sent || c->pre_stop)
        return 0;
    if (now < c->kill_at)
        return c->kill_at;
    c->kill_sent = true;
    container_signal(c, SIGKILL);
    return 0;
}

typedef struct Turn {
    int64_t now, wake; /* wake: mono ns; 0: nothing to wait for */
    bool started;      /* a job was begun: the rest waits */
} Turn;

static void want_wake(Turn *t, int64_t at)
{
    if (at && (!t->wake || at < t->wake))
        t->wake = at;
}

/* Brings one container forward. True when those that come after it may go on. */
static bool step_container(Container *c, Turn *t)
{
    want_wake(t, enforce_stop(c, t->now));
    if (c->phase == PHASE_WAITING && c->pull_failed_at && c->pull_failed_at <= t->now)
        say_pull_backoff(c);
    want_wake(t, c->phase == PHASE_WAITING ? c->pull_failed_at : 0);
    if (c->phase == PHASE_EXITED && may_restart(c))
        schedule_restart(c);
    if (c->phase == PHASE_WAITING && !t->started) {
        if (c->restart_at > t->now)
            want_wake(t, c->restart_at);
        else {
            start_container(c);
            t->started = true;
        }
    }
    if (c->kind == CONTAINER_INIT)
        return c->phase == PHASE_EXITED && c->run.exit_code == 0;
    if (c->phase == PHASE_RUNNING && c->post_start)
        return false; /* those behind it wait for its hook */
    return c->kind == CONTAINER_MAIN || (c->phase == PHASE_RUNNING && c->started);
}

/* The pod is over when no main container runs and none will be started again. */
static void check_terminal(Worker *w)
{
    bool failed = false;
    for (unsigned i = 0; i < w->n_containers; i++) {
        const Container *c = w->containers[i];
        if (c->kind == CONTAINER_SIDECAR)
            continue;
        if (c->kind == CONTAINER_INIT && c->phase == PHASE_EXITED && c->run.exit_code != 0 &&
            !may_restart(c)) {
            w->terminal = true;
            w->terminal_phase = SV("Failed");
            return;
        }
        if (c->phase != PHASE_EXITED || may_restart(c))
            return;
        failed |= c->run.exit_code != 0;
    }
    w->terminal = true;
    w->terminal_phase = failed ? SV("Failed") : SV("Succeeded");
}

void containers_run(Worker *w)
{
    Turn t = { .now = clock_mono_ns() };
    bool go_on = true;
    /* A pod taken up from before starts nothing until what it refers to is known again. */
    t.started = w->busy || !w->refreshed;
    for (unsigned i = 0; i < w->n_containers && go_on; i++) {
        Container *c = w->containers[i];
        /* A pod found again after a restart of its sandbox does not repeat init containers that
         * succeeded. */
        go_on = step_container(c, &t);
    }
    check_terminal(w);
    int64_t refresh = w->refreshed + VOLUME_REFRESH_MS * NSEC_PER_MSEC;
    if (t.now < refresh)
        want_wake(&t, refresh);
    else if (!w->busy && !w->gather && !w->terminal)
        gather_start(w); /* else whatever is under way wakes us when it ends */
    if (t.wake)
        worker_wake_in(w, (t.wake - t.now) / NSEC_PER_MSEC + 1);
}
