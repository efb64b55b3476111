/* wal_check.h - looks through SQLite's log before SQLite does.
 *
 * SQLite takes the first frame that does not fit for the end of the log: damage in the middle would
 * silently bring back an older state. Here it is told from a torn last transaction. Format: "The
 * WAL File Format" in SQLite's fileformat2. */
#pragma once

#include "store/mark.h"

enum { WAL_HEADER = 32, WAL_FRAME_HEADER = 24, WAL_PAGE_MAX = 65536 };

typedef enum WalState {
    WAL_WHOLE, /* ends with a transaction, or there is none */
    WAL_TORN,  /* what follows `keep` is a write that was cut short */
    WAL_SPENT, /* all of it is in the database: it was being wiped, and must not be read */
    WAL_DAMAGED,
} WalState;

typedef struct WalReport {
    WalState state;
    uint64_t keep;      /* bytes up to the end of the last whole transaction */
    uint64_t frames;    /* in them */
    uint64_t damage_at; /* WAL_DAMAGED: offset of the first frame that does not fit */
    uint32_t salts[2];  /* of this log, once there is a header */
} WalReport;

/* `mark` says what the log must hold; its seq 0: nothing is known. */
int wal_check(int fd, const Mark *mark, WalReport *ret, Err *err) NODISCARD;
