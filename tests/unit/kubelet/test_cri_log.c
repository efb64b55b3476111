/* test_cri_log.c - reading logs in the CRI's format. */
#include "kubelet/cri_log.h"

#include <unistd.h>

#include "unit.h"

#define T1 "2026-11-23T05:35:37.000000001Z"
#define T2 "2026-11-23T05:35:38.000000001Z"
static const char text[] = T1 " stdout F one\n" T1 " stderr P tw\n" T2 " stderr F o\n"
                              "garbage\n" T2 " stdout F three\n" T2 " stdout F cut";

static void expect(CriFilter f, const char *want)
{
    Buf out = BUF_INIT;
    /* the beginning of a line stays for later */
    assert_int_equal(cri_filter(&f, sv_cstr(text), &out),
                     sizeof text - 1 - strlen(T2 " stdout F cut"));
    assert_string_equal(buf_cstr(&out), want);
    buf_free(&out);
}

static void test_filter(void **state)
{
    expect((CriFilter){ .limit = -1 }, "one\ntwo\nthree\n");
    expect((CriFilter){ .limit = -1, .timestamps = true }, T1 " one\n" T1 " two\n" T2 " three\n");
    expect((CriFilter){ .limit = -1, .no_stderr = true }, "one\nthree\n");
}

static void test_limit_stops_inside_a_line(void **state)
{
    CriFilter f = { .limit = 5 };
    Buf out = BUF_INIT;
    cri_filter(&f, sv_cstr(text), &out);
    assert_true(f.done);
    assert_string_equal(buf_cstr(&out), "one\nt");
    buf_free(&out);
}

static void test_bad_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "x", T1, T1 " stdout", T1 " stdin F x", T1 " stdout Q x", "now stdout F x"
    };
    CriLine l;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(cri_line_parse(sv_cstr(bad[i]), &l));
    assert_true(cri_line_parse(SV(T1 " stdout F"), &l));
}

static void test_tail(void **state)
{
    static const char lines[] = "a\nbb\nccc\n";
    char name[] = "/tmp/knarr-tail-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(write(fd, lines, sizeof lines - 1), sizeof lines - 1);
    assert_int_equal(cri_tail_offset(fd, 0), 9);
    assert_int_equal(cri_tail_offset(fd, 1), 5);
    assert_int_equal(cri_tail_offset(fd, 2), 2);
    assert_int_equal(cri_tail_offset(fd, 3), 0);
    assert_int_equal(cri_tail_offset(fd, 9), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_limit_stops_inside_a_line),
        cmocka_unit_test(test_bad_lines_are_refused),
        cmocka_unit_test(test_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
