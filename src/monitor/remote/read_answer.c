/* read_answer.c - answers to remote reads: a compressed ReadResponse, or frames (length, CRC-32C,
 * ChunkedReadResponse). Labels are read at once, for the order; samples when their series' turn
 * comes. Source: prompb/remote.proto, storage/remote/chunked.go. */
#include <snappy-c.h>

#include "base/crc32c.h"
#include "monitor/model/pb.h"
#include "monitor/remote/read_internal.h"
#include "monitor/remote/remote_message.h"
#include "monitor/tsdb/chunk.h"
#include "monitor/tsdb/cols.h"

static int malformed(Err *err, const char *what)
{
    return err_set(err, ERR_PROTO, 0, "the answer is malformed: %s", what);
}

/* ---- pieces ---- */

static int take_label(LabelsBuilder *b, StrView bytes, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    StrView name = SV(""), value = SV("");
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2)
            name = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            value = f.bytes;
    }
    if (p.failed || !name.len)
        return malformed(err, "a label");
    labels_builder_set(b, name, value);
    return 0;
}

/* A TimeSeries or ChunkedSeries: in both field 1 is a label. */
static int add_piece(ReadAnswer *a, StrView bytes, Labels without, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    LabelsBuilder b;
    ReadPiece piece = { .bytes = bytes };
    int r = 0;
    if (a->pieces.len == READ_SERIES_MAX)
        return err_set(err, ERR_LIMIT, 0, "the answer has more than %d series", READ_SERIES_MAX);
    labels_builder_init(&b, &a->arena, (Labels){ 0 });
    while (r == 0 && pb_next(&p, &f))
        if (f.number == 1 && f.wire == 2)
            r = take_label(&b, f.bytes, err);
    if (r == 0 && p.failed)
        r = malformed(err, "a series");
    for (unsigned i = 0; i < without.len; i++)
        labels_builder_del(&b, without.items[i].name);
    if (r == 0 && (!labels_builder_take(&b, &piece.labels) || !vec_push(&a->pieces, piece)))
        r = err_nomem(err);
    return r;
}

/* Fields `number` of a message are series. */
static int add_pieces(ReadAnswer *a, StrView message, unsigned number, Labels without, Err *err)
{
    PbReader p = pb_reader(message);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f))
        if (f.number == number && f.wire == 2)
            r = add_piece(a, f.bytes, without, err);
    return r == 0 && p.failed ? malformed(err, "its fields") : r;
}

static int read_samples_answer(ReadAnswer *a, StrView bytes, Labels without, Err *err)
{
    size_t n;
    if (snappy_uncompressed_length(bytes.ptr, bytes.len, &n) != SNAPPY_OK)
        return malformed(err, "snappy: corrupt input");
    if (n > READ_ANSWER_MAX)
        return err_set(err, ERR_LIMIT, 0, "the answer is larger than %d bytes", READ_ANSWER_MAX);
    if (!buf_reserve(&a->plain, n + 1))
        return err_nomem(err);
    if (snappy_uncompress(bytes.ptr, bytes.len, a->plain.ptr, &n) != SNAPPY_OK)
        return malformed(err, "snappy: corrupt input");
    a->plain.len = n;
    PbReader p = pb_reader(buf_view(&a->plain));
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f)) /* one result for the one query */
        if (f.number == 1 && f.wire == 2)
            r = add_pieces(a, f.bytes, 1, without, err);
    return r == 0 && p.failed ? malformed(err, "its fields") : r;
}

static int read_frames(ReadAnswer *a, StrView bytes, uint64_t frame_max, Labels without, Err *err)
{
    PbReader p = pb_reader(bytes);
    int r = 0;
    while (r == 0 && p.at < p.end) {
        uint64_t n = pb_varint(&p), crc = pb_fixed(&p, 4);
        if (p.failed)
            return malformed(err, "the head of a frame");
        if (frame_max && n > frame_max)
            return err_set(err, ERR_LIMIT, 0, "message size %llu exceeds the limit %llu bytes",
                           (unsigned long long)n, (unsigned long long)frame_max);
        if (n > (uint64_t)(p.end - p.at))
            return malformed(err, "it ends inside a frame");
        StrView message = sv_n(p.at, (size_t)n);
        if (crc32c(0, message.ptr, message.len) != __builtin_bswap32((uint32_t)crc))
            return err_set(err, ERR_CORRUPT, 0, "the checksum of a frame does not fit");
        p.at += n;
        r = add_pieces(a, message, 1, without, err);
    }
    return r;
}

static int by_labels(const void *x, const void *y)
{
    const ReadPiece *p = x, *q = y;
    int c = labels_cmp(p->labels, q->labels);
    return c ? c : (p->bytes.ptr > q->bytes.ptr) - (p->bytes.ptr < q->bytes.ptr);
}

int read_answer_init(ReadAnswer *a, StrView bytes, bool chunks, uint64_t frame_max, Labels without,
                     Err *err)
{
    *a = (ReadAnswer){ .chunks = chunks };
    arena_init(&a->arena, READ_ANSWER_MAX);
    int r = chunks ? read_frames(a, bytes, frame_max, without, err)
                   : read_samples_answer(a, bytes, without, err);
    if (r == 0 && a->pieces.len)
        qsort(a->pieces.items, a->pieces.len, sizeof *a->pieces.items, by_labels);
    return r;
}

void read_answer_free(ReadAnswer *a)
{
    vec_free(&a->pieces);
    buf_free(&a->plain);
    arena_free(&a->arena);
}

/* ---- samples ---- */

static bool is_next(const SampleCols *c, int64_t t)
{
    return c->len == 0 || t > c->t[c->len - 1];
}

static int take_sample(StrView bytes, int64_t start, int64_t end, SampleCols *cols, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    double v = 0;
    int64_t t = 0;
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 1)
            v = pb_double(f.n);
        else if (f.number == 2 && f.wire == 0)
            t = (int64_t)f.n;
    }
    if (p.failed)
        return malformed(err, "a sample");
    if (t < start || t > end || !is_next(cols, t))
        return 0;
    return sample_cols_float(cols, t, v) ? 0 : err_nomem(err);
}

static int take_histogram(StrView bytes, int64_t start, int64_t end, SampleCols *cols, Err *err)
{
    _cleanup_arena_ Arena scratch;
    RemoteHistogram h;
    arena_init(&scratch, ARENA_DEFAULT_LIMIT);
    int r = remote_histogram_decode(bytes, &scratch, &h, err);
    if (r < 0 || h.t < start || h.t > end || !is_next(cols, h.t))
        return r;
    if (is_stale_nan(h.h->sum))
        return sample_cols_float(cols, h.t, h.h->sum) ? 0 : err_nomem(err);
    if ((r = histogram_validate(h.h, err)) < 0)
        return r;
    return sample_cols_histogram(cols, h.t, h.h) ? 0 : err_nomem(err);
}

static int take_chunk(StrView bytes, int64_t start, int64_t end, SampleCols *cols, Err *err)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    uint64_t type = 0;
    StrView data = SV("");
    while (pb_next(&p, &f)) {
        if (f.number == 3 && f.wire == 0)
            type = f.n;
        else if (f.number == 4 && f.wire == 2)
            data = f.bytes;
    }
    if (p.failed)
        return malformed(err, "a chunk");
    if (type == CHUNK_NONE || type >= CHUNK_ENCODING_MAX)
        return err_set(err, ERR_UNSUPPORTED, 0, "chunks of encoding %llu are not known",
                       (unsigned long long)type);
    if (cols->len && cols->t[cols->len - 1] >= start) {
        if (cols->t[cols->len - 1] >= end)
            return 0;
        start = cols->t[cols->len - 1] + 1;
    }
    return chunk_decode((ChunkEncoding)type, data, start, end, cols, err);
}

/* A message may hold all floats first: histograms are put between them. */
static int take_histograms(const ReadPiece *piece, int64_t start, int64_t end, SampleCols *cols,
                           Err *err)
{
    enum { HISTOGRAMS = 4 };
    PbReader p = pb_reader(piece->bytes);
    PbField f;
    SampleCols own;
    int r = 0;
    sample_cols_init(&own);
    while (r == 0 && pb_next(&p, &f))
        if (f.wire == 2 && f.number == HISTOGRAMS)
            r = take_histogram(f.bytes, start, end, &own, err);
    if (r == 0 && own.len && !cols_merge(cols, 0, &own, start, end))
        r = err_nomem(err);
    sample_cols_free(&own);
    return r;
}

int read_piece_decode(const ReadAnswer *a, const ReadPiece *piece, int64_t start, int64_t end,
                      SampleCols *cols, Err *err)
{
    enum { SAMPLES = 2 }; /* of a ChunkedSeries: its chunks */
    PbReader p = pb_reader(piece->bytes);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f))
        if (f.wire == 2 && f.number == SAMPLES)
            r = a->chunks ? take_chunk(f.bytes, start, end, cols, err)
                          : take_sample(f.bytes, start, end, cols, err);
    return r == 0 && !a->chunks ? take_histograms(piece, start, end, cols, err) : r;
}
