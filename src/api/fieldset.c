/* fieldset.c - see fieldset.h. */
#include "api/fieldset.h"
#include "base/buf.h"
#include "codec/json.h"
#include "codec/key_index.h"

/* ---- order and place ---- */

static int step_rank(StrView step)
{
    switch (step.len ? step.ptr[0] : 0) {
    case 'f':
        return 0;
    case 'k':
        return 1;
    case 'v':
        return 2;
    default:
        return 3;
    }
}

static int step_cmp(StrView x, StrView y)
{
    int by_rank = step_rank(x) - step_rank(y);
    return by_rank ? by_rank : sv_cmp(x, y);
}

/* Where the step is, or would be. */
static unsigned place_of(const FieldSet *s, StrView step, bool *ret_found)
{
    unsigned lo = 0, hi = s->len;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = step_cmp(s->children[mid].step, step);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

FieldSet *fieldset_child(const FieldSet *s, StrView step)
{
    bool found;
    unsigned i = place_of(s, step, &found);
    return found ? &s->children[i] : NULL;
}

/* Room for one more child; false: arena exhausted. */
static bool grow(FieldSet *s, Arena *a)
{
    if (s->len < s->cap)
        return true;
    unsigned cap = s->cap ? s->cap * 2 : 4;
    FieldSet *bigger = arena_array(a, FieldSet, cap);
    if (!bigger)
        return false;
    if (s->len)
        memcpy(bigger, s->children, s->len * sizeof *bigger);
    s->children = bigger;
    s->cap = cap;
    return true;
}

static FieldSet *append(FieldSet *s, StrView step, Arena *a)
{
    if (!grow(s, a))
        return NULL;
    s->children[s->len] = (FieldSet){ .step = step };
    return &s->children[s->len++];
}

enum { SHIFT_MAX = 64 }; /* up to so many children, one is put into its place at once */

/* Makes appending in any order possible: the order comes with fieldset_settle(). */
static bool loosen(FieldSet *s, Arena *a)
{
    uint32_t at;
    bool fresh;
    if (!(s->loose = arena_new(a, KeyIndex)))
        return false;
    for (unsigned i = 0; i < s->len; i++)
        if (!key_index_add(s->loose, a, s->children[i].step, i, &at, &fresh))
            return false;
    return true;
}

static FieldSet *loose_child_or_new(FieldSet *s, StrView step, Arena *a)
{
    uint32_t at;
    bool fresh;
    if (!key_index_add(s->loose, a, step, s->len, &at, &fresh))
        return NULL;
    return fresh ? append(s, step, a) : &s->children[at];
}

static FieldSet *child_or_new(FieldSet *s, StrView step, Arena *a)
{
    bool found;
    if (s->loose)
        return loose_child_or_new(s, step, a);
    if (!s->len || step_cmp(s->children[s->len - 1].step, step) < 0)
        return append(s, step, a);
    unsigned i = place_of(s, step, &found);
    if (found)
        return &s->children[i];
    if (s->len >= SHIFT_MAX)
        return loosen(s, a) ? loose_child_or_new(s, step, a) : NULL;
    if (!grow(s, a))
        return NULL;
    memmove(&s->children[i + 1], &s->children[i], (s->len - i) * sizeof *s->children);
    s->len++;
    s->children[i] = (FieldSet){ .step = step };
    return &s->children[i];
}

static int child_cmp(const void *x, const void *y)
{
    return step_cmp(((const FieldSet *)x)->step, ((const FieldSet *)y)->step);
}

void fieldset_settle(FieldSet *s)
{
    if (s->loose)
        qsort(s->children, s->len, sizeof *s->children, child_cmp);
    s->loose = NULL;
    for (unsigned i = 0; i < s->len; i++)
        fieldset_settle(&s->children[i]);
}

static FieldSet *descend(FieldSet *s, const FieldPath *path, Arena *a)
{
    if (!path)
        return s;
    FieldSet *parent = descend(s, path->up, a);
    return parent ? child_or_new(parent, path->step, a) : NULL;
}

bool fieldset_insert(FieldSet *s, const FieldPath *path, Arena *a)
{
    FieldSet *at = descend(s, path, a);
    if (at)
        at->member = true;
    return at != NULL;
}

/* ---- as sets ---- */

bool fieldset_empty(const FieldSet *s)
{
    if (s->member)
        return false;
    for (unsigned i = 0; i < s->len; i++)
        if (!fieldset_empty(&s->children[i]))
            return false;
    return true;
}

bool fieldset_equal(const FieldSet *x, const FieldSet *y)
{
    if (x->member != y->member || x->len != y->len)
        return false;
    for (unsigned i = 0; i < x->len; i++)
        if (!sv_eq(x->children[i].step, y->children[i].step) ||
            !fieldset_equal(&x->children[i], &y->children[i]))
            return false;
    return true;
}

/* Both are in order: a merge, in one walk. */
bool fieldset_union(FieldSet *s, const FieldSet *with, Arena *a)
{
    FieldSet out = { .step = s->step, .member = s->member || with->member };
    unsigned i = 0, j = 0;
    if (!with->len) {
        s->member = out.member;
        return true;
    }
    while (i < s->len || j < with->len) {
        int c = i == s->len      ? 1
                : j == with->len ? -1
                                 : step_cmp(s->children[i].step, with->children[j].step);
        if (!grow(&out, a))
            return false;
        FieldSet *slot = &out.children[out.len++];
        *slot = c <= 0 ? s->children[i++] : (FieldSet){ .step = with->children[j].step };
        if (c >= 0 && !fieldset_union(slot, &with->children[j++], a))
            return false;
    }
    *s = out;
    return true;
}

/* Both x - y and x & y: what is kept of x depends on whether y has it. */
static bool select_members(const FieldSet *x, const FieldSet *y, bool keep_common, Arena *a,
                           FieldSet *ret)
{
    static const FieldSet nothing;
    *ret = (FieldSet){ .step = x->step, .member = x->member && y->member == keep_common };
    for (unsigned i = 0; i < x->len; i++) {
        const FieldSet *other = fieldset_child(y, x->children[i].step);
        if (!other && keep_common)
            continue;
        FieldSet kept;
        if (!select_members(&x->children[i], other ? other : &nothing, keep_common, a, &kept))
            return false;
        if (!kept.member && !kept.len)
            continue;
        FieldSet *slot = append(ret, kept.step, a);
        if (!slot)
            return false;
        *slot = kept;
    }
    return true;
}

bool fieldset_minus(const FieldSet *x, const FieldSet *y, Arena *a, FieldSet *ret)
{
    return select_members(x, y, false, a, ret);
}

bool fieldset_common(const FieldSet *x, const FieldSet *y, Arena *a, FieldSet *ret)
{
    return select_members(x, y, true, a, ret);
}

void fieldset_drop(FieldSet *s, StrView step)
{
    bool found;
    unsigned i = place_of(s, step, &found);
    if (!found)
        return;
    s->len--;
    memmove(&s->children[i], &s->children[i + 1], (s->len - i) * sizeof *s->children);
}

/* ---- FieldsV1 ---- */

static bool is_step(StrView s)
{
    return s.len >= 2 && s.ptr[1] == ':' && strchr("fkvi", s.ptr[0]);
}

static int decode_node(const Value *v, unsigned depth, Arena *a, FieldSet *s, Err *err)
{
    if (v->kind != VALUE_MAP || depth > FIELD_SET_DEPTH_MAX)
        return err_set(err, ERR_INVALID, 0, "fieldsV1: expected nested objects");
    if (v->len == 0)
        s->member = true;
    value_map_foreach (m, v) {
        if (sv_eq(m->key, SV("."))) {
            s->member = true;
            continue;
        }
        if (!is_step(m->key))
            return err_set(err, ERR_INVALID, 0,
                           "fieldsV1: unknown path element \"%.*s\"; expected f:, k:, v: or i:",
                           (int)MIN(m->key.len, (size_t)64), m->key.ptr);
        FieldSet *c = child_or_new(s, m->key, a);
        if (!c)
            return err_nomem(err);
        int r = decode_node(&m->val, depth + 1, a, c, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int fieldset_decode(const Value *v, Arena *a, FieldSet *ret, Err *err)
{
    *ret = (FieldSet){ 0 };
    int r = decode_node(v, 0, a, ret, err);
    fieldset_settle(ret);
    ret->member = false; /* an empty document is the empty set */
    return r;
}

bool fieldset_encode(const FieldSet *s, Arena *a, Value *ret)
{
    *ret = value_map();
    if (s->member && s->len && s->step.len && !value_set(a, ret, SV("."), value_map()))
        return false;
    for (unsigned i = 0; i < s->len; i++) {
        Value child;
        if (!fieldset_encode(&s->children[i], a, &child) ||
            !value_append(a, ret, s->children[i].step, child))
            return false;
    }
    return true;
}

/* ---- paths in messages ---- */

/* `k:{"name":"web","port":1}` becomes `[name="web",port=1]`, `v:"a"` becomes `[="a"]`. */
static bool show_step(StrView step, Arena *a, Buf *out)
{
    StrView rest = sv_skip(step, 2);
    Value key;
    switch (step.ptr[0]) {
    case 'f':
        buf_putc(out, '.');
        buf_sv(out, rest);
        return !out->failed;
    case 'k':
        if (json_decode(rest, a, NULL, &key, NULL) < 0 || key.kind != VALUE_MAP)
            break;
        buf_putc(out, '[');
        for (uint32_t i = 0; i < key.len; i++) {
            buf_printf(out, "%s%.*s=", i ? "," : "", SV_FMT(key.members[i].key));
            json_encode(&key.members[i].val, out);
        }
        buf_putc(out, ']');
        return !out->failed;
    default:
        break;
    }
    buf_printf(out, step.ptr[0] == 'i' ? "[%.*s]" : "[=%.*s]", SV_FMT(rest));
    return !out->failed;
}

static bool each(const FieldSet *s, Buf *path, Arena *a, FieldSetFn *fn, void *ctx)
{
    size_t here = path->len;
    if (s->step.len && !show_step(s->step, a, path))
        return false;
    if (s->member && s->step.len)
        fn(ctx, buf_view(path));
    bool ok = true;
    for (unsigned i = 0; ok && i < s->len; i++)
        ok = each(&s->children[i], path, a, fn, ctx);
    path->len = here;
    return ok;
}

bool fieldset_each(const FieldSet *s, Arena *a, FieldSetFn *fn, void *ctx)
{
    _cleanup_buf_ Buf path = BUF_INIT;
    return each(s, &path, a, fn, ctx);
}
