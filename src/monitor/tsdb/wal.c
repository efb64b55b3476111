/* wal.c - writing the log, and looking after its folder. Reading is in wal_read.c. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <snappy-c.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "monitor/tsdb/wal_internal.h"
#include "monitor/tsdb/wire.h"

struct Wal {
    char dir[PATH_MAX];
    int fd;
    bool compress;
    bool torn; /* half a write is behind `offset`, and could not be cut off */
    uint32_t segment, segment_bytes;
    uint64_t offset; /* bytes written to the open segment */
    Buf out;         /* what the present call adds to it */
    Buf packed;      /* scratch of the compressor */
    WalStats *stats; /* NULL: nobody counts */
};

void wal_segment_path(const char *dir, uint32_t segment, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.4000s/%08u", dir, segment);
}

static int open_segment(Wal *w, uint32_t segment, Err *err)
{
    char path[PATH_MAX];
    wal_segment_path(w->dir, segment, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(err, "make log segment '%s'", path);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = fd;
    w->segment = segment;
    w->offset = 0;
    return 0;
}

int wal_open_sized(const char *dir, bool compress, uint32_t segment_bytes, Wal **ret, Err *err)
{
    uint32_t first, last;
    int r = mkdir_p(AT_FDCWD, dir, 0750);
    if (r < 0)
        return err_neg(err, r, "make log folder '%s'", dir);
    r = wal_segments(dir, &first, &last, err);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    Wal *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->fd = -1;
    w->compress = compress;
    w->segment_bytes = segment_bytes;
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    r = open_segment(w, r == 0 ? last + 1 : 0, err);
    if (r < 0) {
        wal_close(w);
        return r;
    }
    *ret = w;
    return 0;
}

int wal_open(const char *dir, bool compress, Wal **ret, Err *err)
{
    return wal_open_sized(dir, compress, WAL_SEGMENT_BYTES, ret, err);
}

Wal *wal_close(Wal *w)
{
    if (!w)
        return NULL;
    if (w->fd >= 0) {
        fdatasync(w->fd);
        close(w->fd);
    }
    buf_free(&w->out);
    buf_free(&w->packed);
    free(w);
    return NULL;
}

uint32_t wal_segment(const Wal *w)
{
    return w->segment;
}

void wal_count(Wal *w, WalStats *stats)
{
    w->stats = stats;
}

int wal_sync(Wal *w, Err *err)
{
    int64_t started = clock_mono_ns();
    int r = fdatasync(w->fd) < 0 ? err_errno(err, "sync log segment %u of '%s'", w->segment, w->dir)
                                 : 0;
    if (w->stats) {
        pthread_mutex_lock(&w->stats->lock);
        timing_add(&w->stats->fsync, (double)(clock_mono_ns() - started) / (double)NSEC_PER_SEC);
        pthread_mutex_unlock(&w->stats->lock);
    }
    return r;
}

/* ---- records into pages ---- */

static void pad_page(Wal *w)
{
    static const uint8_t zeros[WAL_HEADER];
    size_t used = (w->offset + w->out.len) % WAL_PAGE;
    if (used && WAL_PAGE - used < WAL_HEADER)
        buf_append(&w->out, zeros, WAL_PAGE - used);
}

static void add_record(Wal *w, StrView rec, uint8_t flags)
{
    for (bool first = true; first || rec.len; first = false) {
        size_t room = WAL_PAGE - (w->offset + w->out.len) % WAL_PAGE - WAL_HEADER;
        StrView part = sv_head(rec, room);
        rec = sv_skip(rec, part.len);
        uint8_t type = first ? (rec.len ? WAL_FIRST : WAL_FULL) : (rec.len ? WAL_MIDDLE : WAL_LAST);
        wire_put_u8(&w->out, type | flags);
        wire_put_be16(&w->out, (uint16_t)part.len);
        wire_put_be32(&w->out, crc32c(0, part.ptr, part.len));
        buf_sv(&w->out, part);
        pad_page(w);
    }
}

/* Snappy where that is smaller. */
static StrView pack(Wal *w, StrView rec, uint8_t *ret_flags)
{
    size_t n = snappy_max_compressed_length(rec.len);
    *ret_flags = 0;
    if (!w->compress || !rec.len)
        return rec;
    buf_clear(&w->packed);
    if (!buf_reserve(&w->packed, n) ||
        snappy_compress(rec.ptr, rec.len, w->packed.ptr, &n) != SNAPPY_OK || n >= rec.len)
        return rec;
    *ret_flags = WAL_SNAPPY;
    return sv_n(w->packed.ptr, n);
}

/* Bytes that all records take in the worst case. */
static size_t worst_case(const StrView *records, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += records[i].len + WAL_HEADER * (2 + records[i].len / (WAL_PAGE - WAL_HEADER)) +
               WAL_HEADER;
    return sum;
}

static bool cut_back(Wal *w)
{
    w->torn =
        ftruncate(w->fd, (off_t)w->offset) < 0 || lseek(w->fd, (off_t)w->offset, SEEK_SET) < 0;
    return !w->torn;
}

/* A failed write leaves nothing: the segment is cut back to what it was. */
static int write_out(Wal *w, Err *err)
{
    if (w->out.failed)
        return err_nomem(err);
    if (w->torn && !cut_back(w))
        return err_errno(err, "cut back log segment %u of '%s'", w->segment, w->dir);
    int r = fd_write_full(w->fd, w->out.ptr, w->out.len);
    if (r < 0) {
        bool whole = cut_back(w);
        if (w->stats)
            atomic_fetch_add(&w->stats->writes_failed, 1);
        return err_neg(err, r, "write log segment %u of '%s'%s", w->segment, w->dir,
                       whole ? "" : ", and cannot cut it back");
    }
    uint64_t before = w->offset / WAL_PAGE;
    w->offset += w->out.len;
    if (w->stats) {
        atomic_fetch_add_explicit(&w->stats->pages, w->offset / WAL_PAGE - before,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&w->stats->flushes, 1, memory_order_relaxed);
    }
    return 0;
}

int wal_log(Wal *w, const StrView *records, size_t n, Err *err)
{
    int r;
    if (w->offset && w->offset + worst_case(records, n) > w->segment_bytes &&
        (r = wal_next_segment(w, err)) < 0)
        return r;
    buf_clear(&w->out);
    for (size_t i = 0; i < n; i++) {
        uint8_t flags;
        StrView rec = pack(w, records[i], &flags);
        add_record(w, rec, flags);
    }
    return write_out(w, err);
}

int wal_next_segment(Wal *w, Err *err)
{
    int r;
    if (w->torn && !cut_back(w))
        return err_errno(err, "cut back log segment %u of '%s'", w->segment, w->dir);
    /* The last page of a segment that is done is whole. */
    size_t used = w->offset % WAL_PAGE;
    if (used && ftruncate(w->fd, (off_t)(w->offset + WAL_PAGE - used)) < 0)
        return err_errno(err, "fill up log segment %u of '%s'", w->segment, w->dir);
    if (used && w->stats)
        atomic_fetch_add(&w->stats->pages, 1);
    if ((r = wal_sync(w, err)) < 0)
        return r;
    return open_segment(w, w->segment + 1, err);
}

/* ---- the folder ---- */

int folder_sync(const char *path, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? err_errno(err, "sync '%s'", path) : 0;
}

static bool is_segment(const char *name, uint32_t *ret)
{
    uint64_t n;
    if (strlen(name) < 6 || sv_to_u64(sv_cstr(name), &n) < 0 || n > UINT32_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

int wal_segments(const char *dir, uint32_t *ret_first, uint32_t *ret_last, Err *err)
{
    struct dirent *e;
    DIR *d;
    uint32_t n, first = UINT32_MAX, last = 0;
    int r = dir_list(AT_FDCWD, dir, &d);
    if (r < 0)
        return err_neg(err, r, "list '%s'", dir);
    while ((r = dir_next(d, &e)) > 0)
        if (is_segment(e->d_name, &n)) {
            first = MIN(first, n);
            last = MAX(last, n);
        }
    closedir(d);
    if (r < 0)
        return err_neg(err, r, "list '%s'", dir);
    if (first > last)
        return err_set(err, ERR_NOT_FOUND, 0, "no log segment in '%s'", dir);
    *ret_first = first;
    *ret_last = last;
    return 0;
}

uint64_t wal_bytes(const char *dir)
{
    struct dirent *e;
    DIR *d;
    uint64_t sum = 0;
    uint32_t n;
    struct stat st;
    if (dir_list(AT_FDCWD, dir, &d) < 0)
        return 0;
    while (dir_next(d, &e) > 0)
        if (is_segment(e->d_name, &n) && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
            sum += (uint64_t)st.st_size;
    closedir(d);
    return sum;
}

int wal_truncate(const char *dir, uint32_t first, Err *err)
{
    struct dirent *e;
    DIR *d;
    uint32_t n;
    int r = dir_list(AT_FDCWD, dir, &d), more = 0;
    if (r < 0)
        return err_neg(err, r, "list '%s'", dir);
    while (r == 0 && (more = dir_next(d, &e)) > 0)
        if (is_segment(e->d_name, &n) && n < first && unlinkat(dirfd(d), e->d_name, 0) < 0)
            r = err_errno(err, "delete log segment '%s/%s'", dir, e->d_name);
    closedir(d);
    return more < 0 ? err_neg(err, more, "list '%s'", dir) : r;
}

int wal_last_checkpoint(const char *dir, char *ret_path, size_t size, uint32_t *ret_segment,
                        Err *err)
{
    struct dirent *e;
    DIR *d;
    uint64_t n;
    bool found = false;
    int r = dir_list(AT_FDCWD, dir, &d);
    if (r < 0)
        return err_neg(err, r, "list '%s'", dir);
    while ((r = dir_next(d, &e)) > 0) {
        StrView name = sv_cstr(e->d_name);
        if (!sv_starts(name, SV("checkpoint.")) || sv_to_u64(sv_skip(name, 11), &n) < 0 ||
            (found && n < *ret_segment))
            continue;
        found = true;
        *ret_segment = (uint32_t)n;
        snprintf(ret_path, size, "%.4000s/%s", dir, e->d_name);
    }
    closedir(d);
    if (r < 0)
        return err_neg(err, r, "list '%s'", dir);
    return found ? 0 : err_set(err, ERR_NOT_FOUND, 0, "no checkpoint in '%s'", dir);
}
