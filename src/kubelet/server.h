/* server.h - what the files of the kubelet's own API share.
 *
 *   server.c               routes, /healthz, /pods, /metrics
 *   server_auth.c          who asks, and may they
 *   server_logs.c          containers' logs
 *   server_files.c         the folder of logs
 *   server_stats.c         /stats/summary
 *   server_exec.c          exec and attach
 *   server_portforward.c   port-forward
 *   cri_log.c              lines of log files */
#pragma once

#include "api/access.h"
#include "kubelet/internal.h"
#include "net/channels.h"

/* Something that outlives its request: it is on the server's list, so that the server can end it.
 */
typedef struct Session {
    struct Session *next, **link;
    void (*end)(struct Session *s); /* frees it */
} Session;

struct KubeletServer {
    Kubelet *k;
    HttpServer *http;
    AccessGate *gate;
    Map samples; /* control group to CpuSample */
    Session *sessions;
};

/* One request after it has been allowed. `rest` holds the path's segments behind the first. */
typedef struct KubeletRequest {
    KubeletServer *server;
    HttpReq *req;
    StrView rest[4];
    unsigned n_rest;
} KubeletRequest;

/* Something that outlives its request: `end` is called when the server ends before it. */
void session_add(KubeletServer *s, Session *x, void (*end)(Session *x));
void session_del(Session *x); /* repeatable */

/* Answers with a sentence as plain text, as the kubelet does. */
void kubelet_refuse(HttpReq *req, int status, const char *fmt, ...) PRINTF(3, 4);
int kubelet_upgrade_status(const Err *err) NODISCARD; /* of an upgrade that is refused */
bool kubelet_flag(const HttpReq *req, StrView name);  /* "1" or "true" */
/* The pod NS/NAME that is known here (the one that runs, if a new one waits under the same name),
 * or NULL. */
Worker *kubelet_find_pod(Kubelet *k, StrView ns, StrView name);
/* The pod and container of the path, or an answer that it is not there. */
Worker *kubelet_request_pod(KubeletRequest *r);
Container *kubelet_request_container(KubeletRequest *r);

/* Calls allowed(ctx, req) once the caller is known and may; else answers. */
typedef void AllowedFn(KubeletServer *s, HttpReq *req);
void kubelet_authorize(KubeletServer *s, HttpReq *req, StrView verb, StrView subresource,
                       AllowedFn *allowed);

typedef void KubeletHandler(KubeletRequest *r);
KubeletHandler serve_logs, serve_log_files, serve_exec, serve_attach, serve_port_forward,
    serve_stats;
/* What server_stats.c remembers of the processor's use. */
void kubelet_samples_free(KubeletServer *s);
