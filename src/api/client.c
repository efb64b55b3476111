/* client.c - calls to an API server on the loop: JSON documents in, JSON documents out.
 *
 * One HttpClient per ApiClient: where the server speaks HTTP/2, all calls and watches share one
 * connection. Answers are collected and decoded when they are whole; watches line by line. */
#include "api/client.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"
#include "net/http_client.h"

enum {
    CALL_TIMEOUT_DEFAULT = 60 * 1000,
    TOKEN_REREAD_S = 60,
    TOKEN_MAX = 64 * 1024,
    WATCH_LINE_MAX = 64 * 1024 * 1024,
    WATCH_KEEP_BUFFER = 64 * 1024,
};

struct ApiClient {
    Loop *loop;
    HttpClient *http;
    uint16_t port;
    char *host; /* with the port, as labels name it */
    Metrics *metrics;
    Metric *requests, *durations;
    char *prefix;
    char *token_file;
    char *user_agent;
    Buf authorization; /* "Bearer …"; empty: none */
    int64_t token_read_ns;
    ApiCall *calls;
    ApiWatch *watches;
};

struct ApiCall {
    ApiClient *client;
    ApiCall *next, *prev;
    HttpCall *http;
    ApiDoneFn *done;
    void *ctx;
    char method[8];
    int64_t begin_ns;
    int status;
    uint32_t retry_after_s;
    Buf body;
};

struct ApiWatch {
    ApiClient *client;
    ApiWatch *next, *prev;
    HttpCall *http;
    ApiWatchEvents ev;
    int status;
    Buf buf;
    Arena scratch;
    unsigned busy;
    bool dead;
};

/* ---- what is counted ---- */

static const double duration_bounds[] = { 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60 };
static const MetricDef requests_def = {
    .name = "rest_client_requests_total",
    .help = "Requests to the API server, by status and method.",
    .type = METRIC_COUNTER,
    .labels = { "code", "method", "host" },
};
static const MetricDef durations_def = {
    .name = "rest_client_request_duration_seconds",
    .help = "Time until a request to the API server was answered.",
    .type = METRIC_HISTOGRAM,
    .labels = { "verb", "host" },
    .buckets = duration_bounds,
    .n_buckets = ARRAY_SIZE(duration_bounds),
};

void api_client_count(ApiClient *c, Metrics *m)
{
    c->metrics = m;
    c->requests = metrics_add(m, &requests_def);
    c->durations = metrics_add(m, &durations_def);
}

Metrics *api_client_metrics(const ApiClient *c)
{
    return c ? c->metrics : NULL;
}

/* Status 0: no answer came. */
static void count_answer(const ApiClient *c, StrView method, int status)
{
    char code[16];
    snprintf(code, sizeof code, status ? "%d" : "<error>", status);
    metric_add(c->requests, LABEL_VALUES(sv_cstr(code), method, sv_cstr(c->host)), 1);
}

/* ---- the client ---- */

static int load_token(ApiClient *c, Err *err)
{
    int64_t now = clock_mono_ns();
    if (!c->token_file ||
        (c->authorization.len > 0 && now - c->token_read_ns < TOKEN_REREAD_S * NSEC_PER_SEC))
        return 0;
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, c->token_file, TOKEN_MAX, &text);
    if (r < 0 && c->authorization.len == 0)
        return err_neg(err, r, "read the token '%s'", c->token_file);
    if (r < 0)
        return 0; /* the old one may still do */
    buf_clear(&c->authorization);
    buf_sv(&c->authorization, SV("Bearer "));
    buf_sv(&c->authorization, sv_trim(buf_view(&text)));
    c->token_read_ns = now;
    return c->authorization.failed ? err_nomem(err) : 0;
}

static int make_tls(const KubeConfig *cfg, TlsContext **ret, Err *err)
{
    TlsConfig tc = { .cert_chain = buf_view(&cfg->cert),
                     .key = buf_view(&cfg->key),
                     .ca = buf_view(&cfg->ca),
                     .insecure_skip_verify = cfg->insecure,
                     .alpn_h2 = true };
    return cfg->tls ? tls_context_new_client(&tc, ret, err) : 0;
}

static int make_http(ApiClient *c, const KubeConfig *cfg, Err *err)
{
    TlsContext *tls = NULL;
    int r = make_tls(cfg, &tls, err);
    if (r < 0)
        return r;
    HttpClientConfig hc = {
        .host = cfg->host, .port = cfg->port, .tls = tls, .server_name = cfg->server_name
    };
    r = http_client_new(c->loop, &hc, &c->http, err);
    tls_context_unref(tls);
    return r;
}

int api_client_new(Loop *l, const KubeConfig *cfg, ApiClient **ret, Err *err)
{
    ApiClient *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->loop = l;
    c->port = cfg->port;
    if (asprintf(&c->host, strchr(cfg->host, ':') ? "[%s]:%u" : "%s:%u", cfg->host, cfg->port) < 0)
        c->host = NULL;
    c->prefix = strdup(cfg->prefix ? cfg->prefix : "");
    c->user_agent = strdup(cfg->user_agent ? cfg->user_agent : "knarr");
    c->token_file = cfg->token_file ? strdup(cfg->token_file) : NULL;
    if (cfg->token)
        buf_printf(&c->authorization, "Bearer %s", cfg->token);
    int r = !c->host || !c->prefix || !c->user_agent || (cfg->token_file && !c->token_file) ||
                    c->authorization.failed
                ? err_nomem(err)
                : make_http(c, cfg, err);
    if (r < 0) {
        api_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int api_client_reload(ApiClient *c, const KubeConfig *cfg, Err *err)
{
    TlsContext *tls = NULL;
    int r = make_tls(cfg, &tls, err);
    if (r == 0)
        http_client_set_tls(c->http, tls);
    tls_context_unref(tls);
    return r;
}

uint16_t api_client_port(const ApiClient *c)
{
    return c->port;
}

ApiClient *api_client_free(ApiClient *c)
{
    if (!c)
        return NULL;
    while (c->calls)
        api_call_cancel(c->calls);
    while (c->watches)
        api_watch_cancel(c->watches);
    http_client_free(c->http);
    free(c->host);
    free(c->prefix);
    free(c->token_file);
    free(c->user_agent);
    buf_free(&c->authorization);
    free(c);
    return NULL;
}

Loop *api_client_loop(const ApiClient *c)
{
    return c->loop;
}

/* ---- paths and queries ---- */

void api_query_add(Buf *query, StrView name, StrView value)
{
    if (query->len > 0)
        buf_putc(query, '&');
    percent_encode(name, query);
    buf_putc(query, '=');
    percent_encode(value, query);
}

static void add_segment(Buf *out, StrView s)
{
    buf_putc(out, '/');
    percent_encode(s, out);
}

void api_target_path(const ApiTarget *t, Buf *out)
{
    buf_sv(out, t->group.len ? SV("/apis") : SV("/api"));
    if (t->group.len)
        add_segment(out, t->group);
    add_segment(out, t->version);
    if (t->ns.len) {
        buf_sv(out, SV("/namespaces"));
        add_segment(out, t->ns);
    }
    add_segment(out, t->plural);
    if (t->name.len)
        add_segment(out, t->name);
    if (t->subresource.len)
        add_segment(out, t->subresource);
}

/* ---- errors ---- */

static ErrCode code_of_reason(StrView reason)
{
    static const struct {
        StrView reason;
        ErrCode code;
    } table[] = {
        { SV_INIT("NotFound"), ERR_NOT_FOUND },
        { SV_INIT("AlreadyExists"), ERR_EXISTS },
        { SV_INIT("Conflict"), ERR_CONFLICT },
        { SV_INIT("Forbidden"), ERR_DENIED },
        { SV_INIT("Unauthorized"), ERR_UNAUTHENTICATED },
        { SV_INIT("Invalid"), ERR_INVALID },
        { SV_INIT("BadRequest"), ERR_INVALID },
        { SV_INIT("Gone"), ERR_GONE },
        { SV_INIT("Expired"), ERR_GONE },
        { SV_INIT("TooManyRequests"), ERR_BUSY },
        { SV_INIT("ServiceUnavailable"), ERR_BUSY },
        { SV_INIT("Timeout"), ERR_TIMEOUT },
        { SV_INIT("ServerTimeout"), ERR_TIMEOUT },
        { SV_INIT("MethodNotAllowed"), ERR_UNSUPPORTED },
        { SV_INIT("RequestEntityTooLarge"), ERR_LIMIT },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (sv_eq(table[i].reason, reason))
            return table[i].code;
    return ERR_NONE;
}

static ErrCode code_of_status(int status)
{
    switch (status) {
    case 400:
    case 422:
        return ERR_INVALID;
    case 401:
        return ERR_UNAUTHENTICATED;
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 405:
    case 406:
    case 415:
        return ERR_UNSUPPORTED;
    case 409:
        return ERR_CONFLICT;
    case 410:
        return ERR_GONE;
    case 413:
        return ERR_LIMIT;
    case 429:
    case 503:
        return ERR_BUSY;
    case 504:
        return ERR_TIMEOUT;
    default:
        return ERR_PROTO;
    }
}

static int status_error(int status, const Value *body, Err *err)
{
    StrView message = value_str(value_get(body, SV("message")));
    ErrCode code = code_of_reason(value_str(value_get(body, SV("reason"))));
    if (code == ERR_NONE)
        code = code_of_status(status);
    if (message.len > 0)
        return err_set(err, code, 0, "%.*s", SV_FMT(message));
    return err_set(err, code, 0, "the server answered with status %d", status);
}

/* ---- requests ---- */

#define ACCEPT_METADATA                                                                            \
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"                                \
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

static StrView accepted(const ApiTarget *t)
{
    return t->metadata_only ? SV(ACCEPT_METADATA) : SV("application/json");
}

static int send_request(ApiClient *c, StrView method, StrView target, StrView accept,
                        StrView content_type, StrView body, const HttpCallSpec *hooks,
                        HttpCall **ret, Err *err)
{
    HttpHeader h[4];
    uint32_t n = 0;
    int r = load_token(c, err);
    if (r < 0)
        return r;
    h[n++] = (HttpHeader){ SV("accept"), accept };
    h[n++] = (HttpHeader){ SV("user-agent"), sv_cstr(c->user_agent) };
    if (c->authorization.len > 0)
        h[n++] = (HttpHeader){ SV("authorization"), buf_view(&c->authorization) };
    if (body.len > 0)
        h[n++] = (HttpHeader){ SV("content-type"), content_type };
    HttpCallSpec s = *hooks;
    s.method = method;
    s.target = target;
    s.headers = h;
    s.n_headers = n;
    s.body = body;
    return http_call(c->http, &s, ret, err);
}

static void free_call(ApiCall *call)
{
    buf_free(&call->body);
    free(call);
}

static void unlink_call(ApiCall *call)
{
    if (call->prev)
        call->prev->next = call->next;
    else
        call->client->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
}

ApiCall *api_call_cancel(ApiCall *call)
{
    if (!call)
        return NULL;
    unlink_call(call);
    http_call_cancel(call->http);
    free_call(call);
    return NULL;
}

static void call_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    ApiCall *call = ctx;
    call->status = status;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seconds;
        if (sv_eq(headers[i].name, SV("retry-after")) && sv_to_u64(headers[i].value, &seconds) == 0)
            call->retry_after_s = (uint32_t)MIN(seconds, (uint64_t)3600);
    }
}

static void call_data(void *ctx, const void *data, size_t len)
{
    ApiCall *call = ctx;
    buf_append(&call->body, data, len); /* a failure sticks and is seen at the end */
}

static void finish_call(ApiCall *call, const Err *why)
{
    Arena arena;
    Value body;
    Err err = { 0 };
    ApiResult r = { .status = call->status,
                    .err = why,
                    .arena = &arena,
                    .reason = SV(""),
                    .retry_after_s = call->retry_after_s,
                    .text = buf_view(&call->body) };
    arena_init(&arena, 0);
    StrView text = sv_trim(r.text);
    if (!why && call->body.failed) {
        err_set(&err, ERR_LIMIT, 0, "the answer is too large");
        r.err = &err;
    } else if (text.len > 0 && text.ptr[0] == '{') {
        if (json_decode(text, &arena, NULL, &body, &err) == 0)
            r.body = &body;
        else if (!why)
            r.err = &err;
    }
    if (!r.err && (call->status < 200 || call->status > 299)) {
        status_error(call->status, r.body, &err);
        r.err = &err;
    }
    if (r.err && r.body) {
        StrView reason = value_str(value_get(r.body, SV("reason")));
        r.reason = reason.ptr ? reason : SV("");
        int64_t s = value_int_or(value_path(r.body, "details.retryAfterSeconds"), 0);
        if (s > 0)
            r.retry_after_s = (uint32_t)MIN(s, 3600);
    }
    if (call->done)
        call->done(call->ctx, &r);
    arena_free(&arena);
}

static void call_done(void *ctx, const Err *why)
{
    ApiCall *call = ctx;
    StrView method = sv_cstr(call->method);
    count_answer(call->client, method, call->status);
    metric_observe(call->client->durations, LABEL_VALUES(method, sv_cstr(call->client->host)),
                   (double)(clock_mono_ns() - call->begin_ns) / 1e9);
    unlink_call(call); /* the callback may free the client */
    call->http = NULL;
    finish_call(call, why);
    free_call(call);
}

static int request_path(const ApiClient *c, const ApiRequest *req, Buf *out, Err *err)
{
    buf_sv(out, sv_cstr(c->prefix));
    if (req->raw_path.len)
        buf_sv(out, req->raw_path);
    else
        api_target_path(&req->target, out);
    if (req->query.len) {
        buf_putc(out, '?');
        buf_sv(out, req->query);
    }
    return out->failed ? err_nomem(err) : 0;
}

int api_request(ApiClient *c, const ApiRequest *req, ApiCall **ret, Err *err)
{
    _cleanup_buf_ Buf path = BUF_INIT, body = BUF_INIT;
    int r = request_path(c, req, &path, err);
    if (r < 0)
        return r;
    if (req->body)
        json_encode(req->body, &body);
    ApiCall *call = body.failed ? NULL : calloc(1, sizeof *call);
    if (!call)
        return err_nomem(err);
    call->client = c;
    call->done = req->done;
    call->ctx = req->ctx;
    call->begin_ns = clock_mono_ns();
    sv_copy_cstr(sv_head(req->method, sizeof call->method - 1), call->method, sizeof call->method);
    call->body.limit = API_BODY_MAX;
    HttpCallSpec hooks = { .timeout_ms = req->timeout_ms ? req->timeout_ms : CALL_TIMEOUT_DEFAULT,
                           .on_head = call_head,
                           .on_data = call_data,
                           .on_done = call_done,
                           .ctx = call };
    r = send_request(c, req->method, buf_view(&path),
                     req->accept.len ? req->accept : accepted(&req->target),
                     req->content_type.len ? req->content_type : SV("application/json"),
                     req->body ? buf_view(&body) : req->raw_body, &hooks, &call->http, err);
    if (r < 0) {
        free_call(call);
        return r;
    }
    call->next = c->calls;
    if (call->next)
        call->next->prev = call;
    c->calls = call;
    if (ret)
        *ret = call;
    return 0;
}

int api_get(ApiClient *c, const ApiTarget *t, ApiDoneFn *done, void *ctx, ApiCall **ret, Err *err)
{
    ApiRequest req = { .method = SV("GET"), .target = *t, .done = done, .ctx = ctx };
    return api_request(c, &req, ret, err);
}

int api_list(ApiClient *c, const ApiTarget *t, StrView query, ApiDoneFn *done, void *ctx,
             ApiCall **ret, Err *err)
{
    ApiRequest req = {
        .method = SV("GET"), .target = *t, .query = query, .done = done, .ctx = ctx
    };
    return api_request(c, &req, ret, err);
}

int api_create(ApiClient *c, const ApiTarget *t, const Value *body, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err)
{
    ApiRequest req = { .method = SV("POST"), .target = *t, .body = body, .done = done, .ctx = ctx };
    if (sv_empty(t->subresource))
        req.target.name =
            SV_NULL; /* a POST goes to the collection; only subresources keep the name */
    return api_request(c, &req, ret, err);
}

int api_update(ApiClient *c, const ApiTarget *t, const Value *body, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err)
{
    ApiRequest req = { .method = SV("PUT"), .target = *t, .body = body, .done = done, .ctx = ctx };
    return api_request(c, &req, ret, err);
}

int api_patch(ApiClient *c, const ApiTarget *t, StrView patch_type, StrView query,
              const Value *patch, ApiDoneFn *done, void *ctx, ApiCall **ret, Err *err)
{
    ApiRequest req = { .method = SV("PATCH"),
                       .target = *t,
                       .query = query,
                       .body = patch,
                       .content_type = patch_type,
                       .done = done,
                       .ctx = ctx };
    return api_request(c, &req, ret, err);
}

int api_delete(ApiClient *c, const ApiTarget *t, const Value *options, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err)
{
    ApiRequest req = {
        .method = SV("DELETE"), .target = *t, .body = options, .done = done, .ctx = ctx
    };
    return api_request(c, &req, ret, err);
}

/* ---- watches ---- */

static void free_watch(ApiWatch *w)
{
    buf_free(&w->buf);
    arena_free(&w->scratch);
    free(w);
}

/* Off the client and silent; freed when the outermost frame leaves. */
static void kill_watch(ApiWatch *w)
{
    if (w->dead)
        return;
    w->dead = true;
    if (w->prev)
        w->prev->next = w->next;
    else
        w->client->watches = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->http = http_call_cancel(w->http);
    if (w->busy == 0)
        free_watch(w);
}

static void leave_watch(ApiWatch *w)
{
    if (--w->busy == 0 && w->dead)
        free_watch(w);
}

ApiWatch *api_watch_cancel(ApiWatch *w)
{
    if (w)
        kill_watch(w);
    return NULL;
}

static void end_watch(ApiWatch *w, const Err *err)
{
    if (w->dead)
        return;
    w->busy++;
    kill_watch(w);
    if (w->ev.on_end)
        w->ev.on_end(w->ev.ctx, err);
    leave_watch(w);
}

static void watch_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    (void)headers;
    (void)n;
    ApiWatch *w = ctx;
    w->status = status;
    count_answer(w->client, SV("GET"), status);
}

static void watch_line(ApiWatch *w, StrView line)
{
    Value v;
    Err err = { 0 };
    if (sv_empty(sv_trim(line)))
        return;
    arena_reset(&w->scratch);
    if (json_decode(line, &w->scratch, NULL, &v, &err) < 0) {
        err_wrap(&err, "watch event");
        end_watch(w, &err);
        return;
    }
    StrView type = value_str(value_get(&v, SV("type")));
    Value *obj = value_get(&v, SV("object"));
    if (sv_eq(type, SV("ERROR"))) {
        status_error((int)value_int_or(value_get(obj, SV("code")), 500), obj, &err);
        end_watch(w, &err);
    } else if (type.len > 0 && value_is(obj, VALUE_MAP)) {
        w->ev.on_event(w->ev.ctx, type, obj, &w->scratch);
    } else {
        err_set(&err, ERR_PROTO, 0, "a watch event without type or object");
        end_watch(w, &err);
    }
}

static void watch_data(void *ctx, const void *data, size_t len)
{
    ApiWatch *w = ctx;
    Err err = { 0 };
    size_t from = w->buf.len;
    buf_append(&w->buf, data, len);
    if (w->buf.failed) {
        err_set(&err, ERR_LIMIT, 0, "a watch event is too large");
        end_watch(w, &err);
        return;
    }
    if (w->status != 200)
        return; /* the text of a refusal, read at the end */
    w->busy++;
    size_t start = 0;
    for (char *nl; !w->dead && (nl = memchr(w->buf.ptr + from, '\n', w->buf.len - from)) != NULL;) {
        size_t end = (size_t)(nl - w->buf.ptr);
        watch_line(w, sv_n(w->buf.ptr + start, end - start));
        start = from = end + 1;
    }
    if (!w->dead) {
        buf_consume(&w->buf, start);
        if (w->buf.len == 0 && w->buf.cap > WATCH_KEEP_BUFFER)
            buf_free(&w->buf);
    }
    leave_watch(w);
}

static void watch_done(void *ctx, const Err *why)
{
    ApiWatch *w = ctx;
    Err err = { 0 };
    Value v;
    w->http = NULL;
    if (!w->status)
        count_answer(w->client, SV("GET"), 0);
    if (!why && w->status != 200) {
        bool json = json_decode(buf_view(&w->buf), &w->scratch, NULL, &v, NULL) == 0;
        status_error(w->status, json ? &v : NULL, &err);
        why = &err;
    }
    end_watch(w, why);
}

int api_watch(ApiClient *c, const ApiTarget *t, StrView query, const ApiWatchEvents *ev,
              ApiWatch **ret, Err *err)
{
    _cleanup_buf_ Buf path = BUF_INIT;
    buf_sv(&path, sv_cstr(c->prefix));
    api_target_path(t, &path);
    buf_sv(&path, SV("?watch=1"));
    if (query.len) {
        buf_putc(&path, '&');
        buf_sv(&path, query);
    }
    ApiWatch *w = path.failed ? NULL : calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->client = c;
    w->ev = *ev;
    w->buf.limit = WATCH_LINE_MAX;
    arena_init(&w->scratch, ARENA_DEFAULT_LIMIT * 4);
    HttpCallSpec hooks = {
        .on_head = watch_head, .on_data = watch_data, .on_done = watch_done, .ctx = w
    };
    int r = send_request(c, SV("GET"), buf_view(&path), accepted(t), SV_NULL, SV_NULL, &hooks,
                         &w->http, err);
    if (r < 0) {
        free_watch(w);
        return r;
    }
    w->next = c->watches;
    if (w->next)
        w->next->prev = w;
    c->watches = w;
    *ret = w;
    return 0;
}
