/* test_log.c - the CRI log format: full lines, parts, splits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pod/stage1.h"

static void feed(Buf *partial, Buf *out, StrView data, bool end)
{
    log_format(partial, "stdout", "T", data, end, out);
}

static void test_lines(void **state)
{
    _cleanup_buf_ Buf partial = BUF_INIT, out = BUF_INIT;

    feed(&partial, &out, SV("a\nb"), false);
    feed(&partial, &out, SV("c\n\nd"), false);
    feed(&partial, &out, SV(""), true);
    feed(&partial, &out, SV(""), true);
    assert_string_equal(buf_cstr(&out), "T stdout F a\nT stdout F bc\nT stdout F \nT stdout P d\n");
}

static void test_long_lines_are_split(void **state)
{
    _cleanup_buf_ Buf partial = BUF_INIT, out = BUF_INIT;
    static char big[LOG_LINE_MAX * 2 + 1];
    const size_t head = sizeof "T stdout P " - 1;

    memset(big, 'x', sizeof big);
    big[LOG_LINE_MAX] = '\n';
    feed(&partial, &out, sv_n(big, LOG_LINE_MAX + 1), false); /* just fits */
    assert_int_equal(out.len, head + LOG_LINE_MAX + 1);
    assert_int_equal(out.ptr[head - 2], 'F');
    buf_clear(&out);
    big[LOG_LINE_MAX] = 'x';
    big[LOG_LINE_MAX + 1] = '\n';
    feed(&partial, &out, sv_n(big, LOG_LINE_MAX + 2), false);
    assert_int_equal(out.ptr[head - 2], 'P');
    assert_int_equal(out.len, 2 * head + LOG_LINE_MAX + 1 + 2);
    assert_int_equal(partial.len, 0);
    buf_clear(&out);
    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < sizeof big; i++) /* the same, byte by byte */
        feed(&partial, &out, sv_n(big + i, 1), false);
    assert_int_equal(out.len, 2 * (head + LOG_LINE_MAX + 1));
    assert_int_equal(partial.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines),
                                        cmocka_unit_test(test_long_lines_are_split) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
