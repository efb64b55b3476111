/* manager.c - the pools of a configuration, and what the web API asks about them. */
#include "monitor/scrape/internal.h"

int scrape_manager_new(Loop *l, const ScrapeOptions *opt, ScrapeManager **ret, Err *err)
{
    ScrapeManager *m = calloc(1, sizeof *m);
    if (!m)
        return err_nomem(err);
    m->loop = l;
    m->opt = *opt;
    m->budget.max = SCRAPE_BODIES_MAX;
    arena_init(&m->scratch, ARENA_DEFAULT_LIMIT);
    m->parser = expo_parser_new(EXPO_FORMAT_TEXT, SV(""), NULL);
    int r = m->parser ? worker_start(m, err) : err_nomem(err);
    if (r < 0) {
        scrape_manager_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

ScrapeManager *scrape_manager_free(ScrapeManager *m)
{
    if (!m)
        return NULL;
    worker_stop(m);
    vec_foreach (p, &m->pools)
        pool_free(*p, false);
    vec_free(&m->pools);
    vec_foreach (i, &m->intervals)
        free(*i);
    vec_free(&m->intervals);
    expo_parser_free(m->parser);
    arena_free(&m->scratch);
    buf_free(&m->unpacked);
    free(m);
    return NULL;
}

/* ---- configurations ---- */

static ScrapePool *take_pool(ScrapeManager *m, StrView job)
{
    for (size_t i = 0; i < m->pools.len; i++) {
        ScrapePool *p = m->pools.items[i];
        if (p && sv_eq(p->job->job_name, job)) {
            m->pools.items[i] = NULL;
            return p;
        }
    }
    return NULL;
}

/* The pool of a job: the one there is, as it is or reloaded, or a new one. */
static int make_pool(ScrapeManager *m, Config *c, const ConfigScrape *job, ScrapePool **ret,
                     Err *err)
{
    ScrapePool *p = take_pool(m, job->job_name);
    if (!p) {
        int r = pool_new(m, c, job, ret, err);
        m->stats.pools_made++;
        m->stats.pools_failed += r < 0;
        return r;
    }
    *ret = p;
    if (config_scrape_equal(p->job, job))
        return 0;
    int r = pool_reload(p, c, job, err);
    m->stats.pools_reloaded++;
    m->stats.reloads_failed += r < 0;
    return r;
}

int scrape_manager_apply(ScrapeManager *m, Config *c, Err *err)
{
    VEC(ScrapePool *) pools = { 0 };
    int r = 0;

    if (!vec_reserve(&pools, c->jobs.len + m->pools.len + 1))
        return err_nomem(err);
    for (unsigned i = 0; r >= 0 && i < c->jobs.len; i++) {
        ScrapePool *p = NULL;
        r = make_pool(m, c, c->jobs.items[i], &p, err);
        if (r < 0)
            err_wrap(err, "job \"%.*s\"", SV_FMT(c->jobs.items[i]->job_name));
        if (r < 0 && p && !p->job)
            p = pool_free(p, false);
        if (p)
            (void)!vec_push(&pools, p);
    }
    vec_foreach (p, &m->pools) {
        if (*p && r < 0)
            (void)!vec_push(&pools, *p); /* what was not reached stays */
        else if (*p)
            pool_free(*p, true);
    }
    vec_free(&m->pools);
    m->pools.items = pools.items;
    m->pools.len = pools.len;
    m->pools.cap = pools.cap;
    return r;
}

/* ---- what is asked ---- */

static bool copy_target(const ScrapeTarget *t, Arena *a, ScrapeTargetInfo *ret)
{
    *ret = (ScrapeTargetInfo){ .pool = arena_sv(a, t->pool->job->job_name),
                               .url = arena_sv(a, t->url),
                               .global_url = arena_sv(a, t->global_url),
                               .last_error = arena_sv(a, sv_cstr(t->last_error.msg)),
                               .last_scrape_ms = t->last_scrape_ms,
                               .last_duration_s = t->last_duration_s,
                               .health = t->health,
                               .interval_ms = t->interval_ms,
                               .timeout_ms = t->timeout_ms };
    return ret->pool.ptr && ret->url.ptr && labels_copy(t->discovered, a, &ret->discovered) &&
           labels_copy(t->labels, a, &ret->labels);
}

static int by_labels(const void *x, const void *y)
{
    const ScrapeTargetInfo *a = x, *b = y;
    int r = sv_cmp(a->pool, b->pool);
    if (!r)
        r = labels_cmp(a->labels, b->labels);
    return r ? r : sv_cmp(a->url, b->url);
}

static int list_errors(const ScrapePool *p, Arena *a, ScrapeTargets *ret, Err *err)
{
    size_t pos = 0;
    StrView part;
    for (const Err *why; (why = discovery_next_error(p->discovery, &pos, &part)) != NULL;) {
        ScrapeDiscoveryError e = { .pool = arena_sv(a, p->job->job_name),
                                   .part = arena_sv(a, part),
                                   .why = arena_sv(a, sv_cstr(why->msg)) };
        ScrapeDiscoveryError *grown = arena_realloc(a, ret->errors, ret->n_errors * sizeof *grown,
                                                    (ret->n_errors + 1) * sizeof *grown);
        if (!grown || !e.pool.ptr || !e.part.ptr || !e.why.ptr)
            return err_nomem(err);
        ret->errors = grown;
        ret->errors[ret->n_errors++] = e;
    }
    return 0;
}

static int list_pool(const ScrapePool *p, Arena *a, ScrapeTargets *ret, Err *err)
{
    StrView name;
    void *val;
    for (size_t i = 0; map_next(&p->targets, &i, &name, &val);)
        if (!copy_target(val, a, &ret->active[ret->n_active++]))
            return err_nomem(err);
    for (size_t i = 0; i < p->dropped.len; i++)
        if (!copy_target(p->dropped.items[i], a, &ret->dropped[ret->n_dropped++]))
            return err_nomem(err);
    ret->dropped_total += p->dropped_total;
    return list_errors(p, a, ret, err);
}

int scrape_targets(const ScrapeManager *m, StrView pool, Arena *a, ScrapeTargets *ret, Err *err)
{
    size_t active = 0, dropped = 0;
    int r;

    for (size_t i = 0; i < m->pools.len; i++) {
        active += m->pools.items[i]->targets.len;
        dropped += m->pools.items[i]->dropped.len;
    }
    *ret = (ScrapeTargets){ .active = arena_array(a, ScrapeTargetInfo, active + 1),
                            .dropped = arena_array(a, ScrapeTargetInfo, dropped + 1) };
    if (!ret->active || !ret->dropped)
        return err_nomem(err);
    for (size_t k = 0; k < m->pools.len; k++)
        if ((sv_empty(pool) || sv_eq(pool, m->pools.items[k]->job->job_name)) &&
            (r = list_pool(m->pools.items[k], a, ret, err)) < 0)
            return r;
    qsort(ret->active, ret->n_active, sizeof *ret->active, by_labels);
    return 0;
}

int scrape_pools(const ScrapeManager *m, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    StrView *names = arena_array(a, StrView, m->pools.len + 1);
    if (!names)
        return err_nomem(err);
    for (size_t i = 0; i < m->pools.len; i++)
        if (!(names[i] = arena_sv(a, m->pools.items[i]->job->job_name)).ptr)
            return err_nomem(err);
    *ret = names;
    *ret_n = m->pools.len;
    return 0;
}

int scrape_dialers(const ScrapeManager *m, Arena *a, ScrapeDialer **ret, size_t *ret_n, Err *err)
{
    ScrapeDialer *rows = arena_array(a, ScrapeDialer, m->pools.len + 1);
    if (!rows)
        return err_nomem(err);
    for (size_t i = 0; i < m->pools.len; i++)
        rows[i] = (ScrapeDialer){ m->pools.items[i]->job->job_name, &m->pools.items[i]->dials };
    *ret = rows;
    *ret_n = m->pools.len;
    return 0;
}

static bool tell(const ScrapeTarget *t, StrView metric, const Family *f, ScrapeMetadataFn *fn,
                 void *ctx)
{
    ScrapeMetadata out = { .target = t->labels,
                           .metric = metric,
                           .type = sv_cstr(expo_type_names[f->type]),
                           .help = f->help,
                           .unit = f->unit };
    return fn(ctx, &out);
}

static bool tell_target(const ScrapeTarget *t, StrView metric, ScrapeMetadataFn *fn, void *ctx)
{
    StrView name;
    void *val;
    if (metric.len) {
        const Family *f = scrape_families_get(&t->families, metric);
        return !f || tell(t, metric, f, fn, ctx);
    }
    for (size_t i = 0; map_next(&t->families.map, &i, &name, &val);)
        if (!tell(t, name, val, fn, ctx))
            return false;
    return true;
}

static void tell_all(const ScrapeManager *m, StrView metric, ScrapeMetadataFn *fn, void *ctx)
{
    StrView name;
    void *val;
    for (size_t k = 0; k < m->pools.len; k++)
        for (size_t i = 0; map_next(&m->pools.items[k]->targets, &i, &name, &val);)
            if (!tell_target(val, metric, fn, ctx))
                return;
}

void scrape_metadata(const ScrapeManager *m, StrView metric, ScrapeMetadataFn *fn, void *ctx)
{
    pthread_mutex_t *lock = &((ScrapeManager *)(uintptr_t)m)->families;
    pthread_mutex_lock(lock);
    tell_all(m, metric, fn, ctx);
    pthread_mutex_unlock(lock);
}

ScrapeStats scrape_stats(const ScrapeManager *m)
{
    ScrapeStats s = m->stats;
    StrView name;
    void *val;
    for (size_t k = 0; k < m->pools.len; k++)
        for (size_t i = 0; map_next(&m->pools.items[k]->targets, &i, &name, &val);)
            s.cached_series += ((ScrapeTarget *)val)->cached_series;
    return s;
}
