/* heavy.c - see heavy.h. The places and who waits for one are the whole server's, under one lock; a
 * call that waits is told by a task on its own loop. */
#include "apiserver/heavy.h"

#include <pthread.h>

#include "apiserver/authn.h"
#include "net/http.h"

enum { PLACES = 2 };

struct HeavyQueue {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t idle;  /* nothing is working */
    unsigned taken;
    Heavy *own, *others; /* who waits, the first of each first */
    unsigned working;    /* calls on other threads */
    bool closed;         /* gone with the last place */
};

HeavyQueue *heavy_queue_new(void)
{
    HeavyQueue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->idle, NULL);
    return q;
}

/* Unlocks the queue, and frees it when nobody will use it any more. */
static void unlock(HeavyQueue *q)
{
    bool last = q->closed && !q->taken;
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    pthread_cond_destroy(&q->idle);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

HeavyQueue *heavy_queue_close(HeavyQueue *q)
{
    if (!q)
        return NULL;
    pthread_mutex_lock(&q->lock);
    while (q->working)
        pthread_cond_wait(&q->idle, &q->lock);
    q->closed = true;
    unlock(q);
    return NULL;
}

static void count_working(HeavyQueue *q, int by)
{
    pthread_mutex_lock(&q->lock);
    q->working += (unsigned)by;
    if (!q->working)
        pthread_cond_signal(&q->idle);
    pthread_mutex_unlock(&q->lock);
}

static void tell_placed(void *ctx)
{
    Heavy *h = ctx;
    h->telling = false;
    h->done(h->ctx);
}

bool heavy_enter(Heavy *h)
{
    HeavyQueue *q = h->x->srv->heavy;
    Heavy **at = authn_is_own_role(h->x->req->peer) ? &q->own : &q->others;
    h->queue = q;
    h->loop = h->x->on->loop;
    h->tell = (LoopTask){ .fn = tell_placed, .ctx = h };
    pthread_mutex_lock(&q->lock);
    h->placed = q->taken < PLACES;
    q->taken += h->placed;
    while (!h->placed && *at)
        at = &(*at)->next;
    if (!h->placed) {
        *at = h;
        h->link = at;
    }
    bool placed = h->placed; /* as soon as the lock is gone somebody may give one */
    pthread_mutex_unlock(&q->lock);
    return placed;
}

static void unlink_waiting(Heavy *h)
{
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    h->next = NULL;
    h->link = NULL;
}

/* The lock is held; who has the place now may be another loop's. */
static void give_place(HeavyQueue *q)
{
    Heavy *h = q->own ? q->own : q->others;
    if (!h) {
        q->taken--;
        return;
    }
    unlink_waiting(h);
    h->placed = h->telling = true;
    loop_post_task(h->loop, &h->tell);
}

void heavy_leave(Heavy *h)
{
    HeavyQueue *q = h->queue;
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    if (h->link)
        unlink_waiting(h);
    if (h->telling)
        loop_task_cancel(h->loop, &h->tell);
    if (h->placed)
        give_place(q);
    h->placed = h->telling = false;
    h->queue = NULL;
    unlock(q);
}

static void on_peer_gone(void *ctx)
{
    Heavy *h = ctx;
    h->gone = true;
}

static void work(void *ctx)
{
    Heavy *h = ctx;
    HeavyQueue *q = h->queue;
    h->work(h->ctx);
    count_working(q, -1);
}

static void worked(void *ctx)
{
    Heavy *h = ctx;
    HttpReq *req = h->req;
    h->working = false;
    if (h->gone)
        h->x = NULL;
    else {
        h->x->outcome = NULL;
        http_on_close(req, NULL, NULL);
    }
    h->done(h->ctx);
    http_release(req);
}

bool heavy_run(Heavy *h)
{
    Err err = { 0 };
    h->req = h->x->req;
    h->answer = (Outcome){ .status = BUF_INIT };
    h->x->outcome = &h->answer;
    count_working(h->queue, 1);
    if (loop_work(h->loop, work, worked, h, &err) < 0) {
        count_working(h->queue, -1);
        h->x->outcome = NULL;
        return false;
    }
    h->working = true;
    http_hold(h->req);
    http_on_close(h->req, on_peer_gone, h);
    return true;
}
