/* targets.c - the answers about targets and what they expose, in the shapes of Prometheus'
 * web/api/v1. */
#include "base/clock.h"
#include "base/map.h"
#include "monitor/model/duration.h"
#include "monitor/model/number.h"
#include "monitor/parts/internal.h"
#include "monitor/web/json_out.h"

static void put_member(Buf *out, const char *name, StrView text, bool more)
{
    buf_printf(out, "\"%s\":", name);
    json_put_text(out, text);
    if (more)
        buf_putc(out, ',');
}

static void put_duration(Buf *out, const char *name, int64_t ms, bool more)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    prom_duration_format(ms, &text);
    put_member(out, name, buf_view(&text), more);
}

static void put_active(Buf *out, const ScrapeTargetInfo *t)
{
    static const char *const health[] = { "unknown", "up", "down" };
    char stamp[RFC3339_SIZE] = "0001-01-01T00:00:00Z";
    if (t->last_scrape_ms)
        rfc3339_format_nano(t->last_scrape_ms * NSEC_PER_MSEC, stamp);
    buf_sv(out, SV("{\"discoveredLabels\":"));
    json_put_labels(out, t->discovered);
    buf_sv(out, SV(",\"labels\":"));
    json_put_labels(out, t->labels);
    buf_putc(out, ',');
    put_member(out, "scrapePool", t->pool, true);
    put_member(out, "scrapeUrl", t->url, true);
    put_member(out, "globalUrl", t->global_url, true);
    put_member(out, "lastError", t->last_error, true);
    put_member(out, "lastScrape", sv_cstr(stamp), true);
    buf_sv(out, SV("\"lastScrapeDuration\":"));
    double_format_f(t->last_duration_s, out);
    buf_putc(out, ',');
    put_member(out, "health", sv_cstr(health[t->health]), true);
    put_duration(out, "scrapeInterval", t->interval_ms, true);
    put_duration(out, "scrapeTimeout", t->timeout_ms, false);
    buf_putc(out, '}');
}

static void put_dropped_counts(MonitorParts *p, StrView pool, Buf *out)
{
    _cleanup_arena_ Arena a;
    StrView *pools;
    size_t n;
    arena_init(&a, 0);
    bool first = true;
    if (scrape_pools(p->scrape, &a, &pools, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        ScrapeTargets t;
        if ((pool.len && !sv_eq(pool, pools[i])) ||
            scrape_targets(p->scrape, pools[i], &a, &t, NULL) < 0)
            continue;
        if (!first)
            buf_putc(out, ',');
        first = false;
        json_put_text(out, pools[i]);
        buf_printf(out, ":%zu", t.dropped_total);
    }
}

/* Ours alone, and only where something is wrong: Prometheus shows it nowhere. */
static void put_errors(const ScrapeTargets *t, Buf *out)
{
    for (size_t i = 0; i < t->n_errors; i++) {
        buf_sv(out, i ? SV(",{") : SV(",\"discoveryErrors\":[{"));
        put_member(out, "scrapePool", t->errors[i].pool, true);
        put_member(out, "discovery", t->errors[i].part, true);
        put_member(out, "error", t->errors[i].why, false);
        buf_putc(out, '}');
    }
    if (t->n_errors)
        buf_putc(out, ']');
}

void parts_targets(void *ctx, StrView state, StrView pool, Buf *out)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    ScrapeTargets t = { 0 };
    bool active = !sv_eq(state, SV("dropped")), dropped = !sv_eq(state, SV("active"));
    arena_init(&a, 0);
    if (p->scrape && scrape_targets(p->scrape, pool, &a, &t, NULL) < 0)
        out->failed = true;
    buf_sv(out, SV("{\"activeTargets\":["));
    for (size_t i = 0; active && i < t.n_active; i++) {
        if (i)
            buf_putc(out, ',');
        put_active(out, &t.active[i]);
    }
    buf_sv(out, SV("],\"droppedTargets\":["));
    for (size_t i = 0; dropped && i < t.n_dropped; i++) {
        buf_sv(out, i ? SV(",{\"discoveredLabels\":") : SV("{\"discoveredLabels\":"));
        json_put_labels(out, t.dropped[i].discovered);
        buf_putc(out, ',');
        put_member(out, "scrapePool", t.dropped[i].pool, false);
        buf_putc(out, '}');
    }
    buf_sv(out, SV("],\"droppedTargetCounts\":{"));
    if (p->scrape && dropped)
        put_dropped_counts(p, pool, out);
    buf_putc(out, '}');
    put_errors(&t, out);
    buf_putc(out, '}');
}

void parts_scrape_pools(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    StrView *pools;
    size_t n = 0;
    arena_init(&a, 0);
    if (p->scrape && scrape_pools(p->scrape, &a, &pools, &n, NULL) < 0)
        out->failed = true;
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        json_put_text(out, pools[i]);
    }
    buf_putc(out, ']');
}

/* ---- metadata ---- */

typedef struct TargetMetadata {
    Buf *out;
    const Matcher *ms;
    unsigned n_ms;
    bool one_metric;
    int64_t left; /* negative: no bound */
    bool any;
} TargetMetadata;

static bool matches(const TargetMetadata *t, Labels l)
{
    for (unsigned i = 0; i < t->n_ms; i++)
        if (!matcher_matches(&t->ms[i], labels_get(l, t->ms[i].name)))
            return false;
    return true;
}

static void put_family(Buf *out, const ScrapeMetadata *m)
{
    put_member(out, "type", m->type, true);
    put_member(out, "help", m->help, true);
    put_member(out, "unit", m->unit, false);
}

static bool put_target_family(void *ctx, const ScrapeMetadata *m)
{
    TargetMetadata *t = ctx;
    if (t->left == 0)
        return false;
    if (!matches(t, m->target))
        return true;
    t->left -= t->left > 0;
    buf_sv(t->out, t->any ? SV(",{\"target\":") : SV("{\"target\":"));
    t->any = true;
    json_put_labels(t->out, m->target);
    buf_putc(t->out, ',');
    if (!t->one_metric)
        put_member(t->out, "metric", m->metric, true);
    put_family(t->out, m);
    buf_putc(t->out, '}');
    return true;
}

void parts_target_metadata(void *ctx, const Matcher *ms, unsigned n_ms, StrView metric,
                           int64_t limit, Buf *out)
{
    MonitorParts *p = ctx;
    TargetMetadata t = { out, ms, n_ms, metric.len > 0, limit, false };
    buf_putc(out, '[');
    if (p->scrape)
        scrape_metadata(p->scrape, metric, put_target_family, &t);
    buf_putc(out, ']');
}

/* Families by metric, each description once. */
typedef struct Family {
    Buf text; /* objects, separated by commas */
    int64_t n;
} Family;
typedef struct Families {
    Map map;
    int64_t per_metric;
    bool failed;
} Families;

static bool gather_family(void *ctx, const ScrapeMetadata *m)
{
    Families *f = ctx;
    _cleanup_buf_ Buf one = BUF_INIT;
    Family *have = map_get(&f->map, m->metric);
    if (!have) {
        have = calloc(1, sizeof *have);
        if (!have || !map_set(&f->map, m->metric, have, NULL)) {
            free(have);
            f->failed = true;
            return false;
        }
    }
    buf_putc(&one, '{');
    put_family(&one, m);
    buf_putc(&one, '}');
    if ((f->per_metric >= 0 && have->n >= f->per_metric) ||
        sv_find(buf_view(&have->text), buf_view(&one)) >= 0)
        return true;
    if (have->n++)
        buf_putc(&have->text, ',');
    buf_sv(&have->text, buf_view(&one));
    return true;
}

void parts_metadata(void *ctx, StrView metric, int64_t limit, int64_t per_metric, Buf *out)
{
    MonitorParts *p = ctx;
    Families f = { .per_metric = per_metric > 0 ? per_metric : -1 };
    StrView name;
    void *val;
    int64_t shown = 0;
    if (p->scrape)
        scrape_metadata(p->scrape, metric, gather_family, &f);
    buf_putc(out, '{');
    for (size_t i = 0; map_next(&f.map, &i, &name, &val);) {
        Family *one = val;
        if (limit < 0 || shown < limit) {
            if (shown++ > 0)
                buf_putc(out, ',');
            json_put_text(out, name);
            buf_sv(out, SV(":["));
            buf_sv(out, buf_view(&one->text));
            buf_putc(out, ']');
        }
        buf_free(&one->text);
        free(one);
    }
    map_free(&f.map);
    buf_putc(out, '}');
    out->failed |= f.failed;
}
