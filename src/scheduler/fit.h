/* fit.h - may a pod run on a node, and how well: pure functions on what the scheduler keeps of
 * both. */
#pragma once

#include "scheduler/resources.h"

typedef struct NodeFacts {
    StrView name;
    const Value *labels, *taints; /* of the Node object */
    bool unschedulable, ready;
    Request allocatable, used; /* used: without extras, which SchedNode counts */
} NodeFacts;

/* Why a node does not fit; fit_reason_text has kube-scheduler's words. */
typedef enum FitReason {
    FIT_OK,
    FIT_CPU,
    FIT_MEMORY,
    FIT_STORAGE,
    FIT_PODS,
    FIT_EXTRA, /* one of Request.extras, by its name */
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

/* First reason against the node by itself, in the order of kube-scheduler's filters. */
FitReason fit_check(const Value *pod, const Request *req, const NodeFacts *n);
/* Is it the lack of a resource? */
bool fit_reason_is_resource(FitReason why);
/* All resources that it lacks: bit FIT_CPU and so on; without extras. */
unsigned fit_resources(const Request *req, const NodeFacts *n);
bool fit_selector(const Value *pod, const NodeFacts *n); /* nodeSelector and node affinity */
bool fit_taints(const Value *pod, const NodeFacts *n);   /* tolerates all that keep pods away */
/* Would the absence of other pods help? */
bool fit_reason_resolvable(FitReason why);
/* Higher is better: least allocated, balanced, preferred affinity, untolerated PreferNoSchedule
 * taints. */
int64_t fit_score(const Value *pod, const Request *req, const NodeFacts *n);
