/* test_scrape.c - a manager against a real server on loopback; what it appends is recorded by a
 * stand-in of the database. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/vec.h"
#include "monitor/model/number.h"
#include "monitor/model/sample.h"
#include "monitor/scrape/scrape.h"
#include "net/http.h"
#include "unit.h"

/* ---- the stand-in: series by their text, and a log of committed samples ---- */

typedef struct Sample {
    SeriesRef ref;
    int64_t t;
    double v;
} Sample;
typedef VEC(Sample) Samples;

struct Tsdb {
    pthread_mutex_t lock; /* held by an appender, and by who looks */
    VEC(char *) series;   /* ref is the place + 1 */
    Samples log;
    unsigned by_labels; /* appends that had to look labels up */
    unsigned exemplars;
    VEC(bool) gone;
};
struct TsdbAppender {
    Tsdb *db;
    Samples batch;
};

const char *append_result_text(AppendResult r)
{
    return r == APPEND_INVALID ? "invalid sample" : "failed";
}

int tsdb_appender_new(Tsdb *db, TsdbAppender **ret, Err *err)
{
    *ret = calloc(1, sizeof **ret);
    (*ret)->db = db;
    pthread_mutex_lock(&db->lock);
    return 0;
}

static SeriesRef find_series(Tsdb *db, Labels l)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    labels_format(l, &text);
    db->by_labels++;
    for (size_t i = 0; i < db->series.len; i++)
        if (strcmp(db->series.items[i], buf_cstr(&text)) == 0 && !db->gone.items[i])
            return i + 1;
    assert_true(vec_push(&db->series, strdup(buf_cstr(&text))));
    assert_true(vec_push(&db->gone, false));
    return db->series.len;
}

void tsdb_prefetch(const TsdbAppender *a, SeriesRef ref)
{
    (void)a;
    (void)ref;
}

AppendResult tsdb_append(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t, double v,
                         Err *err)
{
    if (!*ref || a->db->gone.items[*ref - 1]) {
        if (!labels.len)
            return APPEND_INVALID;
        *ref = find_series(a->db, labels);
    }
    assert_true(vec_push(&a->batch, ((Sample){ *ref, t, v })));
    return APPEND_OK;
}

AppendResult tsdb_append_zero(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t start,
                              const Histogram *like, Err *err)
{
    return tsdb_append(a, ref, labels, start, 0, err);
}

AppendResult tsdb_append_histogram(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t,
                                   const Histogram *h, Err *err)
{
    return tsdb_append(a, ref, labels, t, h->sum, err);
}

AppendResult tsdb_append_exemplar(TsdbAppender *a, SeriesRef ref, const Exemplar *e, Err *err)
{
    a->db->exemplars++;
    return APPEND_OK;
}

AppendResult tsdb_append_metadata(TsdbAppender *a, SeriesRef ref, const MetricMetadata *m, Err *err)
{
    return APPEND_OK;
}

TsdbAppender *tsdb_appender_rollback(TsdbAppender *a)
{
    pthread_mutex_unlock(&a->db->lock);
    vec_free(&a->batch);
    free(a);
    return NULL;
}

int tsdb_appender_commit(TsdbAppender *a, Err *err)
{
    vec_foreach (s, &a->batch)
        assert_true(vec_push(&a->db->log, *s));
    tsdb_appender_rollback(a);
    return 0;
}

/* ---- the world of a test ---- */

typedef struct World {
    Loop *loop;
    Tsdb db;
    HttpServer *server;
    ScrapeManager *m;
    Config *config;
    const char *body, *type;
    int status;
    unsigned requests;
    Buf accept, authorization, path;
    const char *redirect;
} World;

static void handle(void *ctx, HttpReq *req)
{
    World *w = ctx;
    Err err = { 0 };
    w->requests++;
    buf_clear(&w->accept);
    buf_sv(&w->accept, http_header(req, SV("accept")));
    buf_clear(&w->authorization);
    buf_sv(&w->authorization, http_header(req, SV("authorization")));
    if (w->redirect && sv_eq(req->path, SV("/metrics"))) {
        assert_int_equal(http_set_header(req, SV("Location"), sv_cstr(w->redirect), &err), 0);
        http_respond(req, 302, SV("text/plain"), SV(""));
        return;
    }
    buf_clear(&w->path);
    buf_sv(&w->path, req->raw_path);
    buf_putc(&w->path, '?');
    buf_sv(&w->path, req->query);
    http_respond(req, w->status, sv_cstr(w->type), sv_cstr(w->body));
}

static void world_init(World *w)
{
    Err err = { 0 };
    *w = (World){ .body = "a 1\n", .type = "text/plain; version=0.0.4", .status = 200 };
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&w->db.lock, &attr);
    assert_int_equal(loop_new(&w->loop, &err), 0);
    HttpServerConfig hc = { .handler = handle, .ctx = w, .body_max = 1024 };
    assert_int_equal(http_server_new(w->loop, "127.0.0.1:0", &hc, &w->server, &err), 0);
    ScrapeOptions opt = { .db = &w->db, .sync_delay_ms = 10 };
    assert_int_equal(scrape_manager_new(w->loop, &opt, &w->m, &err), 0);
}

/* A configuration with one job; `more` are further lines of it. */
static void apply(World *w, const char *more)
{
    char text[4096];
    Err err = { 0 };
    Config *c = NULL;
    snprintf(text, sizeof text,
             "global: {scrape_interval: 100ms}\nscrape_configs:\n- job_name: j\n"
             "  static_configs: [{targets: ['127.0.0.1:%u'], labels: {zone: z, __meta_x: y}}]\n%s",
             http_server_port(w->server), more);
    if (config_parse(sv_cstr(text), "test.yml", SV(""), NULL, &c, &err) < 0 ||
        scrape_manager_apply(w->m, c, &err) < 0)
        fail_msg("%s", err.msg);
    config_unref(c);
}

static void world_free(World *w)
{
    scrape_manager_free(w->m);
    http_server_free(w->server);
    assert_int_equal(loop_source_count(w->loop), 0);
    loop_free(w->loop);
    vec_foreach (s, &w->db.series)
        free(*s);
    vec_free(&w->db.series);
    vec_free(&w->db.gone);
    vec_free(&w->db.log);
    pthread_mutex_destroy(&w->db.lock);
    buf_free(&w->accept);
    buf_free(&w->authorization);
    buf_free(&w->path);
}

/* ---- waiting ---- */

typedef struct Wait {
    World *w;
    bool (*met)(World *w);
    int64_t deadline;
    bool done;
} Wait;

static void poll(void *ctx)
{
    Wait *x = ctx;
    pthread_mutex_lock(&x->w->db.lock);
    x->done = x->met(x->w);
    pthread_mutex_unlock(&x->w->db.lock);
    if (x->done || clock_mono_ns() > x->deadline)
        loop_stop(x->w->loop);
}

static void wait_for(World *w, bool (*met)(World *w))
{
    Wait x = { w, met, clock_mono_ns() + 10 * NSEC_PER_SEC, false };
    Source *timer = NULL;
    Err err = { 0 };
    assert_int_equal(loop_add_timer(w->loop, 5, 5, poll, &x, &timer, &err), 0);
    assert_int_equal(loop_run(w->loop, &err), 0);
    source_free(timer);
    if (!x.done)
        fail_msg("the condition was not met in time");
}

/* The newest sample of a series whose text starts with `prefix`; false: none. */
static bool newest(World *w, const char *prefix, double *ret)
{
    bool found = false;
    pthread_mutex_lock(&w->db.lock);
    for (size_t i = w->db.log.len; i-- > 0 && !found;) {
        const Sample *s = &w->db.log.items[i];
        found = strncmp(w->db.series.items[s->ref - 1], prefix, strlen(prefix)) == 0;
        if (found)
            *ret = s->v;
    }
    pthread_mutex_unlock(&w->db.lock);
    return found;
}

static bool has_series(World *w, const char *text)
{
    bool found = false;
    pthread_mutex_lock(&w->db.lock);
    for (size_t i = 0; i < w->db.series.len && !found; i++)
        found = strcmp(w->db.series.items[i], text) == 0;
    pthread_mutex_unlock(&w->db.lock);
    return found;
}

static double value(World *w, const char *prefix)
{
    double v = NAN;
    newest(w, prefix, &v);
    return v;
}

static bool is_up(World *w)
{
    return value(w, "up{") == 1;
}
static bool is_down(World *w)
{
    return value(w, "up{") == 0;
}
static bool three_scrapes(World *w)
{
    return scrape_stats(w->m).scrapes >= 3;
}
static bool a_is_stale(World *w)
{
    double v;
    return newest(w, "a{", &v) && is_stale_nan(v);
}
static bool a_is_two(World *w)
{
    return value(w, "a{") == 2;
}

static StrView last_error(World *w, Arena *a, ScrapeHealth *ret)
{
    ScrapeTargets t;
    Err err = { 0 };
    assert_int_equal(scrape_targets(w->m, SV(""), a, &t, &err), 0);
    assert_int_equal(t.n_active, 1);
    *ret = t.active[0].health;
    return t.active[0].last_error;
}

static void assert_error(World *w, const char *want)
{
    _cleanup_arena_ Arena a;
    ScrapeHealth health;
    arena_init(&a, 0);
    StrView text = last_error(w, &a, &health);
    assert_int_equal(health, SCRAPE_DOWN);
    if (sv_find(text, sv_cstr(want)) < 0)
        fail_msg("got '%.*s', wanted '%s'", SV_FMT(text), want);
}

/* ---- tests ---- */

static void test_samples_and_reports_arrive(void **state)
{
    World w;
    char text[256];
    world_init(&w);
    w.body = "# TYPE a counter\n# HELP a help me\na{x=\"1\",zone=\"other\"} 5\nb 7 1000\n";
    apply(&w, "  params: {p: [v w, x]}\n  basic_auth: {username: u, password: p}\n");
    wait_for(&w, three_scrapes);
    unsigned port = http_server_port(w.server);
    snprintf(text, sizeof text,
             "a{exported_zone=\"other\", instance=\"127.0.0.1:%u\", job=\"j\", x=\"1\", "
             "zone=\"z\"}",
             port);
    assert_true(has_series(&w, text));
    assert_true(value(&w, "a{") == 5 && value(&w, "b{") == 7 && value(&w, "up{") == 1);
    assert_true(value(&w, "scrape_samples_scraped{") == 2);
    assert_true(value(&w, "scrape_samples_post_metric_relabeling{") == 2);
    assert_true(value(&w, "scrape_series_added{") == 0); /* of the last scrape */
    assert_sv(buf_view(&w.path), "/metrics?p=v+w&p=x");
    assert_sv(buf_view(&w.authorization), "Basic dTpw");
    assert_sv(buf_view(&w.accept),
              "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
              "application/openmetrics-text;version=0.0.1;q=0.5,"
              "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
              "text/plain;version=0.0.4;q=0.3,*/*;q=0.2");
    world_free(&w);
}

static void test_known_lines_need_no_labels(void **state)
{
    World w;
    world_init(&w);
    w.body = "a 1\nb{x=\"y\"} 2\nc 3\n";
    apply(&w, "");
    wait_for(&w, three_scrapes);
    /* Three series once; the five reports are few and bring their labels along. */
    pthread_mutex_lock(&w.db.lock);
    assert_int_equal(w.db.by_labels, 3 + 5);
    /* A series that the head has dropped is made again. */
    for (size_t i = 0; i < w.db.series.len; i++)
        if (w.db.series.items[i][0] == 'a')
            w.db.gone.items[i] = true;
    pthread_mutex_unlock(&w.db.lock);
    w.body = "c 3\na 2\n"; /* another order, one line less */
    wait_for(&w, a_is_two);
    assert_true(is_stale_nan(value(&w, "b{")));
    world_free(&w);
}

static void test_failures_end_series(void **state)
{
    World w;
    world_init(&w);
    apply(&w, "");
    wait_for(&w, is_up);
    w.status = 500;
    wait_for(&w, is_down);
    assert_true(a_is_stale(&w));
    assert_error(&w, "server returned HTTP status 500 Internal Server Error");
    w.status = 200;
    w.body = "a 2\n";
    wait_for(&w, a_is_two);
    w.body = "a 3\nnonsense\n"; /* all or nothing */
    wait_for(&w, is_down);
    assert_true(a_is_stale(&w));
    pthread_mutex_lock(&w.db.lock);
    for (size_t i = 0; i < w.db.log.len; i++)
        assert_true(w.db.log.items[i].v != 3);
    pthread_mutex_unlock(&w.db.lock);
    assert_error(&w, "expected value after metric");
    w.type = "text/html";
    wait_for(&w, is_down);
    w.body = "a 2\n";
    w.type = "text/plain";
    wait_for(&w, a_is_two);
    world_free(&w);
}

static void expect_failure(const char *config, const char *body, const char *want)
{
    World w;
    world_init(&w);
    w.body = body;
    apply(&w, config);
    wait_for(&w, is_down);
    assert_error(&w, want);
    world_free(&w);
}

static void test_limits(void **state)
{
    expect_failure("  sample_limit: 1\n", "a 1\nb 1\n", "sample limit exceeded");
    expect_failure("  label_limit: 3\n", "a{x=\"1\"} 1\n",
                   "label_limit exceeded (metric: a, number of labels: 5, limit: 3)");
    expect_failure("  label_name_length_limit: 10\n", "a{x1234567890=\"1\"} 1\n",
                   "label_name_length_limit exceeded (metric: a, label name: x1234567890, "
                   "length: 11, limit: 10)");
    expect_failure("  label_value_length_limit: 20\n", "a{x=\"123456789012345678901\"} 1\n",
                   "label_value_length_limit exceeded");
    expect_failure("  body_size_limit: 10B\n", "aaaaaaaaaaaaaaaaaa 1\n",
                   "body size limit exceeded");
    expect_failure("  file_sd_configs: [{files: [/nowhere/x.json]}]\n  target_limit: 1\n"
                   "  metrics_path: /x\n  dns_sd_configs: []\n"
                   "  relabel_configs: [{target_label: __scheme__, replacement: ftp}]\n",
                   "a 1\n", "unsupported protocol scheme \"ftp\"");
}

static void test_metric_relabelling_drops_and_renames(void **state)
{
    World w;
    world_init(&w);
    w.body = "a 1\nb 2\nc 3\n";
    apply(&w, "  metric_relabel_configs:\n"
              "  - {source_labels: [__name__], regex: b, action: drop}\n"
              "  - {source_labels: [__name__], regex: c, target_label: __name__, "
              "replacement: renamed}\n");
    wait_for(&w, three_scrapes);
    assert_true(value(&w, "renamed{") == 3);
    assert_true(isnan(value(&w, "b{")));
    assert_true(value(&w, "scrape_samples_scraped{") == 3);
    assert_true(value(&w, "scrape_samples_post_metric_relabeling{") == 2);
    world_free(&w);
}

static void test_honor_labels_and_timestamps(void **state)
{
    World w;
    world_init(&w);
    w.body = "a{zone=\"own\",job=\"\"} 1 5000\n";
    apply(&w, "  honor_labels: true\n  honor_timestamps: false\n");
    wait_for(&w, is_up);
    bool found = false;
    pthread_mutex_lock(&w.db.lock);
    for (size_t i = 0; i < w.db.log.len; i++) {
        const Sample *s = &w.db.log.items[i];
        if (strncmp(w.db.series.items[s->ref - 1], "a{", 2) != 0)
            continue;
        assert_true(s->t > 5000);
        assert_non_null(strstr(w.db.series.items[s->ref - 1], "zone=\"own\""));
        found = true;
    }
    pthread_mutex_unlock(&w.db.lock);
    assert_true(found);
    world_free(&w);
}

static bool no_targets(World *w)
{
    _cleanup_arena_ Arena a;
    ScrapeTargets t;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(scrape_targets(w->m, SV(""), &a, &t, &err), 0);
    return t.n_active == 0 && t.n_dropped == 1;
}

static void test_reload_and_dropped_targets(void **state)
{
    World w;
    _cleanup_arena_ Arena a;
    ScrapeTargets t;
    Err err = { 0 };

    arena_init(&a, 0);
    world_init(&w);
    apply(&w, "");
    wait_for(&w, is_up);
    uint64_t before = scrape_stats(w.m).scrapes;
    apply(&w, ""); /* the same: nothing starts over */
    assert_true(scrape_stats(w.m).cached_series > 0 && scrape_stats(w.m).scrapes == before);
    apply(&w, "  relabel_configs: [{source_labels: [zone], regex: z, action: drop}]\n");
    wait_for(&w, no_targets);
    assert_true(a_is_stale(&w) && is_stale_nan(value(&w, "up{")));
    assert_int_equal(scrape_targets(w.m, SV("j"), &a, &t, &err), 0);
    assert_sv(labels_get(t.dropped[0].discovered, SV("__meta_x")), "y");
    assert_sv(labels_get(t.dropped[0].discovered, SV("__scrape_interval__")), "100ms");
    /* A job that is gone from the configuration ends its series. */
    apply(&w, "");
    wait_for(&w, is_up);
    Config *c = NULL;
    assert_int_equal(config_parse(SV(""), "x", SV(""), NULL, &c, &err), 0);
    assert_int_equal(scrape_manager_apply(w.m, c, &err), 0);
    config_unref(c);
    assert_true(is_stale_nan(value(&w, "up{")));
    assert_true(a_is_stale(&w));
    world_free(&w);
}

static bool count_metadata(void *ctx, const ScrapeMetadata *m)
{
    assert_sv(m->metric, "a");
    assert_sv(m->type, "counter");
    assert_sv(m->help, "help me");
    ++*(unsigned *)ctx;
    return true;
}

static void test_openmetrics_metadata_and_exemplars(void **state)
{
    World w;
    unsigned n = 0;
    world_init(&w);
    w.type = "application/openmetrics-text; version=1.0.0";
    w.body = "# TYPE a counter\n# HELP a help me\na_total 2 # {id=\"x\"} 1 5\n# EOF\n";
    w.redirect = "/other?x=1";
    apply(&w, "  extra_scrape_metrics: true\n  authorization: {credentials: tok}\n");
    wait_for(&w, is_up);
    assert_sv(buf_view(&w.path), "/other?x=1");
    assert_sv(buf_view(&w.authorization), "Bearer tok");
    pthread_mutex_lock(&w.db.lock);
    assert_true(w.db.exemplars > 0);
    pthread_mutex_unlock(&w.db.lock);
    assert_true(value(&w, "scrape_body_size_bytes{") == (double)strlen(w.body));
    scrape_metadata(w.m, SV(""), count_metadata, &n);
    scrape_metadata(w.m, SV("a"), count_metadata, &n);
    scrape_metadata(w.m, SV("b"), count_metadata, &n);
    assert_int_equal(n, 2);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_and_reports_arrive),
        cmocka_unit_test(test_known_lines_need_no_labels),
        cmocka_unit_test(test_failures_end_series),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_metric_relabelling_drops_and_renames),
        cmocka_unit_test(test_honor_labels_and_timestamps),
        cmocka_unit_test(test_reload_and_dropped_targets),
        cmocka_unit_test(test_openmetrics_metadata_and_exemplars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
