/* cols.c - see cols.h. */
#include "monitor/tsdb/cols.h"

bool intervals_add(Intervals *v, int64_t start, int64_t end)
{
    size_t first = 0, last;
    while (first < v->len && v->items[first].end < start - (start != INT64_MIN))
        first++;
    for (last = first; last < v->len && v->items[last].start <= end + (end != INT64_MAX); last++) {
        start = MIN(start, v->items[last].start);
        end = MAX(end, v->items[last].end);
    }
    if (first == last && v->len == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 4;
        Interval *p = realloc(v->items, cap * sizeof *p);
        if (!p)
            return false;
        v->items = p;
        v->cap = cap;
    }
    /* One takes the place of all that it touches. */
    memmove(v->items + first + 1, v->items + last, (v->len - last) * sizeof *v->items);
    v->len = v->len - (last - first) + 1;
    v->items[first] = (Interval){ start, end };
    return true;
}

static void move_sample(SampleCols *c, size_t to, size_t from)
{
    c->t[to] = c->t[from];
    c->v[to] = c->v[from];
    if (c->h)
        c->h[to] = c->h[from];
    if (c->st)
        c->st[to] = c->st[from];
}

void intervals_cut(const Intervals *v, SampleCols *c, size_t from)
{
    size_t kept = from, at = 0;
    if (!v || !v->len)
        return;
    for (size_t i = from; i < c->len; i++) {
        while (at < v->len && v->items[at].end < c->t[i])
            at++;
        if (at < v->len && v->items[at].start <= c->t[i])
            continue;
        if (kept != i)
            move_sample(c, kept, i);
        kept++;
    }
    c->len = kept;
}

/* A sample whose histogram lives in the columns' arena already. */
static bool push_own(SampleCols *c, int64_t t, double v, const Histogram *h)
{
    if (!sample_cols_float(c, t, v))
        return false;
    if (c->h)
        c->h[c->len - 1] = h;
    return true;
}

static bool push_copy(SampleCols *c, const SampleCols *from, size_t i)
{
    const Histogram *h = from->h ? from->h[i] : NULL;
    if (h)
        return sample_cols_histogram(c, from->t[i], h);
    return push_own(c, from->t[i], from->v[i], NULL);
}

bool cols_merge(SampleCols *to, size_t from, const SampleCols *with, int64_t start, int64_t end)
{
    size_t n = to->len - from, a = 0, b = 0;
    while (b < with->len && with->t[b] < start)
        b++;
    int64_t *t = malloc((n + 1) * sizeof *t);
    double *v = malloc((n + 1) * sizeof *v);
    const Histogram **h = to->h ? malloc((n + 1) * sizeof *h) : NULL;
    bool ok = t && v && (h || !to->h);
    if (ok && n) {
        memcpy(t, to->t + from, n * sizeof *t);
        memcpy(v, to->v + from, n * sizeof *v);
        if (h)
            memcpy(h, to->h + from, n * sizeof *h);
    }
    to->len = ok ? from : to->len;
    while (ok && (a < n || (b < with->len && with->t[b] <= end))) {
        bool more = b < with->len && with->t[b] <= end;
        if (a < n && (!more || t[a] <= with->t[b])) {
            b += more && t[a] == with->t[b];
            ok = push_own(to, t[a], v[a], h ? h[a] : NULL);
            a++;
        } else {
            ok = push_copy(to, with, b++);
        }
    }
    free(t);
    free(v);
    free(h);
    return ok;
}
