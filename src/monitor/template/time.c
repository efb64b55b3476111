/* time.c - Go's time.Time.Format in UTC. A layout is the reference time, Mon Jan 2 15:04:05 MST
 * 2006, in the form that is wanted (https://pkg.go.dev/time#pkg-constants). */
#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "monitor/template/internal.h"

static const char *const months[] = { "January",   "February", "March",    "April",
                                      "May",       "June",     "July",     "August",
                                      "September", "October",  "November", "December" };
static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday" };

StrView tmpl_month_name(int64_t month)
{
    return month >= 1 && month <= 12 ? sv_cstr(months[month - 1]) : SV("%!Month(0)");
}

StrView tmpl_weekday_name(int64_t day)
{
    return day >= 0 && day < 7 ? sv_cstr(weekdays[day]) : SV("%!Weekday(0)");
}

typedef enum Part {
    PART_MONTH_LONG,
    PART_MONTH,
    PART_WEEKDAY_LONG,
    PART_WEEKDAY,
    PART_ZONE,
    PART_OFFSET_PLAIN, /* +0000 */
    PART_OFFSET_COLON,
    PART_OFFSET_SECONDS,
    PART_OFFSET_COLON_SECONDS,
    PART_OFFSET_HOURS,
    PART_Z, /* of all layouts that begin with Z */
    PART_YEAR,
    PART_YEAR_2,
    PART_MONTH_02,
    PART_MONTH_1,
    PART_DAY_02,
    PART_DAY_SPACE,
    PART_DAY_1,
    PART_YEAR_DAY_003,
    PART_YEAR_DAY_SPACE,
    PART_HOUR_24,
    PART_HOUR_03,
    PART_HOUR_3,
    PART_MINUTE_04,
    PART_MINUTE_4,
    PART_SECOND_05,
    PART_SECOND_5,
    PART_PM,
    PART_PM_LOWER,
    PART_UNDERSCORE_YEAR,
} Part;

/* Longer ones in front of those that they begin with. */
static const struct {
    StrView text;
    Part part;
} parts[] = {
    { SV_INIT("January"), PART_MONTH_LONG },
    { SV_INIT("Jan"), PART_MONTH },
    { SV_INIT("Monday"), PART_WEEKDAY_LONG },
    { SV_INIT("Mon"), PART_WEEKDAY },
    { SV_INIT("MST"), PART_ZONE },
    { SV_INIT("-07:00:00"), PART_OFFSET_COLON_SECONDS },
    { SV_INIT("-070000"), PART_OFFSET_SECONDS },
    { SV_INIT("-07:00"), PART_OFFSET_COLON },
    { SV_INIT("-0700"), PART_OFFSET_PLAIN },
    { SV_INIT("-07"), PART_OFFSET_HOURS },
    { SV_INIT("Z07:00:00"), PART_Z },
    { SV_INIT("Z070000"), PART_Z },
    { SV_INIT("Z07:00"), PART_Z },
    { SV_INIT("Z0700"), PART_Z },
    { SV_INIT("Z07"), PART_Z },
    { SV_INIT("2006"), PART_YEAR },
    { SV_INIT("_2006"), PART_UNDERSCORE_YEAR },
    { SV_INIT("__2"), PART_YEAR_DAY_SPACE },
    { SV_INIT("_2"), PART_DAY_SPACE },
    { SV_INIT("002"), PART_YEAR_DAY_003 },
    { SV_INIT("01"), PART_MONTH_02 },
    { SV_INIT("02"), PART_DAY_02 },
    { SV_INIT("03"), PART_HOUR_03 },
    { SV_INIT("04"), PART_MINUTE_04 },
    { SV_INIT("05"), PART_SECOND_05 },
    { SV_INIT("06"), PART_YEAR_2 },
    { SV_INIT("15"), PART_HOUR_24 },
    { SV_INIT("1"), PART_MONTH_1 },
    { SV_INIT("2"), PART_DAY_1 },
    { SV_INIT("3"), PART_HOUR_3 },
    { SV_INIT("4"), PART_MINUTE_4 },
    { SV_INIT("5"), PART_SECOND_5 },
    { SV_INIT("PM"), PART_PM },
    { SV_INIT("pm"), PART_PM_LOWER },
};

static void put_date(Part part, const struct tm *t, Buf *out)
{
    switch (part) {
    case PART_MONTH_LONG:
        buf_sv(out, tmpl_month_name(t->tm_mon + 1));
        break;
    case PART_MONTH:
        buf_sv(out, sv_head(tmpl_month_name(t->tm_mon + 1), 3));
        break;
    case PART_WEEKDAY_LONG:
        buf_sv(out, tmpl_weekday_name(t->tm_wday));
        break;
    case PART_WEEKDAY:
        buf_sv(out, sv_head(tmpl_weekday_name(t->tm_wday), 3));
        break;
    case PART_UNDERSCORE_YEAR:
    case PART_YEAR:
        buf_printf(out, "%s%04d", part == PART_YEAR ? "" : "_", t->tm_year + 1900);
        break;
    case PART_YEAR_2:
        buf_printf(out, "%02d", (t->tm_year + 1900) % 100);
        break;
    case PART_MONTH_02:
    case PART_MONTH_1:
        buf_printf(out, part == PART_MONTH_02 ? "%02d" : "%d", t->tm_mon + 1);
        break;
    case PART_DAY_02:
    case PART_DAY_1:
        buf_printf(out, part == PART_DAY_02 ? "%02d" : "%d", t->tm_mday);
        break;
    case PART_DAY_SPACE:
        buf_printf(out, "%2d", t->tm_mday);
        break;
    default:
        buf_printf(out, part == PART_YEAR_DAY_003 ? "%03d" : "%3d", t->tm_yday + 1);
        break;
    }
}

static void put_clock(Part part, const struct tm *t, Buf *out)
{
    int hour = t->tm_hour % 12 ? t->tm_hour % 12 : 12;
    switch (part) {
    case PART_HOUR_24:
        buf_printf(out, "%02d", t->tm_hour);
        break;
    case PART_HOUR_03:
    case PART_HOUR_3:
        buf_printf(out, part == PART_HOUR_03 ? "%02d" : "%d", hour);
        break;
    case PART_MINUTE_04:
    case PART_MINUTE_4:
        buf_printf(out, part == PART_MINUTE_04 ? "%02d" : "%d", t->tm_min);
        break;
    case PART_SECOND_05:
    case PART_SECOND_5:
        buf_printf(out, part == PART_SECOND_05 ? "%02d" : "%d", t->tm_sec);
        break;
    case PART_PM:
        buf_sv(out, t->tm_hour >= 12 ? SV("PM") : SV("AM"));
        break;
    default:
        buf_sv(out, t->tm_hour >= 12 ? SV("pm") : SV("am"));
        break;
    }
}

static void put_zone(Part part, Buf *out)
{
    static const char *const texts[] = {
        [PART_ZONE] = "UTC",
        [PART_OFFSET_PLAIN] = "+0000",
        [PART_OFFSET_COLON] = "+00:00",
        [PART_OFFSET_SECONDS] = "+000000",
        [PART_OFFSET_COLON_SECONDS] = "+00:00:00",
        [PART_OFFSET_HOURS] = "+00",
        [PART_Z] = "Z",
    };
    buf_sv(out, sv_cstr(texts[part]));
}

/* ".000", ",999": a fraction of the second, not where a further digit follows. Bytes of the layout.
 */
static size_t put_fraction(StrView layout, long ns, Buf *out)
{
    size_t n = 1;
    if (layout.len < 2 || (layout.ptr[0] != '.' && layout.ptr[0] != ',') ||
        (layout.ptr[1] != '0' && layout.ptr[1] != '9'))
        return 0;
    while (n < layout.len && layout.ptr[n] == layout.ptr[1])
        n++;
    if (n < layout.len && isdigit((unsigned char)layout.ptr[n]))
        return 0;
    char digits[16];
    snprintf(digits, sizeof digits, "%09ld", ns);
    size_t len = MIN(n - 1, (size_t)9);
    if (layout.ptr[1] == '9')
        while (len && digits[len - 1] == '0')
            len--;
    if (len || layout.ptr[1] == '0') {
        buf_putc(out, layout.ptr[0]);
        buf_append(out, digits, len);
        for (size_t i = len; layout.ptr[1] == '0' && i < n - 1; i++)
            buf_putc(out, '0');
    }
    return n;
}

/* The part that the layout begins with; false: an ordinary character. "Jan" is none of "January"
 * only: a small letter behind "Jan" or "Mon" makes it a word. */
static bool find_part(StrView layout, size_t *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (!sv_starts(layout, parts[i].text))
            continue;
        StrView rest = sv_skip(layout, parts[i].text.len);
        bool word = (parts[i].part == PART_MONTH || parts[i].part == PART_WEEKDAY) && rest.len &&
                    islower((unsigned char)rest.ptr[0]);
        if (word)
            continue;
        *ret = i;
        return true;
    }
    return false;
}

void tmpl_time_format(int64_t ns, StrView layout, Buf *out)
{
    time_t seconds = (time_t)(ns / NSEC_PER_SEC);
    long rest = (long)(ns % NSEC_PER_SEC);
    struct tm t;
    if (rest < 0) {
        rest += NSEC_PER_SEC;
        seconds--;
    }
    gmtime_r(&seconds, &t);
    while (layout.len) {
        size_t i, n = put_fraction(layout, rest, out);
        if (n) {
            layout = sv_skip(layout, n);
            continue;
        }
        if (!find_part(layout, &i)) {
            buf_putc(out, layout.ptr[0]);
            layout = sv_skip(layout, 1);
            continue;
        }
        Part part = parts[i].part;
        if (part >= PART_ZONE && part <= PART_Z)
            put_zone(part, out);
        else if (part >= PART_HOUR_24 && part <= PART_PM_LOWER)
            put_clock(part, &t, out);
        else
            put_date(part, &t, out);
        layout = sv_skip(layout, parts[i].text.len);
    }
}
