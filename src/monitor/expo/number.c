/* number.c - numbers of the text formats. What exporters print is mostly a short decimal: one pass
 * collects its digits, and while they and the power of ten are exact doubles, one multiplication or
 * division is correctly rounded (Clinger). Everything else goes to strtod. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "monitor/expo/internal.h"
#include "monitor/model/number.h"
#include "monitor/model/sample.h"

enum { NUMBER_MAX = 512, EXACT_POWER_MAX = 22 };

static const double powers[EXACT_POWER_MAX + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

static inline bool is_digit(const char *s, const char *end)
{
    return s < end && (unsigned char)(*s - '0') < 10;
}

const char *expo_fast_number(const char *s, const char *end, double *ret)
{
    bool negative = s < end && *s == '-', exp_negative = false;
    uint64_t m = 0;
    int power = 0, e = 0, e_digits = 0;

    if (negative)
        s++;
    const char *digits = s;
    for (; is_digit(s, end); s++)
        m = m * 10 + (uint64_t)(*s - '0');
    ptrdiff_t n = s - digits;
    if (s < end && *s == '.') {
        const char *frac = ++s;
        for (; is_digit(s, end); s++)
            m = m * 10 + (uint64_t)(*s - '0');
        power = (int)(frac - s);
        n += s - frac;
    }
    if (n == 0 || n > 19)
        return NULL;
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        if (s < end && (*s == '+' || *s == '-'))
            exp_negative = *s++ == '-';
        for (; is_digit(s, end) && e_digits < 4; s++, e_digits++)
            e = e * 10 + (*s - '0');
        if (!e_digits)
            return NULL;
        power += exp_negative ? -e : e;
    }
    if (m >> 53 || power > EXACT_POWER_MAX || power < -EXACT_POWER_MAX)
        return NULL;
    double v = (double)m;
    v = power < 0 ? v / powers[-power] : v * powers[power];
    *ret = negative ? -v : v;
    return s;
}

static bool special(StrView s, double *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    StrView word = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+') ? sv_skip(s, 1) : s;

    if (sv_eq_nocase(s, SV("nan"))) {
        *ret = double_from_bits(NAN_NORMAL_BITS);
        return true;
    }
    if (!sv_eq_nocase(word, SV("inf")) && !sv_eq_nocase(word, SV("infinity")))
        return false;
    *ret = negative ? -INFINITY : INFINITY;
    return true;
}

bool expo_number(StrView s, double *ret)
{
    char text[NUMBER_MAX], *rest;
    const char *end = expo_fast_number(s.ptr, s.ptr + s.len, ret);

    if (end && end == s.ptr + s.len)
        return true;
    if (special(s, ret))
        return true;
    for (size_t i = 0; i < s.len; i++) /* strtod also knows hexadecimal and NaN(…) */
        if (!memchr("0123456789+-.eE", s.ptr[i], 15))
            return false;
    if (!s.len || !sv_copy_cstr(s, text, sizeof text))
        return false;
    double v = strtod(text, &rest);
    if (*rest || isinf(v))
        return false;
    *ret = v;
    return true;
}

/* OpenMetrics' canonical form: a whole number has ".0". */
StrView expo_float_text(Arena *a, double v)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    double_format_g(v, &out);
    StrView s = buf_view(&out);
    if (isfinite(v) && sv_find_char(s, '.') < 0 && sv_find_char(s, 'e') < 0)
        buf_sv(&out, SV(".0"));
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

StrView expo_bound_text(Arena *a, StrView name, StrView value, ExpoType type)
{
    double v;
    bool bound = (type == EXPO_SUMMARY && sv_eq(name, SV("quantile"))) ||
                 (type == EXPO_HISTOGRAM_TYPE && sv_eq(name, SV("le")));
    return bound && expo_number(value, &v) ? expo_float_text(a, v) : value;
}
