/* engine.c - see engine.h.
 *
 * A slot that comes free is handed to who waits longest, so neither rules nor clients starve. A
 * query holds its slot while it is evaluated only, and waits for no other query meanwhile. */
#include "monitor/promql/engine_turn.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "codec/json.h"
#include "monitor/promql/query_log.h"

enum { LOOK_MS = 50 }; /* who waits looks so often whether it is canceled */

typedef struct Waiter {
    struct Waiter *next;
    bool turn; /* a slot was handed over */
} Waiter;

struct PromqlEngine {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t handed;
    Waiter *waiters; /* oldest first */
    QueryLog *log;   /* NULL: there is none */
    JsonLog *lines;  /* the same */
    PromqlEngineStats stats;
};

int promql_engine_new(unsigned slots, PromqlEngine **ret, Err *err)
{
    PromqlEngine *e = calloc(1, sizeof *e);
    pthread_condattr_t attr;
    if (!e)
        return err_nomem(err);
    e->stats.slots = MAX(slots, 1u);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->handed, &attr);
    pthread_condattr_destroy(&attr);
    *ret = e;
    return 0;
}

PromqlEngine *promql_engine_free(PromqlEngine *e)
{
    if (!e)
        return NULL;
    ASSERT_MSG(!e->stats.running && !e->waiters, "%u queries run", e->stats.running);
    query_log_close(e->log);
    json_log_close(e->lines);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->handed);
    free(e);
    return NULL;
}

int promql_engine_note(PromqlEngine *e, StrView dir, Buf *unfinished, Err *err)
{
    QueryLog *log = NULL;
    int r = query_log_open(dir, e->stats.slots, unfinished, &log, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&e->lock);
    QueryLog *old = e->log;
    e->log = log;
    pthread_mutex_unlock(&e->lock);
    query_log_close(old);
    return 0;
}

void promql_engine_log(PromqlEngine *e, JsonLog *log)
{
    if (!e) {
        json_log_close(log);
        return;
    }
    pthread_mutex_lock(&e->lock);
    JsonLog *old = e->lines;
    e->lines = log;
    pthread_mutex_unlock(&e->lock);
    json_log_close(old);
}

bool engine_logs(PromqlEngine *e)
{
    if (!e)
        return false;
    pthread_mutex_lock(&e->lock);
    bool logs = e->lines != NULL;
    pthread_mutex_unlock(&e->lock);
    return logs;
}

void promql_engine_stats(PromqlEngine *e, PromqlEngineStats *ret)
{
    pthread_mutex_lock(&e->lock);
    *ret = e->stats;
    ret->log_enabled = e->lines != NULL;
    pthread_mutex_unlock(&e->lock);
}

/* ---- turns; with the lock held ---- */

static void look_later(PromqlEngine *e, int64_t deadline_ns)
{
    int64_t at_ns = clock_mono_ns() + LOOK_MS * NSEC_PER_MSEC;
    if (deadline_ns)
        at_ns = MIN(at_ns, deadline_ns);
    const struct timespec at = { .tv_sec = at_ns / NSEC_PER_SEC, .tv_nsec = at_ns % NSEC_PER_SEC };
    pthread_cond_timedwait(&e->handed, &e->lock, &at);
}

static void forget(PromqlEngine *e, const Waiter *w)
{
    Waiter **at = &e->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    e->stats.waiting--;
}

static int wait_turn(PromqlEngine *e, const atomic_bool *cancel, int64_t deadline_ns, Err *err)
{
    Waiter w = { 0 }, **at = &e->waiters;
    while (*at)
        at = &(*at)->next;
    *at = &w;
    e->stats.waiting++;
    while (!w.turn) {
        bool canceled = cancel && atomic_load(cancel);
        if (!canceled && (!deadline_ns || clock_mono_ns() < deadline_ns)) {
            look_later(e, deadline_ns);
            continue;
        }
        forget(e, &w);
        return canceled ? err_set(err, ERR_CLOSED, 0, "query was canceled in query queue")
                        : err_set(err, ERR_TIMEOUT, 0, "query timed out in query queue");
    }
    return 0;
}

static void give_back(PromqlEngine *e)
{
    Waiter *w = e->waiters;
    if (!w) {
        e->stats.running--;
        return;
    }
    e->waiters = w->next;
    e->stats.waiting--;
    w->turn = true;
    pthread_cond_broadcast(&e->handed);
}

int engine_enter(PromqlEngine *e, const PromqlQuery *q, int64_t deadline_ns, int *ret_slot,
                 Err *err)
{
    int r = 0;
    *ret_slot = -1;
    if (!e)
        return 0;
    pthread_mutex_lock(&e->lock);
    if (e->stats.running < e->stats.slots)
        e->stats.running++;
    else
        r = wait_turn(e, q->cancel, deadline_ns, err);
    if (r == 0)
        *ret_slot = query_log_add(e->log, q->text, clock_real_ns() / NSEC_PER_SEC);
    pthread_mutex_unlock(&e->lock);
    return r;
}

static void put_seconds(Buf *out, const char *name, int64_t ns, char behind)
{
    buf_printf(out, "\"%s\":%.9f%c", name, (double)ns / 1e9, behind);
}

void promql_put_timings(const PromqlStats *s, Buf *out)
{
    int64_t eval_ns = s->prepare_ns + s->inner_ns + s->sort_ns;
    buf_sv(out, SV("\"timings\":{"));
    put_seconds(out, "evalTotalTime", eval_ns, ',');
    put_seconds(out, "resultSortTime", s->sort_ns, ',');
    put_seconds(out, "queryPreparationTime", s->prepare_ns, ',');
    put_seconds(out, "innerEvalTime", s->inner_ns, ',');
    put_seconds(out, "execQueueTime", s->queue_ns, ',');
    put_seconds(out, "execTotalTime", eval_ns + s->queue_ns, '}');
}

/* What Prometheus says of a query in its log. */
static void put_query(Buf *out, const PromqlQuery *q, const PromqlStats *s, const Err *failed)
{
    char start[RFC3339_SIZE], end[RFC3339_SIZE];
    rfc3339_format(q->start * NSEC_PER_MSEC, 3, start);
    rfc3339_format((q->range ? q->end : q->start) * NSEC_PER_MSEC, 3, end);
    buf_printf(out, "\"params\":{\"end\":\"%s\",\"query\":", end);
    json_encode_string(q->text, out);
    buf_printf(out, ",\"start\":\"%s\",\"step\":%lld}", start,
               (long long)(q->range ? q->step / 1000 : 0));
    if (failed) {
        buf_sv(out, SV(",\"error\":"));
        json_encode_string(sv_cstr(failed->msg), out);
    }
    buf_sv(out, SV(",\"stats\":{"));
    promql_put_timings(s, out);
    buf_printf(out, ",\"samples\":{\"totalQueryableSamples\":%llu,\"peakSamples\":%llu}}",
               (unsigned long long)s->samples_scanned, (unsigned long long)s->peak_samples);
    if (q->origin.len)
        buf_putc(out, ',');
    buf_sv(out, q->origin);
}

void engine_leave(PromqlEngine *e, int slot, const PromqlQuery *q, const PromqlStats *stats,
                  const Err *failed)
{
    _cleanup_buf_ Buf line = BUF_INIT;
    if (!e)
        return;
    if (engine_logs(e))
        put_query(&line, q, stats, failed);
    pthread_mutex_lock(&e->lock);
    query_log_remove(e->log, slot);
    timing_add(&e->stats.prepare, (double)stats->prepare_ns / 1e9);
    timing_add(&e->stats.queue, (double)stats->queue_ns / 1e9);
    timing_add(&e->stats.inner, (double)stats->inner_ns / 1e9);
    timing_add(&e->stats.sort, (double)stats->sort_ns / 1e9);
    e->stats.samples += stats->samples_read;
    give_back(e);
    if (e->lines && line.len &&
        (line.failed ||
         !json_log_write(e->lines, "INFO", SV("promql query logged"), buf_view(&line))))
        e->stats.log_failures++;
    pthread_mutex_unlock(&e->lock);
}
