/* parts.c - see parts.h. The shapes of answers are those of Prometheus' web/api/v1. */
#include "monitor/web/parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "monitor/model/duration.h"
#include "monitor/model/number.h"
#include "monitor/web/json_out.h"

struct MonitorParts {
    Loop *loop;
    MonitorPartsOptions opt;
    Config *config;
    ScrapeManager *scrape; /* NULL until the database is open */
    Tsdb *db;
    TsdbOptions flags; /* of the database, as the command line has them */
};

/* What is read and checked, but not acted on yet, is named: nobody is to wait for an alert that
 * never comes. */
static void warn_of_idle_sections(const Config *c)
{
    if (c->rule_files.len)
        log_warn("rule_files: rules are not evaluated by this version");
    if (c->alerting.alertmanagers.len)
        log_warn("alerting: no alerts are sent by this version");
    if (c->remote_write.len)
        log_warn("remote_write: nothing is sent by this version");
    if (c->remote_read.len)
        log_warn("remote_read: other storages are not asked by this version");
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
    int r = scrape_manager_new(p->loop, &o, &p->scrape, err);
    return r < 0 ? r : scrape_manager_apply(p->scrape, p->config, err);
}

int monitor_parts_reload(MonitorParts *p, Err *err)
{
    Config *fresh = NULL;
    int r = load_config(&p->opt, &fresh, err);
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

/* ---- targets ---- */

static void put_member(Buf *out, const char *name, StrView text, bool more)
{
    buf_printf(out, "\"%s\":", name);
    json_put_text(out, text);
    if (more)
        buf_putc(out, ',');
}

static void put_duration(Buf *out, const char *name, int64_t ms, bool more)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    prom_duration_format(ms, &text);
    put_member(out, name, buf_view(&text), more);
}

static void put_active(Buf *out, const ScrapeTargetInfo *t)
{
    static const char *const health[] = { "unknown", "up", "down" };
    char stamp[RFC3339_SIZE] = "0001-01-01T00:00:00Z";
    if (t->last_scrape_ms)
        rfc3339_format(t->last_scrape_ms * NSEC_PER_MSEC, 3, stamp);
    buf_sv(out, SV("{\"discoveredLabels\":"));
    json_put_labels(out, t->discovered);
    buf_sv(out, SV(",\"labels\":"));
    json_put_labels(out, t->labels);
    buf_putc(out, ',');
    put_member(out, "scrapePool", t->pool, true);
    put_member(out, "scrapeUrl", t->url, true);
    put_member(out, "globalUrl", t->global_url, true);
    put_member(out, "lastError", t->last_error, true);
    put_member(out, "lastScrape", sv_cstr(stamp), true);
    buf_sv(out, SV("\"lastScrapeDuration\":"));
    double_format_f(t->last_duration_s, out);
    buf_putc(out, ',');
    put_member(out, "health", sv_cstr(health[t->health]), true);
    put_duration(out, "scrapeInterval", t->interval_ms, true);
    put_duration(out, "scrapeTimeout", t->timeout_ms, false);
    buf_putc(out, '}');
}

static void put_dropped_counts(MonitorParts *p, StrView pool, Buf *out)
{
    _cleanup_arena_ Arena a;
    StrView *pools;
    size_t n;
    arena_init(&a, 0);
    bool first = true;
    if (scrape_pools(p->scrape, &a, &pools, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        ScrapeTargets t;
        if ((pool.len && !sv_eq(pool, pools[i])) ||
            scrape_targets(p->scrape, pools[i], &a, &t, NULL) < 0)
            continue;
        if (!first)
            buf_putc(out, ',');
        first = false;
        json_put_text(out, pools[i]);
        buf_printf(out, ":%zu", t.dropped_total);
    }
}

static void on_targets(void *ctx, StrView state, StrView pool, Buf *out)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    ScrapeTargets t = { 0 };
    bool active = !sv_eq(state, SV("dropped")), dropped = !sv_eq(state, SV("active"));
    arena_init(&a, 0);
    if (p->scrape && scrape_targets(p->scrape, pool, &a, &t, NULL) < 0)
        out->failed = true;
    buf_sv(out, SV("{\"activeTargets\":["));
    for (size_t i = 0; active && i < t.n_active; i++) {
        if (i)
            buf_putc(out, ',');
        put_active(out, &t.active[i]);
    }
    buf_sv(out, SV("],\"droppedTargets\":["));
    for (size_t i = 0; dropped && i < t.n_dropped; i++) {
        buf_sv(out, i ? SV(",{\"discoveredLabels\":") : SV("{\"discoveredLabels\":"));
        json_put_labels(out, t.dropped[i].discovered);
        buf_putc(out, ',');
        put_member(out, "scrapePool", t.dropped[i].pool, false);
        buf_putc(out, '}');
    }
    buf_sv(out, SV("],\"droppedTargetCounts\":{"));
    if (p->scrape && dropped)
        put_dropped_counts(p, pool, out);
    buf_sv(out, SV("}}"));
}

static void on_pools(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    StrView *pools;
    size_t n = 0;
    arena_init(&a, 0);
    if (p->scrape && scrape_pools(p->scrape, &a, &pools, &n, NULL) < 0)
        out->failed = true;
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        json_put_text(out, pools[i]);
    }
    buf_putc(out, ']');
}

/* ---- metadata ---- */

typedef struct TargetMetadata {
    Buf *out;
    const Matcher *ms;
    unsigned n_ms;
    bool one_metric;
    int64_t left; /* negative: no bound */
    bool any;
} TargetMetadata;

static bool matches(const TargetMetadata *t, Labels l)
{
    for (unsigned i = 0; i < t->n_ms; i++)
        if (!matcher_matches(&t->ms[i], labels_get(l, t->ms[i].name)))
            return false;
    return true;
}

static void put_family(Buf *out, const ScrapeMetadata *m)
{
    put_member(out, "type", m->type, true);
    put_member(out, "help", m->help, true);
    put_member(out, "unit", m->unit, false);
}

static bool put_target_family(void *ctx, const ScrapeMetadata *m)
{
    TargetMetadata *t = ctx;
    if (t->left == 0)
        return false;
    if (!matches(t, m->target))
        return true;
    t->left -= t->left > 0;
    buf_sv(t->out, t->any ? SV(",{\"target\":") : SV("{\"target\":"));
    t->any = true;
    json_put_labels(t->out, m->target);
    buf_putc(t->out, ',');
    if (!t->one_metric)
        put_member(t->out, "metric", m->metric, true);
    put_family(t->out, m);
    buf_putc(t->out, '}');
    return true;
}

static void on_target_metadata(void *ctx, const Matcher *ms, unsigned n_ms, StrView metric,
                               int64_t limit, Buf *out)
{
    MonitorParts *p = ctx;
    TargetMetadata t = { out, ms, n_ms, metric.len > 0, limit, false };
    buf_putc(out, '[');
    if (p->scrape)
        scrape_metadata(p->scrape, metric, put_target_family, &t);
    buf_putc(out, ']');
}

/* Families by metric, each description once. */
typedef struct Family {
    Buf text; /* objects, separated by commas */
    int64_t n;
} Family;
typedef struct Families {
    Map map;
    int64_t per_metric;
    bool failed;
} Families;

static bool gather_family(void *ctx, const ScrapeMetadata *m)
{
    Families *f = ctx;
    _cleanup_buf_ Buf one = BUF_INIT;
    Family *have = map_get(&f->map, m->metric);
    if (!have) {
        have = calloc(1, sizeof *have);
        if (!have || !map_set(&f->map, m->metric, have, NULL)) {
            free(have);
            f->failed = true;
            return false;
        }
    }
    buf_putc(&one, '{');
    put_family(&one, m);
    buf_putc(&one, '}');
    if ((f->per_metric >= 0 && have->n >= f->per_metric) ||
        sv_find(buf_view(&have->text), buf_view(&one)) >= 0)
        return true;
    if (have->n++)
        buf_putc(&have->text, ',');
    buf_sv(&have->text, buf_view(&one));
    return true;
}

static void on_metadata(void *ctx, StrView metric, int64_t limit, int64_t per_metric, Buf *out)
{
    MonitorParts *p = ctx;
    Families f = { .per_metric = per_metric > 0 ? per_metric : -1 };
    StrView name;
    void *val;
    bool any = false;
    if (p->scrape)
        scrape_metadata(p->scrape, metric, gather_family, &f);
    buf_putc(out, '{');
    for (size_t i = 0; map_next(&f.map, &i, &name, &val);) {
        Family *one = val;
        if (limit < 0 || limit-- > 0) {
            if (any)
                buf_putc(out, ',');
            any = true;
            json_put_text(out, name);
            buf_sv(out, SV(":["));
            buf_sv(out, buf_view(&one->text));
            buf_putc(out, ']');
        }
        buf_free(&one->text);
        free(one);
    }
    map_free(&f.map);
    buf_putc(out, '}');
    out->failed |= f.failed;
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

static void put_counter(Buf *out, const char *name, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
               (unsigned long long)value);
}

static void on_metrics(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
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
                       .targets = on_targets,
                       .scrape_pools = on_pools,
                       .target_metadata = on_target_metadata,
                       .metadata = on_metadata,
                       .config = on_config,
                       .external_labels = on_external_labels,
                       .metrics = on_metrics,
                       .reload = on_reload };
}
