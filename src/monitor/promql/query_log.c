/* query_log.c - see query_log.h. */
#include "monitor/promql/query_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"

enum { FILE_MAX = 1 << 26 };

struct QueryLog {
    char *map;
    size_t size;
    unsigned slots;
};

void query_log_unfinished(StrView file, Buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < file.len; i++)
        if (file.ptr[i])
            buf_putc(out, file.ptr[i]);
    if (out->failed || out->len <= start + 1)
        out->len = start;
    else
        out->ptr[out->len - 1] = ']'; /* instead of the last comma */
}

/* All of it is on the disk: writing into a hole of a mapped file could fail on a full one. */
static int map_file(const char *path, QueryLog *l, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(err, "open '%s'", path);
    int e = posix_fallocate(fd, 0, (off_t)l->size);
    if (e)
        return err_neg(err, -e, "make '%s' %zu bytes large", path, l->size);
    void *map = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return err_errno(err, "map '%s'", path);
    l->map = map;
    l->map[0] = '[';
    return 0;
}

int query_log_open(StrView dir, unsigned slots, Buf *unfinished, QueryLog **ret, Err *err)
{
    _cleanup_buf_ Buf path = BUF_INIT, file = BUF_INIT;
    buf_printf(&path, "%.*s/queries.active", SV_FMT(dir));
    QueryLog *l = calloc(1, sizeof *l);
    if (!l || !buf_cstr(&path)) {
        free(l);
        return err_nomem(err);
    }
    l->slots = slots;
    l->size = 1 + (size_t)slots * QUERY_LOG_SLOT;
    if (file_read(AT_FDCWD, path.ptr, FILE_MAX, &file) == 0)
        query_log_unfinished(buf_view(&file), unfinished);
    int r = map_file(path.ptr, l, err);
    if (r < 0) {
        query_log_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

QueryLog *query_log_close(QueryLog *l)
{
    if (l && l->map)
        munmap(l->map, l->size);
    free(l);
    return NULL;
}

static char *slot_at(const QueryLog *l, unsigned i)
{
    return l->map + 1 + (size_t)i * QUERY_LOG_SLOT;
}

static void put_entry(StrView query, int64_t now_s, Buf *out)
{
    buf_clear(out);
    buf_sv(out, SV("{\"query\":"));
    json_encode_string(query, out);
    buf_printf(out, ",\"timestamp_sec\":%lld}", (long long)now_s);
}

/* Not inside a character of UTF-8. */
static StrView cut(StrView s, size_t len)
{
    while (len && ((unsigned char)s.ptr[len] & 0xc0) == 0x80)
        len--;
    return sv_head(s, len);
}

int query_log_add(QueryLog *l, StrView query, int64_t now_s)
{
    _cleanup_buf_ Buf entry = BUF_INIT;
    unsigned i = 0;
    while (l && i < l->slots && *slot_at(l, i))
        i++;
    if (!l || i == l->slots)
        return -1;
    if (query.len > QUERY_LOG_SLOT)
        query = cut(query, QUERY_LOG_SLOT);
    for (put_entry(query, now_s, &entry); entry.len >= QUERY_LOG_SLOT && query.len;
         put_entry(query, now_s, &entry))
        query = cut(query, query.len - MIN(query.len, 1 + (entry.len - QUERY_LOG_SLOT) / 6));
    if (entry.failed)
        return -1;
    memcpy(slot_at(l, i), entry.ptr, entry.len);
    slot_at(l, i)[QUERY_LOG_SLOT - 1] = ',';
    return (int)i;
}

void query_log_remove(QueryLog *l, int slot)
{
    if (l && slot >= 0)
        memset(slot_at(l, (unsigned)slot), 0, QUERY_LOG_SLOT);
}
