/* test_file.c - files, atomic replacement, removal, and running programs. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"

static char dir[] = "/tmp/knarr-test-file-XXXXXX";
static int dfd = -1;

static int setup(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    close(dfd);
    return rm_rf(AT_FDCWD, dir);
}

static void test_write_atomic_replaces_and_leaves_nothing(void **state)
{
    assert_int_equal(file_write_atomic(dfd, "a", SV("one"), 0640, true), 0);
    assert_int_equal(file_write_atomic(dfd, "a", SV("two"), 0600, false), 0);
    _cleanup_buf_ Buf b = BUF_INIT;
    assert_int_equal(file_read(dfd, "a", 100, &b), 0);
    assert_sv(buf_view(&b), "two");
    struct stat st;
    assert_int_equal(fstatat(dfd, "a", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    /* A folder in the way: the rename fails and the temporary file goes. */
    assert_int_equal(mkdir_p(dfd, "d/x", 0700), 0);
    assert_true(file_write_atomic(dfd, "d", SV("no"), 0600, false) < 0);
    const char *const argv[] = { "ls", dir, NULL };
    buf_clear(&b);
    int status;
    assert_int_equal(proc_run(argv, NULL, SV_NULL, 5000, &b, NULL, &status), 0);
    assert_sv(buf_view(&b), "a\nd\n");
}

static void test_read_over_limit_is_refused(void **state)
{
    assert_int_equal(file_write(dfd, "big", SV("0123456789"), 0600), 0);
    _cleanup_buf_ Buf b = BUF_INIT;
    assert_int_equal(file_read(dfd, "big", 10, &b), 0);
    buf_clear(&b);
    assert_int_equal(file_read(dfd, "big", 9, &b), -EFBIG);
    assert_int_equal(file_read(dfd, "none", 9, &b), -ENOENT);
}

static void test_only_regular_files_are_opened(void **state)
{
    static const int flags[] = { O_RDONLY, O_WRONLY | O_CREAT, O_RDWR };
    static const char *const others[] = { "fifo", "folder", "link" };
    assert_int_equal(mkfifoat(dfd, "fifo", 0600), 0);
    assert_int_equal(mkdirat(dfd, "folder", 0700), 0);
    assert_int_equal(symlinkat("plain", dfd, "link"), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        for (unsigned k = 0; k < ARRAY_SIZE(others); k++)
            assert_int_equal(file_open_regular(dfd, others[k], flags[i], 0600), -EINVAL);
    assert_int_equal(file_open_regular(dfd, "plain", O_RDONLY, 0), -ENOENT);
    int fd = file_open_regular(dfd, "plain", O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    for (unsigned k = 0; k < ARRAY_SIZE(others); k++)
        assert_int_equal(rm_rf(dfd, others[k]), 0);
    assert_int_equal(rm_rf(dfd, "plain"), 0);
}

static void test_mkdir_p_and_rm_rf(void **state)
{
    assert_int_equal(mkdir_p(dfd, "p/q/r", 0755), 0);
    assert_int_equal(mkdir_p(dfd, "p/q/r", 0755), 0);
    assert_int_equal(file_write(dfd, "p/q/f", SV("x"), 0600), 0);
    assert_int_equal(mkdir_p(dfd, "p/q/f/z", 0755), -ENOTDIR);
    assert_int_equal(symlinkat("/etc", dfd, "p/link"), 0);
    assert_int_equal(rm_rf(dfd, "p"), 0);
    assert_false(path_exists(dfd, "p"));
    assert_true(path_exists(AT_FDCWD, "/etc/passwd"));
    assert_int_equal(rm_rf(dfd, "p"), 0);
}

static void test_run_feeds_and_collects(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT, err = BUF_INIT;
    int status;
    const char *const argv[] = { "sh", "-c", "cat; echo oops >&2; exit 3", NULL };
    assert_int_equal(proc_run(argv, NULL, SV("hello"), 5000, &out, &err, &status), 0);
    assert_sv(buf_view(&out), "hello");
    assert_sv(buf_view(&err), "oops\n");
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void test_run_reports_missing_program(void **state)
{
    const char *const argv[] = { "/no/such/program", NULL };
    int status;
    assert_int_equal(proc_run(argv, NULL, SV_NULL, 5000, NULL, NULL, &status), -ENOENT);
}

static void test_run_kills_at_timeout(void **state)
{
    const char *const argv[] = { "sleep", "60", NULL };
    int status;
    assert_int_equal(proc_run(argv, NULL, SV_NULL, 50, NULL, NULL, &status), -ETIMEDOUT);
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_stop_kills_who_ignores_term(void **state)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    const char *const argv[] = { "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done",
                                 NULL };
    ProcSpec spec = { .argv = argv, .fds = { -1, p[1], -1 }, .new_session = true };
    pid_t pid;
    assert_int_equal(proc_spawn(&spec, &pid), 0);
    close(p[1]);
    char ready[6];
    assert_int_equal(fd_read_full(p[0], ready, 6), 0);
    close(p[0]);
    int status;
    assert_int_equal(proc_stop(pid, 50, &status), 0);
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_rename_durable_moves_or_says_why(void **state)
{
    char top[] = "/tmp/knarr-rename-XXXXXX", from[64], to[64];
    assert_non_null(mkdtemp(top));
    snprintf(from, sizeof from, "%s/a", top);
    snprintf(to, sizeof to, "%s/b", top);
    assert_int_equal(rename_durable(from, to), -ENOENT);
    assert_int_equal(file_write(AT_FDCWD, from, SV("x"), 0600), 0);
    assert_int_equal(rename_durable(from, to), 0);
    assert_true(path_exists(AT_FDCWD, to));
    assert_false(path_exists(AT_FDCWD, from));
    assert_int_equal(rm_rf(AT_FDCWD, top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rename_durable_moves_or_says_why),
        cmocka_unit_test(test_write_atomic_replaces_and_leaves_nothing),
        cmocka_unit_test(test_read_over_limit_is_refused),
        cmocka_unit_test(test_only_regular_files_are_opened),
        cmocka_unit_test(test_mkdir_p_and_rm_rf),
        cmocka_unit_test(test_run_feeds_and_collects),
        cmocka_unit_test(test_run_reports_missing_program),
        cmocka_unit_test(test_run_kills_at_timeout),
        cmocka_unit_test(test_stop_kills_who_ignores_term),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
