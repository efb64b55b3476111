/* controllers.c - starts the shared informers and the controllers, and hands changes to them. */
#include "controller/controller_internal.h"

/* Of job.c and object.c, for this file only. */
void jobs_free(Controllers *cs);
void job_start(void *ctx, StrView key);
void *doc_new(void *ctx, const Value *obj);
void doc_free(void *projection);

static const ControllerDef *const defs[] = {
    &serviceaccount_controller, &rootca_controller,           &replicaset_controller,
    &replication_controller,    &deployment_controller,       &endpointslice_controller,
    &endpoints_controller,      &namespace_controller,        &garbage_controller,
    &node_controller,           &eviction_controller,         &pod_gc_controller,
    &token_secret_controller,   &endpoints_mirror_controller,
};

_Static_assert(ARRAY_SIZE(defs) <= CONTROLLERS_MAX, "every controller needs its place");

/* ---- changes ---- */

typedef struct Feed { /* an informer's context */
    Controllers *cs;
    KindId kind;
} Feed;

struct Feeds {
    Feed feed[KIND_MAX];
};

static void observe(Feed *f, ApiObject *old, ApiObject *now)
{
    Controllers *cs = f->cs;
    if (!cs->running)
        return;
    for (unsigned i = 0; i < cs->n_controllers; i++)
        cs->controllers[i].def->observe(&cs->controllers[i], f->kind, old, now);
}

static void on_add(void *ctx, ApiObject *o)
{
    observe(ctx, NULL, o);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    observe(ctx, old, now);
}

static void on_delete(void *ctx, ApiObject *last)
{
    observe(ctx, last, NULL);
}

/* Once all are there: everything is looked at, as though it had just been made. */
static void on_informer_synced(void *ctx)
{
    Controllers *cs = ((Feed *)ctx)->cs;
    if (++cs->n_synced < KIND_MAX || cs->running)
        return;
    cs->running = true;
    for (int k = 0; k < KIND_MAX; k++) {
        ApiObject *o;
        for (size_t i = 0; (o = informer_next(cs->informers[k], &i)) != NULL;)
            observe(&cs->feeds->feed[k], NULL, o);
    }
    if (cs->on_synced)
        cs->on_synced(cs->ctx);
}

/* ---- start and end ---- */

static void index_owner(const ApiObject *o, InformerEmit *e)
{
    const Value *ref = obj_controller_ref(o);
    if (ref)
        informer_emit(e, value_str(value_get(ref, SV("uid"))));
}

static void index_ns(const ApiObject *o, InformerEmit *e)
{
    informer_emit(e, o->ns);
}

static void index_node(const ApiObject *o, InformerEmit *e)
{
    StrView node = value_path_str(obj_doc(o), "spec.nodeName");
    if (node.len)
        informer_emit(e, node);
}

static int start_informer(Controllers *cs, KindId kind, Err *err)
{
    const KindInfo *k = &kind_info[kind];
    cs->feeds->feed[kind] = (Feed){ cs, kind };
    InformerConfig cfg = {
        .target = { .group = k->group, .version = k->version, .plural = k->plural },
        .project = doc_new,
        .unproject = doc_free,
        .drop_json = true,
        .indexes = { index_owner, index_ns, index_node },
        .n_indexes = 3,
        .on_add = on_add,
        .on_update = on_update,
        .on_delete = on_delete,
        .on_synced = on_informer_synced,
        .ctx = &cs->feeds->feed[kind]
    };
    if (kind == KIND_ROOT_CA)
        cfg.field_selector = SV("metadata.name=kube-root-ca.crt");
    if (kind == KIND_TOKEN_SECRET) {
        cfg.field_selector = SV("type=kubernetes.io/service-account-token");
        cfg.target.metadata_only = true;
    }
    if (kind == KIND_LEASE)
        cfg.target.ns = SV("kube-node-lease");
    return informer_new(cs->api, &cfg, &cs->informers[kind], err);
}

static int start_controller(Controllers *cs, const ControllerDef *def, Err *err)
{
    Controller *c = &cs->controllers[cs->n_controllers++];
    c->cs = cs;
    c->def = def;
    int r = event_recorder_new(cs->api, sv_cstr(def->name), SV_NULL, &c->events, err);
    if (r < 0 || (r = workqueue_new(cs->loop, def->workers, job_start, c, &c->queue, err)) < 0)
        return r;
    return def->setup ? def->setup(c, err) : 0;
}

static int start(Controllers *cs, Err *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(defs) && r == 0; i++)
        r = start_controller(cs, defs[i], err);
    for (int k = 0; k < KIND_MAX && r == 0; k++)
        r = start_informer(cs, (KindId)k, err);
    return r;
}

int controllers_new(Loop *l, ApiClient *api, StrView root_ca, void (*on_synced)(void *), void *ctx,
                    Controllers **ret, Err *err)
{
    Controllers *cs = calloc(1, sizeof *cs);
    if (!cs || !(cs->feeds = calloc(1, sizeof *cs->feeds))) {
        free(cs);
        return err_nomem(err);
    }
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

Controllers *controllers_free(Controllers *cs)
{
    if (!cs)
        return NULL;
    jobs_free(cs);
    for (unsigned i = 0; i < cs->n_controllers; i++) {
        Controller *c = &cs->controllers[i];
        if (c->def->teardown)
            c->def->teardown(c);
        workqueue_free(c->queue);
        event_recorder_free(c->events);
        free_values(&c->written);
        map_free(&c->doomed);
    }
    for (int k = 0; k < KIND_MAX; k++)
        informer_free(cs->informers[k]);
    buf_free(&cs->root_ca);
    free(cs->feeds);
    free(cs);
    return NULL;
}
