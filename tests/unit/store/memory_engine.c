/* memory_engine.c - a list of batches; opening replays them. */
#include "memory_engine.h"

#include <stdlib.h>

#include "store/tree.h"

MemoryDisk memory_disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

static void free_batch(MemoryBatch *b)
{
    store_events_release(b->events, b->n);
    free(b);
}

void memory_engine_reset(void)
{
    MemoryDisk *d = &memory_disk;
    vec_foreach (b, &d->batches)
        free_batch(*b);
    vec_free(&d->batches);
    d->fault = MEMORY_FINE;
    d->puts_only = d->stalled = false;
    d->opened = d->submits = 0;
}

void memory_engine_stall(bool on)
{
    pthread_mutex_lock(&memory_disk.lock);
    memory_disk.stalled = on;
    pthread_cond_broadcast(&memory_disk.moved);
    pthread_mutex_unlock(&memory_disk.lock);
}

void memory_engine_wait(void)
{
    pthread_mutex_lock(&memory_disk.lock);
    while (!memory_disk.waiting)
        pthread_cond_wait(&memory_disk.moved, &memory_disk.lock);
    pthread_mutex_unlock(&memory_disk.lock);
}

static int replay(TreeNode **root, const StoreEvent *ev, Err *err)
{
    bool oom = false;
    TreeNode *next =
        ev->obj ? tree_put(*root, ev->obj, &oom) : tree_del(*root, ev->prev->key, &oom);
    if (oom)
        return err_nomem(err);
    tree_unref(*root);
    *root = next;
    return 0;
}

static int load_rows(const TreeNode *n, const EngineLoad *load, Err *err)
{
    int r;
    if (!n)
        return 0;
    if ((r = load_rows(n->left, load, err)) < 0 || (r = load->row(load->ctx, n->obj, err)) < 0)
        return r;
    return load_rows(n->right, load, err);
}

static int load_past(const EngineLoad *load, Err *err)
{
    int r = 0;
    for (size_t i = memory_disk.batches.len; i-- > 0 && r == 0;) {
        MemoryBatch *b = memory_disk.batches.items[i];
        for (size_t k = b->n; k-- > 0 && r == 0;) {
            const StoreEvent *ev = &b->events[k];
            r = load->past(load->ctx, ev->rev, (ev->prev ? ev->prev : ev->obj)->key, ev->prev, 0,
                           err);
        }
    }
    return r;
}

static int memory_open(const char *dir, const EngineLoad *load, void **ret, EngineState *st,
                       Err *err)
{
    MemoryDisk *d = &memory_disk;
    TreeNode *root = NULL;
    int r = 0;
    (void)dir;
    if (d->batches.len && d->batches.items[d->batches.len - 1]->torn) {
        free_batch(d->batches.items[--d->batches.len]);
        strcpy(st->note, "the last write was torn and is cut off");
        d->fault = MEMORY_FINE;
    }
    vec_foreach (b, &d->batches) {
        for (size_t i = 0; i < (*b)->n && r == 0; i++)
            r = replay(&root, &(*b)->events[i], err);
        st->rev = (*b)->rev;
    }
    if (r == 0 && (r = load_rows(root, load, err)) == 0)
        r = load_past(load, err);
    tree_unref(root);
    d->opened++;
    *ret = d;
    return r;
}

static int keep(MemoryDisk *d, const EngineBatch *b, bool torn, Err *err)
{
    MemoryBatch *m = calloc(1, sizeof *m);
    size_t n = torn ? b->n / 2 : b->n;
    if (!m || n > ARRAY_SIZE(m->events) || !vec_push(&d->batches, m)) {
        free(m);
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const StoreEvent *ev = &b->events[i];
        m->events[m->n++] =
            (StoreEvent){ ev->rev, object_rev_ref(ev->obj), object_rev_ref(ev->prev) };
    }
    m->rev = b->rev;
    m->torn = torn;
    return 0;
}

static int memory_submit(void *self, const EngineBatch *b, Err *err)
{
    MemoryDisk *d = self;
    int r = 0;
    pthread_mutex_lock(&d->lock);
    d->submits++;
    d->waiting++;
    pthread_cond_broadcast(&d->moved);
    while (d->stalled)
        pthread_cond_wait(&d->moved, &d->lock);
    d->waiting--;
    bool after_tear = d->batches.len && d->batches.items[d->batches.len - 1]->torn;
    if (after_tear || (d->fault == MEMORY_FAIL && !(d->puts_only && b->frees)))
        r = err_set(err, ERR_SYS, d->sys, "write to memory");
    else if (d->fault == MEMORY_TEAR) {
        r = keep(d, b, true, err);
        r = r < 0 ? r : err_set(err, ERR_SYS, d->sys, "write to memory");
    } else
        r = keep(d, b, false, err);
    pthread_mutex_unlock(&d->lock);
    return r;
}

static bool memory_tend(void *self)
{
    (void)self;
    return false;
}

static int memory_backup(void *self, const char *path, Err *err)
{
    (void)self;
    return err_set(err, ERR_UNSUPPORTED, 0, "back up memory to '%s'", path);
}

static void memory_close(void *self)
{
    (void)self;
}

const StoreEngine engine_memory = { .name = "memory",
                                    .open = memory_open,
                                    .submit = memory_submit,
                                    .tend = memory_tend,
                                    .backup = memory_backup,
                                    .close = memory_close };
