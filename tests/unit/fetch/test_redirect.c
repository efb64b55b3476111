/* test_redirect.c - what a request becomes when its server sends it elsewhere. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "fetch/fetch.h"
#include "net/http.h"

typedef struct Fix {
    Loop *loop;
    HttpServer *server;
    Fetcher *fetcher;
    FetchOptions options;
    int redirect;                          /* status of the answer to /from */
    char method[16], body[64];             /* of what came to /to */
    char first_method[16], first_body[64]; /* and to /from */
    int status;
    ErrCode code;
} Fix;

static void handler(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    bool first = sv_eq(req->path, SV("/from"));
    sv_copy_cstr(req->method, first ? f->first_method : f->method, sizeof f->method);
    sv_copy_cstr(req->body, first ? f->first_body : f->body, sizeof f->body);
    if (first) {
        http_set_header(req, SV("location"), SV("/to"), NULL);
        http_respond(req, f->redirect, SV("text/plain"), SV("elsewhere"));
    } else
        http_respond(req, 200, SV("text/plain"), SV("here"));
}

static void on_done(void *ctx, const FetchResult *r)
{
    Fix *f = ctx;
    f->status = r->status;
    f->code = r->err ? r->err->code : ERR_NONE;
    loop_stop(f->loop);
}

static int setup(void **state)
{
    static Fix f;
    HttpServerConfig cfg = { .handler = handler, .ctx = &f, .body_max = 1024 };
    f = (Fix){ .options = { .follow_redirects = true } };
    *state = &f;
    return loop_new(&f.loop, NULL) < 0 ||
                   http_server_new(f.loop, "127.0.0.1:0", &cfg, &f.server, NULL) < 0 ||
                   fetcher_new(f.loop, &f.options, &f.fetcher, NULL) < 0
               ? -1
               : 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    fetcher_free(f->fetcher);
    http_server_free(f->server);
    loop_free(f->loop);
    return 0;
}

static void ask(Fix *f, const char *method, const char *body, int redirect)
{
    char url[64];
    Err err = { 0 };
    Fetch *x;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/from", http_server_port(f->server));
    FetchSpec spec = { .url = sv_cstr(url),
                       .method = sv_cstr(method),
                       .body = sv_cstr(body),
                       .done = on_done,
                       .ctx = f };
    f->redirect = redirect;
    f->method[0] = f->body[0] = f->first_method[0] = f->first_body[0] = 0;
    f->status = 0;
    assert_int_equal(fetch_start(f->fetcher, &spec, &x, &err), 0);
    assert_int_equal(loop_run(f->loop, &err), 0);
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(f->status, 200);
    assert_string_equal(f->first_method, method);
    assert_string_equal(f->first_body, body);
}

static void test_307_and_308_keep_method_and_body(void **state)
{
    static const int statuses[] = { 307, 308 };
    Fix *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
        ask(f, "POST", "samples", statuses[i]);
        assert_string_equal(f->method, "POST");
        assert_string_equal(f->body, "samples");
        ask(f, "GET", "", statuses[i]);
        assert_string_equal(f->method, "GET");
    }
}

static void test_the_other_redirects_make_a_get_without_a_body(void **state)
{
    static const int statuses[] = { 301, 302, 303 };
    Fix *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
        ask(f, "POST", "samples", statuses[i]);
        assert_string_equal(f->method, "GET");
        assert_string_equal(f->body, "");
        ask(f, "HEAD", "", statuses[i]);
        assert_string_equal(f->method, "HEAD");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_307_and_308_keep_method_and_body),
        cmocka_unit_test(test_the_other_redirects_make_a_get_without_a_body),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
