/* list_stream.c - lists as text.
 *
 * A list consists of a head, its items in order and a tail; LIST_CHUNK of it are made each time the
 * client has taken what was made before. The snapshot keeps the items alive and the list one state,
 * however long that takes; a client that takes nothing is given up by the HTTP server. */
#include "apiserver/list_stream.h"

#include <stdio.h>
#include <zlib.h>

#include "apiserver/object.h"
#include "apiserver/table.h"
#include "base/log.h"

enum {
    LIST_CHUNK = 64 * 1024,
    GZIP_WINDOW_BITS = 13 + 16, /* a gzip header; a compressor takes 48 KiB instead of 256 */
    GZIP_MEM_LEVEL = 6,
    SCRATCH_MAX = 64 * 1024 * 1024, /* the tree of one object, for its cells */
};

typedef struct ListStream {
    ApiCall *x;
    ListAnswer list;
    size_t at;    /* the next item */
    StrView rest; /* what is left of the stored text of the one before, and what follows it */
    StrView end;
    bool zips;
    z_stream z;
} ListStream;

static void encode_list_head(ApiCall *x, const char *kind_suffix, StrView rv, StrView cont,
                             int64_t remaining, Buf *out)
{
    if (x->form == OUTPUT_PARTIAL)
        buf_sv(out,
               SV("{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\""));
    else
        buf_printf(out, "{\"kind\":\"%.*s%s\",\"apiVersion\":\"%.*s\"", SV_FMT(x->res->kind),
                   kind_suffix, SV_FMT(x->res->api_version));
    buf_printf(out, ",\"metadata\":{\"resourceVersion\":\"%.*s\"", SV_FMT(rv));
    if (cont.len)
        buf_printf(out, ",\"continue\":\"%.*s\"", SV_FMT(cont));
    if (remaining >= 0)
        buf_printf(out, ",\"remainingItemCount\":%lld", (long long)remaining);
    buf_sv(out, SV("},\"items\":["));
}

static void partial_head(const ObjectRev *o, Buf *out)
{
    buf_sv(out, SV("{\"metadata\":{\"resourceVersion\":\""));
    buf_u64(out, o->mod_rev);
    buf_sv(out, SV("\","));
}

static void encode_partial_item(const ObjectRev *o, Buf *out)
{
    partial_head(o, out);
    buf_sv(out, sv_skip(object_metadata_text(o), 1));
    buf_putc(out, '}');
}

static void encode_head(ApiCall *x, const ListAnswer *l, Buf *out)
{
    if (x->form == OUTPUT_TABLE)
        table_begin(x, l->rv, l->cont, true, out);
    else
        encode_list_head(x, "List", l->rv, l->cont, l->remaining, out);
}

static void encode_item(ApiCall *x, const ListAnswer *l, size_t i, Arena *scratch, Buf *out)
{
    if (i)
        buf_putc(out, ',');
    if (x->form == OUTPUT_TABLE)
        table_row(x, l->objs[i], scratch, out);
    else if (x->form == OUTPUT_PARTIAL)
        encode_partial_item(l->objs[i], out);
    else
        object_encode(x->res, l->objs[i], l->objs[i]->mod_rev, true, out);
}

static void encode_tail(const ApiCall *x, Buf *out)
{
    if (x->form == OUTPUT_TABLE)
        table_end(out);
    else
        buf_sv(out, SV("]}"));
}

bool list_encode(ApiCall *x, const ListAnswer *l, size_t max, Buf *out)
{
    Arena scratch;
    arena_init(&scratch, SCRATCH_MAX);
    encode_head(x, l, out);
    for (size_t i = 0; i < l->n && out->len <= max && !out->failed; i++)
        encode_item(x, l, i, &scratch, out);
    encode_tail(x, out);
    arena_free(&scratch);
    return out->len <= max;
}

static void stream_free(ListStream *s)
{
    if (s->zips)
        deflateEnd(&s->z);
    snapshot_unref(s->list.sn);
    free(s->list.objs);
    free(s);
}

static void on_peer_gone(void *ctx)
{
    stream_free(ctx);
}

/* Appends the compressed form of `in`. */
static bool zip(ListStream *s, StrView in, bool last, Buf *out)
{
    s->z.next_in = (Bytef *)in.ptr;
    s->z.avail_in = (uInt)in.len;
    do {
        if (!buf_reserve(out, LIST_CHUNK))
            return false;
        s->z.next_out = (Bytef *)out->ptr + out->len;
        s->z.avail_out = LIST_CHUNK;
        if (deflate(&s->z, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
            return false;
        out->len += LIST_CHUNK - s->z.avail_out;
    } while (s->z.avail_out == 0);
    return true;
}

static bool write_out(ListStream *s, Buf *text, bool last)
{
    _cleanup_buf_ Buf zipped = BUF_INIT;
    if (text->failed || (s->zips && !zip(s, buf_view(text), last, &zipped)))
        return false;
    return http_stream_take(s->x->req, s->zips ? &zipped : text, NULL) == 0;
}

/* The begin of an item; what follows it as it is stored, and what ends it. */
static void begin_item(ListStream *s, const ObjectRev *o, Buf *text)
{
    s->end = SV("");
    if (s->x->form == OUTPUT_TABLE) {
        _cleanup_arena_ Arena scratch;
        arena_init(&scratch, SCRATCH_MAX);
        table_row_parts(s->x, o, &scratch, text, &s->rest, &s->end);
    } else if (s->x->form == OUTPUT_PARTIAL) {
        partial_head(o, text);
        s->rest = sv_skip(object_metadata_text(o), 1);
        s->end = SV("}");
    } else {
        s->rest = object_open(s->x->res, o, o->mod_rev, true, text);
    }
}

/* The next item, or a part of it where it is large. */
static void produce_some(ListStream *s, Buf *text)
{
    if (!s->rest.len) {
        if (s->at)
            buf_putc(text, ',');
        begin_item(s, s->list.objs[s->at++], text);
    }
    StrView some = sv_head(s->rest, LIST_CHUNK);
    s->rest = sv_skip(s->rest, some.len);
    buf_sv(text, some);
    if (!s->rest.len)
        buf_sv(text, s->end);
}

/* A compressor may keep a whole chunk to itself: then there is nothing to wait for yet. */
static void produce(void *ctx)
{
    ListStream *s = ctx;
    HttpReq *req = s->x->req;
    bool last = false, fine = true;
    while (fine && !last && http_stream_pending(req) == 0) {
        _cleanup_buf_ Buf text = BUF_INIT;
        buf_reserve(&text, LIST_CHUNK + LIST_CHUNK / 8); /* the last item goes beyond the chunk */
        if (s->at == 0)
            encode_head(s->x, &s->list, &text);
        while ((s->rest.len || s->at < s->list.n) && text.len < LIST_CHUNK && !text.failed)
            produce_some(s, &text);
        last = s->at == s->list.n && !s->rest.len;
        if (last)
            encode_tail(s->x, &text);
        fine = write_out(s, &text, last);
    }
    if (fine && !last)
        return;
    if (!fine)
        log_warn("a list of %.*s is cut: memory is exhausted", SV_FMT(s->x->res->plural));
    stream_free(s);
    if (fine)
        http_stream_end(req);
    else
        http_abort(req);
}

static bool wants_gzip(const ApiCall *x)
{
    return sv_find(http_header(x->req, SV("accept-encoding")), SV("gzip")) >= 0;
}

bool list_stream(ApiCall *x, const ListAnswer *l)
{
    ListStream *s = calloc(1, sizeof *s);
    if (!s)
        return false;
    s->x = x;
    s->zips = wants_gzip(x) && deflateInit2(&s->z, 1, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEM_LEVEL,
                                            Z_DEFAULT_STRATEGY) == Z_OK;
    if (s->zips && (http_set_header(x->req, SV("Content-Encoding"), SV("gzip"), NULL) < 0 ||
                    http_set_header(x->req, SV("Vary"), SV("Accept-Encoding"), NULL) < 0)) {
        stream_free(s);
        return false;
    }
    if (http_stream_start(x->req, 200, SV("application/json"), NULL) < 0) {
        stream_free(s);
        return false;
    }
    s->list = *l;
    http_on_close(x->req, on_peer_gone, s);
    http_stream_on_drain(x->req, produce, s);
    produce(s);
    return true;
}
