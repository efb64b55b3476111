/* client.h - calls to an API server on the loop: JSON documents in, JSON documents out.
 *
 * Every call is asynchronous and may be cancelled at any time; nothing is called back from inside
 * the function that starts a call. Freeing the client ends all its calls silently. */
#pragma once

#include "base/metrics.h"
#include "api/kubeconfig.h"
#include "codec/value.h"
#include "net/loop.h"

typedef struct ApiClient ApiClient;
typedef struct ApiCall ApiCall;

enum { API_BODY_MAX = 256 * 1024 * 1024 }; /* of one answer; larger: ERR_LIMIT */

int api_client_new(Loop *l, const KubeConfig *cfg, ApiClient **ret, Err *err) NODISCARD;
/* New connections show the certificate and trust the authority of `cfg`; where the server is stays
 * as it was. After a failure the client goes on with what it had. */
int api_client_reload(ApiClient *c, const KubeConfig *cfg, Err *err) NODISCARD;
/* Counts its calls in `m` (rest_client_…), which must outlive it. The parts of a role that are
 * given the client find the role's registry here; NULL: nobody counts. */
void api_client_count(ApiClient *c, Metrics *m);
Metrics *api_client_metrics(const ApiClient *c); /* `c` may be NULL */
uint16_t api_client_port(const ApiClient *c);    /* of the server */
ApiClient *api_client_free(ApiClient *c);        /* always NULL */
Loop *api_client_loop(const ApiClient *c);

/* What is addressed: a collection (no name), an object, or its subresource. Views need to live only
 * during the call that takes them. */
typedef struct ApiTarget {
    StrView group;   /* empty: the core group */
    StrView version; /* "v1" */
    StrView plural;  /* "pods" */
    StrView ns;      /* empty: cluster-scoped, or all namespaces */
    StrView name;
    StrView subresource; /* "status", "binding", "eviction" */
    bool metadata_only;  /* answers as PartialObjectMetadata: nothing but apiVersion, kind, metadata
                          */
} ApiTarget;

/* How a call ended. Everything in it is valid only during the callback. */
typedef struct ApiResult {
    int status;             /* HTTP; 0: no answer */
    const Value *body;      /* NULL when there is none */
    StrView text;           /* the same as bytes */
    const Err *err;         /* NULL: success (2xx) */
    StrView reason;         /* of a Status: "NotFound", "Conflict" … */
    uint32_t retry_after_s; /* from the Status or the header; 0: not said */
    Arena *arena;
} ApiResult;

/* Err's code follows the Status' reason: NotFound ERR_NOT_FOUND, AlreadyExists ERR_EXISTS, Conflict
 * ERR_CONFLICT, Forbidden ERR_DENIED, Unauthorized ERR_UNAUTHENTICATED, Invalid and BadRequest
 * ERR_INVALID, Gone and Expired ERR_GONE, TooManyRequests and ServiceUnavailable ERR_BUSY, Timeout
 * ERR_TIMEOUT, MethodNotAllowed ERR_UNSUPPORTED, RequestEntityTooLarge ERR_LIMIT; others ERR_PROTO.
 */
typedef void ApiDoneFn(void *ctx, const ApiResult *r);

typedef struct ApiRequest {
    StrView method; /* "GET", "POST", "PUT", "PATCH", "DELETE" */
    ApiTarget target;
    StrView raw_path;  /* instead of a target: "/version", "/healthz" */
    StrView query;     /* escaped, without '?' (api_query_add) */
    const Value *body; /* NULL: none, or raw_body */
    StrView raw_body;
    StrView content_type; /* of the body; empty: application/json */
    StrView accept;       /* empty: application/json, or what the target's metadata_only asks for */
    uint32_t timeout_ms;  /* 0: 60 s */
    ApiDoneFn *done;      /* exactly once unless cancelled; may be NULL */
    void *ctx;
} ApiRequest;

int api_request(ApiClient *c, const ApiRequest *req, ApiCall **ret, Err *err) NODISCARD;
ApiCall *api_call_cancel(ApiCall *call); /* no more callbacks; always NULL; NULL is fine */

/* Shorthands. `ret` may be NULL where the call is never cancelled. */
int api_get(ApiClient *c, const ApiTarget *t, ApiDoneFn *done, void *ctx, ApiCall **ret,
            Err *err) NODISCARD;
int api_list(ApiClient *c, const ApiTarget *t, StrView query, ApiDoneFn *done, void *ctx,
             ApiCall **ret, Err *err) NODISCARD;
int api_create(ApiClient *c, const ApiTarget *t, const Value *body, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err) NODISCARD;
int api_update(ApiClient *c, const ApiTarget *t, const Value *body, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err) NODISCARD;
#define API_PATCH_JSON      SV("application/json-patch+json")
#define API_PATCH_MERGE     SV("application/merge-patch+json")
#define API_PATCH_STRATEGIC SV("application/strategic-merge-patch+json")
#define API_PATCH_APPLY     SV("application/apply-patch+yaml") /* query: fieldManager, force */
int api_patch(ApiClient *c, const ApiTarget *t, StrView patch_type, StrView query,
              const Value *patch, ApiDoneFn *done, void *ctx, ApiCall **ret, Err *err) NODISCARD;
/* `options` is a DeleteOptions or NULL. */
int api_delete(ApiClient *c, const ApiTarget *t, const Value *options, ApiDoneFn *done, void *ctx,
               ApiCall **ret, Err *err) NODISCARD;

/* A watch: on_event for each event until the stream ends. */
typedef struct ApiWatch ApiWatch;
typedef struct ApiWatchEvents {
    /* type: "ADDED", "MODIFIED", "DELETED", "BOOKMARK"; obj and the arena die with the callback.
     * "ERROR" events arrive as the end, with the Status' code. */
    void (*on_event)(void *ctx, StrView type, Value *obj, Arena *arena);
    /* Once unless cancelled; err is NULL when the server ended it in order (its time was up). */
    void (*on_end)(void *ctx, const Err *err);
    void *ctx;
} ApiWatchEvents;
/* `query` is appended to "watch=1". */
int api_watch(ApiClient *c, const ApiTarget *t, StrView query, const ApiWatchEvents *ev,
              ApiWatch **ret, Err *err) NODISCARD;
ApiWatch *api_watch_cancel(ApiWatch *w); /* always NULL; NULL is fine */

/* Appends name=value, escaped, with '&' in front where needed. */
void api_query_add(Buf *query, StrView name, StrView value);
/* Appends the path of a target: "/apis/apps/v1/namespaces/default/deployments/web". */
void api_target_path(const ApiTarget *t, Buf *out);
