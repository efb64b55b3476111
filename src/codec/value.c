/* value.c - the document tree.
 *
 * Containers are arrays in the arena that double when full; since the arena grows its newest
 * allocation in place, building one container after the other costs no copies. Lookups are linear:
 * Kubernetes' objects have few members per map, and comparing lengths first skips nearly all.
 * Whoever looks once per member of something that a client sends uses key_index.h.
 */
#include "codec/value.h"

#include "codec/key_index.h"

enum { CONTAINER_FIRST_CAP = 4 };

Value *value_get(const Value *v, StrView key)
{
    value_map_foreach (m, v) {
        if (sv_eq(m->key, key))
            return &m->val;
    }
    return NULL;
}

Value *value_path(const Value *v, const char *dotted)
{
    StrView rest = sv_cstr(dotted), key;
    Value *at = NULL;

    while (sv_next(&rest, '.', &key)) {
        at = value_get(v, key);
        if (!at)
            return NULL;
        v = at;
    }
    return at;
}

StrView value_path_str(const Value *v, const char *dotted)
{
    return value_str(value_path(v, dotted));
}

Value *value_at(const Value *v, uint32_t i)
{
    return value_is(v, VALUE_LIST) && i < v->len ? &v->items[i] : NULL;
}

/* Room for one more element of `size` bytes in a container; false when the arena is exhausted. */
static bool grow(Arena *a, Value *v, size_t size)
{
    if (v->len < v->cap)
        return true;
    if (v->len >= UINT32_MAX / 2)
        return false;
    uint32_t cap = v->len ? v->len * 2 : CONTAINER_FIRST_CAP;
    void *p = arena_realloc(a, v->len ? v->items : NULL, v->len * size, cap * size);
    if (!p)
        return false;
    v->items = p;
    v->cap = cap;
    return true;
}

Value *value_append(Arena *a, Value *map, StrView key, Value val)
{
    if (!value_is(map, VALUE_MAP) || !grow(a, map, sizeof(Member)))
        return NULL;
    Member *m = &map->members[map->len++];
    m->key = key;
    m->val = val;
    return &m->val;
}

Value *value_set(Arena *a, Value *map, StrView key, Value val)
{
    Value *old = value_get(map, key);

    if (old) {
        *old = val;
        return old;
    }
    return value_append(a, map, key, val);
}

bool value_del(Value *map, StrView key)
{
    if (!value_is(map, VALUE_MAP))
        return false;
    for (uint32_t i = 0; i < map->len; i++) {
        if (!sv_eq(map->members[i].key, key))
            continue;
        memmove(&map->members[i], &map->members[i + 1], (map->len - i - 1) * sizeof(Member));
        map->len--;
        return true;
    }
    return false;
}

Value *value_push(Arena *a, Value *list, Value val)
{
    if (!value_is(list, VALUE_LIST) || !grow(a, list, sizeof(Value)))
        return NULL;
    list->items[list->len] = val;
    return &list->items[list->len++];
}

void value_remove(Value *list, uint32_t i)
{
    if (!value_is(list, VALUE_LIST) || i >= list->len)
        return;
    memmove(&list->items[i], &list->items[i + 1], (list->len - i - 1) * sizeof(Value));
    list->len--;
}

/* The map under `key`, made where there is nothing; NULL when something else is there. */
static Value *make_map(Arena *a, Value *map, StrView key)
{
    Value *next = value_get(map, key);

    if (next && next->kind != VALUE_NULL)
        return next->kind == VALUE_MAP ? next : NULL;
    if (next) {
        *next = value_map();
        return next;
    }
    StrView copy = arena_sv(a, key);
    return copy.ptr ? value_set(a, map, copy, value_map()) : NULL;
}

Value *value_make_path(Arena *a, Value *v, const char *dotted)
{
    StrView rest = sv_cstr(dotted), key, last;
    ssize_t dot = sv_rfind_char(rest, '.');

    if (v->kind == VALUE_NULL)
        *v = value_map();
    if (v->kind != VALUE_MAP)
        return NULL;
    if (dot < 0)
        return v;
    last = sv_head(rest, (size_t)dot);
    while (v && sv_next(&last, '.', &key))
        v = make_map(a, v, key);
    return v;
}

Value *value_set_path(Arena *a, Value *v, const char *dotted, Value val)
{
    Value *map = value_make_path(a, v, dotted);
    StrView path = sv_cstr(dotted);
    StrView key = sv_skip(path, (size_t)(sv_rfind_char(path, '.') + 1));

    if (!map)
        return NULL;
    Value *old = value_get(map, key);
    if (old) {
        *old = val;
        return old;
    }
    key = arena_sv(a, key);
    return key.ptr ? value_set(a, map, key, val) : NULL;
}

static bool clone_list(Arena *a, const Value *v, Value *ret)
{
    Value out = { .kind = VALUE_LIST, .len = v->len, .cap = v->len };

    out.items = arena_array(a, Value, v->len);
    if (!out.items)
        return false;
    for (uint32_t i = 0; i < v->len; i++) {
        if (!value_clone(a, &v->items[i], &out.items[i]))
            return false;
    }
    *ret = out;
    return true;
}

static bool clone_map(Arena *a, const Value *v, Value *ret)
{
    Value out = { .kind = VALUE_MAP, .len = v->len, .cap = v->len };

    out.members = arena_array(a, Member, v->len);
    if (!out.members)
        return false;
    for (uint32_t i = 0; i < v->len; i++) {
        Member *m = &out.members[i];
        m->key = arena_sv(a, v->members[i].key);
        if (!m->key.ptr || !value_clone(a, &v->members[i].val, &m->val))
            return false;
    }
    *ret = out;
    return true;
}

bool value_clone(Arena *a, const Value *v, Value *ret)
{
    if (v->kind == VALUE_STRING) {
        StrView s = arena_sv(a, value_str(v));
        if (!s.ptr)
            return false;
        *ret = value_sv(s);
        return true;
    }
    if ((v->kind == VALUE_LIST || v->kind == VALUE_MAP) && v->len > 0)
        return v->kind == VALUE_LIST ? clone_list(a, v, ret) : clone_map(a, v, ret);
    *ret = *v;
    if (v->kind == VALUE_LIST || v->kind == VALUE_MAP)
        ret->cap = 0; /* an emptied container still points to its old items */
    return true;
}

static bool map_equal(const Value *a, const Value *b)
{
    /* Most often both sides have the same order: look at the same place first. */
    uint32_t i = 0;
    while (i < a->len && sv_eq(a->members[i].key, b->members[i].key)) {
        if (!value_equal(&a->members[i].val, &b->members[i].val))
            return false;
        i++;
    }
    if (i == a->len)
        return true;
    _cleanup_arena_ Arena arena;
    MapView view;
    arena_init(&arena, 0);
    if (!map_view_init(&view, (Value *)b, a->len, &arena))
        return false;
    for (; i < a->len; i++) {
        const Member *m = &a->members[i];
        const Value *other = map_view_get(&view, m->key);
        if (!other || !value_equal(&m->val, other))
            return false;
    }
    return true;
}

bool value_equal(const Value *a, const Value *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->kind != b->kind)
        return false;
    switch ((ValueKind)a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_DOUBLE:
        return a->d == b->d;
    case VALUE_STRING:
        return sv_eq(value_str(a), value_str(b));
    case VALUE_MAP:
        return a->len == b->len && map_equal(a, b);
    case VALUE_LIST:
        break;
    }
    if (a->len != b->len)
        return false;
    for (uint32_t i = 0; i < a->len; i++) {
        if (!value_equal(&a->items[i], &b->items[i]))
            return false;
    }
    return true;
}

uint32_t value_depth(const Value *v, uint32_t max)
{
    uint32_t deepest = 0;
    if (v->kind != VALUE_MAP && v->kind != VALUE_LIST)
        return 0;
    for (uint32_t i = 0; i < v->len && max && deepest <= max - 1; i++) {
        const Value *one = v->kind == VALUE_MAP ? &v->members[i].val : &v->items[i];
        deepest = MAX(deepest, value_depth(one, max - 1));
    }
    return deepest + 1;
}
