/* server.c - see server.h. */
#include "monitor/tool/server.h"

#include <ctype.h>

#include "base/encode.h"
#include "fetch/fetch.h"
#include "monitor/config/config.h"

struct Server {
    Arena arena;
    StrView base; /* URL without a slash at its end */
    FetchOptions http;
    Loop *loop;
    Fetcher *fetcher;
    HttpHeader headers[SERVER_HEADERS_MAX]; /* of every request */
    unsigned n_headers;
};

static int take_url(Server *s, const char *url, Err *err)
{
    FetchUrl parts;
    StrView text = sv_cstr(url);
    bool has_scheme = sv_find(text, SV("://")) >= 0;
    s->base = has_scheme ? arena_sv(&s->arena, text)
                         : arena_printf(&s->arena, "http://%.*s", SV_FMT(text));
    if (!s->base.ptr)
        return err_nomem(err);
    while (sv_ends(s->base, SV("/")))
        s->base.len--;
    return fetch_url_parse(s->base, &parts, err);
}

static int take_headers(Server *s, const ServerOptions *o, Err *err)
{
    for (unsigned i = 0; i < o->n_headers; i++) {
        StrView name, value;
        if (i == SERVER_HEADERS_MAX)
            return err_set(err, ERR_LIMIT, 0, "more than %d headers", SERVER_HEADERS_MAX);
        if (!sv_cut(sv_cstr(o->headers[i]), '=', &name, &value) || !name.len)
            return err_set(err, ERR_INVALID, 0, "expected KEY=VALUE got '%s'", o->headers[i]);
        char *lower = arena_cstr(&s->arena, name);
        if (!lower)
            return err_nomem(err);
        for (char *p = lower; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        s->headers[s->n_headers++] = (HttpHeader){ sv_cstr(lower), value };
    }
    return 0;
}

int server_new(const ServerOptions *o, Server **ret, Err *err)
{
    Server *s = calloc(1, sizeof *s);
    int r;
    if (!s)
        return err_nomem(err);
    arena_init(&s->arena, ARENA_DEFAULT_LIMIT);
    if ((r = take_url(s, o->url, err)) < 0 || (r = take_headers(s, o, err)) < 0 ||
        (r = config_load_http(o->http_config, &s->arena, &s->http, err)) < 0 ||
        (r = loop_new(&s->loop, err)) < 0 ||
        (r = fetcher_new(s->loop, &s->http, &s->fetcher, err)) < 0) {
        server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

Server *server_free(Server *s)
{
    if (!s)
        return NULL;
    fetcher_free(s->fetcher);
    loop_free(s->loop);
    arena_free(&s->arena);
    free(s);
    return NULL;
}

void form_add(Buf *form, StrView name, StrView value)
{
    if (form->len)
        buf_putc(form, '&');
    percent_encode(name, form);
    buf_putc(form, '=');
    percent_encode(value, form);
}

typedef struct Answer {
    Loop *loop;
    Arena *arena;
    int status;
    StrView body;
    Err err;
    bool failed;
} Answer;

static void on_done(void *ctx, const FetchResult *r)
{
    Answer *a = ctx;
    a->status = r->status;
    a->failed = r->err != NULL;
    if (r->err)
        a->err = *r->err;
    else if (!(a->body = arena_sv(a->arena, r->body)).ptr)
        a->failed = err_nomem(&a->err) < 0;
    loop_stop(a->loop);
}

/* Fetches are called Get in their errors. */
static int name_post(Err *err, int r)
{
    Err as_post = { 0 };
    if (!err || strncmp(err->msg, "Get ", 4) != 0)
        return r;
    r = err_set(&as_post, err->code, 0, "Post %s", err->msg + 4);
    *err = as_post;
    return r;
}

int server_request(Server *s, const ServerRequest *q, Arena *a, int *ret_status, StrView *ret_body,
                   Err *err)
{
    bool in_url = q->form.len && !q->post;
    StrView url =
        arena_printf(a, "%.*s%.*s%s%.*s", SV_FMT(s->base), SV_FMT(q->path), in_url ? "?" : "",
                     in_url ? (int)q->form.len : 0, in_url ? q->form.ptr : "");
    const HttpHeader of_form = { SV("content-type"), SV("application/x-www-form-urlencoded") };
    HttpHeader headers[SERVER_HEADERS_MAX + SERVER_REQUEST_HEADERS_MAX];
    unsigned n = s->n_headers;
    memcpy(headers, s->headers, n * sizeof *headers);
    if (q->post && !q->n_headers)
        headers[n++] = of_form;
    ASSERT(q->n_headers <= SERVER_REQUEST_HEADERS_MAX);
    for (unsigned i = 0; i < q->n_headers; i++)
        headers[n++] = q->headers[i];
    Answer answer = { .loop = s->loop, .arena = a };
    FetchSpec spec = { .url = url,
                       .method = q->post ? SV("POST") : SV("GET"),
                       .body = !q->post       ? SV("")
                               : q->n_headers ? q->body
                                              : q->form,
                       .headers = headers,
                       .n_headers = n,
                       .timeout_ms = q->timeout_ms,
                       .body_max = SERVER_BODY_MAX,
                       .done = on_done,
                       .ctx = &answer };
    Fetch *fetch;
    int r = url.ptr ? fetch_start(s->fetcher, &spec, &fetch, err) : err_nomem(err);
    if (r >= 0)
        r = loop_run(s->loop, err);
    if (r >= 0 && answer.failed) {
        if (err)
            *err = answer.err;
        r = -(int)answer.err.code;
    }
    if (r < 0)
        return q->post ? name_post(err, r) : r;
    *ret_status = answer.status;
    *ret_body = answer.body;
    return 0;
}
