/* fake_api.h - a small API server of one kind of objects (v1 widgets) for fault injection: it keeps
 * texts, answers list and watch, and breaks where the test asks it to. */
#pragma once

#include "unit.h"

#include <stdio.h>

#include "api/client.h"
#include "net/http.h"

enum { FAKE_MAX = 16 };

typedef struct FakeApi {
    Loop *loop;
    HttpServer *server;
    ApiClient *client;
    struct {
        char ns[16], name[16], node[16];
        unsigned rv;
        bool used;
    } objs[FAKE_MAX];
    unsigned rv;
    HttpReq *watchers[FAKE_MAX];
    bool streaming_refused; /* 400 for sendInitialEvents */
    bool streams_hang;      /* the end of the initial events does not come by itself */
    unsigned fail_next;     /* so many requests get 503 */
    bool gone_next;         /* a watch from a revision gets 410 */
    unsigned streams, lists, watches, others;
    char last_method[16], last_path[256], last_query[512], last_body[2048], last_type[64],
        last_auth[64];
    int answer; /* status for everything else; 0: 200 */
    const char *answer_body;
    unsigned page; /* items of a page; 0: all */
} FakeApi;

static void fake_object(FakeApi *f, unsigned i, char *out, size_t size)
{
    snprintf(
        out, size,
        "{\"kind\":\"Widget\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
        "\"%s\",\"uid\":\"u-%s\",\"resourceVersion\":\"%u\",\"managedFields\":[{}]},"
        "\"spec\":{\"nodeName\":\"%s\"}}",
        f->objs[i].name, f->objs[i].ns, f->objs[i].name, f->objs[i].rv, f->objs[i].node);
}

static void fake_watcher_gone(void *ctx)
{
    HttpReq **slot = ctx;
    *slot = NULL;
}

static void fake_send(HttpReq *req, const char *type, const char *obj)
{
    char line[1024];
    int n = snprintf(line, sizeof line, "{\"type\":\"%s\",\"object\":%s}\n", type, obj);
    assert_int_equal(http_stream_write(req, line, (size_t)n, NULL), 0);
}

static void fake_bookmark(FakeApi *f, HttpReq *req, bool end)
{
    char obj[256];
    snprintf(obj, sizeof obj, "{\"kind\":\"Widget\",\"metadata\":{\"resourceVersion\":\"%u\"%s}}",
             f->rv, end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    fake_send(req, "BOOKMARK", obj);
}

static void fake_watch(FakeApi *f, HttpReq *req)
{
    StrView v;
    bool stream = http_query(req, SV("sendInitialEvents"), &v);
    if (stream)
        f->streams++;
    else
        f->watches++;
    if (stream && f->streaming_refused) {
        http_respond(
            req, 422, SV("application/json"),
            SV("{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"sendInitialEvents\"}"));
        return;
    }
    unsigned slot = 0;
    while (f->watchers[slot])
        slot++;
    f->watchers[slot] = req;
    http_on_close(req, fake_watcher_gone, &f->watchers[slot]);
    assert_int_equal(http_stream_start(req, 200, SV("application/json"), NULL), 0);
    if (!stream && f->gone_next) {
        f->gone_next = false;
        fake_send(req, "ERROR",
                  "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}");
        return;
    }
    char obj[512];
    for (unsigned i = 0; stream && i < FAKE_MAX; i++)
        if (f->objs[i].used) {
            fake_object(f, i, obj, sizeof obj);
            fake_send(req, "ADDED", obj);
        }
    if (stream)
        fake_bookmark(f, req, !f->streams_hang);
}

static void fake_list(FakeApi *f, HttpReq *req)
{
    Buf b = BUF_INIT;
    StrView v = SV("0");
    int64_t from = 0;
    unsigned n = 0, i;
    f->lists++;
    if (http_query(req, SV("continue"), &v))
        sv_to_i64(v, &from);
    buf_printf(&b, "{\"kind\":\"WidgetList\",\"apiVersion\":\"v1\",\"items\":[");
    for (i = (unsigned)from; i < FAKE_MAX && (!f->page || n < f->page); i++) {
        char obj[512];
        if (!f->objs[i].used)
            continue;
        fake_object(f, i, obj, sizeof obj);
        /* items of a list carry no kind of their own */
        buf_printf(&b, "%s{%s", n++ ? "," : "", strstr(obj, "\"metadata\""));
    }
    buf_printf(&b, "],\"metadata\":{\"resourceVersion\":\"%u\"", f->rv);
    if (i < FAKE_MAX)
        buf_printf(&b, ",\"continue\":\"%u\"", i);
    buf_printf(&b, "}}");
    http_respond(req, 200, SV("application/json"), buf_view(&b));
    buf_free(&b);
}

static void fake_copy(StrView s, char *to, size_t size)
{
    sv_copy_cstr(s.ptr ? s : SV(""), to, size);
}

static void fake_handler(void *ctx, HttpReq *req)
{
    FakeApi *f = ctx;
    StrView v;
    fake_copy(req->method, f->last_method, sizeof f->last_method);
    fake_copy(req->raw_path, f->last_path, sizeof f->last_path);
    fake_copy(req->query, f->last_query, sizeof f->last_query);
    fake_copy(req->body, f->last_body, sizeof f->last_body);
    fake_copy(http_header(req, SV("content-type")), f->last_type, sizeof f->last_type);
    fake_copy(http_header(req, SV("authorization")), f->last_auth, sizeof f->last_auth);
    if (f->fail_next > 0) {
        f->fail_next--;
        assert_int_equal(http_set_header(req, SV("Retry-After"), SV("1"), NULL), 0);
        http_respond(req, 503, SV("text/plain"), SV("later"));
    } else if (!sv_ends(req->path, SV("/widgets"))) {
        f->others++;
        http_respond(req, f->answer ? f->answer : 200, SV("application/json"),
                     sv_cstr(f->answer_body ? f->answer_body : "{}"));
    } else if (http_query(req, SV("watch"), &v)) {
        fake_watch(f, req);
    } else {
        fake_list(f, req);
    }
}

/* Adds, changes (an object of this name is there) or removes, and tells the watchers. */
static inline void fake_put(FakeApi *f, const char *ns, const char *name, const char *node)
{
    unsigned i = 0;
    while (f->objs[i].used && strcmp(f->objs[i].name, name) != 0)
        i++;
    bool fresh = !f->objs[i].used;
    snprintf(f->objs[i].ns, sizeof f->objs[i].ns, "%s", ns);
    snprintf(f->objs[i].name, sizeof f->objs[i].name, "%s", name);
    snprintf(f->objs[i].node, sizeof f->objs[i].node, "%s", node);
    f->objs[i].used = true;
    f->objs[i].rv = ++f->rv;
    char obj[512];
    fake_object(f, i, obj, sizeof obj);
    for (unsigned w = 0; w < FAKE_MAX; w++)
        if (f->watchers[w])
            fake_send(f->watchers[w], fresh ? "ADDED" : "MODIFIED", obj);
}

static inline void fake_del(FakeApi *f, const char *name)
{
    unsigned i = 0;
    while (!f->objs[i].used || strcmp(f->objs[i].name, name) != 0)
        i++;
    f->objs[i].rv = ++f->rv;
    f->objs[i].used = false;
    char obj[512];
    fake_object(f, i, obj, sizeof obj);
    for (unsigned w = 0; w < FAKE_MAX; w++)
        if (f->watchers[w])
            fake_send(f->watchers[w], "DELETED", obj);
}

/* Breaks all watches: in order, or in the middle. */
static inline void fake_cut(FakeApi *f, bool in_order)
{
    for (unsigned w = 0; w < FAKE_MAX; w++) {
        HttpReq *req = f->watchers[w];
        f->watchers[w] = NULL;
        if (req && in_order)
            http_stream_end(req);
        else if (req)
            http_abort(req);
    }
}

static inline void fake_start(FakeApi *f)
{
    Err err = { 0 };
    HttpServerConfig cfg = { .handler = fake_handler, .ctx = f, .body_max = 1 << 20 };
    *f = (FakeApi){ .rv = 100 };
    assert_int_equal(loop_new(&f->loop, &err), 0);
    assert_int_equal(http_server_new(f->loop, "127.0.0.1:0", &cfg, &f->server, &err), 0);
    KubeConfig kc = { .host = (char *)"127.0.0.1",
                      .port = http_server_port(f->server),
                      .token = (char *)"tok" };
    assert_int_equal(api_client_new(f->loop, &kc, &f->client, &err), 0);
}

static inline void fake_stop(FakeApi *f)
{
    f->client = api_client_free(f->client);
    f->server = http_server_free(f->server);
    assert_int_equal(loop_source_count(f->loop), 0);
    f->loop = loop_free(f->loop);
}

typedef struct FakeTicks {
    Loop *loop;
    unsigned left;
} FakeTicks;

static inline void fake_tick(void *ctx)
{
    FakeTicks *t = ctx;
    if (--t->left == 0)
        loop_stop(t->loop);
}

/* Runs the loop for a while: in so many turns that are a millisecond or more apart, so that each
 * side gets to do something in between, however seldom this process is let run. */
static inline void fake_run(FakeApi *f, unsigned ms)
{
    FakeTicks ticks = { f->loop, ms };
    Source *t = NULL;
    assert_int_equal(loop_add_timer(f->loop, 1, 1, fake_tick, &ticks, &t, NULL), 0);
    assert_int_equal(loop_run(f->loop, NULL), 0);
    source_free(t);
}
