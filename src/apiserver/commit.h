/* commit.h - one transaction of the store, awaited on the loop. */
#pragma once

#include "apiserver/call.h"

typedef struct Commit {
    Loop *loop;
    LoopFn *done;
    void *ctx;
    LoopTask task;  /* how it comes back: this must not fail */
    ObjectRev *obj; /* owned: what the first operation wrote or deleted; NULL when refused */
    Err err;
} Commit;

/* Hands the operations to the store; `c->done` is called on the loop, never from within. `c` must
 * stay until then. < 0 when it was not taken: `done` is not called. */
int commit_start(Commit *c, Store *store, const StoreOp *ops, size_t n, Err *err) NODISCARD;
/* Forgets the result of a finished one. */
void commit_reset(Commit *c);
