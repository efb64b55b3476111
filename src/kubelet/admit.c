/* admit.c - whether a pod is begun at all, and for how long it may be active. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "kubelet/internal.h"

/* As the kubelet rejects a pod at its admission: it has failed. */
static void reject(Worker *w, const char *reason, const Err *err)
{
    w->rejected = w->terminal = true;
    w->terminal_phase = SV("Failed");
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    snprintf(w->message, sizeof w->message, "Pod was rejected: %.480s", err->msg);
    worker_event(w, NULL, SV("Warning"), sv_cstr(reason), "%s", w->message);
}

/* What this node cannot do it will not be able to do for the next replica either: the pod stays,
 * pending, and its containers say why. */
static void refuse(Worker *w, const Err *err)
{
    w->refused = true;
    snprintf(w->message, sizeof w->message, "%s", err->msg);
    for (unsigned i = 0; i < w->n_containers; i++) {
        Container *c = w->containers[i];
        snprintf(c->reason, sizeof c->reason, "CreateContainerConfigError");
        snprintf(c->message, sizeof c->message, "%s", err->msg);
    }
    worker_event(w, NULL, SV("Warning"), SV("UnsupportedField"), "%s", err->msg);
}

bool pod_admit(Worker *w)
{
    Err err = { 0 };
    if (sysctls_check(&w->pod, &err) < 0)
        reject(w, "SysctlForbidden", &err);
    else if (support_check(&w->pod, &err) < 0)
        refuse(w, &err);
    else
        return true;
    return false;
}

/* ---- spec.activeDeadlineSeconds ---- */

/* Wall clock ns. */
static int64_t active_since(const Worker *w)
{
    int64_t since = w->started_at;
    return rfc3339_parse(value_path_str(&w->pod, "status.startTime"), &since) == 0 ? since
                                                                                   : w->started_at;
}

void pod_watch_deadline(Worker *w)
{
    int64_t seconds = value_int_or(value_path(&w->pod, "spec.activeDeadlineSeconds"), 0);
    int64_t since = active_since(w), left;
    Err err = { 0 };
    if (seconds <= 0 || !since || w->terminal)
        return;
    left = seconds - (clock_real_ns() - since) / NSEC_PER_SEC;
    if (left > 0) {
        uint64_t ms = (uint64_t)MIN(left, (int64_t)INT32_MAX) * 1000;
        if ((w->deadline
                 ? source_set_timer(w->deadline, ms, 0, &err)
                 : loop_add_timer(w->k->loop, ms, 0, worker_sync, w, &w->deadline, &err)) < 0)
            log_error("pod %s/%s: set a timer: %s", w->ns, w->name, err.msg);
        return;
    }
    w->terminal = true;
    w->terminal_phase = SV("Failed");
    snprintf(w->reason, sizeof w->reason, "DeadlineExceeded");
    snprintf(w->message, sizeof w->message,
             "Pod was active on the node longer than the specified deadline");
    worker_event(w, NULL, SV("Normal"), SV("DeadlineExceeded"), "%s", w->message);
}
