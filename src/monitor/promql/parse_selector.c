/* parse_selector.c - `name{a="b", "utf8 name"}`, ranges, subqueries, offsets and the arithmetic of
 * durations that may stand there. */
#include "monitor/promql/parse_internal.h"

enum { PREC_ADD = 1, PREC_MUL, PREC_POW };

static int add_matcher(Parser *p, Node *n, MatchOp op, StrView name, StrView value, unsigned pos,
                       unsigned *cap)
{
    Selector *s = &n->sel;
    Err why = { 0 };
    if (s->n_matchers == *cap) {
        unsigned grown = *cap ? *cap * 2 : 4;
        s->matchers = arena_realloc(p->arena, s->matchers, *cap * sizeof *s->matchers,
                                    grown * sizeof *s->matchers);
        if (!s->matchers)
            return err_nomem(p->err);
        *cap = grown;
    }
    int r = matcher_init(&s->matchers[s->n_matchers], op, name, value, p->arena, &why);
    if (r < 0 && why.code == ERR_INVALID)
        return parse_error(p->err, p->text, pos, "%s", why.msg);
    if (r < 0)
        return err_nomem(p->err);
    s->n_matchers++;
    return 0;
}

static MatchOp match_op(Tok t)
{
    switch (t) {
    case TOK_EQL:
        return MATCH_EQ;
    case TOK_NEQ:
        return MATCH_NE;
    case TOK_EQL_REGEX:
        return MATCH_RE;
    case TOK_NEQ_REGEX:
        return MATCH_NRE;
    default:
        return MATCH_MAX;
    }
}

/* `name="value"`, or a quoted metric name alone. */
static int parse_matcher(Parser *p, Node *n, unsigned *cap)
{
    Token t = p->tok;
    StrView name = t.text, value;
    int r = 0;
    if (t.type == TOK_STRING)
        r = parser_unquote(p, &t, &name);
    else if (t.type != TOK_IDENTIFIER)
        return parser_unexpected(p, "label matching", "identifier or \"}\"");
    if (r >= 0)
        r = parser_advance(p);
    if (r < 0)
        return r;
    MatchOp op = match_op(p->tok.type);
    if (op == MATCH_MAX) {
        if (t.type == TOK_STRING)
            return add_matcher(p, n, MATCH_EQ, LABEL_METRIC_NAME, name, t.pos, cap);
        return parser_unexpected(p, "label matching", "label matching operator");
    }
    r = parser_advance(p);
    if (r < 0)
        return r;
    Token v = p->tok;
    if (v.type != TOK_STRING)
        return parser_unexpected(p, "label matching", "string");
    r = parser_unquote(p, &v, &value);
    if (r >= 0)
        r = add_matcher(p, n, op, name, value, t.pos, cap);
    return r < 0 ? r : parser_advance(p);
}

static int parse_matchers(Parser *p, Node *n, unsigned *cap)
{
    int r = parser_advance(p);
    while (r >= 0 && p->tok.type != TOK_RIGHT_BRACE) {
        r = parse_matcher(p, n, cap);
        if (r < 0)
            return r;
        if (p->tok.type == TOK_COMMA)
            r = parser_advance(p);
        else if (p->tok.type != TOK_RIGHT_BRACE)
            r = parser_unexpected(p, "label matching", "\",\" or \"}\"");
    }
    if (r < 0)
        return r;
    r = parser_advance(p);
    n->end = p->last_end;
    return r;
}

int parse_selector(Parser *p, const Token *name, Node **ret)
{
    unsigned start = name ? name->pos : p->tok.pos, cap = 0;
    Node *n = parser_node(p, NODE_VECTOR, start, name ? start + (unsigned)name->text.len : 0);
    OwnedMatchers *own = arena_new(p->arena, OwnedMatchers);
    int r = 0;
    if (!n || !own)
        return err_nomem(p->err);
    if (p->tok.type == TOK_LEFT_BRACE)
        r = parse_matchers(p, n, &cap);
    if (r >= 0 && name) {
        n->sel.name = name->text;
        r = add_matcher(p, n, MATCH_EQ, LABEL_METRIC_NAME, name->text, start, &cap);
    }
    /* Also after a failure: compiled expressions have to be freed. */
    *own = (OwnedMatchers){ p->owned, n->sel.matchers, n->sel.n_matchers };
    p->owned = own;
    *ret = n;
    return r;
}

static bool out_of_range(double seconds)
{
    return !(fabs(seconds) <= 9223372036.854775807);
}

static int64_t to_ms(double seconds)
{
    return (int64_t)(round(seconds * 1e9) / 1e6);
}

static int parse_duration(Parser *p, unsigned min_precedence, Node **ret);

static int experimental(Parser *p, const Node *n)
{
    if (p->features & PROMQL_DURATION_EXPR)
        return 0;
    return parse_error(p->err, p->text, n->start,
                       "experimental duration expression is not enabled");
}

/* Marks as written in parentheses; a number is wrapped into a plus that does nothing. */
static int wrap_duration(Parser *p, Node **n, unsigned start, unsigned end)
{
    if ((*n)->type != NODE_DURATION) {
        Node *w = parser_node(p, NODE_DURATION, start, end);
        if (!w)
            return -ERR_NOMEM;
        w->op = TOK_ADD;
        w->rhs = *n;
        *n = w;
    }
    (*n)->wrapped = true;
    return 0;
}

/* step(), range(), max_of(a, b), min_of(a, b). */
static int parse_duration_call(Parser *p, Node **ret)
{
    Node *n = parser_node(p, NODE_DURATION, p->tok.pos, 0);
    if (!n)
        return -ERR_NOMEM;
    n->op = p->tok.type;
    int r = parser_advance(p);
    if (r >= 0)
        r = parser_expect(p, TOK_LEFT_PAREN, p->where, p->expected);
    if (r >= 0 && (n->op == TOK_MAX_OF || n->op == TOK_MIN_OF)) {
        r = parse_duration(p, 0, &n->lhs);
        if (r >= 0)
            r = parser_expect(p, TOK_COMMA, p->where, p->expected);
        if (r >= 0)
            r = parse_duration(p, 0, &n->rhs);
    }
    if (r >= 0)
        r = parser_expect(p, TOK_RIGHT_PAREN, p->where, p->expected);
    n->end = p->last_end;
    *ret = n;
    return r < 0 ? r : experimental(p, n);
}

static int negate(Parser *p, const Token *op, Node **n)
{
    if ((*n)->type == NODE_DURATION) {
        if (op->type != TOK_SUB)
            return 0;
        Node *minus = parser_node(p, NODE_DURATION, op->pos, (*n)->end);
        if (!minus)
            return -ERR_NOMEM;
        minus->op = TOK_SUB;
        minus->rhs = *n;
        *n = minus;
        return parser_deepen(p, minus);
    }
    if (op->type == TOK_SUB)
        (*n)->number = -(*n)->number;
    (*n)->start = op->pos;
    return 0;
}

static int parse_duration_paren(Parser *p, Node **ret)
{
    unsigned start = p->tok.pos;
    int r = parser_advance(p);
    if (r >= 0)
        r = parse_duration(p, 0, ret);
    if (r >= 0)
        r = parser_expect(p, TOK_RIGHT_PAREN, p->where, p->expected);
    if (r >= 0)
        r = experimental(p, *ret);
    return r < 0 ? r : wrap_duration(p, ret, start, p->last_end);
}

static int parse_duration_primary(Parser *p, Node **ret)
{
    Token t = p->tok;
    int r;
    if (t.type == TOK_ADD || t.type == TOK_SUB) {
        r = parser_advance(p);
        if (r >= 0)
            r = parse_duration(p, PREC_MUL + 1, ret);
        return r < 0 ? r : negate(p, &t, ret);
    }
    if (t.type >= TOK_STEP && t.type <= TOK_MIN_OF)
        return parse_duration_call(p, ret);
    if (t.type == TOK_LEFT_PAREN)
        return parse_duration_paren(p, ret);
    if (t.type != TOK_NUMBER && t.type != TOK_DURATION)
        return parser_unexpected(p, p->where, p->expected);
    r = parser_number(p, ret);
    if (r >= 0 && out_of_range((*ret)->number))
        return parse_error(p->err, p->text, t.pos, "duration out of range");
    return r;
}

static unsigned duration_precedence(Tok t)
{
    switch (t) {
    case TOK_ADD:
    case TOK_SUB:
        return PREC_ADD;
    case TOK_MUL:
    case TOK_DIV:
    case TOK_MOD:
        return PREC_MUL;
    case TOK_POW:
        return PREC_POW;
    default:
        return 0;
    }
}

static int parse_duration_rest(Parser *p, unsigned min_precedence, Node **n)
{
    for (;;) {
        Token op = p->tok;
        unsigned prec = duration_precedence(op.type);
        if (!prec || prec < min_precedence)
            return 0;
        Node *b = parser_node(p, NODE_DURATION, (*n)->start, 0);
        if (!b)
            return -ERR_NOMEM;
        b->op = op.type;
        b->lhs = *n;
        int r = parser_advance(p);
        if (r >= 0)
            r = parse_duration(p, prec == PREC_POW ? prec : prec + 1, &b->rhs);
        if (r >= 0)
            r = experimental(p, b->lhs);
        if (r < 0)
            return r;
        b->end = b->rhs->end;
        if ((op.type == TOK_DIV || op.type == TOK_MOD) && b->rhs->type == NODE_NUMBER &&
            b->rhs->number == 0)
            return parse_error(p->err, p->text, op.pos,
                               op.type == TOK_DIV ? "division by zero" : "modulo by zero");
        *n = b;
        r = parser_deepen(p, b);
        if (r < 0)
            return r;
    }
}

static int parse_duration(Parser *p, unsigned min_precedence, Node **ret)
{
    int r = parser_enter(p);
    if (r >= 0)
        r = parse_duration_primary(p, ret);
    if (r >= 0)
        r = parse_duration_rest(p, min_precedence, ret);
    p->depth--;
    return r;
}

static bool starts_duration(Tok t)
{
    return t == TOK_NUMBER || t == TOK_DURATION || t == TOK_LEFT_PAREN || t == TOK_ADD ||
           t == TOK_SUB || (t >= TOK_STEP && t <= TOK_MIN_OF);
}

/* Behind `offset` only one operand belongs to it, unless that stands in parentheses: in
 * `x offset 5m + 3` the sum is of the selector. */
static int parse_offset_value(Parser *p, Node **ret)
{
    Token t = p->tok;
    int r = 0;
    if (!starts_duration(t.type))
        return parser_unexpected(p, p->where, p->expected);
    if (t.type == TOK_LEFT_PAREN)
        return parse_duration(p, 0, ret);
    if (t.type == TOK_ADD || t.type == TOK_SUB) {
        r = parser_advance(p);
        if (r >= 0 &&
            (!starts_duration(p->tok.type) || p->tok.type == TOK_ADD || p->tok.type == TOK_SUB))
            return parser_unexpected(p, p->where, p->expected);
        if (r >= 0)
            r = parse_duration_primary(p, ret);
        return r < 0 ? r : negate(p, &t, ret);
    }
    return parse_duration_primary(p, ret);
}

int parse_offset(Parser *p, Node *of)
{
    Node *d = NULL;
    int r = parser_advance(p);
    p->where = "offset";
    p->expected = "number, duration, step(), or range()";
    if (r >= 0)
        r = parse_offset_value(p, &d);
    if (r < 0)
        return r;
    if (of->type != NODE_VECTOR && of->type != NODE_MATRIX && of->type != NODE_SUBQUERY)
        return parse_error(p->err, p->text, of->start,
                           "offset modifier must be preceded by an instant vector selector or "
                           "range vector selector or a subquery");
    if (of->mod.offset || of->mod.offset_expr)
        return parse_error(p->err, p->text, of->start, "offset may not be set multiple times");
    if (d->type == NODE_NUMBER)
        of->mod.offset = to_ms(d->number);
    else
        of->mod.offset_expr = d;
    of->end = p->last_end;
    return 0;
}

static int positive_duration(Parser *p, Node **ret)
{
    int r = parse_duration(p, 0, ret);
    if (r >= 0 && (*ret)->type == NODE_NUMBER && (*ret)->number <= 0)
        return parse_error(p->err, p->text, (*ret)->start, "duration must be greater than 0");
    return r;
}

static void set_duration(Node *d, int64_t *ms, Node **expr)
{
    if (d->type == NODE_NUMBER)
        *ms = to_ms(d->number);
    else
        *expr = d;
}

static int range_of(Parser *p, Node *of, unsigned bracket, Node **ret)
{
    const char *why = NULL;
    if (of->type != NODE_VECTOR)
        why = "ranges only allowed for vector selectors";
    else if (of->mod.offset || of->mod.offset_expr)
        why = "no offset modifiers allowed before range";
    else if (of->mod.has_at || of->mod.at_function)
        why = "no @ modifiers allowed before range";
    if (why)
        return parse_error(p->err, p->text, bracket, "%s", why);
    of->type = NODE_MATRIX;
    of->end = p->last_end;
    *ret = of;
    return 0;
}

static int subquery_step(Parser *p, Node *s)
{
    Node *step = NULL;
    int r = parser_advance(p);
    p->where = "subquery selector";
    p->expected = "number, duration, step(), range(), or \"]\"";
    if (r < 0 || p->tok.type == TOK_RIGHT_BRACKET)
        return r;
    if (!starts_duration(p->tok.type))
        return parser_unexpected(p, p->where, p->expected);
    r = positive_duration(p, &step);
    if (r < 0)
        return r;
    set_duration(step, &s->mod.step, &s->mod.step_expr);
    return p->tok.type == TOK_RIGHT_BRACKET ? 0
                                            : parser_unexpected(p, "subquery selector", "\"]\"");
}

int parse_brackets(Parser *p, Node *of, Node **ret)
{
    unsigned bracket = p->tok.pos;
    Node *d = NULL;
    int r = parser_advance(p);
    p->where = "subquery or range selector";
    p->expected = "number, duration, step(), or range()";
    if (r >= 0 && !starts_duration(p->tok.type))
        r = parser_unexpected(p, p->where, p->expected);
    if (r >= 0)
        r = positive_duration(p, &d);
    if (r < 0)
        return r;
    if (p->tok.type == TOK_RIGHT_BRACKET) {
        r = parser_advance(p);
        if (r >= 0)
            r = range_of(p, of, bracket, ret);
        if (r >= 0)
            set_duration(d, &of->mod.range, &of->mod.range_expr);
        return r;
    }
    if (p->tok.type != TOK_COLON)
        return parser_unexpected(p, "subquery or range", "\":\" or \"]\"");
    Node *s = parser_node(p, NODE_SUBQUERY, of->start, 0);
    if (!s)
        return -ERR_NOMEM;
    s->expr = of;
    set_duration(d, &s->mod.range, &s->mod.range_expr);
    r = parser_deepen(p, s);
    if (r >= 0)
        r = subquery_step(p, s);
    if (r >= 0)
        r = parser_advance(p);
    s->end = p->last_end;
    *ret = s;
    return r;
}
