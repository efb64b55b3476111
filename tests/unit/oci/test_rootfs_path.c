/* test_rootfs_path.c - paths inside a container's tree never leave it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "oci/mounts.h"

static int setup(void **state)
{
    char *dir = strdup("/tmp/knarr-rootfs-XXXXXX");

    if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("root", 0755) < 0 || mkdir("root/etc", 0755) < 0 ||
        symlink("/etc", "root/abs") < 0 || symlink("../../..", "root/up") < 0 ||
        file_write(AT_FDCWD, "outside", SV("x"), 0600) < 0 ||
        file_write(AT_FDCWD, "root/etc/passwd", SV("inside"), 0600) < 0)
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

static void test_open_stays_inside(void **state)
{
    _cleanup_close_ int root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    static const char *const inside[] = { "/etc/passwd", "abs/passwd", "up/etc/passwd",
                                          "/../etc/passwd", "//etc//passwd" };

    for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
        _cleanup_close_ int fd = rootfs_open(root, inside[i], O_RDONLY, 0);
        char text[6];

        assert_true(fd >= 0);
        assert_int_equal(fd_read_full(fd, text, 6), 0);
        assert_memory_equal(text, "inside", 6);
    }
    assert_int_equal(rootfs_open(root, "../outside", O_RDONLY, 0), -ENOENT);
    assert_int_equal(rootfs_open(root, "up/outside", O_RDONLY, 0), -ENOENT);
}

static void test_make_creates_parents_inside(void **state)
{
    _cleanup_close_ int root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int a = -1, b = -1, c = -1;
    Err err = { 0 };
    struct stat st;

    assert_int_equal(rootfs_make(root, "/x/y/z", true, &a, &err), 0);
    assert_int_equal(rootfs_make(root, "/abs/new/file", false, &b, &err), 0);
    assert_int_equal(rootfs_make(root, "/x/y/", true, &c, &err), 0);
    assert_int_equal(stat("root/x/y/z", &st), 0);
    assert_int_equal(stat("root/etc/new/file", &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_false(path_exists(AT_FDCWD, "/etc/new"));
}

/* /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf in an image that has no /run/systemd.
 */
static void test_make_follows_links_to_nothing(void **state)
{
    _cleanup_close_ int root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int a = -1, b = -1, c = -1;
    Err err = { 0 };
    struct stat st, own;

    assert_int_equal(symlink("../run/resolve/stub.conf", "root/etc/resolv.conf"), 0);
    assert_int_equal(symlink("/srv/data", "root/data"), 0);
    assert_int_equal(symlink("../../../../escape", "root/etc/away"), 0);
    assert_int_equal(symlink("loop2", "root/loop1"), 0);
    assert_int_equal(symlink("loop1", "root/loop2"), 0);

    assert_int_equal(rootfs_make(root, "/etc/resolv.conf", false, &a, &err), 0);
    assert_int_equal(stat("root/run/resolve/stub.conf", &st), 0);
    assert_true(S_ISREG(st.st_mode) && fstat(a, &own) == 0 && own.st_ino == st.st_ino);
    assert_int_equal(rootfs_make(root, "/data/deep/er", true, &b, &err), 0);
    assert_int_equal(stat("root/srv/data/deep/er", &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(rootfs_make(root, "/etc/away/x", true, &c, &err), 0);
    assert_int_equal(stat("root/escape/x", &st), 0);
    assert_int_equal(access("escape", F_OK), -1);
    assert_true(rootfs_make(root, "/loop1/x", true, &c, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_stays_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_make_follows_links_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_make_creates_parents_inside, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
