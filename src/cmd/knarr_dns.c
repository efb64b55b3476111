/* knarr_dns.c - main() of knarr-dns: the cluster's DNS. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "api/kubeconfig.h"
#include "base/log.h"
#include "base/notify.h"
#include "dns/dns.h"

typedef struct Args {
    const char *kubeconfig;
    DnsConfig dns;
} Args;

typedef struct Program {
    Loop *loop;
    ApiClient *api;
    Dns *dns;
    Source *term, *intr;
} Program;

static int usage(FILE *out)
{
    fputs(
        "usage: knarr-dns --kubeconfig F --listen ADDRESS:PORT [--cluster-domain D] [--resolv-conf F]\n"
        "\n"
        "Answers for the names of Services and pods; other questions go to the host's resolvers.\n",
        out);
    return out == stdout ? 0 : 2;
}

static int parse_args(int argc, char **argv, Args *a)
{
    static const struct option options[] = {
        { "kubeconfig", required_argument, NULL, 'k' },
        { "listen", required_argument, NULL, 'l' },
        { "cluster-domain", required_argument, NULL, 'd' },
        { "resolv-conf", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    *a = (Args){ .dns = { .cluster_domain = "cluster.local" } };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'k':
            a->kubeconfig = optarg;
            break;
        case 'l':
            a->dns.listen = optarg;
            break;
        case 'd':
            a->dns.cluster_domain = optarg;
            break;
        case 'r':
            a->dns.resolv_conf = optarg;
            break;
        case 'h':
            exit(usage(stdout));
        default:
            return -1;
        }
    }
    if (!a->kubeconfig || !a->dns.listen) {
        fputs("knarr-dns: --kubeconfig and --listen are needed\n", stderr);
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
    int r;
    if ((r = loop_new(&p->loop, err)) < 0 ||
        (r = loop_add_signal(p->loop, SIGTERM, on_stop, p->loop, &p->term, err)) < 0 ||
        (r = loop_add_signal(p->loop, SIGINT, on_stop, p->loop, &p->intr, err)) < 0 ||
        (r = open_api(p, a->kubeconfig, err)) < 0)
        return r;
    DnsConfig cfg = a->dns;
    cfg.on_synced = on_synced;
    return dns_new(p->loop, p->api, &cfg, &p->dns, err);
}

static void stop(Program *p)
{
    dns_free(p->dns);
    api_client_free(p->api);
    source_free(p->term);
    source_free(p->intr);
    loop_free(p->loop);
}

int main(int argc, char **argv)
{
    log_init("dns");
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
