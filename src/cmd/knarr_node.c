/* knarr_node.c - main() of knarr-node: kubelet and service proxy of one node on one loop, each with
 * its own identity towards the API server. With --cleanup it takes down what they have set up. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "api/kubeconfig.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "kubelet/kubelet.h"
#include "proxy/proxy.h"

enum { PEM_MAX = 1024 * 1024 };

typedef struct Args {
    KubeletConfig kubelet;
    const char *kubeconfig, *proxy_kubeconfig;
    const char *tls_cert, *tls_key, *client_ca;
    bool cleanup;
} Args;

static int usage(FILE *out)
{
    fputs(
        "usage: knarr-node --data-dir DIR --instance NAME --kubeconfig F --proxy-kubeconfig F --hostname-override NAME\n"
        "                  --node-ip A --pod-cidr C --service-cidr C --cluster-dns A --cluster-domain D [--port N]\n"
        "                  --tls-cert-file F --tls-private-key-file F --client-ca-file F [--cleanup]\n"
        "\n"
        "Runs the pods that are bound to this node and programs the addresses of Services.\n"
        "--cleanup stops all pods and removes everything that was set up for them.\n",
        out);
    return out == stdout ? 0 : 2;
}

static int parse_port(const char *text, uint16_t *ret)
{
    uint64_t n;
    if (sv_to_u64(sv_cstr(text), &n) < 0 || n < 1 || n > 65535) {
        fprintf(stderr, "knarr-node: --port: '%s' is no port; expected 1-65535\n", text);
        return -1;
    }
    *ret = (uint16_t)n;
    return 0;
}

static int parse_args(int argc, char **argv, Args *a)
{
    static const struct option options[] = {
        { "data-dir", required_argument, NULL, 'd' },
        { "instance", required_argument, NULL, 'i' },
        { "kubeconfig", required_argument, NULL, 'k' },
        { "proxy-kubeconfig", required_argument, NULL, 'P' },
        { "hostname-override", required_argument, NULL, 'n' },
        { "node-ip", required_argument, NULL, 'a' },
        { "port", required_argument, NULL, 'p' },
        { "pod-cidr", required_argument, NULL, 'c' },
        { "service-cidr", required_argument, NULL, 's' },
        { "cluster-dns", required_argument, NULL, 'D' },
        { "cluster-domain", required_argument, NULL, 'z' },
        { "tls-cert-file", required_argument, NULL, 'C' },
        { "tls-private-key-file", required_argument, NULL, 'K' },
        { "client-ca-file", required_argument, NULL, 'A' },
        { "cleanup", no_argument, NULL, 'x' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    *a = (Args){ .kubelet = { .port = 10250, .cluster_domain = "cluster.local" } };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            a->kubelet.data_dir = optarg;
            break;
        case 'i':
            a->kubelet.instance = optarg;
            break;
        case 'k':
            a->kubeconfig = optarg;
            break;
        case 'P':
            a->proxy_kubeconfig = optarg;
            break;
        case 'n':
            a->kubelet.node_name = optarg;
            break;
        case 'a':
            a->kubelet.node_ip = optarg;
            break;
        case 'c':
            a->kubelet.pod_cidr = optarg;
            break;
        case 's':
            a->kubelet.service_cidr = optarg;
            break;
        case 'D':
            a->kubelet.cluster_dns = optarg;
            break;
        case 'z':
            a->kubelet.cluster_domain = optarg;
            break;
        case 'C':
            a->tls_cert = optarg;
            break;
        case 'K':
            a->tls_key = optarg;
            break;
        case 'A':
            a->client_ca = optarg;
            break;
        case 'x':
            a->cleanup = true;
            break;
        case 'p':
            if (parse_port(optarg, &a->kubelet.port) < 0)
                return -1;
            break;
        case 'h':
            exit(usage(stdout));
        default:
            return -1;
        }
    }
    const struct {
        const char *flag, *value;
    } needed[] = { { "data-dir", a->kubelet.data_dir },
                   { "instance", a->kubelet.instance },
                   { "kubeconfig", a->kubeconfig },
                   { "proxy-kubeconfig", a->proxy_kubeconfig },
                   { "hostname-override", a->kubelet.node_name },
                   { "node-ip", a->kubelet.node_ip },
                   { "pod-cidr", a->kubelet.pod_cidr },
                   { "service-cidr", a->kubelet.service_cidr },
                   { "cluster-dns", a->kubelet.cluster_dns },
                   { "tls-cert-file", a->tls_cert },
                   { "tls-private-key-file", a->tls_key },
                   { "client-ca-file", a->client_ca } };
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (!needed[i].value) {
            fprintf(stderr, "knarr-node: --%s is needed\n", needed[i].flag);
            return -1;
        }
    return 0;
}

typedef struct Node {
    Loop *loop;
    ApiClient *kubelet_api, *proxy_api;
    Kubelet *kubelet;
    Proxy *proxy;
    Source *term, *intr;
    Buf cert, key, ca;
} Node;

static void on_ready(void *ctx)
{
    notify_send("READY=1");
    log_info("node is Ready");
}

static void on_stop(void *ctx, int signo)
{
    log_info("stopping on signal %d; pods run on", signo);
    loop_stop(ctx);
}

static int open_api(Node *n, const char *kubeconfig, ApiClient **ret, Err *err)
{
    KubeConfig cfg = { 0 };
    int r = kube_config_load(kubeconfig, NULL, &cfg, err);
    if (r == 0)
        r = api_client_new(n->loop, &cfg, ret, err);
    kube_config_free(&cfg);
    return r;
}

static int read_pem(const char *path, Buf *out, Err *err)
{
    int r = file_read(AT_FDCWD, path, PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "read '%s'", path) : 0;
}

static int start(Node *n, Args *a, Err *err)
{
    int r;
    if ((r = read_pem(a->tls_cert, &n->cert, err)) < 0 ||
        (r = read_pem(a->tls_key, &n->key, err)) < 0 ||
        (r = read_pem(a->client_ca, &n->ca, err)) < 0 || (r = loop_new(&n->loop, err)) < 0 ||
        (r = loop_add_signal(n->loop, SIGTERM, on_stop, n->loop, &n->term, err)) < 0 ||
        (r = loop_add_signal(n->loop, SIGINT, on_stop, n->loop, &n->intr, err)) < 0 ||
        (r = open_api(n, a->kubeconfig, &n->kubelet_api, err)) < 0 ||
        (r = open_api(n, a->proxy_kubeconfig, &n->proxy_api, err)) < 0)
        return r;
    a->kubelet.tls_cert = buf_view(&n->cert);
    a->kubelet.tls_key = buf_view(&n->key);
    a->kubelet.client_ca = buf_view(&n->ca);
    a->kubelet.on_ready = on_ready;
    if ((r = kubelet_new(n->loop, n->kubelet_api, &a->kubelet, &n->kubelet, err)) < 0)
        return r;
    char bridge[32];
    snprintf(bridge, sizeof bridge, "%s0", a->kubelet.instance);
    ProxyConfig proxy = { .instance = a->kubelet.instance,
                          .pod_cidr = a->kubelet.pod_cidr,
                          .service_cidr = a->kubelet.service_cidr,
                          .node_ip = a->kubelet.node_ip,
                          .node_name = a->kubelet.node_name,
                          .bridge = bridge };
    return proxy_new(n->loop, n->proxy_api, &proxy, &n->proxy, err);
}

static void stop(Node *n)
{
    proxy_free(n->proxy);
    kubelet_free(n->kubelet);
    api_client_free(n->proxy_api);
    api_client_free(n->kubelet_api);
    source_free(n->term);
    source_free(n->intr);
    loop_free(n->loop);
    buf_free(&n->cert);
    buf_free(&n->key);
    buf_free(&n->ca);
}

static int clean_up(const Args *a, Err *err)
{
    Err own = { 0 };
    int r = kubelet_cleanup(&a->kubelet, err);
    int p = proxy_cleanup(a->kubelet.instance, &own);
    if (r == 0 && p < 0) {
        *err = own;
        r = p;
    }
    return r;
}

int main(int argc, char **argv)
{
    log_init("node");
    signal(SIGPIPE, SIG_IGN);
    Args args;
    if (parse_args(argc, argv, &args) < 0)
        return usage(stderr);
    Node n = { 0 };
    Err err = { 0 };
    int r;
    if (args.cleanup)
        r = clean_up(&args, &err);
    else {
        if ((r = start(&n, &args, &err)) == 0)
            r = loop_run(n.loop, &err);
        stop(&n);
    }
    if (r < 0)
        log_error("%s", err.msg);
    return r < 0 ? 1 : 0;
}
