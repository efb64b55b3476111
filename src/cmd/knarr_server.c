/* knarr_server.c - main() of knarr-server: the API server on its store. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "apiserver/apiserver.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/backup_socket.h"
#include "cmd/confine.h"
#include "cmd/daemon.h"
#include "cmd/flags.h"

typedef struct Args {
    const char *store_dir, *bind, *service_cidr, *advertise, *issuer, *dns, *plugins, *node;
    const char *tls_cert, *tls_key, *client_ca, *sa_key, *kubelet_cert, *kubelet_key;
    uint16_t port;
    uint64_t loops;
} Args;

static int parse_args(int argc, char **argv, Args *a)
{
    const Flag flags[] = {
        { "store", FLAG_TEXT, &a->store_dir, "DIR", "where the cluster's state lives", true },
        { "bind-address", FLAG_TEXT, &a->bind, "ADDRESS", "listen on this address (0.0.0.0)" },
        { "secure-port", FLAG_PORT, &a->port, "N", "listen on this port (6443)" },
        { "advertise-address", FLAG_TEXT, &a->advertise, "ADDRESS",
          "where the `kubernetes` Service leads (127.0.0.1)" },
        { "service-cluster-ip-range", FLAG_TEXT, &a->service_cidr, "CIDR",
          "addresses of Services (10.96.0.0/16)" },
        { "enable-admission-plugins", FLAG_TEXT, &a->plugins, "NAMES",
          "beside those that are always on: DenyServiceExternalIPs" },
        { "tls-cert-file", FLAG_TEXT, &a->tls_cert, "FILE", "the server's certificate", true },
        { "tls-private-key-file", FLAG_TEXT, &a->tls_key, "FILE", "its key", true },
        { "client-ca-file", FLAG_TEXT, &a->client_ca, "FILE", "who signs clients' certificates",
          true },
        { "service-account-signing-key-file", FLAG_TEXT, &a->sa_key, "FILE",
          "EC P-256 key for tokens", true },
        { "service-account-issuer", FLAG_TEXT, &a->issuer, "URL",
          "(https://kubernetes.default.svc.cluster.local)" },
        { "cluster-dns-endpoint", FLAG_TEXT, &a->dns, "ADDRESS:PORT",
          "where the `kube-dns` Service leads; without it there is none" },
        { "control-plane-node", FLAG_TEXT, &a->node, "NAME",
          "the node that gets the role control-plane" },
        { "kubelet-client-certificate", FLAG_TEXT, &a->kubelet_cert, "FILE",
          "identity towards kubelets: logs, exec, attach, port-forward" },
        { "kubelet-client-key", FLAG_TEXT, &a->kubelet_key, "FILE", "its key" },
        { "serving-threads", FLAG_NUMBER, &a->loops, "N",
          "serve requests on so many threads, at most 8 (one for each processor)" },
    };
    const FlagSet set = { .program = "knarr-server",
                          .about = "Serves the Kubernetes API from the state in --store.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = flags_parse(&set, argc, argv, NULL);
    if (r != FLAGS_OK || a->loops <= API_LOOPS_MAX)
        return r;
    fprintf(stderr,
            "knarr-server: --serving-threads: expected 1 to %d, or 0 for one for each "
            "processor\n",
            API_LOOPS_MAX);
    return 2;
}

typedef struct Pems {
    Buf cert, key, ca, sa, kubelet_cert, kubelet_key;
} Pems;

static int read_pems(const Args *a, Pems *p, Err *err)
{
    int r;
    if ((r = daemon_read_pem(a->tls_cert, &p->cert, err)) < 0 ||
        (r = daemon_read_pem(a->tls_key, &p->key, err)) < 0 ||
        (r = daemon_read_pem(a->client_ca, &p->ca, err)) < 0 ||
        (r = daemon_read_pem(a->sa_key, &p->sa, err)) < 0 ||
        (r = daemon_read_pem(a->kubelet_cert, &p->kubelet_cert, err)) < 0)
        return r;
    return daemon_read_pem(a->kubelet_key, &p->kubelet_key, err);
}

static void pems_free(Pems *p)
{
    Buf *all[] = { &p->cert, &p->key, &p->ca, &p->sa, &p->kubelet_cert, &p->kubelet_key };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_free(all[i]);
}

typedef struct Serving {
    const Args *args;
    ApiServer *server;
} Serving;

static ApiServerConfig with_pems(const Pems *p)
{
    return (ApiServerConfig){ .cert_chain = buf_view(&p->cert),
                              .key = buf_view(&p->key),
                              .client_ca = buf_view(&p->ca),
                              .token_key = buf_view(&p->sa),
                              .kubelet_client_cert = buf_view(&p->kubelet_cert),
                              .kubelet_client_key = buf_view(&p->kubelet_key),
                              .kubelet_ca = buf_view(&p->ca) };
}

static int on_reload(void *ctx, Err *err)
{
    Serving *v = ctx;
    Pems pems = { 0 };
    int r = read_pems(v->args, &pems, err);
    if (r == 0) {
        ApiServerConfig cfg = with_pems(&pems);
        r = apiserver_reload(v->server, &cfg, err);
    }
    pems_free(&pems);
    return r;
}

/* Secrets lie in its files: they are the owner's alone, in a folder with whatever mode. */
static int make_store(const char *dir, Err *err)
{
    umask(S_IRWXG | S_IRWXO);
    int r = mkdir_p(AT_FDCWD, dir, 0700);
    return r < 0 ? err_neg(err, r, "make folder '%s'", dir) : 0;
}

static int serve(const Args *a, Err *err)
{
    char listen[128];
    snprintf(listen, sizeof listen, "%s:%u", a->bind, a->port);
    Daemon daemon = { 0 };
    Metrics *metrics = daemon_metrics_new();
    Store *store = NULL;
    Serving serving = { .args = a };
    BackupSocket *backups = NULL;
    Pems pems = { 0 };
    ApiKinds *kinds = NULL;
    int r = api_kinds_new(NULL, 0, &kinds, err);
    if (r < 0)
        return r;
    StoreConfig store_cfg = apiserver_store_config(kinds);
    store_cfg.progress = daemon_progress;
    if ((r = read_pems(a, &pems, err)) < 0 || (r = make_store(a->store_dir, err)) < 0 ||
        (r = confine(a->store_dir, err)) < 0 || (r = daemon_open(&daemon, err)) < 0 ||
        (r = store_open(a->store_dir, &store_cfg, &store, err)) < 0)
        goto out;
    if (store_note(store))
        log_warn("%s", store_note(store));
    ApiServerConfig cfg = with_pems(&pems);
    cfg.store = store;
    cfg.kinds = kinds;
    cfg.listen = listen;
    cfg.issuer = sv_cstr(a->issuer);
    cfg.service_cidr = sv_cstr(a->service_cidr);
    cfg.advertise_address = sv_cstr(a->advertise);
    cfg.advertise_port = a->port;
    cfg.control_plane_node = sv_cstr(a->node);
    cfg.admission_plugins = a->plugins ? sv_cstr(a->plugins) : SV("");
    cfg.dns_endpoint = sv_cstr(a->dns);
    cfg.metrics = metrics;
    cfg.loops = (unsigned)a->loops;
    if ((r = apiserver_new(daemon.loop, &cfg, &serving.server, err)) < 0 ||
        (r = backup_socket_new(store, a->store_dir, &backups, err)) < 0 ||
        (r = daemon_on_reload(&daemon, on_reload, &serving, err)) < 0)
        goto out;
    log_info("serving on %s, revision %llu", listen, (unsigned long long)store_revision(store));
    daemon_ready(NULL);
    if ((r = daemon_run(&daemon, err)) == 0)
        apiserver_finish(serving.server);
out:
    backup_socket_free(backups);
    apiserver_free(serving.server);
    store_close(store);
    api_kinds_unref(kinds);
    pems_free(&pems);
    daemon_close(&daemon);
    metrics_free(metrics);
    return r;
}

int main(int argc, char **argv)
{
    daemon_init("server");
    Args args = { .bind = "0.0.0.0",
                  .port = 6443,
                  .advertise = "127.0.0.1",
                  .service_cidr = "10.96.0.0/16",
                  .issuer = "https://kubernetes.default.svc.cluster.local" };
    int r = parse_args(argc, argv, &args);
    if (r != FLAGS_OK)
        return r;
    Err err = { 0 };
    r = serve(&args, &err);
    return daemon_exit(r, &err);
}
