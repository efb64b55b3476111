/* bind.c - YAML to structs by tables. Scalars arrive as the text that stands in the file, so that
 * a label value 0010 or a replacement 1e3 stays what was written; null leaves the default. */
#include "monitor/config/bind.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/vec.h"
#include "monitor/model/duration.h"

enum { LIST_MAX = 1000000 };

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
    return err_set(b->err, ERR_INVALID, 0, "%s:%u: %s%s%s", b->file, line ? line : 1,
                   where ? where : "", where && *where ? ": " : "", text);
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

static int bad_type(Binder *b, const Value *v, const char *want)
{
    if (v->kind == VALUE_MAP)
        return bind_fail(b, v, "cannot unmarshal !!map into %s", want);
    if (v->kind == VALUE_LIST)
        return bind_fail(b, v, "cannot unmarshal !!seq into %s", want);
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
    return bad_type(b, v, "bool");
}

static int read_duration(Binder *b, const Value *v, int64_t *ret)
{
    StrView s = value_str(v);
    if (prom_duration_parse(s, ret) == 0)
        return 0;
    _cleanup_buf_ Buf why = BUF_INIT;
    prom_duration_explain(s, &why);
    return bind_fail(b, v, "%.*s", SV_FMT(buf_view(&why)));
}

/* "512MB", "1.5GiB", "1GiB512MiB", "0": all in powers of 1024. */
static int read_size(Binder *b, const Value *v, uint64_t *ret)
{
    static const char prefixes[] = "KMGTPE";
    StrView s = value_str(v);
    double sum = 0;

    for (bool first = true; s.len || first; first = false) {
        size_t n = 0;
        while (n < s.len && ((s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '.'))
            n++;
        double x;
        if (!n || sv_to_double(sv_head(s, n), &x) < 0)
            return bind_fail(b, v, "units: invalid %.*s", SV_FMT(value_str(v)));
        s = sv_skip(s, n);
        const char *p = s.len ? strchr(prefixes, s.ptr[0]) : NULL;
        for (long i = p && *p ? p - prefixes + 1 : 0; i > 0; i--)
            x *= 1024;
        s = sv_skip(s, p && *p ? 1 : 0);
        if (p && *p && s.len && s.ptr[0] == 'i')
            s = sv_skip(s, 1);
        if (s.len && s.ptr[0] == 'B')
            s = sv_skip(s, 1);
        else if (s.len || p || x != 0) /* only 0 does without a unit */
            return bind_fail(b, v, "units: unknown unit %.*s in %.*s", SV_FMT(s),
                             SV_FMT(value_str(v)));
        sum += x;
    }
    if (sum >= 9.2e18)
        return bind_fail(b, v, "%.*s is too large", SV_FMT(value_str(v)));
    *ret = (uint64_t)sum;
    return 0;
}

static int read_action(Binder *b, const Value *v, RelabelAction *ret)
{
    for (unsigned i = 0; i < RELABEL_ACTION_MAX; i++) {
        if (sv_eq_nocase(value_str(v), sv_cstr(relabel_action_names[i]))) {
            *ret = (RelabelAction)i;
            return 0;
        }
    }
    return bind_fail(b, v, "unknown relabel action \"%.*s\"", SV_FMT(value_str(v)));
}

static int read_scalar(Binder *b, const Field *f, void *at, const Value *v)
{
    StrView s = value_str(v);
    bool flag = false;
    int r;

    if (v->kind != VALUE_STRING)
        return bad_type(b, v, f->kind == FIELD_BOOL ? "bool" : "string");
    switch (f->kind) {
    case FIELD_BOOL:
        return read_bool(b, v, at);
    case FIELD_TRI:
        if ((r = read_bool(b, v, &flag)) >= 0)
            *(int8_t *)at = flag;
        return r;
    case FIELD_INT:
        return sv_to_i64(s, at) < 0 ? bad_type(b, v, "int") : 0;
    case FIELD_UINT:
        return sv_to_u64(s, at) < 0 ? bad_type(b, v, "uint") : 0;
    case FIELD_DOUBLE:
        return sv_to_double(s, at) < 0 ? bad_type(b, v, "float64") : 0;
    case FIELD_DURATION:
        return read_duration(b, v, at);
    case FIELD_SIZE:
        return read_size(b, v, at);
    case FIELD_ACTION:
        return read_action(b, v, at);
    case FIELD_URL:
        for (size_t i = 0; i < s.len; i++)
            if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
                return bind_fail(b, v, "parse \"%.*s\": invalid character in URL", SV_FMT(s));
        *(StrView *)at = s;
        return 0;
    default:
        *(StrView *)at = s;
        return 0;
    }
}

/* ---- lists and maps of texts ---- */

static int read_texts(Binder *b, const Value *v, StrList *ret)
{
    if (v->kind == VALUE_STRING) { /* yaml.v2 takes one item for a list of one */
        StrView *one = arena_array(b->arena, StrView, 1);
        if (!one)
            return err_nomem(b->err);
        *one = value_str(v);
        *ret = (StrList){ one, 1 };
        return 0;
    }
    if (v->kind != VALUE_LIST)
        return bad_type(b, v, "[]string");
    StrView *items = arena_array(b->arena, StrView, v->len + 1u);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_list_foreach (it, v) {
        BindFrame f = { .up = b->frame, .index = n, .is_item = true };
        b->frame = &f;
        if (it->kind != VALUE_STRING && it->kind != VALUE_NULL)
            return bad_type(b, it, "string");
        b->frame = f.up;
        items[n++] = it->kind == VALUE_NULL ? SV("") : value_str(it);
    }
    *ret = (StrList){ items, n };
    return 0;
}

static int read_labels(Binder *b, const Value *v, Labels *ret)
{
    LabelsBuilder lb;

    if (v->kind != VALUE_MAP)
        return bad_type(b, v, "map[string]string");
    labels_builder_init(&lb, b->arena, (Labels){ 0 });
    value_map_foreach (m, v) {
        if (m->val.kind != VALUE_STRING && m->val.kind != VALUE_NULL)
            return bad_type(b, &m->val, "string");
        if (!sv_is_utf8(value_str(&m->val)))
            return bind_fail(b, &m->val, "the value of \"%.*s\" is not a valid label value",
                             SV_FMT(m->key));
        labels_builder_set(&lb, m->key, value_str(&m->val));
    }
    return labels_builder_take(&lb, ret) ? 0 : err_nomem(b->err);
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp(((const StrParam *)a)->name, ((const StrParam *)b)->name);
}

static int read_params(Binder *b, const Value *v, StrParams *ret)
{
    int r;
    if (v->kind != VALUE_MAP)
        return bad_type(b, v, "map[string][]string");
    StrParam *items = arena_array(b->arena, StrParam, v->len + 1u);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        b->frame = &f;
        items[n].name = m->key;
        if (m->val.kind != VALUE_NULL && (r = read_texts(b, &m->val, &items[n].values)) < 0)
            return r;
        b->frame = f.up;
        n++;
    }
    qsort(items, n, sizeof *items, by_name);
    *ret = (StrParams){ items, n };
    return 0;
}

static const Field header_fields[] = {
    { "values", FIELD_TEXTS, false, offsetof(FetchExtraHeader, values), NULL },
    { "secrets", FIELD_TEXTS, false, offsetof(FetchExtraHeader, secrets), NULL },
    { "files", FIELD_TEXTS, false, offsetof(FetchExtraHeader, files), NULL },
};
static const Type type_header = {
    "config.Header", sizeof(FetchExtraHeader), header_fields, ARRAY_SIZE(header_fields), NULL, NULL
};

static int read_headers(Binder *b, const Value *v, FetchExtraHeaders *ret)
{
    int r;
    if (v->kind != VALUE_MAP)
        return bad_type(b, v, "map[string]config.Header");
    FetchExtraHeader *items = arena_array(b->arena, FetchExtraHeader, v->len + 1u);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        b->frame = &f;
        if ((r = bind_struct(b, &type_header, &items[n], &m->val)) < 0)
            return r;
        items[n++].name = m->key;
        b->frame = f.up;
    }
    *ret = (FetchExtraHeaders){ items, n };
    return 0;
}

/* ---- structs ---- */

typedef LIST(void) AnyList;

static int read_list(Binder *b, const Type *t, const Value *v, AnyList *ret)
{
    int r;
    if (v->kind != VALUE_LIST)
        return bad_type(b, v, t->name);
    if (v->len > LIST_MAX)
        return bind_fail(b, v, "more than %d items", LIST_MAX);
    char *items = arena_alloc_n(b->arena, v->len + 1u, t->size);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_list_foreach (it, v) {
        BindFrame f = { .up = b->frame, .index = n, .is_item = true };
        b->frame = &f;
        if (it->kind == VALUE_NULL)
            return bind_fail(b, it, "empty or null section");
        if ((r = bind_struct(b, t, items + n * t->size, it)) < 0)
            return r;
        b->frame = f.up;
        n++;
    }
    *ret = (AnyList){ items, n };
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
        return read_texts(b, v, at);
    case FIELD_LABELS:
        return read_labels(b, v, at);
    case FIELD_PARAMS:
    case FIELD_SECRET_PARAMS:
        return read_params(b, v, at);
    case FIELD_HEADERS:
        return read_headers(b, v, at);
    case FIELD_STRUCT:
        return bind_struct(b, f->sub, at, v);
    case FIELD_POINTER:
        return read_pointer(b, f->sub, at, v);
    case FIELD_LIST:
        return read_list(b, f->sub, v, at);
    default:
        return read_scalar(b, f, at, v);
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
            *(int8_t *)at = CONFIG_UNSET;
    }
    if (t->init)
        t->init(obj);
}

/* Kinds of discovery that Prometheus has and this program has not. */
static bool is_foreign_discovery(StrView key)
{
    return sv_ends(key, SV("_sd_configs"));
}

int bind_struct(Binder *b, const Type *t, void *obj, const Value *v)
{
    int r;
    set_defaults(t, obj);
    if (v->kind != VALUE_MAP && v->kind != VALUE_NULL)
        return bad_type(b, v, t->name);
    value_map_foreach (m, v) {
        void *holder = NULL;
        const Field *f = find_field(t, obj, m->key, &holder);
        BindFrame frame = { .up = b->frame, .key = m->key };
        if (!f && is_foreign_discovery(m->key))
            return bind_fail(b, &m->val,
                             "%.*s is not supported: static, file, http, dns and kubernetes are",
                             SV_FMT(m->key));
        if (!f)
            return bind_fail(b, &m->val, "field %.*s not found in type %s", SV_FMT(m->key),
                             t->name);
        if (m->val.kind == VALUE_NULL)
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
