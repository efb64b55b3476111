/* number.h - floating-point numbers as text in Go's forms, which Prometheus and its formats use. */
#pragma once

#include "base/buf.h"

enum { DECIMAL_DIGITS_MAX = 17, DECIMAL_TEXT_SIZE = 40 };

/* The shortest digits that read back as the same finite, positive number. */
typedef struct Decimal {
    char digits[DECIMAL_DIGITS_MAX + 1];
    int n;   /* digits, no zeros at the end */
    int exp; /* of the first digit: 1.5 has 0, 15 has 1 */
} Decimal;

/* Takes "1.5e+00" apart, as printf("%e") and std::to_chars write it. */
void decimal_parse(const char *text, Decimal *ret);
/* Without an exponent: "1000000", "0.00001". */
void decimal_put_plain(const Decimal *d, Buf *out);
/* Go's %g: "1e+06", "0.5". */
void decimal_put_g(const Decimal *d, Buf *out);
/* What is no digits or needs no search for them: NaN, +Inf, -Inf, whole numbers below `limit` (at
 * most 2^53) but -0. False: it is another number, and nothing was written. */
bool double_put_simple(double v, double limit, Buf *out);

/* Any number in Go's %g, by printf: for some hundreds at a time. (Whoever writes millions has
 * monitor/model/number.h, and the C++ library with it.) */
void double_put_g(double v, Buf *out);
