/* rank.c - the order in which a ReplicaSet gives up pods. */
#include "controller/rank.h"

static int three_way(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int pod_rank_cmp(const PodRank *a, const PodRank *b)
{
    const int order[] = {
        three_way(a->assigned, b->assigned),     three_way(a->phase, b->phase),
        three_way(a->ready, b->ready),           three_way(a->deletion_cost, b->deletion_cost),
        three_way(b->ready_ns, a->ready_ns),     three_way(b->restarts, a->restarts),
        three_way(b->created_ns, a->created_ns),
    };
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (order[i])
            return order[i];
    return sv_cmp(a->pod ? a->pod->name : SV_NULL, b->pod ? b->pod->name : SV_NULL);
}

static int compare(const void *a, const void *b)
{
    return pod_rank_cmp(a, b);
}

void pod_rank_sort(PodRank *ranks, size_t n)
{
    if (n > 1)
        qsort(ranks, n, sizeof *ranks, compare);
}
