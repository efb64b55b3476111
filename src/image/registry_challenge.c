/* registry_challenge.c - see registry_challenge.h. */
#include "image/registry_challenge.h"

#include <arpa/inet.h>

#include "fetch/fetch.h"

/* ---- the header ---- */

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

typedef struct Scan {
    StrView rest;
    Arena *arena;
} Scan;

static void skip_space(Scan *s)
{
    while (s->rest.len && (s->rest.ptr[0] == ' ' || s->rest.ptr[0] == '\t'))
        s->rest = sv_skip(s->rest, 1);
}

static bool take(Scan *s, char c)
{
    skip_space(s);
    if (!s->rest.len || s->rest.ptr[0] != c)
        return false;
    s->rest = sv_skip(s->rest, 1);
    return true;
}

static StrView take_token(Scan *s)
{
    size_t n = 0;
    StrView t;

    skip_space(s);
    while (n < s->rest.len && is_token_char(s->rest.ptr[n]))
        n++;
    t = sv_head(s->rest, n);
    s->rest = sv_skip(s->rest, n);
    return t;
}

static int take_quoted(Scan *s, StrView *ret, Err *err)
{
    char *out = arena_alloc(s->arena, s->rest.len + 1);
    size_t n = 0, i;

    if (!out)
        return err_nomem(err);
    for (i = 0; i < s->rest.len && s->rest.ptr[i] != '"'; i++) {
        if (s->rest.ptr[i] == '\\' && i + 1 < s->rest.len)
            i++;
        out[n++] = s->rest.ptr[i];
    }
    if (i == s->rest.len)
        return err_set(err, ERR_INVALID, 0, "WWW-Authenticate: a quotation mark is not closed");
    s->rest = sv_skip(s->rest, i + 1);
    *ret = sv_n(out, n);
    return 0;
}

/* `name = value` of the present challenge, or, with the scan where it was, false. */
static int take_param(Scan *s, StrView *ret_name, StrView *ret_value, bool *ret_is, Err *err)
{
    const Scan before = *s;
    StrView name = take_token(s);

    *ret_is = false;
    if (!name.len || !take(s, '=')) {
        *s = before;
        return 0;
    }
    *ret_name = name;
    *ret_is = true;
    if (take(s, '"'))
        return take_quoted(s, ret_value, err);
    *ret_value = take_token(s);
    return 0;
}

static void set_param(Challenge *c, StrView name, StrView value)
{
    if (sv_eq_nocase(name, SV("realm")))
        c->realm = value;
    else if (sv_eq_nocase(name, SV("service")))
        c->service = value;
    else if (sv_eq_nocase(name, SV("scope")))
        c->scope = value;
}

/* A scheme's parameters, up to the next scheme. A token68 (of schemes that are not ours) is
 * skipped. */
static int take_params(Scan *s, Challenge *c, Err *err)
{
    for (;;) {
        StrView name, value;
        bool is;
        int r;

        while (take(s, ','))
            ;
        r = take_param(s, &name, &value, &is, err);
        if (r < 0 || !is)
            return r;
        set_param(c, name, value);
        skip_space(s);
        if (s->rest.len && s->rest.ptr[0] != ',')
            return err_set(err, ERR_INVALID, 0, "WWW-Authenticate: expected ',' in front of '%.*s'",
                           SV_FMT(sv_head(s->rest, 40)));
    }
}

static void skip_token68(Scan *s)
{
    size_t n = 0;

    skip_space(s);
    while (n < s->rest.len && (is_token_char(s->rest.ptr[n]) || s->rest.ptr[n] == '/'))
        n++;
    while (n < s->rest.len && s->rest.ptr[n] == '=')
        n++;
    if (n == s->rest.len || s->rest.ptr[n] == ',')
        s->rest = sv_skip(s->rest, n);
}

int challenge_parse(StrView value, Arena *a, Challenge *ret, Err *err)
{
    Scan s = { .rest = value, .arena = a };
    Challenge best = { 0 };
    unsigned n = 0;
    int r;

    if (value.len > CHALLENGE_MAX)
        return err_set(err, ERR_LIMIT, 0, "WWW-Authenticate is longer than %d bytes",
                       CHALLENGE_MAX);
    for (;;) {
        Challenge c = { 0 };
        StrView scheme;

        while (take(&s, ','))
            ;
        if (!s.rest.len)
            break;
        scheme = take_token(&s);
        if (!scheme.len || ++n > CHALLENGES_MAX)
            return err_set(err, ERR_INVALID, 0, "WWW-Authenticate: '%.*s' is no challenge",
                           SV_FMT(sv_head(s.rest, 40)));
        if (sv_eq_nocase(scheme, SV("Bearer")))
            c.scheme = CHALLENGE_BEARER;
        else if (sv_eq_nocase(scheme, SV("Basic")))
            c.scheme = CHALLENGE_BASIC;
        else
            skip_token68(&s);
        if ((r = take_params(&s, &c, err)) < 0)
            return r;
        if (c.scheme > best.scheme)
            best = c;
    }
    if (best.scheme == CHALLENGE_BEARER && !best.realm.len)
        return err_set(err, ERR_INVALID, 0, "WWW-Authenticate: Bearer without a realm");
    *ret = best;
    return 0;
}

/* ---- where credentials may go ---- */

static bool is_address(StrView host)
{
    char text[64];
    uint8_t bytes[16];

    return sv_copy_cstr(host, text, sizeof text) &&
           (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

static bool is_below(StrView host, StrView domain)
{
    return host.len > domain.len && sv_eq_nocase(sv_skip(host, host.len - domain.len), domain) &&
           host.ptr[host.len - domain.len - 1] == '.';
}

/* The domain that a host is in, where that is somebody's own: "example.com" for
 * "registry.example.com", but not "co.uk" for "example.co.uk", nor "com". */
static StrView own_domain(StrView host)
{
    StrView label, parent, second, top;

    if (!sv_cut(host, '.', &label, &parent) || !sv_cut(parent, '.', &second, &top))
        return SV("");
    if (sv_find_char(top, '.') < 0 && top.len == 2 && second.len <= 3)
        return SV(""); /* what countries have instead of "com" */
    return parent;
}

bool challenge_realm_is_own(StrView registry, StrView realm)
{
    FetchUrl own, to;
    StrView domain;

    if (fetch_url_parse(registry, &own, NULL) < 0 || fetch_url_parse(realm, &to, NULL) < 0)
        return false;
    bool tls = sv_eq_nocase(to.scheme, SV("https"));
    if (!tls && sv_eq_nocase(own.scheme, SV("https")))
        return false;
    if (sv_eq_nocase(own.host, to.host))
        return true;
    if (!tls || is_address(own.host) || is_address(to.host))
        return false;
    domain = own_domain(own.host);
    return is_below(to.host, own.host) ||
           (domain.len && (sv_eq_nocase(to.host, domain) || is_below(to.host, domain)));
}
