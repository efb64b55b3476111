/* patch_strategic.c - Kubernetes' strategic merge patch, driven by the type's table.
 *
 * Maps merge member by member. A list merges when its field says so: lists of objects by the merge
 * key, lists of scalars as sets; other lists are replaced. The order of a merged list follows the
 * rules of Kubernetes: items of the patch in the patch's order (or $setElementOrder), items that
 * only the server has in the server's order, interleaved by where the server had them.
 */
#include "api/patch.h"
#include "codec/key_index.h"

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
        if (!key.ptr || !take(a, &m->val, &copy) || !value_append(a, ret, key, copy))
            return false;
    }
    return true;
}

/* What two items of a list share when they are the same one: the value of the merge key, or the
 * item itself. ptr NULL in *ret: it has none, and is the same as no other. */
static int item_key(Merge *m, const ListRule *rule, const Value *item, StrView *ret)
{
    const Value *v = rule->key.len ? value_get(item, rule->key) : item;

    *ret = v ? key_of_value(v, m->arena) : SV_NULL;
    return v && !ret->ptr ? err_nomem(m->err) : 0;
}

/* The items of a list by their keys; of those that are the same, the first. */
typedef struct ListIndex {
    StrView *keys; /* one for each item */
    KeyIndex at;
} ListIndex;

static int list_index(Merge *m, const ListRule *rule, const Value *list, ListIndex *ret)
{
    uint32_t n = value_len(list), at;
    bool fresh;
    int r;

    *ret = (ListIndex){ .keys = arena_array(m->arena, StrView, n ? n : 1) };
    if (!ret->keys || !key_index_reserve(&ret->at, m->arena, n))
        return err_nomem(m->err);
    for (uint32_t i = 0; i < n; i++) {
        if ((r = item_key(m, rule, &list->items[i], &ret->keys[i])) < 0)
            return r;
        if (ret->keys[i].ptr && !key_index_add(&ret->at, m->arena, ret->keys[i], i, &at, &fresh))
            return err_nomem(m->err);
    }
    return 0;
}

static int64_t index_in(const ListIndex *x, StrView key)
{
    return key.ptr ? key_index_find(&x->at, key) : -1;
}

/* The items of `merged` that `wanted` names, in its order; several of one key (which Kubernetes
 * lets some lists have) in their own. The others, in their own order, are `theirs`. */
typedef struct Parts {
    uint32_t *ours, *theirs;
    uint32_t n_ours, n_theirs;
} Parts;

static int part_items(Merge *m, const ListIndex *have, const ListIndex *want, uint32_t n,
                      uint32_t n_wanted, Parts *ret)
{
    uint32_t *ends = arena_array(m->arena, uint32_t, n_wanted + 1);
    *ret = (Parts){ .ours = arena_array(m->arena, uint32_t, n + 1),
                    .theirs = arena_array(m->arena, uint32_t, n + 1) };
    if (!ends || !ret->ours || !ret->theirs)
        return err_nomem(m->err);
    memset(ends, 0, (n_wanted + 1) * sizeof *ends);
    for (uint32_t k = 0; k < n; k++) {
        int64_t w = index_in(want, have->keys[k]);
        if (w < 0)
            ret->theirs[ret->n_theirs++] = k;
        else
            ends[w]++;
    }
    for (uint32_t w = 0; w < n_wanted; w++)
        ret->n_ours = ends[w] += ret->n_ours;
    for (uint32_t k = n; k-- > 0;) {
        int64_t w = index_in(want, have->keys[k]);
        if (w >= 0)
            ret->ours[--ends[w]] = k;
    }
    return 0;
}

/* Puts `merged` into its order: see the head of the file. `wanted` has the patch's order, `server`
 * the list as it was. */
static int put_in_order(Merge *m, const ListRule *rule, Value *merged, const Value *wanted,
                        const ListIndex *server)
{
    Value out = value_list();
    ListIndex have, want;
    Parts p;
    uint32_t i = 0, j = 0;
    int r;

    if ((r = list_index(m, rule, merged, &have)) < 0 ||
        (r = list_index(m, rule, wanted, &want)) < 0 ||
        (r = part_items(m, &have, &want, merged->len, value_len(wanted), &p)) < 0)
        return r;
    while (i < p.n_theirs || j < p.n_ours) {
        bool server_first = j >= p.n_ours;
        if (i < p.n_theirs && j < p.n_ours) {
            int64_t their = index_in(server, have.keys[p.theirs[i]]);
            int64_t our = index_in(server, have.keys[p.ours[j]]);
            server_first = their >= 0 && our >= 0 && their < our;
        }
        uint32_t from = server_first ? p.theirs[i++] : p.ours[j++];
        if (!value_push(m->arena, &out, merged->items[from]))
            return err_nomem(m->err);
    }
    *merged = out;
    return 0;
}

/* Takes out the items whose key is in `gone`. */
static int delete_items(Merge *m, const ListRule *rule, Value *list, const ListIndex *gone)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->len; i++) {
        StrView key;
        int r = item_key(m, rule, &list->items[i], &key);
        if (r < 0)
            return r;
        if (index_in(gone, key) < 0)
            list->items[kept++] = list->items[i];
    }
    list->len = kept;
    return 0;
}

static int merge_scalars(Merge *m, const ListRule *rule, Value *list, const Value *patch)
{
    Value merged = value_list();
    ListIndex server;
    KeyIndex seen = { 0 };
    int r;

    if ((r = list_index(m, rule, list, &server)) < 0)
        return r;
    const Value *const parts[] = { list, patch };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        value_list_foreach (it, parts[i]) {
            StrView key;
            uint32_t at;
            bool fresh;
            if ((r = item_key(m, rule, it, &key)) < 0)
                return r;
            if (!key_index_add(&seen, m->arena, key, 0, &at, &fresh) ||
                (fresh && !value_push(m->arena, &merged, *it)))
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
    ListIndex doomed = { 0 };

    *ret_replace = false;
    value_list_foreach (it, patch) {
        const Value *directive = value_get(it, SV(DIRECTIVE));
        StrView what = value_str(directive), key;
        uint32_t at;
        bool fresh;
        int r;
        if (!directive)
            continue;
        if (sv_eq(what, SV("replace"))) {
            *ret_replace = true;
        } else if (sv_eq(what, SV("delete"))) {
            if ((r = item_key(m, rule, it, &key)) < 0)
                return r;
            if (!key.ptr)
                return no_merge_key(m, rule->key);
            if (!key_index_add(&doomed.at, m->arena, key, 0, &at, &fresh))
                return err_nomem(m->err);
        } else if (sv_eq(what, SV("merge"))) {
            return err_set(m->err, ERR_INVALID, 0,
                           "merging lists cannot yet be specified in the patch");
        } else {
            return err_set(m->err, ERR_INVALID, 0, "unknown patch type: %.*s", SV_FMT(what));
        }
    }
    return doomed.at.len ? delete_items(m, rule, list, &doomed) : 0;
}

/* One item of the patch into the list, which `have` indexes. */
static int merge_item(Merge *m, const ListRule *rule, Value *list, ListIndex *have, const Value *it)
{
    Value copy;
    StrView key;
    uint32_t at;
    bool fresh;
    int r;

    if ((r = item_key(m, rule, it, &key)) < 0)
        return r;
    if (!key.ptr)
        return no_merge_key(m, rule->key);
    if (!key_index_add(&have->at, m->arena, key, list->len, &at, &fresh))
        return err_nomem(m->err);
    if (!fresh)
        return merge_map(m, rule->type, &list->items[at], it);
    return take(m->arena, it, &copy) && value_push(m->arena, list, copy) ? 0 : err_nomem(m->err);
}

static int merge_objects(Merge *m, const ListRule *rule, Value *list, const Value *patch)
{
    Value plain = value_list();
    ListIndex server, have;
    bool replace;
    int r;

    if ((r = list_index(m, rule, list, &server)) < 0 ||
        (r = obey_list_directives(m, rule, list, patch, &replace)) < 0)
        return r;
    if (replace)
        return take(m->arena, patch, list) ? 0 : err_nomem(m->err);
    if ((r = list_index(m, rule, list, &have)) < 0)
        return r;
    value_list_foreach (it, patch) {
        if (!value_is(it, VALUE_MAP))
            return bad_argument(m, "map", it);
        if (value_get(it, SV(DIRECTIVE)))
            continue;
        if ((r = merge_item(m, rule, list, &have, it)) < 0)
            return r;
        if (!value_push(m->arena, &plain, *it))
            return err_nomem(m->err);
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
    ListIndex named;
    uint32_t kept = 0;
    int r;

    if (!keep)
        return 0;
    if (keep->kind != VALUE_LIST)
        return err_set(m->err, ERR_INVALID, 0, "invalid patch format of retainKeys");
    if ((r = list_index(m, &scalars, keep, &named)) < 0)
        return r;
    value_map_foreach (x, patch) {
        if (!is_directive(x->key) && x->val.kind != VALUE_NULL && index_in(&named, x->key) < 0)
            return err_set(m->err, ERR_INVALID, 0, "patch content doesn't match retainKeys list");
    }
    value_map_foreach (x, doc) {
        if (index_in(&named, x->key) >= 0)
            doc->members[kept++] = *x;
    }
    doc->len = kept;
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
    ListIndex index;
    int r = list_index(m, &rule, order ? value_get(server, name) : &directive->val, &index);
    if (r < 0)
        return r;
    if (!order)
        return delete_items(m, &rule, list, &index);
    value_list_foreach (it, rule.type ? &directive->val : NULL) {
        if (!value_get(it, rule.key))
            return no_merge_key(m, rule.key);
    }
    return put_in_order(m, &rule, list, &directive->val, &index);
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

static int merge_members(Merge *m, const SchemaObject *type, Value *doc, const Value *patch)
{
    MapView view;
    Value copy;

    if (!map_view_init(&view, doc, patch->len, m->arena))
        return err_nomem(m->err);
    value_map_foreach (x, patch) {
        if (is_directive(x->key))
            continue;
        Value *old = map_view_get(&view, x->key);
        if (x->val.kind == VALUE_NULL) {
            map_view_drop(&view, x->key);
        } else if (old) {
            int r = merge_member(m, schema_field(type, x->key), old, &x->val);
            if (r < 0)
                return r;
        } else if (!take(m->arena, &x->val, &copy) || !map_view_append(&view, x->key, copy)) {
            return err_nomem(m->err);
        }
    }
    map_view_end(&view);
    return 0;
}

static int merge_map(Merge *m, const SchemaObject *type, Value *doc, const Value *patch)
{
    Value server = *doc;
    bool done, ordered = false;
    int r;

    if ((r = obey_map_directive(m, doc, patch, &done)) < 0 || done)
        return r;
    value_map_foreach (x, patch)
        ordered = ordered || sv_starts(x->key, SV(SET_ORDER));
    /* The order before the merge is only needed when an order is asked for. */
    if (ordered && !value_clone(m->arena, doc, &server))
        return err_nomem(m->err);
    if ((r = obey_retain_keys(m, doc, patch)) < 0 || (r = merge_members(m, type, doc, patch)) < 0)
        return r;
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
