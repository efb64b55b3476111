/* parts.c - see parts.h: the configuration, and who lives by it. */
#include "monitor/parts/internal.h"

#include "base/log.h"

/* What is read and checked, but not acted on yet, is named: nobody is to wait for an alert that
 * never comes. */
static void warn_of_idle_sections(const Config *c)
{
    if (c->rule_files.len)
        log_warn("rule_files: rules are not evaluated by this version");
    if (c->alerting.alertmanagers.len)
        log_warn("alerting: no alerts are sent by this version");
    if (c->tracing)
        log_warn("tracing: no traces are sent by this version");
}

/* Without a file everything has its default: nothing is scraped, what is written is taken. */
static int load_config(const MonitorPartsOptions *o, Config **ret, Err *err)
{
    return o->config_file[0] ? config_load(o->config_file, &o->config, ret, err)
                             : config_parse(SV(""), "no file", SV(""), &o->config, ret, err);
}

int monitor_parts_new(Loop *l, const MonitorPartsOptions *opt, MonitorParts **ret, Err *err)
{
    MonitorParts *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->loop = l;
    p->opt = *opt;
    int r = load_config(opt, &p->config, err);
    if (r < 0) {
        free(p);
        return r;
    }
    warn_of_idle_sections(p->config);
    *ret = p;
    return 0;
}

MonitorParts *monitor_parts_free(MonitorParts *p)
{
    if (p) {
        scrape_manager_free(p->scrape);
        parts_remote_free(p);
        config_unref(p->config);
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

int monitor_parts_start(MonitorParts *p, Tsdb *db, Err *err)
{
    const ScrapeOptions o = { .db = db,
                              .append_metadata = p->opt.append_metadata,
                              .start_times = p->opt.start_times };
    p->db = db;
    int r = parts_remote_start(p, err); /* before anything is appended */
    if (r == 0)
        r = scrape_manager_new(p->loop, &o, &p->scrape, err);
    return r < 0 ? r : scrape_manager_apply(p->scrape, p->config, err);
}

int monitor_parts_reload(MonitorParts *p, Err *err)
{
    Config *fresh = NULL;
    int r = load_config(&p->opt, &fresh, err);
    if (r == 0 && p->remote_write)
        r = parts_remote_apply(p, fresh, err);
    if (r == 0 && p->scrape)
        r = scrape_manager_apply(p->scrape, fresh, err);
    if (r < 0) {
        config_unref(fresh);
        return err_wrap(err, "couldn't load configuration (--config.file=\"%s\")",
                        p->opt.config_file);
    }
    config_unref(p->config);
    p->config = fresh;
    warn_of_idle_sections(fresh);
    if (p->db) {
        TsdbOptions o = p->flags;
        add_storage(fresh, &o);
        tsdb_reconfigure(p->db, o.retention_ms, o.retention_bytes, o.out_of_order_ms);
    }
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

static void put_counter(Buf *out, const char *name, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
               (unsigned long long)value);
}

static void on_metrics(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    remote_write_metrics(p->remote_write, out);
    remote_reads_metrics(p->remote_reads, out);
    if (!p->scrape)
        return;
    ScrapeStats s = scrape_stats(p->scrape);
    put_counter(out, "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
                s.exceeded_sample_limit);
    put_counter(out, "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit", s.exceeded_body_size_limit);
    put_counter(out, "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits.",
                s.exceeded_label_limits);
    put_counter(out, "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit.",
                s.exceeded_target_limit);
    put_counter(out, "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
                s.out_of_order);
    put_counter(
        out, "prometheus_target_scrapes_sample_duplicate_timestamp_total",
        "Total number of samples rejected due to duplicate timestamps but different values.",
        s.duplicate);
    put_counter(
        out, "prometheus_target_scrapes_sample_out_of_bounds_total",
        "Total number of samples rejected due to timestamp falling outside of the time bounds.",
        s.out_of_bounds);
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
                       .target_metadata = parts_target_metadata,
                       .metadata = parts_metadata,
                       .config = on_config,
                       .external_labels = on_external_labels,
                       .remote_reads = parts_remote_reads,
                       .current = on_current,
                       .metrics = on_metrics,
                       .reload = on_reload };
}
