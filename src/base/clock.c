/* clock.c - time, RFC 3339 and Go's duration syntax. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_real_ns(void)
{
    return now(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
    return now(CLOCK_BOOTTIME);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* The date of a day: the inverse of days_from_civil(). */
static void civil_from_days(int64_t days, int *ret_y, int *ret_m, int *ret_d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *ret_y = (int)(yoe + era * 400 + (*ret_m <= 2));
}

/* n digits, and what follows them. */
static char *put_digits(char *p, int v, int n, char then)
{
    for (int i = n; i-- > 0; v /= 10)
        p[i] = (char)('0' + v % 10);
    p[n] = then;
    return p + n + 1;
}

char *moment_format(Moment m, int frac, char buf[static RFC3339_SIZE])
{
    int64_t sec = MIN(MAX(m.sec, MOMENT_SEC_MIN), MOMENT_SEC_MAX);
    int64_t days = (sec - MOMENT_SEC_MIN) / 86400 + MOMENT_SEC_MIN / 86400;
    int y, mo, d, rest = (int)(sec - days * 86400);
    civil_from_days(days, &y, &mo, &d);
    char *p = put_digits(buf, y, 4, '-');
    p = put_digits(p, mo, 2, '-');
    p = put_digits(p, d, 2, 'T');
    p = put_digits(p, rest / 3600, 2, ':');
    p = put_digits(p, rest / 60 % 60, 2, ':');
    p = put_digits(p, rest % 60, 2, frac ? '.' : 'Z');
    if (frac == 3)
        p = put_digits(p, (int)(m.nsec / NSEC_PER_MSEC), 3, 'Z');
    else if (frac == 6)
        p = put_digits(p, m.nsec / 1000, 6, 'Z');
    else if (frac == 9)
        p = put_digits(p, m.nsec, 9, 'Z');
    *p = 0;
    return buf;
}

char *rfc3339_format(int64_t ns, int frac, char buf[static RFC3339_SIZE])
{
    int64_t sec = ns / NSEC_PER_SEC, rest = ns % NSEC_PER_SEC;
    if (rest < 0) {
        rest += NSEC_PER_SEC;
        sec--;
    }
    return moment_format((Moment){ sec, (int32_t)rest }, frac, buf);
}

char *rfc3339_format_nano(int64_t ns, char buf[static RFC3339_SIZE])
{
    size_t n = strlen(rfc3339_format(ns, 9, buf)) - 1; /* without the Z */
    while (buf[n - 1] == '0')
        n--;
    if (buf[n - 1] == '.')
        n--;
    buf[n] = 'Z';
    buf[n + 1] = 0;
    return buf;
}

/* Takes exactly n digits from *s. */
static bool digits(StrView *s, int n, int *ret)
{
    if (s->len < (size_t)n)
        return false;
    int v = 0;
    for (int i = 0; i < n; i++) {
        char c = s->ptr[i];
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *s = sv_skip(*s, (size_t)n);
    *ret = v;
    return true;
}

static bool literal(StrView *s, char c)
{
    if (!s->len || s->ptr[0] != c)
        return false;
    *s = sv_skip(*s, 1);
    return true;
}

static bool parse_fraction(StrView *s, int64_t *ret_ns)
{
    *ret_ns = 0;
    if (!literal(s, '.'))
        return true;
    int64_t scale = NSEC_PER_SEC / 10;
    size_t n = 0;
    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++, scale /= 10)
        *ret_ns += (s->ptr[n] - '0') * scale;
    *s = sv_skip(*s, n);
    return n > 0;
}

static bool parse_offset(StrView *s, int *ret_sec)
{
    *ret_sec = 0;
    if (literal(s, 'Z') || literal(s, 'z'))
        return true;
    int sign = literal(s, '+') ? 1 : literal(s, '-') ? -1 : 0, h, m;
    if (!sign || !digits(s, 2, &h) || !literal(s, ':') || !digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_sec = sign * (h * 3600 + m * 60);
    return true;
}

int moment_parse(StrView s, Moment *ret)
{
    static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int y, mo, d, h, mi, sec, off;
    int64_t frac;
    if (!digits(&s, 4, &y) || !literal(&s, '-') || !digits(&s, 2, &mo) || !literal(&s, '-') ||
        !digits(&s, 2, &d) || !(literal(&s, 'T') || literal(&s, 't')) || !digits(&s, 2, &h) ||
        !literal(&s, ':') || !digits(&s, 2, &mi) || !literal(&s, ':') || !digits(&s, 2, &sec) ||
        !parse_fraction(&s, &frac) || !parse_offset(&s, &off) || s.len)
        return -EINVAL;
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (mo < 1 || mo > 12 || d < 1 || d > month_days[mo - 1] + (mo == 2 && leap) || h > 23 ||
        mi > 59 || sec > 60)
        return -EINVAL;
    int64_t secs = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - off;
    if (secs < MOMENT_SEC_MIN || secs > MOMENT_SEC_MAX)
        return -EINVAL;
    *ret = (Moment){ secs, (int32_t)frac };
    return 0;
}

int rfc3339_parse(StrView s, int64_t *ret_ns)
{
    Moment m;
    int64_t ns;
    if (moment_parse(s, &m) < 0 || __builtin_mul_overflow(m.sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, m.nsec, &ns))
        return -EINVAL;
    *ret_ns = ns;
    return 0;
}

static int64_t unit_ns(StrView *s)
{
    static const struct {
        StrView name;
        int64_t ns;
    } units[] = {
        { SV_INIT("ns"), 1 },
        { SV_INIT("us"), 1000 },
        { SV_INIT("µs"), 1000 },
        { SV_INIT("ms"), NSEC_PER_MSEC },
        { SV_INIT("s"), NSEC_PER_SEC },
        { SV_INIT("m"), 60 * NSEC_PER_SEC },
        { SV_INIT("h"), 3600 * NSEC_PER_SEC },
    };
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (sv_starts(*s, units[i].name)) {
            *s = sv_skip(*s, units[i].name.len);
            return units[i].ns;
        }
    return 0;
}

int duration_parse(StrView s, int64_t *ret_ns)
{
    bool neg = literal(&s, '-');
    if (!neg)
        literal(&s, '+');
    if (sv_eq(s, SV("0"))) {
        *ret_ns = 0;
        return 0;
    }
    if (!s.len)
        return -EINVAL;
    int64_t total = 0;
    while (s.len) {
        int64_t whole = 0, frac = 0, scale = 1, unit;
        size_t n = 0, nf = 0;
        for (; n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9'; n++)
            if (__builtin_mul_overflow(whole, 10, &whole) ||
                __builtin_add_overflow(whole, s.ptr[n] - '0', &whole))
                return -ERANGE;
        s = sv_skip(s, n);
        if (literal(&s, '.')) {
            for (; nf < s.len && s.ptr[nf] >= '0' && s.ptr[nf] <= '9'; nf++)
                if (scale < NSEC_PER_SEC) {
                    frac = frac * 10 + (s.ptr[nf] - '0');
                    scale *= 10;
                }
            s = sv_skip(s, nf);
        }
        if ((n == 0 && nf == 0) || !(unit = unit_ns(&s)))
            return -EINVAL;
        if (__builtin_mul_overflow(whole, unit, &whole) ||
            __builtin_add_overflow(total, whole, &total) ||
            __builtin_add_overflow(total, (int64_t)((double)frac * ((double)unit / (double)scale)),
                                   &total))
            return -ERANGE;
    }
    *ret_ns = neg ? -total : total;
    return 0;
}

size_t duration_format(int64_t ns, char buf[static DURATION_SIZE])
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const char *sign = ns < 0 ? "-" : "";
    size_t n;

    if (left == 0)
        return (size_t)snprintf(buf, DURATION_SIZE, "0s");
    if (left < (uint64_t)NSEC_PER_SEC) {
        unsigned unit = left < 1000 ? 1 : left < 1000000 ? 1000 : 1000000;
        const char *name = unit == 1 ? "ns" : unit == 1000 ? "\xC2\xB5s" : "ms";
        return (size_t)snprintf(buf, DURATION_SIZE, "%s%.12g%s", sign, (double)left / unit, name);
    }
    uint64_t seconds = left / (uint64_t)NSEC_PER_SEC, part = left % (uint64_t)NSEC_PER_SEC;
    n = (size_t)snprintf(buf, DURATION_SIZE, "%s", sign);
    if (seconds >= 3600)
        n += (size_t)snprintf(buf + n, DURATION_SIZE - n, "%lluh",
                              (unsigned long long)(seconds / 3600));
    if (seconds >= 60)
        n += (size_t)snprintf(buf + n, DURATION_SIZE - n, "%llum",
                              (unsigned long long)(seconds / 60 % 60));
    n += (size_t)snprintf(buf + n, DURATION_SIZE - n, "%llu", (unsigned long long)(seconds % 60));
    if (part) {
        n += (size_t)snprintf(buf + n, DURATION_SIZE - n, ".%09llu", (unsigned long long)part);
        while (buf[n - 1] == '0')
            n--;
    }
    return n + (size_t)snprintf(buf + n, DURATION_SIZE - n, "s");
}
