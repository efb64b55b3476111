/* history.h - the recent events of a store, in little memory: a version that has been replaced is
 * kept as what it differs from the one after it in.
 *
 * Not thread-safe: one thread changes it, and the cache's lock guards it (history_pack_make() says
 * when not), which is why objects are handed out with references of their own. */
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
/* What is old enough is packed, an event at a time, in three steps, so that nobody who reads waits
 * for the long one: `find` says whether there is one; `make` finds out what its versions differ in,
 * which takes no lock, since only the caller changes the history; `end` puts that in its place.
 * Without memory the event stays as it is. */
typedef struct HistoryPack {
    size_t at;
    struct Packed *packed; /* NULL: it stays as it is */
} HistoryPack;
bool history_pack_find(const History *h, HistoryPack *ret);
void history_pack_make(const History *h, HistoryPack *p);
void history_pack_end(History *h, HistoryPack *p);
/* Closes the gap in front when it is large. */
void history_compact(History *h);
/* Index of the first event after `rev`. */
size_t history_after(const History *h, uint64_t rev);
StrView history_key(const HistoryEvent *e);

/* An event that is taken hold of under the lock, which costs a few steps, and made whole without
 * it. What has been packed stays as it is for as long as somebody holds it. */
typedef struct VersionHold {
    ObjectRev *base;  /* the version itself, or what it is made of; NULL: there is no version */
    Version *version; /* NULL: `base` is it */
    unsigned steps;   /* deltas between the two */
} VersionHold;

typedef struct EventHold {
    uint64_t rev;
    VersionHold obj, prev;
    size_t cost; /* bytes that are written to make it */
} EventHold;

EventHold history_hold(const History *h, size_t i);
/* For undoing it: the version before; where there was none, some version as `obj`, for its key. */
EventHold history_hold_prev(const History *h, size_t i);
/* The events in full, with references of the caller's; of what they have in common it is made once.
 * All or none. Takes no lock. */
int history_make(const EventHold *held, size_t n, StoreEvent *ret, Err *err) NODISCARD;
/* Under the lock. */
void history_let_go(EventHold *held, size_t n);
/* The revision that wrote the version before; 0: there was none. */
uint64_t history_prev_rev(const HistoryEvent *e);
