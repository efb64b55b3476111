/* metrics.c - see metrics.h. What becomes a label is bounded: kinds that are there, paths that are
 * named here, verbs, statuses. */
#include "apiserver/metrics.h"

#include <stdio.h>

#include "apiserver/handlers.h"
#include "base/clock.h"
#include "net/metrics_server.h"

static const double bounds[] = { 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1,  1.25, 1.5, 2,
                                 3,     4,     5,    6,   8,   10,  15,  20,  30, 45,   60 };
static const MetricDef requests = {
    .name = "apiserver_request_total",
    .help = "Requests that were answered, by what they asked for and their status.",
    .type = METRIC_COUNTER,
    .labels = { "verb", "dry_run", "group", "version", "resource", "subresource", "scope",
                "component", "code" },
    .series_max = 10000,
};
static const MetricDef durations = {
    .name = "apiserver_request_duration_seconds",
    .help = "Time until a request was answered, by what it asked for.",
    .type = METRIC_HISTOGRAM,
    .labels = { "verb", "dry_run", "group", "version", "resource", "subresource", "scope",
                "component" },
    .buckets = bounds,
    .n_buckets = ARRAY_SIZE(bounds),
};
static const MetricDef inflight = {
    .name = "apiserver_current_inflight_requests",
    .help = "Requests under way that end soon, by whether they change anything.",
    .type = METRIC_GAUGE,
    .labels = { "request_kind" },
};
static const MetricDef longrunning = {
    .name = "apiserver_longrunning_requests",
    .help = "Requests under way that may last: watches and streams.",
    .type = METRIC_GAUGE,
    .labels = { "verb", "group", "version", "resource", "subresource", "scope", "component" },
};

void api_metrics_init(ApiMetrics *m, Metrics *registry)
{
    *m = (ApiMetrics){ .registry = registry,
                       .requests = metrics_add(registry, &requests),
                       .durations = metrics_add(registry, &durations),
                       .inflight = metrics_add(registry, &inflight),
                       .longrunning = metrics_add(registry, &longrunning) };
    metric_set(m->inflight, LABEL_VALUES(SV("mutating")), 0);
    metric_set(m->inflight, LABEL_VALUES(SV("readOnly")), 0);
}

/* ---- labels ---- */

static StrView method_of(const ApiCall *x)
{
    static const StrView known[] = { SV_INIT("GET"), SV_INIT("HEAD"),  SV_INIT("POST"),
                                     SV_INIT("PUT"), SV_INIT("PATCH"), SV_INIT("DELETE") };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq(known[i], x->req->method))
            return known[i];
    return SV("other");
}

static bool is_stream(const ApiCall *x)
{
    static const StrView subs[] = { SV_INIT("attach"), SV_INIT("exec"), SV_INIT("portforward"),
                                    SV_INIT("proxy") };
    for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
        if (sv_eq(subs[i], x->sub))
            return true;
    return false;
}

static StrView verb_of(const ApiCall *x)
{
    static const struct {
        StrView verb, label;
    } verbs[] = {
        { SV_INIT("get"), SV_INIT("GET") },
        { SV_INIT("list"), SV_INIT("LIST") },
        { SV_INIT("watch"), SV_INIT("WATCH") },
        { SV_INIT("create"), SV_INIT("POST") },
        { SV_INIT("update"), SV_INIT("PUT") },
        { SV_INIT("patch"), SV_INIT("PATCH") },
        { SV_INIT("delete"), SV_INIT("DELETE") },
        { SV_INIT("deletecollection"), SV_INIT("DELETECOLLECTION") },
    };
    if (!x->count.known)
        return method_of(x);
    if (is_stream(x))
        return SV("CONNECT");
    if (sv_eq(x->verb, SV("patch")) &&
        sv_starts(http_header(x->req, SV("content-type")), SV("application/apply-patch+")))
        return SV("APPLY");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (sv_eq(verbs[i].verb, x->verb))
            return verbs[i].label;
    return method_of(x);
}

/* Of a kind its subresource; of other paths what they are. */
static StrView sub_of(const ApiCall *x)
{
    static const StrView paths[] = { SV_INIT("/api"),     SV_INIT("/apis"),   SV_INIT("/healthz"),
                                     SV_INIT("/livez"),   SV_INIT("/readyz"), SV_INIT("/metrics"),
                                     SV_INIT("/openapi"), SV_INIT("/version") };
    if (x->count.known)
        return x->sub;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        StrView rest = sv_skip(x->req->path, paths[i].len);
        if (sv_starts(x->req->path, paths[i]) && (!rest.len || rest.ptr[0] == '/'))
            return paths[i];
    }
    return SV("");
}

static StrView scope_of(const ApiCall *x)
{
    return !x->count.known                               ? SV("")
           : x->name.len || sv_eq(x->verb, SV("create")) ? SV("resource")
           : x->ns.len                                   ? SV("namespace")
                                                         : SV("cluster");
}

static StrView named(const ApiCall *x, StrView name)
{
    return x->count.known ? name : SV("");
}

/* ---- a request's way ---- */

void api_metrics_begin(ApiCall *x)
{
    x->count = (CallCount){ .begin_ns = clock_mono_ns(),
                            .known = x->res && (!x->sub.len || api_sub_find(x->res, x->sub)) };
}

static bool lasts(const ApiCall *x)
{
    return x->count.known && (sv_eq(x->verb, SV("watch")) || is_stream(x));
}

static void count_running(const ApiCall *x, int by)
{
    const ApiMetrics *m = &x->srv->metrics;
    bool reads = sv_eq(x->req->method, SV("GET")) || sv_eq(x->req->method, SV("HEAD"));
    if (lasts(x))
        metric_add(m->longrunning,
                   LABEL_VALUES(verb_of(x), named(x, x->group), named(x, x->version),
                                named(x, x->resource), sub_of(x), scope_of(x), SV("apiserver")),
                   by);
    else {
        atomic_fetch_add(&x->srv->under_way, by);
        metric_add(m->inflight, LABEL_VALUES(reads ? SV("readOnly") : SV("mutating")), by);
    }
}

void api_metrics_running(ApiCall *x)
{
    x->count.running = true;
    count_running(x, 1);
}

void api_metrics_turned_away(ApiCall *x)
{
    if (x->count.running)
        count_running(x, -1);
    x->count.running = false;
}

void api_metrics_ended(void *ctx, HttpReq *req, int status)
{
    ApiCall *x = req->user;
    const ApiServer *srv = ((const ApiLoop *)ctx)->srv;
    char code[8];
    if (!x || !x->count.begin_ns)
        return;
    api_metrics_turned_away(x);
    if (!status) /* the peer has gone before */
        return;
    snprintf(code, sizeof code, "%d", status);
    const StrView labels[] = {
        verb_of(x),
        x->dry_run ? SV("All") : SV(""),
        named(x, x->group),
        named(x, x->version),
        named(x, x->resource),
        sub_of(x),
        scope_of(x),
        SV("apiserver"),
        sv_cstr(code),
    };
    metric_add(srv->metrics.requests, labels, 1);
    metric_observe(srv->metrics.durations, labels, /* all but the last */
                   (double)(clock_mono_ns() - x->count.begin_ns) / 1e9);
}

bool metrics_handle(ApiCall *x)
{
    if (!sv_eq(x->req->path, SV("/metrics")))
        return false;
    metrics_respond(x->srv->metrics.registry, x->req);
    return true;
}
