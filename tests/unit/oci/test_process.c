/* test_process.c - resource limits, sysctls, finding the command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>

#include "base/file.h"
#include "oci/process.h"

static void test_rlimits(void **state)
{
    const OciRlimit l = { RLIMIT_CORE, 0, 0 };
    struct rlimit got;
    uint32_t res;

    assert_int_equal(rlimit_parse(SV("RLIMIT_NOFILE"), &res, NULL), 0);
    assert_int_equal(res, RLIMIT_NOFILE);
    assert_int_equal(rlimit_parse(SV("nproc"), &res, NULL), 0);
    assert_int_equal(res, RLIMIT_NPROC);
    assert_int_equal(rlimit_parse(SV("RLIMIT_"), &res, NULL), -ERR_INVALID);
    assert_int_equal(rlimits_set(&l, 1, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_CORE, &got), 0);
    assert_true(got.rlim_cur == 0 && got.rlim_max == 0);
}

static void test_sysctls_stay_in_the_pod(void **state)
{
    const OciSysctl host = { "kernel.panic", "1" },
                    escape = { "net.ipv4./../../kernel/panic", "1" };
    const OciSysctl net = { "net.ipv4.ip_forward", "1" };

    assert_true(sysctl_is_namespaced("net.ipv4.ip_forward", true, false, false));
    assert_false(sysctl_is_namespaced("net.ipv4.ip_forward", false, true, true));
    assert_true(sysctl_is_namespaced("kernel.shmmax", false, true, false));
    assert_true(sysctl_is_namespaced("fs.mqueue.msg_max", false, true, false));
    assert_false(sysctl_is_namespaced("kernel.shmmaxx", true, true, true));
    assert_false(sysctl_is_namespaced("vm.swappiness", true, true, true));
    assert_int_equal(sysctl_set(-1, &host, true, true, true, NULL), -ERR_DENIED);
    assert_int_equal(sysctl_set(-1, &escape, true, true, true, NULL), -ERR_INVALID);
    assert_int_equal(sysctl_set(-1, &net, false, true, true, NULL), -ERR_DENIED);
}

static void test_exec_find(void **state)
{
    const char *const env[] = { "A=1", "PATH=/nonexistent:/bin", NULL };
    char path[256];
    Err err = { 0 };

    assert_int_equal(exec_find("sh", env, path, sizeof path, &err), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(exec_find("sh", NULL, path, sizeof path, &err), 0);
    assert_int_equal(exec_find("/bin/sh", env, path, sizeof path, &err), 0);
    assert_int_equal(exec_find("no-such", env, path, sizeof path, &err), -ERR_NOT_FOUND);
    assert_string_equal(err.msg, "exec: \"no-such\": executable file not found in $PATH");
    assert_int_equal(exec_find("/no/such", env, path, sizeof path, &err), -ERR_NOT_FOUND);
    assert_string_equal(err.msg, "exec: \"/no/such\": stat /no/such: no such file or directory");
    assert_int_equal(exec_find("/etc/passwd", env, path, sizeof path, &err), -ERR_DENIED);
    assert_int_equal(exec_find("/etc", env, path, sizeof path, &err), -ERR_DENIED);
    assert_int_equal(exec_find("", env, path, sizeof path, &err), -ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rlimits),
        cmocka_unit_test(test_sysctls_stay_in_the_pod),
        cmocka_unit_test(test_exec_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
