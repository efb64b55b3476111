/* api_load.c - CPU that an API server spends on one create, get and merge patch of a 1 KB pod.
 *
 * Four clients, each on a TLS connection of its own, each with one request under way. The server's
 * CPU comes from /proc/PID/stat before and after each phase.
 * Usage: api_load KUBECONFIG SERVER_PID [COUNT] */
#include <fcntl.h>
#include <stdio.h>

#include "api/client.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"

enum { CLIENTS = 4 };

typedef struct Run Run;
typedef struct Client {
    Run *run;
    ApiClient *api;
} Client;

struct Run {
    Loop *loop;
    Client clients[CLIENTS];
    const char *method;
    unsigned next, count, under_way, failed;
    char first_failure[504];
};

static void next_request(Client *c);

static void on_done(void *ctx, const ApiResult *r)
{
    Client *c = ctx;
    if (r->err && !c->run->failed++)
        snprintf(c->run->first_failure, sizeof c->run->first_failure, "%s", r->err->msg);
    c->run->under_way--;
    next_request(c);
}

static StrView body_of(const Run *run, unsigned i, Arena *a)
{
    if (strcmp(run->method, "PATCH") == 0)
        return arena_printf(a, "{\"metadata\":{\"labels\":{\"round\":\"%u\"}}}", i);
    /* About 1 KB once defaults are filled in. */
    return arena_printf(
        a,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"load-%u\",\"labels\":{"
        "\"app\":\"load\"}},\"spec\":{\"nodeName\":\"nowhere\",\"containers\":[{\"name\":\"c\","
        "\"image\":\"registry.example/load:1\",\"command\":[\"sleep\",\"1000\"],\"resources\":{"
        "\"requests\":{\"cpu\":\"10m\",\"memory\":\"16Mi\"}}}]}}",
        i);
}

static void next_request(Client *c)
{
    Run *run = c->run;
    Err err = { 0 };
    if (run->next >= run->count) {
        if (!run->under_way)
            loop_stop(run->loop);
        return;
    }
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    unsigned i = run->next++;
    bool create = strcmp(run->method, "POST") == 0;
    StrView name = arena_printf(&a, "load-%u", i);
    ApiRequest req = { .method = sv_cstr(run->method),
                       .target = { .version = SV("v1"),
                                   .plural = SV("pods"),
                                   .ns = SV("default"),
                                   .name = create ? SV_NULL : name },
                       .done = on_done,
                       .ctx = c };
    if (strcmp(run->method, "GET") != 0)
        req.raw_body = body_of(run, i, &a);
    if (strcmp(run->method, "PATCH") == 0)
        req.content_type = API_PATCH_MERGE;
    run->under_way++;
    if (api_request(c->api, &req, NULL, &err) < 0) {
        fprintf(stderr, "api_load: %s\n", err.msg);
        exit(1);
    }
}

/* User and system time of a process in ms. */
static double cpu_ms(const char *pid)
{
    char path[64];
    _cleanup_buf_ Buf text = BUF_INIT;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    if (file_read(AT_FDCWD, path, 4096, &text) < 0 || !buf_cstr(&text) || !strrchr(text.ptr, ')') ||
        sscanf(strrchr(text.ptr, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system) != 2) {
        fprintf(stderr, "api_load: no process %s\n", pid);
        exit(1);
    }
    return (double)(user + system) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

static void phase(Run *run, const char *method, const char *what, const char *pid, double budget)
{
    Err err = { 0 };
    double before = cpu_ms(pid);
    int64_t begin = clock_mono_ns();
    run->method = method;
    run->next = run->failed = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        next_request(&run->clients[i]);
    if (loop_run(run->loop, &err) < 0) {
        fprintf(stderr, "api_load: %s\n", err.msg);
        exit(1);
    }
    double wall = (double)(clock_mono_ns() - begin) / 1e9;
    printf("%-12s %.3f ms CPU per request (budget %.2f), %.0f requests/s\n", what,
           (cpu_ms(pid) - before) / run->count, budget, run->count / wall);
    if (run->failed) {
        fprintf(stderr, "api_load: %u of %u failed: %s\n", run->failed, run->count,
                run->first_failure);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    Run run = { .count = 4000 };
    KubeConfig cfg = { 0 };
    Err err = { 0 };
    uint64_t n = 0;
    log_init("api_load");
    if (argc < 3 || (argc > 3 && (sv_to_u64(sv_cstr(argv[3]), &n) < 0 || !n))) {
        fputs("usage: api_load KUBECONFIG SERVER_PID [COUNT]\n", stderr);
        return 2;
    }
    run.count = n ? (unsigned)n : run.count;
    int r = kube_config_load(argv[1], NULL, &cfg, &err);
    if (r == 0)
        r = loop_new(&run.loop, &err);
    for (size_t i = 0; r == 0 && i < CLIENTS; i++) {
        run.clients[i].run = &run;
        r = api_client_new(run.loop, &cfg, &run.clients[i].api, &err);
    }
    if (r == 0) {
        phase(&run, "POST", "create", argv[2], 0.15);
        phase(&run, "GET", "get", argv[2], 0.03);
        phase(&run, "PATCH", "merge patch", argv[2], 0.15);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        api_client_free(run.clients[i].api);
    loop_free(run.loop);
    kube_config_free(&cfg);
    if (r < 0)
        fprintf(stderr, "api_load: %s\n", err.msg);
    return r < 0 ? 1 : 0;
}
