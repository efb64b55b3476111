/* Peers that send without end what is no body: whoever reads it gives up, and says why. Real
 * sockets; the flood ends when the other side closes, or answers. */
#include "net_test.h"

#include <nghttp2/nghttp2.h>

#include "net/http.h"
#include "net/http_client.h"

enum { FLOOD_MAX = 64 * 1024 * 1024 }; /* what is taken in until then has escaped every limit */

typedef struct Fix {
    Loop *loop;
    int fd; /* of the hostile server, which listens */
    uint16_t port;
    bool h2;
    const char *before, *again; /* sent once, and then over and over */
    size_t sent;
    Buf answer; /* to a hostile client */
    int status;
    bool done;
    ErrCode code;
    char text[512];
} Fix;

static bool send_all(Fix *f, int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
        f->sent += (size_t)n;
    }
    return true;
}

static void flood(Fix *f, int fd)
{
    _cleanup_buf_ Buf many = BUF_INIT;
    while (many.len < 64 * 1024)
        buf_sv(&many, sv_cstr(f->again));
    bool ok = send_all(f, fd, f->before, strlen(f->before));
    char byte;
    while (ok && f->sent < FLOOD_MAX && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        ok = send_all(f, fd, many.ptr, many.len);
}

/* ---- hostile servers ---- */

static ssize_t h2_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *ctx)
{
    (void)session;
    (void)flags;
    int fd = *(int *)ctx;
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    return n > 0 ? n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static nghttp2_session *h2_session(int *fd)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *session;
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_send_callback(cb, h2_send);
    assert_int_equal(nghttp2_session_server_new(&session, cb, fd), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    return session;
}

static void h2_flood(Fix *f, int fd)
{
    nghttp2_session *session = h2_session(&fd);
    nghttp2_nv early = { (uint8_t *)":status", (uint8_t *)"103", 7, 3, NGHTTP2_NV_FLAG_NONE };
    uint8_t in[4096];
    while (nghttp2_session_find_stream(session, 1) == NULL) {
        ssize_t n = recv(fd, in, sizeof in, 0);
        if (n <= 0 || nghttp2_session_mem_recv(session, in, (size_t)n) < 0)
            break;
    }
    for (f->sent = 0; f->sent < FLOOD_MAX; f->sent += 10) {
        ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT); /* a reset of the stream, perhaps */
        if (n == 0 || (n > 0 && nghttp2_session_mem_recv(session, in, (size_t)n) < 0) ||
            !nghttp2_session_find_stream(session, 1) ||
            nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, 1, NULL, &early, 1, NULL) < 0 ||
            nghttp2_session_send(session) < 0)
            break;
    }
    nghttp2_session_del(session);
}

static void *server_thread(void *arg)
{
    Fix *f = arg;
    Buf in = BUF_INIT;
    int fd = accept(f->fd, NULL, NULL);
    if (fd < 0)
        return NULL;
    if (f->h2)
        h2_flood(f, fd);
    else {
        read_until(fd, &in, "\r\n\r\n");
        flood(f, fd);
    }
    buf_free(&in);
    close(fd);
    return NULL;
}

static void on_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    (void)headers;
    (void)n;
    ((Fix *)ctx)->status = status;
}

static void on_done(void *ctx, const Err *err)
{
    Fix *f = ctx;
    f->done = true;
    f->code = err ? err->code : ERR_NONE;
    snprintf(f->text, sizeof f->text, "%s", err ? err->msg : "");
    loop_stop(f->loop);
}

static void on_tunnel(void *ctx, const HttpTunnelAnswer *answer, NetStream *stream, const Err *why)
{
    assert_null(stream);
    ((Fix *)ctx)->status = answer ? answer->status : 0;
    on_done(ctx, why);
}

static void begin(Fix *f, HttpClient *client, bool tunnel)
{
    Err err = { 0 };
    HttpTunnel *t;
    HttpCallSpec spec = {
        .method = SV("GET"), .target = SV("/"), .on_head = on_head, .on_done = on_done, .ctx = f
    };
    StrView head = SV("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    if (tunnel)
        assert_ok(http_tunnel(client, head, on_tunnel, f, &t, &err));
    else
        assert_ok(http_call(client, &spec, NULL, &err));
}

/* A call, or a tunnel, to a server that floods. */
static void call_flooded(Fix *f, bool tunnel)
{
    Err err = { 0 };
    HttpClient *client;
    pthread_t thread;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof in;
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(f->fd, 1), 0);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&in, &len), 0);
    assert_ok(loop_new(&f->loop, &err));
    HttpClientConfig cfg = {
        .host = "127.0.0.1", .port = ntohs(in.sin_port), .h2c = f->h2, .no_reuse = !f->h2
    };
    assert_ok(http_client_new(f->loop, &cfg, &client, &err));
    assert_int_equal(pthread_create(&thread, NULL, server_thread, f), 0);
    begin(f, client, tunnel);
    assert_ok(loop_run(f->loop, &err));
    http_client_free(client);
    loop_free(f->loop);
    pthread_join(thread, NULL);
    close(f->fd);
    assert_true(f->done);
    assert_true(f->sent < FLOOD_MAX);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *before, *again, *why;
    int status;
} floods[] = {
    { "", "HTTP/1.1 100 Continue\r\n\r\n", "more than 5 informational (1xx) answers came", 0 },
    { "HTTP/1.1 103 Early Hints\r\nLink: ", "</a.css>,",
      "the message head is larger than 262144 bytes", 0 },
    { CHUNKED "0\r\n", "Trailer: value\r\n",
      "the heads, trailers and chunk extensions of an exchange are larger than 262144 bytes", 200 },
    { CHUNKED "1", ";name",
      "the heads, trailers and chunk extensions of an exchange are larger than 262144 bytes", 200 },
};

static void test_a_client_gives_up_on_a_server_without_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
        Fix f = { .before = floods[i].before, .again = floods[i].again };
        call_flooded(&f, false);
        assert_int_equal(f.code, ERR_LIMIT);
        assert_string_equal(f.text, floods[i].why);
        assert_int_equal(f.status, floods[i].status);
    }
}

static void test_a_tunnel_gives_up_on_a_server_without_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
        Fix f = { .before = floods[i].before, .again = floods[i].again };
        call_flooded(&f, true);
        assert_int_equal(f.code, ERR_LIMIT);
        assert_string_equal(f.text, floods[i].why);
    }
}

static void test_informational_answers_are_counted_in_http_2_too(void **state)
{
    (void)state;
    Fix f = { .h2 = true };
    call_flooded(&f, false);
    assert_int_equal(f.code, ERR_LIMIT);
    assert_string_equal(f.text, "more than 5 informational (1xx) answers came");
}

/* ---- hostile clients ---- */

static void handler(void *ctx, HttpReq *req)
{
    (void)ctx;
    http_respond(req, 200, SV("text/plain"), SV("ok"));
}

static void flood_the_server(void *ctx)
{
    Fix *f = ctx;
    int fd = dial(f->port);
    flood(f, fd);
    read_until(fd, &f->answer, NULL);
    close(fd);
}

static void test_a_server_gives_up_on_a_client_without_end(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char *const floods_of_clients[][2] = {
        { "0\r\n", "Trailer: value\r\n" },
        { "1", ";name" },
        { "", "0" },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(floods_of_clients); i++) {
        Err err = { 0 };
        HttpServer *server;
        char before[128];
        Fix f = { .before = before, .again = floods_of_clients[i][1] };
        snprintf(before, sizeof before, "%s%s", post, floods_of_clients[i][0]);
        HttpServerConfig cfg = { .handler = handler, .body_max = 1024 };
        assert_ok(loop_new(&f.loop, &err));
        assert_ok(http_server_new(f.loop, "127.0.0.1:0", &cfg, &server, &err));
        f.port = http_server_port(server);
        run_script(f.loop, flood_the_server, &f);
        http_server_free(server);
        loop_free(f.loop);
        assert_true(f.sent < FLOOD_MAX);
        must_contain(&f.answer, "HTTP/1.1 431 ");
        buf_free(&f.answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_gives_up_on_a_server_without_end),
        cmocka_unit_test(test_a_tunnel_gives_up_on_a_server_without_end),
        cmocka_unit_test(test_informational_answers_are_counted_in_http_2_too),
        cmocka_unit_test(test_a_server_gives_up_on_a_client_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
