/* method.c - the methods of what toTime and toDuration give: Go's time.Time and time.Duration,
 * those with one result. A method is a row in a table and a function. */
#include <time.h>

#include "base/clock.h"
#include "monitor/template/internal.h"

#define MINUTE_NS (60 * NSEC_PER_SEC)
#define HOUR_NS   (60 * MINUTE_NS)

/* `of` is the receiver; arguments have been checked. */
typedef int MethodFn(TmplExec *x, int64_t of, const TmplVal *args, TmplVal *ret);
#define METHOD(name) static int name(TmplExec *x, int64_t of, const TmplVal *args, TmplVal *ret)

static TmplVal of_kind(TmplKind kind, int64_t i)
{
    return (TmplVal){ .kind = kind, .i = i };
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t saturated(__int128 v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* To a multiple of `m`: toward zero, or to the nearest, halves away from zero. */
static int64_t to_multiple(int64_t v, int64_t m, bool nearest)
{
    if (m <= 0)
        return v;
    int64_t rest = v % m, down = v - rest;
    if (!nearest || (__int128)(rest < 0 ? -rest : rest) * 2 < m)
        return down;
    return saturated((__int128)down + (rest < 0 ? -m : m));
}

/* ---- durations ---- */

METHOD(seconds)
{
    *ret = tmpl_float((double)(of / NSEC_PER_SEC) +
                      (double)(of % NSEC_PER_SEC) / (double)NSEC_PER_SEC);
    return 0;
}
METHOD(minutes)
{
    *ret = tmpl_float((double)(of / MINUTE_NS) + (double)(of % MINUTE_NS) / (double)MINUTE_NS);
    return 0;
}
METHOD(hours)
{
    *ret = tmpl_float((double)(of / HOUR_NS) + (double)(of % HOUR_NS) / (double)HOUR_NS);
    return 0;
}
METHOD(whole)
{
    *ret = of_kind(TMPL_INT, of);
    return 0;
}
METHOD(microseconds)
{
    *ret = of_kind(TMPL_INT, of / 1000);
    return 0;
}
METHOD(milliseconds)
{
    *ret = of_kind(TMPL_INT, of / NSEC_PER_MSEC);
    return 0;
}
METHOD(duration_string)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    TmplVal v = of_kind(TMPL_DURATION, of);
    tmpl_print(&v, &b);
    return tmpl_take(x, &b, ret);
}
METHOD(duration_abs)
{
    *ret = of_kind(TMPL_DURATION, of >= 0 ? of : saturated(-(__int128)of));
    return 0;
}
METHOD(duration_round)
{
    *ret = of_kind(TMPL_DURATION, to_multiple(of, args[0].i, true));
    return 0;
}
METHOD(duration_truncate)
{
    *ret = of_kind(TMPL_DURATION, to_multiple(of, args[0].i, false));
    return 0;
}

/* ---- times ---- */

static struct tm broken_down(int64_t ns)
{
    time_t s = (time_t)floor_div(ns, NSEC_PER_SEC);
    struct tm t;
    gmtime_r(&s, &t);
    return t;
}

METHOD(time_format)
{
    _cleanup_buf_ Buf b = { .limit = TEMPLATE_OUTPUT_MAX };
    tmpl_time_format(of, args[0].s, &b);
    return tmpl_take(x, &b, ret);
}
METHOD(time_string)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    tmpl_time_format(of, SV(TMPL_TIME_STRING), &b);
    return tmpl_take(x, &b, ret);
}
METHOD(unix_s)
{
    *ret = of_kind(TMPL_INT, floor_div(of, NSEC_PER_SEC));
    return 0;
}
METHOD(unix_ms)
{
    *ret = of_kind(TMPL_INT, floor_div(of, NSEC_PER_MSEC));
    return 0;
}
METHOD(unix_us)
{
    *ret = of_kind(TMPL_INT, floor_div(of, 1000));
    return 0;
}
METHOD(year)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_year + 1900);
    return 0;
}
METHOD(month)
{
    *ret = of_kind(TMPL_MONTH, broken_down(of).tm_mon + 1);
    return 0;
}
METHOD(day)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_mday);
    return 0;
}
METHOD(weekday)
{
    *ret = of_kind(TMPL_WEEKDAY, broken_down(of).tm_wday);
    return 0;
}
METHOD(year_day)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_yday + 1);
    return 0;
}
METHOD(hour)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_hour);
    return 0;
}
METHOD(minute)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_min);
    return 0;
}
METHOD(second)
{
    *ret = of_kind(TMPL_INT, broken_down(of).tm_sec);
    return 0;
}
METHOD(nanosecond)
{
    *ret = of_kind(TMPL_INT, of - floor_div(of, NSEC_PER_SEC) * NSEC_PER_SEC);
    return 0;
}
METHOD(same_time) /* all are in UTC */
{
    *ret = of_kind(TMPL_TIME, of);
    return 0;
}
METHOD(time_add)
{
    *ret = of_kind(TMPL_TIME, saturated((__int128)of + args[0].i));
    return 0;
}
METHOD(add_date)
{
    struct tm t = broken_down(of);
    for (int i = 0; i < 3; i++)
        if (args[i].i < -100000 || args[i].i > 100000)
            return tmpl_fail(x, "error calling AddDate: more than 100000 years, months or days");
    t.tm_year += (int)args[0].i;
    t.tm_mon += (int)args[1].i;
    t.tm_mday += (int)args[2].i;
    int64_t below = of - floor_div(of, NSEC_PER_SEC) * NSEC_PER_SEC;
    *ret = of_kind(TMPL_TIME, saturated((__int128)timegm(&t) * NSEC_PER_SEC + below));
    return 0;
}
METHOD(time_sub)
{
    *ret = of_kind(TMPL_DURATION, saturated((__int128)of - args[0].i));
    return 0;
}
METHOD(time_after)
{
    *ret = tmpl_bool(of > args[0].i);
    return 0;
}
METHOD(time_before)
{
    *ret = tmpl_bool(of < args[0].i);
    return 0;
}
METHOD(time_equal)
{
    *ret = tmpl_bool(of == args[0].i);
    return 0;
}
METHOD(time_compare)
{
    *ret = of_kind(TMPL_INT, of < args[0].i ? -1 : of > args[0].i);
    return 0;
}
METHOD(is_zero) /* 1 January of the year 1, which toTime cannot give */
{
    *ret = tmpl_bool(false);
    return 0;
}
/* Go counts from the year 1, which is a whole number of days and, of weeks, a Monday. */
static int64_t time_multiple(int64_t of, int64_t m, bool nearest)
{
    const __int128 epoch = (__int128)62135596800 * NSEC_PER_SEC;
    if (m <= 0)
        return of;
    __int128 rest = (of + epoch) % m, down = of - rest;
    return saturated(nearest && rest * 2 >= m ? down + m : down);
}
METHOD(time_round)
{
    *ret = of_kind(TMPL_TIME, time_multiple(of, args[0].i, true));
    return 0;
}
METHOD(time_truncate)
{
    *ret = of_kind(TMPL_TIME, time_multiple(of, args[0].i, false));
    return 0;
}

/* ---- numbers with names ---- */

METHOD(month_string)
{
    *ret = tmpl_string(tmpl_month_name(of));
    return 0;
}
METHOD(weekday_string)
{
    *ret = tmpl_string(tmpl_weekday_name(of));
    return 0;
}

/* Arguments: s a text, d a duration, t a time, i a whole number. */
static const struct {
    TmplKind of;
    StrView name;
    const char *args;
    MethodFn *fn;
} methods[] = {
    { TMPL_DURATION, SV_INIT("Seconds"), "", seconds },
    { TMPL_DURATION, SV_INIT("Minutes"), "", minutes },
    { TMPL_DURATION, SV_INIT("Hours"), "", hours },
    { TMPL_DURATION, SV_INIT("Nanoseconds"), "", whole },
    { TMPL_DURATION, SV_INIT("Microseconds"), "", microseconds },
    { TMPL_DURATION, SV_INIT("Milliseconds"), "", milliseconds },
    { TMPL_DURATION, SV_INIT("String"), "", duration_string },
    { TMPL_DURATION, SV_INIT("Abs"), "", duration_abs },
    { TMPL_DURATION, SV_INIT("Round"), "d", duration_round },
    { TMPL_DURATION, SV_INIT("Truncate"), "d", duration_truncate },
    { TMPL_TIME, SV_INIT("Format"), "s", time_format },
    { TMPL_TIME, SV_INIT("String"), "", time_string },
    { TMPL_TIME, SV_INIT("Unix"), "", unix_s },
    { TMPL_TIME, SV_INIT("UnixMilli"), "", unix_ms },
    { TMPL_TIME, SV_INIT("UnixMicro"), "", unix_us },
    { TMPL_TIME, SV_INIT("UnixNano"), "", whole },
    { TMPL_TIME, SV_INIT("Year"), "", year },
    { TMPL_TIME, SV_INIT("Month"), "", month },
    { TMPL_TIME, SV_INIT("Day"), "", day },
    { TMPL_TIME, SV_INIT("Weekday"), "", weekday },
    { TMPL_TIME, SV_INIT("YearDay"), "", year_day },
    { TMPL_TIME, SV_INIT("Hour"), "", hour },
    { TMPL_TIME, SV_INIT("Minute"), "", minute },
    { TMPL_TIME, SV_INIT("Second"), "", second },
    { TMPL_TIME, SV_INIT("Nanosecond"), "", nanosecond },
    { TMPL_TIME, SV_INIT("UTC"), "", same_time },
    { TMPL_TIME, SV_INIT("Local"), "", same_time },
    { TMPL_TIME, SV_INIT("Add"), "d", time_add },
    { TMPL_TIME, SV_INIT("AddDate"), "iii", add_date },
    { TMPL_TIME, SV_INIT("Sub"), "t", time_sub },
    { TMPL_TIME, SV_INIT("After"), "t", time_after },
    { TMPL_TIME, SV_INIT("Before"), "t", time_before },
    { TMPL_TIME, SV_INIT("Equal"), "t", time_equal },
    { TMPL_TIME, SV_INIT("Compare"), "t", time_compare },
    { TMPL_TIME, SV_INIT("IsZero"), "", is_zero },
    { TMPL_TIME, SV_INIT("Round"), "d", time_round },
    { TMPL_TIME, SV_INIT("Truncate"), "d", time_truncate },
    { TMPL_MONTH, SV_INIT("String"), "", month_string },
    { TMPL_WEEKDAY, SV_INIT("String"), "", weekday_string },
};

static bool fits(char want, const TmplVal *v)
{
    return want == 's'   ? v->kind == TMPL_STRING
           : want == 't' ? v->kind == TMPL_TIME
           : want == 'd' ? v->kind == TMPL_DURATION || v->kind == TMPL_INT
                         : v->kind == TMPL_INT;
}

int tmpl_method(TmplExec *x, const TmplVal *of, StrView name, const TmplVal *args, unsigned n,
                TmplVal *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        const char *want = methods[i].args;
        if (methods[i].of != of->kind || !sv_eq(methods[i].name, name))
            continue;
        if (strlen(want) != n)
            return tmpl_fail(x, "wrong number of args for %.*s: want %zu got %u", SV_FMT(name),
                             strlen(want), n);
        for (unsigned k = 0; k < n; k++)
            if (!fits(want[k], &args[k]))
                return tmpl_fail(x, "wrong type for value; expected %s; got %s",
                                 want[k] == 's'   ? "string"
                                 : want[k] == 't' ? "time.Time"
                                 : want[k] == 'd' ? "time.Duration"
                                                  : "int",
                                 tmpl_type_name(&args[k]));
        int r = methods[i].fn(x, of->i, args, ret);
        return r < 0 ? r : 1;
    }
    return 0;
}
