/* memory.c - see memory.h. */
#include "monitor/promqltest/memory.h"

#include <string.h>

struct MemorySeries {
    Labels labels;
    uint64_t hash;
    int64_t *t, *st; /* st and h are NULL while no sample has one */
    double *v;
    const Histogram **h;
    size_t len, cap;
    const Histogram *run; /* the last of a run of counter histograms, else NULL */
};

struct Memory {
    Querier querier;
    Arena arena;
    MemorySeries **series;
    size_t len, cap;
    uint32_t *slots;
    size_t n_slots;
};

struct SeriesSet {
    Memory *memory;
    const Matcher *ms;
    unsigned n_ms;
    int64_t start, end;
    size_t at;
};

static bool series_matches(const MemorySeries *s, const Matcher *ms, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!matcher_matches(&ms[i], labels_get(s->labels, ms[i].name)))
            return false;
    return true;
}

static int memory_select(Querier *q, const SelectHints *h, const Matcher *ms, unsigned n_ms,
                         SeriesSet **ret, Err *err)
{
    SeriesSet *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    *s = (SeriesSet){ (Memory *)q, ms, n_ms, h->start, h->end, 0 };
    *ret = s;
    return 0;
}

static size_t first_at(const MemorySeries *s, int64_t t)
{
    size_t lo = 0, hi = s->len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->t[mid] < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool fill(const MemorySeries *s, size_t lo, size_t hi, SampleCols *cols)
{
    if (!s->h && !s->st) {
        if (!sample_cols_reserve(cols, hi - lo))
            return false;
        memcpy(cols->t, s->t + lo, (hi - lo) * sizeof *s->t);
        memcpy(cols->v, s->v + lo, (hi - lo) * sizeof *s->v);
        cols->len = hi - lo;
        return true;
    }
    for (size_t i = lo; i < hi; i++) {
        bool ok = s->h && s->h[i] ? sample_cols_histogram(cols, s->t[i], s->h[i])
                                  : sample_cols_float(cols, s->t[i], s->v[i]);
        if (!ok || (s->st && s->st[i] && !sample_cols_start(cols, s->st[i])))
            return false;
    }
    return true;
}

static int memory_next(SeriesSet *set, Labels *ret_labels, SampleCols *cols, Err *err)
{
    Memory *m = set->memory;
    while (set->at < m->len) {
        const MemorySeries *s = m->series[set->at++];
        if (!s->len || s->t[0] > set->end || s->t[s->len - 1] < set->start ||
            !series_matches(s, set->ms, set->n_ms))
            continue;
        size_t lo = first_at(s, set->start), hi = first_at(s, set->end + 1);
        if (lo == hi)
            continue;
        *ret_labels = s->labels;
        if (!cols)
            return 1;
        sample_cols_clear(cols);
        return fill(s, lo, hi, cols) ? 1 : err_nomem(err);
    }
    return 0;
}

static SeriesSet *memory_set_free(SeriesSet *set)
{
    free(set);
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

/* Sorted, each once. */
static void unique(StrView *v, size_t *n)
{
    size_t out = 0;
    qsort(v, *n, sizeof *v, by_text);
    for (size_t i = 0; i < *n; i++)
        if (!out || !sv_eq(v[out - 1], v[i]))
            v[out++] = v[i];
    *n = out;
}

/* All names, or all values of `name`, of series that match and have a sample in the range. */
static int gather(Querier *q, const StrView *name, int64_t start, int64_t end, const Matcher *ms,
                  unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    Memory *m = (Memory *)q;
    size_t n = 0, most = 0;
    for (size_t i = 0; i < m->len; i++)
        most += m->series[i]->labels.len;
    StrView *v = arena_array(a, StrView, most + 1);
    if (!v)
        return err_nomem(err);
    for (size_t i = 0; i < m->len; i++) {
        const MemorySeries *s = m->series[i];
        if (first_at(s, start) == first_at(s, end + 1) || !series_matches(s, ms, n_ms))
            continue;
        for (unsigned k = 0; k < s->labels.len; k++) {
            const Label *l = &s->labels.items[k];
            if (!name)
                v[n++] = l->name;
            else if (sv_eq(*name, l->name))
                v[n++] = l->value;
        }
    }
    unique(v, &n);
    *ret = v;
    *ret_n = n;
    return 0;
}

static int memory_label_names(Querier *q, int64_t start, int64_t end, const Matcher *ms,
                              unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    return gather(q, NULL, start, end, ms, n_ms, a, ret, ret_n, err);
}

static int memory_label_values(Querier *q, StrView name, int64_t start, int64_t end,
                               const Matcher *ms, unsigned n_ms, Arena *a, StrView **ret,
                               size_t *ret_n, Err *err)
{
    return gather(q, &name, start, end, ms, n_ms, a, ret, ret_n, err);
}

static const QuerierOps memory_ops = { memory_select, memory_next, memory_set_free,
                                       memory_label_names, memory_label_values };

Memory *memory_new(void)
{
    Memory *m = calloc(1, sizeof *m);
    if (m) {
        m->querier.ops = &memory_ops;
        arena_init(&m->arena, 0);
    }
    return m;
}

void memory_clear(Memory *m)
{
    for (size_t i = 0; i < m->len; i++) {
        free(m->series[i]->t);
        free(m->series[i]->v);
        free(m->series[i]->st);
        free(m->series[i]->h);
    }
    free(m->series);
    free(m->slots);
    arena_free(&m->arena);
    *m = (Memory){ .querier = m->querier };
    arena_init(&m->arena, 0);
}

Memory *memory_free(Memory *m)
{
    if (m)
        memory_clear(m);
    free(m);
    return NULL;
}

Querier *memory_querier(Memory *m)
{
    return &m->querier;
}

static bool grow(Memory *m)
{
    size_t cap = m->cap ? m->cap * 2 : 64, n_slots = cap * 2;
    MemorySeries **series = realloc(m->series, cap * sizeof *series);
    if (series)
        m->series = series;
    uint32_t *slots = series ? calloc(n_slots, sizeof *slots) : NULL;
    if (!slots)
        return false;
    for (size_t i = 0; i < m->len; i++) {
        size_t at = m->series[i]->hash & (n_slots - 1);
        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    m->cap = cap;
    return true;
}

MemorySeries *memory_series(Memory *m, Labels l)
{
    if (m->len == m->cap && !grow(m))
        return NULL;
    uint64_t hash = labels_hash(l);
    size_t at = hash & (m->n_slots - 1);
    for (; m->slots[at]; at = (at + 1) & (m->n_slots - 1)) {
        MemorySeries *s = m->series[m->slots[at] - 1];
        if (s->hash == hash && labels_eq(s->labels, l))
            return s;
    }
    MemorySeries *s = arena_new(&m->arena, MemorySeries);
    if (!s || !labels_copy(l, &m->arena, &s->labels))
        return NULL;
    s->hash = hash;
    m->series[m->len++] = s;
    m->slots[at] = (uint32_t)m->len;
    return s;
}

static bool grow_column(void *col, size_t cap)
{
    void *grown = realloc(*(void **)col, cap * 8);
    if (grown)
        *(void **)col = grown;
    return grown != NULL;
}

/* A column of which earlier samples have nothing. */
static bool start_column(MemorySeries *s, void *col)
{
    if (!*(void **)col)
        *(void **)col = calloc(s->cap, 8);
    return *(void **)col != NULL;
}

static bool reserve(MemorySeries *s, bool histogram, bool start)
{
    if (s->len == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        if (!grow_column(&s->t, cap) || !grow_column(&s->v, cap) ||
            (s->st && !grow_column(&s->st, cap)) || (s->h && !grow_column(&s->h, cap)))
            return false;
        s->cap = cap;
    }
    return (!histogram || start_column(s, &s->h)) && (!start || start_column(s, &s->st));
}

/* Would a chunk that ends with `prev` take `h` without a break? */
static bool continues(const Histogram *prev, const Histogram *h)
{
    Histogram unhinted = *h;
    unhinted.hint = HINT_UNKNOWN;
    return h->hint != HINT_COUNTER_RESET && h->schema == prev->schema &&
           h->zero_threshold == prev->zero_threshold && histogram_same_bounds(h, prev) &&
           !histogram_detect_reset(&unhinted, prev);
}

int memory_append(Memory *m, MemorySeries *s, int64_t t, double v, const Histogram *h, int64_t st,
                  Err *err)
{
    if (s->len && s->t[s->len - 1] >= t)
        return err_set(err, ERR_INVALID, 0, "sample is out of order");
    Histogram *copy = NULL;
    if (h) {
        copy = (Histogram *)histogram_copy(h, &m->arena);
        if (!copy)
            return err_nomem(err);
        if (h->hint != HINT_GAUGE)
            copy->hint = s->run && continues(s->run, h) ? HINT_NO_COUNTER_RESET : HINT_UNKNOWN;
    }
    if (!reserve(s, copy != NULL, st != 0))
        return err_nomem(err);
    s->t[s->len] = t;
    s->v[s->len] = h ? h->sum : v;
    if (s->st)
        s->st[s->len] = st;
    if (s->h)
        s->h[s->len] = copy;
    s->len++;
    s->run = copy && copy->hint != HINT_GAUGE ? copy : NULL;
    return 0;
}

bool memory_last(const MemorySeries *s, int64_t *ret_t, double *ret_v, const Histogram **ret_h)
{
    if (!s->len)
        return false;
    *ret_t = s->t[s->len - 1];
    *ret_v = s->v[s->len - 1];
    *ret_h = s->h ? s->h[s->len - 1] : NULL;
    return true;
}
