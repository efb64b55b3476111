/* db.h - what the files of the database share.
 *
 * A folder: blocks (ULID), wal/ with segments and checkpoint.N, wbl/ with late samples, lock.
 * `blocks_lock` guards the list of blocks; queriers hold references of their own. `maintain` is
 * held by whoever cuts, compacts, deletes or snapshots. */
#pragma once

#include "monitor/tsdb/block.h"
#include "monitor/tsdb/exemplars.h"
#include "monitor/tsdb/head.h"
#include "monitor/tsdb/wal.h"
#include "monitor/tsdb/wal_record.h"

typedef VEC(Block *) Blocks;

struct Tsdb {
    TsdbOptions opt;
    char dir[4096], wal_dir[4096], late_dir[4096];
    int lock_fd;
    bool locked; /* the lock file is ours */
    Head head;
    Wal *wal, *late_log; /* under head.append; late_log NULL: late samples are refused */
    int64_t late_cut;    /* when late samples went into blocks last */
    Exemplars *exemplars;
    pthread_mutex_t blocks_lock, maintain;
    Blocks blocks; /* by min time */
    /* Queriers by the epoch in which they began: under blocks_lock. */
    unsigned epoch, queriers[2];
    pthread_cond_t querier_gone;
    atomic_uint_fast64_t appended[2], rejected[APPEND_RESULT_MAX];
    atomic_uint_fast64_t wal_corruptions, compactions, compactions_failed, reloads, reloads_failed,
        tombstones_cleaned, truncations, truncations_failed, checkpoints, checkpoints_failed,
        checkpoint_deletions, checkpoint_deletions_failed, log_truncations, log_truncations_failed,
        time_retentions, size_retentions, compactions_triggered, compactions_vertical, late[2],
        series_not_found;
    atomic_uint active_appenders;
    atomic_bool populating;
    int clean_start;
    WalStats log_stats; /* of all logs; its lock guards `times`, too */
    TsdbTimes times;    /* but for fsync, which is in log_stats */
};

/* Adds the time since `started_ns` of the monotonic clock to one of db->times. */
void db_time(Tsdb *db, Spread *s, int64_t started_ns);

/* Queries may look back behind a commit only by its number. */
uint32_t db_commit(Tsdb *db);

/* Before samples leave the head: waits until nobody reads who began before now, and so may not know
 * the block that they have gone into. Holder of `maintain`. */
void db_wait_queriers(Tsdb *db);
/* A querier begins (and is told its epoch), and ends. */
unsigned db_querier_begin(Tsdb *db);
void db_querier_end(Tsdb *db, unsigned epoch);

/* A list of blocks with a reference each, of those that touch start … end. */
int db_blocks(Tsdb *db, int64_t start, int64_t end, Blocks *ret, Err *err) NODISCARD;
void blocks_release(Blocks *l);
/* Reads the folder anew: opens what is new, lets go what is gone, and what `replaced` names, whose
 * folders it deletes. */
int db_reload(Tsdb *db, const Blocks *replaced, Err *err) NODISCARD;

/* Opens all blocks anew: their deletions have changed. Queries go on with what they hold. */
int db_reopen(Tsdb *db, Err *err) NODISCARD;

/* replay.c: the log into the head. */
int db_replay(Tsdb *db, Err *err) NODISCARD;
/* checkpoint.c: makes a checkpoint of what is newer than `min` in the log up to `segment`, and
 * removes older ones; the segments that it stands for may go then. */
int db_checkpoint(Tsdb *db, uint32_t segment, int64_t min, Err *err) NODISCARD;

/* compact.c */
/* A block of the head's samples of min <= t < max; *ret_made is false when there are none. */
int db_write_head(Tsdb *db, const char *parent, int64_t min, int64_t max, bool *ret_made,
                  Err *err) NODISCARD;
/* Merges blocks (by min time) into one. */
int db_merge_blocks(Tsdb *db, const Blocks *from, Err *err) NODISCARD;
