/* hooks.c - postStart and preStop.
 *
 * A container counts as running once its postStart hook has succeeded; one that fails ends it.
 * Before a container is ended its preStop hook runs, within the grace period, of which at least
 * MIN_GRACE_MS are left for the signal that follows. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "kubelet/action.h"

enum { MIN_GRACE_MS = 2000 };

static const Value *hook_of(const Container *c, StrView which)
{
    return value_get(value_get(c->spec, SV("lifecycle")), which);
}

bool hook_pre_stop_wanted(const Container *c)
{
    return c->phase == PHASE_RUNNING && hook_of(c, SV("preStop"));
}

static bool run(Container *c, StrView which, int64_t timeout_ms, ActionFn *fn)
{
    ActionOptions opt = { .name = "hook",
                          .number = c->attempt * 2 + sv_eq(which, SV("preStop")),
                          .timeout_ms = timeout_ms,
                          .fn = fn,
                          .ctx = c };
    Err err = { 0 };
    c->hook = action_free(c->hook);
    if (action_new(c, hook_of(c, which), &opt, &c->hook, &err) == 0)
        return true;
    log_error("pod %s/%s: hook of %s: %s", c->worker->ns, c->worker->name, c->name, err.msg);
    return false;
}

/* ---- postStart ---- */

static void on_started(void *ctx, bool ok, const char *text)
{
    Container *c = ctx;
    c->hook = action_free(c->hook);
    c->post_start = false;
    if (ok)
        container_begin_probes(c);
    else {
        worker_event(c->worker, c, SV("Warning"), SV("FailedPostStartHook"),
                     "PostStartHook failed");
        log_info("pod %s/%s: postStart of %s: %s", c->worker->ns, c->worker->name, c->name, text);
        container_stop(c, "FailedPostStartHook");
    }
    worker_wake(c->worker);
}

bool hook_post_start(Container *c)
{
    if (!hook_of(c, SV("postStart")))
        return false;
    c->post_start = run(c, SV("postStart"), 0, on_started);
    return c->post_start;
}

/* ---- preStop ---- */

static void on_stopped(void *ctx, bool ok, const char *text)
{
    Container *c = ctx;
    c->hook = action_free(c->hook);
    if (!ok) {
        worker_event(c->worker, c, SV("Warning"), SV("FailedPreStopHook"), "PreStopHook failed");
        log_info("pod %s/%s: preStop of %s: %s", c->worker->ns, c->worker->name, c->name, text);
    }
    c->pre_stop = false;
    int64_t least = clock_mono_ns() + MIN_GRACE_MS * NSEC_PER_MSEC;
    if (c->kill_at < least)
        c->kill_at = least;
    container_signal(c, 0);
    worker_wake(c->worker);
}

void hook_end(Container *c, int64_t grace_ms)
{
    c->kill_at = clock_mono_ns() + grace_ms * NSEC_PER_MSEC;
    c->post_start = false;
    c->pre_stop =
        grace_ms > 0 && hook_pre_stop_wanted(c) && run(c, SV("preStop"), grace_ms, on_stopped);
    if (c->pre_stop)
        return;
    c->hook = action_free(c->hook);
    container_signal(c, 0);
}

void hook_cancel(Container *c)
{
    c->hook = action_free(c->hook);
    c->post_start = c->pre_stop = false;
}
