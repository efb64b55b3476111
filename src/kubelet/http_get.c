/* http_get.c - see http_get.h. */
#include "kubelet/http_get.h"

#include <ctype.h>

#include "base/encode.h"

struct HttpGet {
    FetchOptions options;
    Fetcher *fetcher;
    Fetch *fetch;
    FetchDoneFn *done;
    void *ctx;
};

static bool is_escape(StrView s, size_t at)
{
    return at + 2 < s.len && isxdigit((unsigned char)s.ptr[at + 1]) &&
           isxdigit((unsigned char)s.ptr[at + 2]);
}

/* A path that is no part of a URL, for its percent signs, is taken letter by letter. */
static bool is_literal(StrView path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] == '%' && !is_escape(path, i))
            return true;
    return false;
}

static void put_path(Buf *out, StrView path)
{
    if (!sv_starts(path, SV("/")))
        buf_putc(out, '/');
    percent_encode_only(path, is_literal(path) ? "\"<>\\^`{|}%?#" : "\"<>\\^`{|}", out);
}

static int put_headers(const HttpGetSpec *spec, Arena *a, FetchSpec *ret, Err *err)
{
    const Value *own = value_get(spec->action, SV("httpHeaders"));
    HttpHeader *h = arena_array(a, HttpHeader, value_len(own) + 2);
    bool agent = false, accept = false;
    unsigned n = 0;
    if (!h)
        return err_nomem(err);
    value_list_foreach (one, own) {
        HttpHeader next = { value_str(value_get(one, SV("name"))),
                            value_str(value_get(one, SV("value"))) };
        agent |= sv_eq_nocase(next.name, SV("user-agent"));
        bool accepts = sv_eq_nocase(next.name, SV("accept"));
        accept |= accepts;
        if (!accepts || next.value.len) /* an empty one: none is sent */
            h[n++] = next;
    }
    if (!agent)
        h[n++] = (HttpHeader){ SV("user-agent"), spec->agent };
    if (!accept)
        h[n++] = (HttpHeader){ SV("accept"), SV("*/*") };
    ret->headers = h;
    ret->n_headers = n;
    return 0;
}

static void on_done(void *ctx, const FetchResult *r)
{
    HttpGet *g = ctx;
    g->fetch = NULL;
    g->done(g->ctx, r);
}

static int start(HttpGet *g, const HttpGetSpec *spec, Err *err)
{
    bool tls = sv_eq(value_str(value_get(spec->action, SV("scheme"))), SV("HTTPS"));
    bool v6 = strchr(spec->host, ':') != NULL;
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf url = BUF_INIT;
    FetchSpec f = { .timeout_ms = FETCH_NO_TIMEOUT,
                    .body_max = HTTP_GET_BODY_MAX,
                    .body_cut = true,
                    .keep_gzip = true,
                    .done = on_done,
                    .ctx = g };
    int r;

    arena_init(&a, 0);
    buf_printf(&url, "%s://%s%s%s:%u", tls ? "https" : "http", v6 ? "[" : "", spec->host,
               v6 ? "]" : "", spec->port);
    put_path(&url, value_str(value_get(spec->action, SV("path"))));
    if (url.failed)
        return err_nomem(err);
    f.url = buf_view(&url);
    if ((r = put_headers(spec, &a, &f, err)) < 0 ||
        (r = fetch_start(g->fetcher, &f, &g->fetch, err)) < 0)
        return r;
    return 0;
}

int http_get_new(Loop *l, const HttpGetSpec *spec, HttpGet **ret, Err *err)
{
    HttpGet *g = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    g->options = (FetchOptions){ .tls = { .insecure_skip_verify = true },
                                 .follow_redirects = true,
                                 .same_host_redirects = true,
                                 .no_reuse = true };
    g->done = spec->done;
    g->ctx = spec->ctx;
    int r = fetcher_new(l, &g->options, &g->fetcher, err);
    if (r >= 0)
        r = start(g, spec, err);
    if (r < 0)
        http_get_free(g);
    else
        *ret = g;
    return r;
}

HttpGet *http_get_free(HttpGet *g)
{
    if (!g)
        return NULL;
    fetch_cancel(g->fetch);
    fetcher_free(g->fetcher);
    free(g);
    return NULL;
}
