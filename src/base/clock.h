/* clock.h - time as int64 nanoseconds, and the text forms of RFC 3339 and of Go's durations. */
#pragma once

#include "base/str.h"

#define NSEC_PER_SEC  INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)

int64_t clock_real_ns(void); /* since the Unix epoch, UTC */
int64_t clock_mono_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */

enum { RFC3339_SIZE = 40 };
/* "2026-11-23T05:35:37Z"; with `frac` 3, 6 or 9 also that many digits of the second. Returns buf.
 */
char *rfc3339_format(int64_t ns, int frac, char buf[static RFC3339_SIZE]);
/* The same with as many digits as there are to show: Go's time.RFC3339Nano. */
char *rfc3339_format_nano(int64_t ns, char buf[static RFC3339_SIZE]);
int rfc3339_parse(StrView s, int64_t *ret_ns); /* any offset, 0-9 fraction digits; 0 or -EINVAL */

/* A moment of any year that RFC 3339 can write, 0 to 9999: int64 nanoseconds reach from 1678 to
 * 2262 only, and rfc3339_parse() refuses what is outside. */
typedef struct Moment {
    int64_t sec; /* since the Unix epoch, rounded down */
    int32_t nsec;
} Moment;
#define MOMENT_SEC_MIN INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define MOMENT_SEC_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
int moment_parse(StrView s, Moment *ret);    /* as rfc3339_parse() */
/* As rfc3339_format(); seconds outside of the range above are cut to it. */
char *moment_format(Moment m, int frac, char buf[static RFC3339_SIZE]);

/* Go's time.ParseDuration: "1h2m3.5s", "300ms", "-1.5h", "0". 0, or -EINVAL, -ERANGE. */
int duration_parse(StrView s, int64_t *ret_ns);

enum { DURATION_SIZE = 48 };
/* Go's Duration.String: "1h0m0s", "1.5s", "300ms", "0s". Terminated; returns the length. */
size_t duration_format(int64_t ns, char buf[static DURATION_SIZE]);
