/* finish.c - what follows an answer, or its absence: the batch of samples, staleness markers, the
 * report series (up and others), and what the target page shows. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "codec/gzip.h"
#include "codec/json.h"
#include "monitor/model/sample.h"
#include "monitor/scrape/internal.h"

enum { UNPACKED_KEPT = 4 * 1024 * 1024 }; /* room that the next body finds */

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
    if (!failed && scrape_cache_is_same(c))
        return;
    for (size_t i = 0; i < c->places.len; i++) {
        CacheEntry *e = scrape_cache_entry(c, i);
        e->alive = !failed && scrape_cache_lives(c, e);
        if (failed && e->born == c->scrape)
            e->ref = 0;
    }
    if (!failed)
        scrape_cache_sweep(c);
}

static int check_answer(ScrapeTarget *t, const FetchResult *r, ExpoFormat *ret, Err *err)
{
    if (t->pool->target_limit.code)
        return err_set(err, ERR_LIMIT, 0, "%s", t->pool->target_limit.msg);
    if (r->err)
        return err_set(err, r->err->code, 0, "%s", r->err->msg);
    if (r->status != 200)
        return err_set(err, ERR_PROTO, 0, "server returned HTTP status %d %s", r->status,
                       http_reason(r->status));
    return expo_format(r->content_type, t->pool->job->fallback_scrape_protocol, ret, err);
}

/* The body in plain text; a view that is good until the next one. */
static int plain_body(ScrapeWork *w, StrView *ret, Err *err)
{
    ScrapeManager *m = w->t->pool->manager;
    *ret = buf_view(&w->body);
    if (!w->is_gzip)
        return 0;
    buf_clear(&m->unpacked);
    int r = gunzip(*ret, scrape_body_max(w->t->pool->job), &m->unpacked, err);
    if (r == -ERR_LIMIT) {
        w->too_large = true;
        w->stats.exceeded_body_size_limit++;
        return err_set(err, ERR_LIMIT, 0, FETCH_TOO_LARGE);
    }
    *ret = buf_view(&m->unpacked);
    return r;
}

/* Samples of a good answer as one batch. On failure nothing of it is left. */
static int commit_samples(ScrapeWork *w, Err *err)
{
    ScrapeTarget *t = w->t;
    TsdbAppender *a = NULL;
    StrView body;
    int e;

    if (w->why.code) {
        *err = w->why;
        return -(int)w->why.code;
    }
    if ((e = plain_body(w, &body, err)) < 0 ||
        (e = tsdb_appender_new(t->pool->manager->opt.db, &a, err)) < 0)
        return e;
    w->counts.body_bytes = (int64_t)body.len;
    if ((e = scrape_append(w, body, a, err)) < 0 ||
        (e = scrape_append_stale(t, a, w->ts, false, err)) < 0 ||
        (e = scrape_append_report(t, a, w->ts, &w->counts, true, w->seconds, err)) < 0) {
        tsdb_appender_rollback(a);
        return e;
    }
    return tsdb_appender_commit(a, err);
}

/* The batch of a scrape that failed: its series end, and up is 0. */
static int commit_failure(ScrapeWork *w, Err *err)
{
    ScrapeTarget *t = w->t;
    TsdbAppender *a = NULL;
    int e = tsdb_appender_new(t->pool->manager->opt.db, &a, err);
    if (e < 0)
        return e;
    if ((e = scrape_append_stale(t, a, w->ts, true, err)) < 0 ||
        (e = scrape_append_report(t, a, w->ts, &w->counts, false, w->seconds, err)) < 0) {
        tsdb_appender_rollback(a);
        return e;
    }
    return tsdb_appender_commit(a, err);
}

void scrape_work_run(ScrapeWork *w)
{
    ScrapeTarget *t = w->t;
    Err second = { 0 };
    uint32_t scrape = t->cache.scrape;

    w->failed = commit_samples(w, &w->err) < 0;
    if (w->failed) {
        if (t->cache.scrape == scrape)
            scrape_cache_begin(&t->cache); /* nothing was seen */
        if (w->too_large)
            w->counts.body_bytes = -1;
        w->counts.added = 0;
        w->not_stored = commit_failure(w, &second) < 0;
        if (w->not_stored)
            w->err = second;
    } else {
        w->stats.samples = w->counts.post_relabel;
    }
    settle(t, w->failed);
    if (!w->failed) {
        pthread_mutex_lock(&t->pool->manager->families);
        scrape_families_sweep(&t->families, t->cache.scrape);
        pthread_mutex_unlock(&t->pool->manager->families);
    }
    w->cached_series = t->cache.places.len;
    buf_free(&w->body);
    if (t->pool->manager->unpacked.cap > UNPACKED_KEPT)
        buf_free(&t->pool->manager->unpacked);
}

static void add_stats(ScrapeStats *to, const ScrapeStats *s)
{
    to->samples += s->samples;
    to->out_of_order += s->out_of_order;
    to->duplicate += s->duplicate;
    to->out_of_bounds += s->out_of_bounds;
    to->exceeded_sample_limit += s->exceeded_sample_limit;
    to->exceeded_label_limits += s->exceeded_label_limits;
    to->exceeded_bucket_limit += s->exceeded_bucket_limit;
    to->exemplars_out_of_order += s->exemplars_out_of_order;
    to->exceeded_body_size_limit += s->exceeded_body_size_limit;
}

static void log_failure(const ScrapeTarget *t, const Err *why)
{
    _cleanup_buf_ Buf members = BUF_INIT;
    buf_sv(&members, SV("\"job_name\":"));
    json_encode_string(t->pool->job->job_name, &members);
    buf_sv(&members, SV(",\"target\":"));
    json_encode_string(t->url, &members);
    if (!members.failed)
        json_log_write(t->pool->failures, "ERROR", sv_cstr(why->msg), buf_view(&members));
}

void scrape_work_done(ScrapeWork *w)
{
    ScrapeTarget *t = w->t;
    ScrapeManager *m = t->pool->manager;
    m->budget.used -= w->counted;
    m->stats.scrapes_failed += w->failed;
    if (w->not_stored && log_gate(&m->storage_said, SCRAPE_SAID_MS))
        log_error("scrapes cannot be stored: %s", w->err.msg);
    if (w->failed && t->pool->failures)
        log_failure(t, &w->err);
    add_stats(&m->stats, &w->stats);
    t->waiting--;
    t->cached_series = w->cached_series;
    t->health = w->failed ? SCRAPE_DOWN : SCRAPE_UP;
    t->last_error = w->err;
    t->last_scrape_ms = w->ts;
    t->last_duration_s = w->seconds;
    free(w);
}

void scrape_finish(ScrapeTarget *t, const FetchResult *r)
{
    ScrapeManager *m = t->pool->manager;
    ScrapeWork *w = t->waiting < SCRAPE_WAITING_MAX ? calloc(1, sizeof *w) : NULL;

    m->stats.scrapes++;
    if (!w) { /* so far behind that not even a failure can be stored in time */
        m->stats.scrapes_failed++;
        t->health = SCRAPE_DOWN;
        err_set(&t->last_error, ERR_LIMIT, 0, "too many answers wait to be stored");
        return;
    }
    w->t = t;
    w->ts = t->start_ms;
    w->seconds = (double)(clock_mono_ns() - t->start_mono_ns) / (double)NSEC_PER_SEC;
    w->too_large = r->err && r->err->code == ERR_LIMIT;
    m->stats.exceeded_body_size_limit += w->too_large;
    if (check_answer(t, r, &w->format, &w->why) == 0) {
        w->body = *r->take;
        *r->take = (Buf)BUF_INIT;
        w->is_gzip = r->is_gzip;
        w->counted = w->body.cap;
        m->budget.used += w->counted;
    }
    t->waiting++;
    worker_add(m, w);
}

void target_end(ScrapeTarget *t)
{
    TsdbAppender *a = NULL;

    t->fetch = fetch_cancel(t->fetch);
    worker_forget(t->pool->manager, t);
    int64_t ts = MAX(scrape_now_ms(t->pool->manager), t->last_scrape_ms + 1);
    t->timer = source_free(t->timer);
    if (!t->last_scrape_ms || tsdb_appender_new(t->pool->manager->opt.db, &a, NULL) < 0)
        return;
    if (scrape_append_stale(t, a, ts, true, NULL) < 0 ||
        scrape_append_report_stale(t, a, ts, NULL) < 0)
        tsdb_appender_rollback(a);
    else
        (void)!tsdb_appender_commit(a, NULL);
}
