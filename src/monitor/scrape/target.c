/* target.c - from discovered labels to a target: defaults, relabelling, checks, URL. */
#include <stdio.h>

#include "base/encode.h"
#include "monitor/model/duration.h"
#include "monitor/scrape/internal.h"

enum { TARGET_ARENA_MAX = 16 * 1024 * 1024 };

static StrView duration_text(Arena *a, int64_t ms)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    prom_duration_format(ms, &out);
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

static void set_default(LabelsBuilder *b, StrView name, StrView value)
{
    if (!name.ptr || !value.ptr)
        b->failed = true;
    else if (sv_empty(labels_builder_get(b, name)))
        labels_builder_set(b, name, value);
}

static StrView flag_text(int8_t flag)
{
    return flag == 1 ? SV("true") : SV("false");
}

/* The labels that the service discovery page shows. */
static void populate(const ConfigScrape *job, Labels target, Labels group, LabelsBuilder *b)
{
    for (unsigned i = 0; i < target.len; i++)
        labels_builder_set(b, target.items[i].name, target.items[i].value);
    for (unsigned i = 0; i < group.len; i++)
        if (!labels_has(target, group.items[i].name))
            labels_builder_set(b, group.items[i].name, group.items[i].value);
    set_default(b, SV("job"), job->job_name);
    set_default(b, SV("__scrape_interval__"), duration_text(b->arena, job->scrape_interval));
    set_default(b, SV("__scrape_timeout__"), duration_text(b->arena, job->scrape_timeout));
    set_default(b, SV("__metrics_path__"), job->metrics_path);
    set_default(b, SV("__scheme__"), job->scheme);
    set_default(b, SV("__convert_classic_histograms_to_nhcb__"),
                flag_text(job->convert_classic_histograms_to_nhcb));
    set_default(b, SV("__always_scrape_classic_histograms__"),
                flag_text(job->always_scrape_classic_histograms));
    set_default(b, SV("__scrape_native_histograms__"), flag_text(job->scrape_native_histograms));
    for (unsigned i = 0; i < job->params.len; i++)
        if (job->params.items[i].values.len)
            set_default(b,
                        arena_printf(b->arena, "__param_%.*s", SV_FMT(job->params.items[i].name)),
                        job->params.items[i].values.items[0]);
}

static int bool_label(const LabelsBuilder *b, StrView name, const char *what, bool *ret, Err *err)
{
    static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
    static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False", "" };
    StrView v = labels_builder_get(b, name);

    *ret = false;
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++)
        if (sv_eq(v, sv_cstr(yes[i]))) {
            *ret = true;
            return 0;
        }
    for (unsigned i = 0; i < ARRAY_SIZE(no); i++)
        if (sv_eq(v, sv_cstr(no[i])))
            return 0;
    return err_set(err, ERR_INVALID, 0, "error parsing %s: invalid syntax", what);
}

static int check_times(const LabelsBuilder *b, ScrapeTarget *t, Err *err)
{
    StrView interval = labels_builder_get(b, SV("__scrape_interval__"));
    StrView timeout = labels_builder_get(b, SV("__scrape_timeout__"));

    if (prom_duration_parse(interval, &t->interval_ms) < 0)
        return err_set(err, ERR_INVALID, 0,
                       "error parsing scrape interval: not a valid duration string: \"%.*s\"",
                       SV_FMT(interval));
    if (!t->interval_ms)
        return err_set(err, ERR_INVALID, 0, "scrape interval cannot be 0");
    if (prom_duration_parse(timeout, &t->timeout_ms) < 0)
        return err_set(err, ERR_INVALID, 0,
                       "error parsing scrape timeout: not a valid duration string: \"%.*s\"",
                       SV_FMT(timeout));
    if (!t->timeout_ms)
        return err_set(err, ERR_INVALID, 0, "scrape timeout cannot be 0");
    if (t->timeout_ms > t->interval_ms)
        return err_set(
            err, ERR_INVALID, 0,
            "scrape timeout cannot be greater than scrape interval (\"%.*s\" > \"%.*s\")",
            SV_FMT(timeout), SV_FMT(interval));
    return 0;
}

static int check(LabelsBuilder *b, ScrapeTarget *t, Err *err)
{
    StrView address = labels_builder_get(b, SV("__address__"));
    int r;

    if (sv_empty(address))
        return err_set(err, ERR_INVALID, 0, "no address");
    if (sv_find_char(address, '/') >= 0)
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not a valid hostname", SV_FMT(address));
    if ((r = check_times(b, t, err)) < 0 ||
        (r = bool_label(b, SV("__convert_classic_histograms_to_nhcb__"),
                        "convert classic histograms to nhcb", &t->expo.classic_to_custom, err)) <
            0 ||
        (r = bool_label(b, SV("__always_scrape_classic_histograms__"),
                        "always scrape classic histograms", &t->expo.keep_classic, err)) < 0 ||
        (r = bool_label(b, SV("__scrape_native_histograms__"), "scrape native histograms",
                        &t->expo.native_histograms, err)) < 0)
        return r;
    for (unsigned i = b->len; i-- > 0;)
        if (sv_starts(b->items[i].name, SV("__meta_")))
            labels_builder_del(b, b->items[i].name);
    if (sv_empty(labels_builder_get(b, SV("instance"))))
        labels_builder_set(b, SV("instance"), address);
    for (unsigned i = 0; i < b->len; i++)
        if (!sv_is_utf8(b->items[i].value))
            return err_set(err, ERR_INVALID, 0, "invalid label value for \"%.*s\"",
                           SV_FMT(b->items[i].name));
    return 0;
}

/* ---- the URL ---- */

static void put_param(Buf *out, bool *first, StrView name, StrView value)
{
    buf_putc(out, *first ? '?' : '&');
    *first = false;
    query_escape(name, out);
    buf_putc(out, '=');
    query_escape(value, out);
}

/* Labels __param_x give the first value of x; params of the configuration the others. */
static void put_params(const ScrapeTarget *t, Buf *out)
{
    const StrParams *params = &t->pool->job->params;
    StrView path = labels_get(t->all, SV("__metrics_path__"));
    bool first = sv_find_char(path, '?') < 0;
    char name[256];

    for (unsigned i = 0; i < t->all.len; i++) {
        StrView label = t->all.items[i].name;
        if (sv_starts(label, SV("__param_")))
            put_param(out, &first, sv_skip(label, 8), t->all.items[i].value);
    }
    for (unsigned i = 0; i < params->len; i++) {
        const StrParam *p = &params->items[i];
        int n = snprintf(name, sizeof name, "__param_%.*s", SV_FMT(p->name));
        bool replaced = n < (int)sizeof name && labels_has(t->all, sv_n(name, (size_t)n));
        for (unsigned j = replaced ? 1 : 0; j < p->values.len; j++)
            put_param(out, &first, p->name, p->values.items[j]);
    }
}

static int make_url(ScrapeTarget *t, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView path = labels_get(t->all, SV("__metrics_path__"));

    buf_printf(&out, "%.*s://%.*s%s%.*s", SV_FMT(labels_get(t->all, SV("__scheme__"))),
               SV_FMT(labels_get(t->all, SV("__address__"))),
               path.len && path.ptr[0] != '/' ? "/" : "", SV_FMT(path));
    put_params(t, &out);
    t->url = out.failed ? SV_NULL : arena_sv(&t->arena, buf_view(&out));
    t->global_url = t->url; /* the web API puts its own host where this says localhost */
    return t->url.ptr ? 0 : err_nomem(err);
}

/* Only what has no reserved name goes into samples. */
static int take_public(ScrapeTarget *t, Err *err)
{
    LabelsBuilder b;
    labels_builder_init(&b, &t->arena, (Labels){ 0 });
    for (unsigned i = 0; i < t->all.len; i++)
        if (!sv_starts(t->all.items[i].name, SV("__")))
            labels_builder_set(&b, t->all.items[i].name, t->all.items[i].value);
    return labels_builder_take(&b, &t->labels) ? 0 : err_nomem(err);
}

static int fill(ScrapeTarget *t, Labels target, Labels group, Err *err)
{
    const ConfigScrape *job = t->pool->job;
    LabelsBuilder b;
    Labels found;
    int r;

    labels_builder_init(&b, &t->arena, (Labels){ 0 });
    populate(job, target, group, &b);
    /* Copied: groups come and go, a target stays; and what is shown changes while it does. */
    if (!labels_builder_take(&b, &found) || !labels_copy(found, &t->shown, &t->discovered) ||
        !labels_copy(found, &t->arena, &found))
        return err_nomem(err);
    labels_builder_init(&b, &t->arena, found);
    bool keep = relabel(job->relabel.items, job->relabel.len, &b);
    if (b.failed)
        return err_nomem(err);
    if (!keep)
        return 0;
    if ((r = check(&b, t, err)) < 0)
        return r;
    if (!labels_builder_take(&b, &t->all))
        return err_nomem(err);
    t->timeout_text = arena_printf(&t->arena, "%g", (double)t->timeout_ms / 1000);
    if (!t->timeout_text.ptr)
        return err_nomem(err);
    if ((r = take_public(t, err)) < 0 || (r = make_url(t, err)) < 0)
        return r;
    t->hash = labels_hash(t->all) ^ sv_hash(t->url) * UINT64_C(0x9e3779b97f4a7c15);
    t->spread = labels_hash_stable(t->all) ^ sv_hash_stable(t->url) * UINT64_C(0x9e3779b97f4a7c15);
    return 1;
}

int target_make(ScrapePool *p, Labels target, Labels group, ScrapeTarget **ret, Err *err)
{
    ScrapeTarget *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->pool = p;
    arena_init(&t->arena, TARGET_ARENA_MAX);
    arena_init(&t->shown, TARGET_ARENA_MAX);
    t->expo.skip_created = p->manager->opt.start_times;
    int r = fill(t, target, group, err);
    if (r < 0)
        target_free(t);
    else
        *ret = t;
    return r;
}

int scrape_target_labels(const ConfigScrape *job, Labels target, Labels group, Arena *a,
                         Labels *ret_discovered, Labels *ret_labels, Err *err)
{
    ScrapeManager m = { 0 };
    ScrapePool p = { .manager = &m, .job = job };
    ScrapeTarget t = { .pool = &p };
    arena_init(&t.arena, TARGET_ARENA_MAX);
    arena_init(&t.shown, TARGET_ARENA_MAX);
    *ret_labels = (Labels){ 0 };
    int r = fill(&t, target, group, err);
    if (!labels_copy(t.discovered, a, ret_discovered) ||
        (r > 0 && !labels_copy(t.all, a, ret_labels)))
        r = err_nomem(err);
    arena_free(&t.arena);
    arena_free(&t.shown);
    return r;
}

int scrape_check_target(const ConfigScrape *job, Labels target, Labels group, Err *err)
{
    _cleanup_arena_ Arena a;
    Labels discovered, labels;
    arena_init(&a, TARGET_ARENA_MAX);
    int r = scrape_target_labels(job, target, group, &a, &discovered, &labels, err);
    return r < 0 ? r : 0;
}

ScrapeTarget *target_free(ScrapeTarget *t)
{
    if (!t)
        return NULL;
    t->fetch = fetch_cancel(t->fetch);
    t->timer = source_free(t->timer);
    worker_forget(t->pool->manager, t);
    scrape_cache_free(&t->cache);
    scrape_families_free(&t->families);
    arena_free(&t->arena);
    arena_free(&t->shown);
    free(t);
    return NULL;
}
