/* wal_tail.h - follows a log while it is written: the last checkpoint, the segments behind it, and
 * then what is added to the open one. For remote write, which must know all series and send what is
 * new.
 *
 * Not thread-safe; beside the log's writer it only reads files. */
#pragma once

#include "monitor/tsdb/wal.h"

typedef struct WalTail WalTail;

/* A place in a log: a byte of a segment. */
typedef struct WalPlace {
    uint32_t segment;
    uint64_t offset;
} WalPlace;

static inline bool wal_place_before(WalPlace a, WalPlace b)
{
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

typedef struct WalTailRecord {
    StrView data;  /* good until the next call */
    WalPlace end;  /* where the next record begins */
    bool is_fresh; /* begins at or behind `from`, and was not handed out before */
} WalTailRecord;

/* The end of a log as it is now; {0, 0} of one that has no segment. */
int wal_end(const char *dir, WalPlace *ret, Err *err) NODISCARD;

int wal_tail_new(const char *dir, WalPlace from, WalTail **ret, Err *err) NODISCARD;
WalTail *wal_tail_free(WalTail *t); /* NULL is fine; always NULL */
/* 1: *ret is the next record. 0: no more for now. Negative: a file cannot be read, or there is no
 * memory for the record, which comes with the next call.
 * Where segments were deleted unread, reading goes on with the checkpoint that stands for them;
 * where a segment is damaged, with its next good page. */
int wal_tail_next(WalTail *t, WalTailRecord *ret, Err *err) NODISCARD;
WalPlace wal_tail_place(const WalTail *t); /* all before it was handed out */

typedef struct WalTailStats {
    uint64_t records, damages, segments_lost;
} WalTailStats;
WalTailStats wal_tail_stats(const WalTail *t);
