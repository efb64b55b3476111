/* decide.h - chooses a node for a pod: filters, scores, and why not. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "scheduler/affinity.h"
#include "scheduler/spread.h"

enum {
    /* As kube-scheduler: on large clusters the search ends once this many nodes, or the share that
     * decide_enough() says, have been found to fit. */
    DECIDE_ENOUGH_MIN = 100,
};
/* How many nodes that fit end the search among so many. */
size_t decide_enough(size_t nodes);

/* What is counted once for a pod before nodes are looked at. */
typedef struct Filters {
    const SchedPod *pod;
    Affinity affinity;
    Spread spread;
    bool relational; /* what other pods do matters, besides the room they take */
} Filters;

/* Counts once over the cluster; false when memory is short, and then there is nothing to free. */
bool filters_prepare(const Cluster *c, const SchedPod *pod, Arena *a, Filters *ret);
void filters_free(Filters *f);
/* Pods of at least its priority that are nominated to the node count as if they were there. */
FitReason filters_check(const Filters *f, const SchedNode *n);
/* Whether the node has too little of the pod's extra number i, as it was counted above. */
bool filters_lack_extra(const Filters *f, const SchedNode *n, uint32_t i);

typedef struct Decision {
    SchedNode *node; /* NULL: none fits */
    uint8_t *why;    /* FitReason of each of Cluster.nodes; only when none fits */
    unsigned nodes, against[FIT_MAX];
    const SchedPod *pod;
    unsigned *against_extras; /* for each of its extras */
} Decision;

/* False: memory is exhausted. */
bool decide(Cluster *c, const SchedPod *pod, Arena *a, Decision *ret);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
void decision_explain(const Decision *d, Buf *out);
/* Counted reasons, of which there may be one for each extra of the pod. */
typedef struct Reasons {
    const SchedPod *pod;
    const unsigned *extras;   /* beside its extras */
    const char *const *texts; /* n of them, with their counts; FIT_EXTRA is left to the extras */
    const unsigned *counts;
    size_t n;
} Reasons;
/* "2 Insufficient cpu, 1 Too many pods.", in kube-scheduler's order. */
void reasons_put(const Reasons *r, Buf *out);
