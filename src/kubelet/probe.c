/* probe.c - liveness, readiness and startup probes of a running container.
 *
 * Each probe is a timer and at most one try under way (an action). Results count towards the
 * thresholds, and only a threshold that is reached changes anything. While a startup probe has not
 * succeeded the others wait. */
#include <stdio.h>

#include "base/log.h"
#include "kubelet/action.h"

enum {
    DEFAULT_TIMEOUT_SEC = 1,
    DEFAULT_PERIOD_SEC = 10,
    DEFAULT_FAILURES = 3,
};

struct Probe {
    Container *c;
    ProbeKind kind;
    const char *what; /* "Liveness" */
    int64_t period_ms, timeout_ms;
    unsigned success_threshold, failure_threshold;
    unsigned run; /* equal results in a row */
    bool last_ok;
    uint64_t tries;
    Source *timer;
    Action *action; /* the try under way */
};

static const char *const kind_names[] = { "Startup", "Liveness", "Readiness" };
static const StrView kind_fields[] = { SV_INIT("startupProbe"), SV_INIT("livenessProbe"),
                                       SV_INIT("readinessProbe") };

static const Value *probe_spec(const Probe *p)
{
    return value_get(p->c->spec, kind_fields[p->kind]);
}

static int64_t number(const Value *spec, StrView name, int64_t fallback)
{
    int64_t v = value_int_or(value_get(spec, name), 0);
    return v > 0 ? v : fallback;
}

/* ---- results ---- */

static void startup_succeeded(Container *c)
{
    c->started = true;
    if (!c->probes[PROBE_READINESS])
        c->ready = true;
    for (ProbeKind kind = PROBE_LIVENESS; kind <= PROBE_READINESS;
         kind++) /* those that waited begin now */
        if (c->probes[kind])
            source_set_timer(c->probes[kind]->timer, 0, (uint64_t)c->probes[kind]->period_ms, NULL);
    worker_wake(c->worker);
}

static void apply(Probe *p, bool ok)
{
    Container *c = p->c;
    if (p->kind == PROBE_STARTUP && ok && !c->started)
        startup_succeeded(c);
    else if (p->kind == PROBE_READINESS && c->ready != ok) {
        c->ready = ok;
        worker_wake(c->worker);
    } else if (p->kind != PROBE_READINESS && !ok) {
        char why[160];
        snprintf(why, sizeof why, "Container %s failed %s probe, will be restarted", c->name,
                 p->kind == PROBE_STARTUP ? "startup" : "liveness");
        p->run = 0;
        container_stop(c, why);
    }
}

/* The end of a try. */
static void on_result(void *ctx, bool ok, const char *text)
{
    Probe *p = ctx;
    p->action = action_free(p->action);
    if (!ok)
        worker_event(p->c->worker, p->c, SV("Warning"), SV("Unhealthy"), "%s probe failed: %s",
                     p->what, text);
    else if (*text)
        worker_event(p->c->worker, p->c, SV("Warning"), SV("ProbeWarning"), "%s probe warning: %s",
                     p->what, text);
    p->run = ok == p->last_ok ? p->run + 1 : 1;
    p->last_ok = ok;
    if (p->run >= (ok ? p->success_threshold : p->failure_threshold))
        apply(p, ok);
}

/* ---- tries ---- */

static void on_period(void *ctx)
{
    Probe *p = ctx;
    Container *c = p->c;
    const Value *spec = probe_spec(p);
    Err err = { 0 };
    ActionOptions opt = { .name = "probe",
                          .number = ++p->tries * 4 + p->kind,
                          .probe = true,
                          .timeout_ms = p->timeout_ms,
                          .fn = on_result,
                          .ctx = p };
    bool ends = c->stopping && c->worker->phase != WORKER_STOPPING;
    if (p->action || !spec || ends || (p->kind == PROBE_STARTUP ? c->started : !c->started))
        return;
    if (action_new(c, spec, &opt, &p->action, &err) < 0)
        log_error("pod %s/%s: probe: %s", c->worker->ns, c->worker->name, err.msg);
}

static void probe_start(Container *c, ProbeKind kind)
{
    const Value *spec = value_get(c->spec, kind_fields[kind]);
    Err err = { 0 };
    if (!spec)
        return;
    Probe *p = calloc(1, sizeof *p);
    if (!p) {
        log_error("pod %s/%s: no memory for a probe", c->worker->ns, c->worker->name);
        return;
    }
    *p = (Probe){ .c = c, .kind = kind, .what = kind_names[kind] };
    p->period_ms = number(spec, SV("periodSeconds"), DEFAULT_PERIOD_SEC) * 1000;
    p->timeout_ms = number(spec, SV("timeoutSeconds"), DEFAULT_TIMEOUT_SEC) * 1000;
    p->success_threshold = (unsigned)number(spec, SV("successThreshold"), 1);
    p->failure_threshold = (unsigned)number(spec, SV("failureThreshold"), DEFAULT_FAILURES);
    int64_t delay = number(spec, SV("initialDelaySeconds"), 0) * 1000;
    c->probes[kind] = p;
    if (loop_add_timer(c->worker->k->loop, (uint64_t)delay, (uint64_t)p->period_ms, on_period, p,
                       &p->timer, &err) < 0)
        log_error("pod %s/%s: start a probe: %s", c->worker->ns, c->worker->name, err.msg);
}

void probes_start(Container *c)
{
    probes_stop(c);
    for (ProbeKind kind = PROBE_STARTUP; kind <= PROBE_READINESS; kind++)
        probe_start(c, kind);
}

static void probe_stop(Container *c, ProbeKind kind)
{
    Probe *p = TAKE_PTR(c->probes[kind]);
    if (!p)
        return;
    action_free(p->action);
    source_free(p->timer);
    free(p);
}

void probes_stop_but_readiness(Container *c)
{
    probe_stop(c, PROBE_STARTUP);
    probe_stop(c, PROBE_LIVENESS);
}

void probes_stop(Container *c)
{
    for (ProbeKind kind = PROBE_STARTUP; kind <= PROBE_READINESS; kind++)
        probe_stop(c, kind);
}
