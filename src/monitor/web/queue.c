/* queue.c - calls that wait for a thread, and answers that wait for their readers.
 *
 * Each class of calls has a bound of its own, and no client may have all of it: the next call to
 * run is the oldest one of the client with the fewest running, and of every four threads one is
 * kept from the client that has the others. Who waits longer than its timeout is told so. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "monitor/web/internal.h"

enum { SWEEP_MS = 250 };

static void start_next(Web *w, CallQueue *q);

static void work(void *ctx)
{
    Call *c = ctx;
    if (call_gone(c)) {
        api_error(c, API_CANCELED, "context canceled");
        return;
    }
    c->route->fn(c);
    call_compress(c);
}

static void done(void *ctx)
{
    Call *c = ctx;
    Web *w = c->web;
    CallQueue *q = &w->queues[c->route->cls];
    w->in_flight--;
    q->running--;
    for (Call **at = &q->active; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    call_send(c);
    start_next(w, q);
}

static void start(Web *w, CallQueue *q, Call *c)
{
    Err err = { 0 };
    c->begun_ns = clock_mono_ns();
    if (loop_work(w->loop, work, done, c, &err) < 0) {
        call_text(c, 500, "%s\n", err.msg);
        call_send(c);
        return;
    }
    w->in_flight++;
    q->running++;
    c->next = q->active;
    q->active = c;
}

/* ---- whose turn it is ---- */

static bool same_client(const Call *a, const Call *b)
{
    return memcmp(a->client, b->client, sizeof a->client) == 0;
}

static unsigned running_of(const CallQueue *q, const Call *c)
{
    unsigned n = 0;
    for (const Call *x = q->active; x; x = x->next)
        n += same_client(x, c);
    return n;
}

/* Threads that one client may have. */
static unsigned share(const CallQueue *q)
{
    return q->max > 1 ? q->max - MAX(1u, q->max / 4) : q->max;
}

/* Takes the next call out of the queue; NULL: nobody's turn. */
static Call *pick(CallQueue *q)
{
    Call **best = NULL;
    unsigned fewest = q->max ? share(q) : UINT32_MAX;
    for (Call **at = &q->head; *at; at = &(*at)->next) {
        unsigned n = (*at)->req ? running_of(q, *at) : 0; /* who has gone costs nothing */
        if (n >= fewest)
            continue;
        fewest = n;
        best = at;
        if (n == 0)
            break;
    }
    if (!best)
        return NULL;
    Call *c = *best;
    *best = c->next;
    if (!c->next)
        q->tail = best;
    q->waiting--;
    c->next = NULL;
    return c;
}

static void start_next(Web *w, CallQueue *q)
{
    while (!w->stopping && (!q->max || q->running < q->max)) {
        Call *c = pick(q);
        if (!c)
            return;
        if (c->req)
            start(w, q, c);
        else
            call_free(c);
    }
}

/* The address of the peer; all that come over a socket in the file system are one. */
static void take_client(Call *c)
{
    const struct sockaddr *sa = c->req->remote;
    if (sa && sa->sa_family == AF_INET) {
        memcpy(c->client, client_v4, sizeof client_v4);
        memcpy(c->client + sizeof client_v4,
               &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa && sa->sa_family == AF_INET6)
        memcpy(c->client, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
}

void call_enqueue(Call *c)
{
    Web *w = c->web;
    CallQueue *q = &w->queues[c->route->cls];
    if (q->waiting >= CALL_WAITING_MAX) {
        api_error(c, API_UNAVAILABLE, "more than %d requests wait already", CALL_WAITING_MAX);
        c->status = 503;
        call_send(c);
        return;
    }
    take_client(c);
    *q->tail = c;
    q->tail = &c->next;
    q->waiting++;
    start_next(w, q);
    if (q->head)
        (void)!source_set_timer(w->sweep, SWEEP_MS, SWEEP_MS, NULL);
}

/* ---- those that wait too long ---- */

static int64_t timeout_ms(const Call *c)
{
    int64_t ms = c->web->opt.promql.timeout_ms, own;
    StrView text = call_param(c, SV("timeout"));
    if (c->route->cls == CALL_QUERY && text.len && duration_param_parse(text, &own) == 0 &&
        (!ms || own < ms))
        ms = MAX(own, (int64_t)1);
    return ms ? ms : INT64_MAX / NSEC_PER_MSEC;
}

static void drop_late(CallQueue *q, int64_t now)
{
    Call *late = NULL;
    Call **at = &q->head;
    for (Call *c; (c = *at);) {
        if (c->req && (now - c->started_ns) / NSEC_PER_MSEC <= timeout_ms(c)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        q->waiting--;
        c->next = late;
        late = c;
    }
    q->tail = at;
    for (Call *next; late; late = next) { /* answering may bring further calls */
        next = late->next;
        if (late->req) {
            api_error(late, API_TIMEOUT, "query timed out in query queue");
            call_send(late);
        } else {
            call_free(late);
        }
    }
}

static void on_sweep(void *ctx)
{
    Web *w = ctx;
    bool any = false;
    for (unsigned i = 0; i < CALL_CLASS_MAX; i++) {
        drop_late(&w->queues[i], clock_mono_ns());
        any |= w->queues[i].head != NULL;
    }
    if (!any)
        source_stop_timer(w->sweep);
}

int queues_open(Web *w, Err *err)
{
    int r = loop_add_timer(w->loop, SWEEP_MS, 0, on_sweep, w, &w->sweep, err);
    if (r == 0)
        source_stop_timer(w->sweep);
    return r;
}

void queues_close(Web *w)
{
    w->sweep = source_free(w->sweep);
    for (unsigned i = 0; i < CALL_CLASS_MAX; i++) {
        CallQueue *q = &w->queues[i];
        for (Call *c; (c = q->head);) {
            q->head = c->next;
            call_free(c);
        }
        q->tail = &q->head;
        q->waiting = 0;
    }
}

/* ---- answers ---- */

void call_sent(void *call)
{
    Call *c = call;
    Web *w = c->web;
    w->sending_bytes -= c->out.cap;
    *c->sending_prev = c->next;
    if (c->next)
        c->next->sending_prev = c->sending_prev;
    else
        w->sending_tail = c->sending_prev;
    call_free(c);
}

void call_sending(Call *c)
{
    Web *w = c->web;
    c->next = NULL;
    c->sending_prev = w->sending_tail;
    *w->sending_tail = c;
    w->sending_tail = &c->next;
    w->sending_bytes += c->out.cap;
    /* The oldest reader is the slowest one: its connection ends, and with it call_sent() comes. If
     * that must wait, because the connection is at work just now, so does the bound. */
    for (Call *oldest; w->sending_bytes > WEB_SENDING_MAX && (oldest = w->sending) != c;) {
        http_abort(oldest->req);
        if (w->sending == oldest)
            break;
    }
}
