/* pods.c - fills a cluster with pods for the measurements of resident memory.
 *
 * Usage: bench-pods KUBECONFIG create|update|delete COUNT
 * Pods pod-0 … are made with labels, a node, requests and an owner, as those of a Deployment are;
 * an update changes a label of each; a deletion is one of no grace period for each. Four
 * connections, four requests under way on each. */
#include <stdio.h>

#include "api/client.h"
#include "base/log.h"

enum { CLIENTS = 4, UNDER_WAY = 4 };

typedef struct Run Run;
typedef struct Client {
    Run *run;
    ApiClient *api;
} Client;

struct Run {
    Loop *loop;
    Client clients[CLIENTS];
    StrView method;
    bool pending;
    unsigned next, count, done, failed;
    char first_failure[504];
};

static void next_request(Client *c);

static void on_done(void *ctx, const ApiResult *r)
{
    Client *c = ctx;
    Run *run = c->run;
    if (r->err && !run->failed++)
        snprintf(run->first_failure, sizeof run->first_failure, "%s", r->err->msg);
    if (++run->done == run->count)
        loop_stop(run->loop);
    else
        next_request(c);
}

static StrView body_of(const Run *run, unsigned i, Arena *a)
{
    if (sv_eq(run->method, SV("PATCH")))
        return arena_printf(a, "{\"metadata\":{\"labels\":{\"round\":\"%d\"}}}", getpid());
    if (sv_eq(run->method, SV("DELETE")))
        return SV("{\"gracePeriodSeconds\":0}");
    StrView node = run->pending ? SV("") : arena_printf(a, "\"nodeName\":\"node-%u\",", i % 50);
    return arena_printf(
        a,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"pod-%u\",\"labels\":{"
        "\"app\":\"load-%u\",\"pod-template-hash\":\"5d4f8c7b9f\"}},\"spec\":{%.*s\"containers\":[{"
        "\"name\":\"c\",\"image\":\"registry.example/load:1\",\"command\":[\"sleep\",\"1000\"],\"ports\":[{\"name\":\"http\",\"containerPort\":8080}],"
        "\"resources\":{\"requests\":{\"cpu\":\"10m\",\"memory\":\"16Mi\"}}}]}}",
        i, i % 100, SV_FMT(node));
}

static void next_request(Client *c)
{
    Run *run = c->run;
    Err err = { 0 };
    if (run->next >= run->count)
        return;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    unsigned i = run->next++;
    ApiRequest req = { .method = run->method,
                       .target = { .version = SV("v1"),
                                   .plural = SV("pods"),
                                   .ns = SV("default"),
                                   .name = arena_printf(&a, "pod-%u", i) },
                       .raw_body = body_of(run, i, &a),
                       .done = on_done,
                       .ctx = c };
    if (sv_eq(run->method, SV("POST")))
        req.target.name = SV_NULL;
    if (sv_eq(run->method, SV("PATCH")))
        req.content_type = API_PATCH_MERGE;
    if (api_request(c->api, &req, NULL, &err) < 0) {
        fprintf(stderr, "bench-pods: %s\n", err.msg);
        exit(1);
    }
}

static int run_all(Run *run, const char *kubeconfig, Err *err)
{
    KubeConfig cfg = { 0 };
    int r = kube_config_load(kubeconfig, NULL, &cfg, err);
    if (r == 0)
        r = loop_new(&run->loop, err);
    for (size_t i = 0; r == 0 && i < CLIENTS; i++) {
        run->clients[i].run = run;
        r = api_client_new(run->loop, &cfg, &run->clients[i].api, err);
    }
    for (size_t i = 0; r == 0 && i < CLIENTS * UNDER_WAY; i++)
        next_request(&run->clients[i % CLIENTS]);
    if (r == 0)
        r = loop_run(run->loop, err);
    for (size_t i = 0; i < CLIENTS; i++)
        api_client_free(run->clients[i].api);
    loop_free(run->loop);
    kube_config_free(&cfg);
    return r;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        StrView method;
        bool pending;
    } verbs[] = { { "create", SV_INIT("POST"), false },
                  { "pending", SV_INIT("POST"), true },
                  { "update", SV_INIT("PATCH"), false },
                  { "delete", SV_INIT("DELETE"), false } };
    Run run = { 0 };
    Err err = { 0 };
    uint64_t count = 0;
    log_init("bench-pods");
    for (size_t i = 0; argc == 4 && i < ARRAY_SIZE(verbs); i++)
        if (strcmp(argv[2], verbs[i].name) == 0) {
            run.method = verbs[i].method;
            run.pending = verbs[i].pending;
        }
    if (!run.method.len || sv_to_u64(sv_cstr(argv[3]), &count) < 0 || !count || count > 1000000) {
        fputs("usage: bench-pods KUBECONFIG create|pending|update|delete COUNT\n", stderr);
        return 2;
    }
    run.count = (unsigned)count;
    int r = run_all(&run, argv[1], &err);
    if (r < 0)
        fprintf(stderr, "bench-pods: %s\n", err.msg);
    if (run.failed)
        fprintf(stderr, "bench-pods: %u of %u failed: %s\n", run.failed, run.count,
                run.first_failure);
    return r < 0 || run.failed ? 1 : 0;
}
