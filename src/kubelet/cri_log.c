/* cri_log.c - lines of the CRI's log format, filtered for those who read logs, and the search for a
 * file's end. */
#include "kubelet/cri_log.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

enum { BLOCK = 65536 };

bool cri_line_parse(StrView line, CriLine *ret)
{
    StrView stream, tag, rest;
    *ret = (CriLine){ 0 };
    if (!sv_cut(line, ' ', &ret->time, &rest) || rfc3339_parse(ret->time, &ret->ns) < 0 ||
        !sv_cut(rest, ' ', &stream, &rest))
        return false;
    ret->is_stderr = sv_eq(stream, SV("stderr"));
    if (!ret->is_stderr && !sv_eq(stream, SV("stdout")))
        return false;
    if (!sv_cut(rest, ' ', &tag, &ret->text)) /* an empty line may end behind the tag */
        ret->text = SV("");
    sv_cut(tag, ':', &tag, &rest); /* more tags may follow */
    ret->partial = sv_eq(tag, SV("P"));
    return ret->partial || sv_eq(tag, SV("F"));
}

static void put(CriFilter *f, Buf *out, StrView s)
{
    if (f->limit >= 0 && (uint64_t)f->limit <= s.len) {
        s = sv_head(s, (size_t)f->limit);
        f->done = true;
    }
    if (f->limit >= 0)
        f->limit -= (int64_t)s.len;
    buf_sv(out, s);
}

static void put_line(CriFilter *f, const CriLine *l, Buf *out)
{
    if (l->ns < f->since_ns || (l->is_stderr ? f->no_stderr : f->no_stdout))
        return;
    if (f->timestamps && !f->in_line) {
        put(f, out, l->time);
        if (!f->done)
            put(f, out, SV(" "));
    }
    if (!f->done)
        put(f, out, l->text);
    if (!f->done && !l->partial)
        put(f, out, SV("\n"));
    f->in_line = l->partial;
}

size_t cri_filter(CriFilter *f, StrView data, Buf *out)
{
    size_t used = 0;
    while (!f->done) {
        StrView rest = sv_skip(data, used);
        ssize_t n = sv_find_char(rest, '\n');
        CriLine line;
        if (n < 0)
            break;
        if (cri_line_parse(sv_head(rest, (size_t)n), &line))
            put_line(f, &line, out);
        used += (size_t)n + 1;
    }
    return used;
}

int64_t cri_tail_offset(int fd, uint64_t n)
{
    char block[BLOCK];
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        return -errno;
    if (n == 0)
        return end;
    /* The newline before the n-th line from the end is the (n+1)-th from there: the last line has
     * one itself. */
    for (off_t at = end; at > 0;) {
        size_t len = (size_t)MIN(at, (off_t)BLOCK);
        at -= (off_t)len;
        ssize_t got = pread(fd, block, len, at);
        if (got < 0)
            return -errno;
        for (ssize_t i = got - 1; i >= 0; i--)
            if (block[i] == '\n' && n-- == 0)
                return at + i + 1;
    }
    return 0;
}
