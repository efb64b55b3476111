/* patch_merge.c - JSON merge patch (RFC 7386): null takes away, objects merge, all else replaces.
 */
#include "api/patch.h"
#include "codec/key_index.h"

/* A patch's own nulls mean "not there" where nothing was before. */
static bool copy_without_nulls(Arena *a, const Value *v, Value *ret)
{
    if (v->kind != VALUE_MAP)
        return value_clone(a, v, ret);
    *ret = value_map();
    value_map_foreach (m, v) {
        Value copy;
        if (m->val.kind == VALUE_NULL)
            continue;
        StrView key = arena_sv(a, m->key);
        if (!key.ptr || !copy_without_nulls(a, &m->val, &copy) || !value_append(a, ret, key, copy))
            return false;
    }
    return true;
}

int patch_merge(Value *doc, const Value *patch, Arena *a, Err *err)
{
    Value copy;
    MapView view;

    if (patch->kind != VALUE_MAP || doc->kind != VALUE_MAP)
        return copy_without_nulls(a, patch, doc) ? 0 : err_nomem(err);
    if (!map_view_init(&view, doc, patch->len, a))
        return err_nomem(err);
    value_map_foreach (m, patch) {
        Value *old = map_view_get(&view, m->key);
        if (m->val.kind == VALUE_NULL) {
            map_view_drop(&view, m->key);
        } else if (old && old->kind == VALUE_MAP && m->val.kind == VALUE_MAP) {
            int r = patch_merge(old, &m->val, a, err);
            if (r < 0)
                return r;
        } else if (!copy_without_nulls(a, &m->val, &copy)) {
            return err_nomem(err);
        } else if (old) {
            *old = copy;
        } else if (!map_view_append(&view, m->key, copy)) {
            return err_nomem(err);
        }
    }
    map_view_end(&view);
    return 0;
}
