/* test_layer_path.c - names in layers: cleaning, escapes, whiteouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/layer_path.h"

static void clean(const char *in, const char *want)
{
    char path[LAYER_PATH_MAX];

    assert_int_equal(layer_path_clean(sv_cstr(in), path, NULL), 0);
    assert_string_equal(path, want);
}

static void test_clean(void **state)
{
    clean("", "");
    clean("./", "");
    clean("/", "");
    clean("./etc//passwd", "etc/passwd");
    clean("/etc/./x/", "etc/x");
    clean("..a/b..", "..a/b..");
}

static void test_clean_refuses_escapes_and_length(void **state)
{
    char path[LAYER_PATH_MAX], text[LAYER_PATH_MAX + 8];

    assert_int_equal(layer_path_clean(SV(".."), path, NULL), -ERR_INVALID);
    assert_int_equal(layer_path_clean(SV("a/../../b"), path, NULL), -ERR_INVALID);
    assert_int_equal(layer_path_clean(SV("a/.."), path, NULL), -ERR_INVALID);
    assert_int_equal(layer_path_clean(SV("a\0b"), path, NULL), -ERR_INVALID);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '/' : 'a';
    assert_int_equal(layer_path_clean(sv_n(text, LAYER_PATH_MAX - 1), path, NULL), 0);
    assert_int_equal(layer_path_clean(sv_n(text, LAYER_PATH_MAX), path, NULL), -ERR_LIMIT);
    memset(text, 'a', sizeof text);
    assert_int_equal(layer_path_clean(sv_n(text, 255), path, NULL), 0);
    assert_int_equal(layer_path_clean(sv_n(text, 256), path, NULL), -ERR_INVALID);
}

static void kind(const char *in, LayerEntryKind want, const char *want_path)
{
    char path[LAYER_PATH_MAX];
    LayerEntryKind k;

    strcpy(path, in);
    assert_int_equal(layer_path_kind(path, &k, NULL), 0);
    assert_int_equal(k, want);
    assert_string_equal(path, want_path);
}

static void test_kind(void **state)
{
    char path[] = "a/.wh.", dots[] = ".wh...";
    LayerEntryKind k;

    kind("a/b", LAYER_ENTRY_NORMAL, "a/b");
    kind("a/.wh.b", LAYER_ENTRY_WHITEOUT, "a/b");
    kind(".wh.b", LAYER_ENTRY_WHITEOUT, "b");
    kind("a/.wh..wh..opq", LAYER_ENTRY_OPAQUE, "a");
    kind(".wh..wh..opq", LAYER_ENTRY_OPAQUE, "");
    kind(".wh..wh.plnk", LAYER_ENTRY_SKIP, ".wh..wh.plnk");
    assert_int_equal(layer_path_kind(path, &k, NULL), -ERR_INVALID);
    assert_int_equal(layer_path_kind(dots, &k, NULL), -ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_clean_refuses_escapes_and_length),
        cmocka_unit_test(test_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
