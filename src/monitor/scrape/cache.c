/* cache.c - from the text of a line to its series. Exporters write their lines in the same order
 * each time, so a line's entry remembers which one followed: one comparison of bytes finds it.
 * Where that fails, a hash table does. */
#include "monitor/scrape/internal.h"

enum { KEEP_SCRAPES = 3, TABLE_MIN = 64 };

void scrape_cache_free(ScrapeCache *c)
{
    vec_foreach (e, &c->entries)
        free(*e);
    vec_free(&c->entries);
    free(c->table);
    *c = (ScrapeCache){ 0 };
}

void scrape_cache_begin(ScrapeCache *c)
{
    c->scrape++;
    c->last = 0;
}

static bool is(const CacheEntry *e, StrView s)
{
    return e->len == s.len && memcmp(e->text, s.ptr, s.len) == 0;
}

/* Eight bytes at a time; collisions cost a comparison only. */
static uint32_t hash_text(StrView s)
{
    uint64_t h = s.len * UINT64_C(0x9e3779b97f4a7c15), w;
    for (; s.len >= 8; s = sv_n(s.ptr + 8, s.len - 8)) {
        memcpy(&w, s.ptr, 8);
        h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, s.ptr, s.len);
    h = (h ^ w) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h ^ h >> 32);
}

static void follow(ScrapeCache *c, uint32_t place)
{
    if (c->last)
        c->entries.items[c->last - 1]->next = place;
    c->last = place;
}

static uint32_t guessed(const ScrapeCache *c)
{
    uint32_t guess = c->last ? c->entries.items[c->last - 1]->next : 1;
    return guess <= c->entries.len ? guess : 0;
}

StrView scrape_cache_expected(const ScrapeCache *c)
{
    uint32_t guess = guessed(c);
    const CacheEntry *e = guess ? c->entries.items[guess - 1] : NULL;
    return e ? sv_n(e->text, e->len) : SV_NULL;
}

CacheEntry *scrape_cache_find(ScrapeCache *c, StrView series, bool expected)
{
    uint32_t guess = guessed(c);
    if (guess && (expected || is(c->entries.items[guess - 1], series))) {
        c->last = guess;
        return c->entries.items[guess - 1];
    }
    if (!c->cap)
        return NULL;
    uint32_t hash = hash_text(series);
    for (size_t i = hash & (c->cap - 1); c->table[i]; i = (i + 1) & (c->cap - 1)) {
        CacheEntry *e = c->entries.items[c->table[i] - 1];
        if (e->hash == hash && is(e, series)) {
            follow(c, c->table[i]);
            return e;
        }
    }
    return NULL;
}

static void place_entry(ScrapeCache *c, uint32_t place)
{
    size_t i = c->entries.items[place - 1]->hash & (c->cap - 1);
    while (c->table[i])
        i = (i + 1) & (c->cap - 1);
    c->table[i] = place;
}

static bool rebuild(ScrapeCache *c, size_t cap)
{
    uint32_t *table = calloc(cap, sizeof *table);
    if (!table)
        return false;
    free(c->table);
    c->table = table;
    c->cap = cap;
    for (uint32_t i = 1; i <= c->entries.len; i++)
        place_entry(c, i);
    return true;
}

CacheEntry *scrape_cache_add(ScrapeCache *c, StrView series)
{
    if (series.len > UINT32_MAX / 2)
        return NULL;
    if ((c->entries.len + 1) * 2 > c->cap && !rebuild(c, c->cap ? c->cap * 2 : TABLE_MIN))
        return NULL;
    CacheEntry *e = malloc(sizeof *e + series.len);
    if (!e)
        return NULL;
    *e = (CacheEntry){ .hash = hash_text(series), .len = (uint32_t)series.len, .born = c->scrape };
    memcpy(e->text, series.ptr, series.len);
    if (!vec_push(&c->entries, e)) {
        free(e);
        return NULL;
    }
    place_entry(c, (uint32_t)c->entries.len);
    follow(c, (uint32_t)c->entries.len);
    return e;
}

void scrape_cache_sweep(ScrapeCache *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->entries.len; i++) {
        CacheEntry *e = c->entries.items[i];
        if (!e->alive && c->scrape - e->seen > KEEP_SCRAPES) {
            free(e);
            continue;
        }
        c->entries.items[kept++] = e;
    }
    if (kept == c->entries.len)
        return;
    c->entries.len = kept;
    c->last = 0;
    for (size_t i = 0; i < kept; i++)
        c->entries.items[i]->next = 0; /* places have moved */
    memset(c->table, 0, c->cap * sizeof *c->table);
    for (uint32_t i = 1; i <= kept; i++)
        place_entry(c, i);
}
