/* metrics_server.c - see metrics_server.h. */
#include "net/metrics_server.h"

#include <stdlib.h>

enum { METRICS_BODY_MAX = 4096 }; /* of a request, which has none */

struct MetricsServer {
    HttpServer *http;
    MetricsServerConfig cfg;
};

/* The weight ("q") of one element of an Accept header, in thousandths. */
static unsigned weight_of(StrView params)
{
    StrView piece, name, value;
    double q = 1;
    while (sv_next(&params, ';', &piece)) {
        sv_cut(sv_trim(piece), '=', &name, &value);
        if (sv_eq_nocase(name, SV("q")) && sv_to_double(value, &q) < 0)
            q = 0;
    }
    return q <= 0 ? 0 : (unsigned)(MIN(q, 1.0) * 1000);
}

static MetricsFormat format_for(StrView accept)
{
    unsigned open = 0, text = 0;
    StrView element, type, params;
    while (sv_next(&accept, ',', &element)) {
        sv_cut(sv_trim(element), ';', &type, &params);
        unsigned q = weight_of(params);
        if (sv_eq_nocase(sv_trim(type), SV("application/openmetrics-text")))
            open = MAX(open, q);
        else if (sv_eq_nocase(sv_trim(type), SV("text/plain")))
            text = MAX(text, q);
    }
    return open && open >= text ? METRICS_OPENMETRICS : METRICS_TEXT;
}

void metrics_respond(Metrics *m, HttpReq *req)
{
    static const StrView types[] = {
        [METRICS_TEXT] = SV_INIT("text/plain; version=0.0.4; charset=utf-8"),
        [METRICS_OPENMETRICS] =
            SV_INIT("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    };
    MetricsFormat format = format_for(http_header(req, SV("accept")));
    _cleanup_buf_ Buf out = BUF_INIT;
    metrics_write(m, format, &out);
    if (out.failed)
        http_respond(req, 500, SV("text/plain; charset=utf-8"), SV("out of memory\n"));
    else
        http_respond(req, 200, types[format], buf_view(&out));
}

static void answer(HttpReq *req, int status, StrView text)
{
    http_respond(req, status, SV("text/plain; charset=utf-8"), text);
}

static void on_allowed(void *server, HttpReq *req)
{
    metrics_respond(((MetricsServer *)server)->cfg.metrics, req);
}

static void on_request(void *ctx, HttpReq *req)
{
    static const StrView health[] = { SV_INIT("/healthz"), SV_INIT("/livez"), SV_INIT("/readyz") };
    MetricsServer *s = ctx;
    if (!sv_eq(req->method, SV("GET")) && !sv_eq(req->method, SV("HEAD"))) {
        answer(req, 405, SV("Method Not Allowed\n"));
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(health); i++)
        if (sv_eq(req->path, health[i])) {
            answer(req, 200, SV("ok"));
            return;
        }
    if (!sv_eq(req->path, SV("/metrics")))
        answer(req, 404, SV("404 page not found\n"));
    else if (s->cfg.guard)
        s->cfg.guard(s->cfg.ctx, req, on_allowed, s);
    else
        on_allowed(s, req);
}

int metrics_server_new(Loop *l, const MetricsServerConfig *cfg, MetricsServer **ret, Err *err)
{
    MetricsServer *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->cfg = *cfg;
    HttpServerConfig http = { .address_later = cfg->address_later,
                              .tls = cfg->tls,
                              .handler = on_request,
                              .ctx = s,
                              .body_max = METRICS_BODY_MAX };
    int r = http_server_new(l, cfg->address, &http, &s->http, err);
    if (r < 0)
        free(s);
    else
        *ret = s;
    return r;
}

uint16_t metrics_server_port(const MetricsServer *s)
{
    return http_server_port(s->http);
}

void metrics_server_set_tls(MetricsServer *s, TlsContext *tls)
{
    http_server_set_tls(s->http, tls);
}

MetricsServer *metrics_server_free(MetricsServer *s)
{
    if (!s)
        return NULL;
    http_server_free(s->http);
    free(s);
    return NULL;
}
