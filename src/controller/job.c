/* job.c - one reconcile under way: its calls, its end, and the wait for the informers to catch up.
 */
#include "controller/controller_internal.h"

enum {
    CATCH_UP_MS =
        30 * 1000, /* after so long without the expected event the cache is trusted again */
    CATCH_UP_POLL_MS = 50,
    JOB_ARENA_MAX = 64 * 1024 * 1024,
};

typedef struct JobCall {
    Job *job;
    ApiCall *call;
    JobDoneFn *done;
    void *arg;
    const WatchedKind *kind;
    bool is_delete, is_write;
    struct JobCall *next;
} JobCall;

typedef struct Written {
    uint64_t revision[CONTROLLER_KINDS_MAX]; /* beside the controller's kinds */
    int64_t deadline_ns;
} Written;

static void job_free(Job *j)
{
    Controllers *cs = j->c->cs;
    for (JobCall *call = (JobCall *)j->calls; call; call = call->next)
        call->call = api_call_cancel(call->call);
    if (j->prev)
        j->prev->next = j->next;
    else
        cs->jobs = j->next;
    if (j->next)
        j->next->prev = j->prev;
    arena_free(&j->arena);
    free(j);
}

void jobs_free(Controllers *cs);
void jobs_free(Controllers *cs)
{
    while (cs->jobs)
        job_free(cs->jobs);
}

static void job_put(Job *j)
{
    if (--j->pending)
        return;
    workqueue_finish(j->c->queue, j->key, !j->failed);
    job_free(j);
}

/* Whether the informers have seen what the last job for this key wrote. */
static bool caught_up(Controller *c, StrView key)
{
    Written *w = map_get(&c->written, key);
    if (!w)
        return true;
    bool behind = false;
    for (unsigned k = 0; k < c->n_watching && !behind; k++) {
        const Informer *inf = informer_of(c->watching[k].use);
        uint64_t seen = 0;
        if (w->revision[k] &&
            (sv_to_u64(informer_resource_version(inf), &seen) < 0 || seen < w->revision[k]))
            behind = true;
    }
    if (behind && clock_mono_ns() < w->deadline_ns)
        return false;
    free(map_del(&c->written, key));
    return true;
}

static void note_written(Controller *c, StrView key, const WatchedKind *kind, const Value *body)
{
    uint64_t revision;
    unsigned k = 0;
    while (k < c->n_watching && c->watching[k].kind != kind)
        k++;
    if (k == c->n_watching ||
        sv_to_u64(value_path_str(body, "metadata.resourceVersion"), &revision) < 0)
        return;
    Written *w = map_get(&c->written, key);
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || !map_set(&c->written, key, w, NULL)) {
            free(w);
            return;
        }
    }
    w->revision[k] = MAX(w->revision[k], revision);
    w->deadline_ns = clock_mono_ns() + CATCH_UP_MS * NSEC_PER_MSEC;
}

void job_start(void *ctx, StrView key);
void job_start(void *ctx, StrView key)
{
    Controller *c = ctx;
    if (!caught_up(c, key)) {
        workqueue_add_after(c->queue, key, CATCH_UP_POLL_MS);
        workqueue_done(c->queue, key);
        return;
    }
    Job *j = calloc(1, sizeof *j);
    if (!j) {
        workqueue_finish(c->queue, key, false);
        return;
    }
    *j = (Job){ .c = c, .key = key, .pending = 1, .next = c->cs->jobs };
    arena_init(&j->arena, JOB_ARENA_MAX);
    if (j->next)
        j->next->prev = j;
    c->cs->jobs = j;
    if (!sv_cut(key, '/', &j->ns, &j->name)) {
        j->name = key;
        j->ns = SV_NULL;
    }
    c->def->reconcile(j);
    job_put(j);
}

void job_fail(Job *j)
{
    j->failed = true;
}

void job_again(Job *j, uint64_t delay_ms)
{
    workqueue_add_after(j->c->queue, j->key, delay_ms);
}

static void on_done(void *ctx, const ApiResult *r)
{
    JobCall *call = ctx;
    Job *j = call->job;
    call->call = NULL;
    bool gone = call->is_delete && r->err && r->err->code == ERR_NOT_FOUND;
    if (!r->err && call->is_write && call->kind)
        note_written(j->c, j->key, call->kind, r->body);
    bool handled = call->done && call->done(j, r, call->arg);
    if (r->err && !handled && !gone) {
        bool usual = r->err->code == ERR_CONFLICT || r->err->code == ERR_EXISTS;
        log_write(usual ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "%s: %.*s: %s", j->c->def->name,
                  SV_FMT(j->key), r->err->msg);
        job_fail(j);
    }
    job_put(j);
}

void job_call(Job *j, const JobRequest *req)
{
    JobCall *call = arena_new(&j->arena, JobCall);
    if (!call) {
        job_fail(j);
        return;
    }
    *call = (JobCall){ .job = j,
                       .done = req->done,
                       .arg = req->arg,
                       .kind = req->kind,
                       .is_delete = sv_eq(req->method, SV("DELETE")),
                       .is_write = sv_starts(req->method, SV("P")),
                       .next = (JobCall *)j->calls };
    ApiRequest api = { .method = req->method,
                       .target = req->target,
                       .query = req->query,
                       .body = req->body,
                       .content_type = req->content_type,
                       .raw_path = req->raw_path,
                       .accept = req->accept,
                       .done = on_done,
                       .ctx = call };
    if (!api.target.plural.len && req->kind) {
        api.target.group = req->kind->group;
        api.target.version = req->kind->version;
        api.target.plural = req->kind->plural;
    }
    Err err = { 0 };
    if (api_request(j->c->cs->api, &api, &call->call, &err) < 0) {
        log_warn("%s: %.*s: %s", j->c->def->name, SV_FMT(j->key), err.msg);
        job_fail(j);
        return;
    }
    j->calls = (struct JobCall *)call;
    j->pending++;
}

void job_get(Job *j, const WatchedKind *kind, StrView ns, StrView name, JobDoneFn *done, void *arg)
{
    job_call(j, &(JobRequest){ .method = SV("GET"),
                               .kind = kind,
                               .target = { .ns = ns, .name = name },
                               .done = done,
                               .arg = arg });
}

void job_create(Job *j, const WatchedKind *kind, const Value *body, JobDoneFn *done, void *arg)
{
    job_call(j, &(JobRequest){ .method = SV("POST"),
                               .kind = kind,
                               .body = body,
                               .done = done,
                               .arg = arg,
                               .target.ns = value_path_str(body, "metadata.namespace") });
}

void job_update(Job *j, const WatchedKind *kind, StrView subresource, const Value *body)
{
    job_call(j, &(JobRequest){ .method = SV("PUT"),
                               .kind = kind,
                               .body = body,
                               .target = { .ns = value_path_str(body, "metadata.namespace"),
                                           .name = value_path_str(body, "metadata.name"),
                                           .subresource = subresource } });
}

void job_delete(Job *j, const WatchedKind *kind, const ApiObject *o, StrView propagation,
                JobDoneFn *done, void *arg)
{
    Value options = value_map();
    if (!value_set_path(&j->arena, &options, "preconditions.uid", value_sv(o->uid)) ||
        !value_set(&j->arena, &options, SV("propagationPolicy"), value_sv(propagation))) {
        job_fail(j);
        return;
    }
    job_call(j, &(JobRequest){ .method = SV("DELETE"),
                               .kind = kind,
                               .body = &options,
                               .done = done,
                               .arg = arg,
                               .target = { .ns = o->ns, .name = o->name } });
}

void job_patch(Job *j, const WatchedKind *kind, const ApiObject *o, StrView subresource,
               StrView content_type, Value *patch)
{
    Arena *a = &j->arena;
    bool merge = sv_eq(content_type, API_PATCH_MERGE);
    if (!value_set_path(a, patch, "metadata.uid", value_sv(o->uid)) ||
        (merge &&
         !value_set_path(a, patch, "metadata.resourceVersion", value_sv(o->resource_version)))) {
        job_fail(j);
        return;
    }
    job_call(j, &(JobRequest){
                    .method = SV("PATCH"),
                    .kind = kind,
                    .body = patch,
                    .content_type = content_type,
                    .target = { .ns = o->ns, .name = o->name, .subresource = subresource } });
}
