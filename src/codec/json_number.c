/* json_number.c - numbers from and to text.
 *
 * Reading: up to 18 digits are gathered in an integer while the grammar is checked, which settles
 * nearly every number. A fraction whose digits fit 53 bits and whose power of ten is exact in a
 * double is one multiplication or division (Clinger's fast path); the rest goes to strtod.
 */
#include <math.h>
#include <stdio.h>

#include "codec/json_internal.h"

enum { MANTISSA_DIGITS_MAX = 18, NUMBER_TEXT_MAX = 400, DOUBLE_DIGITS_MAX = 17 };

typedef struct Digits {
    uint64_t mantissa;
    unsigned n;   /* digits gathered, leading zeros not counted */
    int exponent; /* power of ten to apply */
    bool exact;   /* all digits are in the mantissa */
} Digits;

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static void gather(Digits *d, char c, bool fraction)
{
    if (d->n >= MANTISSA_DIGITS_MAX) {
        d->exact = false;
        return;
    }
    d->mantissa = d->mantissa * 10 + (unsigned)(c - '0');
    if (d->mantissa)
        d->n++;
    if (fraction)
        d->exponent--;
}

/* The exponent's digits; far out ones are cut, strtod sees the text again anyway. */
static const char *exponent(const char **at, const char *end, Digits *d)
{
    const char *p = *at;
    bool negative = p < end && *p == '-';
    int e = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    *at = p;
    if (!is_digit(p, end))
        return "in exponent of numeric literal";
    for (; is_digit(p, end); p++)
        e = e < 100000 ? e * 10 + (*p - '0') : e;
    d->exponent += negative ? -e : e;
    *at = p;
    return NULL;
}

static const char *to_double(StrView text, const Digits *d, bool negative, Value *ret)
{
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    int e = d->exponent;
    double x;

    if (d->exact && d->mantissa < UINT64_C(1) << 53 && e >= -22 && e <= 22) {
        x = (double)d->mantissa;
        x = e < 0 ? x / power[-e] : x * power[e];
        *ret = value_double(negative ? -x : x);
        return NULL;
    }
    /* strtod wants a terminator; digits past NUMBER_TEXT_MAX cannot be cut without care for the
     * exponent, and no honest number has so many. */
    char buf[NUMBER_TEXT_MAX];
    if (!sv_copy_cstr(text, buf, sizeof buf))
        return "in numeric literal: too many digits";
    x = strtod(buf, NULL);
    if (isinf(x))
        return "in numeric literal: out of range";
    *ret = value_double(x);
    return NULL;
}

/* An integer of 19 or more digits: still an int64, or a double as in Go, which keeps the integer
 * beside it where that fits 64 bits (value_to_u64()). */
static const char *long_integer(StrView text, const Digits *d, bool negative, Value *ret)
{
    const char *why;
    uint64_t u;
    int64_t i;

    if (sv_to_i64(text, &i) == 0) {
        *ret = value_int(i);
        return NULL;
    }
    why = to_double(text, d, negative, ret);
    if (!why && sv_to_u64(text, &u) == 0) {
        ret->cap = (uint32_t)u;
        ret->len = (uint32_t)(u >> 32);
    }
    return why;
}

const char *json_number(const char **at, const char *end, Value *ret)
{
    const char *start = *at, *p = start, *why;
    Digits d = { .exact = true };
    bool negative = *p == '-', integer = true;

    p += negative;
    *at = p;
    if (!is_digit(p, end))
        return "in numeric literal";
    if (*p == '0' && is_digit(p + 1, end)) {
        *at = p + 1;
        return "in numeric literal: leading zeros are not allowed";
    }
    for (; is_digit(p, end); p++)
        gather(&d, *p, false);
    if (p < end && *p == '.') {
        integer = false;
        *at = ++p;
        if (!is_digit(p, end))
            return "after decimal point in numeric literal";
        for (; is_digit(p, end); p++)
            gather(&d, *p, true);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        integer = false;
        p++;
        why = exponent(&p, end, &d);
        *at = p;
        if (why)
            return why;
    }
    *at = p;
    StrView text = sv_n(start, (size_t)(p - start));
    if (integer && d.exact) {
        int64_t i = (int64_t)d.mantissa;
        *ret = value_int(negative ? -i : i);
        return NULL;
    }
    return integer ? long_integer(text, &d, negative, ret) : to_double(text, &d, negative, ret);
}

/* The fewest significant digits that read back as d, in printf's "%e" form; returns their number.
 */
static int shortest(double d, char buf[static 40])
{
    /* 15 digits always survive, so trying fewer is for subnormals only; zeros are cut off later. */
    for (int digits = d < 0x1p-1022 ? 1 : 15; digits < DOUBLE_DIGITS_MAX; digits++) {
        snprintf(buf, 40, "%.*e", digits - 1, d);
        if (strtod(buf, NULL) == d)
            return digits;
    }
    snprintf(buf, 40, "%.*e", DOUBLE_DIGITS_MAX - 1, d);
    return DOUBLE_DIGITS_MAX;
}

static void put_zeros(Buf *out, int n)
{
    while (n-- > 0)
        buf_putc(out, '0');
}

void json_double(double d, Buf *out)
{
    char text[40], digits[DOUBLE_DIGITS_MAX];
    int n = 0, e;

    if (!isfinite(d)) {
        buf_sv(out, SV("null"));
        return;
    }
    if (d == floor(d) && fabs(d) < 1e15) {
        buf_i64(out, (int64_t)d);
        return;
    }
    shortest(fabs(d), text);
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p != '.')
            digits[n++] = *p;
    }
    e = atoi(p + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (d < 0)
        buf_putc(out, '-');
    if (e < -6 || e >= 21) {
        buf_putc(out, digits[0]);
        if (n > 1)
            buf_putc(out, '.');
        buf_append(out, digits + 1, (size_t)n - 1);
        buf_printf(out, "e%+d", e);
    } else if (e < 0) {
        buf_sv(out, SV("0."));
        put_zeros(out, -e - 1);
        buf_append(out, digits, (size_t)n);
    } else {
        int whole = MIN(n, e + 1);
        buf_append(out, digits, (size_t)whole);
        put_zeros(out, e + 1 - n);
        if (n > whole) {
            buf_putc(out, '.');
            buf_append(out, digits + whole, (size_t)(n - whole));
        }
    }
}
