/* parse_expr.c - operators, aggregations, calls, parentheses.
 *
 * From loose to tight: or; and, unless; comparisons; + -; * / % atan2 and signs; ^ (to the right);
 * offset, @, [ ] and the other modifiers of selectors. */
#include "monitor/promql/function.h"
#include "monitor/promql/parse_internal.h"

#define AT_MS_MAX 4e18

enum { PREC_OR = 1, PREC_AND, PREC_COMPARE, PREC_ADD, PREC_MUL, PREC_POW };

static unsigned precedence(Tok t)
{
    switch (t) {
    case TOK_LOR:
        return PREC_OR;
    case TOK_LAND:
    case TOK_LUNLESS:
        return PREC_AND;
    case TOK_EQLC:
    case TOK_NEQ:
    case TOK_LTE:
    case TOK_LSS:
    case TOK_GTE:
    case TOK_GTR:
    case TOK_TRIM_UPPER:
    case TOK_TRIM_LOWER:
        return PREC_COMPARE;
    case TOK_ADD:
    case TOK_SUB:
        return PREC_ADD;
    case TOK_MUL:
    case TOK_DIV:
    case TOK_MOD:
    case TOK_ATAN2:
        return PREC_MUL;
    case TOK_POW:
        return PREC_POW;
    default:
        return 0;
    }
}

static int parse_group_label(Parser *p, StrView *ret)
{
    Token t = p->tok;
    int r = 0;
    if (t.type == TOK_STRING)
        r = parser_unquote(p, &t, ret);
    else if (tok_is_label_name(t.type))
        *ret = t.text;
    else
        return parser_unexpected(p, "grouping opts", "label");
    if (r < 0)
        return r;
    if (!ret->len || !sv_is_utf8(*ret))
        return parse_error(p->err, p->text, t.pos, "invalid label name for grouping: \"%.*s\"",
                           SV_FMT(*ret));
    return parser_advance(p);
}

int parse_labels(Parser *p, StrView **ret, unsigned *ret_n)
{
    unsigned n = 0, cap = 0;
    StrView *all = NULL;
    int r = parser_expect(p, TOK_LEFT_PAREN, "grouping opts", "\"(\"");
    while (r >= 0 && p->tok.type != TOK_RIGHT_PAREN) {
        if (n == cap) {
            all = arena_realloc(p->arena, all, cap * sizeof *all, (cap + 8) * sizeof *all);
            if (!all)
                return err_nomem(p->err);
            cap += 8;
        }
        r = parse_group_label(p, &all[n]);
        if (r < 0)
            break;
        n++;
        if (p->tok.type == TOK_COMMA)
            r = parser_advance(p);
        else if (p->tok.type != TOK_RIGHT_PAREN)
            r = parser_unexpected(p, "grouping opts", "\",\" or \")\"");
    }
    if (r < 0)
        return r;
    *ret = all;
    *ret_n = n;
    return parser_advance(p);
}

static int parse_fill(Parser *p, bool *has, double *ret)
{
    Node *n = NULL;
    int r = parser_advance(p);
    if (r >= 0)
        r = parser_expect(p, TOK_LEFT_PAREN, NULL, NULL);
    bool negative = p->tok.type == TOK_SUB;
    if (r >= 0 && (negative || p->tok.type == TOK_ADD))
        r = parser_advance(p);
    if (r >= 0 && p->tok.type != TOK_NUMBER && p->tok.type != TOK_DURATION)
        r = parser_unexpected(p, NULL, NULL);
    if (r >= 0)
        r = parser_number(p, &n);
    if (r < 0)
        return r;
    *has = true;
    *ret = negative ? -n->number : n->number;
    return parser_expect(p, TOK_RIGHT_PAREN, NULL, NULL);
}

static int parse_fills(Parser *p, Matching *m)
{
    int r = 0;
    if (p->tok.type == TOK_FILL) {
        r = parse_fill(p, &m->has_fill_left, &m->fill_left);
        m->has_fill_right = true;
        m->fill_right = m->fill_left;
        return r;
    }
    while (r >= 0 && ((p->tok.type == TOK_FILL_LEFT && !m->has_fill_left) ||
                      (p->tok.type == TOK_FILL_RIGHT && !m->has_fill_right))) {
        if (p->tok.type == TOK_FILL_LEFT)
            r = parse_fill(p, &m->has_fill_left, &m->fill_left);
        else
            r = parse_fill(p, &m->has_fill_right, &m->fill_right);
    }
    return r;
}

/* bool, on/ignoring, group_left/group_right, fill: what may stand behind an operator. */
static int parse_matching(Parser *p, Node *b)
{
    Matching *m = &b->matching;
    int r = 0;
    if (p->tok.type == TOK_BOOL) {
        b->return_bool = true;
        r = parser_advance(p);
    }
    if (r >= 0 && (p->tok.type == TOK_ON || p->tok.type == TOK_IGNORING)) {
        m->on = p->tok.type == TOK_ON;
        r = parser_advance(p);
        if (r >= 0)
            r = parse_labels(p, &m->labels, &m->n_labels);
        if (r >= 0 && (p->tok.type == TOK_GROUP_LEFT || p->tok.type == TOK_GROUP_RIGHT)) {
            m->card = p->tok.type == TOK_GROUP_LEFT ? CARD_MANY_TO_ONE : CARD_ONE_TO_MANY;
            r = parser_advance(p);
            if (r >= 0 && p->tok.type == TOK_LEFT_PAREN)
                r = parse_labels(p, &m->include, &m->n_include);
        }
    }
    return r < 0 ? r : parse_fills(p, m);
}

static int parse_binary(Parser *p, Node *lhs, Node **ret)
{
    Node *b = parser_node(p, NODE_BINARY, lhs->start, 0);
    if (!b)
        return -ERR_NOMEM;
    unsigned prec = precedence(p->tok.type);
    b->op = p->tok.type;
    b->op_pos = p->tok.pos;
    b->lhs = lhs;
    int r = parser_advance(p);
    if (r >= 0)
        r = parse_matching(p, b);
    if (r >= 0)
        r = parse_expression(p, prec == PREC_POW ? prec : prec + 1, &b->rhs);
    if (r < 0)
        return r;
    b->end = b->rhs->end;
    if ((b->matching.has_fill_left || b->matching.has_fill_right) &&
        !(p->features & PROMQL_BINOP_FILL_MODIFIERS))
        return parse_error(p->err, p->text, b->start,
                           "binop fill modifiers are experimental and not enabled");
    *ret = b;
    return 0;
}

/* `(a, b)`; *ret_end is the place behind the parenthesis. */
static int parse_args(Parser *p, Node ***ret, unsigned *ret_n)
{
    unsigned n = 0, cap = 0;
    Node **args = NULL;
    int r = parser_advance(p);
    while (r >= 0 && p->tok.type != TOK_RIGHT_PAREN) {
        if (n == cap) {
            args = arena_realloc(p->arena, args, cap * sizeof *args, (cap + 4) * sizeof *args);
            if (!args)
                return err_nomem(p->err);
            cap += 4;
        }
        r = parse_expression(p, 0, &args[n]);
        if (r < 0)
            break;
        n++;
        if (p->tok.type != TOK_COMMA) {
            if (p->tok.type != TOK_RIGHT_PAREN)
                r = parser_unexpected(p, NULL, NULL);
            continue;
        }
        unsigned comma = p->tok.pos;
        r = parser_advance(p);
        if (r >= 0 && p->tok.type == TOK_RIGHT_PAREN)
            r = parse_error(p->err, p->text, comma,
                            "trailing commas not allowed in function call args");
    }
    if (r < 0)
        return r;
    *ret = args;
    *ret_n = n;
    return parser_advance(p);
}

static int parse_call(Parser *p, const Token *name, Node **ret)
{
    Node *c = parser_node(p, NODE_CALL, name->pos, 0);
    if (!c)
        return -ERR_NOMEM;
    int r = parse_args(p, &c->args, &c->n_args);
    if (r < 0)
        return r;
    c->end = p->last_end;
    c->fn = function_find(name->text);
    if (!c->fn)
        return parse_error(p->err, p->text, name->pos, "unknown function with name \"%.*s\"",
                           SV_FMT(name->text));
    if (c->fn->experimental && !(p->features & PROMQL_EXPERIMENTAL_FUNCTIONS))
        return parse_error(p->err, p->text, name->pos, "function \"%.*s\" is not enabled",
                           SV_FMT(name->text));
    *ret = c;
    return 0;
}

static int parse_grouping(Parser *p, Node *a)
{
    a->without = p->tok.type == TOK_WITHOUT;
    a->has_grouping = true;
    int r = parser_advance(p);
    return r < 0 ? r : parse_labels(p, &a->grouping, &a->n_grouping);
}

static int aggregate_args(Parser *p, Node *a, Node **args, unsigned n)
{
    unsigned want = tok_takes_param(a->op) ? 2 : 1;
    if (!n)
        return parse_error(p->err, p->text, a->start,
                           "no arguments for aggregate expression provided");
    if ((a->op == TOK_LIMITK || a->op == TOK_LIMIT_RATIO) &&
        !(p->features & PROMQL_EXPERIMENTAL_FUNCTIONS))
        return parse_error(p->err, p->text, a->start,
                           "%.*s() is experimental and must be enabled with "
                           "--enable-feature=promql-experimental-functions",
                           SV_FMT(tok_text(a->op)));
    if (n != want)
        return parse_error(p->err, p->text, a->start,
                           "wrong number of arguments for aggregate expression provided, expected "
                           "%u, got %u",
                           want, n);
    a->param = want == 2 ? args[0] : NULL;
    a->expr = args[want - 1];
    return 0;
}

static int parse_aggregate(Parser *p, const Token *op, Node **ret)
{
    Node *a = parser_node(p, NODE_AGGREGATE, op->pos, 0), **args = NULL;
    unsigned n = 0;
    int r = 0;
    if (!a)
        return -ERR_NOMEM;
    a->op = op->type;
    if (p->tok.type != TOK_LEFT_PAREN)
        r = parse_grouping(p, a);
    if (r >= 0 && p->tok.type != TOK_LEFT_PAREN)
        r = parser_unexpected(p, "aggregation", NULL);
    if (r >= 0)
        r = parse_args(p, &args, &n);
    if (r >= 0 && !a->has_grouping && (p->tok.type == TOK_BY || p->tok.type == TOK_WITHOUT))
        r = parse_grouping(p, a);
    if (r < 0)
        return r;
    a->end = p->last_end;
    *ret = a;
    return aggregate_args(p, a, args, n);
}

/* Words: a call, an aggregation, or a metric's name. */
static int parse_word(Parser *p, Node **ret)
{
    Token t = p->tok;
    int r = parser_advance(p);
    if (r < 0)
        return r;
    Tok next = p->tok.type;
    if (tok_is_aggregator(t.type)) {
        if (next == TOK_LEFT_PAREN || next == TOK_BY || next == TOK_WITHOUT)
            return parse_aggregate(p, &t, ret);
    } else if (next == TOK_LEFT_PAREN && (t.type == TOK_IDENTIFIER || t.type >= TOK_START)) {
        return parse_call(p, &t, ret);
    }
    return parse_selector(p, &t, ret);
}

static int parse_paren(Parser *p, Node **ret)
{
    Node *n = parser_node(p, NODE_PAREN, p->tok.pos, 0);
    if (!n)
        return -ERR_NOMEM;
    int r = parser_advance(p);
    if (r >= 0)
        r = parse_expression(p, 0, &n->expr);
    if (r >= 0 && p->tok.type != TOK_RIGHT_PAREN)
        r = parser_unexpected(p, NULL, NULL);
    if (r >= 0)
        r = parser_advance(p);
    n->end = p->last_end;
    *ret = n;
    return r;
}

static int parse_unary(Parser *p, Node **ret)
{
    Token op = p->tok;
    Node *inner = NULL;
    int r = parser_advance(p);
    if (r >= 0)
        r = parse_expression(p, PREC_MUL + 1, &inner);
    if (r < 0)
        return r;
    if (inner->type == NODE_NUMBER) {
        if (op.type == TOK_SUB)
            inner->number = -inner->number;
        inner->start = op.pos;
        *ret = inner;
        return 0;
    }
    Node *n = parser_node(p, NODE_UNARY, op.pos, inner->end);
    if (!n)
        return -ERR_NOMEM;
    n->op = op.type;
    n->expr = inner;
    *ret = n;
    return 0;
}

static int parse_primary(Parser *p, Node **ret)
{
    Token t = p->tok;
    if (t.type == TOK_ADD || t.type == TOK_SUB)
        return parse_unary(p, ret);
    if (t.type == TOK_LEFT_PAREN)
        return parse_paren(p, ret);
    if (t.type == TOK_NUMBER || t.type == TOK_DURATION)
        return parser_number(p, ret);
    if (t.type == TOK_LEFT_BRACE)
        return parse_selector(p, NULL, ret);
    if (tok_is_metric_name(t.type))
        return parse_word(p, ret);
    if (t.type != TOK_STRING)
        return parser_unexpected(p, NULL, NULL);
    Node *n = parser_node(p, NODE_STRING, t.pos, t.pos + (unsigned)t.text.len);
    if (!n)
        return -ERR_NOMEM;
    int r = parser_unquote(p, &t, &n->string);
    *ret = n;
    return r < 0 ? r : parser_advance(p);
}

static Modifiers *modifiers(Node *n)
{
    return n->type == NODE_VECTOR || n->type == NODE_MATRIX || n->type == NODE_SUBQUERY ? &n->mod
                                                                                        : NULL;
}

static int parse_at(Parser *p, Node *of)
{
    Modifiers *m = modifiers(of);
    int r = parser_advance(p);
    bool negative = p->tok.type == TOK_SUB;
    Node *n = NULL;
    Tok fn = p->tok.type;
    if (r < 0)
        return r;
    if (fn == TOK_START || fn == TOK_END) {
        r = parser_advance(p);
        if (r >= 0)
            r = parser_expect(p, TOK_LEFT_PAREN, NULL, NULL);
        if (r >= 0)
            r = parser_expect(p, TOK_RIGHT_PAREN, NULL, NULL);
    } else {
        if (negative || p->tok.type == TOK_ADD)
            r = parser_advance(p);
        if (r >= 0 && p->tok.type != TOK_NUMBER && p->tok.type != TOK_DURATION)
            r = parser_unexpected(p, "@", "timestamp");
        if (r >= 0)
            r = parser_number(p, &n);
    }
    if (r < 0)
        return r;
    double at = n ? (negative ? -n->number : n->number) : 0;
    if (!isfinite(at))
        return parse_error(p->err, p->text, of->start, "timestamp out of bounds for @ modifier: %s",
                           isnan(at) ? "NaN"
                           : at > 0  ? "+Inf"
                                     : "-Inf");
    if (!(fabs(at) < 0x1p63))
        return parse_error(p->err, p->text, of->start, "timestamp out of bounds for @ modifier: %f",
                           at);
    if (!m)
        return parse_error(p->err, p->text, of->start,
                           "@ modifier must be preceded by an instant vector selector or range "
                           "vector selector or a subquery");
    if (m->has_at || m->at_function)
        return parse_error(p->err, p->text, of->start,
                           "@ <timestamp> may not be set multiple times");
    m->has_at = n != NULL;
    /* Far enough out to be no time at all, near enough to add offsets to. */
    m->at = (int64_t)fmax(-AT_MS_MAX, fmin(AT_MS_MAX, round(at * 1000)));
    m->at_function = n ? 0 : fn;
    of->end = p->last_end;
    return 0;
}

static int parse_extended(Parser *p, Node *of)
{
    bool anchored = p->tok.type == TOK_ANCHORED;
    const char *word = anchored ? "anchored" : "smoothed";
    Modifiers *m = modifiers(of);
    if (!(p->features & PROMQL_EXTENDED_RANGE_SELECTORS))
        return parse_error(p->err, p->text, of->start,
                           "%s modifier is experimental and not enabled", word);
    if (!m || of->type == NODE_SUBQUERY)
        return parse_error(p->err, p->text, of->start,
                           m ? "%s modifier is not supported for subqueries"
                             : "%s modifier not implemented",
                           word);
    if (anchored)
        m->anchored = true;
    else
        m->smoothed = true;
    if (m->anchored && m->smoothed)
        return parse_error(p->err, p->text, of->start,
                           "anchored and smoothed modifiers cannot be used together");
    return parser_advance(p);
}

/* Everything that binds tighter than any operator. */
static int parse_postfix(Parser *p, Node **n)
{
    int r = 0;
    while (r >= 0) {
        switch (p->tok.type) {
        case TOK_OFFSET:
            r = parse_offset(p, *n);
            break;
        case TOK_AT:
            r = parse_at(p, *n);
            break;
        case TOK_ANCHORED:
        case TOK_SMOOTHED:
            r = parse_extended(p, *n);
            break;
        case TOK_LEFT_BRACKET:
            r = parse_brackets(p, *n, n);
            break;
        default:
            return 0;
        }
    }
    return r;
}

int parse_expression(Parser *p, unsigned min_precedence, Node **ret)
{
    Node *n = NULL;
    int r = parser_enter(p);
    if (r >= 0)
        r = parse_primary(p, &n);
    if (r >= 0 && n->type != NODE_UNARY)
        r = parse_postfix(p, &n);
    if (r >= 0)
        r = parser_deepen(p, n);
    while (r >= 0) {
        unsigned prec = precedence(p->tok.type);
        if (!prec || prec < min_precedence)
            break;
        r = parse_binary(p, n, &n);
        if (r >= 0)
            r = parser_deepen(p, n);
        if (r >= 0 && n->matching.n_labels + 1 > LABELS_MAX)
            r = parse_error(p->err, p->text, n->start, "more than %d matching labels", LABELS_MAX);
    }
    p->depth--;
    if (r >= 0)
        *ret = n;
    return r;
}
