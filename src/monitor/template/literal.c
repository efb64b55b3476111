/* literal.c - constants as Go writes them: numbers with base prefixes and underscores, characters,
 * texts in double quotes or backquotes (https://go.dev/ref/spec#Lexical_elements). */
#include <ctype.h>
#include <errno.h>

#include "monitor/template/internal.h"

/* ---- numbers ---- */

static size_t run_of(StrView s, size_t at, const char *chars)
{
    while (at < s.len && s.ptr[at] && strchr(chars, s.ptr[at]))
        at++;
    return at;
}

static bool at_one_of(StrView s, size_t at, const char *chars)
{
    return at < s.len && s.ptr[at] && strchr(chars, s.ptr[at]);
}

/* How far a number goes, as text/template's lexer scans it. */
static size_t number_len(StrView s)
{
    static const char decimal[] = "0123456789_";
    const char *digits = decimal, *exponent = "eE";
    size_t n = at_one_of(s, 0, "+-");
    if (at_one_of(s, n, "0") && at_one_of(s, n + 1, "xXoObB")) {
        char base = (char)tolower((unsigned char)s.ptr[n + 1]);
        digits = base == 'x' ? "0123456789abcdefABCDEF_" : base == 'o' ? "01234567_" : "01_";
        exponent = base == 'x' ? "pP" : "";
        n += 2;
    }
    n = run_of(s, n, digits);
    if (at_one_of(s, n, "."))
        n = run_of(s, n + 1, digits);
    if (at_one_of(s, n, exponent))
        n = run_of(s, n + 1 + at_one_of(s, n + 1, "+-"), decimal);
    return n;
}

/* Underscores stand between digits, or between the base's prefix and a digit. */
static bool underscores_fit(StrView s)
{
    char before = '^';
    size_t i = at_one_of(s, 0, "+-");
    bool hex = false;
    if (at_one_of(s, i, "0") && at_one_of(s, i + 1, "xXoObB")) {
        hex = at_one_of(s, i + 1, "xX");
        before = '0';
        i += 2;
    }
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (isdigit(c) || (hex && isxdigit(c))) {
            before = '0';
        } else if (c == '_') {
            if (before != '0')
                return false;
            before = '_';
        } else {
            if (before == '_')
                return false;
            before = '!';
        }
    }
    return before != '_';
}

enum { NUMBER_MAX = 400 };

static bool to_int(const char *text, int64_t *ret)
{
    const char *digits = text + (*text == '+' || *text == '-');
    int base = 10;
    if (digits[0] == '0' && digits[1]) {
        char c = (char)tolower((unsigned char)digits[1]);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        digits += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    char *end;
    if (!isxdigit((unsigned char)*digits))
        return false;
    errno = 0;
    unsigned long long v = strtoull(digits, &end, base);
    bool minus = *text == '-';
    if (*end || errno || v > (unsigned long long)INT64_MAX + minus)
        return false;
    *ret = (int64_t)(minus ? 0 - v : v);
    return true;
}

bool tmpl_parse_float(StrView text, double *ret)
{
    char plain[NUMBER_MAX], *end;
    size_t n = 0;
    if (!text.len || text.len >= sizeof plain || number_len(text) != text.len ||
        !underscores_fit(text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = text.ptr[i];
    plain[n] = 0;
    bool based = strpbrk(plain, "xXoObB") != NULL;
    if (based && (!strpbrk(plain, "xX") || !strpbrk(plain, "pP")))
        return false;
    *ret = strtod(plain, &end);
    return end != plain && !*end && *ret - *ret == 0;
}

/* A number without point and exponent that is no int is refused, as in Go. */
static bool number(StrView *rest, TmplVal *ret)
{
    StrView text = sv_head(*rest, number_len(*rest));
    char plain[NUMBER_MAX];
    size_t n = 0;
    if (!text.len || text.len >= sizeof plain || !underscores_fit(text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = text.ptr[i];
    plain[n] = 0;
    bool hex = strpbrk(plain, "xX") != NULL;
    *ret = (TmplVal){ .kind = TMPL_INT };
    if (!to_int(plain, &ret->i)) {
        if (!strpbrk(plain, hex ? ".pP" : ".eE") || (hex && !strpbrk(plain, "pP")))
            return false;
        ret->kind = TMPL_FLOAT;
        if (!tmpl_parse_float(text, &ret->f))
            return false;
    }
    *rest = sv_skip(*rest, text.len);
    return true;
}

/* ---- characters and texts ---- */

static void put_rune(Buf *out, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        buf_putc(out, (char)c);
        return;
    }
    unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = { 0, 0xc0, 0xe0, 0xf0 };
    buf_putc(out, (char)(heads[more] | c >> 6 * more));
    while (more-- > 0)
        buf_putc(out, (char)(0x80 | (c >> 6 * more & 0x3f)));
}

static bool digits_value(StrView s, unsigned n, unsigned base, uint32_t *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned char c = i < s.len ? (unsigned char)s.ptr[i] : 0;
        unsigned v = isdigit(c)    ? (unsigned)(c - '0')
                     : isxdigit(c) ? (unsigned)tolower(c) - 'a' + 10
                                   : 99;
        if (v >= base)
            return false;
        *ret = *ret * base + v;
    }
    return true;
}

/* What follows a backslash; *rest is moved behind it. False: Go has no such escape. */
static bool escape(StrView *rest, char quote, Buf *out)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    if (!rest->len)
        return false;
    char c = rest->ptr[0];
    const char *at = c ? strchr(from, c) : NULL;
    unsigned n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 3 : 0;
    uint32_t v = 0;
    if (at || c == quote) {
        buf_putc(out, at ? to[at - from] : c);
        *rest = sv_skip(*rest, 1);
        return true;
    }
    bool octal = n == 3;
    StrView digits = sv_skip(*rest, octal ? 0 : 1);
    if (!n || !digits_value(digits, n, octal ? 8 : 16, &v) || (n <= 3 && v > 255) ||
        (n > 3 && (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))))
        return false;
    if (n > 3)
        put_rune(out, v);
    else
        buf_putc(out, (char)v);
    *rest = sv_skip(digits, n);
    return true;
}

/* Between the quotes; *rest is moved behind the second. */
static bool quoted(StrView *rest, Buf *out)
{
    char quote = rest->ptr[0];
    *rest = sv_skip(*rest, 1);
    while (rest->len) {
        char c = rest->ptr[0];
        *rest = sv_skip(*rest, 1);
        if (c == quote)
            return true;
        if (quote != '`' && c == '\n')
            return false;
        if (quote != '`' && c == '\\') {
            if (!escape(rest, quote, out))
                return false;
        } else if (quote != '`' || c != '\r') {
            buf_putc(out, c);
        }
    }
    return false;
}

/* The one character of a text. */
static bool one_rune(StrView s, int64_t *ret)
{
    unsigned char c = s.len ? (unsigned char)s.ptr[0] : 0;
    unsigned more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (s.len == 1) { /* also a byte that '\xff' names */
        *ret = c;
        return true;
    }
    if (s.len != more + 1u || !sv_is_utf8(s))
        return false;
    *ret = c & (0x3f >> more);
    for (unsigned i = 1; i <= more; i++)
        *ret = *ret << 6 | (s.ptr[i] & 0x3f);
    return true;
}

bool tmpl_literal(StrView *rest, Arena *a, TmplVal *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView at = *rest;
    if (!at.len)
        return false;
    char quote = at.ptr[0];
    if (quote != '"' && quote != '`' && quote != '\'')
        return number(rest, ret);
    if (!quoted(&at, &text) || text.failed)
        return false;
    if (quote == '\'') { /* a number */
        *ret = (TmplVal){ .kind = TMPL_INT };
        if (!one_rune(buf_view(&text), &ret->i))
            return false;
    } else {
        *ret = tmpl_string(arena_sv(a, buf_view(&text)));
        if (!ret->s.ptr)
            return false;
    }
    *rest = at;
    return true;
}
