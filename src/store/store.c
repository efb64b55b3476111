/* store.c - the writer: takes what waits, makes it durable by the engine, publishes it in the
 * cache.
 *
 * One thread takes all waiting writes, checks each against the state that the ones before it lead
 * to, hands them to the engine as one transaction, and publishes them in order. With every batch go
 * some deletions of what has expired. */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "store/cache.h"
#include "store/engine.h"
#include "store/expiry.h"

enum {
    EXPIRE_EACH = 64, /* with every batch: bounded, and more than can be written meanwhile */
    GATHER_MAX_NS = 300 * 1000,
    IDLE_SEC = 5,
    PROGRESS_ROWS = 4096,
};

typedef struct Write Write;
struct Write {
    Write *next;
    StoreDoneFn *done;
    void *ctx;
    bool refused, frees;
    bool handed_in; /* by store_commit() */
    Err err;
    Snapshot *after; /* what it led to, once checked */
    size_t n;
    StoreEvent events[STORE_OPS_MAX]; /* what it did; only those of puts and deletes that hit */
    size_t n_events;
    StoreOp ops[]; /* texts follow in the same block */
};

struct Store {
    const StoreEngine *ops;
    void *engine; /* the writer thread's, after store_open */
    StoreConfig cfg;
    Cache cache;
    char note[512];
    pthread_t writer;
    bool writer_runs;

    pthread_mutex_t lock; /* guards the following */
    pthread_cond_t wake;
    Write *queue, **queue_end;
    unsigned queued, wanted; /* the writer is woken when so many wait */
    bool closing;
    const char *backup_path; /* a waiting backup */
    Err *backup_err;
    int backup_result;
    pthread_cond_t backup_done;
    uint64_t n_commits, n_writes;
    void (*on_publish)(void *ctx);
    void *on_publish_ctx;
    bool publishing;                /* on_publish is being called */
    uint64_t n_taken_in, n_handled; /* writes that were handed in, and whose done has been called */
    unsigned n_waiting;             /* for either of these, on: */
    pthread_cond_t progress;

    /* The writer's own. */
    unsigned last_n;   /* writes in the last batch */
    int64_t gather_ns; /* how long it is worth to wait for as many */
    ExpiryHeap expiries;
    VEC(StoreEvent) events; /* of the batch under way; borrowed */
};

/* ---- reading: the cache's ---- */

Snapshot *store_snapshot(Store *s)
{
    return cache_snapshot(&s->cache);
}

uint64_t store_revision(Store *s)
{
    return cache_revision(&s->cache);
}

int store_snapshot_at(Store *s, uint64_t rev, Snapshot **ret, Err *err)
{
    return cache_snapshot_at(&s->cache, rev, ret, err);
}

int store_events(Store *s, StrView prefix, uint64_t *pos, StoreEvent *events, size_t n,
                 size_t *ret_n, Err *err)
{
    return cache_events(&s->cache, prefix, pos, events, n, ret_n, err);
}

uint64_t store_marked(Store *s)
{
    return atomic_load(&s->cache.marked);
}

/* The lock is held, and given up meanwhile. */
static void wait_for_progress(Store *s)
{
    s->n_waiting++;
    pthread_cond_wait(&s->progress, &s->lock);
    s->n_waiting--;
}

void store_on_publish(Store *s, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&s->lock);
    s->on_publish = fn;
    s->on_publish_ctx = ctx;
    while (s->publishing)
        wait_for_progress(s);
    pthread_mutex_unlock(&s->lock);
}

void store_wait(Store *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t upto = s->n_taken_in;
    while (s->n_handled < upto)
        wait_for_progress(s);
    pthread_mutex_unlock(&s->lock);
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
    w->frees = true;
    char *p = (char *)(w->ops + n);
    for (size_t i = 0; i < n; i++) {
        w->ops[i] = ops[i];
        w->frees &= ops[i].kind != STORE_PUT || ops[i].frees;
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
        w->handed_in = true;
        s->n_taken_in++;
        if (++s->queued >= s->wanted)
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
static void write_check(Write *w, Snapshot *before)
{
    TreeNode *root = tree_ref(snapshot_root(before));
    uint64_t rev = snapshot_revision(before) + 1;
    int r = 0;
    w->err = (Err){ 0 };
    for (size_t i = 0; i < w->n && r == 0; i++)
        r = apply_op(w, &w->ops[i], rev, &root, &w->err);
    if (r == 0 && !w->n_events) /* nothing was written: no new revision */
        w->after = snapshot_ref(before);
    else if (r == 0 && !(w->after = snapshot_new(TAKE_PTR(root), rev)))
        r = err_nomem(&w->err);
    tree_unref(root);
    w->refused = r < 0;
    if (w->refused)
        write_reset(w);
}

/* The events of what was accepted, in one row. */
static bool batch_events(Store *s, const Write *batch)
{
    vec_clear(&s->events);
    for (const Write *w = batch; w; w = w->next) {
        if (w->refused || !vec_reserve(&s->events, s->events.len + w->n_events)) {
            if (!w->refused)
                return false;
            continue;
        }
        memcpy(s->events.items + s->events.len, w->events, w->n_events * sizeof *w->events);
        s->events.len += w->n_events;
    }
    return true;
}

/* Checks the batch in order and makes what is accepted durable. With `only_frees`, writes that
 * put something are left with the error that they have. */
static int batch_run(Store *s, Write *batch, bool only_frees, Err *err)
{
    Snapshot *state = s->cache.current; /* only this thread changes it */
    EngineBatch b = { .frees = true, .floor = cache_floor(&s->cache) };
    bool any = false;
    for (Write *w = batch; w; w = w->next) {
        if (only_frees && !w->frees)
            continue;
        write_check(w, state);
        if (!w->refused) {
            state = w->after;
            b.frees &= w->frees;
            any |= w->n_events > 0;
        }
    }
    if (!any)
        return 0;
    if (!batch_events(s, batch))
        return err_nomem(err);
    b.events = s->events.items;
    b.n = s->events.len;
    b.rev = snapshot_revision(state);
    return s->ops->submit(s->engine, &b, err);
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

static void batch_publish(Store *s, Write *batch)
{
    uint64_t n = 0;
    for (Write *w = batch; w; w = w->next) {
        if (w->refused)
            continue;
        cache_publish(&s->cache, w->events, w->n_events, w->after);
        n++;
    }
    cache_trim(&s->cache);
    pthread_mutex_lock(&s->lock);
    s->n_writes += n;
    s->n_commits++;
    pthread_mutex_unlock(&s->lock);
}

/* Of `handed_in` writes the done has been called. */
static void tell_published(Store *s, unsigned handed_in, bool published)
{
    pthread_mutex_lock(&s->lock);
    s->n_handled += handed_in;
    void (*fn)(void *) = published ? s->on_publish : NULL;
    void *ctx = s->on_publish_ctx;
    s->publishing = fn != NULL;
    if (s->n_waiting)
        pthread_cond_broadcast(&s->progress);
    pthread_mutex_unlock(&s->lock);
    if (!fn)
        return;
    fn(ctx);
    pthread_mutex_lock(&s->lock);
    s->publishing = false;
    if (s->n_waiting)
        pthread_cond_broadcast(&s->progress);
    pthread_mutex_unlock(&s->lock);
}

static void batch_finish(Store *s, Write *batch)
{
    bool published = false;
    unsigned handed_in = 0;
    for (Write *w = batch, *next; w; w = next) {
        next = w->next;
        ObjectRev *obj =
            w->n_events ? (w->events[0].obj ? w->events[0].obj : w->events[0].prev) : NULL;
        for (size_t i = 0; i < w->n_events; i++)
            if (w->events[i].obj && w->events[i].obj->expires)
                expiry_push(&s->expiries, w->events[i].obj);
        published |= !w->refused;
        handed_in += w->handed_in;
        if (w->done)
            w->done(w->ctx, w->refused ? 0 : snapshot_revision(w->after), obj,
                    w->refused ? &w->err : NULL);
        write_free(w);
    }
    tell_published(s, handed_in, published);
}

/* Room for the events of the batch, taken before anything becomes durable. */
static bool batch_reserve(Store *s, const Write *batch)
{
    size_t n = 0;
    for (; batch; batch = batch->next)
        n += batch->n;
    return cache_reserve(&s->cache, n);
}

static void batch_process(Store *s, Write *batch)
{
    Err err = { 0 };
    int r = batch_reserve(s, batch) ? batch_run(s, batch, false, &err) : err_nomem(&err);
    if (r < 0) {
        bool full = err.sys == ENOSPC;
        batch_refuse(batch, &err);
        if (full && (r = batch_run(s, batch, true, &err)) < 0)
            batch_refuse(batch, &err);
    }
    batch_publish(s, batch);
    batch_finish(s, batch);
}

/* Deletions of some of what has expired. (One that the batch before them changes meanwhile is
 * refused by its revision.) */
static Write *expired(Store *s)
{
    Write *first = NULL, **end = &first;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    ObjectRev *o;
    for (int n = 0; n < EXPIRE_EACH && (o = expiry_pop_due(&s->expiries, now)) != NULL; n++) {
        ObjectRev *have = snapshot_get(s->cache.current, o->key);
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
    int r = s->ops->backup(s->engine, path, err);
    pthread_mutex_lock(&s->lock);
    s->backup_path = NULL;
    s->backup_result = r;
    pthread_cond_broadcast(&s->backup_done);
}

/* Waits until n writes wait, for at most `ns`. The lock is held. */
static void wait_for_writes(Store *s, unsigned n, int64_t ns)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    ns += at.tv_nsec;
    at.tv_sec += ns / NSEC_PER_SEC;
    at.tv_nsec = ns % NSEC_PER_SEC;
    s->wanted = n;
    while (s->queued < n && !s->closing && !s->backup_path)
        if (pthread_cond_timedwait(&s->wake, &s->lock, &at) == ETIMEDOUT)
            break;
    s->wanted = 0;
}

/* Waits for writes or for time to pass; takes what there is. The lock is held.
 *
 * Clients that wait for their answers come back in a row once a batch is answered. Where there were
 * several, the first of them is held until the others are there, for half of what a commit takes:
 * one commit for all costs each of them less than one for the first and one for the rest. */
static Write *next_batch(Store *s, bool busy, Write **ret_end)
{
    if (!busy)
        wait_for_writes(s, 1, (int64_t)IDLE_SEC * NSEC_PER_SEC);
    if (s->queued && s->queued < s->last_n)
        wait_for_writes(s, s->last_n, s->gather_ns);
    Write *batch = s->queue;
    *ret_end = batch ? CONTAINER_OF(s->queue_end, Write, next) : NULL;
    s->last_n = s->queued;
    s->queue = NULL;
    s->queue_end = &s->queue;
    s->queued = 0;
    return batch;
}

static void *writer_main(void *arg)
{
    Store *s = arg;
    bool busy = false; /* more to expire, or housekeeping to go on with */
    pthread_mutex_lock(&s->lock);
    for (;;) {
        Write *last, *batch = next_batch(s, busy, &last);
        if (s->backup_path)
            run_backup(s);
        if (!batch && s->closing)
            break;
        pthread_mutex_unlock(&s->lock);
        Write *old = expired(s);
        busy = old != NULL;
        if (batch)
            last->next = old; /* behind what was asked for */
        else
            batch = old;
        int64_t begin = clock_mono_ns();
        if (batch)
            batch_process(s, batch);
        else {
            cache_trim(&s->cache);
            if (s->ops->rest)
                s->ops->rest(s->engine);
        }
        s->gather_ns = MIN((clock_mono_ns() - begin) / 2, (int64_t)GATHER_MAX_NS);
        busy |= s->ops->tend(s->engine);
        pthread_mutex_lock(&s->lock);
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
    *ret = (StoreStats){ 0 };
    cache_stats(&s->cache, ret);
    pthread_mutex_lock(&s->lock);
    ret->commits = s->n_commits;
    ret->writes = s->n_writes;
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening and closing ---- */

typedef struct Load {
    Store *s;
    TreeNode *root;
    Buf attrs;
    uint64_t n;
    bool started; /* all rows are there */
    EngineState state;
} Load;

static ObjectRev *load_object(Load *l, const ObjectRev *row, Err *err)
{
    StoreConfig *cfg = &l->s->cfg;
    if (++l->n % PROGRESS_ROWS == 0 && cfg->progress)
        cfg->progress(cfg->ctx);
    buf_clear(&l->attrs);
    if (cfg->derive)
        cfg->derive(cfg->ctx, row->key, row->val, &l->attrs);
    ObjectRev *o = l->attrs.failed ? NULL : object_rev_new(row->key, row->val, buf_view(&l->attrs));
    if (!o) {
        err_nomem(err);
        return NULL;
    }
    o->mod_rev = row->mod_rev;
    o->create_rev = row->create_rev;
    o->expires = row->expires;
    return o;
}

static int load_row(void *ctx, const ObjectRev *row, Err *err)
{
    Load *l = ctx;
    ObjectRev *o = load_object(l, row, err);
    if (!o)
        return -ERR_NOMEM;
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

/* Revision 1 is the first that exists: clients take 0 for "any". */
static int start_cache(Load *l, Err *err)
{
    l->started = true;
    return cache_start(&l->s->cache, TAKE_PTR(l->root), MAX(l->state.rev, (uint64_t)1), err);
}

static int load_past(void *ctx, uint64_t rev, StrView key, const ObjectRev *prev, int64_t age,
                     Err *err)
{
    Load *l = ctx;
    int r = l->started ? 0 : start_cache(l, err);
    ObjectRev *o = r == 0 && prev ? load_object(l, prev, err) : NULL;
    if (r == 0 && prev && !o)
        r = -ERR_NOMEM;
    if (r == 0)
        r = cache_add_past(&l->s->cache, rev, key, o, age, err);
    object_rev_unref(o);
    return r;
}

static int load(Store *s, const char *dir, Err *err)
{
    Load l = { .s = s };
    const EngineLoad fns = { &l, s->cfg.upgrade, s->cfg.ctx, load_row, load_past };
    int r = s->ops->open(dir, &fns, &s->engine, &l.state, err);
    if (r == 0 && !l.started)
        r = start_cache(&l, err);
    if (r == 0)
        cache_past_ends(&s->cache);
    memcpy(s->note, l.state.note, sizeof s->note);
    tree_unref(l.root);
    buf_free(&l.attrs);
    return r;
}

static Store *store_new(const StoreConfig *cfg)
{
    Store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (cfg)
        s->cfg = *cfg;
    s->ops = s->cfg.engine ? s->cfg.engine : &engine_sqlite;
    s->queue_end = &s->queue;
    cache_init(&s->cache, s->cfg.history_bytes ? s->cfg.history_bytes : 32 * 1024 * 1024,
               s->cfg.history_sec ? s->cfg.history_sec : 300);
    s->cache.marks = s->cfg.marks;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &mono);
    pthread_condattr_destroy(&mono);
    pthread_cond_init(&s->backup_done, NULL);
    pthread_cond_init(&s->progress, NULL);
    return s;
}

int store_open(const char *dir, const StoreConfig *cfg, Store **ret, Err *err)
{
    Store *s = store_new(cfg);
    if (!s)
        return err_nomem(err);
    int r = load(s, dir, err), code;
    if (r == 0 && (code = pthread_create(&s->writer, NULL, writer_main, s)) != 0)
        r = err_set(err, ERR_SYS, code, "start store writer");
    if (r < 0) {
        store_close(s);
        return r;
    }
    s->writer_runs = true;
    *ret = s;
    return 0;
}

const char *store_note(const Store *s)
{
    return s->note[0] ? s->note : NULL;
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
    cache_free(&s->cache);
    expiry_free(&s->expiries);
    vec_free(&s->events);
    s->ops->close(s->engine);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->backup_done);
    pthread_cond_destroy(&s->progress);
    free(s);
    return NULL;
}
