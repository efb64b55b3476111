/* exchange_body.c - what a peer sends after the head of a request: collected whole for the handler,
 * or handed on as it comes (net/http.h: `streams`, http_upgrade()).
 *
 * A body that streams is kept only while nobody takes it: before http_body_start() and while it is
 * paused. Then its connection stops reading (HTTP/1) or the windows stay closed (HTTP/2), so that
 * little more than what was on its way is kept. The end is always told from the loop, never from
 * inside a parser: handlers answer there. */
#include "net/server_internal.h"

static bool hold_bytes(Exchange *e, size_t len)
{
    HttpBodyLimit *l = e->bodies;
    if (!l)
        return true;
    bool all = !l->preferred || (e->req.peer && l->preferred(e->req.peer));
    size_t max = all ? l->max : l->max / 4 * 3;
    size_t held = atomic_load_explicit(&l->held, memory_order_relaxed);
    do {
        if (len > max || held > max - len)
            return false;
    } while (!atomic_compare_exchange_weak(&l->held, &held, held + len));
    e->held_bytes += len;
    return true;
}

void exchange_uncount_body(Exchange *e)
{
    if (e->bodies)
        atomic_fetch_sub(&e->bodies->held, e->held_bytes);
    e->held_bytes = 0;
}

void exchange_drop_body(Exchange *e)
{
    buf_free(&e->body);
    exchange_uncount_body(e);
}

int exchange_body(Exchange *e, const void *data, size_t len, Err *err)
{
    size_t max = e->conn->cfg.body_max;
    if (e->req.body_too_large)
        return 0;
    e->req.busy = !hold_bytes(e, len);
    if (e->req.busy || len > max || e->body.len + len > max) {
        e->req.body_too_large = true;
        exchange_drop_body(e);
        return 0;
    }
    buf_append(&e->body, data, len);
    return e->body.failed ? err_nomem(err) : 0;
}

/* ---- bodies that stream ---- */

bool exchange_takes_body(const Exchange *e)
{
    return (e->req.streams || e->upgraded) && !e->body_over && e->state != EX_ENDED;
}

bool exchange_wants_stream(Exchange *e)
{
    HttpServerConfig *cfg = &e->conn->cfg;
    e->req.streams = cfg->streams && cfg->streams(cfg->ctx, &e->req);
    if (!e->req.streams)
        return false;
    e->body_paused = true; /* until it is asked for */
    e->conn->ops->body_paused(e);
    exchange_ready(e);
    return true;
}

static bool flows(const Exchange *e)
{
    return e->sink.on_data && !e->body_paused && !e->gone && e->state != EX_ENDED;
}

/* Hands on what was kept, and the end. */
static void deliver_now(void *ctx)
{
    Exchange *e = ctx;
    HttpConn *c = e->conn;
    e->body_due = false;
    conn_enter(c);
    exchange_hold(e);
    if (flows(e) && e->body.len > 0) {
        _cleanup_buf_ Buf kept = e->body;
        e->body = (Buf)BUF_INIT;
        exchange_uncount_body(e);
        e->sink.on_data(e->sink.ctx, kept.ptr, kept.len);
        if (!e->gone)
            c->ops->body_taken(e, kept.len);
    }
    if (flows(e) && e->body_over && e->body.len == 0 && !e->body_told) {
        e->body_told = true;
        if (e->sink.on_end)
            e->sink.on_end(e->sink.ctx);
    }
    exchange_unhold(e);
    conn_leave(c);
}

static void deliver_later(Exchange *e)
{
    if (e->body_due || e->gone)
        return;
    e->body_due = loop_defer(e->conn->loop, deliver_now, e, NULL) == 0;
    if (!e->body_due)
        e->conn->ops->reset(e);
}

void exchange_body_forget(Exchange *e)
{
    if (e->body_due)
        loop_defer_cancel(e->conn->loop, deliver_now, e);
    e->body_due = false;
}

void exchange_body_chunk(Exchange *e, const void *data, size_t len)
{
    HttpConn *c = e->conn;
    exchange_hold(e);
    if (flows(e) && e->body.len == 0) {
        e->sink.on_data(e->sink.ctx, data, len);
        if (!e->gone)
            c->ops->body_taken(e, len);
    } else if (!hold_bytes(e, len)) {
        c->ops->reset(e);
    } else {
        buf_append(&e->body, data, len);
        if (e->body.failed)
            c->ops->reset(e);
    }
    exchange_unhold(e);
}

void exchange_body_over(Exchange *e)
{
    e->body_over = true;
    deliver_later(e);
}

void http_body_start(HttpReq *req, const HttpBodyEvents *ev)
{
    Exchange *e = (Exchange *)req;
    e->sink = *ev;
    http_body_pause(req, false);
    deliver_later(e);
}

void http_body_pause(HttpReq *req, bool paused)
{
    Exchange *e = (Exchange *)req;
    if (e->body_paused == paused || e->gone)
        return;
    e->body_paused = paused;
    e->conn->ops->body_paused(e);
    if (!paused)
        deliver_later(e);
}
