/* controller.h - the loops that make the cluster what its objects say: Deployments become
 * ReplicaSets, ReplicaSets become Pods, Services become EndpointSlices, namespaces are emptied
 * before they go.
 *
 * All of them run on one loop over shared informers. They begin when every informer is synced. */
#pragma once

#include "api/client.h"

typedef struct Controllers Controllers;

/* root_ca: PEM text published as ConfigMap kube-root-ca.crt (copied). on_synced (may be NULL) is
 * called once, when the work begins. The client stays the caller's and must outlive the
 * controllers. */
int controllers_new(Loop *l, ApiClient *api, StrView root_ca, void (*on_synced)(void *ctx),
                    void *ctx, Controllers **ret, Err *err) NODISCARD;
Controllers *controllers_free(Controllers *cs); /* drops all work under way; always NULL */
