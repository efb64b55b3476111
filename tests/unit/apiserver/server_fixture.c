/* server_fixture.c - see server_fixture.h. */
#include "server_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "net/pki.h"

/* Given up only so that a lost answer names its request instead of ending the whole program. */
enum { PATIENCE_MS = 60 * 1000 };

#define assert_done(call)                                                                          \
    do {                                                                                           \
        Err err = { 0 };                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

/* ---- certificates ---- */

enum { ORGS_MAX = 8 };

/* A certificate for "NAME/GROUP,GROUP". */
static void issue_client(Server *s, const char *as, Buf *ret)
{
    StrView name, groups, group;
    const char *orgs[ORGS_MAX + 1] = { NULL };
    unsigned n = 0;
    sv_cut(sv_cstr(as), '/', &name, &groups);
    while (n < ORGS_MAX && sv_next(&groups, ',', &group))
        orgs[n++] = arena_cstr(&s->arena, group);
    PkiSubject who = { .common_name = arena_cstr(&s->arena, name),
                       .orgs = orgs,
                       .use = PKI_CLIENT,
                       .lifetime_sec = 3600 };
    assert_done(pki_issue(buf_view(&s->ca_cert), buf_view(&s->ca_key), buf_view(&s->client_key),
                          &who, ret, &err));
}

/* ---- start and stop ---- */

static void make_keys(Server *s)
{
    const char *sans[] = { "127.0.0.1", NULL };
    PkiSubject self = {
        .common_name = "kube-apiserver", .sans = sans, .use = PKI_SERVER, .lifetime_sec = 3600
    };
    assert_done(pki_new_key(&s->ca_key, &err));
    assert_done(pki_new_ca(buf_view(&s->ca_key), "the test's authority", 3600, &s->ca_cert, &err));
    assert_done(pki_new_key(&s->key, &err));
    assert_done(pki_issue(buf_view(&s->ca_cert), buf_view(&s->ca_key), buf_view(&s->key), &self,
                          &s->cert, &err));
    assert_done(pki_new_key(&s->token_key, &err));
    assert_done(pki_new_key(&s->client_key, &err));
    issue_client(s, "kube-apiserver-kubelet-client/system:masters", &s->kubelet_cert);
}

static void fill_config(Server *s)
{
    ApiServerConfig *c = &s->cfg;
    c->store = s->store;
    c->kinds = s->kinds;
    c->listen = "127.0.0.1:0";
    c->cert_chain = buf_view(&s->cert);
    c->key = buf_view(&s->key);
    c->client_ca = buf_view(&s->ca_cert);
    c->token_key = buf_view(&s->token_key);
    c->kubelet_client_cert = buf_view(&s->kubelet_cert);
    c->kubelet_client_key = buf_view(&s->client_key);
    c->kubelet_ca = buf_view(&s->ca_cert);
    c->issuer = SV("https://kubernetes.default.svc");
    c->metrics = s->metrics;
    if (!c->service_cidr.len)
        c->service_cidr = SV("10.96.0.0/16");
    if (!c->advertise_address.len)
        c->advertise_address = SV("127.0.0.1");
    if (!c->advertise_port)
        c->advertise_port = 6443;
}

Server *server_start(const ApiServerConfig *cfg, size_t history_bytes)
{
    Server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    log_set_level(LOG_LEVEL_ERROR);
    arena_init(&s->arena, 0);
    /* In memory where the machine has such a place: what is written need not last. */
    snprintf(s->dir, sizeof s->dir, "%s/knarr-apiserver-XXXXXX",
             path_exists(AT_FDCWD, "/dev/shm") ? "/dev/shm" : "/tmp");
    if (!mkdtemp(s->dir)) {
        strcpy(s->dir, "/tmp/knarr-apiserver-XXXXXX");
        assert_non_null(mkdtemp(s->dir));
    }
    s->cfg = cfg ? *cfg : (ApiServerConfig){ 0 };
    make_keys(s);
    assert_non_null(s->metrics = metrics_new());
    assert_done(api_kinds_new(NULL, 0, &s->kinds, &err));
    StoreConfig store = apiserver_store_config(s->kinds);
    store.history_bytes = history_bytes;
    assert_done(store_open(s->dir, &store, &s->store, &err));
    assert_done(loop_new(&s->loop, &err));
    fill_config(s);
    assert_done(apiserver_new(s->loop, &s->cfg, &s->api, &err));
    return s;
}

static void drop_peers(Server *s)
{
    for (unsigned i = 0; i < SERVER_PEERS_MAX; i++) {
        s->peers[i].client = http_client_free(s->peers[i].client);
        free(s->peers[i].as);
        s->peers[i].as = NULL;
    }
}

void server_restart(Server *s, size_t arena_limit)
{
    drop_peers(s);
    s->api = apiserver_free(s->api);
    s->cfg.arena_limit = arena_limit;
    assert_done(apiserver_new(s->loop, &s->cfg, &s->api, &err));
}

void server_stop(Server *s)
{
    Buf *all[] = { &s->ca_cert,   &s->ca_key,     &s->cert,        &s->key,
                   &s->token_key, &s->client_key, &s->kubelet_cert };
    drop_peers(s);
    s->api = apiserver_free(s->api);
    assert_done(loop_run(s->loop, &err)); /* ends when nothing is left to wait for */
    assert_int_equal(loop_source_count(s->loop), 0);
    loop_free(s->loop);
    store_close(s->store);
    api_kinds_unref(s->kinds);
    metrics_free(s->metrics);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_free(all[i]);
    assert_int_equal(rm_rf(AT_FDCWD, s->dir), 0);
    arena_free(&s->arena);
    free(s);
}

int server_group_setup(void **state)
{
    *state = server_start(NULL, 0);
    return 0;
}

int server_group_teardown(void **state)
{
    server_stop(*state);
    return 0;
}

/* ---- who asks ---- */

static HttpClient *new_client(Server *s, const char *as)
{
    _cleanup_buf_ Buf cert = BUF_INIT;
    TlsConfig tls = { .ca = buf_view(&s->ca_cert), .alpn_h2 = true };
    TlsContext *ctx = NULL;
    HttpClient *client = NULL;
    if (*as) {
        issue_client(s, as, &cert);
        tls.cert_chain = buf_view(&cert);
        tls.key = buf_view(&s->client_key);
    }
    assert_done(tls_context_new_client(&tls, &ctx, &err));
    HttpClientConfig cfg = { .host = "127.0.0.1", .port = apiserver_port(s->api), .tls = ctx };
    assert_done(http_client_new(s->loop, &cfg, &client, &err));
    tls_context_unref(ctx);
    return client;
}

static HttpClient *peer(Server *s, const char *as)
{
    unsigned i = 0;
    for (; i < SERVER_PEERS_MAX && s->peers[i].as; i++)
        if (strcmp(s->peers[i].as, as) == 0)
            return s->peers[i].client;
    assert_in_range(i, 0, SERVER_PEERS_MAX - 1);
    s->peers[i].as = strdup(as);
    s->peers[i].client = new_client(s, as);
    return s->peers[i].client;
}

/* ---- requests ---- */

/* One request, or one watch, on its way. */
struct ServerWatch {
    Server *s;
    HttpCall *call;
    const char *what;
    int status;
    HttpHeader *headers;
    unsigned n_headers;
    Buf got;
    size_t taken; /* of `got`: events that have been handed out */
    bool done, whole, late;
};

static void on_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    ServerWatch *w = ctx;
    Arena *a = &w->s->arena;
    w->status = status;
    assert_non_null(w->headers = arena_array(a, HttpHeader, n + 1));
    for (w->n_headers = 0; w->n_headers < n; w->n_headers++)
        w->headers[w->n_headers] = (HttpHeader){ arena_sv(a, headers[w->n_headers].name),
                                                 arena_sv(a, headers[w->n_headers].value) };
    loop_stop(w->s->loop);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    ServerWatch *w = ctx;
    buf_append(&w->got, data, len);
    loop_stop(w->s->loop);
}

static void on_done(void *ctx, const Err *err)
{
    ServerWatch *w = ctx;
    w->call = NULL;
    w->done = true;
    w->whole = err == NULL;
    loop_stop(w->s->loop);
}

static void on_late(void *ctx)
{
    ServerWatch *w = ctx;
    w->late = true;
    loop_stop(w->s->loop);
}

/* Runs the loop until something has come for the request. */
static void wait_more(ServerWatch *w)
{
    Source *patience = NULL;
    assert_done(loop_add_timer(w->s->loop, PATIENCE_MS, 0, on_late, w, &patience, &err));
    assert_done(loop_run(w->s->loop, &err));
    source_free(patience);
    if (w->late)
        fail_msg("%s: nothing has come: %d %.*s", w->what, w->status, SV_FMT(buf_view(&w->got)));
}

static StrView with_quotes(Server *s, const char *text)
{
    StrView copy = arena_sv(&s->arena, sv_cstr(text));
    for (char *p = (char *)copy.ptr; *p; p++)
        if (*p == '\'')
            *p = '"';
    return copy;
}

static ServerWatch *begin(Server *s, const Ask *ask)
{
    ServerWatch *w = calloc(1, sizeof *w);
    const char *as = ask->token ? "" : ask->as ? ask->as : s->as ? s->as : "root/system:masters";
    HttpHeader headers[32];
    uint32_t n = 0;
    assert_non_null(w);
    w->s = s;
    w->what = server_text(s, "%s %s", ask->method, ask->path);
    HttpCallSpec spec = { .method = sv_cstr(ask->method),
                          .target = sv_cstr(ask->path),
                          .headers = headers,
                          .body = ask->body ? with_quotes(s, ask->body) : ask->raw,
                          .on_head = on_head,
                          .on_data = on_data,
                          .on_done = on_done,
                          .ctx = w };
    if (spec.body.len)
        headers[n++] =
            (HttpHeader){ SV("content-type"), sv_cstr(ask->type ? ask->type : "application/json") };
    if (ask->accept)
        headers[n++] = (HttpHeader){ SV("accept"), sv_cstr(ask->accept) };
    if (ask->token)
        headers[n++] =
            (HttpHeader){ SV("authorization"), sv_cstr(server_text(s, "Bearer %s", ask->token)) };
    for (unsigned i = 0; i < ask->n_headers && n < ARRAY_SIZE(headers); i++)
        headers[n++] = ask->headers[i];
    spec.n_headers = n;
    assert_done(http_call(peer(s, as), &spec, &w->call, &err));
    return w;
}

static Answer answer_of(ServerWatch *w, StrView text)
{
    Answer a = { .headers = w->headers,
                 .n_headers = w->n_headers,
                 .status = w->status,
                 .text = arena_sv(&w->s->arena, text),
                 .arena = &w->s->arena };
    if (json_decode(a.text, a.arena, NULL, &a.body, NULL) < 0)
        a.body = value_null();
    return a;
}

Answer server_ask(Server *s, const Ask *ask)
{
    ServerWatch *w = begin(s, ask);
    while (!w->done)
        wait_more(w);
    Answer a = answer_of(w, buf_view(&w->got));
    if (!w->whole)
        a.status = 0;
    server_watch_free(w);
    return a;
}

Answer server_get(Server *s, const char *path)
{
    return server_ask(s, &(Ask){ .method = "GET", .path = path });
}

Answer server_create(Server *s, const char *path, const char *body)
{
    return server_ask(s, &(Ask){ .method = "POST", .path = path, .body = body });
}

Answer server_update(Server *s, const char *path, const char *body)
{
    return server_ask(s, &(Ask){ .method = "PUT", .path = path, .body = body });
}

Answer server_patch(Server *s, const char *path, const char *type, const char *body)
{
    static const char *const types[][2] = {
        { "merge", "application/merge-patch+json" },
        { "strategic", "application/strategic-merge-patch+json" },
        { "json", "application/json-patch+json" },
        { "apply", "application/apply-patch+yaml" },
    };
    const char *full = type;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(type, types[i][0]) == 0)
            full = types[i][1];
    return server_ask(s, &(Ask){ .method = "PATCH", .path = path, .body = body, .type = full });
}

Answer server_delete(Server *s, const char *path, const char *options)
{
    return server_ask(s, &(Ask){ .method = "DELETE", .path = path, .body = options });
}

Answer server_make(Server *s, const char *path, const char *body)
{
    Answer a = server_ask(
        s, &(Ask){ .method = "POST", .path = path, .body = body, .as = "root/system:masters" });
    if (a.status != 201)
        fail_msg("POST %s: %d %.*s", path, a.status, SV_FMT(a.text));
    return a;
}

/* ---- looking at answers ---- */

StrView answer_header(const Answer *a, const char *name)
{
    for (unsigned i = 0; i < a->n_headers; i++)
        if (sv_eq(a->headers[i].name, sv_cstr(name)))
            return a->headers[i].value;
    return SV_NULL;
}

/* Takes the next step of a path: up to a dot, or what stands in brackets. */
static StrView next_step(StrView *path)
{
    StrView step;
    if (sv_starts(*path, SV("["))) {
        sv_cut(sv_skip(*path, 1), ']', &step, path);
        *path = sv_skip(*path, sv_starts(*path, SV(".")) ? 1 : 0);
    } else
        sv_cut(*path, '.', &step, path);
    return step;
}

const char *answer_at(const Answer *a, const char *path)
{
    const Value *v = &a->body;
    StrView rest = sv_cstr(path);
    while (v && rest.len) {
        StrView step = next_step(&rest);
        uint64_t i;
        v = value_is(v, VALUE_LIST) && sv_to_u64(step, &i) == 0 ? value_at(v, (uint32_t)i)
                                                                : value_get(v, step);
    }
    if (!v)
        return "";
    if (value_is(v, VALUE_STRING))
        return arena_cstr(a->arena, value_str(v));
    _cleanup_buf_ Buf text = BUF_INIT;
    json_encode(v, &text);
    return arena_cstr(a->arena, buf_view(&text));
}

const char *server_text(Server *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView text = arena_vprintf(&s->arena, fmt, ap);
    va_end(ap);
    assert_non_null(text.ptr);
    return text.ptr;
}

static void fail_at(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);
static void fail_at(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    _fail(file, line);
}

void assert_code_at(const Answer *a, int code, const char *file, int line)
{
    if (a->status != code)
        fail_at(file, line, "got %d, want %d: %.*s", a->status, code, SV_FMT(a->text));
}

void assert_at_at(const Answer *a, const char *path, const char *want, const char *file, int line)
{
    const char *got = answer_at(a, path);
    if (strcmp(got, want) != 0)
        fail_at(file, line, "%s: got '%s', want '%s' in %.*s", path, got, want, SV_FMT(a->text));
}

void assert_status_at(const Answer *a, int code, const char *reason, const char *message,
                      const char *file, int line)
{
    assert_code_at(a, code, file, line);
    assert_at_at(a, "kind", "Status", file, line);
    assert_at_at(a, "code", arena_printf(a->arena, "%d", code).ptr, file, line);
    if (reason)
        assert_at_at(a, "reason", reason, file, line);
    if (message)
        assert_at_at(a, "message", arena_printf(a->arena, "%s", message).ptr, file, line);
}

/* ---- watches ---- */

ServerWatch *server_watch(Server *s, const char *path)
{
    return server_watch_form(s, path, NULL);
}

ServerWatch *server_watch_form(Server *s, const char *path, const char *accept)
{
    ServerWatch *w = begin(s, &(Ask){ .method = "GET", .path = path, .accept = accept });
    while (!w->done && !w->status)
        wait_more(w);
    return w;
}

int server_watch_status(const ServerWatch *w)
{
    return w->status;
}

Answer server_watch_next(ServerWatch *w)
{
    for (;;) {
        StrView rest = sv_skip(buf_view(&w->got), w->taken);
        ssize_t end = sv_find_char(rest, '\n');
        if (end >= 0) {
            w->taken += (size_t)end + 1;
            return answer_of(w, sv_head(rest, (size_t)end));
        }
        if (w->done)
            return (Answer){ .arena = &w->s->arena, .text = SV("") };
        wait_more(w);
    }
}

ServerWatch *server_watch_free(ServerWatch *w)
{
    if (!w)
        return NULL;
    http_call_cancel(w->call);
    buf_free(&w->got);
    free(w);
    return NULL;
}
