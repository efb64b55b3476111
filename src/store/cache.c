/* cache.c - `current` (a snapshot) and the history, a queue of events; both under one mutex that is
 * held only for pointer swaps, and by late readers for some dozens of events at a time.
 *
 * An older state is made when it is asked for, from the nearest newer one by undoing events: a list
 * that is read in pages goes on at a revision that is hardly ever far away. The last ones that were
 * made are kept for a while, for the next page. */
#include "store/cache.h"

#include "base/clock.h"

enum { KEPT_MAX = 16 * 1024 * 1024, MADE_SEC = 60 };

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

static void forget_made(Cache *c)
{
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        c->made[i] = snapshot_unref(c->made[i]);
}

void cache_free(Cache *c)
{
    forget_made(c);
    history_free(&c->history);
    snapshot_unref(c->current);
    snapshot_unref(c->loading);
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

/* ---- older states ---- */

/* The nearest state at or after `rev` that there is. The lock is held. */
static Snapshot *nearest(const Cache *c, uint64_t rev)
{
    Snapshot *best = c->current;
    for (size_t i = 0; i < CACHE_MADE_MAX; i++) {
        if (c->made[i] && c->made[i]->rev >= rev && c->made[i]->rev < best->rev)
            best = c->made[i];
    }
    return snapshot_ref(best);
}

static int too_old(Err *err)
{
    return err_set(
        err, ERR_GONE, 0,
        "The provided continue parameter is too old to display a consistent list result.");
}

/* The last transactions up to revision `until` and after `rev`, newest first, whole. */
static int events_before(Cache *c, uint64_t rev, uint64_t until, StoreEvent events[STORE_OPS_MAX],
                         size_t *ret_n, Err *err)
{
    int r = 0;
    *ret_n = 0;
    pthread_mutex_lock(&c->lock);
    const History *h = &c->history;
    if (rev < c->base)
        r = too_old(err);
    size_t first = history_after(h, rev), end = history_after(h, until);
    while (r == 0 && end > first) {
        size_t begin = history_after(h, h->items.items[end - 1].rev - 1);
        if (*ret_n + (end - begin) > STORE_OPS_MAX)
            break;
        while (r == 0 && end > begin) {
            if ((r = history_get(h, --end, &events[*ret_n], err)) == 0)
                ++*ret_n;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

static int undo(TreeNode **root, const StoreEvent *ev, Err *err)
{
    bool oom = false;
    TreeNode *before =
        ev->prev ? tree_put(*root, ev->prev, &oom) : tree_del(*root, ev->obj->key, &oom);
    if (oom)
        return err_nomem(err);
    tree_unref(*root);
    *root = before;
    return 0;
}

/* Undoes all that came after `rev` and led to the state at `from`. */
static int undo_to(Cache *c, uint64_t rev, uint64_t from, TreeNode **root, Err *err)
{
    StoreEvent events[STORE_OPS_MAX];
    int r = 0;
    for (size_t n = 1; r == 0 && n;) {
        r = events_before(c, rev, from, events, &n, err);
        for (size_t i = 0; i < n && r == 0; i++)
            r = undo(root, &events[i], err);
        if (n)
            from = events[n - 1].rev - 1;
        store_events_release(events, n);
    }
    return r;
}

static void keep_made(Cache *c, Snapshot *sn)
{
    pthread_mutex_lock(&c->lock);
    Snapshot *last = c->made[CACHE_MADE_MAX - 1];
    memmove(c->made + 1, c->made, (CACHE_MADE_MAX - 1) * sizeof *c->made);
    c->made[0] = snapshot_ref(sn);
    c->made_at = clock_mono_ns();
    pthread_mutex_unlock(&c->lock);
    snapshot_unref(last);
}

int cache_snapshot_at(Cache *c, uint64_t rev, Snapshot **ret, Err *err)
{
    int r = 0;
    pthread_mutex_lock(&c->lock);
    Snapshot *from = nearest(c, rev);
    if (rev > c->current->rev)
        r = err_set(err, ERR_INVALID, 0, "Too large resource version: %llu, current: %llu",
                    (unsigned long long)rev, (unsigned long long)c->current->rev);
    else if (rev < c->base)
        r = too_old(err);
    pthread_mutex_unlock(&c->lock);
    if (r == 0 && from->rev == rev) {
        *ret = from;
        return 0;
    }
    TreeNode *root = tree_ref(from->root);
    if (r == 0)
        r = undo_to(c, rev, from->rev, &root, err);
    snapshot_unref(from);
    if (r < 0) {
        tree_unref(root);
        return r;
    }
    *ret = snapshot_new(root, rev);
    if (!*ret)
        return err_nomem(err);
    keep_made(c, *ret);
    return 0;
}

/* ---- one state ---- */

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

/* Where the events of one revision that begin at `i` end. */
static size_t end_of(const History *h, size_t i)
{
    uint64_t rev = h->items.items[i].rev;
    while (i < h->items.len && h->items.items[i].rev == rev)
        i++;
    return i;
}

int cache_events(Cache *c, uint64_t *pos, StoreEvent *events, size_t n, size_t *ret_n, Err *err)
{
    int r = 0;
    size_t got = 0;
    pthread_mutex_lock(&c->lock);
    const History *h = &c->history;
    if (*pos < c->base)
        r = err_set(err, ERR_GONE, 0, "too old resource version: %llu (%llu)",
                    (unsigned long long)*pos, (unsigned long long)c->base);
    for (size_t i = history_after(h, *pos), end; r == 0 && i < h->items.len;
         *pos = events[got - 1].rev) {
        end = end_of(h, i); /* the transaction's events: all or none */
        if (got + (end - i) > n)
            break;
        for (; i < end && r == 0; i++) {
            if ((r = history_get(h, i, &events[got], err)) == 0)
                got++;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (r < 0) {
        store_events_release(events, got);
        got = 0;
    }
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

/* Drops what is over the bounds, whole transactions at a time. The lock is held. */
static void trim(Cache *c, int64_t now)
{
    History *h = &c->history;
    while (h->head < h->items.len &&
           (h->bytes > c->bytes_max || h->items.items[h->head].when < now - c->age_max)) {
        size_t end = end_of(h, h->head);
        c->base = h->items.items[h->head].rev;
        while (h->head < end)
            history_drop_oldest(h);
    }
    while (h->floor < h->items.len && h->kept > c->kept_max)
        h->kept -= h->items.items[h->floor++].kept;
    history_compact(h);
    if (now - c->made_at > MADE_SEC * NSEC_PER_SEC)
        forget_made(c);
}

/* Of large objects that takes long: the lock is held for the ends only. */
static void pack(Cache *c)
{
    HistoryPack p;
    while (history_pack_find(&c->history, &p)) {
        history_pack_make(&c->history, &p);
        pthread_mutex_lock(&c->lock);
        history_pack_end(&c->history, &p);
        pthread_mutex_unlock(&c->lock);
    }
}

void cache_trim(Cache *c)
{
    pack(c);
    pthread_mutex_lock(&c->lock);
    trim(c, clock_mono_ns());
    pthread_mutex_unlock(&c->lock);
}

bool cache_reserve(Cache *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    bool ok = history_reserve(&c->history, n);
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void cache_publish(Cache *c, const StoreEvent *events, size_t n, Snapshot *after)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        const ObjectRev *o = events[i].obj ? events[i].obj : events[i].prev;
        history_push(&c->history, &events[i], now);
        if (c->marks && c->marks(o->key))
            atomic_store(&c->marked, events[i].rev); /* before anybody can see the event */
    }
    Snapshot *old = c->current;
    c->current = snapshot_ref(after);
    pthread_mutex_unlock(&c->lock);
    snapshot_unref(old);
}

uint64_t cache_floor(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    const History *h = &c->history;
    uint64_t rev = h->floor < h->items.len ? h->items.items[h->floor].rev - 1 : c->current->rev;
    pthread_mutex_unlock(&c->lock);
    return rev;
}

void cache_stats(Cache *c, StoreStats *ret)
{
    pthread_mutex_lock(&c->lock);
    ret->revision = c->current->rev;
    ret->oldest_revision = c->base;
    ret->objects = c->current->root ? c->current->root->count : 0;
    ret->history_bytes = c->history.bytes;
    pthread_mutex_unlock(&c->lock);
}

/* ---- at the start ---- */

int cache_start(Cache *c, TreeNode *root_taken, uint64_t rev, Err *err)
{
    c->current = snapshot_new(root_taken, rev);
    if (!c->current)
        return err_nomem(err);
    c->base = rev;
    c->loading = snapshot_ref(c->current);
    return 0;
}

/* Until cache_past_ends(), the history is newest first and `loading` is the state before the event
 * that was added last. */
int cache_add_past(Cache *c, uint64_t rev, StrView key, ObjectRev *prev, int64_t age, Err *err)
{
    bool oom = false;
    TreeNode *root = c->loading->root;
    StoreEvent ev = { rev, tree_get(root, key), prev };
    if (!ev.obj && !prev)
        return 0;
    if (!history_reserve(&c->history, 1))
        return err_nomem(err);
    TreeNode *before = prev ? tree_put(root, prev, &oom) : tree_del(root, key, &oom);
    Snapshot *loading = oom ? NULL : snapshot_new(before, rev - 1);
    if (!loading)
        return err_nomem(err);
    history_push(&c->history, &ev, clock_mono_ns() - age);
    snapshot_unref(c->loading);
    c->loading = loading;
    return 0;
}

void cache_past_ends(Cache *c)
{
    c->loading = snapshot_unref(c->loading);
    history_reverse(&c->history);
    if (c->history.items.len)
        c->base = c->history.items.items[0].rev - 1;
    cache_trim(c);
}
