/* bind.c - see bind.h. null leaves the default. */
#include "codec/bind.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

/* ---- errors ---- */

static void put_path(const BindFrame *f, Buf *out)
{
    if (!f)
        return;
    put_path(f->up, out);
    if (f->is_item) {
        buf_printf(out, "[%u]", f->index);
    } else {
        if (out->len)
            buf_putc(out, '.');
        buf_sv(out, f->key);
    }
}

static int fail_at(Binder *b, unsigned line, const char *fmt, va_list ap)
{
    char text[400];
    _cleanup_buf_ Buf path = BUF_INIT;

    path.limit = 200;
    put_path(b->frame, &path);
    vsnprintf(text, sizeof text, fmt, ap);
    const char *where = path.len ? buf_cstr(&path) : "";
    char at[16] = "";
    if (line)
        snprintf(at, sizeof at, ":%u", line);
    return err_set(b->err, ERR_INVALID, 0, "%s%s: %s%s%s", b->file, at, where ? where : "",
                   where && *where ? ": " : "", text);
}

int bind_fail(Binder *b, const Value *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = fail_at(b, v ? v->line : 0, fmt, ap);
    va_end(ap);
    return r;
}

int bind_fail_key(Binder *b, const Value *v, const char *key, const char *fmt, ...)
{
    const Value *at = value_get(v, sv_cstr(key));
    BindFrame f = { .up = b->frame, .key = sv_cstr(key) };
    va_list ap;

    b->frame = &f;
    va_start(ap, fmt);
    int r = fail_at(b, at ? at->line : v ? v->line : 0, fmt, ap);
    va_end(ap);
    b->frame = f.up;
    return r;
}

int bind_bad_type(Binder *b, const Value *v, const char *want)
{
    if (v->kind == VALUE_MAP)
        return bind_fail(b, v, "cannot unmarshal !!map into %s", want);
    if (v->kind == VALUE_LIST)
        return bind_fail(b, v, "cannot unmarshal !!seq into %s", want);
    if (v->kind == VALUE_BOOL)
        return bind_fail(b, v, "cannot unmarshal a bool into %s", want);
    if (v->kind == VALUE_INT || v->kind == VALUE_DOUBLE)
        return bind_fail(b, v, "cannot unmarshal a number into %s", want);
    StrView s = value_str(v);
    return bind_fail(b, v, "cannot unmarshal !!str `%.*s` into %s", (int)MIN(s.len, (size_t)40),
                     s.ptr ? s.ptr : "", want);
}

/* ---- scalars ---- */

static int read_bool(Binder *b, const Value *v, bool *ret)
{
    static const char *const yes[] = { "true", "yes", "on", "y" };
    static const char *const no[] = { "false", "no", "off", "n" };
    StrView s = value_str(v);

    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
        if (sv_eq_nocase(s, sv_cstr(yes[i])) || sv_eq_nocase(s, sv_cstr(no[i]))) {
            *ret = sv_eq_nocase(s, sv_cstr(yes[i]));
            return 0;
        }
    }
    return bind_bad_type(b, v, "bool");
}

static int read_text_scalar(Binder *b, const Field *f, void *at, const Value *v)
{
    StrView s = value_str(v);
    bool flag = false;
    int r;

    if (v->kind != VALUE_STRING)
        return bind_bad_type(b, v, f->kind == FIELD_BOOL ? "bool" : "string");
    switch (f->kind) {
    case FIELD_BOOL:
        return read_bool(b, v, at);
    case FIELD_TRI:
        if ((r = read_bool(b, v, &flag)) >= 0)
            *(int8_t *)at = flag;
        return r;
    case FIELD_INT:
        return sv_to_i64(s, at) < 0 ? bind_bad_type(b, v, "int") : 0;
    case FIELD_UINT:
        return sv_to_u64(s, at) < 0 ? bind_bad_type(b, v, "uint") : 0;
    case FIELD_DOUBLE:
        return sv_to_double(s, at) < 0 ? bind_bad_type(b, v, "float64") : 0;
    default:
        *(StrView *)at = s;
        return 0;
    }
}

static int read_typed_scalar(Binder *b, const Field *f, void *at, const Value *v)
{
    switch (f->kind) {
    case FIELD_BOOL:
    case FIELD_TRI:
        if (v->kind != VALUE_BOOL)
            return bind_bad_type(b, v, "bool");
        if (f->kind == FIELD_TRI)
            *(int8_t *)at = v->b;
        else
            *(bool *)at = v->b;
        return 0;
    case FIELD_INT:
    case FIELD_UINT:
        if (v->kind != VALUE_INT || (f->kind == FIELD_UINT && v->i < 0))
            return bind_bad_type(b, v, f->kind == FIELD_INT ? "int" : "uint");
        *(int64_t *)at = v->i;
        return 0;
    case FIELD_DOUBLE:
        if (v->kind != VALUE_INT && v->kind != VALUE_DOUBLE)
            return bind_bad_type(b, v, "float64");
        *(double *)at = v->kind == VALUE_INT ? (double)v->i : v->d;
        return 0;
    default:
        if (v->kind != VALUE_STRING)
            return bind_bad_type(b, v, "string");
        *(StrView *)at = value_str(v);
        return 0;
    }
}

/* ---- lists and maps of texts ---- */

int bind_each(Binder *b, const Value *v, const char *want, BindItemFn *fn, void *ctx)
{
    BindFrame f = { .up = b->frame, .is_item = true };
    int r = 0;
    if (v->kind != VALUE_LIST)
        return bind_bad_type(b, v, want);
    b->frame = &f;
    value_list_foreach (it, v) {
        if ((r = fn(b, ctx, f.index, it)) < 0)
            break;
        f.index++;
    }
    b->frame = f.up;
    return r;
}

static int take_text(Binder *b, void *ctx, unsigned index, const Value *it)
{
    if (it->kind != VALUE_STRING && it->kind != VALUE_NULL)
        return bind_bad_type(b, it, "string");
    ((StrView *)ctx)[index] = it->kind == VALUE_NULL ? SV("") : value_str(it);
    return 0;
}

int bind_texts(Binder *b, const Value *v, StrList *ret)
{
    if (v->kind == VALUE_STRING) { /* yaml.v2 takes one item for a list of one */
        StrView *one = arena_array(b->arena, StrView, 1);
        if (!one)
            return err_nomem(b->err);
        *one = value_str(v);
        *ret = (StrList){ one, 1 };
        return 0;
    }
    StrView *items = arena_array(b->arena, StrView, value_len(v) + 1u);
    if (!items)
        return err_nomem(b->err);
    int r = bind_each(b, v, "[]string", take_text, items);
    if (r < 0)
        return r;
    *ret = (StrList){ items, v->len };
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp(((const StrParam *)a)->name, ((const StrParam *)b)->name);
}

static int read_params(Binder *b, const Value *v, StrParams *ret)
{
    int r;
    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string][]string");
    StrParam *items = arena_array(b->arena, StrParam, v->len + 1u);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        b->frame = &f;
        items[n].name = m->key;
        if (m->val.kind != VALUE_NULL && (r = bind_texts(b, &m->val, &items[n].values)) < 0)
            return r;
        b->frame = f.up;
        n++;
    }
    qsort(items, n, sizeof *items, by_name);
    *ret = (StrParams){ items, n };
    return 0;
}

/* ---- structs ---- */

typedef LIST(void) AnyList;

typedef struct ListWalk {
    const Type *type;
    char *items;
} ListWalk;

static int take_struct(Binder *b, void *ctx, unsigned index, const Value *it)
{
    const ListWalk *l = ctx;
    if (it->kind == VALUE_NULL)
        return bind_fail(b, it, "empty or null section");
    return bind_struct(b, l->type, l->items + index * l->type->size, it);
}

static int read_list(Binder *b, const Type *t, const Value *v, AnyList *ret)
{
    if (v->kind == VALUE_LIST && v->len > BIND_LIST_MAX)
        return bind_fail(b, v, "more than %d items", BIND_LIST_MAX);
    ListWalk l = { t, arena_alloc_n(b->arena, value_len(v) + 1u, t->size) };
    if (!l.items)
        return err_nomem(b->err);
    int r = bind_each(b, v, t->name, take_struct, &l);
    if (r < 0)
        return r;
    *ret = (AnyList){ l.items, v->len };
    return 0;
}

static int read_pointer(Binder *b, const Type *t, void **at, const Value *v)
{
    void *obj = arena_alloc(b->arena, t->size);
    if (!obj)
        return err_nomem(b->err);
    int r = bind_struct(b, t, obj, v);
    if (r >= 0)
        *at = obj;
    return r;
}

static int read_field(Binder *b, const Field *f, void *at, const Value *v)
{
    switch (f->kind) {
    case FIELD_TEXTS:
        return bind_texts(b, v, at);
    case FIELD_PARAMS:
    case FIELD_SECRET_PARAMS:
        return read_params(b, v, at);
    case FIELD_VALUE:
        *(const Value **)at = v;
        return 0;
    case FIELD_STRUCT:
        return bind_struct(b, f->sub, at, v);
    case FIELD_POINTER:
        return read_pointer(b, f->sub, at, v);
    case FIELD_LIST:
        return read_list(b, f->sub, v, at);
    default:
        if (f->kind >= FIELD_OWN)
            return b->format->read(b, f, at, v);
        return b->format && b->format->typed ? read_typed_scalar(b, f, at, v)
                                             : read_text_scalar(b, f, at, v);
    }
}

/* The field of a key, and the struct that holds it, which may be an inline one. */
static const Field *find_field(const Type *t, void *obj, StrView key, void **ret_obj)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const Field *f = &t->fields[i];
        if (f->kind == FIELD_INLINE) {
            const Field *found = find_field(f->sub, (char *)obj + f->offset, key, ret_obj);
            if (found)
                return found;
        } else if (sv_eq(sv_cstr(f->key), key)) {
            *ret_obj = obj;
            return f;
        }
    }
    return NULL;
}

static void set_defaults(const Type *t, void *obj)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const Field *f = &t->fields[i];
        void *at = (char *)obj + f->offset;
        if (f->kind == FIELD_INLINE || f->kind == FIELD_STRUCT)
            set_defaults(f->sub, at);
        else if (f->kind == FIELD_TRI)
            *(int8_t *)at = BIND_UNSET;
    }
    if (t->init)
        t->init(obj);
}

static int unknown_key(Binder *b, const Type *t, StrView key, const Value *v)
{
    int r = b->format && b->format->unknown ? b->format->unknown(b, key, v) : 0;
    if (r < 0 || (b->format && b->format->lenient))
        return r;
    return bind_fail(b, v, "field %.*s not found in type %s", SV_FMT(key), t->name);
}

int bind_struct(Binder *b, const Type *t, void *obj, const Value *v)
{
    int r;
    set_defaults(t, obj);
    if (v->kind != VALUE_MAP && v->kind != VALUE_NULL)
        return bind_bad_type(b, v, t->name);
    value_map_foreach (m, v) {
        void *holder = NULL;
        const Field *f = find_field(t, obj, m->key, &holder);
        BindFrame frame = { .up = b->frame, .key = m->key };
        if (!f && (r = unknown_key(b, t, m->key, &m->val)) < 0)
            return r;
        if (!f || m->val.kind == VALUE_NULL)
            continue;
        b->frame = &frame;
        if ((r = read_field(b, f, (char *)holder + f->offset, &m->val)) < 0)
            return r;
        b->frame = frame.up;
    }
    return t->check ? t->check(b, obj, v) : 0;
}

void bind_visit(const Type *t, void *obj, const Type *want, BindVisitFn *fn, void *ctx)
{
    if (t == want)
        fn(ctx, obj);
    for (unsigned i = 0; i < t->n_fields; i++) {
        const Field *f = &t->fields[i];
        void *at = (char *)obj + f->offset;
        if (f->kind == FIELD_INLINE || f->kind == FIELD_STRUCT)
            bind_visit(f->sub, at, want, fn, ctx);
        else if (f->kind == FIELD_POINTER && *(void **)at)
            bind_visit(f->sub, *(void **)at, want, fn, ctx);
        else if (f->kind == FIELD_LIST)
            for (unsigned n = 0; n < ((AnyList *)at)->len; n++)
                bind_visit(f->sub, (char *)((AnyList *)at)->items + n * f->sub->size, want, fn,
                           ctx);
    }
}
