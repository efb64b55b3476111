/* remote_read.c - /api/v1/read: samples in one message, or series by series as frames of encoded
 * chunks (length, CRC-32C, message). Storages of remote_read are asked in turn, as in Prometheus.
 *
 * Source: prompb/remote.proto; frames: storage/remote/chunked.go. */
#include <snappy-c.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/vec.h"
#include "monitor/tsdb/chunk.h"
#include "monitor/web/internal.h"
#include "monitor/model/pb.h"
#include "monitor/remote/remote_message.h"

enum { READ_MATCHERS_MAX = 1000, READ_QUERIES_MAX = 1000, ENCODED_MAX = 1 << 30 };
enum { RESPONSE_SAMPLES, RESPONSE_CHUNKS };

typedef struct ReadQuery {
    int64_t start, end;
    int64_t step, range; /* hints for other storages */
    StrView func;
    Matcher *ms;
    unsigned n_ms;
} ReadQuery;

typedef struct Read {
    Call *call;
    VEC(ReadQuery) queries;
    int response; /* RESPONSE_*; -1: none of the accepted ones */
    bool has_accept;
    uint64_t samples;
    Labels external;
    Err *err;
} Read;

/* ---- the request ---- */

/* A matcher that asks for an external label's value is met by all series: they do not carry it. */
static bool is_external(const Read *rd, MatchOp op, StrView name, StrView value)
{
    return op == MATCH_EQ && labels_has(rd->external, name) &&
           sv_eq(labels_get(rd->external, name), value);
}

static int add_matcher(Read *rd, ReadQuery *q, StrView bytes)
{
    static const MatchOp ops[] = { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE };
    PbReader p = pb_reader(bytes);
    PbField f;
    uint64_t op = 0;
    StrView name = SV(""), value = SV("");
    Arena *a = &rd->call->arena;
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 0)
            op = f.n;
        else if (f.number == 2 && f.wire == 2)
            name = f.bytes;
        else if (f.number == 3 && f.wire == 2)
            value = f.bytes;
    }
    if (p.failed || op >= ARRAY_SIZE(ops))
        return err_set(rd->err, ERR_INVALID, 0, "the message is malformed: a matcher");
    if (q->n_ms == READ_MATCHERS_MAX)
        return err_set(rd->err, ERR_LIMIT, 0, "more than %d matchers", READ_MATCHERS_MAX);
    Matcher *more = arena_realloc(a, q->ms, q->n_ms * sizeof *more, (q->n_ms + 1) * sizeof *more);
    if (!more)
        return err_nomem(rd->err);
    q->ms = more;
    if (is_external(rd, ops[op], name, value))
        value = SV("");
    int r = matcher_init(&q->ms[q->n_ms], ops[op], name, value, a, rd->err);
    q->n_ms += r == 0;
    return r;
}

static void take_hints(ReadQuery *q, StrView bytes)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 0)
            q->step = (int64_t)f.n;
        else if (f.number == 2 && f.wire == 2)
            q->func = f.bytes;
        else if (f.number == 7 && f.wire == 0)
            q->range = (int64_t)f.n;
    }
}

static int add_query(Read *rd, StrView bytes)
{
    PbReader p = pb_reader(bytes);
    PbField f;
    int r = 0;
    if (rd->queries.len == READ_QUERIES_MAX)
        return err_set(rd->err, ERR_LIMIT, 0, "more than %d queries", READ_QUERIES_MAX);
    if (!vec_push(&rd->queries, (ReadQuery){ 0 }))
        return err_nomem(rd->err);
    ReadQuery *q = &rd->queries.items[rd->queries.len - 1];
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 0)
            q->start = (int64_t)f.n;
        else if (f.number == 2 && f.wire == 0)
            q->end = (int64_t)f.n;
        else if (f.number == 3 && f.wire == 2)
            r = add_matcher(rd, q, f.bytes);
        else if (f.number == 4 && f.wire == 2)
            take_hints(q, f.bytes);
    }
    return r == 0 && p.failed
               ? err_set(rd->err, ERR_INVALID, 0, "the message is malformed: a query")
               : r;
}

/* The first type that is known, in the client's order. */
static void accept_type(Read *rd, uint64_t type)
{
    if (!rd->has_accept)
        rd->response = -1;
    rd->has_accept = true;
    if (rd->response < 0 && type <= RESPONSE_CHUNKS)
        rd->response = (int)type;
}

static int parse_request(Read *rd, StrView message)
{
    PbReader p = pb_reader(message);
    PbField f;
    int r = 0;
    while (r == 0 && pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2) {
            r = add_query(rd, f.bytes);
        } else if (f.number == 2 && f.wire == 0) {
            accept_type(rd, f.n);
        } else if (f.number == 2 && f.wire == 2) {
            PbReader packed = pb_reader(f.bytes);
            while (packed.at < packed.end)
                accept_type(rd, pb_varint(&packed));
        }
    }
    if (r == 0 && p.failed)
        r = err_set(rd->err, ERR_INVALID, 0, "the message is malformed: its fields");
    if (r == 0 && rd->response < 0)
        r = err_set(rd->err, ERR_INVALID, 0,
                    "server does not support any of the requested response types");
    return r;
}

/* ---- series ---- */

static void put_label(Buf *out, Label l)
{
    size_t at = out->len;
    pb_put_bytes(out, 1, l.name);
    pb_put_bytes(out, 2, l.value);
    pb_close(out, 1, at);
}

/* The series' labels and the external ones that it does not have, sorted. */
static void put_labels(Buf *out, Labels l, Labels external)
{
    unsigned i = 0, k = 0;
    while (i < l.len || k < external.len) {
        int c = i == l.len          ? 1
                : k == external.len ? -1
                                    : sv_cmp(l.items[i].name, external.items[k].name);
        if (c == 0)
            k++;
        put_label(out, c <= 0 ? l.items[i++] : external.items[k++]);
    }
}

static int put_samples(Read *rd, Labels l, const SampleCols *cols, Buf *out)
{
    uint64_t most = rd->call->web->opt.read_samples_max;
    size_t series = out->len;
    rd->samples += cols->len;
    if (most && rd->samples > most)
        return err_set(rd->err, ERR_INVALID, 0, "exceeded sample limit (%llu)",
                       (unsigned long long)most);
    put_labels(out, l, rd->external);
    for (size_t i = 0; i < cols->len; i++) {
        size_t at = out->len;
        if (cols->h && cols->h[i]) {
            remote_histogram_encode(cols->h[i], cols->t[i], out);
            pb_close(out, 4, at);
        } else {
            pb_put_double(out, 1, cols->v[i]);
            pb_put_int(out, 2, (uint64_t)cols->t[i]);
            pb_close(out, 2, at);
        }
    }
    pb_close(out, 1, series);
    return 0;
}

/* ---- chunks ---- */

typedef struct Frame {
    Read *rd;
    Labels labels;
    uint64_t query;
    Buf chunks; /* encoded Chunk fields that wait */
} Frame;

static void put_frame(Frame *f, Buf *out)
{
    Buf message = BUF_INIT;
    char crc_bytes[4];
    put_labels(&message, f->labels, f->rd->external);
    buf_sv(&message, buf_view(&f->chunks));
    pb_close(&message, 1, 0);
    pb_put_int(&message, 2, f->query);
    uint32_t crc = crc32c(0, message.ptr, message.len);
    for (unsigned i = 0; i < 4; i++)
        crc_bytes[i] = (char)(crc >> (24 - 8 * i));
    pb_put_varint(out, message.len);
    buf_append(out, crc_bytes, sizeof crc_bytes);
    buf_sv(out, buf_view(&message));
    out->failed |= message.failed || f->chunks.failed;
    buf_free(&message);
    buf_clear(&f->chunks);
}

static void put_chunk(Frame *f, int64_t min, int64_t max, ChunkEncoding type, StrView bytes,
                      Buf *out)
{
    if (f->chunks.len && f->chunks.len + bytes.len > f->rd->call->web->opt.read_frame_max)
        put_frame(f, out);
    size_t at = f->chunks.len;
    pb_put_int(&f->chunks, 1, (uint64_t)min);
    pb_put_int(&f->chunks, 2, (uint64_t)max);
    pb_put_int(&f->chunks, 3, (uint64_t)type);
    pb_put_bytes(&f->chunks, 4, bytes);
    pb_close(&f->chunks, 2, at);
}

/* Floats from i on; returns where the chunk ends, or 0 without memory. */
static size_t put_floats(Frame *f, const SampleCols *cols, size_t i, Buf *out)
{
    XorChunk c;
    size_t first = i;
    if (xor_chunk_init(&c) < 0)
        return 0;
    while (i < cols->len && i - first < CHUNK_SAMPLES && !(cols->h && cols->h[i])) {
        if (xor_chunk_append(&c, cols->t[i], cols->v[i]) < 0) {
            free(c.w.bytes);
            return 0;
        }
        i++;
    }
    put_chunk(f, cols->t[first], cols->t[i - 1], CHUNK_XOR, sv_n(c.w.bytes, c.w.len), out);
    free(c.w.bytes);
    return i;
}

static size_t put_histograms(Frame *f, const SampleCols *cols, size_t i, Buf *out)
{
    size_t first = i;
    HistogramChunk *c = histogram_chunk_new(cols->t[i], cols->h[i]);
    int r = c ? 1 : -1;
    while (r > 0 && ++i < cols->len && cols->h[i])
        r = histogram_chunk_append(c, cols->t[i], cols->h[i]);
    if (r >= 0)
        put_chunk(f, cols->t[first], cols->t[i - 1], histogram_chunk_encoding(c),
                  histogram_chunk_bytes(c), out);
    histogram_chunk_free(c);
    return r < 0 ? 0 : i;
}

static int put_chunks(Read *rd, uint64_t query, Labels l, const SampleCols *cols, Buf *out)
{
    Frame f = { .rd = rd, .labels = l, .query = query };
    size_t i = 0;
    while (i < cols->len) {
        bool is_histogram = cols->h && cols->h[i];
        i = is_histogram ? put_histograms(&f, cols, i, out) : put_floats(&f, cols, i, out);
        if (i == 0)
            break;
    }
    if (i && f.chunks.len)
        put_frame(&f, out);
    buf_free(&f.chunks);
    return i || cols->len == 0 ? 0 : err_nomem(rd->err);
}

/* ---- the answer ---- */

static int put_query(Read *rd, const ReadQuery *q, uint64_t index, Buf *out)
{
    const SelectHints hints = { .start = q->start,
                                .end = q->end,
                                .step = q->step,
                                .range = q->range,
                                .func = q->func,
                                .sorted = true };
    CallQuerier both;
    SeriesSet *set;
    SampleCols cols;
    Labels l;
    size_t result = out->len;
    int r = call_querier(rd->call, q->start, q->end, &both, rd->err);
    if (r < 0)
        return r;
    Querier *querier = both.q;
    sample_cols_init(&cols);
    r = querier->ops->select(querier, &hints, q->ms, q->n_ms, &set, rd->err);
    if (r == 0) {
        while ((r = querier->ops->next(set, &l, &cols, rd->err)) > 0) {
            if (cols.len && rd->response == RESPONSE_CHUNKS)
                r = put_chunks(rd, index, l, &cols, out);
            else if (cols.len)
                r = put_samples(rd, l, &cols, out);
            if (r >= 0 && (call_gone(rd->call) || out->failed))
                r = err_set(rd->err, ERR_CLOSED, 0, "canceled, or out of memory");
            if (r < 0)
                break;
        }
        querier->ops->set_free(set);
    }
    if (r >= 0 && rd->response == RESPONSE_SAMPLES)
        pb_close(out, 1, result);
    sample_cols_free(&cols);
    call_querier_free(&both);
    return r;
}

static int compress(const Buf *in, Buf *out, Err *err)
{
    size_t len = snappy_max_compressed_length(in->len);
    if (in->failed || in->len > ENCODED_MAX || !buf_reserve(out, len) ||
        snappy_compress(buf_view(in).ptr, in->len, out->ptr, &len) != SNAPPY_OK)
        return err_nomem(err);
    out->len = len;
    return 0;
}

static int run(Read *rd)
{
    _cleanup_buf_ Buf message = BUF_INIT;
    Call *c = rd->call;
    bool chunks = rd->response == RESPONSE_CHUNKS;
    int r = 0;
    for (size_t i = 0; r == 0 && i < rd->queries.len; i++)
        r = put_query(rd, &rd->queries.items[i], i, chunks ? &c->out : &message);
    if (r < 0)
        return r;
    if (c->warnings.len && log_gate(&c->web->read_said, 30 * 1000))
        log_warn("a remote read was answered without all of remote_read: %.*s",
                 SV_FMT(c->warnings.items[0]));
    if (chunks) {
        c->out_type = SV("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
        return 0;
    }
    c->out_type = SV("application/x-protobuf");
    call_header(c, SV("Content-Encoding"), SV("snappy"));
    return compress(&message, &c->out, rd->err);
}

void serve_remote_read(Call *c)
{
    Err err = { 0 };
    _cleanup_buf_ Buf message = BUF_INIT;
    Read rd = { .call = c, .err = &err, .external = c->external };
    int r = remote_uncompress(c->body, &message, &err);
    if (r == 0)
        r = parse_request(&rd, buf_view(&message));
    if (r == 0)
        r = run(&rd);
    if (r < 0) {
        c->n_headers = 0;
        call_text(c, err.code == ERR_INVALID || err.code == ERR_LIMIT ? 400 : 500, "%s\n", err.msg);
    }
    for (size_t i = 0; i < rd.queries.len; i++)
        for (unsigned k = 0; k < rd.queries.items[i].n_ms; k++)
            matcher_free(&rd.queries.items[i].ms[k]);
    vec_free(&rd.queries);
}
