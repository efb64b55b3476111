/* worker.c - the thread that reads answers and stores them, one after the other, so that a body of
 * a million lines delays neither the timers of other targets nor the web server. Answers of one
 * target stay in their order.
 *
 * Waking a thread and hearing of its end cost as much as storing some hundred samples, so answers
 * wait a moment for others to come: the thread wakes for all of them. */
#include "monitor/scrape/internal.h"

enum { GATHER_MS = 25, GATHER_BYTES = 2 * 1024 * 1024 };

static void work_free(ScrapeWork *w)
{
    ScrapeManager *m = w->t->pool->manager;
    m->budget.used -= w->counted;
    w->t->waiting--;
    buf_free(&w->body);
    free(w);
}

/* What has been stored goes to the targets, oldest first. */
static void on_done(void *ctx)
{
    ScrapeManager *m = ctx;
    pthread_mutex_lock(&m->lock);
    ScrapeWork *w = m->done, *first = NULL;
    m->done = NULL;
    m->posted = false;
    pthread_mutex_unlock(&m->lock);
    for (ScrapeWork *next; w; w = next) {
        next = w->next;
        w->next = first;
        first = w;
    }
    for (ScrapeWork *next; first; first = next) {
        next = first->next;
        scrape_work_done(first);
    }
}

static ScrapeWork *take_next(ScrapeManager *m)
{
    while (!m->stop && !(m->ready &= m->head != NULL))
        pthread_cond_wait(&m->wake, &m->lock);
    ScrapeWork *w = m->stop ? NULL : m->head;
    if (w) {
        m->head = w->next;
        if (!m->head)
            m->tail = &m->head;
    }
    m->running = w;
    return w;
}

static void *worker_main(void *ctx)
{
    ScrapeManager *m = ctx;
    pthread_mutex_lock(&m->lock);
    for (ScrapeWork *w; (w = take_next(m));) {
        pthread_mutex_unlock(&m->lock);
        scrape_work_run(w);
        pthread_mutex_lock(&m->lock);
        m->running = NULL;
        w->next = m->done;
        m->done = w;
        if (!m->posted) /* without memory for it the next one tells */
            m->posted = loop_post(m->loop, on_done, m, NULL) == 0;
        pthread_cond_broadcast(&m->idle);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void worker_destroy(ScrapeManager *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->families);
    pthread_cond_destroy(&m->wake);
    pthread_cond_destroy(&m->idle);
}

int worker_start(ScrapeManager *m, Err *err)
{
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->families, NULL);
    pthread_cond_init(&m->wake, NULL);
    pthread_cond_init(&m->idle, NULL);
    m->tail = &m->head;
    int r = pthread_create(&m->thread, NULL, worker_main, m);
    m->started = r == 0;
    if (r)
        worker_destroy(m);
    return r ? err_neg(err, -r, "start the thread that stores samples") : 0;
}

void worker_stop(ScrapeManager *m)
{
    if (!m->started)
        return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->gather = source_free(m->gather);
    loop_post_cancel(m->loop, on_done, m);
    on_done(m);
    for (ScrapeWork *w = m->head, *next; w; w = next) {
        next = w->next;
        work_free(w);
    }
    m->head = NULL;
    m->tail = &m->head;
    m->started = false;
    worker_destroy(m);
}

static void wake(void *ctx)
{
    ScrapeManager *m = ctx;
    m->gathered = 0;
    m->gathering = false;
    pthread_mutex_lock(&m->lock);
    m->ready = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

/* Whether the worker will be woken by the timer. */
static bool gather(ScrapeManager *m)
{
    if (m->gathering)
        return true;
    if (m->gather)
        m->gathering = source_set_timer(m->gather, GATHER_MS, 0, NULL) == 0;
    else
        m->gathering = loop_add_timer(m->loop, GATHER_MS, 0, wake, m, &m->gather, NULL) == 0;
    return m->gathering;
}

void worker_add(ScrapeManager *m, ScrapeWork *w)
{
    m->gathered += w->body.len;
    pthread_mutex_lock(&m->lock);
    *m->tail = w; /* the worker's from here on */
    m->tail = &w->next;
    pthread_mutex_unlock(&m->lock);
    if (m->gathered > GATHER_BYTES || !gather(m))
        wake(m);
}

void worker_forget(ScrapeManager *m, ScrapeTarget *t)
{
    if (!t->waiting) /* nor is there a manager of its own when a target is only checked */
        return;
    pthread_mutex_lock(&m->lock);
    for (ScrapeWork **at = &m->head, *w; (w = *at);) {
        if (w->t != t) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        work_free(w);
    }
    m->tail = &m->head;
    while (*m->tail)
        m->tail = &(*m->tail)->next;
    while (m->running && m->running->t == t)
        pthread_cond_wait(&m->idle, &m->lock);
    pthread_mutex_unlock(&m->lock);
    on_done(m); /* its own among them */
}
