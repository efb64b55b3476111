/* binary.c - binary operators: what they do to two values, and vectors with scalars. Vectors with
 * vectors are in binary_match.c and binary_set.c. */
#include "monitor/promql/binary.h"

static double truth(bool b)
{
    return b ? 1 : 0;
}

static bool compare(Tok op, double l, double r)
{
    switch (op) {
    case TOK_EQLC:
        return l == r;
    case TOK_NEQ:
        return l != r;
    case TOK_GTR:
        return l > r;
    case TOK_LSS:
        return l < r;
    case TOK_GTE:
        return l >= r;
    default:
        return l <= r;
    }
}

static double arithmetic(Tok op, double l, double r)
{
    switch (op) {
    case TOK_ADD:
        return l + r;
    case TOK_SUB:
        return l - r;
    case TOK_MUL:
        return l * r;
    case TOK_DIV:
        return l / r;
    case TOK_POW:
        return pow(l, r);
    case TOK_MOD:
        return fmod(l, r);
    default:
        return atan2(l, r);
    }
}

double scalar_binop(Tok op, double l, double r)
{
    return tok_is_comparison(op) ? truth(compare(op, l, r)) : arithmetic(op, l, r);
}

bool binop_changes_schema(Tok op)
{
    return op >= TOK_ADD && op <= TOK_ATAN2;
}

static void incompatible(Binop *b, const char *l, const char *r)
{
    StrView op = tok_text(b->node->op);
    annotate_info(&b->ev->annos, b->node->start,
                  "incompatible sample types encountered for binary operator \"%.*s\": %s %.*s %s",
                  SV_FMT(op), l, SV_FMT(op), r);
}

static int take(Binop *b, BinopResult *ret)
{
    histogram_acc_compact(&b->acc);
    ret->h = histogram_acc_take(&b->acc, b->scratch);
    ret->valid = ret->keep = true;
    return ret->h ? 0 : eval_nomem(b->ev);
}

static int scale(Binop *b, const Histogram *h, double by, bool divide, BinopResult *ret)
{
    b->acc.compensate = false;
    histogram_acc_set(&b->acc, h);
    if (divide)
        histogram_acc_div(&b->acc, by);
    else
        histogram_acc_mul(&b->acc, by);
    return take(b, ret);
}

static int add_histograms(Binop *b, const Histogram *l, const Histogram *r, BinopResult *ret)
{
    bool subtract = b->node->op == TOK_SUB;
    const char *what = subtract ? "subtraction" : "addition";
    b->acc.compensate = false;
    histogram_acc_set(&b->acc, l);
    unsigned flags = histogram_acc_add(&b->acc, r, subtract);
    if (flags & HISTOGRAM_ADD_MIXED) {
        StrView op = tok_text(b->node->op);
        annotate_warning(&b->ev->annos, b->node->start,
                         "incompatible bucket layout encountered for binary operator %.*s",
                         SV_FMT(op));
        return 0;
    }
    if (flags & HISTOGRAM_ADD_RECONCILED)
        annotate_info(&b->ev->annos, b->node->start,
                      "mismatched custom buckets were reconciled during %s", what);
    if (flags & HISTOGRAM_ADD_COLLISION) {
        annotate_warning(&b->ev->annos, b->node->start,
                         "conflicting counter resets during histogram %s", what);
        return 0;
    }
    if (subtract)
        b->acc.hint = HINT_GAUGE;
    return take(b, ret);
}

static int two_histograms(Binop *b, const Histogram *l, const Histogram *r, BinopResult *ret)
{
    Tok op = b->node->op;
    if (op == TOK_ADD || op == TOK_SUB)
        return add_histograms(b, l, r, ret);
    if (op != TOK_EQLC && op != TOK_NEQ) {
        incompatible(b, "histogram", "histogram");
        return 0;
    }
    *ret = (BinopResult){ .valid = true, .h = l };
    ret->keep = histogram_equal(l, r) == (op == TOK_EQLC);
    return 0;
}

static int histogram_and_float(Binop *b, const Histogram *h, double v, BinopResult *ret)
{
    Tok op = b->node->op;
    if (op == TOK_MUL || op == TOK_DIV)
        return scale(b, h, v, op == TOK_DIV, ret);
    if (op != TOK_TRIM_UPPER && op != TOK_TRIM_LOWER) {
        incompatible(b, "histogram", "float");
        return 0;
    }
    ret->h = histogram_trim(h, v, op == TOK_TRIM_UPPER, b->scratch);
    ret->valid = ret->keep = true;
    return ret->h ? 0 : eval_nomem(b->ev);
}

int binop_elements(Binop *b, double l, double r, const Histogram *hl, const Histogram *hr,
                   BinopResult *ret)
{
    Tok op = b->node->op;
    *ret = (BinopResult){ 0 };
    if (hl && hr)
        return two_histograms(b, hl, hr, ret);
    if (hl)
        return histogram_and_float(b, hl, r, ret);
    if (hr) {
        if (op == TOK_MUL)
            return scale(b, hr, l, false, ret);
        incompatible(b, "float", "histogram");
        return 0;
    }
    if (op == TOK_TRIM_UPPER || op == TOK_TRIM_LOWER) {
        incompatible(b, "float", "float");
        return 0;
    }
    bool comparison = tok_is_comparison(op);
    *ret = (BinopResult){ .valid = true,
                          .keep = !comparison || compare(op, l, r),
                          .v = comparison ? l : arithmetic(op, l, r) };
    return 0;
}

typedef struct ScalarStream {
    Stream head;
    Stream *child;
    double *scalar;
    bool swap; /* the scalar stands on the left */
    Binop b;
    Column col;
} ScalarStream;

static int scalar_step(ScalarStream *s, const Column *in, unsigned i)
{
    Node *n = s->b.node;
    BinopResult r;
    const Histogram *h = in->kind[i] == SAMPLE_HISTOGRAM ? in->h[i] : NULL;
    double v = in->v[i], x = s->scalar[i];
    s->col.kind[i] = SAMPLE_NONE;
    if (in->kind[i] == SAMPLE_NONE)
        return 0;
    int err = s->swap ? binop_elements(&s->b, x, v, NULL, h, &r)
                      : binop_elements(&s->b, v, x, h, NULL, &r);
    if (err < 0 || !r.valid)
        return err;
    /* A comparison lets the vector's element through, whichever side it stands on. */
    if (tok_is_comparison(n->op) && s->swap) {
        r.v = v;
        r.h = h;
    }
    if (n->return_bool) {
        r.v = truth(r.keep);
        r.h = NULL;
        r.keep = true;
    }
    if (!r.keep)
        return 0;
    s->col.kind[i] = r.h ? SAMPLE_HISTOGRAM : SAMPLE_FLOAT;
    s->col.v[i] = r.v;
    if (r.h)
        s->col.h[i] = r.h;
    return 1;
}

static int scalar_next(Stream *stream, Column *ret)
{
    ScalarStream *s = (ScalarStream *)stream;
    Node *n = s->b.node;
    Column in;
    bool any = false;
    do {
        int r = stream_next(s->child, &in);
        if (r <= 0)
            return r;
        arena_reset(&s->head.scratch);
        if (in.h && column_histograms(s->head.ev, &s->col, s->head.steps.n) < 0)
            return -ERR_NOMEM;
        for (unsigned i = 0; i < s->head.steps.n; i++) {
            r = scalar_step(s, &in, i);
            if (r < 0)
                return r;
            any |= r > 0;
        }
    } while (!any);
    *ret = s->col;
    ret->labels = in.labels;
    ret->drop_name = in.drop_name;
    if (!in.h)
        ret->h = NULL;
    return binop_changes_schema(n->op) || n->return_bool ? column_drop_name(stream, ret) : 1;
}

static void scalar_free(Stream *stream)
{
    histogram_acc_free(&((ScalarStream *)stream)->b.acc);
}

static const StreamOps scalar_ops = { scalar_next, scalar_free };

static int vector_with_scalar(Eval *ev, Node *n, const Steps *steps, bool swap, Stream **ret)
{
    ScalarStream *s = stream_new(ev, sizeof *s, &scalar_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->swap = swap;
    s->b = (Binop){ .ev = ev, .node = n, .steps = *steps, .scratch = &s->head.scratch };
    int r;
    if (swap) {
        r = eval_scalar(ev, n->lhs, steps, &s->scalar);
        if (r >= 0)
            r = eval_stream(ev, n->rhs, steps, &s->child);
    } else {
        r = eval_stream(ev, n->lhs, steps, &s->child);
        if (r >= 0)
            r = eval_scalar(ev, n->rhs, steps, &s->scalar);
    }
    if (r < 0)
        return r;
    s->head.unique = s->child->unique;
    return merge_stream(&s->head, false, ret);
}

int eval_binary(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    if (node_type(n->lhs) == PROMQL_SCALAR)
        return vector_with_scalar(ev, n, steps, true, ret);
    if (node_type(n->rhs) == PROMQL_SCALAR)
        return vector_with_scalar(ev, n, steps, false, ret);
    return tok_is_set_operator(n->op) ? binary_sets(ev, n, steps, ret)
                                      : binary_vectors(ev, n, steps, ret);
}
