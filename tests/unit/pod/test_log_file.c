/* test_log_file.c - logs are opened and rotated below the folder of all logs, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pod/log_file.h"

static int setup(void **state)
{
    char *dir = strdup("/tmp/knarr-log-XXXXXX");

    if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir_p(AT_FDCWD, "logs/pod/c", 0755) < 0 ||
        mkdir_p(AT_FDCWD, "host", 0755) < 0 ||
        file_write(AT_FDCWD, "host/0.log", SV("secret"), 0600) < 0 ||
        file_write(AT_FDCWD, "logs/pod/c/0.log", SV("said"), 0640) < 0)
        return -1;
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    char *dir = *state;
    int r = chdir("/") < 0 ? -1 : rm_rf(AT_FDCWD, dir);

    free(dir);
    return r;
}

static void test_links_do_not_lead_out(void **state)
{
    int fd = log_file_open("logs/pod/c/0.log", O_RDONLY);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(log_file_open("logs/pod/c/1.log", O_RDONLY), -ENOENT);
    assert_int_equal(symlink("../../../host/0.log", "logs/pod/c/2.log"), 0);
    assert_int_equal(log_file_open("logs/pod/c/2.log", O_RDONLY), -ELOOP);
    assert_int_equal(symlink("../../host", "logs/pod/d"), 0);
    assert_int_equal(log_file_open("logs/pod/d/0.log", O_RDONLY), -ENOENT);
    assert_int_equal(log_file_rotate("logs/pod/d/0.log", 5), -ENOENT);
    log_file_remove("logs/pod/d/0.log");
    assert_true(path_exists(AT_FDCWD, "host/0.log"));
    assert_int_equal(mkfifo("logs/pod/c/3.log", 0600), 0);
    assert_int_equal(log_file_open("logs/pod/c/3.log", O_RDONLY), -EINVAL);
    fd = log_file_open("logs/pod/c/4.log", O_WRONLY | O_APPEND | O_CREAT);
    assert_true(fd >= 0);
    close(fd);
}

static unsigned files(void)
{
    DIR *d = opendir("logs/pod/c");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_the_newest_files_are_kept(void **state)
{
    for (int i = 0; i < 9; i++) { /* all within one second or two: names differ none the less */
        assert_int_equal(log_file_rotate("logs/pod/c/0.log", 3), 0);
        assert_false(path_exists(AT_FDCWD, "logs/pod/c/0.log"));
        assert_int_equal(file_write(AT_FDCWD, "logs/pod/c/0.log", SV("more"), 0640), 0);
        assert_true(files() <= 3);
    }
    assert_int_equal(files(), 3);
    log_file_remove("logs/pod/c/0.log");
    assert_int_equal(files(), 0);
    assert_int_equal(log_file_rotate("logs/pod/c/0.log", 3), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_links_do_not_lead_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_newest_files_are_kept, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
