/* url.c - http and https URLs cut into their parts (RFC 3986). */
#include "fetch/fetch.h"

int fetch_url_parse(StrView url, FetchUrl *ret, Err *err)
{
    FetchUrl u = { 0 };
    ssize_t at = sv_find(url, SV("://"));
    uint64_t port;

    u.scheme = at > 0 ? sv_head(url, (size_t)at) : SV("");
    bool tls = sv_eq_nocase(u.scheme, SV("https"));
    if (!tls && !sv_eq_nocase(u.scheme, SV("http")))
        return err_set(err, ERR_INVALID, 0, "unsupported protocol scheme \"%.*s\"",
                       SV_FMT(sv_head(u.scheme, 20)));
    StrView rest = sv_skip(url, (size_t)at + 3);
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?' && rest.ptr[n] != '#')
        n++;
    u.authority = sv_head(rest, n);
    u.target = sv_skip(rest, n);
    ssize_t hash = sv_find_char(u.target, '#');
    if (hash >= 0)
        u.target = sv_head(u.target, (size_t)hash);
    if (sv_empty(u.target))
        u.target = SV("/");
    ssize_t user = sv_rfind_char(u.authority, '@');
    if (user >= 0) {
        u.userinfo = sv_head(u.authority, (size_t)user);
        u.authority = sv_skip(u.authority, (size_t)user + 1);
    }
    ssize_t close_at =
        u.authority.len && u.authority.ptr[0] == '[' ? sv_find_char(u.authority, ']') : -1;
    StrView tail = close_at > 0 ? sv_skip(u.authority, (size_t)close_at + 1) : u.authority;
    ssize_t colon = sv_rfind_char(tail, ':');
    u.host = close_at > 0 ? sv_n(u.authority.ptr + 1, (size_t)close_at - 1)
                          : sv_head(tail, colon < 0 ? tail.len : (size_t)colon);
    u.port = tls ? 443 : 80;
    if (colon >= 0 && (size_t)colon + 1 < tail.len) {
        if (sv_to_u64(sv_skip(tail, (size_t)colon + 1), &port) < 0 || port == 0 || port > 65535)
            return err_set(err, ERR_INVALID, 0, "invalid port in \"%.*s\"",
                           SV_FMT(sv_head(u.authority, 200)));
        u.port = (uint16_t)port;
    }
    if (sv_empty(u.host))
        return err_set(err, ERR_INVALID, 0, "no Host in request URL");
    *ret = u;
    return 0;
}
