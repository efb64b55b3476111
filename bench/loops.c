/* loops.c - what an API server with several loops does for its clients.
 *
 * Usage: bench-loops KUBECONFIG SERVER_PID lists CONNECTIONS SECONDS
 *        bench-loops KUBECONFIG SERVER_PID gets CONNECTIONS SECONDS
 *        bench-loops KUBECONFIG SERVER_PID beside LISTS SECONDS
 *        bench-loops KUBECONFIG SERVER_PID probe CONNECTIONS
 *
 * lists: gzip LISTs of all pods, one under way on each connection; the answers are read and thrown
 *        away, so that the client costs little more than the decryption.
 * gets:  the same with a get of one pod.
 * beside: gets on one connection per loop, one every 2 ms, while LISTS connections list as above.
 * probe: a small get every millisecond on each connection; for each line on standard input the
 *        longest that any took since the line before, in ms: so long was a loop held.
 *
 * The server's CPU is that of its threads (schedstat), counted from after the first second on. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "api/kubeconfig.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "net/http_client.h"

enum { LINKS_MAX = 64, SAMPLES_MAX = 1000 * 1000, WARM_UP_MS = 1000 };

typedef struct Run Run;
typedef struct Link {
    Run *run;
    HttpClient *client;
    bool lists; /* else gets */
    bool under_way;
    unsigned pause_ms; /* between two requests */
    Source *timer;
    int64_t begin_ns;
} Link;

struct Run {
    Loop *loop;
    Link links[LINKS_MAX];
    unsigned n_links;
    const char *pid, *get_path;
    bool warm; /* what ends from now on counts */
    unsigned n_lists, n_gets;
    uint64_t bytes;
    double *samples; /* ms, of the gets */
    unsigned n_samples;
    double longest; /* probe: since the last line */
    double cpu_ms;  /* the server's, at the begin */
    int64_t begin_ns;
};

static void die(const Err *err)
{
    fprintf(stderr, "bench-loops: %s\n", err->msg);
    exit(1);
}

/* Of all threads of the server, in ms. */
static double server_cpu_ms(const char *pid)
{
    char path[300];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        _cleanup_buf_ Buf text = BUF_INIT;
        snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, e->d_name);
        if (e->d_name[0] != '.' && file_read(AT_FDCWD, path, 4096, &text) == 0)
            sum += strtod(buf_cstr(&text), NULL) / 1e6;
    }
    if (d)
        closedir(d);
    return sum;
}

static void next_request(void *ctx);

static void on_data(void *ctx, const void *data, size_t len)
{
    Link *l = ctx;
    (void)data;
    l->run->bytes += len;
}

static void count(Run *run, const Link *l)
{
    double ms = (double)(clock_mono_ns() - l->begin_ns) / 1e6;
    run->longest = MAX(run->longest, ms);
    if (!run->warm)
        return;
    run->n_lists += l->lists;
    run->n_gets += !l->lists;
    if (!l->lists && run->samples && run->n_samples < SAMPLES_MAX)
        run->samples[run->n_samples++] = ms;
}

static void on_done(void *ctx, const Err *err)
{
    Link *l = ctx;
    Err wait_err = { 0 };
    if (err)
        die(err);
    l->under_way = false;
    count(l->run, l);
    if (!l->pause_ms)
        next_request(l);
    else if (!l->timer) {
        if (loop_add_timer(l->run->loop, l->pause_ms, 0, next_request, l, &l->timer, &wait_err) < 0)
            die(&wait_err);
    } else
        source_set_timer(l->timer, l->pause_ms, 0, NULL);
}

static void next_request(void *ctx)
{
    static const HttpHeader gzip = { SV_INIT("accept-encoding"), SV_INIT("gzip") };
    Link *l = ctx;
    Err err = { 0 };
    HttpCall *call;
    HttpCallSpec spec = { .method = SV("GET"),
                          .target = l->lists ? SV("/api/v1/pods") : sv_cstr(l->run->get_path),
                          .headers = &gzip,
                          .n_headers = l->lists,
                          .on_data = on_data,
                          .on_done = on_done,
                          .ctx = l };
    l->under_way = true;
    l->begin_ns = clock_mono_ns();
    if (http_call(l->client, &spec, &call, &err) < 0)
        die(&err);
}

/* `n` further connections; `pause_ms` lies between two requests. */
static void open_links(Run *run, const KubeConfig *cfg, unsigned n, bool lists, unsigned pause_ms)
{
    Err err = { 0 };
    TlsConfig tls = { .ca = buf_view(&cfg->ca),
                      .cert_chain = buf_view(&cfg->cert),
                      .key = buf_view(&cfg->key),
                      .alpn_h2 = true };
    TlsContext *ctx = NULL;
    if (tls_context_new_client(&tls, &ctx, &err) < 0)
        die(&err);
    HttpClientConfig http = { .host = cfg->host, .port = cfg->port, .tls = ctx };
    for (unsigned i = 0; i < n && run->n_links < LINKS_MAX; i++) {
        Link *l = &run->links[run->n_links++];
        *l = (Link){ .run = run, .lists = lists, .pause_ms = pause_ms };
        if (http_client_new(run->loop, &http, &l->client, &err) < 0)
            die(&err);
        next_request(l);
    }
    tls_context_unref(ctx);
}

static void run_for(Run *run, LoopFn *fn, uint64_t ms)
{
    Source *timer = NULL;
    Err err = { 0 };
    if (loop_add_timer(run->loop, ms, 0, fn, run, &timer, &err) < 0 ||
        loop_run(run->loop, &err) < 0)
        die(&err);
    source_free(timer);
}

static void stop(void *ctx)
{
    loop_stop(((Run *)ctx)->loop);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(Run *run, double seconds)
{
    run_for(run, stop, WARM_UP_MS);
    run->warm = true;
    run->bytes = 0;
    run->cpu_ms = server_cpu_ms(run->pid);
    run->begin_ns = clock_mono_ns();
    run_for(run, stop, (uint64_t)(seconds * 1000));
    double wall = (double)(clock_mono_ns() - run->begin_ns) / 1e6;
    double cpu = server_cpu_ms(run->pid) - run->cpu_ms, own = 0;
    struct timespec ts;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0)
        own = (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
    unsigned n = run->n_lists + run->n_gets;
    printf("requests=%u per_second=%.1f cpu_ms=%.4f cores=%.2f client_cores=%.2f kB=%.0f", n,
           n * 1e3 / wall, n ? cpu / n : 0, cpu / wall, own / (wall + WARM_UP_MS),
           n ? (double)run->bytes / n / 1e3 : 0);
    if (run->n_samples) {
        qsort(run->samples, run->n_samples, sizeof *run->samples, compare);
        printf(" gets=%u p50=%.2f p99=%.2f max=%.2f", run->n_samples,
               run->samples[run->n_samples / 2], run->samples[run->n_samples * 99 / 100],
               run->samples[run->n_samples - 1]);
    }
    putchar('\n');
}

static void on_line(void *ctx, uint32_t events)
{
    Run *run = ctx;
    char c;
    (void)events;
    if (read(STDIN_FILENO, &c, 1) <= 0) {
        loop_stop(run->loop);
        return;
    }
    if (c != '\n')
        return;
    for (unsigned i = 0; i < run->n_links; i++) /* one that has not come back yet */
        if (run->links[i].under_way)
            run->longest =
                MAX(run->longest, (double)(clock_mono_ns() - run->links[i].begin_ns) / 1e6);
    printf("%.2f\n", run->longest);
    fflush(stdout);
    run->longest = 0;
}

static void probe(Run *run)
{
    Source *in = NULL;
    Err err = { 0 };
    run_for(run, stop, WARM_UP_MS / 2);
    run->longest = 0;
    if (loop_add_fd(run->loop, STDIN_FILENO, LOOP_READ, on_line, run, &in, &err) < 0 ||
        loop_run(run->loop, &err) < 0)
        die(&err);
    source_free(in);
}

int main(int argc, char **argv)
{
    Run run = { .get_path = "/api/v1/namespaces/default/pods/pod-0" };
    KubeConfig cfg = { 0 };
    Err err = { 0 };
    log_init("bench-loops");
    if (argc < 5) {
        fputs("usage: bench-loops KUBECONFIG SERVER_PID lists|gets|beside|probe N [SECONDS]\n",
              stderr);
        return 2;
    }
    run.pid = argv[2];
    unsigned n = (unsigned)atoi(argv[4]);
    double seconds = argc > 5 ? atof(argv[5]) : 5;
    if (kube_config_load(argv[1], NULL, &cfg, &err) < 0 || loop_new(&run.loop, &err) < 0)
        die(&err);
    if (strcmp(argv[3], "probe") == 0) {
        run.get_path = "/livez";
        open_links(&run, &cfg, n, false, 1);
        probe(&run);
    } else if (strcmp(argv[3], "beside") == 0) {
        run.samples = calloc(SAMPLES_MAX, sizeof *run.samples);
        open_links(&run, &cfg, n, true, 0);
        open_links(&run, &cfg, 2, false, 2);
        measure(&run, seconds);
    } else {
        open_links(&run, &cfg, n, strcmp(argv[3], "lists") == 0, 0);
        measure(&run, seconds);
    }
    for (unsigned i = 0; i < run.n_links; i++) {
        source_free(run.links[i].timer);
        http_client_free(run.links[i].client);
    }
    loop_free(run.loop);
    kube_config_free(&cfg);
    free(run.samples);
    return 0;
}
