/* test_access.c - who is let in: what the API server is asked, what becomes of its answers, and for
 * how long they are kept. */
#include "fake_api.h"

#include "../net/net_test.h"
#include "api/access.h"

#define YES                                                                                        \
    "{\"status\":{\"authenticated\":true,\"allowed\":true,"                                        \
    "\"user\":{\"username\":\"u\",\"groups\":[\"g\",\"h\"]}}}"
#define KNOWN "{\"status\":{\"authenticated\":true,\"user\":{\"username\":\"u\"}}}" /* no more */

typedef struct Fix {
    FakeApi api;
    AccessGate *gate;
    HttpServer *server;
    AccessAttributes wants;
} Fix;

static void on_verdict(void *ctx, HttpReq *req, const AccessVerdict *v)
{
    Fix *f = ctx;
    if (v->status == 200)
        http_respond(req, 200, SV("text/plain"), v->user);
    else
        access_refuse_path(req, &f->wants, v);
}

static void handle(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    access_ask(f->gate, req, &f->wants, on_verdict, f);
}

static int setup(void **state)
{
    static Fix f;
    HttpServerConfig cfg = { .handler = handle, .ctx = &f };
    f = (Fix){ .wants = { .verb = SV("get"), .path = SV("/metrics") } };
    fake_start(&f.api);
    *state = &f;
    return access_gate_new(f.api.client, &f.gate, NULL) < 0 ||
           http_server_new(f.api.loop, "127.0.0.1:0", &cfg, &f.server, NULL) < 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    http_server_free(f->server);
    access_gate_free(f->gate);
    fake_stop(&f->api);
    return 0;
}

static void ask(Fix *f, const char *header, Buf *answer)
{
    char head[256];
    int fd = dial(http_server_port(f->server));
    snprintf(head, sizeof head, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
             header);
    buf_clear(answer);
    send_text(fd, head);
    read_until(fd, answer, NULL);
    close(fd);
}

#define TOKEN "Authorization: Bearer abc\r\n"

static void let_in(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    f->api.answer_body = YES;
    ask(f, TOKEN, &b);
    must_contain(&b, "200 OK");
    must_contain(&b, "\r\n\r\nu");
    assert_string_equal(f->api.last_path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    assert_string_equal(
        f->api.last_body,
        "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"spec\":{"
        "\"user\":\"u\",\"groups\":[\"g\",\"h\"],"
        "\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/metrics\"}}}");
    assert_int_equal(f->api.others, 2);
    ask(f, TOKEN, &b); /* whose token it is is asked again, what they may is known */
    must_contain(&b, "200 OK");
    assert_int_equal(f->api.others, 3);
    f->wants = (AccessAttributes){
        .verb = SV("get"), .resource = SV("nodes"), .subresource = SV("metrics"), .name = SV("n")
    };
    ask(f, TOKEN, &b); /* another question */
    assert_int_equal(f->api.others, 5);
    assert_non_null(
        strstr(f->api.last_body,
               "\"resourceAttributes\":{\"verb\":\"get\",\"version\":\"v1\",\"resource\":"
               "\"nodes\",\"subresource\":\"metrics\",\"name\":\"n\"}"));
}

static void test_those_who_may(void **state)
{
    run_script(((Fix *)*state)->api.loop, let_in, *state);
}

static void refused(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    ask(f, "", &b);
    must_contain(&b, "401 Unauthorized");
    ask(f, "Authorization: Basic abc\r\n", &b);
    must_contain(&b, "401 Unauthorized");
    assert_int_equal(f->api.others, 0);
    f->api.answer_body = "{\"status\":{\"authenticated\":false}}";
    ask(f, TOKEN, &b);
    must_contain(&b, "401 Unauthorized");
    assert_int_equal(f->api.others, 1);
    f->api.answer_body = KNOWN;
    ask(f, TOKEN, &b);
    must_contain(&b, "403 Forbidden");
    must_contain(&b, "forbidden: User \"u\" cannot get path \"/metrics\"");
    f->api.answer_body = YES; /* "no" is kept as well */
    f->wants.verb = SV("get");
    ask(f, TOKEN, &b);
    must_contain(&b, "200 OK"); /* with other groups it is another question */
}

static void test_those_who_may_not(void **state)
{
    run_script(((Fix *)*state)->api.loop, refused, *state);
}

static void unanswered(void *ctx)
{
    Fix *f = ctx;
    _cleanup_buf_ Buf b = BUF_INIT;
    f->api.answer = 503;
    ask(f, TOKEN, &b);
    must_contain(&b, "401 Unauthorized"); /* nobody vouches for the token */
}

static void test_an_api_server_that_fails_lets_nobody_in(void **state)
{
    run_script(((Fix *)*state)->api.loop, unanswered, *state);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_those_who_may),
        CASE(test_those_who_may_not),
        CASE(test_an_api_server_that_fails_lets_nobody_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
