/* map.h - a hash map from text to a pointer. Keys are copied; values belong to the caller. */
#pragma once

#include "base/str.h"

typedef struct MapSlot {
    char *key; /* NULL: free */
    uint32_t key_len;
    uint32_t hash;
    void *val;
} MapSlot;

typedef struct Map {
    MapSlot *slots;
    size_t cap, len;
} Map;

void map_free(Map *m); /* frees keys and table, not the values; leaves an empty map */
void *map_get(const Map *m, StrView key); /* NULL when absent */
bool map_has(const Map *m, StrView key);
/* Sets or replaces; false when memory is exhausted (the map is as it was). `ret_old` may be NULL.
 */
bool map_set(Map *m, StrView key, void *val, void **ret_old) NODISCARD;
/* The removed value, or NULL. A large table that is nearly empty shrinks. */
void *map_del(Map *m, StrView key);

/* Walks all entries in no order: for (size_t i = 0; map_next(&m, &i, &key, &val);) … Deleting the
 * current entry inside the loop may skip or repeat others: collect keys first. */
bool map_next(const Map *m, size_t *pos, StrView *ret_key, void **ret_val);

/* Takes out every entry for which keep() says no, which then frees the value; the table shrinks to
 * what is left. Without memory for that nothing is asked. */
void map_retain(Map *m, bool (*keep)(void *ctx, StrView key, void *val), void *ctx);

#define _cleanup_map_ _cleanup_(map_free)
