/* yaml_scalar.c - the meaning of plain scalars, by the rules of Go's yaml.v2 under
 * sigs.k8s.io/yaml. */
#include "codec/yaml_internal.h"

#include <math.h>

enum { NUMBER_TEXT_MAX = 128 };

/* clang-format off */
/* The spellings of each special value, between blanks. */
static const struct {
    const char *spellings;
    Value val;
} words[] = {
    { " y Y yes Yes YES true True TRUE on On ON ", { .kind = VALUE_BOOL, .b = true } },
    { " n N no No NO false False FALSE off Off OFF ", { .kind = VALUE_BOOL, .b = false } },
    { " ~ null Null NULL ", { .kind = VALUE_NULL } },
    { " .nan .NaN .NAN ", { .kind = VALUE_DOUBLE, .d = NAN } },
    { " .inf .Inf .INF +.inf +.Inf +.INF ", { .kind = VALUE_DOUBLE, .d = INFINITY } },
    { " -.inf -.Inf -.INF ", { .kind = VALUE_DOUBLE, .d = -INFINITY } },
};
/* clang-format on */

enum { WORD_MAX = 5 };

static bool find_word(StrView s, Value *ret)
{
    char between[WORD_MAX + 2] = " ";

    if (s.len == 0) {
        *ret = value_null();
        return true;
    }
    if (s.len > WORD_MAX || memchr(s.ptr, ' ', s.len))
        return false;
    memcpy(between + 1, s.ptr, s.len);
    between[s.len + 1] = ' ';
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (sv_find(sv_cstr(words[i].spellings), sv_n(between, s.len + 2)) >= 0) {
            *ret = words[i].val;
            return true;
        }
    }
    return false;
}

/* Go's ParseInt with base 0: the prefix decides. False when it is no integer of 64 bits. */
static bool parse_int(const char *p, Value *ret)
{
    bool negative = *p == '-';
    unsigned base = 10;
    uint64_t n = 0;

    if (*p == '-' || *p == '+')
        p++;
    if (*p == '0' && p[1]) {
        char mark = (char)(p[1] | 0x20);
        base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
        p += mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1;
    }
    if (!*p)
        return false;
    for (; *p; p++) {
        char lower = (char)(*p | 0x20);
        unsigned digit = *p >= '0' && *p <= '9'         ? (unsigned)(*p - '0')
                         : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10)
                                                        : 99;
        if (digit >= base || __builtin_mul_overflow(n, (uint64_t)base, &n) ||
            __builtin_add_overflow(n, (uint64_t)digit, &n))
            return false;
    }
    if (n > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = value_int(negative ? (int64_t)(0 - n) : (int64_t)n);
    return true;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* [-+]? (. digits | digits [. digits*]) ([eE] [-+]? digits)? */
static bool looks_like_float(const char *p)
{
    if (*p == '-' || *p == '+')
        p++;
    const char *whole = p;
    p = skip_digits(p);
    bool any = p > whole;
    if (*p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p);
        any = any || p > fraction;
    }
    if (!any)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        const char *digits = p;
        p = skip_digits(p);
        if (p == digits)
            return false;
    }
    return !*p;
}

static bool parse_number(StrView s, Value *ret)
{
    char text[NUMBER_TEXT_MAX];
    size_t n = 0;

    if (s.len == 0 || s.len >= sizeof text || !strchr("+-.0123456789", s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == 0)
            return false;
        if (s.ptr[i] != '_')
            text[n++] = s.ptr[i];
    }
    text[n] = 0;
    if (text[0] != '.' && parse_int(text, ret))
        return true;
    if (!looks_like_float(text))
        return false;
    double d = strtod(text, NULL);
    /* The route of Go's library goes over JSON text, where 1e3 and 2.0 are written without a
     * fraction and come back as integers. */
    *ret = d == floor(d) && fabs(d) < 0x1p63 ? value_int((int64_t)d) : value_double(d);
    return isfinite(d);
}

Value yaml_plain_scalar(StrView s)
{
    Value v;

    if (find_word(s, &v) || parse_number(s, &v))
        return v;
    return value_sv(s);
}

/* Digits with colons ("1:30") or a date ("2026-11-23…"): strings here, but not for every reader. */
static bool looks_like_time(StrView s)
{
    size_t i = 0;

    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
        i++;
    if (i == 0 || i == s.len)
        return false;
    return s.ptr[i] == ':' || (i == 4 && s.ptr[i] == '-' && s.len >= 8);
}

bool yaml_needs_quotes(StrView s)
{
    return yaml_plain_scalar(s).kind != VALUE_STRING || looks_like_time(s) || sv_eq(s, SV("<<")) ||
           sv_eq(s, SV("="));
}
