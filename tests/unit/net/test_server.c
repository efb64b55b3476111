/* The server over real sockets, spoken to in plain HTTP/1.1 by a blocking thread. HTTP/2 and TLS
 * are covered by test_client.c. */
#include "net_test.h"

#include "net/http.h"

typedef struct Fix {
    Loop *loop;
    HttpServer *server;
    uint16_t port;
    HttpReq *held; /* /hold and /watch */
    Source *tick;
    int ticks, released;
    atomic_int closed;
    NetStream *taken;
    char *big;
    HttpReq *stream; /* /stream and /raw */
    size_t streamed, pauses;
    bool streamed_whole;
} Fix;

enum { BIG = 3 * 1024 * 1024 };

static void on_gone(void *ctx)
{
    Fix *f = ctx;
    f->closed++;
    f->held = NULL;
    f->tick = source_free(f->tick);
}

static void on_tick(void *ctx)
{
    Fix *f = ctx;
    assert_int_equal(http_stream_write(f->held, "tick\n", 5, NULL), 0);
    if (++f->ticks == 3) {
        http_stream_end(f->held);
        f->tick = source_free(f->tick);
    }
}

static void on_release(void *ctx)
{
    ((Fix *)ctx)->released++;
}

static void echo_data(void *ctx, const void *data, size_t len)
{
    Fix *f = ctx;
    assert_int_equal(net_stream_write(f->taken, data, len, NULL), 0);
    if (memchr(data, '!', len))
        net_stream_end(f->taken);
}

static void echo_end(void *ctx, const Err *why)
{
    (void)why;
    Fix *f = ctx;
    f->taken = net_stream_free(f->taken);
}

static bool streams(void *ctx, HttpReq *req)
{
    (void)ctx;
    return sv_starts(req->path, SV("/stream"));
}

static void resume(void *ctx)
{
    Fix *f = ctx;
    f->tick = source_free(f->tick);
    http_body_pause(f->stream, false);
}

static void stream_data(void *ctx, const void *data, size_t len)
{
    Fix *f = ctx;
    Err err = { 0 };
    (void)data;
    f->streamed += len;
    if (f->tick)
        fail_msg("data while paused");
    if (f->pauses++ % 8 == 0) {
        http_body_pause(f->stream, true);
        assert_ok(loop_add_timer(f->loop, 1, 0, resume, f, &f->tick, &err));
    }
}

static void stream_end(void *ctx)
{
    Fix *f = ctx;
    char text[32];
    snprintf(text, sizeof text, "%zu bytes", f->streamed);
    f->streamed_whole = true;
    http_respond(f->stream, 200, SV("text/plain"), sv_cstr(text));
}

static void raw_data(void *ctx, const void *data, size_t len)
{
    Fix *f = ctx;
    assert_int_equal(http_stream_write(f->stream, data, len, NULL), 0);
    if (memchr(data, '!', len))
        http_stream_end(f->stream);
}

static void handler(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    StrView v;
    Err err = { 0 };
    if (sv_eq(req->path, SV("/hello world"))) {
        assert_true(http_query(req, SV("a b"), &v));
        assert_ok(http_set_header(req, SV("X-Val"), v, &err));
        http_respond(req, 200, SV("text/plain"), SV("hi"));
    } else if (sv_eq(req->path, SV("/echo"))) {
        if (req->body_too_large)
            http_respond(req, 413, SV("text/plain"), SV("too large"));
        else
            http_respond(req, 200, SV("text/plain"), req->body);
    } else if (sv_eq(req->path, SV("/watch"))) {
        f->held = req;
        http_on_close(req, on_gone, f);
        assert_ok(http_stream_start(req, 200, SV("text/plain"), &err));
        assert_ok(loop_add_timer(f->loop, 1, 1, on_tick, f, &f->tick, &err));
    } else if (sv_eq(req->path, SV("/stream"))) {
        f->stream = req;
        f->streamed = 0;
        assert_true(req->streams && req->body.len == 0);
        http_on_close(req, on_gone, f);
        http_body_start(req, &(HttpBodyEvents){ stream_data, stream_end, f });
    } else if (sv_eq(req->path, SV("/raw"))) {
        f->stream = req;
        assert_ok(http_set_header(req, SV("Upgrade"), SV("x"), &err));
        assert_ok(http_upgrade(req, &(HttpBodyEvents){ raw_data, NULL, f }, &err));
    } else if (sv_eq(req->path, SV("/hold"))) {
        f->held = req;
        http_on_close(req, on_gone, f);
    } else if (sv_eq(req->path, SV("/big"))) {
        HttpPiece p[3] = { { f->big, BIG / 2 }, { "", 0 }, { f->big + BIG / 2, BIG - BIG / 2 } };
        http_respond_pieces(req, 200, SV("text/plain"), p, 3, on_release, f);
    } else if (sv_eq(req->path, SV("/copy"))) {
        char *tmp = malloc(BIG);
        memset(tmp, 'c', BIG);
        http_respond(req, 200, SV("text/plain"), sv_n(tmp, BIG));
        free(tmp);
    } else if (sv_eq(req->path, SV("/up"))) {
        assert_ok(
            http_take_over(req, SV("HTTP/1.1 101 Switching Protocols\r\n\r\n"), &f->taken, &err));
        net_stream_start(f->taken, &(NetStreamEvents){ echo_data, echo_end, NULL, f });
    } else {
        http_respond(req, 404, SV("text/plain"), SV("no"));
    }
}

static int setup(void **state)
{
    static Fix f;
    f = (Fix){ 0 };
    *state = &f;
    Err err = { 0 };
    f.big = malloc(BIG);
    memset(f.big, 'b', BIG);
    HttpServerConfig cfg = { .handler = handler,
                             .ctx = &f,
                             .body_max = 1000,
                             .streams = streams,
                             .header_max = 1000,
                             .idle_timeout_ms = 2000,
                             .request_timeout_ms = 300 };
    if (loop_new(&f.loop, &err) < 0 ||
        http_server_new(f.loop, "127.0.0.1:0", &cfg, &f.server, &err) < 0)
        return -1;
    f.port = http_server_port(f.server);
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    f->tick = source_free(f->tick);
    f->taken = net_stream_free(f->taken);
    f->server = http_server_free(f->server);
    unsigned left = loop_source_count(f->loop);
    loop_free(f->loop);
    free(f->big);
    return left == 0 ? 0 : -1;
}

static void ask(Fix *f, const char *request, Buf *b)
{
    int fd = dial(f->port);
    send_text(fd, request);
    read_until(fd, b, NULL);
    close(fd);
}

static void script_basic(void *ctx)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    ask(ctx,
        "GET /hello%20world?x=1&a+b=c%2Fd HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
        "HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &b);
    must_contain(&b, "HTTP/1.1 200 OK\r\n");
    must_contain(&b, "x-val: c/d\r\n");
    must_contain(&b, "content-length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\n");
    must_contain(&b, "connection: close\r\n\r\n");
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_basic, f);
}

static void script_bodies(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    send_text(
        fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    read_until(fd, &b, "100 Continue\r\n\r\n");
    must_contain(&b, "HTTP/1.1 100 Continue");
    send_text(fd, "ping");
    read_until(fd, &b, "\r\n\r\nping");
    send_text(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    read_until(fd, &b, NULL);
    must_contain(&b, "content-length: 5\r\n");
    must_contain(&b, "abcde");
    close(fd);
}

static void test_request_bodies_arrive_whole(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_bodies, f);
}

static void script_limits(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf a = BUF_INIT, b = BUF_INIT, c = BUF_INIT, d = BUF_INIT;
    ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nxxx", &a);
    must_contain(&a, "HTTP/1.1 413 ");
    char head[2000];
    memset(head, 'h', sizeof head);
    memcpy(head, "GET / HTTP/1.1\r\nA: ", 19);
    head[sizeof head - 1] = 0;
    ask(f, head, &b);
    must_contain(&b, "HTTP/1.1 431 ");
    ask(f, "GET / HTTP/1.1\r\n\r\n", &c); /* no Host */
    must_contain(&c, "HTTP/1.1 400 ");
    ask(f, "nonsense\r\n\r\n", &d);
    must_contain(&d, "HTTP/1.1 400 ");
}

static void test_limits_end_in_a_client_error(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_limits, f);
}

static void script_watch(void *ctx)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    Fix *f = ctx;
    int fd = dial(f->port);
    send_text(fd, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, &b, "0\r\n\r\n");
    must_contain(&b, "transfer-encoding: chunked\r\n");
    must_contain(&b, "5\r\ntick\n\r\n5\r\ntick\n\r\n5\r\ntick\n\r\n0\r\n\r\n");
    close(fd);
}

static void test_stream_is_sent_in_chunks(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_watch, f);
    assert_int_equal(f->closed, 0);
}

static void script_hold(void *ctx)
{
    Fix *f = ctx;
    int fd = dial(f->port);
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    struct timespec ts = { 0, 50 * 1000000 };
    nanosleep(&ts, NULL);
    close(fd);
    nanosleep(&ts, NULL);
}

static void test_handler_learns_that_the_peer_has_gone(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_hold, f);
    assert_int_equal(f->closed, 1);
}

static void count_body(Fix *f, const char *request, char c)
{
    int fd = dial(f->port);
    int small = 128 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_text(fd, request);
    size_t n = 0;
    char tmp[65536];
    for (ssize_t r; (r = recv(fd, tmp, sizeof tmp, 0)) > 0;)
        for (ssize_t i = 0; i < r; i++)
            n += tmp[i] == c;
    assert_in_range(n, BIG, BIG + 20); /* heads hold some of these letters too */
    close(fd);
}

static void script_big(void *ctx)
{
    count_body(ctx, "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 'b');
    count_body(ctx, "GET /copy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 'c');
}

static void test_large_bodies_pass_a_slow_reader(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_big, f);
    assert_int_equal(f->released, 1);
}

static void script_up(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    send_text(fd, "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly ");
    read_until(fd, &b, "early");
    send_text(fd, "late!");
    read_until(fd, &b, NULL);
    must_contain(&b, "101 Switching Protocols\r\n\r\nearly late!");
    close(fd);
}

static void test_take_over_delivers_early_bytes_first(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_up, f);
}

static void script_slow(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf a = BUF_INIT, b = BUF_INIT;
    int fd = dial(f->port);
    send_text(fd, "GET / HT"); /* never ends */
    read_until(fd, &a, NULL);
    assert_int_equal(a.len, 0);
    close(fd);
    fd = dial(f->port);
    send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    read_until(fd, &b, NULL);
    must_contain(&b, "HTTP/1.1 408 ");
    close(fd);
}

static void script_stream(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    char head[128];
    /* Far more than a body may have, with its length and in chunks, on one connection. */
    snprintf(head, sizeof head, "PUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
             BIG);
    send_text(fd, head);
    for (int sent = 0; sent < BIG; sent += BIG / 64)
        assert_int_equal(send(fd, f->big, BIG / 64, MSG_NOSIGNAL), BIG / 64);
    read_until(fd, &b, "bytes");
    must_contain(&b, "3145728 bytes");
    buf_clear(&b);
    send_text(
        fd,
        "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /hello%20world?a%20b=c HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, &b, "hi");
    must_contain(&b, "11 bytes");
    close(fd);
}

static void test_bodies_may_stream(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_stream, f);
    assert_true(f->streamed_whole);
    assert_int_equal(f->closed, 0);
}

static void script_stream_refused(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    send_text(fd, "POST /streamless HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nsome");
    read_until(fd, &b, NULL); /* answered at once, and closed: nobody reads the rest */
    must_contain(&b, "404 Not Found");
    must_contain(&b, "connection: close");
    close(fd);
    fd = dial(f->port);
    send_text(fd, "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nsome");
    close(fd);
    for (int i = 0; i < 500 && f->closed == 0; i++)
        usleep(10000);
}

static void test_a_body_that_streams_may_be_refused_or_left(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_stream_refused, f);
    assert_int_equal(f->closed, 1);
}

static void script_raw(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    int fd = dial(f->port);
    send_text(fd,
              "GET /raw HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly ");
    read_until(fd, &b, "early ");
    send_text(fd, "GET / HTTP/1.1 !");
    read_until(fd, &b, NULL);
    must_contain(&b, "HTTP/1.1 101 Switching Protocols");
    must_contain(&b, "\r\n\r\nearly GET / HTTP/1.1 !");
    close(fd);
}

static void test_an_exchange_may_become_raw_bytes(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_raw, f);
}

static void test_slow_requests_are_cut(void **state)
{
    Fix *f = *state;
    run_script(f->loop, script_slow, f);
}

static void test_bad_address_is_refused(void **state)
{
    Fix *f = *state;
    HttpServerConfig cfg = { .handler = handler };
    HttpServer *s;
    static const char *bad[] = { "",        "127.0.0.1", "127.0.0.1:x",
                                 "[::1:80", "host:80",   "1.2.3.4:70000" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(http_server_new(f->loop, bad[i], &cfg, &s, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipelined_requests_are_answered_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_request_bodies_arrive_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits_end_in_a_client_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_is_sent_in_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handler_learns_that_the_peer_has_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_large_bodies_pass_a_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_over_delivers_early_bytes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bodies_may_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_that_streams_may_be_refused_or_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_exchange_may_become_raw_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_requests_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_address_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
