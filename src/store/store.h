/* store.h - the versioned key-value store under the API server.
 *
 * Every committed write has a revision: global, rising, never reused. Readers take an immutable
 * snapshot (one root per revision) and need no lock. One writer thread checks all waiting writes,
 * puts them into one durable transaction (group commit), and only then publishes them: nobody sees
 * a revision that a crash could take back. Recent events and roots are kept for watches and for
 * reads at a revision, bounded in bytes and in time; what is older is ERR_GONE. All functions but
 * store_open() and store_close() may be called from any thread. */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/buf.h"

typedef struct Store Store;
typedef struct Snapshot Snapshot;
typedef struct StoreEngine StoreEngine; /* engine.h */

/* One version of one object: immutable, reference-counted. */
typedef struct ObjectRev {
    atomic_uint refs;
    uint64_t mod_rev;    /* revision that wrote this version */
    uint64_t create_rev; /* revision that created the object */
    int64_t expires;     /* Unix seconds; 0: never */
    StrView key;
    StrView val;
    StrView attrs; /* whatever the writer derived from val for selectors; not stored on disk */
    struct Version *version; /* the history's own (history.h); NULL: it does not know this one */
} ObjectRev;

ObjectRev *object_rev_ref(ObjectRev *o);
ObjectRev *object_rev_unref(ObjectRev *o); /* always NULL; NULL is fine */

typedef struct StoreConfig {
    /* Derives `attrs` from a value when the store is loaded; appends to `out`. May be NULL. */
    void (*derive)(void *ctx, StrView key, StrView val, Buf *out);
    /* Of a store whose format is older than 4: appends the form that the value has now. False: it
     * stays as it is. May be NULL. */
    bool (*upgrade)(void *ctx, StrView key, StrView val, Buf *out);
    void *ctx;
    size_t history_bytes; /* bound of kept events and roots; 0: 32 MiB */
    unsigned history_sec; /* how long they are kept; 0: 300 */
    /* Called now and then while a store is loaded. May be NULL. */
    void (*progress)(void *ctx);
    const StoreEngine *engine; /* NULL: SQLite */
    /* Which keys store_marked() is about; called on the writer thread. NULL: none. */
    bool (*marks)(StrView key);
} StoreConfig;

enum { STORE_KEY_MAX = 1024, STORE_VALUE_MAX = 3 * 1024 * 1024, STORE_FORMAT = 4 };

/* Opens or creates the store in folder `dir` (must exist) and loads it. Fails with ERR_CONFLICT
 * (another process has it), ERR_CORRUPT (names the file and the damaged row; nothing is served),
 * ERR_UNSUPPORTED (written by a newer knarr), ERR_SYS. */
int store_open(const char *dir, const StoreConfig *cfg, Store **ret, Err *err) NODISCARD;
/* One sentence on what was mended while opening (a write that a power cut tore was cut off); NULL:
 * nothing. */
const char *store_note(const Store *s);
/* Finishes the waiting writes, then closes. Snapshots that are still held stay valid. Always NULL.
 */
Store *store_close(Store *s);

/* The newest durable state. NULL only when memory is exhausted. The caller owns a reference. */
Snapshot *store_snapshot(Store *s);
/* The state as of revision `rev`: ERR_GONE when no longer kept, ERR_INVALID when in the future. */
int store_snapshot_at(Store *s, uint64_t rev, Snapshot **ret, Err *err) NODISCARD;
/* Of the newest durable state. */
uint64_t store_revision(Store *s);
/* The revision of the last write of a key that `marks` names; what the store had when it was opened
 * counts as older than any. Whoever has seen such a write (a snapshot, an event, its done) sees
 * here that it has been: what is derived from these keys is made anew when this is above the
 * revision of the snapshot that it was made from. Takes no lock. */
uint64_t store_marked(Store *s);

/* A state does not change; its references are counted, from any thread. */
Snapshot *snapshot_ref(Snapshot *sn);
Snapshot *snapshot_unref(Snapshot *sn); /* always NULL; NULL is fine */
uint64_t snapshot_revision(const Snapshot *sn);
ObjectRev *snapshot_get(const Snapshot *sn, StrView key); /* borrowed from the snapshot; or NULL */
/* How many keys start with `prefix`, found without a walk. */
size_t snapshot_count(const Snapshot *sn, StrView prefix);

/* Walks keys that start with `prefix` and are >= `from` (which may be empty), in byte order. The
 * iterator borrows the snapshot and the prefix, and needs no end. */
enum { SNAPSHOT_DEPTH_MAX = 64 };
typedef struct SnapshotIter {
    StrView prefix;
    const struct TreeNode *root;
    unsigned depth, top; /* a ring: what is deeper than it holds is looked up again later */
    bool lost;
    const struct TreeNode *stack[SNAPSHOT_DEPTH_MAX];
} SnapshotIter;
void snapshot_iter(const Snapshot *sn, StrView prefix, StrView from, SnapshotIter *ret);
ObjectRev *snapshot_next(SnapshotIter *it); /* borrowed; NULL at the end */

typedef enum StoreOpKind { STORE_PUT, STORE_DELETE, STORE_CHECK } StoreOpKind;

#define STORE_ANY_REV UINT64_MAX /* no precondition */

typedef struct StoreOp {
    StoreOpKind kind;
    StrView key;
    uint64_t if_rev; /* the object's mod_rev must be this; 0: must not exist; STORE_ANY_REV */
    StrView val, attrs;
    int64_t ttl_sec; /* put: deleted after so long; 0: never */
    bool frees;      /* put: a step towards a deletion; on a full disk it is let in as one */
} StoreOp;

/* Called on the writer thread once the write is durable or refused: must be quick and not block.
 * `obj` (borrowed) is what the first op wrote, or the version that it deleted. */
typedef void StoreDoneFn(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err);

/* Commits all ops or none. Copies everything. Refusals come through `done`: ERR_EXISTS (if_rev 0),
 * ERR_NOT_FOUND (delete or precondition on nothing), ERR_CONFLICT (another revision), ERR_SYS with
 * ENOSPC on a full disk (deletions, and what `frees`, still work: some space is held in reserve for
 * them). Returns < 0, without calling `done`, only for ERR_LIMIT, ERR_NOMEM and ERR_CLOSED. */
int store_commit(Store *s, const StoreOp *ops, size_t n, StoreDoneFn *done, void *ctx,
                 Err *err) NODISCARD;
/* The same, waiting for the result. *ret_rev may be NULL. For start-up and tests. */
int store_commit_sync(Store *s, const StoreOp *ops, size_t n, uint64_t *ret_rev,
                      Err *err) NODISCARD;

typedef struct StoreEvent {
    uint64_t rev;
    ObjectRev *obj;  /* the new version; NULL: deleted */
    ObjectRev *prev; /* the version before; NULL: created */
} StoreEvent;

/* Reads events after position *pos, which is a revision at first and is advanced: up to n of those
 * whose keys start with `prefix` (empty: all), fewer where there is much to pass over or to make; a
 * *pos that stays the same says that there are no more. All events of one revision come together (n
 * must be at least the largest transaction, STORE_OPS_MAX). Each event holds references:
 * store_events_release(). ERR_GONE when events after *pos are dropped. */
enum { STORE_OPS_MAX = 64 };
int store_events(Store *s, StrView prefix, uint64_t *pos, StoreEvent *events, size_t n,
                 size_t *ret_n, Err *err) NODISCARD;
/* Gives the references back; the array stays the caller's. */
void store_events_release(StoreEvent *events, size_t n);
/* `fn` is called on the writer thread after every publish. One at a time; NULL clears it. Once this
 * returns the one before is not called any more, and not running. Never from within `fn`. */
void store_on_publish(Store *s, void (*fn)(void *ctx), void *ctx);

/* Waits until the `done` of every write that was handed in before has been called: for whoever is
 * about to free what they use. Never from within a `done`. */
void store_wait(Store *s);

/* Writes a consistent copy to a new file while running; blocks until it is done. */
int store_backup(Store *s, const char *path, Err *err) NODISCARD;

/* Makes a copy that store_backup() wrote ready to be served: folder `dir` holds it as state.db. It
 * is checked like any store, and its revisions go on above its own and above those of the store
 * that it replaces, `old_dir` (whatever is left of that; may be NULL): what clients remember is
 * then older than anything kept, and they list anew. */
int store_adopt(const char *dir, const char *old_dir, uint64_t *ret_rev, Err *err) NODISCARD;

/* Derived sizes for metrics; `commits` are transactions of the engine. */
typedef struct StoreStats {
    uint64_t revision, oldest_revision, objects, commits, writes;
    size_t history_bytes;
} StoreStats;
void store_stats(Store *s, StoreStats *ret);
