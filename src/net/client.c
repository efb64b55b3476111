/* client.c - the HTTP client: calls, which connection each goes to, retries, time.
 *
 * New calls wait in a queue that a deferred task serves: an HTTP/2 connection takes as many as the
 * server allows, an HTTP/1.1 connection one at a time. Until the first connection has told which
 * version the server speaks, one connection is opened and the rest waits for it. */
#include "net/client_internal.h"

#include <errno.h>
#include <stdio.h>

static void schedule_later(HttpClient *cl);

/* ---- calls ---- */

static void list_add(CallList *l, HttpCall *call)
{
    call->prev = l->tail;
    call->next = NULL;
    if (l->tail)
        l->tail->next = call;
    else
        l->head = call;
    l->tail = call;
    l->n++;
}

static void list_remove(CallList *l, HttpCall *call)
{
    if (call->prev)
        call->prev->next = call->next;
    else
        l->head = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        l->tail = call->prev;
    call->next = call->prev = NULL;
    l->n--;
}

void call_hold(HttpCall *call)
{
    call->held++;
}

void call_unhold(HttpCall *call)
{
    if (--call->held > 0 || !call->gone)
        return;
    buf_free(&call->out);
    arena_free(&call->arena);
    free(call);
}

static void drain_now(void *ctx)
{
    HttpCall *call = ctx;
    call->drain_due = false;
    if (!call->gone && call->out.len == 0)
        call->spec.on_drain(call->spec.ctx);
}

void call_drained(HttpCall *call)
{
    if (call->spec.on_drain && !call->drain_due && !call->gone)
        call->drain_due = loop_defer(call->client->loop, drain_now, call, NULL) == 0;
}

/* Off its lists and silent; freed when nobody holds it. */
static void call_gone(HttpCall *call)
{
    if (call->gone)
        return;
    call_hold(call);
    call->gone = true;
    list_remove(call->conn ? &call->conn->calls : &call->client->waiting, call);
    call->conn = NULL;
    call->timer = source_free(call->timer);
    if (call->drain_due)
        loop_defer_cancel(call->client->loop, drain_now, call);
    call_unhold(call);
}

int call_add_header(HttpCall *call, StrView name, StrView value, Err *err)
{
    if (name.len + value.len + 32 > CLIENT_HEADER_MAX - call->header_bytes)
        return err_set(err, ERR_LIMIT, 0, "the response's headers are too large");
    call->header_bytes += (uint32_t)(name.len + value.len + 32);
    if (call->n_headers == call->headers_cap) {
        uint32_t cap = call->headers_cap ? call->headers_cap * 2 : 16;
        HttpHeader *p = arena_realloc(&call->arena, call->headers, call->headers_cap * sizeof *p,
                                      cap * sizeof *p);
        if (!p)
            return err_nomem(err);
        call->headers = p;
        call->headers_cap = cap;
    }
    HttpHeader h = { arena_sv(&call->arena, name), arena_sv(&call->arena, value) };
    if (!h.name.ptr || !h.value.ptr)
        return err_nomem(err);
    call->headers[call->n_headers++] = h;
    return 0;
}

void call_head(HttpCall *call)
{
    if (!call->gone && call->spec.on_head)
        call->spec.on_head(call->spec.ctx, call->status, call->headers, call->n_headers);
}

void call_data(HttpCall *call, const void *data, size_t len)
{
    if (!call->gone && call->spec.on_data)
        call->spec.on_data(call->spec.ctx, data, len);
}

void call_done(HttpCall *call, const Err *err)
{
    if (call->gone)
        return;
    call_hold(call);
    call_gone(call);
    if (call->spec.on_done)
        call->spec.on_done(call->spec.ctx, err);
    call_unhold(call);
}

void call_again(HttpCall *call, const Err *why)
{
    HttpClient *cl = call->client;
    if (call->retried || call->status != 0 || !call->conn || call->conn->own) {
        call_done(call, why);
        return;
    }
    list_remove(&call->conn->calls, call);
    call->conn = NULL;
    call->retried = true;
    call->body_off = 0;
    list_add(&cl->waiting, call);
    schedule_later(cl);
}

StrView call_find_request_header(const HttpCall *call, StrView lower_name)
{
    for (uint32_t i = 0; i < call->spec.n_headers; i++)
        if (sv_eq(call->spec.headers[i].name, lower_name))
            return call->spec.headers[i].value;
    return SV_NULL;
}

HttpCall *http_call_cancel(HttpCall *call)
{
    if (!call || call->gone)
        return NULL;
    ClientConn *c = call->conn;
    call_hold(call);
    if (c)
        client_conn_enter(c);
    if (c && c->ready && !c->closing)
        c->ops->cancel(c, call);
    call_gone(call);
    if (c && c->own)
        client_conn_close(c, NULL);
    call_unhold(call);
    if (c)
        client_conn_leave(c);
    return NULL;
}

static void on_call_timeout(void *ctx)
{
    HttpCall *call = ctx;
    ClientConn *c = call->conn;
    Err err = { 0 };
    err_set(&err, ERR_TIMEOUT, 0, "no complete answer in time");
    call_hold(call);
    if (c)
        client_conn_enter(c);
    if (c && c->ready && !c->closing)
        c->ops->cancel(c, call);
    call_done(call, &err);
    if (c && c->own)
        client_conn_close(c, NULL);
    call_unhold(call);
    if (c)
        client_conn_leave(c);
}

/* ---- connections ---- */

static void conn_unlink(ClientConn *c)
{
    HttpClient *cl = c->client;
    if (!cl)
        return;
    if (c->dialed && cl->cfg.dials)
        cl->cfg.dials->closed++;
    if (c->prev)
        c->prev->next = c->next;
    else
        cl->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    cl->n_conns--;
    if (!c->ready)
        cl->n_connecting--;
    c->client = NULL;
}

static void pump_now(void *ctx)
{
    ClientConn *c = ctx;
    c->pump_due = false;
    client_conn_enter(c);
    if (c->ready && !c->closing)
        c->ops->pump(c);
    client_conn_leave(c);
}

static void conn_destroy(ClientConn *c)
{
    if (c->pump_due)
        loop_defer_cancel(c->loop, pump_now, c);
    if (c->ops)
        c->ops->free(c);
    connector_cancel(c->connector);
    c->timer = source_free(c->timer);
    net_stream_free(c->stream);
    free(c);
}

void client_conn_leave(ClientConn *c)
{
    ASSERT(c->busy > 0);
    if (--c->busy == 0 && c->closing)
        conn_destroy(c);
}

static bool may_repeat(const HttpCall *call)
{
    static const StrView idempotent[] = { SV_INIT("GET"), SV_INIT("HEAD"), SV_INIT("OPTIONS"),
                                          SV_INIT("PUT"), SV_INIT("DELETE") };
    for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++)
        if (sv_eq(call->spec.method, idempotent[i]))
            return !call->spec.streams;
    return false;
}

void client_conn_close(ClientConn *c, const Err *why)
{
    if (c->closing)
        return;
    Err gone = { 0 };
    err_set(&gone, ERR_CLOSED, 0, "the connection was closed before the answer was complete");
    Err copy = why ? *why : gone;
    c->closing = true;
    client_conn_enter(c);
    HttpClient *cl = c->client;
    conn_unlink(c);
    if (cl)
        schedule_later(cl);
    while (c->calls.head) {
        HttpCall *call = c->calls.head;
        /* A connection that was fine before and closes without a byte of the answer: most likely
         * the server let go of it just as we used it. One that sent too much would do so again. */
        if (c->used && copy.code != ERR_LIMIT && may_repeat(call))
            call_again(call, &copy);
        else
            call_done(call, &copy);
    }
    client_conn_leave(c);
}

void client_conn_idle(ClientConn *c)
{
    c->used = true;
    if (c->calls.n == 0 && (c->own || c->draining)) {
        client_conn_close(c, NULL);
        return;
    }
    if (c->client && c->client->waiting.n > 0)
        schedule_later(c->client);
}

void client_pump_later(ClientConn *c)
{
    if (c->pump_due || c->closing)
        return;
    if (loop_defer(c->loop, pump_now, c, NULL) < 0)
        client_conn_close(c, NULL);
    else
        c->pump_due = true;
}

static void on_data(void *ctx, const void *data, size_t len)
{
    ClientConn *c = ctx;
    Err err = { 0 };
    client_conn_enter(c);
    if (!c->closing) {
        if (c->ops->feed(c, data, len, &err) < 0)
            client_conn_close(c, &err);
        else if (!c->closing)
            c->ops->pump(c);
    }
    client_conn_leave(c);
}

/* The origin cannot be reached, or not be trusted: whoever waits for it learns why. */
static void connect_failed(ClientConn *c, const Err *why)
{
    HttpClient *cl = c->client;
    client_conn_enter(c);
    if (cl && !c->own) {
        CallList failed = cl->waiting;
        cl->waiting = (CallList){ 0 };
        for (HttpCall *call = failed.head; call; call = call->next)
            call->conn = c;
        c->calls = failed; /* fails with the connection */
    }
    client_conn_close(c, why);
    client_conn_leave(c);
}

static void on_end(void *ctx, const Err *why)
{
    ClientConn *c = ctx;
    client_conn_enter(c);
    if (!c->ready) {
        Err err = { 0 };
        err_set(&err, ERR_CLOSED, 0, "the server closed the connection");
        connect_failed(c, why ? why : &err);
    } else {
        if (!why && !c->closing)
            c->ops->ended(c);
        client_conn_close(c, why);
    }
    client_conn_leave(c);
}

static void on_drain(void *ctx)
{
    ClientConn *c = ctx;
    client_conn_enter(c);
    if (c->ready && !c->closing)
        c->ops->pump(c);
    client_conn_leave(c);
}

static void on_ready(void *ctx)
{
    ClientConn *c = ctx;
    Err err = { 0 };
    c->timer = source_free(c->timer);
    bool h2 = net_stream_is_h2(c->stream) || c->h2c;
    int r = h2 ? client_h2_init(c, &err) : client_h1_init(c, &err);
    if (r < 0) {
        connect_failed(c, &err);
        return;
    }
    c->ops = h2 ? &client_h2_ops : &client_h1_ops;
    c->ready = true;
    if (!h2)
        c->max_calls = 1;
    client_conn_enter(c);
    if (c->client) {
        c->client->n_connecting--;
        c->client->speaks_h1 = !h2;
    }
    if (c->own && c->calls.head)
        c->ops->start(c, c->calls.head);
    else if (c->client)
        schedule_later(c->client);
    if (!c->closing)
        c->ops->pump(c);
    client_conn_leave(c);
}

static void on_handshake_timeout(void *ctx)
{
    Err err = { 0 };
    err_set(&err, ERR_TIMEOUT, 0, "the TLS handshake did not end in time");
    connect_failed(ctx, &err);
}

static HttpDialFailure dial_failure(const Err *why)
{
    return why->sys == ECONNREFUSED     ? HTTP_DIAL_REFUSED
           : why->code == ERR_NOT_FOUND ? HTTP_DIAL_RESOLUTION
           : why->code == ERR_TIMEOUT   ? HTTP_DIAL_TIMEOUT
                                        : HTTP_DIAL_UNKNOWN;
}

static void count_dial(ClientConn *c, int fd, const Err *why)
{
    HttpDials *d = c->client->cfg.dials;
    c->dialed = fd >= 0;
    if (d && fd >= 0)
        d->established++;
    else if (d)
        d->failed[dial_failure(why)]++;
}

static void on_connected(void *ctx, int fd, const Err *why)
{
    ClientConn *c = ctx;
    HttpClient *cl = c->client;
    Err err = { 0 };
    c->connector = NULL;
    count_dial(c, fd, why);
    if (fd < 0) {
        connect_failed(c, why);
        return;
    }
    int r = net_stream_new_client(c->loop, fd, cl->cfg.tls, cl->cfg.server_name,
                                  !cl->cfg.http1_only, &c->stream, &err);
    if (r == 0)
        r = loop_add_timer(c->loop, cl->cfg.connect_timeout_ms, 0, on_handshake_timeout, c,
                           &c->timer, &err);
    if (r < 0) {
        connect_failed(c, &err);
        return;
    }
    client_conn_enter(c);
    net_stream_on_ready(c->stream, on_ready, c);
    net_stream_start(c->stream, &(NetStreamEvents){ on_data, on_end, on_drain, c });
    client_conn_leave(c);
}

static int conn_new(HttpClient *cl, ClientConn **ret, Err *err)
{
    ClientConn *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->client = cl;
    c->loop = cl->loop;
    c->max_calls = 1;
    c->h2c = cl->cfg.h2c && !cl->cfg.tls;
    const ConnectTo to = client_connect_to(cl);
    int r = connector_new(cl->loop, &to, on_connected, c, &c->connector, err);
    if (r < 0) {
        free(c);
        return r;
    }
    if (cl->cfg.dials)
        cl->cfg.dials->attempted++;
    c->next = cl->conns;
    if (c->next)
        c->next->prev = c;
    cl->conns = c;
    cl->n_conns++;
    cl->n_connecting++;
    *ret = c;
    return 0;
}

/* ---- which call goes where ---- */

static ClientConn *find_conn(HttpClient *cl)
{
    for (ClientConn *c = cl->conns; c; c = c->next)
        if (c->ready && !c->own && !c->draining && !c->closing && c->calls.n < c->max_calls)
            return c;
    return NULL;
}

static void assign(HttpClient *cl, HttpCall *call, ClientConn *c)
{
    list_remove(&cl->waiting, call);
    list_add(&c->calls, call);
    call->conn = c;
}

static void schedule_now(void *ctx)
{
    HttpClient *cl = ctx;
    cl->schedule_due = false;
    ClientConn *c;
    while (cl->waiting.head && !cl->cfg.no_reuse && (c = find_conn(cl)) != NULL) {
        HttpCall *call = cl->waiting.head;
        assign(cl, call, c);
        client_conn_enter(c);
        c->ops->start(c, call);
        client_pump_later(c);
        client_conn_leave(c);
    }
    /* New connections for the rest. Where the server may speak HTTP/2, one at a time will do. */
    bool one = cl->cfg.tls && !cl->cfg.http1_only && !cl->cfg.no_reuse && !cl->speaks_h1;
    while (cl->waiting.head && (cl->cfg.no_reuse || cl->n_connecting < (one ? 1 : cl->waiting.n)) &&
           (cl->cfg.no_reuse || cl->n_conns < CLIENT_CONNS_MAX)) {
        Err err = { 0 };
        HttpCall *call = cl->waiting.head;
        if (conn_new(cl, &c, &err) < 0) {
            call_done(call, &err);
            return;
        }
        if (cl->cfg.no_reuse) {
            c->own = true;
            assign(cl, call, c);
        }
    }
}

static void schedule_later(HttpClient *cl)
{
    if (!cl->schedule_due)
        cl->schedule_due = loop_defer(cl->loop, schedule_now, cl, NULL) == 0;
}

static int copy_spec(HttpCall *call, const HttpCallSpec *spec, Err *err)
{
    Arena *a = &call->arena;
    call->spec = *spec;
    call->spec.method = arena_sv(a, spec->method);
    call->spec.target = arena_sv(a, spec->target);
    call->spec.body = arena_sv(a, spec->body);
    HttpHeader *h = arena_array(a, HttpHeader, spec->n_headers ? spec->n_headers : 1);
    if (!call->spec.method.ptr || !call->spec.target.ptr || !call->spec.body.ptr || !h)
        return err_nomem(err);
    for (uint32_t i = 0; i < spec->n_headers; i++) {
        h[i].name = arena_sv(a, spec->headers[i].name);
        h[i].value = arena_sv(a, spec->headers[i].value);
        if (!h[i].name.ptr || !h[i].value.ptr)
            return err_nomem(err);
        char *lower = (char *)h[i].name.ptr; /* our own copy */
        for (size_t k = 0; k < h[i].name.len; k++)
            if (lower[k] >= 'A' && lower[k] <= 'Z')
                lower[k] |= 0x20;
        for (size_t k = 0; k < h[i].value.len; k++)
            if (h[i].value.ptr[k] == '\r' || h[i].value.ptr[k] == '\n' || h[i].value.ptr[k] == 0)
                return err_set(err, ERR_INVALID, 0, "a header value must be one line");
    }
    call->spec.headers = h;
    return 0;
}

int http_call(HttpClient *cl, const HttpCallSpec *spec, HttpCall **ret, Err *err)
{
    HttpCall *call = calloc(1, sizeof *call);
    if (!call)
        return err_nomem(err);
    call->client = cl;
    arena_init(&call->arena, 0);
    int r = copy_spec(call, spec, err);
    if (r == 0 && spec->timeout_ms > 0)
        r = loop_add_timer(cl->loop, spec->timeout_ms, 0, on_call_timeout, call, &call->timer, err);
    if (r < 0) {
        arena_free(&call->arena);
        free(call);
        return r;
    }
    list_add(&cl->waiting, call);
    schedule_later(cl);
    if (ret)
        *ret = call;
    return 0;
}

/* ---- the client ---- */

static char *make_authority(const HttpClientConfig *cfg)
{
    char *s = NULL;
    if (sv_starts(sv_cstr(cfg->host), SV("unix:")))
        return strdup("localhost");
    bool v6 = strchr(cfg->host, ':') != NULL;
    bool usual = cfg->port == (cfg->tls ? 443 : 80);
    int n = usual ? asprintf(&s, v6 ? "[%s]" : "%s", cfg->host)
                  : asprintf(&s, v6 ? "[%s]:%u" : "%s:%u", cfg->host, cfg->port);
    return n < 0 ? NULL : s;
}

int http_client_new(Loop *l, const HttpClientConfig *cfg, HttpClient **ret, Err *err)
{
    HttpClient *cl = calloc(1, sizeof *cl);
    if (!cl)
        return err_nomem(err);
    cl->loop = l;
    cl->cfg = *cfg;
    cl->cfg.host = strdup(cfg->host);
    cl->cfg.server_name = strdup(cfg->server_name ? cfg->server_name : cfg->host);
    cl->cfg.proxy_host = cfg->proxy_host ? strdup(cfg->proxy_host) : NULL;
    buf_sv(&cl->proxy_head, cfg->proxy_head);
    cl->cfg.proxy_head = buf_view(&cl->proxy_head);
    cl->cfg.tls = tls_context_ref(cfg->tls);
    if (cl->cfg.connect_timeout_ms == 0)
        cl->cfg.connect_timeout_ms = CLIENT_CONNECT_TIMEOUT_DEFAULT;
    cl->authority = make_authority(cfg);
    if (!cl->cfg.host || !cl->cfg.server_name || !cl->authority || cl->proxy_head.failed ||
        (cfg->proxy_host && !cl->cfg.proxy_host)) {
        http_client_free(cl);
        return err_nomem(err);
    }
    *ret = cl;
    return 0;
}

void http_client_set_tls(HttpClient *cl, TlsContext *tls)
{
    TlsContext *old = cl->cfg.tls;
    cl->cfg.tls = tls_context_ref(tls);
    tls_context_unref(old);
}

HttpClient *http_client_free(HttpClient *cl)
{
    if (!cl)
        return NULL;
    if (cl->schedule_due)
        loop_defer_cancel(cl->loop, schedule_now, cl);
    while (cl->waiting.head)
        call_gone(cl->waiting.head);
    while (cl->conns) {
        ClientConn *c = cl->conns;
        conn_unlink(c);
        while (c->calls.head)
            call_gone(c->calls.head);
        client_conn_close(c, NULL);
    }
    tls_context_unref(cl->cfg.tls);
    free((char *)cl->cfg.host);
    free((char *)cl->cfg.server_name);
    free((char *)cl->cfg.proxy_host);
    buf_free(&cl->proxy_head);
    free(cl->authority);
    free(cl);
    return NULL;
}

void http_call_pause(HttpCall *call, bool paused)
{
    if (!call || call->paused == paused)
        return;
    call->paused = paused;
    if (call->conn && call->conn->stream)
        call->conn->ops->pause(call->conn, call);
}

/* ---- bodies that stream ---- */

int http_call_write(HttpCall *call, const void *data, size_t len, Err *err)
{
    buf_append(&call->out, data, len);
    if (call->out.failed)
        return err_nomem(err);
    if (call->conn && call->conn->ready)
        client_pump_later(call->conn);
    return 0;
}

size_t http_call_pending(const HttpCall *call)
{
    return call->out.len;
}

void http_call_end(HttpCall *call)
{
    call->out_over = true;
    if (call->conn && call->conn->ready)
        client_pump_later(call->conn);
}
