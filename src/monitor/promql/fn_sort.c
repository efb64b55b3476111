/* fn_sort.c - sort(), sort_desc(), sort_by_label(): the order of an instant query's result. Over a
 * range results are ordered by labels anyway. Also numbers in order, for quantiles. */
#include <string.h>

#include "monitor/promql/fn.h"

static int compare_nan_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

void sort_doubles_nan_first(double *v, size_t n)
{
    enum { INSERTION_MAX = 32 };
    if (n > INSERTION_MAX) {
        qsort(v, n, sizeof *v, compare_nan_first);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        double x = v[i];
        size_t j = i;
        for (; j && compare_nan_first(&x, &v[j - 1]) < 0; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

double quantile_sorted(double q, const double *v, size_t n)
{
    if (!n || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    double rank = q * (double)(n - 1), weight = rank - floor(rank);
    size_t lower = (size_t)floor(rank), upper = MIN(lower + 1, n - 1);
    return v[lower] * (1 - weight) + v[upper] * weight;
}

typedef struct SortKey {
    const Column *c;
    const Node *call;
    size_t at; /* equal ones keep their order */
} SortKey;

/* NaN goes to the end, up or down. */
static int by_value(const void *pa, const void *pb)
{
    const SortKey *a = pa, *b = pb;
    double x = a->c->v[0], y = b->c->v[0];
    int r = (x > y) - (x < y);
    if (isnan(x) || isnan(y))
        r = isnan(x) - isnan(y);
    else if (a->call->fn->id == FN_SORT_DESC)
        r = -r;
    return r ? r : (a->at > b->at) - (a->at < b->at);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(StrView s)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n;
}

/* Numbers inside the text compare by value: "node-2" comes before "node-10". */
static int natural_cmp(StrView a, StrView b)
{
    while (a.len && b.len) {
        size_t na = digits(a), nb = digits(b);
        if (na && nb) {
            StrView x = sv_head(a, na), y = sv_head(b, nb);
            while (x.len > 1 && x.ptr[0] == '0')
                x = sv_skip(x, 1);
            while (y.len > 1 && y.ptr[0] == '0')
                y = sv_skip(y, 1);
            if (x.len != y.len)
                return x.len < y.len ? -1 : 1;
            int r = sv_cmp(x, y);
            if (r)
                return r;
            a = sv_skip(a, na);
            b = sv_skip(b, nb);
            continue;
        }
        if (a.ptr[0] != b.ptr[0])
            return (unsigned char)a.ptr[0] < (unsigned char)b.ptr[0] ? -1 : 1;
        a = sv_skip(a, 1);
        b = sv_skip(b, 1);
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int by_label(const void *pa, const void *pb)
{
    const SortKey *a = pa, *b = pb;
    int r = 0;
    for (unsigned i = 1; !r && i < a->call->n_args; i++)
        r = natural_cmp(labels_get(a->c->labels, a->call->args[i]->string),
                        labels_get(b->c->labels, a->call->args[i]->string));
    if (!r)
        r = labels_cmp(a->c->labels, b->c->labels);
    return a->call->fn->id == FN_SORT_BY_LABEL_DESC ? -r : r;
}

int eval_sort(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    bool label = call->fn->id == FN_SORT_BY_LABEL || call->fn->id == FN_SORT_BY_LABEL_DESC;
    Stream *child;
    Matrix all, sorted = { 0 };
    int r = eval_stream(ev, call->args[0], steps, &child);
    if (r < 0)
        return r;
    if (steps->n > 1)
        annotate_warning(&ev->annos, call->start,
                         "sort is ineffective for range queries since results are always ordered "
                         "by labels");
    r = matrix_collect(child, &all);
    SortKey *keys = arena_array(ev->arena, SortKey, all.len + 1);
    size_t n = 0;
    if (r < 0 || !keys)
        return r < 0 ? r : eval_nomem(ev);
    for (size_t i = 0; i < all.len; i++) {
        Column *c = &all.cols[i];
        /* Values sort floats only. */
        for (unsigned k = 0; !label && k < steps->n; k++)
            if (c->kind[k] == SAMPLE_HISTOGRAM)
                c->kind[k] = SAMPLE_NONE;
        if (!column_is_empty(c, steps->n))
            keys[n++] = (SortKey){ c, call, i };
    }
    if (steps->n == 1)
        qsort(keys, n, sizeof *keys, label ? by_label : by_value);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = matrix_push(ev, &sorted, keys[i].c);
    return r < 0 ? r : matrix_stream(ev, &sorted, steps, ret);
}
