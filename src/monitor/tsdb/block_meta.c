/* block_meta.c - meta.json of a block, and its identifier (ULID). */
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"
#include "monitor/tsdb/block_writer.h"

enum { META_MAX = 16 * 1024 * 1024 };

void block_meta_free(BlockMeta *m)
{
    vec_free(&m->sources);
    vec_free(&m->parents);
}

void ulid_new(int64_t now_ms, char ret[static ULID_SIZE])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    unsigned char chance[16];
    if (random_bytes(chance, sizeof chance) < 0)
        memset(chance, 0, sizeof chance); /* the time alone is unique enough */
    for (int i = 9; i >= 0; i--) {
        ret[i] = digits[now_ms & 31];
        now_ms >>= 5;
    }
    for (int i = 0; i < 16; i++)
        ret[10 + i] = digits[chance[i] & 31];
    ret[26] = 0;
}

static void read_descs(const Value *list, bool plain, BlockDescs *out, bool *failed)
{
    value_list_foreach (it, list) {
        BlockDesc d = { .min = value_int_or(value_get(it, SV("minTime")), 0),
                        .max = value_int_or(value_get(it, SV("maxTime")), 0) };
        sv_copy_cstr(plain ? value_str(it) : value_str(value_get(it, SV("ulid"))), d.ulid,
                     sizeof d.ulid);
        *failed |= !vec_push(out, d);
    }
}

static uint64_t stat_of(const Value *v, StrView name)
{
    return (uint64_t)value_int_or(value_get(value_get(v, SV("stats")), name), 0);
}

int block_meta_read(const char *path, BlockMeta *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value v;
    *ret = (BlockMeta){ 0 };
    arena_init(&a, 8 * META_MAX);
    int r = file_read(AT_FDCWD, path, META_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read '%s'", path);
    if ((r = json_decode(buf_view(&text), &a, NULL, &v, err)) < 0)
        return err_wrap(err, "'%s'", path);
    const Value *c = value_get(&v, SV("compaction"));
    int64_t version = value_int_or(value_get(&v, SV("version")), 0);
    if (!sv_copy_cstr(value_path_str(&v, "ulid"), ret->ulid, sizeof ret->ulid) || !*ret->ulid)
        return err_set(err, ERR_CORRUPT, 0, "'%s': ulid: expected 26 characters", path);
    if (version != 1)
        return err_set(err, ERR_UNSUPPORTED, 0, "'%s': version: expected 1", path);
    ret->min = value_int_or(value_get(&v, SV("minTime")), 0);
    ret->max = value_int_or(value_get(&v, SV("maxTime")), 0);
    ret->samples = stat_of(&v, SV("numSamples"));
    ret->floats = stat_of(&v, SV("numFloatSamples"));
    ret->histograms = stat_of(&v, SV("numHistogramSamples"));
    ret->series = stat_of(&v, SV("numSeries"));
    ret->chunks = stat_of(&v, SV("numChunks"));
    ret->tombstones = stat_of(&v, SV("numTombstones"));
    ret->level = (unsigned)value_int_or(value_get(c, SV("level")), 1);
    ret->deletable = value_bool_or(value_get(c, SV("deletable")), false);
    ret->failed = value_bool_or(value_get(c, SV("failed")), false);
    value_list_foreach (it, value_get(c, SV("hints")))
        ret->out_of_order |= sv_eq(value_str(it), SV("from-out-of-order"));
    bool failed = false;
    read_descs(value_get(c, SV("sources")), true, &ret->sources, &failed);
    read_descs(value_get(c, SV("parents")), false, &ret->parents, &failed);
    if (!failed)
        return 0;
    block_meta_free(ret);
    return err_nomem(err);
}

static void put_stat(Arena *a, Value *stats, StrView name, uint64_t n)
{
    if (n)
        value_set(a, stats, name, value_int((int64_t)n));
}

static Value compaction_value(Arena *a, const BlockMeta *m)
{
    Value c = value_map(), sources = value_list(), parents = value_list(), hints = value_list();
    vec_foreach (s, &m->sources)
        value_push(a, &sources, value_sv(sv_cstr(s->ulid)));
    vec_foreach (p, &m->parents) {
        Value d = value_map();
        value_set(a, &d, SV("ulid"), value_sv(sv_cstr(p->ulid)));
        value_set(a, &d, SV("minTime"), value_int(p->min));
        value_set(a, &d, SV("maxTime"), value_int(p->max));
        value_push(a, &parents, d);
    }
    value_set(a, &c, SV("level"), value_int(m->level));
    if (m->sources.len)
        value_set(a, &c, SV("sources"), sources);
    if (m->deletable)
        value_set(a, &c, SV("deletable"), value_bool(true));
    if (m->parents.len)
        value_set(a, &c, SV("parents"), parents);
    if (m->failed)
        value_set(a, &c, SV("failed"), value_bool(true));
    if (m->out_of_order) {
        value_push(a, &hints, value_sv(SV("from-out-of-order")));
        value_set(a, &c, SV("hints"), hints);
    }
    return c;
}

bool block_meta_value(const BlockMeta *m, Arena *a, Value *ret)
{
    Value stats = value_map();
    *ret = value_map();
    put_stat(a, &stats, SV("numSamples"), m->samples);
    put_stat(a, &stats, SV("numFloatSamples"), m->floats);
    put_stat(a, &stats, SV("numHistogramSamples"), m->histograms);
    put_stat(a, &stats, SV("numSeries"), m->series);
    put_stat(a, &stats, SV("numChunks"), m->chunks);
    put_stat(a, &stats, SV("numTombstones"), m->tombstones);
    value_set(a, ret, SV("ulid"), value_sv(sv_cstr(m->ulid)));
    value_set(a, ret, SV("minTime"), value_int(m->min));
    value_set(a, ret, SV("maxTime"), value_int(m->max));
    value_set(a, ret, SV("stats"), stats);
    value_set(a, ret, SV("compaction"), compaction_value(a, m));
    return value_set(a, ret, SV("version"), value_int(1));
}

int block_meta_write(const char *path, const BlockMeta *m, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value v;
    arena_init(&a, 0);
    if (!block_meta_value(m, &a, &v))
        return err_nomem(err);
    json_encode_pretty(&v, 1, &text);
    if (text.failed)
        return err_nomem(err);
    int r = file_write_atomic(AT_FDCWD, path, buf_view(&text), 0644, true);
    return r < 0 ? err_neg(err, r, "write '%s'", path) : 0;
}
