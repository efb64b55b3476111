/* loops.c - one loop per core.
 *
 * The first loop is the caller's. It listens and hands each connection to the loop that has fewest
 * of them: the kernel's own way to spread them (SO_REUSEPORT) goes by a hash, which does badly with
 * the few connections that live for days in a cluster. A connection stays where it is. They are
 * counted in groups of four, since few clients are served with less by one loop, which finds
 * several requests at a wake-up, than by many that find one each.
 *
 * The end: the store's news are taken back first, so that nobody wakes a hub any more. Then the
 * first loop closes its listener, so that no connection comes, and each of the others its
 * connections, on its own thread: every call hears that its peer has gone. What a call has given to
 * the store or to the pool comes back as a task on its loop: a loop ends when the store has
 * answered and the tasks have run (loop_free() waits for the pool); those of the first run when its
 * owner next runs it. Only then go the parts that the loops share. */
#include "apiserver/loops.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "apiserver/authn.h"
#include "apiserver/backend.h"
#include "apiserver/handlers.h"
#include "apiserver/hub.h"
#include "apiserver/services.h"

enum {
    BODIES_MAX = 128 * 1024 * 1024,
    STACK_BYTES = 512 * 1024, /* documents nest JSON_DEPTH_LIMIT deep */
    ASK_EVERY_MS = 5 * 1000,
    SILENT_MAX = 12,
    GROUP = 4,
};

/* As many as processors may be used: a container is often given fewer than the machine has. */
static unsigned count_loops(unsigned wanted)
{
    cpu_set_t set;
    unsigned n = wanted;
    if (!n && sched_getaffinity(0, sizeof set, &set) == 0)
        n = (unsigned)CPU_COUNT(&set);
    return MAX(1u, MIN(n, (unsigned)API_LOOPS_MAX));
}

/* HttpServerConfig.spread */
static HttpServer *fewest_connections(void *ctx)
{
    ApiServer *srv = ((ApiLoop *)ctx)->srv;
    HttpServer *best = srv->loops[0].http;
    for (unsigned i = 1; i < srv->n_loops; i++)
        if (http_server_open(srv->loops[i].http) / srv->group < http_server_open(best) / srv->group)
            best = srv->loops[i].http;
    return best;
}

static int make_tls(const ApiServerConfig *cfg, TlsContext **ret, Err *err)
{
    TlsConfig tls = { .cert_chain = cfg->cert_chain,
                      .key = cfg->key,
                      .ca = cfg->client_ca,
                      .client_auth = TLS_CLIENT_ASK,
                      .alpn_h2 = true };
    return tls_context_new_server(&tls, ret, err);
}

/* ---- one loop ---- */

static int make_hub(ApiLoop *on, Err *err)
{
    ApiServer *srv = on->srv;
    const HubSubscriber subscribers[] = {
        { SV(""), SV("Service"), services_event, srv->services },
    };
    bool first = on == srv->loops;
    return hub_new(on, subscribers, first ? ARRAY_SIZE(subscribers) : 0, &on->hub, err);
}

static int listen_or_adopt(ApiLoop *on, const ApiServerConfig *cfg, TlsContext *tls, Err *err)
{
    ApiServer *srv = on->srv;
    bool first = on == srv->loops;
    HttpServerConfig http = { .tls = tls,
                              .handler = route_request,
                              .ctx = on,
                              .body_max = BODY_MAX,
                              .arena_limit = cfg->arena_limit,
                              .ended = api_metrics_ended,
                              .bodies = &srv->bodies,
                              .conns_max = HTTP_CONNS_MAX / srv->n_loops,
                              .spread = fewest_connections,
                              .streams = route_streams };
    return first ? http_server_new(on->loop, cfg->listen, &http, &on->http, err)
                 : http_server_new_adopting(on->loop, &http, &on->http, err);
}

/* All but the listener of the first, which comes when everything is there. */
static int make_parts(ApiLoop *on, const ApiServerConfig *cfg, const BackendTls *backends,
                      TlsContext *tls, Err *err)
{
    int r;
    if (on != on->srv->loops &&
        ((r = loop_new(&on->loop, err)) < 0 || (r = listen_or_adopt(on, cfg, tls, err)) < 0))
        return r;
    if ((r = make_hub(on, err)) < 0)
        return r;
    return backends_new(backends, cfg->advertise_address, &on->backends, err);
}

static void stop(void *ctx)
{
    ApiLoop *on = ctx;
    loop_stop(on->loop);
}

/* What the store has given back is dealt with: the peers are gone. */
static void run_tasks(ApiLoop *on)
{
    on->end = (LoopTask){ .fn = stop, .ctx = on };
    loop_post_task(on->loop, &on->end); /* behind all others */
    Err err = { 0 };
    int r = loop_run(on->loop, &err);
    ASSERT_MSG(r == 0, "%s", err.msg);
}

static void free_parts(ApiLoop *on)
{
    bool own = on != on->srv->loops;
    on->http = http_server_free(on->http);
    store_wait(on->srv->store);
    if (on->loop && own)
        run_tasks(on);
    on->backends = backends_free(on->backends);
    on->hub = hub_free(on->hub);
    on->openapi = openapi_cache_free(on->openapi);
    if (own)
        on->loop = loop_free(on->loop);
}

static void *loop_main(void *arg)
{
    ApiLoop *on = arg;
    Err err = { 0 };
    int r = loop_run(on->loop, &err); /* the hub's timer keeps it running */
    ASSERT_MSG(r == 0, "%s", err.msg);
    free_parts(on);
    return NULL;
}

/* ---- all of them ---- */

/* Signals are the first loop's. */
static int start_threads(ApiServer *srv, Err *err)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int code = 0;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; i < srv->n_loops && code == 0; i++) {
        ApiLoop *on = &srv->loops[i];
        code = pthread_create(&on->thread, &attr, loop_main, on);
        on->runs = code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return code ? err_set(err, ERR_SYS, code, "start a thread that serves requests") : 0;
}

static void answer(void *ctx)
{
    ApiLoop *on = ctx;
    atomic_store(&on->answers, true);
}

/* Whoever watches this process (sd_notify) hears of the first loop alone. That one answers for the
 * others: a server of which a part hangs ends, and is started again. */
static void ask_loops(void *ctx)
{
    ApiServer *srv = ctx;
    for (unsigned i = 1; i < srv->n_loops; i++) {
        ApiLoop *on = &srv->loops[i];
        if (atomic_exchange(&on->answers, false)) {
            on->silent = 0;
            on->question = (LoopTask){ .fn = answer, .ctx = on };
            loop_post_task(on->loop, &on->question);
        }
        ASSERT_MSG(on->silent++ < SILENT_MAX, "loop %u has said nothing for %d s", i,
                   SILENT_MAX * ASK_EVERY_MS / 1000);
    }
}

/* StoreConfig's, on the writer's thread. */
static void on_publish(void *ctx)
{
    ApiServer *srv = ctx;
    for (unsigned i = 0; i < srv->n_loops; i++)
        hub_wake(srv->loops[i].hub);
}

static int make_all(ApiServer *srv, const ApiServerConfig *cfg, TlsContext *tls,
                    const BackendTls *backends, Err *err)
{
    int r = 0;
    for (unsigned i = 0; i < srv->n_loops && r == 0; i++)
        r = make_parts(&srv->loops[i], cfg, backends, tls, err);
    return r == 0 ? listen_or_adopt(&srv->loops[0], cfg, tls, err) : r;
}

int api_loops_new(ApiServer *srv, Loop *first, const ApiServerConfig *cfg, Err *err)
{
    TlsContext *tls = NULL;
    BackendTls backends;
    srv->n_loops = count_loops(cfg->loops);
    srv->group = cfg->group ? cfg->group : GROUP;
    for (unsigned i = 0; i < srv->n_loops; i++) {
        srv->loops[i].srv = srv;
        atomic_init(&srv->loops[i].answers, true);
    }
    srv->loops[0].loop = first;
    srv->bodies.max = BODIES_MAX;
    srv->bodies.preferred = authn_is_own_role;
    int r = make_tls(cfg, &tls, err);
    if (r < 0)
        return r;
    if ((r = backend_tls_new(cfg, &backends, err)) == 0)
        r = make_all(srv, cfg, tls, &backends, err);
    tls_context_unref(tls);
    backend_tls_free(&backends);
    if (r < 0)
        return r;
    store_on_publish(srv->store, on_publish, srv);
    on_publish(srv); /* of what came since the hubs were made */
    if (srv->n_loops > 1 && (r = loop_add_timer(first, ASK_EVERY_MS, ASK_EVERY_MS, ask_loops, srv,
                                                &srv->questions, err)) < 0)
        return r;
    return start_threads(srv, err);
}

void api_loops_free(ApiServer *srv)
{
    if (!srv->n_loops)
        return;
    store_on_publish(srv->store, NULL, NULL);
    srv->questions = source_free(srv->questions);
    srv->loops[0].http = http_server_free(srv->loops[0].http);
    for (unsigned i = 1; i < srv->n_loops; i++) {
        ApiLoop *on = &srv->loops[i];
        on->end = (LoopTask){ .fn = stop, .ctx = on };
        if (on->runs)
            loop_post_task(on->loop, &on->end);
    }
    for (unsigned i = 1; i < srv->n_loops; i++) {
        if (srv->loops[i].runs)
            pthread_join(srv->loops[i].thread, NULL);
        else
            free_parts(&srv->loops[i]);
    }
    free_parts(&srv->loops[0]);
}

/* ---- new certificates ---- */

/* On its way to a loop; with references of its own. */
typedef struct Reload {
    LoopTask task;
    ApiLoop *on;
    TlsContext *tls, *kubelet;
} Reload;

static void reload(void *ctx)
{
    Reload *l = ctx;
    http_server_set_tls(l->on->http, l->tls);
    backends_reload(l->on->backends, l->kubelet);
    tls_context_unref(l->tls);
    tls_context_unref(l->kubelet);
    free(l);
}

int api_loops_reload(ApiServer *srv, const ApiServerConfig *cfg, Err *err)
{
    Reload *each[API_LOOPS_MAX] = { NULL };
    TlsContext *tls = NULL, *kubelet = NULL;
    int r = make_tls(cfg, &tls, err);
    if (r == 0)
        r = backend_tls_kubelet(cfg, &kubelet, err);
    for (unsigned i = 0; i < srv->n_loops && r == 0; i++)
        if (!(each[i] = malloc(sizeof *each[i])))
            r = err_nomem(err);
    for (unsigned i = 0; i < srv->n_loops; i++) {
        Reload *l = each[i];
        if (r < 0) {
            free(l);
            continue;
        }
        *l = (Reload){ .task = { .fn = reload, .ctx = l },
                       .on = &srv->loops[i],
                       .tls = tls_context_ref(tls),
                       .kubelet = tls_context_ref(kubelet) };
        if (i == 0)
            reload(l);
        else /* before any connection that is accepted from now on */
            loop_post_task(l->on->loop, &l->task);
    }
    tls_context_unref(tls);
    tls_context_unref(kubelet);
    return r;
}
