/* history.c - see history.h.
 *
 * An event names two versions, and a version that was replaced is named by two events: as `obj` by
 * the one that made it, as `prev` by the one that replaced it. So events refer to handles. A handle
 * has its object whole (`full`: shared with the state and with whoever reads), or packed: as a
 * delta to the handle of the version that came after it. Handles are counted; counts go from older
 * to newer, never in a circle.
 *
 * An event is packed when enough newer ones have come, which is when its `prev` becomes a delta to
 * its `obj`. That one is whole at this time: whatever replaced it came later and is packed later.
 * The chain of deltas that leads to a version is bounded: `height` counts the longest that ends in
 * this one, and one of HEIGHT_MAX stays whole. A version that was deleted has none after it and
 * stays whole, too. */
#include "store/history.h"

#include "store/delta.h"
#include "store/tree.h"

enum {
    HEIGHT_MAX = 12,
    RECENT_BYTES = 1024 * 1024, /* that are kept whole, for watches that are not late */
    RECENT_MIN = 256,           /* events */
    COMPACT_FROM = 1024,
    KEPT_ROW = 64,
};

typedef struct Packed {
    Version *newer;
    uint64_t mod_rev, create_rev;
    int64_t expires;
    uint32_t val_len, attrs_len, val_delta, attrs_delta;
    char deltas[];
} Packed;

struct Version {
    unsigned refs;
    unsigned height;
    ObjectRev *full; /* NULL: packed */
    union {
        Packed *packed;
        Version *next_spare;
    };
};

/* ---- handles ---- */

static Version *version_unref(Version *v)
{
    while (v && --v->refs == 0) {
        Version *newer = v->packed ? v->packed->newer : NULL;
        if (v->full)
            v->full->version = NULL;
        object_rev_unref(v->full);
        free(v->packed);
        free(v);
        v = newer;
    }
    return NULL;
}

static Version *version_of(History *h, ObjectRev *o)
{
    if (!o)
        return NULL;
    if (o->version) {
        o->version->refs++;
        return o->version;
    }
    Version *v = h->spare;
    ASSERT(v); /* history_reserve() */
    h->spare = v->next_spare;
    h->n_spare--;
    *v = (Version){ .refs = 1, .full = object_rev_ref(o) };
    o->version = v;
    return v;
}

static StrView version_key(const Version *v)
{
    while (!v->full)
        v = v->packed->newer;
    return v->full->key;
}

static size_t version_size(const Version *v)
{
    if (!v)
        return 0;
    if (v->full)
        return sizeof *v + sizeof *v->full + v->full->key.len + v->full->val.len +
               v->full->attrs.len;
    return sizeof *v + sizeof *v->packed + v->packed->val_delta + v->packed->attrs_delta;
}

/* The length of its value: what the engine keeps of it. */
static size_t value_len_of(const Version *v)
{
    return v->full ? v->full->val.len : v->packed->val_len;
}

/* What makes `v` out of `newer`; NULL: too much, or no memory. */
static Packed *version_differs(const Version *v, Version *newer)
{
    const ObjectRev *o = v->full, *n = newer->full;
    _cleanup_buf_ Buf deltas = BUF_INIT;
    size_t max = (o->val.len + o->attrs.len) * 3 / 4;
    if (!delta_encode(n->val, o->val, max, &deltas))
        return NULL;
    size_t val_delta = deltas.len;
    if (max < val_delta || !delta_encode(n->attrs, o->attrs, max - val_delta, &deltas))
        return NULL;
    Packed *p = malloc(sizeof *p + deltas.len);
    if (!p)
        return NULL;
    *p = (Packed){ newer,
                   o->mod_rev,
                   o->create_rev,
                   o->expires,
                   (uint32_t)o->val.len,
                   (uint32_t)o->attrs.len,
                   (uint32_t)val_delta,
                   (uint32_t)(deltas.len - val_delta) };
    if (deltas.len)
        memcpy(p->deltas, deltas.ptr, deltas.len);
    return p;
}

static void version_pack(Version *v, Packed *p)
{
    Version *newer = p->newer;
    newer->refs++;
    newer->height = MAX(newer->height, v->height + 1);
    v->full->version = NULL;
    v->full = object_rev_unref(v->full);
    v->packed = p;
}

/* A version of its own, made of the one after it. NULL: no memory. */
static ObjectRev *unpack(const Packed *p, const ObjectRev *newer)
{
    StrView deltas = sv_n(p->deltas, p->val_delta + p->attrs_delta);
    ObjectRev *o = object_rev_room(newer->key, p->val_len, p->attrs_len);
    if (!o)
        return NULL;
    bool ok =
        delta_apply(newer->val, sv_head(deltas, p->val_delta), (char *)o->val.ptr, o->val.len) &&
        delta_apply(newer->attrs, sv_skip(deltas, p->val_delta), (char *)o->attrs.ptr,
                    o->attrs.len);
    ASSERT(ok); /* version_pack() wrote them */
    o->mod_rev = p->mod_rev;
    o->create_rev = p->create_rev;
    o->expires = p->expires;
    return o;
}

/* With a reference; NULL: no memory, or no version. */
static ObjectRev *version_object(const Version *v)
{
    const Version *chain[HEIGHT_MAX + 1];
    unsigned n = 0;
    if (!v)
        return NULL;
    for (; !v->full; v = v->packed->newer) {
        ASSERT(n < ARRAY_SIZE(chain));
        chain[n++] = v;
    }
    ObjectRev *o = object_rev_ref(v->full);
    while (o && n) {
        ObjectRev *older = unpack(chain[--n]->packed, o);
        object_rev_unref(o);
        o = older;
    }
    return o;
}

/* ---- events ---- */

void history_free(History *h)
{
    while (h->head < h->items.len)
        history_drop_oldest(h);
    vec_free(&h->items);
    for (Version *v; (v = h->spare); free(v))
        h->spare = v->next_spare;
}

bool history_reserve(History *h, size_t n)
{
    for (; h->n_spare < 2 * n; h->n_spare++) {
        Version *v = malloc(sizeof *v);
        if (!v)
            return false;
        v->next_spare = h->spare;
        h->spare = v;
    }
    return vec_reserve(&h->items, h->items.len + n);
}

void history_push(History *h, const StoreEvent *ev, int64_t when)
{
    HistoryEvent e = {
        .rev = ev->rev, .obj = version_of(h, ev->obj), .prev = version_of(h, ev->prev), .when = when
    };
    const Version *any = e.prev ? e.prev : e.obj;
    e.bytes = sizeof e + version_size(e.prev) + (e.obj ? sizeof *e.obj : 0);
    e.kept = KEPT_ROW + (any ? version_key(any).len : 0) + (e.prev ? value_len_of(e.prev) : 0);
    bool ok = vec_push(&h->items, e);
    ASSERT(ok); /* history_reserve() */
    h->bytes += e.bytes;
    h->recent += e.bytes;
    h->kept += e.kept;
}

void history_reverse(History *h)
{
    size_t n = h->items.len;
    for (size_t i = 0; i < n / 2; i++) {
        HistoryEvent e = h->items.items[i];
        h->items.items[i] = h->items.items[n - 1 - i];
        h->items.items[n - 1 - i] = e;
    }
}

void history_drop_oldest(History *h)
{
    HistoryEvent *e = &h->items.items[h->head];
    if (h->floor == h->head) {
        h->floor++;
        h->kept -= e->kept;
    }
    if (h->packed == h->head) {
        h->packed++;
        h->recent -= e->bytes;
    }
    h->head++;
    h->bytes -= e->bytes;
    version_unref(e->prev);
    version_unref(e->obj);
}

bool history_pack_find(const History *h, HistoryPack *ret)
{
    *ret = (HistoryPack){ .at = h->packed };
    return h->items.len - h->packed > RECENT_MIN && h->recent > RECENT_BYTES;
}

void history_pack_make(const History *h, HistoryPack *p)
{
    const HistoryEvent *e = &h->items.items[p->at];
    if (e->prev && e->obj && e->prev->full && e->prev->height < HEIGHT_MAX)
        p->packed = version_differs(e->prev, e->obj);
}

void history_pack_end(History *h, HistoryPack *p)
{
    HistoryEvent *e = &h->items.items[p->at];
    h->packed++;
    h->recent -= e->bytes;
    h->bytes -= e->bytes;
    if (p->packed)
        version_pack(e->prev, TAKE_PTR(p->packed));
    e->bytes = sizeof *e + version_size(e->prev) + (e->obj ? sizeof *e->obj : 0);
    h->bytes += e->bytes;
}

void history_compact(History *h)
{
    if (h->head < COMPACT_FROM || h->head * 2 < h->items.len)
        return;
    h->items.len -= h->head;
    memmove(h->items.items, h->items.items + h->head, h->items.len * sizeof *h->items.items);
    h->floor -= h->head;
    h->packed -= h->head;
    h->head = 0;
}

size_t history_after(const History *h, uint64_t rev)
{
    size_t lo = h->head, hi = h->items.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->items.items[mid].rev <= rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int history_get(const History *h, size_t i, StoreEvent *ret, Err *err)
{
    const HistoryEvent *e = &h->items.items[i];
    *ret = (StoreEvent){ e->rev, version_object(e->obj), version_object(e->prev) };
    if ((!ret->obj && e->obj) || (!ret->prev && e->prev)) {
        store_events_release(ret, 1);
        return err_nomem(err);
    }
    return 0;
}
