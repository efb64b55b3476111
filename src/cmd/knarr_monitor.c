/* knarr_monitor.c - main() of knarr-monitor: Prometheus.
 *
 * The web server is up first, so that /-/ready can say that the log is being replayed, which goes
 * on on a pool thread. Once a minute another one looks after the database. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/daemon.h"
#include "cmd/monitor_args.h"
#include "monitor/parts/parts.h"

enum {
    MAINTAIN_MS = 60 * 1000,
    THREADS_MIN = 4,  /* queries at once, on the smallest machine */
    THREADS_MORE = 4, /* upkeep, passwords, files: behind nobody */
    READS_MAX = 32,   /* remote reads at once, whatever the flag says */
    EXEMPLARS_MAX = 100000,
    LARGE_BLOCK = 1024 * 1024,
};

typedef struct Program {
    Daemon daemon;
    const MonitorArgs *args;
    PromqlEngine *engine;
    MonitorParts *parts;
    Web *web;
    Tsdb *db;
    TsdbOptions db_options;
    Source *maintain, *hangup;
    bool maintaining, failed, stopping;
    Err err; /* of work on the pool thread */
} Program;

/* ---- the database ---- */

static void open_work(void *ctx)
{
    Program *p = ctx;
    p->failed = tsdb_open(&p->db_options, &p->db, &p->err) < 0;
}

static void note_queries(Program *p)
{
    _cleanup_buf_ Buf unfinished = BUF_INIT;
    Err err = { 0 };
    if (promql_engine_note(p->engine, sv_cstr(p->args->db_dir), &unfinished, &err) < 0)
        log_warn("queries that run are not noted: %s", err.msg);
    else if (unfinished.len)
        log_warn("these queries did not finish in the last run: %.*s",
                 SV_FMT(buf_view(&unfinished)));
}

static void open_done(void *ctx)
{
    Program *p = ctx;
    if (p->stopping) /* the signal came while the log was replayed */
        return;
    if (!p->failed)
        note_queries(p);
    if (!p->failed)
        p->failed = monitor_parts_start(p->parts, p->db, web_external_url(p->web), &p->err) < 0;
    if (p->failed) {
        loop_stop(p->daemon.loop);
        return;
    }
    web_set_ready(p->web, p->db);
    daemon_ready(NULL);
}

static void maintain_work(void *ctx)
{
    Program *p = ctx;
    Err err = { 0 };
    if (tsdb_maintain(p->db, clock_real_ns() / NSEC_PER_MSEC, &err) < 0)
        log_error("database: %s", err.msg);
    malloc_trim(0); /* what a cut head, a reload or a large query left behind */
}

static void maintain_done(void *ctx)
{
    ((Program *)ctx)->maintaining = false;
}

static void on_maintain(void *ctx)
{
    Program *p = ctx;
    Err err = { 0 };
    if (p->maintaining || !p->db)
        return;
    p->maintaining = true;
    if (loop_work(p->daemon.loop, maintain_work, maintain_done, p, &err) < 0) {
        p->maintaining = false;
        log_error("database: %s", err.msg);
    }
}

static void db_options(const MonitorArgs *a, TsdbOptions *ret)
{
    *ret = (TsdbOptions){ .dir = a->db_dir,
                          .block_ms = a->block_min.value,
                          .block_max_ms = a->block_max.value,
                          .retention_ms = a->retention.value,
                          .retention_bytes = (uint64_t)a->retention_bytes.value,
                          .exemplars_max = a->exemplars ? EXEMPLARS_MAX : 0,
                          .wal_compress = a->wal_compress,
                          .wal_segment_bytes = (uint32_t)a->segment_bytes.value,
                          .no_lock = a->no_lock };
    /* Bounded by size alone, as Prometheus does it. */
    if (!a->retention.value && a->retention_bytes.value)
        ret->retention_ms = INT64_MAX / 4;
}

/* ---- the program ---- */

static void reload(void *ctx)
{
    Program *p = ctx;
    Err err = { 0 };
    bool ok = monitor_parts_reload(p->parts, &err) == 0;
    web_reloaded(p->web, ok);
    if (!ok)
        log_error("reload: %s", err.msg);
}

static void on_hangup(void *ctx, int signo)
{
    reload(ctx);
}

static int watch_config(Program *p, const MonitorArgs *a, Err *err)
{
    if (!a->auto_reload || !*a->config_file)
        return 0;
    log_info("the configuration is looked at every %s", a->auto_reload_interval.text);
    return monitor_parts_watch(p->parts, a->auto_reload_interval.value, reload, p, err);
}

static StrView retention_text(Program *p, const MonitorArgs *a, Arena *arena)
{
    const char *time = a->retention.text, *bytes = a->retention_bytes.text;
    if (time && bytes)
        return arena_printf(arena, "%s or %s", time, bytes);
    return sv_cstr(time ? time : bytes ? bytes : "15d");
}

/* More queries at once than the machine has threads for would only take turns. */
static unsigned query_threads(const MonitorArgs *a)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return (unsigned)MIN(a->query_concurrency, (uint64_t)MAX(THREADS_MIN, 2 * cpus));
}

static unsigned read_threads(const MonitorArgs *a)
{
    uint64_t n = a->read_concurrency; /* 0: no bound but that of threads */
    return (unsigned)(n && n < READS_MAX ? n : READS_MAX);
}

/* Clients and rules share them. */
static PromqlOptions query_options(const Program *p, const MonitorArgs *a)
{
    return (PromqlOptions){ .features = a->promql_features,
                            .lookback_ms = a->lookback.value,
                            .timeout_ms = a->query_timeout.value,
                            .max_samples = a->query_samples,
                            .engine = p->engine };
}

static int start_web(Program *p, MonitorArgs *a, Err *err)
{
    WebOptions o = { .listen = a->listen.items,
                     .n_listen = a->listen.len,
                     .external_url = sv_cstr(a->external_url),
                     .route_prefix = sv_cstr(a->route_prefix),
                     .page_title = sv_cstr(a->page_title),
                     .cors_origin = sv_cstr(a->cors_origin),
                     .access_file = a->web_config && *a->web_config ? a->web_config : NULL,
                     .lifecycle = a->lifecycle,
                     .admin = a->admin,
                     .remote_write = a->remote_write,
                     .metadata_in_log = a->metadata_in_log,
                     .start_times = a->start_times,
                     .otlp = a->otlp,
                     .otlp_delta = a->otlp_delta,
                     .otlp_add_up = a->otlp_add_up,
                     .refuse_write_v1 = a->refuse_write_v1,
                     .refuse_write_v2 = a->refuse_write_v2,
                     .max_connections = (unsigned)a->max_connections,
                     .search = a->search,
                     .concurrent_rules = a->concurrent_rules,
                     .extra_scrape_metrics = a->extra_scrape_metrics,
                     .exemplars = a->exemplars,
                     .auto_reload = a->auto_reload,
                     .search_limit = (int64_t)a->search_limit,
                     .max_notice_readers = (unsigned)MIN(a->notice_readers, UINT32_MAX),
                     .read_timeout_ms = (uint32_t)MIN(a->read_timeout.value, INT32_MAX),
                     .query_concurrency = query_threads(a),
                     .promql = query_options(p, a),
                     .read_samples_max = a->read_samples,
                     .read_concurrency = read_threads(a),
                     .read_frame_max = a->read_frame,
                     .block_ms = a->block_min.value,
                     .db_dir = sv_cstr(a->db_dir),
                     .retention = retention_text(p, a, &a->arena),
                     .flags = a->shown,
                     .n_flags = a->n_shown };
    monitor_parts_plug(p->parts, &o.parts);
    return web_new(p->daemon.loop, &o, &p->web, err);
}

/* libuv reads the size of its pool when the first work comes. */
static void size_pool(const MonitorArgs *a)
{
    char n[16];
    snprintf(n, sizeof n, "%u",
             query_threads(a) + read_threads(a) + (unsigned)WEB_THREADS + (unsigned)THREADS_MORE);
    setenv("UV_THREADPOOL_SIZE", n, 1);
}

static int start(Program *p, MonitorArgs *a, Err *err)
{
    int r;
    p->args = a;
    size_pool(a);
    db_options(a, &p->db_options);
    if ((r = promql_engine_new(query_threads(a), &p->engine, err)) < 0)
        return r;
    const MonitorPartsOptions parts = {
        .config_file = a->config_file,
        .config.extra_scrape_metrics = a->extra_scrape_metrics,
        .append_metadata = a->metadata_in_log,
        .start_times = a->start_times,
        .sync_delay_ms = (uint32_t)MIN(a->discovery_interval.value, (int64_t)INT32_MAX),
        .align_ms = a->adjust_timestamps ? a->timestamp_tolerance.value : 0,
        .promql = query_options(p, a),
        .outage_tolerance_ms = a->outage_tolerance.value,
        .grace_period_ms = a->grace_period.value,
        .resend_delay_ms = a->resend_delay.value,
        .rule_threads = (unsigned)a->rule_concurrency,
        .rule_helpers = a->concurrent_rules ? (unsigned)a->rule_concurrency : 0,
        .notify_capacity = a->notify_capacity,
        .notify_batch = a->notify_batch,
        .notify_drain = a->notify_drain
    };
    if ((r = daemon_open(&p->daemon, err)) < 0 ||
        (r = monitor_parts_new(p->daemon.loop, &parts, &p->parts, err)) < 0)
        return r;
    monitor_parts_storage(p->parts, &p->db_options);
    if ((r = start_web(p, a, err)) < 0 || (r = watch_config(p, a, err)) < 0 ||
        (r = loop_add_signal(p->daemon.loop, SIGHUP, on_hangup, p, &p->hangup, err)) < 0 ||
        (r = loop_add_timer(p->daemon.loop, MAINTAIN_MS, MAINTAIN_MS, on_maintain, p, &p->maintain,
                            err)) < 0)
        return r;
    for (unsigned i = 0; i < a->listen.len; i++)
        log_info("listening on %s (port %u)", a->listen.items[i], web_port(p->web, i));
    return loop_work(p->daemon.loop, open_work, open_done, p, err);
}

/* Connections go first, then alerts that wait are sent and remote storages get the rest, what is
 * under way ends, and at last the database. A second signal ends the sending. */
static void stop(Program *p)
{
    p->stopping = true;
    web_stop(p->web);
    p->maintain = source_free(p->maintain);
    p->hangup = source_free(p->hangup);
    monitor_parts_stop(p->parts, p->args ? p->args->flush_deadline.value : 0);
    daemon_close(&p->daemon);
    web_free(p->web);
    monitor_parts_free(p->parts);
    promql_engine_free(p->engine);
    tsdb_close(p->db);
}

/* Large blocks (answers, bodies, columns) come from the kernel and go back to it. Left alone, glibc
 * learns from the first one freed to cut them out of its heaps, where they leave holes: a monitor
 * under load kept three times what it used. */
static void keep_heap_small(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BLOCK);
}

int main(int argc, char **argv)
{
    keep_heap_small();
    daemon_init("monitor");
    MonitorArgs args;
    int r = monitor_args_parse(argc, argv, &args);
    if (r == FLAGS_OK) {
        Program p = { 0 };
        Err err = { 0 };
        if ((r = start(&p, &args, &err)) == 0)
            r = daemon_run(&p.daemon, &err);
        if (r >= 0 && p.failed) {
            err = p.err;
            r = -1;
        }
        stop(&p);
        r = daemon_exit(r, &err);
    }
    monitor_args_free(&args);
    return r;
}
