/* mark.h - what the store must hold, in a file of its own beside the database.
 *
 * After each transaction the mark says which one that was, with a checksum over all rows, and the
 * same of the one before. It is written without a sync, so it may lag behind after a power cut, and
 * never runs ahead. What the log must hold at least is therefore the transaction before the last:
 * the last one may be torn, and its own entry tells a torn write (sectors that are missing or zero)
 * from any other damage. */
#pragma once

#include "base/err.h"

enum {
    MARK_SLOT = 8192,
    MARK_ZERO_BYTES = MARK_SLOT - 128, /* bits for 31 MiB of log; larger transactions have none */
    SECTOR = 512,
};

typedef struct MarkPoint {
    uint64_t rev; /* of its newest write; 0: the store was empty */
    uint64_t sum; /* over all rows: see engine's row_sum() */
    uint64_t frames;
} MarkPoint;

typedef struct Mark {
    uint64_t seq;      /* of writing the mark; 0: there is none */
    int64_t time;      /* of the last transaction, Unix seconds */
    uint32_t salts[2]; /* which log the frames are counted in */
    MarkPoint before, last;
    uint32_t zero_bits; /* one for each sector from frame before.frames on; 0: not known */
    unsigned char zeros[MARK_ZERO_BYTES];
} Mark;

/* Reads the newest whole entry. A missing file is seq 0; one without a whole entry too, and what
 * is no regular file, with *ret_bad set. */
int mark_read(const char *path, Mark *ret, bool *ret_bad, Err *err) NODISCARD;
/* Writes an entry in the place of the older one, with the next number; `sync` also syncs it. The
 * file is made when it is missing. `fd` is of the file. */
int mark_write(int fd, Mark *m, bool sync);
/* Makes the file where it is missing, and in the place of what is no regular file (but not of a
 * folder that holds something: ERR_INVALID). */
int mark_open(const char *path, int *ret_fd, Err *err) NODISCARD;

static inline bool mark_zero(const Mark *m, uint64_t sector)
{
    return m->zeros[sector / 8] >> (sector % 8) & 1;
}
