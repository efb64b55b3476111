/* archive.c - see archive.h. Numbers are little-endian. */
#include "cmd/archive.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"

#define FIRST_LINE "knarr backup 1\n"

enum { CHUNK = 65536, ENTRY = 12 }; /* name's length, size */

static void put_le(unsigned char *p, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(n >> (8 * i));
}

static uint64_t get_le(const unsigned char *p, int bytes)
{
    uint64_t n = 0;
    for (int i = bytes; i-- > 0;)
        n = n << 8 | p[i];
    return n;
}

/* ---- writing ---- */

static int put(ArchiveWriter *w, const void *p, size_t n, Err *err)
{
    int r = fd_write_full(w->fd, p, n);
    w->crc = crc32c(w->crc, p, n);
    return r < 0 ? err_neg(err, r, "write the backup") : 0;
}

int archive_begin(ArchiveWriter *w, int fd, Err *err)
{
    *w = (ArchiveWriter){ .fd = fd };
    return put(w, FIRST_LINE, sizeof FIRST_LINE - 1, err);
}

int archive_add(ArchiveWriter *w, const char *name, int from, uint64_t size, Err *err)
{
    unsigned char head[ENTRY], buf[CHUNK], sum[4];
    size_t len = strlen(name);
    uint32_t crc = 0;
    ASSERT(len > 0 && len <= ARCHIVE_NAME_MAX);
    if (++w->files > ARCHIVE_FILES_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d files to back up", ARCHIVE_FILES_MAX);
    put_le(head, len, 4);
    put_le(head + 4, size, 8);
    int r = put(w, head, sizeof head, err);
    if (r == 0)
        r = put(w, name, len, err);
    for (uint64_t left = size; left && r == 0;) {
        size_t n = (size_t)MIN(left, (uint64_t)sizeof buf);
        int code = fd_read_full(from, buf, n);
        if (code < 0)
            return err_neg(err, code, "read '%s'", name);
        crc = crc32c(crc, buf, n);
        left -= n;
        r = put(w, buf, n, err);
    }
    put_le(sum, crc, 4);
    return r < 0 ? r : put(w, sum, sizeof sum, err);
}

int archive_end(ArchiveWriter *w, Err *err)
{
    unsigned char head[ENTRY] = { 0 }, sum[4];
    put_le(head + 4, w->files, 8);
    int r = put(w, head, sizeof head, err);
    put_le(sum, w->crc, 4);
    if (r == 0)
        r = put(w, sum, sizeof sum, err);
    return r == 0 && fsync(w->fd) < 0 ? err_errno(err, "sync the backup") : r;
}

/* ---- reading ---- */

typedef struct Reader {
    int fd;
    uint32_t crc, files;
} Reader;

static int damaged(Err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, 0, "it is no whole backup of knarr: %s", what);
}

static int get(Reader *rd, void *p, size_t n, Err *err)
{
    int r = fd_read_full(rd->fd, p, n);
    if (r == -ENODATA)
        return damaged(err, "it ends too early");
    if (r < 0)
        return err_neg(err, r, "read the backup");
    rd->crc = crc32c(rd->crc, p, n);
    return 0;
}

static int copy_file(Reader *rd, int to, uint64_t size, Err *err)
{
    unsigned char buf[CHUNK], sum[4];
    uint32_t crc = 0;
    int r = 0;
    for (uint64_t left = size; left && r == 0;) {
        size_t n = (size_t)MIN(left, (uint64_t)sizeof buf);
        if ((r = get(rd, buf, n, err)) < 0)
            return r;
        crc = crc32c(crc, buf, n);
        left -= n;
        if (to >= 0 && (r = fd_write_full(to, buf, n)) < 0)
            return err_neg(err, r, "write a file of the backup");
    }
    if ((r = get(rd, sum, sizeof sum, err)) < 0)
        return r;
    if (get_le(sum, 4) != crc)
        return damaged(err, "the checksum of a file is wrong");
    return to >= 0 && fsync(to) < 0 ? err_errno(err, "sync a file of the backup") : 0;
}

/* 1: there was a file; 0: the end, and all of it is right. */
static int next_file(Reader *rd, ArchiveFileFn *fn, void *ctx, Err *err)
{
    unsigned char head[ENTRY], sum[4];
    char name[ARCHIVE_NAME_MAX + 1], more;
    int r = get(rd, head, sizeof head, err);
    if (r < 0)
        return r;
    uint64_t len = get_le(head, 4), size = get_le(head + 4, 8);
    if (len == 0) {
        uint32_t crc = rd->crc;
        if ((r = get(rd, sum, sizeof sum, err)) < 0)
            return r;
        if (size != rd->files || get_le(sum, 4) != crc || fd_read_full(rd->fd, &more, 1) == 0)
            return damaged(err, "the checksum at its end is wrong");
        return 0;
    }
    if (len > ARCHIVE_NAME_MAX || ++rd->files > ARCHIVE_FILES_MAX)
        return damaged(err, "a name is too long, or there are too many");
    if ((r = get(rd, name, len, err)) < 0)
        return r;
    name[len] = 0;
    int to = fn(ctx, name, size, err);
    if (to < 0 && to != ARCHIVE_PASS)
        return to;
    r = copy_file(rd, to, size, err);
    if (to >= 0)
        close(to);
    return r < 0 ? r : 1;
}

int archive_read(int fd, ArchiveFileFn *fn, void *ctx, Err *err)
{
    char first[sizeof FIRST_LINE - 1];
    Reader rd = { .fd = fd };
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, "read the backup");
    int r = get(&rd, first, sizeof first, err);
    if (r == 0 && memcmp(first, FIRST_LINE, sizeof first) != 0)
        r = damaged(err, "its first line is wrong");
    if (r == 0)
        do
            r = next_file(&rd, fn, ctx, err);
        while (r > 0);
    return r;
}
