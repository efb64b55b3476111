/* checkpoint.c - the old part of the log, written anew without what blocks hold by now: series that
 * are still in the head, samples that are newer than the last block. */
#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "monitor/tsdb/db.h"

enum { FLUSH_BYTES = 1024 * 1024 };

typedef struct Checkpoint {
    Tsdb *db;
    Wal *out;
    int64_t min;
    Arena scratch;
    WalHandler handler;
    WalRecordType type; /* of the record at hand */
    Buf record;         /* what is kept of it */
    WalBase base;
} Checkpoint;

static bool is_alive(Checkpoint *c, uint64_t ref)
{
    pthread_rwlock_rdlock(&c->db->head.lock);
    bool alive = head_by_id(&c->db->head, ref) != NULL;
    pthread_rwlock_unlock(&c->db->head.lock);
    return alive;
}

static void open_record(Checkpoint *c, const WalBase *base)
{
    if (c->record.len)
        return;
    buf_putc(&c->record, (char)c->type);
    if (base) {
        c->base = *base;
        wal_put_base(&c->record, base);
    }
}

static int keep_series(void *ctx, uint64_t ref, Labels l, Err *err)
{
    Checkpoint *c = ctx;
    if (is_alive(c, ref)) {
        open_record(c, NULL);
        wal_put_series(&c->record, ref, l);
    }
    return 0;
}

static int keep_sample(void *ctx, uint64_t ref, int64_t t, double v, Err *err)
{
    Checkpoint *c = ctx;
    if (t >= c->min) {
        open_record(c, &(WalBase){ ref, t });
        wal_put_sample(&c->record, &c->base, ref, t, v);
    }
    return 0;
}

static int keep_histogram(void *ctx, uint64_t ref, int64_t t, const Histogram *h, Err *err)
{
    Checkpoint *c = ctx;
    if (t >= c->min) {
        open_record(c, &(WalBase){ ref, t });
        wal_put_histogram(&c->record, &c->base, ref, t, h);
    }
    return 0;
}

static int keep_exemplar(void *ctx, uint64_t ref, const Exemplar *e, Err *err)
{
    Checkpoint *c = ctx;
    if (e->t >= c->min) {
        open_record(c, &(WalBase){ ref, e->t });
        wal_put_exemplar(&c->record, &c->base, ref, e);
    }
    return 0;
}

static int keep_metadata(void *ctx, uint64_t ref, const MetricMetadata *m, Err *err)
{
    Checkpoint *c = ctx;
    if (is_alive(c, ref)) {
        open_record(c, NULL);
        wal_put_metadata(&c->record, ref, m);
    }
    return 0;
}

static int keep_tombstone(void *ctx, uint64_t ref, int64_t start, int64_t end, Err *err)
{
    Checkpoint *c = ctx;
    if (end >= c->min) {
        open_record(c, NULL);
        wal_put_tombstone(&c->record, ref, start, end);
    }
    return 0;
}

static int on_record(void *ctx, uint32_t segment, StrView rec, Err *err)
{
    Checkpoint *c = ctx;
    if (!rec.len)
        return 0;
    c->type = (WalRecordType)(uint8_t)rec.ptr[0];
    buf_clear(&c->record);
    int r = wal_record_decode(rec, &c->handler, &c->scratch, err);
    if (r == -ERR_CORRUPT) /* was told when it was replayed */
        r = 0;
    if (r < 0 || !c->record.len)
        return r;
    if (c->record.failed)
        return err_nomem(err);
    StrView kept = buf_view(&c->record);
    return wal_log(c->out, &kept, 1, err);
}

static int put_series(Checkpoint *c, const HeadSeries *s, Err *err)
{
    Label buf[LABELS_MAX];
    if (!c->record.len)
        buf_putc(&c->record, (char)WAL_SERIES);
    wal_put_series(&c->record, s->id, head_labels(&c->db->head, s, buf));
    if (c->record.failed)
        return err_nomem(err);
    if (c->record.len < FLUSH_BYTES)
        return 0;
    StrView full = buf_view(&c->record);
    int r = wal_log(c->out, &full, 1, err);
    buf_clear(&c->record);
    return r;
}

/* All that the head knows: what was to name some of them cannot be read. */
static int put_head_series(Checkpoint *c, Err *err)
{
    const Head *h = &c->db->head;
    int r = 0;
    buf_clear(&c->record);
    pthread_rwlock_rdlock(&c->db->head.lock);
    for (uint32_t p = 0; p < h->n_pages; p++)
        for (uint32_t i = 0; r == 0 && h->pages[p] && i < HEAD_PAGE; i++)
            if (h->pages[p][i])
                r = put_series(c, h->pages[p][i], err);
    pthread_rwlock_unlock(&c->db->head.lock);
    StrView rest = buf_view(&c->record);
    return r == 0 && rest.len ? wal_log(c->out, &rest, 1, err) : r;
}

/* Damage that came after the start costs the rest of its segment only: the segments behind it are
 * deleted when the checkpoint stands for them. */
static int read_folder(Checkpoint *c, const char *dir, uint32_t first, uint32_t last, Err *err)
{
    while (first <= last) {
        WalDamage damage = { 0 };
        int r = wal_read(dir, first, last, on_record, c, &damage, err);
        if (r < 0 || !damage.found)
            return r;
        log_warn(
            "log '%s': segment %u is damaged at byte %llu: %s; the checkpoint goes on with the "
            "next segment",
            dir, damage.segment, (unsigned long long)damage.offset, damage.why);
        atomic_fetch_add(&c->db->wal_corruptions, 1);
        if ((r = put_head_series(c, err)) < 0)
            return r;
        first = damage.segment + 1;
    }
    return 0;
}

/* Checkpoints older than `segment`, and unfinished ones. False: one stays. */
static bool remove_old(const char *dir, uint32_t segment)
{
    struct dirent *e;
    DIR *d;
    int more;
    bool ok = true;
    if (dir_list(AT_FDCWD, dir, &d) < 0)
        return false;
    while ((more = dir_next(d, &e)) > 0) {
        uint64_t n;
        StrView name = sv_cstr(e->d_name);
        if (!sv_starts(name, SV("checkpoint.")))
            continue;
        if (sv_ends(name, SV(".tmp")) ||
            (sv_to_u64(sv_skip(name, strlen("checkpoint.")), &n) == 0 && n < segment))
            ok &= rm_rf(dirfd(d), e->d_name) == 0;
    }
    closedir(d);
    return ok && more == 0;
}

static int fill(Checkpoint *c, uint32_t segment, Err *err)
{
    char old[PATH_MAX];
    uint32_t upto, first, last, from = 0;
    int r = 0;
    if (wal_last_checkpoint(c->db->wal_dir, old, sizeof old, &upto, NULL) == 0) {
        from = upto + 1;
        if (wal_segments(old, &first, &last, NULL) == 0)
            r = read_folder(c, old, first, last, err);
    }
    if (r == 0 && (r = wal_segments(c->db->wal_dir, &first, &last, err)) == 0)
        r = read_folder(c, c->db->wal_dir, MAX(first, from), segment, err);
    return r;
}

int db_checkpoint(Tsdb *db, uint32_t segment, int64_t min, Err *err)
{
    char tmp[PATH_MAX], final[PATH_MAX];
    Checkpoint c = { .db = db, .min = min };
    snprintf(final, sizeof final, "%.4000s/checkpoint.%08u", db->wal_dir, segment);
    snprintf(tmp, sizeof tmp, "%.4050s.tmp", final);
    rm_rf(AT_FDCWD, tmp);
    arena_init(&c.scratch, 256 * 1024 * 1024);
    c.handler =
        (WalHandler){ keep_series,    keep_sample, keep_histogram, keep_exemplar, keep_metadata,
                      keep_tombstone, &c };
    int r = wal_open(tmp, db->opt.wal_compress, &c.out, err);
    if (r == 0)
        wal_count(c.out, &db->log_stats);
    if (r == 0 && (r = fill(&c, segment, err)) == 0)
        r = wal_sync(c.out, err);
    wal_close(c.out);
    if (r == 0)
        r = folder_sync(tmp, err);
    arena_free(&c.scratch);
    buf_free(&c.record);
    if (r == 0 && (r = rename_durable(tmp, final)) < 0)
        r = err_neg(err, r, "put checkpoint '%s' in its place", final);
    if (r < 0) {
        atomic_fetch_add(&db->checkpoints_failed, 1);
        rm_rf(AT_FDCWD, tmp);
        return r;
    }
    atomic_fetch_add(&db->checkpoint_deletions, 1);
    if (!remove_old(db->wal_dir, segment))
        atomic_fetch_add(&db->checkpoint_deletions_failed, 1);
    return 0;
}
