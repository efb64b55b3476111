/* fuzz_dns_question.c - a packet from the network, and answers of every kind to it. */
#include "dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView packet = sv_n(data, size);
    DnsQuestion q;
    Buf out = BUF_INIT;
    Arena a;
    arena_init(&a, 0);
    if (dns_question_parse(packet, &q, NULL) == 0) {
        DnsRecords r = { .exists = size & 1 };
        static const uint16_t types[] = { DNS_TYPE_A, DNS_TYPE_SRV, DNS_TYPE_CNAME, DNS_TYPE_TXT };
        for (size_t i = 0; i < size % 70; i++) {
            DnsRecord rec = { .type = types[i % 4], .text = q.name, .additional = i > 60 };
            dns_records_add(&r, &a, &rec);
        }
        dns_answer_encode(packet, &q, &r, "cluster.local", q.udp_size, &out);
        buf_clear(&out);
        dns_failure_encode(packet, &q, 2, &out);
    } else
        dns_failure_encode(packet, NULL, 1, &out);
    buf_free(&out);
    arena_free(&a);
    return 0;
}
