/* process_stats.c - see process_stats.h; from /proc/self. */
#include "base/process_stats.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

enum { STAT_VSIZE = 23, STAT_RSS = 24, STAT_MAX = 4096 };

static uint64_t open_fds(void)
{
    uint64_t n = 0;
    struct dirent *e;
    DIR *d;
    if (dir_list(AT_FDCWD, "/proc/self/fd", &d) < 0)
        return 0;
    while (dir_next(d, &e) > 0)
        n++;
    closedir(d);
    return n > 1 ? n - 1 : 0; /* without the folder itself */
}

/* Field `n` (from 1) of /proc/self/stat, behind the name in parentheses. */
static double stat_field(StrView stat, unsigned n)
{
    ssize_t end = sv_rfind_char(stat, ')');
    StrView rest = end < 0 ? stat : sv_skip(stat, (size_t)end + 2), piece;
    double v = 0;
    for (unsigned i = 3; sv_next(&rest, ' ', &piece); i++)
        if (i == n)
            return sv_to_double(piece, &v) < 0 ? 0 : v;
    return 0;
}

void process_stats(ProcessStats *ret)
{
    _cleanup_buf_ Buf stat = BUF_INIT;
    struct rusage u = { 0 };
    struct rlimit fds = { 0 }, memory = { 0 };
    getrusage(RUSAGE_SELF, &u);
    getrlimit(RLIMIT_NOFILE, &fds);
    getrlimit(RLIMIT_AS, &memory);
    if (file_read(AT_FDCWD, "/proc/self/stat", STAT_MAX, &stat) < 0)
        buf_clear(&stat);
    *ret = (ProcessStats){
        .cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                 (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
        .open_fds = open_fds(),
        .max_fds = fds.rlim_cur,
        .virtual_bytes = stat_field(buf_view(&stat), STAT_VSIZE),
        .virtual_max_bytes = memory.rlim_cur == RLIM_INFINITY ? -1 : (double)memory.rlim_cur,
        .resident_bytes = stat_field(buf_view(&stat), STAT_RSS) * (double)sysconf(_SC_PAGESIZE),
    };
}

/* ---- registered ---- */

typedef enum ProcessMetric {
    PROCESS_CPU,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_VIRTUAL,
    PROCESS_VIRTUAL_MAX,
    PROCESS_RESIDENT,
    PROCESS_START,
    PROCESS_METRIC_MAX
} ProcessMetric;

static const MetricDef defs[PROCESS_METRIC_MAX] = {
    [PROCESS_CPU] = { "process_cpu_seconds_total", "User and system CPU time in seconds.",
                      METRIC_COUNTER },
    [PROCESS_OPEN_FDS] = { "process_open_fds", "Open file descriptors.", METRIC_GAUGE },
    [PROCESS_MAX_FDS] = { "process_max_fds", "The most file descriptors that may be open.",
                          METRIC_GAUGE },
    [PROCESS_VIRTUAL] = { "process_virtual_memory_bytes", "Virtual memory in bytes.",
                          METRIC_GAUGE },
    [PROCESS_VIRTUAL_MAX] = { "process_virtual_memory_max_bytes",
                              "The most virtual memory in bytes; -1: no limit.", METRIC_GAUGE },
    [PROCESS_RESIDENT] = { "process_resident_memory_bytes", "Resident memory in bytes.",
                           METRIC_GAUGE },
    [PROCESS_START] = { "process_start_time_seconds",
                        "Start of the process, in seconds since 1970.", METRIC_GAUGE },
};

typedef struct Registered {
    Metric *metrics[PROCESS_METRIC_MAX];
} Registered;

static void collect(void *ctx)
{
    const Registered *r = ctx;
    ProcessStats s;
    process_stats(&s);
    metric_set(r->metrics[PROCESS_CPU], NULL, s.cpu_s);
    metric_set(r->metrics[PROCESS_OPEN_FDS], NULL, (double)s.open_fds);
    metric_set(r->metrics[PROCESS_MAX_FDS], NULL, (double)s.max_fds);
    metric_set(r->metrics[PROCESS_VIRTUAL], NULL, s.virtual_bytes);
    metric_set(r->metrics[PROCESS_VIRTUAL_MAX], NULL, s.virtual_max_bytes);
    metric_set(r->metrics[PROCESS_RESIDENT], NULL, s.resident_bytes);
}

void process_stats_register(Metrics *m)
{
    Registered *r = metrics_state(m, sizeof *r);
    if (!r)
        return;
    for (int i = 0; i < PROCESS_METRIC_MAX; i++)
        r->metrics[i] = metrics_add(m, &defs[i]);
    metric_set(r->metrics[PROCESS_START], NULL, (double)(clock_real_ns() / NSEC_PER_MSEC) / 1e3);
    metrics_on_collect(m, collect, r);
}
