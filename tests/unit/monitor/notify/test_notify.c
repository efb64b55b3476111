/* test_notify.c - a notifier against real HTTP servers on loopback: what arrives, in which batches,
 * what is dropped and relabelled, and that one server does not hold up another. */
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "monitor/notify/notify.h"
#include "net/http.h"
#include "unit.h"

enum { PEERS = 2 };

typedef struct Peer { /* an Alertmanager */
    HttpServer *server;
    Buf bodies; /* of all requests, one a line */
    Buf paths;
    unsigned requests;
    int status;
    bool silent; /* takes requests, and never answers */
} Peer;

typedef struct World {
    Loop *loop;
    Notifier *n;
    Peer peers[PEERS];
    size_t failed;
    char why[512];
    size_t want; /* of the condition that is waited for */
} World;

static void handle(void *ctx, HttpReq *req)
{
    Peer *p = ctx;
    assert_sv(req->method, "POST");
    assert_sv(http_header(req, SV("content-type")), "application/json");
    p->requests++;
    buf_sv(&p->bodies, req->body);
    buf_putc(&p->bodies, '\n');
    buf_sv(&p->paths, req->raw_path);
    buf_putc(&p->paths, ' ');
    if (!p->silent)
        http_respond(req, p->status, SV("text/plain"), p->status == 200 ? SV("") : SV("no\n"));
}

static void on_failed(void *ctx, StrView url, size_t n, const Err *why)
{
    World *w = ctx;
    w->failed += n;
    snprintf(w->why, sizeof w->why, "%s", why->msg);
}

static void world_init(World *w, size_t capacity, size_t batch, bool drain)
{
    Err err = { 0 };
    *w = (World){ 0 };
    assert_int_equal(loop_new(&w->loop, &err), 0);
    for (unsigned i = 0; i < PEERS; i++) {
        w->peers[i].status = 200;
        HttpServerConfig hc = { .handler = handle, .ctx = &w->peers[i], .body_max = 16u << 20 };
        assert_int_equal(http_server_new(w->loop, "127.0.0.1:0", &hc, &w->peers[i].server, &err),
                         0);
    }
    const NotifierOptions opt = { .queue_capacity = capacity,
                                  .batch_size = batch,
                                  .drain = drain,
                                  .failed = on_failed,
                                  .ctx = w };
    assert_int_equal(notifier_new(w->loop, &opt, &w->n, &err), 0);
}

static void world_free(World *w)
{
    notifier_free(w->n);
    for (unsigned i = 0; i < PEERS; i++) {
        http_server_free(w->peers[i].server);
        buf_free(&w->peers[i].bodies);
        buf_free(&w->peers[i].paths);
    }
    assert_int_equal(loop_source_count(w->loop), 0);
    loop_free(w->loop);
}

/* `format` has a %u for the port of each peer, in order. */
static int prepare(World *w, const char *format, NotifierNext **ret, Err *err)
{
    char text[4096];
    Config *c = NULL;
    snprintf(text, sizeof text, format, http_server_port(w->peers[0].server),
             http_server_port(w->peers[1].server));
    if (config_parse(sv_cstr(text), "test.yml", SV(""), NULL, &c, err) < 0)
        fail_msg("%s", err->msg);
    int r = notifier_prepare(w->n, c, ret, err);
    config_unref(c);
    return r;
}

static void apply(World *w, const char *format)
{
    Err err = { 0 };
    NotifierNext *next = NULL;
    if (prepare(w, format, &next, &err) < 0)
        fail_msg("%s", err.msg);
    notifier_take(w->n, next);
}

/* ---- waiting ---- */

typedef struct Wait {
    World *w;
    bool (*met)(World *w);
    int64_t deadline;
    bool done;
} Wait;

static void poll(void *ctx)
{
    Wait *x = ctx;
    x->done = x->met(x->w);
    if (x->done || clock_mono_ns() > x->deadline)
        loop_stop(x->w->loop);
}

static void wait_for(World *w, bool (*met)(World *w), size_t want)
{
    Wait x = { w, met, clock_mono_ns() + 10 * NSEC_PER_SEC, false };
    Source *timer = NULL;
    Err err = { 0 };
    w->want = want;
    assert_int_equal(loop_add_timer(w->loop, 2, 2, poll, &x, &timer, &err), 0);
    assert_int_equal(loop_run(w->loop, &err), 0);
    source_free(timer);
    if (!x.done)
        fail_msg("the condition was not met in time; %s", w->why);
}

static NotifierStats stats(World *w, unsigned peer)
{
    Arena a;
    NotifierStats *list = NULL, ret = { 0 };
    size_t n = 0;
    char port[16];
    arena_init(&a, 0);
    snprintf(port, sizeof port, ":%u/", http_server_port(w->peers[peer].server));
    assert_int_equal(notifier_stats(w->n, &a, &list, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        if (sv_find(list[i].url, sv_cstr(port)) >= 0)
            ret = list[i];
    ret.url = SV("");
    arena_free(&a);
    return ret;
}

static size_t active(World *w)
{
    Arena a;
    NotifierUrls u;
    arena_init(&a, 0);
    assert_int_equal(notifier_urls(w->n, &a, &u, NULL), 0);
    arena_free(&a);
    return u.n_active;
}

static bool has_active(World *w)
{
    return active(w) == w->want;
}
static bool first_sent(World *w)
{
    return stats(w, 0).sent == w->want;
}
static bool second_sent(World *w)
{
    return stats(w, 1).sent == w->want;
}
static bool first_asked(World *w)
{
    return w->peers[0].requests == w->want;
}
static bool has_failed(World *w)
{
    return w->failed >= w->want;
}

static size_t count(const Buf *b, const char *what)
{
    size_t n = 0;
    for (const char *p = buf_cstr((Buf *)(uintptr_t)b); (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* Alerts named A0, A1 … of one call. */
static void send_alerts(World *w, unsigned from, unsigned n)
{
    NotifyAlert alerts[64];
    Label labels[64][2], note[] = { { SV_INIT("text"), SV_INIT("say \"hi\"") } };
    char names[64][16];
    assert_true(n <= 64);
    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "A%u", from + i);
        labels[i][0] = (Label){ SV("alertname"), sv_cstr(names[i]) };
        labels[i][1] = (Label){ SV("job"), SV("j") };
        alerts[i] = (NotifyAlert){ .labels = { labels[i], 2 },
                                   .annotations = { note, 1 },
                                   .starts_ms = INT64_C(1767323045678),
                                   .ends_ms = INT64_C(1767323045000),
                                   .generator_url = SV("http://m/graph") };
    }
    notifier_send(w->n, alerts, n);
}

#define ONE(more)                                                                                  \
    "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:%u']}]" more "}]}\n"
#define TWO                                                                                        \
    "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:%u', '127.0.0.1:%u']}]}]}\n"

static void test_an_alert_arrives_as_the_contract_says(void **state)
{
    World w;
    world_init(&w, 0, 0, true);
    apply(&w,
          "global: {external_labels: {job: not-this, region: eu}}\n" ONE(", path_prefix: //am/x/"));
    wait_for(&w, has_active, 1);
    send_alerts(&w, 0, 1);
    wait_for(&w, first_sent, 1);
    assert_string_equal(
        buf_cstr(&w.peers[0].bodies),
        "[{\"annotations\":{\"text\":\"say \\\"hi\\\"\"},\"endsAt\":\"2026-01-02T03:04:05.000Z\","
        "\"startsAt\":\"2026-01-02T03:04:05.678Z\",\"generatorURL\":\"http://m/graph\","
        "\"labels\":{\"alertname\":\"A0\",\"job\":\"j\",\"region\":\"eu\"}}]\n");
    assert_string_equal(buf_cstr(&w.peers[0].paths), "/am/x/api/v2/alerts ");
    assert_int_equal(stats(&w, 0).latency.n, 1);
    world_free(&w);
}

static void test_alerts_are_relabelled_for_all_and_for_one(void **state)
{
    World w;
    world_init(&w, 0, 0, true);
    apply(&w, "global: {external_labels: {region: eu}}\nalerting:\n"
              "  alert_relabel_configs: [{source_labels: [alertname], regex: A1, action: drop},\n"
              "    {regex: region, action: labeldrop}]\n"
              "  alertmanagers:\n"
              "  - static_configs: [{targets: ['127.0.0.1:%u']}]\n"
              "  - static_configs: [{targets: ['127.0.0.1:%u']}]\n"
              "    alert_relabel_configs: [{source_labels: [alertname], regex: A2, action: drop},\n"
              "      {target_label: to, replacement: second}]\n");
    wait_for(&w, has_active, 2);
    send_alerts(&w, 0, 3);
    wait_for(&w, first_sent, 2);
    wait_for(&w, second_sent, 1);
    assert_int_equal(count(&w.peers[0].bodies, "\"A0\""), 1);
    assert_int_equal(count(&w.peers[0].bodies, "\"A1\""), 0);
    assert_int_equal(count(&w.peers[0].bodies, "\"A2\""), 1);
    assert_int_equal(count(&w.peers[0].bodies, "region"), 0);
    assert_int_equal(count(&w.peers[0].bodies, "second"), 0);
    assert_int_equal(count(&w.peers[1].bodies, "alertname"), 1);
    assert_int_equal(count(&w.peers[1].bodies, "\"to\":\"second\""), 1);
    world_free(&w);
}

static void test_a_request_has_a_batch_and_a_full_queue_loses_its_oldest(void **state)
{
    World w;
    world_init(&w, 10, 4, true);
    apply(&w, ONE(", timeout: 60s"));
    wait_for(&w, has_active, 1);
    w.peers[0].silent = true;
    send_alerts(&w, 0, 4); /* under way */
    wait_for(&w, first_asked, 1);
    send_alerts(&w, 4, 10); /* as much as the queue holds */
    send_alerts(&w, 14, 1); /* one more */
    wait_for(&w, has_failed, 1);
    assert_string_equal(w.why, "the queue is full");
    assert_int_equal(stats(&w, 0).dropped, 1);
    assert_int_equal(stats(&w, 0).queued, 10);
    send_alerts(&w, 20, 12); /* more than the queue at once: the last ten stay */
    wait_for(&w, has_failed, 13);
    assert_int_equal(stats(&w, 0).dropped, 13);
    /* The server goes, and the rest is lost with it, each batch counted. */
    w.peers[0].server = http_server_free(w.peers[0].server);
    Err err = { 0 };
    HttpServerConfig hc = { .handler = handle, .ctx = &w.peers[0] };
    assert_int_equal(http_server_new(w.loop, "127.0.0.1:0", &hc, &w.peers[0].server, &err), 0);
    wait_for(&w, has_failed, 13 + 4 + 10);
    world_free(&w);
}

static void test_batches_follow_each_other(void **state)
{
    World w;
    world_init(&w, 0, 4, true);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    send_alerts(&w, 0, 10);
    wait_for(&w, first_sent, 10);
    assert_int_equal(w.peers[0].requests, 3);
    assert_int_equal(count(&w.peers[0].bodies, "alertname"), 10);
    world_free(&w);
}

static void test_a_refusal_is_counted_and_not_repeated(void **state)
{
    World w;
    world_init(&w, 0, 0, true);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    w.peers[0].status = 500;
    send_alerts(&w, 0, 3);
    wait_for(&w, has_failed, 3);
    assert_string_equal(w.why, "bad response status 500: \"no\"");
    NotifierStats s = stats(&w, 0);
    assert_int_equal(s.errors, 3);
    assert_int_equal(s.dropped, 3);
    w.peers[0].status = 200;
    send_alerts(&w, 3, 1);
    wait_for(&w, first_sent, 1);
    assert_int_equal(w.peers[0].requests, 2);
    world_free(&w);
}

static void test_a_silent_alertmanager_does_not_hold_up_another(void **state)
{
    World w;
    world_init(&w, 0, 0, true);
    apply(&w, TWO);
    wait_for(&w, has_active, 2);
    w.peers[0].silent = true;
    for (unsigned i = 0; i < 5; i++)
        send_alerts(&w, i, 1);
    wait_for(&w, second_sent, 5);
    assert_int_equal(w.peers[0].requests, 1);
    world_free(&w);
}

static void test_draining_sends_what_waits_and_gives_up_who_fails(void **state)
{
    World w;
    world_init(&w, 0, 1, true);
    apply(&w, TWO);
    wait_for(&w, has_active, 2);
    w.peers[0].status = 503;
    send_alerts(&w, 0, 5);
    notifier_drain(w.n);
    assert_int_equal(w.peers[0].requests, 1);
    assert_int_equal(stats(&w, 0).dropped, 5);
    assert_int_equal(w.peers[1].requests, 5);
    assert_int_equal(stats(&w, 1).sent, 5);
    world_free(&w);

    world_init(&w, 0, 1, false);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    send_alerts(&w, 0, 5);
    notifier_drain(w.n);
    assert_int_equal(stats(&w, 0).queued, 0);
    world_free(&w);
}

static void test_a_reload_keeps_what_did_not_change(void **state)
{
    World w;
    Err err = { 0 };
    NotifierNext *next = NULL;
    world_init(&w, 0, 0, true);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    send_alerts(&w, 0, 2);
    wait_for(&w, first_sent, 2);
    apply(&w, "global: {external_labels: {a: b}}\n" ONE(""));
    assert_int_equal(active(&w), 1); /* at once, without discovery */
    assert_int_equal(stats(&w, 0).sent, 2);
    /* Prepared and thrown away: nothing has happened. */
    assert_int_equal(prepare(&w, TWO, &next, &err), 0);
    notifier_next_free(next);
    assert_int_equal(active(&w), 1);
    /* One that goes gets what waits for it. */
    w.peers[0].silent = true;
    send_alerts(&w, 2, 1);
    wait_for(&w, first_asked, 2);
    apply(&w, "alerting: {}\n");
    assert_int_equal(active(&w), 0);
    world_free(&w);
}

static void test_targets_are_relabelled_and_checked(void **state)
{
    World w;
    Arena a;
    NotifierUrls u;
    world_init(&w, 0, 0, true);
    apply(&w, "alerting:\n  alertmanagers:\n  - scheme: https\n    static_configs:\n"
              "    - {targets: ['a:%u', 'b:1'], labels: {keep: 'yes'}}\n"
              "    - {targets: ['a:1', 'a:1']}\n"
              "    - {targets: ['c:1'], labels: {keep: 'yes', __alerts_path__: 'p q/x'}}\n"
              "    relabel_configs: [{source_labels: [keep], regex: 'yes', action: keep},\n"
              "      {source_labels: [__address__], regex: 'a:.*', target_label: __scheme__,\n"
              "       replacement: http},\n"
              "      {source_labels: [__address__], regex: 'a:.*', target_label: __address__,\n"
              "       replacement: 'b:1'}]\n");
    wait_for(&w, has_active, 3);
    arena_init(&a, 0);
    assert_int_equal(notifier_urls(w.n, &a, &u, NULL), 0);
    size_t found = 0;
    for (size_t i = 0; i < u.n_active; i++)
        found += sv_eq(u.active[i], SV("http://b:1/api/v2/alerts")) ||
                 sv_eq(u.active[i], SV("https://b:1/api/v2/alerts")) ||
                 sv_eq(u.active[i], SV("https://c:1/p%20q/x"));
    assert_int_equal(found, 3);
    assert_int_equal(u.n_dropped, 2);
    assert_sv(u.dropped[0], "https://a:1/api/v2/alerts");
    arena_free(&a);
    apply(&w, "alerting: {alertmanagers: [{static_configs: [{targets: ['x/%u']}],\n"
              "  relabel_configs: [{regex: keep, action: labeldrop}]}]}\n");
    w.want = 0;
    assert_int_equal(active(&w), 0);
    world_free(&w);
}

static void test_an_alert_that_is_too_large_is_lost_alone(void **state)
{
    World w;
    world_init(&w, 0, 0, true);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    size_t sizes[] = { NOTIFY_ALERT_MAX - 200, NOTIFY_ALERT_MAX };
    for (unsigned i = 0; i < 2; i++) {
        char *text = malloc(sizes[i]);
        assert_non_null(text);
        memset(text, 'x', sizes[i]);
        Label l = { SV("alertname"), SV("A") }, note = { SV("t"), sv_n(text, sizes[i]) };
        NotifyAlert alert = { .labels = { &l, 1 }, .annotations = { &note, 1 } };
        notifier_send(w.n, &alert, 1);
        free(text);
    }
    send_alerts(&w, 0, 1);
    wait_for(&w, first_sent, 2);
    assert_int_equal(stats(&w, 0).dropped, 1);
    world_free(&w);
}

static void *send_many(void *ctx)
{
    for (unsigned i = 0; i < 100; i++)
        send_alerts(ctx, i, 2);
    return NULL;
}

static void test_threads_send_at_once(void **state)
{
    World w;
    pthread_t threads[4];
    world_init(&w, 0, 0, true);
    apply(&w, ONE(""));
    wait_for(&w, has_active, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &w), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    notifier_drain(w.n);
    assert_int_equal(stats(&w, 0).sent, ARRAY_SIZE(threads) * 200);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_alert_arrives_as_the_contract_says),
        cmocka_unit_test(test_alerts_are_relabelled_for_all_and_for_one),
        cmocka_unit_test(test_a_request_has_a_batch_and_a_full_queue_loses_its_oldest),
        cmocka_unit_test(test_batches_follow_each_other),
        cmocka_unit_test(test_a_refusal_is_counted_and_not_repeated),
        cmocka_unit_test(test_a_silent_alertmanager_does_not_hold_up_another),
        cmocka_unit_test(test_draining_sends_what_waits_and_gives_up_who_fails),
        cmocka_unit_test(test_a_reload_keeps_what_did_not_change),
        cmocka_unit_test(test_targets_are_relabelled_and_checked),
        cmocka_unit_test(test_an_alert_that_is_too_large_is_lost_alone),
        cmocka_unit_test(test_threads_send_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
