/* agg.c - sum, avg, count, min, max, group, stddev, stdvar: series go by one after the other, what
 * stays is a column of running results for each group. */
#include "monitor/promql/agg.h"

#include "monitor/model/number.h"
#include "monitor/promql/histogram_mean.h"

static int by_name(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

int agg_groups_init(AggGroups *g, Eval *ev, const Node *n, size_t size)
{
    *g = (AggGroups){ .ev = ev, .without = n->without, .size = size, .n_names = n->n_grouping };
    StrView *names = arena_array(ev->arena, StrView, n->n_grouping + 1);
    if (!names)
        return eval_nomem(ev);
    if (n->n_grouping)
        memcpy(names, n->grouping, n->n_grouping * sizeof *names);
    qsort(names, g->n_names, sizeof *names, by_name);
    g->names = names;
    return 0;
}

static bool is_named(const AggGroups *g, StrView name)
{
    for (unsigned i = 0; i < g->n_names; i++)
        if (sv_eq(g->names[i], name))
            return true;
    return false;
}

static bool is_kept(const AggGroups *g, StrView name)
{
    return g->without ? !is_named(g, name) && !sv_eq(name, LABEL_METRIC_NAME) : is_named(g, name);
}

/* Are these the labels that `l` has in its group? */
static bool belongs(const AggGroups *g, Labels group, Labels l)
{
    unsigned k = 0;
    for (unsigned i = 0; i < l.len; i++) {
        if (!is_kept(g, l.items[i].name))
            continue;
        if (k >= group.len || !sv_eq(group.items[k].name, l.items[i].name) ||
            !sv_eq(group.items[k].value, l.items[i].value))
            return false;
        k++;
    }
    return k == group.len;
}

static int grow(AggGroups *g)
{
    size_t cap = g->cap ? g->cap * 2 : 32, n_slots = cap * 2;
    Arena *a = g->ev->arena;
    g->items = arena_realloc(a, g->items, g->cap * sizeof *g->items, cap * sizeof *g->items);
    uint32_t *slots = arena_alloc_n(a, n_slots, sizeof *slots);
    if (!g->items || !slots)
        return eval_nomem(g->ev);
    for (size_t i = 0; i < g->len; i++) {
        size_t at = ((AggGroup *)g->items[i])->hash & (n_slots - 1);
        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    g->cap = cap;
    g->slots = slots;
    g->n_slots = n_slots;
    return 0;
}

static int new_group(AggGroups *g, Labels l, AggGroup **ret)
{
    Label *items = arena_array(g->ev->arena, Label, l.len + 1);
    AggGroup *made = arena_alloc(g->ev->arena, g->size);
    unsigned n = 0;
    if (!items || !made)
        return eval_nomem(g->ev);
    for (unsigned i = 0; i < l.len; i++)
        if (is_kept(g, l.items[i].name))
            items[n++] = l.items[i];
    if (!labels_copy((Labels){ items, n }, g->ev->arena, &made->labels))
        return eval_nomem(g->ev);
    *ret = made;
    return 0;
}

int agg_group_of(AggGroups *g, Labels l, AggGroup **ret, bool *ret_new)
{
    int r = g->len == g->cap ? grow(g) : 0;
    if (r < 0)
        return r;
    uint64_t hash = g->without ? labels_hash_without(l, g->names, g->n_names)
                               : labels_hash_by(l, g->names, g->n_names);
    size_t at = hash & (g->n_slots - 1);
    *ret_new = false;
    for (; g->slots[at]; at = (at + 1) & (g->n_slots - 1)) {
        AggGroup *old = g->items[g->slots[at] - 1];
        if (old->hash == hash && belongs(g, old->labels, l)) {
            *ret = old;
            return 0;
        }
    }
    r = new_group(g, l, ret);
    if (r < 0)
        return r;
    (*ret)->hash = hash;
    g->items[g->len++] = *ret;
    g->slots[at] = (uint32_t)g->len;
    *ret_new = true;
    return 0;
}

void agg_ignore_histogram(Eval *ev, unsigned pos, Tok op)
{
    annotate_info(&ev->annos, pos, "ignored histogram in %.*s aggregation", SV_FMT(tok_text(op)));
}

enum { HAS_FLOAT = 1, HAS_HISTOGRAM = 2, MIXED_SCHEMAS = 4, RUNNING_MEAN = 8 };

typedef struct SimpleGroup {
    AggGroup head;
    uint8_t *flags;
    AggFloats f;
    unsigned full_from; /* from this step on each has a float, and none anything else */
    HistogramMean **hist;
} SimpleGroup;

typedef struct SimpleAgg {
    Eval *ev;
    Node *node;
    Steps steps;
    AggGroups groups;
    Arena scratch;
    HistogramMean **all_means; /* to be freed */
    size_t n_means, cap_means;
} SimpleAgg;

static int simple_init(SimpleAgg *a, SimpleGroup *g)
{
    Arena *arena = a->ev->arena;
    unsigned n = a->steps.n;
    Tok op = a->node->op;
    bool spread = op == TOK_AVG || op == TOK_STDDEV || op == TOK_STDVAR;
    g->full_from = n;
    g->flags = arena_alloc(arena, n);
    g->f.v = arena_array(arena, double, n);
    if (spread || op == TOK_SUM)
        g->f.c = arena_array(arena, double, n);
    if (spread || op == TOK_COUNT)
        g->f.n = arena_array(arena, double, n);
    bool ok = g->flags && g->f.v && (g->f.c || !(spread || op == TOK_SUM)) &&
              (g->f.n || !(spread || op == TOK_COUNT));
    return ok ? eval_hold(a->ev, n) : eval_nomem(a->ev);
}

static void add_to_mean(SimpleGroup *g, unsigned i, double v)
{
    double count = ++g->f.n[i];
    if (!(g->flags[i] & RUNNING_MEAN)) {
        double sum = g->f.v[i], c = g->f.c[i];
        kahan_add(v, &sum, &c);
        if (!isinf(sum)) {
            g->f.v[i] = sum;
            g->f.c[i] = c;
            return;
        }
        /* The sum would overflow: a running mean from here on. */
        g->flags[i] |= RUNNING_MEAN;
        g->f.v[i] /= count - 1;
        g->f.c[i] /= count - 1;
    }
    double q = (count - 1) / count;
    g->f.v[i] *= q;
    g->f.c[i] *= q;
    kahan_add(v / count, &g->f.v[i], &g->f.c[i]);
}

/* A float at a step where the group has had one before. */
static void add_float(Tok op, SimpleGroup *g, unsigned i, double v)
{
    double delta;
    switch (op) {
    case TOK_SUM:
        kahan_add(v, &g->f.v[i], &g->f.c[i]);
        return;
    case TOK_AVG:
        add_to_mean(g, i, v);
        return;
    case TOK_COUNT:
        g->f.n[i]++;
        return;
    case TOK_MIN:
        if (g->f.v[i] > v || isnan(g->f.v[i]))
            g->f.v[i] = v;
        return;
    case TOK_MAX:
        if (g->f.v[i] < v || isnan(g->f.v[i]))
            g->f.v[i] = v;
        return;
    case TOK_STDDEV:
    case TOK_STDVAR:
        g->f.n[i]++;
        delta = v - g->f.c[i];
        g->f.c[i] += delta / g->f.n[i];
        g->f.v[i] += delta * (v - g->f.c[i]);
        return;
    default:
        return;
    }
}

static void first_float(Tok op, SimpleGroup *g, unsigned i, double v)
{
    if (g->f.n)
        g->f.n[i] = 1;
    if (g->f.c)
        g->f.c[i] = 0;
    g->f.v[i] = v;
    if (op == TOK_STDDEV || op == TOK_STDVAR) {
        g->f.c[i] = v;
        g->f.v[i] = isfinite(v) ? 0 : NAN;
    } else if (op == TOK_GROUP) {
        g->f.v[i] = 1;
    }
}

static HistogramMean *new_mean(SimpleAgg *a)
{
    if (a->n_means == a->cap_means) {
        size_t cap = a->cap_means ? a->cap_means * 2 : 64;
        a->all_means = arena_realloc(a->ev->arena, a->all_means, a->cap_means * sizeof(void *),
                                     cap * sizeof(void *));
        if (!a->all_means)
            return NULL;
        a->cap_means = cap;
    }
    HistogramMean *m = arena_new(a->ev->arena, HistogramMean);
    if (m)
        a->all_means[a->n_means++] = m;
    return m;
}

/* A histogram for sum or avg. Where floats came first the step is lost anyway. */
static int add_summed(SimpleAgg *a, SimpleGroup *g, unsigned i, const Histogram *h, StrView name)
{
    Eval *ev = a->ev;
    unsigned pos = a->node->expr->start, flags;
    bool first = !(g->flags[i] & (HAS_FLOAT | HAS_HISTOGRAM));
    g->flags[i] |= HAS_HISTOGRAM;
    if (!first && !(g->hist && g->hist[i]))
        return 0;
    if (!g->hist && !(g->hist = arena_alloc_n(ev->arena, a->steps.n, sizeof *g->hist)))
        return eval_nomem(ev);
    if (first) {
        if (!(g->hist[i] = new_mean(a)))
            return eval_nomem(ev);
        histogram_mean_start(g->hist[i], h);
        return eval_hold(ev, histogram_weight(h));
    }
    arena_reset(&a->scratch);
    flags = a->node->op == TOK_SUM ? histogram_mean_sum(g->hist[i], h)
                                   : histogram_mean_add(g->hist[i], h, &a->scratch);
    if (flags & HISTOGRAM_ADD_MIXED) {
        annotate_named(&ev->annos, true, pos,
                       "vector contains a mix of histograms with exponential and custom buckets "
                       "schemas for metric name",
                       name);
        g->flags[i] |= MIXED_SCHEMAS;
    }
    if (flags & HISTOGRAM_ADD_RECONCILED)
        annotate_info(&ev->annos, pos,
                      "mismatched custom buckets were reconciled during aggregation");
    return 0;
}

static int add_histogram(SimpleAgg *a, SimpleGroup *g, unsigned i, const Histogram *h, StrView name)
{
    Tok op = a->node->op;
    if (op == TOK_SUM || op == TOK_AVG)
        return add_summed(a, g, i, h, name);
    if (op == TOK_COUNT || op == TOK_GROUP) {
        if (g->flags[i] & (HAS_FLOAT | HAS_HISTOGRAM))
            add_float(op, g, i, 0);
        else
            first_float(op, g, i, 0);
        g->flags[i] |= HAS_FLOAT;
        return 0;
    }
    agg_ignore_histogram(a->ev, a->node->expr->start, op);
    return 0;
}

/* The first of the n steps from which on all are `what`. */
static unsigned full_from(const uint8_t *kinds, uint8_t what, unsigned n)
{
    const uint8_t *first = memchr(kinds, what, n);
    unsigned at = first ? (unsigned)(first - kinds) : n;
    return at < n && memcmp(first, first + 1, n - at - 1) == 0 ? at : n;
}

/* The common case, without a look at flags but one: floats only. */
static void add_floats(Tok op, SimpleGroup *g, const Column *c, unsigned n)
{
    unsigned full = full_from(c->kind, SAMPLE_FLOAT, n), from = MAX(full, g->full_from), all = n;
    if (from < n && agg_add_all_floats(op, &g->f, c->v, from, n))
        n = from;
    for (unsigned i = 0; i < n; i++) {
        if (c->kind[i] != SAMPLE_FLOAT || (g->flags[i] & MIXED_SCHEMAS))
            continue;
        if (g->flags[i] & HAS_FLOAT)
            add_float(op, g, i, c->v[i]);
        else
            first_float(op, g, i, c->v[i]);
        g->flags[i] |= HAS_FLOAT;
    }
    if (full < g->full_from)
        g->full_from = full_from(g->flags, HAS_FLOAT, all);
}

static int add_column(SimpleAgg *a, SimpleGroup *g, const Column *c)
{
    int r = 0;
    if (!c->h) {
        add_floats(a->node->op, g, c, a->steps.n);
        return 0;
    }
    g->full_from = a->steps.n;
    for (unsigned i = 0; r >= 0 && i < a->steps.n; i++) {
        Column one = { .kind = c->kind + i, .v = c->v + i };
        SimpleGroup at = *g;
        if (c->kind[i] == SAMPLE_NONE || (g->flags[i] & MIXED_SCHEMAS))
            continue;
        if (c->kind[i] == SAMPLE_HISTOGRAM) {
            r = add_histogram(a, g, i, c->h[i], metric_name(c->labels));
            continue;
        }
        at.flags += i;
        at.f.v += i;
        at.f.c = at.f.c ? at.f.c + i : NULL;
        at.f.n = at.f.n ? at.f.n + i : NULL;
        add_floats(a->node->op, &at, &one, 1);
    }
    return r;
}

static double finish_float(Tok op, const SimpleGroup *g, unsigned i)
{
    switch (op) {
    case TOK_SUM:
        return g->f.v[i] + g->f.c[i];
    case TOK_AVG:
        return g->flags[i] & RUNNING_MEAN ? g->f.v[i] + g->f.c[i]
                                          : g->f.v[i] / g->f.n[i] + g->f.c[i] / g->f.n[i];
    case TOK_COUNT:
        return g->f.n[i];
    case TOK_STDVAR:
        return g->f.v[i] / g->f.n[i];
    case TOK_STDDEV:
        return sqrt(g->f.v[i] / g->f.n[i]);
    default:
        return g->f.v[i];
    }
}

static int finish_histogram(SimpleAgg *a, SimpleGroup *g, unsigned i, Column *out)
{
    HistogramMean *m = g->hist[i];
    if (m->reset_seen && m->no_reset_seen)
        annotate_warning(&a->ev->annos, a->node->expr->start,
                         "conflicting counter resets during histogram aggregation");
    if (column_histograms(a->ev, out, a->steps.n) < 0)
        return -ERR_NOMEM;
    if (a->node->op == TOK_AVG && !m->running)
        histogram_acc_div(&m->acc, m->count);
    histogram_acc_compact(&m->acc);
    m->running = true; /* divided already */
    out->h[i] = histogram_mean_take(m, false, a->ev->arena);
    return out->h[i] ? 0 : eval_nomem(a->ev);
}

/* The running values become the output column, in place. */
static int finish_group(SimpleAgg *a, SimpleGroup *g, Matrix *m)
{
    Column out = {
        .labels = g->head.labels, .drop_name = g->head.drop_name, .kind = g->flags, .v = g->f.v
    };
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < a->steps.n; i++) {
        unsigned has = g->flags[i] & (HAS_FLOAT | HAS_HISTOGRAM);
        SampleKind kind = SAMPLE_NONE;
        if (has == (HAS_FLOAT | HAS_HISTOGRAM)) {
            annotate_warning(&a->ev->annos, a->node->expr->start,
                             "encountered a mix of histograms and floats for aggregation");
        } else if (has == HAS_FLOAT) {
            kind = SAMPLE_FLOAT;
            out.v[i] = finish_float(a->node->op, g, i);
        } else if (has && !(g->flags[i] & MIXED_SCHEMAS)) {
            kind = SAMPLE_HISTOGRAM;
            r = finish_histogram(a, g, i, &out);
        }
        out.kind[i] = (uint8_t)kind;
    }
    return r < 0 ? r : matrix_push(a->ev, m, &out);
}

static int run_simple(SimpleAgg *a, Stream *s, Matrix *m)
{
    Column c;
    int r;
    while ((r = stream_next(s, &c)) > 0) {
        AggGroup *g;
        bool is_new;
        r = agg_group_of(&a->groups, c.labels, &g, &is_new);
        if (r >= 0 && is_new)
            r = simple_init(a, (SimpleGroup *)g);
        if (r < 0)
            return r;
        g->drop_name |= c.drop_name;
        r = add_column(a, (SimpleGroup *)g, &c);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; r >= 0 && i < a->groups.len; i++)
        r = finish_group(a, a->groups.items[i], m);
    return r;
}

int eval_aggregate(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    SimpleAgg a = { .ev = ev, .node = n, .steps = *steps };
    Stream *s;
    Matrix m = { 0 };
    switch (n->op) {
    case TOK_TOPK:
    case TOK_BOTTOMK:
    case TOK_LIMITK:
    case TOK_LIMIT_RATIO:
        return agg_pick(ev, n, steps, ret);
    case TOK_QUANTILE:
        return agg_quantile(ev, n, steps, ret);
    case TOK_COUNT_VALUES:
        return agg_count_values(ev, n, steps, ret);
    default:
        break;
    }
    int r = agg_groups_init(&a.groups, ev, n, sizeof(SimpleGroup));
    if (r >= 0)
        r = eval_stream(ev, n->expr, steps, &s);
    if (r < 0)
        return r;
    arena_init(&a.scratch, ev->memory_limit);
    r = run_simple(&a, s, &m);
    for (size_t i = 0; i < a.n_means; i++)
        histogram_mean_free(a.all_means[i]);
    arena_free(&a.scratch);
    if (r >= 0)
        r = matrix_stream(ev, &m, steps, ret);
    if (r >= 0)
        (*ret)->unique = true;
    return r;
}
