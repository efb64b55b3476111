/* test_mounts.c - the plan of a root filesystem: order, replacement, refusals. Pure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "oci/mounts.h"

static const char *const layers[] = { "/l/1", "/l/2" };

static char *plan_text(const OciRootfs *r, Buf *out)
{
    Arena a;
    OciPlan plan;
    Err err = { 0 };

    arena_init(&a, 0);
    buf_clear(out);
    if (oci_rootfs_plan(r, &a, &plan, &err) < 0)
        fail_msg("%s", err.msg);
    oci_plan_print(&plan, out);
    arena_free(&a);
    return buf_cstr(out);
}

static void test_plan_is_the_default_specification(void **state)
{
    static const char *const masked[] = { "/proc/kcore" }, *const ro[] = { "/proc/sys" };
    const OciMount mounts[] = {
        { "/etc/hosts", "/pod/hosts", NULL, NULL, OCI_MOUNT_RO, 0 },
        { "/data/sub", "/v/sub", NULL, NULL, OCI_MOUNT_RECURSIVE, OCI_PROP_SHARED },
        { "/data", "/v/data", NULL, NULL, 0, OCI_PROP_SLAVE },
        { "/dev/shm/", "/pod/shm", NULL, NULL, 0, 0 },
    };
    const OciRootfs r = {
        .lower = layers,
        .lower_len = 2,
        .upper = "/u",
        .work = "/w",
        .target = "/t",
        .readonly = true,
        .mounts = mounts,
        .mounts_len = 4,
        .masked = masked,
        .masked_len = 1,
        .readonly_paths = ro,
        .readonly_paths_len = 1,
    };
    _cleanup_buf_ Buf out = BUF_INIT;

    assert_string_equal(
        plan_text(&r, &out),
        "root-overlay /t\n"
        "mount /proc <- proc nosuid nodev noexec\n"
        "mount /dev <- tmpfs nosuid mode=755,size=65536k\n"
        "mount /dev/pts <- devpts nosuid noexec newinstance,ptmxmode=0666,mode=0620,gid=5\n"
        "mount /dev/mqueue <- mqueue nosuid nodev noexec\n"
        "mount /sys <- sysfs ro nosuid nodev noexec\n"
        "cgroup /sys/fs/cgroup ro nosuid nodev noexec\n"
        "device /dev/null\ndevice /dev/zero\ndevice /dev/full\ndevice /dev/random\ndevice /dev/urandom\n"
        "device /dev/tty\n"
        "symlink /dev/fd <- /proc/self/fd\nsymlink /dev/stdin <- /proc/self/fd/0\n"
        "symlink /dev/stdout <- /proc/self/fd/1\nsymlink /dev/stderr <- /proc/self/fd/2\n"
        "symlink /dev/ptmx <- pts/ptmx\nsymlink /dev/core <- /proc/kcore\n"
        "bind /data <- /v/data slave\n"
        "bind /etc/hosts <- /pod/hosts ro\n"
        "bind /data/sub <- /v/sub rec shared\n"
        "bind /dev/shm/ <- /pod/shm\n"
        "mask /proc/kcore\nreadonly /proc/sys\nroot-readonly /\n");
}

static void test_single_layers_are_bound(void **state)
{
    const OciRootfs r = { .lower = layers, .lower_len = 1, .target = "/t" };
    const OciRootfs dir = { .upper = "/u", .target = "/t" };
    _cleanup_buf_ Buf out = BUF_INIT;

    assert_memory_equal(plan_text(&r, &out), "root-bind /t <- /l/1 ro\n", 24);
    assert_memory_equal(plan_text(&dir, &out), "root-bind /t <- /u\n", 19);
}

static void test_bad_plans_are_refused(void **state)
{
    const OciMount relative = { "etc", "/x", NULL, NULL, 0, 0 },
                   root = { "//", "/x", NULL, NULL, 0, 0 };
    const OciMount source = { "/etc", "x", NULL, NULL, 0, 0 };
    const OciMount *bad[] = { &relative, &root, &source };
    OciRootfs r = { .lower = layers, .lower_len = 2, .target = "/t", .mounts_len = 1 };
    OciPlan plan;
    Arena a;

    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        r.mounts = bad[i];
        assert_int_equal(oci_rootfs_plan(&r, &a, &plan, NULL), -ERR_INVALID);
    }
    r.mounts_len = 0;
    r.lower_len = 128;
    assert_int_equal(oci_rootfs_plan(&r, &a, &plan, NULL), -ERR_LIMIT);
    r.lower_len = 0;
    assert_int_equal(oci_rootfs_plan(&r, &a, &plan, NULL), -ERR_INVALID);
    arena_free(&a);
}

static void test_plan_survives_lack_of_memory(void **state)
{
    const OciRootfs r = {
        .lower = layers, .lower_len = 2, .upper = "/u", .work = "/w", .target = "/t"
    };
    OciPlan plan;
    Arena a;

    arena_init(&a, 64);
    assert_int_equal(oci_rootfs_plan(&r, &a, &plan, NULL), -ERR_NOMEM);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_is_the_default_specification),
        cmocka_unit_test(test_single_layers_are_bound),
        cmocka_unit_test(test_bad_plans_are_refused),
        cmocka_unit_test(test_plan_survives_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
