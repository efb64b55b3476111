/* test_metrics_server.c - the listener of /metrics: formats, paths, who may read; and that a server
 * is told of each request's end once. */
#include "net_test.h"

#include "net/metrics_server.h"

typedef struct Fix {
    Loop *loop;
    Metrics *metrics;
    uint16_t port;
    bool lets_in;
    HttpReq *waits; /* the guard decides later */
    MetricsAllowedFn *allowed;
    void *server;
    atomic_int ended, status; /* of requests; the last one's; read by the thread that asks */
} Fix;

static const MetricDef seen = { "seen_total", "Seen.", METRIC_COUNTER };

static void ask(Fix *f, const char *head, Buf *answer)
{
    int fd = dial(f->port);
    buf_clear(answer);
    send_text(fd, head);
    read_until(fd, answer, NULL);
    close(fd);
}

#define GET(path, more) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" more "\r\n"
#define TEXT            "# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total 5\n"

static void formats(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    ask(f, GET("/metrics", ""), &b);
    must_contain(&b, "content-type: text/plain; version=0.0.4; charset=utf-8\r\n");
    must_contain(&b, "\r\n\r\n" TEXT);
    ask(f,
        GET("/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"),
        &b);
    must_contain(&b,
                 "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    must_contain(&b, "# TYPE seen counter\nseen_total 5\n# EOF\n");
    ask(f, GET("/metrics", "Accept: application/openmetrics-text;q=0.3, text/plain;q=0.5\r\n"), &b);
    must_contain(&b, TEXT);
    ask(f, GET("/metrics", "Accept: application/openmetrics-text;q=x\r\n"), &b);
    must_contain(&b, TEXT);
    ask(f, GET("/readyz", ""), &b);
    must_contain(&b, "200 OK");
    must_contain(&b, "\r\n\r\nok");
    ask(f, GET("/", ""), &b);
    must_contain(&b, "404 Not Found");
    ask(f, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        &b);
    must_contain(&b, "405 Method Not Allowed");
}

static void with_server(Fix *f, const MetricsServerConfig *cfg, void (*script)(void *ctx))
{
    MetricsServer *s = NULL;
    Err err = { 0 };
    assert_ok(loop_new(&f->loop, &err));
    f->metrics = metrics_new();
    metric_add(metrics_add(f->metrics, &seen), NULL, 5);
    MetricsServerConfig own = *cfg;
    own.address = "127.0.0.1:0";
    own.metrics = f->metrics;
    own.ctx = f;
    assert_ok(metrics_server_new(f->loop, &own, &s, &err));
    f->port = metrics_server_port(s);
    run_script(f->loop, script, f);
    metrics_server_free(s);
    f->loop = loop_free(f->loop);
    f->metrics = metrics_free(f->metrics);
}

static void test_formats_and_paths(void **state)
{
    Fix f = { 0 };
    with_server(&f, &(MetricsServerConfig){ 0 }, formats);
}

static void let_in(void *ctx)
{
    Fix *f = ctx;
    f->allowed(f->server, f->waits);
}

static void guard(void *ctx, HttpReq *req, MetricsAllowedFn *allowed, void *server)
{
    Fix *f = ctx;
    f->waits = req;
    f->allowed = allowed;
    f->server = server;
    if (!f->lets_in)
        http_respond(req, 403, SV("text/plain"), SV("no"));
    else
        assert_int_equal(loop_defer(f->loop, let_in, f, NULL), 0);
}

static void guarded(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    ask(f, GET("/metrics", ""), &b);
    must_contain(&b, "403 Forbidden");
    ask(f, GET("/healthz", ""), &b); /* is nobody's secret */
    must_contain(&b, "200 OK");
    f->lets_in = true;
    ask(f, GET("/metrics", ""), &b);
    must_contain(&b, TEXT);
}

static void test_guard_decides(void **state)
{
    Fix f = { 0 };
    with_server(&f, &(MetricsServerConfig){ .guard = guard }, guarded);
}

static void test_bad_address(void **state)
{
    Fix f = { 0 };
    MetricsServer *s = NULL;
    Err err = { 0 };
    assert_ok(loop_new(&f.loop, &err));
    assert_true(
        metrics_server_new(f.loop, &(MetricsServerConfig){ .address = "nowhere" }, &s, &err) < 0);
    assert_null(s);
    assert_null(metrics_server_free(NULL));
    loop_free(f.loop);
}

/* ---- the end of requests ---- */

static void on_ended(void *ctx, HttpReq *req, int status)
{
    Fix *f = ctx;
    assert_true(sv_starts(req->path, SV("/")));
    f->ended++;
    f->status = status;
}

static void handle(void *ctx, HttpReq *req)
{
    NetStream *s;
    if (sv_eq(req->path, SV("/stream"))) {
        assert_int_equal(http_stream_start(req, 202, SV("text/plain"), NULL), 0);
        assert_int_equal(http_stream_write(req, "x", 1, NULL), 0);
        http_stream_end(req);
    } else if (sv_eq(req->path, SV("/take"))) {
        assert_int_equal(http_take_over(req, SV("HTTP/1.1 101 Yes\r\n\r\n"), &s, NULL), 0);
        net_stream_free(s);
    } else if (sv_eq(req->path, SV("/abort")))
        http_abort(req);
    else
        http_respond(req, 404, SV("text/plain"), SV("no"));
}

static void ends(void *ctx)
{
    static const struct {
        const char *head;
        int status;
    } asks[] = { { GET("/none", ""), 404 },
                 { GET("/stream", ""), 202 },
                 { GET("/take", ""), 101 },
                 { GET("/abort", ""), 0 } };
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
        ask(f, asks[i].head, &b); /* reads until the connection is closed */
        assert_int_equal(f->ended, i + 1);
        assert_int_equal(f->status, asks[i].status);
    }
}

static void test_ends_are_told_once(void **state)
{
    Fix f = { 0 };
    HttpServer *s = NULL;
    Err err = { 0 };
    assert_ok(loop_new(&f.loop, &err));
    HttpServerConfig cfg = { .handler = handle, .ended = on_ended, .ctx = &f };
    assert_ok(http_server_new(f.loop, "127.0.0.1:0", &cfg, &s, &err));
    f.port = http_server_port(s);
    run_script(f.loop, ends, &f);
    http_server_free(s);
    loop_free(f.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_and_paths),
        cmocka_unit_test(test_guard_decides),
        cmocka_unit_test(test_bad_address),
        cmocka_unit_test(test_ends_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
