/* mark.c - two slots, written in turn: a torn write of one leaves the other. */
#include "store/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/macros.h"

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
    *ret_bad = false;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(err, "open '%s'", path);
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
    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? err_errno(err, "open '%s'", path) : 0;
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
