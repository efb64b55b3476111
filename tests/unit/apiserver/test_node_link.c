/* test_node_link.c - what goes on to a kubelet: logs, streams that are refused, and its proxy. The
 * kubelet is one of the test's own. */
#include "starve.h"

#include <string.h>

#include "net/http.h"

#define NS   "/api/v1/namespaces/default"
#define PODS NS "/pods"

typedef struct Fix {
    Server *server;
    HttpServer *kubelet;
    /* What the kubelet saw. */
    char method[16], path[256], query[256], user[64], auth[64];
    HttpReq *held; /* a log that goes on; NULL once its reader has gone */
    unsigned asked;
} Fix;

/* ---- the kubelet ---- */

static void on_reader_gone(void *ctx)
{
    Fix *f = ctx;
    f->held = NULL;
    loop_stop(f->server->loop);
}

static void note(Fix *f, const HttpReq *req)
{
    StrView auth = http_header(req, SV("authorization"));
    sv_copy_cstr(req->method, f->method, sizeof f->method);
    sv_copy_cstr(req->path, f->path, sizeof f->path);
    sv_copy_cstr(req->query, f->query, sizeof f->query);
    sv_copy_cstr(req->peer->common_name, f->user, sizeof f->user);
    sv_copy_cstr(auth.ptr ? auth : SV(""), f->auth, sizeof f->auth);
    f->asked++;
}

static void on_request(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    StrView follow;
    note(f, req);
    if (sv_ends(req->path, SV("/echo")))
        http_respond(req, 200, SV("text/plain"), req->query);
    else if (sv_ends(req->path, SV("/missing")))
        http_respond(req, 404, SV("text/plain"), SV("no such log"));
    else if (sv_ends(req->path, SV("/broken")))
        http_respond(req, 500, SV("text/plain"), SV("disk on fire"));
    else if (http_query(req, SV("follow"), &follow)) {
        f->held = req;
        http_on_close(req, on_reader_gone, f);
        assert_int_equal(http_stream_start(req, 200, SV("text/plain"), NULL), 0);
        http_stream_write(req, "one\n", 4, NULL);
    } else if (sv_starts(req->path, SV("/containerLogs/")))
        http_respond(req, 200, SV("text/plain"), SV("line\n"));
    else {
        http_set_header(req, SV("X-Own"), SV("kubelet"), NULL);
        http_respond(req, 202, SV("text/x-own"), req->body.len ? req->body : SV("proxied"));
    }
}

static void start_kubelet(Fix *f)
{
    Server *s = f->server;
    TlsConfig tls = { .cert_chain = buf_view(&s->cert),
                      .key = buf_view(&s->key),
                      .ca = buf_view(&s->ca_cert),
                      .client_auth = TLS_CLIENT_VERIFY,
                      .alpn_h2 = true };
    TlsContext *ctx = NULL;
    Err err = { 0 };
    assert_int_equal(tls_context_new_server(&tls, &ctx, &err), 0);
    HttpServerConfig cfg = { .tls = ctx, .handler = on_request, .ctx = f, .body_max = 4096 };
    assert_int_equal(http_server_new(s->loop, "127.0.0.1:0", &cfg, &f->kubelet, &err), 0);
    tls_context_unref(ctx);
}

static void make_node(Server *s, const char *name, unsigned port)
{
    server_make(
        s, "/api/v1/nodes",
        server_text(s,
                    "{'metadata':{'name':'%s'},'status':{'addresses':[{'type':'InternalIP',"
                    "'address':'127.0.0.1'}],'daemonEndpoints':{'kubeletEndpoint':{'Port':%u}}}}",
                    name, port));
}

static void make_pod(Server *s, const char *name, const char *node, const char *containers)
{
    server_make(s, PODS,
                server_text(s,
                            "{'metadata':{'name':'%s'},'spec':{'nodeName':'%s','containers':[%s]}}",
                            name, node, containers));
}

static int setup(void **state)
{
    static Fix fix;
    Fix *f = &fix;
    *state = f;
    f->server = server_start(NULL, 0);
    start_kubelet(f);
    Server *s = f->server;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    make_node(s, "n1", http_server_port(f->kubelet));
    make_node(s, "closed", 1);
    server_make(s, "/api/v1/nodes", "{'metadata':{'name':'silent'}}");
    make_pod(s, "web", "n1", "{'name':'c','image':'i'}");
    make_pod(
        s, "two", "n1",
        "{'name':'a','image':'i'},{'name':'missing','image':'i'},{'name':'broken','image':'i'}");
    make_pod(s, "echo", "n1", "{'name':'echo','image':'i'}");
    make_pod(s, "lost", "closed", "{'name':'c','image':'i'}");
    make_pod(s, "mute", "silent", "{'name':'c','image':'i'}");
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    f->kubelet = http_server_free(f->kubelet);
    server_stop(f->server);
    return 0;
}

/* ---- tests ---- */

static void test_a_log_is_the_kubelets(void **state)
{
    Fix *f = *state;
    Answer a = server_ask(f->server, &(Ask){ "GET", PODS "/web/log?tailLines=5&container=c&x=a%20b",
                                             .as = "root/system:masters" });
    assert_code(&a, 200);
    assert_sv(a.text, "line\n");
    assert_sv(answer_header(&a, "content-type"), "text/plain");
    assert_string_equal(f->path, "/containerLogs/default/web/c");
    assert_string_equal(f->query, "tailLines=5&x=a%20b");
    /* The kubelet sees the server and not who asked it. */
    assert_string_equal(f->user, "kube-apiserver-kubelet-client");
    assert_string_equal(f->auth, "");
}

static void test_which_container(void **state)
{
    Fix *f = *state;
    Answer a = server_get(f->server, PODS "/two/log");
    assert_status(
        &a, 400, "BadRequest",
        "a container name must be specified for pod two, choose one of: [a missing broken]");
    a = server_get(f->server, PODS "/two/log?container=a");
    assert_code(&a, 200);
    assert_string_equal(f->path, "/containerLogs/default/two/a");
    a = server_get(f->server, PODS "/two/log?container=..%2fother");
    assert_status(&a, 400, "BadRequest", NULL);
}

static void test_what_the_kubelet_refuses(void **state)
{
    Fix *f = *state;
    Answer a = server_get(f->server, PODS "/two/log?container=missing");
    assert_status(&a, 404, "NotFound", "no such log");
    a = server_get(f->server, PODS "/two/log?container=broken");
    assert_status(&a, 500, "InternalError", NULL);
    assert_non_null(strstr(answer_at(&a, "message"), "disk on fire"));
}

static void test_a_log_that_goes_on(void **state)
{
    Fix *f = *state;
    Server *s = f->server;
    ServerWatch *w = server_watch(s, PODS "/web/log?follow=true");
    assert_int_equal(server_watch_status(w), 200);
    Answer a = server_watch_next(w);
    assert_sv(a.text, "one");
    assert_non_null(f->held);
    http_stream_write(f->held, "two\n", 4, NULL);
    a = server_watch_next(w);
    assert_sv(a.text, "two");
    server_watch_free(w); /* the reader goes: the kubelet is told */
    Err err = { 0 };
    while (f->held)
        assert_int_equal(loop_run(s->loop, &err), 0);
    w = server_watch(s, PODS "/web/log?follow=true");
    a = server_watch_next(w);
    assert_sv(a.text, "one");
    http_on_close(f->held, NULL, NULL);
    http_stream_end(TAKE_PTR(f->held)); /* the log ends: so does the answer */
    a = server_watch_next(w);
    assert_int_equal(a.status, 0);
    server_watch_free(w);
}

static void test_kubelets_that_do_not_answer(void **state)
{
    Fix *f = *state;
    Answer a = server_get(f->server, PODS "/lost/log");
    assert_status(&a, 500, "InternalError", NULL);
    a = server_get(f->server, PODS "/mute/log");
    assert_status(&a, 503, "ServiceUnavailable", "node \"silent\" has reported no address");
    a = server_get(f->server, "/api/v1/nodes/closed/proxy/x");
    assert_status(&a, 503, "ServiceUnavailable", NULL);
}

static void test_streams_need_an_upgrade_and_a_right(void **state)
{
    static const char *const streams[] = { "exec?command=ls", "attach", "portforward" };
    Fix *f = *state;
    Server *s = f->server;
    unsigned asked = f->asked;
    const char *rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    server_make(
        s, server_text(s, "%s/roles", rbac),
        "{'metadata':{'name':'reader'},'rules':[{'verbs':['get'],'apiGroups':[''],'resources':["
        "'pods/exec','pods/attach','pods/portforward','pods/log']}]}");
    server_make(
        s, server_text(s, "%s/rolebindings", rbac),
        "{'metadata':{'name':'reader'},'roleRef':{'apiGroup':'rbac.authorization.k8s.io',"
        "'kind':'Role','name':'reader'},'subjects':[{'kind':'User','name':'rita','apiGroup':"
        "'rbac.authorization.k8s.io'}]}");
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        const char *path = server_text(s, PODS "/web/%s", streams[i]);
        Answer a = server_create(s, path, NULL);
        assert_status(&a, 400, "BadRequest", "Upgrade request required");
        a = server_ask(s, &(Ask){ "GET", path, .as = "rita" }); /* reading is not enough */
        assert_status(&a, 403, "Forbidden", NULL);
        assert_non_null(strstr(answer_at(&a, "message"), "cannot create resource \"pods/"));
    }
    assert_int_equal(f->asked, asked); /* nothing of it has reached the kubelet */
    Answer a = server_ask(s, &(Ask){ "GET", PODS "/web/log", .as = "rita" });
    assert_code(&a, 200);
}

static void test_the_proxy_of_a_node(void **state)
{
    Fix *f = *state;
    Server *s = f->server;
    Answer a = server_get(s, "/api/v1/nodes/n1/proxy/stats/a%20b?x=1&dryRun=no");
    assert_code(&a, 202);
    assert_sv(a.text, "proxied");
    assert_sv(answer_header(&a, "content-type"), "text/x-own");
    assert_sv(answer_header(&a, "x-own"), "kubelet");
    assert_string_equal(f->path, "/stats/a b");
    assert_string_equal(f->query, "x=1&dryRun=no"); /* its parameters are not ours */
    assert_string_equal(f->user, "kube-apiserver-kubelet-client");
    a = server_ask(s, &(Ask){ "PUT", "/api/v1/nodes/n1/proxy/put", "{'k':1}" });
    assert_sv(a.text, "{\"k\":1}");
    assert_string_equal(f->method, "PUT");
    a = server_get(s, "/api/v1/nodes/n1/proxy");
    assert_int_equal(a.status, 301);
    assert_sv(answer_header(&a, "location"), "/api/v1/nodes/n1/proxy/");
    a = server_get(s, "/api/v1/nodes/n1:80/proxy/x"); /* another port of this machine is nobody's */
    assert_status(&a, 400, "BadRequest", "address not allowed");
    a = server_ask(s, &(Ask){ "GET", "/api/v1/nodes/n1/proxy/x", .as = "stranger" });
    assert_status(&a, 403, "Forbidden", NULL);
}

/* With too little memory nothing goes on to the kubelet that lacks a part. */
static void test_with_too_little_memory(void **state)
{
    Fix *f = *state;
    static const StarveCase cases[] = {
        { .ask = { "GET", PODS "/echo/log?tailLines=5&limitBytes=7" }, .code = 200 },
        { .ask = { "GET", "/api/v1/nodes/n1/proxy/echo?a=1&b=2" }, .code = 200, .cut = true },
        { .ask = { "POST", PODS "/echo/exec?command=ls" }, .code = 400 },
    };
    starve(f->server, &short_arenas, cases, ARRAY_SIZE(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_is_the_kubelets),
        cmocka_unit_test(test_which_container),
        cmocka_unit_test(test_what_the_kubelet_refuses),
        cmocka_unit_test(test_a_log_that_goes_on),
        cmocka_unit_test(test_kubelets_that_do_not_answer),
        cmocka_unit_test(test_streams_need_an_upgrade_and_a_right),
        cmocka_unit_test(test_the_proxy_of_a_node),
        cmocka_unit_test(test_with_too_little_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
