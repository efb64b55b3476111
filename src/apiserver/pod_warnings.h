/* pod_warnings.h - what is allowed in a pod, and yet hardly meant. */
#pragma once

#include "apiserver/call.h"

/* Where a kind has its pod template: "spec.template"; "" for a Pod, which is one itself; NULL: it
 * has none. */
const char *pod_template_path(const ApiResource *res);

/* Warnings beside the answer to a write of `obj`, in Kubernetes' words: of a pod when it is made,
 * of a template when its spec is new. `old` is NULL for a creation. */
void pod_warn(ApiCall *x, const Value *obj, const Value *old);
