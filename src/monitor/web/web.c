/* web.c - see web.h: listeners, and the way from an exchange to a route. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/otlp/otlp.h"
#include "monitor/web/internal.h"

enum { QUIT_DELAY_MS = 50 }; /* for the answer to leave */

/* ---- dispatch ---- */

static void respond(HttpReq *req, int status, StrView text)
{
    http_respond(req, status, SV("text/plain; charset=utf-8"), text);
}

static void refuse_method(HttpReq *req, unsigned methods)
{
    static const char *const names[] = { "GET", "POST", "PUT", "HEAD", "OPTIONS" };
    _cleanup_buf_ Buf allow = BUF_INIT;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (methods & 1u << i)
            buf_printf(&allow, "%s%s", allow.len ? ", " : "", names[i]);
    http_set_header(req, SV("Allow"), buf_view(&allow), NULL);
    respond(req, 405, SV("Method Not Allowed\n"));
}

/* Answers what no route's function needs to see; true: it is answered. */
static bool answer_early(Web *w, Call *c)
{
    if (c->route->flags & ROUTE_API)
        call_cors(c);
    if (!(c->route->flags & ROUTE_ANYTIME) && (w->stopping || !web_db(w))) {
        call_header(c, SV("X-Prometheus-Stopping"), w->stopping ? SV("true") : SV("false"));
        call_text(c, 503, "Service Unavailable");
        call_send(c);
        return true;
    }
    return false;
}

static void on_quit(void *ctx)
{
    Web *w = ctx;
    loop_stop(w->loop);
}

static void dispatch(Web *w, HttpReq *req, const Route *route, StrView path, StrView arg)
{
    Call *c = call_new(w, req, route, path, arg);
    if (!c) {
        respond(req, 400, SV("the request's parameters are malformed or too many\n"));
        return;
    }
    if (answer_early(w, c))
        return;
    if (route->prepare)
        route->prepare(c);
    if (route->cls != CALL_LOOP) {
        call_enqueue(c);
        return;
    }
    route->fn(c);
    if (c->streams) {
        web_count(w, c, 0);
        call_free(c);
        return;
    }
    call_compress(c);
    call_send(c);
    if (w->quit && !w->quit_timer &&
        loop_add_timer(w->loop, QUIT_DELAY_MS, 0, on_quit, w, &w->quit_timer, NULL) < 0)
        loop_stop(w->loop);
}

/* OPTIONS of whatever is below API_PREFIX, as there is a route for all of it in Prometheus. */
static void serve_options(Call *c)
{
    c->status = 204;
}

static const Route api_options = { SV_INIT("/api/v1/*path"), METHOD_OPTIONS, CALL_LOOP, ROUTE_API,
                                   serve_options };

static void handle(void *ctx, HttpReq *req)
{
    Web *w = ctx;
    unsigned index;
    StrView arg, path = req->path;
    if (req->body_too_large) {
        respond(req, 413, SV("the request's body is too large\n"));
        return;
    }
    if (w->prefix.len && sv_starts(path, w->prefix) &&
        (path.len == w->prefix.len || path.ptr[w->prefix.len] == '/')) {
        path = sv_skip(path, w->prefix.len);
        path = path.len ? path : SV("/");
    } else if (w->prefix.len) {
        bool root = sv_eq(path, SV("/"));
        if (root)
            http_set_header(req, SV("Location"), w->prefix, NULL);
        respond(req, root ? 302 : 404, root ? SV("") : SV("404 page not found\n"));
        return;
    }
    const Route *route = route_find(path, &index, &arg);
    bool api = sv_starts(path, SV(API_PREFIX "/"));
    unsigned methods = route ? route->methods | (api ? METHOD_OPTIONS : 0) : 0;
    if (api && sv_eq(req->method, SV("OPTIONS")))
        dispatch(w, req, &api_options, path, SV(""));
    else if (!route)
        respond(req, 404, SV("404 page not found\n"));
    else if ((sv_eq(req->method, SV("GET")) && !(methods & METHOD_GET)) ||
             (sv_eq(req->method, SV("POST")) && !(methods & METHOD_POST)) ||
             (sv_eq(req->method, SV("PUT")) && !(methods & METHOD_PUT)) ||
             (sv_eq(req->method, SV("HEAD")) && !(methods & METHOD_HEAD)) ||
             (sv_eq(req->method, SV("OPTIONS")) && !(methods & METHOD_OPTIONS)) ||
             sv_eq(req->method, SV("DELETE")) || sv_eq(req->method, SV("PATCH")))
        refuse_method(req, methods);
    else
        dispatch(w, req, route, path, arg);
}

/* ---- listeners ---- */

/* An address without a host takes both families where the kernel has IPv6. */
static bool has_ipv6(void)
{
    _cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
    return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
}

static StrView listen_address(Web *w, const char *given)
{
    StrView s = sv_cstr(given);
    if (sv_starts(s, SV(":")))
        return arena_printf(&w->arena, "%s%s", has_ipv6() ? "[::]" : "0.0.0.0", given);
    if (sv_starts(s, SV("localhost:")))
        return arena_printf(&w->arena, "127.0.0.1%s", given + strlen("localhost"));
    return arena_sv(&w->arena, s);
}

static void on_tls(void *ctx, TlsContext *tls)
{
    Web *w = ctx;
    for (unsigned i = 0; i < w->n_servers; i++)
        http_server_set_tls(w->servers[i], tls);
}

static int open_access(Web *w, Err *err)
{
    const AccessOptions o = {
        .file = w->opt.access_file, .handler = handle, .on_tls = on_tls, .ctx = w
    };
    return o.file ? access_new(w->loop, &o, &w->access, err) : 0;
}

static int listen_all(Web *w, Err *err)
{
    w->servers = arena_array(&w->arena, HttpServer *, w->opt.n_listen + 1);
    if (!w->servers)
        return err_nomem(err);
    for (unsigned i = 0; i < w->opt.n_listen; i++) {
        const HttpServerConfig cfg = { .tls = w->access ? access_tls(w->access) : NULL,
                                       .handler = w->access ? access_handle : handle,
                                       .ctx = w->access ? (void *)w->access : w,
                                       .body_max = CALL_BODY_MAX,
                                       .arena_limit = 2 * (size_t)CALL_BODY_MAX,
                                       .limit = w->limit.max ? &w->limit : NULL,
                                       .idle_timeout_ms = w->opt.read_timeout_ms };
        const char *addr = arena_cstr(&w->arena, listen_address(w, w->opt.listen[i]));
        if (!addr)
            return err_nomem(err);
        int r = http_server_new(w->loop, addr, &cfg, &w->servers[w->n_servers], err);
        if (r < 0)
            return err_wrap(err, "--web.listen-address=%s", w->opt.listen[i]);
        w->n_servers++;
    }
    return 0;
}

/* ---- what is derived from the options ---- */

/* "/prom/" and "prom" are "/prom"; "/" is nothing. */
static StrView normal_prefix(Web *w, StrView s)
{
    while (sv_starts(s, SV("/")))
        s = sv_skip(s, 1);
    while (sv_ends(s, SV("/")))
        s = sv_head(s, s.len - 1);
    return s.len ? arena_printf(&w->arena, "/%.*s", SV_FMT(s)) : SV("");
}

static StrView path_of_url(StrView url)
{
    ssize_t scheme = sv_find(url, SV("://"));
    StrView rest = scheme < 0 ? url : sv_skip(url, (size_t)scheme + 3);
    ssize_t slash = sv_find_char(rest, '/');
    return slash < 0 ? SV("") : sv_skip(rest, (size_t)slash);
}

static int derive_url(Web *w, Err *err)
{
    char host[256] = "localhost";
    StrView url = w->opt.external_url;
    if (url.len == 0) {
        gethostname(host, sizeof host - 1);
        StrView first = sv_cstr(w->opt.n_listen ? w->opt.listen[0] : ":9090");
        ssize_t colon = sv_rfind_char(first, ':');
        StrView port = colon < 0 ? SV(":9090") : sv_skip(first, (size_t)colon);
        bool tls = w->access && access_tls(w->access);
        url = arena_printf(&w->arena, "http%s://%s%.*s/", tls ? "s" : "", host, SV_FMT(port));
    } else if (!sv_starts(url, SV("http://")) && !sv_starts(url, SV("https://"))) {
        return err_set(err, ERR_INVALID, 0,
                       "--web.external-url: '%.*s' is no URL that begins with http:// or https://",
                       SV_FMT(url));
    }
    w->opt.external_url = url;
    StrView prefix = w->opt.route_prefix;
    w->prefix = normal_prefix(w, prefix.len ? prefix : path_of_url(url));
    return w->prefix.ptr && url.ptr ? 0 : err_nomem(err);
}

static int derive_cors(Web *w, Err *err)
{
    char why[256];
    StrView re = w->opt.cors_origin;
    if (re.len == 0 || sv_eq(re, SV(".*")))
        return 0;
    w->cors = regex_new(re, true, why, sizeof why);
    return w->cors ? 0 : err_set(err, ERR_INVALID, 0, "--web.cors.origin: %s", why);
}

/* ---- life ---- */

int web_new(Loop *l, const WebOptions *opt, Web **ret, Err *err)
{
    Web *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    arena_init(&w->arena, 0);
    w->loop = l;
    w->opt = *opt;
    w->limit.max = opt->max_connections;
    w->sending_tail = &w->sending;
    w->started_ns = w->reloaded_ns = w->reload_ok_ns = clock_real_ns();
    w->reload_ok = true;
    notice_set(w, NOTICE_STARTING, true);
    w->routes = calloc(route_count() + 1, sizeof *w->routes);
    if (opt->otlp_add_up)
        w->deltas = otlp_deltas_new();
    int r = w->routes && (w->deltas || !opt->otlp_add_up) ? 0 : err_nomem(err);
    if (r == 0)
        r = queues_open(w, err);
    if (r == 0)
        r = open_access(w, err);
    if (r == 0)
        r = derive_url(w, err);
    if (r == 0)
        r = derive_cors(w, err);
    if (r == 0)
        r = listen_all(w, err);
    if (r < 0) {
        web_stop(w);
        web_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void web_set_ready(Web *w, Tsdb *db)
{
    atomic_store(&w->db, db);
    notice_set(w, NOTICE_STARTING, false);
}

Tsdb *web_db(Web *w)
{
    return atomic_load(&w->db);
}

void web_reloaded(Web *w, bool ok)
{
    w->reload_ok = ok;
    notice_set(w, NOTICE_RELOAD_FAILED, !ok);
    w->reloaded_ns = clock_real_ns();
    if (ok)
        w->reload_ok_ns = w->reloaded_ns;
}

void web_stop(Web *w)
{
    if (!w)
        return;
    w->stopping = true;
    for (unsigned i = 0; i < w->n_servers; i++)
        w->servers[i] = http_server_free(w->servers[i]);
    w->n_servers = 0;
    access_stop(w->access);
    w->quit_timer = source_free(w->quit_timer);
    queues_close(w);
}

Web *web_free(Web *w)
{
    if (!w)
        return NULL;
    ASSERT_MSG(w->in_flight == 0, "%u calls are under way", w->in_flight);
    regex_free(w->cors);
    access_free(w->access);
    otlp_deltas_free(w->deltas);
    arena_free(&w->arena);
    free(w->routes);
    free(w);
    return NULL;
}

StrView web_external_url(const Web *w)
{
    return w->opt.external_url;
}

uint16_t web_port(const Web *w, unsigned listener)
{
    return listener < w->n_servers ? http_server_port(w->servers[listener]) : 0;
}
