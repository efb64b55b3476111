/* watchdog.c - see watchdog.h. */
#include "cmd/watchdog.h"

#include "base/clock.h"
#include "base/macros.h"

#define DOUBT_AFTER   (5 * NSEC_PER_SEC) /* CPU is counted from here on */
#define BURNING_AFTER (10 * NSEC_PER_SEC)
#define SILENT_AFTER  (60 * NSEC_PER_SEC)
#define LOOK_AGAIN    (1 * NSEC_PER_SEC)
#define USEC_MAX      UINT64_C(3600000000)

void watchdog_start(Watchdog *w, int64_t now)
{
    *w = (Watchdog){ .heard = now };
}

static bool usec_of(StrView line, StrView name, int64_t *ret_ns)
{
    uint64_t n;
    if (!sv_starts(line, name) || sv_to_u64(sv_skip(line, name.len), &n) < 0 || n > USEC_MAX)
        return false;
    *ret_ns = (int64_t)n * 1000;
    return true;
}

static void hear_line(Watchdog *w, StrView line, int64_t now)
{
    int64_t ns;
    if (sv_eq(line, SV("READY=1")))
        w->ready = true;
    if (sv_eq(line, SV("READY=1")) || sv_eq(line, SV("WATCHDOG=1"))) {
        w->heard = now;
        w->doubted = 0;
    }
    if (usec_of(line, SV("WATCHDOG_USEC="), &ns))
        w->limit = ns;
    if (usec_of(line, SV("EXTEND_TIMEOUT_USEC="), &ns))
        w->extended = now + ns;
}

void watchdog_hear(Watchdog *w, StrView text, int64_t now)
{
    StrView line;
    for (bool more = true; more;) {
        more = sv_cut(text, '\n', &line, &text);
        hear_line(w, line, now);
    }
}

static int64_t limit_of(const Watchdog *w)
{
    return w->limit ? w->limit : SILENT_AFTER;
}

int64_t watchdog_due(const Watchdog *w)
{
    int64_t end = w->heard + limit_of(w);
    int64_t next = w->doubted ? MAX(w->doubted + LOOK_AGAIN, w->heard + BURNING_AFTER)
                              : w->heard + DOUBT_AFTER;
    return w->ready ? MIN(end, next) : end;
}

bool watchdog_look(Watchdog *w, int64_t now, int64_t cpu)
{
    int64_t silent = now - w->heard;
    if (silent >= limit_of(w))
        return true;
    if (!w->ready || silent < DOUBT_AFTER)
        return false;
    if (!w->doubted) {
        w->doubted = now;
        w->cpu_then = cpu;
        return false;
    }
    if (silent < BURNING_AFTER || now - w->doubted < LOOK_AGAIN)
        return false;
    /* Half a core: others want their share, too. */
    bool burns = cpu - w->cpu_then >= (now - w->doubted) / 2;
    w->doubted = now;
    w->cpu_then = cpu;
    return burns;
}
