/* test_base.c - err, arena, buf, str, map, vec, clock, encode. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"

static void test_err_wrap_keeps_code_and_prepends(void **state)
{
    Err err = { 0 };
    assert_int_equal(err_set(&err, ERR_INVALID, 0, "bad %s", "image"), -ERR_INVALID);
    assert_int_equal(err_wrap(&err, "start pod %s", "web"), -ERR_INVALID);
    assert_string_equal(err.msg, "start pod web: bad image");
    assert_int_equal(err.code, ERR_INVALID);
}

static void test_err_errno_maps_and_describes(void **state)
{
    Err err = { 0 };
    errno = ENOENT;
    assert_int_equal(err_errno(&err, "open '%s'", "/x"), -ERR_NOT_FOUND);
    assert_string_equal(err.msg, "open '/x': No such file or directory");
    assert_int_equal(err.sys, ENOENT);
}

static void test_err_long_messages_are_cut(void **state)
{
    Err err = { 0 };
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    err_set(&err, ERR_SYS, EIO, "%s", text);
    for (int i = 0; i < 5; i++)
        err_wrap(&err, "%s", text);
    assert_true(strlen(err.msg) < sizeof err.msg);
    assert_int_equal(err_set(NULL, ERR_SYS, 0, "no error object"), -ERR_SYS);
}

static void test_arena_respects_its_limit(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 100000);
    size_t got = 0;
    for (char *p; (p = arena_alloc(&a, 1000)); got += 1000)
        for (int i = 0; i < 1000; i++)
            assert_int_equal(p[i], 0);
    assert_true(got > 50000 && got <= 100000);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc_n(&a, SIZE_MAX / 2, 4));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1000));
}

static void test_arena_realloc_grows_the_last_in_place(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    char *p = arena_alloc(&a, 10);
    memcpy(p, "0123456789", 10);
    assert_ptr_equal(arena_realloc(&a, p, 10, 100), p);
    assert_int_equal(p[50], 0);
    arena_alloc(&a, 1);
    char *q = arena_realloc(&a, p, 100, 200);
    assert_ptr_not_equal(p, q);
    assert_memory_equal(q, "0123456789", 10);
    assert_sv(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    char lots[600];
    memset(lots, 'y', sizeof lots - 1);
    lots[sizeof lots - 1] = 0;
    assert_sv(arena_printf(&a, "%s", lots), lots); /* also what is longer than is tried at first */
    const StrView parts[] = { SV("a"), SV_NULL, SV("bc"), SV("") };
    assert_sv(arena_join(&a, parts, ARRAY_SIZE(parts)), "abc");
    assert_sv(arena_join(&a, NULL, 0), "");
    assert_null(arena_cstr(&a, sv_n("a\0b", 3)));
}

static void test_buf_failure_is_sticky(void **state)
{
    _cleanup_buf_ Buf b = { .limit = 10 };
    buf_sv(&b, SV("12345678"));
    buf_sv(&b, SV("9abc"));
    assert_true(b.failed);
    buf_sv(&b, SV("x"));
    assert_int_equal(b.len, 8);
    buf_clear(&b);
    buf_u64(&b, 18446);
    buf_i64(&b, -5);
    assert_sv(buf_view(&b), "18446-5");
    buf_consume(&b, 5);
    assert_sv(buf_view(&b), "-5");
}

static void test_buf_i64_extremes(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    buf_i64(&b, INT64_MIN);
    buf_putc(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    assert_sv(buf_view(&b), "-9223372036854775808 18446744073709551615");
}

static void test_sv_cutting(void **state)
{
    StrView head, tail, rest = SV("a,,b,"), piece;
    assert_true(sv_cut(SV("k=v=w"), '=', &head, &tail));
    assert_sv(head, "k");
    assert_sv(tail, "v=w");
    assert_false(sv_cut(SV("k"), '=', &head, &tail));
    assert_int_equal(tail.len, 0);
    const char *want[] = { "a", "", "b" };
    for (int i = 0; i < 3; i++) {
        assert_true(sv_next(&rest, ',', &piece));
        assert_sv(piece, want[i]);
    }
    assert_false(sv_next(&rest, ',', &piece));
    assert_sv(sv_trim(SV(" \t x y\n")), "x y");
    assert_true(sv_cmp(SV("a"), SV("ab")) < 0 && sv_cmp(SV("b"), SV("ab")) > 0);
}

static void test_sv_numbers(void **state)
{
    int64_t i;
    uint64_t u;
    double d;
    assert_int_equal(sv_to_i64(SV("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(sv_to_i64(SV("9223372036854775808"), &i), -ERANGE);
    assert_int_equal(sv_to_u64(SV("18446744073709551616"), &u), -ERANGE);
    assert_int_equal(sv_to_u64(SV("1x"), &u), -EINVAL);
    assert_int_equal(sv_to_u64(SV(""), &u), -EINVAL);
    assert_int_equal(sv_to_double(SV("1.5e3"), &d), 0);
    assert_true(d == 1500.0);
    assert_int_equal(sv_to_double(SV("1.5 "), &d), -EINVAL);
}

static void test_sv_utf8(void **state)
{
    assert_true(sv_is_utf8(SV("knörr €𝄞")));
    assert_false(sv_is_utf8(SV("\xc0\x80")));
    assert_false(sv_is_utf8(SV("\xed\xa0\x80")));
    assert_false(sv_is_utf8(SV("\xf4\x90\x80\x80")));
    assert_false(sv_is_utf8(SV("\xe2\x82")));
}

static void test_map_set_get_delete_many(void **state)
{
    _cleanup_map_ Map m = { 0 };
    char key[32];
    for (uintptr_t i = 1; i <= 5000; i++) {
        snprintf(key, sizeof key, "key-%zu", (size_t)i);
        assert_true(map_set(&m, sv_cstr(key), (void *)i, NULL));
    }
    for (uintptr_t i = 1; i <= 5000; i += 2) {
        snprintf(key, sizeof key, "key-%zu", (size_t)i);
        assert_ptr_equal(map_del(&m, sv_cstr(key)), (void *)i);
    }
    assert_int_equal(m.len, 2500);
    for (uintptr_t i = 1; i <= 5000; i++) {
        snprintf(key, sizeof key, "key-%zu", (size_t)i);
        assert_ptr_equal(map_get(&m, sv_cstr(key)), i % 2 ? NULL : (void *)i);
    }
    void *old;
    assert_true(map_set(&m, SV("key-2"), (void *)9, &old));
    assert_ptr_equal(old, (void *)2);
    size_t n = 0;
    StrView k;
    for (size_t pos = 0; map_next(&m, &pos, &k, NULL);)
        n++;
    assert_int_equal(n, 2500);
}

static void test_vec_grows_and_removes(void **state)
{
    VEC(int) v = { 0 };
    for (int i = 0; i < 100; i++)
        assert_true(vec_push(&v, i));
    vec_remove(&v, 0);
    vec_swap_remove(&v, 0);
    assert_int_equal(v.items[0], 99);
    int sum = 0;
    vec_foreach (it, &v)
        sum += *it;
    assert_int_equal(sum, 4950 - 1);
    vec_free(&v);
}

static void test_rfc3339_round_trip(void **state)
{
    char buf[RFC3339_SIZE];
    int64_t ns;
    assert_int_equal(rfc3339_parse(SV("2026-11-23T05:35:37.123456789Z"), &ns), 0);
    assert_string_equal(rfc3339_format(ns, 9, buf), "2026-11-23T05:35:37.123456789Z");
    assert_string_equal(rfc3339_format(ns, 6, buf), "2026-11-23T05:35:37.123456Z");
    assert_int_equal(rfc3339_parse(SV("2000-02-29T23:00:00-01:30"), &ns), 0);
    assert_string_equal(rfc3339_format(ns, 0, buf), "2000-03-01T00:30:00Z");
    assert_string_equal(rfc3339_format(-1, 9, buf), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(rfc3339_format(-1, 3, buf), "1969-12-31T23:59:59.999Z");
    assert_string_equal(rfc3339_format_nano(-1, buf), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(rfc3339_format_nano(120 * NSEC_PER_MSEC, buf), "1970-01-01T00:00:00.12Z");
    assert_string_equal(rfc3339_format_nano(10 * NSEC_PER_SEC, buf), "1970-01-01T00:00:10Z");
    const char *bad[] = { "",
                          "2026-11-23",
                          "2026-13-01T00:00:00Z",
                          "2026-02-29T00:00:00Z",
                          "2026-01-01T24:00:00Z",
                          "2026-01-01T00:00:00",
                          "2026-01-01T00:00:00.Z",
                          "2026-01-01T00:00:00Zx",
                          "9999-01-01T00:00:00Z" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(rfc3339_parse(sv_cstr(bad[i]), &ns), -EINVAL);
}

static void test_moments_reach_further_than_nanoseconds(void **state)
{
    static const char *const texts[] = { "0000-01-01T00:00:00Z", "0001-01-01T00:00:02Z",
                                         "0400-02-29T23:59:59Z", "1677-09-21T00:12:43Z",
                                         "1900-03-01T00:00:00Z", "1969-12-31T23:59:59Z",
                                         "2000-02-29T12:00:00Z", "2262-04-11T23:47:17Z",
                                         "9999-12-31T23:59:59Z" };
    char buf[RFC3339_SIZE];
    Moment m;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(moment_parse(sv_cstr(texts[i]), &m), 0);
        assert_string_equal(moment_format(m, 0, buf), texts[i]);
    }
    assert_int_equal(moment_parse(SV("0001-01-01T00:00:00.000002Z"), &m), 0);
    assert_int_equal(m.sec, INT64_C(-62135596800));
    assert_string_equal(moment_format(m, 6, buf), "0001-01-01T00:00:00.000002Z");
    assert_int_equal(moment_parse(SV("0000-01-01T00:00:00+00:01"), &m), -EINVAL);
    assert_int_equal(moment_parse(SV("9999-12-31T23:59:59-00:01"), &m), -EINVAL);
    assert_string_equal(moment_format((Moment){ INT64_MAX, 0 }, 0, buf), "9999-12-31T23:59:59Z");
    assert_string_equal(moment_format((Moment){ INT64_MIN, 0 }, 0, buf), "0000-01-01T00:00:00Z");
}

static void test_duration_parse(void **state)
{
    int64_t ns;
    assert_int_equal(duration_parse(SV("1h2m3.5s"), &ns), 0);
    assert_true(ns == 3723 * NSEC_PER_SEC + 500 * NSEC_PER_MSEC);
    assert_int_equal(duration_parse(SV("-300ms"), &ns), 0);
    assert_true(ns == -300 * NSEC_PER_MSEC);
    assert_int_equal(duration_parse(SV("0"), &ns), 0);
    assert_int_equal(duration_parse(SV("10"), &ns), -EINVAL);
    assert_int_equal(duration_parse(SV("s"), &ns), -EINVAL);
    assert_int_equal(duration_parse(SV(""), &ns), -EINVAL);
    assert_int_equal(duration_parse(SV("9999999999h"), &ns), -ERANGE);
}

static void test_base64_round_trip_and_refusals(void **state)
{
    _cleanup_buf_ Buf enc = BUF_INIT, dec = BUF_INIT;
    char data[64];
    for (size_t n = 0; n <= sizeof data; n++) {
        random_bytes(data, n);
        for (int kind = 0; kind < 2; kind++) {
            buf_clear(&enc);
            buf_clear(&dec);
            base64_encode((Base64Kind)kind, sv_n(data, n), &enc);
            assert_int_equal(base64_decode((Base64Kind)kind, buf_view(&enc), &dec), 0);
            assert_int_equal(dec.len, n);
            assert_memory_equal(dec.ptr ? dec.ptr : "", data, n);
        }
    }
    const char *bad[] = { "a", "ab", "abc", "ab=c", "a===", "ab$=", "====" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        buf_clear(&dec);
        assert_int_equal(base64_decode(BASE64_STD, sv_cstr(bad[i]), &dec), -EINVAL);
    }
}

static void test_hex_and_uuid(void **state)
{
    uint8_t out[4];
    size_t n;
    assert_int_equal(hex_decode(SV("00fFa5"), out, sizeof out, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(out[1], 0xff);
    assert_int_equal(hex_decode(SV("0"), out, sizeof out, &n), -EINVAL);
    assert_int_equal(hex_decode(SV("0g"), out, sizeof out, &n), -EINVAL);
    assert_int_equal(hex_decode(SV("0011223344"), out, sizeof out, &n), -ENOSPC);
    char id[UUID_SIZE];
    assert_int_equal(uuid4(id), 0);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
}

/* The upper half of the stable hash chose a slot once: texts that share it must not share one now.
 */
static void test_map_keys_cannot_be_chosen_to_collide(void **state)
{
    enum { KEYS = 2000, BITS = 12 };
    _cleanup_map_ Map m = { 0 };
    char key[32];
    for (unsigned i = 0, n = 0; n < KEYS; i++) {
        snprintf(key, sizeof key, "label-%u", i);
        if (sv_hash_stable(sv_cstr(key)) >> 32 & ((1u << BITS) - 1))
            continue;
        assert_true(map_set(&m, sv_cstr(key), (void *)1, NULL));
        n++;
    }
    size_t farthest = 0;
    for (size_t i = 0; i < m.cap; i++)
        if (m.slots[i].key)
            farthest = MAX(farthest, (i - m.slots[i].hash) & (m.cap - 1));
    assert_in_range(farthest, 0, 200);
}

/* Known answers cannot be given under a drawn key; what must hold is that every byte counts. */
static void test_hash_depends_on_every_byte(void **state)
{
    char text[40] = { 0 };
    for (size_t n = 0; n < sizeof text; n++) {
        uint64_t before = sv_hash(sv_n(text, n));
        assert_int_equal(sv_hash(sv_n(text, n)), before);
        assert_int_not_equal(sv_hash(sv_n(text, n + 1)), before);
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            assert_int_not_equal(sv_hash(sv_n(text, n)), before);
            text[i] ^= 1;
        }
    }
    assert_int_not_equal(num_hash(1), num_hash(2));
    assert_int_equal(sv_hash_stable(SV("knarr")), sv_hash_stable(SV("knarr")));
}

static bool keep_even(void *ctx, StrView key, void *val)
{
    (*(unsigned *)ctx)++;
    return (uintptr_t)val % 2 == 0;
}

static bool keep_none(void *ctx, StrView key, void *val)
{
    return false;
}

static void test_map_retain(void **state)
{
    enum { N = 1000 };
    Map m = { 0 };
    char key[16];
    unsigned asked = 0;
    map_retain(&m, keep_even, &asked); /* nothing is fine */
    for (uintptr_t i = 1; i <= N; i++) {
        snprintf(key, sizeof key, "k%u", (unsigned)i);
        assert_true(map_set(&m, sv_cstr(key), (void *)i, NULL));
    }
    size_t cap = m.cap;
    map_retain(&m, keep_even, &asked);
    assert_int_equal(asked, N);
    assert_int_equal(m.len, N / 2);
    for (uintptr_t i = 1; i <= N; i++) {
        snprintf(key, sizeof key, "k%u", (unsigned)i);
        assert_int_equal((uintptr_t)map_get(&m, sv_cstr(key)), i % 2 ? 0 : i);
    }
    for (uintptr_t i = 20; i <= N; i += 2) {
        snprintf(key, sizeof key, "k%u", (unsigned)i);
        map_del(&m, sv_cstr(key));
    }
    map_retain(&m, keep_even, &asked);
    assert_int_equal(m.len, 9);
    assert_true(m.cap < cap / 8);
    assert_int_equal((uintptr_t)map_get(&m, SV("k18")), 18);
    map_retain(&m, keep_none, NULL);
    assert_int_equal(m.len, 0);
    assert_null(m.slots);
    map_free(&m);
}

static void test_percent_escapes(void **state)
{
    static const struct {
        const char *in, *all, *query, *path, *only;
    } cases[] = {
        { "", "", "", "", "" },
        { "aZ09-_.~", "aZ09-_.~", "aZ09-_.~", "aZ09-_.~", "aZ09-_.~" },
        { "a b/c", "a%20b%2Fc", "a+b%2Fc", "a%20b/c", "a%20b/c" },
        { " +? ", "%20%2B%3F%20", "+%2B%3F+", "%20%2B%3F%20", "%20+%3F%20" },
        { "\xc3\xa4\n", "%C3%A4%0A", "%C3%A4%0A", "%C3%A4%0A", "%C3%A4%0A" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        StrView in = sv_cstr(cases[i].in);
        _cleanup_buf_ Buf all = BUF_INIT, query = BUF_INIT, path = BUF_INIT, only = BUF_INIT;
        percent_encode(in, &all);
        query_escape(in, &query);
        percent_encode_but(in, "/", &path);
        percent_encode_only(in, "?", &only);
        assert_sv(buf_view(&all), cases[i].all);
        assert_sv(buf_view(&query), cases[i].query);
        assert_sv(buf_view(&path), cases[i].path);
        assert_sv(buf_view(&only), cases[i].only);
    }
    _cleanup_buf_ Buf nul = BUF_INIT; /* ends no set of letters */
    percent_encode_but(SV("\0"), "/", &nul);
    percent_encode_only(SV("\0"), "?", &nul);
    assert_sv(buf_view(&nul), "%00%00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_escapes),
        cmocka_unit_test(test_map_retain),
        cmocka_unit_test(test_err_wrap_keeps_code_and_prepends),
        cmocka_unit_test(test_err_errno_maps_and_describes),
        cmocka_unit_test(test_err_long_messages_are_cut),
        cmocka_unit_test(test_arena_respects_its_limit),
        cmocka_unit_test(test_arena_realloc_grows_the_last_in_place),
        cmocka_unit_test(test_buf_failure_is_sticky),
        cmocka_unit_test(test_buf_i64_extremes),
        cmocka_unit_test(test_sv_cutting),
        cmocka_unit_test(test_sv_numbers),
        cmocka_unit_test(test_sv_utf8),
        cmocka_unit_test(test_map_set_get_delete_many),
        cmocka_unit_test(test_map_keys_cannot_be_chosen_to_collide),
        cmocka_unit_test(test_hash_depends_on_every_byte),
        cmocka_unit_test(test_vec_grows_and_removes),
        cmocka_unit_test(test_rfc3339_round_trip),
        cmocka_unit_test(test_moments_reach_further_than_nanoseconds),
        cmocka_unit_test(test_duration_parse),
        cmocka_unit_test(test_base64_round_trip_and_refusals),
        cmocka_unit_test(test_hex_and_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
