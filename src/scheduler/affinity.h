/* affinity.h - inter-pod affinity and anti-affinity of one pod against the whole cluster. */
#pragma once

#include "scheduler/cluster.h"
#include "scheduler/pairs.h"

typedef struct Affinity {
    const SchedPod *pod;
    Pairs with;     /* pods that match all of its required terms, by topology */
    Pairs against;  /* pods that match one of its required anti-affinity terms */
    Pairs existing; /* pods whose required anti-affinity is against it */
    Pairs wishes;   /* what preferred terms, its own and those of others, add up to */
    bool any_with, matches_itself;
} Affinity;

/* Counts; cheap when neither the pod nor others on the cluster have terms. False: out of memory. */
bool affinity_prepare(const Cluster *c, const SchedPod *pod, Affinity *ret);
void affinity_free(Affinity *a);
FitReason affinity_check(const Affinity *a, const NodeFacts *n);
/* Not normalised; may be negative. *ret_any: some node may differ from another. */
int64_t affinity_score(const Affinity *a, const NodeFacts *n);
bool affinity_scores(const Affinity *a);
