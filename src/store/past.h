/* past.h - what recent events replaced, in files beside the database: after a restart watches go on
 * from where they were.
 *
 * This is a convenience, not part of the store: nothing is synced, and after a power cut, or when a
 * file is damaged, less is there or nothing, and clients list anew. So it costs a transaction one
 * write into the page cache. A transaction's events are appended before the commit and cut off
 * again when it fails; those that a SIGKILL left without their commit are cut off at the next
 * start. */
#pragma once

#include <limits.h>

#include "base/buf.h"
#include "base/vec.h"
#include "store/engine.h"

typedef struct PastSegment {
    uint64_t first, last; /* revisions in it; `first` names the file */
} PastSegment;

typedef struct PastLog {
    char dir[PATH_MAX];
    int dir_fd; /* owned; -1: not open */
    int fd;     /* of the newest segment, for appending; -1: the next append begins one */
    int64_t size, size_before;
    PastSegment before; /* the newest segment before the last append; first 0: there was none */
    VEC(PastSegment) segments; /* oldest first */
    Buf text;
} PastLog;

/* Finds the segments in folder `dir`. past_close() afterwards, also after a failure. */
int past_open(PastLog *p, const char *dir, Err *err) NODISCARD;
void past_close(PastLog *p);

/* Hands over the events that lead without a gap to revision `rev`, at which the checksum over all
 * rows is `sum`; newest first. What does not belong to them is deleted, and said in the log when it
 * was damaged. Fails only as the loader does, or without memory. */
int past_load(PastLog *p, uint64_t rev, uint64_t sum, const EngineLoad *load, Err *err) NODISCARD;

/* Appends the events of a transaction, after which the checksum is `sum`; `now` in Unix seconds.
 * When that cannot be, all is forgotten: there must be no gap. */
void past_append(PastLog *p, const StoreEvent *events, size_t n, uint64_t sum, int64_t now);
/* The last append's transaction was not committed. */
void past_undo(PastLog *p);
/* Deletes the segments that have nothing newer than revision `floor`. */
void past_forget(PastLog *p, uint64_t floor);
/* Deletes all. */
void past_drop(PastLog *p);
