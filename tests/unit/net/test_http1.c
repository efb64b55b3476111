#include "net_test.h"

#include "net/http1.h"

typedef struct Seen {
    char text[4096];
    int heads, completes;
    int refuse;
} Seen;

static void note(Seen *s, const char *fmt, ...) PRINTF(2, 3);
static void note(Seen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = strlen(s->text);
    vsnprintf(s->text + n, sizeof s->text - n, fmt, ap);
    va_end(ap);
}

static int on_head(void *ctx, Http1 *h)
{
    Seen *s = ctx;
    s->heads++;
    note(s, "[%.*s %.*s", SV_FMT(http1_method(h)), SV_FMT(http1_target(h)));
    for (uint32_t i = 0; i < http1_n_headers(h); i++)
        note(s, " %.*s=%.*s", SV_FMT(http1_header_at(h, i).name),
             SV_FMT(http1_header_at(h, i).value));
    note(s, "]");
    return s->refuse;
}

static int on_body(void *ctx, const void *data, size_t len)
{
    note(ctx, "%.*s", (int)len, (const char *)data);
    return 0;
}

static int on_complete(void *ctx, Http1 *h)
{
    (void)h;
    Seen *s = ctx;
    s->completes++;
    note(s, ";");
    return 0;
}

static const Http1Events events = { on_head, on_body, on_complete };

/* Feeds in pieces of `step` bytes, going on after each message; negative on a refused message. */
static int feed_all(Http1 *h, const char *text, size_t step, Err *err)
{
    size_t len = strlen(text), at = 0;
    while (at < len) {
        size_t n = MIN(step, len - at);
        ssize_t used = http1_feed(h, text + at, n, err);
        if (used < 0)
            return (int)used;
        at += (size_t)used;
        if ((size_t)used < n || at == len)
            http1_next(h);
        else if (used == 0)
            http1_next(h);
    }
    return 0;
}

static void check(const char *input, const char *expected)
{
    for (size_t step = 1; step < 200; step = step * 3) {
        Seen s = { 0 };
        Err err = { 0 };
        Http1 *h;
        assert_ok(http1_new(HTTP1_REQUEST, 1000, &events, &s, &h, &err));
        assert_ok(feed_all(h, input, step, &err));
        assert_string_equal(s.text, expected);
        http1_free(h);
    }
}

static void test_request_is_read_in_pieces_of_any_size(void **state)
{
    (void)state;
    check("GET /api?x=1 HTTP/1.1\r\nHost: a\r\nX-Long:  v \r\nEmpty:\r\n\r\n",
          "[GET /api?x=1 host=a x-long=v empty=];");
}

static void test_bodies_by_length_and_in_chunks(void **state)
{
    (void)state;
    check("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
          "[POST /a host=a "
          "content-length=5]hello;");
    check("PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n",
          "[PUT /b host=a transfer-encoding=chunked]abcde;");
}

static void test_pipelined_requests_come_one_by_one(void **state)
{
    (void)state;
    check("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
          "[GET /1 host=a];[GET /2 host=a];");
}

static void test_parser_stops_after_a_message(void **state)
{
    (void)state;
    Seen s = { 0 };
    Err err = { 0 };
    Http1 *h;
    const char *two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_ok(http1_new(HTTP1_REQUEST, 1000, &events, &s, &h, &err));
    assert_int_equal(http1_feed(h, two, strlen(two), &err), strlen(two) / 2);
    assert_int_equal(http1_feed(h, two, strlen(two), &err), 0);
    assert_true(http1_keep_alive(h));
    http1_free(h);
}

static void refused(const char *text, ErrCode code)
{
    Seen s = { 0 };
    Err err = { 0 };
    Http1 *h;
    assert_ok(http1_new(HTTP1_REQUEST, 100, &events, &s, &h, &err));
    assert_true(feed_all(h, text, 1000, &err) < 0);
    assert_int_equal(err.code, code);
    http1_free(h);
}

static void test_bad_and_smuggling_messages_are_refused(void **state)
{
    (void)state;
    refused("HELLO\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\nAuthorization : x\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\n: x\r\n\r\n", ERR_PROTO);
    refused("GET / HTTP/1.1\r\nA b: x\r\n\r\n", ERR_PROTO);
}

static void test_large_head_is_refused(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\nA: "
            "0123456789012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890\r\n\r\n",
            ERR_LIMIT);
}

/* A piece of a message sent `times` over, between a beginning and an end. */
typedef struct Flood {
    const char *before, *again;
    unsigned times;
    const char *after;
} Flood;

static ErrCode flood(Http1Kind kind, Flood fl, size_t step, Err *ret_why)
{
    Seen s = { 0 };
    Err err = { 0 };
    Http1 *h;
    assert_ok(http1_new(kind, 1000, &events, &s, &h, &err));
    _cleanup_buf_ Buf b = BUF_INIT;
    buf_sv(&b, sv_cstr(fl.before));
    for (unsigned i = 0; i < fl.times; i++)
        buf_sv(&b, sv_cstr(fl.again));
    buf_sv(&b, sv_cstr(fl.after));
    int r = feed_all(h, buf_cstr(&b), step, ret_why);
    http1_free(h);
    return r < 0 ? ret_why->code : ERR_NONE;
}

#define CHUNKED_REQUEST "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_ANSWER  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define EARLY_HINTS     "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

static void test_what_comes_besides_bodies_is_bounded(void **state)
{
    static const struct {
        Http1Kind kind;
        Flood flood;
    } cases[] = {
        { HTTP1_REQUEST, { CHUNKED_REQUEST "0\r\n", "T: t\r\n", 1000, "\r\n" } },
        { HTTP1_REQUEST, { CHUNKED_REQUEST "1", ";name", 1000, "\r\na\r\n0\r\n\r\n" } },
        { HTTP1_REQUEST, { CHUNKED_REQUEST, "1;name=some-long-value\r\na\r\n", 1000, "" } },
        { HTTP1_REQUEST, { CHUNKED_REQUEST, "0", 2000, "1\r\na\r\n0\r\n\r\n" } },
        { HTTP1_REQUEST, { "GET / HTTP/1.1\r\nHost:", " ", 2000, "a\r\n\r\n" } },
        { HTTP1_REQUEST, { "", "\r\n", 2000, "GET / HTTP/1.1\r\nHost: a\r\n\r\n" } },
        { HTTP1_RESPONSE, { CHUNKED_ANSWER "0\r\n", "T: t\r\n", 1000, "\r\n" } },
        { HTTP1_RESPONSE, { CHUNKED_ANSWER "1", ";name", 1000, "\r\na\r\n0\r\n\r\n" } },
        { HTTP1_RESPONSE, { "HTTP/1.1 200 O", "K", 2000, "\r\nContent-Length: 0\r\n\r\n" } },
        { HTTP1_RESPONSE, { "", EARLY_HINTS, 6, "HTTP/1.1 204 No Content\r\n\r\n" } },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t step = 1; step < 100000; step *= 10) {
            Err err = { 0 };
            if (flood(cases[i].kind, cases[i].flood, step, &err) != ERR_LIMIT)
                fail_msg("case %u in steps of %zu: %s", i, step, err.msg);
        }
}

static void test_what_is_usual_is_not_bounded(void **state)
{
    static const struct {
        Http1Kind kind;
        Flood flood;
    } cases[] = {
        { HTTP1_REQUEST, { CHUNKED_REQUEST, "1\r\na\r\n", 5000, "0\r\nTrailer: t\r\n\r\n" } },
        { HTTP1_RESPONSE, { CHUNKED_ANSWER, "003;a=b\r\nabc\r\n", 5000, "0\r\n\r\n" } },
        { HTTP1_RESPONSE, { "HTTP/1.1 200 OK\r\n\r\n", "body", 5000, "" } },
        { HTTP1_RESPONSE, { "", EARLY_HINTS, 5, "HTTP/1.1 204 No Content\r\n\r\n" } },
        { HTTP1_RESPONSE, { "", EARLY_HINTS "HTTP/1.1 204 No Content\r\n\r\n", 100, "" } },
        { HTTP1_REQUEST, { "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 100, "" } },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t step = 1; step < 100000; step *= 10) {
            Err err = { 0 };
            if (flood(cases[i].kind, cases[i].flood, step, &err) != ERR_NONE)
                fail_msg("case %u in steps of %zu: %s", i, step, err.msg);
        }
}

static void test_the_limit_says_what_was_too_much(void **state)
{
    Err err = { 0 };
    (void)state;
    (void)flood(HTTP1_RESPONSE, (Flood){ "", EARLY_HINTS, 6, "" }, 100, &err);
    assert_string_equal(err.msg, "more than 5 informational (1xx) answers came");
    (void)flood(HTTP1_RESPONSE, (Flood){ CHUNKED_ANSWER "0\r\n", "T: t\r\n", 999, "" }, 100, &err);
    assert_string_equal(err.msg, "the heads, trailers and chunk extensions of an exchange are "
                                 "larger than 1000 bytes");
    (void)flood(HTTP1_RESPONSE, (Flood){ "HTTP/1.1 200 OK\r\n", "T: t\r\n", 999, "" }, 100, &err);
    assert_string_equal(err.msg, "the message head is larger than 1000 bytes");
}

static void test_response_that_ends_with_the_connection(void **state)
{
    (void)state;
    Seen s = { 0 };
    Err err = { 0 };
    Http1 *h;
    assert_ok(http1_new(HTTP1_RESPONSE, 1000, &events, &s, &h, &err));
    assert_ok(feed_all(h, "HTTP/1.0 200 OK\r\n\r\nbody", 1000, &err));
    assert_int_equal(s.completes, 0);
    assert_ok(http1_finish(h, &err));
    assert_int_equal(s.completes, 1);
    http1_free(h);
}

static void test_cut_response_is_an_error(void **state)
{
    (void)state;
    Seen s = { 0 };
    Err err = { 0 };
    Http1 *h;
    assert_ok(http1_new(HTTP1_RESPONSE, 1000, &events, &s, &h, &err));
    assert_ok(feed_all(h, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbody", 1000, &err));
    assert_true(http1_finish(h, &err) < 0);
    assert_int_equal(err.code, ERR_CLOSED);
    http1_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_is_read_in_pieces_of_any_size),
        cmocka_unit_test(test_bodies_by_length_and_in_chunks),
        cmocka_unit_test(test_pipelined_requests_come_one_by_one),
        cmocka_unit_test(test_parser_stops_after_a_message),
        cmocka_unit_test(test_bad_and_smuggling_messages_are_refused),
        cmocka_unit_test(test_large_head_is_refused),
        cmocka_unit_test(test_what_comes_besides_bodies_is_bounded),
        cmocka_unit_test(test_what_is_usual_is_not_bounded),
        cmocka_unit_test(test_the_limit_says_what_was_too_much),
        cmocka_unit_test(test_response_that_ends_with_the_connection),
        cmocka_unit_test(test_cut_response_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
