/* step_stats.c - see step_stats.h. */
#include "monitor/promql/step_stats.h"

bool step_stats_new(StepStats **list, Arena *a, const StepStats *what, StepStats **ret)
{
    StepStats *s = arena_new(a, StepStats);
    if (!s)
        return false;
    *s = *what;
    s->scanned_at = arena_array(a, uint64_t, s->n + 1u);
    s->read_at = arena_array(a, uint64_t, s->n + 1u);
    if (!s->scanned_at || !s->read_at)
        return false;
    s->link = *list;
    *list = *ret = s;
    return true;
}

/* Each step's samples go to the first outer step that is not before it; what lies between the
 * windows of the outer steps was read for nothing and does not count. */
static void merge_read(StepStats *to, const StepStats *from)
{
    if (to->n <= 1) {
        step_stats_read(to, 0, from->read);
        return;
    }
    for (unsigned k = 0; k < from->n; k++) {
        int64_t t = from->start + (int64_t)k * from->step + from->offset, outer = 0;
        if (t > to->start)
            outer = (t - to->start + to->step - 1) / to->step;
        outer = MIN(outer, (int64_t)to->n - 1);
        if (t > to->start + outer * to->step - from->range)
            step_stats_read(to, (unsigned)outer, from->read_at[k]);
    }
}

static void merge(StepStats *to, const StepStats *from)
{
    switch (from->kind) {
    case STEP_STATS_INVARIANT:
        for (unsigned i = 0; i < to->n; i++)
            step_stats_scan(to, i, from->scanned);
        step_stats_read(to, 0, from->read);
        return;
    case STEP_STATS_RESULT:
        step_stats_scan(to, to->n - 1, from->scanned);
        merge_read(to, from);
        return;
    default:
        merge_read(to, from);
    }
}

/* Inner ones were made after the outer ones, and so are in front of them. */
void step_stats_finish(StepStats *list)
{
    for (StepStats *s = list; s; s = s->link)
        if (s->parent)
            merge(s->parent, s);
}
