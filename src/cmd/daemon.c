/* daemon.c - see daemon.h. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "api/kubeconfig.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/process_stats.h"
#include "cmd/daemon.h"
#include "cmd/watchdog.h"

enum {
    PEM_MAX = 1024 * 1024,
    TRIM_EVERY_MS = 5000,
    TRIM_FROM = 256 * 1024, /* free in the heap, more or less than after the last time */
};

void daemon_init(const char *role)
{
    log_init(role);
    signal(SIGPIPE, SIG_IGN);
}

static void on_stop(void *ctx, int signo)
{
    log_info("stopping on signal %d", signo);
    loop_stop(ctx);
}

static void say_alive(void *ctx)
{
    notify_ping("WATCHDOG=1");
}

int daemon_open(Daemon *d, Err *err)
{
    int r = loop_new(&d->loop, err);
    if (r == 0)
        r = loop_add_signal(d->loop, SIGTERM, on_stop, d->loop, &d->term, err);
    if (r == 0)
        r = loop_add_signal(d->loop, SIGINT, on_stop, d->loop, &d->intr, err);
    if (r == 0 && getenv("NOTIFY_SOCKET"))
        r = loop_add_timer(d->loop, WATCHDOG_PING_MS, WATCHDOG_PING_MS, say_alive, NULL, &d->alive,
                           err);
    return r;
}

static int reload_api(ApiClient *client, const char *kubeconfig, Err *err)
{
    KubeConfig cfg = { 0 };
    int r = kube_config_load(kubeconfig, NULL, &cfg, err);
    if (r == 0)
        r = api_client_reload(client, &cfg, err);
    kube_config_free(&cfg);
    return r;
}

static void on_reload(void *ctx, int signo)
{
    (void)signo;
    Daemon *d = ctx;
    Err err = { 0 };
    int r = 0;
    for (unsigned i = 0; i < d->n_apis && r == 0; i++)
        r = reload_api(d->apis[i].client, d->apis[i].kubeconfig, &err);
    if (r == 0 && d->reload)
        r = d->reload(d->reload_ctx, &err);
    if (r < 0)
        log_error("read the certificates again: %s; going on with the old ones", err.msg);
    else
        log_info("read the certificates again");
}

static int watch_reload(Daemon *d, Err *err)
{
    return d->hup ? 0 : loop_add_signal(d->loop, SIGHUP, on_reload, d, &d->hup, err);
}

int daemon_on_reload(Daemon *d, int (*fn)(void *ctx, Err *err), void *ctx, Err *err)
{
    d->reload = fn;
    d->reload_ctx = ctx;
    return watch_reload(d, err);
}

int daemon_run(Daemon *d, Err *err)
{
    return loop_run(d->loop, err);
}

void daemon_close(Daemon *d)
{
    d->term = source_free(d->term);
    d->intr = source_free(d->intr);
    d->alive = source_free(d->alive);
    d->hup = source_free(d->hup);
    d->trim = source_free(d->trim);
    d->loop = loop_free(d->loop);
    for (unsigned i = 0; i < d->n_apis; i++)
        metrics_free(d->apis[i].metrics);
}

int daemon_exit(int r, const Err *err)
{
    if (r < 0)
        log_error("%s", err->msg);
    return r < 0 ? 1 : 0;
}

int daemon_read_pem(const char *path, Buf *out, Err *err)
{
    if (!path)
        return 0;
    int r = file_read(AT_FDCWD, path, PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "read '%s'", path) : 0;
}

Metrics *daemon_metrics_new(void)
{
    Metrics *m = metrics_new();
    process_stats_register(m);
    return m;
}

int daemon_open_api(Daemon *d, const char *kubeconfig, ApiClient **ret, Err *err)
{
    KubeConfig cfg = { 0 };
    ASSERT(d->n_apis < DAEMON_APIS_MAX);
    int r = kube_config_load(kubeconfig, NULL, &cfg, err);
    if (r == 0)
        r = api_client_new(d->loop, &cfg, ret, err);
    kube_config_free(&cfg);
    if (r < 0)
        return r;
    d->apis[d->n_apis].client = *ret;
    d->apis[d->n_apis].metrics = daemon_metrics_new();
    api_client_count(*ret, d->apis[d->n_apis].metrics);
    d->apis[d->n_apis++].kubeconfig = kubeconfig;
    return watch_reload(d, err);
}

/* What was given back still counts as free: only news is worth another walk. */
static void trim(void *ctx)
{
    Daemon *d = ctx;
    size_t free_now = mallinfo2().fordblks;
    size_t news = free_now > d->trimmed_to ? free_now - d->trimmed_to : d->trimmed_to - free_now;
    if (news < TRIM_FROM)
        return;
    malloc_trim(0);
    d->trimmed_to = mallinfo2().fordblks;
}

int daemon_return_memory(Daemon *d, Err *err)
{
    return loop_add_timer(d->loop, TRIM_EVERY_MS, TRIM_EVERY_MS, trim, d, &d->trim, err);
}

void daemon_progress(void *ctx)
{
    notify_ping("EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1");
}

void daemon_ready(void *ctx)
{
    notify_send("READY=1");
    log_info("ready");
}
