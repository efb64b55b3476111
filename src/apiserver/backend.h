/* backend.h - what the server forwards to: kubelets, pods, and Services through their ready
 * endpoints (from its own snapshot: no virtual address is needed, nor that a proxy has run). */
#pragma once

#include "apiserver/call.h"
#include "net/http_client.h"

/* What connections to kubelets (NULL where the configuration has no certificate for them), pods and
 * Services use. They never change: loops share them, each with references of its own. */
typedef struct BackendTls {
    TlsContext *kubelet; /* shows the server's client certificate */
    TlsContext *any;     /* pods and Services: checks nothing, shows nothing */
} BackendTls;
int backend_tls_kubelet(const ApiServerConfig *cfg, TlsContext **ret, Err *err) NODISCARD;
int backend_tls_new(const ApiServerConfig *cfg, BackendTls *ret, Err *err) NODISCARD;
void backend_tls_free(BackendTls *t);

/* One loop's. `advertised` is the server's own address. */
int backends_new(const BackendTls *tls, StrView advertised, Backends **ret, Err *err) NODISCARD;
/* The certificates for kubelets came anew: new connections use them. */
void backends_reload(Backends *b, TlsContext *kubelet);
Backends *backends_free(Backends *b); /* always NULL; what is still open may close behind it */

/* A forwarded request, or two joined connections, begins and ends. */
void backend_opened(Backends *b);
void backend_closed(Backends *b);
/* So many bytes may wait in one direction of it: less when many are open, so that those which
 * nobody reads cost little. */
size_t backend_pending_max(const Backends *b);

/* The kept client of a node's kubelet; NULL after answering. */
HttpClient *backend_kubelet(ApiCall *x, StrView node);

/* One server, of one request. Views live as long as the call's arena. */
typedef struct Backend {
    StrView host; /* an address */
    uint16_t port;
    TlsContext *tls; /* NULL: clear text; borrowed */
    StrView shown;   /* as links of its pages may name it: "10.1.2.3:80" */
} Backend;

/* Where the call's `proxy` leads: x->name is NAME, NAME:PORT or SCHEME:NAME:PORT of a pod, Service
 * or node. False after answering. */
bool backend_find(ApiCall *x, Backend *ret);

/* A client for one call to it: HTTP/1.1, a connection of its own. The caller frees it. */
int backend_client(ApiCall *x, const Backend *b, HttpClient **ret, Err *err) NODISCARD;
