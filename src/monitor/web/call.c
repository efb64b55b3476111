/* call.c - see call.h: making a call out of an exchange, and its answer. */
#include <stdio.h>
#include <string.h>

#include "codec/gzip.h"
#include "monitor/web/internal.h"

enum { GZIP_MIN = 1024 };

/* ---- what was asked ---- */

static unsigned method_of(StrView m)
{
    static const struct {
        StrView name;
        unsigned bit;
    } methods[] = { { SV_INIT("GET"), METHOD_GET },
                    { SV_INIT("POST"), METHOD_POST },
                    { SV_INIT("PUT"), METHOD_PUT },
                    { SV_INIT("HEAD"), METHOD_HEAD },
                    { SV_INIT("OPTIONS"), METHOD_OPTIONS } };
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (sv_eq(m, methods[i].name))
            return methods[i].bit;
    return 0;
}

static bool add_params(Call *c, StrView text)
{
    Param p;
    while (http_query_next(&c->arena, &text, &p.name, &p.value)) {
        if (c->n_params == CALL_PARAMS_MAX)
            return false;
        Param *more = arena_realloc(&c->arena, c->params, c->n_params * sizeof p,
                                    (c->n_params + 1) * sizeof p);
        if (!more || !p.name.ptr || !p.value.ptr)
            return false;
        c->params = more;
        c->params[c->n_params++] = p;
    }
    return true;
}

static bool take(Call *c, StrView from, StrView *ret)
{
    *ret = arena_sv(&c->arena, from);
    return ret->ptr != NULL;
}

static bool take_headers(Call *c)
{
    const struct {
        StrView name;
        StrView *to;
    } wanted[] = { { SV("content-type"), &c->content_type },
                   { SV("content-encoding"), &c->content_encoding },
                   { SV("accept"), &c->accept },
                   { SV("accept-encoding"), &c->accept_encoding },
                   { SV("origin"), &c->origin },
                   { SV("if-none-match"), &c->if_none_match },
                   { SV("user-agent"), &c->user_agent } };
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!take(c, http_header(c->req, wanted[i].name), wanted[i].to))
            return false;
    return true;
}

static bool take_request(Call *c, StrView path, StrView arg)
{
    if (!take(c, path, &c->path) || !take(c, arg, &c->arg) || !take(c, c->req->query, &c->query) ||
        !take(c, c->req->body, &c->body) || !take_headers(c))
        return false;
    bool form = sv_starts(c->content_type, SV("application/x-www-form-urlencoded"));
    return (!form || add_params(c, c->body)) && add_params(c, c->query);
}

static void on_peer_gone(void *ctx)
{
    Call *c = ctx;
    c->req = NULL;
    c->turn.left = true;
    atomic_store(&c->cancel, true);
}

Call *call_new(Web *w, HttpReq *req, const Route *route, StrView path, StrView arg)
{
    Call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    arena_init(&c->arena, CALL_ARENA_MAX);
    c->web = w;
    c->req = req;
    c->route = route;
    c->status = 200;
    c->out_type = SV("text/plain; charset=utf-8");
    c->started_ns = clock_mono_ns();
    c->method = method_of(req->method);
    c->at_prefix = w->prefix.len && req->path.len == w->prefix.len;
    const WebParts *parts = &w->opt.parts;
    Labels external = { 0 };
    if (parts->remote_reads)
        c->reads = parts->remote_reads(parts->ctx);
    if (parts->current)
        c->config = parts->current(parts->ctx);
    if (parts->external_labels)
        external = parts->external_labels(parts->ctx);
    if (!labels_copy(external, &c->arena, &c->external) || !take_request(c, path, arg)) {
        call_free(c);
        return NULL;
    }
    http_on_close(req, on_peer_gone, c);
    return c;
}

void call_free(void *call)
{
    Call *c = call;
    if (!c)
        return;
    remote_reads_unref(c->reads);
    config_unref(c->config);
    arena_free(&c->arena);
    buf_free(&c->prepared);
    buf_free(&c->out);
    free(c);
}

bool call_gone(const Call *c)
{
    return atomic_load(&c->cancel);
}

Tsdb *call_db(const Call *c)
{
    return atomic_load(&c->web->db);
}

int call_querier(Call *c, int64_t start, int64_t end, CallQuerier *ret, Err *err)
{
    *ret = (CallQuerier){ 0 };
    int r = tsdb_querier_new(call_db(c), start, end, &ret->local, err);
    ret->q = ret->local;
    if (r < 0 || !c->reads)
        return r;
    c->warnings.arena = &c->arena;
    const RemoteQuery q = { .reads = c->reads,
                            .local = ret->local,
                            .local_start =
                                remote_local_start(call_db(c), c->web->opt.block_ms, &c->arena),
                            .cancel = &c->cancel,
                            .warnings = &c->warnings };
    r = remote_querier_new(&q, &ret->remote, err);
    if (r < 0)
        call_querier_free(ret);
    else
        ret->q = ret->remote;
    return r;
}

void call_querier_free(CallQuerier *q)
{
    remote_querier_free(q->remote);
    tsdb_querier_free(q->local);
    *q = (CallQuerier){ 0 };
}

/* ---- the answer ---- */

void call_header(Call *c, StrView name, StrView value)
{
    if (c->n_headers < CALL_HEADERS_MAX)
        c->headers[c->n_headers++] = (HttpHeader){ name, value };
}

void call_text(Call *c, int status, const char *fmt, ...)
{
    va_list ap;
    buf_clear(&c->out);
    c->status = status;
    c->out_type = SV("text/plain; charset=utf-8");
    va_start(ap, fmt);
    StrView text = arena_vprintf(&c->arena, fmt, ap);
    va_end(ap);
    buf_sv(&c->out, text);
}

static const struct {
    StrView name;
    int status;
} api_errors[API_ERROR_MAX] = {
    [API_TIMEOUT] = { SV_INIT("timeout"), 503 },
    [API_CANCELED] = { SV_INIT("canceled"), 499 },
    [API_EXECUTION] = { SV_INIT("execution"), 422 },
    [API_BAD_DATA] = { SV_INIT("bad_data"), 400 },
    [API_INTERNAL] = { SV_INIT("internal"), 500 },
    [API_UNAVAILABLE] = { SV_INIT("unavailable"), 500 },
    [API_NOT_FOUND] = { SV_INIT("not_found"), 404 },
    [API_NOT_ACCEPTABLE] = { SV_INIT("not_acceptable"), 406 },
};

static bool put_error(Call *c, ApiError type, StrView text)
{
    buf_clear(&c->out);
    c->status = api_errors[type].status;
    c->out_type = SV("application/json");
    buf_sv(&c->out, SV("{\"status\":\"error\",\"errorType\":"));
    json_put_text(&c->out, api_errors[type].name);
    buf_sv(&c->out, SV(",\"error\":"));
    json_put_text(&c->out, text);
    buf_putc(&c->out, '}');
    return false;
}

bool api_error(Call *c, ApiError type, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(&c->arena, fmt, ap);
    va_end(ap);
    return put_error(c, type, text);
}

bool api_error_invalid(Call *c, StrView param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(&c->arena, fmt, ap);
    va_end(ap);
    return api_error(c, API_BAD_DATA, "invalid parameter \"%.*s\": %.*s", SV_FMT(param),
                     SV_FMT(text));
}

bool api_error_from(Call *c, const Err *err)
{
    ApiError type = err->code == ERR_CLOSED    ? API_CANCELED
                    : err->code == ERR_TIMEOUT ? API_TIMEOUT
                                               : API_INTERNAL;
    return api_error(c, type, "%s", err->msg);
}

void api_begin(Call *c)
{
    c->out_type = SV("application/json");
    buf_sv(&c->out, SV("{\"status\":\"success\",\"data\":"));
}

static void put_note(Call *c, bool *any, const char *name, StrView text)
{
    if (*any)
        buf_putc(&c->out, ',');
    else
        buf_printf(&c->out, ",\"%s\":[", name);
    *any = true;
    json_put_text(&c->out, text);
}

void api_end(Call *c, const PromqlAnnotation *notes, size_t n_notes, const StrView *warnings,
             unsigned n_warnings)
{
    bool any = false;
    for (size_t i = 0; i < n_notes; i++)
        if (notes[i].warning)
            put_note(c, &any, "warnings", notes[i].text);
    for (unsigned i = 0; i < n_warnings; i++)
        put_note(c, &any, "warnings", warnings[i]);
    for (unsigned i = 0; i < c->warnings.len; i++)
        put_note(c, &any, "warnings", c->warnings.items[i]);
    if (any)
        buf_putc(&c->out, ']');
    any = false;
    for (size_t i = 0; i < n_notes; i++)
        if (!notes[i].warning)
            put_note(c, &any, "infos", notes[i].text);
    if (any)
        buf_putc(&c->out, ']');
    buf_putc(&c->out, '}');
}

void call_cors(Call *c)
{
    call_header(c, SV("Vary"), SV("Origin"));
    if (c->origin.len == 0)
        return;
    call_header(c, SV("Access-Control-Allow-Headers"),
                SV("Accept, Authorization, Content-Type, Origin"));
    call_header(c, SV("Access-Control-Allow-Methods"), SV("GET, POST, OPTIONS"));
    call_header(c, SV("Access-Control-Expose-Headers"), SV("Date"));
    if (!c->web->cors)
        call_header(c, SV("Access-Control-Allow-Origin"), SV("*"));
    else if (regex_match(c->web->cors, c->origin))
        call_header(c, SV("Access-Control-Allow-Origin"), c->origin);
}

void call_compress(Call *c)
{
    Buf zipped = BUF_INIT;
    if (c->out.failed || c->out.len < GZIP_MIN || call_gone(c) ||
        sv_find(c->accept_encoding, SV("gzip")) < 0)
        return;
    for (unsigned i = 0; i < c->n_headers; i++)
        if (sv_eq_nocase(c->headers[i].name, SV("Content-Encoding")))
            return;
    if (!gzip_pack(buf_view(&c->out), &zipped)) {
        buf_free(&zipped);
        return;
    }
    buf_free(&c->out);
    c->out = zipped;
    call_header(c, SV("Content-Encoding"), SV("gzip"));
}

void call_put_headers(Call *c)
{
    for (unsigned i = 0; i < c->n_headers; i++)
        http_set_header(c->req, c->headers[i].name, c->headers[i].value, NULL);
}

void call_send(Call *c)
{
    HttpReq *req = c->req;
    if (c->out.failed) {
        c->n_headers = 0;
        call_text(c, 500, "out of memory\n");
    }
    web_count(c->web, c, c->out.len);
    if (!req) {
        call_free(c);
        return;
    }
    http_on_close(req, NULL, NULL);
    call_put_headers(c);
    HttpPiece piece = { c->out.ptr, c->out.len };
    call_sending(c);
    http_respond_pieces(req, c->status,
                        c->status == 204 || c->status == 304 ? SV_NULL : c->out_type, &piece,
                        c->out.len ? 1 : 0, call_sent, c);
}
