/* forward.c - pods/proxy, services/proxy and nodes/proxy: a request goes to a backend, its answer
 * comes back.
 *
 * Bodies stream both ways; backend_pending_max() bytes wait in each direction before the sender has
 * to. Links of pages and of redirects are led back through the proxy (html_links.h); a page that is
 * compressed is unpacked for it, a part at a time. When either side goes away the other's
 * connection ends. */
#include <arpa/inet.h>
#include <zlib.h>

#include "apiserver/authz.h"
#include "apiserver/backend.h"
#include "apiserver/handlers.h"
#include "apiserver/html_links.h"
#include "apiserver/join.h"
#include "apiserver/passing.h"
#include "apiserver/respond.h"
#include "base/encode.h"
#include "net/ws.h"

enum {
    PAGE_PART = 16 * 1024,
    HEADERS_ADDED = 3,
};

typedef struct Forward {
    ApiCall *x;
    Backend to;
    LinkMap links;
    HttpClient *client;
    HttpCall *call;
    bool started, upload_held;
    /* a page */
    bool page, page_over, zipped, unpacking;
    HtmlLinks html;
    z_stream z;
    Buf in; /* what has come of it and not been read */
} Forward;

static size_t pending_max(const Forward *f)
{
    return backend_pending_max(f->x->on->backends);
}

static void forward_free(Forward *f)
{
    backend_closed(f->x->on->backends);
    http_call_cancel(f->call);
    http_client_free(f->client);
    if (f->unpacking)
        inflateEnd(&f->z);
    html_links_free(&f->html);
    buf_free(&f->in);
    free(f);
}

static void on_peer_gone(void *ctx)
{
    forward_free(ctx);
}

static void forward_cut(Forward *f)
{
    HttpReq *req = f->x->req;
    http_on_close(req, NULL, NULL);
    forward_free(f);
    http_abort(req);
}

/* ---- pages ---- */

/* Unpacks some of `in`; false: it cannot be read. */
static bool unpack(Forward *f, Buf *out)
{
    if (!buf_reserve(out, PAGE_PART))
        return false;
    f->z.next_in = (Bytef *)f->in.ptr;
    f->z.avail_in = (uInt)f->in.len;
    f->z.next_out = (Bytef *)out->ptr + out->len;
    f->z.avail_out = PAGE_PART;
    int r = inflate(&f->z, Z_NO_FLUSH);
    out->len += PAGE_PART - f->z.avail_out;
    buf_consume(&f->in, f->in.len - f->z.avail_in);
    if (r == Z_STREAM_END) {
        buf_clear(&f->in); /* what follows the end is nothing */
        return true;
    }
    return r == Z_OK || r == Z_BUF_ERROR;
}

/* Reads what has come as far as the client takes it. False: the answer is gone. */
static bool pump_page(Forward *f)
{
    HttpReq *req = f->x->req;
    bool fine = true, more = f->in.len > 0 || f->zipped;
    while (fine && more && http_stream_pending(req) < pending_max(f)) {
        _cleanup_buf_ Buf text = BUF_INIT, out = BUF_INIT;
        if (f->zipped) {
            fine = unpack(f, &text);
            more = text.len > 0;
        } else {
            StrView some = sv_head(buf_view(&f->in), PAGE_PART);
            buf_sv(&text, some);
            buf_consume(&f->in, some.len);
            more = f->in.len > 0;
        }
        html_links_feed(&f->html, buf_view(&text), &out);
        fine = fine && !text.failed && !out.failed && !f->html.tag.failed &&
               http_stream_write(req, out.ptr, out.len, NULL) == 0;
    }
    if (!fine)
        forward_cut(f);
    else if (f->page_over && !more) {
        _cleanup_buf_ Buf out = BUF_INIT;
        html_links_end(&f->html, &out);
        (void)!http_stream_write(req, out.ptr, out.len, NULL);
        http_on_close(req, NULL, NULL);
        forward_free(f);
        http_stream_end(req);
        fine = false;
    }
    return fine;
}

static StrView find(const HttpHeader *h, uint32_t n, StrView name)
{
    for (uint32_t i = 0; i < n; i++)
        if (sv_eq(h[i].name, name))
            return h[i].value;
    return SV("");
}

/* Whether the answer is a page whose links are to be led back, and how it is packed. */
static bool is_page(Forward *f, const HttpHeader *h, uint32_t n)
{
    StrView type = SV(""), rest, packed = find(h, n, SV("content-encoding"));
    sv_cut(find(h, n, SV("content-type")), ';', &type, &rest);
    if (!sv_eq_nocase(sv_trim(type), SV("text/html")) || find(h, n, SV("location")).len)
        return false;
    if (!packed.len)
        return true;
    bool gzip = sv_eq(packed, SV("gzip"));
    if (!gzip && !sv_eq(packed, SV("deflate")))
        return false; /* not ours to read: it passes as it is */
    /* "deflate" without zlib's frame, as the peer reads it. */
    f->unpacking = f->zipped = inflateInit2(&f->z, gzip ? MAX_WBITS + 16 : -MAX_WBITS) == Z_OK;
    return f->zipped;
}

/* ---- the answer ---- */

static bool copy_headers(Forward *f, int status, const HttpHeader *h, uint32_t n)
{
    HttpReq *req = f->x->req;
    for (uint32_t i = 0; i < n; i++) {
        _cleanup_buf_ Buf link = BUF_INIT;
        StrView value = h[i].value;
        bool length = sv_eq(h[i].name, SV("content-length"));
        if (length ? f->page || status == 204 : !passes_back(h, n, h[i].name))
            continue;
        if (sv_eq(h[i].name, SV("content-type")) ||
            (f->zipped && sv_eq(h[i].name, SV("content-encoding"))))
            continue; /* the first goes with the start */
        if (sv_eq(h[i].name, SV("location"))) {
            link_map(&f->links, value, &link);
            value = buf_view(&link);
        }
        if (link.failed || http_set_header(req, h[i].name, value, NULL) < 0)
            return false;
    }
    return true;
}

static void on_drain(void *ctx)
{
    Forward *f = ctx;
    if (f->page && !pump_page(f))
        return;
    if (f->in.len == 0)
        http_call_pause(f->call, false);
}

static void on_head(void *ctx, int status, const HttpHeader *h, uint32_t n)
{
    Forward *f = ctx;
    HttpReq *req = f->x->req;
    if (status < 200)
        return; /* a switch that nobody asked for: on_done tells */
    f->page = !sv_eq(req->method, SV("HEAD")) && is_page(f, h, n);
    if (!copy_headers(f, status, h, n) ||
        http_stream_start(req, status, find(h, n, SV("content-type")), NULL) < 0) {
        forward_cut(f);
        return;
    }
    f->started = true;
    http_stream_on_drain(req, on_drain, f);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    Forward *f = ctx;
    HttpReq *req = f->x->req;
    if (!f->started)
        return;
    if (f->page)
        buf_append(&f->in, data, len);
    if (f->in.failed || (!f->page && http_stream_write(req, data, len, NULL) < 0)) {
        forward_cut(f);
        return;
    }
    if (f->page && !pump_page(f))
        return;
    if (f->in.len || http_stream_pending(req) > pending_max(f))
        http_call_pause(f->call, true);
}

static void on_done(void *ctx, const Err *err)
{
    Forward *f = ctx;
    ApiCall *x = f->x;
    f->call = NULL;
    if (f->page && !err) {
        f->page_over = true;
        (void)pump_page(f); /* the rest comes as the client takes it */
        return;
    }
    if (f->started && err) {
        forward_cut(f);
        return;
    }
    bool started = f->started;
    http_on_close(x->req, NULL, NULL);
    forward_free(f);
    if (started)
        http_stream_end(x->req);
    else
        respond_status(x, REASON_SERVICE_UNAVAILABLE, "error trying to reach service: %s",
                       err ? err->msg : "the server switched protocols without being asked");
}

/* ---- the request ---- */

static void on_upload(void *ctx, const void *data, size_t len)
{
    Forward *f = ctx;
    if (!f->call) /* answered already */
        return;
    if (http_call_write(f->call, data, len, NULL) < 0)
        forward_cut(f);
    else if (http_call_pending(f->call) > pending_max(f)) {
        f->upload_held = true;
        http_body_pause(f->x->req, true);
    }
}

static void on_upload_drain(void *ctx)
{
    Forward *f = ctx;
    if (f->upload_held)
        http_body_pause(f->x->req, false);
    f->upload_held = false;
}

static void on_upload_end(void *ctx)
{
    Forward *f = ctx;
    if (f->call)
        http_call_end(f->call);
}

/* Go's net/url escapes paths so, and Kubernetes' proxy with it. */
static void escape_path(StrView path, Buf *out)
{
    percent_encode_but(path, "$&+,/:;=@", out);
}

/* The path behind ".../proxy", without "." and "..", and without empty segments. */
static StrView path_behind(const ApiCall *x)
{
    StrView path = x->req->path, segment;
    StrView rest = sv_skip(path, (size_t)(x->sub.ptr + x->sub.len - path.ptr));
    char *out = arena_alloc(x->arena, rest.len + 1);
    size_t n = 0;
    bool slash = sv_ends(rest, SV("/"));
    if (!out)
        return SV_NULL;
    while (sv_next(&rest, '/', &segment)) {
        if (!segment.len || sv_eq(segment, SV(".")))
            continue;
        if (sv_eq(segment, SV(".."))) {
            while (n > 0 && out[--n] != '/')
                ;
            continue;
        }
        out[n++] = '/';
        memcpy(out + n, segment.ptr, segment.len);
        n += segment.len;
    }
    if (slash)
        out[n++] = '/';
    return sv_n(out, n);
}

static StrView make_target(ApiCall *x, StrView path)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView query = x->req->query;
    escape_path(path.len ? path : SV("/"), &b);
    if (query.len)
        buf_putc(&b, '?');
    percent_encode_only(query, "", &b);
    return b.failed ? SV_NULL : arena_sv(x->arena, buf_view(&b));
}

/* X-Forwarded-For goes on with the client's address. */
static StrView forwarded_for(ApiCall *x)
{
    char text[INET6_ADDRSTRLEN] = "";
    const struct sockaddr *from = x->req->remote;
    StrView before = http_header(x->req, SV("x-forwarded-for"));
    if (from->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, text,
                  sizeof text);
    else if (from->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, text,
                  sizeof text);
    return arena_printf(x->arena, "%.*s%s%s", SV_FMT(before), before.len && text[0] ? ", " : "",
                        text);
}

/* Without an upgrade nobody chooses a protocol, and a token may hide among them. */
static bool goes_on(const HttpReq *req, StrView name)
{
    static const StrView not [] = { SV_INIT("x-forwarded-for"), SV_INIT("x-forwarded-uri"),
                                    SV_INIT("sec-websocket-protocol") };
    for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
        if (sv_eq(name, not [i]))
            return false;
    return passes_on(req, name) || (req->streams && sv_eq(name, SV("content-length")));
}

static HttpHeader *make_headers(Forward *f, StrView path, uint32_t *ret_n)
{
    HttpReq *req = f->x->req;
    HttpHeader *h = arena_array(f->x->arena, HttpHeader, req->n_headers + HEADERS_ADDED);
    uint32_t n = 0;
    _cleanup_buf_ Buf uri = BUF_INIT;
    escape_path(f->links.prefix, &uri);
    escape_path(path, &uri);
    StrView forwarded_uri = uri.failed ? SV_NULL : arena_sv(f->x->arena, buf_view(&uri));
    if (!h || !forwarded_uri.ptr)
        return NULL;
    for (uint32_t i = 0; i < req->n_headers; i++) {
        if (goes_on(req, req->headers[i].name))
            h[n++] = req->headers[i];
    }
    h[n++] = (HttpHeader){ SV("host"), req->authority };
    h[n++] = (HttpHeader){ SV("x-forwarded-uri"), forwarded_uri };
    h[n++] = (HttpHeader){ SV("x-forwarded-for"), forwarded_for(f->x) };
    *ret_n = n;
    return h;
}

static int begin(Forward *f, StrView path, Err *err)
{
    ApiCall *x = f->x;
    HttpCallSpec spec = { .method = x->req->method,
                          .target = make_target(x, path),
                          .streams = x->req->streams,
                          .on_head = on_head,
                          .on_data = on_data,
                          .on_done = on_done,
                          .on_drain = on_upload_drain,
                          .ctx = f };
    spec.headers = make_headers(f, path, &spec.n_headers);
    if (!spec.headers || !spec.target.ptr || x->arena->failed)
        return err_nomem(err);
    int r = backend_client(x, &f->to, &f->client, err);
    if (r == 0)
        r = http_call(f->client, &spec, &f->call, err);
    if (r < 0)
        return r;
    http_on_close(x->req, on_peer_gone, f);
    if (x->req->streams)
        http_body_start(x->req, &(HttpBodyEvents){ on_upload, on_upload_end, f });
    return 0;
}

static void open_upgrade(ApiCall *x, const Backend *to, StrView path)
{
    _cleanup_buf_ Buf head = BUF_INIT;
    HttpClient *client;
    Err err = { 0 };
    StrView target = make_target(x, path);
    buf_printf(&head, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n", SV_FMT(x->req->method),
               SV_FMT(target), SV_FMT(x->req->authority));
    if (!join_headers(x->req, &head)) {
        respond_status(x, REASON_BAD_REQUEST, "a header's value must be one line");
        return;
    }
    buf_sv(&head, SV("\r\n"));
    if (head.failed || x->arena->failed)
        respond_nomem(x);
    else if (backend_client(x, to, &client, &err) < 0)
        respond_err(x, &err);
    else
        join_open(x, client, true, buf_view(&head));
}

static bool wants_upgrade(const HttpReq *req)
{
    return req->version == 1 && !req->streams && http_header(req, SV("upgrade")).len &&
           http_header_has_token(req, SV("connection"), SV("upgrade"));
}

static bool method_is_known(StrView method)
{
    static const StrView known[] = { SV_INIT("GET"),   SV_INIT("POST"), SV_INIT("PUT"),
                                     SV_INIT("PATCH"), SV_INIT("HEAD"), SV_INIT("OPTIONS"),
                                     SV_INIT("DELETE") };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq(known[i], method))
            return true;
    return false;
}

/* Behind two of them a link goes on with a host. */
static StrView one_slash(StrView path)
{
    while (sv_starts(path, SV("//")))
        path = sv_skip(path, 1);
    return path;
}

/* A page at "…/proxy" would have the wrong base for its relative links. */
static void redirect_to_root(ApiCall *x)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView query = x->req->query;
    escape_path(one_slash(x->req->path), &b);
    buf_printf(&b, "/%s%.*s", query.len ? "?" : "", SV_FMT(query));
    if (b.failed || http_set_header(x->req, SV("Location"), buf_view(&b), NULL) < 0)
        respond_nomem(x);
    else
        http_respond(x->req, 301, SV(""), SV(""));
}

static void open_forward(ApiCall *x, const Backend *to, const LinkMap *links, StrView path)
{
    Forward *f = calloc(1, sizeof *f);
    Err err = { 0 };
    if (!f) {
        respond_nomem(x);
        return;
    }
    f->x = x;
    f->to = *to;
    f->links = *links;
    f->html.map = &f->links;
    backend_opened(x->on->backends);
    if (begin(f, path, &err) < 0) {
        forward_free(f);
        respond_err(x, &err);
    }
}

/* A WebSocket begins with GET; what it opens in a kubelet may run commands, for which the right to
 * read is not enough (as for pods/exec). */
static bool may_upgrade(ApiCall *x)
{
    if (!sv_eq(x->resource, SV("nodes")) || authorize_call(x, SV("create")))
        return true;
    respond_forbidden(x,
                      "User \"%.*s\" cannot create resource \"nodes/proxy\" in API group \"\" at "
                      "the cluster scope: an upgrade needs it",
                      SV_FMT(x->user.name));
    return false;
}

bool forward_handle(ApiCall *x)
{
    Backend to;
    if (!sv_eq(x->sub, SV("proxy")) || !api_sub_find(x->res, x->sub))
        return false;
    StrView path = path_behind(x);
    const char *begin_of_path = one_slash(x->req->path).ptr;
    LinkMap links = { .prefix =
                          sv_n(begin_of_path, (size_t)(x->sub.ptr + x->sub.len - begin_of_path)),
                      .asked = x->req->authority };
    bool upgrade = wants_upgrade(x->req);
    bool reads = sv_eq(x->req->method, SV("GET")) || sv_eq(x->req->method, SV("HEAD"));
    if (!path.ptr)
        respond_nomem(x);
    else if (!method_is_known(x->req->method))
        respond_status(x, REASON_METHOD_NOT_ALLOWED,
                       "the server does not allow this method on the requested resource");
    else if ((upgrade && !may_upgrade(x)) || !backend_find(x, &to))
        return true;
    else if (upgrade)
        open_upgrade(x, &to, path);
    else if (!path.len && reads)
        redirect_to_root(x);
    else {
        links.host = to.shown;
        open_forward(x, &to, &links, path);
    }
    return true;
}
