/* registry_call.c - one request to a registry, until there is an answer to give its user.
 *
 * An answer of 401 is met once per credential, redirects are followed (who is not the endpoint gets
 * no Authorization), 429 and 503 are waited for as long as they ask, within a limit, 500, 502 and
 * 504 and connections that break before an answer are tried again, later each time. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "codec/json.h"
#include "image/registry_internal.h"

enum { BACKOFF_MS = 400, ROUNDS_MAX = 16, SENT_PATIENCE = 10 };

static void begin(RegCall *c);

StrView reg_answer_header(const RegAnswer *a, StrView lower_name)
{
    for (unsigned i = 0; i < a->n_headers; i++)
        if (sv_eq(a->headers[i].name, lower_name))
            return a->headers[i].value;
    return SV_NULL;
}

/* ---- the end ---- */

static void first_drain(void *ctx)
{
    RegCall *c = ctx;

    c->spec.on_drain(c->spec.ctx);
}

static void call_free(RegCall *c)
{
    fetch_cancel(c->fetch);
    source_free(c->timer);
    if (c->waiting)
        reg_session_forget(c->session, c);
    arena_free(&c->arena);
    free(c);
}

RegCall *reg_call_cancel(RegCall *c)
{
    if (c) {
        loop_defer_cancel(c->session->reg->loop, first_drain, c);
        call_free(c);
    }
    return NULL;
}

static void finish(RegCall *c, const RegAnswer *a)
{
    RegAnswer copy = *a;
    Loop *l = c->session->reg->loop;

    copy.url = c->url;
    loop_defer_cancel(l, first_drain, c);
    c->fetch = NULL; /* it is ending by itself */
    c->spec.done(c->spec.ctx, &copy);
    call_free(c);
}

static void finish_error(RegCall *c, const Err *why)
{
    finish(c, &(RegAnswer){ .status = c->passed ? c->status : 0, .err = why });
}

static void on_failed(void *ctx)
{
    RegCall *c = ctx;
    Err err = c->err;

    finish_error(c, &err);
}

/* Never inside of reg_call(). */
static void fail_later(RegCall *c, const Err *why)
{
    c->err = *why;
    c->fetch = fetch_cancel(c->fetch);
    c->timer = source_free(c->timer);
    if (loop_add_timer(c->session->reg->loop, 0, 0, on_failed, c, &c->timer, NULL) < 0)
        on_failed(c);
}

/* ---- errors as registries write them ---- */

static ErrCode code_of(int status)
{
    switch (status) {
    case 401:
        return ERR_UNAUTHENTICATED;
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 416:
        return ERR_GONE;
    case 429:
        return ERR_BUSY;
    default:
        return status >= 500 ? ERR_BUSY : ERR_PROTO;
    }
}

/* Without what the user should not find on a terminal. */
static void put_plain(Buf *out, StrView s)
{
    for (size_t i = 0; i < s.len && out->len < 300; i++)
        buf_putc(out, (unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f ? ' ' : s.ptr[i]);
}

static void put_registry_errors(Buf *out, StrView body)
{
    _cleanup_arena_ Arena a;
    Value doc;

    arena_init(&a, 1024 * 1024);
    if (json_decode(body, &a, NULL, &doc, NULL) < 0)
        return;
    value_list_foreach (e, value_get(&doc, SV("errors"))) {
        StrView code = value_str(value_get(e, SV("code")));
        StrView text = value_str(value_get(e, SV("message")));

        if (!code.len && !text.len)
            continue;
        buf_sv(out, SV(": "));
        put_plain(out, sv_head(code, 60));
        if (code.len && text.len)
            buf_sv(out, SV(": "));
        put_plain(out, sv_head(text, 200));
        return;
    }
}

int reg_error(int status, StrView body, StrView method, StrView url, Err *err)
{
    _cleanup_buf_ Buf more = BUF_INIT;
    StrView plain = url, query;

    put_registry_errors(&more, body);
    sv_cut(url, '?', &plain, &query); /* signatures of object stores are nobody's business */
    return err_set(err, code_of(status), 0, "%.*s %.*s: %d %s%.*s",
                   SV_FMT(method.len ? method : SV("GET")), SV_FMT(sv_head(plain, 220)), status,
                   http_reason(status), SV_FMT(buf_view(&more)));
}

/* ---- again ---- */

static void on_again(void *ctx)
{
    RegCall *c = ctx;

    c->timer = source_free(c->timer);
    begin(c);
}

static void again_in(RegCall *c, uint64_t ms)
{
    Err err = { 0 };

    c->timer = source_free(c->timer);
    if (c->spec.on_wait)
        c->spec.on_wait(c->spec.ctx);
    if (loop_add_timer(c->session->reg->loop, ms, 0, on_again, c, &c->timer, &err) < 0)
        finish_error(c, &err);
}

static bool may_try_again(const RegCall *c)
{
    return !c->spec.streams && !c->passed && c->tries + 1 < REGISTRY_TRIES;
}

static uint64_t backoff_ms(const RegCall *c)
{
    return (uint64_t)BACKOFF_MS << c->tries;
}

/* The registry's clear text, where TLS is not what it speaks. A wrong certificate is TLS. */
static bool turn_clear(RegCall *c, const Err *why)
{
    RegSession *s = c->session;

    if (!s->may_clear || why->code == ERR_UNAUTHENTICATED || s->worked ||
        !reg_session_is_own(s, c->url) || !sv_starts(s->base, SV("https://")))
        return false;
    StrView base = arena_printf(s->arena, "http%.*s", SV_FMT(sv_skip(s->base, 5)));
    StrView url = arena_printf(&c->arena, "http%.*s", SV_FMT(sv_skip(c->url, 5)));
    if (!base.ptr || !url.ptr)
        return false;
    s->base = base;
    c->url = url;
    return true;
}

/* No answer. */
static void broken(RegCall *c, const Err *why)
{
    bool hopeless = why->sys == ECONNREFUSED || why->code == ERR_NOT_FOUND ||
                    why->code == ERR_UNAUTHENTICATED || why->code == ERR_INVALID ||
                    why->code == ERR_LIMIT || why->code == ERR_NOMEM || why->code == ERR_DENIED ||
                    why->code == ERR_UNSUPPORTED;

    if (!c->passed && turn_clear(c, why)) {
        begin(c);
        return;
    }
    if (why->code == ERR_LIMIT) {
        Err err = { 0 };

        err_set(&err, ERR_LIMIT, 0, "%.*s: the answer is larger than %zu bytes",
                SV_FMT(sv_head(c->url, 300)), c->spec.body_max);
        finish_error(c, &err);
        return;
    }
    if (hopeless || !may_try_again(c)) {
        /* A name without an address, a certificate that does not hold: not what these codes say of
         * an image and of credentials. */
        Err err = *why;

        if (err.code == ERR_NOT_FOUND || err.code == ERR_UNAUTHENTICATED)
            err.code = ERR_SYS;
        finish_error(c, &err);
        return;
    }
    uint64_t ms = backoff_ms(c);
    c->tries++;
    again_in(c, ms);
}

/* Seconds, or a date (RFC 9110 10.2.3); -1: not said. */
static int64_t retry_after(StrView value)
{
    struct tm tm = { 0 };
    char text[64];
    uint64_t s;

    if (!value.len)
        return -1;
    if (sv_to_u64(sv_trim(value), &s) >= 0)
        return s > INT32_MAX ? INT32_MAX : (int64_t)s;
    if (!sv_copy_cstr(value, text, sizeof text) ||
        !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return -1;
    int64_t left = timegm(&tm) - clock_real_ns() / NSEC_PER_SEC;
    return left < 0 ? 0 : left;
}

/* True: it is tried again. */
static bool asked_to_wait(RegCall *c, const RegAnswer *a, Err *err)
{
    int64_t s = retry_after(reg_answer_header(a, SV("retry-after")));
    uint64_t ms = backoff_ms(c);

    if (!may_try_again(c))
        return false;
    if (s > c->session->retry_after_max_s) {
        reg_error(a->status, a->body, c->spec.method, c->url, err);
        size_t n = strlen(err->msg);
        snprintf(err->msg + n, sizeof err->msg - n,
                 "; it asks to be left alone for %lld s, and %u s are waited for at most",
                 (long long)s, c->session->retry_after_max_s);
        return false;
    }
    if (s >= 0)
        ms = (uint64_t)s * 1000;
    c->tries++;
    again_in(c, ms);
    return true;
}

/* ---- redirects ---- */

StrView reg_resolve(Arena *a, StrView from, StrView to)
{
    FetchUrl u;
    StrView path, query;

    if (sv_find(to, SV("://")) > 0 || fetch_url_parse(from, &u, NULL) < 0)
        return to;
    if (sv_starts(to, SV("//")))
        return arena_printf(a, "%.*s:%.*s", SV_FMT(u.scheme), SV_FMT(to));
    if (sv_starts(to, SV("/")))
        return arena_printf(a, "%.*s://%.*s%.*s", SV_FMT(u.scheme), SV_FMT(u.authority),
                            SV_FMT(to));
    sv_cut(u.target, '?', &path, &query);
    return arena_printf(a, "%.*s://%.*s%.*s%.*s", SV_FMT(u.scheme), SV_FMT(u.authority),
                        SV_FMT(sv_head(path, (size_t)(sv_rfind_char(path, '/') + 1))), SV_FMT(to));
}

static int redirect(RegCall *c, StrView location, Err *err)
{
    StrView copy = arena_sv(&c->arena, location), url;
    FetchUrl to;

    if (!copy.ptr || !(url = reg_resolve(&c->arena, c->url, copy)).ptr)
        return err_nomem(err);
    if (++c->redirects > REGISTRY_REDIRECTS_MAX)
        return err_set(err, ERR_PROTO, 0, "GET %.*s: more than %d redirects",
                       SV_FMT(sv_head(c->spec.url, 200)), REGISTRY_REDIRECTS_MAX);
    if (fetch_url_parse(url, &to, err) < 0)
        return err_wrap(err, "redirect of %.*s", SV_FMT(sv_head(c->url, 200)));
    if (sv_starts(c->url, SV("https://")) && !sv_eq_nocase(to.scheme, SV("https")))
        return err_set(err, ERR_DENIED, 0,
                       "%.*s redirects from TLS to clear text at '%.*s', which is not followed",
                       SV_FMT(sv_head(c->url, 200)), SV_FMT(sv_head(to.authority, 100)));
    if (to.userinfo.len)
        return err_set(err, ERR_DENIED, 0, "%.*s redirects to an address with a password in it",
                       SV_FMT(sv_head(c->url, 200)));
    c->url = url;
    begin(c);
    return 0;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* ---- answers ---- */

static void judge(RegCall *c, RegAnswer *a)
{
    RegSession *s = c->session;
    bool own = reg_session_is_own(s, c->url);
    StrView location = reg_answer_header(a, SV("location"));
    Err err = { 0 };

    if (own && a->status != 401 && c->epoch == s->epoch && s->authorization.len)
        s->worked = true;
    if (a->status >= 200 && a->status < 300) {
        finish(c, a);
        return;
    }
    if (is_redirect(a->status) && location.len && !c->spec.streams) {
        if (redirect(c, location, &err) < 0)
            finish_error(c, &err);
        return;
    }
    if (a->status == 401 && own && !c->spec.streams && c->rounds++ < ROUNDS_MAX) {
        if (reg_session_authorize(s, c, reg_answer_header(a, SV("www-authenticate")), &err) >= 0)
            return;
        if (!err.msg[0])
            reg_error(a->status, a->body, c->spec.method, c->url, &err);
    } else if ((a->status == 429 || a->status == 503 || a->status == 500 || a->status == 502 ||
                a->status == 504) &&
               asked_to_wait(c, a, &err)) {
        return;
    }
    if (!err.code)
        reg_error(a->status, a->body, c->spec.method, c->url, &err);
    a->err = &err;
    finish(c, a);
}

static void on_done(void *ctx, const FetchResult *r)
{
    RegCall *c = ctx;
    RegAnswer a = {
        .status = r->status, .headers = r->headers, .n_headers = r->n_headers, .body = r->body
    };

    c->fetch = NULL;
    c->timer = source_free(c->timer);
    if (r->err && (r->status == 0 || !c->passed)) {
        broken(c, r->err);
        return;
    }
    if (r->err) {
        a.err = r->err;
        finish(c, &a);
        return;
    }
    judge(c, &a);
}

static bool on_head(void *ctx, int status, const HttpHeader *headers, unsigned n)
{
    RegCall *c = ctx;

    c->last_ns = loop_now_ns(c->session->reg->loop);
    if (!c->spec.on_data || (status != 200 && status != 206))
        return false;
    c->status = status;
    c->passed = c->spec.on_head(c->spec.ctx, status, headers, n);
    return c->passed;
}

/* Within one stall's time. */
static size_t enough_bytes(const RegCall *c)
{
    return (size_t)c->session->stall_ms * REGISTRY_SPEED_MIN / 1000;
}

static void on_data(void *ctx, const void *data, size_t len)
{
    RegCall *c = ctx;

    /* A byte now and then is no progress. */
    c->moved += len;
    if (c->moved >= enough_bytes(c)) {
        c->moved = 0;
        c->last_ns = loop_now_ns(c->session->reg->loop);
    }
    c->spec.on_data(c->spec.ctx, data, len); /* which may have cancelled it */
}

static void on_drain(void *ctx)
{
    RegCall *c = ctx;

    c->last_ns = loop_now_ns(c->session->reg->loop);
    c->spec.on_drain(c->spec.ctx);
}

/* ---- the request ---- */

static void on_watch(void *ctx)
{
    RegCall *c = ctx;
    int64_t quiet = loop_now_ns(c->session->reg->loop) - c->last_ns;
    Err err = { 0 };

    /* A registry that has all of a large blob may have to put it somewhere before it answers. */
    if (c->paused || quiet < c->session->stall_ms * NSEC_PER_MSEC * (c->sent ? SENT_PATIENCE : 1))
        return;
    c->timer = source_free(c->timer);
    c->fetch = fetch_cancel(c->fetch);
    if (c->moved)
        err_set(&err, ERR_TIMEOUT, 0, "%.*s: %zu bytes in %u s are too slow",
                SV_FMT(sv_head(c->url, 300)), c->moved, c->session->stall_ms / 1000);
    else
        err_set(&err, ERR_TIMEOUT, 0, "%.*s: not a byte for %u s", SV_FMT(sv_head(c->url, 300)),
                c->session->stall_ms / 1000);
    if (c->passed || c->spec.streams)
        finish_error(c, &err);
    else
        broken(c, &err);
}

static int send_request(RegCall *c, Err *err)
{
    RegSession *s = c->session;
    HttpHeader *h = arena_array(&c->arena, HttpHeader, c->spec.n_headers + 2u);
    unsigned n = 0;
    Fetcher *f;
    int r;

    if (!h)
        return err_nomem(err);
    for (; n < c->spec.n_headers; n++)
        h[n] = c->spec.headers[n];
    h[n++] = (HttpHeader){ SV("user-agent"), SV("knarr/" KNARR_VERSION) };
    if (s->authorization.len && reg_session_is_own(s, c->url))
        h[n++] = (HttpHeader){ SV("authorization"), s->authorization };
    c->epoch = s->epoch;
    c->passed = c->paused = false;
    c->moved = 0;
    FetchSpec spec = { .url = c->url,
                       .method = c->spec.method,
                       .body = c->spec.body,
                       .headers = h,
                       .n_headers = n,
                       .timeout_ms = FETCH_NO_TIMEOUT,
                       .body_max = c->spec.on_data ? REGISTRY_ERROR_BODY_MAX : c->spec.body_max,
                       .on_head = on_head,
                       .on_data = on_data,
                       .streams = c->spec.streams,
                       .on_drain = c->spec.streams ? on_drain : NULL,
                       .done = on_done,
                       .ctx = c };
    if (!spec.body_max)
        spec.body_max = REGISTRY_ERROR_BODY_MAX;
    if ((r = reg_session_peer(s, c->url, &f, err)) < 0)
        return r;
    c->last_ns = loop_now_ns(s->reg->loop);
    r = loop_add_timer(s->reg->loop, s->stall_ms / 4 + 1, s->stall_ms / 4 + 1, on_watch, c,
                       &c->timer, err);
    return r < 0 ? r : fetch_start(f, &spec, &c->fetch, err);
}

static void begin(RegCall *c)
{
    Err err = { 0 };

    if (reg_session_is_own(c->session, c->url) && !reg_session_ready(c->session, c))
        return;
    if (send_request(c, &err) < 0 ||
        (c->spec.streams && loop_defer(c->session->reg->loop, first_drain, c, &err) < 0))
        fail_later(c, &err);
}

void reg_call_authorized(RegCall *c)
{
    c->waiting = false;
    begin(c);
}

void reg_call_unauthorized(RegCall *c, const Err *why)
{
    c->waiting = false;
    fail_later(c, why);
}

static int copy_spec(RegCall *c, const RegCallSpec *spec)
{
    HttpHeader *h = arena_array(&c->arena, HttpHeader, spec->n_headers + 1u);

    c->spec = *spec;
    c->spec.method = arena_sv(&c->arena, spec->method);
    c->spec.url = c->url = arena_sv(&c->arena, spec->url);
    c->spec.body = arena_sv(&c->arena, spec->body);
    for (unsigned i = 0; h && i < spec->n_headers; i++)
        h[i] = (HttpHeader){ arena_sv(&c->arena, spec->headers[i].name),
                             arena_sv(&c->arena, spec->headers[i].value) };
    c->spec.headers = h;
    return c->arena.failed ? -1 : 0;
}

int reg_call(RegSession *s, const RegCallSpec *spec, RegCall **ret, Err *err)
{
    RegCall *c = calloc(1, sizeof *c);

    if (!c)
        return err_nomem(err);
    arena_init(&c->arena, 32 * 1024 * 1024);
    c->session = s;
    if (copy_spec(c, spec) < 0) {
        call_free(c);
        return err_nomem(err);
    }
    *ret = c;
    begin(c);
    return 0;
}

void reg_call_pause(RegCall *c, bool paused)
{
    if (c->paused && !paused)
        c->last_ns = loop_now_ns(c->session->reg->loop);
    c->paused = paused;
    if (c->fetch)
        fetch_pause(c->fetch, paused);
}

int reg_call_write(RegCall *c, const void *data, size_t len, Err *err)
{
    if (!c->fetch)
        return err_set(err, ERR_CLOSED, 0, "the request has ended");
    c->last_ns = loop_now_ns(c->session->reg->loop);
    return fetch_write(c->fetch, data, len, err);
}

void reg_call_end(RegCall *c)
{
    c->sent = true;
    if (c->fetch)
        fetch_end(c->fetch);
}
