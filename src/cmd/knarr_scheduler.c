/* knarr_scheduler.c - main() of knarr-scheduler: binds pods to nodes with the identity of its
 * kubeconfig. */
#include "cmd/confine.h"
#include "cmd/daemon.h"
#include "cmd/flags.h"
#include "cmd/metrics_port.h"
#include "scheduler/scheduler.h"

typedef struct Args {
    const char *kubeconfig;
    MetricsPortArgs metrics;
} Args;

static int parse_args(int argc, char **argv, Args *a)
{
    const Flag flags[] = {
        { "kubeconfig", FLAG_TEXT, &a->kubeconfig, "FILE", "identity and address of the API server",
          true },
        METRICS_PORT_FLAGS(&a->metrics),
    };
    const FlagSet set = { .program = "knarr-scheduler",
                          .about = "Chooses a node for each pod that has none, and binds it.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    return flags_parse(&set, argc, argv, NULL);
}

typedef struct Program {
    Daemon daemon;
    ApiClient *api;
    MetricsPort *metrics;
    Scheduler *scheduler;
} Program;

static int start(Program *p, const Args *a, Err *err)
{
    int r;
    if ((r = confine(NULL, err)) < 0 || (r = daemon_open(&p->daemon, err)) < 0 ||
        (r = daemon_return_memory(&p->daemon, err)) < 0 ||
        (r = daemon_open_api(&p->daemon, a->kubeconfig, &p->api, err)) < 0 ||
        (r = metrics_port_open(&p->daemon, p->api, &a->metrics, &p->metrics, err)) < 0)
        return r;
    return scheduler_new(p->daemon.loop, p->api, daemon_ready, NULL, &p->scheduler, err);
}

static void stop(Program *p)
{
    scheduler_free(p->scheduler);
    metrics_port_close(p->metrics);
    api_client_free(p->api);
    daemon_close(&p->daemon);
}

int main(int argc, char **argv)
{
    daemon_init("scheduler");
    Args args = { .metrics = { .bind = "0.0.0.0", .port = 10259 } };
    int r = parse_args(argc, argv, &args);
    if (r != FLAGS_OK)
        return r;
    Program p = { 0 };
    Err err = { 0 };
    if ((r = start(&p, &args, &err)) == 0)
        r = daemon_run(&p.daemon, &err);
    stop(&p);
    return daemon_exit(r, &err);
}
