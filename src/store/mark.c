/* mark.c - two slots, written in turn: a torn write of one leaves the other. */
#include "store/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"

#define MAGIC UINT64_C(0x316b72616d6e6b00) /* "\0knmark1" */

typedef struct Slot {
    uint64_t magic;
    uint64_t seq;
    int64_t time;
    uint32_t salts[2];
    MarkPoint before, last;
    uint32_t zero_bits;
    uint32_t crc; /* of all but itself */
    unsigned char zeros[MARK_ZERO_BYTES];
} Slot;
_Static_assert(sizeof(Slot) <= MARK_SLOT, "a slot must hold it");

static size_t zero_bytes(uint32_t bits)
{
    return (bits + 7) / 8;
}

static uint32_t crc_of(const Slot *s)
{
    uint32_t c = crc32c(0, s, offsetof(Slot, crc));
    return crc32c(c, s->zeros, zero_bytes(s->zero_bits));
}

static bool read_slot(int fd, int i, Slot *s)
{
    memset(s, 0, sizeof *s);
    ssize_t n = pread(fd, s, sizeof *s, (off_t)i * MARK_SLOT);
    return n >= (ssize_t)offsetof(Slot, zeros) && s->magic == MAGIC &&
           zero_bytes(s->zero_bits) <= MARK_ZERO_BYTES && s->crc == crc_of(s);
}

int mark_read(const char *path, Mark *ret, bool *ret_bad, Err *err)
{
    *ret = (Mark){ 0 };
    _cleanup_close_ int fd = file_open_regular(AT_FDCWD, path, O_RDONLY, 0);
    *ret_bad = fd == -EINVAL;
    if (fd == -EINVAL || fd == -ENOENT)
        return 0;
    if (fd < 0)
        return err_neg(err, fd, "open '%s'", path);
    for (int i = 0; i < 2; i++) {
        Slot s;
        if (!read_slot(fd, i, &s) || s.seq <= ret->seq)
            continue;
        *ret = (Mark){ .seq = s.seq,
                       .time = s.time,
                       .salts = { s.salts[0], s.salts[1] },
                       .before = s.before,
                       .last = s.last,
                       .zero_bits = s.zero_bits };
        memcpy(ret->zeros, s.zeros, zero_bytes(s.zero_bits));
    }
    *ret_bad = ret->seq == 0;
    return 0;
}

int mark_open(const char *path, int *ret_fd, Err *err)
{
    int fd = file_open_regular(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
    if (fd == -EINVAL && remove(path) == 0)
        fd = file_open_regular(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
    *ret_fd = MAX(fd, -1);
    if (fd == -EINVAL)
        return err_set(err, ERR_INVALID, 0, "'%s' is no regular file and cannot be replaced by one",
                       path);
    return fd < 0 ? err_neg(err, fd, "open '%s'", path) : 0;
}

int mark_write(int fd, Mark *m, bool sync)
{
    Slot s = { .magic = MAGIC,
               .seq = ++m->seq,
               .time = m->time,
               .salts = { m->salts[0], m->salts[1] },
               .before = m->before,
               .last = m->last,
               .zero_bits = m->zero_bits };
    size_t extra = zero_bytes(m->zero_bits), n = offsetof(Slot, zeros) + extra;
    memcpy(s.zeros, m->zeros, extra);
    s.crc = crc_of(&s);
    ssize_t done = pwrite(fd, &s, n, (off_t)(m->seq % 2) * MARK_SLOT);
    if (done != (ssize_t)n)
        return done < 0 ? -errno : -ENOSPC; /* a part of it: there was no room for the rest */
    return sync && fdatasync(fd) < 0 ? -errno : 0;
}
