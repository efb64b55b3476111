/* test_user.c - users and groups from a container's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oci/user.h"

static const StrView passwd =
    SV_INIT("root:x:0:0:root:/root:/bin/sh\n# comment\nbad\n:x:9:9::/:\n"
            "app:x:1000:1001:App:/home/app:/bin/sh\n1234:x:0:0::/n:\nnohome:x:5:6\n"
            "9999999999:x:0:0::/:\n");
static const StrView group =
    SV_INIT("root:x:0:\nwheel:x:10:root,app\naudio:x:11:app\napp:x:1001:\n55:x:0:\n");

static int lookup(const char *spec, UserInfo *u, Arena *a)
{
    return user_lookup_text(passwd, group, sv_cstr(spec), a, u, NULL);
}

static void test_lookup(void **state)
{
    UserInfo u;
    Arena a;

    arena_init(&a, 0);
    assert_int_equal(lookup("", &u, &a), 0);
    assert_int_equal(u.uid, 0);
    assert_string_equal(u.home, "/root");
    assert_int_equal(u.groups_len, 1);
    assert_int_equal(lookup("app", &u, &a), 0);
    assert_int_equal(u.uid, 1000);
    assert_int_equal(u.gid, 1001);
    assert_int_equal(u.groups_len, 2);
    assert_int_equal(u.groups[1], 11);
    assert_int_equal(lookup("1000", &u, &a), 0);
    assert_int_equal(u.gid, 1001);
    assert_int_equal(u.groups_len, 2);
    assert_int_equal(lookup("1234", &u, &a), 0); /* a number, whatever names the image has */
    assert_int_equal(u.uid, 1234);
    assert_int_equal(lookup("9999999999", &u, &a), -ERR_NOT_FOUND);
    assert_int_equal(lookup("4242:audio", &u, &a), 0);
    assert_int_equal(u.uid, 4242);
    assert_int_equal(u.gid, 11);
    assert_int_equal(u.groups_len, 0);
    assert_string_equal(u.home, "/");
    assert_int_equal(lookup("app:55", &u, &a), 0);
    assert_int_equal(u.gid, 55);
    assert_int_equal(lookup("nobody", &u, &a), -ERR_NOT_FOUND);
    assert_int_equal(lookup("app:nogroup", &u, &a), -ERR_NOT_FOUND);
    assert_int_equal(lookup("4294967295", &u, &a),
                     -ERR_NOT_FOUND); /* (uid_t)-1 means "no change" */
    assert_int_equal(lookup("2147483648", &u, &a), -ERR_NOT_FOUND);
    assert_int_equal(lookup("2147483647", &u, &a), 0);
    assert_int_equal(lookup("-1", &u, &a), -ERR_NOT_FOUND);
    arena_free(&a);
}

static void test_lookup_without_files(void **state)
{
    UserInfo u;
    Arena a;

    arena_init(&a, 0);
    assert_int_equal(user_lookup_text(SV(""), SV(""), SV(""), &a, &u, NULL), 0);
    assert_int_equal(user_lookup_text(SV(""), SV(""), SV("5:6"), &a, &u, NULL), 0);
    assert_int_equal(u.gid, 6);
    assert_int_equal(user_lookup_text(SV(""), SV(""), SV("root"), &a, &u, NULL), -ERR_NOT_FOUND);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_lookup_without_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
