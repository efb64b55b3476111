/* history.h - the recent events of a store, in little memory: a version that has been replaced is
 * kept as what it differs from the one after it in.
 *
 * Not thread-safe: the cache's lock guards it, which is why objects are handed out with references
 * of their own. */
#pragma once

#include "base/vec.h"
#include "store/store.h"

typedef struct Version Version;

typedef struct HistoryEvent {
    uint64_t rev;
    Version *obj, *prev; /* as in StoreEvent */
    int64_t when;        /* monotonic ns */
    size_t bytes;        /* in memory, that are nobody else's: itself and the version before */
    size_t kept;         /* in the engine's history */
} HistoryEvent;

typedef struct History {
    VEC(HistoryEvent) items;
    size_t head;                /* the oldest event in memory */
    size_t floor;               /* the oldest event that the engine shall keep; >= head */
    size_t packed;              /* events before this have been packed; >= head */
    size_t bytes, kept, recent; /* sums: of all, of those from `floor` on, of those not packed */
    Version *spare;             /* for history_push(), which must not fail */
    size_t n_spare;
} History;

void history_free(History *h);
/* Room for n more events. */
bool history_reserve(History *h, size_t n) NODISCARD;
/* Adds an event that history_reserve() made room for. References are taken. */
void history_push(History *h, const StoreEvent *ev, int64_t when);
/* Those that were pushed newest first stand in order. */
void history_reverse(History *h);
void history_drop_oldest(History *h);
/* Packs what is old enough. Without memory it stays as it is. */
void history_pack(History *h);
/* Closes the gap in front when it is large. */
void history_compact(History *h);
/* Index of the first event after `rev`. */
size_t history_after(const History *h, uint64_t rev);
/* Event i, with references of the caller's. */
int history_get(const History *h, size_t i, StoreEvent *ret, Err *err) NODISCARD;
