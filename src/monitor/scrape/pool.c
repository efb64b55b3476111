/* pool.c - one job: what discovery tells becomes groups, groups become targets. */
#include <stdio.h>

#include "base/clock.h"
#include "monitor/scrape/internal.h"

enum { SYNC_DELAY_MS = 5000, OLD_GROUPS_MS = 30000, FAILURES_MAX = 4096 /* bytes logged */ };

static void group_free(PoolGroup *g)
{
    arena_free(&g->arena);
    free(g);
}

/* ---- targets ---- */

typedef struct Key {
    char text[17];
} Key;

static StrView key_of(uint64_t hash, Key *k)
{
    snprintf(k->text, sizeof k->text, "%016llx", (unsigned long long)hash);
    return sv_n(k->text, 16);
}

static void drop(ScrapePool *p, ScrapeTarget *t)
{
    uint64_t keep = p->job->limits.keep_dropped_targets;
    p->dropped_total++;
    if ((keep && p->dropped.len >= keep) || !vec_push(&p->dropped, t))
        target_free(t);
}

/* A target that is there already goes on; what is shown of its discovery is what is new. All else
 * is equal, and the worker may be looking at it. */
static void keep_target(ScrapeTarget *have, ScrapeTarget *fresh)
{
    Arena old = have->shown;
    have->wanted = true;
    have->shown = fresh->shown;
    have->discovered = fresh->discovered;
    fresh->shown = old;
    target_free(fresh);
}

/* The source as the discovery itself names it: without "file/0/". */
static StrView own_source(StrView source)
{
    StrView kind, number, rest;
    return sv_cut(source, '/', &kind, &rest) && sv_cut(rest, '/', &number, &rest) ? rest : source;
}

static void target_failed(ScrapePool *p, const TargetGroup *g, size_t i, const Err *why)
{
    p->targets_failed++;
    p->manager->stats.targets_failed++;
    size_t start = p->failures_now.len;
    buf_printf(&p->failures_now, "instance %zu in group %.*s: %s\n", i,
               SV_FMT(own_source(g->source)), why->msg);
    p->failures_hash += sv_hash(sv_skip(buf_view(&p->failures_now), start));
    if (start >= FAILURES_MAX)
        p->failures_now.len = start;
}

/* Each look finds the same failures again: they are logged when they are others than before. */
static void log_failures(ScrapePool *p)
{
    StrView all = buf_view(&p->failures_now), line;
    _cleanup_buf_ Buf pool = BUF_INIT, why = BUF_INIT;
    text_quote(p->job->job_name, &pool);
    while (p->failures_hash != p->failures_said && sv_next(&all, '\n', &line)) {
        buf_clear(&why);
        text_quote(line, &why);
        if (line.len)
            log_error("Creating target failed component=\"scrape manager\" scrape_pool=%.*s "
                      "err=%.*s",
                      SV_FMT(buf_view(&pool)), SV_FMT(buf_view(&why)));
    }
    p->failures_said = p->failures_hash;
    p->failures_hash = 0;
    buf_clear(&p->failures_now);
}

static void add_target(ScrapePool *p, const TargetGroup *g, size_t i)
{
    ScrapeTarget *t = NULL;
    Err err = { 0 };
    Key key;
    int r = target_make(p, g->targets[i], g->labels, &t, &err);

    if (r < 0) {
        target_failed(p, g, i, &err);
        return;
    }
    if (r == 0) {
        drop(p, t);
        return;
    }
    ScrapeTarget *have = map_get(&p->targets, key_of(t->hash, &key));
    if (have) {
        keep_target(have, t);
        return;
    }
    t->wanted = true;
    if (!map_set(&p->targets, key_of(t->hash, &key), t, NULL)) {
        p->targets_failed++;
        p->manager->stats.targets_failed++;
        target_free(t);
    } else if (target_start(t, &err) < 0) {
        map_del(&p->targets, key_of(t->hash, &key));
        target_free(t);
    }
}

static void remove_unwanted(ScrapePool *p)
{
    VEC(ScrapeTarget *) gone = { 0 };
    StrView name;
    void *val;
    Key key;
    for (size_t i = 0; map_next(&p->targets, &i, &name, &val);)
        if (!((ScrapeTarget *)val)->wanted)
            (void)!vec_push(&gone, val);
    vec_foreach (t, &gone) {
        map_del(&p->targets, key_of((*t)->hash, &key));
        target_end(*t);
        target_free(*t);
    }
    vec_free(&gone);
}

static void free_dropped(ScrapePool *p)
{
    vec_foreach (t, &p->dropped)
        target_free(*t);
    vec_clear(&p->dropped);
    p->dropped_total = 0;
}

static void check_target_limit(ScrapePool *p)
{
    uint64_t limit = p->job->limits.targets;
    err_clear(&p->target_limit);
    if (!limit || p->targets.len <= limit)
        return;
    p->manager->stats.exceeded_target_limit++;
    err_set(&p->target_limit, ERR_LIMIT, 0,
            "target_limit exceeded (number of targets: %zu, limit: %llu)", p->targets.len,
            (unsigned long long)limit);
}

static void sync_targets(ScrapePool *p)
{
    StrView name;
    void *val;

    p->synced_ns = clock_mono_ns();
    p->sync_due = false;
    for (size_t i = 0; map_next(&p->targets, &i, &name, &val);)
        ((ScrapeTarget *)val)->wanted = false;
    free_dropped(p);
    for (size_t i = 0; map_next(&p->groups, &i, &name, &val);) {
        const TargetGroup *g = &((PoolGroup *)val)->group;
        for (size_t j = 0; j < g->n_targets; j++)
            add_target(p, g, j);
    }
    log_failures(p);
    remove_unwanted(p);
    check_target_limit(p);
    timing_add(&p->sync, (double)(clock_mono_ns() - p->synced_ns) / (double)NSEC_PER_SEC);
}

/* ---- groups ---- */

static void on_sync(void *ctx)
{
    sync_targets(ctx);
}

/* At once after a pause, then at most once in the delay: discovery comes in bursts. */
static void want_sync(ScrapePool *p)
{
    uint32_t delay = p->manager->opt.sync_delay_ms ? p->manager->opt.sync_delay_ms : SYNC_DELAY_MS;
    int64_t since = (clock_mono_ns() - p->synced_ns) / NSEC_PER_MSEC;
    uint64_t wait = !p->synced_ns || since >= delay ? 0 : (uint64_t)(delay - since);

    if (p->sync_due)
        return;
    p->sync_due = source_set_timer(p->sync_timer, wait, 0, NULL) >= 0;
}

static PoolGroup *group_copy(const TargetGroup *g)
{
    PoolGroup *out = calloc(1, sizeof *out);
    if (!out)
        return NULL;
    arena_init(&out->arena, 0);
    Labels *targets = arena_array(&out->arena, Labels, g->n_targets + 1);
    StrView source = arena_sv(&out->arena, g->source);
    bool ok = targets && source.ptr && labels_copy(g->labels, &out->arena, &out->group.labels);
    for (size_t i = 0; ok && i < g->n_targets; i++)
        ok = labels_copy(g->targets[i], &out->arena, &targets[i]);
    if (!ok) {
        group_free(out);
        return NULL;
    }
    out->group.source = source;
    out->group.targets = targets;
    out->group.n_targets = g->n_targets;
    return out;
}

static void on_groups(void *ctx, const TargetGroup *groups, size_t n)
{
    ScrapePool *p = ctx;
    for (size_t i = 0; i < n; i++) {
        void *old = NULL;
        if (groups[i].n_targets == 0) {
            old = map_del(&p->groups, groups[i].source);
        } else {
            PoolGroup *g = group_copy(&groups[i]);
            if (!g)
                continue; /* without memory the old group stays */
            if (!map_set(&p->groups, groups[i].source, g, &old))
                old = g;
        }
        if (old)
            group_free(old);
    }
    want_sync(p);
}

/* Groups from before a reload that nobody told of again. */
static void on_old(void *ctx)
{
    ScrapePool *p = ctx;
    StrView name;
    void *val;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; map_next(&p->groups, &i, &name, &val);)
            if (((PoolGroup *)val)->old) {
                map_del(&p->groups, name);
                group_free(val);
                again = true;
                break;
            }
    }
    want_sync(p);
}

/* ---- the pool ---- */

/* Formats in the order of preference, with the ways in which names may be escaped. */
static int make_accept(ScrapePool *p, Err *err)
{
    static const struct {
        const char *protocol, *media;
        bool escapes;
    } rows[] = {
        { "PrometheusProto",
          "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
          "delimited",
          false },
        { "PrometheusText0.0.4", "text/plain;version=0.0.4", false },
        { "PrometheusText1.0.0", "text/plain;version=1.0.0", true },
        { "OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1", false },
        { "OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0", true },
    };
    unsigned weight = ARRAY_SIZE(rows) + 1;
    buf_clear(&p->accept);
    for (unsigned i = 0; i < p->job->scrape_protocols.len; i++)
        for (unsigned j = 0; j < ARRAY_SIZE(rows); j++) {
            if (!sv_eq(p->job->scrape_protocols.items[i], sv_cstr(rows[j].protocol)))
                continue;
            buf_sv(&p->accept, sv_cstr(rows[j].media));
            if (rows[j].escapes)
                buf_printf(&p->accept, ";escaping=%.*s",
                           SV_FMT(p->job->metric_name_escaping_scheme));
            buf_printf(&p->accept, ";q=0.%u,", weight--);
        }
    buf_printf(&p->accept, "*/*;q=0.%u", weight);
    return p->accept.failed ? err_nomem(err) : 0;
}

/* Scrapes do not depend on it. */
static void open_failures(ScrapePool *p)
{
    StrView path = p->job->scrape_failure_log_file;
    Err err = { 0 };
    if (path.len && json_log_open(path, &p->failures, &err) < 0)
        log_error("job \"%.*s\": scrape_failure_log_file: %s", SV_FMT(p->job->job_name), err.msg);
}

static int attach(ScrapePool *p, Config *c, const ConfigScrape *job, Err *err)
{
    Loop *l = p->manager->loop;
    int r;
    p->config = config_ref(c);
    p->job = job;
    open_failures(p);
    if ((r = make_accept(p, err)) < 0 || (r = fetcher_new(l, &job->http, &p->fetcher, err)) < 0)
        return r;
    fetcher_count(p->fetcher, &p->dials);
    DiscoveryOptions o = p->manager->opt.discovery;
    o.user = DISCOVERY_SCRAPE;
    o.section = job->job_name;
    return discovery_start(l, &job->sd, &o, on_groups, p, &p->discovery, err);
}

static void detach(ScrapePool *p)
{
    p->failures = json_log_close(p->failures);
    p->discovery = discovery_stop(p->discovery);
    p->fetcher = fetcher_free(p->fetcher);
    p->config = config_unref(p->config);
    p->job = NULL;
}

int pool_new(ScrapeManager *m, Config *c, const ConfigScrape *job, ScrapePool **ret, Err *err)
{
    ScrapePool *p = calloc(1, sizeof *p);
    int r;
    if (!p)
        return err_nomem(err);
    p->manager = m;
    if ((r = loop_add_timer(m->loop, UINT32_MAX, 0, on_sync, p, &p->sync_timer, err)) < 0 ||
        (r = attach(p, c, job, err)) < 0) {
        pool_free(p, false);
        return r;
    }
    source_stop_timer(p->sync_timer);
    *ret = p;
    return 0;
}

static void end_targets(ScrapePool *p, bool stale)
{
    StrView name;
    void *val;
    for (size_t i = 0; map_next(&p->targets, &i, &name, &val);) {
        if (stale)
            target_end(val);
        target_free(val);
    }
    map_free(&p->targets);
    free_dropped(p);
}

ScrapePool *pool_free(ScrapePool *p, bool stale)
{
    StrView name;
    void *val;
    if (!p)
        return NULL;
    end_targets(p, stale);
    vec_free(&p->dropped);
    detach(p);
    for (size_t i = 0; map_next(&p->groups, &i, &name, &val);)
        group_free(val);
    map_free(&p->groups);
    p->sync_timer = source_free(p->sync_timer);
    p->old_timer = source_free(p->old_timer);
    buf_free(&p->accept);
    buf_free(&p->failures_now);
    free(p);
    return NULL;
}

/* After a reload: a target that is there again goes on being shown as it was, and its series go on;
 * one that is not has ended. */
static void settle_old(ScrapePool *p, Map *old)
{
    StrView name;
    void *val;
    for (size_t i = 0; map_next(old, &i, &name, &val);) {
        ScrapeTarget *t = val, *now = map_get(&p->targets, name);
        if (now) {
            now->health = t->health;
            now->last_error = t->last_error;
            now->last_scrape_ms = t->last_scrape_ms;
            now->last_duration_s = t->last_duration_s;
        } else {
            target_end(t);
        }
        target_free(t);
    }
    map_free(old);
}

static void stop_targets(ScrapePool *p, Map *ret_old)
{
    StrView name;
    void *val;
    *ret_old = p->targets;
    p->targets = (Map){ 0 };
    for (size_t i = 0; map_next(ret_old, &i, &name, &val);) {
        ScrapeTarget *t = val;
        t->fetch = fetch_cancel(t->fetch);
        t->timer = source_free(t->timer);
        worker_forget(p->manager, t);
    }
    free_dropped(p);
}

/* The job has changed: its targets are made anew from the groups that are known. */
int pool_reload(ScrapePool *p, Config *c, const ConfigScrape *job, Err *err)
{
    Map old;
    StrView name;
    void *val;

    stop_targets(p, &old);
    detach(p);
    int r = attach(p, c, job, err);
    for (size_t i = 0; map_next(&p->groups, &i, &name, &val);)
        ((PoolGroup *)val)->old = true;
    p->old_timer = source_free(p->old_timer);
    if (r >= 0)
        r = loop_add_timer(p->manager->loop, OLD_GROUPS_MS, 0, on_old, p, &p->old_timer, err);
    if (r >= 0)
        sync_targets(p);
    settle_old(p, &old);
    return r;
}
