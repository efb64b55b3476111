/* commit.c - from the store's writer thread back to the loop. */
#include "apiserver/commit.h"

/* On the writer thread: the store calls it exactly once. */
static void on_committed(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    Commit *c = ctx;
    c->obj = object_rev_ref(obj);
    if (err)
        c->err = *err;
    c->task = (LoopTask){ .fn = c->done, .ctx = c->ctx };
    loop_post_task(c->loop, &c->task);
}

int commit_start(Commit *c, Store *store, const StoreOp *ops, size_t n, Err *err)
{
    commit_reset(c);
    return store_commit(store, ops, n, on_committed, c, err);
}

void commit_reset(Commit *c)
{
    c->obj = object_rev_unref(c->obj);
    c->err = (Err){ 0 };
}
