/* queue.c - calls that wait for a thread, and answers that wait for their readers.
 *
 * Each class of calls has a bound of its own, and no client may have all of it (base/turns.h): of
 * every four threads one is kept from the client that has the others. Who waits longer than its
 * timeout is told so. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "monitor/web/internal.h"

enum { SWEEP_MS = 250 };

static void start_next(Web *w, Turns *q);

static Call *call_of(Turn *t)
{
    return CONTAINER_OF(t, Call, turn);
}

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
    Turns *q = &w->queues[c->route->cls];
    w->in_flight--;
    turns_end(q, &c->turn);
    call_send(c);
    start_next(w, q);
}

static void start(Web *w, Turns *q, Call *c)
{
    Err err = { 0 };
    c->begun_ns = clock_mono_ns();
    if (loop_work(w->loop, work, done, c, &err) == 0) {
        w->in_flight++;
        return;
    }
    turns_end(q, &c->turn);
    call_text(c, 500, "%s\n", err.msg);
    call_send(c);
}

static void start_next(Web *w, Turns *q)
{
    while (!w->stopping) {
        Turn *t = turns_next(q);
        if (!t)
            return;
        if (!t->left) {
            start(w, q, call_of(t));
            continue;
        }
        turns_end(q, t);
        call_free(call_of(t));
    }
}

/* The address of the peer; all that come over a socket in the file system are one. */
static void take_client(Call *c)
{
    const struct sockaddr *sa = c->req->remote;
    if (sa && sa->sa_family == AF_INET) {
        memcpy(c->turn.client, client_v4, sizeof client_v4);
        memcpy(c->turn.client + sizeof client_v4,
               &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa && sa->sa_family == AF_INET6)
        memcpy(c->turn.client, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
}

void call_enqueue(Call *c)
{
    Web *w = c->web;
    Turns *q = &w->queues[c->route->cls];
    if (q->n_waiting >= CALL_WAITING_MAX) {
        api_error(c, API_UNAVAILABLE, "more than %d requests wait already", CALL_WAITING_MAX);
        c->status = 503;
        call_send(c);
        return;
    }
    take_client(c);
    turns_add(q, &c->turn);
    start_next(w, q);
    if (q->waiting)
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

static void drop_late(Turns *q, int64_t now)
{
    Turn *late = NULL;
    for (Turn *t = q->waiting, *next; t; t = next) {
        next = t->next;
        if (!t->left && (now - call_of(t)->started_ns) / NSEC_PER_MSEC <= timeout_ms(call_of(t)))
            continue;
        turns_drop(q, t);
        t->next = late;
        late = t;
    }
    for (Turn *next; late; late = next) { /* answering may bring further calls */
        next = late->next;
        Call *c = call_of(late);
        if (late->left) {
            call_free(c);
            continue;
        }
        api_error(c, API_TIMEOUT, "query timed out in query queue");
        call_send(c);
    }
}

static void on_sweep(void *ctx)
{
    Web *w = ctx;
    bool any = false;
    for (unsigned i = 0; i < CALL_CLASS_MAX; i++) {
        drop_late(&w->queues[i], clock_mono_ns());
        any |= w->queues[i].waiting != NULL;
    }
    if (!any)
        source_stop_timer(w->sweep);
}

/* Threads that one client may have. */
static unsigned share_of(unsigned places)
{
    return places > 1 ? places - MAX(1u, places / 4) : places;
}

int queues_open(Web *w, Err *err)
{
    const unsigned places[CALL_CLASS_MAX] = { [CALL_QUERY] = w->opt.query_concurrency,
                                              [CALL_READ] = w->opt.read_concurrency,
                                              [CALL_WORKER] = WEB_WORKERS };
    for (unsigned i = 0; i < CALL_CLASS_MAX; i++)
        turns_init(&w->queues[i], places[i], share_of(places[i]));
    int r = loop_add_timer(w->loop, SWEEP_MS, 0, on_sweep, w, &w->sweep, err);
    if (r == 0)
        source_stop_timer(w->sweep);
    return r;
}

void queues_close(Web *w)
{
    w->sweep = source_free(w->sweep);
    for (unsigned i = 0; i < CALL_CLASS_MAX; i++)
        for (Turn *t; (t = w->queues[i].waiting);) {
            turns_drop(&w->queues[i], t);
            call_free(call_of(t));
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
