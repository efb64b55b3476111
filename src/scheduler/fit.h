/* fit.h - may a pod run on a node, and how well: pure functions on what the scheduler keeps of
 * both. */
#pragma once

#include "base/arena.h"
#include "codec/value.h"

/* What a pod asks for, summed over its containers as Kubernetes does (init containers count by
 * their maximum). */
typedef struct Request {
    int64_t cpu_milli, memory, pods;
} Request;

typedef struct NodeFacts {
    StrView name;
    const Value *labels, *taints; /* of the Node object */
    bool unschedulable, ready;
    Request allocatable, used;
} NodeFacts;

/* Why a node does not fit, in kube-scheduler's words; the order is that of its messages' sorting.
 */
typedef enum FitReason {
    FIT_OK,
    FIT_CPU,
    FIT_MEMORY,
    FIT_PODS,
    FIT_SELECTOR,
    FIT_UNSCHEDULABLE,
    FIT_TAINT,
    FIT_MAX
} FitReason;

extern const char *const fit_reason_text[FIT_MAX];

void request_of_pod(const Value *pod, Request *ret);
void request_of_node(const Value *node, Request *ret); /* status.allocatable */
/* First reason against it, in the order of kube-scheduler's filters. *ret_taint names the taint of
 * FIT_TAINT. */
FitReason fit_check(const Value *pod, const Request *req, const NodeFacts *n,
                    const Value **ret_taint);
/* Higher is better: least allocated, balanced, preferred affinity, untolerated PreferNoSchedule
 * taints. */
int64_t fit_score(const Value *pod, const Request *req, const NodeFacts *n);
