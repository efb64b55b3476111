/* answer.h - from a question to an answer, without I/O. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    DNS_NAME_MAX = 255,
    DNS_UDP_MAX = 512,
    DNS_EDNS_MAX = 1232, /* what fits one unfragmented datagram (DNS flag day 2020) */
    DNS_ADDRESSES_MAX = 64,
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_ANY = 255,
};

typedef struct DnsQuestion {
    uint16_t id, flags, type, class;
    char name[DNS_NAME_MAX + 1]; /* lower case, dotted, without the last dot */
    size_t end;                  /* offset behind the question */
    bool edns;
    uint16_t udp_size; /* what the asker takes over UDP */
} DnsQuestion;

/* Reads header and question of a query (RFC 1035). ERR_PROTO: not a query with one question. */
int dns_question_parse(StrView packet, DnsQuestion *ret, Err *err) NODISCARD;

typedef struct DnsRecords {
    bool exists; /* the name is there, perhaps without records of this type */
    uint8_t addr[DNS_ADDRESSES_MAX][4];
    unsigned n_addr;
    char target[DNS_NAME_MAX + 1]; /* CNAME, PTR; SRV: of its one record */
    bool is_cname, is_ptr, is_txt;
    struct {
        uint16_t port;
        char target[DNS_NAME_MAX + 1];
    } srv[16];
    unsigned n_srv;
} DnsRecords;

/* Appends the answer; over UDP at most max_size bytes, with TC set when records had to be left out.
 */
void dns_answer_encode(StrView query, const DnsQuestion *q, const DnsRecords *r, const char *zone,
                       size_t max_size, Buf *out);
/* An answer without records: rcode 2 (SERVFAIL), 4 (NOTIMP) …, for a packet whose header could be
 * read. */
void dns_failure_encode(StrView query, unsigned rcode, Buf *out);
