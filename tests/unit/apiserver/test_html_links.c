/* Links of pages behind the proxy, whole and byte by byte; which headers pass; addresses. */
#include "unit.h"

#include "apiserver/addr.h"
#include "apiserver/html_links.h"
#include "apiserver/passing.h"

static const LinkMap map = { SV_INIT("/p/proxy"), SV_INIT("10.1.2.3:80"), SV_INIT("api:6443") };

static void must_map(const char *link, const char *want)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    link_map(&map, sv_cstr(link), &out);
    assert_string_equal(buf_cstr(&out), want);
}

static void test_links_to_the_server_get_the_prefix(void **state)
{
    (void)state;
    must_map("/a?b#c", "/p/proxy/a?b#c");
    must_map("/", "/p/proxy/");
    must_map("http://10.1.2.3:80/a", "/p/proxy/a");
    must_map("//10.1.2.3:80/a", "/p/proxy/a");
    must_map("https://api:6443/a", "https://api:6443/p/proxy/a");
    must_map("//API:6443/a", "//API:6443/p/proxy/a");
    must_map("/p/proxied", "/p/proxy/p/proxied");
}

static void test_other_links_stay(void **state)
{
    static const char *const links[] = { "",
                                         "a/b",
                                         "../a",
                                         "?q",
                                         "#f",
                                         "http://10.1.2.3/a",
                                         "http://10.1.2.3:80",
                                         "http://10.1.2.3:80.evil/a",
                                         "http://elsewhere/a",
                                         "//elsewhere/a",
                                         "mailto:/a",
                                         "/p/proxy",
                                         "/p/proxy/a",
                                         "https://api:6443/p/proxy?x" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        must_map(links[i], links[i]);
}

static void must_become(StrView page, StrView want)
{
    for (size_t step = page.len ? page.len : 1; step > 0; step /= 3) {
        _cleanup_buf_ Buf out = BUF_INIT;
        HtmlLinks h = { .map = &map };
        for (StrView rest = page; rest.len; rest = sv_skip(rest, MIN(step, rest.len)))
            html_links_feed(&h, sv_head(rest, step), &out);
        html_links_end(&h, &out);
        html_links_free(&h);
        assert_string_equal(buf_cstr(&out), want.ptr);
    }
}

static void test_attributes_are_rewritten_and_nothing_else(void **state)
{
    static const char *const pages[][2] = {
        { "<a href=\"/x\">/x</a>", "<a href=\"/p/proxy/x\">/x</a>" },
        { "<A HREF = '/x' title=\"/x\">", "<A HREF = '/p/proxy/x' title=\"/x\">" },
        { "<a href=/x>", "<a href=/p/proxy/x>" },
        { "<img src=/x longdesc=/y usemap=#m/>",
          "<img src=/p/proxy/x longdesc=/p/proxy/y usemap=#m/>" },
        { "<a b href=\"/x\" c='>' href=/y>", "<a b href=\"/p/proxy/x\" c='>' href=/p/proxy/y>" },
        { "<p href=\"/x\">", "<p href=\"/x\">" },
        { "<!-- <a href=\"/x\"> --><a href='/x'>",
          "<!-- <a href=\"/x\"> --><a href='/p/proxy/x'>" },
        { "<!--><a href='/x'>", "<!--><a href='/p/proxy/x'>" },
        { "<!doctype html><a href='/x'>", "<!doctype html><a href='/p/proxy/x'>" },
        { "<script src=/s>\"<a href='/x'>\"</SCRIPT ><a href='/x'>",
          "<script src=/p/proxy/s>\"<a href='/x'>\"</SCRIPT ><a href='/p/proxy/x'>" },
        { "<style></styl<a href='/x'></style><a href='/x'>",
          "<style></styl<a href='/x'></style><a href='/p/proxy/x'>" },
        { "1 < 2 <<a href='/x'>", "1 < 2 <<a href='/p/proxy/x'>" },
        { "<a href='/x", "<a href='/x" },
        { "<", "<" },
        { "</a href='/x'>", "</a href='/x'>" },
        { "<a href=>", "<a href=>" },
        { "<title></titl", "<title></titl" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
        must_become(sv_cstr(pages[i][0]), sv_cstr(pages[i][1]));
}

static void test_a_tag_that_is_too_long_passes(void **state)
{
    (void)state;
    _cleanup_buf_ Buf page = BUF_INIT, want = BUF_INIT;
    for (int extra = -1; extra < 2; extra++) {
        buf_clear(&page);
        buf_sv(&page, SV("<a href='/x' t='"));
        while (page.len < (size_t)(HTML_TAG_MAX - 2 + extra))
            buf_putc(&page, 't');
        buf_sv(&page, SV("'>"));
        buf_clear(&want);
        buf_printf(&want, "<a href='%s/x'%.*s", extra > 0 ? "" : "/p/proxy", (int)page.len - 12,
                   page.ptr + 12);
        buf_cstr(&want);
        _cleanup_buf_ Buf out = BUF_INIT;
        HtmlLinks h = { .map = &map };
        html_links_feed(&h, buf_view(&page), &out);
        html_links_end(&h, &out);
        html_links_free(&h);
        assert_string_equal(buf_cstr(&out), want.ptr);
    }
}

static void test_addresses_of_the_machine_are_nobody_s(void **state)
{
    static const char *const never[] = { "",
                                         "x",
                                         "127.0.0.1",
                                         "127.9.9.9",
                                         "0.0.0.0",
                                         "::",
                                         "::1",
                                         "169.254.0.1",
                                         "224.0.0.1",
                                         "fe80::1",
                                         "::ffff:127.0.0.1",
                                         "::127.0.0.1",
                                         "ff02::1",
                                         "255.255.255.255",
                                         "10.0.0.1/8" };
    static const char *const fine[] = { "10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "2001:db8::1" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        assert_false(addr_is_proxyable(sv_cstr(never[i])));
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
        assert_true(addr_is_proxyable(sv_cstr(fine[i])));
    assert_true(addr4_in_cidr(0x0a0000ff, SV("10.0.0.0/24")));
    assert_false(addr4_in_cidr(0x0a000100, SV("10.0.0.0/24")));
}

static void test_credentials_and_headers_of_the_connection_stop_here(void **state)
{
    HttpHeader headers[] = { { SV_INIT("connection"), SV_INIT("close, X-Hop") } };
    HttpReq req = { .headers = headers, .n_headers = 1 };
    static const char *const stops[] = {
        "connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "keep-alive",
        "authorization",
        "x-remote-user",
        "x-remote-extra-scopes",
        "x-hop",
        "content-length",
        "impersonate-group",
        "expect",
        "impersonate-extra-kind",
        "host",
        "trailer",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(stops); i++)
        assert_false(passes_on(&req, sv_cstr(stops[i])));
    assert_true(passes_on(&req, SV("cookie")));
    assert_true(passes_on(&req, SV("accept")));
    assert_false(passes_back(headers, 1, SV("x-hop")));
    assert_false(passes_back(headers, 1, SV("access-control-allow-origin")));
    assert_true(passes_back(headers, 1, SV("set-cookie")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_to_the_server_get_the_prefix),
        cmocka_unit_test(test_other_links_stay),
        cmocka_unit_test(test_attributes_are_rewritten_and_nothing_else),
        cmocka_unit_test(test_a_tag_that_is_too_long_passes),
        cmocka_unit_test(test_addresses_of_the_machine_are_nobody_s),
        cmocka_unit_test(test_credentials_and_headers_of_the_connection_stop_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
