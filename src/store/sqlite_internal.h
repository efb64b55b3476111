/* sqlite_internal.h - shared by the files of the SQLite engine. The only header that includes
 * sqlite3.h. */
#pragma once

#include <limits.h>
#include <sqlite3.h>

#include "store/engine.h"
#include "store/mark.h"
#include "store/wal_check.h"

enum {
    RESERVE_BYTES = 4 * 1024 * 1024,
    HISTORY_SLOTS = STORE_OPS_MAX, /* history.seq is revision * this + place in the transaction */
};

typedef struct SqliteEngine {
    sqlite3 *db;
    sqlite3_stmt *put, *del, *meta, *past;
    int lock_fd, mark_fd;
    uint32_t page;
    uint64_t frames;     /* in the log, as of the last commit */
    uint64_t first_past; /* revision of the oldest event on disk; 0: there are none */
    uint64_t sum;        /* over all rows */
    Mark mark;
    bool reserved;
    bool shrinking;
    bool sound; /* opened and checked: closing may tidy up */
    char file[PATH_MAX], wal[PATH_MAX + 8], mark_file[PATH_MAX], reserve[PATH_MAX];
} SqliteEngine;

int sqlite_fail(SqliteEngine *e, Err *err, const char *what);
int sqlite_run(SqliteEngine *e, const char *sql, const char *what, Err *err);
uint32_t sqlite_row_crc(const ObjectRev *o);
/* What a row adds to the checksum over all: rows may come in any order. */
uint64_t sqlite_row_sum(const ObjectRev *o);
void sqlite_keep_reserve(SqliteEngine *e);
void sqlite_release_reserve(SqliteEngine *e);
/* Moves the log into the database and empties it; its blocks go back to the disk or stay. */
int sqlite_checkpoint(SqliteEngine *e, bool keep_blocks, Err *err);

/* From here on the log is empty, and the mark says exactly what there is. */
int sqlite_settle(SqliteEngine *e, uint64_t rev, Err *err);
/* sqlite_open.c: locks, checks, loads. On failure the caller closes. */
int sqlite_open_dir(SqliteEngine *e, const char *dir, const EngineLoad *load, EngineState *ret,
                    Err *err);
