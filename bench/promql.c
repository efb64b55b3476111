/* promql.c - milliseconds of PromQL range queries over data in memory: 6 h of samples every 15 s.
 * usage: bench-promql [SERIES [REPEATS]]; SERIES is rounded to whole instances of 20 series.
 *        bench-promql SERIES dump prints the data as OpenMetrics, `queries` the queries.
 *
 * Each instance has ten counters with a path and a code, and a histogram of ten buckets. The data
 * is the same that bench/promql.sh gives to Prometheus. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/promql/promql.h"
#include "monitor/promqltest/memory.h"

enum {
    HOURS = 6,
    INTERVAL_MS = 15 * 1000,
    SAMPLES = HOURS * 3600 * 1000 / INTERVAL_MS,
    STEP_MS = 60 * 1000,
    KINDS = 10, /* of counters, and of buckets, of an instance */
};

static const char *const queries[] = {
    "sum by (path) (rate(http_requests_total[5m]))",
    "histogram_quantile(0.99, sum by (le) (rate(latency_seconds_bucket[5m])))",
    "topk(5, rate(http_requests_total[5m]))",
    "sum(rate(http_requests_total{instance=~\"host-.*[05]\"}[5m]))",
    "max by (code) (http_requests_total)",
    "sum(http_requests_total) / sum(latency_seconds_bucket)",
    "avg_over_time(http_requests_total[1h])",
    ("rate(http_requests_total[5m]) / on (instance, path) group_left () "
     "max by (instance, path) (rate(http_requests_total[5m]))"),
};

static void add_series(Memory *m, unsigned host, unsigned kind, bool bucket)
{
    static const char *const les[KINDS] = { "0.005", "0.01", "0.025", "0.05", "0.1",
                                            "0.25",  "0.5",  "1",     "2.5",  "+Inf" };
    char name[32], path[32];
    Err err = { 0 };
    snprintf(name, sizeof name, "host-%u", host);
    snprintf(path, sizeof path, "/p%u", kind % 5);
    Label counter[] = { { LABEL_METRIC_NAME, SV("http_requests_total") },
                        { SV("code"), kind < 5 ? SV("200") : SV("500") },
                        { SV("instance"), sv_cstr(name) },
                        { SV("path"), sv_cstr(path) } };
    Label part[] = { { LABEL_METRIC_NAME, SV("latency_seconds_bucket") },
                     { SV("instance"), sv_cstr(name) },
                     { SV("le"), sv_cstr(les[kind]) } };
    MemorySeries *s = memory_series(m, bucket ? (Labels){ part, ARRAY_SIZE(part) }
                                              : (Labels){ counter, ARRAY_SIZE(counter) });
    double v = 0;
    for (unsigned i = 0; s && i < SAMPLES; i++) {
        v += bucket ? (kind + 1) * (1 + (i + host) % 3) : (i * 7 + host * 3 + kind) % 11;
        if (memory_append(m, s, (int64_t)i * INTERVAL_MS, v, NULL, 0, &err) < 0)
            break;
    }
}

/* All samples as OpenMetrics text, a metric's series together. */
static void dump(Memory *m, const char *metric)
{
    Arena a;
    Matcher name;
    SeriesSet *set = NULL;
    SampleCols cols;
    Labels l;
    SelectHints hints = { .start = 0, .end = INT64_MAX - 1 };
    Querier *q = memory_querier(m);
    arena_init(&a, 0);
    sample_cols_init(&cols);
    if (matcher_init(&name, MATCH_EQ, LABEL_METRIC_NAME, sv_cstr(metric), &a, NULL) < 0 ||
        q->ops->select(q, &hints, &name, 1, &set, NULL) < 0)
        return;
    printf("# TYPE %s unknown\n", metric);
    while (q->ops->next(set, &l, &cols, NULL) > 0) {
        _cleanup_buf_ Buf text = BUF_INIT;
        for (unsigned i = 0; i < l.len; i++) {
            if (sv_eq(l.items[i].name, LABEL_METRIC_NAME))
                continue;
            buf_printf(&text, "%c%.*s=", text.len ? ',' : '{', SV_FMT(l.items[i].name));
            text_quote(l.items[i].value, &text);
        }
        for (size_t i = 0; i < cols.len; i++)
            printf("%s%.*s} %.0f %.3f\n", metric, SV_FMT(buf_view(&text)), cols.v[i],
                   (double)cols.t[i] / 1000);
    }
    q->ops->set_free(set);
    sample_cols_free(&cols);
    arena_free(&a);
}

static double run(Memory *m, const char *text, PromqlStats *stats)
{
    PromqlOptions o = { .max_samples = UINT64_C(1) << 40, .memory_limit = (size_t)16 << 30 };
    PromqlQuery q = { .text = sv_cstr(text),
                      .range = true,
                      .start = 3600 * 1000,
                      .end = HOURS * 3600 * 1000,
                      .step = STEP_MS };
    PromqlResult r;
    Err err = { 0 };
    int64_t start = clock_mono_ns();
    if (promql_query(&o, memory_querier(m), &q, &r, &err) < 0)
        printf("  error: %s\n", err.msg);
    double ms = (double)(clock_mono_ns() - start) / NSEC_PER_MSEC;
    *stats = r.stats;
    promql_result_free(&r);
    return ms;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "queries") == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
            puts(queries[i]);
        return 0;
    }
    unsigned series = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    unsigned repeats = argc > 2 ? (unsigned)atoi(argv[2]) : 5, hosts = series / (2 * KINDS);
    Memory *m = memory_new();
    if (!m || !hosts)
        return 1;
    for (unsigned h = 0; h < hosts; h++)
        for (unsigned k = 0; k < 2 * KINDS; k++)
            add_series(m, h, k % KINDS, k >= KINDS);
    if (argc > 2 && strcmp(argv[2], "dump") == 0) {
        dump(m, "http_requests_total");
        dump(m, "latency_seconds_bucket");
        puts("# EOF");
        memory_free(m);
        return 0;
    }
    printf("%u series, %d h every %d s, %d steps; best of %u\n", hosts * 2 * KINDS, HOURS,
           INTERVAL_MS / 1000, (HOURS - 1) * 3600 * 1000 / STEP_MS + 1, repeats);
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        PromqlStats stats = { 0 };
        double best = INFINITY;
        for (unsigned k = 0; k < repeats; k++)
            best = fmin(best, run(m, queries[i], &stats));
        printf("%9.2f ms  %10llu samples  %s\n", best, (unsigned long long)stats.samples_read,
               queries[i]);
    }
    memory_free(m);
    return 0;
}
