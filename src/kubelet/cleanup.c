/* cleanup.c - the end of a pod: everything of it on this node is taken down by a job that may be
 * repeated; then the API server may forget it. */
#include <stdio.h>

#include "base/log.h"
#include "kubelet/internal.h"

enum { STAGE1_END_MS = 20 };

typedef struct CleanupJob {
    Kubelet *k;
    char uid[64];
    Err err;
} CleanupJob;

static void cleanup_work(void *ctx)
{
    CleanupJob *job = ctx;
    if (sandbox_destroy(job->k, job->uid, &job->err) < 0 ||
        log_remove_pod(job->k, job->uid, &job->err) < 0)
        return;
}

static void cleanup_done(void *ctx)
{
    CleanupJob *job = ctx;
    Kubelet *k = job->k;
    Worker *w = worker_of(k, job->uid);
    if (w) {
        w->busy = false;
        if (job->err.code == ERR_NONE)
            w->phase = WORKER_GONE;
        else if (job->err.code != ERR_BUSY)
            log_warn("pod %s/%s: clean up: %s", w->ns, w->name, job->err.msg);
        if (job->err.code == ERR_NONE)
            worker_wake(w);
        else if (job->err.code == ERR_BUSY) /* stage1 has said goodbye but not ended yet */
            worker_wake_in(w, STAGE1_END_MS);
        else
            worker_retry_later(w);
    }
    free(job);
    kubelet_job_done(k);
}

void worker_clean_up(Worker *w)
{
    CleanupJob *job = calloc(1, sizeof *job);
    if (job) {
        job->k = w->k;
        snprintf(job->uid, sizeof job->uid, "%s", w->uid);
        if (kubelet_job(w->k, cleanup_work, cleanup_done, job, NULL) == 0) {
            w->phase = WORKER_CLEANUP;
            w->busy = true;
            return;
        }
    }
    free(job);
    worker_retry_later(w);
}

static void on_deleted_answer(void *ctx, const ApiResult *r)
{
    Worker *w = ctx;
    w->delete_call = NULL;
    if (r->err && r->err->code != ERR_NOT_FOUND && r->err->code != ERR_CONFLICT) {
        w->delete_sent = false;
        worker_retry_later(w);
    }
}

void worker_delete_object(Worker *w)
{
    if (w->delete_sent || w->deleted)
        return;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value options = value_map();
    value_set(&a, &options, SV("gracePeriodSeconds"), value_int(0));
    value_set_path(&a, &options, "preconditions.uid", value_sv(sv_cstr(w->uid)));
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), sv_cstr(w->ns), sv_cstr(w->name), SV_NULL };
    Err err = { 0 };
    if (api_delete(w->k->api, &t, &options, on_deleted_answer, w, &w->delete_call, &err) < 0)
        worker_retry_later(w);
    else
        w->delete_sent = true;
}
