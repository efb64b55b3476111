/* managers.c - see managers.h. */
#include "api/check.h"
#include "api/managers.h"
#include "base/buf.h"

#define ANCIENT SV("ancient-changes")
#define BEFORE  SV("before-first-apply")

/* ---- metadata.managedFields ---- */

static ManagedEntry *add_entry(Managers *m, const ManagedEntry *e, Arena *a)
{
    if (m->len == m->cap) {
        unsigned cap = m->cap ? m->cap * 2 : 4;
        ManagedEntry *bigger = arena_array(a, ManagedEntry, cap);
        if (!bigger)
            return NULL;
        if (m->len)
            memcpy(bigger, m->items, m->len * sizeof *bigger);
        m->items = bigger;
        m->cap = cap;
    }
    m->items[m->len] = *e;
    return &m->items[m->len++];
}

static void drop_empty(Managers *m)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < m->len; i++)
        if (!fieldset_empty(&m->items[i].set))
            m->items[kept++] = m->items[i];
    m->len = kept;
}

int managers_decode(const Value *list, Arena *a, Managers *ret, Err *err)
{
    *ret = (Managers){ 0 };
    value_list_foreach (it, list) {
        StrView op = value_str(value_get(it, SV("operation")));
        const Value *fields = value_get(it, SV("fieldsV1"));
        ManagedEntry e = { .manager = value_str(value_get(it, SV("manager"))),
                           .api_version = value_str(value_get(it, SV("apiVersion"))),
                           .subresource = value_str(value_get(it, SV("subresource"))),
                           .time = value_str(value_get(it, SV("time"))),
                           .apply = sv_eq(op, SV("Apply")) };
        if (!e.apply && !sv_eq(op, SV("Update")))
            return err_set(err, ERR_INVALID, 0,
                           "metadata.managedFields: operation: expected Apply or Update");
        if (!sv_eq(value_str(value_get(it, SV("fieldsType"))), SV("FieldsV1")))
            return err_set(err, ERR_INVALID, 0,
                           "metadata.managedFields: fieldsType: expected FieldsV1");
        int r = fields ? fieldset_decode(fields, a, &e.set, err) : 0;
        if (r < 0)
            return err_wrap(err, "metadata.managedFields");
        if (!add_entry(ret, &e, a))
            return err_nomem(err);
    }
    return 0;
}

static bool entry_value(const ManagedEntry *e, Arena *a, Value *ret)
{
    Value fields;
    *ret = value_map();
    return fieldset_encode(&e->set, a, &fields) &&
           value_set(a, ret, SV("manager"), value_sv(e->manager)) &&
           value_set(a, ret, SV("operation"), value_sv(e->apply ? SV("Apply") : SV("Update"))) &&
           value_set(a, ret, SV("apiVersion"), value_sv(e->api_version)) &&
           (!e->time.len || value_set(a, ret, SV("time"), value_sv(e->time))) &&
           value_set(a, ret, SV("fieldsType"), value_sv(SV("FieldsV1"))) &&
           value_set(a, ret, SV("fieldsV1"), fields) &&
           (!e->subresource.len || value_set(a, ret, SV("subresource"), value_sv(e->subresource)));
}

/* Appliers first, then by time, then by name: the order is part of what clients see. */
static int entry_cmp(const void *x, const void *y)
{
    const ManagedEntry *p = x, *q = y;
    if (p->apply != q->apply)
        return p->apply ? -1 : 1;
    int c = sv_cmp(p->time, q->time);
    if (c == 0)
        c = sv_cmp(p->manager, q->manager);
    return c ? c : sv_cmp(p->subresource, q->subresource);
}

bool managers_store(const Managers *m, Arena *a, Value *obj)
{
    Value list = value_list();
    Value *meta = value_get(obj, SV("metadata"));
    if (!meta)
        return false;
    if (!m->len) {
        value_del(meta, SV("managedFields"));
        return true;
    }
    qsort(m->items, m->len, sizeof *m->items, entry_cmp);
    for (unsigned i = 0; i < m->len; i++) {
        Value e;
        if (!entry_value(&m->items[i], a, &e) || !value_push(a, &list, e))
            return false;
    }
    return value_set(a, meta, SV("managedFields"), list) != NULL;
}

/* ---- what nobody owns: identity, and what the server counts ---- */

static void strip(FieldSet *s, const FieldWriter *w)
{
    static const StrView meta_steps[] = { SV_INIT("f:name"),       SV_INIT("f:namespace"),
                                          SV_INIT("f:uid"),        SV_INIT("f:creationTimestamp"),
                                          SV_INIT("f:generation"), SV_INIT("f:managedFields"),
                                          SV_INIT("f:selfLink"),   SV_INIT("f:resourceVersion") };
    fieldset_drop(s, SV("f:apiVersion"));
    fieldset_drop(s, SV("f:kind"));
    if (w->ignore_status)
        fieldset_drop(s, SV("f:status"));
    FieldSet *meta = fieldset_child(s, SV("f:metadata"));
    if (!meta)
        return;
    meta->member = false;
    for (size_t i = 0; i < ARRAY_SIZE(meta_steps); i++)
        fieldset_drop(meta, meta_steps[i]);
    if (fieldset_empty(meta))
        fieldset_drop(s, SV("f:metadata"));
}

/* A new object is compared with what Kubernetes' types are when empty: structs that are no pointers
 * are there, so that `f:spec` itself does not become a member. */
static const Value *empty_object(const FieldWriter *w, Arena *a)
{
    Value *v = arena_new(a, Value);
    if (!v)
        return NULL;
    *v = value_map();
    return value_set(a, v, SV("metadata"), value_map()) && api_fill_always(w->res->schema, v, a)
               ? v
               : NULL;
}

static ManagedEntry *find_entry(Managers *m, const FieldWriter *w, bool apply)
{
    for (unsigned i = 0; i < m->len; i++) {
        ManagedEntry *e = &m->items[i];
        if (e->apply == apply && sv_eq(e->manager, w->manager) &&
            sv_eq(e->subresource, w->subresource) &&
            (apply || sv_eq(e->api_version, w->res->api_version)))
            return e;
    }
    return NULL;
}

static ManagedEntry *entry_or_new(Managers *m, const FieldWriter *w, bool apply, Arena *a)
{
    ManagedEntry *e = find_entry(m, w, apply);
    ManagedEntry fresh = { .manager = w->manager,
                           .api_version = w->res->api_version,
                           .subresource = w->subresource,
                           .time = w->now,
                           .apply = apply };
    return e ? e : add_entry(m, &fresh, a);
}

/* All but `self` lose what was changed or is gone. */
static bool take_from_others(Managers *m, const ManagedEntry *self, const FieldSet *changed,
                             const FieldSet *removed, Arena *a)
{
    for (unsigned i = 0; i < m->len; i++) {
        ManagedEntry *e = &m->items[i];
        FieldSet kept, rest;
        if (e == self)
            continue;
        if (!fieldset_minus(&e->set, changed, a, &kept) ||
            !fieldset_minus(&kept, removed, a, &rest))
            return false;
        e->set = rest;
    }
    return true;
}

/* More than ten updaters: the oldest become one, named "ancient-changes". */
static bool cap_updaters(Managers *m, Arena *a)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->len; i++)
        n += !m->items[i].apply;
    if (n <= MANAGERS_UPDATE_MAX)
        return true;
    qsort(m->items, m->len, sizeof *m->items, entry_cmp);
    unsigned first = 0;
    while (m->items[first].apply)
        first++;
    ManagedEntry *old = &m->items[first];
    old->manager = ANCIENT;
    for (unsigned over = n - MANAGERS_UPDATE_MAX, i = first + 1; over; over--) {
        if (!fieldset_union(&old->set, &m->items[i].set, a))
            return false;
        memmove(&m->items[i], &m->items[i + 1], (m->len - i - 1) * sizeof *m->items);
        m->len--;
    }
    return true;
}

bool managers_update(Managers *m, const FieldWriter *w, const Value *before, const Value *after,
                     Arena *a)
{
    FieldSet changed, removed, kept;
    if (!before && !(before = empty_object(w, a)))
        return false;
    if (!typed_compare(w->res->schema, before, after, a, &changed, &removed))
        return false;
    strip(&changed, w);
    strip(&removed, w);
    if (fieldset_empty(&changed) && fieldset_empty(&removed))
        return true;
    ManagedEntry *self = entry_or_new(m, w, false, a);
    if (!self || !take_from_others(m, self, &changed, &removed, a) ||
        !fieldset_minus(&self->set, &removed, a, &kept) || !fieldset_union(&kept, &changed, a))
        return false;
    self->set = kept;
    self->time = w->now;
    drop_empty(m);
    return cap_updaters(m, a);
}

/* ---- apply ---- */

typedef struct ConflictList {
    ApplyConflicts *to;
    const ManagedEntry *owner;
    Arena *arena;
    bool failed;
} ConflictList;

static void note_conflict(void *ctx, StrView path)
{
    ConflictList *l = ctx;
    ApplyConflicts *c = l->to;
    if (c->len == c->cap) {
        unsigned cap = c->cap ? c->cap * 2 : 8;
        ApplyConflict *bigger = arena_array(l->arena, ApplyConflict, cap);
        l->failed |= !bigger;
        if (!bigger)
            return;
        if (c->len)
            memcpy(bigger, c->items, c->len * sizeof *bigger);
        c->items = bigger;
        c->cap = cap;
    }
    ApplyConflict one = { l->owner, arena_sv(l->arena, path) };
    l->failed |= !one.path.ptr;
    c->items[c->len++] = one;
}

static bool list_conflicts(Managers *m, const ManagedEntry *self, const FieldSet *changed, Arena *a,
                           ApplyConflicts *ret)
{
    *ret = (ApplyConflicts){ 0 };
    for (unsigned i = 0; i < m->len; i++) {
        FieldSet both;
        ConflictList l = { ret, &m->items[i], a, false };
        if (&m->items[i] == self)
            continue;
        if (!fieldset_common(&m->items[i].set, changed, a, &both) ||
            !fieldset_each(&both, a, note_conflict, &l) || l.failed)
            return false;
    }
    return true;
}

/* Members of `last` that no set has, and below which none has anything: an item or a map goes only
 * when nobody else has a part in it. */
static bool unowned(const FieldSet *last, FieldSet *const *owners, unsigned n, Arena *a,
                    FieldSet *ret)
{
    bool owned = false;
    FieldSet **inner = arena_array(a, FieldSet *, n ? n : 1);
    if (!inner)
        return false;
    for (unsigned i = 0; i < n; i++)
        owned |= !fieldset_empty(owners[i]);
    *ret = (FieldSet){ .step = last->step, .member = last->member && !owned };
    for (unsigned c = 0; c < last->len; c++) {
        unsigned k = 0;
        for (unsigned i = 0; i < n; i++)
            if ((inner[k] = fieldset_child(owners[i], last->children[c].step)))
                k++;
        FieldSet child;
        if (!unowned(&last->children[c], inner, k, a, &child))
            return false;
        if (fieldset_empty(&child))
            continue;
        FieldPath path = { NULL, child.step };
        FieldSet *slot = NULL;
        if (!fieldset_insert(ret, &path, a) || !(slot = fieldset_child(ret, child.step)))
            return false;
        *slot = child;
    }
    return true;
}

/* Takes out of `obj` what the applier declared last time and nobody declares now. */
static bool prune(Managers *m, const FieldWriter *w, const FieldSet *last, Arena *a, Value *obj)
{
    FieldSet doomed;
    FieldSet **owners = arena_array(a, FieldSet *, m->len);
    if (!owners)
        return false;
    for (unsigned i = 0; i < m->len; i++)
        owners[i] = &m->items[i].set;
    return unowned(last, owners, m->len, a, &doomed) &&
           typed_remove(w->res->schema, obj, &doomed, a);
}

/* An object that was never applied and has no history: all its fields are those of a manager
 * "before-first-apply". */
static bool adopt_history(Managers *m, const FieldWriter *w, const Value *live, Arena *a)
{
    FieldWriter past = *w;
    past.manager = BEFORE;
    past.subresource = SV_NULL;
    return m->len || !live || managers_update(m, &past, NULL, live, a);
}

int managers_apply(Managers *m, const FieldWriter *w, const Value *live, const Value *config,
                   bool force, Arena *a, Value *ret, ApplyConflicts *conflicts, Err *err)
{
    FieldSet set, changed, removed;
    Value base = value_map(), merged;
    *conflicts = (ApplyConflicts){ 0 };
    int r = typed_fields(w->res->schema, config, a, &set, err);
    if (r < 0)
        return r;
    strip(&set, w);
    if (!adopt_history(m, w, live, a) || (live && !value_clone(a, live, &base)))
        return err_nomem(err);
    const Value *before = live ? live : empty_object(w, a);
    ManagedEntry *self = before ? entry_or_new(m, w, true, a) : NULL;
    if (!self || !typed_merge(w->res->schema, &base, config, a) || !value_clone(a, &base, &merged))
        return err_nomem(err);
    FieldSet last = self->set;
    bool same = fieldset_equal(&last, &set);
    self->set = set;
    if ((!fieldset_empty(&last) && !prune(m, w, &last, a, &merged)) ||
        !typed_compare(w->res->schema, before, &merged, a, &changed, &removed))
        return err_nomem(err);
    strip(&changed, w);
    strip(&removed, w);
    if (!list_conflicts(m, self, &changed, a, conflicts))
        return err_nomem(err);
    if (conflicts->len && !force)
        return err_set(err, ERR_CONFLICT, 0, "the applied fields are owned by others");
    if (!take_from_others(m, self, &changed, &removed, a))
        return err_nomem(err);
    if (!same || !fieldset_empty(&changed) || !fieldset_empty(&removed))
        self->time = w->now;
    self->api_version = w->res->api_version;
    drop_empty(m);
    *ret = merged;
    return 0;
}

/* ---- in words ---- */

static StrView owner_text(const ManagedEntry *e, Arena *a)
{
    StrView sub = e->subresource.len
                      ? arena_printf(a, " with subresource \"%.*s\"", SV_FMT(e->subresource))
                      : SV("");
    if (e->apply)
        return arena_printf(a, "\"%.*s\"%.*s", SV_FMT(e->manager), SV_FMT(sub));
    return arena_printf(a, "\"%.*s\"%.*s using %.*s", SV_FMT(e->manager), SV_FMT(sub),
                        SV_FMT(e->api_version));
}

StrView apply_conflict_cause(const ApplyConflict *c, Arena *a)
{
    StrView who = owner_text(c->owner, a);
    return arena_printf(a, "conflict with %.*s", SV_FMT(who));
}

StrView apply_conflicts_text(const ApplyConflicts *c, Arena *a)
{
    if (c->len == 1) {
        StrView cause = apply_conflict_cause(&c->items[0], a);
        return arena_printf(a, "Apply failed with 1 conflict: %.*s: %.*s", SV_FMT(cause),
                            SV_FMT(c->items[0].path));
    }
    _cleanup_buf_ Buf out = BUF_INIT;
    buf_printf(&out, "Apply failed with %u conflicts: ", c->len);
    for (unsigned i = 0; i < c->len; i++) {
        if (!i || c->items[i].owner != c->items[i - 1].owner) {
            StrView who = owner_text(c->items[i].owner, a);
            buf_printf(&out, "%sconflicts with %.*s:", i ? "\n" : "", SV_FMT(who));
        }
        buf_printf(&out, "\n- %.*s", SV_FMT(c->items[i].path));
    }
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}
