/* object_index.c - under which values the objects of an informer are found.
 *
 * A bucket is an array of objects. While it is short, an object in it is found by looking at all. A
 * longer one has a table besides, by the objects' addresses, with their places in the array: open
 * addressing with linear probing, and backward shift on deletion, as in base/map.c. */
#include "api/object_index.h"

#include "base/vec.h"

enum { SHORT = 16, TABLE_MIN = 64 };

typedef struct ApiObject ApiObject;

typedef struct Bucket {
    VEC(ApiObject *) objects;
    uint32_t *table; /* place + 1; 0: free. NULL while the bucket is short */
    size_t cap;
} Bucket;

static size_t home_of(const Bucket *b, const ApiObject *o)
{
    uint64_t h = (uint64_t)(uintptr_t)o * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) & (b->cap - 1);
}

static void table_put(Bucket *b, size_t place)
{
    size_t i = home_of(b, b->objects.items[place]);
    while (b->table[i])
        i = (i + 1) & (b->cap - 1);
    b->table[i] = (uint32_t)place + 1;
}

/* Where the table has an object that it is known to have. */
static size_t table_slot(const Bucket *b, const ApiObject *o)
{
    size_t i = home_of(b, o);
    while (b->table[i] && b->objects.items[b->table[i] - 1] != o)
        i = (i + 1) & (b->cap - 1);
    return i;
}

/* Without memory the table goes: the bucket is slower then, not wrong. */
static void table_resize(Bucket *b, size_t cap)
{
    free(b->table);
    b->table = cap ? calloc(cap, sizeof *b->table) : NULL;
    b->cap = b->table ? cap : 0;
    for (size_t i = 0; b->table && i < b->objects.len; i++)
        table_put(b, i);
}

static void table_del(Bucket *b, size_t hole)
{
    size_t mask = b->cap - 1;
    for (size_t i = (hole + 1) & mask; b->table[i]; i = (i + 1) & mask) {
        size_t home = home_of(b, b->objects.items[b->table[i] - 1]);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        b->table[hole] = b->table[i];
        hole = i;
    }
    b->table[hole] = 0;
}

static void bucket_added(Bucket *b)
{
    size_t n = b->objects.len, cap = MAX(b->cap, (size_t)TABLE_MIN);
    if (n <= SHORT)
        return;
    while (cap < n * 2)
        cap *= 2;
    if (cap != b->cap)
        table_resize(b, cap);
    else
        table_put(b, n - 1);
}

/* SIZE_MAX: it is not there. */
static size_t place_of(const Bucket *b, const ApiObject *o)
{
    if (b->table) {
        size_t slot = table_slot(b, o);
        return b->table[slot] ? b->table[slot] - 1 : SIZE_MAX;
    }
    for (size_t i = 0; i < b->objects.len; i++)
        if (b->objects.items[i] == o)
            return i;
    return SIZE_MAX;
}

static void bucket_remove(Bucket *b, size_t place)
{
    size_t last = b->objects.len - 1;
    if (b->table) {
        table_del(b, table_slot(b, b->objects.items[place]));
        if (place != last)
            b->table[table_slot(b, b->objects.items[last])] = (uint32_t)place + 1;
    }
    vec_swap_remove(&b->objects, place);
    if (b->table && b->objects.len * 8 < b->cap)
        table_resize(b, b->cap > TABLE_MIN ? b->cap / 4 : 0);
    vec_shrink(&b->objects);
}

static void bucket_free(Bucket *b)
{
    if (!b)
        return;
    vec_free(&b->objects);
    free(b->table);
    free(b);
}

bool object_index_add(ObjectIndex *x, StrView value, ApiObject *o)
{
    Bucket *b = map_get(&x->buckets, value), *fresh = NULL;
    if (b && place_of(b, o) != SIZE_MAX)
        return true;
    if (!b)
        b = fresh = calloc(1, sizeof *b);
    if (!b || !vec_push(&b->objects, o) || (fresh && !map_set(&x->buckets, value, fresh, NULL))) {
        bucket_free(fresh);
        return false;
    }
    bucket_added(b);
    return true;
}

void object_index_del(ObjectIndex *x, StrView value, const ApiObject *o)
{
    Bucket *b = map_get(&x->buckets, value);
    size_t place = b ? place_of(b, o) : SIZE_MAX;
    if (place == SIZE_MAX)
        return;
    bucket_remove(b, place);
    if (b->objects.len > 0)
        return;
    map_del(&x->buckets, value);
    bucket_free(b);
}

ApiObject *const *object_index_get(const ObjectIndex *x, StrView value, size_t *ret_n)
{
    const Bucket *b = map_get(&x->buckets, value);
    *ret_n = b ? b->objects.len : 0;
    return b ? b->objects.items : NULL;
}

void object_index_free(ObjectIndex *x)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&x->buckets, &i, &key, &val);)
        bucket_free(val);
    map_free(&x->buckets);
}
