/* duration.c - see duration.h. */
#include "monitor/model/duration.h"

#include <errno.h>

static const struct {
    StrView name;
    int64_t ms;
    bool only_exact; /* 90d reads better than 12w6d */
} units[] = {
    { SV_INIT("y"), INT64_C(31536000000), true },
    { SV_INIT("w"), INT64_C(604800000), true },
    { SV_INIT("d"), INT64_C(86400000), false },
    { SV_INIT("h"), INT64_C(3600000), false },
    { SV_INIT("m"), INT64_C(60000), false },
    { SV_INIT("s"), INT64_C(1000), false },
    { SV_INIT("ms"), 1, false },
};

/* The limit of Go's nanoseconds, in ms. */
static const int64_t ms_max = INT64_MAX / 1000000;

int prom_duration_parse(StrView s, int64_t *ret_ms)
{
    int64_t total = 0;
    size_t next_unit = 0;
    if (sv_eq(s, SV("0"))) {
        *ret_ms = 0;
        return 0;
    }
    if (!s.len)
        return -EINVAL;
    while (s.len) {
        size_t digits = 0, letters = 0, u;
        int64_t n;
        while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
            digits++;
        while (digits + letters < s.len && s.ptr[digits + letters] >= 'a' &&
               s.ptr[digits + letters] <= 'z')
            letters++;
        for (u = next_unit; u < ARRAY_SIZE(units); u++)
            if (sv_eq(units[u].name, sv_n(s.ptr + digits, letters)))
                break;
        if (!digits || u == ARRAY_SIZE(units))
            return -EINVAL;
        if (sv_to_i64(sv_head(s, digits), &n) < 0 || n > (ms_max - total) / units[u].ms)
            return -ERANGE;
        total += n * units[u].ms;
        next_unit = u + 1;
        s = sv_skip(s, digits + letters);
    }
    *ret_ms = total;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_unit(StrView name)
{
    for (size_t u = 0; u < ARRAY_SIZE(units); u++)
        if (sv_eq(units[u].name, name))
            return true;
    return false;
}

void prom_duration_explain(StrView s, Buf *out)
{
    int64_t ms;
    if (!s.len) {
        buf_sv(out, SV("empty duration string"));
        return;
    }
    if (prom_duration_parse(s, &ms) == -ERANGE) {
        buf_sv(out, SV("duration out of range"));
        return;
    }
    for (StrView rest = s; rest.len && is_digit(rest.ptr[0]);) {
        size_t digits = 0, letters = 0;
        while (digits < rest.len && is_digit(rest.ptr[digits]))
            digits++;
        rest = sv_skip(rest, digits);
        while (letters < rest.len && !is_digit(rest.ptr[letters]))
            letters++;
        if (letters && !is_unit(sv_head(rest, letters))) {
            buf_printf(out, "unknown unit \"%.*s\" in duration \"%.*s\"", (int)letters, rest.ptr,
                       SV_FMT(s));
            return;
        }
        rest = sv_skip(rest, letters);
    }
    buf_printf(out, "not a valid duration string: \"%.*s\"", SV_FMT(s));
}

void prom_duration_format(int64_t ms, Buf *out)
{
    if (ms == 0)
        buf_sv(out, SV("0s"));
    for (size_t u = 0; u < ARRAY_SIZE(units) && ms > 0; u++) {
        if ((units[u].only_exact && ms % units[u].ms != 0) || ms / units[u].ms == 0)
            continue;
        buf_i64(out, ms / units[u].ms);
        buf_sv(out, units[u].name);
        ms %= units[u].ms;
    }
}
