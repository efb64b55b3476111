/* preempt.h - which pods have to go so that one of higher priority can run. No I/O. */
#pragma once

#include "scheduler/decide.h"

/* A PodDisruptionBudget. */
typedef struct Budget {
    StrView ns;
    Selector pods;
    int64_t allowed; /* status.disruptionsAllowed */
    Arena arena;
} Budget;
Budget *budget_new(const Value *pdb); /* NULL: memory is exhausted */
Budget *budget_free(Budget *b);

typedef struct Preemption {
    SchedNode *node; /* NULL: it does not help */
    SchedPod **victims;
    size_t n_victims;
    unsigned violations; /* victims whose budget is used up */
    bool waits;          /* no node: an earlier nomination is to be kept */
} Preemption;

/* For a pod that fits nowhere, by `d`. Chooses the node where budgets, priorities and numbers of
 * victims suffer least, as kube-scheduler does. `text` gets "preemption: 0/3 nodes are available:
 * …" when there is none. False: memory is exhausted. */
bool preempt_plan(Cluster *c, SchedPod *pod, const Decision *d, Budget *const *budgets,
                  size_t n_budgets, Arena *a, Preemption *ret, Buf *text);
