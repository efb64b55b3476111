/* test_groups.c - control groups of a container, in the machine's own hierarchies (root only), and
 * what needs none: device policy, conversions to version 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "codec/json.h"
#include "oci/runtime/groups_internal.h"

static void must(int r, const Err *err)
{
    if (r < 0)
        fail_msg("%s", err->msg);
}

/* --- device policy --- */

static OciDeviceRule rule(bool allow, char type, int64_t major, int64_t minor, const char *access)
{
    return (OciDeviceRule){
        allow, type, major, minor, strchr(access, 'r'), strchr(access, 'w'), strchr(access, 'm')
    };
}

static int put_line(void *ctx, bool allow, const char *line, Err *err)
{
    buf_printf(ctx, "%c%s\n", allow ? '+' : '-', line);
    return 0;
}

static const char *change(DeviceSet *from, DeviceSet *to, Buf *out)
{
    buf_clear(out);
    assert_int_equal(device_set_change(from, to, put_line, out, NULL), 0);
    return buf_cstr(out);
}

static void add(DeviceSet *s, OciDeviceRule r)
{
    Err err = { 0 };

    must(device_set_add(s, &r, &err), &err);
}

static void test_rules_are_read_in_order(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    DeviceSet all = { .allow = true }, set = { 0 }, next;
    Err err = { 0 };

    /* A new group allows everything: what is to be denied begins with a line that denies all. */
    add(&set, rule(true, 'c', 1, 3, "r"));
    add(&set, rule(true, 'c', 1, 3, "w"));
    add(&set, rule(true, 'b', -1, -1, "m"));
    assert_string_equal(change(&all, &set, &out), "-a\n+c 1:3 rw\n+b *:* m\n");
    /* What is the same is not said again, what is less is taken away. */
    next = set;
    assert_string_equal(change(&set, &next, &out), "");
    add(&next, rule(false, 'c', 1, 3, "w"));
    add(&next, rule(true, 'c', 5, -1, "rwm"));
    assert_string_equal(change(&set, &next, &out), "-c 1:3 w\n+c 5:* rwm\n");
    /* "a" begins anew, whatever stands before. */
    add(&next, rule(true, 'a', 1, 1, "r"));
    assert_true(next.allow && next.n == 0);
    add(&next, rule(false, 'c', 10, 1, "rw"));
    assert_string_equal(change(&set, &next, &out), "+a\n-c 10:1 rw\n");
    /* A part of a wider rule cannot be taken away. */
    OciDeviceRule hole = rule(false, 'b', 8, 0, "m");
    assert_int_equal(device_set_add(&set, &hole, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "cannot punch hole in existing wildcard rule"));
}

static void test_the_kernels_list_is_read(void **state)
{
    DeviceSet s;

    assert_int_equal(device_set_parse(&s, SV("a *:* rwm\n"), NULL), 0);
    assert_true(s.allow && s.n == 0);
    assert_int_equal(device_set_parse(&s, SV("c 1:3 rwm\nb *:* m\n"), NULL), 0);
    assert_true(!s.allow && s.n == 2 && s.rules[1].major == DEVICE_ANY);
    assert_int_equal(device_set_parse(&s, SV("nonsense\n"), NULL), -ERR_INVALID);
}

/* --- conversions --- */

static void test_swap_of_version_2_is_without_memory(void **state)
{
    static const struct {
        int64_t swap, memory, want;
    } rows[] = { { 0, -1, -1 }, { 0, 0, 0 }, { -1, 5, -1 }, { 96, 52, 44 }, { 52, 52, 0 } };
    int64_t n;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(group_v2_swap(rows[i].swap, rows[i].memory, &n, NULL), 0);
        assert_true(n == rows[i].want);
    }
    assert_int_equal(group_v2_swap(5, 0, &n, NULL), -ERR_INVALID);
    assert_int_equal(group_v2_swap(5, 6, &n, NULL), -ERR_INVALID);
    assert_int_equal(group_v2_swap(5, -2, &n, NULL), -ERR_INVALID);
}

/* --- in the machine --- */

static OciGroups *groups_of(const char *path, bool rootless)
{
    const OciGroupsWant want = { .id = "knarr-test", .cgroups_path = path, .rootless = rootless };
    OciGroups *g = NULL;
    Err err = { 0 };

    must(oci_groups_new(&want, &g, &err), &err);
    return g;
}

static void assert_file(const OciGroups *g, const char *controller, const char *file,
                        const char *want)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char full[512];

    snprintf(full, sizeof full, "%s/%s", oci_groups_path(g, controller), file);
    assert_int_equal(file_read(AT_FDCWD, full, 65536, &text), 0);
    buf_cstr(&text);
    assert_true(sv_eq(sv_trim(buf_view(&text)), sv_cstr(want)) ||
                (print_message("%s: %s\n", file, text.ptr), false));
}

/* A process of the group that waits to be killed. */
static pid_t member(const OciGroups *g, const char *sub)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (oci_groups_join(g, sub, false, NULL) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static bool is_machine_ready(void)
{
    CgroupSystem sys;

    return geteuid() == 0 && cgroup_system_find(&sys, NULL, NULL) == 0 &&
           cgroup_has(&sys, "memory") && cgroup_has(&sys, "pids");
}

static void test_life_of_the_groups(void **state)
{
    _cleanup_buf_ Buf saved = BUF_INIT, again = BUF_INIT;
    OciDeviceRule devices[] = { rule(false, 'a', -1, -1, "rwm"), rule(true, 'c', 1, 3, "rwm") };
    OciResources r = { .devices = { devices, 2 },
                       .memory = { .limit = { true, 64 << 20 }, .reservation = { true, 32 << 20 } },
                       .cpu = { .shares = { true, 512 }, .quota = { true, 50000 } },
                       .pids_limit = { true, 20 } };
    OciGroups *g, *loaded = NULL;
    pid_t pid, *pids = NULL;
    size_t n = 0;
    char path[64];
    Err err = { 0 };
    Arena a;
    Value doc;
    bool v1;

    if (!is_machine_ready())
        skip();
    snprintf(path, sizeof path, "/knarr-test-%d/a/../b", (int)getpid());
    g = groups_of(path, false);
    must(oci_groups_create(g, &r, NULL, 0, &err), &err);
    assert_true(oci_groups_exist(g));
    v1 = oci_groups_path(g, "freezer");
    assert_file(g, "memory", v1 ? "memory.limit_in_bytes" : "memory.max", "67108864");
    assert_file(g, "pids", "pids.max", "20");
    if (v1)
        assert_file(g, "devices", "devices.list", "c 1:3 rwm");
    /* As a later invocation has it. */
    oci_groups_save(g, &saved);
    arena_init(&a, 0);
    must(json_decode(buf_view(&saved), &a, NULL, &doc, &err), &err);
    must(oci_groups_load(&doc, &loaded, &err), &err);
    oci_groups_save(loaded, &again);
    assert_true(sv_eq(buf_view(&saved), buf_view(&again)));
    oci_groups_free(g);
    /* A member, which stands and goes on. */
    pid = member(loaded, NULL);
    must(oci_groups_pids(loaded, &pids, &n, &err), &err);
    assert_true(n == 1 && pids[0] == pid);
    free(pids);
    must(oci_groups_freeze(loaded, true, &err), &err);
    assert_true(oci_groups_are_frozen(loaded));
    must(oci_groups_freeze(loaded, false, &err), &err);
    assert_false(oci_groups_are_frozen(loaded));
    /* Only what is set changes. */
    r = (OciResources){ .pids_limit = { true, -1 } };
    must(oci_groups_set(loaded, &r, &err), &err);
    assert_file(loaded, "pids", "pids.max", "max");
    assert_file(loaded, "memory", v1 ? "memory.limit_in_bytes" : "memory.max", "67108864");
    /* Killed even while it stands. */
    must(oci_groups_freeze(loaded, true, &err), &err);
    must(oci_groups_kill(loaded, SIGKILL, &err), &err);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    must(oci_groups_remove(loaded, &err), &err);
    assert_false(oci_groups_exist(loaded));
    must(oci_groups_remove(loaded, &err), &err);
    oci_groups_free(loaded);
    arena_free(&a);
    snprintf(path, sizeof path, "/knarr-test-%d", (int)getpid());
    g = groups_of(path, false);
    must(oci_groups_remove(g, &err), &err);
    oci_groups_free(g);
}

static void test_groups_that_are_there(void **state)
{
    OciResources none = { 0 };
    OciGroups *g, *second;
    char path[64], sub[128];
    Err err = { 0 };
    pid_t pid;

    if (!is_machine_ready())
        skip();
    snprintf(path, sizeof path, "/knarr-test-there-%d", (int)getpid());
    g = groups_of(path, false);
    second = groups_of(path, false);
    must(oci_groups_create(g, &none, NULL, 0, &err), &err);
    assert_int_equal(oci_groups_found(g), 0);
    pid = member(g, NULL);
    must(oci_groups_create(second, &none, NULL, 0, &err), &err);
    assert_int_equal(oci_groups_found(second), 1);
    must(oci_groups_freeze(g, true, &err), &err);
    assert_int_equal(oci_groups_create(second, &none, NULL, 0, &err), -ERR_CONFLICT);
    assert_string_equal(err.msg, "container's cgroup unexpectedly frozen");
    assert_true(oci_groups_exist(g));
    must(oci_groups_kill(g, SIGKILL, &err), &err);
    waitpid(pid, NULL, 0);
    /* Below it, and nowhere else. */
    assert_int_equal(oci_groups_join(g, "../x", false, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "../x is not a sub cgroup path");
    assert_int_equal(oci_groups_join(g, "nothing:/x", false, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "unknown controller nothing in SubCgroupPaths");
    assert_int_equal(oci_groups_join(g, "/not-there", false, &err), -ERR_NOT_FOUND);
    if (oci_groups_path(g, "freezer")) {
        snprintf(sub, sizeof sub, "%s/low", oci_groups_path(g, "pids"));
        assert_int_equal(mkdir(sub, 0755), 0);
        pid = member(g, "pids:/low");
        must(oci_groups_kill(g, SIGKILL, &err), &err);
        waitpid(pid, NULL, 0);
    }
    must(oci_groups_remove(g, &err), &err);
    oci_groups_free(g);
    oci_groups_free(second);
}

/* What fails on its way leaves nothing, and says which file it was. */
static void test_wrong_limits_leave_nothing(void **state)
{
    OciResources r = { .cpu = { .period = { true, 100 } } };
    OciGroups *g;
    char path[64];
    Err err = { 0 };

    if (!is_machine_ready())
        skip();
    snprintf(path, sizeof path, "/knarr-test-wrong-%d", (int)getpid());
    g = groups_of(path, false);
    assert_true(oci_groups_create(g, &r, NULL, 0, &err) < 0);
    assert_non_null(strstr(err.msg, "cpu."));
    assert_false(oci_groups_exist(g));
    r = (OciResources){ .unified = { &(OciPair){ "memory.high", "max" }, 1 } };
    if (oci_groups_path(g, "freezer")) {
        assert_int_equal(oci_groups_create(g, &r, NULL, 0, &err), -ERR_UNSUPPORTED);
        assert_string_equal(err.msg, "invalid configuration: cannot use unified on cgroup v1");
    }
    r = (OciResources){ .hugepages = { &(OciHugepages){ "3KB", 1 }, 1 } };
    assert_true(oci_groups_create(g, &r, NULL, 0, &err) < 0);
    assert_false(oci_groups_exist(g));
    oci_groups_free(g);
}

static void test_paths(void **state)
{
    const OciGroupsWant top = { .id = "x", .cgroups_path = "/../.." };
    const OciGroupsWant systemd = { .id = "x", .systemd = true };
    OciGroups *g = NULL;
    Err err = { 0 };

    if (!is_machine_ready())
        skip();
    if (!path_exists(AT_FDCWD, "/run/systemd/system")) {
        assert_int_equal(oci_groups_new(&systemd, &g, &err), -ERR_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "systemd not running on this host"));
    }
    assert_int_equal(oci_groups_new(&top, &g, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "linux.cgroupsPath"));
    g = groups_of("/a//b/../c/.", false);
    for (size_t i = 0; i < g->sys.len; i++)
        assert_string_equal(g->path[i], "/a/c");
    oci_groups_free(g);
    /* Without a path, or with a relative one: below where we are ourselves. */
    g = groups_of(NULL, false);
    for (size_t i = 0; i < g->sys.len; i++)
        assert_true(sv_ends(sv_cstr(g->path[i]), SV("/knarr-test")));
    oci_groups_free(g);
}

static void test_damaged_state_is_refused(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"groups\":[{}]}",
        "{\"groups\":[{\"mount\":\"/sys/fs/cgroup\",\"path\":\"/\"}]}",
        "{\"groups\":[{\"mount\":\"/sys/fs/cgroup\",\"path\":\"/a/../..\"}]}",
        "{\"groups\":[{\"mount\":\"x\",\"path\":\"/a\"}]}",
        "{\"groups\":[],\"unit\":\"../x.scope\"}",
        "{\"groups\":[],\"unit\":7}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        OciGroups *g = NULL;
        Err err = { 0 };
        Arena a;
        Value doc;

        arena_init(&a, 0);
        assert_int_equal(json_decode(sv_cstr(rows[i]), &a, NULL, &doc, NULL), 0);
        assert_int_equal(oci_groups_load(&doc, &g, &err), -ERR_CORRUPT);
        assert_null(g);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read_in_order),
        cmocka_unit_test(test_the_kernels_list_is_read),
        cmocka_unit_test(test_swap_of_version_2_is_without_memory),
        cmocka_unit_test(test_life_of_the_groups),
        cmocka_unit_test(test_groups_that_are_there),
        cmocka_unit_test(test_wrong_limits_leave_nothing),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_damaged_state_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
