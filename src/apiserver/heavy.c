/* heavy.c - see heavy.h. */
#include "apiserver/heavy.h"

#include <pthread.h>

#include "apiserver/authn.h"
#include "net/http.h"

enum { PLACES = 2 };

struct HeavyQueue {
    Loop *loop;
    unsigned taken;
    Heavy *own, *others; /* who waits, the first of each first */
    bool closed;         /* gone with the last place */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned working; /* calls on other threads; under the lock */
};

HeavyQueue *heavy_queue_new(Loop *l)
{
    HeavyQueue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->loop = l;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->idle, NULL);
    return q;
}

static void free_last(HeavyQueue *q)
{
    if (!q->closed || q->taken)
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
    pthread_mutex_unlock(&q->lock);
    q->closed = true;
    free_last(q);
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

bool heavy_enter(Heavy *h)
{
    HeavyQueue *q = h->x->srv->heavy;
    h->queue = q;
    if (q->taken < PLACES) {
        q->taken++;
        h->placed = true;
        return true;
    }
    Heavy **at = authn_is_own_role(h->x->req->peer) ? &q->own : &q->others;
    while (*at)
        at = &(*at)->next;
    *at = h;
    h->link = at;
    return false;
}

static void unlink_waiting(Heavy *h)
{
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    h->next = NULL;
    h->link = NULL;
}

static void tell_placed(void *ctx)
{
    Heavy *h = ctx;
    h->done(h->ctx);
}

/* Not at once: whoever gives the place back is in the middle of something. */
static void give_place(HeavyQueue *q)
{
    Heavy *h = q->own ? q->own : q->others;
    if (!h) {
        q->taken--;
        free_last(q);
        return;
    }
    unlink_waiting(h);
    h->placed = true;
    if (loop_defer(q->loop, tell_placed, h, NULL) < 0)
        tell_placed(h);
}

void heavy_leave(Heavy *h)
{
    if (h->link)
        unlink_waiting(h);
    if (!h->placed)
        return;
    h->placed = false;
    loop_defer_cancel(h->queue->loop, tell_placed, h);
    give_place(h->queue);
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
    if (loop_work(h->queue->loop, work, worked, h, &err) < 0) {
        count_working(h->queue, -1);
        h->x->outcome = NULL;
        return false;
    }
    h->working = true;
    http_hold(h->req);
    http_on_close(h->req, on_peer_gone, h);
    return true;
}
