/* block.c - see block.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "monitor/tsdb/block.h"
#include "monitor/tsdb/wire.h"

enum { TOMBSTONES_MAX = 256 * 1024 * 1024 };

/* ---- chunk files ---- */

static int map_segment(Block *b, const char *path, bool *ret_missing, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    *ret_missing = fd < 0 && errno == ENOENT;
    if (*ret_missing)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open '%s'", path);
    if (st.st_size < 8)
        return err_set(err, ERR_CORRUPT, 0, "'%s' is too short for a chunk file", path);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, "map '%s'", path);
    StrView data = sv_n(p, (size_t)st.st_size);
    WireReader r = wire_reader(data);
    uint32_t magic = wire_be32(&r);
    if (magic != 0x85BD40DD || wire_u8(&r) != 1) {
        munmap(p, (size_t)st.st_size);
        return err_set(err, ERR_CORRUPT, 0, "'%s' is no chunk file of version 1", path);
    }
    if (!vec_push(&b->segments, data)) {
        munmap(p, (size_t)st.st_size);
        return err_nomem(err);
    }
    b->bytes += (uint64_t)st.st_size;
    return 0;
}

static int map_segments(Block *b, Err *err)
{
    char path[PATH_MAX];
    bool missing = false;
    int r = 0;
    for (unsigned n = 1; r == 0 && !missing; n++) {
        snprintf(path, sizeof path, "%.4000s/chunks/%06u", b->dir, n);
        r = map_segment(b, path, &missing, err);
    }
    return r;
}

static int bad_chunk(const Block *b, Err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "block '%s': a chunk is damaged", b->dir);
}

int block_chunk(const Block *b, const ChunkMeta *m, ChunkEncoding *ret_encoding, StrView *ret,
                Err *err)
{
    uint64_t segment = m->ref >> 32, offset = m->ref & UINT32_MAX;
    if (segment >= b->segments.len || offset >= b->segments.items[segment].len)
        return bad_chunk(b, err);
    WireReader r = wire_reader(sv_skip(b->segments.items[segment], (size_t)offset));
    uint64_t n = wire_get_uvarint(&r);
    uint8_t encoding = wire_u8(&r);
    const uint8_t *bytes = n <= CHUNK_BYTES_MAX ? wire_take(&r, (size_t)n) : NULL;
    uint32_t crc = bytes ? wire_be32(&r) : 0;
    if (!bytes || r.failed || crc32c(0, bytes - 1, (size_t)n + 1) != crc)
        return bad_chunk(b, err);
    *ret_encoding = (ChunkEncoding)encoding;
    *ret = sv_n(bytes, (size_t)n);
    return 0;
}

static int read_chunk(const Block *b, const ChunkMeta *m, int64_t start, int64_t end,
                      SampleCols *out, Err *err)
{
    ChunkEncoding encoding;
    StrView bytes;
    int r = block_chunk(b, m, &encoding, &bytes, err);
    return r < 0 ? r : chunk_decode(encoding, bytes, start, end, out, err);
}

/* ---- tombstones ---- */

static Tombstone *tombstone_of(const Block *b, uint32_t id)
{
    size_t lo = 0, hi = b->tombstones.len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (b->tombstones.items[mid].id == id)
            return &b->tombstones.items[mid];
        if (b->tombstones.items[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int block_delete(Block *b, uint32_t id, int64_t start, int64_t end, Err *err)
{
    Tombstone *t = tombstone_of(b, id);
    if (!t) {
        Tombstone fresh = { .id = id };
        if (!vec_push(&b->tombstones, fresh))
            return err_nomem(err);
        size_t i = b->tombstones.len - 1;
        for (; i > 0 && b->tombstones.items[i - 1].id > id; i--)
            b->tombstones.items[i] = b->tombstones.items[i - 1];
        b->tombstones.items[i] = fresh;
        t = &b->tombstones.items[i];
    }
    return intervals_add(&t->deleted, start, end) ? 0 : err_nomem(err);
}

static int load_tombstones(Block *b, Err *err)
{
    char path[PATH_MAX];
    _cleanup_buf_ Buf text = BUF_INIT;
    snprintf(path, sizeof path, "%.4000s/tombstones", b->dir);
    int r = file_read(AT_FDCWD, path, TOMBSTONES_MAX, &text);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_neg(err, r, "read '%s'", path);
    b->bytes += text.len;
    StrView stones = sv_skip(sv_head(buf_view(&text), text.len < 9 ? 0 : text.len - 4), 5);
    WireReader head = wire_reader(buf_view(&text)),
               tail = wire_reader(sv_skip(buf_view(&text), text.len < 9 ? 0 : text.len - 4));
    uint32_t magic = wire_be32(&head), crc = wire_be32(&tail);
    if (magic != 0x0130BA30 || wire_u8(&head) != 1 || crc32c(0, stones.ptr, stones.len) != crc)
        return err_set(err, ERR_CORRUPT, 0, "'%s' is damaged", path);
    WireReader s = wire_reader(stones);
    while (r == 0 && wire_left(&s)) {
        uint64_t id = wire_get_uvarint(&s);
        int64_t start = wire_get_varint(&s), end = wire_get_varint(&s);
        r = s.failed || id > UINT32_MAX ? err_set(err, ERR_CORRUPT, 0, "'%s' is damaged", path)
                                        : block_delete(b, (uint32_t)id, start, end, err);
    }
    return r;
}

int block_write_tombstones(Block *b, Err *err)
{
    char path[PATH_MAX];
    _cleanup_buf_ Buf out = BUF_INIT;
    uint64_t n = 0;
    wire_put_be32(&out, 0x0130BA30);
    wire_put_u8(&out, 1);
    vec_foreach (t, &b->tombstones)
        for (size_t i = 0; i < t->deleted.len; i++, n++) {
            wire_put_uvarint(&out, t->id);
            wire_put_varint(&out, t->deleted.items[i].start);
            wire_put_varint(&out, t->deleted.items[i].end);
        }
    if (out.failed)
        return err_nomem(err);
    wire_put_be32(&out, crc32c(0, out.ptr + 5, out.len - 5));
    snprintf(path, sizeof path, "%.4000s/tombstones", b->dir);
    int r = out.failed ? -ENOMEM : file_write_atomic(AT_FDCWD, path, buf_view(&out), 0644, true);
    if (r < 0)
        return err_neg(err, r, "write '%s'", path);
    b->meta.tombstones = n;
    snprintf(path, sizeof path, "%.4000s/meta.json", b->dir);
    return block_meta_write(path, &b->meta, err);
}

/* ---- opening and closing ---- */

static Block *block_close(Block *b)
{
    vec_foreach (s, &b->segments)
        munmap((void *)(uintptr_t)s->ptr, s->len);
    vec_free(&b->segments);
    vec_foreach (t, &b->tombstones)
        free(t->deleted.items);
    vec_free(&b->tombstones);
    block_index_close(&b->index);
    block_meta_free(&b->meta);
    free(b);
    return NULL;
}

int block_open(const char *dir, Block **ret, Err *err)
{
    char path[PATH_MAX];
    Block *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    atomic_init(&b->refs, 1);
    snprintf(b->dir, sizeof b->dir, "%.4000s", dir);
    snprintf(path, sizeof path, "%.4000s/meta.json", dir);
    struct stat st;
    int r = block_meta_read(path, &b->meta, err);
    if (r >= 0 && stat(path, &st) == 0)
        b->bytes += (uint64_t)st.st_size;
    snprintf(path, sizeof path, "%.4000s/index", dir);
    if (r < 0 || (r = block_index_open(path, &b->index, err)) < 0 ||
        (r = map_segments(b, err)) < 0 || (r = load_tombstones(b, err)) < 0) {
        block_close(b);
        return r;
    }
    b->bytes += b->index.data.len;
    *ret = b;
    return 0;
}

Block *block_ref(Block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

Block *block_unref(Block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        block_close(b);
    return NULL;
}

/* ---- reading ---- */

int block_read(const Block *b, uint32_t id, const ChunkMetas *chunks, int64_t start, int64_t end,
               SampleCols *out, Err *err)
{
    size_t from = out->len;
    vec_foreach (m, chunks) {
        if (m->max < start || m->min > end)
            continue;
        int r = read_chunk(b, m, start, end, out, err);
        if (r < 0)
            return r;
    }
    const Tombstone *t = b->tombstones.len ? tombstone_of(b, id) : NULL;
    if (t)
        intervals_cut(&t->deleted, out, from);
    return 0;
}
