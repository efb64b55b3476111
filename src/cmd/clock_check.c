/* clock_check.c - see clock_check.h. */
#include "cmd/clock_check.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "net/pki.h"
#include "store/mark.h"

enum { SLACK_SEC = 300 };

static char *text_of(int64_t sec, char buf[static RFC3339_SIZE])
{
    return rfc3339_format(sec * NSEC_PER_SEC, 0, buf);
}

/* `what` holds one %s for the path and ends before the time. */
static bool wrong(Buf *why, int64_t now, const char *path, const char *what, int64_t known)
{
    char clock[RFC3339_SIZE], then[RFC3339_SIZE];
    buf_printf(why, "the clock says %s, but '%s' %s %s", text_of(now, clock), path, what,
               text_of(known, then));
    return true;
}

static int64_t program_age(const Cluster *c, char path[static PATH_MAX])
{
    struct stat st;
    return cluster_program(c, "knarr-pki", path, NULL) == 0 && stat(path, &st) == 0
               ? st.st_mtim.tv_sec
               : 0;
}

bool clock_is_wrong(const Cluster *c, StrView ca_cert, int64_t now, bool running, Buf *why)
{
    char path[PATH_MAX];
    int64_t begin, end;
    bool bad;
    Mark mark;
    if (!ca_cert.len) {
        int64_t made = program_age(c, path);
        return now + SLACK_SEC < made && wrong(why, now, path, "was installed at", made);
    }
    cluster_path(c, path, "pki/ca.crt");
    if (pki_period(ca_cert, &begin, &end, NULL) < 0)
        return false; /* whoever uses it says what is wrong with it */
    if (now < begin)
        return wrong(why, now, path, "is valid from", begin);
    if (now > end)
        return wrong(why, now, path, "is valid until", end);
    if (running)
        return false;
    cluster_path(c, path, "store/mark");
    return mark_read(path, &mark, &bad, NULL) == 0 && mark.seq && now + SLACK_SEC < mark.time &&
           wrong(why, now, path, "was written at", mark.time);
}
