/* test_loops.c - a whole server on two loops, asked over TLS from threads of their own: what is
 * written on one loop holds on the other, of two that want the same one gets it, certificates come
 * anew everywhere, and the end may come at any time. Runs under ThreadSanitizer too. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "apiserver/authz.h"
#include "apiserver/call.h"
#include "apiserver/object.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "net/http_client.h"
#include "net/pki.h"

enum { CLIENTS = 4 };

#define must(call)                                                                                 \
    do {                                                                                           \
        Err err = { 0 };                                                                           \
        int r_ = (call);                                                                           \
        ASSERT_MSG(r_ >= 0, "%s: %s", #call, err.msg);                                             \
    } while (0)

/* ---- the server ---- */

typedef struct Fix {
    char dir[64];
    Loop *loop;
    pthread_t thread;
    Store *store;
    ApiKinds *kinds;
    ApiServer *api;
    ApiServerConfig cfg;
    Buf ca_cert, ca_key, cert, key, token_key, client_key, admin, user;
} Fix;

static void issue(Fix *f, const char *name, const char *org, Buf *ret)
{
    const char *orgs[] = { org, NULL };
    PkiSubject who = { .common_name = name, .orgs = orgs, .use = PKI_CLIENT, .lifetime_sec = 3600 };
    must(pki_issue(buf_view(&f->ca_cert), buf_view(&f->ca_key), buf_view(&f->client_key), &who, ret,
                   &err));
}

static void issue_server(Fix *f, Buf *ret_key, Buf *ret_cert)
{
    const char *sans[] = { "127.0.0.1", NULL };
    PkiSubject self = {
        .common_name = "kube-apiserver", .sans = sans, .use = PKI_SERVER, .lifetime_sec = 3600
    };
    must(pki_new_key(ret_key, &err));
    must(pki_issue(buf_view(&f->ca_cert), buf_view(&f->ca_key), buf_view(ret_key), &self, ret_cert,
                   &err));
}

static void make_authority(Fix *f)
{
    buf_clear(&f->ca_key);
    buf_clear(&f->ca_cert);
    must(pki_new_key(&f->ca_key, &err));
    must(pki_new_ca(buf_view(&f->ca_key), "the test's authority", 3600, &f->ca_cert, &err));
}

static void *serve(void *arg)
{
    Fix *f = arg;
    must(loop_run(f->loop, &err));
    return NULL;
}

static void start(Fix *f)
{
    must(apiserver_new(f->loop, &f->cfg, &f->api, &err));
    ASSERT(pthread_create(&f->thread, NULL, serve, f) == 0);
}

static void stop_loop(void *ctx)
{
    loop_stop(ctx);
}

/* The first loop's thread ends; its part of the server is this thread's now. */
static void stop(Fix *f)
{
    must(loop_post(f->loop, stop_loop, f->loop, &err));
    pthread_join(f->thread, NULL);
    f->api = apiserver_free(f->api);
}

static int setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    log_set_level(LOG_LEVEL_ERROR);
    strcpy(f->dir, "/tmp/knarr-test-loops-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    make_authority(f);
    issue_server(f, &f->key, &f->cert);
    must(pki_new_key(&f->token_key, &err));
    must(pki_new_key(&f->client_key, &err));
    issue(f, "root", "system:masters", &f->admin);
    issue(f, "user", "users", &f->user);
    must(api_kinds_new(NULL, 0, &f->kinds, &err));
    StoreConfig store = apiserver_store_config(f->kinds);
    must(store_open(f->dir, &store, &f->store, &err));
    must(loop_new(&f->loop, &err));
    f->cfg = (ApiServerConfig){ .store = f->store,
                                .kinds = f->kinds,
                                .loops = 2,
                                .group = 1,
                                .listen = "127.0.0.1:0",
                                .cert_chain = buf_view(&f->cert),
                                .key = buf_view(&f->key),
                                .client_ca = buf_view(&f->ca_cert),
                                .token_key = buf_view(&f->token_key),
                                .issuer = SV("https://kubernetes.default.svc"),
                                .service_cidr = SV("10.96.0.0/16"),
                                .advertise_address = SV("127.0.0.1"),
                                .advertise_port = 6443 };
    start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    Buf *all[] = { &f->ca_cert,   &f->ca_key,     &f->cert,  &f->key,
                   &f->token_key, &f->client_key, &f->admin, &f->user };
    stop(f);
    must(loop_run(f->loop, &err)); /* ends when nothing is left to wait for */
    assert_int_equal(loop_source_count(f->loop), 0);
    loop_free(f->loop);
    store_close(f->store);
    api_kinds_unref(f->kinds);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_free(all[i]);
    assert_int_equal(rm_rf(AT_FDCWD, f->dir), 0);
    free(f);
    return 0;
}

/* ---- a client: one connection, on a loop of its own ---- */

typedef struct Client {
    Fix *f;
    Loop *loop;
    HttpClient *http;
    HttpCall *call;
    int status;
    bool done;
    Buf text;
    /* of the thread that uses it */
    pthread_t thread;
    unsigned nr, count;
    atomic_uint *shared;
} Client;

static void client_open(Client *c, Fix *f, const Buf *cert)
{
    TlsConfig tls = { .ca = buf_view(&f->ca_cert),
                      .cert_chain = buf_view(cert),
                      .key = buf_view(&f->client_key),
                      .alpn_h2 = true };
    TlsContext *ctx = NULL;
    *c = (Client){ .f = f };
    must(loop_new(&c->loop, &err));
    must(tls_context_new_client(&tls, &ctx, &err));
    HttpClientConfig cfg = { .host = "127.0.0.1", .port = apiserver_port(f->api), .tls = ctx };
    must(http_client_new(c->loop, &cfg, &c->http, &err));
    tls_context_unref(ctx);
}

static void client_close(Client *c)
{
    http_client_free(c->http);
    loop_free(c->loop);
    buf_free(&c->text);
}

static void on_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    Client *c = ctx;
    c->status = status;
    loop_stop(c->loop);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    Client *c = ctx;
    buf_append(&c->text, data, len);
    loop_stop(c->loop);
}

static void on_done(void *ctx, const Err *err)
{
    Client *c = ctx;
    c->call = NULL;
    c->done = true;
    if (err)
        c->status = 0;
    loop_stop(c->loop);
}

static void begin(Client *c, const char *method, const char *path, const char *type, StrView body)
{
    HttpHeader header = { SV("content-type"), sv_cstr(type) };
    HttpCallSpec spec = { .method = sv_cstr(method),
                          .target = sv_cstr(path),
                          .headers = &header,
                          .n_headers = body.len > 0,
                          .body = body,
                          .on_head = on_head,
                          .on_data = on_data,
                          .on_done = on_done,
                          .ctx = c };
    buf_clear(&c->text);
    c->status = 0;
    c->done = false;
    must(http_call(c->http, &spec, &c->call, &err));
}

/* 0: no answer. */
static int ask_typed(Client *c, const char *method, const char *path, const char *type,
                     StrView body)
{
    begin(c, method, path, type, body);
    while (!c->done)
        must(loop_run(c->loop, &err));
    return c->status;
}

static int ask(Client *c, const char *method, const char *path, const char *body)
{
    return ask_typed(c, method, path, "application/json", sv_cstr(body ? body : ""));
}

static void want(Client *c, int status, const char *method, const char *path, const char *body)
{
    int got = ask(c, method, path, body);
    ASSERT_MSG(got == status, "%s %s: got %d, want %d: %.*s", method, path, got, status,
               SV_FMT(buf_view(&c->text)));
}

/* Runs `fn` with clients 0 to n - 1, each on a thread of its own. */
static void together(Client *clients, unsigned n, void *(*fn)(void *client))
{
    for (unsigned i = 0; i < n; i++) {
        clients[i].nr = i;
        ASSERT(pthread_create(&clients[i].thread, NULL, fn, &clients[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(clients[i].thread, NULL);
}

static void open_all(Client *clients, Fix *f)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_open(&clients[i], f, &f->admin);
        want(&clients[i], 200, "GET", "/version", NULL); /* connected one after the other */
    }
}

static void close_all(Client *clients)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
}

/* ---- tests ---- */

static void test_connections_are_spread(void **state)
{
    Fix *f = *state;
    Client clients[CLIENTS];
    open_all(clients, f);
    assert_int_equal(f->api->n_loops, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(http_server_open(f->api->loops[i].http), CLIENTS / 2);
    close_all(clients);
}

/* As a server does that nobody told otherwise. */
static void test_few_connections_share_a_loop(void **state)
{
    enum { EACH = 4, ALL = 2 * EACH };
    Fix *f = *state;
    Client clients[ALL + 1];
    stop(f);
    f->cfg.group = 0;
    start(f);
    for (unsigned i = 0; i < ALL + 1; i++) {
        client_open(&clients[i], f, &f->admin);
        want(&clients[i], 200, "GET", "/version", NULL);
        unsigned first = i < EACH ? i + 1 : i < ALL ? EACH : EACH + 1;
        assert_int_equal(http_server_open(f->api->loops[0].http), first);
        assert_int_equal(http_server_open(f->api->loops[1].http), i + 1 - first);
    }
    for (unsigned i = 0; i < ALL + 1; i++)
        client_close(&clients[i]);
}

static void test_rights_hold_on_every_loop_once_they_are_written(void **state)
{
    enum { ROUNDS = 100 };
    static const char *const list = "/api/v1/namespaces/default/configmaps",
                             *const bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/"
                                               "default/rolebindings",
                             *const binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/"
                                              "default/rolebindings/b";
    Fix *f = *state;
    Client admin, users[2];
    client_open(&admin, f, &f->admin);
    want(&admin, 200, "GET", "/version", NULL);
    for (int i = 0; i < 2; i++) { /* one on each loop */
        client_open(&users[i], f, &f->user);
        want(&users[i], 403, "GET", list, NULL);
    }
    want(&admin, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
         "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":["
         "\"configmaps\"],\"verbs\":[\"list\"]}]}");
    unsigned made = rbac_made(f->api->rbac);
    for (int i = 0; i < ROUNDS; i++) {
        want(&admin, 201, "POST", bindings,
             "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":"
             "\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"r\"},\"subjects\":[{"
             "\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"User\",\"name\":\"user\"}]}");
        want(&users[0], 200, "GET", list, NULL);
        want(&users[1], 200, "GET", list, NULL);
        want(&admin, 200, "DELETE", binding, NULL);
        want(&users[1], 403, "GET", list, NULL);
        want(&users[0], 403, "GET", list, NULL);
    }
    assert_int_equal(rbac_made(f->api->rbac) - made, 2 * ROUNDS); /* not once for each loop */
    client_close(&admin);
    client_close(&users[0]);
    client_close(&users[1]);
}

/* The keys of RBAC's kinds are those that the store marks. */
static void test_what_the_store_marks_is_rbac(void **state)
{
    size_t n = 0;
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *res = &api_resources[i];
        if (!res->stored)
            continue;
        bool is_rbac = sv_eq(res->group, SV("rbac.authorization.k8s.io"));
        char full[STORE_KEY_MAX];
        assert_true(registry_key(res, SV_NULL, SV_NULL, full));
        assert_int_equal(rbac_marks(sv_cstr(full)), is_rbac);
        n += is_rbac;
    }
    assert_int_equal(n, 4);
}

/* The number behind a literal in a text; 0: it is not there. */
static unsigned long long number_after(const Buf *text, const char *what)
{
    const char *at = text->len ? strstr(text->ptr, what) : NULL;
    return at ? strtoull(at + strlen(what), NULL, 10) : 0;
}

enum { WRITES_EACH = 50 };

static void *write_many(void *arg)
{
    Client *c = arg;
    for (unsigned i = 0; i < WRITES_EACH; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"w%u-%u\"},\"data\":{\"a\":\"1\"}}",
                 c->nr, i);
        want(c, 201, "POST", "/api/v1/namespaces/default/configmaps", body);
    }
    return NULL;
}

static void *watch_many(void *arg)
{
    Client *c = arg;
    char path[200];
    snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=%u",
             c->count);
    begin(c, "GET", path, "", SV(""));
    unsigned long long last = 0;
    unsigned n = 0;
    while (n < 2 * WRITES_EACH && !c->done) {
        must(loop_run(c->loop, &err));
        buf_cstr(&c->text);
        for (char *end; c->text.len && (end = strchr(c->text.ptr, '\n')); n++) {
            unsigned long long rev = number_after(&c->text, "\"resourceVersion\":\"");
            ASSERT_MSG(rev > last, "revision %llu after %llu", rev, last);
            last = rev;
            size_t used = (size_t)(end + 1 - c->text.ptr);
            memmove(c->text.ptr, end + 1, c->text.len - used + 1);
            c->text.len -= used;
        }
    }
    ASSERT_MSG(n == 2 * WRITES_EACH, "%u events", n);
    c->call = http_call_cancel(c->call);
    return NULL;
}

static void *watch_or_write(void *arg)
{
    Client *c = arg;
    return c->nr < 2 ? watch_many(arg) : write_many(arg);
}

static void test_every_watch_sees_every_write_in_order(void **state)
{
    Fix *f = *state;
    Client clients[CLIENTS]; /* two watch, two write, on either loop one of each */
    open_all(clients, f);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].count = (unsigned)store_revision(f->store);
    together(clients, CLIENTS, watch_or_write);
    close_all(clients);
}

enum { CONTESTS = 40 };

static void *contend(void *arg)
{
    Client *c = arg;
    for (unsigned i = 0; i < CONTESTS; i++) {
        char body[300];
        snprintf(body, sizeof body,
                 "{\"metadata\":{\"name\":\"s%u-%u\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{"
                 "\"port\":80,\"nodePort\":%u}]}}",
                 i, c->nr, 30000 + i);
        int port = ask(c, "POST", "/api/v1/namespaces/default/services", body);
        ASSERT_MSG(port == 201 || port == 422, "%d: %.*s", port, SV_FMT(buf_view(&c->text)));
        atomic_fetch_add(&c->shared[i], port == 201);
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"c%u\"}}", i);
        int name = ask(c, "POST", "/api/v1/namespaces/default/configmaps", body);
        ASSERT_MSG(name == 201 || name == 409, "%d", name);
        atomic_fetch_add(&c->shared[CONTESTS + i], name == 201);
        snprintf(body, sizeof body,
                 "{\"metadata\":{\"name\":\"free%u-%u\"},\"spec\":{\"ports\":[{"
                 "\"port\":80}]}}",
                 i, c->nr);
        want(c, 201, "POST", "/api/v1/namespaces/default/services", body); /* some address */
    }
    return NULL;
}

static void test_of_two_that_want_the_same_one_gets_it(void **state)
{
    Fix *f = *state;
    Client clients[CLIENTS];
    atomic_uint won[2 * CONTESTS] = { 0 };
    open_all(clients, f);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].shared = won;
    together(clients, CLIENTS, contend);
    for (unsigned i = 0; i < 2 * CONTESTS; i++)
        assert_int_equal(atomic_load(&won[i]), 1);
    close_all(clients);
}

enum { LARGE = 400 * 1000, LARGE_WRITES = 6 };

static void *write_large(void *arg)
{
    Client *c = arg;
    _cleanup_buf_ Buf body = BUF_INIT;
    char path[100];
    buf_printf(&body, "{\"metadata\":{\"name\":\"large%u\"},\"data\":{\"a\":\"", c->nr);
    for (int i = 0; i < LARGE; i++)
        buf_putc(&body, 'a');
    buf_sv(&body, SV("\"}}"));
    want(c, 201, "POST", "/api/v1/namespaces/default/configmaps", buf_cstr(&body));
    snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps/large%u", c->nr);
    for (int i = 0; i < LARGE_WRITES; i++) {
        char patch[60];
        snprintf(patch, sizeof patch, "{\"metadata\":{\"labels\":{\"n\":\"%d\"}}}", i);
        int got = ask_typed(c, "PATCH", path, "application/merge-patch+json", sv_cstr(patch));
        ASSERT_MSG(got == 200, "%d", got);
        if (i % 2) /* and one that nobody waits for */
            continue;
        begin(c, "PATCH", path, "application/merge-patch+json", sv_cstr(patch));
        c->call = http_call_cancel(c->call);
    }
    return NULL;
}

static void test_large_writes_of_all_loops_share_places(void **state)
{
    Fix *f = *state;
    Client clients[CLIENTS];
    open_all(clients, f);
    together(clients, CLIENTS, write_large);
    close_all(clients);
}

static void reload_now(void *ctx)
{
    Fix *f = ctx;
    must(apiserver_reload(f->api, &f->cfg, &err));
}

static void test_certificates_come_anew_for_every_loop(void **state)
{
    Fix *f = *state;
    Client old[CLIENTS], clients[CLIENTS];
    Buf key = BUF_INIT, cert = BUF_INIT;
    open_all(old, f);
    make_authority(f); /* who trusts this one refuses the certificate before */
    issue_server(f, &key, &cert);
    buf_clear(&f->admin);
    issue(f, "root", "system:masters", &f->admin);
    f->cfg.key = buf_view(&key);
    f->cfg.cert_chain = buf_view(&cert);
    f->cfg.client_ca = buf_view(&f->ca_cert);
    must(loop_post(f->loop, reload_now, f, &err));
    open_all(clients, f); /* two on each loop */
    for (unsigned i = 0; i < CLIENTS; i++) {
        want(&clients[i], 200, "GET", "/api/v1/namespaces", NULL);
        want(&old[i], 200, "GET", "/api/v1/namespaces", NULL); /* stays what it was */
    }
    close_all(old);
    close_all(clients);
    buf_free(&f->key);
    buf_free(&f->cert);
    f->key = key;
    f->cert = cert;
}

/* Asks until the connection has ended. */
static void *ask_to_the_end(void *arg)
{
    Client *c = arg;
    char body[200];
    int got = 1;
    for (unsigned i = 0; got; i++) {
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"e%u-%u\"},\"data\":{\"a\":\"1\"}}",
                 c->nr, i);
        got = ask(c, "POST", "/api/v1/namespaces/default/configmaps", body);
        if (got && i % 16 == c->nr)
            got = ask(c, "DELETE", "/api/v1/namespaces/default/configmaps", NULL);
        else if (got)
            got = ask(c, "GET", "/api/v1/configmaps", NULL);
        atomic_fetch_add(c->shared, 1);
    }
    return NULL;
}

static void test_the_end_may_come_at_any_time(void **state)
{
    Fix *f = *state;
    for (unsigned round = 0; round < 8; round++) {
        Client clients[CLIENTS], watcher;
        atomic_uint n = 0;
        open_all(clients, f);
        client_open(&watcher, f, &f->admin);
        begin(&watcher, "GET", "/api/v1/configmaps?watch=1", "", SV(""));
        must(loop_run(watcher.loop, &err));
        for (unsigned i = 0; i < CLIENTS; i++) {
            clients[i].nr = i;
            clients[i].shared = &n;
            ASSERT(pthread_create(&clients[i].thread, NULL, ask_to_the_end, &clients[i]) == 0);
        }
        while (atomic_load(&n) < 3 * round)
            usleep(500);
        stop(f);
        for (unsigned i = 0; i < CLIENTS; i++)
            pthread_join(clients[i].thread, NULL);
        client_close(&watcher);
        close_all(clients);
        start(f);
    }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_connections_are_spread),
        T(test_few_connections_share_a_loop),
        T(test_rights_hold_on_every_loop_once_they_are_written),
        cmocka_unit_test(test_what_the_store_marks_is_rbac),
        T(test_every_watch_sees_every_write_in_order),
        T(test_of_two_that_want_the_same_one_gets_it),
        T(test_large_writes_of_all_loops_share_places),
        T(test_certificates_come_anew_for_every_loop),
        T(test_the_end_may_come_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
