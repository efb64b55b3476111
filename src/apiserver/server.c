/* server.c - the parts of an API server, from start to end. */
#include <malloc.h>

#include "apiserver/authz.h"
#include "apiserver/handlers.h"
#include "apiserver/heavy.h"
#include "apiserver/loops.h"
#include "apiserver/object.h"
#include "apiserver/services.h"
#include "apiserver/token.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    /* Long enough for watches that read late after a burst: 20,000 updates of objects of 4 kB,
     * whose old versions are kept as what they differ in, or 4,000 deletions. */
    HISTORY_BYTES = 16 * 1024 * 1024,
    TRIM_EVERY_MS = 15 * 1000,
    TRIM_FROM = 8 * 1024 * 1024,  /* free in the heap */
    TRIM_FROM_QUIET = 512 * 1024, /* the same, while hardly anything is written */
    QUIET_WRITES = 32,            /* between two looks */
    FINISH_SEC = 5,
    FINISH_LOOK_MS = 5,
};

uint16_t apiserver_port(const ApiServer *s)
{
    return http_server_port(s->loops[0].http);
}

StoreConfig apiserver_store_config(ApiKinds *kinds)
{
    StoreConfig cfg = object_store_config(kinds);
    cfg.history_bytes = HISTORY_BYTES;
    cfg.marks = rbac_marks;
    return cfg;
}

/* What a burst left behind in the heap goes back to the machine. That takes long in a large heap: a
 * busy server does it for much, a quiet one for little. */
static void give_memory_back(void *ctx)
{
    ApiServer *s = ctx;
    uint64_t rev = store_revision(s->store);
    bool quiet = rev - s->trim_rev < QUIET_WRITES;
    size_t free_now = mallinfo2().fordblks, was = s->trimmed_to;
    s->trim_rev = rev;
    if (free_now < was + (quiet ? TRIM_FROM_QUIET : TRIM_FROM) && free_now + TRIM_FROM_QUIET > was)
        return;
    malloc_trim(0);
    s->trimmed_to = mallinfo2().fordblks; /* what was given back still counts as free */
}

static int start_parts(ApiServer *s, Loop *loop, const ApiServerConfig *cfg, Err *err)
{
    int r;
    if (!(s->heavy = heavy_queue_new()))
        return err_nomem(err);
    if ((r = token_signer_new(cfg->token_key, cfg->issuer, &s->tokens, err)) < 0 ||
        (r = rbac_new(s->store, &s->rbac, err)) < 0 ||
        (r = services_new(s->store, cfg->service_cidr,
                          cfg->node_port_min ? cfg->node_port_min : 30000,
                          cfg->node_port_max ? cfg->node_port_max : 32767, &s->services, err)) <
            0 ||
        (r = bootstrap_objects(s, cfg, err)) < 0 || (r = services_repair(s->store, err)) < 0 ||
        (r = loop_add_timer(loop, TRIM_EVERY_MS, TRIM_EVERY_MS, give_memory_back, s,
                            &s->housekeeping, err)) < 0)
        return r;
    return api_loops_new(s, loop, cfg, err);
}

static int enable_plugins(ApiServer *s, StrView names, Err *err)
{
    StrView name;
    while (sv_next(&names, ',', &name)) {
        if (!sv_eq(name, SV("DenyServiceExternalIPs")))
            return err_set(err, ERR_INVALID, 0,
                           "--enable-admission-plugins: '%.*s': expected DenyServiceExternalIPs",
                           SV_FMT(sv_head(name, 60)));
        s->deny_external_ips = true;
    }
    return 0;
}

int apiserver_new(Loop *loop, const ApiServerConfig *cfg, ApiServer **ret, Err *err)
{
    ApiServer *s = calloc(1, sizeof *s);
    char *ca = strndup(cfg->client_ca.ptr, cfg->client_ca.len),
         *node = strndup(cfg->control_plane_node.ptr ? cfg->control_plane_node.ptr : "",
                         cfg->control_plane_node.len);
    if (!s || !ca || !node) {
        free(s);
        free(ca);
        free(node);
        return err_nomem(err);
    }
    s->store = cfg->store;
    s->kinds = api_kinds_ref(cfg->kinds);
    s->client_ca = sv_cstr(ca);
    s->control_plane_node = sv_cstr(node);
    s->advertise_port = cfg->advertise_port;
    api_metrics_init(&s->metrics, cfg->metrics);
    int r = enable_plugins(s, cfg->admission_plugins, err);
    if (r < 0 || (r = start_parts(s, loop, cfg, err)) < 0) {
        apiserver_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int apiserver_reload(ApiServer *s, const ApiServerConfig *cfg, Err *err)
{
    return api_loops_reload(s, cfg, err);
}

static void look_whether_finished(void *ctx)
{
    ApiServer *s = ctx;
    if (atomic_load(&s->under_way) <= 0 || clock_mono_ns() >= s->finish_by)
        loop_stop(s->loops[0].loop);
}

/* A request is counted before it looks at `finishing`: it is waited for, or it has seen that. */
void apiserver_finish(ApiServer *s)
{
    Source *look = NULL;
    Err err = { 0 };
    atomic_store(&s->finishing, true);
    s->finish_by = clock_mono_ns() + FINISH_SEC * NSEC_PER_SEC;
    if (loop_add_timer(s->loops[0].loop, 1, FINISH_LOOK_MS, look_whether_finished, s, &look, &err) <
            0 ||
        loop_run(s->loops[0].loop, &err) < 0)
        log_warn("not all requests are answered before the end: %s", err.msg);
    source_free(look);
}

ApiServer *apiserver_free(ApiServer *s)
{
    if (!s)
        return NULL;
    source_free(s->housekeeping);
    api_loops_free(s);
    heavy_queue_close(s->heavy);
    services_free(s->services);
    rbac_free(s->rbac);
    token_signer_free(s->tokens);
    api_kinds_unref(s->kinds);
    free((char *)s->client_ca.ptr);
    free((char *)s->control_plane_node.ptr);
    free(s);
    return NULL;
}
