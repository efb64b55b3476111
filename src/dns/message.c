/* message.c - a walk over the records of a message, and what is made of it. Every offset is checked
 * against the packet's end before it is used. */
#include "dns/message.h"

enum { MAX_POINTERS = 64 };

static uint16_t get16(StrView p, size_t at)
{
    return (uint16_t)((unsigned char)p.ptr[at] << 8 | (unsigned char)p.ptr[at + 1]);
}

static uint32_t get32(StrView p, size_t at)
{
    return (uint32_t)get16(p, at) << 16 | get16(p, at + 2);
}

/* The offset behind a name, compressed or not; 0: malformed. */
static size_t skip_name(StrView p, size_t at)
{
    while (at < p.len) {
        unsigned char len = (unsigned char)p.ptr[at];
        if (len == 0)
            return at + 1;
        if (len >= 0xc0)
            return at + 2 <= p.len ? at + 2 : 0;
        if (len > DNS_LABEL_MAX)
            return 0;
        at += 1 + (size_t)len;
    }
    return 0;
}

bool dns_walk_begin(DnsWalk *w, StrView p)
{
    *w = (DnsWalk){ .packet = p, .bad = true };
    if (p.len < DNS_HEADER || get16(p, 4) != 1)
        return false;
    for (unsigned i = 0; i < 3; i++)
        w->left[i] = get16(p, 6 + 2 * i);
    size_t at = skip_name(p, DNS_HEADER);
    if (!at || at + 4 > p.len)
        return false;
    w->at = at + 4;
    w->bad = false;
    return true;
}

bool dns_walk_next(DnsWalk *w, DnsRr *rr)
{
    while (w->section < 3 && w->left[w->section] == 0)
        w->section++;
    if (w->bad || w->section == 3)
        return false;
    size_t at = skip_name(w->packet, w->at);
    w->bad = true;
    if (!at || at + 10 > w->packet.len)
        return false;
    *rr = (DnsRr){ .section = w->section, .start = w->at, .ttl_at = at + 4, .data = at + 10 };
    rr->type = get16(w->packet, at);
    rr->class = get16(w->packet, at + 2);
    rr->ttl = get32(w->packet, at + 4);
    rr->end = rr->data + get16(w->packet, at + 8);
    if (rr->end > w->packet.len)
        return false;
    w->at = rr->end;
    w->left[w->section]--;
    w->bad = false;
    return true;
}

static bool well_formed(StrView p)
{
    DnsWalk w;
    DnsRr rr;
    if (!dns_walk_begin(&w, p))
        return false;
    while (dns_walk_next(&w, &rr))
        ;
    return !w.bad;
}

static size_t question_end(StrView p)
{
    DnsWalk w;
    return dns_walk_begin(&w, p) ? w.at : 0;
}

bool dns_reply_matches(StrView reply, StrView query)
{
    size_t end = question_end(query);
    if (!end || reply.len < end || question_end(reply) != end ||
        get16(reply, 0) != get16(query, 0) || !(get16(reply, 2) & DNS_FLAG_QR) ||
        (get16(reply, 2) & 0x7800) != (get16(query, 2) & 0x7800))
        return false;
    /* Letters of the name may change their case; type and class are numbers. */
    return sv_eq_nocase(sv_n(reply.ptr + DNS_HEADER, end - 4 - DNS_HEADER),
                        sv_n(query.ptr + DNS_HEADER, end - 4 - DNS_HEADER)) &&
           memcmp(reply.ptr + end - 4, query.ptr + end - 4, 4) == 0 && well_formed(reply);
}

unsigned dns_reply_rcode(StrView reply)
{
    return get16(reply, 2) & 15;
}

bool dns_reply_truncated(StrView reply)
{
    return get16(reply, 2) & DNS_FLAG_TC;
}

uint32_t dns_reply_lifetime(StrView p)
{
    DnsWalk w;
    DnsRr rr;
    uint32_t least = UINT32_MAX, negative = 0;
    bool answers = false;
    if (!dns_walk_begin(&w, p) || dns_reply_truncated(p) ||
        (dns_reply_rcode(p) != 0 && dns_reply_rcode(p) != DNS_RCODE_NXDOMAIN))
        return 0;
    while (dns_walk_next(&w, &rr)) {
        if (rr.type == DNS_TYPE_OPT)
            continue;
        answers |= rr.section == 0;
        least = MIN(least, rr.ttl);
        if (rr.section == 1 && rr.type == DNS_TYPE_SOA && rr.end - rr.data >= 20)
            negative = MIN(rr.ttl, get32(p, rr.end - 4));
    }
    if (w.bad)
        return 0;
    if (dns_reply_rcode(p) == DNS_RCODE_NXDOMAIN || !answers)
        return MIN(negative, least);
    return least > INT32_MAX ? 0 : least; /* RFC 2181 8: the top bit set means zero */
}

void dns_reply_age(char *packet, size_t len, uint32_t age, uint32_t floor)
{
    DnsWalk w;
    DnsRr rr;
    if (!dns_walk_begin(&w, sv_n(packet, len)))
        return;
    while (dns_walk_next(&w, &rr)) {
        if (rr.type == DNS_TYPE_OPT)
            continue;
        uint32_t ttl = rr.ttl > age ? rr.ttl - age : 0;
        ttl = MAX(ttl, floor);
        for (unsigned i = 0; i < 4; i++)
            packet[rr.ttl_at + i] = (char)(ttl >> (24 - 8 * i));
    }
}

static void patch16(Buf *b, size_t at, unsigned n)
{
    b->ptr[at] = (char)(n >> 8);
    b->ptr[at + 1] = (char)n;
}

/* Where an OPT record begins among the additional ones, and how many stand before it. What follows
 * goes with it: pointers of later records could lead across the gap, and additional records are
 * optional. */
static bool find_opt(StrView p, size_t *ret_at, unsigned *ret_before)
{
    DnsWalk w;
    DnsRr rr;
    *ret_before = 0;
    for (bool more = dns_walk_begin(&w, p); more && dns_walk_next(&w, &rr);) {
        if (rr.section == 2 && rr.type == DNS_TYPE_OPT) {
            *ret_at = rr.start;
            return true;
        }
        *ret_before += rr.section == 2;
    }
    return false;
}

bool dns_reply_fit(StrView reply, StrView query, const DnsQuestion *q, size_t max, Buf *b)
{
    size_t opt;
    unsigned before;
    ASSERT(b->len == 0);
    if (!well_formed(reply) || question_end(reply) != q->end)
        return false;
    bool drop = !q->edns && find_opt(reply, &opt, &before);
    size_t len = drop ? opt : reply.len;
    bool cut = len > max;
    buf_append(b, reply.ptr, cut ? q->end : len);
    if (cut && q->edns)
        dns_put_opt(b, q->dnssec_ok);
    if (b->failed)
        return false;
    memcpy(b->ptr, query.ptr, 2);
    memcpy(b->ptr + DNS_HEADER, query.ptr + DNS_HEADER, q->end - DNS_HEADER);
    unsigned flags = get16(reply, 2) & ~(unsigned)(DNS_FLAG_AA | DNS_FLAG_RD | DNS_FLAG_TC);
    patch16(b, 2,
            flags | DNS_FLAG_RA | (q->flags & DNS_FLAG_RD) |
                (cut || dns_reply_truncated(reply) ? DNS_FLAG_TC : 0));
    if (cut) {
        patch16(b, 6, 0);
        patch16(b, 8, 0);
        patch16(b, 10, q->edns);
    } else if (drop)
        patch16(b, 10, before);
    return true;
}

bool dns_name_expand(StrView p, size_t at, char name[static DNS_NAME_MAX + 1])
{
    size_t n = 0;
    for (unsigned jumps = 0; at < p.len;) {
        size_t len = (unsigned char)p.ptr[at];
        if (len == 0) {
            name[n ? n - 1 : 0] = 0;
            return true;
        }
        if (len >= 0xc0) {
            if (at + 2 > p.len || ++jumps > MAX_POINTERS)
                return false;
            at = get16(p, at) & 0x3fff;
            continue;
        }
        if (len > DNS_LABEL_MAX || at + 1 + len > p.len || n + len > DNS_NAME_MAX ||
            memchr(p.ptr + at + 1, 0, len) || memchr(p.ptr + at + 1, '.', len))
            return false;
        memcpy(name + n, p.ptr + at + 1, len);
        n += len;
        name[n++] = '.';
        at += 1 + len;
    }
    return false;
}

void dns_records_add_reply(DnsRecords *r, Arena *a, StrView reply)
{
    DnsWalk w;
    DnsRr rr;
    char owner[DNS_NAME_MAX + 1], target[DNS_NAME_MAX + 1];
    for (bool more = dns_walk_begin(&w, reply); more && dns_walk_next(&w, &rr);) {
        DnsRecord rec = { .type = rr.type };
        bool raw = rr.type == DNS_TYPE_A || rr.type == DNS_TYPE_AAAA || rr.type == DNS_TYPE_TXT;
        if (rr.section != 0 || rr.class != 1 || !dns_name_expand(reply, rr.start, owner) ||
            (!raw && rr.type != DNS_TYPE_CNAME) ||
            (!raw && !dns_name_expand(reply, rr.data, target)))
            continue;
        rec.owner = arena_cstr(a, sv_cstr(owner));
        rec.text = raw ? NULL : arena_cstr(a, sv_cstr(target));
        rec.raw = raw ? arena_sv(a, sv_n(reply.ptr + rr.data, rr.end - rr.data)) : SV_NULL;
        if (rec.owner && (rec.text || rec.raw.ptr))
            dns_records_add(r, a, &rec);
    }
}

void dns_query_put(StrView question, uint16_t id, uint16_t flags, bool dnssec_ok, Buf *b)
{
    unsigned counts[] = { 1, 0, 0, 1 };
    dns_put16(b, id);
    dns_put16(b, flags);
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        dns_put16(b, counts[i]);
    buf_sv(b, question);
    dns_put_opt(b, dnssec_ok);
}
