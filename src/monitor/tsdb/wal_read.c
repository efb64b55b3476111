/* wal_read.c - reading segments, and cutting off what a crash has torn.
 *
 * A segment is mapped and read fragment by fragment. Reading stops, without failing, at the first
 * byte that does not make sense; what a writer was in the middle of is there. */
#include <errno.h>
#include <fcntl.h>
#include <snappy-c.h>
#include <stdio.h>
#include <sys/mman.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "monitor/tsdb/wal_internal.h"
#include "monitor/tsdb/wire.h"

typedef struct Reader {
    uint32_t segment;
    StrView data;
    Buf record; /* fragments put together */
    Buf plain;  /* decompressed */
    WalRecordFn *fn;
    void *ctx;
    WalDamage *damage;
} Reader;

static int stop(Reader *rd, size_t offset, const char *why)
{
    *rd->damage = (WalDamage){ .found = true, .segment = rd->segment, .offset = offset };
    snprintf(rd->damage->why, sizeof rd->damage->why, "%s", why);
    return 1;
}

StrView wal_unpack(StrView in, uint8_t flags, Buf *plain)
{
    size_t n = 0;
    buf_clear(plain);
    if (!(flags & (WAL_SNAPPY | WAL_ZSTD)))
        return in;
    if (flags & WAL_SNAPPY) {
        if (snappy_uncompressed_length(in.ptr, in.len, &n) != SNAPPY_OK)
            return SV_NULL;
    } else {
        unsigned long long size = ZSTD_getFrameContentSize(in.ptr, in.len);
        if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
            return SV_NULL;
        n = (size_t)size;
    }
    if (n > WAL_RECORD_MAX || !buf_reserve(plain, n + 1))
        return SV_NULL;
    if (flags & WAL_SNAPPY) {
        if (snappy_uncompress(in.ptr, in.len, plain->ptr, &n) != SNAPPY_OK)
            return SV_NULL;
    } else {
        n = ZSTD_decompress(plain->ptr, n, in.ptr, in.len);
        if (ZSTD_isError(n))
            return SV_NULL;
    }
    return sv_n(plain->ptr, n);
}

static bool is_zero(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i])
            return false;
    return true;
}

/* One fragment at *at. 1: damage (told). 0: *ret_type is set, or WAL_PAGE_END: go on at *at. */
static int next_fragment(Reader *rd, size_t *at, uint8_t *ret_type, StrView *ret_data)
{
    size_t left_in_page = WAL_PAGE - *at % WAL_PAGE;
    StrView page = sv_head(sv_skip(rd->data, *at), left_in_page);
    if (page.len < WAL_HEADER || page.ptr[0] == WAL_PAGE_END) {
        if (!is_zero(page))
            return stop(rd, *at,
                        page.len < WAL_HEADER ? "the segment ends inside a header"
                                              : "a page ends with something but zeros");
        *ret_type = WAL_PAGE_END;
        *at += page.len;
        return 0;
    }
    WireReader r = wire_reader(page);
    *ret_type = wire_u8(&r);
    size_t n = (size_t)wire_u8(&r) << 8;
    n |= wire_u8(&r);
    uint32_t crc = wire_be32(&r);
    const uint8_t *data = wire_take(&r, n);
    if (!data)
        return stop(rd, *at, "a fragment goes beyond its page, or the segment ends inside it");
    if (crc32c(0, data, n) != crc)
        return stop(rd, *at, "a checksum does not fit");
    *ret_data = sv_n(data, n);
    *at += WAL_HEADER + n;
    return 0;
}

/* 0: the whole segment was read; 1: damage; negative: fn failed. */
static int read_segment(Reader *rd, Err *err)
{
    size_t at = 0, begin = 0;
    bool inside = false;
    while (at < rd->data.len) {
        uint8_t type, kind;
        StrView data;
        size_t here = at;
        if (next_fragment(rd, &at, &type, &data)) {
            if (inside) /* what it continues is not good either */
                rd->damage->offset = begin;
            return 1;
        }
        kind = type & WAL_TYPE_MASK;
        if (kind == WAL_PAGE_END)
            continue;
        bool opens = kind == WAL_FULL || kind == WAL_FIRST;
        if (opens == inside || kind > WAL_LAST)
            return stop(rd, inside ? begin : here, "fragments are out of order");
        if (opens) {
            buf_clear(&rd->record);
            begin = here;
        }
        buf_sv(&rd->record, data);
        if (rd->record.len > WAL_RECORD_MAX)
            return stop(rd, begin, "a record is larger than 256 MiB");
        inside = kind == WAL_FIRST || kind == WAL_MIDDLE;
        if (inside)
            continue;
        if (rd->record.failed)
            return err_nomem(err);
        StrView rec = wal_unpack(buf_view(&rd->record), type, &rd->plain);
        if (!rec.ptr && rd->plain.failed)
            return err_nomem(err); /* nothing is wrong with the log */
        if (!rec.ptr)
            return stop(rd, begin, "a record cannot be decompressed");
        int r = rd->fn(rd->ctx, rd->segment, rec, err);
        if (r < 0)
            return r;
    }
    return inside ? stop(rd, begin, "the segment ends inside a record") : 0;
}

static int map_segment(const char *path, StrView *ret, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    *ret = SV("");
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open log segment '%s'", path);
    if (!st.st_size)
        return 0;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, "map log segment '%s'", path);
    *ret = sv_n(p, (size_t)st.st_size);
    return 0;
}

int wal_read(const char *dir, uint32_t first, uint32_t last, WalRecordFn *fn, void *ctx,
             WalDamage *ret, Err *err)
{
    Reader rd = { .fn = fn, .ctx = ctx, .damage = ret };
    *ret = (WalDamage){ 0 };
    int r = 0;
    for (uint32_t s = first; r == 0 && s <= last; s++) {
        char path[PATH_MAX];
        wal_segment_path(dir, s, path);
        rd.segment = s;
        r = map_segment(path, &rd.data, err);
        if (r < 0)
            break;
        r = read_segment(&rd, err);
        if (rd.data.len)
            munmap((void *)(uintptr_t)rd.data.ptr, rd.data.len);
    }
    buf_free(&rd.record);
    buf_free(&rd.plain);
    return MIN(r, 0);
}

int wal_repair(const char *dir, const WalDamage *d, Err *err)
{
    char path[PATH_MAX];
    uint32_t first, last;
    int r;
    wal_segment_path(dir, d->segment, path);
    if (truncate(path, (off_t)d->offset) < 0)
        return err_errno(err, "cut log segment '%s'", path);
    if ((r = wal_segments(dir, &first, &last, err)) < 0)
        return r;
    for (uint32_t s = d->segment + 1; s <= last; s++) {
        wal_segment_path(dir, s, path);
        if (unlink(path) < 0 && errno != ENOENT)
            return err_errno(err, "delete log segment '%s'", path);
    }
    return 0;
}
