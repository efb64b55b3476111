/* db.c - opening and closing a database, its blocks, and what is to be done from time to time. */
#include "monitor/tsdb/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { BLOCK_MS = 2 * 3600 * 1000, DAY_MS = 24 * 3600 * 1000 };

/* ---- blocks ---- */

void blocks_release(Blocks *l)
{
    vec_foreach (b, l)
        block_unref(*b);
    vec_free(l);
}

int db_blocks(Tsdb *db, int64_t start, int64_t end, Blocks *ret, Err *err)
{
    int r = 0;
    *ret = (Blocks){ 0 };
    pthread_mutex_lock(&db->blocks_lock);
    vec_foreach (b, &db->blocks)
        if (r == 0 && (*b)->meta.min <= end && (*b)->meta.max > start) {
            if (vec_push(ret, *b))
                block_ref(*b);
            else
                r = err_nomem(err);
        }
    pthread_mutex_unlock(&db->blocks_lock);
    if (r < 0)
        blocks_release(ret);
    return r;
}

static int by_time(const void *x, const void *y)
{
    const BlockMeta *p = &(*(Block *const *)x)->meta, *q = &(*(Block *const *)y)->meta;
    if (p->min != q->min)
        return p->min < q->min ? -1 : 1;
    return (p->max > q->max) - (p->max < q->max);
}

static bool is_ulid(const char *name)
{
    return strlen(name) == ULID_SIZE - 1 &&
           strspn(name, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ULID_SIZE - 1;
}

static Block *open_already(const Tsdb *db, const char *ulid)
{
    vec_foreach (b, &db->blocks)
        if (strcmp((*b)->meta.ulid, ulid) == 0)
            return *b;
    return NULL;
}

static bool is_replaced(const Blocks *replaced, const char *ulid)
{
    if (replaced)
        vec_foreach (b, replaced)
            if (strcmp((*b)->meta.ulid, ulid) == 0)
                return true;
    return false;
}

/* A block that cannot be read is moved out of the way and told; the others serve on. */
static void set_aside(const Tsdb *db, const char *ulid, const Err *why)
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof from, "%.4000s/%s", db->dir, ulid);
    snprintf(to, sizeof to, "%.4000s/%s.corrupt", db->dir, ulid);
    rm_rf(AT_FDCWD, to);
    log_error("block %s: %s; it is set aside as '%s'", ulid, why->msg, to);
    int r = rename_durable(from, to);
    if (r < 0)
        log_error("set block '%s' aside: %s", from, strerror(-r));
}

static int open_one(Tsdb *db, const char *name, Blocks *fresh, Err *err)
{
    char path[PATH_MAX];
    Err own = { 0 };
    Block *b = open_already(db, name);
    if (b) {
        block_ref(b);
    } else {
        snprintf(path, sizeof path, "%.4000s/%s", db->dir, name);
        int r = block_open(path, &b, &own);
        if (r == -ERR_NOMEM) {
            *err = own;
            return r;
        }
        if (r < 0) {
            set_aside(db, name, &own);
            atomic_fetch_add(&db->reloads_failed, 1);
            return 0;
        }
    }
    if (vec_push(fresh, b))
        return 0;
    block_unref(b);
    return err_nomem(err);
}

static bool is_leftover(StrView name)
{
    return sv_ends(name, SV(".tmp-for-creation")) || sv_ends(name, SV(".tmp-for-deletion"));
}

/* First the names change, durably, so that neither a crash nor a power cut in the middle leaves
 * half a block. */
static void delete_blocks(const Tsdb *db, const Blocks *gone)
{
    char from[PATH_MAX], to[PATH_MAX];
    Err err = { 0 };
    vec_foreach (b, gone) {
        snprintf(from, sizeof from, "%.4000s/%s", db->dir, (*b)->meta.ulid);
        snprintf(to, sizeof to, "%.4000s/%s.tmp-for-deletion", db->dir, (*b)->meta.ulid);
        if (rename(from, to) < 0)
            log_error("delete block '%s': %s", from, strerror(errno));
    }
    if (gone->len && folder_sync(db->dir, &err) < 0)
        log_error("delete blocks: %s", err.msg);
    vec_foreach (b, gone) {
        snprintf(to, sizeof to, "%.4000s/%s.tmp-for-deletion", db->dir, (*b)->meta.ulid);
        int r = rm_rf(AT_FDCWD, to);
        if (r < 0)
            log_error("delete block '%s': %s", to, strerror(-r));
    }
}

int db_reload(Tsdb *db, const Blocks *replaced, Err *err)
{
    Blocks fresh = { 0 }, old;
    atomic_fetch_add(&db->reloads, 1);
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, db->dir, &d), more = 0;
    if (r < 0)
        return err_neg(err, r, "list '%s'", db->dir);
    while (r == 0 && (more = dir_next(d, &e)) > 0)
        if (is_ulid(e->d_name) && !is_replaced(replaced, e->d_name))
            r = open_one(db, e->d_name, &fresh, err);
        else if (is_leftover(sv_cstr(e->d_name)))
            rm_rf(dirfd(d), e->d_name);
    closedir(d);
    if (more < 0)
        r = err_neg(err, more, "list '%s'", db->dir);
    if (r < 0) {
        blocks_release(&fresh);
        return r;
    }
    if (fresh.len)
        qsort(fresh.items, fresh.len, sizeof *fresh.items, by_time);
    pthread_mutex_lock(&db->blocks_lock);
    old = db->blocks;
    db->blocks = fresh;
    pthread_mutex_unlock(&db->blocks_lock);
    if (replaced)
        delete_blocks(db, replaced);
    blocks_release(&old);
    return 0;
}

int db_reopen(Tsdb *db, Err *err)
{
    Blocks old;
    pthread_mutex_lock(&db->blocks_lock);
    old = db->blocks;
    db->blocks = (Blocks){ 0 };
    pthread_mutex_unlock(&db->blocks_lock);
    int r = db_reload(db, NULL, err);
    if (r < 0) { /* the blocks as they were serve on */
        pthread_mutex_lock(&db->blocks_lock);
        db->blocks = old;
        pthread_mutex_unlock(&db->blocks_lock);
        return r;
    }
    blocks_release(&old);
    return 0;
}

/* ---- who reads ---- */

unsigned db_querier_begin(Tsdb *db)
{
    pthread_mutex_lock(&db->blocks_lock);
    unsigned epoch = db->epoch & 1;
    db->queriers[epoch]++;
    pthread_mutex_unlock(&db->blocks_lock);
    return epoch;
}

void db_querier_end(Tsdb *db, unsigned epoch)
{
    pthread_mutex_lock(&db->blocks_lock);
    if (--db->queriers[epoch] == 0)
        pthread_cond_signal(&db->querier_gone);
    pthread_mutex_unlock(&db->blocks_lock);
}

/* One waits at a time, and until all of an epoch have gone: so two epochs are enough. */
void db_wait_queriers(Tsdb *db)
{
    pthread_mutex_lock(&db->blocks_lock);
    unsigned old = db->epoch++ & 1;
    while (db->queriers[old])
        pthread_cond_wait(&db->querier_gone, &db->blocks_lock);
    pthread_mutex_unlock(&db->blocks_lock);
}

/* ---- opening ---- */

static void lock_path(const Tsdb *db, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.4000s/lock", db->dir);
}

/* 1: the file that is locked is the one of that name; 0: whoever held it has taken it away. */
static int lock_file(Tsdb *db, const char *path, bool *ret_fresh, Err *err)
{
    struct stat named, held;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC;
    closep(&db->lock_fd);
    db->lock_fd = open(path, flags | O_EXCL, 0644);
    *ret_fresh = db->lock_fd >= 0;
    if (db->lock_fd < 0 && errno == EEXIST)
        db->lock_fd = open(path, flags, 0644);
    if (db->lock_fd < 0)
        return err_errno(err, "open '%s'", path);
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_CONFLICT, 0,
                       "the storage in '%s' is in use by another process; stop that one first",
                       db->dir);
    return stat(path, &named) == 0 && fstat(db->lock_fd, &held) == 0 && named.st_ino == held.st_ino;
}

/* The file goes at the end of a run: one that is there says that the last run did not end well. */
static int take_lock(Tsdb *db, Err *err)
{
    enum { TRIES = 10 };
    char path[PATH_MAX];
    bool fresh;
    db->clean_start = -1;
    if (db->opt.no_lock)
        return 0;
    lock_path(db, path);
    for (int i = 0; i < TRIES; i++) {
        int r = lock_file(db, path, &fresh, err);
        if (r < 0)
            return r;
        if (r > 0) {
            db->locked = true;
            db->clean_start = fresh;
            return 0;
        }
    }
    return err_set(err, ERR_CONFLICT, 0, "'%s' is taken away by others all the time", path);
}

static void release_lock(Tsdb *db)
{
    char path[PATH_MAX];
    lock_path(db, path);
    if (db->locked)
        unlink(path);
    closep(&db->lock_fd);
}

static void init_stats(Tsdb *db)
{
    static const double cleanup[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };
    pthread_mutex_init(&db->log_stats.lock, NULL);
    db->times.compactions = spread_exponential(1, 2, 14);
    BlockChunks chunks = block_chunks_empty();
    db->times.chunk_ms = chunks.ms;
    db->times.chunk_samples = chunks.samples;
    db->times.chunk_bytes = chunks.bytes;
    db->times.cleanups.n_bounds = ARRAY_SIZE(cleanup);
    memcpy(db->times.cleanups.bounds, cleanup, sizeof cleanup);
}

void db_time(Tsdb *db, Spread *s, int64_t started_ns)
{
    pthread_mutex_lock(&db->log_stats.lock);
    spread_add(s, (double)(clock_mono_ns() - started_ns) / (double)NSEC_PER_SEC);
    pthread_mutex_unlock(&db->log_stats.lock);
}

static void set_defaults(TsdbOptions *o)
{
    o->block_ms = o->block_ms > 0 ? o->block_ms : BLOCK_MS;
    if (!o->retention_ms && !o->retention_bytes)
        o->retention_ms = 15LL * DAY_MS;
    if (o->block_max_ms <= 0)
        o->block_max_ms =
            MIN(o->retention_ms ? o->retention_ms / 10 : 31LL * DAY_MS, 31LL * DAY_MS);
    o->block_max_ms = MAX(o->block_max_ms, o->block_ms);
}

static int open_log(Tsdb *db, const char *dir, Wal **ret, Err *err)
{
    uint32_t bytes = db->opt.wal_segment_bytes;
    int r = wal_open_sized(dir, db->opt.wal_compress, bytes ? bytes : WAL_SEGMENT_BYTES, ret, err);
    if (r == 0)
        wal_count(*ret, &db->log_stats);
    return r;
}

static int open_late_log(Tsdb *db, Err *err)
{
    if (db->late_log || db->opt.out_of_order_ms <= 0)
        return 0;
    return open_log(db, db->late_dir, &db->late_log, err);
}

static int open_parts(Tsdb *db, Err *err)
{
    int r = mkdir_p(AT_FDCWD, db->dir, 0750);
    if (r < 0)
        return err_neg(err, r, "make storage folder '%s'", db->dir);
    if ((r = take_lock(db, err)) < 0 || (r = db_reload(db, NULL, err)) < 0 ||
        (r = exemplars_new(db->opt.exemplars_max, &db->exemplars, err)) < 0)
        return r;
    /* What blocks hold is not taken from the log again. */
    vec_foreach (b, &db->blocks)
        if (!(*b)->meta.out_of_order)
            db->head.min_valid = MAX(db->head.min_valid, (*b)->meta.max);
    int64_t started = clock_mono_ns();
    if ((r = db_replay(db, err)) < 0)
        return err_wrap(err, "read the log in '%s'", db->wal_dir);
    db->times.replay = (double)(clock_mono_ns() - started) / (double)NSEC_PER_SEC;
    if ((r = open_log(db, db->wal_dir, &db->wal, err)) < 0)
        return r;
    return open_late_log(db, err);
}

int tsdb_open(const TsdbOptions *opt, Tsdb **ret, Err *err)
{
    Tsdb *db = calloc(1, sizeof *db);
    if (!db)
        return err_nomem(err);
    db->opt = *opt;
    db->lock_fd = -1;
    set_defaults(&db->opt);
    snprintf(db->dir, sizeof db->dir, "%.3900s", opt->dir);
    snprintf(db->wal_dir, sizeof db->wal_dir, "%.3900s/wal", opt->dir);
    snprintf(db->late_dir, sizeof db->late_dir, "%.3900s/wbl", opt->dir);
    db->opt.dir = db->dir;
    pthread_mutex_init(&db->blocks_lock, NULL);
    pthread_mutex_init(&db->maintain, NULL);
    pthread_cond_init(&db->querier_gone, NULL);
    init_stats(db);
    int r = head_init(&db->head, err);
    if (r == 0)
        r = open_parts(db, err);
    if (r < 0) {
        tsdb_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

Tsdb *tsdb_close(Tsdb *db)
{
    if (!db)
        return NULL;
    wal_close(db->wal);
    wal_close(db->late_log);
    blocks_release(&db->blocks);
    head_free(&db->head);
    exemplars_free(db->exemplars);
    release_lock(db);
    pthread_mutex_destroy(&db->log_stats.lock);
    pthread_mutex_destroy(&db->blocks_lock);
    pthread_mutex_destroy(&db->maintain);
    pthread_cond_destroy(&db->querier_gone);
    free(db);
    return NULL;
}

void tsdb_reconfigure(Tsdb *db, int64_t retention_ms, uint64_t retention_bytes,
                      int64_t out_of_order_ms)
{
    Err err = { 0 };
    pthread_mutex_lock(&db->maintain);
    head_begin(&db->head);
    pthread_rwlock_wrlock(&db->head.lock); /* statistics look at them */
    db->opt.retention_ms = retention_ms;
    db->opt.retention_bytes = retention_bytes;
    db->opt.out_of_order_ms = out_of_order_ms;
    set_defaults(&db->opt);
    pthread_rwlock_unlock(&db->head.lock);
    if (open_late_log(db, &err) < 0) {
        log_error("storage: %s; out of order samples are refused", err.msg);
        db->opt.out_of_order_ms = 0;
    }
    head_end(&db->head);
    pthread_mutex_unlock(&db->maintain);
}

uint32_t db_commit(Tsdb *db)
{
    pthread_rwlock_rdlock(&db->head.lock);
    uint32_t n = db->head.commits;
    pthread_rwlock_unlock(&db->head.lock);
    return n;
}
