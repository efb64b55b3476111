/* number.c - see number.h. */
#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GO_EXPONENT_MIN = -4, GO_EXPONENT_MAX = 6, DIGITS_SAFE = 15 };

void decimal_parse(const char *text, Decimal *d)
{
    const char *p = text;
    d->n = 0;
    for (; *p && *p != 'e'; p++)
        if (*p != '.' && d->n < DECIMAL_DIGITS_MAX)
            d->digits[d->n++] = *p;
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
    d->exp = *p == 'e' ? atoi(p + 1) : 0;
}

void decimal_put_plain(const Decimal *d, Buf *out)
{
    if (d->exp < 0) {
        buf_sv(out, SV("0."));
        for (int i = -1; i > d->exp; i--)
            buf_putc(out, '0');
        buf_append(out, d->digits, (size_t)d->n);
        return;
    }
    for (int i = 0; i <= d->exp; i++)
        buf_putc(out, i < d->n ? d->digits[i] : '0');
    if (d->n > d->exp + 1) {
        buf_putc(out, '.');
        buf_append(out, d->digits + d->exp + 1, (size_t)(d->n - d->exp - 1));
    }
}

void decimal_put_g(const Decimal *d, Buf *out)
{
    if (d->exp >= GO_EXPONENT_MIN && d->exp < GO_EXPONENT_MAX) {
        decimal_put_plain(d, out);
        return;
    }
    buf_putc(out, d->digits[0]);
    if (d->n > 1) {
        buf_putc(out, '.');
        buf_append(out, d->digits + 1, (size_t)d->n - 1);
    }
    buf_printf(out, "e%c%02d", d->exp < 0 ? '-' : '+', abs(d->exp));
}

bool double_put_simple(double v, double limit, Buf *out)
{
    if (isnan(v))
        buf_sv(out, SV("NaN"));
    else if (isinf(v))
        buf_sv(out, v > 0 ? SV("+Inf") : SV("-Inf"));
    else if (fabs(v) < limit && v == trunc(v) && !(v == 0 && signbit(v)))
        buf_i64(out, (int64_t)v);
    else
        return false;
    return true;
}

void double_put_g(double v, Buf *out)
{
    char text[DECIMAL_TEXT_SIZE];
    Decimal d;
    if (double_put_simple(v, 1e6, out))
        return;
    if (signbit(v))
        buf_putc(out, '-');
    /* Fewer than 15 digits of a normal number come out as 15 with zeros at the end. */
    for (int digits = fabs(v) < DBL_MIN ? 1 : DIGITS_SAFE; digits <= DECIMAL_DIGITS_MAX; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, fabs(v));
        if (strtod(text, NULL) == fabs(v))
            break;
    }
    decimal_parse(text, &d);
    decimal_put_g(&d, out);
}
