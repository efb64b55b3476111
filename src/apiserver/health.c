/* health.c - /livez, /readyz and /healthz: all checks at once, or one by its name
 * (/readyz/ping), in the form of Kubernetes'. To add a check, add a row to checks[].
 *
 * The server listens only when its store is open and the cluster's first objects are there; what
 * can go wrong later shows in requests, which are refused one by one. So every check that is
 * answered at all has passed. */
#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "base/buf.h"

/* By the names that Kubernetes' users ask for; "etcd" is the store. */
static const StrView checks[] = { SV_INIT("ping"), SV_INIT("etcd") };

static void answer(ApiCall *x, StrView text)
{
    http_set_header(x->req, SV("Cache-Control"), SV("no-cache, private"), NULL);
    http_set_header(x->req, SV("X-Content-Type-Options"), SV("nosniff"), NULL);
    if (!respond_exhausted(x))
        http_respond(x->req, 200, SV("text/plain; charset=utf-8"), text);
}

static bool is_check(StrView name)
{
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        if (sv_eq(checks[i], name))
            return true;
    return false;
}

static bool is_excluded(ApiCall *x, StrView check)
{
    StrView rest = x->req->query, name, value;
    while (http_query_next(x->arena, &rest, &name, &value))
        if (sv_eq(name, SV("exclude")) && sv_eq(value, check))
            return true;
    return false;
}

/* Names that cannot be excluded since there is no such check, each once. */
static void warn_of_unknown(ApiCall *x, Buf *out)
{
    StrView rest = x->req->query, name, value;
    bool any = false;
    while (http_query_next(x->arena, &rest, &name, &value)) {
        if (!sv_eq(name, SV("exclude")) || is_check(value))
            continue;
        buf_printf(out, "%s\"%.*s\"",
                   any ? ", " : "warn: some health checks cannot be excluded: no matches for ",
                   SV_FMT(sv_head(value, 64)));
        any = true;
    }
    if (any)
        buf_putc(out, '\n');
}

static void answer_all(ApiCall *x, StrView endpoint)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView verbose;
    if (!http_query(x->req, SV("verbose"), &verbose)) {
        answer(x, SV("ok"));
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        buf_printf(&out, is_excluded(x, checks[i]) ? "[+]%.*s excluded: ok\n" : "[+]%.*s ok\n",
                   SV_FMT(checks[i]));
    warn_of_unknown(x, &out);
    buf_printf(&out, "%.*s check passed\n", SV_FMT(endpoint));
    answer(x, arena_sv(x->arena, buf_view(&out)));
}

bool health_handle(ApiCall *x)
{
    static const StrView endpoints[] = { SV_INIT("healthz"), SV_INIT("livez"), SV_INIT("readyz") };
    StrView endpoint, check, path = sv_skip(x->req->path, 1);
    bool one = sv_cut(path, '/', &endpoint, &check);
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        if (!sv_eq(endpoint, endpoints[i]) || (one && !is_check(check)))
            continue;
        if (one)
            answer(x, SV("ok"));
        else
            answer_all(x, endpoint);
        return true;
    }
    return false;
}
