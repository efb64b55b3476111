/* replay.c - the head out of the log: the last checkpoint, then the segments behind it. What is
 * torn at the end is cut off, so that writing goes on behind the last good record. */
#include <limits.h>
#include <stdio.h>

#include "base/log.h"
#include "monitor/tsdb/db.h"

typedef struct Replay {
    Tsdb *db;
    Arena scratch;
    WalHandler handler;
    uint32_t *numbers; /* the log's number → the head's, where they differ; by hash */
    uint64_t *keys;
    size_t n_numbers, cap_numbers;
    uint64_t unknown, samples;
    bool late; /* reading the log of late samples */
} Replay;

/* ---- numbers: a series that the log knows by two is one here ---- */

static bool numbers_put(Replay *rp, uint64_t key, uint32_t id)
{
    if (rp->n_numbers * 2 >= rp->cap_numbers) {
        size_t cap = rp->cap_numbers ? rp->cap_numbers * 2 : 64;
        uint64_t *keys = calloc(cap, sizeof *keys), *old_keys = rp->keys;
        uint32_t *numbers = calloc(cap, sizeof *numbers), *old = rp->numbers;
        if (!keys || !numbers) {
            free(keys);
            free(numbers);
            return false;
        }
        size_t n = rp->cap_numbers;
        rp->keys = keys;
        rp->numbers = numbers;
        rp->cap_numbers = cap;
        rp->n_numbers = 0;
        for (size_t i = 0; i < n; i++)
            if (old_keys[i] && !numbers_put(rp, old_keys[i], old[i]))
                return false; /* cannot be: the new table is larger */
        free(old_keys);
        free(old);
    }
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 20) & (rp->cap_numbers - 1);
    while (rp->keys[i] && rp->keys[i] != key)
        i = (i + 1) & (rp->cap_numbers - 1);
    rp->n_numbers += !rp->keys[i];
    rp->keys[i] = key;
    rp->numbers[i] = id;
    return true;
}

static HeadSeries *series_of(Replay *rp, uint64_t ref)
{
    if (rp->n_numbers) {
        size_t i = (size_t)(ref * 0x9e3779b97f4a7c15ULL >> 20) & (rp->cap_numbers - 1);
        for (; rp->keys[i]; i = (i + 1) & (rp->cap_numbers - 1))
            if (rp->keys[i] == ref)
                return head_by_id(&rp->db->head, rp->numbers[i]);
    }
    HeadSeries *s = head_by_id(&rp->db->head, ref);
    if (!s)
        rp->unknown++;
    return s;
}

/* ---- what records say ---- */

static int on_series(void *ctx, uint64_t ref, Labels l, Err *err)
{
    Replay *rp = ctx;
    bool fresh;
    HeadSeries *s = head_series(&rp->db->head, l, ref, &fresh);
    if (!s || (s->id != ref && !numbers_put(rp, ref, s->id)))
        return err_nomem(err);
    return 0;
}

/* What is not newer than the series was late. Those are in the log of late samples, until they are
 * in a block. */
static bool is_wanted(const Replay *rp, const HeadSeries *s, int64_t t)
{
    return s && (rp->late ? t != s->max_t : t > s->max_t && t >= rp->db->head.min_valid);
}

static int on_sample(void *ctx, uint64_t ref, int64_t t, double v, Err *err)
{
    Replay *rp = ctx;
    HeadSeries *s = series_of(rp, ref);
    rp->samples++;
    if (!is_wanted(rp, s, t))
        return 0;
    int r = rp->late ? head_put_late(&rp->db->head, s, t, v, NULL)
                     : head_put_float(&rp->db->head, s, t, v);
    return r < 0 ? err_nomem(err) : 0;
}

static int on_histogram(void *ctx, uint64_t ref, int64_t t, const Histogram *h, Err *err)
{
    Replay *rp = ctx;
    if (is_stale_nan(h->sum))
        return on_sample(ctx, ref, t, h->sum, err);
    HeadSeries *s = series_of(rp, ref);
    rp->samples++;
    if (!is_wanted(rp, s, t))
        return 0;
    int r = rp->late ? head_put_late(&rp->db->head, s, t, h->sum, h)
                     : head_put_histogram(&rp->db->head, s, t, h);
    return r < 0 ? err_nomem(err) : 0;
}

static int on_exemplar(void *ctx, uint64_t ref, const Exemplar *e, Err *err)
{
    Replay *rp = ctx;
    Label buf[LABELS_MAX];
    HeadSeries *s = series_of(rp, ref);
    if (s)
        exemplars_add(rp->db->exemplars, head_labels(&rp->db->head, s, buf), e);
    return 0;
}

static int on_tombstone(void *ctx, uint64_t ref, int64_t start, int64_t end, Err *err)
{
    Replay *rp = ctx;
    HeadSeries *s = series_of(rp, ref);
    if (!s)
        return 0;
    if (!s->deleted && !(s->deleted = calloc(1, sizeof *s->deleted)))
        return err_nomem(err);
    return intervals_add(s->deleted, start, end) ? 0 : err_nomem(err);
}

/* A record that is whole but makes no sense is told and passed over: what follows it is good. */
static int on_record(void *ctx, uint32_t segment, StrView rec, Err *err)
{
    Replay *rp = ctx;
    Err own = { 0 };
    int r = wal_record_decode(rec, &rp->handler, &rp->scratch, &own);
    if (r == -ERR_CORRUPT) {
        log_warn("log segment %u: %s; the record is passed over", segment, own.msg);
        atomic_fetch_add(&rp->db->wal_corruptions, 1);
        return 0;
    }
    if (r < 0)
        *err = own;
    return r;
}

static int read_folder(Replay *rp, const char *dir, uint32_t first, uint32_t last, Err *err)
{
    WalDamage damage;
    int r = wal_read(dir, first, last, on_record, rp, &damage, err);
    if (r < 0 || !damage.found)
        return r;
    log_warn("log '%s': segment %u is damaged at byte %llu: %s; what is behind it is cut off", dir,
             damage.segment, (unsigned long long)damage.offset, damage.why);
    atomic_fetch_add(&rp->db->wal_corruptions, 1);
    return wal_repair(dir, &damage, err);
}

static int read_late_log(Replay *rp, Err *err)
{
    uint32_t first, last;
    if (wal_segments(rp->db->late_dir, &first, &last, NULL) < 0)
        return 0;
    rp->late = true;
    return read_folder(rp, rp->db->late_dir, first, last, err);
}

int db_replay(Tsdb *db, Err *err)
{
    Replay rp = { .db = db };
    char checkpoint[PATH_MAX];
    uint32_t first, last, upto, from = 0;
    int r = 0;
    arena_init(&rp.scratch, 256 * 1024 * 1024);
    rp.handler = (WalHandler){ .series = on_series,
                               .sample = on_sample,
                               .histogram = on_histogram,
                               .exemplar = on_exemplar,
                               .tombstone = on_tombstone,
                               .ctx = &rp };
    if (wal_last_checkpoint(db->wal_dir, checkpoint, sizeof checkpoint, &upto, NULL) == 0) {
        from = upto + 1;
        if ((r = wal_segments(checkpoint, &first, &last, NULL)) == 0)
            r = read_folder(&rp, checkpoint, first, last, err);
        r = r == -ERR_NOT_FOUND ? 0 : r;
    }
    if (r == 0 && wal_segments(db->wal_dir, &first, &last, NULL) == 0 && last >= from)
        r = read_folder(&rp, db->wal_dir, MAX(first, from), last, err);
    if (r == 0)
        r = read_late_log(&rp, err);
    if (rp.unknown)
        log_info("log: %llu entries of series that it does not name were passed over",
                 (unsigned long long)rp.unknown);
    arena_free(&rp.scratch);
    free(rp.keys);
    free(rp.numbers);
    return r;
}
