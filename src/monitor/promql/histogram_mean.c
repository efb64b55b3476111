/* histogram_mean.c - see histogram_mean.h. */
#include "monitor/promql/histogram_mean.h"

#include <string.h>

void histogram_mean_free(HistogramMean *m)
{
    if (!m)
        return;
    histogram_acc_free(&m->acc);
    histogram_acc_free(&m->trial);
}

static void see_hint(HistogramMean *m, HistogramHint hint)
{
    m->reset_seen |= hint == HINT_COUNTER_RESET;
    m->no_reset_seen |= hint == HINT_NO_COUNTER_RESET;
}

void histogram_mean_start(HistogramMean *m, const Histogram *h)
{
    m->acc.compensate = true;
    m->running = m->reset_seen = m->no_reset_seen = false;
    m->count = 1;
    histogram_acc_set(&m->acc, h);
    see_hint(m, h->hint);
}

unsigned histogram_mean_sum(HistogramMean *m, const Histogram *h)
{
    see_hint(m, h->hint);
    m->count++;
    return histogram_acc_add(&m->acc, h, false);
}

static bool side_overflows(const HistogramSide *s)
{
    for (unsigned i = 0; i < s->len; i++)
        if (isinf(s->count[i]))
            return true;
    return false;
}

static bool overflows(const HistogramAcc *a)
{
    return isinf(a->zero_count) || isinf(a->count) || isinf(a->sum) || side_overflows(&a->pos) ||
           side_overflows(&a->neg);
}

/* Could adding `h` overflow? Cheap to say no to: then the sum needs no second try. */
static bool may_overflow(const HistogramAcc *a, const Histogram *h)
{
    double most = fabs(a->count) + fabs(a->sum) + fabs(a->zero_count) + fabs(h->count) +
                  fabs(h->sum) + fabs(h->zero_count);
    for (unsigned i = 0; i < h->n_pos; i++)
        most += fabs(h->pos[i]);
    for (unsigned i = 0; i < h->n_neg; i++)
        most += fabs(h->neg[i]);
    return !(most < 1e300);
}

static bool acc_copy(HistogramAcc *dst, HistogramAcc *src, Arena *scratch)
{
    /* Compensation is lost, which is of no weight next to an overflow. */
    Histogram *h = histogram_acc_take(src, scratch);
    if (!h)
        return false;
    dst->compensate = true;
    histogram_acc_set(dst, h);
    return !dst->failed;
}

unsigned histogram_mean_add(HistogramMean *m, const Histogram *h, Arena *scratch)
{
    see_hint(m, h->hint);
    m->count++;
    if (!m->running) {
        if (!may_overflow(&m->acc, h))
            return histogram_acc_add(&m->acc, h, false);
        if (!acc_copy(&m->trial, &m->acc, scratch)) {
            m->acc.failed = true;
            return 0;
        }
        unsigned flags = histogram_acc_add(&m->acc, h, false);
        if ((flags & HISTOGRAM_ADD_MIXED) || !overflows(&m->acc))
            return flags;
        HistogramAcc old = m->acc;
        m->acc = m->trial;
        m->trial = old;
        m->running = true;
        histogram_acc_div(&m->acc, m->count - 1);
    }
    m->trial.compensate = false;
    histogram_acc_set(&m->trial, h);
    histogram_acc_div(&m->trial, m->count);
    Histogram *part = histogram_acc_take(&m->trial, scratch);
    if (!part) {
        m->acc.failed = true;
        return 0;
    }
    histogram_acc_mul(&m->acc, (m->count - 1) / m->count);
    return histogram_acc_add(&m->acc, part, false);
}

Histogram *histogram_mean_take(HistogramMean *m, bool mean, Arena *a)
{
    if (mean && !m->running)
        histogram_acc_div(&m->acc, m->count);
    return histogram_acc_take(&m->acc, a);
}
