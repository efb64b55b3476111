/* typed.c - see typed.h. Each operation is one walk over a value and its shape. */
#include "api/typed.h"
#include "base/buf.h"
#include "codec/json.h"
#include "codec/key_index.h"

/* ---- shapes ---- */

typedef enum ShapeKind {
    SHAPE_LEAF,   /* owned as a whole */
    SHAPE_STRUCT, /* members by the table of `object` */
    SHAPE_MAP,    /* any keys, items by `field` */
    SHAPE_SET,    /* list of distinct scalars */
    SHAPE_KEYED,  /* list of objects told apart by keys */
} ShapeKind;

typedef struct Shape {
    ShapeKind kind;
    const SchemaObject *object; /* SHAPE_STRUCT, and items of SHAPE_KEYED */
    const SchemaField *field;   /* SHAPE_MAP, SHAPE_KEYED: what it was made from */
} Shape;

static const Shape leaf = { SHAPE_LEAF, NULL, NULL };

static Shape struct_shape(const SchemaObject *o)
{
    return (Shape){ SHAPE_STRUCT, o, NULL };
}

static Shape shape_of(const SchemaField *f)
{
    if (!f || (f->flags & SCHEMA_F_ATOMIC))
        return leaf;
    switch (f->card) {
    case SCHEMA_MAP:
        return (Shape){ SHAPE_MAP, NULL, f };
    case SCHEMA_LIST:
        if (f->list_type == SCHEMA_LIST_SET)
            return (Shape){ SHAPE_SET, NULL, f };
        if (f->list_type == SCHEMA_LIST_MAP)
            return (Shape){ SHAPE_KEYED, f->object, f };
        return leaf;
    default:
        return f->type == SCHEMA_OBJECT ? struct_shape(f->object) : leaf;
    }
}

static Shape member_shape(const Shape *s, StrView key)
{
    if (s->kind == SHAPE_STRUCT)
        return shape_of(schema_field(s->object, key));
    if (s->field->type == SCHEMA_ITEM)
        return shape_of(s->field->item);
    return s->field->type == SCHEMA_OBJECT ? struct_shape(s->field->object) : leaf;
}

static Shape item_shape(const Shape *s)
{
    return s->kind == SHAPE_KEYED ? struct_shape(s->object) : leaf;
}

static bool is_members(const Shape *s)
{
    return s->kind == SHAPE_STRUCT || s->kind == SHAPE_MAP;
}

static bool is_items(const Shape *s)
{
    return s->kind == SHAPE_SET || s->kind == SHAPE_KEYED;
}

/* ---- steps ---- */

static StrView field_step(StrView name, Arena *a)
{
    const StrView parts[] = { SV("f:"), name };
    return arena_join(a, parts, ARRAY_SIZE(parts));
}

static bool put_key(const Shape *s, const Value *item, StrView name, Arena *a, Buf *out)
{
    const Value *v = value_get(item, name);
    const SchemaField *f = schema_field(s->object, name);
    Value def;
    if (!v && f && f->def.len && json_decode(f->def, a, NULL, &def, NULL) == 0)
        v = &def;
    buf_printf(out, "\"%.*s\":", SV_FMT(name));
    if (v)
        json_encode(v, out);
    else
        buf_sv(out, SV("null"));
    return v != NULL;
}

/* `k:{"containerPort":80,"protocol":"TCP"}` or `v:"a"`; *ret_whole is false when a key is missing
 * and has no default. SV_NULL: arena exhausted. */
static StrView item_step(const Shape *s, const Value *item, Arena *a, bool *ret_whole)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    *ret_whole = true;
    if (s->kind == SHAPE_SET) {
        buf_sv(&out, SV("v:"));
        json_encode(item, &out);
    } else {
        /* Keys stand in the order of their names. */
        bool done[8] = { false };
        unsigned n = MIN(s->field->n_list_keys, (unsigned)ARRAY_SIZE(done));
        buf_sv(&out, SV("k:{"));
        for (unsigned k = 0; k < n; k++) {
            unsigned best = n;
            for (unsigned i = 0; i < n; i++)
                if (!done[i] &&
                    (best == n || sv_cmp(s->field->list_keys[i], s->field->list_keys[best]) < 0))
                    best = i;
            done[best] = true;
            if (k)
                buf_putc(&out, ',');
            *ret_whole &= put_key(s, item, s->field->list_keys[best], a, &out);
        }
        buf_putc(&out, '}');
    }
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

/* A list's items by their steps; of those with the same, the first. */
typedef struct Items {
    const Value *list;
    StrView *steps;
    KeyIndex at;
} Items;

static bool items_init(Items *t, const Shape *s, const Value *list, Arena *a)
{
    uint32_t n = value_is(list, VALUE_LIST) ? list->len : 0, at;
    bool whole, fresh;
    *t = (Items){ list, arena_array(a, StrView, n ? n : 1), { 0 } };
    if (!key_index_reserve(&t->at, a, n))
        return false;
    for (uint32_t i = 0; t->steps && i < n; i++)
        if (!(t->steps[i] = item_step(s, &list->items[i], a, &whole)).ptr ||
            !key_index_add(&t->at, a, t->steps[i], i, &at, &fresh))
            return false;
    return t->steps != NULL;
}

static int64_t items_find(const Items *t, StrView step)
{
    return key_index_find(&t->at, step);
}

/* ---- which fields there are ---- */

typedef struct Walk {
    Arena *arena;
    FieldSet *set;
    Err *err;
} Walk;

static int walk_fields(Walk *w, Shape s, const Value *v, const FieldPath *path);

static void note_path(void *ctx, StrView path)
{
    buf_clear(ctx);
    buf_sv(ctx, path);
}

static int bad_item(Walk *w, const FieldPath *path, const char *why)
{
    FieldSet one = { 0 };
    _cleanup_buf_ Buf text = BUF_INIT;
    if (!fieldset_insert(&one, path, w->arena) ||
        !fieldset_each(&one, w->arena, note_path, &text) || !buf_cstr(&text))
        return err_nomem(w->err);
    return err_set(w->err, ERR_INVALID, 0, "%s: %s", text.ptr, why);
}

static int walk_items(Walk *w, const Shape *s, const Value *v, const FieldPath *path)
{
    Shape inner = item_shape(s);
    KeyIndex seen = { 0 };
    value_list_foreach (it, v) {
        bool whole, fresh;
        uint32_t at;
        FieldPath here = { path, item_step(s, it, w->arena, &whole) };
        if (!here.step.ptr)
            return err_nomem(w->err);
        if (!whole)
            return bad_item(w, &here, "an item of this list needs all of its keys");
        if (!key_index_add(&seen, w->arena, here.step, 0, &at, &fresh))
            return err_nomem(w->err);
        if (!fresh)
            return bad_item(w, &here, "duplicate entries for key");
        int r = walk_fields(w, inner, it, &here);
        if (r < 0)
            return r;
        if (!fieldset_insert(w->set, &here, w->arena))
            return err_nomem(w->err);
    }
    return 0;
}

static int walk_fields(Walk *w, Shape s, const Value *v, const FieldPath *path)
{
    if (is_items(&s) && v->kind == VALUE_LIST)
        return walk_items(w, &s, v, path);
    if (!is_members(&s) || v->kind != VALUE_MAP)
        return fieldset_insert(w->set, path, w->arena) ? 0 : err_nomem(w->err);
    value_map_foreach (m, v) {
        FieldPath here = { path, field_step(m->key, w->arena) };
        bool empty = m->val.kind == VALUE_NULL || (m->val.kind == VALUE_MAP && !m->val.len);
        if (!here.step.ptr)
            return err_nomem(w->err);
        int r = walk_fields(w, member_shape(&s, m->key), &m->val, &here);
        if (r < 0)
            return r;
        if ((empty || s.kind == SHAPE_MAP) && !fieldset_insert(w->set, &here, w->arena))
            return err_nomem(w->err);
    }
    return 0;
}

int typed_fields(const SchemaObject *type, const Value *obj, Arena *a, FieldSet *ret, Err *err)
{
    *ret = (FieldSet){ 0 };
    Walk w = { a, ret, err };
    int r = walk_fields(&w, struct_shape(type), obj, NULL);
    fieldset_settle(ret);
    return r;
}

/* ---- what differs ---- */

typedef struct Compare {
    Arena *arena;
    FieldSet *changed, *removed;
} Compare;

static bool compare_values(Compare *c, Shape s, const Value *x, const Value *y,
                           const FieldPath *path);

static bool compare_leaf(Compare *c, const Value *x, const Value *y, const FieldPath *path)
{
    if (!y)
        return fieldset_insert(c->removed, path, c->arena);
    return (x && value_equal(x, y)) || fieldset_insert(c->changed, path, c->arena);
}

static bool compare_members(Compare *c, const Shape *s, const Value *x, const Value *y,
                            const FieldPath *path)
{
    const Value *sides[] = { y, x };
    MapView of_x, of_y; /* read only */
    if (!map_view_init(&of_x, (Value *)x, value_len(y), c->arena) ||
        !map_view_init(&of_y, (Value *)y, value_len(x), c->arena))
        return false;
    for (size_t side = 0; side < ARRAY_SIZE(sides); side++) {
        value_map_foreach (m, sides[side]) {
            const Value *before = side ? &m->val : map_view_get(&of_x, m->key),
                        *after = side ? map_view_get(&of_y, m->key) : &m->val;
            if (side && after) /* seen from the other side */
                continue;
            if (before && after && value_equal(before, after))
                continue;
            FieldPath here = { path, field_step(m->key, c->arena) };
            if (!here.step.ptr || !compare_values(c, member_shape(s, m->key), before, after, &here))
                return false;
        }
    }
    return true;
}

static bool compare_items(Compare *c, const Shape *s, const Value *x, const Value *y,
                          const FieldPath *path)
{
    Shape inner = item_shape(s);
    Items old, fresh;
    if (!items_init(&old, s, x, c->arena) || !items_init(&fresh, s, y, c->arena))
        return false;
    for (uint32_t i = 0; i < value_len(y); i++) {
        int64_t at = items_find(&old, fresh.steps[i]);
        FieldPath here = { path, fresh.steps[i] };
        if (!compare_values(c, inner, at < 0 ? NULL : &x->items[at], &y->items[i], &here))
            return false;
    }
    for (uint32_t i = 0; i < value_len(x); i++) {
        FieldPath here = { path, old.steps[i] };
        if (items_find(&fresh, old.steps[i]) < 0 &&
            !compare_values(c, inner, &x->items[i], NULL, &here))
            return false;
    }
    return true;
}

/* NULL: not there. A container that appears or goes is itself a difference, beside its fields. */
static bool compare_values(Compare *c, Shape s, const Value *x, const Value *y,
                           const FieldPath *path)
{
    ValueKind kind = is_members(&s) ? VALUE_MAP : is_items(&s) ? VALUE_LIST : VALUE_NULL;
    bool both_empty = !value_len(x) && !value_len(y);
    bool odd = (x && x->kind != kind && x->kind != VALUE_NULL) ||
               (y && y->kind != kind && y->kind != VALUE_NULL);
    if (kind == VALUE_NULL || both_empty || odd)
        return compare_leaf(c, x, y, path);
    if (kind == VALUE_MAP ? !compare_members(c, &s, x, y, path) : !compare_items(c, &s, x, y, path))
        return false;
    if (!x && path)
        return fieldset_insert(c->changed, path, c->arena);
    return y || !path || fieldset_insert(c->removed, path, c->arena);
}

bool typed_compare(const SchemaObject *type, const Value *before, const Value *after, Arena *a,
                   FieldSet *ret_changed, FieldSet *ret_removed)
{
    *ret_changed = *ret_removed = (FieldSet){ 0 };
    Compare c = { a, ret_changed, ret_removed };
    Shape s = struct_shape(type);
    bool ok = compare_members(&c, &s, before, after, NULL);
    fieldset_settle(ret_changed);
    fieldset_settle(ret_removed);
    return ok;
}

/* ---- merging ---- */

static bool merge_values(Shape s, Value *to, const Value *with, Arena *a);

static bool merge_items(const Shape *s, Value *to, const Value *with, Arena *a)
{
    Items old, fresh;
    Value out = value_list(), base = *to;
    Shape inner = item_shape(s);
    if (!items_init(&old, s, &base, a) || !items_init(&fresh, s, with, a))
        return false;
    uint32_t next = 0; /* the object's items before it are placed, or wait for their turn */
    for (uint32_t i = 0; i < with->len; i++) {
        int64_t at = items_find(&old, fresh.steps[i]);
        for (; next < base.len; next++) {
            if (items_find(&fresh, old.steps[next]) < 0) {
                if (!value_push(a, &out, base.items[next]))
                    return false;
            } else if ((int64_t)next >= at) {
                next += next == at;
                break;
            }
        }
        Value item = at < 0 ? with->items[i] : base.items[at];
        if ((at >= 0 && !merge_values(inner, &item, &with->items[i], a)) ||
            !value_push(a, &out, item))
            return false;
    }
    for (; next < base.len; next++)
        if (items_find(&fresh, old.steps[next]) < 0 && !value_push(a, &out, base.items[next]))
            return false;
    *to = out;
    return true;
}

static bool merge_values(Shape s, Value *to, const Value *with, Arena *a)
{
    if (is_items(&s) && to->kind == VALUE_LIST && with->kind == VALUE_LIST)
        return merge_items(&s, to, with, a);
    if (!is_members(&s) || to->kind != VALUE_MAP || with->kind != VALUE_MAP) {
        *to = *with;
        return true;
    }
    MapView view;
    if (!map_view_init(&view, to, with->len, a))
        return false;
    value_map_foreach (m, with) {
        Value *have = map_view_get(&view, m->key);
        if (have ? !merge_values(member_shape(&s, m->key), have, &m->val, a)
                 : !map_view_append(&view, m->key, m->val))
            return false;
    }
    return true;
}

bool typed_merge(const SchemaObject *type, Value *obj, const Value *config, Arena *a)
{
    return merge_values(struct_shape(type), obj, config, a);
}

/* ---- taking out ---- */

static bool remove_below(Shape s, Value *v, const FieldSet *doomed, Arena *a);

static bool remove_members(const Shape *s, Value *v, const FieldSet *doomed, Arena *a)
{
    uint32_t kept = 0;
    value_map_foreach (m, v) {
        StrView step = field_step(m->key, a);
        if (!step.ptr)
            return false;
        const FieldSet *d = fieldset_child(doomed, step);
        bool gone = d && d->member;
        if (d && !gone && value_len(&m->val)) {
            if (!remove_below(member_shape(s, m->key), &m->val, d, a))
                return false;
            gone = !value_len(&m->val);
        }
        if (!gone)
            v->members[kept++] = *m;
    }
    v->len = kept;
    return true;
}

static bool remove_items(const Shape *s, Value *v, const FieldSet *doomed, Arena *a)
{
    uint32_t kept = 0;
    value_list_foreach (it, v) {
        bool whole;
        StrView step = item_step(s, it, a, &whole);
        if (!step.ptr)
            return false;
        const FieldSet *d = fieldset_child(doomed, step);
        if (d && d->member)
            continue;
        if (d && !remove_below(item_shape(s), it, d, a))
            return false;
        v->items[kept++] = *it;
    }
    v->len = kept;
    return true;
}

static bool remove_below(Shape s, Value *v, const FieldSet *doomed, Arena *a)
{
    if (is_members(&s) && v->kind == VALUE_MAP)
        return remove_members(&s, v, doomed, a);
    if (is_items(&s) && v->kind == VALUE_LIST)
        return remove_items(&s, v, doomed, a);
    return true;
}

bool typed_remove(const SchemaObject *type, Value *obj, const FieldSet *doomed, Arena *a)
{
    return remove_below(struct_shape(type), obj, doomed, a);
}
