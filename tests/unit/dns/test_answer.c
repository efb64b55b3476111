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

static void test_address_answer(void **state)
{
    DnsQuestion q;
    DnsRecords r = { .exists = true, .n_addr = 1, .addr = { { 10, 96, 0, 7 } } };
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    static const char record[] = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x60\x00\x07";
    assert_int_equal(out.len, sizeof question - 1 + sizeof record - 1);
    assert_memory_equal(out.ptr + sizeof question - 1, record, sizeof record - 1);
    assert_int_equal((unsigned char)out.ptr[2],
                     0x85); /* answer, authoritative, recursion desired */
    assert_int_equal(out.ptr[3], 0);
    assert_int_equal(out.ptr[7], 1);
}

static void test_absent_names_get_a_soa(void **state)
{
    DnsQuestion q;
    DnsRecords r = { 0 };
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    assert_int_equal(out.ptr[3], 3); /* NXDOMAIN */
    assert_int_equal(out.ptr[9], 1);
}

static void test_too_many_records_are_cut(void **state)
{
    DnsQuestion q;
    DnsRecords r = { .exists = true, .n_addr = DNS_ADDRESSES_MAX };
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(dns_question_parse(QUESTION, &q, NULL), 0);
    dns_answer_encode(QUESTION, &q, &r, "cluster.local", DNS_UDP_MAX, &out);
    assert_true(out.len <= DNS_UDP_MAX);
    assert_int_equal((unsigned char)out.ptr[2] & 2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_is_read_in_lower_case),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_answers_dots_in_labels_and_two_questions_are_refused),
        cmocka_unit_test(test_address_answer),
        cmocka_unit_test(test_absent_names_get_a_soa),
        cmocka_unit_test(test_too_many_records_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
