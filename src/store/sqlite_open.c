/* sqlite_open.c - what happens before a store is served: the log is looked through, the database
 * checked, an older format brought up to date, rows and events loaded, and all of it held against
 * the mark. Nothing is changed before that, but for a store of an older format. */
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/sqlite_internal.h"

enum { LAG_MAX = 1000000 }; /* writes of which a power cut may have taken the mark */

#define RESTORE "bring back a backup with `knarr restore`"

static int lock_dir(SqliteEngine *e, const char *dir, Err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", dir);
    e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0)
        return err_errno(err, "open store in '%s'", dir);
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_CONFLICT, 0,
                       "store in '%s' is in use by another process; stop that one first", dir);
    return 0;
}

static int64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : (int64_t)st.st_size;
}

/* A new store may be made only where there never was one. */
static int check_presence(SqliteEngine *e, Err *err)
{
    int64_t size = file_size(e->file);
    if (size > 0)
        return 0;
    if (e->mark.seq || file_size(e->wal) > 0 || path_exists(AT_FDCWD, e->reserve))
        return err_set(err, ERR_CORRUPT, 0,
                       "store file '%s' %s, though this cluster had one; " RESTORE, e->file,
                       size < 0 ? "is missing" : "is empty");
    return 0;
}

static int check_log(SqliteEngine *e, WalReport *rep, Err *err)
{
    *rep = (WalReport){ 0 };
    _cleanup_close_ int fd = file_open_regular(AT_FDCWD, e->wal, O_RDONLY, 0);
    if (fd == -EINVAL)
        return err_set(err, ERR_CORRUPT, 0, "store file '%s' is no regular file; " RESTORE, e->wal);
    if (fd < 0)
        return fd == -ENOENT ? 0 : err_neg(err, fd, "open '%s'", e->wal);
    int r = wal_check(fd, &e->mark, rep, err);
    if (r == 0 && rep->state == WAL_SPENT && truncate(e->wal, 0) < 0)
        return err_errno(err, "empty '%s'", e->wal);
    if (r < 0 || rep->state != WAL_DAMAGED)
        return r;
    return err_set(
        err, ERR_CORRUPT, 0,
        "store file '%s' is damaged at byte %llu, and newer writes lie behind it or were "
        "complete before; " RESTORE,
        e->wal, (unsigned long long)rep->damage_at);
}

int sqlite_read_meta(SqliteEngine *e, const char *name, uint64_t *ret, Err *err)
{
    sqlite3_stmt *st = NULL;
    int r = 0;
    if (sqlite3_prepare_v2(e->db, "SELECT value FROM meta WHERE name=?", -1, &st, NULL) !=
        SQLITE_OK)
        return sqlite_fail(e, err, "read store");
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
    else if (code != SQLITE_DONE)
        r = sqlite_fail(e, err, "read store");
    sqlite3_finalize(st);
    return r;
}

static int check_integrity(SqliteEngine *e, Err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db, "PRAGMA integrity_check(1)", -1, &st, NULL) != SQLITE_OK)
        return sqlite_fail(e, err, "check store");
    int code = sqlite3_step(st), r = 0;
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (code != SQLITE_ROW)
        r = sqlite_fail(e, err, "check store");
    else if (!text || strcmp(text, "ok") != 0)
        r = err_set(err, ERR_CORRUPT, 0, "store file '%s' is damaged: %s; " RESTORE, e->file,
                    text ? text : "no answer");
    sqlite3_finalize(st);
    return r;
}

/* ---- format ---- */

static int open_tables(SqliteEngine *e, const EngineLoad *load, Err *err)
{
    uint64_t format = 0;
    int r = sqlite_run(
        e,
        "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS kv" SQLITE_KV_COLUMNS ";"
        "INSERT OR IGNORE INTO meta(name,value) VALUES('format',4);",
        "create store", err);
    if (r < 0 || (r = sqlite_read_meta(e, "format", &format, err)) < 0)
        return r;
    if (format > STORE_FORMAT)
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "store file '%s' has format %llu, this program knows format %d; use a newer knarr",
            e->file, (unsigned long long)format, STORE_FORMAT);
    return format == STORE_FORMAT ? 0 : sqlite_upgrade(e, format, load, err);
}

/* ---- loading ---- */

StrView sqlite_column(sqlite3_stmt *st, int i)
{
    const char *p = sqlite3_column_blob(st, i);
    return sv_n(p, (size_t)sqlite3_column_bytes(st, i));
}

int sqlite_bad_row(SqliteEngine *e, StrView key, Err *err)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "store file '%s': row '%.*s' is damaged (checksum); " RESTORE, e->file,
                   (int)MIN(key.len, 200), key.ptr);
}

/* *rev comes in as what table meta says, and goes out as at least that of the newest row. */
static int load_rows(SqliteEngine *e, const EngineLoad *load, uint64_t *rev, Err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db,
                           "SELECT key,val,mod_rev,create_rev,expires,crc FROM kv ORDER BY key", -1,
                           &st, NULL) != SQLITE_OK)
        return sqlite_fail(e, err, "read store");
    int code, r = 0;
    while (r == 0 && (code = sqlite3_step(st)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            r = sqlite_fail(e, err, "read store");
            break;
        }
        ObjectRev o = { .key = sqlite_column(st, 0),
                        .val = sqlite_column(st, 1),
                        .mod_rev = (uint64_t)sqlite3_column_int64(st, 2),
                        .create_rev = (uint64_t)sqlite3_column_int64(st, 3),
                        .expires = sqlite3_column_int64(st, 4) };
        r = (uint32_t)sqlite3_column_int64(st, 5) == sqlite_row_crc(&o)
                ? load->row(load->ctx, &o, err)
                : sqlite_bad_row(e, o.key, err);
        e->sum += sqlite_row_sum(&o);
        *rev = MAX(*rev, o.mod_rev);
    }
    sqlite3_finalize(st);
    return r;
}

/* What was loaded must be what was acknowledged, but for the last transaction. */
static int check_mark(SqliteEngine *e, uint64_t rev, Err *err)
{
    const Mark *m = &e->mark;
    uint64_t up_from = 0, up_to = 0;
    int r = sqlite_read_meta(e, SQLITE_UPGRADED_FROM, &up_from, err);
    if (r < 0 || (r = sqlite_read_meta(e, SQLITE_UPGRADED_TO, &up_to, err)) < 0)
        return r;
    uint64_t sum = rev == m->last.rev ? m->last.sum : m->before.sum;
    if (!m->seq || (rev > m->last.rev && rev - m->last.rev < LAG_MAX))
        return 0;
    /* Where the machine stopped right behind an upgrade, the mark is of what was before. */
    if ((rev == m->last.rev || rev == m->before.rev) &&
        (e->sum == sum || (e->sum == up_to && sum == up_from)))
        return 0;
    return err_set(
        err, ERR_CORRUPT, 0,
        "store file '%s' is at revision %llu, but revision %llu was written last: it or its log "
        "'%s' was damaged or put back; " RESTORE,
        e->file, (unsigned long long)rev, (unsigned long long)m->before.rev, e->wal);
}

static int prepare(SqliteEngine *e, Err *err)
{
    static const char put[] =
        "INSERT INTO kv(key,val,mod_rev,create_rev,expires,crc) VALUES(?,?,?,?,?,?)"
        " ON CONFLICT(key) DO UPDATE SET val=excluded.val,mod_rev=excluded.mod_rev,"
        "create_rev=excluded.create_rev,expires=excluded.expires,crc=excluded.crc";
    static const char meta[] = "INSERT INTO meta(name,value) VALUES('revision',?)"
                               " ON CONFLICT(name) DO UPDATE SET value=excluded.value";
    if (sqlite3_prepare_v2(e->db, "BEGIN IMMEDIATE", -1, &e->begin, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, "COMMIT", -1, &e->commit, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, put, -1, &e->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, "DELETE FROM kv WHERE key=?", -1, &e->del, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, meta, -1, &e->meta, NULL) != SQLITE_OK)
        return sqlite_fail(e, err, "prepare store");
    return 0;
}

/* ---- all of it ---- */

static int on_commit(void *ctx, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((SqliteEngine *)ctx)->frames = (uint64_t)frames;
    return SQLITE_OK;
}

static int open_db(SqliteEngine *e, Err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bool is_new = file_size(e->file) <= 0;
    if (sqlite3_open_v2(e->file, &e->db, flags, NULL) != SQLITE_OK)
        return e->db ? sqlite_fail(e, err, "open store") : err_nomem(err);
    sqlite3_db_config(e->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* see engine_close() */
    /* Exclusive before anything looks into the file: else a file for shared memory is made, for
     * which a full disk has no room. Nor has it for what setting auto_vacuum again would write. */
    int r = sqlite_run(e, "PRAGMA locking_mode=EXCLUSIVE;", "open store", err);
    if (r == 0 && is_new)
        r = sqlite_run(e, "PRAGMA auto_vacuum=INCREMENTAL;", "open store", err);
    if (r == 0)
        r = sqlite_run(
            e,
            "PRAGMA journal_mode=WAL;"
            "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;"
            "PRAGMA cache_size=-2048; PRAGMA cache_spill=OFF; PRAGMA wal_autocheckpoint=0;",
            "open store", err);
    sqlite3_wal_hook(e->db, on_commit, e);
    return r;
}

static int page_size(SqliteEngine *e, Err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db, "PRAGMA page_size", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        sqlite3_finalize(st);
        return sqlite_fail(e, err, "open store");
    }
    e->page = (uint32_t)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return 0;
}

/* On a full disk this takes what is held in reserve. */
int sqlite_settle(SqliteEngine *e, uint64_t rev, Err *err)
{
    int r = sqlite_checkpoint(e, false, err);
    if (r < 0 && err->sys == ENOSPC) {
        sqlite_release_reserve(e);
        err_clear(err);
        r = sqlite_checkpoint(e, false, err);
    }
    if (r < 0 || (r = mark_open(e->mark_file, &e->mark_fd, err)) < 0)
        return r;
    Mark *m = &e->mark;
    m->before = m->last = (MarkPoint){ rev, e->sum, 0 };
    m->zero_bits = 0;
    m->time = MAX(m->time, clock_real_ns() / NSEC_PER_SEC);
    r = mark_write(e->mark_fd, m, true);
    if (r == -ENOSPC) {
        sqlite_release_reserve(e);
        r = mark_write(e->mark_fd, m, true);
    }
    return r < 0 ? err_neg(err, r, "write '%s'", e->mark_file) : 0;
}

static void say(const SqliteEngine *e, const WalReport *log, uint64_t rev, bool bad_mark,
                EngineState *ret)
{
    if (log->state == WAL_TORN || (e->mark.seq && rev < e->mark.last.rev))
        snprintf(
            ret->note, sizeof ret->note,
            "store file '%.300s': the last write was torn and is cut off; revision %llu is the "
            "newest",
            e->wal, (unsigned long long)rev);
    else if (bad_mark)
        snprintf(ret->note, sizeof ret->note, "'%.300s' was damaged and is made anew",
                 e->mark_file);
}

int sqlite_open_dir(SqliteEngine *e, const char *dir, const EngineLoad *load, EngineState *ret,
                    Err *err)
{
    bool bad_mark;
    uint64_t rev = 0;
    WalReport log;
    int r;
    if (snprintf(e->file, sizeof e->file - 16, "%s/state.db", dir) >= (int)sizeof e->file - 16)
        return err_set(err, ERR_INVALID, 0, "the path of store '%s' is too long", dir);
    snprintf(e->wal, sizeof e->wal, "%s-wal", e->file);
    snprintf(e->reserve, sizeof e->reserve, "%s/reserve", dir);
    snprintf(e->mark_file, sizeof e->mark_file, "%s/mark", dir);
    if ((r = lock_dir(e, dir, err)) < 0 ||
        (r = mark_read(e->mark_file, &e->mark, &bad_mark, err)) < 0 ||
        (r = check_presence(e, err)) < 0 || (r = check_log(e, &log, err)) < 0 ||
        (r = open_db(e, err)) < 0 || (r = page_size(e, err)) < 0 ||
        (r = check_integrity(e, err)) < 0 || (r = open_tables(e, load, err)) < 0 ||
        (r = sqlite_read_meta(e, "revision", &rev, err)) < 0 ||
        (r = load_rows(e, load, &rev, err)) < 0 || (r = check_mark(e, rev, err)) < 0)
        return r;
    ret->rev = rev;
    say(e, &log, rev, bad_mark, ret);
    if ((r = past_open(&e->past, dir, err)) < 0 ||
        (r = past_load(&e->past, rev, e->sum, load, err)) < 0 || (r = prepare(e, err)) < 0 ||
        (r = sqlite_settle(e, rev, err)) < 0 || (r = sqlite_log_gather(e, err)) < 0)
        return r;
    sqlite_keep_reserve(e);
    return 0;
}
