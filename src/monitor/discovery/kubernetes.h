/* kubernetes.h - objects of a cluster as target groups: what watching (kubernetes.c) and building
 * (k8s_build.c, k8s_endpoints.c) share. Private to the folder. */
#pragma once

#include "api/informer.h"
#include "codec/value.h"
#include "monitor/discovery/internal.h"

typedef enum K8sKind {
    K8S_POD,
    K8S_SERVICE,
    K8S_ENDPOINTS,
    K8S_ENDPOINTSLICE,
    K8S_NODE,
    K8S_INGRESS,
    K8S_NAMESPACE,
    K8S_KIND_MAX
} K8sKind;

/* How a builder reaches other objects. Decoded into `a`; NULL: not there. */
typedef struct K8sLookup {
    void *ctx;
    const Value *(*get)(void *ctx, K8sKind kind, StrView ns, StrView name, Arena *a);
    bool attach_node, attach_namespace;
} K8sLookup;

/* The group of one object, without its source. False: exhausted. */
bool k8s_build(K8sKind kind, const Value *obj, const K8sLookup *look, Arena *a,
               TargetGroup *ret) NODISCARD;

/* ---- among builders ---- */

typedef struct K8sBuild {
    const Value *obj;
    const K8sLookup *look;
    Arena *arena;
    LabelsBuilder group;
    Labels *targets;
    size_t n, cap;
    bool failed;
} K8sBuild;

/* Sets __meta_kubernetes_NAME; an absent value sets nothing. */
void k8s_set(LabelsBuilder *b, const char *name, StrView value);
void k8s_set_bool(LabelsBuilder *b, const char *name, const Value *v); /* only where it is said */
/* ROLE_name, labels and annotations of an object's metadata. */
void k8s_set_meta(LabelsBuilder *b, const char *role, const Value *obj, bool with_name);
void k8s_set_node(K8sBuild *k, LabelsBuilder *b, StrView node);
void k8s_set_pod(LabelsBuilder *b, const Value *pod);
void k8s_set_address(LabelsBuilder *b, StrView host, int64_t port); /* port < 0: none */
void k8s_add_target(K8sBuild *k, LabelsBuilder *b);
StrView k8s_number(Arena *a, int64_t n);
/* Letters that label names do not have become underscores. */
StrView k8s_sanitize(Arena *a, StrView s);
/* Container i of a pod, first the ordinary ones, then those of init; NULL: no more. */
const Value *k8s_container(const Value *pod, unsigned i, bool *ret_init);

void k8s_build_endpoints(K8sBuild *k);
void k8s_build_slice(K8sBuild *k);
