/* test_image_ref.c - parsing and normalising of image names and digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/image_ref.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *text, const char *want)
{
    char buf[IMAGE_REF_SIZE];
    ImageRef ref;
    Err err = { 0 };

    if (image_ref_parse(sv_cstr(text), &ref, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_string_equal(image_ref_format(&ref, buf), want);
}

static void test_parse_normalises(void **state)
{
    check("nginx", "docker.io/library/nginx:latest");
    check("nginx:1.25", "docker.io/library/nginx:1.25");
    check("user/app", "docker.io/user/app:latest");
    check("docker.io/nginx", "docker.io/library/nginx:latest");
    check("index.docker.io/nginx", "docker.io/library/nginx:latest");
    check("localhost/app", "localhost/app:latest");
    check("localhost:5000/app:v1", "localhost:5000/app:v1");
    check("quay.io/org/a__b/c-d.e:T_1", "quay.io/org/a__b/c-d.e:T_1");
    check("[::1]:5000/x", "[::1]:5000/x:latest");
    check("a@sha256:" HEX, "docker.io/library/a@sha256:" HEX);
    check("a:b@sha256:" HEX, "docker.io/library/a:b@sha256:" HEX);
    check("REG/app", "REG/app:latest"); /* upper case cannot be a folder of Docker Hub */
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "a:",
        "a@",
        "a@sha256:12",
        "A",
        "a/B",
        "a//b",
        "/a",
        "a/",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "a:-x",
        "a:x y",
        "ho_st.x/a",
        "x.y:port/a",
        "a@md5:" HEX,
        HEX,
        "a\n",
        "a@sha256:" HEX "0",
        "x.y:123456/a",
        "[::1/a",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ImageRef ref;
        Err err = { 0 };

        if (image_ref_parse(sv_cstr(bad[i]), &ref, &err) >= 0)
            fail_msg("'%s' was accepted", bad[i]);
        assert_true(err.msg[0]);
    }
}

static void test_parse_limits(void **state)
{
    char name[4096];
    ImageRef ref;

    memset(name, 'a', sizeof name);
    /* "docker.io/" and "u/" leave 243 of 255 bytes. */
    memcpy(name, "u/", 2);
    assert_true(image_ref_parse(sv_n(name, 245), &ref, NULL) >= 0);
    assert_int_equal(image_ref_parse(sv_n(name, 246), &ref, NULL), -ERR_INVALID);
    assert_int_equal(image_ref_parse(sv_n(name, sizeof name), &ref, NULL), -ERR_INVALID);
    memset(name, 'a', sizeof name);
    name[1] = ':';
    assert_true(image_ref_parse(sv_n(name, 2 + IMAGE_REF_TAG_MAX), &ref, NULL) >= 0);
    assert_int_equal(image_ref_parse(sv_n(name, 3 + IMAGE_REF_TAG_MAX), &ref, NULL), -ERR_INVALID);
}

static void test_digest_parse(void **state)
{
    Digest d;

    assert_int_equal(digest_parse(SV("sha256:" HEX), &d, NULL), 0);
    assert_string_equal(digest_hex(&d), HEX);
    assert_int_equal(digest_parse(SV("sha512:" HEX HEX), &d, NULL), -ERR_UNSUPPORTED);
    assert_int_equal(digest_parse(SV("sha256:ABCDEF"), &d, NULL), -ERR_INVALID);
    assert_int_equal(digest_parse(SV(""), &d, NULL), -ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_normalises),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_limits),
        cmocka_unit_test(test_digest_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
