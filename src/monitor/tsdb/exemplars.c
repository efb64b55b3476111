/* exemplars.c - see exemplars.h. A slot holds one exemplar and leads to the next of its series; the
 * oldest slot is taken when a new one is needed. */
#include <pthread.h>

#include "base/map.h"
#include "monitor/tsdb/exemplars.h"

typedef struct Line Line;

typedef struct Slot {
    Line *line; /* NULL: free */
    size_t next;
    Exemplar e; /* its labels live in `arena` */
    Arena arena;
} Slot;

/* The exemplars of one series. */
struct Line {
    Labels labels;
    Arena arena;
    size_t oldest, newest, len;
};

struct Exemplars {
    pthread_mutex_t lock;
    Slot *slots;
    size_t max, next, len;
    Map lines; /* text of the labels → Line */
    uint64_t appended, out_of_order;
};

int exemplars_new(size_t max, Exemplars **ret, Err *err)
{
    Exemplars *x = calloc(1, sizeof *x);
    if (x && max && !(x->slots = calloc(max, sizeof *x->slots))) {
        free(x);
        x = NULL;
    }
    if (!x)
        return err_nomem(err);
    x->max = max;
    pthread_mutex_init(&x->lock, NULL);
    *ret = x;
    return 0;
}

static void line_drop(Exemplars *x, Line *l)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    labels_format(l->labels, &key);
    map_del(&x->lines, buf_view(&key));
    arena_free(&l->arena);
    free(l);
}

Exemplars *exemplars_free(Exemplars *x)
{
    StrView key;
    void *line;
    if (!x)
        return NULL;
    for (size_t i = 0; i < x->max; i++)
        arena_free(&x->slots[i].arena);
    for (size_t i = 0; map_next(&x->lines, &i, &key, &line);) {
        arena_free(&((Line *)line)->arena);
        free(line);
    }
    map_free(&x->lines);
    free(x->slots);
    pthread_mutex_destroy(&x->lock);
    free(x);
    return NULL;
}

static AppendResult check(const Exemplars *x, const Line *l, const Exemplar *e)
{
    if (!l || !l->len)
        return APPEND_OK;
    const Exemplar *last = &x->slots[l->newest].e;
    if (last->t == e->t && double_bits(last->value) == double_bits(e->value) &&
        labels_eq(last->labels, e->labels))
        return APPEND_DUPLICATE;
    return e->t < last->t ? APPEND_OUT_OF_ORDER : APPEND_OK;
}

static Line *line_of(Exemplars *x, Labels series, bool make)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    labels_format(series, &key);
    Line *l = key.failed ? NULL : map_get(&x->lines, buf_view(&key));
    if (l || !make || key.failed)
        return l;
    if (!(l = calloc(1, sizeof *l)))
        return NULL;
    arena_init(&l->arena, 0);
    if (!labels_copy(series, &l->arena, &l->labels) ||
        !map_set(&x->lines, buf_view(&key), l, NULL)) {
        arena_free(&l->arena);
        free(l);
        return NULL;
    }
    return l;
}

/* Takes the oldest slot of all; its series loses its oldest exemplar. */
static void evict(Exemplars *x, Slot *s)
{
    Line *l = s->line;
    if (!l)
        return;
    l->oldest = s->next;
    s->line = NULL;
    x->len--;
    if (--l->len == 0)
        line_drop(x, l);
}

static AppendResult put(Exemplars *x, Line *l, const Exemplar *e)
{
    Slot *s = &x->slots[x->next];
    size_t at = x->next;
    bool alone = s->line == l && l->len == 1; /* it would go with its last exemplar */
    if (!alone)
        evict(x, s);
    arena_reset(&s->arena);
    s->e = *e;
    if (!labels_copy(e->labels, &s->arena, &s->e.labels))
        return APPEND_FAILED;
    if (alone)
        return APPEND_OK;
    if (l->len)
        x->slots[l->newest].next = at;
    else
        l->oldest = at;
    l->newest = at;
    l->len++;
    s->line = l;
    x->len++;
    return APPEND_OK;
}

AppendResult exemplars_check(Exemplars *x, Labels series, const Exemplar *e)
{
    pthread_mutex_lock(&x->lock);
    AppendResult r = x->max ? check(x, line_of(x, series, false), e) : APPEND_OK;
    x->out_of_order += r == APPEND_OUT_OF_ORDER;
    pthread_mutex_unlock(&x->lock);
    return r;
}

AppendResult exemplars_add(Exemplars *x, Labels series, const Exemplar *e)
{
    if (!x->max)
        return APPEND_OK;
    pthread_mutex_lock(&x->lock);
    Line *l = line_of(x, series, true);
    AppendResult r = l ? check(x, l, e) : APPEND_FAILED;
    if (r == APPEND_OK && (r = put(x, l, e)) == APPEND_OK)
        x->next = (x->next + 1) % x->max;
    x->appended += r == APPEND_OK;
    if (l && !l->len)
        line_drop(x, l);
    pthread_mutex_unlock(&x->lock);
    return r;
}

static bool matches(Labels l, const MatcherSet *sets, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bool all = true;
        for (unsigned k = 0; all && k < sets[i].len; k++)
            all = matcher_matches(&sets[i].items[k], labels_get(l, sets[i].items[k].name));
        if (all)
            return true;
    }
    return false;
}

static bool take_line(const Exemplars *x, const Line *l, int64_t start, int64_t end, Arena *a,
                      ExemplarSeries *ret)
{
    Exemplar *items = arena_array(a, Exemplar, l->len);
    size_t at = l->oldest;
    *ret = (ExemplarSeries){ .items = items };
    for (size_t i = 0; items && i < l->len; i++, at = x->slots[at].next) {
        const Exemplar *e = &x->slots[at].e;
        if (e->t < start || e->t > end)
            continue;
        items[ret->len] = *e;
        if (!labels_copy(e->labels, a, &items[ret->len++].labels))
            return false;
    }
    return items && labels_copy(l->labels, a, &ret->labels);
}

static int by_labels(const void *x, const void *y)
{
    return labels_cmp(((const ExemplarSeries *)x)->labels, ((const ExemplarSeries *)y)->labels);
}

int exemplars_query(Exemplars *x, int64_t start, int64_t end, const MatcherSet *sets,
                    unsigned n_sets, Arena *a, ExemplarSeries **ret, size_t *ret_n, Err *err)
{
    StrView key;
    void *line;
    bool ok = true;
    size_t n = 0;
    pthread_mutex_lock(&x->lock);
    ExemplarSeries *list = arena_array(a, ExemplarSeries, x->lines.len ? x->lines.len : 1);
    for (size_t i = 0; list && ok && map_next(&x->lines, &i, &key, &line);) {
        const Line *l = line;
        if (!matches(l->labels, sets, n_sets))
            continue;
        ok = take_line(x, l, start, end, a, &list[n]);
        n += ok && list[n].len;
    }
    pthread_mutex_unlock(&x->lock);
    if (!list || !ok)
        return err_nomem(err);
    qsort(list, n, sizeof *list, by_labels);
    *ret = list;
    *ret_n = n;
    return 0;
}

void exemplars_count(Exemplars *x, TsdbStats *ret)
{
    pthread_mutex_lock(&x->lock);
    ret->exemplars = x->len;
    ret->exemplars_max = x->max;
    ret->exemplars_appended = x->appended;
    ret->exemplars_out_of_order = x->out_of_order;
    ret->exemplar_series = x->lines.len;
    /* The next slot holds the oldest one, or the ring is not full yet. */
    if (x->len) {
        const Slot *oldest = x->slots[x->next].line ? &x->slots[x->next] : &x->slots[0];
        ret->exemplar_oldest = oldest->e.t;
    }
    pthread_mutex_unlock(&x->lock);
}
