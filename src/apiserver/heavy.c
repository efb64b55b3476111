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
    Turns own, others;
    unsigned working; /* calls on other threads */
    bool closed;      /* gone with the last place */
};

HeavyQueue *heavy_queue_new(void)
{
    HeavyQueue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->idle, NULL);
    turns_init(&q->own, PLACES, 0);
    turns_init(&q->others, PLACES, 0);
    return q;
}

static unsigned taken(const HeavyQueue *q)
{
    return q->own.n_active + q->others.n_active;
}

/* Unlocks the queue, and frees it when nobody will use it any more. */
static void unlock(HeavyQueue *q)
{
    bool last = q->closed && !taken(q);
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

/* The lock is held. Who has a place from now on; NULL: nobody waits, or all are taken. */
static Heavy *give_place(HeavyQueue *q)
{
    if (taken(q) >= PLACES)
        return NULL;
    Turn *t = turns_next(&q->own);
    if (!t)
        t = turns_next(&q->others);
    Heavy *h = t ? CONTAINER_OF(t, Heavy, turn) : NULL;
    if (h)
        h->placed = true;
    return h;
}

bool heavy_enter(Heavy *h)
{
    HeavyQueue *q = h->x->srv->heavy;
    uint64_t user = sv_hash(h->x->user.name);
    h->queue = q;
    h->loop = h->x->on->loop;
    h->tell = (LoopTask){ .fn = tell_placed, .ctx = h };
    h->turns = authn_is_own_role(h->x->req->peer) ? &q->own : &q->others;
    h->turn = (Turn){ 0 };
    memcpy(h->turn.client, &user, sizeof user);
    pthread_mutex_lock(&q->lock);
    turns_add(h->turns, &h->turn);
    Heavy *next = give_place(q); /* a free place: nobody has waited */
    ASSERT(!next || next == h);
    pthread_mutex_unlock(&q->lock);
    return next != NULL; /* as soon as the lock is gone somebody may give one */
}

/* The lock is held; who has the place now may be another loop's. */
static void pass_on(HeavyQueue *q, Heavy *h)
{
    turns_end(h->turns, &h->turn);
    Heavy *next = give_place(q);
    if (!next)
        return;
    next->telling = true;
    loop_post_task(next->loop, &next->tell);
}

void heavy_leave(Heavy *h)
{
    HeavyQueue *q = h->queue;
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    if (h->telling)
        loop_task_cancel(h->loop, &h->tell);
    if (h->placed)
        pass_on(q, h);
    else
        turns_drop(h->turns, &h->turn);
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
