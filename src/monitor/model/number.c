/* number.c - shortest decimal forms in Go's notation. Whole numbers, which most samples are, skip
 * the search for digits. */
#include "monitor/model/number.h"

#include <stdio.h>
#include <string.h>

/* shortest.cc: "1.5e+00" without a terminator; the length. */
unsigned double_shortest(double v, char *out, unsigned size);

static void decimal_of(double v, Decimal *d)
{
    char text[DECIMAL_TEXT_SIZE];
    text[double_shortest(v, text, sizeof text - 1)] = 0;
    decimal_parse(text, d);
}

void double_format_f(double v, Buf *out)
{
    Decimal d;
    if (double_put_simple(v, 9007199254740992.0, out))
        return;
    if (signbit(v))
        buf_putc(out, '-');
    decimal_of(fabs(v), &d);
    decimal_put_plain(&d, out);
}

void double_format_g(double v, Buf *out)
{
    Decimal d;
    if (double_put_simple(v, 1e6, out))
        return;
    if (signbit(v))
        buf_putc(out, '-');
    decimal_of(fabs(v), &d);
    decimal_put_g(&d, out);
}

/* Text of a whole number; returns its length. */
static size_t whole_text(int64_t n, char *out)
{
    char digits[20];
    size_t len = 0, at = 0;
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[len++] = (char)('0' + u % 10);
    while ((u /= 10) != 0);
    if (n < 0)
        out[at++] = '-';
    while (len)
        out[at++] = digits[--len];
    return at;
}

static size_t plain_text(const Decimal *d, char *out)
{
    size_t at = 0;
    if (d->exp < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > d->exp; i--)
            out[at++] = '0';
    }
    for (int i = 0; i < MAX(d->n, d->exp + 1); i++) {
        if (i == d->exp + 1 && i > 0)
            out[at++] = '.';
        out[at++] = i < d->n ? d->digits[i] : '0';
    }
    return at;
}

size_t double_format_json(double v, char out[static DOUBLE_JSON_SIZE])
{
    if (isnan(v))
        return memcpy(out, "NaN", 3), 3;
    if (isinf(v))
        return memcpy(out, v > 0 ? "+Inf" : "-Inf", 4), 4;
    if (fabs(v) < 9007199254740992.0 && v == trunc(v) && !(v == 0 && signbit(v)))
        return whole_text((int64_t)v, out);
    double m = fabs(v);
    if (m != 0 && (m < 1e-6 || m >= 1e21))
        return double_shortest(v, out, DOUBLE_JSON_SIZE);
    size_t sign = signbit(v) ? 1 : 0;
    out[0] = '-';
    Decimal d;
    decimal_of(m, &d);
    return sign + plain_text(&d, out + sign);
}

size_t time_format_json(int64_t t, char out[static DOUBLE_JSON_SIZE])
{
    uint64_t ms = t < 0 ? 0 - (uint64_t)t : (uint64_t)t;
    size_t at = 0;
    if (t < 0)
        out[at++] = '-';
    at += whole_text((int64_t)(ms / 1000), out + at);
    unsigned rest = (unsigned)(ms % 1000);
    if (rest) {
        out[at++] = '.';
        out[at++] = (char)('0' + rest / 100);
        out[at++] = (char)('0' + rest / 10 % 10);
        out[at++] = (char)('0' + rest % 10);
    }
    return at;
}
