/* number.c - shortest decimal forms: 15, then 16, then 17 digits are tried until the text reads
 * back as the same number. Whole numbers, which most samples are, skip that. */
#include "monitor/model/number.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

enum { DIGITS_MAX = 17, SCIENTIFIC_SIZE = 40, GO_EXPONENT_MIN = -4, GO_EXPONENT_MAX = 6 };

typedef struct Decimal {
    char digits[DIGITS_MAX + 1];
    int n;   /* digits, no zeros at the end */
    int exp; /* of the first digit: 1.5 has 0, 15 has 1 */
} Decimal;

static void decimal_of(double v, Decimal *d)
{
    char text[SCIENTIFIC_SIZE];
    /* Below the normal range fewer than 15 digits are exact. */
    for (int prec = v < DBL_MIN ? 0 : 14; prec < DIGITS_MAX; prec++) {
        snprintf(text, sizeof text, "%.*e", prec, v);
        if (strtod(text, NULL) == v)
            break;
    }
    d->n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p != '.' && d->n < DIGITS_MAX)
            d->digits[d->n++] = *p;
    d->exp = *p == 'e' ? atoi(p + 1) : 0;
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

static bool special(double v, Buf *out)
{
    if (isnan(v))
        buf_sv(out, SV("NaN"));
    else if (isinf(v))
        buf_sv(out, v > 0 ? SV("+Inf") : SV("-Inf"));
    else
        return false;
    return true;
}

static void put_plain(const Decimal *d, Buf *out)
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

/* Whole numbers below 2^53 print as integers. */
static bool put_whole(double v, double limit, Buf *out)
{
    if (!(fabs(v) < limit) || v != trunc(v) || (v == 0 && signbit(v)))
        return false;
    buf_i64(out, (int64_t)v);
    return true;
}

void double_format_f(double v, Buf *out)
{
    if (special(v, out) || put_whole(v, 9007199254740992.0, out))
        return;
    if (signbit(v))
        buf_putc(out, '-');
    Decimal d;
    decimal_of(fabs(v), &d);
    put_plain(&d, out);
}

void double_format_g(double v, Buf *out)
{
    if (special(v, out) || put_whole(v, 1e6, out))
        return;
    if (signbit(v))
        buf_putc(out, '-');
    Decimal d;
    decimal_of(fabs(v), &d);
    if (d.exp >= GO_EXPONENT_MIN && d.exp < GO_EXPONENT_MAX) {
        put_plain(&d, out);
        return;
    }
    buf_putc(out, d.digits[0]);
    if (d.n > 1) {
        buf_putc(out, '.');
        buf_append(out, d.digits + 1, (size_t)d.n - 1);
    }
    buf_printf(out, "e%c%02d", d.exp < 0 ? '-' : '+', abs(d.exp));
}
