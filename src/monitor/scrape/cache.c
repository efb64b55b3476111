/* cache.c - from the text of a line to its series. Exporters write their lines in the same order
 * each time, so a line's entry remembers which one followed: one comparison of bytes finds it.
 * Where that fails, a hash table does. */
#include "monitor/scrape/internal.h"

enum { KEEP_SCRAPES = 3, TABLE_MIN = 64, BYTES_MIN = 4096, AHEAD = 6 };

void scrape_cache_free(ScrapeCache *c)
{
    free(c->bytes);
    vec_free(&c->places);
    free(c->table);
    *c = (ScrapeCache){ 0 };
}

void scrape_cache_begin(ScrapeCache *c)
{
    c->scrape++;
    c->last = 0;
    c->seen = 0;
    c->changed = false;
}

static bool is(const CacheEntry *e, StrView s)
{
    return e->len == s.len && memcmp(e->text, s.ptr, s.len) == 0;
}

static void follow(ScrapeCache *c, uint32_t place)
{
    if (c->last)
        scrape_cache_entry(c, c->last - 1)->next = place;
    c->last = place;
}

static uint32_t guessed(const ScrapeCache *c)
{
    uint32_t guess = c->last ? scrape_cache_entry(c, c->last - 1)->next : 1;
    return guess <= c->places.len ? guess : 0;
}

StrView scrape_cache_expected(const ScrapeCache *c)
{
    uint32_t guess = guessed(c);
    const CacheEntry *e = guess ? scrape_cache_entry(c, guess - 1) : NULL;
    /* The one behind it is needed soon, and is seldom in the processor's cache. */
    if (e && e->next && e->next <= c->places.len)
        __builtin_prefetch(scrape_cache_entry(c, e->next - 1));
    return e ? sv_n(e->text, e->len) : SV_NULL;
}

SeriesRef scrape_cache_ahead(const ScrapeCache *c)
{
    size_t place = (size_t)c->last + AHEAD;
    return place < c->places.len ? scrape_cache_entry(c, place)->ref : 0;
}

CacheEntry *scrape_cache_find(ScrapeCache *c, StrView series, bool expected)
{
    uint32_t guess = guessed(c);
    if (guess && (expected || is(scrape_cache_entry(c, guess - 1), series))) {
        c->last = guess;
        return scrape_cache_entry(c, guess - 1);
    }
    if (!c->cap)
        return NULL;
    uint32_t hash = (uint32_t)sv_hash(series);
    for (size_t i = hash & (c->cap - 1); c->table[i]; i = (i + 1) & (c->cap - 1)) {
        CacheEntry *e = scrape_cache_entry(c, c->table[i] - 1);
        if (e->hash == hash && is(e, series)) {
            follow(c, c->table[i]);
            return e;
        }
    }
    return NULL;
}

static void place_entry(ScrapeCache *c, uint32_t place)
{
    size_t i = scrape_cache_entry(c, place - 1)->hash & (c->cap - 1);
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
    for (uint32_t i = 1; i <= c->places.len; i++)
        place_entry(c, i);
    return true;
}

/* Room for one entry at the end; NULL: out of memory. */
static CacheEntry *new_entry(ScrapeCache *c, StrView series)
{
    size_t size = (sizeof(CacheEntry) + series.len + _Alignof(CacheEntry) - 1) /
                  _Alignof(CacheEntry) * _Alignof(CacheEntry);
    if (c->used + size > c->room) {
        size_t room = MAX(c->used + size, c->room + c->room / 2 + BYTES_MIN);
        char *bytes = realloc(c->bytes, room);
        if (!bytes)
            return NULL;
        c->bytes = bytes;
        c->room = room;
    }
    if (!vec_push(&c->places, c->used))
        return NULL;
    CacheEntry *e = scrape_cache_entry(c, c->places.len - 1);
    *e = (CacheEntry){ .size = (uint32_t)size, .len = (uint32_t)series.len };
    memcpy(e->text, series.ptr, series.len);
    c->used += size;
    return e;
}

CacheEntry *scrape_cache_add(ScrapeCache *c, StrView series)
{
    if (series.len > UINT32_MAX / 2)
        return NULL;
    if ((c->places.len + 1) * 2 > c->cap && !rebuild(c, c->cap ? c->cap * 2 : TABLE_MIN))
        return NULL;
    CacheEntry *e = new_entry(c, series);
    if (!e)
        return NULL;
    e->hash = (uint32_t)sv_hash(series);
    e->born = c->scrape;
    place_entry(c, (uint32_t)c->places.len);
    follow(c, (uint32_t)c->places.len);
    return e;
}

void scrape_cache_sweep(ScrapeCache *c)
{
    size_t kept = 0, used = 0;
    for (size_t i = 0; i < c->places.len; i++) {
        CacheEntry *e = scrape_cache_entry(c, i);
        size_t size = e->size;
        if (!e->alive && c->scrape - e->seen > KEEP_SCRAPES)
            continue;
        if (c->places.items[i] != used)
            memmove(c->bytes + used, e, size);
        c->places.items[kept++] = used;
        used += size;
    }
    if (kept == c->places.len)
        return;
    c->places.len = kept;
    c->used = used;
    c->last = 0;
    for (size_t i = 0; i < kept; i++)
        scrape_cache_entry(c, i)->next = 0; /* they have moved */
    memset(c->table, 0, c->cap * sizeof *c->table);
    for (uint32_t i = 1; i <= kept; i++)
        place_entry(c, i);
}
