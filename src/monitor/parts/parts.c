/* parts.c - see parts.h: the configuration, and who lives by it. */
#include "monitor/parts/internal.h"

#include "base/log.h"

/* What is read and checked, but not acted on yet, is named: nobody is to wait for what never
 * comes. */
static void warn_of_idle_sections(const Config *c)
{
    if (c->tracing)
        log_warn("tracing: no traces are sent by this version");
}

/* Without a file everything has its default: nothing is scraped, what is written is taken. */
static int load_config(const MonitorPartsOptions *o, Config **ret, Err *err)
{
    return o->config_file[0] ? config_load(o->config_file, &o->config, ret, err)
                             : config_parse(SV(""), "no file", SV(""), &o->config, ret, err);
}

/* What query_log_file names; NULL: nothing. */
static int open_query_log(const Config *c, JsonLog **ret, Err *err)
{
    *ret = NULL;
    if (!c->global.query_log_file.len)
        return 0;
    return json_log_open(c->global.query_log_file, ret, err) < 0 ? err_wrap(err, "query_log_file")
                                                                 : 0;
}

int monitor_parts_new(Loop *l, const MonitorPartsOptions *opt, MonitorParts **ret, Err *err)
{
    MonitorParts *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    pthread_mutex_init(&p->reads_lock, NULL);
    p->loop = l;
    p->opt = *opt;
    JsonLog *log = NULL;
    int r = discovery_stats_new(&p->discovery, err);
    if (r >= 0)
        r = load_config(opt, &p->config, err);
    if (r >= 0)
        r = parts_files_load(p, p->config, &p->files, err);
    if (r >= 0)
        r = open_query_log(p->config, &log, err);
    if (r >= 0)
        promql_engine_log(opt->promql.engine, log);
    if (r < 0) {
        monitor_parts_free(p);
        return r;
    }
    warn_of_idle_sections(p->config);
    *ret = p;
    return 0;
}

void monitor_parts_stop(MonitorParts *p, int64_t flush_ms)
{
    if (!p)
        return;
    parts_watch_stop(p);
    p->scrape = scrape_manager_free(p->scrape);
    parts_alerting_stop(p);
    parts_remote_stop(p, flush_ms);
}

MonitorParts *monitor_parts_free(MonitorParts *p)
{
    if (p) {
        parts_watch_free(p);
        rules_free(p->rules);
        parts_files_free(&p->files);
        config_unref(p->config);
        discovery_stats_free(p->discovery);
        arena_free(&p->arena);
        pthread_mutex_destroy(&p->reads_lock);
        free(p);
    }
    return NULL;
}

static void add_storage(const Config *c, TsdbOptions *o)
{
    o->out_of_order_ms = c->storage.tsdb.out_of_order_time_window;
    if (c->storage.tsdb.retention.time)
        o->retention_ms = c->storage.tsdb.retention.time;
    if (c->storage.tsdb.retention.size)
        o->retention_bytes = c->storage.tsdb.retention.size;
    if (o->exemplars_max && c->storage.exemplars)
        o->exemplars_max = (size_t)MAX(c->storage.exemplars->max_exemplars, 0);
}

void monitor_parts_storage(const MonitorParts *p, TsdbOptions *opt)
{
    ((MonitorParts *)(uintptr_t)p)->flags = *opt;
    add_storage(p->config, opt);
}

static int keep_url(MonitorParts *p, StrView url, Err *err)
{
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    p->external_url = arena_sv(&p->arena, url);
    return p->external_url.ptr ? 0 : err_nomem(err);
}

int monitor_parts_start(MonitorParts *p, Tsdb *db, StrView external_url, Err *err)
{
    const ScrapeOptions o = { .db = db,
                              .append_metadata = p->opt.append_metadata,
                              .sync_delay_ms = p->opt.sync_delay_ms,
                              .align_ms = p->opt.align_ms,
                              .discovery = { .stats = p->discovery },
                              .start_times = p->opt.start_times };
    AlertingNext next = { 0 };
    int r;
    p->db = db;
    if ((r = parts_remote_start(p, err)) < 0 || /* before anything is appended */
        (r = keep_url(p, external_url, err)) < 0 || (r = parts_alerting_start(p, err)) < 0 ||
        (r = parts_alerting_prepare(p, p->config, &p->files, &next, err)) < 0)
        return r;
    parts_alerting_take(p, &next);
    if ((r = scrape_manager_new(p->loop, &o, &p->scrape, err)) < 0 ||
        (r = scrape_manager_apply(p->scrape, p->config, err)) < 0)
        return r;
    return parts_alerting_run(p, err);
}

/* ---- reloading: what can fail is made first, then everybody takes over ---- */

typedef struct Reload {
    Config *config;
    RuleFiles files;
    AlertingNext alerting;
    JsonLog *query_log;
} Reload;

static int reload_prepare(MonitorParts *p, Reload *x, Err *err)
{
    int r = load_config(&p->opt, &x->config, err);
    if (r >= 0)
        r = parts_files_load(p, x->config, &x->files, err);
    if (r >= 0)
        r = open_query_log(x->config, &x->query_log, err);
    if (r < 0 || !p->scrape)
        return r;
    if ((r = parts_alerting_prepare(p, x->config, &x->files, &x->alerting, err)) < 0)
        return r;
    if ((r = parts_remote_apply(p, x->config, err)) < 0)
        return r;
    r = scrape_manager_apply(p->scrape, x->config, err);
    if (r < 0) { /* what has changed already changes back */
        (void)!scrape_manager_apply(p->scrape, p->config, &(Err){ 0 });
        (void)!parts_remote_apply(p, p->config, &(Err){ 0 });
    }
    return r;
}

static void reload_take(MonitorParts *p, Reload *x)
{
    config_unref(p->config);
    p->config = x->config;
    promql_engine_log(p->opt.promql.engine, x->query_log);
    if (!p->scrape) { /* the database is not open yet: monitor_parts_start() will use them */
        parts_files_free(&p->files);
        p->files = x->files;
        return;
    }
    parts_alerting_take(p, &x->alerting);
    TsdbOptions o = p->flags;
    add_storage(p->config, &o);
    tsdb_reconfigure(p->db, o.retention_ms, o.retention_bytes, o.out_of_order_ms);
}

int monitor_parts_reload(MonitorParts *p, Err *err)
{
    Reload x = { 0 };
    int r = reload_prepare(p, &x, err);
    if (r < 0) {
        parts_alerting_discard(&x.alerting);
        parts_files_free(&x.files);
        json_log_close(x.query_log);
        config_unref(x.config);
        return err_wrap(err, "couldn't load configuration (--config.file=\"%s\")",
                        p->opt.config_file);
    }
    reload_take(p, &x);
    warn_of_idle_sections(p->config);
    log_info("configuration of '%s' is in force", p->opt.config_file);
    return 0;
}

/* ---- configuration and numbers ---- */

static void on_config(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    if (config_format(p->config, out, NULL) < 0)
        out->failed = true;
}

static Labels on_external_labels(void *ctx)
{
    return ((MonitorParts *)ctx)->config->global.external_labels;
}

static Config *on_current(void *ctx)
{
    return config_ref(((MonitorParts *)ctx)->config);
}

static void put_dialers(MonitorParts *p, Buf *out)
{
    enum { OTHERS = 3 };
    _cleanup_arena_ Arena a;
    ScrapeDialer *jobs = NULL;
    size_t n = 0, len = 0;
    arena_init(&a, 0);
    if (!p->scrape || !p->notifier)
        return;
    int r = scrape_dialers(p->scrape, &a, &jobs, &n, NULL);
    ScrapeDialer *all = r < 0 ? NULL : arena_array(&a, ScrapeDialer, n + OTHERS);
    if (!all) {
        out->failed = true;
        return;
    }
    for (; len < n; len++)
        all[len] = jobs[len];
    all[len++] = (ScrapeDialer){ SV("alertmanager"), notifier_dials(p->notifier) };
    all[len++] = (ScrapeDialer){ SV("http"), discovery_dials(p->discovery) };
    if (p->remote_write)
        all[len++] = (ScrapeDialer){ SV("remote_storage_write_client"),
                                     remote_write_dials(p->remote_write) };
    scrape_dialers_put(all, len, out);
}

static void on_metrics(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    put_dialers(p, out);
    parts_alerting_metrics(p, out);
    remote_write_metrics(p->remote_write, out);
    remote_reads_metrics(p->remote_reads, out);
    discovery_metrics(p->discovery, out);
    if (p->scrape)
        scrape_metrics(p->scrape, out);
}

static int on_reload(void *ctx, Err *err)
{
    return monitor_parts_reload(ctx, err);
}

void monitor_parts_plug(MonitorParts *p, WebParts *ret)
{
    *ret = (WebParts){ .ctx = p,
                       .targets = parts_targets,
                       .scrape_pools = parts_scrape_pools,
                       .pool_config = parts_pool_config,
                       .relabel_steps = parts_relabel_steps,
                       .target_metadata = parts_target_metadata,
                       .metadata = parts_metadata,
                       .rules = parts_rules,
                       .alerts = parts_alerts,
                       .alertmanagers = parts_alertmanagers,
                       .config = on_config,
                       .external_labels = on_external_labels,
                       .remote_reads = parts_remote_reads,
                       .current = on_current,
                       .metrics = on_metrics,
                       .reload = on_reload };
}
