/* parse.c - entry of the parser, and its small tools. Recursive descent; operators by precedence
 * climbing in parse_expr.c. The first error ends the parse. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "monitor/model/duration.h"
#include "monitor/promql/parse_internal.h"

enum { MESSAGE_SIZE = 460 };

void position_format(StrView text, unsigned pos, Buf *out)
{
    unsigned line = 1, start = 0;
    for (unsigned i = 0; i < pos && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    buf_printf(out, "%u:%u", line, pos - start + 1);
}

int parse_error(Err *err, StrView text, unsigned pos, const char *fmt, ...)
{
    char what[MESSAGE_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    _cleanup_buf_ Buf at = BUF_INIT;
    if (text.len)
        position_format(text, pos, &at);
    else
        buf_sv(&at, SV("unknown position"));
    return err_set(err, ERR_INVALID, 0, "%.*s: parse error: %s", SV_FMT(buf_view(&at)), what);
}

int parser_advance(Parser *p)
{
    if (p->tok.type == TOK_RIGHT_BRACE || p->tok.type == TOK_RIGHT_PAREN ||
        p->tok.type == TOK_RIGHT_BRACKET || p->tok.type == TOK_DURATION ||
        p->tok.type == TOK_NUMBER)
        p->last_end = p->tok.pos + (unsigned)p->tok.text.len;
    lexer_next(&p->lex, &p->tok);
    if (p->tok.type == TOK_ERROR)
        return parse_error(p->err, p->text, p->tok.pos, "%.*s", SV_FMT(p->tok.text));
    return 0;
}

int parser_unexpected(Parser *p, const char *where, const char *expected)
{
    _cleanup_buf_ Buf what = BUF_INIT;
    token_describe(&p->tok, &what);
    if (where)
        buf_printf(&what, " in %s", where);
    if (expected)
        buf_printf(&what, ", expected %s", expected);
    return parse_error(p->err, p->text, p->tok.pos, "unexpected %.*s", SV_FMT(buf_view(&what)));
}

int parser_expect(Parser *p, Tok type, const char *where, const char *expected)
{
    return p->tok.type == type ? parser_advance(p) : parser_unexpected(p, where, expected);
}

Node *parser_node(Parser *p, NodeType type, unsigned start, unsigned end)
{
    Node *n = arena_new(p->arena, Node);
    if (!n) {
        err_nomem(p->err);
        return NULL;
    }
    n->type = type;
    n->start = start;
    n->end = end;
    return n;
}

int parser_enter(Parser *p)
{
    if (++p->depth > PROMQL_DEPTH_MAX)
        return parse_error(p->err, p->text, p->tok.pos,
                           "expression is nested deeper than %d levels", PROMQL_DEPTH_MAX);
    return 0;
}

int parser_deepen(Parser *p, Node *n)
{
    Node **child;
    for (unsigned i = 0; (child = node_child(n, i)); i++)
        n->depth = MAX(n->depth, (*child)->depth + 1);
    if (n->type == NODE_DURATION)
        n->depth = 1 + MAX(n->lhs ? n->lhs->depth : 0, n->rhs ? n->rhs->depth : 0);
    if (n->depth > PROMQL_TREE_DEPTH_MAX)
        return parse_error(p->err, p->text, p->tok.pos,
                           "expression has more than %d operators in a chain",
                           PROMQL_TREE_DEPTH_MAX);
    return 0;
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Behind a backslash; the lexer has checked that digits are there. False: no such character. */
static bool unescape(StrView *rest, char *out, size_t *len)
{
    static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
    char c = rest->ptr[0];
    const char *simple = strchr(from, c);
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 3 : 0;
    if (!digits) {
        out[(*len)++] = simple ? to[simple - from] : c;
        *rest = sv_skip(*rest, 1);
        return true;
    }
    bool octal = digits == 3;
    uint32_t v = 0;
    *rest = sv_skip(*rest, octal ? 0 : 1);
    for (size_t i = 0; i < digits && i < rest->len; i++) {
        char d = rest->ptr[i];
        v = v * (octal ? 8 : 16) + (uint32_t)(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
    }
    *rest = sv_skip(*rest, digits);
    if (digits <= 3) { /* a byte */
        out[(*len)++] = (char)v;
        return v <= 0xff;
    }
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return false;
    *len += put_utf8(v, out + *len);
    return true;
}

int text_unquote(StrView quoted, Arena *a, StrView *ret)
{
    StrView s = sv_n(quoted.ptr + 1, quoted.len - 2);
    if (quoted.ptr[0] == '`' || sv_find_char(s, '\\') < 0) {
        *ret = arena_sv(a, s);
        return ret->ptr ? 0 : -ENOMEM;
    }
    char *out = arena_alloc(a, s.len + 4);
    size_t len = 0;
    if (!out)
        return -ENOMEM;
    while (s.len) {
        char c = s.ptr[0];
        s = sv_skip(s, 1);
        if (c != '\\')
            out[len++] = c;
        else if (!s.len || !unescape(&s, out, &len))
            return -EINVAL;
    }
    *ret = sv_n(out, len);
    return 0;
}

int parser_unquote(Parser *p, const Token *t, StrView *ret)
{
    int r = text_unquote(t->text, p->arena, ret);
    if (r == -ENOMEM)
        return err_nomem(p->err);
    if (r < 0)
        return parse_error(p->err, p->text, t->pos,
                           "escape sequence is an invalid Unicode code point");
    return 0;
}

/* Go's literals: 0x1F, 0b101, 0o17 and 017 are whole numbers, underscores separate digits. */
static int number_value(StrView s, double *ret)
{
    char text[512];
    size_t n = 0;
    if (s.len >= sizeof text)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '_')
            text[n++] = s.ptr[i];
    text[n] = 0;
    if (n == 3 && (text[0] | 0x20) == 'n') {
        *ret = NAN;
        return 0;
    }
    bool octal = n > 1 && text[0] == '0' && strspn(text, "01234567") == n;
    char *end;
    errno = 0;
    *ret = octal ? (double)strtoll(text, &end, 8) : strtod(text, &end);
    if (*end)
        return -EINVAL;
    return errno == ERANGE && isinf(*ret) ? -ERANGE : 0;
}

int text_number(StrView s, double *ret)
{
    return number_value(s, ret);
}

int parser_number(Parser *p, Node **ret)
{
    Token t = p->tok;
    Node *n = parser_node(p, NODE_NUMBER, t.pos, t.pos + (unsigned)t.text.len);
    if (!n)
        return -ERR_NOMEM;
    if (t.type == TOK_DURATION) {
        int64_t ms = 0;
        _cleanup_buf_ Buf why = BUF_INIT;
        if (prom_duration_parse(t.text, &ms) < 0) {
            prom_duration_explain(t.text, &why);
            return parse_error(p->err, p->text, t.pos, "%.*s", SV_FMT(buf_view(&why)));
        }
        n->number = (double)ms / 1000;
        n->is_duration = true;
    } else {
        int r = number_value(t.text, &n->number);
        if (r < 0)
            return parse_error(p->err, p->text, t.pos,
                               "error parsing number: strconv.ParseFloat: parsing \"%.*s\": %s",
                               SV_FMT(t.text),
                               r == -ERANGE ? "value out of range" : "invalid syntax");
    }
    *ret = n;
    return parser_advance(p);
}

static int parse_start(Parser *p, StrView text, unsigned features, Arena *a, Err *err)
{
    *p = (Parser){ .text = text, .arena = a, .features = features, .err = err };
    if (text.len > PROMQL_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "expression is longer than %d bytes", PROMQL_TEXT_MAX);
    lexer_init(&p->lex, text);
    return parser_advance(p);
}

static int parse_end(Parser *p, Node *root, PromqlExpr **ret)
{
    PromqlExpr *e = arena_new(p->arena, PromqlExpr);
    if (!e)
        return err_nomem(p->err);
    *e = (PromqlExpr){ root, p->arena, p->text, p->features, p->owned };
    *ret = e;
    p->owned = NULL;
    return 0;
}

static void owned_free(OwnedMatchers *o)
{
    for (; o; o = o->next)
        for (unsigned i = 0; i < o->n; i++)
            matcher_free(&o->matchers[i]);
}

static int parse_all(Parser *p, StrView text, unsigned features, Arena *a, Node **ret, Err *err)
{
    StrView own = arena_sv(a, text);
    if (!own.ptr)
        return err_nomem(err);
    int r = parse_start(p, own, features, a, err);
    if (r < 0)
        return r;
    if (p->tok.type == TOK_EOF)
        return err_set(err, ERR_INVALID, 0, "%s: parse error: no expression found in input",
                       text.len ? "1:1" : "unknown position");
    r = parse_expression(p, 0, ret);
    if (r < 0)
        return r;
    if (p->tok.type != TOK_EOF)
        return parser_unexpected(p, NULL, NULL);
    return promql_check(*ret, own, err);
}

int promql_parse(StrView text, unsigned features, Arena *a, PromqlExpr **ret, Err *err)
{
    Parser p;
    Node *root = NULL;
    p.owned = NULL;
    int r = parse_all(&p, text, features, a, &root, err);
    if (r >= 0)
        r = parse_end(&p, root, ret);
    if (r < 0)
        owned_free(p.owned);
    return r;
}

int promql_parse_selector(StrView text, Arena *a, PromqlExpr **ret, const Matcher **ret_ms,
                          unsigned *ret_n, Err *err)
{
    int r = promql_parse(text, 0, a, ret, err);
    if (r < 0)
        return r;
    Node *n = (*ret)->root;
    if (n->type != NODE_VECTOR || n->mod.offset || n->mod.offset_expr || n->mod.has_at ||
        n->mod.at_function) {
        *ret = promql_expr_free(*ret);
        return parse_error(err, text, 0, "expected a series selector");
    }
    *ret_ms = n->sel.matchers;
    *ret_n = n->sel.n_matchers;
    return 0;
}

PromqlExpr *promql_expr_free(PromqlExpr *e)
{
    if (e)
        owned_free(e->owned);
    return NULL;
}

PromqlType promql_expr_type(const PromqlExpr *e)
{
    return node_type(e->root);
}
