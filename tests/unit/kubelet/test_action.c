/* test_action.c - what probes and hooks do, against real servers on loopback that the same loop
 * runs: HTTP with each status, TCP, and gRPC health checks byte by byte. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "codec/json.h"
#include "kubelet/action.h"

static Kubelet kubelet;
static Worker worker;
static Container container;
static Arena arena;
static Loop *loop;
static int listener, conn;
static Source *listen_src, *conn_src;
static uint16_t port;
static Buf request;
static StrView reply; /* what the server says once `reply_after` bytes have come; empty: nothing */
static size_t reply_after;
static StrView redirect; /* what it says on the first `redirects` connections */
static unsigned redirects, accepted;
static bool done, result;
static char why[512];

static void on_conn(void *ctx, uint32_t events)
{
    char data[4096];
    ssize_t n = recv(conn, data, sizeof data, MSG_DONTWAIT);
    if (n <= 0) {
        conn_src = source_free(conn_src);
        closep(&conn);
        return;
    }
    bool before = request.len >= reply_after;
    StrView say = accepted <= redirects ? redirect : reply;
    buf_append(&request, data, (size_t)n);
    if (!before && request.len >= reply_after && say.len)
        assert_int_equal(send(conn, say.ptr, say.len, MSG_NOSIGNAL), say.len);
}

static void on_listen(void *ctx, uint32_t events)
{
    conn_src = source_free(conn_src);
    closep(&conn);
    conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    accepted++;
    buf_clear(&request); /* that of this connection */
    assert_int_equal(loop_add_fd(loop, conn, LOOP_READ, on_conn, NULL, &conn_src, NULL), 0);
}

static int setup(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    arena_init(&arena, 0);
    assert_int_equal(loop_new(&loop, NULL), 0);
    kubelet.loop = loop;
    worker = (Worker){ .k = &kubelet, .pod_ip = "127.0.0.1" };
    container = (Container){ .worker = &worker, .name = "c" };
    conn = -1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    port = ntohs(a.sin_port);
    assert_int_equal(loop_add_fd(loop, listener, LOOP_READ, on_listen, NULL, &listen_src, NULL), 0);
    reply = SV_NULL;
    reply_after = 1;
    redirect = SV_NULL;
    redirects = accepted = 0;
    return 0;
}

static int teardown(void **state)
{
    listen_src = source_free(listen_src);
    conn_src = source_free(conn_src);
    closep(&listener);
    closep(&conn);
    buf_free(&request);
    loop = loop_free(loop);
    arena_free(&arena);
    return 0;
}

static void on_done(void *ctx, bool ok, const char *text)
{
    done = true;
    result = ok;
    snprintf(why, sizeof why, "%s", text);
    loop_stop(loop);
}

/* The handler as JSON with %u for the port; true when it succeeded. */
static bool run(const char *json, bool probe, int64_t timeout_ms)
{
    char text[512];
    Value handler;
    Action *a;
    Err err = { 0 };
    ActionOptions opt = { .name = "test", .probe = probe, .timeout_ms = timeout_ms, .fn = on_done };
    snprintf(text, sizeof text, json, port);
    if (json_decode(sv_cstr(text), &arena, NULL, &handler, &err) < 0)
        fail_msg("%s", err.msg);
    done = false;
    assert_int_equal(action_new(&container, &handler, &opt, &a, &err), 0);
    assert_false(done); /* never from inside */
    while (!done)
        assert_int_equal(loop_run(loop, NULL), 0);
    action_free(a);
    return result;
}

#define HTTP "{\"httpGet\":{\"port\":%u,\"path\":\"/x\"}}"

static void test_http(void **state)
{
    reply = SV("HTTP/1.1 204 No Content\r\n\r\n");
    assert_true(run(HTTP, true, 2000));
    buf_putc(&request, 0);
    assert_non_null(strstr(request.ptr, "GET /x HTTP/1.1\r\n"));
    assert_non_null(strstr(request.ptr, "user-agent: kube-probe/1.35\r\n"));
    buf_clear(&request);
    reply = SV("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n");
    assert_false(run(HTTP, true, 2000));
    assert_string_equal(why, "HTTP probe failed with statuscode: 500");
    buf_clear(&request);
    assert_true(run(HTTP, false, 2000)); /* for a hook any answer will do */
}

/* The request that the last connection brought. */
static bool asked_for(const char *line)
{
    buf_putc(&request, 0);
    return strstr(request.ptr, line) != NULL;
}

static void test_http_request(void **state)
{
    reply = SV("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_true(run("{\"httpGet\":{\"port\":%u,\"path\":\"a b?c=%%20\",\"httpHeaders\":["
                    "{\"name\":\"Host\",\"value\":\"shop.example\"},{\"name\":\"X-One\","
                    "\"value\":\"1\"},{\"name\":\"Accept\",\"value\":\"\"}]}}",
                    true, 2000));
    assert_true(asked_for("GET /a%20b?c=%20 HTTP/1.1\r\nhost: shop.example\r\nx-one: 1\r\n"));
    assert_false(asked_for("accept"));
    redirects = accepted = 0;
    assert_true(run("{\"httpGet\":{\"port\":%u,\"path\":\"/50%%?x#y\"}}", false, 2000));
    assert_true(asked_for("GET /50%25%3Fx%23y HTTP/1.1\r\n")); /* no URL: a name of a file */
    assert_true(asked_for("user-agent: kube-lifecycle/1.35\r\n"));
    assert_false(run("{\"httpGet\":{\"port\":%u,\"httpHeaders\":[{\"name\":\"X-Bad\",\"value\":"
                     "\"1\\r\\nx-more: 2\"}]}}",
                     true, 2000));
    assert_non_null(strstr(why, "invalid header field value for \"X-Bad\""));
}

static void test_http_redirects(void **state)
{
    setenv("HTTP_PROXY", "http://127.0.0.1:9", 1); /* of no concern to probes */
    redirect = SV("HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n");
    reply = SV("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    redirects = 9;
    assert_true(run(HTTP, true, 2000));
    assert_int_equal(accepted, 10);
    assert_true(asked_for("GET /there HTTP/1.1\r\n"));
    assert_string_equal(why, "");
    redirects = 10, accepted = 0;
    assert_false(run(HTTP, true, 2000));
    assert_non_null(strstr(why, "stopped after 10 redirects"));
    redirects = 1, accepted = 0;
    reply = SV("HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n");
    assert_false(run(HTTP, true, 2000)); /* what the last one says counts */
    assert_string_equal(why, "HTTP probe failed with statuscode: 503");
    unsetenv("HTTP_PROXY");
}

static void test_http_redirect_elsewhere(void **state)
{
    reply = SV("HTTP/1.1 301 Moved\r\nlocation: http://elsewhere.invalid/\r\n"
               "content-length: 4\r\n\r\ngone");
    assert_true(run(HTTP, true, 2000));
    assert_string_equal(why, "Probe terminated redirects, Response body: gone");
    assert_int_equal(accepted, 1);
    assert_true(run(HTTP, false, 2000)); /* a hook */
    assert_string_equal(why, "");
    reply = SV("HTTP/1.1 304 Not Modified\r\n\r\n"); /* and one that names no place */
    assert_true(run(HTTP, true, 2000));
    assert_string_equal(why, "Probe terminated redirects, Response body: ");
}

/* More than is read of a body is not waited for. */
static void test_http_long_body(void **state)
{
    _cleanup_buf_ Buf long_reply = BUF_INIT;
    buf_sv(&long_reply, SV("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"));
    for (int i = 0; i < 11 * 1024; i++)
        buf_putc(&long_reply, 'x');
    reply = buf_view(&long_reply);
    assert_true(run(HTTP, true, 5000));
    assert_string_equal(why, "");
    reply = sv_head(reply, 1000); /* the rest never comes */
    assert_false(run(HTTP, true, 50));
}

static void test_silence_ends_in_time(void **state)
{
    assert_false(run(HTTP, true, 50));
    assert_non_null(strstr(why, "deadline exceeded"));
}

static void test_tcp(void **state)
{
    assert_true(run("{\"tcpSocket\":{\"port\":%u}}", true, 2000));
    assert_true(run("{\"tcpSocket\":{\"port\":%u}}", false, 0)); /* a hook */
    listen_src = source_free(listen_src);
    closep(&listener);
    assert_false(run("{\"tcpSocket\":{\"port\":%u}}", true, 2000));
    assert_non_null(strstr(why, "dial tcp: "));
}

static void test_sleep_and_nothing(void **state)
{
    assert_true(run("{\"sleep\":{\"seconds\":0}}", false, 0));
    assert_true(run("{\"sleep\":{\"seconds\":100}}", false, 20)); /* as long as there is time */
    assert_false(run("{\"initialDelaySeconds\":%u}", false, 0));
}

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define HEAD_200 "\0\0\1\1\4\0\0\0\1\x88"
/* one message of 2 bytes, or none at all, and the end of the stream */
#define DATA(status) "\0\0\7\0\1\0\0\0\1\0\0\0\0\2\x08" status
#define DATA_EMPTY   "\0\0\5\0\1\0\0\0\1\0\0\0\0\0"
#define GRPC         "{\"grpc\":{\"port\":%u,\"service\":\"me\"}}"
/* the preface, SETTINGS, HEADERS and DATA of the client: more than this many bytes */
enum { REQUEST_MIN = 24 + 9 + 9 + 50 };

static void test_grpc(void **state)
{
    reply_after = REQUEST_MIN;
    reply = SV(SETTINGS HEAD_200 DATA("\1"));
    assert_true(run(GRPC, true, 2000));
    assert_memory_equal(request.ptr, "PRI * HTTP/2.0", 14);
    assert_true(sv_find(buf_view(&request), SV("\0\0\0\0\4\x0a\2me")) > 0); /* the framed request */
    buf_clear(&request);
    reply = SV(SETTINGS HEAD_200 DATA("\2"));
    assert_false(run(GRPC, true, 2000));
    assert_string_equal(why, "service unhealthy (responded with \"NOT_SERVING\")");
    buf_clear(&request);
    reply = SV(SETTINGS HEAD_200 DATA_EMPTY);
    assert_false(run(GRPC, true, 2000));
    assert_string_equal(why, "service unhealthy (responded with \"UNKNOWN\")");
}

static void test_grpc_without_the_service(void **state)
{
    reply_after = REQUEST_MIN;
    reply = SV(SETTINGS "\0\0\x11\1\5\0\0\0\1\x88\0\x0bgrpc-status\2"
                        "12");
    assert_false(run(GRPC, true, 2000));
    assert_non_null(strstr(why, "does not implement the grpc health protocol"));
}

static void test_grpc_nonsense(void **state)
{
    int status;
    assert_false(run(GRPC, true, 100)); /* nobody answers */
    reply = SV("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_false(run(GRPC, true, 2000));
    assert_true(grpc_health_parse(SV(""), &status));
    assert_int_equal(status, 0);
    assert_true(grpc_health_parse(SV("\x08\3"), &status));
    assert_int_equal(status, 3);
    assert_false(grpc_health_parse(SV("\x08"), &status));
    assert_false(grpc_health_parse(SV("\x08\x80\1"), &status));
    assert_false(grpc_health_parse(SV("\x12\1x"), &status));
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_http),
        T(test_http_request),
        T(test_http_redirects),
        T(test_http_redirect_elsewhere),
        T(test_http_long_body),
        T(test_silence_ends_in_time),
        T(test_tcp),
        T(test_sleep_and_nothing),
        T(test_grpc),
        T(test_grpc_without_the_service),
        T(test_grpc_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
