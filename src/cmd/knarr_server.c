/* knarr_server.c - main() of knarr-server: the API server on its store. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "apiserver/apiserver.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"

enum { PEM_MAX = 1024 * 1024 };

typedef struct Args {
    const char *store_dir, *bind, *service_cidr, *advertise, *issuer, *dns;
    const char *tls_cert, *tls_key, *client_ca, *sa_key, *kubelet_cert, *kubelet_key;
    uint16_t port;
} Args;

static int usage(FILE *out)
{
    fputs(
        "usage: knarr-server --store DIR --tls-cert-file F --tls-private-key-file F --client-ca-file F\n"
        "                    --service-account-signing-key-file F [options]\n"
        "\n"
        "  --store DIR                             where the cluster's state lives\n"
        "  --bind-address A                        listen on this address (0.0.0.0)\n"
        "  --secure-port N                         listen on this port (6443)\n"
        "  --advertise-address A                   address that the `kubernetes` Service leads to (127.0.0.1)\n"
        "  --service-cluster-ip-range CIDR         addresses of Services (10.96.0.0/16)\n"
        "  --tls-cert-file F, --tls-private-key-file F\n"
        "  --client-ca-file F                      who signs client certificates\n"
        "  --service-account-signing-key-file F    EC P-256 key for tokens\n"
        "  --service-account-issuer URL            (https://kubernetes.default.svc.cluster.local)\n"
        "  --cluster-dns-endpoint ADDR:PORT        where the `kube-dns` Service leads (none: no such Service)\n"
        "  --kubelet-client-certificate F, --kubelet-client-key F\n",
        out);
    return out == stdout ? 0 : 2;
}

static int parse_args(int argc, char **argv, Args *a)
{
    static const struct option options[] = {
        { "store", required_argument, NULL, 's' },
        { "bind-address", required_argument, NULL, 'b' },
        { "secure-port", required_argument, NULL, 'p' },
        { "advertise-address", required_argument, NULL, 'a' },
        { "service-cluster-ip-range", required_argument, NULL, 'r' },
        { "tls-cert-file", required_argument, NULL, 'c' },
        { "tls-private-key-file", required_argument, NULL, 'k' },
        { "client-ca-file", required_argument, NULL, 'C' },
        { "service-account-signing-key-file", required_argument, NULL, 'S' },
        { "service-account-issuer", required_argument, NULL, 'i' },
        { "kubelet-client-certificate", required_argument, NULL, 'K' },
        { "kubelet-client-key", required_argument, NULL, 'Q' },
        { "cluster-dns-endpoint", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    *a = (Args){ .bind = "0.0.0.0",
                 .port = 6443,
                 .advertise = "127.0.0.1",
                 .service_cidr = "10.96.0.0/16",
                 .issuer = "https://kubernetes.default.svc.cluster.local" };
    uint64_t port;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            a->store_dir = optarg;
            break;
        case 'b':
            a->bind = optarg;
            break;
        case 'a':
            a->advertise = optarg;
            break;
        case 'r':
            a->service_cidr = optarg;
            break;
        case 'c':
            a->tls_cert = optarg;
            break;
        case 'k':
            a->tls_key = optarg;
            break;
        case 'C':
            a->client_ca = optarg;
            break;
        case 'S':
            a->sa_key = optarg;
            break;
        case 'i':
            a->issuer = optarg;
            break;
        case 'K':
            a->kubelet_cert = optarg;
            break;
        case 'Q':
            a->kubelet_key = optarg;
            break;
        case 'D':
            a->dns = optarg;
            break;
        case 'p':
            if (sv_to_u64(sv_cstr(optarg), &port) < 0 || port == 0 || port > 65535) {
                fprintf(stderr, "knarr-server: --secure-port: '%s' is no port; expected 1-65535\n",
                        optarg);
                return -1;
            }
            a->port = (uint16_t)port;
            break;
        case 'h':
            exit(usage(stdout));
        default:
            return -1;
        }
    }
    const struct {
        const char *flag, *value;
    } needed[] = { { "store", a->store_dir },
                   { "tls-cert-file", a->tls_cert },
                   { "tls-private-key-file", a->tls_key },
                   { "client-ca-file", a->client_ca },
                   { "service-account-signing-key-file", a->sa_key } };
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (!needed[i].value) {
            fprintf(stderr, "knarr-server: --%s is needed\n", needed[i].flag);
            return -1;
        }
    return 0;
}

static int read_pem(const char *path, Buf *out, Err *err)
{
    if (!path)
        return 0;
    int r = file_read(AT_FDCWD, path, PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "read '%s'", path) : 0;
}

typedef struct Pems {
    Buf cert, key, ca, sa, kubelet_cert, kubelet_key;
} Pems;

static int read_pems(const Args *a, Pems *p, Err *err)
{
    int r;
    if ((r = read_pem(a->tls_cert, &p->cert, err)) < 0 ||
        (r = read_pem(a->tls_key, &p->key, err)) < 0 ||
        (r = read_pem(a->client_ca, &p->ca, err)) < 0 ||
        (r = read_pem(a->sa_key, &p->sa, err)) < 0 ||
        (r = read_pem(a->kubelet_cert, &p->kubelet_cert, err)) < 0)
        return r;
    return read_pem(a->kubelet_key, &p->kubelet_key, err);
}

static void pems_free(Pems *p)
{
    Buf *all[] = { &p->cert, &p->key, &p->ca, &p->sa, &p->kubelet_cert, &p->kubelet_key };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_free(all[i]);
}

static void on_stop(void *ctx, int signo)
{
    log_info("stopping on signal %d", signo);
    loop_stop(ctx);
}

static int serve(const Args *a, const Pems *p, Err *err)
{
    char listen[128];
    snprintf(listen, sizeof listen, "%s:%u", a->bind, a->port);
    Loop *loop = NULL;
    Store *store = NULL;
    ApiServer *server = NULL;
    Source *term = NULL, *intr = NULL;
    StoreConfig store_cfg = apiserver_store_config();
    int r;
    if ((r = loop_new(&loop, err)) < 0 ||
        (r = store_open(a->store_dir, &store_cfg, &store, err)) < 0 ||
        (r = loop_add_signal(loop, SIGTERM, on_stop, loop, &term, err)) < 0 ||
        (r = loop_add_signal(loop, SIGINT, on_stop, loop, &intr, err)) < 0)
        goto out;
    ApiServerConfig cfg = { .store = store,
                            .listen = listen,
                            .cert_chain = buf_view(&p->cert),
                            .key = buf_view(&p->key),
                            .client_ca = buf_view(&p->ca),
                            .token_key = buf_view(&p->sa),
                            .issuer = sv_cstr(a->issuer),
                            .service_cidr = sv_cstr(a->service_cidr),
                            .advertise_address = sv_cstr(a->advertise),
                            .advertise_port = a->port,
                            .dns_endpoint = sv_cstr(a->dns),
                            .kubelet_client_cert = buf_view(&p->kubelet_cert),
                            .kubelet_client_key = buf_view(&p->kubelet_key),
                            .kubelet_ca = buf_view(&p->ca) };
    if ((r = apiserver_new(loop, &cfg, &server, err)) < 0)
        goto out;
    log_info("serving on %s, revision %llu", listen, (unsigned long long)store_revision(store));
    notify_send("READY=1");
    r = loop_run(loop, err);
out:
    apiserver_free(server);
    store_close(store);
    source_free(term);
    source_free(intr);
    loop_free(loop);
    return r;
}

int main(int argc, char **argv)
{
    log_init("server");
    signal(SIGPIPE, SIG_IGN);
    Args args;
    if (parse_args(argc, argv, &args) < 0)
        return usage(stderr);
    Pems pems = { 0 };
    Err err = { 0 };
    int r = read_pems(&args, &pems, &err);
    if (r == 0)
        r = serve(&args, &pems, &err);
    pems_free(&pems);
    if (r < 0)
        log_error("%s", err.msg);
    return r < 0 ? 1 : 0;
}
