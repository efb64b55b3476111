/* nhcb.c - a layer over the text formats: series of a classic histogram are gathered and given as
 * one histogram with custom bounds. They follow each other; what does not fit ends the histogram.
 * One that makes no sense (counts that fall, a total that is not the last bucket's) is left out.
 * (Protobuf has its histograms whole: proto.c.) */
#include <math.h>

#include "base/vec.h"
#include "monitor/expo/internal.h"

typedef struct Bucket {
    double bound, count; /* cumulative */
} Bucket;

typedef struct Group { /* what has been gathered, with its texts in `arena` */
    Arena arena;
    Labels labels; /* with the histogram's own name, without le */
    VEC(Bucket) buckets;
    VEC(ExpoExemplar) exemplars;
    bool has_count, wrong;
    double count, sum;
    bool has_t;
    int64_t t, start;
} Group;

struct NhcbState {
    enum { NHCB_START, NHCB_COLLECTING, NHCB_EMITTING } state;
    Group group;
    Buf family; /* of the last type line, which is one of a histogram */
    bool histogram;
    Buf series;
};

NhcbState *nhcb_state_new(void)
{
    NhcbState *s = calloc(1, sizeof *s);
    if (s)
        arena_init(&s->group.arena, 0);
    return s;
}

NhcbState *nhcb_state_free(NhcbState *s)
{
    if (!s)
        return NULL;
    arena_free(&s->group.arena);
    vec_free(&s->group.buckets);
    vec_free(&s->group.exemplars);
    buf_free(&s->family);
    buf_free(&s->series);
    free(s);
    return NULL;
}

static void group_reset(Group *g)
{
    arena_reset(&g->arena);
    g->buckets.len = 0;
    g->exemplars.len = 0;
    g->labels = (Labels){ 0 };
    g->has_count = g->wrong = g->has_t = false;
    g->count = g->sum = 0;
    g->t = g->start = 0;
}

void nhcb_state_reset(NhcbState *s)
{
    s->state = NHCB_START;
    s->histogram = false;
    group_reset(&s->group);
}

/* ---- gathering ---- */

static int add_bucket(Group *g, double bound, double count, Err *err)
{
    size_t i = g->buckets.len;
    if (g->wrong || count < 0 || i >= EXPO_BUCKETS_MAX) {
        g->wrong = true;
        return 0;
    }
    while (i && g->buckets.items[i - 1].bound >= bound)
        i--;
    if (i < g->buckets.len && g->buckets.items[i].bound == bound)
        return 0; /* the first one counts */
    if ((i && count < g->buckets.items[i - 1].count) ||
        (i < g->buckets.len && count > g->buckets.items[i].count)) {
        g->wrong = true;
        return 0;
    }
    if (!vec_push(&g->buckets, ((Bucket){ bound, count })))
        return err_nomem(err);
    for (size_t k = g->buckets.len - 1; k > i; k--)
        g->buckets.items[k] = g->buckets.items[k - 1];
    g->buckets.items[i] = (Bucket){ bound, count };
    return 0;
}

static int keep_exemplars(ExpoParser *p, Group *g, Err *err)
{
    for (unsigned i = 0; i < p->entry.n_exemplars; i++) {
        ExpoExemplar x;
        int r = expo_raw_exemplar(p, i, &g->arena, &x, err);
        if (r < 0)
            return r;
        if (!vec_push(&g->exemplars, x))
            return err_nomem(err);
    }
    p->entry.n_exemplars = 0; /* they are the histogram's */
    return 0;
}

typedef enum Part { PART_NONE, PART_BUCKET, PART_SUM, PART_COUNT } Part;

static Part part_of(StrView name, StrView *ret_base)
{
    static const StrView suffixes[] = { [PART_NONE] = SV_INIT(""),
                                        [PART_BUCKET] = SV_INIT("_bucket"),
                                        [PART_SUM] = SV_INIT("_sum"),
                                        [PART_COUNT] = SV_INIT("_count") };
    for (Part i = PART_BUCKET; i <= PART_COUNT; i++) {
        if (sv_ends(name, suffixes[i])) {
            *ret_base = sv_head(name, name.len - suffixes[i].len);
            return i;
        }
    }
    *ret_base = name;
    return PART_NONE;
}

typedef struct Piece { /* the current series, as a part of a histogram */
    Part part;
    double bound;
    Labels base; /* in the caller's arena */
} Piece;

/* PART_NONE: it is none of the family's. */
static int look_at_series(ExpoParser *p, Arena *a, Piece *ret, Err *err)
{
    NhcbState *s = p->nhcb;
    LabelsBuilder b;
    Labels l;
    StrView name;
    *ret = (Piece){ 0 };
    if (!s->histogram)
        return 0;
    int r = expo_raw_labels(p, a, &l, err);
    if (r < 0)
        return r;
    Part part = part_of(labels_get(l, LABEL_METRIC_NAME), &name);
    if (part == PART_NONE || !sv_eq(name, buf_view(&s->family)))
        return 0;
    if (part == PART_BUCKET &&
        (!expo_number(labels_get(l, SV("le")), &ret->bound) || isnan(ret->bound)))
        return 0;
    labels_builder_init(&b, a, l);
    labels_builder_set(&b, LABEL_METRIC_NAME, name);
    labels_builder_del(&b, SV("le"));
    if (!labels_builder_take(&b, &ret->base))
        return err_nomem(err);
    ret->part = part;
    return 0;
}

static int gather(ExpoParser *p, const Piece *x, Err *err)
{
    NhcbState *s = p->nhcb;
    Group *g = &s->group;
    int r;
    if (s->state != NHCB_COLLECTING) {
        group_reset(g);
        if (!labels_copy(x->base, &g->arena, &g->labels))
            return err_nomem(err);
        /* Looking for it costs: only who leaves _created out wants it. */
        g->start = p->opt.skip_created ? expo_raw_start(p) : 0;
        s->state = NHCB_COLLECTING;
    }
    g->has_t = p->entry.has_t;
    g->t = p->entry.t;
    if ((r = keep_exemplars(p, g, err)) < 0 || x->part == PART_BUCKET)
        return r < 0 ? r : add_bucket(g, x->bound, p->entry.v, err);
    if (x->part == PART_SUM) {
        g->sum = p->entry.v;
        return 0;
    }
    g->count = p->entry.v;
    g->has_count = true;
    g->wrong |= g->count < 0;
    return 0;
}

/* ---- making the histogram ---- */

static bool whole(double v)
{
    return v == floor(v) && fabs(v) < 9007199254740992.0;
}

/* *ret is NULL when the parts do not fit together. */
static int make_histogram(Group *g, const Histogram **ret, Err *err)
{
    *ret = NULL;
    size_t n = g->buckets.len;
    if (!g->has_count && n)
        g->count = g->buckets.items[n - 1].count;
    if (!g->wrong && (!n || g->buckets.items[n - 1].bound != INFINITY)) {
        int r = add_bucket(g, INFINITY, g->count, err);
        if (r < 0)
            return r;
        n = g->buckets.len;
    }
    if (g->wrong || !(g->count == g->buckets.items[n - 1].count))
        return 0;
    double *bounds = arena_array(&g->arena, double, n), before = 0;
    double *counts = arena_array(&g->arena, double, n);
    HistogramSpan *span = arena_new(&g->arena, HistogramSpan);
    if (!bounds || !counts || !span)
        return err_nomem(err);
    bool integer = whole(g->count);
    for (size_t i = 0; i < n; i++) {
        bounds[i] = g->buckets.items[i].bound;
        counts[i] = g->buckets.items[i].count - before;
        before = g->buckets.items[i].count;
        integer &= whole(before);
    }
    *span = (HistogramSpan){ 0, (uint32_t)n };
    const Histogram h = { .schema = HISTOGRAM_SCHEMA_CUSTOM,
                          .count = g->count,
                          .sum = g->sum,
                          .pos_spans = span,
                          .n_pos_spans = 1,
                          .pos = counts,
                          .n_pos = (unsigned)n,
                          .bounds = bounds,
                          .n_bounds = (unsigned)n - 1,
                          .integer = integer };
    const Histogram *compact = histogram_compact(&h, integer ? 2 : 0, &g->arena);
    if (compact == &h)
        compact = histogram_copy(&h, &g->arena);
    if (!compact)
        return err_nomem(err);
    if (histogram_validate(compact, NULL) >= 0)
        *ret = compact;
    return 0;
}

/* Ends the group. 1: *ret is its histogram, and the parser's own entry waits; 0: there is none. */
static int emit(ExpoParser *p, ExpoEntry *ret, Err *err)
{
    NhcbState *s = p->nhcb;
    const Histogram *h = NULL;
    if (s->state != NHCB_COLLECTING)
        return 0;
    s->state = NHCB_START;
    int r = make_histogram(&s->group, &h, err);
    if (r < 0 || !h)
        return r;
    buf_clear(&s->series);
    labels_format(s->group.labels, &s->series);
    if (s->series.failed)
        return err_nomem(err);
    *ret = (ExpoEntry){ .kind = EXPO_HISTOGRAM,
                        .series = buf_view(&s->series),
                        .has_t = s->group.has_t,
                        .t = s->group.t,
                        .h = h,
                        .type = EXPO_HISTOGRAM_TYPE,
                        .n_exemplars = (unsigned)s->group.exemplars.len };
    s->state = NHCB_EMITTING;
    return 1;
}

/* ---- the parser ---- */

/* 1: *ret is to be given; 0: the series went into a histogram. */
static int take_series(ExpoParser *p, bool waited, ExpoEntry *ret, Err *err)
{
    NhcbState *s = p->nhcb;
    _cleanup_arena_ Arena a;
    Piece x;
    arena_init(&a, 0);
    int r = look_at_series(p, &a, &x, err);
    if (r < 0)
        return r;
    bool goes_on = x.part != PART_NONE && labels_eq(x.base, s->group.labels);
    if (!waited && !goes_on && (r = emit(p, ret, err)) != 0)
        return r;
    if (x.part != PART_NONE && (r = gather(p, &x, err)) < 0)
        return r;
    *ret = p->entry;
    return x.part == PART_NONE || p->opt.keep_classic;
}

static int keep_type(NhcbState *s, const ExpoEntry *e, Err *err)
{
    s->histogram = e->type == EXPO_HISTOGRAM_TYPE;
    buf_clear(&s->family);
    buf_sv(&s->family, e->name);
    return s->family.failed ? err_nomem(err) : 0;
}

int nhcb_next(ExpoParser *p, ExpoEntry *ret, Err *err)
{
    NhcbState *s = p->nhcb;
    int r = 0;
    if (s->state == NHCB_EMITTING) {
        s->state = NHCB_START;
        if (p->entry.kind != EXPO_SERIES) {
            *ret = p->entry;
            return 0;
        }
        r = take_series(p, true, ret, err);
    }
    while (r == 0) {
        r = expo_raw_next(p, err);
        if (r < 0)
            return r;
        if (p->entry.kind == EXPO_SERIES) {
            r = take_series(p, false, ret, err);
            continue;
        }
        r = p->entry.kind == EXPO_TYPE ? keep_type(s, &p->entry, err) : 0;
        if (r < 0 || (r = emit(p, ret, err)) != 0)
            break;
        *ret = p->entry;
        return 0;
    }
    return r < 0 ? r : 0;
}

bool nhcb_emits(const ExpoParser *p)
{
    return p->nhcb && p->nhcb->state == NHCB_EMITTING;
}

int nhcb_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err)
{
    return labels_copy(p->nhcb->group.labels, a, ret) ? 0 : err_nomem(err);
}

int nhcb_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err)
{
    *ret = p->nhcb->group.exemplars.items[i];
    return labels_copy(ret->labels, a, &ret->labels) ? 0 : err_nomem(err);
}

int64_t nhcb_start(const ExpoParser *p)
{
    return p->nhcb->group.start;
}
