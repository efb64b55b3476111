/* sqlite.c - table kv(key, value, revisions, expiry, crc) and table meta(name, value).
 *
 * WAL mode with synchronous=FULL: a commit is on disk when it returns. Each row carries a CRC-32C
 * of everything in it, checked at load, so that damage is named and refused instead of served. A
 * file `reserve` beside the database holds 4 MiB that a delete may use when the disk is full. */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/crc32c.h"

enum { RESERVE_BYTES = 4 * 1024 * 1024 };

struct Engine {
    sqlite3 *db;
    sqlite3_stmt *put, *del, *meta;
    int lock_fd;
    uint64_t newest_put; /* of the open transaction: revision of its newest row */
    bool reserved;
    char file[PATH_MAX], reserve[PATH_MAX + 16];
};

static int fail(Engine *e, Err *err, const char *what)
{
    int code = sqlite3_errcode(e->db);
    if (code == SQLITE_FULL || (code == SQLITE_IOERR && sqlite3_system_errno(e->db) == ENOSPC))
        return err_set(err, ERR_SYS, ENOSPC, "%s '%s'", what, e->file);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return err_set(err, ERR_CORRUPT, 0, "%s '%s': %s; restore it from a backup", what, e->file,
                       sqlite3_errmsg(e->db));
    return err_set(err, ERR_SYS, sqlite3_system_errno(e->db), "%s '%s': %s", what, e->file,
                   sqlite3_errmsg(e->db));
}

static uint32_t row_crc(const ObjectRev *o)
{
    uint64_t nums[3] = { o->mod_rev, o->create_rev, (uint64_t)o->expires };
    uint32_t c = crc32c(0, nums, sizeof nums);
    c = crc32c(c, o->key.ptr, o->key.len);
    return crc32c(c, o->val.ptr, o->val.len);
}

static int exec(Engine *e, const char *sql, const char *what, Err *err)
{
    return sqlite3_exec(e->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(e, err, what);
}

static int lock_dir(Engine *e, const char *dir, Err *err)
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

static int read_meta(Engine *e, const char *name, uint64_t *ret, Err *err)
{
    sqlite3_stmt *st = NULL;
    int r = 0;
    if (sqlite3_prepare_v2(e->db, "SELECT value FROM meta WHERE name=?", -1, &st, NULL) !=
        SQLITE_OK)
        return fail(e, err, "read store");
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
    else if (code != SQLITE_DONE)
        r = fail(e, err, "read store");
    sqlite3_finalize(st);
    return r;
}

static int check_integrity(Engine *e, Err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
        return fail(e, err, "check store");
    int code = sqlite3_step(st), r = 0;
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (code != SQLITE_ROW)
        r = fail(e, err, "check store");
    else if (!text || strcmp(text, "ok") != 0)
        r = err_set(err, ERR_CORRUPT, 0, "store file '%s' is damaged: %s; restore it from a backup",
                    e->file, text ? text : "no answer");
    sqlite3_finalize(st);
    return r;
}

/* *rev comes in as what table meta says, and goes out as at least that of the newest row. */
static int load_rows(Engine *e, EngineRowFn *row, void *ctx, uint64_t *rev, Err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db,
                           "SELECT key,val,mod_rev,create_rev,expires,crc FROM kv ORDER BY key", -1,
                           &st, NULL) != SQLITE_OK)
        return fail(e, err, "read store");
    int code, r = 0;
    while (r == 0 && (code = sqlite3_step(st)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            r = fail(e, err, "read store");
            break;
        }
        ObjectRev o = {
            .key = sv_n(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)),
            .val = sv_n(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1)),
            .mod_rev = (uint64_t)sqlite3_column_int64(st, 2),
            .create_rev = (uint64_t)sqlite3_column_int64(st, 3),
            .expires = sqlite3_column_int64(st, 4),
        };
        if ((uint32_t)sqlite3_column_int64(st, 5) != row_crc(&o))
            r = err_set(
                err, ERR_CORRUPT, 0,
                "store file '%s': row '%.*s' is damaged (checksum); restore it from a backup",
                e->file, (int)MIN(o.key.len, 200), o.key.ptr);
        else
            r = row(ctx, &o, err);
        *rev = MAX(*rev, o.mod_rev);
    }
    sqlite3_finalize(st);
    return r;
}

static int prepare(Engine *e, Err *err)
{
    static const char put[] =
        "INSERT INTO kv(key,val,mod_rev,create_rev,expires,crc) VALUES(?,?,?,?,?,?)"
        " ON CONFLICT(key) DO UPDATE SET val=excluded.val,mod_rev=excluded.mod_rev,"
        "create_rev=excluded.create_rev,expires=excluded.expires,crc=excluded.crc";
    static const char meta[] = "INSERT INTO meta(name,value) VALUES('revision',?)"
                               " ON CONFLICT(name) DO UPDATE SET value=excluded.value";
    if (sqlite3_prepare_v2(e->db, put, -1, &e->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, "DELETE FROM kv WHERE key=?", -1, &e->del, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(e->db, meta, -1, &e->meta, NULL) != SQLITE_OK)
        return fail(e, err, "prepare store");
    return 0;
}

/* Rows have a rowid: a row of up to 4 KB then lies in one page, and a change of it writes that page
 * only. (WITHOUT ROWID, as format 1 had it, spills what is over 1 KB into pages of its own.) */
#define KV_COLUMNS                                                                                 \
    "(key BLOB PRIMARY KEY NOT NULL, mod_rev INTEGER NOT NULL, create_rev INTEGER NOT NULL,"       \
    " expires INTEGER NOT NULL, crc INTEGER NOT NULL, val BLOB NOT NULL)"

static int upgrade_format_1(Engine *e, Err *err)
{
    int r = exec(e,
                 "BEGIN IMMEDIATE;"
                 "CREATE TABLE kv2" KV_COLUMNS ";"
                 "INSERT INTO kv2(key,mod_rev,create_rev,expires,crc,val)"
                 " SELECT key,mod_rev,create_rev,expires,crc,val FROM kv;"
                 "DROP TABLE kv;"
                 "ALTER TABLE kv2 RENAME TO kv;"
                 "UPDATE meta SET value=2 WHERE name='format';"
                 "COMMIT;",
                 "bring store to format 2:", err);
    if (r < 0)
        engine_rollback(e);
    return r;
}

static int open_tables(Engine *e, Err *err)
{
    uint64_t format = 0;
    int r =
        exec(e,
             "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
             "CREATE TABLE IF NOT EXISTS kv" KV_COLUMNS ";"
             "INSERT OR IGNORE INTO meta(name,value) VALUES('format',2);",
             "create store", err);
    if (r < 0 || (r = read_meta(e, "format", &format, err)) < 0)
        return r;
    if (format == 1)
        return upgrade_format_1(e, err);
    if (format != STORE_FORMAT)
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "store file '%s' has format %llu, this program knows format %d; use a newer knarr",
            e->file, (unsigned long long)format, STORE_FORMAT);
    return 0;
}

static int open_db(Engine *e, EngineRowFn *row, void *ctx, uint64_t *ret_rev, Err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(e->file, &e->db, flags, NULL) != SQLITE_OK)
        return e->db ? fail(e, err, "open store") : err_nomem(err);
    int r;
    uint64_t rev = 0;
    if ((r = exec(e,
                  "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                  "PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-2048;"
                  "PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=8388608;",
                  "open store", err)) < 0 ||
        (r = check_integrity(e, err)) < 0 || (r = open_tables(e, err)) < 0)
        return r;
    if ((r = read_meta(e, "revision", &rev, err)) < 0 ||
        (r = load_rows(e, row, ctx, &rev, err)) < 0 || (r = prepare(e, err)) < 0)
        return r;
    *ret_rev = rev;
    return 0;
}

int engine_open(const char *dir, EngineRowFn *row, void *ctx, Engine **ret, uint64_t *ret_rev,
                Err *err)
{
    Engine *e = calloc(1, sizeof *e);
    if (!e)
        return err_nomem(err);
    e->lock_fd = -1;
    snprintf(e->file, sizeof e->file, "%s/state.db", dir);
    snprintf(e->reserve, sizeof e->reserve, "%s/reserve", dir);
    int r;
    if ((r = lock_dir(e, dir, err)) < 0 || (r = open_db(e, row, ctx, ret_rev, err)) < 0) {
        engine_close(e);
        return r;
    }
    engine_keep_reserve(e);
    *ret = e;
    return 0;
}

Engine *engine_close(Engine *e)
{
    if (!e)
        return NULL;
    sqlite3_finalize(e->put);
    sqlite3_finalize(e->del);
    sqlite3_finalize(e->meta);
    sqlite3_close(e->db);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e);
    return NULL;
}

int engine_begin(Engine *e, Err *err)
{
    e->newest_put = 0;
    return exec(e, "BEGIN IMMEDIATE", "write to store", err);
}

static int run(Engine *e, sqlite3_stmt *st, Err *err)
{
    int code = sqlite3_step(st);
    int r = code == SQLITE_DONE ? 0 : fail(e, err, "write to store");
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

int engine_put(Engine *e, const ObjectRev *o, Err *err)
{
    sqlite3_bind_blob(e->put, 1, o->key.ptr, (int)o->key.len, SQLITE_STATIC);
    sqlite3_bind_blob(e->put, 2, o->val.ptr, (int)o->val.len, SQLITE_STATIC);
    sqlite3_bind_int64(e->put, 3, (int64_t)o->mod_rev);
    sqlite3_bind_int64(e->put, 4, (int64_t)o->create_rev);
    sqlite3_bind_int64(e->put, 5, o->expires);
    sqlite3_bind_int64(e->put, 6, row_crc(o));
    e->newest_put = MAX(e->newest_put, o->mod_rev);
    return run(e, e->put, err);
}

int engine_del(Engine *e, StrView key, Err *err)
{
    sqlite3_bind_blob(e->del, 1, key.ptr, (int)key.len, SQLITE_STATIC);
    return run(e, e->del, err);
}

/* The revision is that of the newest row, unless the newest change was a deletion: only then it is
 * written by itself. */
int engine_commit(Engine *e, uint64_t rev, Err *err)
{
    int r = 0;
    if (e->newest_put < rev) {
        sqlite3_bind_int64(e->meta, 1, (int64_t)rev);
        r = run(e, e->meta, err);
    }
    return r < 0 ? r : exec(e, "COMMIT", "write to store", err);
}

void engine_rollback(Engine *e)
{
    if (!sqlite3_get_autocommit(e->db))
        sqlite3_exec(e->db, "ROLLBACK", NULL, NULL, NULL);
}

int engine_backup(Engine *e, const char *path, Err *err)
{
    if (path_exists(AT_FDCWD, path))
        return err_set(err, ERR_EXISTS, 0, "backup file '%s' exists already", path);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(e->db, "VACUUM INTO ?", -1, &st, NULL) != SQLITE_OK)
        return fail(e, err, "back up store");
    sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
    int r = sqlite3_step(st) == SQLITE_DONE ? 0 : fail(e, err, "back up store");
    sqlite3_finalize(st);
    if (r < 0)
        unlink(path);
    return r;
}

void engine_release_reserve(Engine *e)
{
    unlink(e->reserve);
    e->reserved = false;
}

void engine_keep_reserve(Engine *e)
{
    if (e->reserved)
        return;
    _cleanup_close_ int fd = open(e->reserve, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* a full disk: tried again after a later commit */
    if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
        unlink(e->reserve);
    else
        e->reserved = true;
}
