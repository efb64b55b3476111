/* agg_floats.c - sum, min, max and count where every step has a float on both sides, which is what
 * nearly all aggregations are made of: loops without a branch, for vector instructions. */
#include "monitor/promql/agg.h"
#include "monitor/promql/vector.h"

/* kahan_add() of number.h with selections in the place of its branches. */
VECTORS static void sum(double *restrict sums, double *restrict rest, const double *restrict v,
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        double s = sums[i], x = v[i], t = s + x;
        double large = fabs(s) >= fabs(x) ? s : x, small = fabs(s) >= fabs(x) ? x : s;
        double c = rest[i] + ((large - t) + small);
        rest[i] = fabs(t) == INFINITY ? 0 : c;
        sums[i] = t;
    }
}

static void least(double *restrict have, const double *restrict v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        have[i] = (have[i] > v[i]) | (have[i] != have[i]) ? v[i] : have[i];
}

static void greatest(double *restrict have, const double *restrict v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        have[i] = (have[i] < v[i]) | (have[i] != have[i]) ? v[i] : have[i];
}

static void count(double *restrict have, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        have[i]++;
}

bool agg_add_all_floats(Tok op, const AggFloats *g, const double *v, unsigned from, unsigned to)
{
    unsigned n = to - from;
    v += from;
    switch (op) {
    case TOK_SUM:
        sum(g->v + from, g->c + from, v, n);
        return true;
    case TOK_MIN:
        least(g->v + from, v, n);
        return true;
    case TOK_MAX:
        greatest(g->v + from, v, n);
        return true;
    case TOK_COUNT:
        count(g->n + from, n);
        return true;
    default:
        return false;
    }
}
