/* past.c - segments of some megabytes, named past-REVISION by the first revision in them.
 *
 * What holds: a transaction lies in one segment, and its records lie one behind the other. The last
 * record of each revision says so, and records of a revision are numbered, so that a part of one is
 * never taken for the whole. Segments are in order of their revisions, and only the newest is
 * written to; a start begins a new one. Numbers are in the machine's byte order: the files are not
 * carried elsewhere. */
#include "store/past.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"

enum {
    SEGMENT_BYTES = 4 * 1024 * 1024,       /* the next transaction begins another one */
    SEGMENT_BYTES_MAX = 128 * 1024 * 1024, /* of what is read: more than any kept history */
    TEXT_MAX = 256 * 1024,                 /* written at once, and kept for the next transaction */
    FLAG_MADE = 1,                         /* there was no object before */
    FLAG_LAST = 2,                         /* of its revision */
};

typedef struct RecordHead {
    uint32_t crc; /* of all that follows, key and value too */
    uint32_t val_len;
    uint64_t rev, sum;
    int64_t at; /* Unix seconds */
    uint64_t mod_rev, create_rev;
    int64_t expires;
    uint16_t key_len;
    uint8_t place, flags; /* place: among the events of its revision */
    uint32_t zero;
} RecordHead;
_Static_assert(STORE_OPS_MAX <= 256 && STORE_KEY_MAX <= UINT16_MAX, "places and keys must fit");

enum { NAME_MAX_LEN = 32 };

static void segment_name(uint64_t first, char buf[static NAME_MAX_LEN])
{
    snprintf(buf, NAME_MAX_LEN, "past-%016llx", (unsigned long long)first);
}

static void segment_delete(PastLog *p, const PastSegment *s)
{
    char name[NAME_MAX_LEN];
    segment_name(s->first, name);
    unlinkat(p->dir_fd, name, 0);
}

static void stop_appending(PastLog *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->size = 0;
}

void past_drop(PastLog *p)
{
    stop_appending(p);
    vec_foreach (s, &p->segments)
        segment_delete(p, s);
    vec_clear(&p->segments);
    p->before = (PastSegment){ 0 };
}

void past_forget(PastLog *p, uint64_t floor)
{
    size_t n = 0;
    while (n < p->segments.len && p->segments.items[n].last <= floor)
        segment_delete(p, &p->segments.items[n++]);
    if (!n)
        return;
    p->segments.len -= n;
    if (!p->segments.len)
        stop_appending(p);
    memmove(p->segments.items, p->segments.items + n, p->segments.len * sizeof *p->segments.items);
}

/* ---- opening ---- */

static int by_first(const void *a, const void *b)
{
    uint64_t x = ((const PastSegment *)a)->first, y = ((const PastSegment *)b)->first;
    return x < y ? -1 : x > y;
}

int past_open(PastLog *p, const char *dir, Err *err)
{
    p->fd = -1;
    snprintf(p->dir, sizeof p->dir, "%s", dir);
    p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int again = p->dir_fd < 0 ? -1 : openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d) {
        int r = err_errno(err, "open store in '%s'", dir);
        if (again >= 0)
            close(again);
        return r;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
        unsigned long long first;
        char name[NAME_MAX_LEN];
        if (sscanf(e->d_name, "past-%16llx", &first) != 1)
            continue;
        segment_name(first, name);
        PastSegment s = { .first = first };
        if (strcmp(name, e->d_name) == 0 && !vec_push(&p->segments, s))
            r = err_nomem(err);
    }
    closedir(d);
    if (p->segments.len)
        qsort(p->segments.items, p->segments.len, sizeof *p->segments.items, by_first);
    return r;
}

void past_close(PastLog *p)
{
    stop_appending(p);
    if (p->dir_fd >= 0)
        close(p->dir_fd);
    p->dir_fd = -1;
    vec_free(&p->segments);
    buf_free(&p->text);
}

/* ---- loading ---- */

typedef struct Reading {
    const EngineLoad *load;
    uint64_t next; /* the revision that must come, going back */
    uint64_t sum;  /* that the first of them must have */
    bool first, ended;
    Buf text;
    VEC(size_t) offsets; /* of the segment's whole records */
} Reading;

static RecordHead head_at(const Reading *rd, size_t i)
{
    RecordHead h;
    memcpy(&h, rd->text.ptr + rd->offsets.items[i], sizeof h);
    return h;
}

static size_t record_size(const RecordHead *h)
{
    return sizeof *h + h->key_len + h->val_len;
}

/* Whether a whole record is at `at`. */
static bool record_is_sound(const Buf *text, size_t at, RecordHead *ret)
{
    size_t left = text->len - at;
    if (left < sizeof *ret)
        return false;
    memcpy(ret, text->ptr + at, sizeof *ret);
    return ret->val_len <= STORE_VALUE_MAX && ret->key_len <= STORE_KEY_MAX && ret->key_len &&
           record_size(ret) <= left &&
           ret->crc ==
               crc32c(0, text->ptr + at + sizeof ret->crc, record_size(ret) - sizeof ret->crc);
}

/* Reads a segment up to what is damaged or newer than rd->next; *ret_end is where that begins. */
static int read_segment(PastLog *p, const PastSegment *s, Reading *rd, size_t *ret_end, Err *err)
{
    char name[NAME_MAX_LEN];
    segment_name(s->first, name);
    buf_clear(&rd->text);
    vec_clear(&rd->offsets);
    *ret_end = 0;
    _cleanup_close_ int fd = file_open_regular(p->dir_fd, name, O_RDONLY, 0);
    int r = fd < 0 ? fd : fd_read_all(fd, SEGMENT_BYTES_MAX, &rd->text);
    if (r == -ENOMEM)
        return err_nomem(err);
    RecordHead h;
    size_t at = 0;
    for (; r == 0 && record_is_sound(&rd->text, at, &h) && h.rev <= rd->next;
         at += record_size(&h)) {
        if (!vec_push(&rd->offsets, at))
            return err_nomem(err);
    }
    *ret_end = at;
    return 0;
}

/* The events of one revision end before record `end`: how many they are; 0: they are not whole. */
static size_t whole_revision(const Reading *rd, size_t end)
{
    RecordHead last = head_at(rd, end - 1);
    size_t n = (size_t)last.place + 1;
    if (!(last.flags & FLAG_LAST) || n > end)
        return 0;
    for (size_t i = 0; i < n; i++) {
        RecordHead h = head_at(rd, end - n + i);
        if (h.rev != last.rev || h.place != i || h.sum != last.sum)
            return 0;
    }
    return n;
}

static int hand_over(const Reading *rd, size_t i, Err *err)
{
    RecordHead h = head_at(rd, i);
    const char *key = rd->text.ptr + rd->offsets.items[i] + sizeof h;
    ObjectRev o = { .key = sv_n(key, h.key_len),
                    .val = sv_n(key + h.key_len, h.val_len),
                    .mod_rev = h.mod_rev,
                    .create_rev = h.create_rev,
                    .expires = h.expires };
    int64_t age = clock_real_ns() - h.at * NSEC_PER_SEC;
    return rd->load->past(rd->load->ctx, h.rev, o.key, h.flags & FLAG_MADE ? NULL : &o,
                          MAX(age, (int64_t)0), err);
}

/* Hands over a segment's events from its end on; *ret_any: at least one belonged. */
static int load_segment(Reading *rd, bool *ret_any, Err *err)
{
    int r = 0;
    for (size_t end = rd->offsets.len, n; end && !rd->ended; end -= n) {
        RecordHead h = head_at(rd, end - 1);
        n = whole_revision(rd, end);
        rd->ended = !n || h.rev != rd->next || (rd->first && h.sum != rd->sum);
        for (size_t i = 0; i < n && !rd->ended && r == 0; i++)
            r = hand_over(rd, end - 1 - i, err);
        if (r < 0)
            return r;
        if (!rd->ended) {
            *ret_any = true;
            rd->first = false;
            rd->next = h.rev - 1;
        }
    }
    return 0;
}

/* Cuts a segment at `end`. False: that could not be done. */
static bool cut_segment(PastLog *p, const PastSegment *s, size_t end)
{
    char name[NAME_MAX_LEN];
    segment_name(s->first, name);
    _cleanup_close_ int fd = file_open_regular(p->dir_fd, name, O_WRONLY, 0);
    return fd >= 0 && ftruncate(fd, (off_t)end) == 0;
}

/* Loads segment i; *ret_keep: it has something that belongs to the chain. */
static int take_segment(PastLog *p, size_t i, Reading *rd, bool *ret_keep, Err *err)
{
    PastSegment *s = &p->segments.items[i];
    size_t end;
    *ret_keep = false;
    s->last = rd->next;
    int r = read_segment(p, s, rd, &end, err);
    if (r < 0)
        return r;
    RecordHead h;
    if (end < rd->text.len && !record_is_sound(&rd->text, end, &h))
        log_warn(
            "recent events in '%s/past-%016llx' are damaged: watches from before them list anew",
            p->dir, (unsigned long long)s->first);
    if (end < rd->text.len && !cut_segment(p, s, end))
        return 0;
    return load_segment(rd, ret_keep, err);
}

int past_load(PastLog *p, uint64_t rev, uint64_t sum, const EngineLoad *load, Err *err)
{
    Reading rd = { .load = load, .next = rev, .sum = sum, .first = true };
    size_t i = p->segments.len, kept = 0;
    int r = 0;
    while (i && !rd.ended && r == 0) {
        bool keep;
        r = take_segment(p, i - 1, &rd, &keep, err);
        if (r == 0 && !keep && kept)
            break;
        if (r == 0 && !keep) { /* newer than the store, or nothing of it is sound */
            segment_delete(p, &p->segments.items[i - 1]);
            p->segments.len--;
        } else
            kept++;
        i--;
    }
    for (size_t k = 0; k < i && r == 0; k++)
        segment_delete(p, &p->segments.items[k]);
    if (r == 0) {
        p->segments.len -= i;
        if (i && p->segments.len)
            memmove(p->segments.items, p->segments.items + i,
                    p->segments.len * sizeof *p->segments.items);
    }
    buf_free(&rd.text);
    vec_free(&rd.offsets);
    return r;
}

/* ---- appending ---- */

static void append_record(Buf *out, const StoreEvent *ev, unsigned place, bool last, uint64_t sum,
                          int64_t now)
{
    const ObjectRev *o = ev->prev;
    StrView key = (o ? o : ev->obj)->key, val = o ? o->val : SV_NULL;
    RecordHead h = { .val_len = (uint32_t)val.len,
                     .rev = ev->rev,
                     .sum = sum,
                     .at = now,
                     .mod_rev = o ? o->mod_rev : 0,
                     .create_rev = o ? o->create_rev : 0,
                     .expires = o ? o->expires : 0,
                     .key_len = (uint16_t)key.len,
                     .place = (uint8_t)place,
                     .flags = (uint8_t)((o ? 0 : FLAG_MADE) | (last ? FLAG_LAST : 0)) };
    uint32_t c = crc32c(0, (const char *)&h + sizeof h.crc, sizeof h - sizeof h.crc);
    c = crc32c(c, key.ptr, key.len);
    h.crc = crc32c(c, val.ptr, val.len);
    buf_append(out, &h, sizeof h);
    buf_sv(out, key);
    buf_sv(out, val);
}

/* There is an open segment with room. */
static bool have_segment(PastLog *p, uint64_t first)
{
    char name[NAME_MAX_LEN];
    if (p->fd >= 0 && p->size < SEGMENT_BYTES)
        return true;
    stop_appending(p);
    if (!vec_reserve(&p->segments, p->segments.len + 1))
        return false;
    segment_name(first, name);
    p->fd = file_open_regular(p->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (p->fd < 0) {
        p->fd = -1;
        return false;
    }
    p->segments.items[p->segments.len++] = (PastSegment){ first, first };
    return true;
}

static bool flush_text(PastLog *p)
{
    bool ok =
        !p->text.failed && pwrite(p->fd, p->text.ptr, p->text.len, p->size) == (ssize_t)p->text.len;
    p->size += (int64_t)p->text.len;
    if (p->text.cap > TEXT_MAX)
        buf_free(&p->text);
    buf_clear(&p->text);
    return ok;
}

void past_append(PastLog *p, const StoreEvent *events, size_t n, uint64_t sum, int64_t now)
{
    unsigned place = 0;
    if (!n)
        return;
    size_t segments = p->segments.len;
    PastSegment newest = segments ? p->segments.items[segments - 1] : (PastSegment){ 0 };
    bool ok = have_segment(p, events[0].rev);
    p->before = p->segments.len == segments ? newest : (PastSegment){ 0 };
    p->size_before = p->size;
    for (size_t i = 0; i < n && ok; i++) {
        bool last = i + 1 == n || events[i + 1].rev != events[i].rev;
        place = i && events[i - 1].rev == events[i].rev ? place + 1 : 0;
        append_record(&p->text, &events[i], place, last, sum, now);
        if (p->text.len > TEXT_MAX || i + 1 == n)
            ok = flush_text(p);
    }
    if (ok)
        p->segments.items[p->segments.len - 1].last = events[n - 1].rev;
    else
        past_drop(p);
}

void past_undo(PastLog *p)
{
    if (p->fd < 0 || !p->segments.len)
        return;
    PastSegment *s = &p->segments.items[p->segments.len - 1];
    if (ftruncate(p->fd, (off_t)p->size_before) < 0) {
        past_drop(p);
        return;
    }
    p->size = p->size_before;
    if (p->before.first) {
        *s = p->before;
        return;
    }
    stop_appending(p);
    segment_delete(p, s);
    p->segments.len--;
}
