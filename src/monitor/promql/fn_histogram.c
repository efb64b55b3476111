/* fn_histogram.c - histogram_quantile(), histogram_quantiles() and histogram_fraction(), of native
 * histograms and of classic ones (series with the label "le").
 *
 * All series are collected by their labels without "le": a group has the columns of its buckets and
 * at most one column of native histograms. Where both have a sample, neither counts. */
#include "monitor/model/number.h"
#include "monitor/promql/classic.h"
#include "monitor/promql/fn.h"

typedef struct BucketColumn {
    double le;
    Column col;
} BucketColumn;

typedef struct HistogramGroup {
    Labels labels; /* with the name */
    uint64_t hash;
    bool drop_name;
    BucketColumn *buckets;
    unsigned n, cap;
    const Column *native;
} HistogramGroup;

typedef struct HistogramCall {
    Eval *ev;
    Node *call, *arg; /* arg: the vector */
    Steps steps;
    HistogramGroup *groups;
    size_t n, cap;
    uint32_t *slots;
    size_t n_slots;
    ClassicBucket *scratch;
} HistogramCall;

static StrView remark_name(const HistogramCall *c, Labels l)
{
    return eval_delayed(c->ev) ? metric_name(l) : SV("");
}

static bool grow_groups(HistogramCall *c)
{
    size_t cap = c->cap ? c->cap * 2 : 64, n_slots = cap * 2;
    Arena *a = c->ev->arena;
    c->groups = arena_realloc(a, c->groups, c->cap * sizeof *c->groups, cap * sizeof *c->groups);
    uint32_t *slots = arena_alloc_n(a, n_slots, sizeof *slots);
    if (!c->groups || !slots)
        return false;
    for (size_t i = 0; i < c->n; i++) {
        size_t at = c->groups[i].hash & (n_slots - 1);
        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    c->cap = cap;
    c->slots = slots;
    c->n_slots = n_slots;
    return true;
}

static HistogramGroup *group_of(HistogramCall *c, Labels l, bool drop_name)
{
    if (c->n == c->cap && !grow_groups(c))
        return NULL;
    uint64_t hash = labels_hash(l);
    size_t at = hash & (c->n_slots - 1);
    for (; c->slots[at]; at = (at + 1) & (c->n_slots - 1)) {
        HistogramGroup *g = &c->groups[c->slots[at] - 1];
        if (g->hash == hash && labels_eq(g->labels, l))
            return g;
    }
    HistogramGroup *g = &c->groups[c->n];
    *g = (HistogramGroup){ .hash = hash, .drop_name = drop_name };
    if (!labels_copy(l, c->ev->arena, &g->labels))
        return NULL;
    c->slots[at] = (uint32_t)++c->n;
    return g;
}

static bool push_bucket(HistogramCall *c, HistogramGroup *g, double le, const Column *col)
{
    if (g->n == g->cap) {
        unsigned cap = g->cap ? g->cap * 2 : 16;
        g->buckets = arena_realloc(c->ev->arena, g->buckets, g->cap * sizeof *g->buckets,
                                   cap * sizeof *g->buckets);
        if (!g->buckets)
            return false;
        g->cap = cap;
    }
    g->buckets[g->n++] = (BucketColumn){ le, *col };
    return true;
}

/* Sorts one series into its groups; a series may hold floats and histograms. */
static int add_series(HistogramCall *c, const Column *col)
{
    Eval *ev = c->ev;
    bool floats = memchr(col->kind, SAMPLE_FLOAT, c->steps.n) != NULL;
    bool histograms = memchr(col->kind, SAMPLE_HISTOGRAM, c->steps.n) != NULL;
    HistogramGroup *g;
    if (histograms) {
        Column *kept = arena_new(ev->arena, Column);
        g = group_of(c, col->labels, col->drop_name);
        if (!g || !kept)
            return eval_nomem(ev);
        *kept = *col;
        g->native = kept;
    }
    if (!floats)
        return 0;
    StrView le = labels_get(col->labels, SV("le"));
    double bound;
    LabelsBuilder b;
    Labels without;
    if (!classic_bound(le, &bound)) {
        _cleanup_buf_ Buf what = BUF_INIT;
        buf_sv(&what, SV("bucket label \"le\" is missing or has a malformed value of "));
        text_quote(le, &what);
        annotate_for_metric(&ev->annos, true, c->arg->start, buf_view(&what),
                            remark_name(c, col->labels));
        return 0;
    }
    labels_builder_init(&b, ev->arena, col->labels);
    labels_builder_del(&b, SV("le"));
    if (!labels_builder_take(&b, &without) || !(g = group_of(c, without, col->drop_name)) ||
        !push_bucket(c, g, bound, col))
        return eval_nomem(ev);
    return 0;
}

static int collect(HistogramCall *c)
{
    Stream *s;
    Matrix all;
    unsigned most = 0;
    int r = eval_stream(c->ev, c->arg, &c->steps, &s);
    if (r >= 0)
        r = matrix_collect(s, &all);
    for (size_t i = 0; r >= 0 && i < all.len; i++)
        r = add_series(c, &all.cols[i]);
    for (size_t i = 0; r >= 0 && i < c->n; i++)
        most = MAX(most, c->groups[i].n);
    if (r < 0)
        return r;
    c->scratch = arena_array(c->ev->arena, ClassicBucket, most + 1);
    return c->scratch ? 0 : eval_nomem(c->ev);
}

/* One output: a quantile, or a fraction. */
typedef struct Wanted {
    bool fraction;
    const double *a, *b;  /* q; or lower and upper */
    StrView label, value; /* histogram_quantiles: what the result is marked with */
} Wanted;

static unsigned gather(HistogramCall *c, const HistogramGroup *g, unsigned step)
{
    unsigned n = 0;
    for (unsigned i = 0; i < g->n; i++)
        if (g->buckets[i].col.kind[step] == SAMPLE_FLOAT)
            c->scratch[n++] = (ClassicBucket){ g->buckets[i].le, g->buckets[i].col.v[step] };
    return n;
}

static double of_classic(HistogramCall *c, const HistogramGroup *g, const Wanted *w, unsigned step,
                         unsigned n)
{
    ClassicFix fix;
    if (w->fraction)
        return classic_fraction(w->a[step], w->b[step], c->scratch, n);
    double v = classic_quantile(w->a[step], c->scratch, n, &fix);
    if (fix.forced)
        annotate_monotonic(&c->ev->annos, c->arg->start, remark_name(c, g->labels),
                           step_time(&c->steps, step), fix.min_bucket, fix.max_bucket,
                           fix.max_diff);
    return v;
}

static double of_native(HistogramCall *c, const HistogramGroup *g, const Wanted *w, unsigned step)
{
    const Histogram *h = g->native->h[step];
    HistogramRemark remark;
    double v = w->fraction ? histogram_fraction(w->a[step], w->b[step], h, &remark)
                           : histogram_quantile(w->a[step], h, &remark);
    StrView what = remark == HISTOGRAM_NAN_RESULT
                       ? SV("input to histogram_quantile has NaN observations, result is NaN")
                   : w->fraction
                       ? SV("input to histogram_fraction has NaN observations, which are excluded "
                            "from all fractions")
                       : SV("input to histogram_quantile has NaN observations, result is skewed "
                            "higher");
    if (remark != HISTOGRAM_FINE)
        annotate_for_metric(&c->ev->annos, false, c->arg->start, what, remark_name(c, g->labels));
    return v;
}

static int result_labels(HistogramCall *c, const HistogramGroup *g, const Wanted *w, Labels *ret)
{
    Arena *a = c->ev->arena;
    LabelsBuilder b;
    Labels l = g->labels;
    if (!eval_delayed(c->ev) && !labels_without_metadata(g->labels, a, &l))
        return eval_nomem(c->ev);
    labels_builder_init(&b, a, l);
    if (w->label.len)
        labels_builder_set(&b, w->label, w->value);
    return labels_builder_take(&b, ret) ? 0 : eval_nomem(c->ev);
}

static int run_group(HistogramCall *c, const HistogramGroup *g, const Wanted *w, Merger *m)
{
    Labels labels;
    Column *out = NULL;
    int r = result_labels(c, g, w, &labels);
    for (unsigned i = 0; r >= 0 && i < c->steps.n; i++) {
        bool native = g->native && g->native->kind[i] == SAMPLE_HISTOGRAM;
        unsigned n = g->n ? gather(c, g, i) : 0;
        if (!native && !n)
            continue;
        if (native && n) {
            annotate_for_metric(&c->ev->annos, true, c->arg->start,
                                SV("vector contains a mix of classic and native histograms"),
                                remark_name(c, g->labels));
            continue;
        }
        double v = native ? of_native(c, g, w, i) : of_classic(c, g, w, i, n);
        r = out ? 0 : merger_column(m, labels, true, &out);
        if (r >= 0)
            r = merger_put(m, out, i, SAMPLE_FLOAT, v, NULL);
    }
    return r;
}

static void check_quantiles(HistogramCall *c, const Node *arg, const double *q)
{
    for (unsigned i = 0; i < c->steps.n; i++) {
        if (q[i] >= 0 && q[i] <= 1)
            continue;
        _cleanup_buf_ Buf text = BUF_INIT;
        double_format_g(q[i], &text);
        annotate_warning(&c->ev->annos, arg->start,
                         "quantile value should be between 0 and 1, got %.*s",
                         SV_FMT(buf_view(&text)));
    }
}

/* "0.5", "1.0", "+Inf", as OpenMetrics writes a float. */
static StrView quantile_text(Eval *ev, double q)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    double_format_g(q, &text);
    if (text.len && isfinite(q) && sv_find_char(buf_view(&text), '.') < 0 &&
        sv_find_char(buf_view(&text), 'e') < 0)
        buf_sv(&text, SV(".0"));
    return text.failed ? SV_NULL : arena_sv(ev->arena, buf_view(&text));
}

static int run_all(HistogramCall *c, const Wanted *w, Merger *m)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < c->n; i++)
        r = run_group(c, &c->groups[i], w, m);
    return r;
}

static int run_quantiles(HistogramCall *c, Merger *m)
{
    Node *call = c->call;
    int r = 0;
    for (unsigned k = 2; r >= 0 && k < call->n_args; k++) {
        double *q;
        Wanted w = { .label = call->args[1]->string };
        r = eval_scalar(c->ev, call->args[k], &c->steps, &q);
        if (r < 0)
            break;
        check_quantiles(c, call->args[k], q);
        w.a = q;
        w.value = quantile_text(c->ev, q[0]);
        if (!w.value.ptr)
            return eval_nomem(c->ev);
        r = run_all(c, &w, m);
    }
    return r;
}

static int run_one(HistogramCall *c, Merger *m)
{
    double *a, *b = NULL;
    bool fraction = c->call->fn->id == FN_HISTOGRAM_FRACTION;
    int r = eval_scalar(c->ev, c->call->args[0], &c->steps, &a);
    if (r >= 0 && fraction)
        r = eval_scalar(c->ev, c->call->args[1], &c->steps, &b);
    if (r < 0)
        return r;
    if (!fraction)
        check_quantiles(c, c->call->args[0], a);
    return run_all(c, &(Wanted){ .fraction = fraction, .a = a, .b = b }, m);
}

int eval_histogram_call(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    HistogramCall c = { .ev = ev, .call = call, .steps = *steps };
    Merger m;
    bool many = call->fn->id == FN_HISTOGRAM_QUANTILES;
    c.arg = many ? call->args[0] : call->args[call->n_args - 1];
    int r = collect(&c);
    if (r < 0)
        return r;
    merger_init(&m, ev, steps, false);
    r = many ? run_quantiles(&c, &m) : run_one(&c, &m);
    return r < 0 ? r : matrix_stream(ev, &m.out, steps, ret);
}
