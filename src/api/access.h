/* access.h - who calls a role's own port, and may they: asked of the API server.
 *
 * A caller shows a client certificate that the cluster's authority signed (and that TLS has
 * checked), or a bearer token that a TokenReview vouches for. What they may do is a
 * SubjectAccessReview. Its answers are kept: five minutes when allowed, thirty seconds when denied.
 * Nobody is let in while the API server cannot be asked. On the loop's thread. */
#pragma once

#include "api/client.h"
#include "net/http.h"

typedef struct AccessGate AccessGate;

/* What is to be done: to a resource, or to a path that is none. The texts must live as long as the
 * exchange. */
typedef struct AccessAttributes {
    StrView verb; /* "get" */
    StrView path; /* "/metrics"; empty: a resource of the core group */
    StrView resource, subresource, name;
} AccessAttributes;

typedef struct AccessVerdict {
    int status;   /* 200: let in; 401, 403, 500 */
    StrView why;  /* of 500: what went wrong */
    StrView user; /* empty: not known */
} AccessVerdict;

/* Once unless the peer goes away before; may be called from inside access_ask(). The verdict lives
 * as long as the exchange. */
typedef void AccessFn(void *ctx, HttpReq *req, const AccessVerdict *v);

/* `api` must outlive it, and be allowed to create both reviews. */
int access_gate_new(ApiClient *api, AccessGate **ret, Err *err) NODISCARD;
/* After the servers whose requests it was asked about. NULL is fine; always NULL. */
AccessGate *access_gate_free(AccessGate *g);
/* Uses http_on_close() of the request until the verdict. */
void access_ask(AccessGate *g, HttpReq *req, const AccessAttributes *attr, AccessFn *fn, void *ctx);

/* Answers what access_ask() refused, as the generic servers of Kubernetes do for such a path. */
void access_refuse_path(HttpReq *req, const AccessAttributes *attr, const AccessVerdict *v);
