/* test_seccomp.c - filters are compiled, loaded by the other half, and do what the tables say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "codec/json.h"
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

/* --- as the OCI runtime has them --- */

static void compiles(const char *text, SeccompFilter *ret)
{
    Err err = { 0 };
    Value doc;
    Arena a;

    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &doc, NULL), 0);
    if (seccomp_profile_compile(&doc, ret, &err) < 0)
        fail_msg("%s", err.msg);
    arena_free(&a);
}

static void does_not_compile(const char *text, const char *want)
{
    SeccompFilter f;
    Err err = { 0 };
    Value doc;
    Arena a;

    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &doc, NULL), 0);
    assert_int_equal(seccomp_profile_compile(&doc, &f, &err), -ERR_INVALID);
    if (!strstr(err.msg, want))
        fail_msg("'%s' is not in '%s'", want, err.msg);
    arena_free(&a);
}

static int check_newer(void)
{
    if (syscall(5000) >= 0 || errno != ENOSYS)
        return 1;
    return syscall(SYS_getppid) >= 0 || errno != EPERM;
}

/* What the profile cannot have known is not there, what it does not name is denied. */
static void test_newer_calls_are_not_implemented(void **state)
{
    SeccompFilter f;

    compiles(
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\","
        "\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\",\"SCMP_ARCH_AARCH64\"],\"syscalls\":[{\"names\":["
        "\"exit_group\",\"exit\",\"openat2\",\"sigaltstack\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
        &f);
    assert_true(f.flags == 0 && !f.notify);
    in_child(&f.bytes, check_newer);
    buf_free(&f.bytes);
}

static int check_big(void)
{
    if (lseek(-1, -2, 0) >= 0 || errno != ENOTTY) /* as an offset: 2^64 - 2 */
        return 1;
    if (lseek(-1, 7, 0) >= 0 || errno != ENOTTY)
        return 2;
    return lseek(-1, -3, 0) >= 0 || errno != EBADF;
}

/* Two conditions on one argument are two rules, as under runc. */
static void test_conditions(void **state)
{
    SeccompFilter f;

    compiles("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"lseek\"],"
             "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":25,\"args\":[{\"index\":1,\"value\":"
             "18446744073709551614,\"op\":\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":7,\"op\":"
             "\"SCMP_CMP_EQ\"}]}]}",
             &f);
    in_child(&f.bytes, check_big);
    buf_free(&f.bytes);
}

static void test_listener(void **state)
{
    SeccompFilter f;
    int status, listener = -1;
    pid_t pid;

    compiles("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\","
             "\"SECCOMP_FILTER_FLAG_TSYNC\"],\"syscalls\":[{\"names\":[\"getppid\"],\"action\":"
             "\"SCMP_ACT_NOTIFY\"}]}",
             &f);
    assert_true(f.notify && f.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(seccomp_install(buf_view(&f.bytes), f.flags, &listener, NULL) < 0 || listener < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    buf_free(&f.bytes);
}

static void test_wrong_profiles_are_refused_with_their_place(void **state)
{
    static const char *const rows[][2] = {
        { "{\"defaultAction\":\"NO\"}",
          "seccomp: defaultAction: string NO is not a valid action for seccomp" },
        { "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
          "SCMP_ACT_NOTIFY cannot be used as default action" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\",\"VAX\"]}",
          "seccomp: architectures[1]: string VAX is not a valid arch for seccomp" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]}",
          "seccomp: flags[0]: string X is not a valid flag for seccomp" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"write\"],\"action\":"
          "\"SCMP_ACT_NOTIFY\"}]}",
          "seccomp: syscalls[0]: SCMP_ACT_NOTIFY cannot be used for the write syscall" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"\"],\"action\":"
          "\"SCMP_ACT_KILL\"}]}",
          "seccomp: syscalls[0]: empty string is not a valid syscall" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"dup\"],\"action\":"
          "\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_X\"}]}]}",
          "seccomp: syscalls[0]: args[0]: string SCMP_CMP_X is not a valid operator" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":65536}",
          "seccomp: defaultAction: errnoRet: a number from 0 to 65535" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        does_not_compile(rows[i][0], rows[i][1]);
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
        cmocka_unit_test(test_newer_calls_are_not_implemented),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_listener),
        cmocka_unit_test(test_wrong_profiles_are_refused_with_their_place),
        cmocka_unit_test(test_load_refuses_bad_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
