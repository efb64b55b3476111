/* server_auth.c - who calls the kubelet's API, and may they: a SubjectAccessReview of the node's
 * subresource, asked by api/access.h. */
#include "kubelet/server.h"

typedef struct Asked {
    KubeletServer *server;
    StrView verb, subresource;
    AllowedFn *allowed;
} Asked; /* in the exchange's arena */

static void on_verdict(void *ctx, HttpReq *req, const AccessVerdict *v)
{
    const Asked *a = ctx;
    switch (v->status) {
    case 200:
        a->allowed(a->server, req);
        break;
    case 401:
        kubelet_refuse(req, 401, "Unauthorized");
        break;
    case 403:
        kubelet_refuse(req, 403,
                       "Forbidden (user=%.*s, verb=%.*s, resource=nodes, subresource(s)=[%.*s])",
                       SV_FMT(v->user), SV_FMT(a->verb), SV_FMT(a->subresource));
        break;
    default:
        kubelet_refuse(req, v->status, "%.*s (user=%.*s)", SV_FMT(v->why), SV_FMT(v->user));
    }
}

void kubelet_authorize(KubeletServer *s, HttpReq *req, StrView verb, StrView subresource,
                       AllowedFn *allowed)
{
    const AccessAttributes attr = { .verb = verb,
                                    .resource = SV("nodes"),
                                    .subresource = subresource,
                                    .name = sv_cstr(s->k->cfg.node_name) };
    Asked *a = arena_new(req->arena, Asked);
    if (!a) {
        kubelet_refuse(req, 500, "out of memory");
        return;
    }
    *a = (Asked){ s, verb, subresource, allowed };
    access_ask(s->gate, req, &attr, on_verdict, a);
}
