/* answer.h - from a question to an answer, without I/O. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    DNS_NAME_MAX = 253, /* dotted, without the last dot: 255 bytes on the wire (RFC 1035 2.3.4) */
    DNS_LABEL_MAX = 63,
    DNS_HEADER = 12,
    DNS_UDP_MAX = 512,
    DNS_EDNS_MAX = 1232, /* what fits one unfragmented datagram (DNS flag day 2020) */
    DNS_PACKET_MAX = 65535,
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_ANY = 255,
    DNS_FLAG_QR = 0x8000,
    DNS_FLAG_AA = 0x0400,
    DNS_FLAG_TC = 0x0200,
    DNS_FLAG_RD = 0x0100,
    DNS_FLAG_RA = 0x0080,
    DNS_FLAG_CD = 0x0010,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5,
};

typedef struct DnsQuestion {
    uint16_t id, flags, type, class;
    char name[DNS_NAME_MAX + 1]; /* lower case, dotted, without the last dot */
    size_t end;                  /* offset behind the question */
    bool edns, dnssec_ok;        /* an OPT record was there; its DO bit */
    uint16_t udp_size;           /* what the asker takes over UDP */
} DnsQuestion;

/* Reads header and question of a query (RFC 1035), and its OPT record (RFC 6891). ERR_PROTO: not a
 * query with one question; ERR_UNSUPPORTED: of another opcode than QUERY. */
int dns_question_parse(StrView packet, DnsQuestion *ret, Err *err) NODISCARD;

/* One record of an answer, class IN. Texts live as long as the arena they were made in. */
typedef struct DnsRecord {
    uint16_t type; /* A, CNAME, PTR, SRV or TXT; any with `raw` */
    bool additional;
    const char *owner; /* NULL: the question's name */
    uint8_t addr[4];   /* A */
    const char *text;  /* CNAME, PTR and SRV: the target; TXT */
    uint16_t port, weight;
    StrView raw; /* the data as on the wire instead, when it is not NULL */
} DnsRecord;

typedef struct DnsRecords {
    bool exists;       /* the name is there, perhaps without records of this type */
    const char *chase; /* the records end with a CNAME to this name, which is not the cluster's */
    DnsRecord *v;
    size_t n, cap;
} DnsRecords;

/* Appends a record; `a` holds the list. False: memory is exhausted, or a name in it could not be
 * written (dns_name_fits). */
bool dns_records_add(DnsRecords *r, Arena *a, const DnsRecord *rec);
/* Labels of 1 to 63 bytes, 255 bytes in all: what can stand in a packet. A last dot is allowed. */
bool dns_name_fits(StrView dotted);
/* Appends the name as labels; nothing, and false, when it does not fit. */
bool dns_name_put(Buf *b, StrView dotted);
void dns_put16(Buf *b, unsigned n);

/* Appends the authoritative answer with at most max_size bytes (DNS_UDP_MAX or more), with TC set
 * when records had to be left out. Without records a SOA of `zone` says how long that may be
 * remembered. */
void dns_answer_encode(StrView query, const DnsQuestion *q, const DnsRecords *r, const char *zone,
                       size_t max_size, Buf *out);
/* An answer without records: DNS_RCODE_…; it repeats the question when there is one that could be
 * read (q may be NULL). `query` has a header at least. */
void dns_failure_encode(StrView query, const DnsQuestion *q, unsigned rcode, Buf *out);
/* The OPT record that goes into our messages. */
void dns_put_opt(Buf *b, bool dnssec_ok);
