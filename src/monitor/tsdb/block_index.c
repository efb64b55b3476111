/* block_index.c - see block_index.h. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "monitor/tsdb/block_index.h"
#include "monitor/tsdb/wire.h"

enum { INDEX_MAGIC = (int)0xBAAAD700, INDEX_VERSION = 2, TOC_BYTES = 6 * 8 + 4 };

static int bad(const BlockIndex *x, const char *what, Err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "index '%s': %s is damaged", x->path, what);
}

static WireReader reader_at(const BlockIndex *x, uint64_t offset)
{
    return wire_reader(sv_skip(x->data, MIN(offset, (uint64_t)x->data.len)));
}

/* A section: length, content, CRC-32C of the content. */
static bool section_at(const BlockIndex *x, uint64_t offset, WireReader *ret)
{
    WireReader r = reader_at(x, offset);
    uint32_t n = wire_be32(&r);
    const uint8_t *content = wire_take(&r, n);
    uint32_t crc = wire_be32(&r);
    if (r.failed || crc32c(0, content, n) != crc)
        return false;
    *ret = wire_reader(sv_n(content, n));
    return true;
}

static uint32_t offset_in(const BlockIndex *x, const uint8_t *at)
{
    return (uint32_t)(at - (const uint8_t *)x->data.ptr);
}

static bool load_symbols(BlockIndex *x, uint64_t offset)
{
    WireReader r;
    if (!section_at(x, offset, &r))
        return false;
    uint32_t n = wire_be32(&r);
    if (r.failed || n > wire_left(&r))
        return false;
    x->symbols = malloc((n ? n : 1) * sizeof *x->symbols);
    for (uint32_t i = 0; x->symbols && i < n; i++) {
        x->symbols[i] = offset_in(x, r.at);
        wire_get_text(&r);
    }
    x->n_symbols = n;
    return x->symbols && !r.failed;
}

/* One entry of the postings offset table. */
static bool get_entry(WireReader *r, StrView *ret_name, StrView *ret_value, uint64_t *ret_offset)
{
    if (wire_get_uvarint(r) != 2)
        return false;
    *ret_name = wire_get_text(r);
    *ret_value = wire_get_text(r);
    *ret_offset = wire_get_uvarint(r);
    return !r->failed;
}

static bool add_name(BlockIndex *x, StrView name, uint32_t first)
{
    if (x->n_names % 64 == 0) {
        IndexName *p = realloc(x->names, (x->n_names + 64) * sizeof *p);
        if (!p)
            return false;
        x->names = p;
    }
    x->names[x->n_names++] = (IndexName){ .name = name, .first = first };
    return true;
}

static bool load_entries(BlockIndex *x, uint64_t offset)
{
    WireReader r;
    if (!section_at(x, offset, &r))
        return false;
    uint32_t n = wire_be32(&r);
    if (r.failed || n > wire_left(&r))
        return false;
    x->entries = malloc((n ? n : 1) * sizeof *x->entries);
    for (uint32_t i = 0; x->entries && i < n; i++) {
        StrView name, value;
        uint64_t at;
        uint32_t here = offset_in(x, r.at);
        if (!get_entry(&r, &name, &value, &at))
            return false;
        if (!name.len) {
            x->all = at;
            continue;
        }
        if ((!x->n_names || !sv_eq(x->names[x->n_names - 1].name, name)) &&
            !add_name(x, name, x->n_entries))
            return false;
        x->entries[x->n_entries++] = here;
        x->names[x->n_names - 1].len++;
    }
    return x->entries && !r.failed;
}

static int load(BlockIndex *x, Err *err)
{
    WireReader head = wire_reader(x->data);
    uint32_t magic = wire_be32(&head);
    uint8_t version = wire_u8(&head);
    if (head.failed || magic != (uint32_t)INDEX_MAGIC || x->data.len < 5 + TOC_BYTES)
        return err_set(err, ERR_CORRUPT, 0, "'%s' is no index file", x->path);
    if (version != INDEX_VERSION)
        return err_set(err, ERR_UNSUPPORTED, 0, "index '%s' has version %u; known is %d", x->path,
                       version, INDEX_VERSION);
    StrView toc = sv_skip(x->data, x->data.len - TOC_BYTES);
    WireReader r = wire_reader(toc);
    uint64_t refs[6];
    for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
        refs[i] = wire_be64(&r);
    if (wire_be32(&r) != crc32c(0, toc.ptr, TOC_BYTES - 4))
        return bad(x, "the table of contents", err);
    if (!load_symbols(x, refs[0]))
        return bad(x, "the symbol table", err);
    if (!load_entries(x, refs[5]))
        return bad(x, "the postings offset table", err);
    return 0;
}

int block_index_open(const char *path, BlockIndex *ret, Err *err)
{
    *ret = (BlockIndex){ 0 };
    snprintf(ret->path, sizeof ret->path, "%s", path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open index '%s'", path);
    if (st.st_size == 0 || st.st_size > UINT32_MAX * 16LL)
        return bad(ret, "its size", err);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, "map index '%s'", path);
    ret->data = sv_n(p, (size_t)st.st_size);
    int r = load(ret, err);
    if (r < 0)
        block_index_close(ret);
    return r;
}

void block_index_close(BlockIndex *x)
{
    if (x->data.ptr)
        munmap((void *)(uintptr_t)x->data.ptr, x->data.len);
    free(x->symbols);
    free(x->entries);
    free(x->names);
    *x = (BlockIndex){ 0 };
}

StrView block_index_symbol(const BlockIndex *x, uint64_t n)
{
    if (n >= x->n_symbols)
        return SV_NULL;
    WireReader r = reader_at(x, x->symbols[n]);
    return wire_get_text(&r);
}

/* ---- series ---- */

static bool get_labels(const BlockIndex *x, WireReader *r, Label *buf, Labels *ret)
{
    uint64_t n = wire_get_uvarint(r);
    if (r->failed || n > LABELS_MAX)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        buf[i].name = block_index_symbol(x, wire_get_uvarint(r));
        buf[i].value = block_index_symbol(x, wire_get_uvarint(r));
        if (!buf[i].name.ptr || !buf[i].value.ptr)
            return false;
    }
    *ret = (Labels){ buf, (unsigned)n };
    return !r->failed;
}

/* 1: out of memory. */
static int get_chunks(WireReader *r, ChunkMetas *chunks)
{
    uint64_t n = wire_get_uvarint(r);
    ChunkMeta c = { 0 };
    vec_clear(chunks);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        c.min = i ? c.max + (int64_t)wire_get_uvarint(r) : wire_get_varint(r);
        c.max = c.min + (int64_t)wire_get_uvarint(r);
        c.ref = i ? c.ref + (uint64_t)wire_get_varint(r) : wire_get_uvarint(r);
        if (!vec_push(chunks, c))
            return 1;
    }
    return 0;
}

int block_index_series(const BlockIndex *x, uint32_t id, Label buf[static LABELS_MAX],
                       Labels *ret_labels, ChunkMetas *chunks, Err *err)
{
    WireReader r = reader_at(x, (uint64_t)id * 16);
    uint64_t n = wire_get_uvarint(&r);
    const uint8_t *content = n <= wire_left(&r) ? wire_take(&r, (size_t)n) : NULL;
    uint32_t crc = content ? wire_be32(&r) : 0;
    if (!content || r.failed || crc32c(0, content, (size_t)n) != crc)
        return bad(x, "a series", err);
    r = wire_reader(sv_n(content, (size_t)n));
    if (!get_labels(x, &r, buf, ret_labels))
        return bad(x, "a series", err);
    if (chunks && get_chunks(&r, chunks))
        return err_nomem(err);
    return r.failed ? bad(x, "a series", err) : 0;
}

/* ---- as an index ---- */

static const IndexName *find_name(const BlockIndex *x, StrView name)
{
    uint32_t lo = 0, hi = x->n_names;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int c = sv_cmp(x->names[mid].name, name);
        if (c == 0)
            return &x->names[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static StrView entry_value(const BlockIndex *x, uint32_t i, uint64_t *ret_offset)
{
    WireReader r = reader_at(x, x->entries[i]);
    StrView name, value;
    get_entry(&r, &name, &value, ret_offset);
    return value;
}

static int append_list(const BlockIndex *x, uint64_t offset, Ids *out, Err *err)
{
    WireReader r;
    if (!section_at(x, offset, &r))
        return bad(x, "a postings list", err);
    uint32_t n = wire_be32(&r);
    if (r.failed || wire_left(&r) / 4 < n)
        return bad(x, "a postings list", err);
    if (!ids_reserve(out, out->len + n))
        return err_nomem(err);
    for (uint32_t i = 0; i < n; i++)
        out->items[out->len++] = wire_be32(&r);
    return 0;
}

static int postings(const void *index, StrView name, StrView value, Ids *out, Err *err)
{
    const BlockIndex *x = index;
    const IndexName *n = find_name(x, name);
    uint32_t lo = n ? n->first : 0, hi = n ? n->first + n->len : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        uint64_t offset;
        int c = sv_cmp(entry_value(x, mid, &offset), value);
        if (c == 0)
            return append_list(x, offset, out, err);
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

static int values(const void *index, StrView name, int (*fn)(void *ctx, StrView value, Err *err),
                  void *ctx, Err *err)
{
    const BlockIndex *x = index;
    const IndexName *n = find_name(x, name);
    int r = 0;
    uint64_t offset;
    for (uint32_t i = 0; n && i < n->len && r == 0; i++)
        r = fn(ctx, entry_value(x, n->first + i, &offset), err);
    return r;
}

static int names(const void *index, int (*fn)(void *ctx, StrView name, Err *err), void *ctx,
                 Err *err)
{
    const BlockIndex *x = index;
    int r = 0;
    for (uint32_t i = 0; i < x->n_names && r == 0; i++)
        r = fn(ctx, x->names[i].name, err);
    return r;
}

static int all(const void *index, Ids *out, Err *err)
{
    const BlockIndex *x = index;
    return x->all ? append_list(x, x->all, out, err) : 0;
}

const IndexOps block_index_ops = {
    .postings = postings, .values = values, .names = names, .all = all
};
