/* cache.h - the half of the store that is read: the newest state, and the recent states and events
 * before it. Knows nothing of disks: whoever makes writes durable publishes them here. */
#pragma once

#include <pthread.h>

#include "store/history.h"
#include "store/store.h"
#include "store/tree.h"

enum { CACHE_MADE_MAX = 2, CACHE_EVENTS_MAX = 256 };

typedef struct Cache {
    pthread_mutex_t lock; /* guards all below */
    Snapshot *current;
    Snapshot *loading; /* the state before the event that was added last, while past ones are */
    uint64_t base;     /* the revision before the oldest kept event */
    History history;
    Snapshot *made[CACHE_MADE_MAX]; /* older states that somebody has asked for, the last first */
    int64_t made_at;                /* when that was; monotonic ns */
    struct MadeBytes *made_bytes;   /* of all that are held (atomic) */
    size_t bytes_max, kept_max;
    int64_t age_max;             /* ns */
    bool (*marks)(StrView key);  /* as in StoreConfig; set before the first write */
    atomic_uint_fast64_t marked; /* written under the lock, read without */
} Cache;

void cache_init(Cache *c, size_t bytes_max, unsigned age_sec);
void cache_free(Cache *c);

/* A state of its own; takes over the reference to the tree, also when it fails (NULL: no memory).
 */
Snapshot *snapshot_new(TreeNode *root_taken, uint64_t rev);
TreeNode *snapshot_root(const Snapshot *sn); /* borrowed */

/* The first state, at `rev`; takes the tree over. */
int cache_start(Cache *c, TreeNode *root_taken, uint64_t rev, Err *err) NODISCARD;
/* Adds an event from before the first state, newest first: at `rev` the object `key` was made or
 * replaced `prev` (which may be NULL). `age` is how long ago that was, in ns. */
int cache_add_past(Cache *c, uint64_t rev, StrView key, ObjectRev *prev, int64_t age,
                   Err *err) NODISCARD;
/* Call once after the last cache_add_past(). */
void cache_past_ends(Cache *c);

/* Room for n more events: publishing then cannot fail. */
bool cache_reserve(Cache *c, size_t n) NODISCARD;
/* One durable write: its events, and the state that it led to. References are taken. */
void cache_publish(Cache *c, const StoreEvent *events, size_t n, Snapshot *after);
/* Packs what is old enough, and forgets what is over the bounds; on the thread that publishes. */
void cache_trim(Cache *c);
/* What the functions of store.h of the same names do. */
Snapshot *cache_snapshot(Cache *c);
uint64_t cache_revision(Cache *c);
int cache_snapshot_at(Cache *c, uint64_t rev, Snapshot **ret, Err *err) NODISCARD;
int cache_events(Cache *c, StrView prefix, uint64_t *pos, StoreEvent *events, size_t n,
                 size_t *ret_n, Err *err) NODISCARD;
void cache_stats(Cache *c, StoreStats *ret); /* its own fields */
/* Events up to this revision need not be kept by the engine any more. */
uint64_t cache_floor(Cache *c);
