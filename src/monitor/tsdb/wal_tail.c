/* wal_tail.c - see wal_tail.h. A page is read at a time; fragments do not cross pages. The writer
 * adds records by one write each, so that a fragment which is there only in part is waited for. */
#include "monitor/tsdb/wal_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "monitor/tsdb/wal_internal.h"
#include "monitor/tsdb/wire.h"

struct WalTail {
    char dir[PATH_MAX], checkpoint[PATH_MAX]; /* checkpoint: the folder that is read, or empty */
    uint32_t upto, checkpoint_last;           /* of the checkpoint: what it stands for, its last */
    WalPlace from;
    bool begun, sealed; /* sealed: it was done before the last look */
    int fd;             /* -1: none is open */
    uint32_t segment;
    uint64_t at, opened_at; /* opened_at: where the record at hand begins */
    bool inside, skipping;  /* a record; what belongs to a damaged one */
    Buf record, plain;
    WalTailStats stats;
    size_t page_len;
    uint64_t page_at;
    uint8_t page[WAL_PAGE];
};

int wal_end(const char *dir, WalPlace *ret, Err *err)
{
    uint32_t first, last;
    struct stat st;
    char path[PATH_MAX];
    *ret = (WalPlace){ 0, 0 };
    int r = wal_segments(dir, &first, &last, err);
    if (r == -ERR_NOT_FOUND) {
        err_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    wal_segment_path(dir, last, path);
    if (stat(path, &st) < 0)
        return err_errno(err, "look at log segment '%s'", path);
    *ret = (WalPlace){ last, (uint64_t)st.st_size };
    return 0;
}

int wal_tail_new(const char *dir, WalPlace from, WalTail **ret, Err *err)
{
    WalTail *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    snprintf(t->dir, sizeof t->dir, "%s", dir);
    t->from = from;
    t->fd = -1;
    *ret = t;
    return 0;
}

WalTail *wal_tail_free(WalTail *t)
{
    if (t) {
        closep(&t->fd);
        buf_free(&t->record);
        buf_free(&t->plain);
        free(t);
    }
    return NULL;
}

WalPlace wal_tail_place(const WalTail *t)
{
    return t->from;
}

WalTailStats wal_tail_stats(const WalTail *t)
{
    return t->stats;
}

/* ---- segments ---- */

/* Goes to the checkpoint, or where there is none to the first segment. 0: the log is empty. */
static int start_over(WalTail *t, Err *err)
{
    uint32_t first, last, cp_first;
    int r = wal_segments(t->dir, &first, &last, err);
    if (r == -ERR_NOT_FOUND) {
        err_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    t->segment = first;
    t->checkpoint[0] = 0;
    if (wal_last_checkpoint(t->dir, t->checkpoint, sizeof t->checkpoint, &t->upto, NULL) == 0) {
        t->segment = t->upto + 1;
        if (wal_segments(t->checkpoint, &cp_first, &t->checkpoint_last, NULL) == 0)
            t->segment = cp_first;
        else
            t->checkpoint[0] = 0;
    } else {
        t->checkpoint[0] = 0;
    }
    if (t->from.segment < first)
        t->stats.segments_lost += first - t->from.segment;
    t->begun = true;
    return 1;
}

/* Nothing will be added to the open segment: the next one is there, or it was deleted. */
static bool is_done(const WalTail *t)
{
    char path[PATH_MAX];
    struct stat st;
    wal_segment_path(t->dir, t->segment + 1, path);
    return access(path, F_OK) == 0 || (fstat(t->fd, &st) == 0 && st.st_nlink == 0);
}

/* Opens t->segment. 0: it is not there yet. */
static int open_segment(WalTail *t, Err *err)
{
    char path[PATH_MAX];
    bool in_checkpoint = t->checkpoint[0] != 0;
    for (int tries = 0; tries < 3; tries++) {
        wal_segment_path(in_checkpoint ? t->checkpoint : t->dir, t->segment, path);
        t->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (t->fd >= 0) {
            t->at = t->page_at = 0;
            t->page_len = 0;
            t->sealed = in_checkpoint;
            t->inside = t->skipping = false;
            return 1;
        }
        if (errno != ENOENT)
            return err_errno(err, "open log segment '%s'", path);
        uint32_t first, last;
        if (!in_checkpoint && wal_segments(t->dir, &first, &last, NULL) == 0 && last < t->segment)
            return 0;
        /* Deleted before it was read: the log was shortened. */
        int r = start_over(t, err);
        if (r <= 0)
            return r;
        in_checkpoint = t->checkpoint[0] != 0;
    }
    return 0;
}

static void leave_segment(WalTail *t)
{
    t->stats.damages += t->inside;
    closep(&t->fd);
    if (t->checkpoint[0] && t->segment >= t->checkpoint_last) {
        t->checkpoint[0] = 0;
        t->segment = t->upto + 1;
    } else {
        t->segment++;
    }
}

/* ---- records ---- */

/* The segment ends before t->at: a write that failed was cut off again. */
static int fall_back(WalTail *t, Err *err)
{
    struct stat st;
    if (fstat(t->fd, &st) < 0)
        return err_errno(err, "look at log segment %u of '%s'", t->segment, t->dir);
    t->at = MIN(t->at, (uint64_t)st.st_size);
    t->inside = false;
    return 0;
}

/* Reads the page at t->at as it is now. */
static int fill_page(WalTail *t, Err *err)
{
    uint64_t page = t->at - t->at % WAL_PAGE;
    ssize_t n;
    do {
        n = pread(t->fd, t->page, WAL_PAGE, (off_t)page);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, "read log segment %u of '%s'", t->segment, t->dir);
    t->page_at = page;
    t->page_len = (size_t)n;
    return page + t->page_len < t->at ? fall_back(t, err) : 0;
}

static StrView page_left(const WalTail *t)
{
    uint64_t end = t->page_at + t->page_len;
    if (t->at < t->page_at || t->at >= end)
        return SV("");
    return sv_n(t->page + (t->at - t->page_at), (size_t)(end - t->at));
}

/* What stands here is no fragment: on with the next page, if there is one. */
static int damage(WalTail *t)
{
    if (!t->skipping)
        t->stats.damages++;
    t->inside = false;
    t->skipping = true;
    t->at += WAL_PAGE - t->at % WAL_PAGE;
    return 0;
}

/* One fragment. 1: *ret is set. 0: look again (t->at may have moved). -EAGAIN: not yet there. */
static int take_fragment(WalTail *t, uint8_t *ret_type, StrView *ret)
{
    StrView left = page_left(t);
    size_t room = WAL_PAGE - t->at % WAL_PAGE;
    if (!left.len)
        return -EAGAIN;
    if (left.ptr[0] == WAL_PAGE_END || room < WAL_HEADER) {
        /* Padding; of the open segment it is the few bytes that no header fits into. */
        if (left.len < room && !t->sealed)
            return -EAGAIN;
        t->at += left.len;
        return 0;
    }
    if (left.len < WAL_HEADER)
        return -EAGAIN;
    WireReader r = wire_reader(left);
    *ret_type = wire_u8(&r);
    size_t n = (size_t)wire_u8(&r) << 8;
    n |= wire_u8(&r);
    uint32_t crc = wire_be32(&r);
    if (n + WAL_HEADER > room)
        return damage(t);
    const uint8_t *data = wire_take(&r, n);
    if (!data)
        return -EAGAIN;
    if (crc32c(0, data, n) != crc)
        return t->page_len == WAL_PAGE || t->sealed ? damage(t) : -EAGAIN;
    *ret = sv_n(data, n);
    t->at += WAL_HEADER + n;
    return 1;
}

/* 1: a record is whole in t->record, *ret_type is of its last fragment. */
static int add_fragment(WalTail *t, uint8_t type, StrView data)
{
    uint8_t kind = type & WAL_TYPE_MASK;
    bool opens = kind == WAL_FULL || kind == WAL_FIRST;
    if (t->skipping && !opens)
        return 0;
    t->skipping = false;
    if (opens == t->inside || kind > WAL_LAST || t->record.len + data.len > WAL_RECORD_MAX) {
        t->stats.damages++;
        t->inside = false;
        t->skipping = true;
        if (!opens)
            return 0;
        t->skipping = false;
    }
    if (opens) {
        t->opened_at = t->at - WAL_HEADER - data.len;
        buf_clear(&t->record);
    }
    buf_sv(&t->record, data);
    t->inside = kind == WAL_FIRST || kind == WAL_MIDDLE;
    return !t->inside;
}

/* Back to the begin of a record that there was no memory for. */
static int again(WalTail *t, Err *err)
{
    t->at = t->opened_at;
    t->inside = false;
    return err_nomem(err);
}

/* 1: a record. 0: the end of what is there. */
static int read_record(WalTail *t, uint8_t *ret_type, Err *err)
{
    uint64_t looked = UINT64_MAX; /* where the page was read anew, and not enough was there */
    for (;;) {
        StrView data;
        int r = take_fragment(t, ret_type, &data);
        if (r == -EAGAIN) {
            if (looked == t->at)
                return 0;
            if ((r = fill_page(t, err)) < 0)
                return r;
            looked = t->at;
        } else if (r == 1 && add_fragment(t, *ret_type, data)) {
            return t->record.failed ? again(t, err) : 1;
        }
    }
}

int wal_tail_next(WalTail *t, WalTailRecord *ret, Err *err)
{
    int r;
    if (!t->begun && (r = start_over(t, err)) <= 0)
        return r;
    for (;;) {
        uint8_t type;
        if (t->fd < 0 && (r = open_segment(t, err)) <= 0)
            return r;
        if ((r = read_record(t, &type, err)) < 0)
            return r;
        if (r == 0 && !t->sealed && !is_done(t))
            return 0;
        if (r == 0 && !t->sealed) {
            t->sealed = true; /* one more look: it is complete now */
            continue;
        }
        if (r == 0) {
            leave_segment(t);
            continue;
        }
        StrView plain = wal_unpack(buf_view(&t->record), type, &t->plain);
        if (!plain.ptr && t->plain.failed)
            return again(t, err);
        if (!plain.ptr) {
            t->stats.damages++;
            continue;
        }
        t->stats.records++;
        *ret = (WalTailRecord){ plain, { t->segment, t->at }, false };
        if (!t->checkpoint[0] && wal_place_before(t->from, ret->end)) {
            /* `from` is an end of a record, or inside of one that was being written. */
            ret->is_fresh = true;
            t->from = ret->end;
        }
        return 1;
    }
}
