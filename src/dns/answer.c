/* answer.c - parsing one question and encoding answers (RFC 1035, 2782, 6891). Names in answers are
 * written out; the owner is a pointer to the question. */
#include "dns/answer.h"

enum {
    HEADER = 12,
    TTL = 5,
    RCODE_NXDOMAIN = 3,
    FLAG_QR = 0x8000,
    FLAG_AA = 0x0400,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100
};

static uint16_t get16(StrView p, size_t at)
{
    return (uint16_t)((unsigned char)p.ptr[at] << 8 | (unsigned char)p.ptr[at + 1]);
}

static void put16(Buf *b, unsigned n)
{
    buf_putc(b, (char)(n >> 8));
    buf_putc(b, (char)n);
}

static void put32(Buf *b, uint32_t n)
{
    put16(b, n >> 16);
    put16(b, n & 0xffff);
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
        if (len > 63 || at + len > p.len || n + len + 1 > DNS_NAME_MAX)
            return 0;
        for (size_t i = 0; i < len; i++) {
            char c = lower(p.ptr[at + i]);
            if (c == 0 || c == '.') /* a dot inside a label would make another name of it */
                return 0;
            name[n++] = c;
        }
        name[n++] = '.';
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
    uint16_t size = get16(p, q->end + 3);
    q->udp_size = (uint16_t)MIN(MAX(size, DNS_UDP_MAX), DNS_EDNS_MAX);
}

int dns_question_parse(StrView p, DnsQuestion *q, Err *err)
{
    if (p.len < HEADER)
        return err_set(err, ERR_PROTO, 0, "a packet of %zu bytes has no header", p.len);
    *q = (DnsQuestion){ .id = get16(p, 0), .flags = get16(p, 2) };
    if (q->flags & FLAG_QR || (q->flags >> 11 & 15) != 0 || get16(p, 4) != 1)
        return err_set(err, ERR_PROTO, 0, "not a query with one question");
    size_t at = parse_name(p, HEADER, q->name);
    if (!at || at + 4 > p.len)
        return err_set(err, ERR_PROTO, 0, "the question's name is malformed");
    q->type = get16(p, at);
    q->class = get16(p, at + 2);
    q->end = at + 4;
    parse_opt(p, q);
    return 0;
}

static void put_name(Buf *b, const char *dotted)
{
    StrView rest = sv_cstr(dotted), label;
    while (sv_next(&rest, '.', &label)) {
        buf_putc(b, (char)label.len);
        buf_sv(b, label);
    }
    buf_putc(b, 0);
}

/* Owner (a pointer to the question), type, class IN, TTL; the length is patched by end_record(). */
static size_t begin_record(Buf *b, unsigned type)
{
    put16(b, 0xc000 | HEADER);
    put16(b, type);
    put16(b, 1);
    put32(b, TTL);
    put16(b, 0);
    return b->len;
}

static void end_record(Buf *b, size_t begin)
{
    if (b->failed)
        return;
    size_t n = b->len - begin;
    b->ptr[begin - 2] = (char)(n >> 8);
    b->ptr[begin - 1] = (char)n;
}

static unsigned put_addresses(const DnsRecords *r, size_t max, Buf *b, bool *cut)
{
    unsigned n = 0;
    for (; n < r->n_addr; n++) {
        if (b->len + 16 > max) {
            *cut = true;
            break;
        }
        size_t at = begin_record(b, DNS_TYPE_A);
        buf_append(b, r->addr[n], 4);
        end_record(b, at);
    }
    return n;
}

static unsigned put_services(const DnsRecords *r, size_t max, Buf *b, bool *cut)
{
    unsigned n = 0;
    for (; n < r->n_srv; n++) {
        if (b->len + 20 + strlen(r->srv[n].target) > max) {
            *cut = true;
            break;
        }
        size_t at = begin_record(b, DNS_TYPE_SRV);
        put16(b, 0);   /* priority */
        put16(b, 100); /* weight */
        put16(b, r->srv[n].port);
        put_name(b, r->srv[n].target);
        end_record(b, at);
    }
    return n;
}

static unsigned put_answers(const DnsQuestion *q, const DnsRecords *r, size_t max, Buf *b,
                            bool *cut)
{
    bool any = q->type == DNS_TYPE_ANY;
    size_t at;
    if (r->is_cname || (r->is_ptr && (any || q->type == DNS_TYPE_PTR))) {
        at = begin_record(b, r->is_cname ? DNS_TYPE_CNAME : DNS_TYPE_PTR);
        put_name(b, r->target);
        end_record(b, at);
        return 1;
    }
    if (r->is_txt && (any || q->type == DNS_TYPE_TXT)) {
        at = begin_record(b, DNS_TYPE_TXT);
        buf_sv(b, SV("\0051.1.0"));
        end_record(b, at);
        return 1;
    }
    if (r->n_srv && (any || q->type == DNS_TYPE_SRV))
        return put_services(r, max, b, cut);
    return any || q->type == DNS_TYPE_A ? put_addresses(r, max, b, cut) : 0;
}

/* Says how long "nothing there" may be remembered (RFC 2308). */
static void put_soa(const char *zone, Buf *b)
{
    put_name(b, zone);
    put16(b, DNS_TYPE_SOA);
    put16(b, 1);
    put32(b, TTL);
    put16(b, 0);
    size_t at = b->len;
    buf_sv(b, SV("\002ns\003dns"));
    put_name(b, zone);
    buf_sv(b, SV("\012hostmaster"));
    put_name(b, zone);
    put32(b, 1);
    put32(b, 7200);
    put32(b, 1800);
    put32(b, 86400);
    put32(b, TTL);
    end_record(b, at);
}

static void patch16(Buf *b, size_t at, unsigned n)
{
    if (b->failed)
        return;
    b->ptr[at] = (char)(n >> 8);
    b->ptr[at + 1] = (char)n;
}

void dns_answer_encode(StrView query, const DnsQuestion *q, const DnsRecords *r, const char *zone,
                       size_t max, Buf *b)
{
    bool cut = false;
    size_t begin = b->len;
    ASSERT(begin == 0 && max >= DNS_UDP_MAX);
    buf_append(b, query.ptr, q->end); /* header and question; counts are patched */
    unsigned answers = put_answers(q, r, max - 11, b, &cut);
    bool negative = answers == 0 && !cut;
    if (negative)
        put_soa(zone, b);
    if (q->edns) {
        buf_putc(b, 0);
        put16(b, DNS_TYPE_OPT);
        put16(b, DNS_EDNS_MAX);
        put32(b, 0);
        put16(b, 0);
    }
    patch16(b, 2,
            FLAG_QR | FLAG_AA | (q->flags & FLAG_RD) | (cut ? FLAG_TC : 0) |
                (r->exists ? 0 : RCODE_NXDOMAIN));
    patch16(b, 6, answers);
    patch16(b, 8, negative);
    patch16(b, 10, q->edns);
}

void dns_failure_encode(StrView query, unsigned rcode, Buf *b)
{
    buf_append(b, query.ptr, MIN(query.len, (size_t)HEADER));
    while (b->len < HEADER && !b->failed)
        buf_putc(b, 0);
    if (b->failed)
        return;
    unsigned flags = get16(buf_view(b), 2);
    patch16(b, 2, FLAG_QR | (flags & FLAG_RD) | (flags & 0x7800) | rcode);
    for (size_t at = 4; at < HEADER; at += 2)
        patch16(b, at, 0);
}
