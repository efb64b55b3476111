/* scrape.c - samples scraped per CPU-second: HTTP, parsing, cache, relabelling and report series,
 * with a database that only counts. `bench-scrape serve PORT FILE` serves FILE as a target;
 * `bench-scrape run PORT TARGETS SECONDS` scrapes it under so many paths every 200 ms.
 * bench/scrape.sh puts Prometheus beside it (which stores what it scrapes). */
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/file.h"
#include "monitor/scrape/scrape.h"
#include "net/http.h"

struct Tsdb {
    uint64_t series, samples;
};
struct TsdbAppender {
    Tsdb *db;
};

const char *append_result_text(AppendResult r)
{
    return "";
}
int tsdb_appender_new(Tsdb *db, TsdbAppender **ret, Err *err)
{
    *ret = malloc(sizeof **ret);
    (*ret)->db = db;
    return 0;
}
AppendResult tsdb_append(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t, double v,
                         Err *err)
{
    if (!*ref)
        *ref = ++a->db->series;
    a->db->samples++;
    return APPEND_OK;
}
AppendResult tsdb_append_histogram(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t,
                                   const Histogram *h, Err *err)
{
    return tsdb_append(a, ref, labels, t, h->sum, err);
}
AppendResult tsdb_append_exemplar(TsdbAppender *a, SeriesRef ref, const Exemplar *e, Err *err)
{
    return APPEND_OK;
}
AppendResult tsdb_append_metadata(TsdbAppender *a, SeriesRef ref, const MetricMetadata *m, Err *err)
{
    return APPEND_OK;
}
TsdbAppender *tsdb_appender_rollback(TsdbAppender *a)
{
    free(a);
    return NULL;
}
int tsdb_appender_commit(TsdbAppender *a, Err *err)
{
    free(a);
    return 0;
}

static void handle(void *ctx, HttpReq *req)
{
    http_respond(req, 200, SV("text/plain; version=0.0.4"), buf_view(ctx));
}

static int serve(Loop *l, const char *port, const char *file, Err *err)
{
    char addr[64];
    _cleanup_buf_ Buf body = BUF_INIT;
    HttpServer *s = NULL;
    HttpServerConfig c = { .handler = handle, .ctx = &body, .body_max = 1024 };
    int r = file_read(AT_FDCWD, file, 64 * 1024 * 1024, &body);
    if (r < 0)
        return err_neg(err, r, "read '%s'", file);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", port);
    if ((r = http_server_new(l, addr, &c, &s, err)) < 0)
        return r;
    return loop_run(l, err);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static int wait_seconds(Loop *l, unsigned seconds, Err *err)
{
    Source *timer = NULL;
    int r = loop_add_timer(l, seconds * 1000u, 0, stop, l, &timer, err);
    if (r >= 0)
        r = loop_run(l, err);
    source_free(timer);
    return r;
}

static int run(Loop *l, const char *port, unsigned targets, unsigned seconds, Err *err)
{
    Tsdb db = { 0 };
    ScrapeOptions opt = { .db = &db };
    ScrapeManager *m = NULL;
    Config *c = NULL;
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    buf_printf(&text, "global: {scrape_interval: 200ms}\nscrape_configs:\n");
    for (unsigned i = 0; i < targets; i++)
        buf_printf(&text,
                   "- {job_name: j%u, metrics_path: /m%u, static_configs: [{targets: "
                   "['127.0.0.1:%s']}]}\n",
                   i, i, port);
    if ((r = config_parse(buf_view(&text), "bench", SV(""), NULL, &c, err)) < 0 ||
        (r = scrape_manager_new(l, &opt, &m, err)) < 0 ||
        (r = scrape_manager_apply(m, c, err)) < 0 || (r = wait_seconds(l, 2, err)) < 0)
        return r;
    double before = cpu_seconds();
    uint64_t samples = db.samples;
    if ((r = wait_seconds(l, seconds, err)) < 0)
        return r;
    double used = cpu_seconds() - before;
    samples = db.samples - samples;
    ScrapeStats s = scrape_stats(m);
    printf("knarr: %llu samples in %.2f CPU-seconds: %.2f million a CPU-second, %.0f ns each "
           "(%llu scrapes failed)\n",
           (unsigned long long)samples, used, (double)samples / used / 1e6,
           used * 1e9 / (double)samples, (unsigned long long)s.scrapes_failed);
    scrape_manager_free(m);
    config_unref(c);
    return 0;
}

int main(int argc, char **argv)
{
    Loop *l = NULL;
    Err err = { 0 };
    int r = loop_new(&l, &err);
    if (r >= 0 && argc == 4 && strcmp(argv[1], "serve") == 0)
        r = serve(l, argv[2], argv[3], &err);
    else if (r >= 0 && argc == 5 && strcmp(argv[1], "run") == 0)
        r = run(l, argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), &err);
    else if (r >= 0)
        r = err_set(&err, ERR_INVALID, 0,
                    "usage: bench-scrape serve PORT FILE | run PORT TARGETS SECONDS");
    if (r < 0)
        fprintf(stderr, "bench-scrape: %s\n", err.msg);
    loop_free(l);
    return r < 0;
}
