/* agg.h - what the files of aggregations share: groups by labels. */
#pragma once

#include "monitor/promql/eval.h"

typedef struct AggGroups {
    Eval *ev;
    const StrView *names; /* sorted */
    unsigned n_names;
    bool without;
    size_t size; /* of one group; it starts with its AggGroup */
    void **items;
    size_t len, cap;
    uint32_t *slots;
    size_t n_slots;
} AggGroups;

typedef struct AggGroup {
    Labels labels;
    uint64_t hash;
    bool drop_name;
} AggGroup;

int agg_groups_init(AggGroups *g, Eval *ev, const Node *n, size_t size);
/* The group of a series; *ret_new: it has just been made. */
int agg_group_of(AggGroups *g, Labels l, AggGroup **ret, bool *ret_new);

typedef struct AggFloats { /* of the steps of a group; NULL where the operator has none */
    double *v;             /* value */
    double *c;             /* compensation of it, or mean */
    double *n;             /* count */
} AggFloats;
/* Adds the steps from … to-1 of a column to a group, both having a float at each; false: not for
 * this operator, nothing was done. */
bool agg_add_all_floats(Tok op, const AggFloats *g, const double *v, unsigned from, unsigned to);

/* One file each; all have evaluated nothing yet. */
int agg_pick(Eval *ev, Node *n, const Steps *steps, Stream **ret); /* topk … limit_ratio */
int agg_quantile(Eval *ev, Node *n, const Steps *steps, Stream **ret);
int agg_count_values(Eval *ev, Node *n, const Steps *steps, Stream **ret);
void agg_ignore_histogram(Eval *ev, unsigned pos, Tok op);
