/* knarr_controller.c - main() of knarr-controller: runs all controllers with the identity of its
 * kubeconfig. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "controller/controller.h"

enum { PEM_MAX = 1024 * 1024 };

typedef struct Args {
    const char *kubeconfig, *root_ca;
} Args;

typedef struct Program {
    Loop *loop;
    ApiClient *api;
    Controllers *controllers;
    Source *term, *intr;
    Buf root_ca;
} Program;

static int usage(FILE *out)
{
    fputs("usage: knarr-controller --kubeconfig F --root-ca-file F\n"
          "\n"
          "Makes the cluster what its Deployments, ReplicaSets, Services and namespaces say.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int parse_args(int argc, char **argv, Args *a)
{
    static const struct option options[] = {
        { "kubeconfig", required_argument, NULL, 'k' },
        { "root-ca-file", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    *a = (Args){ 0 };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'k':
            a->kubeconfig = optarg;
            break;
        case 'r':
            a->root_ca = optarg;
            break;
        case 'h':
            exit(usage(stdout));
        default:
            return -1;
        }
    }
    if (!a->kubeconfig || !a->root_ca) {
        fputs("knarr-controller: --kubeconfig and --root-ca-file are needed\n", stderr);
        return -1;
    }
    return 0;
}

static void on_synced(void *ctx)
{
    notify_send("READY=1");
    log_info("all informers are synced");
}

static void on_stop(void *ctx, int signo)
{
    log_info("stopping on signal %d", signo);
    loop_stop(ctx);
}

static int open_api(Program *p, const char *kubeconfig, Err *err)
{
    KubeConfig cfg = { 0 };
    int r = kube_config_load(kubeconfig, NULL, &cfg, err);
    if (r == 0)
        r = api_client_new(p->loop, &cfg, &p->api, err);
    kube_config_free(&cfg);
    return r;
}

static int start(Program *p, const Args *a, Err *err)
{
    int r = file_read(AT_FDCWD, a->root_ca, PEM_MAX, &p->root_ca);
    if (r < 0)
        return err_neg(err, r, "read '%s'", a->root_ca);
    if ((r = loop_new(&p->loop, err)) < 0 ||
        (r = loop_add_signal(p->loop, SIGTERM, on_stop, p->loop, &p->term, err)) < 0 ||
        (r = loop_add_signal(p->loop, SIGINT, on_stop, p->loop, &p->intr, err)) < 0 ||
        (r = open_api(p, a->kubeconfig, err)) < 0)
        return r;
    return controllers_new(p->loop, p->api, buf_view(&p->root_ca), on_synced, NULL, &p->controllers,
                           err);
}

static void stop(Program *p)
{
    controllers_free(p->controllers);
    api_client_free(p->api);
    source_free(p->term);
    source_free(p->intr);
    loop_free(p->loop);
    buf_free(&p->root_ca);
}

int main(int argc, char **argv)
{
    log_init("controller");
    signal(SIGPIPE, SIG_IGN);
    Args args;
    if (parse_args(argc, argv, &args) < 0)
        return usage(stderr);
    Program p = { 0 };
    Err err = { 0 };
    int r = start(&p, &args, &err);
    if (r == 0)
        r = loop_run(p.loop, &err);
    stop(&p);
    if (r < 0)
        log_error("%s", err.msg);
    return r < 0 ? 1 : 0;
}
