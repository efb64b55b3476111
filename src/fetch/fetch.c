/* fetch.c - one request: connect, follow redirects, decompress, within one deadline and one limit
 * of size. */
#include "fetch/internal.h"

#include <stdio.h>

#include "base/clock.h"

static int begin(Fetch *x, Err *err);
static void on_failed(void *ctx);
static void on_enough(void *ctx);

/* ---- origins ---- */

static Origin *origin_free(Origin *o)
{
    if (o) {
        http_client_free(o->client);
        free(o);
    }
    return NULL;
}

/* Those that nobody has used for long, and those of an older TLS context. */
static void sweep_origins(Fetcher *f)
{
    int64_t now = loop_now_ns(f->loop);
    StrView key;
    void *val;

    for (Origin **at = &f->retired; *at;) {
        Origin *o = *at;
        if (o->busy) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        origin_free(o);
    }
    for (size_t i = 0; map_next(&f->origins, &i, &key, &val);) {
        Origin *o = val;
        if (o->busy || now - o->used_ns < FETCH_ORIGIN_IDLE_S * NSEC_PER_SEC)
            continue;
        map_del(&f->origins, key);
        origin_free(o);
        return; /* the walk ends with a deletion; the rest is for the next time */
    }
}

static int make_client(Fetcher *f, const FetchRoute *to, TlsContext *tls, HttpClient **ret,
                       Err *err)
{
    char host[512], name[512], proxy[512];
    const FetchTls *t = &f->cfg->tls;
    const FetchUrl *end = to->has_proxy && !to->is_tls ? &to->proxy : &to->to;
    HttpClientConfig c = {
        .host = host,
        .port = end->port,
        .tls = tls,
        .any_address = f->cfg->round_robin_dns,
        .no_reuse = f->cfg->no_reuse,
    };

    if (!sv_copy_cstr(end->host, host, sizeof host) ||
        !sv_copy_cstr(t->server_name, name, sizeof name) ||
        !sv_copy_cstr(to->proxy.host, proxy, sizeof proxy))
        return err_set(err, ERR_LIMIT, 0, "the name of the host is too long");
    if (tls && t->server_name.len)
        c.server_name = name;
    if (to->connect_head.len) {
        c.proxy_host = proxy;
        c.proxy_port = to->proxy.port;
        c.proxy_head = to->connect_head;
    }
    c.dials = f->dials;
    return http_client_new(f->loop, &c, ret, err);
}

static StrView origin_key(Fetch *x, const FetchRoute *to)
{
    const FetchUrl *end = to->has_proxy && !to->is_tls ? &to->proxy : &to->to;
    return arena_printf(&x->arena, "%d %.*s %u %.*s %u", to->is_tls, SV_FMT(end->host), end->port,
                        SV_FMT(to->proxy.host), to->proxy.port);
}

static int get_origin(Fetch *x, const FetchRoute *to, Err *err)
{
    Fetcher *f = x->f;
    TlsContext *tls = NULL;
    int r;

    if (to->is_tls && (r = fetcher_tls(f, &tls, err)) < 0)
        return r;
    StrView key = origin_key(x, to);
    if (!key.ptr)
        return err_nomem(err);
    Origin *o = map_get(&f->origins, key);
    if (!o) {
        sweep_origins(f);
        o = calloc(1, sizeof *o);
        if (!o)
            return err_nomem(err);
        r = make_client(f, to, tls, &o->client, err);
        if (r >= 0 && !map_set(&f->origins, key, o, NULL))
            r = err_nomem(err);
        if (r < 0) {
            origin_free(o);
            return r;
        }
    }
    o->busy++;
    o->used_ns = loop_now_ns(f->loop);
    x->origin = o;
    return 0;
}

static void leave_origin(Fetch *x)
{
    if (x->origin)
        x->origin->busy--;
    x->origin = NULL;
}

/* ---- the end ---- */

static void fetch_free(Fetch *x)
{
    x->call = http_call_cancel(x->call);
    leave_origin(x);
    loop_defer_cancel(x->f->loop, on_failed, x);
    loop_defer_cancel(x->f->loop, on_enough, x);
    gunzip_free(&x->unpacker);
    if (x->spec.budget)
        x->spec.budget->used -= x->counted;
    if (x->next)
        x->next->prev = x->prev;
    if (x->prev)
        x->prev->next = x->next;
    else
        x->f->fetches = x->next;
    buf_free(&x->body);
    arena_free(&x->arena);
    free(x);
}

/* The sentence of Go's http.Client around what went wrong. */
static void wrap(Fetch *x, Err *err)
{
    if (err->code == ERR_LIMIT || err->code == ERR_NOMEM)
        return;
    if (err->code == ERR_TIMEOUT)
        err_set(err, ERR_TIMEOUT, 0, "context deadline exceeded");
    err_wrap(err, "%s \"%.*s\"", sv_eq(x->spec.method, SV("POST")) ? "Post" : "Get",
             SV_FMT(sv_head(x->url, 300)));
}

static void finish(Fetch *x, const Err *why)
{
    FetchDoneFn *done = x->spec.done;
    void *ctx = x->spec.ctx;
    Err err = { 0 };
    FetchResult r = { .status = x->status,
                      .content_type = x->content_type,
                      .headers = x->answer,
                      .n_headers = x->n_answer,
                      .body = buf_view(&x->body),
                      .is_gzip = x->gzip && x->spec.keep_gzip,
                      .take = &x->body };

    if (why) {
        err = *why;
        wrap(x, &err);
        r.err = &err;
    }
    x->call = NULL; /* it is ending by itself */
    done(ctx, &r);
    fetch_free(x);
}

static void on_failed(void *ctx)
{
    Fetch *x = ctx;
    Err err = x->err;
    finish(x, &err);
}

/* Ends later in this turn: never inside a callback of the call or inside fetch_start(). */
static void fail_later(Fetch *x, const Err *why)
{
    x->err = *why;
    x->call = http_call_cancel(x->call);
    if (loop_defer(x->f->loop, on_failed, x, NULL) < 0)
        on_failed(x);
}

Fetch *fetch_cancel(Fetch *x)
{
    if (!x)
        return NULL;
    fetch_free(x);
    return NULL;
}

/* ---- the answer ---- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool will_redirect(const Fetch *x)
{
    return x->f->cfg->follow_redirects && !x->spec.streams && is_redirect(x->status) &&
           !sv_empty(x->location);
}

static void on_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    Fetch *x = ctx;
    x->status = status;
    x->content_type = x->location = SV("");
    x->gzip = false;
    x->n_answer = 0;
    x->answer = arena_array(&x->arena, HttpHeader, n + 1u);
    for (uint32_t i = 0; i < n; i++) {
        StrView name = headers[i].name, value = headers[i].value;
        HttpHeader copy = { arena_sv(&x->arena, name), arena_sv(&x->arena, value) };
        if (x->answer && copy.name.ptr && copy.value.ptr)
            x->answer[x->n_answer++] = copy;
        if (sv_eq(name, SV("content-type")))
            x->content_type = arena_sv(&x->arena, value);
        else if (sv_eq(name, SV("location")))
            x->location = arena_sv(&x->arena, value);
        else if (sv_eq(name, SV("content-encoding")))
            x->gzip = sv_eq_nocase(value, SV("gzip"));
    }
    x->passed = x->spec.on_head && !will_redirect(x) &&
                x->spec.on_head(x->spec.ctx, status, x->answer, x->n_answer);
}

/* Counts the body's memory; false: the budget is used up. */
static bool within_budget(Fetch *x)
{
    FetchBudget *b = x->spec.budget;
    if (!b || x->body.cap == x->counted)
        return true;
    b->used += x->body.cap - x->counted;
    x->counted = x->body.cap;
    return x->body.len <= FETCH_SMALL || b->used <= b->max;
}

/* Takes what fits; what comes after it is not waited for. */
static int take_cut(Fetch *x, const void *data, size_t len, Err *err)
{
    buf_append(&x->body, data, MIN(len, x->spec.body_max - x->body.len));
    if (x->body.failed)
        return err_nomem(err);
    if (x->body.len < x->spec.body_max)
        return 0;
    x->cut = true;
    x->call = http_call_cancel(x->call);
    return loop_defer(x->f->loop, on_enough, x, err);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    Fetch *x = ctx;
    Err err = { 0 };
    int r = 0;

    if (x->err.code || x->cut || len == 0)
        return;
    if (x->passed) {
        x->spec.on_data(x->spec.ctx, data, len); /* which may have freed it */
        return;
    }
    if (x->spec.body_cut) {
        if (take_cut(x, data, len, &err) < 0)
            fail_later(x, &err);
        return;
    }
    if (x->gzip && !x->spec.keep_gzip)
        r = gunzip_feed(&x->unpacker, sv_n(data, len), x->spec.body_max, &x->body, &err);
    else
        buf_append(&x->body, data, len);
    if (r >= 0 && x->body.failed)
        r = err_nomem(&err);
    if (r == -ERR_LIMIT || (r >= 0 && x->body.len > x->spec.body_max))
        r = err_set(&err, ERR_LIMIT, 0, FETCH_TOO_LARGE);
    if (r >= 0 && !within_budget(x))
        r = err_set(&err, ERR_LIMIT, 0,
                    "the bodies that are being received take more than %zu MiB together",
                    x->spec.budget->max >> 20);
    if (r < 0)
        fail_later(x, &err);
}

/* x->location against x->url. ptr NULL: exhausted. */
static StrView resolve(Fetch *x, const FetchUrl *u)
{
    StrView to = x->location;
    if (sv_find(to, SV("://")) > 0)
        return to;
    if (sv_starts(to, SV("//")))
        return arena_printf(&x->arena, "%.*s:%.*s", SV_FMT(u->scheme), SV_FMT(to));
    if (sv_starts(to, SV("/")))
        return arena_printf(&x->arena, "%.*s://%.*s%.*s", SV_FMT(u->scheme), SV_FMT(u->authority),
                            SV_FMT(to));
    StrView path = u->target, rest;
    sv_cut(path, '?', &path, &rest);
    ssize_t slash = sv_rfind_char(path, '/');
    return arena_printf(&x->arena, "%.*s://%.*s%.*s%.*s", SV_FMT(u->scheme), SV_FMT(u->authority),
                        SV_FMT(sv_head(path, (size_t)(slash + 1))), SV_FMT(to));
}

/* *ret_last: the answer stays what it is. */
static int redirect(Fetch *x, bool *ret_last, Err *err)
{
    FetchUrl from, to;
    int r = fetch_url_parse(x->url, &from, err);
    if (r < 0)
        return r;
    StrView next = resolve(x, &from);
    if (!next.ptr)
        return err_nomem(err);
    if ((r = fetch_url_parse(next, &to, err)) < 0)
        return r;
    bool elsewhere = !sv_eq_nocase(from.host, to.host);
    *ret_last = elsewhere && x->f->cfg->same_host_redirects;
    if (*ret_last)
        return 0;
    if (++x->redirects >= FETCH_REDIRECTS_MAX)
        return err_set(err, ERR_PROTO, 0, "stopped after %d redirects", FETCH_REDIRECTS_MAX);
    x->foreign |= elsewhere;
    x->passed = false;
    x->named = next.ptr == x->location.ptr || sv_starts(x->location, SV("//"));
    x->url = next;
    x->cut = false;
    if (x->status != 307 && x->status != 308) { /* RFC 9110 section 15.4; HEAD as Go has it */
        if (!sv_eq(x->spec.method, SV("HEAD")))
            x->spec.method = SV("GET");
        x->spec.body = SV("");
    }
    x->status = 0;
    buf_clear(&x->body);
    gunzip_free(&x->unpacker);
    return begin(x, err);
}

static void on_done(void *ctx, const Err *why)
{
    Fetch *x = ctx;
    Err err = { 0 }, torn = { 0 };
    bool last = false;

    x->call = NULL;
    leave_origin(x);
    if (!why && x->unpacker.z && gunzip_finish(&x->unpacker, &torn) < 0)
        why = &torn;
    if (why || !will_redirect(x)) {
        finish(x, why);
        return;
    }
    if (redirect(x, &last, &err) < 0)
        finish(x, &err);
    else if (last)
        finish(x, NULL);
}

static void on_enough(void *ctx)
{
    on_done(ctx, NULL);
}

static void on_drain(void *ctx)
{
    Fetch *x = ctx;
    if (x->spec.on_drain)
        x->spec.on_drain(x->spec.ctx);
}

/* ---- bodies that stream ---- */

void fetch_pause(Fetch *x, bool paused)
{
    http_call_pause(x->call, paused);
}

int fetch_write(Fetch *x, const void *data, size_t len, Err *err)
{
    if (!x->call)
        return err_set(err, ERR_CLOSED, 0, "the request has ended");
    return http_call_write(x->call, data, len, err);
}

void fetch_end(Fetch *x)
{
    if (x->call)
        http_call_end(x->call);
}

/* ---- the request ---- */

static int begin(Fetch *x, Err *err)
{
    FetchRoute to;
    HttpHeader *headers;
    unsigned n;
    int r;

    if ((r = identity_await(x->f->identity, &x->waiting, err)) < 0 || x->waiting)
        return r;
    int64_t left = x->deadline_ns - loop_now_ns(x->f->loop);
    if (left <= 0)
        return err_set(err, ERR_TIMEOUT, 0, "context deadline exceeded");
    if ((r = fetch_route(x, &to, err)) < 0 || (r = get_origin(x, &to, err)) < 0)
        return r;
    if ((r = fetch_headers(x, &to, &headers, &n, err)) < 0)
        return r;
    HttpCallSpec spec = { .method = x->spec.method,
                          .target = to.target,
                          .headers = headers,
                          .n_headers = n,
                          .body = x->spec.body,
                          .timeout_ms = (uint32_t)(left / NSEC_PER_MSEC) + 1,
                          .on_head = on_head,
                          .on_data = on_data,
                          .on_done = on_done,
                          .streams = x->spec.streams,
                          .on_drain = on_drain,
                          .ctx = x };
    return http_call(x->origin->client, &spec, &x->call, err);
}

/* There are credentials, or why there are none: begins or fails what waits for them. */
static void on_identity(void *ctx, const Err *why)
{
    Fetcher *f = ctx;
    for (Fetch *x = f->fetches; x; x = x->next) {
        Err err = { 0 };
        if (!x->waiting)
            continue;
        x->waiting = false;
        if (why)
            fail_later(x, why);
        else if (begin(x, &err) < 0)
            fail_later(x, &err);
    }
}

static int copy_spec(Fetch *x, const FetchSpec *spec, Err *err)
{
    x->spec = *spec;
    x->url = arena_sv(&x->arena, spec->url);
    x->spec.method = arena_sv(&x->arena, spec->method.len ? spec->method : SV("GET"));
    x->spec.body = arena_sv(&x->arena, spec->body);
    HttpHeader *h = arena_array(&x->arena, HttpHeader, spec->n_headers + 1u);
    if (!h || !x->url.ptr || !x->spec.method.ptr || !x->spec.body.ptr)
        return err_nomem(err);
    for (unsigned i = 0; i < spec->n_headers; i++) {
        h[i].name = arena_sv(&x->arena, spec->headers[i].name);
        h[i].value = arena_sv(&x->arena, spec->headers[i].value);
        if (!h[i].name.ptr || !h[i].value.ptr)
            return err_nomem(err);
    }
    x->spec.headers = h;
    if (!x->spec.body_max || x->spec.body_max > FETCH_BODY_MAX)
        x->spec.body_max = FETCH_BODY_MAX;
    return 0;
}

int fetch_start(Fetcher *f, const FetchSpec *spec, Fetch **ret, Err *err)
{
    Fetch *x = calloc(1, sizeof *x);
    Err why = { 0 };
    if (!x)
        return err_nomem(err);
    x->f = f;
    arena_init(&x->arena, 16 * 1024 * 1024);
    x->next = f->fetches;
    if (x->next)
        x->next->prev = x;
    f->fetches = x;
    x->deadline_ns =
        loop_now_ns(f->loop) + (spec->timeout_ms ? spec->timeout_ms : 30000) * NSEC_PER_MSEC;
    int r = copy_spec(x, spec, err);
    if (r < 0) {
        fetch_free(x);
        return r;
    }
    if (begin(x, &why) < 0)
        fail_later(x, &why);
    *ret = x;
    return 0;
}

int fetcher_new(Loop *l, const FetchOptions *cfg, Fetcher **ret, Err *err)
{
    Fetcher *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(err);
    f->loop = l;
    f->cfg = cfg;
    int r = identity_new(l, cfg, on_identity, f, &f->identity, err);
    if (r < 0)
        fetcher_free(f);
    else
        *ret = f;
    return r;
}

void fetcher_count(Fetcher *f, HttpDials *dials)
{
    f->dials = dials;
}

Fetcher *fetcher_free(Fetcher *f)
{
    StrView key;
    void *val;
    if (!f)
        return NULL;
    identity_free(f->identity);
    while (f->fetches)
        fetch_cancel(f->fetches);
    for (size_t i = 0; map_next(&f->origins, &i, &key, &val);)
        origin_free(val);
    map_free(&f->origins);
    while (f->retired) {
        Origin *o = f->retired;
        f->retired = o->next;
        origin_free(o);
    }
    tls_context_unref(f->tls);
    buf_free(&f->tls_state);
    free(f);
    return NULL;
}
