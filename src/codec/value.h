/* value.h - one document: a tree of null, bool, int64, double, string, list and ordered map that
 * JSON, YAML, protobuf and CBOR convert to and from.
 *
 * A Value is a small handle (24 bytes). Everything it points to lives in the arena it was built
 * with, and is never freed one by one. Copying the handle shares the children: treat it as a move,
 * and use value_clone() for a tree of one's own. Pointers to members and items are valid until the
 * next append to the same container. Numbers keep their nature: 1 is an int, 1.0 a double. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

typedef enum ValueKind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_MAP,
} ValueKind;

typedef struct Value Value;
typedef struct Member Member;

struct Value {
    uint32_t kind : 8;  /* ValueKind */
    uint32_t line : 24; /* where YAML had it, from 1; 0: not known */
    uint32_t cap;       /* list, map: room for so many */
    uint32_t len;       /* list, map: items; string: bytes are in `str_len` */
    uint32_t str_len;
    union {
        bool b;
        int64_t i;
        double d;
        const char *str; /* not terminated */
        Value *items;
        Member *members;
    };
};

struct Member {
    StrView key;
    Value val;
};

enum { VALUE_DEPTH_MAX = 250 }; /* nesting that any decoder accepts */

static inline Value value_null(void)
{
    return (Value){ .kind = VALUE_NULL };
}
static inline Value value_bool(bool b)
{
    return (Value){ .kind = VALUE_BOOL, .b = b };
}
static inline Value value_int(int64_t i)
{
    return (Value){ .kind = VALUE_INT, .i = i };
}
static inline Value value_double(double d)
{
    return (Value){ .kind = VALUE_DOUBLE, .d = d };
}
static inline Value value_sv(StrView s) /* refers to s: it must live as long as the tree */
{
    return (Value){ .kind = VALUE_STRING, .str = s.ptr ? s.ptr : "", .str_len = (uint32_t)s.len };
}
static inline Value value_list(void)
{
    return (Value){ .kind = VALUE_LIST };
}
static inline Value value_map(void)
{
    return (Value){ .kind = VALUE_MAP };
}

static inline bool value_is(const Value *v, ValueKind kind) /* NULL is of no kind */
{
    return v && v->kind == kind;
}
/* Readers that take NULL or another kind and then give the fallback: for optional fields. */
static inline StrView value_str(const Value *v) /* SV_NULL unless a string */
{
    return value_is(v, VALUE_STRING) ? sv_n(v->str, v->str_len) : SV_NULL;
}
static inline int64_t value_int_or(const Value *v, int64_t fallback)
{
    return value_is(v, VALUE_INT) ? v->i : fallback;
}
static inline bool value_bool_or(const Value *v, bool fallback)
{
    return value_is(v, VALUE_BOOL) ? v->b : fallback;
}
/* A whole number from 0 to 2^64 - 1, as it was written: JSON's beyond 2^63 - 1 are doubles that
 * keep all of their digits beside. False: it is another number, or none. */
static inline bool value_to_u64(const Value *v, uint64_t *ret)
{
    if (value_is(v, VALUE_INT) && v->i >= 0)
        *ret = (uint64_t)v->i;
    else if (value_is(v, VALUE_DOUBLE) && v->len)
        *ret = (uint64_t)v->len << 32 | v->cap;
    else
        return false;
    return true;
}
static inline uint32_t value_len(const Value *v) /* items of a list or map; else 0 */
{
    return value_is(v, VALUE_LIST) || value_is(v, VALUE_MAP) ? v->len : 0;
}

/* The member of a map, or NULL (also when v is NULL or no map). Linear in the number of members. */
Value *value_get(const Value *v, StrView key);
/* A chain of members: value_path(pod, "spec.template.metadata"). Keys without dots only. */
Value *value_path(const Value *v, const char *dotted);
StrView value_path_str(const Value *v, const char *dotted);
Value *value_at(const Value *v, uint32_t i); /* item of a list, or NULL */

/* Adds a member whose key is known not to be there. NULL when the arena is exhausted. */
Value *value_append(Arena *a, Value *map, StrView key, Value val);
/* Sets or replaces a member; the key is not copied. NULL when the arena is exhausted. */
Value *value_set(Arena *a, Value *map, StrView key, Value val);
bool value_del(Value *map, StrView key); /* keeps the order; true if it was there */
Value *value_push(Arena *a, Value *list, Value val);
void value_remove(Value *list, uint32_t i);
/* Goes down the path, making maps where nothing (or null) is; NULL when memory is exhausted or
 * something on the way is not a map. The last key is not created: returns the map that holds it… */
Value *value_make_path(Arena *a, Value *v, const char *dotted);
/* …and this sets it: value_set_path(a, pod, "status.phase", value_sv(SV("Running"))). */
Value *value_set_path(Arena *a, Value *v, const char *dotted, Value val);

/* How deep lists and maps are nested: 0 for a scalar; counts no further than max + 1. */
uint32_t value_depth(const Value *v, uint32_t max);
bool value_clone(Arena *a, const Value *v, Value *ret); /* deep, strings copied; false: exhausted */
/* Deep equality; the order of map members does not matter, 1 and 1.0 are different. */
bool value_equal(const Value *a, const Value *b);

#define value_map_foreach(m, v)                                                                    \
    for (Member *m = value_is((v), VALUE_MAP) ? (v)->members : NULL;                               \
         m && m < (v)->members + (v)->len; m++)
#define value_list_foreach(it, v)                                                                  \
    for (Value *it = value_is((v), VALUE_LIST) ? (v)->items : NULL;                                \
         it && it < (v)->items + (v)->len; it++)
