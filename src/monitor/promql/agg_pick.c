/* agg_pick.c - topk, bottomk, limitk, limit_ratio: series go through as they are, but not all. For
 * each group and step a heap of those chosen so far is held, the worst on top. */
#include "monitor/model/number.h"
#include "monitor/promql/agg.h"

typedef struct Pick {
    double v;
    const Histogram *h;
    uint32_t series;
} Pick;

typedef struct Heap {
    Pick *items;
    unsigned len, cap;
} Heap;

typedef struct PickGroup {
    AggGroup head;
    Heap *heaps; /* one for each step */
} PickGroup;

typedef struct Picker {
    Eval *ev;
    Node *node;
    Steps steps;
    AggGroups groups;
    double *param;
    Labels *series; /* of those picked at least once */
    bool *drop_name;
    uint32_t n_series, cap_series;
    uint32_t current; /* number of the current series; 0: not kept yet, else + 1 */
} Picker;

/* Is `a` less worthy than `b`? NaN is the least in both directions. */
static bool worse(Tok op, double a, double b)
{
    if (isnan(a))
        return true;
    return op == TOK_BOTTOMK ? a > b : a < b;
}

static void sift_up(Tok op, Heap *h, unsigned i)
{
    while (i) {
        unsigned parent = (i - 1) / 2;
        if (!worse(op, h->items[i].v, h->items[parent].v))
            return;
        Pick t = h->items[i];
        h->items[i] = h->items[parent];
        h->items[parent] = t;
        i = parent;
    }
}

static void sift_down(Tok op, Heap *h)
{
    for (unsigned i = 0;;) {
        unsigned best = 2 * i + 1;
        if (best >= h->len)
            return;
        if (best + 1 < h->len && worse(op, h->items[best + 1].v, h->items[best].v))
            best++;
        if (!worse(op, h->items[best].v, h->items[i].v))
            return;
        Pick t = h->items[i];
        h->items[i] = h->items[best];
        h->items[best] = t;
        i = best;
    }
}

/* Keeps the labels of the current series, once. */
static int keep_series(Picker *p, const Column *c)
{
    Arena *a = p->ev->arena;
    if (p->current)
        return 0;
    if (p->n_series == p->cap_series) {
        uint32_t cap = p->cap_series ? p->cap_series * 2 : 64;
        p->series =
            arena_realloc(a, p->series, p->cap_series * sizeof *p->series, cap * sizeof *p->series);
        p->drop_name = arena_realloc(a, p->drop_name, p->cap_series, cap);
        if (!p->series || !p->drop_name)
            return eval_nomem(p->ev);
        p->cap_series = cap;
    }
    if (!labels_copy(c->labels, a, &p->series[p->n_series]))
        return eval_nomem(p->ev);
    p->drop_name[p->n_series] = c->drop_name;
    p->current = ++p->n_series;
    return 0;
}

static int heap_push(Picker *p, Heap *h, Pick pick)
{
    if (h->len == h->cap) {
        unsigned cap = h->cap ? h->cap * 2 : 4;
        h->items = arena_realloc(p->ev->arena, h->items, h->cap * sizeof *h->items,
                                 cap * sizeof *h->items);
        if (!h->items)
            return eval_nomem(p->ev);
        h->cap = cap;
    }
    h->items[h->len++] = pick;
    return eval_hold(p->ev, 1);
}

/* Takes the sample at step i into the heap if it is worth it. */
static int offer(Picker *p, Heap *h, const Column *c, unsigned i, int64_t k)
{
    Tok op = p->node->op;
    const Histogram *hist = c->kind[i] == SAMPLE_HISTOGRAM ? c->h[i] : NULL;
    bool ranked = op == TOK_TOPK || op == TOK_BOTTOMK;
    if (ranked && hist) {
        agg_ignore_histogram(p->ev, p->node->start, op);
        return 0;
    }
    double v = hist ? 0 : c->v[i];
    bool full = (int64_t)h->len >= k;
    if (full && !(ranked && (worse(op, h->items[0].v, v) && !(isnan(h->items[0].v) && isnan(v)))))
        return 0;
    int r = keep_series(p, c);
    if (r >= 0 && hist && !(hist = histogram_keep(p->ev, hist)))
        r = eval_nomem(p->ev);
    if (r < 0)
        return r;
    Pick pick = { v, hist, p->current - 1 };
    if (full) {
        h->items[0] = pick;
        sift_down(op, h);
        return 0;
    }
    r = heap_push(p, h, pick);
    if (r >= 0 && ranked)
        sift_up(op, h, h->len - 1);
    return r;
}

/* Whether limit_ratio takes a series: by its hash, so that x and x - 1 complement each other. */
static bool in_ratio(double ratio, Labels l)
{
    double offset = (double)labels_hash_stable(l) / (double)UINT64_MAX;
    return ratio >= 0 ? offset < ratio : offset >= 1.0 + ratio;
}

static int offer_column(Picker *p, PickGroup *g, const Column *c)
{
    int r = 0;
    p->current = 0;
    for (unsigned i = 0; r >= 0 && i < p->steps.n; i++) {
        if (c->kind[i] == SAMPLE_NONE)
            continue;
        int64_t k = INT64_MAX;
        if (p->node->op != TOK_LIMIT_RATIO)
            k = (int64_t)p->param[i];
        else if (!in_ratio(fmax(-1, fmin(1, p->param[i])), c->labels) || p->param[i] == 0)
            continue;
        if (k >= 1)
            r = offer(p, &g->heaps[i], c, i, k);
    }
    return r;
}

/* The best first; equal ones stay as they lie. */
static void order(Tok op, Heap *h)
{
    if (op != TOK_TOPK && op != TOK_BOTTOMK)
        return;
    for (unsigned i = 1; i < h->len; i++) {
        Pick x = h->items[i];
        unsigned j = i;
        for (; j && worse(op, h->items[j - 1].v, x.v) && !isnan(x.v); j--)
            h->items[j] = h->items[j - 1];
        h->items[j] = x;
    }
}

static int finish(Picker *p, Matrix *m)
{
    Column **cols = arena_alloc_n(p->ev->arena, p->n_series + 1, sizeof(Column *));
    Column **in_order = arena_alloc_n(p->ev->arena, p->n_series + 1, sizeof(Column *));
    size_t n = 0;
    int r = 0;
    if (!cols || !in_order)
        return eval_nomem(p->ev);
    for (size_t g = 0; g < p->groups.len; g++) {
        PickGroup *group = p->groups.items[g];
        for (unsigned i = 0; i < p->steps.n; i++) {
            Heap *h = &group->heaps[i];
            order(p->node->op, h);
            for (unsigned k = 0; k < h->len; k++) {
                Pick *x = &h->items[k];
                Column *c = cols[x->series];
                if (!c) {
                    c = cols[x->series] = arena_new(p->ev->arena, Column);
                    if (!c || column_init(p->ev, c, p->steps.n) < 0)
                        return eval_nomem(p->ev);
                    c->labels = p->series[x->series];
                    c->drop_name = p->drop_name[x->series];
                    in_order[n++] = c;
                }
                if (x->h && column_histograms(p->ev, c, p->steps.n) < 0)
                    return -ERR_NOMEM;
                c->kind[i] = x->h ? SAMPLE_HISTOGRAM : SAMPLE_FLOAT;
                c->v[i] = x->v;
                if (x->h)
                    c->h[i] = x->h;
            }
        }
    }
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = matrix_push(p->ev, m, in_order[i]);
    return r;
}

static void warn_ratio(Picker *p, double ratio, double cap)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    double_format_g(ratio, &text);
    buf_sv(&text, SV(", capping to "));
    double_format_g(cap, &text);
    annotate_warning(&p->ev->annos, p->node->param->start,
                     "ratio value should be between -1 and 1, got %.*s", SV_FMT(buf_view(&text)));
}

/* 0: nothing can be picked; 1: go on. */
static int check_param(Picker *p)
{
    double max = -INFINITY, min = INFINITY;
    bool nan = false;
    for (unsigned i = 0; i < p->steps.n; i++) {
        nan |= isnan(p->param[i]);
        max = fmax(max, p->param[i]);
        min = fmin(min, p->param[i]);
    }
    if (p->node->op == TOK_LIMIT_RATIO) {
        if (!nan && max == 0 && min == 0)
            return 0;
        if (nan)
            return eval_fail(p->ev, PROMQL_EXECUTION, ERR_INVALID, "Ratio value is NaN");
        if (max > 1)
            warn_ratio(p, max, 1);
        if (min < -1)
            warn_ratio(p, min, -1);
        return 1;
    }
    if (!nan && max < 1)
        return 0;
    if (nan)
        return eval_fail(p->ev, PROMQL_EXECUTION, ERR_INVALID, "Parameter value is NaN");
    _cleanup_buf_ Buf text = BUF_INIT;
    double_format_g(min <= -0x1p63 ? min : max, &text);
    if (min <= -0x1p63 || max >= 0x1p63)
        return eval_fail(p->ev, PROMQL_EXECUTION, ERR_INVALID, "Scalar value %.*s %s int64",
                         SV_FMT(buf_view(&text)), min <= -0x1p63 ? "underflows" : "overflows");
    return 1;
}

static int run(Picker *p, Stream *s, Matrix *m)
{
    Column c;
    int r, wanted = check_param(p);
    if (wanted < 0)
        return wanted;
    while ((r = stream_next(s, &c)) > 0) {
        AggGroup *g;
        bool is_new;
        if (!wanted)
            continue;
        r = agg_group_of(&p->groups, c.labels, &g, &is_new);
        PickGroup *group = (PickGroup *)g;
        if (r >= 0 && is_new && !(group->heaps = arena_array(p->ev->arena, Heap, p->steps.n)))
            r = eval_nomem(p->ev);
        if (r >= 0)
            r = offer_column(p, group, &c);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : finish(p, m);
}

int agg_pick(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    Picker p = { .ev = ev, .node = n, .steps = *steps };
    Stream *s;
    Matrix m = { 0 };
    int r = agg_groups_init(&p.groups, ev, n, sizeof(PickGroup));
    if (r >= 0)
        r = eval_scalar(ev, n->param, steps, &p.param);
    if (r >= 0)
        r = eval_stream(ev, n->expr, steps, &s);
    if (r >= 0)
        r = run(&p, s, &m);
    if (r >= 0)
        r = matrix_stream(ev, &m, steps, ret);
    if (r >= 0)
        (*ret)->unique = s->unique;
    return r;
}
