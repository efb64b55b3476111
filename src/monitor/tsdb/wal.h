/* wal.h - the write-ahead log: numbered segments of records, in Prometheus' format.
 *
 * A segment is made of pages of 32 KB, a record of one or more fragments that do not cross a page;
 * each fragment carries its CRC-32C. What one call logs reaches the kernel in one write; if that
 * fails the segment is cut back, so that a full disk leaves no half record behind.
 * Source: tsdb/docs/format/wal.md. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "monitor/model/timing.h"

typedef struct Wal Wal;

/* What logs write, together. */
typedef struct WalStats {
    pthread_mutex_t lock; /* of fsync */
    Timing fsync;
    atomic_uint_fast64_t pages, flushes, writes_failed;
} WalStats;

enum { WAL_PAGE = 32 * 1024, WAL_SEGMENT_BYTES = 128 * 1024 * 1024 };

/* Opens the folder (made when missing) and begins a new segment behind what is there. */
int wal_open(const char *dir, bool compress, Wal **ret, Err *err) NODISCARD;
/* The same for a checkpoint or a test: segments of `segment_bytes` (a multiple of a page). */
int wal_open_sized(const char *dir, bool compress, uint32_t segment_bytes, Wal **ret,
                   Err *err) NODISCARD;
Wal *wal_close(Wal *w); /* syncs; NULL is fine; always NULL */
/* Counts what it writes from now on in `stats`, which must outlive it; NULL: no more. */
void wal_count(Wal *w, WalStats *stats);

/* Logs records, all or nothing. Not thread-safe. */
int wal_log(Wal *w, const StrView *records, size_t n, Err *err) NODISCARD;
int wal_next_segment(Wal *w, Err *err) NODISCARD;
int wal_sync(Wal *w, Err *err) NODISCARD;
uint32_t wal_segment(const Wal *w); /* number of the open one */

/* Syncs a folder: the names of files that were made in it survive a power cut. */
int folder_sync(const char *path, Err *err) NODISCARD;

/* First and last segment of a folder; ERR_NOT_FOUND when it has none. */
int wal_segments(const char *dir, uint32_t *ret_first, uint32_t *ret_last, Err *err) NODISCARD;
uint64_t wal_bytes(const char *dir);
/* Deletes segments below `first`. */
int wal_truncate(const char *dir, uint32_t first, Err *err) NODISCARD;

/* Where reading had to stop. */
typedef struct WalDamage {
    bool found;
    uint32_t segment;
    uint64_t offset; /* of the first byte that is not good */
    char why[128];
} WalDamage;

/* Calls fn for every record of the segments first … last, in order, until fn fails. Damage ends it
 * in order, with *ret telling where. */
typedef int WalRecordFn(void *ctx, uint32_t segment, StrView record, Err *err);
int wal_read(const char *dir, uint32_t first, uint32_t last, WalRecordFn *fn, void *ctx,
             WalDamage *ret, Err *err) NODISCARD;
/* Cuts the damaged segment at the damage and deletes those behind it. */
int wal_repair(const char *dir, const WalDamage *d, Err *err) NODISCARD;

/* The last checkpoint of a log folder: its path and the segment that it goes up to; ERR_NOT_FOUND.
 */
int wal_last_checkpoint(const char *dir, char *ret_path, size_t size, uint32_t *ret_segment,
                        Err *err) NODISCARD;
