/* delta.c - a delta is a row of operations: a number n * 2 + 1 and an offset copy n bytes of the
 * other text; n * 2 and n bytes bring these. Numbers are base-128, low bits first.
 *
 * What is equal at both ends is cut off first. Of what the other text has in between, each block of
 * 16 bytes is put into a table by its hash; the new text is looked up in it at every byte. */
#include "store/delta.h"

enum {
    BLOCK = 16,
    SLOTS = 4096,
    COPY_MIN = 12, /* shorter matches are not worth their operation */
};

typedef struct Writer {
    Buf *out;
    size_t end; /* `out` must not become longer */
    bool full;
} Writer;

static void put_number(Buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_putc(out, (char)(n | 0x80));
    buf_putc(out, (char)n);
}

static void put_copy(Writer *w, size_t offset, size_t len)
{
    if (!len)
        return;
    put_number(w->out, (uint64_t)len << 1 | 1);
    put_number(w->out, offset);
}

static void put_new(Writer *w, StrView text)
{
    if (!text.len)
        return;
    w->full |= w->out->len + text.len > w->end;
    if (w->full)
        return;
    put_number(w->out, (uint64_t)text.len << 1);
    buf_sv(w->out, text);
}

static unsigned slot_of(const char *p)
{
    uint64_t x, y;
    memcpy(&x, p, sizeof x);
    memcpy(&y, p + sizeof x, sizeof y);
    x = (x ^ y * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return (unsigned)(x >> 40) % SLOTS;
}

/* `from` and `to` are the middles; `shift` is where the former begins in its text. */
static void put_middle(Writer *w, StrView from, StrView to, size_t shift)
{
    uint32_t slots[SLOTS]; /* position + 1 */
    if (from.len < BLOCK || to.len < BLOCK || from.len > UINT32_MAX / 2) {
        put_new(w, to);
        return;
    }
    memset(slots, 0, sizeof slots);
    size_t step = MAX((size_t)BLOCK, from.len / SLOTS);
    for (size_t at = 0; at + BLOCK <= from.len; at += step)
        slots[slot_of(from.ptr + at)] = (uint32_t)at + 1;
    size_t done = 0;
    for (size_t i = 0; i + BLOCK <= to.len && !w->full;) {
        size_t at = slots[slot_of(to.ptr + i)], len = BLOCK;
        if (!at-- || memcmp(from.ptr + at, to.ptr + i, BLOCK) != 0) {
            i++;
            continue;
        }
        while (i + len < to.len && at + len < from.len && to.ptr[i + len] == from.ptr[at + len])
            len++;
        while (i > done && at > 0 && to.ptr[i - 1] == from.ptr[at - 1])
            i--, at--, len++;
        put_new(w, sv_n(to.ptr + done, i - done));
        put_copy(w, shift + at, len);
        done = i += len;
    }
    put_new(w, sv_skip(to, done));
}

static size_t common_start(StrView x, StrView y)
{
    size_t n = 0, max = MIN(x.len, y.len);
    while (n < max && x.ptr[n] == y.ptr[n])
        n++;
    return n;
}

static size_t common_end(StrView x, StrView y)
{
    size_t n = 0, max = MIN(x.len, y.len);
    while (n < max && x.ptr[x.len - 1 - n] == y.ptr[y.len - 1 - n])
        n++;
    return n;
}

bool delta_encode(StrView from, StrView to, size_t max, Buf *out)
{
    Writer w = { out, out->len + max, false };
    size_t before = out->len, start = common_start(from, to);
    start = start < COPY_MIN ? 0 : start;
    StrView f = sv_skip(from, start), t = sv_skip(to, start);
    size_t end = common_end(f, t);
    end = end < COPY_MIN ? 0 : end;
    put_copy(&w, 0, start);
    put_middle(&w, sv_head(f, f.len - end), sv_head(t, t.len - end), start);
    put_copy(&w, from.len - end, end);
    if (!w.full && !out->failed && out->len <= w.end)
        return true;
    out->len = before;
    return false;
}

static bool get_number(StrView *in, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; in->len && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*in->ptr;
        *in = sv_skip(*in, 1);
        *ret |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return true;
    }
    return false;
}

bool delta_apply(StrView from, StrView delta, char *to, size_t len)
{
    size_t done = 0;
    while (delta.len) {
        uint64_t n, offset;
        if (!get_number(&delta, &n))
            return false;
        bool copy = n & 1;
        n >>= 1;
        if (n > len - done)
            return false;
        if (copy) {
            if (!get_number(&delta, &offset) || offset > from.len || n > from.len - offset)
                return false;
            memcpy(to + done, from.ptr + offset, n);
        } else {
            if (n > delta.len)
                return false;
            memcpy(to + done, delta.ptr, n);
            delta = sv_skip(delta, n);
        }
        done += n;
    }
    return done == len;
}
