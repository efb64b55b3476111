/* binary_match.c - arithmetic and comparison of vectors: series are matched once by signature, then
 * whole columns are combined. Rules of a step (one partner each, unless group_left or group_right
 * says otherwise) are checked step by step, as series may take turns.
 *
 * "many" is the left side, or with group_right the right one; "one" is the other. */
#include <string.h>

#include "monitor/promql/binary.h"

typedef struct Chain {
    uint32_t *first, *next; /* by signature, then by series: number + 1; 0 ends */
} Chain;

typedef struct Match {
    Binop b;
    Matching *m;
    Matrix many, one;
    uint32_t *many_sig, *one_sig, n_sigs;
    bool swapped;
    bool has_fill_many, has_fill_one; /* values for what is missing on that side */
    double fill_many, fill_one;
    uint8_t *any_many, *any_one;    /* by step: there are samples on that side */
    uint8_t *matched, *one_matched; /* by signature and step: a many, a one series has met */
    Chain ones;
    Merger out;
} Match;

static int chain_init(Match *k, Chain *c, const Matrix *m, const uint32_t *sig)
{
    Arena *a = k->b.ev->arena;
    c->first = arena_array(a, uint32_t, k->n_sigs + 1);
    c->next = arena_array(a, uint32_t, m->len + 1);
    if (!c->first || !c->next)
        return eval_nomem(k->b.ev);
    for (size_t i = m->len; i-- > 0;) {
        c->next[i] = c->first[sig[i]];
        c->first[sig[i]] = (uint32_t)i + 1;
    }
    return 0;
}

static uint8_t *any_of(Eval *ev, const Matrix *m, unsigned n)
{
    uint8_t *any = arena_alloc(ev->arena, n);
    for (size_t i = 0; any && i < m->len; i++)
        for (unsigned k = 0; k < n; k++)
            any[k] |= m->cols[i].kind[k];
    return any;
}

static int duplicate(Match *k, Labels a, Labels b)
{
    _cleanup_buf_ Buf group = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
    Labels shared;
    if (matching_labels(k->b.ev, k->m, a, &shared) < 0)
        return -ERR_NOMEM;
    labels_format_set(shared, &group);
    labels_format_set(a, &first);
    labels_format_set(b, &second);
    bool in_order = sv_cmp(buf_view(&first), buf_view(&second)) <= 0;
    Buf *x = in_order ? &first : &second, *y = in_order ? &second : &first;
    return eval_fail(k->b.ev, PROMQL_EXECUTION, ERR_INVALID,
                     "found duplicate series for the match group %.*s on the %s hand-side of the "
                     "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                     "must be unique on one side",
                     SV_FMT(buf_view(&group)), k->swapped ? "left" : "right", SV_FMT(buf_view(x)),
                     SV_FMT(buf_view(y)));
}

/* Is the step evaluated at all? One empty side means no result, and no complaints. */
static bool step_counts(const Match *k, unsigned i)
{
    return (k->any_many[i] && k->any_one[i]) ||
           ((k->any_many[i] || k->any_one[i]) && (k->has_fill_many || k->has_fill_one));
}

/* Two series of the "one" side with one signature may not have samples at the same step. */
static int check_ones(Match *k)
{
    unsigned n = k->b.steps.n;
    for (uint32_t sig = 0; sig < k->n_sigs; sig++) {
        for (uint32_t a = k->ones.first[sig]; a; a = k->ones.next[a - 1]) {
            for (uint32_t b = k->ones.next[a - 1]; b; b = k->ones.next[b - 1]) {
                const Column *x = &k->one.cols[a - 1], *y = &k->one.cols[b - 1];
                for (unsigned i = 0; i < n; i++)
                    if (x->kind[i] && y->kind[i] && step_counts(k, i))
                        return duplicate(k, x->labels, y->labels);
            }
        }
    }
    return 0;
}

static bool in_list(const StrView *names, unsigned n, StrView name)
{
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(names[i], name))
            return true;
    return false;
}

/* The labels of the result of two series. */
static int result_labels(Match *k, Labels many, Labels one, Labels *ret)
{
    Eval *ev = k->b.ev;
    Node *n = k->b.node;
    Labels base = many;
    LabelsBuilder b;
    bool drop = binop_changes_schema(n->op) || (n->return_bool && !eval_delayed(ev));
    if (drop && !labels_without_metadata(many, ev->arena, &base))
        return eval_nomem(ev);
    labels_builder_init(&b, ev->arena, base);
    if (k->m->card == CARD_ONE_TO_ONE) {
        for (unsigned i = 0; i < base.len; i++) {
            bool listed = in_list(k->m->labels, k->m->n_labels, base.items[i].name);
            if (listed != k->m->on)
                labels_builder_del(&b, base.items[i].name);
        }
    }
    for (unsigned i = 0; i < k->m->n_include; i++)
        labels_builder_set(&b, k->m->include[i], labels_get(one, k->m->include[i]));
    return labels_builder_take(&b, ret) ? 0 : eval_nomem(ev);
}

/* The many series has met its partner at this step: may it? */
static int note_match(Match *k, uint32_t sig, unsigned step)
{
    size_t at = (size_t)sig * k->b.steps.n + step;
    k->one_matched[at] = 1;
    if (k->m->card != CARD_ONE_TO_ONE)
        return 0;
    if (k->matched[at])
        return eval_fail(k->b.ev, PROMQL_EXECUTION, ERR_INVALID,
                         "multiple matches for labels: many-to-one matching must be explicit "
                         "(group_left/group_right)");
    k->matched[at] = 1;
    return 0;
}

/* Whether two many series of one signature come out with the same labels. Results that comparisons
 * filter away count too, so it cannot be left to the output. */
typedef struct Target {
    Column *out;
    uint8_t *taken; /* by step, of many-to-one */
} Target;

static int combine(Match *k, Target *t, unsigned step, double many, double one,
                   const Histogram *h_many, const Histogram *h_one)
{
    Node *n = k->b.node;
    BinopResult r;
    int err = k->swapped ? binop_elements(&k->b, one, many, h_one, h_many, &r)
                         : binop_elements(&k->b, many, one, h_many, h_one, &r);
    if (err < 0 || !r.valid)
        return err;
    if (n->return_bool) {
        r.v = r.keep ? 1 : 0;
        r.h = NULL;
        r.keep = true;
    }
    if (t->taken[step])
        return eval_fail(k->b.ev, PROMQL_EXECUTION, ERR_INVALID,
                         k->m->card == CARD_ONE_TO_ONE
                             ? "vector cannot contain metrics with the same labelset"
                             : "multiple matches for labels: grouping labels must ensure unique "
                               "matches");
    t->taken[step] = 1;
    if (!r.keep)
        return 0;
    return merger_put(&k->out, t->out, step, r.h ? SAMPLE_HISTOGRAM : SAMPLE_FLOAT, r.v, r.h);
}

/* The output column for a pair, with its record of taken steps beside it. */
static int target_of(Match *k, Labels many, Labels one, bool drop, Target *ret)
{
    Labels l;
    Column *c;
    int r = result_labels(k, many, one, &l);
    if (r >= 0)
        r = merger_column(&k->out, l, drop, &c);
    if (r < 0)
        return r;
    *ret = (Target){ c, c->kind + k->b.steps.n }; /* the merger's second half */
    return 0;
}

static int pair(Match *k, uint32_t many_at, const Column *one)
{
    const Column *many = &k->many.cols[many_at];
    uint32_t sig = k->many_sig[many_at];
    bool started = false;
    Target t;
    for (unsigned i = 0; i < k->b.steps.n; i++) {
        if (many->kind[i] == SAMPLE_NONE || one->kind[i] == SAMPLE_NONE)
            continue;
        int r = started ? 0 : target_of(k, many->labels, one->labels, k->b.node->return_bool, &t);
        started = true;
        if (r >= 0)
            r = note_match(k, sig, i);
        if (r >= 0)
            r = combine(k, &t, i, many->v[i], one->v[i],
                        many->kind[i] == SAMPLE_HISTOGRAM ? many->h[i] : NULL,
                        one->kind[i] == SAMPLE_HISTOGRAM ? one->h[i] : NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool has_partner(const Match *k, uint32_t sig, unsigned step)
{
    for (uint32_t a = k->ones.first[sig]; a; a = k->ones.next[a - 1])
        if (k->one.cols[a - 1].kind[step])
            return true;
    return false;
}

/* A many series where its partner is missing, with the value to fill in. */
static int fill_one(Match *k, uint32_t many_at)
{
    const Column *many = &k->many.cols[many_at];
    uint32_t sig = k->many_sig[many_at];
    Labels shared;
    Target t;
    int r = matching_labels(k->b.ev, k->m, many->labels, &shared);
    if (r >= 0)
        r = target_of(k, many->labels, shared, k->b.node->return_bool, &t);
    for (unsigned i = 0; r >= 0 && i < k->b.steps.n; i++) {
        if (many->kind[i] == SAMPLE_NONE || has_partner(k, sig, i))
            continue;
        r = note_match(k, sig, i);
        if (r >= 0)
            r = combine(k, &t, i, many->v[i], k->fill_one,
                        many->kind[i] == SAMPLE_HISTOGRAM ? many->h[i] : NULL, NULL);
    }
    return r;
}

static int fill_many(Match *k, size_t one_at)
{
    const Column *one = &k->one.cols[one_at];
    const uint8_t *seen = k->one_matched + (size_t)k->one_sig[one_at] * k->b.steps.n;
    Labels shared;
    Target t;
    int r = matching_labels(k->b.ev, k->m, one->labels, &shared);
    if (r >= 0)
        r = target_of(k, shared, one->labels, k->b.node->return_bool, &t);
    for (unsigned i = 0; r >= 0 && i < k->b.steps.n; i++)
        if (one->kind[i] != SAMPLE_NONE && !seen[i])
            r = combine(k, &t, i, k->fill_many, one->v[i], NULL,
                        one->kind[i] == SAMPLE_HISTOGRAM ? one->h[i] : NULL);
    return r;
}

static int run(Match *k)
{
    int r = check_ones(k);
    for (uint32_t i = 0; r >= 0 && i < k->many.len; i++) {
        for (uint32_t a = k->ones.first[k->many_sig[i]]; r >= 0 && a; a = k->ones.next[a - 1])
            r = pair(k, i, &k->one.cols[a - 1]);
        if (r >= 0 && k->has_fill_one)
            r = fill_one(k, i);
    }
    for (size_t i = 0; r >= 0 && k->has_fill_many && i < k->one.len; i++)
        r = fill_many(k, i);
    return r;
}

static int setup(Match *k, const Signatures *s)
{
    const Matching *m = k->m;
    Eval *ev = k->b.ev;
    unsigned n = k->b.steps.n;
    size_t cells = (size_t)(s->n + 1) * n;
    k->swapped = m->card == CARD_ONE_TO_MANY;
    k->many = k->swapped ? s->right : s->left;
    k->one = k->swapped ? s->left : s->right;
    k->many_sig = k->swapped ? s->right_sig : s->left_sig;
    k->one_sig = k->swapped ? s->left_sig : s->right_sig;
    k->n_sigs = s->n;
    /* Prometheus fills "left" on the many side even when sides are swapped. */
    k->has_fill_many = m->has_fill_left;
    k->has_fill_one = m->has_fill_right;
    k->fill_many = m->fill_left;
    k->fill_one = m->fill_right;
    k->any_many = any_of(ev, &k->many, n);
    k->any_one = any_of(ev, &k->one, n);
    k->one_matched = arena_alloc(ev->arena, cells);
    k->matched =
        m->card == CARD_ONE_TO_ONE ? arena_alloc_n(ev->arena, cells, sizeof *k->matched) : NULL;
    if (!k->any_many || !k->any_one || !k->one_matched ||
        (m->card == CARD_ONE_TO_ONE && !k->matched))
        return eval_nomem(ev);
    k->out.twice = true;
    return chain_init(k, &k->ones, &k->one, k->one_sig);
}

int binary_vectors(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    Signatures s;
    Match k = { .b = { .ev = ev, .node = n, .steps = *steps, .scratch = ev->arena },
                .m = &n->matching };
    int r = signatures_init(ev, n, steps, &s);
    if (r < 0)
        return r;
    merger_init(&k.out, ev, steps, false);
    r = setup(&k, &s);
    if (r >= 0)
        r = run(&k);
    histogram_acc_free(&k.b.acc);
    if (r >= 0)
        r = matrix_stream(ev, &k.out.out, steps, ret);
    if (r >= 0)
        (*ret)->unique = binop_changes_schema(n->op);
    return r;
}
