/* spread.h - topologySpreadConstraints of one pod. */
#pragma once

#include "scheduler/cluster.h"
#include "scheduler/pairs.h"

typedef struct SpreadConstraint {
    StrView key;
    Selector pods;
    int64_t max_skew, min_domains;
    bool hard, honor_affinity, honor_taints, matches_itself;
    int64_t domains, least; /* over the domains that count */
} SpreadConstraint;

typedef struct Spread {
    const SchedPod *pod;
    SpreadConstraint *v;
    uint32_t n, n_hard;
    Pairs *counts; /* of each constraint: matching pods by topology */
} Spread;

/* Reads the constraints and counts. The lists are in `a`. False: memory is exhausted or a selector
 * is malformed. */
bool spread_prepare(const Cluster *c, const SchedPod *pod, Arena *a, Spread *ret);
void spread_free(Spread *s);
FitReason spread_check(const Spread *s, const NodeFacts *n);
/* The fewer the better, before spread_normalise(); -1: the node has not all the labels. */
double spread_score(const Spread *s, const NodeFacts *n);
bool spread_scores(const Spread *s);
