/* exchange.c - one request and its response: everything that handlers call (net/http.h).
 *
 * The response's bytes wait in the exchange - as pieces that are not copied, or in the buffer of a
 * stream - and the connection's protocol takes them when the peer and the socket have room. */
#include "net/server_internal.h"

#include "net/http_util.h"

static Exchange *exchange_of(HttpReq *req)
{
    return (Exchange *)req;
}

/* ---- life ---- */

Exchange *exchange_new(HttpConn *c, Err *err)
{
    Exchange *e = calloc(1, sizeof *e);
    if (!e) {
        err_nomem(err);
        return NULL;
    }
    size_t limit = c->cfg.arena_limit;
    arena_init(&e->arena, limit ? limit : ARENA_DEFAULT_LIMIT);
    e->conn = c;
    e->bodies = c->cfg.bodies;
    e->since_ns = loop_now_ns(c->loop);
    e->req.arena = &e->arena;
    e->req.peer = net_stream_peer(c->stream);
    e->req.is_tls = c->cfg.tls != NULL;
    e->req.remote = (const struct sockaddr *)&c->remote;
    e->req.method = e->req.path = e->req.raw_path = e->req.query = e->req.authority = SV("");
    e->req.body = SV("");
    e->next = c->exchanges;
    if (e->next)
        e->next->prev = e;
    c->exchanges = e;
    c->n_exchanges++;
    c->since_ns = e->since_ns;
    return e;
}

void exchange_hold(Exchange *e)
{
    e->held++;
}

void exchange_unhold(Exchange *e)
{
    if (--e->held > 0 || !e->gone)
        return;
    exchange_drop_body(e);
    buf_free(&e->out);
    free(e->copy);
    arena_free(&e->arena);
    free(e);
}

static void drain_now(void *ctx)
{
    Exchange *e = ctx;
    e->drain_due = false;
    if (e->on_drain && exchange_available(e) == 0 && e->state == EX_RESPONDING)
        e->on_drain(e->drain_ctx);
}

static void unlink_ready(HttpConn *c, Exchange *e)
{
    Exchange *before = NULL;
    for (Exchange *x = c->ready; x; before = x, x = x->next_ready) {
        if (x != e)
            continue;
        if (before)
            before->next_ready = e->next_ready;
        else
            c->ready = e->next_ready;
        if (c->ready_tail == e)
            c->ready_tail = before;
        return;
    }
}

void exchange_gone(Exchange *e)
{
    if (e->gone)
        return;
    HttpConn *c = e->conn;
    e->gone = true;
    exchange_hold(e);
    if (e->state == EX_READY)
        unlink_ready(c, e);
    if (e->prev)
        e->prev->next = e->next;
    else
        c->exchanges = e->next;
    if (e->next)
        e->next->prev = e->prev;
    c->n_exchanges--;
    c->since_ns = loop_now_ns(c->loop);
    if (e->drain_due)
        loop_defer_cancel(c->loop, drain_now, e);
    exchange_body_forget(e);
    if ((e->state == EX_HANDLING || e->state == EX_RESPONDING) && e->on_close && !e->aborted)
        e->on_close(e->close_ctx);
    if (e->release)
        e->release(e->release_ctx);
    e->release = NULL;
    if (c->srv && c->cfg.ended && e->handled)
        c->cfg.ended(c->cfg.ctx, &e->req, e->status);
    exchange_uncount_body(e); /* whoever holds it may outlive the server */
    e->bodies = NULL;
    exchange_unhold(e);
}

/* ---- the request ---- */

int exchange_target(Exchange *e, StrView target, Err *err)
{
    StrView copy = arena_sv(&e->arena, target);
    if (!copy.ptr)
        return err_nomem(err);
    /* The absolute form that proxies receive: drop scheme and authority. */
    ssize_t scheme = sv_starts(copy, SV("/")) ? -1 : sv_find(copy, SV("://"));
    if (scheme >= 0) {
        StrView rest = sv_skip(copy, (size_t)scheme + 3);
        ssize_t slash = sv_find_char(rest, '/');
        copy = slash >= 0 ? sv_skip(rest, (size_t)slash) : SV("/");
    }
    sv_cut(copy, '?', &e->req.raw_path, &e->req.query);
    e->req.path = http_unescape(&e->arena, e->req.raw_path, false);
    if (!e->req.path.ptr)
        return err_set(err, ERR_INVALID, 0, "the path has a bad escape");
    return 0;
}

static bool grow_headers(Arena *a, HttpHeader **list, uint32_t n, uint32_t *cap)
{
    if (n < *cap)
        return true;
    uint32_t more = *cap ? *cap * 2 : 16;
    HttpHeader *p = arena_realloc(a, *list, *cap * sizeof *p, more * sizeof *p);
    if (!p)
        return false;
    *list = p;
    *cap = more;
    return true;
}

int exchange_add_header(Exchange *e, StrView name, StrView value, Err *err)
{
    HttpHeader h = { arena_sv(&e->arena, name), arena_sv(&e->arena, value) };
    if (!h.name.ptr || !h.value.ptr ||
        !grow_headers(&e->arena, &e->req.headers, e->req.n_headers, &e->headers_cap))
        return err_nomem(err);
    e->req.headers[e->req.n_headers++] = h;
    return 0;
}

void exchange_ready(Exchange *e)
{
    HttpConn *c = e->conn;
    if (e->state != EX_READING)
        return;
    e->state = EX_READY;
    e->req.body = buf_view(&e->body);
    e->next_ready = NULL;
    if (c->ready)
        c->ready_tail->next_ready = e;
    else
        c->ready = e;
    c->ready_tail = e;
}

/* ---- bytes of the response ---- */

size_t exchange_available(const Exchange *e)
{
    if (e->streaming)
        return e->out.len - e->out_off;
    size_t n = 0;
    for (uint32_t i = e->piece_at; i < e->n_pieces; i++)
        n += e->pieces[i].len;
    return n - (e->piece_at < e->n_pieces ? e->piece_off : 0);
}

void exchange_take(Exchange *e, Buf *dst, size_t n)
{
    e->since_ns = loop_now_ns(e->conn->loop);
    if (n == 0)
        return;
    if (e->streaming) {
        buf_append(dst, e->out.ptr + e->out_off, n);
        e->out_off += n;
        if (e->out_off == e->out.len) {
            buf_clear(&e->out);
            e->out_off = 0;
        } else if (e->out_off > e->out.len / 2) {
            buf_consume(&e->out, e->out_off);
            e->out_off = 0;
        }
        return;
    }
    while (n > 0) {
        HttpPiece *p = &e->pieces[e->piece_at];
        size_t some = MIN(n, p->len - e->piece_off);
        buf_append(dst, (const char *)p->ptr + e->piece_off, some);
        e->piece_off += some;
        n -= some;
        if (e->piece_off == p->len) {
            e->piece_at++;
            e->piece_off = 0;
        }
    }
}

bool exchange_all_sent(const Exchange *e)
{
    return e->state == EX_ENDED && exchange_available(e) == 0;
}

void exchange_after_take(Exchange *e)
{
    if (e->on_drain && !e->drain_due && e->state == EX_RESPONDING && exchange_available(e) == 0)
        e->drain_due = loop_defer(e->conn->loop, drain_now, e, NULL) == 0;
}

/* ---- what handlers call ---- */

int http_set_header(HttpReq *req, StrView name, StrView value, Err *err)
{
    Exchange *e = exchange_of(req);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == 0)
            return err_set(err, ERR_INVALID, 0, "a header value must be one line");
    HttpHeader h = { arena_sv(&e->arena, name), arena_sv(&e->arena, value) };
    if (!h.name.ptr || !h.value.ptr ||
        !grow_headers(&e->arena, &e->out_headers, e->n_out_headers, &e->out_headers_cap))
        return err_nomem(err);
    char *lower = (char *)h.name.ptr; /* our own copy */
    for (size_t i = 0; i < h.name.len; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] |= 0x20;
    e->out_headers[e->n_out_headers++] = h;
    return 0;
}

bool exchange_has_header(const Exchange *e, StrView lower_name)
{
    for (uint32_t i = 0; i < e->n_out_headers; i++)
        if (sv_eq(e->out_headers[i].name, lower_name))
            return true;
    return false;
}

/* The answer's own head and list of pieces come beside what the handler may use: one that has
 * filled its arena to the brim is heard all the same. */
static void add_room(Exchange *e, size_t bytes)
{
    enum { HEAD_ROOM = 16 * 1024 };
    if (e->arena.limit)
        e->arena.limit += HEAD_ROOM + bytes;
}

/* Starts a response whose pieces are in place, and sends what can be sent at once. */
static void respond(Exchange *e, int status, StrView content_type)
{
    HttpConn *c = e->conn;
    add_room(e, 0);
    size_t total = exchange_available(e);
    if (e->head_only || !http_status_has_body(status)) /* HEAD tells the length it would have */
        e->n_pieces = e->piece_at = 0;
    e->state = EX_ENDED;
    e->status = status;
    e->since_ns = loop_now_ns(c->loop);
    if (c->ops->start(e, status, content_type, total, NULL) < 0) {
        c->ops->reset(e);
        return;
    }
    c->ops->pump(c);
}

void http_respond(HttpReq *req, int status, StrView content_type, StrView body)
{
    Exchange *e = exchange_of(req);
    HttpConn *c = e->conn;
    conn_enter(c);
    exchange_hold(e);
    e->one_piece = (HttpPiece){ body.ptr, body.len };
    e->pieces = &e->one_piece;
    e->n_pieces = body.len > 0;
    respond(e, status, content_type);
    size_t left = e->gone ? 0 : exchange_available(e);
    if (left > 0) { /* the caller's memory must not be needed after the return */
        e->copy = malloc(left);
        if (!e->copy) {
            c->ops->reset(e);
        } else {
            memcpy(e->copy, body.ptr + (body.len - left), left);
            e->one_piece = (HttpPiece){ e->copy, left };
            e->piece_at = 0;
            e->piece_off = 0;
        }
    }
    exchange_unhold(e);
    conn_leave(c);
}

void http_hold(HttpReq *req)
{
    exchange_hold(exchange_of(req));
}

void http_release(HttpReq *req)
{
    exchange_unhold(exchange_of(req));
}

void http_respond_pieces(HttpReq *req, int status, StrView content_type, const HttpPiece *pieces,
                         uint32_t n, LoopFn *release, void *ctx)
{
    Exchange *e = exchange_of(req);
    HttpConn *c = e->conn;
    conn_enter(c);
    e->release = release;
    e->release_ctx = ctx;
    add_room(e, n * sizeof *pieces);
    e->pieces = arena_array(&e->arena, HttpPiece, n ? n : 1);
    if (!e->pieces) {
        e->state = EX_ENDED;
        c->ops->reset(e);
    } else {
        for (uint32_t i = 0; i < n; i++)
            if (pieces[i].len > 0)
                e->pieces[e->n_pieces++] = pieces[i];
        respond(e, status, content_type);
    }
    conn_leave(c);
}

int http_stream_start(HttpReq *req, int status, StrView content_type, Err *err)
{
    Exchange *e = exchange_of(req);
    bool head_only = e->head_only;
    add_room(e, 0);
    e->streaming = true;
    e->state = EX_RESPONDING;
    e->since_ns = loop_now_ns(e->conn->loop);
    if (!e->upgraded && !http_status_has_body(status))
        e->head_only = true; /* what is written nonetheless would be the next answer */
    int r = e->conn->ops->start(e, status, content_type, SIZE_MAX, err);
    if (r < 0) { /* as if nothing had been tried: it can be answered otherwise */
        e->state = EX_HANDLING;
        e->streaming = false;
        e->head_only = head_only;
        return r;
    }
    e->status = status;
    conn_pump_later(e->conn);
    return 0;
}

int http_stream_write(HttpReq *req, const void *data, size_t len, Err *err)
{
    Exchange *e = exchange_of(req);
    ASSERT(e->state == EX_RESPONDING);
    if (len == 0 || e->head_only)
        return 0;
    if (!buf_reserve(&e->out, len)) {
        e->out.failed = false;
        return err_nomem(err);
    }
    if (e->out.len == e->out_off) /* nothing waited: the time for the peer to take it begins */
        e->since_ns = loop_now_ns(e->conn->loop);
    buf_append(&e->out, data, len);
    e->conn->ops->more(e);
    conn_pump_later(e->conn);
    return 0;
}

int http_stream_take(HttpReq *req, Buf *data, Err *err)
{
    Exchange *e = exchange_of(req);
    ASSERT(e->state == EX_RESPONDING);
    if (data->failed)
        return err_nomem(err);
    if (!data->len || e->head_only)
        return 0;
    if (e->out.len > e->out_off)
        return http_stream_write(req, data->ptr, data->len, err);
    buf_free(&e->out);
    e->out = *data;
    e->out_off = 0;
    *data = (Buf)BUF_INIT;
    e->since_ns = loop_now_ns(e->conn->loop);
    e->conn->ops->more(e);
    conn_pump_later(e->conn);
    return 0;
}

size_t http_stream_pending(const HttpReq *req)
{
    return exchange_available((const Exchange *)req);
}

void http_stream_on_drain(HttpReq *req, LoopFn *fn, void *ctx)
{
    Exchange *e = exchange_of(req);
    e->on_drain = fn;
    e->drain_ctx = ctx;
}

void http_stream_end(HttpReq *req)
{
    Exchange *e = exchange_of(req);
    ASSERT(e->state == EX_RESPONDING);
    e->state = EX_ENDED;
    e->conn->ops->more(e);
    conn_pump_later(e->conn);
}

void http_abort(HttpReq *req)
{
    Exchange *e = exchange_of(req);
    HttpConn *c = e->conn;
    conn_enter(c);
    e->aborted = true;
    c->ops->reset(e);
    conn_leave(c);
}

void http_on_close(HttpReq *req, LoopFn *fn, void *ctx)
{
    Exchange *e = exchange_of(req);
    e->on_close = fn;
    e->close_ctx = ctx;
}
