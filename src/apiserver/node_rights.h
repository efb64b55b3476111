/* node_rights.h - what the credential of a node may do: one table for authorisation (Kubernetes'
 * Node authoriser) and for admission (its plugin NodeRestriction).
 *
 * A node is a user system:node:NAME in the group system:nodes. */
#pragma once

#include "apiserver/admit.h"
#include "apiserver/authz.h"

/* A label that no node gives itself. */
#define CONTROL_PLANE_LABEL SV("node-role.kubernetes.io/control-plane")

/* Whether the user is a node that its rights allow this; false too when it is none: RBAC goes on.
 */
bool node_may(ApiServer *srv, const Access *a);
/* The link of admission that looks into what a node writes and deletes. */
AdmitResult node_restriction(AdmitChain *c);
/* Whether the caller, if it is a node, may have a token bound to `ref` (spec.boundObjectRef, may be
 * NULL) whose pod is on pod_node. Answers itself and returns false when not. */
bool node_token_allowed(ApiCall *x, const Value *ref, StrView pod_node);
