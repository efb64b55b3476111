/* Client and server together over real sockets: HTTP/1.1, HTTP/2, TLS, tunnels. */
#include "net_test.h"

#include "net/http_client.h"
#include "test_certs.h"

enum { BODY = 2 * 1024 * 1024, MANY = 300 };

typedef struct Fix {
    Loop *loop;
    TestCert ca, cert, user, stranger;
    TlsContext *server_tls, *client_tls;
    HttpServer *server;
    HttpClient *client;
    char *body;
    /* what the server saw */
    unsigned version, requests, gone;
    char user_name[64], org[64], host[64], val[64];
    bool presented, verified;
    HttpReq *held;
    NetStream *taken;
    /* what the client saw */
    int status, done;
    size_t bytes;
    ErrCode code;
    char text[512], type[64];
    HttpCall *call;
    HttpTunnel *tunnel;
    NetStream *stream;
    int left; /* calls until the loop stops */
    size_t written;
} Fix;

/* ---- the server ---- */

static void on_gone(void *ctx)
{
    Fix *f = ctx;
    f->gone++;
    f->held = NULL;
    loop_stop(f->loop);
}

static void echo_data(void *ctx, const void *data, size_t len)
{
    Fix *f = ctx;
    assert_int_equal(net_stream_write(f->taken, data, len, NULL), 0);
}

static void echo_end(void *ctx, const Err *why)
{
    (void)why;
    Fix *f = ctx;
    f->taken = net_stream_free(f->taken);
}

static void handler(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    Err err = { 0 };
    f->version = req->version;
    f->requests++;
    f->presented = req->peer->presented;
    f->verified = req->peer->verified;
    sv_copy_cstr(req->peer->common_name, f->user_name, sizeof f->user_name);
    sv_copy_cstr(req->peer->n_orgs ? req->peer->orgs[0] : SV(""), f->org, sizeof f->org);
    sv_copy_cstr(req->authority, f->host, sizeof f->host);
    StrView val = http_header(req, SV("x-val"));
    sv_copy_cstr(val.ptr ? val : SV(""), f->val, sizeof f->val);
    if (sv_eq(req->path, SV("/echo"))) {
        http_respond(req, 200, SV("text/plain"), req->body);
    } else if (sv_eq(req->path, SV("/watch"))) {
        f->held = req;
        http_on_close(req, on_gone, f);
        assert_ok(http_stream_start(req, 200, SV("text/plain"), &err));
        assert_ok(http_stream_write(req, "event", 5, &err));
    } else if (sv_eq(req->path, SV("/never"))) {
        f->held = req;
        http_on_close(req, on_gone, f);
    } else if (sv_eq(req->path, SV("/cut"))) {
        assert_ok(http_stream_start(req, 200, SV("text/plain"), &err));
        http_abort(req);
    } else if (sv_eq(req->path, SV("/up"))) {
        assert_ok(http_take_over(req, SV("HTTP/1.1 101 OK\r\n\r\n"), &f->taken, &err));
        net_stream_start(f->taken, &(NetStreamEvents){ echo_data, echo_end, NULL, f });
    } else {
        http_respond(req, 404, SV("application/json"), SV("{}"));
    }
}

static int setup_certs(void **state)
{
    static Fix f;
    f = (Fix){ 0 };
    f.ca = test_cert(NULL, NULL, "test ca", NULL);
    f.cert = test_cert(&f.ca, NULL, "server", "IP:127.0.0.1,DNS:localhost");
    f.user = test_cert(&f.ca, "system:masters", "admin", NULL);
    f.stranger = test_cert(NULL, "system:masters", "admin", NULL);
    f.body = malloc(BODY);
    memset(f.body, 'x', BODY);
    *state = &f;
    return 0;
}

static int teardown_certs(void **state)
{
    Fix *f = *state;
    test_cert_free(&f->ca);
    test_cert_free(&f->cert);
    test_cert_free(&f->user);
    test_cert_free(&f->stranger);
    free(f->body);
    return 0;
}

static void start(Fix *f, bool tls)
{
    Err err = { 0 };
    TlsConfig tc = { .cert_chain = sv_cstr(f->cert.cert_pem),
                     .key = sv_cstr(f->cert.key_pem),
                     .ca = sv_cstr(f->ca.cert_pem),
                     .client_auth = TLS_CLIENT_ASK,
                     .alpn_h2 = true };
    HttpServerConfig cfg = { .handler = handler, .ctx = f, .body_max = BODY };
    f->requests = f->gone = f->version = 0;
    f->done = f->status = 0;
    f->bytes = 0;
    f->text[0] = 0;
    f->code = ERR_NONE;
    assert_ok(loop_new(&f->loop, &err));
    if (tls)
        assert_ok(tls_context_new_server(&tc, &f->server_tls, &err));
    cfg.tls = f->server_tls;
    assert_ok(http_server_new(f->loop, "127.0.0.1:0", &cfg, &f->server, &err));
}

static void new_client(Fix *f, const TestCert *cert, const TestCert *ca, HttpClientConfig cfg)
{
    Err err = { 0 };
    TlsConfig tc = { .ca = sv_cstr(ca->cert_pem), .alpn_h2 = true };
    if (cert) {
        tc.cert_chain = sv_cstr(cert->cert_pem);
        tc.key = sv_cstr(cert->key_pem);
    }
    if (f->server_tls)
        assert_ok(tls_context_new_client(&tc, &f->client_tls, &err));
    cfg.host = cfg.host ? cfg.host : "127.0.0.1";
    cfg.port = cfg.port ? cfg.port : http_server_port(f->server);
    cfg.tls = f->client_tls;
    assert_ok(http_client_new(f->loop, &cfg, &f->client, &err));
}

static void stop(Fix *f)
{
    f->client = http_client_free(f->client);
    f->client_tls = tls_context_unref(f->client_tls);
    f->taken = net_stream_free(f->taken);
    f->stream = net_stream_free(f->stream);
    f->server = http_server_free(f->server);
    f->server_tls = tls_context_unref(f->server_tls);
    assert_int_equal(loop_source_count(f->loop), 0);
    f->loop = loop_free(f->loop);
}

/* ---- the calls ---- */

static void on_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    Fix *f = ctx;
    f->status = status;
    for (uint32_t i = 0; i < n; i++)
        if (sv_eq(headers[i].name, SV("content-type")))
            sv_copy_cstr(headers[i].value, f->type, sizeof f->type);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    Fix *f = ctx;
    if (f->bytes < sizeof f->text - 1)
        snprintf(f->text + f->bytes, sizeof f->text - f->bytes, "%.*s", (int)MIN(len, (size_t)100),
                 (const char *)data);
    f->bytes += len;
}

static void on_done(void *ctx, const Err *err)
{
    Fix *f = ctx;
    f->done++;
    f->call = NULL;
    if (err) {
        f->code = err->code;
        snprintf(f->text, sizeof f->text, "%s", err->msg);
    }
    if (--f->left <= 0)
        loop_stop(f->loop);
}

static HttpCallSpec spec(Fix *f, const char *method, const char *target, StrView body)
{
    return (HttpCallSpec){ .method = sv_cstr(method),
                           .target = sv_cstr(target),
                           .body = body,
                           .on_head = on_head,
                           .on_data = on_data,
                           .on_done = on_done,
                           .ctx = f };
}

static void call(Fix *f, const HttpCallSpec *s)
{
    Err err = { 0 };
    f->left = 1;
    assert_ok(http_call(f->client, s, &f->call, &err));
    assert_ok(loop_run(f->loop, &err));
}

static void exchange_bodies(Fix *f, unsigned version)
{
    HttpHeader h[] = { { SV_INIT("X-Val"), SV_INIT("seven") } };
    HttpCallSpec s = spec(f, "POST", "/echo", sv_n(f->body, BODY));
    s.headers = h;
    s.n_headers = 1;
    call(f, &s);
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->bytes, BODY);
    assert_int_equal(f->version, version);
    assert_string_equal(f->type, "text/plain");
    assert_string_equal(f->val, "seven");
    assert_non_null(strstr(f->host, "127.0.0.1:"));
    s = spec(f, "GET", "/none", SV_NULL);
    call(f, &s);
    assert_int_equal(f->status, 404);
    s = spec(f, "HEAD", "/none", SV_NULL);
    f->bytes = 0;
    call(f, &s);
    assert_int_equal(f->status, 404);
    assert_int_equal(f->bytes, 0);
}

static void test_h2_carries_large_bodies_both_ways(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, &f->user, &f->ca, (HttpClientConfig){ 0 });
    exchange_bodies(f, 2);
    assert_true(f->verified);
    assert_string_equal(f->user_name, "admin");
    assert_string_equal(f->org, "system:masters");
    stop(f);
}

/* Go's clients send it in HTTP/2 too, where RFC 9113 forbids it. */
static void test_white_space_around_values_does_not_count(void **state)
{
    Fix *f = *state;
    for (int h1 = 0; h1 < 2; h1++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = h1, .host = "127.0.0.1" });
        HttpHeader h[] = { { SV_INIT("X-Val"), SV_INIT(" \tseven eight ") } };
        HttpCallSpec s = spec(f, "POST", "/echo", SV("x"));
        s.headers = h;
        s.n_headers = 1;
        call(f, &s);
        assert_int_equal(f->code, ERR_NONE);
        assert_int_equal(f->status, 200);
        assert_int_equal(f->version, h1 ? 1 : 2);
        assert_string_equal(f->val, "seven eight");
        stop(f);
    }
}

static void test_h1_over_tls(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = true, .host = "127.0.0.1" });
    exchange_bodies(f, 1);
    assert_false(f->presented);
    stop(f);
}

static void test_h1_in_clear_text_with_and_without_reuse(void **state)
{
    Fix *f = *state;
    for (int no_reuse = 0; no_reuse < 2; no_reuse++) {
        start(f, false);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .no_reuse = no_reuse });
        exchange_bodies(f, 1);
        stop(f);
    }
}

static void many(Fix *f)
{
    Err err = { 0 };
    HttpCallSpec s = spec(f, "POST", "/echo", SV("0123456789"));
    f->left = MANY;
    for (int i = 0; i < MANY; i++)
        assert_ok(http_call(f->client, &s, NULL, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->done, MANY);
    assert_int_equal(f->requests, MANY);
    assert_int_equal(f->bytes, MANY * 10);
    assert_int_equal(f->code, ERR_NONE);
}

static void test_many_calls_at_once(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
    many(f);
    stop(f);
    start(f, false);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
    many(f);
    stop(f);
}

static void cancel_on_data(void *ctx, const void *data, size_t len)
{
    on_data(ctx, data, len);
    Fix *f = ctx;
    f->call = http_call_cancel(f->call);
}

static void test_cancel_inside_a_callback_reaches_the_server(void **state)
{
    Fix *f = *state;
    for (int h1 = 0; h1 < 2; h1++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = h1 });
        HttpCallSpec s = spec(f, "GET", "/watch", SV_NULL);
        s.on_data = cancel_on_data;
        call(f, &s); /* ends when the server learns of it */
        assert_string_equal(f->text, "event");
        assert_int_equal(f->done, 0);
        assert_int_equal(f->gone, 1);
        s = spec(f, "GET", "/none", SV_NULL); /* the client still works */
        call(f, &s);
        assert_int_equal(f->status, 404);
        stop(f);
    }
}

static void free_on_data(void *ctx, const void *data, size_t len)
{
    on_data(ctx, data, len);
    Fix *f = ctx;
    f->client = http_client_free(f->client);
}

static void test_client_may_be_freed_inside_a_callback(void **state)
{
    Fix *f = *state;
    for (int h1 = 0; h1 < 2; h1++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = h1 });
        HttpCallSpec s = spec(f, "GET", "/watch", SV_NULL);
        s.on_data = free_on_data;
        call(f, &s);
        assert_int_equal(f->gone, 1);
        assert_int_equal(f->done, 0);
        stop(f);
    }
}

static void test_timeout_ends_the_call(void **state)
{
    Fix *f = *state;
    for (int h1 = 0; h1 < 2; h1++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = h1 });
        HttpCallSpec s = spec(f, "GET", "/never", SV_NULL);
        s.timeout_ms = 50;
        call(f, &s);
        assert_int_equal(f->code, ERR_TIMEOUT);
        stop(f);
    }
}

static void test_cut_answer_is_an_error(void **state)
{
    Fix *f = *state;
    for (int h1 = 0; h1 < 2; h1++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = h1 });
        HttpCallSpec s = spec(f, "POST", "/cut", SV_NULL);
        call(f, &s);
        assert_int_equal(f->code, ERR_CLOSED);
        stop(f);
    }
}

static void test_wrong_authority_and_wrong_name_are_refused(void **state)
{
    Fix *f = *state;
    HttpCallSpec s = spec(f, "GET", "/none", SV_NULL);
    start(f, true);
    new_client(f, NULL, &f->stranger, (HttpClientConfig){ 0 });
    call(f, &s);
    assert_int_equal(f->code, ERR_UNAUTHENTICATED);
    assert_int_equal(f->requests, 0);
    stop(f);
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ .server_name = "example.org" });
    call(f, &s);
    assert_int_equal(f->code, ERR_UNAUTHENTICATED);
    stop(f);
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ .server_name = "localhost" });
    call(f, &s);
    assert_int_equal(f->code, ERR_NONE);
    stop(f);
}

static void test_certificate_of_another_authority_is_presented_but_not_verified(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, &f->stranger, &f->ca, (HttpClientConfig){ 0 });
    HttpCallSpec s = spec(f, "GET", "/none", SV_NULL);
    call(f, &s);
    assert_int_equal(f->status, 404);
    assert_true(f->presented);
    assert_false(f->verified);
    assert_string_equal(f->user_name, "");
    stop(f);
}

static void test_refused_connection_is_reported(void **state)
{
    Fix *f = *state;
    start(f, false);
    uint16_t port = http_server_port(f->server);
    f->server = http_server_free(f->server);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ .port = port });
    HttpCallSpec s = spec(f, "GET", "/", SV_NULL);
    call(f, &s);
    assert_int_equal(f->code, ERR_CLOSED);
    stop(f);
}

static void test_calls_survive_a_restart_of_the_server(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
    HttpCallSpec s = spec(f, "GET", "/none", SV_NULL);
    call(f, &s);
    char addr[32];
    snprintf(addr, sizeof addr, "127.0.0.1:%u", http_server_port(f->server));
    f->server = http_server_free(f->server);
    HttpServerConfig cfg = { .handler = handler, .ctx = f, .body_max = BODY, .tls = f->server_tls };
    assert_ok(http_server_new(f->loop, addr, &cfg, &f->server, &err));
    f->status = 0;
    call(f, &s); /* finds the connection closed and repeats the call on a new one */
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(f->status, 404);
    stop(f);
}

static void write_more(void *ctx)
{
    Fix *f = ctx;
    size_t n = MIN((size_t)BODY - f->written, (size_t)300000);
    assert_int_equal(http_call_pending(f->call), 0);
    if (n)
        assert_int_equal(http_call_write(f->call, f->body, n, NULL), 0);
    else
        http_call_end(f->call);
    f->written += n;
}

static void test_bodies_are_sent_as_they_are_written(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    const HttpHeader length = { SV_INIT("Content-Length"), SV_INIT("2097152") };
    for (int told = 0; told < 2; told++) {
        start(f, true);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ .http1_only = true });
        HttpCallSpec s = spec(f, "PUT", "/echo", SV_NULL);
        s.streams = true;
        s.on_drain = write_more;
        s.headers = &length;
        s.n_headers = (uint32_t)told;
        f->written = 0;
        f->left = 1;
        assert_ok(http_call(f->client, &s, &f->call, &err));
        write_more(f);
        assert_ok(loop_run(f->loop, &err));
        assert_int_equal(f->code, ERR_NONE);
        assert_int_equal(f->status, 200);
        assert_int_equal(f->bytes, BODY);
        stop(f);
    }
}

static void test_bodies_that_are_written_need_http_1(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
    HttpCallSpec s = spec(f, "PUT", "/echo", SV_NULL);
    s.streams = true;
    call(f, &s);
    assert_int_equal(f->code, ERR_UNSUPPORTED);
    stop(f);
}

static void tunnel_data(void *ctx, const void *data, size_t len)
{
    on_data(ctx, data, len);
    Fix *f = ctx;
    if (strstr(f->text, "ping"))
        loop_stop(f->loop);
}

static void tunnel_end(void *ctx, const Err *why)
{
    (void)why;
    loop_stop(((Fix *)ctx)->loop);
}

static void on_tunnel(void *ctx, const HttpTunnelAnswer *answer, NetStream *stream, const Err *why)
{
    Fix *f = ctx;
    f->tunnel = NULL;
    f->status = answer ? answer->status : 0;
    if (!stream) {
        f->code = why ? why->code : ERR_NONE;
        loop_stop(f->loop);
        return;
    }
    f->stream = stream;
    net_stream_start(stream, &(NetStreamEvents){ tunnel_data, tunnel_end, NULL, f });
    assert_int_equal(net_stream_write(stream, "ping", 4, NULL), 0);
}

static void test_tunnel_carries_bytes_both_ways(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    for (int tls = 0; tls < 2; tls++) {
        start(f, tls);
        new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
        assert_ok(http_tunnel(f->client,
                              SV("GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                                 "Upgrade: x\r\n\r\n"),
                              on_tunnel, f, &f->tunnel, &err));
        assert_ok(loop_run(f->loop, &err));
        assert_int_equal(f->status, 101);
        assert_string_equal(f->text, "ping");
        stop(f);
    }
}

/* Whoever holds such a connection could send further requests on it, in the name of the client that
 * opened it (CVE-2018-1002105). */
static void test_tunnel_gives_no_stream_without_a_switch(void **state)
{
    Fix *f = *state;
    Err err = { 0 };
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ 0 });
    assert_ok(http_tunnel(f->client,
                          SV("GET /none HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                             "Upgrade: x\r\n\r\n"),
                          on_tunnel, f, &f->tunnel, &err));
    assert_ok(loop_run(f->loop, &err));
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(f->status, 404);
    assert_null(f->stream);
    stop(f);
}

static void test_names_are_looked_up(void **state)
{
    Fix *f = *state;
    start(f, true);
    new_client(f, NULL, &f->ca, (HttpClientConfig){ .host = "localhost" });
    HttpCallSpec s = spec(f, "GET", "/none", SV_NULL);
    call(f, &s);
    assert_int_equal(f->code, ERR_NONE);
    assert_int_equal(f->status, 404);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h2_carries_large_bodies_both_ways),
        cmocka_unit_test(test_white_space_around_values_does_not_count),
        cmocka_unit_test(test_h1_over_tls),
        cmocka_unit_test(test_h1_in_clear_text_with_and_without_reuse),
        cmocka_unit_test(test_many_calls_at_once),
        cmocka_unit_test(test_cancel_inside_a_callback_reaches_the_server),
        cmocka_unit_test(test_client_may_be_freed_inside_a_callback),
        cmocka_unit_test(test_timeout_ends_the_call),
        cmocka_unit_test(test_cut_answer_is_an_error),
        cmocka_unit_test(test_wrong_authority_and_wrong_name_are_refused),
        cmocka_unit_test(test_certificate_of_another_authority_is_presented_but_not_verified),
        cmocka_unit_test(test_refused_connection_is_reported),
        cmocka_unit_test(test_calls_survive_a_restart_of_the_server),
        cmocka_unit_test(test_bodies_are_sent_as_they_are_written),
        cmocka_unit_test(test_bodies_that_are_written_need_http_1),
        cmocka_unit_test(test_tunnel_carries_bytes_both_ways),
        cmocka_unit_test(test_tunnel_gives_no_stream_without_a_switch),
        cmocka_unit_test(test_names_are_looked_up),
    };
    return cmocka_run_group_tests(tests, setup_certs, teardown_certs);
}
