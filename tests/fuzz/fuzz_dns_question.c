/* fuzz_dns_question.c - a packet from the network, and answers of every kind to it. */
#include "dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView packet = sv_n(data, size);
    DnsQuestion q;
    Buf out = BUF_INIT;
    if (dns_question_parse(packet, &q, NULL) == 0) {
        DnsRecords r = { .exists = size & 1, .n_addr = (unsigned)size % DNS_ADDRESSES_MAX };
        dns_answer_encode(packet, &q, &r, "cluster.local", q.udp_size, &out);
    } else
        dns_failure_encode(packet, 1, &out);
    buf_free(&out);
    return 0;
}
