/* sqlite_internal.h - shared by the files of the SQLite engine. The only header that includes
 * sqlite3.h. */
#pragma once

#include <limits.h>
#include <sqlite3.h>

#include "store/engine.h"
#include "store/mark.h"
#include "store/past.h"
#include "store/wal_check.h"

enum {
    RESERVE_BYTES = 4 * 1024 * 1024,
    LOG_BUFFER = 256 * 1024, /* of a transaction's frames, written at once */
};

/* Between SQLite and its log: see sqlite_log.c. */
typedef struct LogBuffer {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real; /* the file's own */
    unsigned char *bytes;           /* LOG_BUFFER */
    sqlite3_int64 at;               /* where in the file they belong */
    size_t n;                       /* how many; once written they stay until the next write */
    bool waiting;                   /* to be written */
} LogBuffer;

typedef struct SqliteEngine {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *put, *del, *meta;
    int lock_fd, mark_fd;
    uint32_t page;
    uint64_t frames; /* in the log, as of the last commit */
    uint64_t sum;    /* over all rows */
    Mark mark;
    PastLog past;
    LogBuffer log;
    bool reserved;
    bool shrinking;
    bool sound; /* opened and checked: closing may tidy up */
    char file[PATH_MAX], wal[PATH_MAX + 8], mark_file[PATH_MAX], reserve[PATH_MAX];
} SqliteEngine;

int sqlite_fail(SqliteEngine *e, Err *err, const char *what);
int sqlite_run(SqliteEngine *e, const char *sql, const char *what, Err *err) NODISCARD;
uint32_t sqlite_row_crc(const ObjectRev *o);
/* What a row adds to the checksum over all: rows may come in any order. */
uint64_t sqlite_row_sum(const ObjectRev *o);
void sqlite_keep_reserve(SqliteEngine *e);
void sqlite_release_reserve(SqliteEngine *e);
/* Moves the log into the database and empties it; its blocks go back to the disk or stay. */
int sqlite_checkpoint(SqliteEngine *e, bool keep_blocks, Err *err) NODISCARD;

/* sqlite_log.c. The log, borrowed; NULL while it is not open. */
sqlite3_file *sqlite_log_file(SqliteEngine *e);
/* From here on the writes of a transaction are gathered. e->log.bytes is freed by whoever closes.
 */
int sqlite_log_gather(SqliteEngine *e, Err *err) NODISCARD;
/* n bytes of the log from `at` on, out of memory; zeros outside of what was written last. False:
 * that was not all of [from, end). */
bool sqlite_log_recall(const SqliteEngine *e, uint64_t from, uint64_t end, uint64_t at,
                       unsigned char *buf, size_t n);

/* From here on the log is empty, and the mark says exactly what there is. */
int sqlite_settle(SqliteEngine *e, uint64_t rev, Err *err) NODISCARD;
/* sqlite_upgrade.c: brings the tables of an older format up to date, in one transaction. Without
 * load->upgrade the values stay as they are, and the format below 4. */
int sqlite_upgrade(SqliteEngine *e, uint64_t format, const EngineLoad *load, Err *err) NODISCARD;
/* Rows have a rowid: a row of up to 4 KB then lies in one page, and a change of it writes that page
 * only. (WITHOUT ROWID, as format 1 had it, spills what is over 1 KB into pages of its own.) */
#define SQLITE_KV_COLUMNS                                                                          \
    "(key BLOB PRIMARY KEY NOT NULL, mod_rev INTEGER NOT NULL, create_rev INTEGER NOT NULL,"       \
    " expires INTEGER NOT NULL, crc INTEGER NOT NULL, val BLOB NOT NULL)"
/* Rows of table meta: the checksums over all rows before and after the last upgrade. */
#define SQLITE_UPGRADED_FROM "upgraded-from"
#define SQLITE_UPGRADED_TO   "upgraded-to"

/* sqlite_open.c. *ret is left alone where there is no such row. */
int sqlite_read_meta(SqliteEngine *e, const char *name, uint64_t *ret, Err *err) NODISCARD;
StrView sqlite_column(sqlite3_stmt *st, int i); /* borrowed until the next step */
int sqlite_bad_row(SqliteEngine *e, StrView key, Err *err);
/* Locks, checks, loads. On failure the caller closes. */
int sqlite_open_dir(SqliteEngine *e, const char *dir, const EngineLoad *load, EngineState *ret,
                    Err *err) NODISCARD;
