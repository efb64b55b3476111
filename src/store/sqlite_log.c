/* sqlite_log.c - gathers what SQLite writes to its log, and writes it at once.
 *
 * SQLite writes each frame of a transaction in two calls, one behind the other, and syncs at the
 * end: here they become one call at the sync. The file keeps SQLite's own methods but for those
 * that read, write, cut, measure or sync it. What was written last stays in memory, so that it need
 * not be read again to find its zeros. Nothing that was not synced counts, so nothing is promised
 * of what a process that dies holds here. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "store/sqlite_internal.h"

enum { WRITE_MAX = 64 * 1024 }; /* SQLite's methods write less than 128 KiB at once */

static LogBuffer *buffer_of(sqlite3_file *f)
{
    return (LogBuffer *)f->pMethods; /* `methods` is its first member */
}

static int flush(sqlite3_file *f, LogBuffer *b)
{
    if (!b->waiting)
        return SQLITE_OK;
    int code = SQLITE_OK;
    for (size_t i = 0; i < b->n && code == SQLITE_OK; i += WRITE_MAX)
        code = b->real->xWrite(f, b->bytes + i, (int)MIN(b->n - i, (size_t)WRITE_MAX),
                               b->at + (sqlite3_int64)i);
    b->waiting = false;
    if (code != SQLITE_OK)
        b->n = 0;
    return code;
}

static int log_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    LogBuffer *b = buffer_of(f);
    bool follows = b->waiting && at == b->at + (sqlite3_int64)b->n;
    if (!follows || b->n + (size_t)n > LOG_BUFFER) {
        int code = flush(f, b);
        b->n = 0;
        if (code != SQLITE_OK || n > LOG_BUFFER)
            return code != SQLITE_OK ? code : b->real->xWrite(f, data, n, at);
        b->at = at;
    }
    memcpy(b->bytes + b->n, data, (size_t)n);
    b->n += (size_t)n;
    b->waiting = true;
    return SQLITE_OK;
}

static int log_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 at)
{
    LogBuffer *b = buffer_of(f);
    int code = flush(f, b);
    return code == SQLITE_OK ? b->real->xRead(f, buf, n, at) : code;
}

static int log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    LogBuffer *b = buffer_of(f);
    int code = b->at < size ? flush(f, b) : SQLITE_OK;
    b->waiting = false;
    b->n = 0;
    return code == SQLITE_OK ? b->real->xTruncate(f, size) : code;
}

static int log_sync(sqlite3_file *f, int flags)
{
    LogBuffer *b = buffer_of(f);
    int code = flush(f, b);
    return code == SQLITE_OK ? b->real->xSync(f, flags) : code;
}

static int log_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    LogBuffer *b = buffer_of(f);
    int code = flush(f, b);
    return code == SQLITE_OK ? b->real->xFileSize(f, ret) : code;
}

static int log_close(sqlite3_file *f)
{
    LogBuffer *b = buffer_of(f);
    f->pMethods = b->real;
    return b->real->xClose(f);
}

int sqlite_log_gather(SqliteEngine *e, Err *err)
{
    LogBuffer *b = &e->log;
    sqlite3_file *f = sqlite_log_file(e);
    if (!f || f->pMethods == &b->methods)
        return 0;
    if (!b->bytes && !(b->bytes = malloc(LOG_BUFFER)))
        return err_nomem(err);
    b->real = f->pMethods;
    b->methods = *b->real;
    b->methods.xClose = log_close;
    b->methods.xRead = log_read;
    b->methods.xWrite = log_write;
    b->methods.xTruncate = log_truncate;
    b->methods.xSync = log_sync;
    b->methods.xFileSize = log_size;
    f->pMethods = &b->methods;
    return 0;
}

sqlite3_file *sqlite_log_file(SqliteEngine *e)
{
    sqlite3_file *f = NULL;
    if (sqlite3_file_control(e->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK)
        return NULL;
    return f && f->pMethods ? f : NULL;
}

bool sqlite_log_recall(const SqliteEngine *e, uint64_t from, uint64_t end, uint64_t at,
                       unsigned char *buf, size_t n)
{
    const LogBuffer *b = &e->log;
    uint64_t first = (uint64_t)b->at, last = first + b->n;
    if (b->n == 0 || from < first || end > last)
        return false;
    uint64_t lo = MAX(at, first), hi = MIN(at + n, last);
    memset(buf, 0, n);
    if (lo < hi)
        memcpy(buf + (lo - at), b->bytes + (lo - first), hi - lo);
    return true;
}
