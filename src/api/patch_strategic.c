/* patch_strategic.c - Kubernetes' strategic merge patch, driven by the type's table.
 *
 * Maps merge member by member. A list merges when its field says so: lists of objects by the merge
 * key, lists of scalars as sets; other lists are replaced. The order of a merged list follows the
 * rules of Kubernetes: items of the patch in the patch's order (or $setElementOrder), items that
 * only the server has in the server's order, interleaved by where the server had them.
 */
#include "api/patch.h"

#define DIRECTIVE   "$patch"
#define RETAIN_KEYS "$retainKeys"
#define SET_ORDER   "$setElementOrder/"
#define DELETE_FROM "$deleteFromPrimitiveList/"

typedef struct Merge {
    Arena *arena;
    Err *err;
} Merge;

/* How one list merges. */
typedef struct ListRule {
    const SchemaObject *type; /* of the items; NULL: scalars */
    StrView key;              /* merge key; empty: scalars */
} ListRule;

static int merge_map(Merge *m, const SchemaObject *type, Value *doc, const Value *patch);

static int bad_argument(Merge *m, const char *want, const Value *got)
{
    static const char *const names[] = {
        "null", "bool", "int64", "float64", "string", "list", "map"
    };

    return err_set(m->err, ERR_INVALID, 0, "expected a %s, but received a %s", want,
                   names[got->kind]);
}

static int no_merge_key(Merge *m, StrView key)
{
    return err_set(m->err, ERR_INVALID, 0, "map: does not contain declared merge key: %.*s",
                   SV_FMT(key));
}

static bool is_directive(StrView key)
{
    return sv_eq(key, SV(DIRECTIVE)) || sv_eq(key, SV(RETAIN_KEYS)) ||
           sv_starts(key, SV(SET_ORDER)) || sv_starts(key, SV(DELETE_FROM));
}

/* A copy of a part of the patch that becomes part of the document: no nulls, no directives, and no
 * items that only say what to delete. */
static bool take(Arena *a, const Value *v, Value *ret)
{
    Value copy;

    if (v->kind == VALUE_LIST) {
        *ret = value_list();
        value_list_foreach (it, v) {
            const Value *directive = value_get(it, SV(DIRECTIVE));
            if (directive && sv_eq(value_str(directive), SV("delete")))
                continue;
            if (directive && value_len(it) == 1)
                continue;
            if (!take(a, it, &copy) || !value_push(a, ret, copy))
                return false;
        }
        return true;
    }
    if (v->kind != VALUE_MAP)
        return value_clone(a, v, ret);
    *ret = value_map();
    value_map_foreach (m, v) {
        if (m->val.kind == VALUE_NULL || is_directive(m->key))
            continue;
        StrView key = arena_sv(a, m->key);
        if (!key.ptr || !take(a, &m->val, &copy) || !value_set(a, ret, key, copy))
            return false;
    }
    return true;
}

/* Whether two items of a list are the same one: by merge key, or by value. */
static bool same_item(const ListRule *rule, const Value *x, const Value *y)
{
    if (rule->key.len == 0)
        return value_equal(x, y);
    const Value *kx = value_get(x, rule->key), *ky = value_get(y, rule->key);
    return kx && ky && value_equal(kx, ky);
}

static int64_t index_in(const ListRule *rule, const Value *list, const Value *item)
{
    for (uint32_t i = 0; i < value_len(list); i++) {
        if (same_item(rule, &list->items[i], item))
            return i;
    }
    return -1;
}

/* Puts `merged` into its order: see the head of the file. `wanted` has the patch's order, `server`
 * the list as it was. */
static int put_in_order(Merge *m, const ListRule *rule, Value *merged, const Value *wanted,
                        const Value *server)
{
    Value ours = value_list(), theirs = value_list(), out = value_list();
    uint32_t i = 0, j = 0;

    value_list_foreach (w, wanted) {
        int64_t at = index_in(rule, merged, w);
        if (at >= 0 && index_in(rule, &ours, w) < 0 &&
            !value_push(m->arena, &ours, merged->items[at]))
            return err_nomem(m->err);
    }
    value_list_foreach (it, merged) {
        if (index_in(rule, wanted, it) < 0 && !value_push(m->arena, &theirs, *it))
            return err_nomem(m->err);
    }
    while (i < theirs.len || j < ours.len) {
        bool server_first = j >= ours.len;
        if (i < theirs.len && j < ours.len) {
            int64_t s = index_in(rule, server, &theirs.items[i]);
            int64_t p = index_in(rule, server, &ours.items[j]);
            server_first = s >= 0 && p >= 0 && s < p;
        }
        if (!value_push(m->arena, &out, server_first ? theirs.items[i++] : ours.items[j++]))
            return err_nomem(m->err);
    }
    *merged = out;
    return 0;
}

static int delete_scalars(const ListRule *rule, Value *list, const Value *gone)
{
    for (uint32_t i = 0; i < list->len;) {
        if (index_in(rule, gone, &list->items[i]) >= 0)
            value_remove(list, i);
        else
            i++;
    }
    return 0;
}

static int merge_scalars(Merge *m, const ListRule *rule, Value *list, const Value *patch)
{
    Value server = *list, merged = value_list();

    const Value *const parts[] = { &server, patch };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        value_list_foreach (it, parts[i]) {
            if (index_in(rule, &merged, it) < 0 && !value_push(m->arena, &merged, *it))
                return err_nomem(m->err);
        }
    }
    *list = merged;
    return put_in_order(m, rule, list, patch, &server);
}

/* Items with a $patch directive: delete one, or replace the whole list. */
static int obey_list_directives(Merge *m, const ListRule *rule, Value *list, const Value *patch,
                                bool *ret_replace)
{
    *ret_replace = false;
    value_list_foreach (it, patch) {
        const Value *directive = value_get(it, SV(DIRECTIVE));
        StrView what = value_str(directive);
        if (!directive)
            continue;
        if (sv_eq(what, SV("replace"))) {
            *ret_replace = true;
        } else if (sv_eq(what, SV("delete"))) {
            if (!value_get(it, rule->key))
                return no_merge_key(m, rule->key);
            for (int64_t i; (i = index_in(rule, list, it)) >= 0;)
                value_remove(list, (uint32_t)i);
        } else if (sv_eq(what, SV("merge"))) {
            return err_set(m->err, ERR_INVALID, 0,
                           "merging lists cannot yet be specified in the patch");
        } else {
            return err_set(m->err, ERR_INVALID, 0, "unknown patch type: %.*s", SV_FMT(what));
        }
    }
    return 0;
}

static int merge_objects(Merge *m, const ListRule *rule, Value *list, const Value *patch)
{
    Value server, plain = value_list(), copy;
    bool replace;
    int r;

    if (!value_clone(m->arena, list, &server))
        return err_nomem(m->err);
    if ((r = obey_list_directives(m, rule, list, patch, &replace)) < 0)
        return r;
    if (replace)
        return take(m->arena, patch, list) ? 0 : err_nomem(m->err);
    value_list_foreach (it, patch) {
        if (!value_is(it, VALUE_MAP))
            return bad_argument(m, "map", it);
        if (value_get(it, SV(DIRECTIVE)))
            continue;
        if (!value_get(it, rule->key))
            return no_merge_key(m, rule->key);
        if (!value_push(m->arena, &plain, *it))
            return err_nomem(m->err);
        int64_t at = index_in(rule, list, it);
        if (at >= 0) {
            if ((r = merge_map(m, rule->type, &list->items[at], it)) < 0)
                return r;
        } else if (!take(m->arena, it, &copy) || !value_push(m->arena, list, copy)) {
            return err_nomem(m->err);
        }
    }
    return put_in_order(m, rule, list, &plain, &server);
}

static ListRule list_rule(const SchemaField *f)
{
    return (ListRule){ f->type == SCHEMA_OBJECT ? f->object : NULL, f->merge_key };
}

static int merge_list(Merge *m, const SchemaField *f, Value *list, const Value *patch)
{
    ListRule rule = list_rule(f);

    if (!rule.type)
        return merge_scalars(m, &rule, list, patch);
    if (rule.key.len == 0)
        return err_set(m->err, ERR_INVALID, 0, "cannot merge lists without merge key for %.*s",
                       SV_FMT(f->name));
    return merge_objects(m, &rule, list, patch);
}

/* $retainKeys: what is not named goes; the patch itself may only have named members. */
static int obey_retain_keys(Merge *m, Value *doc, const Value *patch)
{
    const Value *keep = value_get(patch, SV(RETAIN_KEYS));
    const ListRule scalars = { 0 };

    if (!keep)
        return 0;
    if (keep->kind != VALUE_LIST)
        return err_set(m->err, ERR_INVALID, 0, "invalid patch format of retainKeys");
    value_map_foreach (x, patch) {
        Value key = value_sv(x->key);
        if (!is_directive(x->key) && x->val.kind != VALUE_NULL &&
            index_in(&scalars, keep, &key) < 0)
            return err_set(m->err, ERR_INVALID, 0, "patch content doesn't match retainKeys list");
    }
    for (uint32_t i = 0; i < doc->len;) {
        Value key = value_sv(doc->members[i].key);
        if (index_in(&scalars, keep, &key) < 0)
            value_del(doc, doc->members[i].key);
        else
            i++;
    }
    return 0;
}

/* $deleteFromPrimitiveList/field and $setElementOrder/field come after the list itself is merged.
 */
static int obey_prefixed(Merge *m, const SchemaObject *type, Value *doc, const Value *server,
                         const Member *directive)
{
    bool order = sv_starts(directive->key, SV(SET_ORDER));
    StrView name = sv_skip(directive->key, order ? strlen(SET_ORDER) : strlen(DELETE_FROM));
    const SchemaField *f = schema_field(type, name);
    Value *list = value_get(doc, name);

    if (directive->val.kind != VALUE_LIST)
        return err_set(m->err, ERR_INVALID, 0, "invalid patch format of %s",
                       order ? "setElementOrder list" : "primitive list");
    if (!value_is(list, VALUE_LIST) || !f)
        return 0;
    ListRule rule = list_rule(f);
    if (!order)
        return delete_scalars(&rule, list, &directive->val);
    value_list_foreach (it, rule.type ? &directive->val : NULL) {
        if (!value_get(it, rule.key))
            return no_merge_key(m, rule.key);
    }
    return put_in_order(m, &rule, list, &directive->val, value_get(server, name));
}

static int merge_member(Merge *m, const SchemaField *f, Value *old, const Value *patch)
{
    bool replace = f && (f->flags & SCHEMA_F_REPLACE) && !(f->flags & SCHEMA_F_MERGE);

    if (old->kind == VALUE_MAP && patch->kind == VALUE_MAP && !replace) {
        const SchemaObject *type = f && f->card == SCHEMA_ONE ? f->object : NULL;
        return merge_map(m, type, old, patch);
    }
    if (old->kind == VALUE_LIST && patch->kind == VALUE_LIST && f && (f->flags & SCHEMA_F_MERGE))
        return merge_list(m, f, old, patch);
    return take(m->arena, patch, old) ? 0 : err_nomem(m->err);
}

/* $patch: replace and delete of a whole map; *ret_done when nothing else is to be merged. */
static int obey_map_directive(Merge *m, Value *doc, const Value *patch, bool *ret_done)
{
    const Value *directive = value_get(patch, SV(DIRECTIVE));
    StrView what = value_str(directive);

    *ret_done = directive != NULL;
    if (!directive)
        return 0;
    if (sv_eq(what, SV("replace")))
        return take(m->arena, patch, doc) ? 0 : err_nomem(m->err);
    if (sv_eq(what, SV("delete"))) {
        *doc = value_map();
        return 0;
    }
    *ret_done = false;
    if (sv_eq(what, SV("merge")))
        return 0;
    return err_set(m->err, ERR_INVALID, 0, "unknown patch type: %.*s", SV_FMT(what));
}

static int merge_map(Merge *m, const SchemaObject *type, Value *doc, const Value *patch)
{
    Value server = *doc, copy;
    bool done, ordered = false;
    int r;

    if ((r = obey_map_directive(m, doc, patch, &done)) < 0 || done)
        return r;
    value_map_foreach (x, patch)
        ordered = ordered || sv_starts(x->key, SV(SET_ORDER));
    /* The order before the merge is only needed when an order is asked for. */
    if (ordered && !value_clone(m->arena, doc, &server))
        return err_nomem(m->err);
    if ((r = obey_retain_keys(m, doc, patch)) < 0)
        return r;
    value_map_foreach (x, patch) {
        if (is_directive(x->key))
            continue;
        Value *old = value_get(doc, x->key);
        if (x->val.kind == VALUE_NULL) {
            value_del(doc, x->key);
        } else if (old) {
            if ((r = merge_member(m, schema_field(type, x->key), old, &x->val)) < 0)
                return r;
        } else if (!take(m->arena, &x->val, &copy) || !value_set(m->arena, doc, x->key, copy)) {
            return err_nomem(m->err);
        }
    }
    value_map_foreach (x, patch) {
        bool prefixed = sv_starts(x->key, SV(SET_ORDER)) || sv_starts(x->key, SV(DELETE_FROM));
        if (prefixed && (r = obey_prefixed(m, type, doc, &server, x)) < 0)
            return r;
    }
    return 0;
}

int patch_strategic(const SchemaObject *type, Value *doc, const Value *patch, Arena *a, Err *err)
{
    Merge m = { a, err };

    if (patch->kind != VALUE_MAP || doc->kind != VALUE_MAP)
        return err_set(err, ERR_INVALID, 0, "invalid JSON document");
    return merge_map(&m, type, doc, patch);
}
