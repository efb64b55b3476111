/* lex.c - PromQL's text into tokens.
 *
 * Three ways of reading: expressions, the inside of braces (no keywords there) and the inside of
 * brackets (durations and their arithmetic). Numbers follow Prometheus' own scanner, oddities
 * included: 1_000, 0x1F, 1e5, .5; "5m" is a duration, "5mm" an error. */
#include "monitor/promql/lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "monitor/model/labels.h"

static const struct {
    StrView word;
    Tok tok;
} keywords[] = {
    { SV_INIT("and"), TOK_LAND },
    { SV_INIT("or"), TOK_LOR },
    { SV_INIT("unless"), TOK_LUNLESS },
    { SV_INIT("atan2"), TOK_ATAN2 },
    { SV_INIT("sum"), TOK_SUM },
    { SV_INIT("avg"), TOK_AVG },
    { SV_INIT("count"), TOK_COUNT },
    { SV_INIT("min"), TOK_MIN },
    { SV_INIT("max"), TOK_MAX },
    { SV_INIT("group"), TOK_GROUP },
    { SV_INIT("stddev"), TOK_STDDEV },
    { SV_INIT("stdvar"), TOK_STDVAR },
    { SV_INIT("topk"), TOK_TOPK },
    { SV_INIT("bottomk"), TOK_BOTTOMK },
    { SV_INIT("count_values"), TOK_COUNT_VALUES },
    { SV_INIT("quantile"), TOK_QUANTILE },
    { SV_INIT("limitk"), TOK_LIMITK },
    { SV_INIT("limit_ratio"), TOK_LIMIT_RATIO },
    { SV_INIT("offset"), TOK_OFFSET },
    { SV_INIT("smoothed"), TOK_SMOOTHED },
    { SV_INIT("anchored"), TOK_ANCHORED },
    { SV_INIT("by"), TOK_BY },
    { SV_INIT("without"), TOK_WITHOUT },
    { SV_INIT("on"), TOK_ON },
    { SV_INIT("ignoring"), TOK_IGNORING },
    { SV_INIT("group_left"), TOK_GROUP_LEFT },
    { SV_INIT("group_right"), TOK_GROUP_RIGHT },
    { SV_INIT("fill"), TOK_FILL },
    { SV_INIT("fill_left"), TOK_FILL_LEFT },
    { SV_INIT("fill_right"), TOK_FILL_RIGHT },
    { SV_INIT("bool"), TOK_BOOL },
    { SV_INIT("start"), TOK_START },
    { SV_INIT("end"), TOK_END },
    { SV_INIT("step"), TOK_STEP },
    { SV_INIT("range"), TOK_RANGE },
    { SV_INIT("max_of"), TOK_MAX_OF },
    { SV_INIT("min_of"), TOK_MIN_OF },
    { SV_INIT("inf"), TOK_NUMBER },
    { SV_INIT("nan"), TOK_NUMBER },
};

static const struct {
    Tok tok;
    StrView text;
} symbols[] = {
    { TOK_LEFT_PAREN, SV_INIT("(") },   { TOK_RIGHT_PAREN, SV_INIT(")") },
    { TOK_LEFT_BRACE, SV_INIT("{") },   { TOK_RIGHT_BRACE, SV_INIT("}") },
    { TOK_LEFT_BRACKET, SV_INIT("[") }, { TOK_RIGHT_BRACKET, SV_INIT("]") },
    { TOK_COMMA, SV_INIT(",") },        { TOK_EQL, SV_INIT("=") },
    { TOK_COLON, SV_INIT(":") },        { TOK_SUB, SV_INIT("-") },
    { TOK_ADD, SV_INIT("+") },          { TOK_MUL, SV_INIT("*") },
    { TOK_MOD, SV_INIT("%") },          { TOK_DIV, SV_INIT("/") },
    { TOK_EQLC, SV_INIT("==") },        { TOK_NEQ, SV_INIT("!=") },
    { TOK_LTE, SV_INIT("<=") },         { TOK_LSS, SV_INIT("<") },
    { TOK_GTE, SV_INIT(">=") },         { TOK_GTR, SV_INIT(">") },
    { TOK_TRIM_UPPER, SV_INIT("</") },  { TOK_TRIM_LOWER, SV_INIT(">/") },
    { TOK_EQL_REGEX, SV_INIT("=~") },   { TOK_NEQ_REGEX, SV_INIT("!~") },
    { TOK_POW, SV_INIT("^") },          { TOK_AT, SV_INIT("@") },
};

bool tok_keyword(StrView word, Tok *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
        if (sv_eq_nocase(keywords[i].word, word)) {
            *ret = keywords[i].tok;
            return true;
        }
    }
    return false;
}

StrView tok_text(Tok t)
{
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
        if (symbols[i].tok == t)
            return symbols[i].text;
    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
        if (keywords[i].tok == t && t != TOK_NUMBER)
            return keywords[i].word;
    return SV("");
}

bool tok_is_metric_name(Tok t)
{
    return t == TOK_IDENTIFIER || t == TOK_METRIC_IDENTIFIER || tok_is_aggregator(t) ||
           tok_is_set_operator(t) || t == TOK_BY || t == TOK_WITHOUT || t == TOK_OFFSET ||
           t == TOK_ANCHORED || t == TOK_SMOOTHED || (t >= TOK_FILL && t <= TOK_FILL_RIGHT) ||
           (t >= TOK_START && t <= TOK_MIN_OF);
}

bool tok_is_label_name(Tok t)
{
    return t == TOK_IDENTIFIER || t == TOK_METRIC_IDENTIFIER || tok_is_aggregator(t) ||
           tok_is_set_operator(t) || t == TOK_ATAN2 ||
           (t >= TOK_BOOL && t <= TOK_MIN_OF && t != TOK_WITHOUT);
}

static void describe_text(const Token *t, Buf *out)
{
    if (t->type == TOK_IDENTIFIER || t->type == TOK_METRIC_IDENTIFIER) {
        text_quote(t->text, out);
    } else if (t->type >= TOK_BOOL && t->type <= TOK_WITHOUT) {
        buf_printf(out, "<%.*s>", SV_FMT(t->text));
    } else if (tok_is_operator(t->type)) {
        buf_printf(out, "<op:%.*s>", SV_FMT(t->text));
    } else if (tok_is_aggregator(t->type)) {
        buf_printf(out, "<aggr:%.*s>", SV_FMT(t->text));
    } else if (t->text.len > 10) {
        text_quote(sv_head(t->text, 10), out);
        buf_sv(out, SV("..."));
    } else {
        text_quote(t->text, out);
    }
}

void token_describe(const Token *t, Buf *out)
{
    static const char *const names[] = {
        [TOK_IDENTIFIER] = "identifier ", [TOK_METRIC_IDENTIFIER] = "metric identifier ",
        [TOK_NUMBER] = "number ",         [TOK_DURATION] = "duration ",
        [TOK_STRING] = "string ",
    };
    if (t->type == TOK_EOF) {
        buf_sv(out, SV("end of input"));
        return;
    }
    if (t->type < ARRAY_SIZE(names) && names[t->type])
        buf_sv(out, sv_cstr(names[t->type]));
    describe_text(t, out);
}

void lexer_init(Lexer *l, StrView input)
{
    *l = (Lexer){ .input = input };
}

enum { END_OF_INPUT = -1 };

static int peek_at(const Lexer *l, size_t ahead)
{
    return l->at + ahead < l->input.len ? (unsigned char)l->input.ptr[l->at + ahead] : END_OF_INPUT;
}

static int peek(const Lexer *l)
{
    return peek_at(l, 0);
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}
static bool is_alpha(int c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_word(int c)
{
    return is_alpha(c) || is_digit(c);
}
static bool in_set(int c, const char *set)
{
    return c > 0 && strchr(set, c);
}
static bool accept(Lexer *l, const char *set)
{
    if (!in_set(peek(l), set))
        return false;
    l->at++;
    return true;
}

PRINTF(4, 5) static void fail(Lexer *l, Token *t, size_t start, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->message, sizeof l->message, fmt, ap);
    va_end(ap);
    l->stopped = true;
    *t = (Token){ TOK_ERROR, (unsigned)start, sv_cstr(l->message) };
}

/* The character at `at` in single quotes, as Go's %q shows a rune. */
static const char *char_name(const Lexer *l, size_t at, char buf[static 16])
{
    if (at >= l->input.len)
        return "end of input";
    size_t n = 1;
    while (at + n < l->input.len && ((unsigned char)l->input.ptr[at + n] & 0xc0) == 0x80 && n < 4)
        n++;
    snprintf(buf, 16, l->input.ptr[at] == '\'' ? "'\\%.*s'" : "'%.*s'", (int)n, l->input.ptr + at);
    return buf;
}

static void emit(Lexer *l, Token *t, Tok type, size_t start)
{
    *t = (Token){ type, (unsigned)start, sv_n(l->input.ptr + start, l->at - start) };
}

/* One step of the number's tail; false: this is no number. *more: go on. */
static bool number_part(Lexer *l, const char *digits, bool hex, bool *dot, bool *exponent)
{
    if (in_set(peek(l), ".")) {
        if (*dot) {
            l->at++;
            return false;
        }
        l->at++;
        *dot = true;
        return !accept(l, "_.") && !hex;
    }
    if (in_set(peek(l), "eE") && !hex) {
        l->at++;
        if (*exponent)
            return false;
        *exponent = true;
        accept(l, "+-");
        return !accept(l, "._eE") && peek(l) != END_OF_INPUT;
    }
    if (accept(l, "_"))
        return !accept(l, "._eE") && peek(l) != END_OF_INPUT;
    while (accept(l, digits))
        ;
    return true;
}

static bool scan_number(Lexer *l)
{
    const char *digits = "0123456789";
    size_t start = l->at;
    bool dot = false, exponent = false, hex = false;
    if (accept(l, "0") && accept(l, "xX")) {
        accept(l, "_");
        digits = "0123456789abcdefABCDEF";
        hex = true;
    }
    accept(l, ".");
    accept(l, digits);
    while (in_set(peek(l), digits) || in_set(peek(l), "._") || (!hex && in_set(peek(l), "eE")))
        if (!number_part(l, digits, hex, &dot, &exponent))
            return false;
    return l->at > start && !is_word(peek(l));
}

/* The rest of "1h30m" behind its first digits. */
static bool scan_duration(Lexer *l)
{
    if (!accept(l, "smhdwy"))
        return false;
    accept(l, "s");
    while (accept(l, "0123456789")) {
        while (accept(l, "0123456789"))
            ;
        if (!accept(l, "smhdw"))
            return false;
        accept(l, "s");
    }
    if (!is_word(peek(l)))
        return true;
    l->at++; /* it belongs to what the message shows */
    return false;
}

static void lex_number(Lexer *l, Token *t)
{
    size_t start = l->at;
    l->duration = false;
    l->got_duration = true;
    if (scan_number(l))
        emit(l, t, TOK_NUMBER, start);
    else if (scan_duration(l))
        emit(l, t, TOK_DURATION, start);
    else
        fail(l, t, start, "bad number or duration syntax: \"%.*s\"",
             (int)MIN(l->at - start, (size_t)100), l->input.ptr + start);
}

/* Behind a backslash; false: an error was set. Values are made when the text is unquoted. */
static bool lex_escape(Lexer *l, Token *t, size_t start, char quote)
{
    int c = peek(l), n = 0, base = 16;
    char name[16];
    if (c == END_OF_INPUT) {
        fail(l, t, start, "escape sequence not terminated");
        return false;
    }
    if (in_set(c, "abfnrtv\\") || c == quote) {
        l->at++;
        return true;
    }
    if (c >= '0' && c <= '7') {
        n = 3;
        base = 8;
    } else if (in_set(c, "xuU")) {
        n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        l->at++;
    } else {
        fail(l, t, start, "unknown escape sequence U+%04X %s", c, char_name(l, l->at, name));
        return false;
    }
    for (int i = 0; i < n; i++, l->at++) {
        c = peek(l);
        if (c == END_OF_INPUT) {
            fail(l, t, start, "escape sequence not terminated");
            return false;
        }
        if (!(base == 8 ? c >= '0' && c <= '7' : isxdigit(c) != 0)) {
            fail(l, t, start, "illegal character U+%04X %s in escape sequence", c,
                 char_name(l, l->at, name));
            return false;
        }
    }
    return true;
}

static void lex_string(Lexer *l, Token *t)
{
    size_t start = l->at;
    char quote = l->input.ptr[l->at++];
    for (;;) {
        int c = peek(l);
        if (c == END_OF_INPUT || (c == '\n' && quote != '`')) {
            fail(l, t, start,
                 quote == '`' ? "unterminated raw string" : "unterminated quoted string");
            return;
        }
        l->at++;
        if (c == quote)
            break;
        if (c == '\\' && quote != '`' && !lex_escape(l, t, start, quote))
            return;
    }
    emit(l, t, TOK_STRING, start);
    if (!sv_is_utf8(t->text))
        fail(l, t, start, "invalid UTF-8 rune");
}

static bool paren_follows(const Lexer *l)
{
    size_t i = 0;
    while (is_space(peek_at(l, i)))
        i++;
    return peek_at(l, i) == '(';
}

static void lex_word(Lexer *l, Token *t)
{
    size_t start = l->at;
    bool colon = false;
    Tok key;
    for (; is_word(peek(l)) || peek(l) == ':'; l->at++)
        colon |= peek(l) == ':';
    emit(l, t, colon ? TOK_METRIC_IDENTIFIER : TOK_IDENTIFIER, start);
    /* The fill words are names unless they are called. */
    if (tok_keyword(t->text, &key) &&
        !(key >= TOK_FILL && key <= TOK_FILL_RIGHT && !paren_follows(l)))
        t->type = key;
}

static void lex_in_braces(Lexer *l, Token *t)
{
    size_t start = l->at;
    int c = peek(l), next = peek_at(l, 1);
    char name[16];
    if (c == END_OF_INPUT) {
        fail(l, t, start, "unexpected end of input inside braces");
    } else if (is_alpha(c)) {
        while (is_word(peek(l)))
            l->at++;
        emit(l, t, TOK_IDENTIFIER, start);
    } else if (in_set(c, "\"'`")) {
        lex_string(l, t);
    } else if (c == '=' || (c == '!' && (next == '=' || next == '~'))) {
        bool regex = next == '~';
        l->at += c == '!' || regex ? 2 : 1;
        emit(l, t,
             c == '!' ? (regex ? TOK_NEQ_REGEX : TOK_NEQ)
             : regex  ? TOK_EQL_REGEX
                      : TOK_EQL,
             start);
    } else if (c == '!') {
        fail(l, t, start, "unexpected character after '!' inside braces: %s",
             char_name(l, l->at + 1, name));
    } else if (c == ',' || c == '}') {
        l->at++;
        emit(l, t, c == ',' ? TOK_COMMA : TOK_RIGHT_BRACE, start);
        l->brace = c == ',';
    } else {
        fail(l, t, start,
             c == '{' ? "unexpected left brace %s" : "unexpected character inside braces: %s",
             char_name(l, l->at, name));
    }
}

/* step, range, max_of, min_of: the only words inside brackets. */
static bool lex_duration_word(Lexer *l, Token *t)
{
    size_t start = l->at;
    Tok key;
    while (is_alpha(peek(l)))
        l->at++;
    emit(l, t, TOK_IDENTIFIER, start);
    if (tok_keyword(t->text, &key) && key >= TOK_STEP && key <= TOK_MIN_OF) {
        t->type = key;
        return true;
    }
    l->at = start;
    return false;
}

/* Letters and colons between brackets. */
static void lex_in_brackets(Lexer *l, Token *t)
{
    size_t start = l->at;
    char name[16];
    if (peek(l) == ':') {
        if (l->colon || (l->duration && !l->got_duration)) {
            fail(l, t, start,
                 l->duration ? l->colon ? "unexpected repeated colon in duration expression"
                                        : "unexpected colon before duration in duration expression"
                             : "unexpected colon ':'");
            return;
        }
        l->at++;
        l->colon = true;
        emit(l, t, TOK_COLON, start);
        return;
    }
    if (lex_duration_word(l, t)) {
        l->got_duration = true;
        return;
    }
    if (l->duration)
        fail(l, t, start, "unexpected character in duration expression: %s",
             char_name(l, start, name));
    else
        fail(l, t, start, "unexpected character: %s, expected ':'", char_name(l, start, name));
}

static bool lex_two(Lexer *l, Token *t, int first, int second, Tok both, Tok alone)
{
    size_t start = l->at;
    if (peek(l) != first)
        return false;
    bool two = peek_at(l, 1) == second;
    if (!two && alone == TOK_ERROR)
        return false;
    l->at += two ? 2 : 1;
    emit(l, t, two ? both : alone, start);
    return true;
}

static bool lex_operator(Lexer *l, Token *t)
{
    size_t start = l->at;
    static const char chars[] = ",*/%+-^@";
    static const Tok toks[] = { TOK_COMMA, TOK_MUL, TOK_DIV, TOK_MOD,
                                TOK_ADD,   TOK_SUB, TOK_POW, TOK_AT };
    const char *found = peek(l) > 0 ? strchr(chars, peek(l)) : NULL;
    if (found) {
        l->at++;
        emit(l, t, toks[found - chars], start);
        return true;
    }
    return lex_two(l, t, '<', '/', TOK_TRIM_UPPER, TOK_ERROR) ||
           lex_two(l, t, '>', '/', TOK_TRIM_LOWER, TOK_ERROR) ||
           lex_two(l, t, '<', '=', TOK_LTE, TOK_LSS) || lex_two(l, t, '>', '=', TOK_GTE, TOK_GTR) ||
           lex_two(l, t, '!', '=', TOK_NEQ, TOK_ERROR) ||
           (peek_at(l, 1) != '~' && lex_two(l, t, '=', '=', TOK_EQLC, TOK_EQL));
}

static void lex_bracket_or_paren(Lexer *l, Token *t, int c)
{
    size_t start = l->at++;
    switch (c) {
    case '(':
        l->parens++;
        emit(l, t, TOK_LEFT_PAREN, start);
        return;
    case ')':
        emit(l, t, TOK_RIGHT_PAREN, start);
        if (--l->parens < 0)
            fail(l, t, l->at, "unexpected right parenthesis ')'");
        return;
    case '{':
        l->brace = true;
        emit(l, t, TOK_LEFT_BRACE, start);
        return;
    case '[':
        if (l->bracket) {
            fail(l, t, start, "unexpected left bracket '['");
            return;
        }
        l->bracket = l->duration = true;
        l->colon = l->got_duration = false;
        emit(l, t, TOK_LEFT_BRACKET, start);
        return;
    default:
        if (!l->bracket) {
            fail(l, t, start, "unexpected right bracket ']'");
            return;
        }
        l->bracket = l->duration = false;
        emit(l, t, TOK_RIGHT_BRACKET, start);
    }
}

static void lex_statement(Lexer *l, Token *t)
{
    int c = peek(l), next = peek_at(l, 1);
    char name[16];
    if (c == END_OF_INPUT) {
        if (l->duration)
            fail(l, t, l->at, "unexpected end of input in duration expression");
        else if (l->parens)
            fail(l, t, l->at, "unclosed left parenthesis");
        else if (l->bracket)
            fail(l, t, l->at, "unclosed left bracket");
        else
            emit(l, t, TOK_EOF, l->at);
    } else if (in_set(c, "()[]{")) {
        lex_bracket_or_paren(l, t, c);
    } else if (is_digit(c) || (c == '.' && is_digit(next))) {
        lex_number(l, t);
    } else if (in_set(c, "\"'`") && !l->duration) {
        lex_string(l, t);
    } else if ((is_alpha(c) || c == ':') && l->bracket) {
        lex_in_brackets(l, t);
    } else if (is_alpha(c) || c == ':') {
        lex_word(l, t);
    } else if (lex_operator(l, t)) {
        return;
    } else if (c == '!' || (c == '=' && next == '~')) {
        fail(l, t, l->at, "unexpected character after '%c': %s", c, char_name(l, l->at + 1, name));
    } else {
        fail(l, t, l->at,
             l->duration ? "unexpected character in duration expression: %s"
                         : "unexpected character: %s",
             char_name(l, l->at, name));
    }
}

void lexer_next(Lexer *l, Token *ret)
{
    if (l->stopped) {
        *ret = (Token){ TOK_ERROR, (unsigned)l->at, sv_cstr(l->message) };
        return;
    }
    for (;;) {
        while (is_space(peek(l)))
            l->at++;
        if (peek(l) != '#')
            break;
        while (peek(l) != END_OF_INPUT && peek(l) != '\n' && peek(l) != '\r')
            l->at++;
    }
    if (l->brace)
        lex_in_braces(l, ret);
    else
        lex_statement(l, ret);
}
