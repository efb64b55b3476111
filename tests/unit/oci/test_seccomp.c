/* test_seccomp.c - filters are compiled, loaded by the other half, and do what the tables say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "oci/caps.h"
#include "oci/seccomp_load.h"
#include "oci/seccomp_profile.h"

static void in_child(const Buf *filter, int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(seccomp_load_bytes(buf_view(filter), NULL) < 0 ? 100 : fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int check_default(void)
{
    if (unshare(CLONE_NEWNS) == 0 || errno != EPERM)
        return 1;
    if (mount("a", "/", "tmpfs", 0, NULL) == 0 || errno != EPERM)
        return 2;
    if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
        return 3;
    if (syscall(SYS_keyctl, 0) >= 0 || errno != EPERM)
        return 4;
    if (socket(40, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return 5;
    if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL) >= 0 || errno != EPERM)
        return 6;
    return getpid() > 0 && fork() >= 0 ? 0 : 7;
}

static int check_admin(void)
{
    if (syscall(SYS_clone3, NULL, 0) >= 0 || errno == ENOSYS)
        return 1;
    return 0;
}

static int check_json(void)
{
    if (syscall(SYS_getppid) >= 0 || errno != ENOTTY)
        return 1;
    if (dup(5) >= 0 || errno != EPERM)
        return 2;
    return dup(1) < 0;
}

static void test_default_profile(void **state)
{
    _cleanup_buf_ Buf filter = BUF_INIT, admin = BUF_INIT;
    Err err = { 0 };

    if (seccomp_profile_default(caps_default(), &filter, &err) < 0)
        fail_msg("%s", err.msg);
    in_child(&filter, check_default);
    assert_int_equal(seccomp_profile_default(UINT64_C(1) << CAP_SYS_ADMIN, &admin, &err), 0);
    in_child(&admin, check_admin);
}

static void test_json_profile(void **state)
{
    _cleanup_buf_ Buf filter = BUF_INIT;
    Err err = { 0 };

    if (seccomp_profile_json(
            SV("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\","
               "\"SCMP_ARCH_X86\"],\"syscalls\":[{\"names\":[\"getppid\",\"no_such_call\"],"
               "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":25},{\"names\":[\"dup\"],\"action\":"
               "\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_EQ\"}]}]}"),
            &filter, &err) < 0)
        fail_msg("%s", err.msg);
    in_child(&filter, check_json);
}

static void test_bad_json_profiles(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"defaultAction\":\"NO\"}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"VAX\"]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":\"SCMP_ACT_KILL\"}]}",
        ("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"dup\"],\"action\":\"SCMP_ACT_KILL\","
         "\"args\":[{\"index\":9,\"op\":\"SCMP_CMP_EQ\"}]}]}"),
    };
    _cleanup_buf_ Buf filter = BUF_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(seccomp_profile_json(sv_cstr(bad[i]), &filter, NULL), -ERR_INVALID);
}

static void test_load_refuses_bad_bytes(void **state)
{
    assert_int_equal(seccomp_load_bytes(SV(""), NULL), -ERR_INVALID);
    assert_int_equal(seccomp_load_bytes(SV("1234567"), NULL), -ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_profile),
        cmocka_unit_test(test_json_profile),
        cmocka_unit_test(test_bad_json_profiles),
        cmocka_unit_test(test_load_refuses_bad_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
