/* spec_kinds.c - members of config.json that codec/bind.h does not know: terminated texts, numbers
 * of a width, numbers that may be absent, names of a list. */
#include <stdarg.h>
#include <stdio.h>

#include "codec/json.h"
#include "oci/runtime/spec_internal.h"

/* --- texts --- */

static int terminated(Binder *b, const Value *v, const char **ret)
{
    StrView s = value_str(v);

    if (v->kind != VALUE_STRING)
        return bind_bad_type(b, v, "string");
    if (sv_find_char(s, 0) >= 0)
        return bind_fail(b, v, "a text without NUL bytes is expected");
    *ret = arena_cstr(b->arena, s);
    return *ret ? 0 : err_nomem(b->err);
}

int spec_read_text(Binder *b, void *at, const Value *v)
{
    const char *text = NULL;
    int r = terminated(b, v, &text);

    if (r >= 0)
        *(const char **)at = *text ? text : NULL;
    return r;
}

static int take_text(Binder *b, void *ctx, unsigned index, const Value *it)
{
    return terminated(b, it, &((const char **)ctx)[index]);
}

int spec_read_texts(Binder *b, void *at, const Value *v)
{
    OciTexts *ret = at;
    int r;

    ret->items = arena_array(b->arena, const char *, value_len(v) + 1u);
    ret->len = 0;
    if (!ret->items)
        return err_nomem(b->err);
    if ((r = bind_each(b, v, "[]string", take_text, ret->items)) < 0)
        return r;
    ret->len = v->len;
    return 0;
}

int spec_read_pairs(Binder *b, void *at, const Value *v)
{
    OciPairs *ret = at;
    int r;

    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]string");
    ret->items = arena_array(b->arena, OciPair, v->len + 1u);
    ret->len = 0;
    if (!ret->items)
        return err_nomem(b->err);
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        Value key = value_sv(m->key);

        key.line = m->val.line;
        b->frame = &f;
        if ((r = terminated(b, &key, &ret->items[ret->len].name)) < 0 ||
            (r = terminated(b, &m->val, &ret->items[ret->len].value)) < 0)
            return r;
        b->frame = f.up;
        ret->len++;
    }
    return 0;
}

/* --- numbers --- */

int spec_read_uint(Binder *b, const Value *v, uint64_t max, uint64_t *ret)
{
    uint64_t n;

    if (v->kind != VALUE_INT && v->kind != VALUE_DOUBLE)
        return bind_bad_type(b, v, "a whole number");
    if (!value_to_u64(v, &n) || n > max)
        return bind_fail(b, v, "a whole number from 0 to %llu is expected",
                         (unsigned long long)max);
    *ret = n;
    return 0;
}

int spec_read_int(Binder *b, const Value *v, int64_t min, int64_t max, int64_t *ret)
{
    if (v->kind != VALUE_INT && v->kind != VALUE_DOUBLE)
        return bind_bad_type(b, v, "a whole number");
    if (v->kind != VALUE_INT || v->i < min || v->i > max)
        return bind_fail(b, v, "a whole number from %lld to %lld is expected", (long long)min,
                         (long long)max);
    *ret = v->i;
    return 0;
}

static int read_u32(Binder *b, void *at, const Value *v)
{
    uint64_t n = 0;
    int r = spec_read_uint(b, v, UINT32_MAX, &n);

    if (r >= 0)
        *(uint32_t *)at = (uint32_t)n;
    return r;
}

static int read_i32(Binder *b, void *at, const Value *v)
{
    int64_t n = 0;
    int r = spec_read_int(b, v, INT32_MIN, INT32_MAX, &n);

    if (r >= 0)
        *(int32_t *)at = (int32_t)n;
    return r;
}

static int read_u64(Binder *b, void *at, const Value *v)
{
    return spec_read_uint(b, v, UINT64_MAX, at);
}

static int read_i64(Binder *b, void *at, const Value *v)
{
    return spec_read_int(b, v, INT64_MIN, INT64_MAX, at);
}

static int read_number(Binder *b, void *at, const Value *v, uint64_t max)
{
    uint64_t n = 0;
    int r = spec_read_uint(b, v, max, &n);

    if (r >= 0)
        *(OciNumber *)at = (OciNumber){ true, (int64_t)n };
    return r;
}

static int read_n16(Binder *b, void *at, const Value *v)
{
    return read_number(b, at, v, UINT16_MAX);
}

static int read_n32(Binder *b, void *at, const Value *v)
{
    return read_number(b, at, v, UINT32_MAX);
}

static int read_n64(Binder *b, void *at, const Value *v)
{
    return read_number(b, at, v, UINT64_MAX);
}

static int read_int(Binder *b, void *at, const Value *v)
{
    OciNumber n = { .set = true };
    int r = spec_read_int(b, v, INT64_MIN, INT64_MAX, &n.n);

    if (r >= 0)
        *(OciNumber *)at = n;
    return r;
}

int spec_read_name(Binder *b, const Value *v, const SpecName *names, size_t n, const char *what,
                   int64_t *ret)
{
    StrView s = value_str(v);
    char known[256] = "";

    if (v->kind != VALUE_STRING)
        return bind_bad_type(b, v, "string");
    for (size_t i = 0; i < n; i++)
        if (sv_eq(s, sv_cstr(names[i].name))) {
            *ret = names[i].value;
            return 0;
        }
    for (size_t i = 0, used = 0; i < n && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 names[i].name);
    return bind_fail(b, v, "'%.*s' is no %s; one of %s is expected", SV_FMT(sv_head(s, 64)), what,
                     known);
}

/* --- the format --- */

static int read_own(Binder *b, const Field *f, void *at, const Value *v)
{
    static SpecRead *const readers[FIELD_OCI_END - FIELD_OWN] = {
        [FIELD_OCI_TEXT - FIELD_OWN] = spec_read_text,
        [FIELD_OCI_TEXTS - FIELD_OWN] = spec_read_texts,
        [FIELD_OCI_PAIRS - FIELD_OWN] = spec_read_pairs,
        [FIELD_OCI_U32 - FIELD_OWN] = read_u32,
        [FIELD_OCI_I32 - FIELD_OWN] = read_i32,
        [FIELD_OCI_U64 - FIELD_OWN] = read_u64,
        [FIELD_OCI_I64 - FIELD_OWN] = read_i64,
        [FIELD_OCI_N16 - FIELD_OWN] = read_n16,
        [FIELD_OCI_N32 - FIELD_OWN] = read_n32,
        [FIELD_OCI_N64 - FIELD_OWN] = read_n64,
        [FIELD_OCI_INT - FIELD_OWN] = read_int,
        [FIELD_OCI_GROUPS - FIELD_OWN] = spec_read_groups,
        [FIELD_OCI_CAPS - FIELD_OWN] = spec_read_caps,
        [FIELD_OCI_RLIMIT - FIELD_OWN] = spec_read_rlimit,
        [FIELD_OCI_POLICY - FIELD_OWN] = spec_read_policy,
        [FIELD_OCI_SCHED_FLAGS - FIELD_OWN] = spec_read_sched_flags,
        [FIELD_OCI_IO_CLASS - FIELD_OWN] = spec_read_io_class,
        [FIELD_OCI_NAMESPACES - FIELD_OWN] = spec_read_namespaces,
        [FIELD_OCI_PROPAGATION - FIELD_OWN] = spec_read_propagation,
        [FIELD_OCI_PERSONALITY - FIELD_OWN] = spec_read_personality,
        [FIELD_OCI_DEVICE_TYPE - FIELD_OWN] = spec_read_device_type,
        [FIELD_OCI_RULE_TYPE - FIELD_OWN] = spec_read_rule_type,
        [FIELD_OCI_ACCESS - FIELD_OWN] = spec_read_access,
        [FIELD_OCI_PRIORITIES - FIELD_OWN] = spec_read_priorities,
        [FIELD_OCI_RDMA - FIELD_OWN] = spec_read_rdma,
    };

    return readers[f->kind - FIELD_OWN](b, at, v);
}

static const BindFormat format = { .typed = true, .lenient = true, .read = read_own };

void spec_warn(Binder *b, const char *fmt, ...)
{
    SpecReader *r = (SpecReader *)b;
    StrView text;
    va_list ap;

    va_start(ap, fmt);
    text = arena_vprintf(b->arena, fmt, ap);
    va_end(ap);
    if (r->n_warnings + 1 >= r->cap_warnings) {
        uint32_t cap = r->cap_warnings ? r->cap_warnings * 2 : 8;
        const char **more = arena_realloc(b->arena, r->warnings, r->cap_warnings * sizeof *more,
                                          cap * sizeof *more);
        if (!more)
            return;
        r->warnings = more;
        r->cap_warnings = cap;
    }
    if (text.ptr) {
        r->warnings[r->n_warnings++] = text.ptr;
        r->warnings[r->n_warnings] = NULL;
    }
}

OciTexts spec_warnings(const SpecReader *r)
{
    static const char *const none[1];

    return (OciTexts){ r->n_warnings ? r->warnings : (const char **)none, r->n_warnings };
}

int spec_open(SpecReader *r, StrView text, const char *name, Arena *a, Value *ret_doc, Err *err)
{
    const JsonOptions opt = { .lines = true };
    StrView copy;
    int e;

    if (text.len > OCI_CONFIG_MAX)
        return err_set(err, ERR_LIMIT, 0, "%s: %zu bytes, at most %d are read", name, text.len,
                       OCI_CONFIG_MAX);
    copy = arena_sv(a, text);
    if (!copy.ptr)
        return err_nomem(err);
    *r = (SpecReader){ .b = { .file = name, .arena = a, .format = &format, .err = err } };
    e = json_decode(copy, a, &opt, ret_doc, err);
    if (e < 0) {
        (void)err_wrap(err, "%s", name);
        return e;
    }
    if (ret_doc->kind != VALUE_MAP)
        return bind_bad_type(&r->b, ret_doc, "an object");
    return 0;
}
