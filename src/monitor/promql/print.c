/* print.c - expressions as text: on one line, and broken over lines of at most 100 characters. */
#include "monitor/model/duration.h"
#include "monitor/model/number.h"
#include "monitor/promql/function.h"

enum { LINE_MAX_CHARS = 100 };

static void put(const Node *n, Buf *out);

static void put_labels(const StrView *names, unsigned n, Buf *out)
{
    buf_putc(out, '(');
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_sv(out, SV(", "));
        if (label_name_is_legacy(names[i]))
            buf_sv(out, names[i]);
        else
            text_quote(names[i], out);
    }
    buf_putc(out, ')');
}

static void put_number(const Node *n, Buf *out)
{
    if (!n->is_duration) {
        double_format_f(n->number, out);
        return;
    }
    if (n->number < 0)
        buf_putc(out, '-');
    prom_duration_format(double_to_i64(round(fabs(n->number) * 1000)), out);
}

static void put_duration(const Node *n, Buf *out)
{
    if (n->type == NODE_NUMBER) {
        put_number(n, out);
        return;
    }
    if (n->wrapped)
        buf_putc(out, '(');
    if (n->op == TOK_STEP || n->op == TOK_RANGE) {
        buf_sv(out, tok_text(n->op));
        buf_sv(out, SV("()"));
    } else if (n->op == TOK_MIN_OF || n->op == TOK_MAX_OF) {
        buf_sv(out, tok_text(n->op));
        buf_putc(out, '(');
        put_duration(n->lhs, out);
        buf_sv(out, SV(", "));
        put_duration(n->rhs, out);
        buf_putc(out, ')');
    } else {
        if (n->lhs) {
            put_duration(n->lhs, out);
            buf_printf(out, " %.*s ", SV_FMT(tok_text(n->op)));
        } else if (n->op == TOK_SUB) {
            buf_putc(out, '-');
        }
        put_duration(n->rhs, out);
    }
    if (n->wrapped)
        buf_putc(out, ')');
}

static void put_at(const Modifiers *m, Buf *out)
{
    if (m->has_at)
        buf_printf(out, " @ %.3f", (double)m->at / 1000);
    else if (m->at_function)
        buf_printf(out, " @ %s()", m->at_function == TOK_START ? "start" : "end");
}

static void put_extended(const Modifiers *m, Buf *out)
{
    if (m->anchored)
        buf_sv(out, SV(" anchored"));
    else if (m->smoothed)
        buf_sv(out, SV(" smoothed"));
}

static void put_offset(const Modifiers *m, Buf *out)
{
    if (m->offset_expr) {
        buf_sv(out, SV(" offset "));
        put_duration(m->offset_expr, out);
    } else if (m->offset) {
        buf_sv(out, m->offset < 0 ? SV(" offset -") : SV(" offset "));
        prom_duration_format(m->offset < 0 ? -m->offset : m->offset, out);
    }
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(buf_view(a), buf_view(b));
}

static void put_matchers(const Selector *s, Buf *out)
{
    Buf *texts = calloc(s->n_matchers + 1, sizeof *texts);
    unsigned n = 0;
    if (!texts) {
        out->failed = true;
        return;
    }
    for (unsigned i = 0; i < s->n_matchers; i++) {
        const Matcher *m = &s->matchers[i];
        if (m->op == MATCH_EQ && m->value.len && sv_eq(m->name, LABEL_METRIC_NAME) &&
            sv_eq(m->value, s->name))
            continue;
        matcher_format(m, &texts[n++]);
    }
    qsort(texts, n, sizeof *texts, by_text);
    for (unsigned i = 0; i < n; i++) {
        buf_putc(out, i ? ',' : '{');
        buf_sv(out, buf_view(&texts[i]));
        buf_free(&texts[i]);
    }
    if (n)
        buf_putc(out, '}');
    free(texts);
}

static void put_range(int64_t ms, const Node *expr, Buf *out)
{
    if (expr)
        put_duration(expr, out);
    else
        prom_duration_format(ms, out);
}

static void put_selector(const Node *n, Buf *out)
{
    buf_sv(out, n->sel.name);
    put_matchers(&n->sel, out);
    if (n->type == NODE_MATRIX) {
        buf_putc(out, '[');
        put_range(n->mod.range, n->mod.range_expr, out);
        buf_putc(out, ']');
        put_extended(&n->mod, out);
        put_at(&n->mod, out);
    } else {
        put_at(&n->mod, out);
        put_extended(&n->mod, out);
    }
    put_offset(&n->mod, out);
}

static void put_subquery_tail(const Node *n, Buf *out)
{
    buf_putc(out, '[');
    put_range(n->mod.range, n->mod.range_expr, out);
    buf_putc(out, ':');
    if (n->mod.step || n->mod.step_expr)
        put_range(n->mod.step, n->mod.step ? NULL : n->mod.step_expr, out);
    buf_putc(out, ']');
    put_at(&n->mod, out);
    put_offset(&n->mod, out);
}

static void put_aggregate_head(const Node *n, Buf *out)
{
    buf_sv(out, tok_text(n->op));
    if (!n->without && !n->n_grouping)
        return;
    buf_sv(out, n->without ? SV(" without ") : SV(" by "));
    put_labels(n->grouping, n->n_grouping, out);
    buf_putc(out, ' ');
}

static void put_fill(const char *name, double v, Buf *out)
{
    buf_printf(out, " %s (", name);
    double_format_g(v, out);
    buf_putc(out, ')');
}

static void put_operator(const Node *n, Buf *out)
{
    const Matching *m = &n->matching;
    bool grouped = m->card == CARD_MANY_TO_ONE || m->card == CARD_ONE_TO_MANY;
    buf_sv(out, tok_text(n->op));
    if (n->return_bool)
        buf_sv(out, SV(" bool"));
    if (n->no_matching)
        return;
    if (m->n_labels || m->on || grouped) {
        buf_sv(out, m->on ? SV(" on ") : SV(" ignoring "));
        put_labels(m->labels, m->n_labels, out);
    }
    if (grouped) {
        buf_sv(out, m->card == CARD_MANY_TO_ONE ? SV(" group_left ") : SV(" group_right "));
        put_labels(m->include, m->n_include, out);
    }
    if (m->has_fill_left && m->has_fill_right && m->fill_left == m->fill_right) {
        put_fill("fill", m->fill_left, out);
        return;
    }
    if (m->has_fill_left)
        put_fill("fill_left", m->fill_left, out);
    if (m->has_fill_right)
        put_fill("fill_right", m->fill_right, out);
}

static void put_args(const Node *n, Buf *out)
{
    for (unsigned i = 0; i < n->n_args; i++) {
        if (i)
            buf_sv(out, SV(", "));
        put(n->args[i], out);
    }
}

static void put(const Node *n, Buf *out)
{
    switch (n->type) {
    case NODE_NUMBER:
        put_number(n, out);
        return;
    case NODE_STRING:
        text_quote(n->string, out);
        return;
    case NODE_DURATION:
        put_duration(n, out);
        return;
    case NODE_VECTOR:
    case NODE_MATRIX:
        put_selector(n, out);
        return;
    case NODE_SUBQUERY:
        put(n->expr, out);
        put_subquery_tail(n, out);
        return;
    case NODE_CALL:
        buf_sv(out, n->fn->name);
        buf_putc(out, '(');
        put_args(n, out);
        buf_putc(out, ')');
        return;
    case NODE_AGGREGATE:
        put_aggregate_head(n, out);
        buf_putc(out, '(');
        if (n->param) {
            put(n->param, out);
            buf_sv(out, SV(", "));
        }
        put(n->expr, out);
        buf_putc(out, ')');
        return;
    case NODE_BINARY:
        put(n->lhs, out);
        buf_putc(out, ' ');
        put_operator(n, out);
        buf_putc(out, ' ');
        put(n->rhs, out);
        return;
    case NODE_UNARY:
        buf_sv(out, tok_text(n->op));
        put(n->expr, out);
        return;
    case NODE_PAREN:
        buf_putc(out, '(');
        put(n->expr, out);
        buf_putc(out, ')');
        return;
    case NODE_STEP_INVARIANT:
        put(n->expr, out);
    }
}

static void indent(unsigned level, Buf *out)
{
    for (unsigned i = 0; i < level; i++)
        buf_sv(out, SV("  "));
}

static bool too_long(const Node *n)
{
    _cleanup_buf_ Buf line = { .limit = LINE_MAX_CHARS }; /* much longer texts fail */
    put(n, &line);
    return line.failed || line.len > LINE_MAX_CHARS;
}

static void pretty(const Node *n, unsigned level, Buf *out);

/* `head(`, the children a level deeper, `)`. */
static void pretty_list(Node *const *items, unsigned n, unsigned level, Buf *out)
{
    buf_sv(out, SV("(\n"));
    for (unsigned i = 0; i < n; i++) {
        pretty(items[i], level + 1, out);
        buf_sv(out, i + 1 < n ? SV(",\n") : SV("\n"));
    }
    indent(level, out);
    buf_putc(out, ')');
}

static void pretty_split(const Node *n, unsigned level, Buf *out)
{
    Node *pair[2] = { n->param, n->expr };
    switch (n->type) {
    case NODE_AGGREGATE:
        put_aggregate_head(n, out);
        pretty_list(n->param ? pair : pair + 1, n->param ? 2 : 1, level, out);
        return;
    case NODE_CALL:
        buf_sv(out, n->fn->name);
        pretty_list(n->args, n->n_args, level, out);
        return;
    case NODE_PAREN:
        pretty_list(pair + 1, 1, level, out);
        return;
    default:
        put(n, out);
    }
}

static void pretty(const Node *n, unsigned level, Buf *out)
{
    if (n->type == NODE_STEP_INVARIANT) {
        pretty(n->expr, level, out);
        return;
    }
    bool split = too_long(n);
    if (n->type == NODE_BINARY && split) {
        pretty(n->lhs, level + 1, out);
        buf_putc(out, '\n');
        indent(level, out);
        put_operator(n, out);
        buf_putc(out, '\n');
        pretty(n->rhs, level + 1, out);
        return;
    }
    if (n->type == NODE_SUBQUERY) {
        if (split) {
            pretty(n->expr, level, out);
            put_subquery_tail(n, out);
        } else {
            put(n, out);
        }
        return;
    }
    indent(level, out);
    if (n->type == NODE_UNARY) {
        _cleanup_buf_ Buf child = BUF_INIT;
        pretty(n->expr, level, &child);
        buf_sv(out, tok_text(n->op));
        buf_sv(out, sv_trim(buf_view(&child)));
        out->failed |= child.failed;
    } else if (split) {
        pretty_split(n, level, out);
    } else {
        put(n, out);
    }
}

void promql_format(const PromqlExpr *e, bool multi_line, Buf *out)
{
    if (multi_line)
        pretty(e->root, 0, out);
    else
        put(e->root, out);
}
