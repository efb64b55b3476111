/* metrics_port.c - see metrics_port.h. */
#include "cmd/metrics_port.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/access.h"
#include "base/log.h"
#include "net/pki.h"

enum { OWN_LIFETIME_S = 10 * 365 * 24 * 3600 }; /* of what a start makes, and the next one anew */

struct MetricsPort {
    const MetricsPortArgs *args;
    AccessGate *gate;
    MetricsServer *server;
};

static const AccessAttributes wants = { .verb = SV_INIT("get"), .path = SV_INIT("/metrics") };

typedef struct Asked {
    MetricsAllowedFn *allowed;
    void *server;
} Asked; /* in the exchange's arena */

static void on_verdict(void *ctx, HttpReq *req, const AccessVerdict *v)
{
    const Asked *a = ctx;
    if (v->status == 200)
        a->allowed(a->server, req);
    else
        access_refuse_path(req, &wants, v);
}

static void guard(void *ctx, HttpReq *req, MetricsAllowedFn *allowed, void *server)
{
    MetricsPort *p = ctx;
    Asked *a = arena_new(req->arena, Asked);
    if (!a) {
        http_respond(req, 500, SV("text/plain; charset=utf-8"), SV("out of memory\n"));
        return;
    }
    *a = (Asked){ allowed, server };
    access_ask(p->gate, req, &wants, on_verdict, a);
}

/* As Kubernetes' roles do where no certificate is given: nobody can check it, but the line is not
 * read by others. */
static int make_own(Buf *cert, Buf *key, Err *err)
{
    static const char *const names[] = { "localhost", "127.0.0.1", NULL };
    const PkiSubject subject = {
        .common_name = "localhost", .sans = names, .use = PKI_SERVER, .lifetime_sec = OWN_LIFETIME_S
    };
    _cleanup_buf_ Buf ca_key = BUF_INIT, ca = BUF_INIT;
    int r;
    if ((r = pki_new_key(&ca_key, err)) < 0 ||
        (r = pki_new_ca(buf_view(&ca_key), "knarr-metrics", OWN_LIFETIME_S, &ca, err)) < 0 ||
        (r = pki_new_key(key, err)) < 0)
        return r;
    return pki_issue(buf_view(&ca), buf_view(&ca_key), buf_view(key), &subject, cert, err);
}

static int make_tls(const MetricsPortArgs *a, TlsContext **ret, Err *err)
{
    _cleanup_buf_ Buf cert = BUF_INIT, key = BUF_INIT, ca = BUF_INIT;
    int r;
    if (!a->cert != !a->key)
        return err_set(err, ERR_INVALID, 0,
                       "--tls-cert-file and --tls-private-key-file: both are needed, or neither");
    r = a->cert ? daemon_read_pem(a->cert, &cert, err) : make_own(&cert, &key, err);
    if (r < 0 || (r = daemon_read_pem(a->key, &key, err)) < 0 ||
        (r = daemon_read_pem(a->client_ca, &ca, err)) < 0)
        return r;
    const TlsConfig tls = { .cert_chain = buf_view(&cert),
                            .key = buf_view(&key),
                            .ca = buf_view(&ca),
                            .client_auth = a->client_ca ? TLS_CLIENT_ASK : TLS_CLIENT_NONE,
                            .alpn_h2 = true };
    return tls_context_new_server(&tls, ret, err);
}

static int on_reload(void *ctx, Err *err)
{
    MetricsPort *p = ctx;
    TlsContext *tls = NULL;
    int r = make_tls(p->args, &tls, err);
    if (r == 0 && p->server)
        metrics_server_set_tls(p->server, tls);
    tls_context_unref(tls);
    return r;
}

/* A port that is taken is no failure. */
static int listen_or_tell(Loop *l, const MetricsServerConfig *cfg, MetricsServer **ret, Err *err)
{
    int r = metrics_server_new(l, cfg, ret, err);
    if (r < 0 && err->sys) {
        log_error("metrics are not served: %s", err->msg);
        err_clear(err);
        r = 0;
    }
    return r;
}

static int start(MetricsPort *p, Daemon *d, ApiClient *api, Err *err)
{
    char address[128];
    bool v6 = strchr(p->args->bind, ':') != NULL;
    TlsContext *tls = NULL;
    snprintf(address, sizeof address, v6 ? "[%s]:%u" : "%s:%u", p->args->bind, p->args->port);
    int r = access_gate_new(api, &p->gate, err);
    if (r == 0)
        r = make_tls(p->args, &tls, err);
    if (r == 0) {
        const MetricsServerConfig cfg = { .address = address,
                                          .tls = tls,
                                          .metrics = api_client_metrics(api),
                                          .guard = guard,
                                          .ctx = p };
        r = listen_or_tell(d->loop, &cfg, &p->server, err);
    }
    tls_context_unref(tls);
    return r < 0 ? r : daemon_on_reload(d, on_reload, p, err);
}

int metrics_port_open(Daemon *d, ApiClient *api, const MetricsPortArgs *args, MetricsPort **ret,
                      Err *err)
{
    MetricsPort *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->args = args;
    int r = start(p, d, api, err);
    if (r < 0)
        metrics_port_close(p);
    else
        *ret = p;
    return r;
}

MetricsPort *metrics_port_close(MetricsPort *p)
{
    if (!p)
        return NULL;
    metrics_server_free(p->server);
    access_gate_free(p->gate);
    free(p);
    return NULL;
}

int metrics_port_plain(Loop *l, const char *address, bool later, Metrics *m, MetricsServer **ret,
                       Err *err)
{
    const MetricsServerConfig cfg = { .address = address, .address_later = later, .metrics = m };
    return listen_or_tell(l, &cfg, ret, err);
}
