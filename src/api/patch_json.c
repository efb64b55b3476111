/* patch_json.c - JSON patch (RFC 6902) with JSON pointers (RFC 6901).
 *
 * Each operation finds the container that holds its target and the last token, then acts on it. The
 * sentences of failures are those that Kubernetes' library has. */
#include "api/patch.h"

typedef struct Target {
    Value *in;     /* the map or list; NULL: the whole document is meant */
    StrView token; /* key, or index as text */
} Target;

/* Takes ~1 and ~0 out of a token. */
static bool unescape(Arena *a, StrView raw, StrView *ret)
{
    if (sv_find_char(raw, '~') < 0) {
        *ret = raw;
        return true;
    }
    char *out = arena_alloc(a, raw.len + 1);
    size_t n = 0;
    if (!out)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '~' && i + 1 < raw.len && (raw.ptr[i + 1] == '0' || raw.ptr[i + 1] == '1'))
            c = raw.ptr[++i] == '0' ? '~' : '/';
        out[n++] = c;
    }
    *ret = sv_n(out, n);
    return true;
}

/* An index within a list of n items; negative ones count from the end, as Kubernetes' library
 * allows. */
static int list_index(StrView token, uint32_t n, bool insert, uint32_t *ret)
{
    int64_t i;

    if (insert && sv_eq(token, SV("-"))) {
        *ret = n;
        return 0;
    }
    if (sv_to_i64(token, &i) < 0)
        return -1;
    if (i < 0)
        i += insert ? (int64_t)n + 1 : (int64_t)n;
    if (i < 0 || i > (int64_t)n || (i == (int64_t)n && !insert))
        return -1;
    *ret = (uint32_t)i;
    return 0;
}

static Value *step(Value *in, StrView token)
{
    uint32_t i;

    if (value_is(in, VALUE_LIST))
        return list_index(token, in->len, false, &i) < 0 ? NULL : &in->items[i];
    return value_get(in, token);
}

/* A key is looked for from the front of its map, and a list moves when an item comes or goes: so
 * many members and items all operations of a patch may pass together. */
enum { WORK_MAX = 10 * 1000 * 1000 };

/* The container of the pointer's target; false when the way there does not exist. */
static bool find(Value *doc, StrView pointer, Arena *a, uint64_t *work, Target *ret)
{
    StrView rest = sv_skip(pointer, 1), raw, token;

    *ret = (Target){ 0 };
    if (pointer.len == 0)
        return true;
    Value *at = doc;
    while (sv_cut(rest, '/', &raw, &rest)) {
        if (!unescape(a, raw, &token))
            return false;
        *work += value_len(at);
        at = step(at, token);
        if (!value_is(at, VALUE_MAP) && !value_is(at, VALUE_LIST))
            return false;
    }
    *work += value_len(at);
    ret->in = at;
    return (value_is(at, VALUE_MAP) || value_is(at, VALUE_LIST)) && unescape(a, raw, &ret->token);
}

static Value *target_value(Value *doc, const Target *t)
{
    return t->in ? step(t->in, t->token) : doc;
}

static int missing(const char *op, StrView path, Err *err)
{
    return err_set(err, ERR_CONFLICT, 0,
                   "%s operation does not apply: doc is missing path: \"%.*s\": missing value", op,
                   SV_FMT(path));
}

static int add(Value *doc, StrView path, Value v, Arena *a, uint64_t *work, Err *err)
{
    uint32_t i;
    Target t;

    if (!find(doc, path, a, work, &t))
        return missing("add", path, err);
    if (!t.in) {
        *doc = v;
        return 0;
    }
    if (t.in->kind == VALUE_MAP)
        return value_set(a, t.in, t.token, v) ? 0 : err_nomem(err);
    if (list_index(t.token, t.in->len, true, &i) < 0)
        return err_set(
            err, ERR_CONFLICT, 0,
            "add operation does not apply: error in add for path: '%.*s': Unable to access "
            "invalid index: %.*s: invalid index referenced",
            SV_FMT(path), SV_FMT(t.token));
    if (!value_push(a, t.in, v))
        return err_nomem(err);
    memmove(&t.in->items[i + 1], &t.in->items[i], (t.in->len - 1 - i) * sizeof(Value));
    t.in->items[i] = v;
    return 0;
}

static int take_away(Value *doc, StrView path, Arena *a, uint64_t *work, Err *err)
{
    uint32_t i;
    Target t;

    if (!find(doc, path, a, work, &t) || !t.in)
        return missing("remove", path, err);
    if (t.in->kind == VALUE_LIST && list_index(t.token, t.in->len, false, &i) == 0)
        value_remove(t.in, i);
    else if (!value_del(t.in, t.token))
        return err_set(
            err, ERR_CONFLICT, 0,
            "remove operation does not apply: error in remove for path: '%.*s': Unable to "
            "remove nonexistent key: %.*s: missing value",
            SV_FMT(path), SV_FMT(t.token));
    return 0;
}

static int replace(Value *doc, StrView path, Value v, Arena *a, uint64_t *work, Err *err)
{
    Target t;

    if (!find(doc, path, a, work, &t))
        return missing("replace", path, err);
    Value *old = target_value(doc, &t);
    if (!old)
        return err_set(err, ERR_CONFLICT, 0,
                       "replace operation does not apply: doc is missing key: %.*s: missing value",
                       SV_FMT(path));
    *old = v;
    return 0;
}

static int test(Value *doc, StrView path, const Value *want, Arena *a, uint64_t *work, Err *err)
{
    Target t;
    Value *v = find(doc, path, a, work, &t) ? target_value(doc, &t) : NULL;

    /* A member that is not there equals null. */
    if ((!v && want->kind == VALUE_NULL) || (v && value_equal(v, want)))
        return 0;
    return err_set(err, ERR_CONFLICT, 0, "testing value %.*s failed: test failed", SV_FMT(path));
}

/* move and copy: the value at `from`, as a copy of its own. */
static int fetch(Value *doc, StrView from, const char *op, Arena *a, uint64_t *work, Value *ret,
                 Err *err)
{
    Target t;
    Value *v = find(doc, from, a, work, &t) ? target_value(doc, &t) : NULL;

    if (!v)
        return missing(op, from, err);
    return value_clone(a, v, ret) ? 0 : err_nomem(err);
}

static int apply(Value *doc, const Value *op, Arena *a, uint64_t *work, Err *err)
{
    StrView name = value_str(value_get(op, SV("op"))), path = value_str(value_get(op, SV("path")));
    const Value *from = value_get(op, SV("from")), *arg = value_get(op, SV("value"));
    Value v = value_null();
    int r;

    if (!value_is(op, VALUE_MAP) || !value_is(value_get(op, SV("path")), VALUE_STRING))
        return err_set(err, ERR_INVALID, 0, "a JSON patch operation needs \"op\" and \"path\"");
    if (path.len > 0 && path.ptr[0] != '/')
        return missing(sv_eq(name, SV("add")) ? "add" : "replace", path, err);
    if (sv_eq(name, SV("remove")))
        return take_away(doc, path, a, work, err);
    if (sv_eq(name, SV("move")) || sv_eq(name, SV("copy"))) {
        bool move = sv_eq(name, SV("move"));
        if (!value_is(from, VALUE_STRING))
            return err_set(err, ERR_INVALID, 0, "%s operation needs \"from\"",
                           move ? "move" : "copy");
        r = fetch(doc, value_str(from), move ? "move" : "copy", a, work, &v, err);
        if (r >= 0 && move)
            r = take_away(doc, value_str(from), a, work, err);
        return r < 0 ? r : add(doc, path, v, a, work, err);
    }
    if (arg && !value_clone(a, arg, &v))
        return err_nomem(err);
    if (sv_eq(name, SV("test")))
        return test(doc, path, &v, a, work, err);
    if (!arg)
        return err_set(err, ERR_INVALID, 0, "a JSON patch operation needs \"value\"");
    if (sv_eq(name, SV("add")))
        return add(doc, path, v, a, work, err);
    if (sv_eq(name, SV("replace")))
        return replace(doc, path, v, a, work, err);
    return err_set(err, ERR_INVALID, 0, "unexpected kind: %.*s", SV_FMT(name));
}

int patch_json(Value *doc, const Value *patch, Arena *a, Err *err)
{
    if (patch->kind != VALUE_LIST)
        return err_set(err, ERR_INVALID, 0, "a JSON patch is a list of operations");
    if (patch->len > PATCH_OPERATIONS_MAX)
        return err_set(err, ERR_LIMIT, 0,
                       "The allowed maximum operations in a JSON patch is %d, got %u",
                       PATCH_OPERATIONS_MAX, patch->len);
    uint64_t work = 0;
    value_list_foreach (op, patch) {
        int r = apply(doc, op, a, &work, err);
        if (r < 0)
            return r;
        if (work > WORK_MAX)
            return err_set(err, ERR_LIMIT, 0,
                           "the JSON patch has too many operations on maps and lists as large as "
                           "these: use a merge patch, or several patches");
    }
    return 0;
}
