/* message.h - reading and fitting the replies of other name servers, without I/O. */
#pragma once

#include "dns/answer.h"

typedef struct DnsRr {
    unsigned section; /* 0 answer, 1 authority, 2 additional */
    size_t start;     /* of its owner name */
    size_t ttl_at, data, end;
    uint16_t type, class;
    uint32_t ttl;
} DnsRr;

typedef struct DnsWalk {
    StrView packet;
    size_t at;
    unsigned section, left[3];
    bool bad; /* the packet is malformed */
} DnsWalk;

/* Walks all records of a message with one question: begin once, then next until it is false.
 * False from either with `bad` set: malformed. */
bool dns_walk_begin(DnsWalk *w, StrView packet);
bool dns_walk_next(DnsWalk *w, DnsRr *ret);

/* Is `reply` a well-formed answer to `query` (same id, opcode and question, in any case)? */
bool dns_reply_matches(StrView reply, StrView query);
unsigned dns_reply_rcode(StrView reply); /* of a message with a header */
bool dns_reply_truncated(StrView reply);

/* For how many seconds it may be kept (RFC 2308): the least TTL of its records, or for "no such
 * name" and "no such records" the SOA's minimum; 0: not at all. */
uint32_t dns_reply_lifetime(StrView reply);
/* Takes `age` seconds from each TTL, but leaves at least `floor`. Changes the bytes in place. */
void dns_reply_age(char *packet, size_t len, uint32_t age, uint32_t floor);

/* Appends the reply as the asker may have it: its id and spelling, no OPT record when it sent
 * none, and only header and question with TC set when that is over max_size. False: malformed. */
bool dns_reply_fit(StrView reply, StrView query, const DnsQuestion *q, size_t max_size, Buf *out);

/* Spells out the name at `at`, following pointers; false: malformed or with a NUL or dot in it. */
bool dns_name_expand(StrView packet, size_t at, char ret[static DNS_NAME_MAX + 1]);

/* Appends what a reply answers to the records of an alias: addresses, texts and CNAMEs. */
void dns_records_add_reply(DnsRecords *r, Arena *a, StrView reply);

/* Appends a query: header, the question (as on the wire) and an OPT record. */
void dns_query_put(StrView question, uint16_t id, uint16_t flags, bool dnssec_ok, Buf *out);
