/* test_remote_read.c - answers of remote storages: frames of chunks, and one message. */
#include "unit.h"

#include <snappy-c.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "monitor/model/pb.h"
#include "monitor/remote/read_internal.h"
#include "monitor/remote/remote_message.h"
#include "monitor/tsdb/chunk.h"

static void put_label(Buf *b, const char *name, const char *value)
{
    size_t at = b->len;
    pb_put_bytes(b, 1, sv_cstr(name));
    pb_put_bytes(b, 2, sv_cstr(value));
    pb_close(b, 1, at);
}

static void put_sample(Buf *b, double v, int64_t t)
{
    size_t at = b->len;
    pb_put_double(b, 1, v);
    pb_put_int(b, 2, (uint64_t)t);
    pb_close(b, 2, at);
}

static void pack(const Buf *plain, Buf *out)
{
    size_t n = snappy_max_compressed_length(plain->len);
    assert_true(buf_reserve(out, n));
    assert_int_equal(snappy_compress(plain->ptr, plain->len, out->ptr, &n), SNAPPY_OK);
    out->len = n;
}

/* A frame with one series of one float chunk: values t/10 at the times first … last by tens. */
static void put_frame(Buf *out, const char *name, int64_t first, int64_t last)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    XorChunk c = { 0 };
    assert_int_equal(xor_chunk_init(&c), 0);
    for (int64_t t = first; t <= last; t += 10)
        assert_int_equal(xor_chunk_append(&c, t, (double)t / 10), 0);
    put_label(&b, "__name__", name);
    put_label(&b, "added", "x");
    size_t at = b.len;
    pb_put_int(&b, 1, (uint64_t)first);
    pb_put_int(&b, 2, (uint64_t)last);
    pb_put_int(&b, 3, CHUNK_XOR);
    pb_put_bytes(&b, 4, sv_n(c.w.bytes, c.w.len));
    pb_close(&b, 2, at);
    pb_close(&b, 1, 0);
    free(c.w.bytes);
    uint32_t crc = __builtin_bswap32(crc32c(0, b.ptr, b.len));
    pb_put_varint(out, b.len);
    buf_append(out, &crc, 4);
    buf_sv(out, buf_view(&b));
}

static void test_frames_become_series(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    ReadAnswer a;
    SampleCols cols;
    Err err = { 0 };
    Label added[] = { { SV("added"), SV("x") } };
    put_frame(&b, "b", 100, 200);
    put_frame(&b, "b", 190, 300); /* overlaps */
    put_frame(&b, "a", 10, 20);
    assert_int_equal(read_answer_init(&a, buf_view(&b), true, 1 << 20, (Labels){ added, 1 }, &err),
                     0);
    assert_int_equal(a.pieces.len, 3);
    assert_sv(labels_get(a.pieces.items[0].labels, LABEL_METRIC_NAME), "a");
    assert_int_equal(a.pieces.items[0].labels.len, 1);
    sample_cols_init(&cols);
    for (size_t i = 1; i < 3; i++)
        assert_int_equal(read_piece_decode(&a, &a.pieces.items[i], 150, 280, &cols, &err), 0);
    assert_int_equal(cols.len, 14);
    for (size_t i = 0; i < cols.len; i++)
        assert_true(cols.t[i] == 150 + 10 * (int64_t)i && cols.v[i] == 15 + (double)i);
    sample_cols_free(&cols);
    read_answer_free(&a);

    /* Too large, a broken checksum, cut off. */
    assert_int_equal(read_answer_init(&a, buf_view(&b), true, 10, (Labels){ 0 }, &err), -ERR_LIMIT);
    read_answer_free(&a);
    assert_int_equal(read_answer_init(&a, sv_head(buf_view(&b), b.len - 1), true, 0, (Labels){ 0 },
                                      &err),
                     -ERR_PROTO);
    read_answer_free(&a);
    b.ptr[20] ^= 1;
    assert_int_equal(read_answer_init(&a, buf_view(&b), true, 0, (Labels){ 0 }, &err),
                     -ERR_CORRUPT);
    read_answer_free(&a);
}

/* Floats and histograms of one series come apart, and are put in order. */
static void test_messages_become_series(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT, packed = BUF_INIT;
    const HistogramSpan span = { 0, 1 };
    const double count = 3;
    const Histogram h = { .integer = true,
                          .count = 3,
                          .sum = 4,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos = &count,
                          .n_pos = 1 };
    ReadAnswer a;
    SampleCols cols;
    Err err = { 0 };
    put_label(&b, "__name__", "m");
    put_sample(&b, 1, 10);
    put_sample(&b, 3, 30);
    size_t at = b.len;
    remote_histogram_encode(&h, 20, &b);
    pb_close(&b, 4, at);
    pb_close(&b, 1, 0);
    pb_close(&b, 1, 0);
    pack(&b, &packed);
    assert_int_equal(read_answer_init(&a, buf_view(&packed), false, 0, (Labels){ 0 }, &err), 0);
    assert_int_equal(a.pieces.len, 1);
    sample_cols_init(&cols);
    assert_int_equal(read_piece_decode(&a, &a.pieces.items[0], 0, 100, &cols, &err), 0);
    assert_int_equal(cols.len, 3);
    assert_true(cols.t[1] == 20 && cols.h && cols.h[1] && cols.h[1]->count == 3 && !cols.h[2]);
    sample_cols_free(&cols);
    read_answer_free(&a);
    assert_int_equal(read_answer_init(&a, SV("\xff\xff\xff\xff\x0f"), false, 0, (Labels){ 0 },
                                      &err),
                     -ERR_LIMIT);
    read_answer_free(&a);
    assert_int_equal(read_answer_init(&a, SV(""), false, 0, (Labels){ 0 }, &err), -ERR_PROTO);
    read_answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_become_series),
        cmocka_unit_test(test_messages_become_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
