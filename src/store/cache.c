/* cache.c - `current` (a snapshot) and the history, a queue of events each with the snapshot that
 * it led to; both under one mutex that is held only for pointer swaps. */
#include "store/cache.h"

#include "base/clock.h"

enum { KEPT_MAX = 16 * 1024 * 1024, KEPT_ROW = 64 };

struct Snapshot {
    atomic_uint refs;
    uint64_t rev;
    TreeNode *root;
};

Snapshot *snapshot_new(TreeNode *root_taken, uint64_t rev)
{
    Snapshot *sn = malloc(sizeof *sn);
    if (!sn) {
        tree_unref(root_taken);
        return NULL;
    }
    *sn = (Snapshot){ .refs = 1, .rev = rev, .root = root_taken };
    return sn;
}

Snapshot *snapshot_ref(Snapshot *sn)
{
    atomic_fetch_add_explicit(&sn->refs, 1, memory_order_relaxed);
    return sn;
}

Snapshot *snapshot_unref(Snapshot *sn)
{
    if (sn && atomic_fetch_sub_explicit(&sn->refs, 1, memory_order_acq_rel) == 1) {
        tree_unref(sn->root);
        free(sn);
    }
    return NULL;
}

TreeNode *snapshot_root(const Snapshot *sn)
{
    return sn->root;
}

void cache_init(Cache *c, size_t bytes_max, unsigned age_sec)
{
    *c = (Cache){ .bytes_max = bytes_max,
                  .kept_max = KEPT_MAX,
                  .age_max = (int64_t)age_sec * NSEC_PER_SEC };
    pthread_mutex_init(&c->lock, NULL);
}

static void drop_oldest(Cache *c)
{
    History *h = &c->history.items[c->head];
    if (c->floor == c->head) {
        c->floor++;
        c->kept -= h->kept;
    }
    c->head++;
    snapshot_unref(c->base);
    c->base = h->after;
    c->bytes -= h->bytes;
    store_events_release(&h->ev, 1);
}

void cache_free(Cache *c)
{
    while (c->head < c->history.len)
        drop_oldest(c);
    vec_free(&c->history);
    snapshot_unref(c->current);
    snapshot_unref(c->base);
    pthread_mutex_destroy(&c->lock);
}

/* ---- reading ---- */

Snapshot *cache_snapshot(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    Snapshot *sn = snapshot_ref(c->current);
    pthread_mutex_unlock(&c->lock);
    return sn;
}

uint64_t cache_revision(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t rev = c->current->rev;
    pthread_mutex_unlock(&c->lock);
    return rev;
}

/* Index of the first kept event after `rev`. The lock is held. */
static size_t history_after(const Cache *c, uint64_t rev)
{
    size_t lo = c->head, hi = c->history.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->history.items[mid].ev.rev <= rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int cache_snapshot_at(Cache *c, uint64_t rev, Snapshot **ret, Err *err)
{
    int r = 0;
    pthread_mutex_lock(&c->lock);
    if (rev > c->current->rev)
        r = err_set(err, ERR_INVALID, 0, "Too large resource version: %llu, current: %llu",
                    (unsigned long long)rev, (unsigned long long)c->current->rev);
    else if (rev < c->base->rev)
        r = err_set(
            err, ERR_GONE, 0,
            "The provided continue parameter is too old to display a consistent list result.");
    else {
        size_t i = history_after(c, rev);
        *ret = snapshot_ref(i == c->head ? c->base : c->history.items[i - 1].after);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

uint64_t snapshot_revision(const Snapshot *sn)
{
    return sn->rev;
}

ObjectRev *snapshot_get(const Snapshot *sn, StrView key)
{
    return tree_get(sn->root, key);
}

size_t snapshot_count(const Snapshot *sn, StrView prefix)
{
    char end[STORE_KEY_MAX];
    size_t first = tree_rank(sn->root, prefix), n = prefix.len;
    ASSERT(n <= sizeof end);
    if (n == 0)
        return sn->root ? sn->root->count : 0;
    memcpy(end, prefix.ptr, n);
    while (n && (unsigned char)end[n - 1] == 0xff)
        n--;
    if (!n)
        return (sn->root ? sn->root->count : 0) - first;
    end[n - 1]++;
    return tree_rank(sn->root, sv_n(end, n)) - first;
}

static void push(SnapshotIter *it, const TreeNode *n)
{
    it->lost |= it->depth == SNAPSHOT_DEPTH_MAX; /* the farthest one makes room */
    it->depth += it->depth < SNAPSHOT_DEPTH_MAX;
    it->stack[it->top++ % SNAPSHOT_DEPTH_MAX] = n;
}

/* Stacks the path to the first key that is >= `start`, or > it. */
static void seek(SnapshotIter *it, StrView start, bool behind)
{
    it->lost = false;
    for (const TreeNode *n = it->root; n;) {
        int c = sv_cmp(n->obj->key, start);
        if (c < 0 || (c == 0 && behind))
            n = n->right;
        else {
            push(it, n);
            n = n->left;
        }
    }
}

void snapshot_iter(const Snapshot *sn, StrView prefix, StrView from, SnapshotIter *it)
{
    it->prefix = prefix;
    it->root = sn->root;
    it->depth = it->top = 0;
    seek(it, sv_cmp(from, prefix) > 0 ? from : prefix, false);
}

ObjectRev *snapshot_next(SnapshotIter *it)
{
    if (!it->depth)
        return NULL;
    const TreeNode *n = it->stack[--it->top % SNAPSHOT_DEPTH_MAX];
    it->depth--;
    if (!sv_starts(n->obj->key, it->prefix)) {
        it->depth = 0;
        return NULL;
    }
    for (const TreeNode *c = n->right; c; c = c->left)
        push(it, c);
    if (!it->depth && it->lost)
        seek(it, n->obj->key, true);
    return n->obj;
}

/* ---- events ---- */

int cache_events(Cache *c, uint64_t *pos, StoreEvent *events, size_t n, size_t *ret_n, Err *err)
{
    int r = 0;
    size_t got = 0;
    pthread_mutex_lock(&c->lock);
    if (*pos < c->base->rev)
        r = err_set(err, ERR_GONE, 0, "too old resource version: %llu (%llu)",
                    (unsigned long long)*pos, (unsigned long long)c->base->rev);
    else {
        size_t i = history_after(c, *pos);
        while (i < c->history.len) {
            size_t end = i + 1; /* the transaction's events: all or none */
            while (end < c->history.len &&
                   c->history.items[end].ev.rev == c->history.items[i].ev.rev)
                end++;
            if (got + (end - i) > n)
                break;
            for (; i < end; i++) {
                StoreEvent *ev = &c->history.items[i].ev;
                events[got++] =
                    (StoreEvent){ ev->rev, object_rev_ref(ev->obj), object_rev_ref(ev->prev) };
            }
            *pos = events[got - 1].rev;
        }
    }
    pthread_mutex_unlock(&c->lock);
    *ret_n = got;
    return r;
}

void store_events_release(StoreEvent *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        object_rev_unref(events[i].obj);
        object_rev_unref(events[i].prev);
    }
}

/* ---- changing ---- */

static size_t bytes_of(const StoreEvent *ev)
{
    return sizeof(History) + 1024 + (ev->obj ? ev->obj->val.len : 0) +
           (ev->prev ? ev->prev->val.len / 2 : 0);
}

static size_t kept_of(const StoreEvent *ev)
{
    return KEPT_ROW + (ev->prev ? ev->prev : ev->obj)->key.len + (ev->prev ? ev->prev->val.len : 0);
}

static bool over(const Cache *c, const History *h, int64_t oldest)
{
    return c->bytes > c->bytes_max || h->when < oldest;
}

/* Drops what is over the bounds, whole transactions at a time; then closes the gap at the front
 * when it is more than half of the array. The lock is held. */
static void trim(Cache *c, int64_t now)
{
    int64_t oldest = now - c->age_max;
    while (c->head < c->history.len && over(c, &c->history.items[c->head], oldest)) {
        uint64_t rev = c->history.items[c->head].ev.rev;
        while (c->head < c->history.len && c->history.items[c->head].ev.rev == rev)
            drop_oldest(c);
    }
    while (c->floor < c->history.len && c->kept > c->kept_max)
        c->kept -= c->history.items[c->floor++].kept;
    if (c->head > 1024 && c->head * 2 > c->history.len) {
        c->history.len -= c->head;
        memmove(c->history.items, c->history.items + c->head,
                c->history.len * sizeof *c->history.items);
        c->floor -= c->head;
        c->head = 0;
    }
}

void cache_trim(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    trim(c, clock_mono_ns());
    pthread_mutex_unlock(&c->lock);
}

bool cache_reserve(Cache *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    bool ok = vec_reserve(&c->history, c->history.len + n);
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void cache_publish(Cache *c, const StoreEvent *events, size_t n, Snapshot *after)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        const StoreEvent *ev = &events[i];
        History h = { { ev->rev, object_rev_ref(ev->obj), object_rev_ref(ev->prev) },
                      snapshot_ref(after),
                      now,
                      bytes_of(ev),
                      kept_of(ev) };
        bool ok = vec_push(&c->history, h);
        ASSERT(ok); /* cache_reserve() */
        c->bytes += h.bytes;
        c->kept += h.kept;
    }
    Snapshot *old = c->current;
    c->current = snapshot_ref(after);
    pthread_mutex_unlock(&c->lock);
    snapshot_unref(old);
}

uint64_t cache_floor(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t rev =
        c->floor < c->history.len ? c->history.items[c->floor].ev.rev - 1 : c->current->rev;
    pthread_mutex_unlock(&c->lock);
    return rev;
}

void cache_stats(Cache *c, StoreStats *ret)
{
    pthread_mutex_lock(&c->lock);
    ret->revision = c->current->rev;
    ret->oldest_revision = c->base->rev;
    ret->objects = c->current->root ? c->current->root->count : 0;
    ret->history_bytes = c->bytes;
    pthread_mutex_unlock(&c->lock);
}

/* ---- at the start ---- */

int cache_start(Cache *c, TreeNode *root_taken, uint64_t rev, Err *err)
{
    c->current = snapshot_new(root_taken, rev);
    if (!c->current)
        return err_nomem(err);
    c->base = snapshot_ref(c->current);
    return 0;
}

/* Until cache_past_ends(), `history` is newest first and `base` is the state before the event that
 * was added last. */
int cache_add_past(Cache *c, uint64_t rev, StrView key, ObjectRev *prev, int64_t age, Err *err)
{
    bool oom = false;
    if (rev != c->base->rev) { /* the newest event of an older transaction */
        Snapshot *at = snapshot_new(tree_ref(c->base->root), rev);
        if (!at)
            return err_nomem(err);
        snapshot_unref(c->base);
        c->base = at;
    }
    size_t n = c->history.len;
    bool same = n && c->history.items[n - 1].ev.rev == rev;
    History h = { .ev = { rev, tree_get(c->base->root, key), prev },
                  .after = same ? c->history.items[n - 1].after : c->base,
                  .when = clock_mono_ns() - age };
    h.bytes = bytes_of(&h.ev);
    h.kept = h.ev.prev || h.ev.obj ? kept_of(&h.ev) : KEPT_ROW;
    if (!vec_reserve(&c->history, n + 1))
        return err_nomem(err);
    TreeNode *before =
        prev ? tree_put(c->base->root, prev, &oom) : tree_del(c->base->root, key, &oom);
    Snapshot *base = oom ? NULL : snapshot_new(before, rev);
    if (!base)
        return err_nomem(err);
    snapshot_ref(h.after);
    object_rev_ref(h.ev.obj);
    object_rev_ref(h.ev.prev);
    bool ok = vec_push(&c->history, h);
    ASSERT(ok); /* reserved above */
    c->bytes += h.bytes;
    c->kept += h.kept;
    snapshot_unref(c->base);
    c->base = base;
    return 0;
}

void cache_past_ends(Cache *c)
{
    size_t n = c->history.len;
    for (size_t i = 0; i < n / 2; i++) {
        History h = c->history.items[i];
        c->history.items[i] = c->history.items[n - 1 - i];
        c->history.items[n - 1 - i] = h;
    }
    if (n)
        c->base->rev = c->history.items[0].ev.rev - 1;
    trim(c, clock_mono_ns());
}
