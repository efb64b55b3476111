/* run.c - when groups are evaluated, and the threads that do it.
 *
 * One thread at a time watches the clock. When a group is due it takes it, and leaves the watch to
 * the next one: an idle server wakes one thread for each evaluation. */
#include <time.h>

#include "base/clock.h"
#include "monitor/rules/internal.h"

enum {
    LOOK_MS = 5000, /* the longest sleep: the machine's clock may be set */
    IDLE_MS = 60 * 1000,
};

/* With the lock held: the group that is due for longest, made busy; *ret_t is its time. NULL: none,
 * and *ret_next is when one will be. */
static Group *claim(Rules *r, int64_t now, int64_t *ret_t, int64_t *ret_next)
{
    Group *due = NULL;
    *ret_next = now + IDLE_MS;
    vec_foreach (s, &r->stale)
        *ret_next = MIN(*ret_next, s->due);
    vec_foreach (it, &r->groups) {
        Group *g = *it;
        if (g->busy || g->before)
            continue;
        if (g->next > now + 2 * g->interval) /* the clock was set back */
            g->next = group_next_time(g, now);
        if (g->next <= now && (!due || g->next < due->next))
            due = g;
        *ret_next = MIN(*ret_next, g->next);
    }
    if (!due)
        return NULL;
    int64_t late = (now - due->next) / due->interval;
    due->missed += (uint64_t)late;
    *ret_t = due->next + late * due->interval;
    due->next = *ret_t + due->interval;
    due->busy = true;
    return due;
}

/* With the lock held, which is let go meanwhile: writes one set of markers that is due. */
static bool mark_one_stale(Rules *r, int64_t now)
{
    for (size_t i = 0; i < r->stale.len; i++) {
        Stale s = r->stale.items[i];
        if (s.due > now)
            continue;
        vec_swap_remove(&r->stale, i);
        pthread_mutex_unlock(&r->lock);
        stale_mark(r, &s, now);
        pthread_mutex_lock(&r->lock);
        return true;
    }
    return false;
}

static void evaluate(Rules *r, Group *g, int64_t t, int64_t now)
{
    pthread_mutex_unlock(&r->lock);
    group_eval(r, g, t);
    pthread_mutex_lock(&r->lock);
    group_done(r, g, now);
}

int64_t rules_run_due(Rules *r, int64_t now)
{
    int64_t t, next;
    Group *g;
    pthread_mutex_lock(&r->lock);
    while ((g = claim(r, now, &t, &next)))
        evaluate(r, g, t, now);
    while (mark_one_stale(r, now))
        ;
    pthread_mutex_unlock(&r->lock);
    return next;
}

void rules_eval_group(Rules *r, size_t i, int64_t t)
{
    pthread_mutex_lock(&r->lock);
    if (i < r->groups.len && !r->groups.items[i]->busy && !r->groups.items[i]->before) {
        Group *g = r->groups.items[i];
        g->busy = true;
        evaluate(r, g, t, t);
    }
    while (mark_one_stale(r, t))
        ;
    pthread_mutex_unlock(&r->lock);
}

/* ---- threads ---- */

static int64_t now_ms(void)
{
    return clock_real_ns() / NSEC_PER_MSEC;
}

static void sleep_ms(Rules *r, int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * NSEC_PER_MSEC;
    if (at.tv_nsec >= NSEC_PER_SEC) {
        at.tv_sec++;
        at.tv_nsec -= NSEC_PER_SEC;
    }
    pthread_cond_timedwait(&r->changed, &r->lock, &at);
}

/* With the lock held: sleeps until a group is due. NULL: it is over. */
static Group *watch(Rules *r, int64_t *ret_t)
{
    int64_t next;
    while (!atomic_load(&r->stopping)) {
        int64_t now = now_ms();
        if (mark_one_stale(r, now))
            continue;
        Group *g = claim(r, now, ret_t, &next);
        if (g)
            return g;
        sleep_ms(r, MAX(MIN(next - now, LOOK_MS), 1));
    }
    return NULL;
}

static void *work(void *ctx)
{
    Rules *r = ctx;
    int64_t t;
    pthread_mutex_lock(&r->lock);
    while (!atomic_load(&r->stopping)) {
        if (r->watched) {
            pthread_cond_wait(&r->follow, &r->lock);
            continue;
        }
        r->watched = true;
        Group *g = watch(r, &t);
        r->watched = false;
        pthread_cond_signal(&r->follow);
        if (g)
            evaluate(r, g, t, now_ms());
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int rules_start(Rules *r, unsigned threads, Err *err)
{
    threads = MIN(MAX(threads, 1u), (unsigned)RULES_THREADS_MAX);
    r->threads = calloc(threads, sizeof *r->threads);
    if (!r->threads)
        return err_nomem(err);
    int started = helpers_start(r, err);
    if (started < 0) {
        rules_stop(r);
        return started;
    }
    while (r->n_threads < threads) {
        int e = pthread_create(&r->threads[r->n_threads], NULL, work, r);
        if (e) {
            rules_stop(r);
            return err_neg(err, -e, "start a thread for rules");
        }
        r->n_threads++;
    }
    return 0;
}

void rules_stop(Rules *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->stopping, true);
    pthread_cond_broadcast(&r->changed);
    pthread_cond_broadcast(&r->follow);
    pthread_cond_broadcast(&r->job_there);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->n_threads; i++)
        pthread_join(r->threads[i], NULL);
    r->n_threads = 0;
    helpers_join(r);
    free(r->threads);
    r->threads = NULL;
}
