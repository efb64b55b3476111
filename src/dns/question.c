/* question.c - reading what an asker sends. */
#include "dns/answer.h"

static uint16_t get16(StrView p, size_t at)
{
    return (uint16_t)((unsigned char)p.ptr[at] << 8 | (unsigned char)p.ptr[at + 1]);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* The question's name; compression has no place in it. Returns the offset behind it, or 0. */
static size_t parse_name(StrView p, size_t at, char *name)
{
    size_t n = 0;
    while (at < p.len) {
        size_t len = (unsigned char)p.ptr[at++];
        if (len == 0) {
            name[n ? n - 1 : 0] = 0;
            return at;
        }
        if (len > DNS_LABEL_MAX || at + len > p.len || n + len > DNS_NAME_MAX)
            return 0;
        for (size_t i = 0; i < len; i++) {
            char c = lower(p.ptr[at + i]);
            if (c == 0 || c == '.') /* a dot inside a label would make another name of it */
                return 0;
            name[n++] = c;
        }
        name[n++] = '.'; /* at most at DNS_NAME_MAX, where the terminator goes in the end */
        at += len;
    }
    return 0;
}

/* EDNS0: an OPT record right behind the question is where askers put it. */
static void parse_opt(StrView p, DnsQuestion *q)
{
    q->udp_size = DNS_UDP_MAX;
    if (get16(p, 10) == 0 || get16(p, 6) || get16(p, 8) || q->end + 11 > p.len ||
        p.ptr[q->end] != 0 || get16(p, q->end + 1) != DNS_TYPE_OPT)
        return;
    q->edns = true;
    q->dnssec_ok = get16(p, q->end + 7) & 0x8000;
    uint16_t size = get16(p, q->end + 3);
    q->udp_size = (uint16_t)MIN(MAX(size, DNS_UDP_MAX), DNS_EDNS_MAX);
}

int dns_question_parse(StrView p, DnsQuestion *q, Err *err)
{
    if (p.len < DNS_HEADER)
        return err_set(err, ERR_PROTO, 0, "a packet of %zu bytes has no header", p.len);
    *q = (DnsQuestion){ .id = get16(p, 0), .flags = get16(p, 2) };
    if (!(q->flags & DNS_FLAG_QR) && (q->flags >> 11 & 15) != 0)
        return err_set(err, ERR_UNSUPPORTED, 0, "opcode %d is not QUERY", q->flags >> 11 & 15);
    if (q->flags & DNS_FLAG_QR || get16(p, 4) != 1)
        return err_set(err, ERR_PROTO, 0, "not a query with one question");
    size_t at = parse_name(p, DNS_HEADER, q->name);
    if (!at || at + 4 > p.len)
        return err_set(err, ERR_PROTO, 0, "the question's name is malformed");
    q->type = get16(p, at);
    q->class = get16(p, at + 2);
    q->end = at + 4;
    parse_opt(p, q);
    return 0;
}
