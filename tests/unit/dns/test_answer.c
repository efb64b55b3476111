/* test_answer.c - questions in, answers out, byte by byte. */
#include "unit.h"

#include "dns/answer.h"

/* id 0x1234, RD, one question: Web.Default A IN */
static const char question[] =
    "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\003Web\007Default\000\x00\x01\x00\x01";
#define QUESTION sv_n(question, sizeof question - 1)

static void test_question_is_read_in_lower_case(void **state)
{
    DnsQuestion q;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    assert_string_equal(q.name, "web.default");
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.type, DNS_TYPE_A);
    assert_int_equal(q.end, sizeof question - 1);
    assert_false(q.edns);
}

static void test_names_may_have_255_bytes_and_no_more(void **state)
{
    for (unsigned last = 61; last <= 62; last++) { /* 3 * 64 + 1 + last + 1 bytes */
        _cleanup_buf_ Buf b = BUF_INIT;
        DnsQuestion q;
        buf_append(&b, question, 12);
        for (unsigned i = 0; i < 4; i++) {
            unsigned len = i < 3 ? 63 : last;
            buf_putc(&b, (char)len);
            for (unsigned j = 0; j < len; j++)
                buf_putc(&b, 'x');
        }
        buf_append(&b, "\0\0\1\0\1", 5);
        assert_int_equal(dns_question_parse(buf_view(&b), &q, NULL), last == 61 ? 0 : -ERR_PROTO);
    }
}

static void test_another_opcode_is_told_apart(void **state)
{
    char p[sizeof question];
    DnsQuestion q;
    memcpy(p, question, sizeof p);
    p[2] = 0x28; /* UPDATE */
    assert_int_equal(dns_question_parse(sv_n(p, sizeof p - 1), &q, NULL), -ERR_UNSUPPORTED);
}

static void test_every_cut_is_refused(void **state)
{
    DnsQuestion q;
    for (size_t n = 0; n + 1 < sizeof question; n++)
        assert_int_equal(dns_question_parse(sv_n(question, n), &q, NULL), -ERR_PROTO);
}

static void test_answers_dots_in_labels_and_two_questions_are_refused(void **state)
{
    char p[sizeof question];
    DnsQuestion q;
    memcpy(p, question, sizeof p);
    p[2] = (char)0x81;
    assert_int_equal(dns_question_parse(sv_n(p, sizeof p - 1), &q, NULL), -ERR_PROTO);
    memcpy(p, question, sizeof p);
    p[14] = '.';
    assert_int_equal(dns_question_parse(sv_n(p, sizeof p - 1), &q, NULL), -ERR_PROTO);
    memcpy(p, question, sizeof p);
    p[5] = 2;
    assert_int_equal(dns_question_parse(sv_n(p, sizeof p - 1), &q, NULL), -ERR_PROTO);
}

static Arena arena;

static DnsRecords addresses(unsigned n)
{
    DnsRecords r = { .exists = true };
    DnsRecord rec = { .type = DNS_TYPE_A, .addr = { 10, 96, 0, 7 } };
    for (unsigned i = 0; i < n; i++)
        assert_true(dns_records_add(&r, &arena, &rec));
    return r;
}

static void test_address_answer(void **state)
{
    DnsQuestion q;
    DnsRecords r = addresses(1);
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    static const char record[] = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x60\x00\x07";
    assert_int_equal(out.len, sizeof question - 1 + sizeof record - 1);
    assert_memory_equal(out.ptr + sizeof question - 1, record, sizeof record - 1);
    assert_int_equal((unsigned char)out.ptr[2],
                     0x85); /* answer, authoritative, recursion desired */
    assert_int_equal((unsigned char)out.ptr[3], 0x80);
    assert_int_equal(out.ptr[7], 1);
}

static void test_absent_names_get_a_soa(void **state)
{
    DnsQuestion q;
    DnsRecords r = { 0 };
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    assert_int_equal(out.ptr[3] & 15, DNS_RCODE_NXDOMAIN);
    assert_int_equal(out.ptr[9], 1);
}

static void test_too_many_records_are_cut(void **state)
{
    DnsQuestion q;
    DnsRecords r = addresses(64);
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    assert_true(out.len <= DNS_UDP_MAX);
    assert_int_equal((unsigned char)out.ptr[2] & 2, 2);
}

static void test_a_failure_carries_the_question(void **state)
{
    DnsQuestion q;
    _cleanup_buf_ Buf out = BUF_INIT, bare = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_failure_encode(QUESTION, &q, DNS_RCODE_SERVFAIL, &out);
    assert_int_equal(out.len, sizeof question - 1);
    assert_memory_equal(out.ptr + 12, question + 12, sizeof question - 13);
    assert_int_equal(out.ptr[5], 1);
    assert_int_equal(out.ptr[3] & 15, DNS_RCODE_SERVFAIL);
    dns_failure_encode(sv_n(question, 12), NULL, DNS_RCODE_FORMERR, &bare);
    assert_int_equal(bare.len, 12);
    assert_int_equal(bare.ptr[5], 0);
}

static void test_names_that_do_not_fit_are_not_written(void **state)
{
    static const char long_label[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    char name[300];
    _cleanup_buf_ Buf out = BUF_INIT;
    DnsRecords r = { 0 };
    DnsRecord rec = { .type = DNS_TYPE_CNAME, .text = long_label };
    assert_false(dns_name_put(&out, sv_cstr(long_label)));
    assert_false(dns_name_put(&out, SV("a..b")));
    assert_false(dns_name_put(&out, SV("")));
    assert_false(dns_name_put(&out, SV(".")));
    assert_int_equal(out.len, 0);
    assert_false(dns_records_add(&r, &arena, &rec));
    assert_int_equal(r.n, 0);
    assert_true(dns_name_put(&out, sv_cstr(long_label + 1))); /* 63 bytes */
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_true(dns_name_fits(sv_n(name, 253))); /* 127 labels of one byte: 255 on the wire */
    assert_false(dns_name_fits(sv_n(name, 255)));
    assert_true(dns_name_fits(sv_n(name, 254))); /* with a last dot */
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_is_read_in_lower_case),
        cmocka_unit_test(test_names_may_have_255_bytes_and_no_more),
        cmocka_unit_test(test_another_opcode_is_told_apart),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_answers_dots_in_labels_and_two_questions_are_refused),
        cmocka_unit_test(test_address_answer),
        cmocka_unit_test(test_absent_names_get_a_soa),
        cmocka_unit_test(test_too_many_records_are_cut),
        cmocka_unit_test(test_a_failure_carries_the_question),
        cmocka_unit_test(test_names_that_do_not_fit_are_not_written),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return r;
}
