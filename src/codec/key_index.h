/* key_index.h - finds the members of a large map, or the items of a large list, by key in constant
 * time.
 *
 * value_get() walks the map, which is right for a look or two. Whoever looks once per member (a
 * patch, a comparison) builds an index first, so that the cost stays linear in what a client sends.
 */
#pragma once

#include "codec/value.h"

typedef struct KeySlot KeySlot;

/* Zero-initialised: empty. Lives in the arena it is filled from; keys must live as long. */
typedef struct KeyIndex {
    KeySlot *slots;
    uint32_t cap, len;
} KeyIndex;

enum { KEY_INDEX_MIN = 16 }; /* below, walking is as quick */

/* Adds the key with a position, unless it is there: then *ret_at is the position it has and
 * *ret_new false. False: arena exhausted. */
bool key_index_add(KeyIndex *x, Arena *a, StrView key, uint32_t at, uint32_t *ret_at,
                   bool *ret_new) NODISCARD;
/* Makes room for n keys at once: a table that doubles leaves its smaller ones in the arena. */
bool key_index_reserve(KeyIndex *x, Arena *a, uint32_t n) NODISCARD;
/* The position of a key; -1: it is not there. */
int64_t key_index_find(const KeyIndex *x, StrView key);

/* Text that two values share when they are equal: strings as they are, all else as JSON behind a
 * byte that no string of a document begins with. ptr is NULL when the arena is exhausted. */
StrView key_of_value(const Value *v, Arena *a);

/* A map with an index where it is large. Members may be appended (map_view_append) and marked as
 * gone (map_view_drop), positions stay; map_view_end() takes out what is gone. Do not change the
 * map in other ways meanwhile. */
typedef struct MapView {
    Value *map;
    Arena *arena;
    KeyIndex index;
    bool indexed;
    uint32_t gone;
} MapView;

/* `lookups`: how many are to come; few are not worth an index. `map` may be NULL or no map: empty.
 */
bool map_view_init(MapView *v, Value *map, uint32_t lookups, Arena *a) NODISCARD;
Value *map_view_get(const MapView *v, StrView key);                 /* until the next append */
bool map_view_append(MapView *v, StrView key, Value val) NODISCARD; /* the key is not there */
void map_view_drop(MapView *v, StrView key);
void map_view_end(MapView *v);

/* Of members with the same key, keeps the last one's value at the first one's place. */
bool value_unite_members(Value *map, Arena *a) NODISCARD;
