/* step_stats.h - how many samples an evaluation looks at, in all and at each step, as Prometheus'
 * util/stats counts them. Private to promql/.
 *
 * Counters travel with the Steps of an evaluation. A subquery and an expression that is the same at
 * all steps have Steps, and so counters, of their own; step_stats_finish() adds them to those of
 * the expression around them. All functions take NULL: nothing is counted. */
#pragma once

#include "base/arena.h"
#include "monitor/model/histogram.h"

typedef enum StepStatsKind {
    STEP_STATS_QUERY,
    STEP_STATS_SUBQUERY,  /* argument of a function, which counts its windows itself */
    STEP_STATS_RESULT,    /* a subquery that is the query's result */
    STEP_STATS_INVARIANT, /* one step that stands for all */
} StepStatsKind;

typedef struct StepStats {
    StepStatsKind kind;
    int64_t start, step, offset, range;
    unsigned n;
    uint64_t *scanned_at, *read_at; /* of each step */
    uint64_t scanned; /* what functions were given: a sample counts in each window that it is in */
    uint64_t read;    /* what came from storage */
    struct StepStats *parent, *link;
} StepStats;

/* Counters of n steps in the arena, in front of *list. False: no memory. */
bool step_stats_new(StepStats **list, Arena *a, const StepStats *what, StepStats **ret);
static inline void step_stats_scan(StepStats *s, unsigned step, uint64_t n)
{
    if (s) {
        s->scanned += n;
        s->scanned_at[step] += n;
    }
}
static inline void step_stats_read(StepStats *s, unsigned step, uint64_t n)
{
    if (s) {
        s->read += n;
        s->read_at[step] += n;
    }
}
/* Everything has been evaluated: those of inner evaluations go to the outer ones. */
void step_stats_finish(StepStats *list);
