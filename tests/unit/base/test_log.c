/* test_log.c - what text from outside becomes in a line of the log. */
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* The line that a text makes, behind "log: " or `"msg":`. */
static const char *line_of(bool json, const char *text, char line[static 8192])
{
    int fds[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    log_set_json(json);
    log_error("%s", text);
    log_set_json(false);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fds[1]);
    ssize_t n = read(fds[0], line, 8191);
    close(fds[0]);
    assert_true(n > 0 && line[n - 1] == '\n');
    line[n - 1] = 0;
    const char *at = strstr(line, json ? "\"msg\":" : "test: ");
    assert_non_null(at);
    return at + 6;
}

static void test_what_is_not_printable_is_escaped(void **state)
{
    char line[8192];
    assert_string_equal(line_of(false, "plain \"a\\b\" é €", line), "plain \"a\\b\" é €");
    assert_string_equal(line_of(false, "two\nlines\tand\r", line), "two lines and ");
    assert_string_equal(line_of(false, "\x1b[31m\x7f\x01", line), "\\x1b[31m\\x7f\\x01");
    assert_string_equal(line_of(false, "a\xff\xc3(\xe2\x82", line), "a\\xff\\xc3(\\xe2\\x82");
    assert_string_equal(line_of(false,
                                "\xc2\x9b"
                                "31m",
                                line),
                        "\\xc2\\x9b"
                        "31m");
    assert_string_equal(line_of(false, "\xed\xa0\x80", line), "\\xed\\xa0\\x80");
}

static void test_a_line_of_json_is_valid(void **state)
{
    char line[8192];
    assert_string_equal(line_of(true, "a\"b\\c\n\x1b é", line), "\"a\\\"b\\\\c\\u000a\\u001b é\"}");
    assert_string_equal(line_of(true, "a\xff", line), "\"a\\\\xff\"}");
}

static void test_what_is_too_long_is_cut_at_a_character(void **state)
{
    char text[6000], line[8192];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "é", 3);
    const char *got = line_of(false, text, line);
    assert_true(strlen(got) > 3000 && strlen(got) < 4096 && strlen(got) % 2 == 0);
    memset(text, 0xff, sizeof text - 1);
    text[sizeof text - 1] = 0;
    got = line_of(true, text, line);
    assert_true(strlen(got) < 4096);
    assert_string_equal(got + strlen(got) - 2, "\"}");
}

int main(void)
{
    log_init("test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_printable_is_escaped),
        cmocka_unit_test(test_a_line_of_json_is_valid),
        cmocka_unit_test(test_what_is_too_long_is_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
