/* edit.c - changes the selectors of an expression that is to be shown again.
 *
 * A selector's own list stays, for what its matchers have compiled is freed by it; it gets another
 * one. */
#include "monitor/promql/ast.h"

typedef struct Edit {
    Arena *arena;
    Matcher new;
    bool sets; /* else drops */
} Edit;

static bool edit_selector(const Edit *e, Selector *s)
{
    Matcher *list = arena_array(e->arena, Matcher, s->n_matchers + 1u);
    bool found = false;
    unsigned n = 0;
    if (!list)
        return false;
    for (unsigned i = 0; i < s->n_matchers; i++) {
        bool is_it = sv_eq(s->matchers[i].name, e->new.name);
        if (!is_it)
            list[n++] = s->matchers[i];
        else if (e->sets)
            list[n++] = e->new;
        found |= is_it;
    }
    if (e->sets && !found)
        list[n++] = e->new;
    s->matchers = list;
    s->n_matchers = n;
    return true;
}

static bool edit(const Edit *e, Node *n)
{
    Node **child;
    bool ok = true;
    if (n->type == NODE_VECTOR || n->type == NODE_MATRIX)
        return edit_selector(e, &n->sel);
    for (unsigned i = 0; ok && (child = node_child(n, i)) != NULL; i++)
        ok = edit(e, *child);
    return ok;
}

int promql_expr_set_matcher(PromqlExpr *e, MatchOp op, StrView name, StrView value, Err *err)
{
    const Edit x = { e->arena, { .op = op, .name = name, .value = value }, true };
    return edit(&x, e->root) ? 0 : err_nomem(err);
}

int promql_expr_drop_matchers(PromqlExpr *e, StrView name, Err *err)
{
    const Edit x = { e->arena, { .name = name }, false };
    return edit(&x, e->root) ? 0 : err_nomem(err);
}
