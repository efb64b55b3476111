/* maintain.c - what is due from time to time: the head's old part becomes blocks, small blocks
 * become larger ones, old ones go, the log is shortened. Plans are made by pure functions over
 * metadata. */
#include "monitor/tsdb/maintain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { RANGES_MAX = 10, RANGE_FACTOR = 3, STONES_PERCENT = 5 };

static int64_t floor_to(int64_t t, int64_t step)
{
    int64_t rest = t % step;
    return t - (rest < 0 ? rest + step : rest);
}

/* ---- the head ---- */

/* The next whole range that the head can spare: half a block's length stays for stragglers. */
static bool next_cut(Tsdb *db, int64_t *ret_min, int64_t *ret_max)
{
    Head *h = &db->head;
    int64_t block = db->opt.block_ms;
    pthread_rwlock_rdlock(&h->lock);
    int64_t min = h->min_time, max = h->max_time;
    pthread_rwlock_unlock(&h->lock);
    if (min == INT64_MAX || max - min <= block + block / 2)
        return false;
    *ret_min = floor_to(min, block);
    *ret_max = *ret_min + block;
    return true;
}

/* From here on no sample before `t` enters the head. */
static void seal_range(Tsdb *db, int64_t t)
{
    head_begin(&db->head);
    db->head.min_valid = MAX(db->head.min_valid, t);
    head_end(&db->head);
}

static int shorten_log(Tsdb *db, int64_t min, Err *err)
{
    uint32_t first, last;
    head_begin(&db->head);
    int r = wal_next_segment(db->wal, err);
    head_end(&db->head);
    if (r < 0 || (r = wal_segments(db->wal_dir, &first, &last, err)) < 0)
        return r;
    /* The last segment is being written; a third stays, so that this is not done all the time. */
    last = last > first ? first + (last - 1 - first) * 2 / 3 : first;
    if (last <= first)
        return 0;
    int64_t started = clock_mono_ns();
    atomic_fetch_add(&db->log_truncations, 1);
    atomic_fetch_add(&db->checkpoints, 1);
    r = db_checkpoint(db, last, min, err);
    if (r == 0 && (r = wal_truncate(db->wal_dir, last + 1, err)) < 0)
        atomic_fetch_add(&db->log_truncations_failed, 1);
    db_time(db, &db->times.log_truncations, started);
    return r;
}

/* What has gone into a block leaves the head. */
static void collect_head(Tsdb *db, int64_t max)
{
    db_wait_queriers(db);
    int64_t started = clock_mono_ns();
    head_truncate(&db->head, max);
    db_time(db, &db->times.head_collections, started);
}

static int cut_head(Tsdb *db, Err *err)
{
    int64_t min, max;
    bool made, any = false;
    int r = 0;
    while (r == 0 && next_cut(db, &min, &max)) {
        seal_range(db, max);
        atomic_fetch_add(&db->truncations, 1);
        if ((r = db_write_head(db, db->dir, min, max, &made, err)) < 0 ||
            (r = db_reload(db, NULL, err)) < 0) {
            atomic_fetch_add(&db->truncations_failed, 1);
            break;
        }
        collect_head(db, max);
        any = true;
    }
    return r == 0 && any ? shorten_log(db, max, err) : r;
}

/* Late samples that no block of the head's can take any more go into blocks of their own, which
 * then overlap others and are merged with them. Nothing is appended meanwhile. */
static int cut_late(Tsdb *db, int64_t now, Err *err)
{
    Head *h = &db->head;
    int64_t block = db->opt.block_ms;
    bool made;
    int r = 0;
    if (!db->late_log || now - db->late_cut < block)
        return 0;
    db->late_cut = now;
    head_begin(h);
    int64_t end = h->min_valid;
    if (h->late_min < end) {
        for (int64_t t = floor_to(h->late_min, block); r == 0 && t < end; t += block)
            r = db_write_head(db, db->dir, t, MIN(t + block, end), &made, err);
        if (r == 0 && (r = db_reload(db, NULL, err)) == 0) {
            db_wait_queriers(db);
            head_drop_late(h, end);
            if (h->late_min == INT64_MAX && (r = wal_next_segment(db->late_log, err)) == 0)
                r = wal_truncate(db->late_dir, wal_segment(db->late_log), err);
        }
    }
    head_end(h);
    return r;
}

/* ---- which blocks to merge ---- */

/* Blocks that overlap their neighbours: always merged first. */
static bool plan_overlapping(const Blocks *all, Blocks *ret)
{
    int64_t max = INT64_MIN;
    for (size_t i = 0; i < all->len; i++) {
        Block *b = all->items[i];
        if (i && b->meta.min < max) {
            if (!ret->len && !vec_push(ret, all->items[i - 1]))
                return false;
            if (!vec_push(ret, b))
                return false;
        } else if (ret->len) {
            return true;
        }
        max = MAX(max, b->meta.max);
    }
    return true;
}

/* Blocks that lie inside one aligned range of `range`, when the range is full or over. */
static bool plan_range(const Blocks *all, size_t n, int64_t range, Blocks *ret)
{
    int64_t newest = n ? all->items[n - 1]->meta.max : 0;
    for (size_t i = 0; i < n;) {
        int64_t begin = floor_to(all->items[i]->meta.min, range), end = begin + range;
        size_t first = i;
        while (i < n && all->items[i]->meta.min >= begin && all->items[i]->meta.max <= end)
            i++;
        bool full = i > first && (all->items[i - 1]->meta.max == end || newest > end);
        bool failed = false;
        for (size_t k = first; k < i; k++)
            failed |= all->items[k]->meta.failed;
        if (i - first > 1 && full && !failed) {
            for (size_t k = first; k < i; k++)
                if (!vec_push(ret, all->items[k]))
                    return false;
            return true;
        }
        i += i == first;
    }
    return true;
}

/* A large block of which much is deleted is written anew by itself. */
static bool plan_deleted(const Blocks *all, size_t n, int64_t large, Blocks *ret)
{
    for (size_t i = 0; i < n; i++) {
        const BlockMeta *m = &all->items[i]->meta;
        if (m->max - m->min >= large && m->series &&
            m->tombstones * 100 / m->series >= STONES_PERCENT)
            return vec_push(ret, all->items[i]);
    }
    return true;
}

bool maintain_plan(const Blocks *all, const TsdbOptions *opt, Blocks *ret)
{
    int64_t range = opt->block_ms, largest = range;
    if (!plan_overlapping(all, ret))
        return false;
    /* The newest block stays as it is: it may still be taken for a backup. */
    size_t n = all->len ? all->len - 1 : 0;
    for (unsigned i = 1; i < RANGES_MAX && !ret->len; i++) {
        range *= RANGE_FACTOR;
        if (range > opt->block_max_ms)
            break;
        largest = range;
        if (!plan_range(all, n, range, ret))
            return false;
    }
    return ret->len || plan_deleted(all, n, largest, ret);
}

static bool overlaps(const Blocks *plan)
{
    for (size_t i = 1; i < plan->len; i++)
        if (plan->items[i]->meta.min < plan->items[i - 1]->meta.max)
            return true;
    return false;
}

static int compact(Tsdb *db, Err *err)
{
    for (;;) {
        Blocks all, plan = { 0 };
        int r = db_blocks(db, INT64_MIN, INT64_MAX, &all, err);
        if (r < 0)
            return r;
        if (!maintain_plan(&all, &db->opt, &plan))
            r = err_nomem(err);
        bool any = plan.len > 0;
        if (r == 0 && any && (r = db_merge_blocks(db, &plan, err)) == 0)
            r = db_reload(db, &plan, err);
        if (r == 0 && any && overlaps(&plan))
            atomic_fetch_add(&db->compactions_vertical, 1);
        vec_free(&plan);
        blocks_release(&all);
        if (r < 0 || !any)
            return r;
    }
}

/* ---- what goes ---- */

bool maintain_expired(const Blocks *all, const TsdbOptions *opt, uint64_t log_bytes, Blocks *ret)
{
    int64_t newest = INT64_MIN;
    uint64_t bytes = log_bytes;
    vec_foreach (b, all)
        newest = MAX(newest, (*b)->meta.max);
    /* From the newest to the oldest: once the bound is passed, all older ones go. */
    bool over = false;
    for (size_t i = all->len; i-- > 0;) {
        Block *b = all->items[i];
        bytes += b->bytes;
        over |= opt->retention_bytes && bytes > opt->retention_bytes;
        bool old = opt->retention_ms && newest - b->meta.max >= opt->retention_ms;
        if ((over || old || b->meta.deletable) && !vec_push(ret, b))
            return false;
    }
    return true;
}

static void count_retentions(Tsdb *db, const Blocks *all, const Blocks *gone)
{
    int64_t newest = INT64_MIN;
    bool time = false, size = false;
    vec_foreach (b, all)
        newest = MAX(newest, (*b)->meta.max);
    vec_foreach (b, gone) {
        bool old = db->opt.retention_ms && newest - (*b)->meta.max >= db->opt.retention_ms;
        time |= old;
        size |= !old && !(*b)->meta.deletable;
    }
    atomic_fetch_add(&db->time_retentions, time);
    atomic_fetch_add(&db->size_retentions, size);
}

static int expire(Tsdb *db, Err *err)
{
    Blocks all, gone = { 0 };
    int r = db_blocks(db, INT64_MIN, INT64_MAX, &all, err);
    if (r < 0)
        return r;
    if (!maintain_expired(&all, &db->opt, wal_bytes(db->wal_dir), &gone))
        r = err_nomem(err);
    if (r == 0 && gone.len)
        r = db_reload(db, &gone, err);
    if (r == 0)
        count_retentions(db, &all, &gone);
    vec_free(&gone);
    blocks_release(&all);
    return r;
}

int tsdb_maintain(Tsdb *db, int64_t now, Err *err)
{
    pthread_mutex_lock(&db->maintain);
    atomic_fetch_add(&db->compactions_triggered, 1);
    int r = cut_head(db, err);
    if (r == 0)
        r = cut_late(db, now, err);
    if (r == 0)
        r = compact(db, err);
    if (r < 0)
        atomic_fetch_add(&db->compactions_failed, 1);
    /* Also after a failure: on a full disk this is what makes room. */
    int x = expire(db, r == 0 ? err : &(Err){ 0 });
    pthread_mutex_unlock(&db->maintain);
    return r < 0 ? r : x;
}

/* ---- deletions ---- */

typedef struct Range {
    int64_t start, end;
    const MatcherSet *sets;
    unsigned n_sets;
} Range;

static int delete_in_block(Block *b, const Range *g, Err *err)
{
    int r = 0;
    size_t before = b->tombstones.len;
    for (unsigned i = 0; i < g->n_sets && r == 0; i++) {
        _cleanup_ids_ Ids ids = { 0 };
        r = index_select(&block_index_ops, &b->index, g->sets[i].items, g->sets[i].len, &ids, err);
        for (size_t k = 0; k < ids.len && r == 0; k++)
            r = block_delete(b, ids.items[k], MAX(g->start, b->meta.min),
                             MIN(g->end, b->meta.max - 1), err);
    }
    return r == 0 && b->tombstones.len >= before ? block_write_tombstones(b, err) : r;
}

static int delete_series(Tsdb *db, uint32_t id, const Range *g, Buf *record, Err *err)
{
    HeadSeries *s = head_by_id(&db->head, id);
    if (!s->deleted && !(s->deleted = calloc(1, sizeof *s->deleted)))
        return err_nomem(err);
    /* Only what is there: samples that come later are not meant. */
    int64_t end = MIN(g->end, MAX(s->max_t, s->late ? s->late->t[s->late->len - 1] : INT64_MIN));
    if (g->start > end)
        return 0;
    wal_put_tombstone(record, id, g->start, end);
    return intervals_add(s->deleted, g->start, end) ? 0 : err_nomem(err);
}

static int delete_in_head(Tsdb *db, const Range *g, Err *err)
{
    _cleanup_buf_ Buf record = BUF_INIT;
    Head *h = &db->head;
    int r = 0;
    buf_putc(&record, (char)WAL_TOMBSTONES);
    head_begin(h);
    pthread_rwlock_wrlock(&h->lock);
    for (unsigned i = 0; i < g->n_sets && r == 0; i++) {
        _cleanup_ids_ Ids ids = { 0 };
        r = index_select(&head_index, h, g->sets[i].items, g->sets[i].len, &ids, err);
        for (size_t k = 0; k < ids.len && r == 0; k++)
            r = delete_series(db, ids.items[k], g, &record, err);
    }
    pthread_rwlock_unlock(&h->lock);
    if (r == 0 && record.len > 1) {
        StrView rec = buf_view(&record);
        r = record.failed ? err_nomem(err) : wal_log(db->wal, &rec, 1, err);
    }
    head_end(h);
    return r;
}

int tsdb_delete(Tsdb *db, int64_t start, int64_t end, const MatcherSet *sets, unsigned n_sets,
                Err *err)
{
    Blocks blocks;
    Range g = { start, end, sets, n_sets };
    pthread_mutex_lock(&db->maintain);
    int r = db_blocks(db, start, end, &blocks, err);
    if (r == 0) {
        /* A block may be read meanwhile: it is changed as a copy of its own, opened anew. */
        vec_foreach (b, &blocks) {
            Block *own = NULL;
            if (r == 0 && (r = block_open((*b)->dir, &own, err)) == 0)
                r = delete_in_block(own, &g, err);
            block_unref(own);
        }
        blocks_release(&blocks);
        if (r == 0)
            r = db_reopen(db, err);
    }
    if (r == 0)
        r = delete_in_head(db, &g, err);
    pthread_mutex_unlock(&db->maintain);
    return r;
}

int tsdb_clean_tombstones(Tsdb *db, Err *err)
{
    Blocks all;
    int64_t started = clock_mono_ns();
    pthread_mutex_lock(&db->maintain);
    int r = db_blocks(db, INT64_MIN, INT64_MAX, &all, err);
    if (r == 0) {
        vec_foreach (b, &all) {
            Blocks one = { .items = b, .len = 1 };
            if (r < 0 || !(*b)->tombstones.len)
                continue;
            if ((r = db_merge_blocks(db, &one, err)) == 0 && (r = db_reload(db, &one, err)) == 0)
                atomic_fetch_add(&db->tombstones_cleaned, 1);
        }
        blocks_release(&all);
    }
    pthread_mutex_unlock(&db->maintain);
    db_time(db, &db->times.cleanups, started);
    return r;
}

/* ---- snapshots ---- */

static int link_file(const char *from, const char *to, const char *name, Err *err)
{
    char a[PATH_MAX], b[PATH_MAX];
    snprintf(a, sizeof a, "%.3900s/%s", from, name);
    snprintf(b, sizeof b, "%.3900s/%s", to, name);
    if (link(a, b) < 0 && errno != ENOENT)
        return err_errno(err, "link '%s' to '%s'", a, b);
    return 0;
}

static int snapshot_block(const Block *b, const char *parent, Err *err)
{
    char dir[PATH_MAX], chunks[PATH_MAX], name[32];
    snprintf(dir, sizeof dir, "%.3900s/%s", parent, b->meta.ulid);
    snprintf(chunks, sizeof chunks, "%.4000s/chunks", dir);
    int r = mkdir_p(AT_FDCWD, chunks, 0750);
    if (r < 0)
        return err_neg(err, r, "make '%s'", chunks);
    for (size_t i = 1; r == 0 && i <= b->segments.len; i++) {
        snprintf(name, sizeof name, "chunks/%06zu", i);
        r = link_file(b->dir, dir, name, err);
    }
    static const char *const files[] = { "index", "meta.json", "tombstones" };
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
        r = link_file(b->dir, dir, files[i], err);
    return r;
}

int tsdb_snapshot(Tsdb *db, bool with_head, char ret_name[static 64], Err *err)
{
    char dir[PATH_MAX], stamp[24], ulid[ULID_SIZE];
    struct timespec now;
    struct tm tm;
    Blocks all;
    bool made;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    ulid_new(now.tv_sec * 1000 + now.tv_nsec / 1000000, ulid);
    snprintf(ret_name, 64, "%s-%.16s", stamp, ulid + 10);
    snprintf(dir, sizeof dir, "%.3900s/snapshots/%s", db->dir, ret_name);
    int r = mkdir_p(AT_FDCWD, dir, 0750);
    if (r < 0)
        return err_neg(err, r, "make '%s'", dir);
    pthread_mutex_lock(&db->maintain);
    if ((r = db_blocks(db, INT64_MIN, INT64_MAX, &all, err)) == 0) {
        vec_foreach (b, &all)
            r = r < 0 ? r : snapshot_block(*b, dir, err);
        blocks_release(&all);
    }
    if (r == 0 && with_head && db->head.min_time != INT64_MAX)
        r = db_write_head(db, dir, db->head.min_time, db->head.max_time + 1, &made, err);
    pthread_mutex_unlock(&db->maintain);
    if (r < 0)
        rm_rf(AT_FDCWD, dir);
    return r;
}
