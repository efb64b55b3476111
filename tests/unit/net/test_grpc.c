/* test_grpc.c - frames out and in, byte by byte; limits; how calls end. */
#include "unit.h"

#include <stdio.h>

#include "net/grpc.h"

static void test_frames_out(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT, large = BUF_INIT;
    grpc_put_frame(SV("\x0a\2me"), &out);
    grpc_put_frame(SV(""), &out);
    assert_int_equal(out.len, 14);
    assert_memory_equal(out.ptr, "\0\0\0\0\4\x0a\2me\0\0\0\0\0", 14);
    for (int i = 0; i < 0x010203; i++)
        buf_putc(&large, 'x');
    buf_clear(&out);
    grpc_put_frame(buf_view(&large), &out);
    assert_memory_equal(out.ptr, "\0\0\1\2\3x", 6);
}

static void test_frames_in(void **state)
{
    static const char bytes[] = "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\3two\0\0";
    const size_t n = sizeof bytes - 1;
    for (size_t step = 1; step <= n; step++) {
        GrpcReader r = { 0 };
        char got[64] = "";
        StrView m;
        for (size_t at = 0; at < n; at += step) {
            assert_int_equal(grpc_feed(&r, bytes + at, MIN(step, n - at), NULL), 0);
            while (grpc_next(&r, &m))
                snprintf(got + strlen(got), sizeof got - strlen(got), "[%.*s]", SV_FMT(m));
        }
        assert_string_equal(got, "[one][][two]");
        assert_int_equal(grpc_left(&r), 2); /* of a head */
        grpc_reader_free(&r);
        assert_int_equal(grpc_left(&r), 0);
    }
}

static void test_what_is_refused(void **state)
{
    Err err = { 0 };
    GrpcReader r = { .max = 3 };
    assert_int_equal(grpc_feed(&r, "\0\0\0\0\3", 5, &err), 0);
    assert_int_equal(grpc_feed(&r, "abc\0\0\0\0\4", 8, &err), -ERR_LIMIT);
    assert_string_equal(err.msg, "a gRPC message has 4 bytes; 3 are allowed");
    grpc_reader_free(&r);
    assert_int_equal(grpc_feed(&r, "\0\xff\xff\xff\xff", 5, &err), -ERR_LIMIT);
    grpc_reader_free(&r);
    assert_int_equal(grpc_feed(&r, "\1\0\0\0\0", 5, &err), -ERR_PROTO);
    grpc_reader_free(&r);
    r = (GrpcReader){ 0 };
    assert_int_equal(grpc_feed(&r, "\0\0\x40\0\1", 5, &err), -ERR_LIMIT); /* 4 MiB and one */
    grpc_reader_free(&r);
}

static void test_ends(void **state)
{
    static const struct {
        const char *name, *value, *message;
        bool known;
        unsigned code;
    } cases[] = {
        { "grpc-status", "0", "", true, GRPC_OK },
        { "Grpc-Status", "12", "", true, GRPC_UNIMPLEMENTED },
        { "grpc-status", "many", "", true, GRPC_UNKNOWN },
        { "grpc-status", "99999999", "", true, GRPC_UNKNOWN },
        { "grpc-message", "no%20such%2", "no such%2", false, 0 },
        { "grpc-message", "%zz%41%00", "%zzA?", false, 0 },
        { "content-type", "x", "", false, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        GrpcStatus s = { 0 };
        grpc_take_header(&s, sv_cstr(cases[i].name), sv_cstr(cases[i].value));
        assert_int_equal(s.known, cases[i].known);
        assert_int_equal(s.code, cases[i].code);
        assert_string_equal(s.message, cases[i].message);
    }
    char text[500];
    GrpcStatus s = { 0 };
    memset(text, 'x', sizeof text);
    grpc_take_header(&s, SV("grpc-message"), sv_n(text, sizeof text));
    assert_int_equal(strlen(s.message), sizeof s.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_out),
        cmocka_unit_test(test_frames_in),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
