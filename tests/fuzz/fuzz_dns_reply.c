/* fuzz_dns_reply.c - a reply of another name server: matched, measured, aged, fitted, copied. The
 * query is made of the reply's own question, so that most inputs get past the comparison. */
#include "dns/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView reply = sv_n(data, size);
    Buf query = BUF_INIT, out = BUF_INIT;
    DnsQuestion q;
    DnsWalk w;
    Arena a;
    arena_init(&a, 0);
    if (dns_walk_begin(&w, reply)) {
        uint16_t id = (uint16_t)((unsigned char)reply.ptr[0] << 8 | (unsigned char)reply.ptr[1]);
        dns_query_put(sv_n(reply.ptr + DNS_HEADER, w.at - DNS_HEADER), id, DNS_FLAG_RD, size & 1,
                      &query);
        if (dns_question_parse(buf_view(&query), &q, NULL) == 0 &&
            dns_reply_matches(reply, buf_view(&query))) {
            DnsRecords r = { .exists = true };
            dns_reply_lifetime(reply);
            q.edns = size & 2;
            dns_reply_fit(reply, buf_view(&query), &q, q.udp_size, &out);
            dns_reply_age(out.ptr, out.len, 10, 0);
            dns_records_add_reply(&r, &a, reply);
            buf_clear(&out);
            dns_answer_encode(buf_view(&query), &q, &r, "cluster.local", DNS_UDP_MAX, &out);
        }
    }
    buf_free(&query);
    buf_free(&out);
    arena_free(&a);
    return 0;
}
