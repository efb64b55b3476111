/* test_proxy.c - which hosts no_proxy names, and what a proxy answers to CONNECT. */
#include "unit.h"

#include "fetch/internal.h"
#include "net/connect.h"

static void test_no_proxy(void **state)
{
    static const struct {
        const char *list, *host;
        uint16_t port;
        bool skips;
    } cases[] = {
        { "", "example.org", 80, false },
        { "", "localhost", 80, true },
        { "", "LOCALHOST", 80, true },
        { "", "127.8.0.1", 80, true },
        { "", "::1", 80, true },
        { "", "::2", 80, false },
        { "*", "example.org", 80, true },
        { "other.org, example.org", "example.org", 80, true },
        { "example.org", "a.b.EXAMPLE.org", 80, true },
        { "example.org", "badexample.org", 80, false },
        { ".example.org", "example.org", 80, false },
        { ".example.org", "a.example.org", 80, true },
        { "*.example.org", "example.org", 80, false },
        { "*.example.org", "a.example.org", 80, true },
        { "example.org:8080", "example.org", 8080, true },
        { "example.org:8080", "example.org", 80, false },
        { "example.org:x", "example.org", 80, false },
        { "10.0.0.0/8", "10.200.1.2", 80, true },
        { "10.0.0.0/8", "11.0.0.1", 80, false },
        { "10.0.0.0/33", "10.0.0.1", 80, false },
        { "10.0.0.128/25", "10.0.0.127", 80, false },
        { "10.0.0.128/25", "10.0.0.129", 80, true },
        { "10.1.2.3", "10.1.2.3", 9090, true },
        { "10.1.2.3:9090", "10.1.2.3", 9090, true },
        { "10.1.2.3:9090", "10.1.2.3", 80, false },
        { "10.1.2.3", "10.1.2.30", 80, false },
        { "2001:db8::/32", "2001:db8:1::5", 80, true },
        { "2001:db8::5", "2001:db8::5", 80, true },
        { "[2001:db8::5]:443", "2001:db8::5", 443, true },
        { "[2001:db8::5]:443", "2001:db8::5", 80, false },
        { "0.0.0.0/0", "2001:db8::5", 80, false },
        { ",, ,", "example.org", 80, false },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        if (fetch_proxy_skips(sv_cstr(cases[i].list), sv_cstr(cases[i].host), cases[i].port) !=
            cases[i].skips)
            fail_msg("no_proxy \"%s\", host %s port %u", cases[i].list, cases[i].host,
                     cases[i].port);
}

static void test_answers_to_connect(void **state)
{
    static const struct {
        const char *bytes;
        int result;
        const char *why;
    } cases[] = {
        { "", 0, "" },
        { "HTTP/1.1 200 OK\r\n", 0, "" },
        { "HTTP/1.1 200 OK\r\n\r\n", 1, "" },
        { "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", 1, "" },
        { "HTTP/1.1 204\r\n\r\n", 1, "" },
        { "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n<html>", -ERR_DENIED,
          "407 Proxy Authentication Required" },
        { "HTTP/1.1 503\r\n\r\n", -ERR_DENIED, "503" },
        { "HTTP/2 200 OK\r\n\r\n", -ERR_PROTO, "the answer is not HTTP: \"HTTP/2 200 OK\"" },
        { "SSH-2.0\r\n\r\n", -ERR_PROTO, "the answer is not HTTP: \"SSH-2.0\"" },
        { "HTTP/1.1 2x0 OK\r\n\r\n", -ERR_PROTO, "the answer is not HTTP: \"HTTP/1.1 2x0 OK\"" },
        { "HTTP/1.1 200 OK\r\n\r\nx", -ERR_PROTO, "the answer has more than a head" },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        Err err = { 0 };
        assert_int_equal(connect_answer(sv_cstr(cases[i].bytes), &err), cases[i].result);
        assert_string_equal(err.msg, cases[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_proxy),
        cmocka_unit_test(test_answers_to_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
