/* test_filters.c - compiled filters are kept, and only used for the very same profile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "codec/json.h"
#include "oci/runtime/filters.h"

#define PROFILE(number)                                                                            \
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getppid\"],\"action\":"     \
    "\"SCMP_ACT_ERRNO\",\"errnoRet\":1,\"args\":[{\"index\":0,\"value\":" number                   \
    ",\"op\":\"SCMP_CMP_EQ\"}]}]}"

typedef struct Root {
    char path[64];
    int dir; /* of a container */
} Root;

static void root_make(Root *r)
{
    char id[96];

    snprintf(r->path, sizeof r->path, "/tmp/knarr-filters-XXXXXX");
    assert_non_null(mkdtemp(r->path));
    snprintf(id, sizeof id, "%s/id", r->path);
    assert_int_equal(mkdir(id, 0700), 0);
    r->dir = open(id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(r->dir >= 0);
}

static void root_end(Root *r)
{
    close(r->dir);
    assert_int_equal(rm_rf(AT_FDCWD, r->path), 0);
}

static Buf compile(const Root *r, const char *text)
{
    SeccompFilter f = { 0 };
    Err err = { 0 };
    Value doc;
    Arena a;

    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &doc, NULL), 0);
    if (filters_compile(r->dir, &doc, &f, &err) < 0)
        fail_msg("%s", err.msg);
    arena_free(&a);
    return f.bytes;
}

/* The file of the one filter that is kept: its name in `ret`, false where there is none. */
static bool kept(const Root *r, char ret[static 128])
{
    char folder[96];
    struct dirent *e;
    bool found = false;
    DIR *dir;

    snprintf(folder, sizeof folder, "%s/seccomp~", r->path);
    if (dir_list(AT_FDCWD, folder, &dir) < 0)
        return false;
    while (dir_next(dir, &e) > 0) {
        found = true;
        snprintf(ret, 128, "%s/%.16s", folder, e->d_name);
    }
    closedir(dir);
    return found;
}

static void change_last_byte(const char *path)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text), 0);
    text.ptr[text.len - 1] ^= 1;
    assert_int_equal(file_write(AT_FDCWD, path, buf_view(&text), 0600), 0);
}

static void test_the_same_profile_is_compiled_once(void **state)
{
    char path[128];
    Root r;

    root_make(&r);
    _cleanup_buf_ Buf first = compile(&r, PROFILE("5"));
    assert_true(kept(&r, path));
    _cleanup_buf_ Buf second = compile(&r, PROFILE("5"));
    assert_true(sv_eq(buf_view(&first), buf_view(&second)));
    change_last_byte(path); /* so that it shows where the answer comes from */
    _cleanup_buf_ Buf third = compile(&r, PROFILE("5"));
    assert_int_equal(third.len, first.len);
    assert_false(sv_eq(buf_view(&first), buf_view(&third)));
    root_end(&r);
}

static void test_what_is_kept_of_another_is_not_used(void **state)
{
    char path[128];
    Root r;

    root_make(&r);
    _cleanup_buf_ Buf five = compile(&r, PROFILE("5"));
    assert_true(kept(&r, path));
    /* As if the two fell together, and as if the file were damaged. */
    _cleanup_buf_ Buf text = BUF_INIT, other = BUF_INIT;
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text), 0);
    for (size_t cut = 0; cut < text.len; cut += 1 + text.len / 50) {
        assert_int_equal(file_write(AT_FDCWD, path, sv_head(buf_view(&text), cut), 0600), 0);
        Buf again = compile(&r, PROFILE("5"));
        /* A cut inside the instructions is a shorter program: nobody cuts there, files are renamed.
         */
        if (cut < text.len - five.len)
            assert_true(sv_eq(buf_view(&again), buf_view(&five)));
        buf_free(&again);
    }
    buf_sv(&other, buf_view(&text));
    char *at = memmem(other.ptr, other.len, "\"value\":5", 9);
    assert_non_null(at);
    at[8] = '6';
    assert_int_equal(file_write(AT_FDCWD, path, buf_view(&other), 0600), 0);
    change_last_byte(path);
    _cleanup_buf_ Buf anew = compile(&r, PROFILE("5"));
    assert_true(sv_eq(buf_view(&anew), buf_view(&five)));
    root_end(&r);
}

static void test_folders_of_others_are_not_trusted(void **state)
{
    char folder[96], path[128];
    Root r;

    root_make(&r);
    snprintf(folder, sizeof folder, "%s/seccomp~", r.path);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    _cleanup_buf_ Buf open = compile(&r, PROFILE("5"));
    assert_false(kept(&r, path));
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(symlink("/tmp", folder), 0);
    _cleanup_buf_ Buf link = compile(&r, PROFILE("5"));
    assert_true(sv_eq(buf_view(&open), buf_view(&link)));
    root_end(&r);
}

/* Written as JSON these two are the same, as filters they are not. */
static void test_large_numbers_are_not_mixed_up(void **state)
{
    char path[128];
    Root r;

    root_make(&r);
    _cleanup_buf_ Buf one = compile(&r, PROFILE("18446744073709551614"));
    _cleanup_buf_ Buf two = compile(&r, PROFILE("18446744073709551615"));
    assert_false(sv_eq(buf_view(&one), buf_view(&two)));
    assert_false(kept(&r, path));
    root_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_profile_is_compiled_once),
        cmocka_unit_test(test_what_is_kept_of_another_is_not_used),
        cmocka_unit_test(test_folders_of_others_are_not_trusted),
        cmocka_unit_test(test_large_numbers_are_not_mixed_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
