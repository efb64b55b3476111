/* test_chunk.c - what goes into a chunk comes out of it, bit by bit; damage is noticed. */
#include "unit.h"

#include "monitor/tsdb/chunk.h"

static uint64_t rng_state = 88172645463325252ULL;
static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    return rng_state ^= rng_state << 17;
}

static void decode(ChunkEncoding enc, StrView bytes, SampleCols *out)
{
    Err err = { 0 };
    sample_cols_clear(out);
    if (chunk_decode(enc, bytes, INT64_MIN, INT64_MAX, out, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Times and values of every kind: regular, odd, huge jumps, NaNs, infinities, the same again. */
static void test_floats_come_back(void **state)
{
    SampleCols got;
    sample_cols_init(&got);
    for (int round = 0; round < 200; round++) {
        enum { N = 300 };
        int64_t t[N];
        double v[N];
        XorChunk c;
        assert_int_equal(xor_chunk_init(&c), 0);
        int64_t now = (int64_t)(rng() >> 20) - (1LL << 43);
        for (int i = 0; i < N; i++) {
            unsigned kind = round % 4 ? (unsigned)round % 4 : (unsigned)(rng() % 4);
            now += kind == 0   ? 15000
                   : kind == 1 ? 15000 + (int64_t)(rng() % 20)
                               : (int64_t)(rng() >> (rng() % 40 + 20)) + 1;
            t[i] = now;
            v[i] = kind == 0   ? i
                   : kind == 1 ? 0.1 * (double)(rng() % 1000)
                   : kind == 2 ? double_from_bits(rng())
                               : (rng() % 3 ? 7 : NAN);
            assert_int_equal(xor_chunk_append(&c, t[i], v[i]), 0);
        }
        decode(CHUNK_XOR, sv_n(c.w.bytes, c.w.len), &got);
        assert_int_equal(got.len, N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(got.t[i], t[i]);
            assert_true(double_bits(got.v[i]) == double_bits(v[i]));
        }
        free(c.w.bytes);
    }
    sample_cols_free(&got);
}

static void test_a_range_is_cut_out(void **state)
{
    XorChunk c;
    SampleCols got;
    Err err = { 0 };
    sample_cols_init(&got);
    assert_int_equal(xor_chunk_init(&c), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(xor_chunk_append(&c, i * 10, i), 0);
    assert_int_equal(chunk_decode(CHUNK_XOR, sv_n(c.w.bytes, c.w.len), 95, 300, &got, &err), 0);
    assert_int_equal(got.len, 21);
    assert_int_equal(got.t[0], 100);
    assert_int_equal(got.t[20], 300);
    free(c.w.bytes);
    sample_cols_free(&got);
}

static const HistogramSpan spans[] = { { -2, 2 }, { 3, 1 } };

static Histogram histogram(double counts[static 3], bool integer)
{
    counts[0] += (double)(rng() % 5);
    counts[1] += (double)(rng() % 500);
    counts[2] += (double)(rng() % 2);
    return (Histogram){ .schema = 3,
                        .zero_threshold = 0x1p-128,
                        .zero_count = 2,
                        .count = counts[0] + counts[1] + counts[2] + 2,
                        .sum = counts[1] * 1.1,
                        .pos_spans = spans,
                        .n_pos_spans = 2,
                        .pos = counts,
                        .n_pos = 3,
                        .integer = integer };
}

static void check_histograms(bool integer)
{
    double counts[3] = { 1, 2, 3 }, all[60][3];
    Histogram h[60];
    SampleCols got;
    sample_cols_init(&got);
    HistogramChunk *c = NULL;
    for (int i = 0; i < 60; i++) {
        histogram(counts, integer);
        memcpy(all[i], counts, sizeof counts);
        h[i] = histogram(all[i], integer);
        memcpy(counts, all[i], sizeof counts);
        if (!i)
            assert_non_null(c = histogram_chunk_new(1000, &h[i]));
        else
            assert_int_equal(histogram_chunk_append(c, 1000 + i * 15000, &h[i]), 1);
    }
    decode(histogram_chunk_encoding(c), histogram_chunk_bytes(c), &got);
    assert_int_equal(got.len, 60);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(got.t[i], 1000 + i * 15000);
        assert_true(histogram_equal(got.h[i], &h[i]));
        assert_int_equal(got.h[i]->hint, i ? HINT_NO_COUNTER_RESET : HINT_UNKNOWN);
        assert_int_equal(got.h[i]->integer, integer);
    }
    /* A reset, another layout and a gauge begin a chunk of their own. */
    double fewer[3] = { 0, 0, 0 };
    Histogram reset = h[59];
    reset.pos = fewer;
    reset.count = 2;
    assert_int_equal(histogram_chunk_append(c, 1 << 30, &reset), 0);
    Histogram other = h[59];
    other.schema = 2;
    assert_int_equal(histogram_chunk_append(c, 1 << 30, &other), 0);
    other = h[59];
    other.hint = HINT_GAUGE;
    assert_int_equal(histogram_chunk_append(c, 1 << 30, &other), 0);
    histogram_chunk_free(c);
    sample_cols_free(&got);
}

static void test_integer_histograms_come_back(void **state)
{
    check_histograms(true);
}

static void test_float_histograms_come_back(void **state)
{
    check_histograms(false);
}

static void test_custom_bounds_come_back(void **state)
{
    const double bounds[] = { 0.005, 1, 2.5, 1e9, 3.141592653589793 };
    static const HistogramSpan one = { 0, 6 };
    double counts[] = { 1, 2, 3, 4, 5, 6 };
    Histogram h = { .schema = HISTOGRAM_SCHEMA_CUSTOM,
                    .count = 21,
                    .sum = 3,
                    .pos_spans = &one,
                    .n_pos_spans = 1,
                    .pos = counts,
                    .n_pos = 6,
                    .bounds = bounds,
                    .n_bounds = 5,
                    .integer = true };
    SampleCols got;
    sample_cols_init(&got);
    HistogramChunk *c = histogram_chunk_new(5, &h);
    decode(CHUNK_HISTOGRAM, histogram_chunk_bytes(c), &got);
    assert_true(histogram_equal(got.h[0], &h));
    histogram_chunk_free(c);
    sample_cols_free(&got);
}

/* Whatever is cut off or flipped: an answer or an error, never more. */
static void test_damage_is_an_error_or_other_samples(void **state)
{
    double counts[3] = { 1, 2, 3 };
    Histogram h = histogram(counts, true);
    HistogramChunk *c = histogram_chunk_new(1000, &h);
    for (int i = 1; i < 20; i++) {
        h = histogram(counts, true);
        assert_int_equal(histogram_chunk_append(c, 1000 + i * 15000, &h), 1);
    }
    StrView good = histogram_chunk_bytes(c);
    char bytes[4096];
    SampleCols got;
    sample_cols_init(&got);
    for (int round = 0; round < 3000; round++) {
        size_t n = rng() % 2 ? good.len : rng() % good.len;
        memcpy(bytes, good.ptr, n);
        if (n)
            bytes[rng() % n] ^= (char)(1u << (rng() % 8));
        Err err = { 0 };
        sample_cols_clear(&got);
        for (int enc = 0; enc < 8; enc++)
            if (chunk_decode((ChunkEncoding)enc, sv_n(bytes, n), INT64_MIN, INT64_MAX, &got, &err) <
                0)
                assert_true(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
    }
    sample_cols_free(&got);
    histogram_chunk_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_come_back),
        cmocka_unit_test(test_a_range_is_cut_out),
        cmocka_unit_test(test_integer_histograms_come_back),
        cmocka_unit_test(test_float_histograms_come_back),
        cmocka_unit_test(test_custom_bounds_come_back),
        cmocka_unit_test(test_damage_is_an_error_or_other_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
