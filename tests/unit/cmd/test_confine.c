/* test_confine.c - what a confined process can still do, each in a child of its own. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "cmd/confine.h"

static char dir[64], store[128], other[128];

static int setup(void **state)
{
    strcpy(dir, "/tmp/knarr-test-confine-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    return mkdir(store, 0700) < 0 ? -1 : file_write(AT_FDCWD, other, SV("kept"), 0600);
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

/* The exit code of fn() in a child that is confined to `writable`. */
static int confined(const char *writable, int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        Err err = { 0 };
        _exit(confine(writable, &err) < 0 ? 99 : fn());
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int write_store(void)
{
    char path[160], to[160];
    snprintf(path, sizeof path, "%s/a", store);
    snprintf(to, sizeof to, "%s/b", store);
    if (file_write_atomic(AT_FDCWD, path, SV("x"), 0600, true) < 0)
        return 1;
    if (rename(path, to) < 0 || truncate(to, 0) < 0 || unlink(to) < 0)
        return 2;
    return open("/dev/null", O_WRONLY) < 0 ? 3 : 0;
}

/* Each returns errno, or 0 when it was let. */
static int write_other(void)
{
    return open(other, O_WRONLY) < 0 ? errno : 0;
}
static int make_beside(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s/new", dir);
    return open(path, O_CREAT | O_WRONLY, 0600) < 0 ? errno : 0;
}
static int remove_other(void)
{
    return unlink(other) < 0 ? errno : 0;
}
static int read_other(void)
{
    return open(other, O_RDONLY) < 0 ? errno : 0;
}
static int run_program(void)
{
    char name[] = "true", *const argv[] = { name, NULL };
    execv("/bin/true", argv);
    return errno;
}
static int make_namespace(void)
{
    return unshare(CLONE_NEWUSER) < 0 ? errno : 0;
}
static int mount_something(void)
{
    return mount("none", store, "tmpfs", 0, NULL) < 0 ? errno : 0;
}
static int trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}
static int change_user(void)
{
    return syscall(SYS_setresuid, 1, 1, 1) < 0 ? errno : 0;
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static void test_files_stay_as_they_are_but_in_one_folder(void **state)
{
    assert_int_equal(confined(store, write_store), 0);
    assert_int_equal(confined(store, read_other), 0);
    if (!has_landlock())
        skip();
    assert_int_equal(confined(NULL, write_store), 1);
    assert_int_equal(confined(store, write_other), EACCES);
    assert_int_equal(confined(store, make_beside), EACCES);
    assert_int_equal(confined(store, remove_other), EACCES);
}

static void test_calls_that_no_role_needs_are_denied(void **state)
{
    assert_int_equal(confined(store, run_program), EPERM);
    assert_int_equal(confined(store, make_namespace), EPERM);
    assert_int_equal(confined(store, mount_something), EPERM);
    assert_int_equal(confined(store, trace), EPERM);
    assert_int_equal(confined(store, change_user), EPERM);
}

static void test_a_folder_that_is_not_there_is_an_error(void **state)
{
    if (!has_landlock())
        skip();
    assert_int_equal(confined("/nonexistent", read_other), 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_stay_as_they_are_but_in_one_folder),
        cmocka_unit_test(test_calls_that_no_role_needs_are_denied),
        cmocka_unit_test(test_a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
