/* http.c - target groups from a URL, asked for every refresh_interval. An answer that is not a list
 * of groups changes nothing. */
#include <stdio.h>

#include "base/clock.h"
#include "monitor/discovery/internal.h"
#include "fetch/fetch.h"

typedef struct HttpProvider {
    Provider base;
    const ConfigHttpSd *cfg;
    Fetcher *fetcher;
    Fetch *fetch;
    Source *timer;
    int64_t started_ns; /* the request under way */
    size_t n_groups;
} HttpProvider;

static int take(HttpProvider *p, const FetchResult *r, Err *err)
{
    _cleanup_arena_ Arena a;
    Label extra = { SV("__meta_url"), p->cfg->url };
    TargetGroup *groups;
    size_t n;
    StrView media = r->content_type, rest;

    arena_init(&a, 16 * (size_t)DISCOVERY_FILE_MAX);
    if (r->err)
        return err_set(err, r->err->code, 0, "%s", r->err->msg);
    if (r->status != 200)
        return err_set(err, ERR_PROTO, 0, "server returned HTTP status %d %s", r->status,
                       http_reason(r->status));
    sv_cut(media, ';', &media, &rest);
    if (!sv_eq_nocase(sv_trim(media), SV("application/json")))
        return err_set(err, ERR_PROTO, 0, "unsupported content type \"%.*s\"",
                       SV_FMT(r->content_type));
    int e = groups_parse(r->body, true, p->cfg->url, &extra, &a, &groups, &n, err);
    if (e < 0)
        return e;
    size_t before = p->n_groups;
    p->n_groups = n;
    provider_emit(&p->base, groups, n);
    for (size_t i = n; i < before; i++) {
        TargetGroup gone = { .source = arena_printf(&a, "%.*s:%zu", SV_FMT(p->cfg->url), i) };
        if (gone.source.ptr)
            provider_emit(&p->base, &gone, 1);
    }
    return 0;
}

static void refreshed(HttpProvider *p, const Err *why)
{
    provider_refreshed(&p->base, REFRESH_HTTP, p->started_ns, why->code != ERR_NONE);
    if (!why->code) {
        provider_works(&p->base);
        return;
    }
    p->base.owner->stats->http_failures++;
    provider_failed(&p->base, "Unable to refresh target groups", why);
}

static void on_answer(void *ctx, const FetchResult *r)
{
    HttpProvider *p = ctx;
    Err err = { 0 };
    p->fetch = NULL;
    (void)take(p, r, &err);
    refreshed(p, &err);
}

static void on_timer(void *ctx)
{
    HttpProvider *p = ctx;
    char seconds[32];
    Err err = { 0 };

    if (p->fetch)
        return;
    p->started_ns = clock_mono_ns();
    snprintf(seconds, sizeof seconds, "%g", (double)p->cfg->refresh_interval / 1000);
    HttpHeader headers[] = {
        { SV_INIT("accept"), SV_INIT("application/json") },
        { SV_INIT("accept-encoding"), SV_INIT("gzip") },
        { SV_INIT("user-agent"), sv_cstr(p->base.owner->user_agent) },
        { SV_INIT("x-prometheus-refresh-interval-seconds"), sv_cstr(seconds) },
    };
    FetchSpec spec = { .url = p->cfg->url,
                       .headers = headers,
                       .n_headers = ARRAY_SIZE(headers),
                       .timeout_ms = (uint32_t)MIN(p->cfg->refresh_interval, INT64_C(0x7fffffff)),
                       .body_max = DISCOVERY_FILE_MAX,
                       .done = on_answer,
                       .ctx = p };
    if (fetch_start(p->fetcher, &spec, &p->fetch, &err) < 0)
        refreshed(p, &err);
}

static Provider *http_stop(Provider *base)
{
    HttpProvider *p = (HttpProvider *)base;
    p->fetch = fetch_cancel(p->fetch);
    fetcher_free(p->fetcher);
    source_free(p->timer);
    free(p);
    return NULL;
}

int http_provider_new(Discovery *d, const ConfigHttpSd *cfg, Provider **ret, Err *err)
{
    HttpProvider *p = calloc(1, sizeof *p);
    int r;
    if (!p)
        return err_nomem(err);
    p->base = (Provider){ .owner = d, .stop = http_stop };
    p->cfg = cfg;
    if ((r = fetcher_new(d->loop, &cfg->http, &p->fetcher, err)) < 0 ||
        (r = loop_add_timer(d->loop, 0, (uint64_t)MAX(cfg->refresh_interval, INT64_C(100)),
                            on_timer, p, &p->timer, err)) < 0) {
        http_stop(&p->base);
        return r;
    }
    fetcher_count(p->fetcher, &d->stats->http_dials);
    *ret = &p->base;
    return 0;
}
