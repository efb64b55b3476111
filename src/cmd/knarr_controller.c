/* knarr_controller.c - main() of knarr-controller: runs all controllers with the identity of its
 * kubeconfig. */
#include "cmd/confine.h"
#include "cmd/daemon.h"
#include "cmd/flags.h"
#include "cmd/metrics_port.h"
#include "controller/controller.h"

typedef struct Args {
    const char *kubeconfig, *root_ca;
    MetricsPortArgs metrics;
} Args;

static int parse_args(int argc, char **argv, Args *a)
{
    const Flag flags[] = {
        { "kubeconfig", FLAG_TEXT, &a->kubeconfig, "FILE", "identity and address of the API server",
          true },
        { "root-ca-file", FLAG_TEXT, &a->root_ca, "FILE",
          "the authority that is published in every namespace", true },
        METRICS_PORT_FLAGS(&a->metrics),
    };
    const FlagSet set = {
        .program = "knarr-controller",
        .about =
            "Makes the cluster what its Deployments, ReplicaSets, Services and namespaces say.",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    return flags_parse(&set, argc, argv, NULL);
}

typedef struct Program {
    Daemon daemon;
    ApiClient *api;
    MetricsPort *metrics;
    Controllers *controllers;
    Buf root_ca;
} Program;

static int start(Program *p, const Args *a, Err *err)
{
    int r;
    if ((r = daemon_read_pem(a->root_ca, &p->root_ca, err)) < 0 || (r = confine(NULL, err)) < 0 ||
        (r = daemon_open(&p->daemon, err)) < 0 || (r = daemon_return_memory(&p->daemon, err)) < 0 ||
        (r = daemon_open_api(&p->daemon, a->kubeconfig, &p->api, err)) < 0 ||
        (r = metrics_port_open(&p->daemon, p->api, &a->metrics, &p->metrics, err)) < 0)
        return r;
    return controllers_new(p->daemon.loop, p->api, buf_view(&p->root_ca), daemon_ready, NULL,
                           &p->controllers, err);
}

static void stop(Program *p)
{
    controllers_free(p->controllers);
    metrics_port_close(p->metrics);
    api_client_free(p->api);
    daemon_close(&p->daemon);
    buf_free(&p->root_ca);
}

int main(int argc, char **argv)
{
    daemon_init("controller");
    Args args = { .metrics = { .bind = "0.0.0.0", .port = 10257 } };
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
