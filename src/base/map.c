/* map.c - open addressing with linear probing and backward-shift deletion (no tombstones). */
#include "base/map.h"

enum { CAP_MIN = 16, CAP_KEPT = 256 }; /* up to the latter a table does not shrink on deletion */

void map_free(Map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (Map){ 0 };
}

static MapSlot *find(const Map *m, StrView key, uint32_t hash)
{
    if (!m->cap)
        return NULL;
    for (size_t i = hash & (m->cap - 1); m->slots[i].key; i = (i + 1) & (m->cap - 1)) {
        MapSlot *s = &m->slots[i];
        if (s->hash == hash && sv_eq(sv_n(s->key, s->key_len), key))
            return s;
    }
    return NULL;
}

void *map_get(const Map *m, StrView key)
{
    MapSlot *s = find(m, key, (uint32_t)(sv_hash(key) >> 32));
    return s ? s->val : NULL;
}

bool map_has(const Map *m, StrView key)
{
    return find(m, key, (uint32_t)(sv_hash(key) >> 32)) != NULL;
}

static void insert(MapSlot *slots, size_t cap, MapSlot s)
{
    size_t i = s.hash & (cap - 1);
    while (slots[i].key)
        i = (i + 1) & (cap - 1);
    slots[i] = s;
}

/* The same entries in a table of another size; false: as it was. */
static bool resize(Map *m, size_t cap)
{
    MapSlot *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            insert(slots, cap, m->slots[i]);
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return true;
}

static bool grow(Map *m)
{
    if ((m->len + 1) * 4 <= m->cap * 3)
        return true;
    return resize(m, m->cap ? m->cap * 2 : CAP_MIN);
}

bool map_set(Map *m, StrView key, void *val, void **ret_old)
{
    uint32_t hash = (uint32_t)(sv_hash(key) >> 32);
    MapSlot *s = find(m, key, hash);
    if (ret_old)
        *ret_old = s ? s->val : NULL;
    if (s) {
        s->val = val;
        return true;
    }
    if (key.len > UINT32_MAX - 1 || !grow(m))
        return false;
    char *copy = malloc(key.len + 1);
    if (!copy)
        return false;
    if (key.len)
        memcpy(copy, key.ptr, key.len);
    copy[key.len] = 0;
    insert(m->slots, m->cap, (MapSlot){ copy, (uint32_t)key.len, hash, val });
    m->len++;
    return true;
}

void *map_del(Map *m, StrView key)
{
    MapSlot *s = find(m, key, (uint32_t)(sv_hash(key) >> 32));
    if (!s)
        return NULL;
    void *val = s->val;
    free(s->key);
    size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
    /* Close the hole: move back every follower whose home is not between the hole and itself. */
    for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (MapSlot){ 0 };
    m->len--;
    if (m->cap > CAP_KEPT && m->len * 8 < m->cap)
        (void)!resize(m, m->cap / 4); /* the larger one does, too */
    return val;
}

bool map_next(const Map *m, size_t *pos, StrView *ret_key, void **ret_val)
{
    while (*pos < m->cap) {
        MapSlot *s = &m->slots[(*pos)++];
        if (s->key) {
            *ret_key = sv_n(s->key, s->key_len);
            if (ret_val)
                *ret_val = s->val;
            return true;
        }
    }
    return false;
}

void map_retain(Map *m, bool (*keep)(void *ctx, StrView key, void *val), void *ctx)
{
    MapSlot *slots = m->cap ? calloc(m->cap, sizeof *slots) : NULL;
    if (!slots)
        return;
    m->len = 0;
    for (size_t i = 0; i < m->cap; i++) {
        MapSlot *s = &m->slots[i];
        if (!s->key)
            continue;
        if (keep(ctx, sv_n(s->key, s->key_len), s->val)) {
            insert(slots, m->cap, *s);
            m->len++;
        } else
            free(s->key);
    }
    free(m->slots);
    m->slots = slots;
    if (!m->len)
        map_free(m);
    size_t cap = m->cap;
    while (cap > CAP_MIN && m->len * 8 < cap)
        cap /= 2;
    if (cap != m->cap)
        (void)!resize(m, cap); /* the larger one does, too */
}
