/* controllers.c - starts the controllers over their shared informers, and hands changes to them. */
#include "controller/controller_internal.h"

/* Of job.c, for this file only. */
void jobs_free(Controllers *cs);
void job_start(void *ctx, StrView key);

static const ControllerDef *const defs[] = {
    &serviceaccount_controller, &rootca_controller,           &replicaset_controller,
    &replication_controller,    &deployment_controller,       &endpointslice_controller,
    &endpoints_controller,      &namespace_controller,        &garbage_controller,
    &node_controller,           &eviction_controller,         &pod_gc_controller,
    &token_secret_controller,   &endpoints_mirror_controller,
};

/* ---- changes ---- */

static void on_add(void *ctx, ApiObject *o)
{
    Watching *w = ctx;
    if (w->c->running)
        w->c->def->observe(w->c, w->kind, NULL, o);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    Watching *w = ctx;
    if (w->c->running)
        w->c->def->observe(w->c, w->kind, old, now);
}

static void on_delete(void *ctx, ApiObject *last)
{
    Watching *w = ctx;
    event_forget(w->c->events, last->uid);
    if (w->c->running)
        w->c->def->observe(w->c, w->kind, last, NULL);
}

static void begin(Controller *c)
{
    Controllers *cs = c->cs;
    c->running = true;
    if (++cs->n_running == cs->n_controllers && cs->on_synced)
        cs->on_synced(cs->ctx);
}

/* Once all kinds are there: everything is looked at, as though it had just been made. */
static void on_kind_synced(void *ctx)
{
    Controller *c = ((Watching *)ctx)->c;
    if (++c->n_synced < c->n_watching)
        return;
    begin(c);
    for (unsigned k = 0; k < c->n_watching; k++) {
        const WatchedKind *kind = c->watching[k].kind;
        ApiObject *o;
        for (size_t i = 0; (o = obj_next(c, kind, &i)) != NULL;)
            c->def->observe(c, kind, NULL, o);
    }
}

/* What no later attempt mends by itself is told once; the rest is the informer's business. */
static void on_kind_failed(void *ctx, const Err *why)
{
    Watching *w = ctx;
    bool lasting = why->code == ERR_DENIED || why->code == ERR_NOT_FOUND;
    log_write(lasting && !w->told ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "%s: watch %.*s: %s",
              w->c->def->name, SV_FMT(w->kind->plural), why->msg);
    w->told |= lasting;
}

/* ---- start and end ---- */

static int watch(Controller *c, const WatchedKind *kind, Err *err)
{
    Watching *w = &c->watching[c->n_watching++];
    InformerConfig cfg = watched_config(kind);
    *w = (Watching){ .c = c, .kind = kind };
    cfg.events =
        (InformerEvents){ on_add, on_update, on_delete, on_kind_synced, on_kind_failed, w };
    return informer_join(c->cs->informers, &cfg, &w->use, err);
}

static int start_controller(Controller *c, const ControllerDef *def, Err *err)
{
    Controllers *cs = c->cs;
    c->def = def;
    int r = event_recorder_new(cs->api, sv_cstr(def->name), SV_NULL, &c->events, err);
    if (r == 0)
        r = workqueue_new(cs->loop, def->workers, job_start, c, &c->queue, err);
    if (r == 0)
        workqueue_count(c->queue, api_client_metrics(cs->api), def->queue);
    if (r == 0 && def->setup)
        r = def->setup(c, err);
    for (unsigned i = 0; r == 0 && i < CONTROLLER_KINDS_MAX && def->kinds[i]; i++)
        r = watch(c, def->kinds[i], err);
    return r;
}

static int start(Controllers *cs, Err *err)
{
    int r = informer_set_new(cs->api, &cs->informers, err);
    cs->controllers = calloc(ARRAY_SIZE(defs), sizeof *cs->controllers);
    if (r == 0 && !cs->controllers)
        return err_nomem(err);
    for (size_t i = 0; i < ARRAY_SIZE(defs) && r == 0; i++) {
        Controller *c = &cs->controllers[cs->n_controllers++];
        c->cs = cs;
        r = start_controller(c, defs[i], err);
    }
    for (unsigned i = 0; i < cs->n_controllers && r == 0; i++)
        if (!cs->controllers[i].n_watching)
            begin(&cs->controllers[i]); /* its setup() looks for kinds itself */
    return r;
}

int controllers_new(Loop *l, ApiClient *api, StrView root_ca, void (*on_synced)(void *), void *ctx,
                    Controllers **ret, Err *err)
{
    Controllers *cs = calloc(1, sizeof *cs);
    if (!cs)
        return err_nomem(err);
    cs->loop = l;
    cs->api = api;
    cs->on_synced = on_synced;
    cs->ctx = ctx;
    buf_sv(&cs->root_ca, root_ca);
    int r = cs->root_ca.failed ? err_nomem(err) : start(cs, err);
    if (r < 0) {
        controllers_free(cs);
        return r;
    }
    *ret = cs;
    return 0;
}

static void free_values(Map *m)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(m, &i, &key, &val);)
        free(val);
    map_free(m);
}

static void end_controller(Controller *c)
{
    if (c->def->teardown)
        c->def->teardown(c);
    for (unsigned i = 0; i < c->n_watching; i++)
        informer_leave(c->watching[i].use);
    workqueue_free(c->queue);
    event_recorder_free(c->events);
    free_values(&c->written);
    map_free(&c->doomed);
}

Controllers *controllers_free(Controllers *cs)
{
    if (!cs)
        return NULL;
    jobs_free(cs);
    for (unsigned i = 0; i < cs->n_controllers; i++)
        end_controller(&cs->controllers[i]);
    informer_set_free(cs->informers);
    free(cs->controllers);
    buf_free(&cs->root_ca);
    free(cs);
    return NULL;
}
