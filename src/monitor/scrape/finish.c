/* finish.c - what follows an answer, or its absence: the batch of samples, staleness markers, the
 * report series (up and others), and what the target page shows. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "monitor/model/sample.h"
#include "monitor/scrape/internal.h"

static const StrView report_names[REPORT_MAX] = {
    [REPORT_UP] = SV_INIT("up"),
    [REPORT_DURATION] = SV_INIT("scrape_duration_seconds"),
    [REPORT_SCRAPED] = SV_INIT("scrape_samples_scraped"),
    [REPORT_POST] = SV_INIT("scrape_samples_post_metric_relabeling"),
    [REPORT_ADDED] = SV_INIT("scrape_series_added"),
    [REPORT_TIMEOUT] = SV_INIT("scrape_timeout_seconds"),
    [REPORT_LIMIT] = SV_INIT("scrape_sample_limit"),
    [REPORT_BODY] = SV_INIT("scrape_body_size_bytes"),
};

/* ---- report series ---- */

static int put_report(ScrapeTarget *t, TsdbAppender *a, unsigned which, int64_t ts, double v,
                      Err *err)
{
    _cleanup_arena_ Arena arena;
    LabelsBuilder b;
    Labels l;
    Err why = { 0 };

    arena_init(&arena, 0);
    labels_builder_init(&b, &arena, t->labels);
    labels_builder_set(&b, LABEL_METRIC_NAME, report_names[which]);
    if (!labels_builder_take(&b, &l))
        return err_nomem(err);
    if (tsdb_append(a, &t->report[which], l, ts, v, &why) != APPEND_FAILED)
        return 0; /* out of order or double: another target has the same labels */
    if (err)
        *err = why;
    return why.code ? -(int)why.code : err_nomem(err);
}

static unsigned n_reports(const ScrapeTarget *t)
{
    return t->pool->job->extra_scrape_metrics == 1 ? REPORT_MAX : REPORT_TIMEOUT;
}

int scrape_append_report(ScrapeTarget *t, TsdbAppender *a, int64_t ts, const ScrapeCounts *counts,
                         bool ok, double seconds, Err *err)
{
    const double values[REPORT_MAX] = {
        [REPORT_UP] = ok,
        [REPORT_DURATION] = seconds,
        [REPORT_SCRAPED] = (double)counts->total,
        [REPORT_POST] = (double)counts->post_relabel,
        [REPORT_ADDED] = (double)counts->added,
        [REPORT_TIMEOUT] = (double)t->timeout_ms / 1000,
        [REPORT_LIMIT] = (double)t->pool->job->limits.samples,
        [REPORT_BODY] = (double)counts->body_bytes,
    };
    for (unsigned i = 0; i < n_reports(t); i++) {
        int r = put_report(t, a, i, ts, values[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

int scrape_append_report_stale(ScrapeTarget *t, TsdbAppender *a, int64_t ts, Err *err)
{
    for (unsigned i = 0; i < n_reports(t); i++) {
        int r = put_report(t, a, i, ts, double_from_bits(NAN_STALE_BITS), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the batch ---- */

/* After a commit: which series are alive now. `failed`: those of the scrape before have ended, and
 * references made in this one may be void. */
static void settle(ScrapeTarget *t, bool failed)
{
    ScrapeCache *c = &t->cache;
    vec_foreach (it, &c->entries) {
        CacheEntry *e = *it;
        e->alive = !failed && e->seen == c->scrape && e->tracked && e->ref && !e->dropped;
        if (failed && e->born == c->scrape)
            e->ref = 0;
    }
    if (!failed)
        scrape_cache_sweep(c);
}

static int check_answer(ScrapeTarget *t, const FetchResult *r, ExpoFormat *ret, Err *err)
{
    ScrapeManager *m = t->pool->manager;
    if (t->pool->target_limit.code)
        return err_set(err, ERR_LIMIT, 0, "%s", t->pool->target_limit.msg);
    if (r->err) {
        if (r->err->code == ERR_LIMIT)
            m->stats.exceeded_body_size_limit++;
        return err_set(err, r->err->code, 0, "%s", r->err->msg);
    }
    if (r->status != 200)
        return err_set(err, ERR_PROTO, 0, "server returned HTTP status %d %s", r->status,
                       http_reason(r->status));
    return expo_format(r->content_type, t->pool->job->fallback_scrape_protocol, ret, err);
}

/* Samples of a good answer as one batch. On failure nothing of it is left. */
static int commit_samples(ScrapeTarget *t, const FetchResult *r, int64_t ts, double seconds,
                          ScrapeCounts *counts, Err *err)
{
    TsdbAppender *a = NULL;
    ExpoFormat format;
    int e = check_answer(t, r, &format, err);

    if (e < 0)
        return e;
    counts->body_bytes = (int64_t)r->body.len;
    if ((e = tsdb_appender_new(t->pool->manager->opt.db, &a, err)) < 0)
        return e;
    if ((e = scrape_append(t, a, format, r->body, ts, counts, err)) < 0 ||
        (e = scrape_append_stale(t, a, ts, false, err)) < 0 ||
        (e = scrape_append_report(t, a, ts, counts, true, seconds, err)) < 0) {
        tsdb_appender_rollback(a);
        return e;
    }
    return tsdb_appender_commit(a, err);
}

/* The batch of a scrape that failed: its series end, and up is 0. */
static int commit_failure(ScrapeTarget *t, int64_t ts, double seconds, const ScrapeCounts *counts,
                          Err *err)
{
    TsdbAppender *a = NULL;
    int e = tsdb_appender_new(t->pool->manager->opt.db, &a, err);
    if (e < 0)
        return e;
    if ((e = scrape_append_stale(t, a, ts, true, err)) < 0 ||
        (e = scrape_append_report(t, a, ts, counts, false, seconds, err)) < 0) {
        tsdb_appender_rollback(a);
        return e;
    }
    return tsdb_appender_commit(a, err);
}

void scrape_finish(ScrapeTarget *t, const FetchResult *r)
{
    ScrapeManager *m = t->pool->manager;
    double seconds = (double)(clock_mono_ns() - t->start_mono_ns) / (double)NSEC_PER_SEC;
    ScrapeCounts counts = { 0 };
    Err err = { 0 }, second = { 0 };
    uint32_t scrape = t->cache.scrape;

    m->stats.scrapes++;
    bool failed = commit_samples(t, r, t->start_ms, seconds, &counts, &err) < 0;
    if (failed) {
        m->stats.scrapes_failed++;
        if (t->cache.scrape == scrape)
            scrape_cache_begin(&t->cache); /* nothing was seen */
        if (r->err && r->err->code == ERR_LIMIT)
            counts.body_bytes = -1;
        counts.added = 0;
        if (commit_failure(t, t->start_ms, seconds, &counts, &second) < 0)
            err = second;
    } else {
        m->stats.samples += counts.post_relabel;
    }
    settle(t, failed);
    if (!failed)
        families_sweep(&t->families, t->cache.scrape);
    t->health = failed ? SCRAPE_DOWN : SCRAPE_UP;
    t->last_error = err;
    t->last_scrape_ms = t->start_ms;
    t->last_duration_s = seconds;
}

void target_end(ScrapeTarget *t)
{
    TsdbAppender *a = NULL;
    int64_t ts = MAX(scrape_now_ms(t->pool->manager), t->last_scrape_ms + 1);

    t->fetch = fetch_cancel(t->fetch);
    t->timer = source_free(t->timer);
    if (!t->last_scrape_ms || tsdb_appender_new(t->pool->manager->opt.db, &a, NULL) < 0)
        return;
    if (scrape_append_stale(t, a, ts, true, NULL) < 0 ||
        scrape_append_report_stale(t, a, ts, NULL) < 0)
        tsdb_appender_rollback(a);
    else
        (void)!tsdb_appender_commit(a, NULL);
}
