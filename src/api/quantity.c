/* quantity.c - parsing and the canonical form of quantities.
 *
 * Parsing gathers the significant digits in 128 bits, then applies the suffix; a digit that no
 * longer fits only sets `rest`, which rounds the result up. The format is remembered so that "1Gi"
 * stays binary when it is printed.
 */
#include "api/quantity.h"

#include <stdio.h>

#define NANO_PER_UNIT ((__int128)1000000000)
#define NANO_LIMIT    ((__int128)INT64_MAX * NANO_PER_UNIT)

enum { EXPONENT_MAX = 100 };

typedef struct Suffix {
    StrView text;
    int ten;    /* power of ten */
    int binary; /* power of two */
} Suffix;

static const Suffix suffixes[] = {
    { SV_INIT("n"), -9, 0 },  { SV_INIT("u"), -6, 0 },  { SV_INIT("m"), -3, 0 },
    { SV_INIT(""), 0, 0 },    { SV_INIT("k"), 3, 0 },   { SV_INIT("M"), 6, 0 },
    { SV_INIT("G"), 9, 0 },   { SV_INIT("T"), 12, 0 },  { SV_INIT("P"), 15, 0 },
    { SV_INIT("E"), 18, 0 },  { SV_INIT("Ki"), 0, 10 }, { SV_INIT("Mi"), 0, 20 },
    { SV_INIT("Gi"), 0, 30 }, { SV_INIT("Ti"), 0, 40 }, { SV_INIT("Pi"), 0, 50 },
    { SV_INIT("Ei"), 0, 60 },
};

typedef struct Number {
    unsigned __int128 digits;
    int ten;   /* times this power of ten */
    bool rest; /* something not zero was dropped */
} Number;

static bool times(unsigned __int128 *n, unsigned factor)
{
    return !__builtin_mul_overflow(*n, (unsigned __int128)factor, n);
}

static void gather(Number *n, char c, bool fraction)
{
    unsigned __int128 next = n->digits;

    if (!times(&next, 10) || next > ~(unsigned __int128)0 - 9) {
        n->rest = n->rest || c != '0';
        n->ten += !fraction;
        return;
    }
    n->digits = next + (unsigned)(c - '0');
    n->ten -= fraction;
}

/* digits * 10^ten * 2^binary in nanos, rounded up and cut to the limit. */
static __int128 to_nano(Number n, int binary)
{
    int ten = n.ten + 9;

    for (; binary > 0; binary--) {
        while (!times(&n.digits, 2)) { /* make room; the digit goes into the rounding */
            n.rest = n.rest || n.digits % 10 != 0;
            n.digits /= 10;
            ten++;
        }
    }
    for (; ten > 0 && n.digits > 0; ten--) {
        if (!times(&n.digits, 10) || n.digits > (unsigned __int128)NANO_LIMIT)
            return NANO_LIMIT;
    }
    for (; ten < 0 && (n.digits > 0 || n.rest); ten++) {
        n.rest = n.rest || n.digits % 10 != 0;
        n.digits /= 10;
        if (n.digits == 0)
            break;
    }
    if (n.digits >= (unsigned __int128)NANO_LIMIT)
        return NANO_LIMIT;
    return (__int128)n.digits + n.rest;
}

static int bad_text(Err *err)
{
    return err_set(err, ERR_INVALID, 0,
                   "quantities must match the regular expression "
                   "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

/* "e3", "E-6": not "E" alone, which is exa. */
static bool parse_exponent(StrView s, int *ret)
{
    int64_t e;

    if (s.len < 2 || (s.ptr[0] | 0x20) != 'e' || s.ptr[1] == 'i')
        return false;
    StrView digits = sv_skip(s, s.ptr[1] == '+' ? 2 : 1);
    if (digits.len > 4 || sv_to_i64(digits, &e) < 0)
        return false;
    *ret = (int)(e > EXPONENT_MAX ? EXPONENT_MAX : e < -EXPONENT_MAX ? -EXPONENT_MAX : e);
    return true;
}

int api_quantity_parse(StrView text, ApiQuantity *ret, Err *err)
{
    Number n = { 0 };
    bool negative = text.len > 0 && text.ptr[0] == '-', point = false, any = false;
    size_t i = negative || (text.len > 0 && text.ptr[0] == '+');
    int exponent, binary = 0;

    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !point)
            point = true;
        else if (c >= '0' && c <= '9')
            gather(&n, c, point);
        else
            break;
        any = any || c != '.';
    }
    if (!any)
        return bad_text(err);
    StrView suffix = sv_skip(text, i);
    ret->format = API_QUANTITY_DECIMAL_SI;
    if (parse_exponent(suffix, &exponent)) {
        ret->format = API_QUANTITY_EXPONENT;
        n.ten += exponent;
    } else {
        const Suffix *s = suffixes, *end = suffixes + ARRAY_SIZE(suffixes);
        while (s < end && !sv_eq(s->text, suffix))
            s++;
        if (s == end)
            return bad_text(err);
        n.ten += s->ten;
        binary = s->binary;
        if (binary)
            ret->format = API_QUANTITY_BINARY_SI;
    }
    ret->nano = to_nano(n, binary);
    if (negative)
        ret->nano = -ret->nano;
    return 0;
}

int api_quantity_from(const Value *v, ApiQuantity *ret, Err *err)
{
    if (!v || v->kind == VALUE_NULL) {
        *ret = (ApiQuantity){ 0 };
        return 0;
    }
    if (v->kind == VALUE_INT) {
        *ret = api_quantity_of(v->i, API_QUANTITY_DECIMAL_SI);
        return 0;
    }
    if (v->kind == VALUE_DOUBLE) {
        char text[32];
        int n = snprintf(text, sizeof text, "%.15g", v->d);
        return api_quantity_parse(sv_n(text, (size_t)n), ret, err);
    }
    if (v->kind != VALUE_STRING)
        return bad_text(err);
    return api_quantity_parse(sv_trim(value_str(v)), ret, err);
}

static size_t put_digits(unsigned __int128 n, bool negative, char *buf)
{
    char digits[40];
    size_t len = 0, out = 0;

    do
        digits[len++] = (char)('0' + (unsigned)(n % 10));
    while ((n /= 10) > 0);
    if (negative)
        buf[out++] = '-';
    while (len > 0)
        buf[out++] = digits[--len];
    return out;
}

static size_t format_binary(unsigned __int128 units, bool negative, char *buf)
{
    static const char *const names[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    unsigned step = 0;

    while (step + 1 < ARRAY_SIZE(names) && units >= 1024 && units % 1024 == 0) {
        units /= 1024;
        step++;
    }
    size_t n = put_digits(units, negative, buf);
    strcpy(buf + n, names[step]);
    return n + strlen(names[step]);
}

static size_t format_decimal(unsigned __int128 nano, bool negative, bool exponent, char *buf)
{
    static const char *const names[] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
    int step = 0;

    while (step + 1 < (int)ARRAY_SIZE(names) && nano % 1000 == 0) {
        nano /= 1000;
        step++;
    }
    size_t n = put_digits(nano, negative, buf);
    if (!exponent) {
        strcpy(buf + n, names[step]);
        return n + strlen(names[step]);
    }
    buf[n] = 0;
    if (step != 3)
        n += (size_t)snprintf(buf + n, API_QUANTITY_TEXT_MAX - n, "e%d", step * 3 - 9);
    return n;
}

size_t api_quantity_format(const ApiQuantity *q, char buf[static API_QUANTITY_TEXT_MAX])
{
    bool negative = q->nano < 0;
    unsigned __int128 nano = (unsigned __int128)(negative ? -q->nano : q->nano);

    if (nano == 0) {
        strcpy(buf, "0");
        return 1;
    }
    /* Below 1024, and with a fraction, a binary quantity is written as a decimal one: no precision
     * is lost. */
    unsigned __int128 unit = (unsigned __int128)NANO_PER_UNIT;
    if (q->format == API_QUANTITY_BINARY_SI && nano >= 1024 * unit && nano % unit == 0)
        return format_binary(nano / unit, negative, buf);
    return format_decimal(nano, negative, q->format == API_QUANTITY_EXPONENT, buf);
}

StrView api_quantity_text(const ApiQuantity *q, Arena *a)
{
    char buf[API_QUANTITY_TEXT_MAX];

    return arena_sv(a, sv_n(buf, api_quantity_format(q, buf)));
}

int api_quantity_cmp(const ApiQuantity *a, const ApiQuantity *b)
{
    return (a->nano > b->nano) - (a->nano < b->nano);
}

static __int128 cut(__int128 nano)
{
    return nano > NANO_LIMIT ? NANO_LIMIT : nano < -NANO_LIMIT ? -NANO_LIMIT : nano;
}

void api_quantity_add(ApiQuantity *to, const ApiQuantity *q)
{
    if (to->nano == 0)
        to->format = q->format;
    to->nano = cut(to->nano + q->nano);
}

void api_quantity_sub(ApiQuantity *from, const ApiQuantity *q)
{
    if (from->nano == 0)
        from->format = q->format;
    from->nano = cut(from->nano - q->nano);
}

static int64_t scaled(const ApiQuantity *q, __int128 per)
{
    __int128 n = q->nano / per;

    if (q->nano % per != 0)
        n += q->nano > 0 ? 1 : -1;
    return n > INT64_MAX ? INT64_MAX : n < INT64_MIN ? INT64_MIN : (int64_t)n;
}

int64_t api_quantity_value(const ApiQuantity *q)
{
    return scaled(q, NANO_PER_UNIT);
}

int64_t api_quantity_milli(const ApiQuantity *q)
{
    return scaled(q, NANO_PER_UNIT / 1000);
}

ApiQuantity api_quantity_of(int64_t value, ApiQuantityFormat format)
{
    return (ApiQuantity){ value * NANO_PER_UNIT, format };
}
