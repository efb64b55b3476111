/* answer.c - encoding answers (RFC 1035, 2782, 6891). Names are written out, without compression,
 * but for the owner that is a pointer to the question. To add a type: a case in put_data(). */
#include "dns/answer.h"

enum { TTL = 5, OPT_SIZE = 11, NAME_WIRE_MAX = 255 };

void dns_put16(Buf *b, unsigned n)
{
    buf_putc(b, (char)(n >> 8));
    buf_putc(b, (char)n);
}

static void put32(Buf *b, uint32_t n)
{
    dns_put16(b, n >> 16);
    dns_put16(b, n & 0xffff);
}

static void patch16(Buf *b, size_t at, unsigned n)
{
    if (b->failed)
        return;
    b->ptr[at] = (char)(n >> 8);
    b->ptr[at + 1] = (char)n;
}

bool dns_name_fits(StrView dotted)
{
    size_t wire = 1;
    StrView label;
    if (sv_ends(dotted, SV(".")))
        dotted.len--;
    if (!dotted.len || sv_ends(dotted, SV(".")))
        return false;
    while (sv_next(&dotted, '.', &label)) {
        if (!label.len || label.len > DNS_LABEL_MAX)
            return false;
        wire += 1 + label.len;
    }
    return wire <= NAME_WIRE_MAX;
}

bool dns_name_put(Buf *b, StrView dotted)
{
    StrView label;
    if (!dns_name_fits(dotted))
        return false;
    while (sv_next(&dotted, '.', &label)) {
        buf_putc(b, (char)label.len);
        buf_sv(b, label);
    }
    buf_putc(b, 0);
    return true;
}

bool dns_records_add(DnsRecords *r, Arena *a, const DnsRecord *rec)
{
    bool has_target = !rec->raw.ptr && rec->type != DNS_TYPE_A && rec->type != DNS_TYPE_TXT;
    if ((has_target && !dns_name_fits(sv_cstr(rec->text))) ||
        (rec->owner && !dns_name_fits(sv_cstr(rec->owner))))
        return false;
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        DnsRecord *v = arena_realloc(a, r->v, r->cap * sizeof *v, cap * sizeof *v);
        if (!v)
            return false;
        r->v = v;
        r->cap = cap;
    }
    r->v[r->n++] = *rec;
    return true;
}

static void put_data(Buf *b, const DnsRecord *rec)
{
    if (rec->raw.ptr) {
        buf_sv(b, rec->raw);
        return;
    }
    switch (rec->type) {
    case DNS_TYPE_A:
        buf_append(b, rec->addr, 4);
        break;
    case DNS_TYPE_TXT: {
        StrView text = sv_head(sv_cstr(rec->text), 255);
        buf_putc(b, (char)text.len);
        buf_sv(b, text);
        break;
    }
    case DNS_TYPE_SRV:
        dns_put16(b, 0); /* priority */
        dns_put16(b, rec->weight);
        dns_put16(b, rec->port);
        dns_name_put(b, sv_cstr(rec->text));
        break;
    default:
        dns_name_put(b, sv_cstr(rec->text));
    }
}

static void put_record(Buf *b, const DnsRecord *rec)
{
    if (rec->owner)
        dns_name_put(b, sv_cstr(rec->owner));
    else
        dns_put16(b, 0xc000 | DNS_HEADER);
    dns_put16(b, rec->type);
    dns_put16(b, 1);
    put32(b, TTL);
    dns_put16(b, 0);
    size_t at = b->len;
    put_data(b, rec);
    patch16(b, at - 2, (unsigned)(b->len - at));
}

/* Those of one section that fit; how many. */
static unsigned put_section(const DnsRecords *r, bool additional, size_t max, Buf *b, bool *cut)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->n && !*cut; i++) {
        size_t before = b->len;
        if (r->v[i].additional != additional)
            continue;
        put_record(b, &r->v[i]);
        if (b->len > max) {
            b->len = before;
            *cut = true;
        } else
            n++;
    }
    return n;
}

/* Says how long "nothing there" may be remembered (RFC 2308). */
static void put_soa(const char *zone, Buf *b)
{
    size_t begin = b->len;
    if (!dns_name_put(b, sv_cstr(zone)))
        return;
    dns_put16(b, DNS_TYPE_SOA);
    dns_put16(b, 1);
    put32(b, TTL);
    dns_put16(b, 0);
    size_t at = b->len;
    buf_sv(b, SV("\002ns\003dns"));
    dns_name_put(b, sv_cstr(zone));
    buf_sv(b, SV("\012hostmaster"));
    dns_name_put(b, sv_cstr(zone));
    static const uint32_t numbers[] = { 1, 7200, 1800, 86400, TTL };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        put32(b, numbers[i]);
    ASSERT(at > begin);
    patch16(b, at - 2, (unsigned)(b->len - at));
}

void dns_put_opt(Buf *b, bool dnssec_ok)
{
    buf_putc(b, 0);
    dns_put16(b, DNS_TYPE_OPT);
    dns_put16(b, DNS_EDNS_MAX);
    put32(b, dnssec_ok ? 0x8000 : 0);
    dns_put16(b, 0);
}

void dns_answer_encode(StrView query, const DnsQuestion *q, const DnsRecords *r, const char *zone,
                       size_t max, Buf *b)
{
    bool cut = false, no_room = false;
    ASSERT(b->len == 0 && max >= DNS_UDP_MAX);
    buf_append(b, query.ptr, q->end); /* header and question; flags and counts are patched */
    unsigned answers = put_section(r, false, max - OPT_SIZE, b, &cut);
    unsigned additional = cut ? 0 : put_section(r, true, max - OPT_SIZE, b, &no_room);
    bool negative = answers == 0 && !cut;
    if (negative)
        put_soa(zone, b);
    if (q->edns)
        dns_put_opt(b, q->dnssec_ok);
    patch16(b, 2,
            DNS_FLAG_QR | DNS_FLAG_AA | DNS_FLAG_RA | (q->flags & DNS_FLAG_RD) |
                (cut ? DNS_FLAG_TC : 0) | (r->exists ? 0 : DNS_RCODE_NXDOMAIN));
    patch16(b, 6, answers);
    patch16(b, 8, negative);
    patch16(b, 10, additional + q->edns);
}

void dns_failure_encode(StrView query, const DnsQuestion *q, unsigned rcode, Buf *b)
{
    ASSERT(b->len == 0);
    buf_append(b, query.ptr, q ? q->end : MIN(query.len, (size_t)DNS_HEADER));
    while (b->len < DNS_HEADER && !b->failed)
        buf_putc(b, 0);
    if (b->failed)
        return;
    unsigned flags = (unsigned)((unsigned char)b->ptr[2] << 8 | (unsigned char)b->ptr[3]);
    patch16(b, 2, DNS_FLAG_QR | DNS_FLAG_RA | (flags & (DNS_FLAG_RD | 0x7800)) | rcode);
    for (size_t at = 4; at < DNS_HEADER; at += 2)
        patch16(b, at, 0);
    if (!q)
        return;
    patch16(b, 4, 1);
    if (q->edns) {
        dns_put_opt(b, q->dnssec_ok);
        patch16(b, 10, 1);
    }
}
