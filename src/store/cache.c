/* cache.c - `current` (a snapshot) and the history, a queue of events; both under one mutex that is
 * held only for pointer swaps, and by late readers to take hold of some dozens of events, or to
 * pass over some more; what they hold is made of its deltas without the lock.
 *
 * An older state is made when it is asked for, from the nearest newer one by undoing events: a list
 * that is read in pages goes on at a revision that is hardly ever far away. The last ones that were
 * made are kept for a while, for the next page. */
#include "store/cache.h"

#include "base/clock.h"

enum {
    KEPT_MAX = 16 * 1024 * 1024,
    MADE_SEC = 60,
    /* Of a piece of history that is read at once. */
    SCAN_MAX = 1024,         /* events that are passed over under the lock */
    MADE_BYTES = 512 * 1024, /* that are written, where they have to be made of deltas */
    HELD_MAX = STORE_OPS_MAX,
    /* Objects that an older state differs in from the nearest one that there is: 20 ms. What
     * differs in more is too old. */
    UNDO_MAX = 16 * 1024,
    MADE_ALL_MAX = 64 * 1024 * 1024, /* of all older states that somebody holds */
};

/* Of older states, whoever holds them: they may outlive the cache. */
typedef struct MadeBytes {
    atomic_uint refs;
    atomic_size_t sum;
} MadeBytes;

struct Snapshot {
    atomic_uint refs;
    uint64_t rev;
    TreeNode *root;
    MadeBytes *made_in; /* NULL: a state that was published */
    size_t made;        /* bytes of objects that were made for it, or for what it was made of */
};

static MadeBytes *made_bytes_unref(MadeBytes *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        free(m);
    return NULL;
}

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
        if (sn->made_in)
            atomic_fetch_sub(&sn->made_in->sum, sn->made);
        made_bytes_unref(sn->made_in);
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

void cache_free(Cache *c)
{
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        snapshot_unref(c->made[i]);
    history_free(&c->history);
    snapshot_unref(c->current);
    snapshot_unref(c->loading);
    c->made_bytes = made_bytes_unref(c->made_bytes);
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

/* ---- pieces of history ---- */

/* Where the events of one revision that begin at `i` end. */
static size_t end_of(const History *h, size_t i)
{
    uint64_t rev = h->items.items[i].rev;
    while (i < h->items.len && h->items.items[i].rev == rev)
        i++;
    return i;
}

/* Makes what is held, and lets it go. */
static int make_held(Cache *c, EventHold *held, size_t n, StoreEvent *ret, Err *err)
{
    int r = history_make(held, n, ret, err);
    pthread_mutex_lock(&c->lock);
    history_let_go(held, n);
    pthread_mutex_unlock(&c->lock);
    return r;
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

/* Takes hold of what leads back from the state at `until` to the one at `rev`, as far as it lies in
 * the events after *pos, which is advanced. Versions that came and went after `rev` are nobody's
 * concern: of many changes of an object one is looked at. */
static int hold_undone(Cache *c, uint64_t rev, uint64_t until, uint64_t *pos,
                       EventHold held[HELD_MAX], size_t *ret_n, Err *err)
{
    int r = 0;
    size_t cost = 0, n = 0;
    pthread_mutex_lock(&c->lock);
    const History *h = &c->history;
    size_t i = history_after(h, *pos), end = history_after(h, until), last = i + SCAN_MAX;
    if (*pos < c->base)
        r = too_old(err);
    while (r == 0 && i < MIN(end, last) && cost <= MADE_BYTES) {
        size_t next = end_of(h, i);
        if (n + (next - i) > HELD_MAX)
            break;
        *pos = h->items.items[i].rev;
        for (; i < next; i++) {
            if (history_prev_rev(&h->items.items[i]) > rev)
                continue;
            held[n] = history_hold_prev(h, i);
            cost += held[n++].cost;
        }
    }
    pthread_mutex_unlock(&c->lock);
    *ret_n = n;
    return r;
}

/* In any order: what was made after `rev` goes, unless what was there then is back already. */
static int undo(TreeNode **root, uint64_t rev, const StoreEvent *ev, Err *err)
{
    bool oom = false;
    const ObjectRev *have = ev->prev ? NULL : tree_get(*root, ev->obj->key);
    if (!ev->prev && (!have || have->mod_rev <= rev))
        return 0;
    TreeNode *before =
        ev->prev ? tree_put(*root, ev->prev, &oom) : tree_del(*root, ev->obj->key, &oom);
    if (oom)
        return err_nomem(err);
    tree_unref(*root);
    *root = before;
    return 0;
}

static size_t bytes_made(const EventHold *held, const StoreEvent *made, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += held[i].prev.steps ? made[i].prev->val.len : 0;
    return sum;
}

/* Undoes all that came after `rev` and led to the state at `from`; *made grows by what is made. */
static int undo_to(Cache *c, uint64_t rev, uint64_t from, TreeNode **root, size_t *made, Err *err)
{
    EventHold held[HELD_MAX];
    StoreEvent events[HELD_MAX];
    int r = 0;
    size_t all = 0;
    for (uint64_t pos = rev; r == 0 && pos < from;) {
        size_t n;
        if (all > UNDO_MAX || *made > MADE_ALL_MAX)
            return too_old(err);
        if ((r = hold_undone(c, rev, from, &pos, held, &n, err)) < 0 ||
            (r = make_held(c, held, n, events, err)) < 0)
            break;
        *made += bytes_made(held, events, n);
        for (size_t i = 0; i < n && r == 0; i++)
            r = undo(root, rev, &events[i], err);
        store_events_release(events, n);
        all += n;
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

/* Those that are kept for the next page give way to others. */
static bool is_room_for_made(Cache *c)
{
    Snapshot *made[CACHE_MADE_MAX];
    if (atomic_load(&c->made_bytes->sum) <= MADE_ALL_MAX)
        return true;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        made[i] = TAKE_PTR(c->made[i]);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        snapshot_unref(made[i]);
    return atomic_load(&c->made_bytes->sum) <= MADE_ALL_MAX;
}

static int make_state(Cache *c, uint64_t rev, const Snapshot *from, Snapshot **ret, Err *err)
{
    TreeNode *root = tree_ref(from->root);
    size_t made = from->made;
    int r = is_room_for_made(c) ? undo_to(c, rev, from->rev, &root, &made, err) : too_old(err);
    if (r < 0) {
        tree_unref(root);
        return r;
    }
    Snapshot *sn = snapshot_new(root, rev);
    if (!sn)
        return err_nomem(err);
    sn->made = made;
    sn->made_in = c->made_bytes;
    atomic_fetch_add(&c->made_bytes->refs, 1);
    atomic_fetch_add(&c->made_bytes->sum, made);
    keep_made(c, sn);
    *ret = sn;
    return 0;
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
    if (r == 0)
        r = make_state(c, rev, from, ret, err);
    snapshot_unref(from);
    return r;
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

static bool concerns(const HistoryEvent *e, StrView prefix)
{
    return !prefix.len || sv_starts(history_key(e), prefix);
}

/* As store_events(), but that what is found is held. */
static int hold_events(Cache *c, StrView prefix, uint64_t *pos, EventHold *held, size_t max,
                       size_t *ret_n, Err *err)
{
    int r = 0;
    size_t cost = 0, n = 0;
    pthread_mutex_lock(&c->lock);
    const History *h = &c->history;
    size_t i = history_after(h, *pos), end = MIN(h->items.len, i + SCAN_MAX);
    if (*pos < c->base)
        r = err_set(err, ERR_GONE, 0, "too old resource version: %llu (%llu)",
                    (unsigned long long)*pos, (unsigned long long)c->base);
    while (r == 0 && i < end && cost <= MADE_BYTES) {
        size_t next = end_of(h, i); /* the transaction's events: all or none */
        if (n + (next - i) > max)
            break;
        *pos = h->items.items[i].rev;
        for (; i < next; i++) {
            if (!concerns(&h->items.items[i], prefix))
                continue;
            held[n] = history_hold(h, i);
            cost += held[n++].cost;
        }
    }
    pthread_mutex_unlock(&c->lock);
    *ret_n = n;
    return r;
}

int cache_events(Cache *c, StrView prefix, uint64_t *pos, StoreEvent *events, size_t n,
                 size_t *ret_n, Err *err)
{
    EventHold held[CACHE_EVENTS_MAX];
    uint64_t at = *pos;
    size_t got;
    *ret_n = 0;
    int r = hold_events(c, prefix, &at, held, MIN(n, ARRAY_SIZE(held)), &got, err);
    if (r < 0 || (r = make_held(c, held, got, events, err)) < 0)
        return r;
    *pos = at;
    *ret_n = got;
    return 0;
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
}

/* Older states that nobody has asked for lately. The lock is held: they are freed without. */
static void forget_made(Cache *c, int64_t now, Snapshot *ret[CACHE_MADE_MAX])
{
    if (now - c->made_at <= MADE_SEC * NSEC_PER_SEC)
        return;
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        ret[i] = TAKE_PTR(c->made[i]);
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
    int64_t now = clock_mono_ns();
    Snapshot *made[CACHE_MADE_MAX] = { NULL };
    pack(c);
    pthread_mutex_lock(&c->lock);
    trim(c, now);
    forget_made(c, now, made);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < CACHE_MADE_MAX; i++)
        snapshot_unref(made[i]);
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
    c->made_bytes = calloc(1, sizeof *c->made_bytes);
    if (!c->current || !c->made_bytes)
        return err_nomem(err);
    atomic_init(&c->made_bytes->refs, 1);
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
