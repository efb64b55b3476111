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
 * this one, and one of HEIGHT_MAX, or less where the object is large, stays whole. A version that
 * was deleted has none after it and stays whole, too. */
#include "store/history.h"

#include "store/delta.h"
#include "store/tree.h"

enum {
    HEIGHT_MAX = 12,
    CHAIN_BYTES = 4 * 1024 * 1024, /* that are written to make one version */
    RECENT_BYTES = 1024 * 1024,    /* that are kept whole, for watches that are not late */
    RECENT_MIN = 256,              /* events */
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

/* The one that it is made of. */
static const Version *version_base(const Version *v)
{
    while (!v->full)
        v = v->packed->newer;
    return v;
}

static StrView version_key(const Version *v)
{
    return version_base(v)->full->key;
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

static size_t event_size(const HistoryEvent *e)
{
    return sizeof *e + version_size(e->prev) + (e->obj ? sizeof *e->obj : 0);
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

static uint64_t version_rev(const Version *v)
{
    return v->full ? v->full->mod_rev : v->packed->mod_rev;
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
    e.bytes = event_size(&e);
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

/* Whether one that leads to it may be made of another one. */
static bool may_be_packed(const Version *v)
{
    return v->full && v->height < HEIGHT_MAX && (v->height + 1) * v->full->val.len <= CHAIN_BYTES;
}

void history_pack_make(const History *h, HistoryPack *p)
{
    const HistoryEvent *e = &h->items.items[p->at];
    if (e->prev && e->obj && may_be_packed(e->prev))
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
    e->bytes = event_size(e);
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

StrView history_key(const HistoryEvent *e)
{
    return version_key(e->prev ? e->prev : e->obj);
}

uint64_t history_prev_rev(const HistoryEvent *e)
{
    return e->prev ? version_rev(e->prev) : 0;
}

/* ---- events in full ---- */

static VersionHold hold(Version *v, size_t *cost)
{
    VersionHold ret = { 0 };
    if (!v)
        return ret;
    if (!v->full) {
        v->refs++; /* it keeps all that leads to it */
        ret.version = v;
    }
    for (; !v->full; v = v->packed->newer) {
        ret.steps++;
        *cost += v->packed->val_len;
    }
    ret.base = object_rev_ref(v->full);
    return ret;
}

EventHold history_hold(const History *h, size_t i)
{
    const HistoryEvent *e = &h->items.items[i];
    EventHold ret = { .rev = e->rev };
    ret.obj = hold(e->obj, &ret.cost);
    ret.prev = hold(e->prev, &ret.cost);
    return ret;
}

EventHold history_hold_prev(const History *h, size_t i)
{
    const HistoryEvent *e = &h->items.items[i];
    EventHold ret = { .rev = e->rev };
    if (e->prev)
        ret.prev = hold(e->prev, &ret.cost);
    else
        ret.obj.base = object_rev_ref(version_base(e->obj)->full);
    return ret;
}

static void let_go(VersionHold *v)
{
    v->version = version_unref(v->version);
    v->base = object_rev_unref(v->base);
}

void history_let_go(EventHold *held, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        let_go(&held[i].obj);
        let_go(&held[i].prev);
    }
}

/* What has been made of a version; borrowed. NULL: nothing yet. */
static ObjectRev *made_of(const Version *v, const EventHold *held, size_t n, const StoreEvent *made)
{
    for (size_t i = 0; i < n; i++) {
        if (held[i].obj.version == v && made[i].obj)
            return made[i].obj;
        if (held[i].prev.version == v && made[i].prev)
            return made[i].prev;
    }
    return NULL;
}

/* With a reference; NULL: no memory, or no version. The others in `held` may have been made. Reads
 * of versions only what does not change any more: that they are packed, and how. */
static ObjectRev *make(const VersionHold *v, const EventHold *held, size_t n,
                       const StoreEvent *made)
{
    const Packed *chain[HEIGHT_MAX];
    ObjectRev *from = NULL;
    unsigned steps = 0;
    const Version *at = v->version;
    ASSERT(v->steps <= HEIGHT_MAX);
    for (; steps < v->steps && !(from = made_of(at, held, n, made)); at = at->packed->newer)
        chain[steps++] = at->packed;
    ObjectRev *o = object_rev_ref(from ? from : v->base);
    while (o && steps) {
        ObjectRev *older = unpack(chain[--steps], o);
        object_rev_unref(o);
        o = older;
    }
    return o;
}

/* The newest first: a version before is mostly one step from the one after it. */
int history_make(const EventHold *held, size_t n, StoreEvent *ret, Err *err)
{
    bool fine = true;
    for (size_t i = 0; i < n; i++)
        ret[i] = (StoreEvent){ .rev = held[i].rev };
    for (size_t i = n; fine && i-- > 0;) {
        const EventHold *e = &held[i];
        ret[i].obj = make(&e->obj, e, n - i, &ret[i]);
        ret[i].prev = make(&e->prev, e, n - i, &ret[i]);
        fine = !ret[i].obj == !e->obj.base && !ret[i].prev == !e->prev.base;
    }
    if (fine)
        return 0;
    store_events_release(ret, n);
    return err_nomem(err);
}
