/* fit.h - may a pod run on a node, and how well: pure functions on what the scheduler keeps of
 * both. */
#pragma once

#include "base/arena.h"
#include "codec/value.h"

/* What a pod asks for, summed over its containers as Kubernetes does (init containers count by
 * their maximum). */
typedef struct Request {
    int64_t cpu_milli, memory, storage, pods; /* storage: ephemeral-storage, in bytes */
} Request;

typedef struct NodeFacts {
    StrView name;
    const Value *labels, *taints; /* of the Node object */
    bool unschedulable, ready;
    Request allocatable, used;
} NodeFacts;

/* Why a node does not fit; fit_reason_text has kube-scheduler's words. */
typedef enum FitReason {
    FIT_OK,
    FIT_CPU,
    FIT_MEMORY,
    FIT_STORAGE,
    FIT_PODS,
    FIT_SELECTOR,
    FIT_PORTS,
    FIT_UNSCHEDULABLE,
    FIT_TAINT,
    FIT_AFFINITY,
    FIT_ANTI_AFFINITY,
    FIT_EXISTING_ANTI,
    FIT_SPREAD,
    FIT_SPREAD_LABEL,
    FIT_MAX
} FitReason;

extern const char *const fit_reason_text[FIT_MAX];

void request_of_pod(const Value *pod, Request *ret);
void request_of_node(const Value *node, Request *ret); /* status.allocatable */
void request_add(Request *to, const Request *r);
void request_sub(Request *from, const Request *r);

/* First reason against the node by itself, in the order of kube-scheduler's filters. */
FitReason fit_check(const Value *pod, const Request *req, const NodeFacts *n);
/* Is it one of the resources that fit_resources() looks at? */
bool fit_reason_is_resource(FitReason why);
/* All resources that it lacks: bit FIT_CPU and so on. */
unsigned fit_resources(const Request *req, const NodeFacts *n);
bool fit_selector(const Value *pod, const NodeFacts *n); /* nodeSelector and node affinity */
bool fit_taints(const Value *pod, const NodeFacts *n);   /* tolerates all that keep pods away */
/* Would the absence of other pods help? */
bool fit_reason_resolvable(FitReason why);
/* Higher is better: least allocated, balanced, preferred affinity, untolerated PreferNoSchedule
 * taints. */
int64_t fit_score(const Value *pod, const Request *req, const NodeFacts *n);
