/* sample.c - columns that grow and are reused from series to series. */
#include "monitor/model/sample.h"

#include <stdlib.h>

enum { COLS_MIN = 256 };

void sample_cols_init(SampleCols *c)
{
    *c = (SampleCols){ 0 };
}

void sample_cols_free(SampleCols *c)
{
    if (!c)
        return;
    free(c->t);
    free(c->v);
    free(c->h);
    free(c->st);
    if (c->arena) {
        arena_free(c->arena);
        free(c->arena);
    }
    sample_cols_init(c);
}

void sample_cols_clear(SampleCols *c)
{
    c->len = 0;
    if (c->h)
        memset(c->h, 0, c->cap * sizeof *c->h);
    free(c->st);
    c->st = NULL;
    if (c->arena)
        arena_reset(c->arena);
}

static bool grow_column(void **col, size_t cap, size_t size)
{
    void *grown = realloc(*col, cap * size);
    if (grown)
        *col = grown;
    return grown != NULL;
}

bool sample_cols_reserve(SampleCols *c, size_t n)
{
    if (n <= c->cap)
        return true;
    size_t cap = MAX(n, c->cap ? c->cap * 2 : COLS_MIN);
    if (!grow_column((void **)&c->t, cap, sizeof *c->t) ||
        !grow_column((void **)&c->v, cap, sizeof *c->v))
        return false;
    if (c->h) {
        if (!grow_column((void **)&c->h, cap, sizeof *c->h))
            return false;
        memset(c->h + c->cap, 0, (cap - c->cap) * sizeof *c->h);
    }
    if (c->st) {
        if (!grow_column((void **)&c->st, cap, sizeof *c->st))
            return false;
        memset(c->st + c->cap, 0, (cap - c->cap) * sizeof *c->st);
    }
    c->cap = cap;
    return true;
}

static bool reserve(SampleCols *c)
{
    return c->len < c->cap || sample_cols_reserve(c, c->len + 1);
}

bool sample_cols_float(SampleCols *c, int64_t t, double v)
{
    if (!reserve(c))
        return false;
    c->t[c->len] = t;
    c->v[c->len++] = v;
    return true;
}

bool sample_cols_histogram(SampleCols *c, int64_t t, const Histogram *h)
{
    if (!reserve(c))
        return false;
    if (!c->h && !(c->h = calloc(c->cap, sizeof *c->h)))
        return false;
    if (!c->arena) {
        if (!(c->arena = malloc(sizeof *c->arena)))
            return false;
        arena_init(c->arena, 0);
    }
    const Histogram *copy = histogram_copy(h, c->arena);
    if (!copy)
        return false;
    c->h[c->len] = copy;
    c->t[c->len] = t;
    c->v[c->len++] = h->sum;
    return true;
}

bool sample_cols_start(SampleCols *c, int64_t st)
{
    if (!c->st && !(c->st = calloc(c->cap, sizeof *c->st)))
        return false;
    c->st[c->len - 1] = st;
    return true;
}
