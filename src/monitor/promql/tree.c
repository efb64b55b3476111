/* tree.c - the tree of an expression as JSON, as the HTTP API's parse_query gives it. Keys are in
 * the order of their names. */
#include "codec/json.h"
#include "monitor/model/number.h"
#include "monitor/promql/function.h"

static void put_node(const Node *n, Buf *out);

/* `,"key":`, or `{"key":` at the head of an object. */
static void key(const char *name, bool first, Buf *out)
{
    buf_printf(out, "%c\"%s\":", first ? '{' : ',', name);
}

static void put_bool(const char *name, bool first, bool v, Buf *out)
{
    key(name, first, out);
    buf_sv(out, v ? SV("true") : SV("false"));
}

static void put_text(const char *name, StrView v, Buf *out)
{
    key(name, false, out);
    json_encode_string(v, out);
}

static void put_names(const char *name, const StrView *v, unsigned n, Buf *out)
{
    key(name, false, out);
    buf_putc(out, '[');
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        json_encode_string(v[i], out);
    }
    buf_putc(out, ']');
}

static void put_number_text(double v, Buf *out)
{
    buf_putc(out, '"');
    double_format_f(v, out);
    buf_putc(out, '"');
}

static void put_duration(const Node *n, Buf *out)
{
    if (!n) {
        buf_sv(out, SV("null"));
    } else if (n->type == NODE_NUMBER) {
        put_bool("duration", true, n->is_duration, out);
        buf_sv(out, SV(",\"type\":\"numberLiteral\",\"val\":"));
        put_number_text(n->number, out);
        buf_putc(out, '}');
    } else {
        key("lhs", true, out);
        put_duration(n->lhs, out);
        put_text("op", tok_text(n->op), out);
        key("rhs", false, out);
        put_duration(n->rhs, out);
        buf_sv(out, SV(",\"type\":\"durationExpr\""));
        put_bool("wrapped", false, n->wrapped, out);
        buf_putc(out, '}');
    }
}

static void put_expr(const char *name, const Node *n, Buf *out)
{
    key(name, false, out);
    put_duration(n, out);
}

static void put_start_or_end(const Modifiers *m, Buf *out)
{
    key("startOrEnd", false, out);
    if (m->at_function)
        buf_printf(out, "\"%.*s\"", SV_FMT(tok_text(m->at_function)));
    else
        buf_sv(out, SV("null"));
}

static void put_timestamp(const Modifiers *m, Buf *out)
{
    key("timestamp", false, out);
    if (m->has_at)
        buf_i64(out, m->at);
    else
        buf_sv(out, SV("null"));
}

static void put_ms(const char *name, int64_t ms, Buf *out)
{
    key(name, false, out);
    buf_i64(out, ms);
}

static void put_matchers(const Selector *s, Buf *out)
{
    static const StrView ops[MATCH_MAX] = { SV_INIT("="), SV_INIT("!="), SV_INIT("=~"),
                                            SV_INIT("!~") };
    key("matchers", false, out);
    buf_putc(out, '[');
    for (unsigned i = 0; i < s->n_matchers; i++) {
        const Matcher *m = &s->matchers[i];
        buf_sv(out, i ? SV(",{\"name\":") : SV("{\"name\":"));
        json_encode_string(m->name, out);
        put_text("type", ops[m->op], out);
        put_text("value", m->value, out);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_selector(const Node *n, Buf *out)
{
    const Modifiers *m = &n->mod;
    bool matrix = n->type == NODE_MATRIX;
    put_bool("anchored", true, m->anchored, out);
    put_matchers(&n->sel, out);
    put_text("name", n->sel.name, out);
    put_ms("offset", m->offset, out);
    put_expr("offsetExpr", m->offset_expr, out);
    if (matrix) {
        put_ms("range", m->range, out);
        put_expr("rangeExpr", m->range_expr, out);
    }
    put_bool("smoothed", false, m->smoothed, out);
    put_start_or_end(m, out);
    put_timestamp(m, out);
    put_text("type", matrix ? SV("matrixSelector") : SV("vectorSelector"), out);
    buf_putc(out, '}');
}

static void put_subquery(const Node *n, Buf *out)
{
    const Modifiers *m = &n->mod;
    key("expr", true, out);
    put_node(n->expr, out);
    put_ms("offset", m->offset, out);
    put_expr("offsetExpr", m->offset_expr, out);
    put_ms("range", m->range, out);
    put_expr("rangeExpr", m->range_expr, out);
    put_start_or_end(m, out);
    put_ms("step", m->step, out);
    put_expr("stepExpr", m->step_expr, out);
    put_timestamp(m, out);
    put_text("type", SV("subquery"), out);
    buf_putc(out, '}');
}

static void put_call(const Node *n, Buf *out)
{
    const Function *f = n->fn;
    key("args", true, out);
    buf_putc(out, '[');
    for (unsigned i = 0; i < n->n_args; i++) {
        if (i)
            buf_putc(out, ',');
        put_node(n->args[i], out);
    }
    buf_sv(out, SV("],\"func\":{\"argTypes\":["));
    for (unsigned i = 0; i < f->n_args; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", promql_type_name(f->args[i]));
    buf_putc(out, ']');
    put_text("name", f->name, out);
    put_text("returnType", sv_cstr(promql_type_name(f->ret)), out);
    put_ms("variadic", f->variadic, out);
    buf_sv(out, SV("},\"type\":\"call\"}"));
}

static void put_aggregate(const Node *n, Buf *out)
{
    key("expr", true, out);
    put_node(n->expr, out);
    put_names("grouping", n->grouping, n->n_grouping, out);
    put_text("op", tok_text(n->op), out);
    key("param", false, out);
    put_node(n->param, out);
    put_text("type", SV("aggregation"), out);
    put_bool("without", false, n->without, out);
    buf_putc(out, '}');
}

static void put_fill(bool has, double v, Buf *out)
{
    if (has)
        double_format_g(v, out);
    else
        buf_sv(out, SV("null"));
}

static void put_matching(const Node *n, Buf *out)
{
    static const StrView cards[] = { SV_INIT("one-to-one"), SV_INIT("many-to-one"),
                                     SV_INIT("one-to-many"), SV_INIT("many-to-many") };
    const Matching *m = &n->matching;
    if (n->no_matching) {
        buf_sv(out, SV("null"));
        return;
    }
    buf_sv(out, SV("{\"card\":"));
    json_encode_string(cards[m->card], out);
    buf_sv(out, SV(",\"fillValues\":{\"lhs\":"));
    put_fill(m->has_fill_left, m->fill_left, out);
    buf_sv(out, SV(",\"rhs\":"));
    put_fill(m->has_fill_right, m->fill_right, out);
    buf_putc(out, '}');
    put_names("include", m->include, m->n_include, out);
    put_names("labels", m->labels, m->n_labels, out);
    put_bool("on", false, m->on, out);
    buf_putc(out, '}');
}

static void put_binary(const Node *n, Buf *out)
{
    put_bool("bool", true, n->return_bool, out);
    key("lhs", false, out);
    put_node(n->lhs, out);
    key("matching", false, out);
    put_matching(n, out);
    put_text("op", tok_text(n->op), out);
    key("rhs", false, out);
    put_node(n->rhs, out);
    put_text("type", SV("binaryExpr"), out);
    buf_putc(out, '}');
}

static void put_node(const Node *n, Buf *out)
{
    if (!n) {
        buf_sv(out, SV("null"));
        return;
    }
    switch (n->type) {
    case NODE_VECTOR:
    case NODE_MATRIX:
        put_selector(n, out);
        return;
    case NODE_SUBQUERY:
        put_subquery(n, out);
        return;
    case NODE_CALL:
        put_call(n, out);
        return;
    case NODE_AGGREGATE:
        put_aggregate(n, out);
        return;
    case NODE_BINARY:
        put_binary(n, out);
        return;
    case NODE_DURATION:
        put_duration(n, out);
        return;
    case NODE_NUMBER:
        buf_sv(out, SV("{\"type\":\"numberLiteral\",\"val\":"));
        put_number_text(n->number, out);
        buf_putc(out, '}');
        return;
    case NODE_STRING:
        buf_sv(out, SV("{\"type\":\"stringLiteral\",\"val\":"));
        json_encode_string(n->string, out);
        buf_putc(out, '}');
        return;
    case NODE_UNARY:
        key("expr", true, out);
        put_node(n->expr, out);
        put_text("op", tok_text(n->op), out);
        buf_sv(out, SV(",\"type\":\"unaryExpr\"}"));
        return;
    case NODE_PAREN:
        key("expr", true, out);
        put_node(n->expr, out);
        buf_sv(out, SV(",\"type\":\"parenExpr\"}"));
        return;
    case NODE_STEP_INVARIANT:
        put_node(n->expr, out);
    }
}

void promql_tree_json(const PromqlExpr *e, Buf *out)
{
    put_node(e->root, out);
}
