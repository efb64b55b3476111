/* check.c - types of expressions, and the rules that hold over the whole tree. */
#include "monitor/promql/function.h"

PromqlType node_type(const Node *n)
{
    switch (n->type) {
    case NODE_NUMBER:
    case NODE_DURATION:
        return PROMQL_SCALAR;
    case NODE_STRING:
        return PROMQL_STRING;
    case NODE_VECTOR:
    case NODE_AGGREGATE:
        return PROMQL_VECTOR;
    case NODE_MATRIX:
    case NODE_SUBQUERY:
        return PROMQL_MATRIX;
    case NODE_CALL:
        return n->fn->ret;
    case NODE_BINARY:
        return node_type(n->lhs) == PROMQL_SCALAR && node_type(n->rhs) == PROMQL_SCALAR
                   ? PROMQL_SCALAR
                   : PROMQL_VECTOR;
    case NODE_UNARY:
    case NODE_PAREN:
    case NODE_STEP_INVARIANT:
        return node_type(n->expr);
    }
    return PROMQL_NONE;
}

Node **node_child(Node *n, unsigned i)
{
    Node **fixed[] = { &n->lhs, &n->rhs, &n->param, &n->expr };
    unsigned seen = 0;
    if (n->type == NODE_DURATION)
        return NULL;
    for (unsigned k = 0; k < ARRAY_SIZE(fixed); k++)
        if (*fixed[k] && seen++ == i)
            return fixed[k];
    return i - seen < n->n_args ? &n->args[i - seen] : NULL;
}

const char *promql_type_name(PromqlType t)
{
    static const char *const names[] = { "none", "scalar", "vector", "matrix", "string" };
    return names[t];
}

/* As the documentation calls it. */
static const char *documented(PromqlType t)
{
    return t == PROMQL_VECTOR   ? "instant vector"
           : t == PROMQL_MATRIX ? "range vector"
                                : promql_type_name(t);
}

static int expect(Node *n, PromqlType want, const char *where, StrView text, Err *err)
{
    int r = promql_check(n, text, err);
    if (r < 0 || node_type(n) == want)
        return r;
    return parse_error(err, text, n->start, "expected type %s in %s, got %s", documented(want),
                       where, documented(node_type(n)));
}

static int check_aggregate(Node *n, StrView text, Err *err)
{
    int r = expect(n->expr, PROMQL_VECTOR, "aggregation expression", text, err);
    if (r < 0 || !n->param)
        return r;
    return expect(n->param, n->op == TOK_COUNT_VALUES ? PROMQL_STRING : PROMQL_SCALAR,
                  "aggregation parameter", text, err);
}

static int check_matching(Node *n, bool vectors, StrView text, Err *err)
{
    Matching *m = &n->matching;
    bool fill = m->has_fill_left || m->has_fill_right;
    StrView op = tok_text(n->op);
    if (!vectors) {
        if (m->n_labels)
            return parse_error(err, text, n->start,
                               "vector matching only allowed between instant vectors");
        if (fill)
            return parse_error(err, text, n->start,
                               "filling in missing series only allowed between instant vectors");
        n->no_matching = true;
        if (tok_is_set_operator(n->op))
            return parse_error(err, text, n->start,
                               "set operator \"%.*s\" not allowed in binary scalar expression",
                               SV_FMT(op));
        return 0;
    }
    if (!tok_is_set_operator(n->op))
        return 0;
    if (m->card == CARD_MANY_TO_ONE || m->card == CARD_ONE_TO_MANY)
        return parse_error(err, text, n->start, "no grouping allowed for \"%.*s\" operation",
                           SV_FMT(op));
    m->card = CARD_MANY_TO_MANY;
    if (fill)
        return parse_error(err, text, n->start,
                           "filling in missing series not allowed for set operators");
    return 0;
}

static int check_labels(const Node *n, StrView text, Err *err)
{
    const Matching *m = &n->matching;
    for (unsigned i = 0; m->on && i < m->n_labels; i++)
        for (unsigned j = 0; j < m->n_include; j++)
            if (sv_eq(m->labels[i], m->include[j]))
                return parse_error(err, text, n->op_pos,
                                   "label \"%.*s\" must not occur in ON and GROUP clause at once",
                                   SV_FMT(m->labels[i]));
    return 0;
}

static int check_binary(Node *n, StrView text, Err *err)
{
    int r = promql_check(n->lhs, text, err);
    if (r >= 0)
        r = promql_check(n->rhs, text, err);
    if (r < 0)
        return r;
    PromqlType l = node_type(n->lhs), right = node_type(n->rhs);
    if (n->return_bool && !tok_is_comparison(n->op))
        return parse_error(err, text, n->op_pos,
                           "bool modifier can only be used on comparison operators");
    if (tok_is_comparison(n->op) && !n->return_bool && l == PROMQL_SCALAR && right == PROMQL_SCALAR)
        return parse_error(err, text, n->op_pos,
                           "comparisons between scalars must use BOOL modifier");
    r = check_labels(n, text, err);
    if (r < 0)
        return r;
    if (l != PROMQL_SCALAR && l != PROMQL_VECTOR)
        return parse_error(err, text, n->lhs->start,
                           "binary expression must contain only scalar and instant vector types");
    if (right != PROMQL_SCALAR && right != PROMQL_VECTOR)
        return parse_error(err, text, n->rhs->start,
                           "binary expression must contain only scalar and instant vector types");
    return check_matching(n, l == PROMQL_VECTOR && right == PROMQL_VECTOR, text, err);
}

static int check_count(const Node *n, StrView text, Err *err)
{
    const Function *f = n->fn;
    unsigned least = f->variadic ? f->n_args - 1 : f->n_args;
    if (!f->variadic && n->n_args != f->n_args)
        return parse_error(err, text, n->start,
                           "expected %u argument(s) in call to \"%.*s\", got %u", f->n_args,
                           SV_FMT(f->name), n->n_args);
    if (n->n_args < least)
        return parse_error(err, text, n->start,
                           "expected at least %u argument(s) in call to \"%.*s\", got %u", least,
                           SV_FMT(f->name), n->n_args);
    if (f->variadic > 0 && n->n_args > least + (unsigned)f->variadic)
        return parse_error(err, text, n->start,
                           "expected at most %u argument(s) in call to \"%.*s\", got %u",
                           least + (unsigned)f->variadic, SV_FMT(f->name), n->n_args);
    return 0;
}

/* The second argument of info() only picks labels. */
static int check_info(Node *n, StrView text, Err *err)
{
    Node *sel = n->args[1];
    if (node_type(sel) != PROMQL_VECTOR)
        return parse_error(err, text, n->start,
                           "expected type instant vector in call to function \"info\", got %s",
                           documented(node_type(sel)));
    if (sel->type != NODE_VECTOR)
        return parse_error(err, text, sel->start, "expected label selectors only");
    if (sel->sel.name.len)
        return parse_error(err, text, sel->start,
                           "expected label selectors only, got vector selector instead");
    sel->sel.may_be_empty = true;
    return 0;
}

static int check_call(Node *n, StrView text, Err *err)
{
    const Function *f = n->fn;
    int r = check_count(n, text, err);
    if (r >= 0 && f->id == FN_INFO && n->n_args > 1)
        r = check_info(n, text, err);
    for (unsigned i = 0; r >= 0 && i < n->n_args; i++) {
        PromqlType want = f->args[MIN(i, f->n_args - 1)];
        r = promql_check(n->args[i], text, err);
        PromqlType got = node_type(n->args[i]);
        if (r >= 0 && got != want)
            return parse_error(err, text, n->args[i]->start,
                               "expected type %s in call to function \"%.*s\", got %s",
                               documented(want), SV_FMT(f->name), documented(got));
    }
    return r;
}

static int check_selector(const Node *n, StrView text, Err *err)
{
    const Selector *s = &n->sel;
    if (s->name.len) {
        for (unsigned i = 0; i + 1 < s->n_matchers; i++)
            if (sv_eq(s->matchers[i].name, LABEL_METRIC_NAME))
                return parse_error(err, text, n->start,
                                   "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
                                   SV_FMT(s->name), SV_FMT(s->matchers[i].value));
        return 0;
    }
    bool selective = s->may_be_empty;
    for (unsigned i = 0; i < s->n_matchers && !selective; i++)
        selective = !matcher_matches(&s->matchers[i], SV(""));
    if (!selective)
        return parse_error(err, text, n->start,
                           "vector selector must contain at least one non-empty matcher");
    return 0;
}

int promql_check(Node *n, StrView text, Err *err)
{
    int r;
    switch (n->type) {
    case NODE_AGGREGATE:
        return check_aggregate(n, text, err);
    case NODE_BINARY:
        return check_binary(n, text, err);
    case NODE_CALL:
        return check_call(n, text, err);
    case NODE_PAREN:
        return promql_check(n->expr, text, err);
    case NODE_UNARY:
        r = promql_check(n->expr, text, err);
        if (r >= 0 && node_type(n->expr) != PROMQL_SCALAR && node_type(n->expr) != PROMQL_VECTOR)
            return parse_error(err, text, n->start,
                               "unary expression only allowed on expressions of type scalar or "
                               "instant vector, got \"%s\"",
                               documented(node_type(n->expr)));
        return r;
    case NODE_SUBQUERY:
        r = promql_check(n->expr, text, err);
        if (r >= 0 && node_type(n->expr) != PROMQL_VECTOR)
            return parse_error(err, text, n->start,
                               "subquery is only allowed on instant vector, got %s instead",
                               promql_type_name(node_type(n->expr)));
        return r;
    case NODE_MATRIX:
    case NODE_VECTOR:
        return check_selector(n, text, err);
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION:
    case NODE_STEP_INVARIANT:
        break;
    }
    return 0;
}
