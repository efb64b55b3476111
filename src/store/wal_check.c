/* wal_check.c - one pass over the log as SQLite reads it, and a second over what lies behind the
 * point where that ends. */
#include "store/wal_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"

#define WAL_MAGIC   0x377f0682u /* its lowest bit: checksums over big-endian words */
#define WAL_VERSION 3007000u

typedef struct Sum {
    uint32_t a, b;
} Sum;

typedef struct Wal {
    int fd;
    const Mark *mark; /* of this very log, or NULL */
    bool reused;      /* no mark: an older program wrote over its log from the start again */
    uint64_t size, n; /* bytes; frames, the last perhaps incomplete */
    uint32_t page;
    bool big; /* byte order of the checksums */
    uint32_t salts[2];
    Sum header_sum;
    unsigned char *frame; /* room for one */
} Wal;

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t word(const Wal *w, const unsigned char *p)
{
    return w->big ? be32(p)
                  : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static Sum add(const Wal *w, Sum s, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        s.a += word(w, p + i) + s.b;
        s.b += word(w, p + i + 4) + s.a;
    }
    return s;
}

static uint64_t frame_size(const Wal *w)
{
    return WAL_FRAME_HEADER + (uint64_t)w->page;
}

static uint64_t offset_of(const Wal *w, uint64_t frame)
{
    return WAL_HEADER + frame * frame_size(w);
}

/* Up to n bytes; what is missing is zero. Returns how many there were, or < 0. */
static ssize_t read_at(const Wal *w, unsigned char *buf, size_t n, uint64_t at, Err *err)
{
    size_t got = 0;
    memset(buf, 0, n);
    while (got < n) {
        ssize_t k = pread(w->fd, buf + got, n - got, (off_t)(at + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_errno(err, "read the store's log");
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (ssize_t)got;
}

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static bool salted(const Wal *w, const unsigned char *frame)
{
    return be32(frame + 8) == w->salts[0] && be32(frame + 12) == w->salts[1];
}

/* Does the frame follow one with checksum *s? Then *s becomes its own. */
static bool follows(const Wal *w, const unsigned char *frame, Sum *s)
{
    Sum sum = add(w, *s, frame, 8);
    sum = add(w, sum, frame + WAL_FRAME_HEADER, w->page);
    if (!salted(w, frame) || be32(frame) == 0 || sum.a != be32(frame + 16) ||
        sum.b != be32(frame + 20))
        return false;
    *s = sum;
    return true;
}

/* 1: there is a header; 0: there is none; -ERR_CORRUPT without a message: it is damaged. */
static int read_header(Wal *w, bool *ret_zero, Err *err)
{
    unsigned char h[SECTOR];
    ssize_t got = read_at(w, h, sizeof h, 0, err);
    *ret_zero = false;
    if (got < 0)
        return (int)got;
    uint32_t magic = be32(h);
    w->big = magic & 1;
    w->page = be32(h + 8);
    w->salts[0] = be32(h + 16);
    w->salts[1] = be32(h + 20);
    w->header_sum = add(w, (Sum){ 0 }, h, 24);
    if (got >= WAL_HEADER && (magic & ~1u) == WAL_MAGIC && be32(h + 4) == WAL_VERSION &&
        w->page >= 512 && w->page <= WAL_PAGE_MAX && !(w->page & (w->page - 1)) &&
        w->header_sum.a == be32(h + 24) && w->header_sum.b == be32(h + 28))
        return 1;
    *ret_zero = got < WAL_HEADER || all_zero(h, (size_t)got);
    return 0;
}

/* Was a piece of frame i lost, as a torn write loses it: missing, or zero where no zeros were
 * written? */
static bool lost_piece(Wal *w, uint64_t i, Err *err)
{
    unsigned char sector[SECTOR];
    uint64_t begin = offset_of(w, i), end = begin + frame_size(w);
    if (end > w->size)
        return true;
    for (uint64_t at = begin / SECTOR * SECTOR; at < end; at += SECTOR) {
        ssize_t got = read_at(w, sector, sizeof sector, at, err);
        if (got < 0 || !all_zero(sector, (size_t)got))
            continue;
        const Mark *m = w->mark;
        if (!m || !m->zero_bits || i < m->before.frames || i >= m->last.frames)
            return true;
        uint64_t bit = at / SECTOR - offset_of(w, m->before.frames) / SECTOR;
        if (bit >= m->zero_bits || !mark_zero(m, bit))
            return true;
    }
    return false;
}

/* Can everything from frame `from` on be the rest of one torn transaction? */
static int explain(Wal *w, uint64_t from, Sum sum, WalState *ret, Err *err)
{
    bool ended = false, before_lost = false, any = false;
    *ret = WAL_DAMAGED;
    for (uint64_t i = from; i < w->n; i++) {
        if (read_at(w, w->frame, frame_size(w), offset_of(w, i), err) < 0)
            return -ERR_SYS;
        if (all_zero(w->frame, frame_size(w))) { /* lost, or not written since the log was wiped */
            before_lost = true;
            continue;
        }
        if (w->reused && !salted(w, w->frame))
            break; /* what the log held before */
        if (ended)
            return 0; /* there is more behind the transaction's end */
        any = true;
        ended = salted(w, w->frame) && be32(w->frame + 4) != 0;
        bool fits = follows(w, w->frame, &sum);
        sum = (Sum){ be32(w->frame + 16), be32(w->frame + 20) };
        bool lost = !fits && lost_piece(w, i, err);
        if (!fits && !lost && !before_lost)
            return 0;
        before_lost = lost; /* its checksum, the next one's beginning, may be what was lost */
    }
    *ret = any ? WAL_TORN : WAL_WHOLE;
    return 0;
}

static int scan(Wal *w, WalReport *rep, Err *err)
{
    Sum sum = w->header_sum, last_sum = sum;
    uint64_t i = 0;
    for (; i < w->n && offset_of(w, i + 1) <= w->size; i++) {
        if (read_at(w, w->frame, frame_size(w), offset_of(w, i), err) < 0)
            return -ERR_SYS;
        if (!follows(w, w->frame, &sum))
            break;
        if (be32(w->frame + 4) != 0) {
            rep->frames = i + 1;
            last_sum = sum;
        }
    }
    rep->keep = rep->frames ? offset_of(w, rep->frames) : 0;
    rep->damage_at = offset_of(w, i);
    if (w->mark && rep->frames < w->mark->before.frames) {
        rep->state = WAL_DAMAGED;
        return 0;
    }
    return explain(w, rep->frames, last_sum, &rep->state, err);
}

/* The mark wants nothing of the log with its salts: that one has been moved into the database. */
static bool is_spent(const Mark *m)
{
    return m->seq && m->last.frames == 0 && m->before.frames == 0;
}

/* Is this the head of a frame that was being wiped? Eight bytes of it lie in one sector, so that
 * the salts are there or zero. */
static bool is_wiped(const Mark *m, const unsigned char *head)
{
    return is_spent(m) && (all_zero(head + 8, 8) ||
                           (be32(head + 8) == m->salts[0] && be32(head + 12) == m->salts[1]));
}

/* Without a header only the very first transaction can have been torn. */
static int without_header(Wal *w, const Mark *mark, bool zero, WalReport *rep, Err *err)
{
    unsigned char first[WAL_HEADER + WAL_FRAME_HEADER];
    w->page = 4096;
    rep->state = WAL_DAMAGED;
    if (!zero)
        return 0;
    if (w->size < sizeof first) {
        rep->state = WAL_TORN;
        return 0;
    }
    w->n = (w->size - WAL_HEADER + frame_size(w) - 1) / frame_size(w);
    int ends = 0;
    bool any = false, wiped = false;
    for (uint64_t i = 0; i < w->n; i++) {
        if (read_at(w, first, WAL_FRAME_HEADER, offset_of(w, i), err) < 0)
            return -ERR_SYS;
        if (all_zero(first, WAL_FRAME_HEADER))
            continue;
        if (is_wiped(mark, first)) {
            wiped = true;
            continue;
        }
        if (ends)
            return 0; /* more behind a transaction's end */
        any = true;
        ends += be32(first + 4) != 0;
    }
    rep->state = any ? WAL_TORN : wiped ? WAL_SPENT : WAL_WHOLE;
    return 0;
}

int wal_check(int fd, const Mark *mark, WalReport *ret, Err *err)
{
    struct stat st;
    *ret = (WalReport){ 0 };
    if (fstat(fd, &st) < 0)
        return err_errno(err, "look at the store's log");
    Wal w = { .fd = fd, .size = (uint64_t)st.st_size };
    bool zero;
    if (!w.size)
        return 0;
    int r = read_header(&w, &zero, err);
    if (r < 0)
        return r;
    if (r == 0)
        return without_header(&w, mark, zero, ret, err);
    memcpy(ret->salts, w.salts, sizeof w.salts);
    if (mark->seq && memcmp(mark->salts, w.salts, sizeof w.salts) == 0)
        w.mark = mark;
    if (w.mark && is_spent(mark)) {
        ret->state = WAL_SPENT;
        return 0;
    }
    w.reused = mark->seq == 0;
    w.n = (w.size - WAL_HEADER + frame_size(&w) - 1) / frame_size(&w);
    if (!(w.frame = malloc(frame_size(&w))))
        return err_nomem(err);
    r = scan(&w, ret, err);
    free(w.frame);
    return r;
}
