/* key_index.c - open addressing with linear probing; tables double at half full. */
#include "codec/key_index.h"

#include "codec/json.h"

enum { FIRST_CAP = 16 };

struct KeySlot {
    StrView key; /* ptr NULL: free */
    uint32_t hash, at;
};

static KeySlot *slot_of(const KeyIndex *x, StrView key, uint32_t hash)
{
    uint32_t i = hash & (x->cap - 1);
    while (x->slots[i].key.ptr && (x->slots[i].hash != hash || !sv_eq(x->slots[i].key, key)))
        i = (i + 1) & (x->cap - 1);
    return &x->slots[i];
}

bool key_index_reserve(KeyIndex *x, Arena *a, uint32_t n)
{
    if (n <= x->cap / 2)
        return true;
    KeyIndex bigger = { .cap = x->cap ? x->cap : FIRST_CAP, .len = x->len };
    while (bigger.cap && n > bigger.cap / 2)
        bigger.cap *= 2;
    if (!bigger.cap || !(bigger.slots = arena_array(a, KeySlot, bigger.cap)))
        return false;
    for (uint32_t i = 0; i < x->cap; i++)
        if (x->slots[i].key.ptr)
            *slot_of(&bigger, x->slots[i].key, x->slots[i].hash) = x->slots[i];
    *x = bigger;
    return true;
}

bool key_index_add(KeyIndex *x, Arena *a, StrView key, uint32_t at, uint32_t *ret_at, bool *ret_new)
{
    if (!key_index_reserve(x, a, x->len + 1))
        return false;
    uint32_t hash = (uint32_t)(sv_hash(key) >> 32);
    KeySlot *s = slot_of(x, key, hash);
    *ret_new = !s->key.ptr;
    if (*ret_new) {
        *s = (KeySlot){ key.ptr ? key : SV(""), hash, at };
        x->len++;
    }
    *ret_at = s->at;
    return true;
}

int64_t key_index_find(const KeyIndex *x, StrView key)
{
    if (!x->cap)
        return -1;
    const KeySlot *s = slot_of(x, key, (uint32_t)(sv_hash(key) >> 32));
    return s->key.ptr ? (int64_t)s->at : -1;
}

StrView key_of_value(const Value *v, Arena *a)
{
    if (v->kind == VALUE_STRING)
        return value_str(v);
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_putc(&text, v->kind == VALUE_DOUBLE ? '\x02' : '\x01'); /* 1 and 1.0 differ */
    json_encode(v, &text);
    return text.failed ? SV_NULL : arena_sv(a, buf_view(&text));
}

bool map_view_init(MapView *v, Value *map, uint32_t lookups, Arena *a)
{
    *v = (MapView){ .map = value_is(map, VALUE_MAP) ? map : NULL, .arena = a };
    v->indexed = v->map && lookups > KEY_INDEX_MIN;
    if (v->indexed && !key_index_reserve(&v->index, a, v->map->len))
        return false;
    for (uint32_t i = 0, at; v->indexed && i < v->map->len; i++) {
        bool fresh;
        if (!key_index_add(&v->index, a, v->map->members[i].key, i, &at, &fresh))
            return false;
    }
    return true;
}

static Member *find(const MapView *v, StrView key)
{
    if (!v->map || !key.ptr)
        return NULL;
    if (v->indexed) {
        int64_t at = key_index_find(&v->index, key);
        return at < 0 || !v->map->members[at].key.ptr ? NULL : &v->map->members[at];
    }
    value_map_foreach (m, v->map) {
        if (m->key.ptr && sv_eq(m->key, key))
            return m;
    }
    return NULL;
}

Value *map_view_get(const MapView *v, StrView key)
{
    Member *m = find(v, key);
    return m ? &m->val : NULL;
}

bool map_view_append(MapView *v, StrView key, Value val)
{
    uint32_t at;
    bool fresh;
    if (!v->map ||
        (v->indexed && !key_index_add(&v->index, v->arena, key, v->map->len, &at, &fresh)))
        return false;
    return value_append(v->arena, v->map, key, val) != NULL;
}

/* A key without text is the mark. */
void map_view_drop(MapView *v, StrView key)
{
    Member *m = find(v, key);
    if (!m)
        return;
    m->key = SV_NULL;
    v->gone++;
}

void map_view_end(MapView *v)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; v->gone && i < v->map->len; i++)
        if (v->map->members[i].key.ptr)
            v->map->members[kept++] = v->map->members[i];
    if (v->gone)
        v->map->len = kept;
    *v = (MapView){ 0 };
}

bool value_unite_members(Value *map, Arena *a)
{
    KeyIndex index = { 0 };
    uint32_t kept = 0, at;
    for (uint32_t i = 0; i < map->len; i++) {
        bool fresh;
        if (!key_index_add(&index, a, map->members[i].key, kept, &at, &fresh))
            return false;
        if (fresh)
            map->members[kept++] = map->members[i];
        else
            map->members[at].val = map->members[i].val;
    }
    map->len = kept;
    return true;
}
