/* rank.h - which pods of a ReplicaSet go first when there are too many. */
#pragma once

#include "api/informer.h"

typedef struct PodRank {
    const ApiObject *pod;
    bool assigned, ready;
    int phase; /* 0 Pending, 1 Unknown, 2 Running */
    int64_t deletion_cost, restarts;
    int64_t ready_ns, created_ns; /* since when */
} PodRank;

/* < 0: `a` goes before `b`: not assigned, pending, not ready, low deletion cost, ready for a
 * shorter time, more restarts, younger. */
int pod_rank_cmp(const PodRank *a, const PodRank *b);
void pod_rank_sort(PodRank *ranks, size_t n); /* the first to go first */
