/* test_notify.c - words to a supervisor that reads them, and to one that does not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/notify.h"
#include "unit.h"

static void test_a_word_arrives_with_its_sender(void **state)
{
    char path[64], text[64];
    pid_t pid = 0;
    snprintf(path, sizeof path, "@knarr-test-notify-%d", (int)getpid());
    _cleanup_close_ int fd = notify_listen(path);
    assert_true(fd >= 0);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send("READY=1"), 0); /* nobody asked */
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(notify_receive(fd, text, sizeof text, &pid), -EAGAIN);
    assert_int_equal(notify_send("READY=1"), 0);
    assert_int_equal(notify_receive(fd, text, sizeof text, &pid), 0);
    assert_string_equal(text, "READY=1");
    assert_int_equal(pid, getpid());
}

static void test_a_ping_waits_for_nobody(void **state)
{
    char path[64], text[64];
    pid_t pid;
    snprintf(path, sizeof path, "@knarr-test-ping-%d", (int)getpid());
    _cleanup_close_ int fd = notify_listen(path);
    assert_true(fd >= 0);
    setenv("NOTIFY_SOCKET", path, 1);
    int r = 0;
    for (int i = 0; i < 1000000 && r == 0; i++)
        r = notify_ping("WATCHDOG=1");
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(notify_receive(fd, text, sizeof text, &pid), 0);
    assert_int_equal(notify_ping("WATCHDOG=1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_word_arrives_with_its_sender),
        cmocka_unit_test(test_a_ping_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
