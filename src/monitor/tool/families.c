/* families.c - see families.h. */
#include "base/map.h"
#include "monitor/tool/families.h"

typedef struct Gather {
    StrView text;
    ExpoParser *parser;
    Families *out;
    Map by_name; /* → Family */
    Map metrics; /* family and labels → number of the metric, from 1 */
    Err *err;
} Gather;

static unsigned line_of(const Gather *g, const char *at)
{
    unsigned n = 1;
    for (const char *p = g->text.ptr; p < at; p++)
        n += *p == '\n';
    return n;
}

static Family *family_new(Gather *g, StrView name)
{
    Families *out = g->out;
    if (out->n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 64;
        Family **grown =
            arena_realloc(&out->arena, out->items, out->n * sizeof *grown, cap * sizeof *grown);
        if (!grown)
            return NULL;
        out->items = grown;
        out->cap = cap;
    }
    Family *f = arena_new(&out->arena, Family);
    if (!f || !(f->name = arena_sv(&out->arena, name)).ptr || !map_set(&g->by_name, name, f, NULL))
        return NULL;
    return out->items[out->n++] = f;
}

static int find_or_make(Gather *g, StrView name, Family **ret)
{
    if ((*ret = map_get(&g->by_name, name)))
        return 0;
    if (g->out->n == FAMILIES_MAX)
        return err_set(g->err, ERR_LIMIT, 0, "more than %d metric families", FAMILIES_MAX);
    return (*ret = family_new(g, name)) ? 0 : err_nomem(g->err);
}

/* The family of a histogram or summary that a series with a suffix belongs to, or its own. */
static StrView family_name(const Gather *g, StrView name)
{
    static const StrView suffixes[] = { SV_INIT("_count"), SV_INIT("_sum"), SV_INIT("_bucket") };
    for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (!sv_ends(name, suffixes[i]))
            continue;
        StrView base = sv_head(name, name.len - suffixes[i].len);
        const Family *f = map_get(&g->by_name, base);
        if (f && (f->type == EXPO_HISTOGRAM_TYPE || (f->type == EXPO_SUMMARY && i < 2)))
            return base;
    }
    return name;
}

static bool is_grouped(const Family *f)
{
    return f->type == EXPO_HISTOGRAM_TYPE || f->type == EXPO_SUMMARY;
}

/* The metric of these labels: histograms and summaries have several lines for one. */
static FamilyMetric *metric_of(Gather *g, Family *f, Labels l)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    if (is_grouped(f)) {
        buf_printf(&key, "%p", (void *)f);
        labels_format_set(l, &key);
        uintptr_t at = (uintptr_t)map_get(&g->metrics, buf_view(&key));
        if (at)
            return &f->metrics[at - 1];
        if (key.failed || !map_set(&g->metrics, buf_view(&key), (void *)(f->n + 1), NULL))
            return NULL;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 4;
        FamilyMetric *grown =
            arena_realloc(&g->out->arena, f->metrics, f->n * sizeof *grown, cap * sizeof *grown);
        if (!grown)
            return NULL;
        f->metrics = grown;
        f->cap = cap;
    }
    f->metrics[f->n] = (FamilyMetric){ .labels = l };
    return &f->metrics[f->n++];
}

static int take_series(Gather *g)
{
    Labels all, own;
    LabelsBuilder b;
    Family *f;
    int r = expo_labels(g->parser, &g->out->arena, &all, g->err);
    if (r < 0)
        return r;
    StrView name = labels_get(all, LABEL_METRIC_NAME);
    if ((r = find_or_make(g, family_name(g, name), &f)) < 0)
        return r;
    StrView part = f->type == EXPO_HISTOGRAM_TYPE ? SV("le") : SV("quantile");
    bool is_part = f->type == EXPO_HISTOGRAM_TYPE
                       ? sv_ends(name, SV("_bucket"))
                       : f->type == EXPO_SUMMARY && labels_has(all, part);
    labels_builder_init(&b, &g->out->arena, all);
    labels_builder_del(&b, LABEL_METRIC_NAME);
    if (is_grouped(f))
        labels_builder_del(&b, part);
    FamilyMetric *m = labels_builder_take(&b, &own) ? metric_of(g, f, own) : NULL;
    if (!m)
        return err_nomem(g->err);
    m->parts += is_part;
    return 0;
}

static int twice(Gather *g, const ExpoEntry *e, const char *what)
{
    return err_set(g->err, ERR_INVALID, 0,
                   "text format parsing error in line %u: second %s line for metric name "
                   "\"%.*s\"%s",
                   line_of(g, e->name.ptr), what, SV_FMT(e->name),
                   *what == 'T' ? ", or TYPE reported after samples" : "");
}

static int take_entry(Gather *g, const ExpoEntry *e)
{
    Family *f;
    int r;
    if (e->kind == EXPO_SERIES)
        return take_series(g);
    if (e->kind != EXPO_TYPE && e->kind != EXPO_HELP)
        return 0;
    if ((r = find_or_make(g, e->name, &f)) < 0)
        return r;
    if (e->kind == EXPO_HELP) {
        if (f->helped)
            return twice(g, e, "HELP");
        f->helped = true;
        return 0;
    }
    if (f->typed || f->n)
        return twice(g, e, "TYPE");
    f->typed = true;
    f->type = e->type;
    return 0;
}

int families_parse(StrView text, size_t memory, Families *ret, Err *err)
{
    Gather g = { .text = text, .out = ret, .err = err };
    ExpoEntry e;
    int r;
    *ret = (Families){ 0 };
    arena_init(&ret->arena, memory);
    g.parser = expo_parser_new(EXPO_FORMAT_TEXT, text, &(ExpoOptions){ 0 });
    if (!g.parser)
        return err_nomem(err);
    while ((r = expo_next(g.parser, &e, err)) >= 0 && e.kind != EXPO_END)
        if ((r = take_entry(&g, &e)) < 0)
            break;
    expo_parser_free(g.parser);
    map_free(&g.by_name);
    map_free(&g.metrics);
    return r < 0 ? r : 0;
}

void families_free(Families *f)
{
    arena_free(&f->arena);
}
