/* block_writer.c - chunk segments as series come, and the index behind them at the end. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/map.h"
#include "monitor/tsdb/block_writer.h"
#include "monitor/tsdb/wal.h"
#include "monitor/tsdb/wire.h"

enum { FLUSH_BYTES = 1024 * 1024, SEGMENT_HEADER = 8 };

/* Series of one label pair while the block is written. */
typedef struct Pair {
    uint64_t key; /* symbols of name and value + 1; 0: free */
    Ids ids;
} Pair;

/* A file that is written from its start to its end. */
typedef struct Out {
    int fd;
    uint64_t flushed;
    Buf buf;
    char path[PATH_MAX];
} Out;

struct BlockWriter {
    char tmp[PATH_MAX], final[PATH_MAX];
    Out chunks, index;
    uint32_t segment;
    const StrView *symbols;
    size_t n_symbols;
    Map numbers; /* symbol → its number + 1 */
    Pair *pairs;
    size_t n_pairs, cap_pairs;
    Ids all;
    uint64_t series_at; /* where the series section begins */
    uint64_t symbols_at;
    BlockMeta stats;
    BlockChunks *chunk_stats; /* NULL: nobody counts */
    ChunkMetas metas;         /* of the series at hand */
    Buf entry;
};

/* ---- files ---- */

static int out_open(Out *o, const char *path, Err *err)
{
    snprintf(o->path, sizeof o->path, "%s", path);
    o->flushed = 0;
    buf_clear(&o->buf);
    o->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    return o->fd < 0 ? err_errno(err, "make '%s'", path) : 0;
}

static uint64_t out_at(const Out *o)
{
    return o->flushed + o->buf.len;
}

static int out_flush(Out *o, size_t when, Err *err)
{
    if (o->buf.failed)
        return err_nomem(err);
    if (o->buf.len <= when)
        return 0;
    int r = fd_write_full(o->fd, o->buf.ptr, o->buf.len);
    if (r < 0)
        return err_neg(err, r, "write '%s'", o->path);
    o->flushed += o->buf.len;
    buf_clear(&o->buf);
    return 0;
}

static int out_close(Out *o, Err *err)
{
    if (o->fd < 0)
        return 0;
    int r = out_flush(o, 0, err);
    if (r == 0 && fsync(o->fd) < 0)
        r = err_errno(err, "sync '%s'", o->path);
    close(o->fd);
    o->fd = -1;
    return r;
}

static int open_segment(BlockWriter *w, Err *err)
{
    char path[PATH_MAX];
    int r = out_close(&w->chunks, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%.4000s/chunks/%06u", w->tmp, ++w->segment);
    if ((r = out_open(&w->chunks, path, err)) < 0)
        return r;
    wire_put_be32(&w->chunks.buf, 0x85BD40DD);
    wire_put_be32(&w->chunks.buf, 0x01000000);
    return 0;
}

/* ---- opening ---- */

static bool number_symbols(BlockWriter *w)
{
    for (size_t i = 0; i < w->n_symbols; i++)
        if (!map_set(&w->numbers, w->symbols[i], (void *)(i + 1), NULL))
            return false;
    return true;
}

/* Puts a section: its length in front, its CRC-32C behind; `begin` is where its content begins,
 * four bytes behind the place of the length. Only for what is still in the buffer. */
static void end_section(Out *o, uint64_t begin)
{
    if (o->buf.failed)
        return;
    size_t at = (size_t)(begin - o->flushed);
    uint32_t n = (uint32_t)(o->buf.len - at), be = __builtin_bswap32(n);
    memcpy(o->buf.ptr + at - 4, &be, 4);
    wire_put_be32(&o->buf, crc32c(0, o->buf.ptr + at, n));
}

static void write_symbols(BlockWriter *w)
{
    Buf *b = &w->index.buf;
    wire_put_be32(b, 0xBAAAD700);
    wire_put_u8(b, 2);
    w->symbols_at = out_at(&w->index);
    wire_put_be32(b, 0);
    uint64_t begin = out_at(&w->index);
    wire_put_be32(b, (uint32_t)w->n_symbols);
    for (size_t i = 0; i < w->n_symbols; i++)
        wire_put_text(b, w->symbols[i]);
    end_section(&w->index, begin);
    w->series_at = out_at(&w->index);
}

int block_writer_new(const char *parent, const char *ulid, const StrView *symbols, size_t n_symbols,
                     BlockWriter **ret, Err *err)
{
    char path[PATH_MAX];
    BlockWriter *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->chunks.fd = w->index.fd = -1;
    w->symbols = symbols;
    w->n_symbols = n_symbols;
    snprintf(w->final, sizeof w->final, "%.3900s/%s", parent, ulid);
    snprintf(w->tmp, sizeof w->tmp, "%.4000s.tmp-for-creation", w->final);
    snprintf(path, sizeof path, "%.4000s/chunks", w->tmp);
    int r = rm_rf(AT_FDCWD, w->tmp);
    if (r == 0)
        r = mkdir_p(AT_FDCWD, path, 0750);
    if (r < 0)
        r = err_neg(err, r, "make '%s'", path);
    snprintf(path, sizeof path, "%.4000s/index", w->tmp);
    if (r < 0 || (r = out_open(&w->index, path, err)) < 0 || (r = open_segment(w, err)) < 0 ||
        (r = number_symbols(w) ? 0 : err_nomem(err)) < 0) {
        block_writer_abort(w);
        return r;
    }
    write_symbols(w);
    *ret = w;
    return 0;
}

BlockChunks block_chunks_empty(void)
{
    return (BlockChunks){ spread_exponential(100, 4, 10), spread_exponential(4, 1.5, 12),
                          spread_exponential(32, 1.5, 12) };
}

void block_writer_watch(BlockWriter *w, BlockChunks *c)
{
    w->chunk_stats = c;
}

/* ---- series ---- */

static int put_chunk(BlockWriter *w, ChunkEncoding encoding, StrView bytes, int64_t min,
                     int64_t max, Err *err)
{
    int r;
    if (out_at(&w->chunks) + bytes.len + 16 > BLOCK_SEGMENT_BYTES && (r = open_segment(w, err)) < 0)
        return r;
    ChunkMeta meta = { min, max, (uint64_t)(w->segment - 1) << 32 | out_at(&w->chunks) };
    Buf *b = &w->chunks.buf;
    uint8_t enc = (uint8_t)encoding;
    wire_put_uvarint(b, bytes.len);
    wire_put_u8(b, enc);
    buf_sv(b, bytes);
    wire_put_be32(b, crc32c(crc32c(0, &enc, 1), bytes.ptr, bytes.len));
    w->stats.chunks++;
    w->stats.samples += chunk_samples(bytes);
    if (encoding == CHUNK_XOR)
        w->stats.floats += chunk_samples(bytes);
    else
        w->stats.histograms += chunk_samples(bytes);
    if (w->chunk_stats) {
        spread_add(&w->chunk_stats->ms, (double)max - (double)min);
        spread_add(&w->chunk_stats->samples, (double)chunk_samples(bytes));
        spread_add(&w->chunk_stats->bytes, (double)bytes.len);
    }
    if (!vec_push(&w->metas, meta))
        return err_nomem(err);
    return out_flush(&w->chunks, FLUSH_BYTES, err);
}

/* Floats from *i on, into one chunk. */
static int put_floats(BlockWriter *w, const SampleCols *c, size_t *i, Err *err)
{
    XorChunk x;
    size_t first = *i;
    int r = xor_chunk_init(&x);
    for (; r == 0 && *i < c->len && x.len < BLOCK_CHUNK_SAMPLES && !(c->h && c->h[*i]); (*i)++)
        r = xor_chunk_append(&x, c->t[*i], c->v[*i]);
    r = r < 0 ? err_nomem(err)
              : put_chunk(w, CHUNK_XOR, sv_n(x.w.bytes, x.w.len), c->t[first], c->t[*i - 1], err);
    free(x.w.bytes);
    return r;
}

static int put_histograms(BlockWriter *w, const SampleCols *c, size_t *i, Err *err)
{
    size_t first = *i;
    HistogramChunk *x = histogram_chunk_new(c->t[first], c->h[first]);
    int r = x ? 1 : -1;
    for (++*i; r > 0 && *i < c->len && c->h[*i]; *i += r > 0)
        r = histogram_chunk_append(x, c->t[*i], c->h[*i]);
    r = r < 0 ? err_nomem(err)
              : put_chunk(w, histogram_chunk_encoding(x), histogram_chunk_bytes(x), c->t[first],
                          c->t[*i - 1], err);
    histogram_chunk_free(x);
    return r;
}

static Ids *pair_ids(BlockWriter *w, uint32_t name, uint32_t value)
{
    uint64_t key = ((uint64_t)name << 32 | value) + 1;
    if (w->n_pairs * 10 >= w->cap_pairs * 7) {
        size_t cap = w->cap_pairs ? w->cap_pairs * 2 : 1024;
        Pair *p = calloc(cap, sizeof *p), *old = w->pairs;
        if (!p)
            return NULL;
        for (size_t k = 0; k < w->cap_pairs; k++)
            if (old[k].key) {
                size_t i = (size_t)(old[k].key * 0x9e3779b97f4a7c15ULL >> 20) & (cap - 1);
                while (p[i].key)
                    i = (i + 1) & (cap - 1);
                p[i] = old[k];
            }
        free(old);
        w->pairs = p;
        w->cap_pairs = cap;
    }
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 20) & (w->cap_pairs - 1);
    while (w->pairs[i].key && w->pairs[i].key != key)
        i = (i + 1) & (w->cap_pairs - 1);
    w->n_pairs += !w->pairs[i].key;
    w->pairs[i].key = key;
    return &w->pairs[i].ids;
}

static int put_labels(BlockWriter *w, Labels l, uint32_t id, Err *err)
{
    wire_put_uvarint(&w->entry, l.len);
    for (unsigned i = 0; i < l.len; i++) {
        uintptr_t name = (uintptr_t)map_get(&w->numbers, l.items[i].name),
                  value = (uintptr_t)map_get(&w->numbers, l.items[i].value);
        if (!name || !value)
            return err_set(err, ERR_INVALID, 0, "label %.*s is no symbol of the block",
                           SV_FMT(l.items[i].name));
        wire_put_uvarint(&w->entry, name - 1);
        wire_put_uvarint(&w->entry, value - 1);
        Ids *ids = pair_ids(w, (uint32_t)(name - 1), (uint32_t)(value - 1));
        if (!ids || !ids_push(ids, id))
            return err_nomem(err);
    }
    return 0;
}

static void put_metas(BlockWriter *w)
{
    wire_put_uvarint(&w->entry, w->metas.len);
    for (size_t i = 0; i < w->metas.len; i++) {
        const ChunkMeta *m = &w->metas.items[i], *p = i ? m - 1 : NULL;
        if (p)
            wire_put_uvarint(&w->entry, (uint64_t)(m->min - p->max));
        else
            wire_put_varint(&w->entry, m->min);
        wire_put_uvarint(&w->entry, (uint64_t)(m->max - m->min));
        if (p)
            wire_put_varint(&w->entry, (int64_t)(m->ref - p->ref));
        else
            wire_put_uvarint(&w->entry, m->ref);
    }
}

static void align(Out *o, unsigned to)
{
    while (out_at(o) % to && !o->buf.failed)
        wire_put_u8(&o->buf, 0);
}

int block_writer_add(BlockWriter *w, Labels l, const SampleCols *c, Err *err)
{
    int r = 0;
    if (!c->len)
        return 0;
    vec_clear(&w->metas);
    for (size_t i = 0; i < c->len && r == 0;)
        r = c->h && c->h[i] ? put_histograms(w, c, &i, err) : put_floats(w, c, &i, err);
    if (r < 0)
        return r;
    align(&w->index, 16);
    uint32_t id = (uint32_t)(out_at(&w->index) / 16);
    buf_clear(&w->entry);
    if ((r = put_labels(w, l, id, err)) < 0)
        return r;
    put_metas(w);
    if (w->entry.failed || !ids_push(&w->all, id))
        return err_nomem(err);
    wire_put_uvarint(&w->index.buf, w->entry.len);
    buf_sv(&w->index.buf, buf_view(&w->entry));
    wire_put_be32(&w->index.buf, crc32c(0, w->entry.ptr, w->entry.len));
    w->stats.series++;
    return out_flush(&w->index, FLUSH_BYTES, err);
}

uint64_t block_writer_series(const BlockWriter *w)
{
    return w->stats.series;
}

/* ---- the end of the index ---- */

static int put_list(BlockWriter *w, const Ids *ids, uint64_t *ret_at, Err *err)
{
    int r = out_flush(&w->index, FLUSH_BYTES, err);
    align(&w->index, 4);
    *ret_at = out_at(&w->index);
    wire_put_be32(&w->index.buf, 0);
    uint64_t begin = out_at(&w->index);
    wire_put_be32(&w->index.buf, (uint32_t)ids->len);
    for (size_t i = 0; i < ids->len; i++)
        wire_put_be32(&w->index.buf, ids->items[i]);
    end_section(&w->index, begin);
    return r;
}

static int pair_cmp(const void *x, const void *y)
{
    const Pair *p = x, *q = y;
    return (p->key > q->key) - (p->key < q->key);
}

/* The pairs sorted: symbols are, so numbers are as well. */
static void sort_pairs(BlockWriter *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->cap_pairs; i++)
        if (w->pairs[i].key)
            w->pairs[n++] = w->pairs[i];
    if (n)
        qsort(w->pairs, n, sizeof *w->pairs, pair_cmp);
    for (size_t i = n; i < w->cap_pairs; i++)
        w->pairs[i] = (Pair){ 0 };
}

static void put_entry(Buf *table, StrView name, StrView value, uint64_t at)
{
    wire_put_uvarint(table, 2);
    wire_put_text(table, name);
    wire_put_text(table, value);
    wire_put_uvarint(table, at);
}

static int finish_index(BlockWriter *w, Err *err)
{
    _cleanup_buf_ Buf table = BUF_INIT;
    uint64_t at, postings_at;
    sort_pairs(w);
    align(&w->index, 4);
    postings_at = out_at(&w->index);
    int r = put_list(w, &w->all, &at, err);
    wire_put_be32(&table, (uint32_t)w->n_pairs + 1);
    put_entry(&table, SV(""), SV(""), at);
    for (size_t i = 0; r == 0 && i < w->n_pairs; i++) {
        uint64_t key = w->pairs[i].key - 1;
        r = put_list(w, &w->pairs[i].ids, &at, err);
        put_entry(&table, w->symbols[key >> 32], w->symbols[(uint32_t)key], at);
    }
    if (r < 0)
        return r;
    uint64_t table_at = out_at(&w->index);
    wire_put_be32(&w->index.buf, (uint32_t)table.len);
    buf_sv(&w->index.buf, buf_view(&table));
    wire_put_be32(&w->index.buf, crc32c(0, table.ptr, table.len));
    const uint64_t toc[] = { w->symbols_at, w->series_at, 0, 0, postings_at, table_at };
    _cleanup_buf_ Buf end = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(toc); i++)
        wire_put_be64(&end, toc[i]);
    wire_put_be32(&end, crc32c(0, end.ptr, end.len));
    buf_sv(&w->index.buf, buf_view(&end));
    w->index.buf.failed |= table.failed || end.failed;
    return 0;
}

int block_writer_finish(BlockWriter *w, BlockMeta *meta, Err *err)
{
    char path[PATH_MAX];
    int r = finish_index(w, err);
    if (r == 0)
        r = out_close(&w->index, err);
    if (r == 0)
        r = out_close(&w->chunks, err);
    meta->series = w->stats.series;
    meta->chunks = w->stats.chunks;
    meta->samples = w->stats.samples;
    meta->floats = w->stats.floats;
    meta->histograms = w->stats.histograms;
    snprintf(path, sizeof path, "%.4000s/chunks", w->tmp);
    if (r == 0)
        r = folder_sync(path, err);
    snprintf(path, sizeof path, "%.4000s/meta.json", w->tmp);
    if (r == 0 && (r = block_meta_write(path, meta, err)) == 0 &&
        (r = folder_sync(w->tmp, err)) == 0 && (r = rename_durable(w->tmp, w->final)) < 0)
        r = err_neg(err, r, "put block '%s' in its place", w->final);
    block_writer_abort(w); /* nothing is left under the temporary name after the rename */
    return r;
}

BlockWriter *block_writer_abort(BlockWriter *w)
{
    if (!w)
        return NULL;
    if (w->chunks.fd >= 0)
        close(w->chunks.fd);
    if (w->index.fd >= 0)
        close(w->index.fd);
    rm_rf(AT_FDCWD, w->tmp);
    for (size_t i = 0; i < w->cap_pairs; i++)
        ids_free(&w->pairs[i].ids);
    free(w->pairs);
    ids_free(&w->all);
    map_free(&w->numbers);
    vec_free(&w->metas);
    buf_free(&w->entry);
    buf_free(&w->chunks.buf);
    buf_free(&w->index.buf);
    free(w);
    return NULL;
}
