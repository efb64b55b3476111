/* knarr_dns.c - main() of knarr-dns: the cluster's DNS. */
#include "cmd/confine.h"
#include "cmd/daemon.h"
#include "cmd/flags.h"
#include "cmd/metrics_port.h"
#include "dns/dns.h"

typedef struct Args {
    const char *kubeconfig;
    const char *metrics;
    DnsConfig dns;
} Args;

static int parse_args(int argc, char **argv, Args *a)
{
    const Flag flags[] = {
        { "kubeconfig", FLAG_TEXT, &a->kubeconfig, "FILE", "identity and address of the API server",
          true },
        { "listen", FLAG_TEXT, &a->dns.listen, "ADDRESS:PORT", "answer here, over UDP and TCP",
          true },
        { "metrics-bind-address", FLAG_TEXT, &a->metrics, "ADDRESS:PORT",
          "where /metrics is served (127.0.0.1:9153); it may appear later" },
        { "cluster-domain", FLAG_TEXT, &a->dns.cluster_domain, "DOMAIN",
          "whose names are the cluster's (cluster.local)" },
        { "resolv-conf", FLAG_TEXT, &a->dns.resolv_conf, "FILE",
          "names the resolvers for all other questions (/etc/resolv.conf)" },
    };
    const FlagSet set = {
        .program = "knarr-dns",
        .about =
            "Answers for the names of Services and pods; other questions go to the host's resolvers.",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    return flags_parse(&set, argc, argv, NULL);
}

typedef struct Program {
    Daemon daemon;
    ApiClient *api;
    Dns *dns;
    MetricsServer *metrics;
} Program;

static int start(Program *p, const Args *a, Err *err)
{
    int r;
    if ((r = confine(NULL, err)) < 0 || (r = daemon_open(&p->daemon, err)) < 0 ||
        (r = daemon_open_api(&p->daemon, a->kubeconfig, &p->api, err)) < 0)
        return r;
    if ((r = metrics_port_plain(p->daemon.loop, a->metrics, true, api_client_metrics(p->api),
                                &p->metrics, err)) < 0)
        return r;
    return dns_new(p->daemon.loop, p->api, &a->dns, &p->dns, err);
}

static void stop(Program *p)
{
    dns_free(p->dns);
    metrics_server_free(p->metrics);
    api_client_free(p->api);
    daemon_close(&p->daemon);
}

int main(int argc, char **argv)
{
    daemon_init("dns");
    Args args = { .metrics = "127.0.0.1:9153",
                  .dns = { .cluster_domain = "cluster.local", .on_synced = daemon_ready } };
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
