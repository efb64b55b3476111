/* fn_rate_floats.c - rate, increase and delta of a series of floats for all steps at once.
 *
 * The same arithmetic as rate_of_floats() and extrapolation() in fn_rate.c, in two passes over some
 * steps at a time: one that finds the windows, and one over plain arrays that the compiler turns
 * into vector instructions. It is where most range queries spend their time. */
#include "monitor/promql/fn.h"
#include "monitor/promql/vector.h"

#define EXTRAPOLATION_SLACK 1.1

enum { BLOCK = 256 };

typedef struct Windows { /* of the steps of a block; times in ms */
    double to_start[BLOCK], to_end[BLOCK], sampled[BLOCK], gaps[BLOCK], first[BLOCK],
        increase[BLOCK], rate[BLOCK];
    uint16_t step[BLOCK]; /* of those that have two samples or more: number in the block */
    unsigned n;
} Windows;

typedef struct Slide {
    size_t lo, hi, reset;
} Slide;

/* Adds what the counter had reached before each reset inside the window. */
static double add_resets(const RangeCall *c, const RangeSeries *r, Slide *p, double v)
{
    while (p->reset < c->n_resets && c->resets[p->reset] <= p->lo)
        p->reset++;
    for (size_t i = p->reset; i < c->n_resets && c->resets[i] < p->hi; i++)
        v += r->fv[c->resets[i] - 1];
    return v;
}

static void find_windows(const RangeCall *c, const RangeSeries *r, unsigned from, unsigned n,
                         Slide *p, bool counter, Windows *w)
{
    const Modifiers *m = &c->arg->mod;
    size_t lo = p->lo, hi = p->hi;
    w->n = 0;
    for (unsigned i = 0; i < n; i++) {
        int64_t end = modifiers_time(m, step_time(&c->steps, from + i)), start = end - m->range;
        while (hi < r->nf && r->ft[hi] <= end)
            hi++;
        while (lo < hi && r->ft[lo] <= start)
            lo++;
        if (hi - lo < 2)
            continue;
        unsigned k = w->n++;
        w->step[k] = (uint16_t)i;
        w->to_start[k] = (double)(r->ft[lo] - start);
        w->to_end[k] = (double)(end - r->ft[hi - 1]);
        w->sampled[k] = (double)(r->ft[hi - 1] - r->ft[lo]);
        w->gaps[k] = (double)(hi - lo - 1);
        w->first[k] = r->fv[lo];
        w->increase[k] = r->fv[hi - 1] - r->fv[lo];
        p->lo = lo;
        p->hi = hi;
        if (counter && c->n_resets)
            w->increase[k] = add_resets(c, r, p, w->increase[k]);
    }
    p->lo = lo;
    p->hi = hi;
}

VECTORS static void extrapolate(Windows *restrict w, bool counter, double seconds)
{
    for (unsigned i = 0; i < w->n; i++) {
        double sampled = w->sampled[i] / 1000, average = sampled / w->gaps[i];
        double threshold = average * EXTRAPOLATION_SLACK, half = average / 2;
        double to_start = w->to_start[i] / 1000, to_end = w->to_end[i] / 1000;
        /* A counter cannot have been below zero. */
        double since_zero = sampled * (w->first[i] / w->increase[i]);
        bool bounded = counter & (w->increase[i] > 0) & (w->first[i] >= 0);
        to_start = to_start >= threshold ? half : to_start;
        to_start = bounded & (since_zero < to_start) ? since_zero : to_start;
        to_end = to_end >= threshold ? half : to_end;
        double factor = (sampled + to_start + to_end) / sampled;
        factor = sampled != 0 ? factor : 1;
        w->rate[i] = w->increase[i] * (factor / seconds);
    }
}

int rate_of_all_floats(RangeCall *c, const RangeSeries *r, bool counter, bool per_second,
                       Column *col)
{
    Windows w;
    Slide p = { 0 };
    /* Dividing by one changes nothing: increase() and delta() are over the whole range. */
    double seconds = per_second ? (double)c->arg->mod.range / 1000 : 1;
    bool found = false;
    memset(col->kind, SAMPLE_NONE, c->steps.n);
    for (unsigned from = 0; from < c->steps.n; from += BLOCK) {
        unsigned n = MIN((unsigned)BLOCK, c->steps.n - from);
        find_windows(c, r, from, n, &p, counter, &w);
        extrapolate(&w, counter, seconds);
        for (unsigned k = 0; k < w.n; k++) {
            col->v[from + w.step[k]] = w.rate[k];
            col->kind[from + w.step[k]] = SAMPLE_FLOAT;
        }
        found |= w.n > 0;
        int err = eval_check(c->ev);
        if (err < 0)
            return err;
    }
    return found;
}
