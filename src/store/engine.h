/* engine.h - the half of the store that makes writes durable, behind a table: SQLite, or what tests
 * put in its place. All functions are called from one thread at a time. */
#pragma once

#include "store/store.h"

/* What an engine hands over while it opens; takes nothing over. Rows come in the order of their
 * keys; then, with EngineState.rev set, past events, newest first (`prev` NULL: the object was
 * made; `age` in ns). */
typedef struct EngineLoad {
    void *ctx;
    bool (*upgrade)(void *ctx, StrView key, StrView val, Buf *out); /* StoreConfig's; may be NULL */
    void *upgrade_ctx;
    int (*row)(void *ctx, const ObjectRev *row, Err *err);
    int (*past)(void *ctx, uint64_t rev, StrView key, const ObjectRev *prev, int64_t age, Err *err);
} EngineLoad;

/* Filled by open(). */
typedef struct EngineState {
    uint64_t rev;   /* of the newest transaction; 0: the store is new */
    char note[512]; /* what was mended on the way, for the log; empty: nothing */
} EngineState;

/* One durable transaction. Each event's `obj` is put, or its `prev` deleted. */
typedef struct EngineBatch {
    const StoreEvent *events;
    size_t n;
    uint64_t rev;   /* of the newest write in it */
    uint64_t floor; /* events up to this revision may be forgotten */
    bool frees; /* nothing but deletions and steps towards them: may use what is held in reserve for
                   a full disk */
} EngineBatch;

struct StoreEngine {
    const char *name;
    /* Opens or makes what lies in folder `dir`. Errors as store_open(). The loader is called only
     * with what was checked. */
    int (*open)(const char *dir, const EngineLoad *load, void **ret, EngineState *ret_state,
                Err *err);
    /* All is on disk when this returns 0, and nothing of it will ever be seen when it fails.
     * ERR_SYS with ENOSPC when there is no room. */
    int (*submit)(void *self, const EngineBatch *batch, Err *err);
    /* A bounded piece of housekeeping after a batch. True: there is more to do. */
    bool (*tend)(void *self);
    /* Nothing was written for some seconds: memory that only makes writing fast may go. May be
     * NULL.
     */
    void (*rest)(void *self);
    /* Writes a consistent copy to a new file. */
    int (*backup)(void *self, const char *path, Err *err);
    void (*close)(void *self); /* NULL is fine */
};

extern const StoreEngine engine_sqlite;
