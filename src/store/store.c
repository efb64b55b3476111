/* store.c - the cache and its writer thread.
 *
 * State: `current` (a snapshot) and the history, a queue of events each with the snapshot that it
 * led to; both under one mutex that is held only for pointer swaps. The writer thread takes all
 * waiting writes, checks each against the state that the ones before it lead to, writes them in one
 * engine transaction, and publishes them in order. */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/vec.h"
#include "store/expiry.h"
#include "store/sqlite.h"
#include "store/tree.h"

struct Snapshot {
    atomic_uint refs;
    uint64_t rev;
    TreeNode *root;
};

typedef struct Write Write;
struct Write {
    Write *next;
    StoreDoneFn *done;
    void *ctx;
    bool refused, deletes_only;
    Err err;
    Snapshot *after; /* what it led to, once checked */
    size_t n;
    StoreEvent events[STORE_OPS_MAX]; /* what it did; only those of puts and deletes that hit */
    size_t n_events;
    StoreOp ops[]; /* texts follow in the same block */
};

typedef struct History {
    StoreEvent ev;
    Snapshot *after;
    int64_t when; /* monotonic ns */
    size_t bytes;
} History;

struct Store {
    Engine *engine; /* the writer thread's, after store_open */
    StoreConfig cfg;
    pthread_t writer;
    bool writer_runs;

    pthread_mutex_t lock; /* guards all below but `expiries` */
    pthread_cond_t wake;
    Write *queue, **queue_end;
    bool closing;
    const char *backup_path; /* a waiting backup */
    Err *backup_err;
    int backup_result;
    pthread_cond_t backup_done;
    Snapshot *current;
    Snapshot *base; /* the state before the oldest kept event */
    VEC(History) history;
    size_t history_head; /* the oldest kept one */
    size_t history_bytes;
    uint64_t n_commits, n_writes;
    void (*on_publish)(void *ctx);
    void *on_publish_ctx;

    ExpiryHeap expiries; /* the writer's */
};

/* ---- reference counts ---- */

static Snapshot *snapshot_new(TreeNode *root_taken, uint64_t rev)
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

/* ---- reading ---- */

Snapshot *store_snapshot(Store *s)
{
    pthread_mutex_lock(&s->lock);
    Snapshot *sn = snapshot_ref(s->current);
    pthread_mutex_unlock(&s->lock);
    return sn;
}

uint64_t store_revision(Store *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t rev = s->current->rev;
    pthread_mutex_unlock(&s->lock);
    return rev;
}

/* Index of the first kept event after `rev`. The lock is held. */
static size_t history_after(const Store *s, uint64_t rev)
{
    size_t lo = s->history_head, hi = s->history.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->history.items[mid].ev.rev <= rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int store_snapshot_at(Store *s, uint64_t rev, Snapshot **ret, Err *err)
{
    int r = 0;
    pthread_mutex_lock(&s->lock);
    if (rev > s->current->rev)
        r = err_set(err, ERR_INVALID, 0, "Too large resource version: %llu, current: %llu",
                    (unsigned long long)rev, (unsigned long long)s->current->rev);
    else if (rev < s->base->rev)
        r = err_set(
            err, ERR_GONE, 0,
            "The provided continue parameter is too old to display a consistent list result.");
    else {
        size_t i = history_after(s, rev);
        *ret = snapshot_ref(i == s->history_head ? s->base : s->history.items[i - 1].after);
    }
    pthread_mutex_unlock(&s->lock);
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

static void push_left(SnapshotIter *it, const TreeNode *n)
{
    for (; n; n = n->left) {
        ASSERT(it->depth < SNAPSHOT_DEPTH_MAX);
        it->stack[it->depth++] = n;
    }
}

void snapshot_iter(const Snapshot *sn, StrView prefix, StrView from, SnapshotIter *it)
{
    it->prefix = prefix;
    it->depth = 0;
    StrView start = sv_cmp(from, prefix) > 0 ? from : prefix;
    const TreeNode *n = sn->root;
    while (n) {
        if (sv_cmp(n->obj->key, start) < 0)
            n = n->right;
        else {
            ASSERT(it->depth < SNAPSHOT_DEPTH_MAX);
            it->stack[it->depth++] = n;
            n = n->left;
        }
    }
}

ObjectRev *snapshot_next(SnapshotIter *it)
{
    if (!it->depth)
        return NULL;
    const TreeNode *n = it->stack[--it->depth];
    if (!sv_starts(n->obj->key, it->prefix)) {
        it->depth = 0;
        return NULL;
    }
    push_left(it, n->right);
    return n->obj;
}

/* ---- events ---- */

int store_events(Store *s, uint64_t *pos, StoreEvent *events, size_t n, size_t *ret_n, Err *err)
{
    int r = 0;
    size_t got = 0;
    pthread_mutex_lock(&s->lock);
    if (*pos < s->base->rev)
        r = err_set(err, ERR_GONE, 0, "too old resource version: %llu (%llu)",
                    (unsigned long long)*pos, (unsigned long long)s->base->rev);
    else {
        size_t i = history_after(s, *pos);
        while (i < s->history.len) {
            size_t end = i + 1; /* the transaction's events: all or none */
            while (end < s->history.len &&
                   s->history.items[end].ev.rev == s->history.items[i].ev.rev)
                end++;
            if (got + (end - i) > n)
                break;
            for (; i < end; i++) {
                StoreEvent *ev = &s->history.items[i].ev;
                events[got++] =
                    (StoreEvent){ ev->rev, object_rev_ref(ev->obj), object_rev_ref(ev->prev) };
            }
            *pos = events[got - 1].rev;
        }
    }
    pthread_mutex_unlock(&s->lock);
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

void store_on_publish(Store *s, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&s->lock);
    s->on_publish = fn;
    s->on_publish_ctx = ctx;
    pthread_mutex_unlock(&s->lock);
}

static void history_drop(Store *s, size_t i)
{
    History *h = &s->history.items[i];
    snapshot_unref(s->base);
    s->base = h->after;
    s->history_bytes -= h->bytes;
    store_events_release(&h->ev, 1);
}

/* Drops what is over the bounds, whole transactions at a time; then closes the gap at the front
 * when it is more than half of the array. The lock is held. */
static void history_trim(Store *s, int64_t now)
{
    int64_t oldest = now - (int64_t)s->cfg.history_sec * NSEC_PER_SEC;
    while (s->history_head < s->history.len) {
        History *h = &s->history.items[s->history_head];
        if (s->history_bytes <= s->cfg.history_bytes && h->when >= oldest)
            break;
        uint64_t rev = h->ev.rev;
        while (s->history_head < s->history.len && s->history.items[s->history_head].ev.rev == rev)
            history_drop(s, s->history_head++);
    }
    if (s->history_head > 1024 && s->history_head * 2 > s->history.len) {
        s->history.len -= s->history_head;
        memmove(s->history.items, s->history.items + s->history_head,
                s->history.len * sizeof *s->history.items);
        s->history_head = 0;
    }
}

/* ---- writing ---- */

static Write *write_new(const StoreOp *ops, size_t n, StoreDoneFn *done, void *ctx, Err *err)
{
    size_t bytes = sizeof(Write) + n * sizeof *ops;
    if (n == 0 || n > STORE_OPS_MAX) {
        err_set(err, ERR_LIMIT, 0, "%zu operations in one write; between 1 and %d are allowed", n,
                STORE_OPS_MAX);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (ops[i].key.len == 0 || ops[i].key.len > STORE_KEY_MAX ||
            ops[i].val.len > STORE_VALUE_MAX) {
            err_set(err, ERR_LIMIT, 0,
                    "key of %zu bytes (limit %d) with a value of %zu bytes (limit %d)",
                    ops[i].key.len, STORE_KEY_MAX, ops[i].val.len, STORE_VALUE_MAX);
            return NULL;
        }
        bytes += ops[i].key.len + ops[i].val.len + ops[i].attrs.len;
    }
    Write *w = calloc(1, bytes);
    if (!w) {
        err_nomem(err);
        return NULL;
    }
    w->done = done;
    w->ctx = ctx;
    w->n = n;
    w->deletes_only = true;
    char *p = (char *)(w->ops + n);
    for (size_t i = 0; i < n; i++) {
        w->ops[i] = ops[i];
        w->deletes_only &= ops[i].kind != STORE_PUT;
        StrView *parts[] = { &w->ops[i].key, &w->ops[i].val, &w->ops[i].attrs };
        for (int j = 0; j < 3; j++) {
            if (parts[j]->len)
                memcpy(p, parts[j]->ptr, parts[j]->len);
            parts[j]->ptr = p;
            p += parts[j]->len;
        }
    }
    return w;
}

static void write_reset(Write *w)
{
    store_events_release(w->events, w->n_events);
    w->n_events = 0;
    w->after = snapshot_unref(w->after);
}

static void write_free(Write *w)
{
    write_reset(w);
    free(w);
}

int store_commit(Store *s, const StoreOp *ops, size_t n, StoreDoneFn *done, void *ctx, Err *err)
{
    Write *w = write_new(ops, n, done, ctx, err);
    if (!w)
        return -(int)(err ? err->code : ERR_LIMIT);
    pthread_mutex_lock(&s->lock);
    bool closing = s->closing;
    if (!closing) {
        *s->queue_end = w;
        s->queue_end = &w->next;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (closing) {
        write_free(w);
        return err_set(err, ERR_CLOSED, 0, "the store is closing");
    }
    return 0;
}

static int check_op(const StoreOp *op, const ObjectRev *have, Err *err)
{
    if (op->if_rev == 0 && have)
        return err_set(err, ERR_EXISTS, 0, "'%.*s' exists already", SV_FMT(op->key));
    if (!have && (op->kind == STORE_DELETE || (op->if_rev != 0 && op->if_rev != STORE_ANY_REV)))
        return err_set(err, ERR_NOT_FOUND, 0, "'%.*s' is not there", SV_FMT(op->key));
    if (have && op->if_rev != STORE_ANY_REV && op->if_rev != have->mod_rev)
        return err_set(err, ERR_CONFLICT, 0, "'%.*s' has revision %llu, not %llu", SV_FMT(op->key),
                       (unsigned long long)have->mod_rev, (unsigned long long)op->if_rev);
    return 0;
}

/* Applies one op to *root (replaced) as part of revision `rev`. */
static int apply_op(Write *w, const StoreOp *op, uint64_t rev, TreeNode **root, Err *err)
{
    ObjectRev *have = tree_get(*root, op->key);
    int r = check_op(op, have, err);
    if (r < 0 || op->kind == STORE_CHECK)
        return r;
    ObjectRev *o = NULL;
    bool oom = false;
    TreeNode *next;
    if (op->kind == STORE_PUT) {
        if (!(o = object_rev_new(op->key, op->val, op->attrs)))
            return err_nomem(err);
        o->mod_rev = rev;
        o->create_rev = have ? have->create_rev : rev;
        o->expires = op->ttl_sec ? clock_real_ns() / NSEC_PER_SEC + op->ttl_sec : 0;
        next = tree_put(*root, o, &oom);
    } else
        next = tree_del(*root, op->key, &oom);
    if (oom) {
        object_rev_unref(o);
        return err_nomem(err);
    }
    w->events[w->n_events++] = (StoreEvent){ rev, o, object_rev_ref(have) };
    tree_unref(*root);
    *root = next;
    return 0;
}

/* Checks a write against the state `before` and computes the state after it. */
static void write_check(Write *w, const Snapshot *before)
{
    TreeNode *root = tree_ref(before->root);
    int r = 0;
    w->err = (Err){ 0 };
    for (size_t i = 0; i < w->n && r == 0; i++)
        r = apply_op(w, &w->ops[i], before->rev + 1, &root, &w->err);
    if (r == 0 && !(w->after = snapshot_new(TAKE_PTR(root), before->rev + 1)))
        r = err_nomem(&w->err);
    tree_unref(root);
    w->refused = r < 0;
    if (w->refused)
        write_reset(w);
}

static int write_rows(Engine *e, const Write *w, Err *err)
{
    int r = 0;
    for (size_t i = 0; i < w->n_events && r == 0; i++)
        r = w->events[i].obj ? engine_put(e, w->events[i].obj, err)
                             : engine_del(e, w->events[i].prev->key, err);
    return r;
}

/* Checks the batch in order and makes what is accepted durable. With `only_deletes`, writes that
 * put something are left with the error that they have. */
static int batch_run(Store *s, Write *batch, bool only_deletes, Err *err)
{
    const Snapshot *state = s->current; /* only this thread changes it */
    bool any = false;
    for (Write *w = batch; w; w = w->next) {
        if (only_deletes && !w->deletes_only)
            continue;
        write_check(w, state);
        if (!w->refused) {
            state = w->after;
            any = true;
        }
    }
    if (!any)
        return 0;
    int r = engine_begin(s->engine, err);
    for (Write *w = batch; w && r == 0; w = w->next)
        if (!w->refused)
            r = write_rows(s->engine, w, err);
    if (r == 0)
        r = engine_commit(s->engine, state->rev, err);
    if (r < 0)
        engine_rollback(s->engine);
    return r;
}

static void batch_refuse(Write *batch, const Err *why)
{
    for (Write *w = batch; w; w = w->next)
        if (!w->refused) {
            w->refused = true;
            w->err = *why;
            write_reset(w);
        }
}

/* Room for the events of the batch, taken before anything becomes durable. */
static bool history_reserve(Store *s, const Write *batch)
{
    size_t n = 0;
    for (; batch; batch = batch->next)
        n += batch->n;
    pthread_mutex_lock(&s->lock);
    bool ok = vec_reserve(&s->history, s->history.len + n);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static void batch_publish(Store *s, Write *batch)
{
    int64_t now = clock_mono_ns();
    Snapshot *old = NULL;
    pthread_mutex_lock(&s->lock);
    for (Write *w = batch; w; w = w->next) {
        if (w->refused)
            continue;
        for (size_t i = 0; i < w->n_events; i++) {
            StoreEvent *ev = &w->events[i];
            size_t bytes = sizeof(History) + 1024 + (ev->obj ? ev->obj->val.len : 0) +
                           (ev->prev ? ev->prev->val.len / 2 : 0);
            History h = { { ev->rev, object_rev_ref(ev->obj), object_rev_ref(ev->prev) },
                          snapshot_ref(w->after),
                          now,
                          bytes };
            bool ok = vec_push(&s->history, h);
            ASSERT(ok); /* reserved before the commit */
            s->history_bytes += bytes;
        }
        snapshot_unref(old);
        old = s->current;
        s->current = snapshot_ref(w->after);
        s->n_writes++;
    }
    s->n_commits++;
    history_trim(s, now);
    pthread_mutex_unlock(&s->lock);
    snapshot_unref(old);
}

static void batch_finish(Store *s, Write *batch)
{
    bool published = false;
    for (Write *w = batch, *next; w; w = next) {
        next = w->next;
        ObjectRev *obj =
            w->n_events ? (w->events[0].obj ? w->events[0].obj : w->events[0].prev) : NULL;
        for (size_t i = 0; i < w->n_events; i++)
            if (w->events[i].obj && w->events[i].obj->expires)
                expiry_push(&s->expiries, w->events[i].obj);
        published |= !w->refused;
        if (w->done)
            w->done(w->ctx, w->refused ? 0 : w->after->rev, obj, w->refused ? &w->err : NULL);
        write_free(w);
    }
    pthread_mutex_lock(&s->lock);
    void (*fn)(void *) = published ? s->on_publish : NULL;
    void *ctx = s->on_publish_ctx;
    pthread_mutex_unlock(&s->lock);
    if (fn)
        fn(ctx);
}

static void batch_process(Store *s, Write *batch)
{
    Err err = { 0 };
    int r = history_reserve(s, batch) ? batch_run(s, batch, false, &err) : err_nomem(&err);
    if (r < 0) {
        bool full = err.sys == ENOSPC;
        batch_refuse(batch, &err);
        if (full) {
            engine_release_reserve(s->engine);
            r = batch_run(s, batch, true, &err);
            if (r < 0)
                batch_refuse(batch, &err);
        }
    } else
        engine_keep_reserve(s->engine);
    batch_publish(s, batch);
    batch_finish(s, batch);
}

static Write *expired(Store *s)
{
    Write *first = NULL, **end = &first;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    for (ObjectRev *o; (o = expiry_pop_due(&s->expiries, now)) != NULL;) {
        ObjectRev *have = tree_get(s->current->root, o->key);
        if (have && have->mod_rev == o->mod_rev) {
            StoreOp op = { STORE_DELETE, o->key, o->mod_rev, SV_NULL, SV_NULL, 0 };
            Err err;
            Write *w = write_new(&op, 1, NULL, NULL, &err);
            if (w) {
                *end = w;
                end = &w->next;
            }
        }
        object_rev_unref(o);
    }
    return first;
}

static void run_backup(Store *s)
{
    const char *path = s->backup_path;
    Err *err = s->backup_err;
    pthread_mutex_unlock(&s->lock);
    int r = engine_backup(s->engine, path, err);
    pthread_mutex_lock(&s->lock);
    s->backup_path = NULL;
    s->backup_result = r;
    pthread_cond_broadcast(&s->backup_done);
}

static void *writer_main(void *arg)
{
    Store *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->queue && !s->closing && !s->backup_path) {
            struct timespec at;
            clock_gettime(CLOCK_MONOTONIC, &at);
            at.tv_sec += 5;
            if (pthread_cond_timedwait(&s->wake, &s->lock, &at) == ETIMEDOUT)
                break;
        }
        if (s->backup_path)
            run_backup(s);
        if (!s->queue && s->closing)
            break;
        Write *batch = s->queue;
        s->queue = NULL;
        s->queue_end = &s->queue;
        pthread_mutex_unlock(&s->lock);
        if (!batch)
            batch = expired(s);
        if (batch)
            batch_process(s, batch);
        pthread_mutex_lock(&s->lock);
        if (!batch)
            history_trim(s, clock_mono_ns());
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

typedef struct SyncWait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    uint64_t rev;
    Err err;
} SyncWait;

static void sync_done(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    SyncWait *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->rev = rev;
    if (err)
        w->err = *err;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int store_commit_sync(Store *s, const StoreOp *ops, size_t n, uint64_t *ret_rev, Err *err)
{
    SyncWait w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
    int r = store_commit(s, ops, n, sync_done, &w, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (w.err.code) {
        if (err)
            *err = w.err;
        return -(int)w.err.code;
    }
    if (ret_rev)
        *ret_rev = w.rev;
    return 0;
}

int store_backup(Store *s, const char *path, Err *err)
{
    pthread_mutex_lock(&s->lock);
    while (s->backup_path)
        pthread_cond_wait(&s->backup_done, &s->lock);
    s->backup_path = path;
    s->backup_err = err;
    pthread_cond_signal(&s->wake);
    while (s->backup_path)
        pthread_cond_wait(&s->backup_done, &s->lock);
    int r = s->backup_result;
    pthread_mutex_unlock(&s->lock);
    return r;
}

void store_stats(Store *s, StoreStats *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = (StoreStats){ .revision = s->current->rev,
                         .oldest_revision = s->base->rev,
                         .objects = s->current->root ? s->current->root->count : 0,
                         .commits = s->n_commits,
                         .writes = s->n_writes,
                         .history_bytes = s->history_bytes };
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening and closing ---- */

typedef struct Load {
    Store *s;
    TreeNode *root;
    Buf attrs;
} Load;

static int load_row(void *ctx, const ObjectRev *row, Err *err)
{
    Load *l = ctx;
    buf_clear(&l->attrs);
    if (l->s->cfg.derive)
        l->s->cfg.derive(l->s->cfg.ctx, row->key, row->val, &l->attrs);
    ObjectRev *o = l->attrs.failed ? NULL : object_rev_new(row->key, row->val, buf_view(&l->attrs));
    if (!o)
        return err_nomem(err);
    o->mod_rev = row->mod_rev;
    o->create_rev = row->create_rev;
    o->expires = row->expires;
    bool oom = false;
    TreeNode *next = tree_put(l->root, o, &oom);
    if (!oom) {
        tree_unref(l->root);
        l->root = next;
        if (o->expires)
            expiry_push(&l->s->expiries, o);
    }
    object_rev_unref(o);
    return oom ? err_nomem(err) : 0;
}

static int start(Store *s, Snapshot *first, Err *err)
{
    s->current = first;
    s->base = snapshot_ref(first);
    int r = pthread_create(&s->writer, NULL, writer_main, s);
    if (r)
        return err_set(err, ERR_SYS, r, "start store writer");
    s->writer_runs = true;
    return 0;
}

int store_open(const char *dir, const StoreConfig *cfg, Store **ret, Err *err)
{
    Store *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    if (cfg)
        s->cfg = *cfg;
    if (!s->cfg.history_bytes)
        s->cfg.history_bytes = 32 * 1024 * 1024;
    if (!s->cfg.history_sec)
        s->cfg.history_sec = 300;
    s->queue_end = &s->queue;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &mono);
    pthread_condattr_destroy(&mono);
    pthread_cond_init(&s->backup_done, NULL);

    Load load = { .s = s };
    uint64_t rev = 0;
    Snapshot *first = NULL;
    int r = engine_open(dir, load_row, &load, &s->engine, &rev, err);
    /* Revision 1 is the first that exists: clients take 0 for "any". */
    if (r == 0 && !(first = snapshot_new(TAKE_PTR(load.root), rev ? rev : 1)))
        r = err_nomem(err);
    if (r == 0)
        r = start(s, first, err);
    tree_unref(load.root);
    buf_free(&load.attrs);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

Store *store_close(Store *s)
{
    if (!s)
        return NULL;
    if (s->writer_runs) {
        pthread_mutex_lock(&s->lock);
        s->closing = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->writer, NULL);
    }
    while (s->history_head < s->history.len)
        history_drop(s, s->history_head++);
    vec_free(&s->history);
    expiry_free(&s->expiries);
    snapshot_unref(s->current);
    snapshot_unref(s->base);
    engine_close(s->engine);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->backup_done);
    free(s);
    return NULL;
}
