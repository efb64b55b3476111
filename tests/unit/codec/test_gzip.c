#include "unit.h"

#include <zlib.h>

#include "codec/gzip.h"

/* One member. */
static void pack(StrView in, Buf *out)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, in.len);
    assert_true(buf_reserve(out, room));
    z.next_out = (Bytef *)out->ptr + out->len;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void test_pieces_and_members(void **state)
{
    _cleanup_buf_ Buf packed = BUF_INIT, out = BUF_INIT;
    Gunzip g = { 0 };
    Err err = { 0 };
    (void)state;

    pack(SV("one, "), &packed);
    pack(SV(""), &packed);
    pack(SV("two"), &packed);
    assert_int_equal(gunzip_finish(&g, &err), -ERR_INVALID); /* nothing is no stream */
    for (size_t i = 0; i < packed.len; i++)
        assert_int_equal(gunzip_feed(&g, sv_n(packed.ptr + i, 1), 100, &out, &err), 0);
    assert_int_equal(gunzip_finish(&g, &err), 0);
    assert_sv(buf_view(&out), "one, two");
    gunzip_free(&g);
}

static void test_a_bomb_stops_at_the_limit(void **state)
{
    _cleanup_buf_ Buf plain = BUF_INIT, packed = BUF_INIT, out = BUF_INIT;
    Err err = { 0 };
    size_t n = 8 * 1024 * 1024, max = 1024 * 1024;
    (void)state;

    assert_true(buf_reserve(&plain, n));
    memset(plain.ptr, 'x', n);
    pack(sv_n(plain.ptr, n), &packed);
    assert_int_equal(gunzip(buf_view(&packed), max, &out, &err), -ERR_LIMIT);
    assert_true(out.len > max && out.cap < 4 * max);
    buf_clear(&out);
    assert_int_equal(gunzip(buf_view(&packed), n, &out, &err), 0);
    assert_true(sv_eq(buf_view(&out), sv_n(plain.ptr, n)));
}

static void test_damage(void **state)
{
    _cleanup_buf_ Buf packed = BUF_INIT, out = BUF_INIT;
    Err err = { 0 };
    (void)state;

    pack(SV("some text that is long enough"), &packed);
    for (size_t n = 0; n < packed.len; n++) {
        buf_clear(&out);
        assert_int_equal(gunzip(sv_n(packed.ptr, n), 100, &out, &err), -ERR_INVALID);
    }
    assert_string_equal(err.msg, "gzip: the data end too early");
    packed.ptr[packed.len - 6] ^= 1; /* the checksum */
    buf_clear(&out);
    assert_int_equal(gunzip(buf_view(&packed), 100, &out, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "gzip: invalid data");
    assert_int_equal(gunzip(SV("plain"), 100, &out, &err), -ERR_INVALID);
}

static void test_packing(void **state)
{
    _cleanup_buf_ Buf in = BUF_INIT, packed = BUF_INIT, out = BUF_INIT;
    Err err = { 0 };
    for (int i = 0; i < 100000; i++)
        buf_printf(&in, "%d,", i % 777);
    buf_sv(&packed, SV("before"));
    assert_true(gzip_pack(buf_view(&in), &packed));
    assert_true(packed.len < in.len / 10);
    StrView made = sv_skip(buf_view(&packed), 6);
    assert_int_equal(gunzip(made, in.len, &out, &err), 0);
    assert_true(sv_eq(buf_view(&out), buf_view(&in)));
    buf_clear(&packed);
    buf_clear(&out);
    assert_true(gzip_pack(SV(""), &packed));
    assert_int_equal(gunzip(buf_view(&packed), 1, &out, &err), 0);
    assert_int_equal(out.len, 0);
    _cleanup_buf_ Buf small = { .limit = 10 };
    assert_false(gzip_pack(buf_view(&in), &small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_pieces_and_members),
        cmocka_unit_test(test_a_bomb_stops_at_the_limit),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
