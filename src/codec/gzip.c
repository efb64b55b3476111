#include "codec/gzip.h"

#include <zlib.h>

enum { STEP = 64 * 1024, WINDOW_GZIP = 15 + 16 };

static int begin(Gunzip *g, Err *err)
{
    g->z = calloc(1, sizeof *g->z);
    if (g->z && inflateInit2(g->z, WINDOW_GZIP) == Z_OK)
        return 0;
    free(g->z);
    g->z = NULL;
    return err_nomem(err);
}

/* One call of inflate: what it read of `in`; negative: an error. */
static ssize_t step(Gunzip *g, StrView in, Buf *out, Err *err)
{
    uInt n = (uInt)MIN(in.len, (size_t)UINT_MAX);
    if (!buf_reserve(out, STEP))
        return err_nomem(err);
    g->z->next_in = (Bytef *)(uintptr_t)in.ptr;
    g->z->avail_in = n;
    g->z->next_out = (Bytef *)out->ptr + out->len;
    g->z->avail_out = STEP;
    int r = inflate(g->z, Z_NO_FLUSH);
    out->len += STEP - g->z->avail_out;
    g->ended = r == Z_STREAM_END;
    if (r == Z_MEM_ERROR)
        return err_nomem(err);
    if (r != Z_OK && r != Z_BUF_ERROR && r != Z_STREAM_END)
        return err_set(err, ERR_INVALID, 0, "gzip: invalid data");
    return (ssize_t)(n - g->z->avail_in);
}

int gunzip_feed(Gunzip *g, StrView in, size_t max, Buf *out, Err *err)
{
    int e = g->z ? 0 : begin(g, err);
    if (e < 0)
        return e;
    for (bool more = in.len > 0; more;) {
        if (g->ended && inflateReset(g->z) != Z_OK) /* another member follows */
            return err_set(err, ERR_INVALID, 0, "gzip: invalid data");
        ssize_t n = step(g, in, out, err);
        if (n < 0)
            return (int)n;
        in = sv_skip(in, (size_t)n);
        if (out->len > max)
            return err_set(err, ERR_LIMIT, 0, "the data unpack to more than %zu bytes", max);
        more = in.len > 0 || (!g->ended && g->z->avail_out == 0);
    }
    return 0;
}

int gunzip_finish(const Gunzip *g, Err *err)
{
    return g->ended ? 0 : err_set(err, ERR_INVALID, 0, "gzip: the data end too early");
}

void gunzip_free(Gunzip *g)
{
    if (g->z)
        inflateEnd(g->z);
    free(g->z);
    *g = (Gunzip){ 0 };
}

int gunzip(StrView in, size_t max, Buf *out, Err *err)
{
    Gunzip g = { 0 };
    int r = gunzip_feed(&g, in, max, out, err);
    if (r == 0)
        r = gunzip_finish(&g, err);
    gunzip_free(&g);
    return r;
}

bool gzip_pack(StrView in, Buf *out)
{
    z_stream z = { 0 };
    if (in.len > INT32_MAX ||
        deflateInit2(&z, 1, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t bound = deflateBound(&z, in.len);
    bool ok = buf_reserve(out, bound);
    if (ok) {
        z.next_in = (Bytef *)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)bound;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        if (ok)
            out->len += z.total_out;
    }
    deflateEnd(&z);
    return ok;
}
