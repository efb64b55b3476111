/* queries.c - writes what bench/queries.sh asks for: a database of 6 h of samples every 15 s.
 * usage: bench-queries DIR SERIES
 *
 * SERIES is rounded to whole instances of 20 series: ten counters with a path and a code, and the
 * ten buckets of a histogram. All samples end up in blocks, so that no log has to be replayed. */
#include <stdio.h>

#include "base/log.h"
#include "monitor/tsdb/tsdb.h"

enum {
    HOUR_MS = 3600 * 1000,
    INTERVAL_MS = 15 * 1000,
    SPAN_MS = 6 * HOUR_MS,
    KINDS = 10, /* of counters, and of buckets, of an instance */
};
static const int64_t begin_ms = 1700006400000; /* the start of a block's range */

typedef struct Bench {
    Tsdb *db;
    unsigned instances;
    SeriesRef *refs;
    double *values;
} Bench;

static AppendResult append_counter(TsdbAppender *a, Bench *b, unsigned host, unsigned kind,
                                   int64_t t, Err *err)
{
    char name[32], path[32];
    unsigned step = (unsigned)((t - begin_ms) / INTERVAL_MS);
    size_t i = (size_t)host * 2 * KINDS + kind;
    snprintf(name, sizeof name, "host-%u", host);
    snprintf(path, sizeof path, "/p%u", kind % 5);
    const Label l[] = { { LABEL_METRIC_NAME, SV("http_requests_total") },
                        { SV("code"), kind < 5 ? SV("200") : SV("500") },
                        { SV("instance"), sv_cstr(name) },
                        { SV("path"), sv_cstr(path) } };
    b->values[i] += (step * 7 + host * 3 + kind) % 11;
    return tsdb_append(a, &b->refs[i], (Labels){ l, ARRAY_SIZE(l) }, t, b->values[i], err);
}

static AppendResult append_bucket(TsdbAppender *a, Bench *b, unsigned host, unsigned kind,
                                  int64_t t, Err *err)
{
    static const char *const les[KINDS] = { "0.005", "0.01", "0.025", "0.05", "0.1",
                                            "0.25",  "0.5",  "1.0",   "2.5",  "+Inf" };
    char name[32];
    unsigned step = (unsigned)((t - begin_ms) / INTERVAL_MS);
    size_t i = (size_t)host * 2 * KINDS + KINDS + kind;
    snprintf(name, sizeof name, "host-%u", host);
    const Label l[] = { { LABEL_METRIC_NAME, SV("latency_seconds_bucket") },
                        { SV("instance"), sv_cstr(name) },
                        { SV("le"), sv_cstr(les[kind]) } };
    b->values[i] += (kind + 1) * (1 + (step + host) % 3);
    return tsdb_append(a, &b->refs[i], (Labels){ l, ARRAY_SIZE(l) }, t, b->values[i], err);
}

static int write_step(Bench *b, int64_t t, Err *err)
{
    TsdbAppender *a;
    int r = tsdb_appender_new(b->db, &a, err);
    if (r < 0)
        return r;
    for (unsigned host = 0; host < b->instances; host++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            if (append_counter(a, b, host, kind, t, err) != APPEND_OK ||
                append_bucket(a, b, host, kind, t, err) != APPEND_OK) {
                tsdb_appender_rollback(a);
                return err_set(err, ERR_CONFLICT, 0, "a sample was refused");
            }
    return tsdb_appender_commit(a, err);
}

/* One sample far behind the others lets all of them be cut into blocks. */
static int write_tail(Bench *b, int64_t t, Err *err)
{
    static const Label l[] = { { LABEL_METRIC_NAME, SV_INIT("tail") } };
    SeriesRef ref = 0;
    TsdbAppender *a;
    int r = tsdb_appender_new(b->db, &a, err);
    if (r < 0)
        return r;
    tsdb_append(a, &ref, (Labels){ l, 1 }, t, 1, err);
    if ((r = tsdb_appender_commit(a, err)) < 0)
        return r;
    return tsdb_maintain(b->db, t, err);
}

static int write_all(Bench *b, Err *err)
{
    int r = 0;
    for (int64_t t = begin_ms; r == 0 && t < begin_ms + SPAN_MS; t += INTERVAL_MS) {
        r = write_step(b, t, err);
        if (r == 0 && t % HOUR_MS == 0)
            r = tsdb_maintain(b->db, t, err);
    }
    return r < 0 ? r : write_tail(b, begin_ms + 2 * SPAN_MS, err);
}

int main(int argc, char **argv)
{
    uint64_t series;
    Err err = { 0 };
    log_init("bench");
    if (argc != 3 || sv_to_u64(sv_cstr(argv[2]), &series) < 0 || series < 2 * KINDS) {
        fputs("usage: bench-queries DIR SERIES\n", stderr);
        return 2;
    }
    Bench b = { .instances = (unsigned)(series / (2 * KINDS)) };
    const TsdbOptions opt = { .dir = argv[1],
                              .wal_compress = true,
                              .retention_ms = INT64_MAX / 4,
                              .block_max_ms = 2 * HOUR_MS };
    b.refs = calloc(series, sizeof *b.refs);
    b.values = calloc(series, sizeof *b.values);
    int r = b.refs && b.values ? tsdb_open(&opt, &b.db, &err) : err_nomem(&err);
    if (r == 0)
        r = write_all(&b, &err);
    tsdb_close(b.db);
    free(b.refs);
    free(b.values);
    if (r < 0)
        fprintf(stderr, "bench-queries: %s\n", err.msg);
    return r < 0;
}
