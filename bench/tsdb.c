/* tsdb.c - the time-series database by itself.
 *
 *   bench-tsdb write DIR SERIES HOURS [STEP_MS]   appends, then cuts blocks; prints CPU and memory
 *   bench-tsdb open DIR                           opens what is there (log replay); prints time and
 * memory
 *
 * Series look like a node exporter's: some 20 metrics, counters and gauges, many hosts. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "monitor/tsdb/tsdb.h"

enum { HOUR_MS = 3600 * 1000 };
static const int64_t begin_ms = 1700006400000; /* the start of a block's range */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_bytes(void)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    unsigned long pages = 0;
    if (file_read(AT_FDCWD, "/proc/self/statm", 4096, &text) < 0 || !buf_cstr(&text) ||
        sscanf(text.ptr, "%*u %lu", &pages) != 1)
        return 0;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int fail(const Err *err)
{
    fprintf(stderr, "bench-tsdb: %s\n", err->msg);
    return 1;
}

static AppendResult append_one(TsdbAppender *a, SeriesRef *ref, unsigned i, int64_t t, Err *err)
{
    char name[40], host[40], cpu[16];
    snprintf(name, sizeof name, "node_metric_%u_%s", i % 20, i % 3 ? "total" : "bytes");
    snprintf(host, sizeof host, "host-%u.example:9100", i / 100);
    snprintf(cpu, sizeof cpu, "%u", i % 100 / 20);
    const Label l[] = { { LABEL_METRIC_NAME, sv_cstr(name) },
                        { SV("cpu"), sv_cstr(cpu) },
                        { SV("instance"), sv_cstr(host) },
                        { SV("job"), SV("node") } };
    double steps = (double)(t - begin_ms) / 15000;
    double v = i % 3 ? floor(steps * (i % 7 + 1) * 1.5) : 1e9 + 4096 * floor(100 * sin(steps + i));
    return tsdb_append(a, ref, (Labels){ l, ARRAY_SIZE(l) }, t, v, err);
}

static int write_all(Tsdb *db, unsigned n_series, int64_t end, int64_t step, size_t *ret_n,
                     Err *err)
{
    SeriesRef *refs = calloc(n_series, sizeof *refs);
    int r = refs ? 0 : err_nomem(err);
    for (int64_t t = begin_ms; r == 0 && t < end; t += step) {
        TsdbAppender *a;
        if ((r = tsdb_appender_new(db, &a, err)) < 0)
            break;
        for (unsigned i = 0; i < n_series; i++)
            *ret_n += append_one(a, &refs[i], i, t, err) == APPEND_OK;
        r = tsdb_appender_commit(a, err);
    }
    free(refs);
    return r;
}

static int write_db(const char *dir, unsigned n_series, unsigned hours, int64_t step)
{
    const TsdbOptions opt = { .dir = dir, .wal_compress = true };
    int64_t end = begin_ms + (int64_t)hours * HOUR_MS;
    size_t n = 0;
    Tsdb *db;
    Err err = { 0 };
    if (tsdb_open(&opt, &db, &err) < 0)
        return fail(&err);
    double before = cpu_seconds();
    int r = write_all(db, n_series, end, step, &n, &err);
    double cpu = cpu_seconds() - before, resident = resident_bytes();
    if (r == 0)
        r = tsdb_maintain(db, end, &err);
    if (r == 0)
        printf(
            "%u series, %zu samples: %.2f million samples per CPU-second, %.0f bytes resident per series\n",
            n_series, n, (double)n / cpu / 1e6, resident / n_series);
    Arena a;
    TsdbStats s;
    arena_init(&a, 0);
    if (r == 0 && tsdb_stats(db, 0, &a, &s, &err) == 0 && s.blocks)
        printf("blocks: %.2f bytes per sample\n",
               (double)s.block_bytes /
                   ((double)n * (double)(s.min_time - begin_ms) / (double)(end - begin_ms)));
    arena_free(&a);
    tsdb_close(db);
    return r < 0 ? fail(&err) : 0;
}

static int open_db(const char *dir)
{
    const TsdbOptions opt = { .dir = dir, .wal_compress = true };
    Tsdb *db;
    Err err = { 0 };
    int64_t begin = clock_mono_ns();
    if (tsdb_open(&opt, &db, &err) < 0)
        return fail(&err);
    printf("opened in %.2f s, %.1f MB resident\n", (double)(clock_mono_ns() - begin) / 1e9,
           resident_bytes() / 1e6);
    tsdb_close(db);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t series, hours, step = 15000;
    log_init("bench");
    if (argc == 3 && strcmp(argv[1], "open") == 0)
        return open_db(argv[2]);
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "write") == 0 &&
        sv_to_u64(sv_cstr(argv[3]), &series) == 0 && sv_to_u64(sv_cstr(argv[4]), &hours) == 0 &&
        (argc == 5 || sv_to_u64(sv_cstr(argv[5]), &step) == 0) && series && step)
        return write_db(argv[2], (unsigned)series, (unsigned)hours, (int64_t)step);
    fputs("usage: bench-tsdb write DIR SERIES HOURS [STEP_MS] | open DIR\n", stderr);
    return 2;
}
