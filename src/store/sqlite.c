/* sqlite.c - the embedded engine: table kv(key, value, revisions, expiry, crc) and table meta(name,
 * value) in one SQLite file; what recent events replaced lies beside it (past.h).
 *
 * WAL mode with synchronous=FULL: a commit is on disk when it returns. Each row carries a CRC-32C
 * of everything in it. The log is zeroed at each checkpoint before it is written over, so that what
 * a torn write left out is missing or zero; mark.h says what must be there. A file `reserve`
 * beside the database holds 4 MiB that deletions alone may use when the disk is full. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "store/sqlite_internal.h"

enum {
    CHECKPOINT_FRAMES = 2000,
    CHECKPOINT_FRAMES_FULL = 200, /* on a full disk the log must stay far below the reserve */
    VACUUM_PAGES = 256,           /* given back to the disk at once */
    VACUUM_FROM = 512,            /* free pages that are kept for what comes next */
};

int sqlite_fail(SqliteEngine *e, Err *err, const char *what)
{
    int code = sqlite3_errcode(e->db);
    if (code == SQLITE_FULL || (code == SQLITE_IOERR && sqlite3_system_errno(e->db) == ENOSPC))
        return err_set(err, ERR_SYS, ENOSPC, "%s '%s'", what, e->file);
    /* Before it is sound, tables or columns that are not there are damage, too. */
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || (code == SQLITE_ERROR && !e->sound))
        return err_set(err, ERR_CORRUPT, 0, "%s '%s': %s; bring back a backup with `knarr restore`",
                       what, e->file, sqlite3_errmsg(e->db));
    return err_set(err, ERR_SYS, sqlite3_system_errno(e->db), "%s '%s': %s", what, e->file,
                   sqlite3_errmsg(e->db));
}

uint32_t sqlite_row_crc(const ObjectRev *o)
{
    uint64_t nums[3] = { o->mod_rev, o->create_rev, (uint64_t)o->expires };
    uint32_t c = crc32c(0, nums, sizeof nums);
    c = crc32c(c, o->key.ptr, o->key.len);
    return crc32c(c, o->val.ptr, o->val.len);
}

uint64_t sqlite_row_sum(const ObjectRev *o)
{
    uint64_t x = sqlite_row_crc(o) ^ o->mod_rev << 32;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int sqlite_run(SqliteEngine *e, const char *sql, const char *what, Err *err)
{
    return sqlite3_exec(e->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_fail(e, err, what);
}

/* ---- the log and its mark ---- */

static uint64_t log_offset(const SqliteEngine *e, uint64_t frame)
{
    return WAL_HEADER + frame * (WAL_FRAME_HEADER + (uint64_t)e->page);
}

/* Zeros over a log that is in the database by now. Its blocks stay: to write over them costs half
 * of what it costs to let a file grow. */
static bool wipe_log(SqliteEngine *e, uint64_t bytes)
{
    static const char zeros[64 * 1024];
    sqlite3_file *f = sqlite_log_file(e);
    sqlite3_int64 size, keep = (sqlite3_int64)log_offset(e, CHECKPOINT_FRAMES + 64);
    if (!f || f->pMethods->xFileSize(f, &size) != SQLITE_OK ||
        (size > keep && f->pMethods->xTruncate(f, keep) != SQLITE_OK))
        return false;
    size = MIN(MIN(size, keep), (sqlite3_int64)bytes);
    for (sqlite3_int64 at = 0; at < size; at += (sqlite3_int64)sizeof zeros)
        if (f->pMethods->xWrite(f, zeros, (int)MIN(size - at, (sqlite3_int64)sizeof zeros), at) !=
            SQLITE_OK)
            return false;
    return f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK;
}

/* From here on nothing of this log is wanted, however much of it is wiped when the machine stops.
 */
static bool spend_log(SqliteEngine *e)
{
    Mark *m = &e->mark;
    m->last.frames = 0;
    m->before = m->last;
    m->zero_bits = 0;
    return mark_write(e->mark_fd, m, true) == 0;
}

int sqlite_checkpoint(SqliteEngine *e, bool keep_blocks, Err *err)
{
    int mode = keep_blocks ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_TRUNCATE;
    uint64_t bytes = log_offset(e, e->frames);
    if (sqlite3_wal_checkpoint_v2(e->db, NULL, mode, NULL, NULL) != SQLITE_OK)
        return sqlite_fail(e, err, "move the log into the store");
    if (keep_blocks && !(spend_log(e) && wipe_log(e, bytes)))
        return sqlite_checkpoint(e, false, err);
    e->frames = 0;
    e->mark.last.frames = 0;
    return 0;
}

/* A commit that failed half-way leaves frames that nobody must take for part of the log. */
static void cut_log(SqliteEngine *e)
{
    sqlite3_file *f = sqlite_log_file(e);
    if (f)
        f->pMethods->xTruncate(f, e->frames ? (sqlite3_int64)log_offset(e, e->frames) : 0);
}

/* Which sectors of frames [first, end) were written as zeros. The first and the last one may be
 * shared with what is not theirs: the first holds a frame's header, never zero, and behind the last
 * nothing was written yet. */
static void note_zeros(SqliteEngine *e, sqlite3_file *f, uint64_t first, uint64_t end)
{
    uint64_t from = log_offset(e, first) / SECTOR;
    uint64_t n = (log_offset(e, end) + SECTOR - 1) / SECTOR - from;
    unsigned char buf[32 * SECTOR];
    e->mark.zero_bits = 0;
    if (n > MARK_ZERO_BYTES * 8)
        return;
    memset(e->mark.zeros, 0, (n + 7) / 8);
    for (uint64_t i = 0; i < n; i += 32) {
        uint64_t at = (from + i) * SECTOR;
        if (!sqlite_log_recall(e, log_offset(e, first), log_offset(e, end), at, buf, sizeof buf)) {
            int code = f->pMethods->xRead(f, buf, sizeof buf, (sqlite3_int64)at);
            if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) /* the rest is then zero */
                return;
        }
        for (uint64_t k = 0; k < 32 && i + k < n; k++) {
            const unsigned char *s = buf + k * SECTOR;
            if (s[0] == 0 && memcmp(s, s + 1, SECTOR - 1) == 0)
                e->mark.zeros[(i + k) / 8] |= (unsigned char)(1u << ((i + k) % 8));
        }
    }
    e->mark.zero_bits = (uint32_t)n;
}

static void write_mark(SqliteEngine *e, uint64_t rev)
{
    Mark *m = &e->mark;
    sqlite3_file *f = sqlite_log_file(e);
    unsigned char salts[8];
    uint64_t before = m->last.frames;
    m->before = m->last;
    m->last = (MarkPoint){ rev, e->sum, e->frames };
    m->time = clock_real_ns() / NSEC_PER_SEC;
    m->zero_bits = 0;
    if (f && before < e->frames) {
        if (before == 0 && f->pMethods->xRead(f, salts, sizeof salts, 16) == SQLITE_OK)
            for (int i = 0; i < 2; i++)
                m->salts[i] = (uint32_t)salts[4 * i] << 24 | (uint32_t)salts[4 * i + 1] << 16 |
                              (uint32_t)salts[4 * i + 2] << 8 | salts[4 * i + 3];
        note_zeros(e, f, before, e->frames);
    }
    mark_write(e->mark_fd, m, false); /* one that lags says less, and nothing wrong */
}

/* ---- writing ---- */

static int step(SqliteEngine *e, sqlite3_stmt *st, Err *err)
{
    int code = sqlite3_step(st);
    int r = code == SQLITE_DONE ? 0 : sqlite_fail(e, err, "write to store");
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

static int put_row(SqliteEngine *e, const ObjectRev *o, Err *err)
{
    sqlite3_bind_blob(e->put, 1, o->key.ptr, (int)o->key.len, SQLITE_STATIC);
    sqlite3_bind_blob(e->put, 2, o->val.ptr, (int)o->val.len, SQLITE_STATIC);
    sqlite3_bind_int64(e->put, 3, (int64_t)o->mod_rev);
    sqlite3_bind_int64(e->put, 4, (int64_t)o->create_rev);
    sqlite3_bind_int64(e->put, 5, o->expires);
    sqlite3_bind_int64(e->put, 6, sqlite_row_crc(o));
    return step(e, e->put, err);
}

static int del_row(SqliteEngine *e, StrView key, Err *err)
{
    sqlite3_bind_blob(e->del, 1, key.ptr, (int)key.len, SQLITE_STATIC);
    return step(e, e->del, err);
}

static int write_rows(SqliteEngine *e, const EngineBatch *b, uint64_t *ret_sum, Err *err)
{
    uint64_t sum = e->sum, newest_put = 0;
    int r = 0;
    for (size_t i = 0; i < b->n && r == 0; i++) {
        const StoreEvent *ev = &b->events[i];
        sum += ev->obj ? sqlite_row_sum(ev->obj) : 0;
        sum -= ev->prev ? sqlite_row_sum(ev->prev) : 0;
        if (ev->obj)
            newest_put = ev->rev;
        r = ev->obj ? put_row(e, ev->obj, err) : del_row(e, ev->prev->key, err);
    }
    /* The revision is that of the newest row, unless the newest change was a deletion: only then it
     * is written by itself. */
    if (r == 0 && newest_put < b->rev) {
        sqlite3_bind_int64(e->meta, 1, (int64_t)b->rev);
        r = step(e, e->meta, err);
    }
    *ret_sum = sum;
    return r;
}

/* Without the reserve all events are forgotten: what deletions free must not be filled with what
 * they deleted. */
static void keep_past(SqliteEngine *e, const EngineBatch *b, uint64_t sum)
{
    past_forget(&e->past, e->reserved ? b->floor : UINT64_MAX);
    if (e->reserved)
        past_append(&e->past, b->events, b->n, sum, clock_real_ns() / NSEC_PER_SEC);
}

static int commit(SqliteEngine *e, const EngineBatch *b, Err *err)
{
    uint64_t sum = e->sum;
    int r = step(e, e->begin, err);
    if (r == 0)
        r = write_rows(e, b, &sum, err);
    if (r == 0) {
        keep_past(e, b, sum);
        r = step(e, e->commit, err);
        if (r < 0 && e->reserved)
            past_undo(&e->past);
    }
    if (r < 0) {
        if (!sqlite3_get_autocommit(e->db))
            sqlite3_exec(e->db, "ROLLBACK", NULL, NULL, NULL);
        cut_log(e);
        return r;
    }
    e->sum = sum;
    write_mark(e, b->rev);
    return 0;
}

static int engine_submit(void *self, const EngineBatch *b, Err *err)
{
    SqliteEngine *e = self;
    if (!e->reserved && !b->frees) {
        sqlite_keep_reserve(e);
        if (!e->reserved)
            return err_set(err, ERR_SYS, ENOSPC, "write to store '%s'", e->file);
    }
    int r = commit(e, b, err);
    if (r == 0 || err->sys != ENOSPC || !b->frees || !e->reserved)
        return r;
    sqlite_release_reserve(e);
    return commit(e, b, err);
}

static int64_t pragma_int(SqliteEngine *e, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t n = 0;
    if (sqlite3_prepare_v2(e->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

/* Cuts some free pages off the database's end, when they are many. True: there may be more. */
static bool give_back(SqliteEngine *e)
{
    char sql[64];
    Err err = { 0 };
    int64_t spare = pragma_int(e, "PRAGMA freelist_count") - VACUUM_FROM;
    if (spare <= pragma_int(e, "PRAGMA page_count") / 4)
        return false;
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    if (sqlite_run(e, sql, "give space back", &err) == 0)
        return true;
    cut_log(e);
    return false;
}

/* Moves the log into the database when it is long; after that it is worth looking for space to give
 * back. Failures leave things as they are: tried again after the next batch. */
static bool engine_tend(void *self)
{
    SqliteEngine *e = self;
    Err err = { 0 };
    if (!e->reserved)
        sqlite_keep_reserve(e);
    if (e->frames >= (e->reserved ? CHECKPOINT_FRAMES : CHECKPOINT_FRAMES_FULL) &&
        sqlite_checkpoint(e, e->reserved, &err) == 0)
        e->shrinking = true;
    if (e->shrinking)
        e->shrinking = give_back(e);
    return e->shrinking;
}

/* The pages that it keeps: what is needed of them next is read again. */
static void engine_rest(void *self)
{
    sqlite3_db_release_memory(((SqliteEngine *)self)->db);
}

static int engine_backup(void *self, const char *path, Err *err)
{
    SqliteEngine *e = self;
    if (path_exists(AT_FDCWD, path))
        return err_set(err, ERR_EXISTS, 0, "backup file '%s' exists already", path);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db, "VACUUM INTO ?", -1, &st, NULL) != SQLITE_OK)
        return sqlite_fail(e, err, "back up store");
    sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
    int r = sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(e, err, "back up store");
    sqlite3_finalize(st);
    if (r < 0)
        unlink(path);
    return r;
}

void sqlite_release_reserve(SqliteEngine *e)
{
    unlink(e->reserve);
    e->reserved = false;
}

/* Whatever else stands in its place is none of ours. */
static int open_reserve(const SqliteEngine *e)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
    struct stat st;
    int fd = open(e->reserve, FLAGS, 0600);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    if (fd < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EROFS))
        return -1;
    if (fd >= 0)
        close(fd);
    if (rm_rf(AT_FDCWD, e->reserve) < 0)
        return -1;
    log_warn("'%s' was no file that can be written, and is made anew", e->reserve);
    return open(e->reserve, FLAGS, 0600);
}

void sqlite_keep_reserve(SqliteEngine *e)
{
    if (e->reserved)
        return;
    _cleanup_close_ int fd = open_reserve(e);
    if (fd < 0)
        return; /* a full disk: tried again after a later commit */
    if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
        unlink(e->reserve);
    else
        e->reserved = true;
}

/* ---- opening and closing ---- */

static void engine_close(void *self)
{
    SqliteEngine *e = self;
    Err err = { 0 };
    if (!e)
        return;
    sqlite3_finalize(e->begin);
    sqlite3_finalize(e->commit);
    sqlite3_finalize(e->put);
    sqlite3_finalize(e->del);
    sqlite3_finalize(e->meta);
    if (e->sound && sqlite_checkpoint(e, false, &err) < 0)
        err_clear(&err); /* the log stays; the next start reads it */
    sqlite3_close(e->db);
    free(e->log.bytes);
    past_close(&e->past);
    if (e->mark_fd >= 0)
        close(e->mark_fd);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e);
}

static int engine_open(const char *dir, const EngineLoad *load, void **ret, EngineState *ret_state,
                       Err *err)
{
    SqliteEngine *e = calloc(1, sizeof *e);
    if (!e)
        return err_nomem(err);
    e->lock_fd = e->mark_fd = e->past.fd = e->past.dir_fd = -1;
    int r = sqlite_open_dir(e, dir, load, ret_state, err);
    if (r < 0) {
        engine_close(e);
        return r;
    }
    e->sound = true;
    *ret = e;
    return 0;
}

const StoreEngine engine_sqlite = { .name = "sqlite",
                                    .open = engine_open,
                                    .submit = engine_submit,
                                    .tend = engine_tend,
                                    .rest = engine_rest,
                                    .backup = engine_backup,
                                    .close = engine_close };
