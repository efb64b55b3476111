/* knarr_node.c - main() of knarr-node: kubelet and service proxy of one node on one loop, each with
 * its own identity towards the API server. With --cleanup it takes down what they have set up. */
#include <malloc.h>
#include <stdio.h>

#include "base/clock.h"
#include "cmd/daemon.h"
#include "cmd/flags.h"
#include "cmd/metrics_port.h"
#include "kubelet/kubelet.h"
#include "proxy/proxy.h"

typedef struct Args {
    KubeletConfig kubelet;
    const char *kubeconfig, *proxy_kubeconfig, *proxy_metrics;
    FlagAmount max_pids, image_age;
    uint64_t image_gc_high, image_gc_low;
    const char *tls_cert, *tls_key, *client_ca;
    bool cleanup;
} Args;

static int parse_count(StrView text, int64_t *ret)
{
    return sv_to_i64(text, ret);
}

static int parse_args(int argc, char **argv, Args *a)
{
    KubeletConfig *k = &a->kubelet;
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, &k->data_dir, "DIR", "where pods, images and logs lie", true },
        { "instance", FLAG_TEXT, &k->instance, "NAME", "opens every name on the host", true },
        { "kubeconfig", FLAG_TEXT, &a->kubeconfig, "FILE", "identity of the kubelet", true },
        { "proxy-kubeconfig", FLAG_TEXT, &a->proxy_kubeconfig, "FILE",
          "identity of the service proxy", true },
        { "proxy-metrics-bind-address", FLAG_TEXT, &a->proxy_metrics, "ADDRESS:PORT",
          "where the service proxy's /metrics is served (127.0.0.1:10249)" },
        { "hostname-override", FLAG_TEXT, &k->node_name, "NAME", "name of the Node object", true },
        { "node-ip", FLAG_TEXT, &k->node_ip, "ADDRESS", "address that the node reports", true },
        { "pod-max-pids", FLAG_AMOUNT, &a->max_pids, "N",
          "processes that one pod may have, -1: no limit", .parse = parse_count },
        { "private-registry", FLAG_TEXT, &k->registries, "FILE",
          "where images come from, in k3s' format (/etc/knarr/registries.yaml)" },
        { "signature-policy", FLAG_TEXT, &k->policy, "FILE",
          "which images may be pulled, and whose signatures they need (/etc/containers/policy.json)" },
        { "image-gc-high-threshold", FLAG_NUMBER, &a->image_gc_high, "PERCENT",
          "a disk as full as that makes unused images go" },
        { "image-gc-low-threshold", FLAG_NUMBER, &a->image_gc_low, "PERCENT",
          "until it is as full as that" },
        { "minimum-image-ttl-duration", FLAG_AMOUNT, &a->image_age, "DURATION",
          "images that were used since then stay", .parse = duration_parse },
        { "port", FLAG_PORT, &k->port, "N", "port of the kubelet's own API (10250)" },
        { "pod-cidr", FLAG_TEXT, &k->pod_cidr, "CIDR", "addresses of this node's pods", true },
        { "service-cidr", FLAG_TEXT, &k->service_cidr, "CIDR", "addresses of Services", true },
        { "cluster-dns", FLAG_TEXT, &k->cluster_dns, "ADDRESS", "resolver of pods", true },
        { "cluster-domain", FLAG_TEXT, &k->cluster_domain, "DOMAIN",
          "search domain of pods (cluster.local)" },
        { "tls-cert-file", FLAG_TEXT, &a->tls_cert, "FILE", "certificate of the kubelet's API",
          true },
        { "tls-private-key-file", FLAG_TEXT, &a->tls_key, "FILE", "its key", true },
        { "client-ca-file", FLAG_TEXT, &a->client_ca, "FILE", "who signs clients' certificates",
          true },
        { "cleanup", FLAG_ON, &a->cleanup, NULL,
          "stop all pods, remove everything that was set up for them, and leave" },
    };
    const FlagSet set = {
        .program = "knarr-node",
        .about =
            "Runs the pods that are bound to this node and programs the addresses of Services.",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    return flags_parse(&set, argc, argv, NULL);
}

typedef struct Node {
    const Args *args;
    Daemon daemon;
    ApiClient *kubelet_api, *proxy_api;
    Kubelet *kubelet;
    Proxy *proxy;
    MetricsServer *proxy_metrics;
    Buf cert, key, ca;
} Node;

static int read_pems(Node *n, Err *err)
{
    int r;
    buf_clear(&n->cert);
    buf_clear(&n->key);
    buf_clear(&n->ca);
    if ((r = daemon_read_pem(n->args->tls_cert, &n->cert, err)) < 0 ||
        (r = daemon_read_pem(n->args->tls_key, &n->key, err)) < 0)
        return r;
    return daemon_read_pem(n->args->client_ca, &n->ca, err);
}

static int on_reload(void *ctx, Err *err)
{
    Node *n = ctx;
    int r = read_pems(n, err);
    return r < 0 ? r
                 : kubelet_reload(n->kubelet, buf_view(&n->cert), buf_view(&n->key),
                                  buf_view(&n->ca), err);
}

static int start(Node *n, Args *a, Err *err)
{
    int r;
    n->args = a;
    if ((r = read_pems(n, err)) < 0 || (r = daemon_open(&n->daemon, err)) < 0 ||
        (r = daemon_open_api(&n->daemon, a->kubeconfig, &n->kubelet_api, err)) < 0 ||
        (r = daemon_open_api(&n->daemon, a->proxy_kubeconfig, &n->proxy_api, err)) < 0)
        return r;
    a->kubelet.tls_cert = buf_view(&n->cert);
    a->kubelet.tls_key = buf_view(&n->key);
    a->kubelet.client_ca = buf_view(&n->ca);
    a->kubelet.on_ready = daemon_ready;
    a->kubelet.pod_max_pids = a->max_pids.value;
    a->kubelet.image_gc_high = (unsigned)a->image_gc_high;
    a->kubelet.image_gc_low = (unsigned)a->image_gc_low;
    a->kubelet.image_min_age_ms = a->image_age.value / NSEC_PER_MSEC;
    if ((r = kubelet_new(n->daemon.loop, n->kubelet_api, &a->kubelet, &n->kubelet, err)) < 0 ||
        (r = daemon_on_reload(&n->daemon, on_reload, n, err)) < 0)
        return r;
    if ((r = metrics_port_plain(n->daemon.loop, a->proxy_metrics, false,
                                api_client_metrics(n->proxy_api), &n->proxy_metrics, err)) < 0)
        return r;
    char bridge[32];
    snprintf(bridge, sizeof bridge, "%s0", a->kubelet.instance);
    ProxyConfig proxy = { .instance = a->kubelet.instance,
                          .pod_cidr = a->kubelet.pod_cidr,
                          .service_cidr = a->kubelet.service_cidr,
                          .node_ip = a->kubelet.node_ip,
                          .node_name = a->kubelet.node_name,
                          .bridge = bridge,
                          .reserved = { api_client_port(n->proxy_api), a->kubelet.port } };
    return proxy_new(n->daemon.loop, n->proxy_api, &proxy, &n->proxy, err);
}

static void stop(Node *n)
{
    metrics_server_free(n->proxy_metrics);
    proxy_free(n->proxy);
    kubelet_free(n->kubelet);
    api_client_free(n->proxy_api);
    api_client_free(n->kubelet_api);
    daemon_close(&n->daemon);
    buf_free(&n->cert);
    buf_free(&n->key);
    buf_free(&n->ca);
}

static int clean_up(const Args *a, Err *err)
{
    Err own = { 0 };
    int r = kubelet_cleanup(&a->kubelet, err);
    char host_ports[64];
    snprintf(host_ports, sizeof host_ports, "%s-hostport", a->kubelet.instance);
    int p = proxy_cleanup(a->kubelet.instance, &own);
    if (p == 0)
        p = proxy_cleanup(host_ports, &own);
    if (r == 0 && p < 0) {
        *err = own;
        r = p;
    }
    return r;
}

int main(int argc, char **argv)
{
    daemon_init("node");
    mallopt(M_ARENA_MAX, 2); /* the loop's and the pool's: each more keeps what a burst took */
    Args args = { .kubelet = { .port = 10250, .cluster_domain = "cluster.local" },
                  .max_pids = { "4096", 4096 },
                  .image_gc_high = 85,
                  .image_gc_low = 80,
                  .image_age = { "2m", 120 * NSEC_PER_SEC },
                  .proxy_metrics = "127.0.0.1:10249" };
    int r = parse_args(argc, argv, &args);
    if (r != FLAGS_OK)
        return r;
    if (args.image_gc_high > 100 || args.image_gc_low >= args.image_gc_high) {
        fprintf(stderr, "knarr-node: --image-gc-low-threshold must be below "
                        "--image-gc-high-threshold, and both between 0 and 100\n");
        return 2;
    }
    Node n = { 0 };
    Err err = { 0 };
    if (args.cleanup)
        r = clean_up(&args, &err);
    else {
        if ((r = start(&n, &args, &err)) == 0)
            r = daemon_run(&n.daemon, &err);
        stop(&n);
    }
    return daemon_exit(r, &err);
}
