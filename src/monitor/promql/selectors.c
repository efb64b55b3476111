/* selectors.c - the selectors of an expression. */
#include "monitor/promql/ast.h"

static void walk(Node *n, void (*fn)(void *ctx, const Matcher *ms, unsigned n), void *ctx)
{
    Node **child;
    if (n->type == NODE_VECTOR || n->type == NODE_MATRIX) {
        fn(ctx, n->sel.matchers, n->sel.n_matchers);
        return;
    }
    for (unsigned i = 0; (child = node_child(n, i)) != NULL; i++)
        walk(*child, fn, ctx);
}

/* The depth of a tree is bounded when it is parsed. */
void promql_expr_selectors(const PromqlExpr *e,
                           void (*fn)(void *ctx, const Matcher *ms, unsigned n), void *ctx)
{
    walk(e->root, fn, ctx);
}
