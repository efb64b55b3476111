/* handlers.h - the functions that requests end in. */
#pragma once

#include "apiserver/call.h"

/* ---- verbs on stored objects ---- */
void rest_get(ApiCall *x);
void rest_list(ApiCall *x);
void rest_watch(ApiCall *x);
void rest_create(ApiCall *x);
void rest_update(ApiCall *x);
void rest_patch(ApiCall *x);
void rest_apply(ApiCall *x); /* a patch of type application/apply-patch+yaml */
void rest_delete(ApiCall *x);
void rest_delete_collection(ApiCall *x);

/* Assigns a pod to the node of the Binding that is the body: the one that the URL names, or that
 * the body names where the URL does not. */
void bind_pod(ApiCall *x);

/* ---- subresources, reviews, other paths; false: not theirs ---- */
bool subresource_handle(ApiCall *x);
bool review_handle(ApiCall *x);
bool discovery_handle(ApiCall *x);
bool openapi_handle(ApiCall *x);
bool health_handle(ApiCall *x);
bool node_link_handle(ApiCall *x); /* log, exec, attach, portforward */
bool forward_handle(ApiCall *x);   /* proxy */

/* ---- what is behind some of them, for the server's start and end ---- */
int bootstrap_objects(ApiServer *srv, const ApiServerConfig *cfg, Err *err) NODISCARD;
OpenApiCache *openapi_cache_free(OpenApiCache *c);

/* The server's handler of requests: an ApiLoop as ctx (net/http.h). */
void route_request(void *ctx, HttpReq *req);
/* Whether the body of the request is handed on as it comes: what is proxied (net/http.h). */
bool route_streams(void *ctx, HttpReq *req);
