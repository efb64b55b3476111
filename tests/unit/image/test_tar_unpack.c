/* test_tar_unpack.c - the unpacker on honest and hostile layers. Runs without the sandbox, so that
 * what is proven here is tar_unpack.c's own care. Needs root for owners and devices. */
#include "unit.h"

#include <stdio.h>
#include <locale.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "image/tar_unpack.h"
#include "tar_make.h"

typedef struct Fixture {
    char dir[64];
    int root;   /* DIR/root, where layers go */
    Buf opaque; /* reported paths, each with a comma */
    Err err;
    TarUnpackOptions opt;
} Fixture;

static int on_opaque(void *ctx, const char *path, Err *err)
{
    buf_printf(&((Fixture *)ctx)->opaque, "%s,", path);
    return 0;
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);

    strcpy(f->dir, "/tmp/knarr-unpack-XXXXXX");
    if (!mkdtemp(f->dir) || chdir(f->dir) < 0 || mkdir("root", 0755) < 0)
        return -1;
    f->root = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->opt = (TarUnpackOptions){
        .bytes_max = 1 << 20, .entries_max = 100, .on_opaque = on_opaque, .ctx = f
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    int r = rm_rf(AT_FDCWD, f->dir);

    close(f->root);
    buf_free(&f->opaque);
    free(f);
    return r;
}

static int unpack_bytes(Fixture *f, StrView bytes)
{
    _cleanup_close_ int fd = memfd_create("layer", MFD_CLOEXEC);
    Digest d;

    assert_int_equal(fd_write_full(fd, bytes.ptr, bytes.len), 0);
    lseek(fd, 0, SEEK_SET);
    memset(&f->err, 0, sizeof f->err);
    return tar_unpack(fd, f->root, &f->opt, &d, &f->err);
}

static int unpack(Fixture *f, const TarEntry *entries, size_t n, const char *filter)
{
    _cleanup_buf_ Buf tar = BUF_INIT;

    tar_make(&tar, entries, n, filter);
    return unpack_bytes(f, buf_view(&tar));
}

static void test_unpack_writes_all_kinds(void **state)
{
    static const TarEntry entries[] = {
        { "./", 'd', .mode = 0711 },
        { "bin/sh", '-', "#!", .mode = 04755, .uid = 3, .gid = 4, .xattr = "user.k",
          .xattr_value = "v" },
        { "bin/ln", 'h', "bin/sh" },
        { "bin/sy", 'l', "/etc/nowhere" },
        { "dev/null", 'c', .mode = 0666 },
        { "fifo", 'p', .mode = 0600 },
        { "gr\xc3\xbc\xc3\x9f", '-', "hi" },
        { "own", '-', "x", .xattr = "trusted.overlay.redirect", .xattr_value = "/etc" },
    };
    static const char *const filters[] = { NULL, "gzip", "zstd" };
    Fixture *f = *state;
    struct stat st, st2;
    char text[64];

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        if (unpack(f, entries, ARRAY_SIZE(entries), filters[i]) < 0)
            fail_msg("%s", f->err.msg);
        assert_int_equal(stat("root", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0711);
        assert_int_equal(stat("root/bin/sh", &st), 0);
        assert_int_equal(st.st_mode & 07777, 04755);
        assert_int_equal(st.st_uid, 3);
        assert_int_equal(st.st_mtime, 1000000000);
        assert_int_equal(stat("root/bin/ln", &st2), 0);
        assert_true(st.st_ino == st2.st_ino);
        assert_int_equal(readlink("root/bin/sy", text, sizeof text), 12);
        assert_int_equal(lstat("root/dev/null", &st), 0);
        assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
        assert_int_equal(stat("root/gr\xc3\xbc\xc3\x9f", &st), 0);
        assert_int_equal(getxattr("root/bin/sh", "user.k", text, sizeof text), 1);
        assert_true(getxattr("root/own", "trusted.overlay.redirect", text, sizeof text) < 0);
    }
}

static void test_whiteouts(void **state)
{
    static const TarEntry entries[] = {
        { "a/.wh.gone", '-' },   { "op/.wh..wh..opq", '-' }, { "keep/x", '-', "1" },
        { ".wh.keep", '-' },     { ".wh.back", '-' },        { "back/", 'd' },
        { ".wh..wh.plnk", '-' },
    };
    Fixture *f = *state;
    struct stat st;

    if (geteuid() != 0)
        skip();
    if (unpack(f, entries, ARRAY_SIZE(entries), NULL) < 0)
        fail_msg("%s", f->err.msg);
    assert_int_equal(lstat("root/a/gone", &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(stat("root/op", &st), 0);
    assert_int_equal(stat("root/keep/x", &st), 0); /* a whiteout hides lower layers only */
    assert_false(path_exists(AT_FDCWD, "root/.wh..wh.plnk"));
    assert_string_equal(buf_cstr(&f->opaque), "op,keep,back,");
}

static void test_later_entries_replace_earlier(void **state)
{
    static const TarEntry entries[] = {
        { "d/x/y", '-', "1" }, { "d/x/z", '-', "1" }, { "d", '-', "file" },
        { "d/", 'd' },         { "d/n", '-', "2" },
    };
    Fixture *f = *state;

    if (unpack(f, entries, ARRAY_SIZE(entries), NULL) < 0)
        fail_msg("%s", f->err.msg);
    assert_true(path_exists(AT_FDCWD, "root/d/n"));
    assert_false(path_exists(AT_FDCWD, "root/d/x"));
}

static void test_escapes_stay_inside(void **state)
{
    static const TarEntry dotdot[] = { { "../evil", '-', "x" } };
    static const TarEntry hard[] = { { "x", 'h', "../secret" } };
    static const TarEntry link[] = { { "l", 'l', "../.." }, { "l/evil", '-', "x" } };
    static const TarEntry absolute[] = { { "m", 'l', "/tmp" }, { "m/knarr-evil", '-', "x" } };
    static const TarEntry through[] = { { "s", 'l', "../secret" }, { "s", '-', "overwritten" } };
    static const TarEntry hardlink_link[] = { { "t", 'l', "../secret" },
                                              { "u", 'h', "t" },
                                              { "u", '-', "x" } };
    _cleanup_buf_ Buf text = BUF_INIT;
    Fixture *f = *state;

    assert_int_equal(file_write(AT_FDCWD, "secret", SV("secret"), 0600), 0);
    assert_int_equal(unpack(f, dotdot, 1, NULL), -ERR_INVALID);
    assert_int_equal(unpack(f, hard, 1, NULL), -ERR_INVALID);
    assert_int_equal(unpack(f, link, 2, NULL), 0); /* lands in the layer itself */
    assert_true(path_exists(AT_FDCWD, "root/evil"));
    assert_true(unpack(f, absolute, 2, NULL) < 0 || path_exists(AT_FDCWD, "root/tmp/knarr-evil"));
    assert_int_equal(unpack(f, through, 2, NULL), 0);
    assert_int_equal(unpack(f, hardlink_link, 3, NULL), 0);
    assert_false(path_exists(AT_FDCWD, "evil"));
    assert_false(path_exists(AT_FDCWD, "/tmp/knarr-evil"));
    assert_int_equal(file_read(AT_FDCWD, "secret", 100, &text), 0);
    assert_string_equal(buf_cstr(&text), "secret");
}

static void test_limits(void **state)
{
    TarEntry many[101] = { 0 };
    static const TarEntry big = { "big", '-', .size = 2 << 20 };
    static const TarEntry fits = { "fits", '-', .size = 900 << 10 };
    Fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (TarEntry){ "same", '-', "x" };
    assert_int_equal(unpack(f, many, 100, NULL), 0);
    assert_int_equal(unpack(f, many, 101, NULL), -ERR_LIMIT);
    assert_int_equal(unpack(f, &fits, 1, "gzip"), 0);
    assert_int_equal(unpack(f, &big, 1, "gzip"), -ERR_LIMIT); /* 2 KiB that unpack to 2 MiB */
    assert_int_equal(unpack(f, &big, 1, "zstd"), -ERR_LIMIT);
}

/* As umoci writes it: nothing behind the last byte of the last file. */
static void test_missing_padding_is_made_up_for_but_no_content(void **state)
{
    static const TarEntry files[] = { { "a", '-', "first" }, { "b", '-', "second" } };
    Fixture *f = *state;
    _cleanup_buf_ Buf tar = BUF_INIT, text = BUF_INIT;
    ssize_t at;

    tar_make(&tar, files, 2, NULL);
    at = sv_find(buf_view(&tar), SV("second"));
    assert_true(at > 0);
    if (unpack_bytes(f, sv_head(buf_view(&tar), (size_t)at + 6)) < 0)
        fail_msg("%s", f->err.msg);
    assert_int_equal(file_read(f->root, "b", 100, &text), 0);
    assert_sv(buf_view(&text), "second");
    assert_int_equal(unpack_bytes(f, sv_head(buf_view(&tar), (size_t)at + 5)), -ERR_INVALID);
    assert_int_equal(unpack_bytes(f, sv_head(buf_view(&tar), (size_t)at - 100)), -ERR_INVALID);
}

static void test_damaged_input(void **state)
{
    static const TarEntry one = { "file", '-', "some content that takes a block" };
    _cleanup_buf_ Buf tar = BUF_INIT;
    Fixture *f = *state;

    assert_int_equal(unpack_bytes(f, SV("")), -ERR_INVALID);
    assert_int_equal(unpack_bytes(f, SV("this is no tar at all")), -ERR_INVALID);
    tar_make(&tar, &one, 1, "gzip");
    assert_int_equal(unpack_bytes(f, sv_head(buf_view(&tar), tar.len / 2)), -ERR_INVALID);
    tar_make(&tar, &one, 1, NULL);
    assert_true(f->err.msg[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unpack_writes_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whiteouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_entries_replace_earlier, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes_stay_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_padding_is_made_up_for_but_no_content, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_damaged_input, setup, teardown),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
