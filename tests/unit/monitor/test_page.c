/* test_page.c - the table of the page's files. */
#include <zlib.h>

#include "monitor/page/page.h"
#include "unit.h"

static void test_files_are_found_by_name(void **state)
{
    const PageFile *f = page_find(SV("index.html"));
    assert_non_null(f);
    assert_sv(f->type, "text/html; charset=utf-8");
    assert_int_equal(f->plain_len, 0);
    assert_null(page_find(SV("")));
    assert_null(page_find(SV("app")));
    assert_null(page_find(SV("../page.c")));
}

static void test_packed_files_have_the_length_they_tell(void **state)
{
    static const char *const names[] = { "app.js", "style.css", "dygraph.min.js", "icon.svg" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const PageFile *f = page_find(sv_cstr(names[i]));
        assert_non_null(f);
        assert_in_range(f->etag.len, 10, 30);
        unsigned char *plain = malloc(f->plain_len + 1);
        z_stream z = { .next_in = (Bytef *)f->bytes,
                       .avail_in = (uInt)f->len,
                       .next_out = plain,
                       .avail_out = (uInt)f->plain_len + 1 };
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, f->plain_len);
        inflateEnd(&z);
        free(plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_found_by_name),
        cmocka_unit_test(test_packed_files_have_the_length_they_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
