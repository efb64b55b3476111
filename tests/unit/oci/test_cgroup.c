/* test_cgroup.c - finding hierarchies, and groups in the machine's own hierarchies (root only). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "oci/cgroup.h"

static void test_parse_knows_v1_v2_and_hybrid(void **state)
{
    char hybrid[] = "25 20 0:21 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
                    "26 25 0:22 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
                    "27 25 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
                    "28 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                    "29 25 0:24 / /mnt/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
    char unified[] = "26 20 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
    CgroupSystem sys;

    cgroup_system_parse(hybrid, NULL, &sys);
    assert_int_equal(sys.len, 3);
    assert_true(sys.list[0].v2);
    assert_string_equal(sys.list[1].controllers, "name=systemd");
    assert_string_equal(sys.list[2].controllers, "cpu,cpuacct");
    cgroup_system_parse(unified, NULL, &sys);
    assert_int_equal(sys.len, 1);
    assert_string_equal(sys.list[0].mount, "/sys/fs/cgroup");
}

static void test_weights(void **state)
{
    assert_int_equal(cgroup_weight_of_shares(0), 1);
    assert_int_equal(cgroup_weight_of_shares(2), 1);
    assert_int_equal(cgroup_weight_of_shares(1024), 39);
    assert_int_equal(cgroup_weight_of_shares(262144), 10000);
    assert_int_equal(cgroup_weight_of_shares(UINT64_MAX), 10000);
}

static void test_bad_paths_are_refused(void **state)
{
    CgroupSystem sys = { 0 };

    assert_int_equal(cgroup_create(&sys, "x", NULL), -ERR_INVALID);
    assert_int_equal(cgroup_create(&sys, "/", NULL), -ERR_INVALID);
    assert_int_equal(cgroup_create(&sys, "/a/../b", NULL), -ERR_INVALID);
}

static void test_life_of_a_group(void **state)
{
    const CgroupLimits limits = {
        .cpu_shares = 512, .cpu_quota_us = 50000, .memory_max = 64 << 20, .pids_max = 20
    };
    char top[64], path[96];
    CgroupSystem sys;
    CgroupStat st;
    Err err = { 0 };
    pid_t pid;
    int status, go[2];

    if (geteuid() != 0 || cgroup_system_find(&sys, NULL, NULL) < 0)
        skip();
    snprintf(top, sizeof top, "/knarr-test-%d", (int)getpid());
    snprintf(path, sizeof path, "%s/pod/app", top);
    if (cgroup_create(&sys, path, &err) < 0 || cgroup_create(&sys, path, &err) < 0 ||
        cgroup_set_limits(&sys, path, &limits, &err) < 0 ||
        cgroup_set_devices(&sys, path, false, NULL, 0, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (read(go[0], &status, 1) == 1 && fork() >= 0) /* two processes, both born inside */
            pause();
        _exit(0);
    }
    if (cgroup_attach(&sys, path, pid, &err) < 0 || write(go[1], "", 1) != 1)
        fail_msg("%s", err.msg);
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < 20000 && cgroup_signal(&sys, path, 0) < 2; i++)
        usleep(1000);
    assert_int_equal(cgroup_signal(&sys, path, 0), 2);
    assert_int_equal(cgroup_stat(&sys, path, &st, &err), 0);
    assert_true(st.memory_limit == 64 << 20);
    assert_true(st.pids >= 1);
    assert_false(cgroup_is_empty(&sys, top));
    assert_int_equal(cgroup_freeze(&sys, path, true, &err), 0);
    if (cgroup_kill(&sys, top, 5000, &err) < 0)
        assert_int_equal(err.code,
                         ERR_TIMEOUT); /* the child is our zombie in version 1 until reaped */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(cgroup_kill(&sys, top, 5000, &err), 0);
    if (cgroup_remove(&sys, top, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(cgroup_stat(&sys, path, &st, &err), -ERR_NOT_FOUND);
    assert_int_equal(cgroup_remove(&sys, top, &err), 0);
}

/* Born into the group, and joined: the process is in it in every hierarchy, as if it was moved. */
static void test_a_child_is_born_into_its_group(void **state)
{
    char path[64], want[80];
    CgroupSystem sys;
    Err err = { 0 };
    int pidfd = -1, out[2];
    Buf text = BUF_INIT;

    if (geteuid() != 0 || cgroup_system_find(&sys, NULL, NULL) < 0)
        skip();
    snprintf(path, sizeof path, "/knarr-test-born-%d", (int)getpid());
    snprintf(want, sizeof want, ":%s\n", path);
    assert_int_equal(cgroup_create(&sys, path, &err), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = cgroup_clone(&sys, path, 0, &pidfd, &err);
    if (pid == 0) {
        Buf own = BUF_INIT;
        if (cgroup_join(&sys, path, NULL) == 0 &&
            file_read(AT_FDCWD, "/proc/self/cgroup", 65536, &own) == 0)
            (void)!fd_write_full(out[1], own.ptr, own.len);
        _exit(0);
    }
    if (pid < 0)
        fail_msg("%s", err.msg);
    close(out[1]);
    assert_int_equal(fd_read_all(out[0], 65536, &text), 0);
    close(out[0]);
    assert_true(pidfd >= 0);
    close(pidfd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    size_t lines = 0, there = 0;
    StrView rest = buf_view(&text), line;
    while (sv_next(&rest, '\n', &line)) {
        lines++;
        there += sv_ends(line, sv_n(want, strlen(want) - 1));
    }
    assert_int_equal(there, sys.len);
    assert_true(lines >= sys.len);
    buf_free(&text);
    assert_int_equal(cgroup_remove(&sys, path, &err), 0);
}

static void test_no_child_without_its_group(void **state)
{
    CgroupSystem sys;
    Err err = { 0 };
    int pidfd = -1;
    bool v2 = false;

    if (cgroup_system_find(&sys, NULL, NULL) < 0)
        skip();
    for (size_t i = 0; i < sys.len; i++)
        v2 |= sys.list[i].v2;
    if (!v2)
        skip();
    assert_int_equal(cgroup_clone(&sys, "/knarr-test-nowhere", 0, &pidfd, &err), -ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "/knarr-test-nowhere"));
    assert_int_equal(pidfd, -1);
    assert_true(cgroup_join(&sys, "/knarr-test-nowhere", &err) < 0 || sys.len == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_knows_v1_v2_and_hybrid),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_bad_paths_are_refused),
        cmocka_unit_test(test_life_of_a_group),
        cmocka_unit_test(test_a_child_is_born_into_its_group),
        cmocka_unit_test(test_no_child_without_its_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
