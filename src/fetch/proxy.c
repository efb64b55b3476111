/* proxy.c - whether a request goes through a proxy, and which: proxy_url and no_proxy, or what the
 * environment says, read as Go's httpproxy reads them. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "fetch/internal.h"

typedef struct Address {
    uint8_t bytes[16];
    unsigned bits; /* 32 or 128; 0: not an address */
} Address;

static Address address_of(StrView host)
{
    char text[64];
    Address a = { 0 };
    if (!sv_copy_cstr(host, text, sizeof text))
        return a;
    if (inet_pton(AF_INET, text, a.bytes) == 1)
        a.bits = 32;
    else if (inet_pton(AF_INET6, text, a.bytes) == 1)
        a.bits = 128;
    return a;
}

static bool within(const Address *a, const Address *net, unsigned prefix)
{
    if (a->bits != net->bits || prefix > net->bits)
        return false;
    unsigned whole = prefix / 8, rest = prefix % 8;
    return memcmp(a->bytes, net->bytes, whole) == 0 &&
           (!rest || (a->bytes[whole] ^ net->bytes[whole]) >> (8 - rest) == 0);
}

static bool is_local(StrView host, const Address *a)
{
    static const uint8_t v6[16] = { [15] = 1 };
    return sv_eq_nocase(host, SV("localhost")) || (a->bits == 32 && a->bytes[0] == 127) ||
           (a->bits == 128 && memcmp(a->bytes, v6, sizeof v6) == 0);
}

/* Takes ":port" off an entry; false: it names another port. */
static bool fits_port(StrView *entry, uint16_t port)
{
    StrView e = *entry;
    ssize_t colon = sv_rfind_char(e, ':'), bracket = sv_find_char(e, ']');
    uint64_t n;
    if (e.len && e.ptr[0] == '[' && bracket > 0)
        *entry = sv_n(e.ptr + 1, (size_t)bracket - 1);
    else if (colon >= 0 && sv_find_char(e, ':') == colon)
        *entry = sv_head(e, (size_t)colon);
    else
        return true; /* an IPv6 address, or no port */
    return colon < MAX(bracket, (ssize_t)0) ||
           (sv_to_u64(sv_skip(e, (size_t)colon + 1), &n) == 0 && n == port);
}

static bool fits_domain(StrView entry, StrView host)
{
    if (sv_starts(entry, SV("*.")))
        entry = sv_skip(entry, 1);
    bool below_only = sv_starts(entry, SV("."));
    StrView domain = below_only ? sv_skip(entry, 1) : entry;
    if (domain.len == 0 || host.len < domain.len)
        return false;
    size_t before = host.len - domain.len;
    return sv_eq_nocase(sv_skip(host, before), domain) &&
           (before ? before > 1 && host.ptr[before - 1] == '.' : !below_only);
}

static bool fits(StrView entry, StrView host, const Address *a, uint16_t port)
{
    StrView net, prefix;
    uint64_t n;
    if (sv_eq(entry, SV("*")))
        return true;
    if (sv_cut(entry, '/', &net, &prefix)) {
        Address base = address_of(net);
        return base.bits && sv_to_u64(prefix, &n) == 0 && within(a, &base, (unsigned)MIN(n, 129u));
    }
    if (!fits_port(&entry, port))
        return false;
    Address one = address_of(entry);
    return one.bits ? within(a, &one, one.bits) : fits_domain(entry, host);
}

bool fetch_proxy_skips(StrView no_proxy, StrView host, uint16_t port)
{
    Address a = address_of(host);
    StrView entry;
    if (is_local(host, &a))
        return true;
    while (sv_next(&no_proxy, ',', &entry))
        if (fits(sv_trim(entry), host, &a, port))
            return true;
    return false;
}

static StrView environment(const char *upper, const char *lower)
{
    const char *v = getenv(upper);
    if (!v || !*v)
        v = getenv(lower);
    return sv_cstr(v ? v : "");
}

/* The URL of the proxy for a request to `to`; empty: there is none. */
static int choose(Fetch *x, const FetchUrl *to, StrView *ret, Err *err)
{
    const FetchProxy *p = &x->f->cfg->proxy;
    bool tls = sv_eq_nocase(to->scheme, SV("https"));
    StrView skip = p->no_proxy;

    *ret = p->url;
    if (p->from_environment) {
        *ret = tls ? environment("HTTPS_PROXY", "https_proxy")
                   : environment("HTTP_PROXY", "http_proxy");
        skip = environment("NO_PROXY", "no_proxy");
        if (ret->len && sv_find(*ret, SV("://")) < 0 &&
            !(*ret = arena_printf(&x->arena, "http://%.*s", SV_FMT(*ret))).ptr)
            return err_nomem(err);
    }
    if ((p->from_environment || skip.len) && fetch_proxy_skips(skip, to->host, to->port))
        *ret = SV("");
    return 0;
}

/* The request that makes a proxy a tunnel (RFC 9110 9.3.6). */
static int connect_head(Fetch *x, FetchRoute *r, Err *err)
{
    const StrParams *headers = &x->f->cfg->proxy.connect_header;
    bool v6 = sv_find_char(r->to.host, ':') >= 0;
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView end = arena_printf(&x->arena, "%s%.*s%s:%u", v6 ? "[" : "", SV_FMT(r->to.host),
                               v6 ? "]" : "", r->to.port);

    if (!end.ptr)
        return err_nomem(err);
    buf_printf(&out, "CONNECT %.*s HTTP/1.1\r\nHost: %.*s\r\n", SV_FMT(end), SV_FMT(end));
    if (r->authorization.len)
        buf_printf(&out, "Proxy-Authorization: %.*s\r\n", SV_FMT(r->authorization));
    for (unsigned i = 0; i < headers->len; i++) {
        const StrParam *h = &headers->items[i];
        for (unsigned k = 0; k < h->values.len; k++) {
            StrView v = h->values.items[k];
            if (sv_find_char(v, '\r') >= 0 || sv_find_char(v, '\n') >= 0)
                return err_set(err, ERR_INVALID, 0,
                               "proxy_connect_header: the value of \"%.*s\" must be one line",
                               SV_FMT(h->name));
            buf_printf(&out, "%.*s: %.*s\r\n", SV_FMT(h->name), SV_FMT(v));
        }
    }
    buf_sv(&out, SV("\r\n"));
    r->connect_head = out.failed ? SV_NULL : arena_sv(&x->arena, buf_view(&out));
    return r->connect_head.ptr ? 0 : err_nomem(err);
}

int fetch_route(Fetch *x, FetchRoute *ret, Err *err)
{
    FetchRoute r = { 0 };
    StrView proxy;
    int e = fetch_url_parse(x->url, &r.to, err);

    if (e < 0)
        return e;
    r.is_tls = sv_eq_nocase(r.to.scheme, SV("https"));
    r.target = r.to.target;
    if (r.to.target.ptr[0] == '?')
        r.target = arena_printf(&x->arena, "/%.*s", SV_FMT(r.to.target));
    if (!r.target.ptr)
        return err_nomem(err);
    if ((e = choose(x, &r.to, &proxy, err)) < 0)
        return e;
    r.has_proxy = proxy.len > 0;
    if (r.has_proxy) {
        if (!sv_starts(proxy, SV("http://")))
            return err_set(err, ERR_UNSUPPORTED, 0,
                           "proxy_url \"%.*s\": only proxies of scheme http are supported",
                           SV_FMT(sv_head(proxy, 100)));
        if ((e = fetch_url_parse(proxy, &r.proxy, err)) < 0)
            return e;
        if (r.proxy.userinfo.len &&
            !(r.authorization = fetch_basic_of_url(&x->arena, r.proxy.userinfo)).ptr)
            return err_nomem(err);
        if (r.is_tls && (e = connect_head(x, &r, err)) < 0)
            return e;
        if (!r.is_tls)
            r.target = x->url; /* a proxy wants the whole of it */
    }
    *ret = r;
    return 0;
}
