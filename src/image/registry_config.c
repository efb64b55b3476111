/* registry_config.c - registries.yaml: read, checked once, and asked for the places of an image.
 *
 *   mirrors:                                   what is asked instead of, or before, a registry
 *     docker.io:                               or "*", for all that have no row of their own
 *       endpoint: ["https://mirror:5000"]      in order; a path of its own replaces /v2
 *       rewrite: {"^library/(.*)": "hub/$1"}   RE2 and Go's replacement, for the repository's path
 *   configs:
 *     "mirror:5000":
 *       auth: {username: u, password: p}       or auth: BASE64(u:p), identity_token, or token
 *       tls: {ca_file: F, cert_file: F, key_file: F, insecure_skip_verify: true}
 *
 * To add a key: a row in a table of Fields, and where it is acted upon. */
#include "image/registry_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/regex.h"
#include "codec/bind.h"
#include "fetch/fetch.h"

typedef struct Rewrite {
    Regex *match;
    StrView into;
} Rewrite;

typedef struct Mirror {
    StrView host;
    StrList endpoints;
    const Value *rewrite;
    Rewrite *rewrites;
    unsigned n_rewrites;
} Mirror;

typedef struct HostAuth {
    StrView username, password, auth, identity_token;
} HostAuth;
typedef struct Host {
    HostAuth auth;
    FetchTls tls;
} Host;

typedef struct File {
    const Value *mirrors, *configs;
} File;

struct RegistryConfig {
    Arena arena;
    Mirror *mirrors;
    unsigned n_mirrors;
    RegistryHostConfig *hosts;
    unsigned n_hosts;
};

#define TYPE(what, T, fields)                                                                      \
    {                                                                                              \
        what, sizeof(T), fields, ARRAY_SIZE(fields), NULL, NULL                                    \
    }

static const Field mirror_fields[] = {
    BIND(Mirror, "endpoint", TEXTS, endpoints),
    BIND(Mirror, "rewrite", VALUE, rewrite),
};
static const Type type_mirror = TYPE("Mirror", Mirror, mirror_fields);
static const Field auth_fields[] = {
    BIND(HostAuth, "username", TEXT, username),
    BIND(HostAuth, "password", SECRET, password),
    BIND(HostAuth, "auth", SECRET, auth),
    BIND(HostAuth, "identity_token", SECRET, identity_token),
};
static const Type type_auth = TYPE("AuthConfig", HostAuth, auth_fields);
static const Field tls_fields[] = {
    BIND(FetchTls, "ca_file", TEXT, ca_file),
    BIND(FetchTls, "cert_file", TEXT, cert_file),
    BIND(FetchTls, "key_file", TEXT, key_file),
    BIND(FetchTls, "insecure_skip_verify", BOOL, insecure_skip_verify),
};
static const Type type_tls = TYPE("TLSConfig", FetchTls, tls_fields);
static const Field host_fields[] = {
    BIND_SUB(Host, "auth", STRUCT, auth, type_auth),
    BIND_SUB(Host, "tls", STRUCT, tls, type_tls),
};
static const Type type_host = TYPE("RegistryConfig", Host, host_fields);
static const Field file_fields[] = {
    BIND(File, "mirrors", VALUE, mirrors),
    BIND(File, "configs", VALUE, configs),
};
static const Type type_file = TYPE("Registry", File, file_fields);

/* ---- reading ---- */

static int read_rewrites(Binder *b, Mirror *m)
{
    const BindFrame rewrite = { .up = b->frame, .key = SV("rewrite") };
    const BindFrame *outer = b->frame;
    char why[200];

    b->frame = &rewrite;
    if (m->rewrite && m->rewrite->kind != VALUE_MAP)
        return bind_bad_type(b, m->rewrite, "map[string]string");
    m->rewrites = arena_array(b->arena, Rewrite, value_len(m->rewrite) + 1u);
    if (!m->rewrites)
        return err_nomem(b->err);
    value_map_foreach (row, m->rewrite) {
        BindFrame one = { .up = &rewrite, .key = row->key };
        Rewrite *w = &m->rewrites[m->n_rewrites];

        b->frame = &one;
        if (row->val.kind != VALUE_STRING)
            return bind_bad_type(b, &row->val, "string");
        w->match = regex_new(row->key, false, why, sizeof why);
        if (!w->match)
            return bind_fail(b, &row->val, "not a regular expression: %s", why);
        m->n_rewrites++;
        w->into = value_str(&row->val);
        b->frame = &rewrite;
    }
    b->frame = outer;
    return 0;
}

/* Adds the scheme that k3s would, and looks at the rest. */
static int check_endpoints(Binder *b, const Value *v, Mirror *m)
{
    const Value *list = value_get(v, SV("endpoint"));
    const BindFrame endpoint = { .up = b->frame, .key = SV("endpoint") };
    const BindFrame *outer = b->frame;

    if (m->endpoints.len > REGISTRY_ENDPOINTS_MAX - 1)
        return bind_fail_key(b, v, "endpoint", "more than %d endpoints",
                             REGISTRY_ENDPOINTS_MAX - 1);
    for (unsigned i = 0; i < m->endpoints.len; i++) {
        BindFrame item = { .up = &endpoint, .index = i, .is_item = true };
        StrView *e = &m->endpoints.items[i];
        const Value *at = value_at(list, i);
        FetchUrl url;
        Err why = { 0 };

        b->frame = &item;
        if (sv_find(*e, SV("://")) < 0)
            *e = arena_printf(b->arena, "https://%.*s", SV_FMT(*e));
        if (!e->ptr)
            return err_nomem(b->err);
        if (fetch_url_parse(*e, &url, &why) < 0)
            return bind_fail(b, at ? at : list, "'%.*s' is no address like https://HOST:PORT: %s",
                             SV_FMT(sv_head(*e, 100)), why.msg);
        if (url.userinfo.len || sv_find_char(*e, '?') >= 0 || sv_find_char(*e, '#') >= 0)
            return bind_fail(b, at ? at : list,
                             "an endpoint has no user, query or fragment; credentials stand in "
                             "configs");
        while (sv_ends(*e, SV("/")))
            e->len--;
    }
    b->frame = outer;
    return 0;
}

static int read_mirrors(Binder *b, const Value *v, RegistryConfig *c)
{
    const BindFrame mirrors = { .key = SV("mirrors") };
    int r;

    b->frame = &mirrors;
    if (v && v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]Mirror");
    c->mirrors = arena_array(&c->arena, Mirror, value_len(v) + 1u);
    if (!c->mirrors)
        return err_nomem(b->err);
    value_map_foreach (row, v) {
        BindFrame one = { .up = &mirrors, .key = row->key };
        Mirror *m = &c->mirrors[c->n_mirrors];

        b->frame = &one;
        if ((r = bind_struct(b, &type_mirror, m, &row->val)) < 0)
            return r;
        c->n_mirrors++; /* from here on it owns expressions */
        m->host = sv_eq(row->key, SV("index.docker.io")) ? SV("docker.io") : row->key;
        if ((r = check_endpoints(b, &row->val, m)) < 0 || (r = read_rewrites(b, m)) < 0)
            return r;
    }
    b->frame = NULL;
    return 0;
}

static int read_auth(Binder *b, const Value *v, const HostAuth *a, RegistryHostConfig *h)
{
    _cleanup_buf_ Buf plain = BUF_INIT;
    StrView user, password, all;

    h->username = a->username;
    h->password = a->password;
    h->identity_token = a->identity_token;
    if (!a->auth.len)
        return 0;
    if (base64_decode(BASE64_STD, a->auth, &plain) < 0 || sv_find_char(buf_view(&plain), ':') <= 0)
        return bind_fail_key(b, value_get(v, SV("auth")), "auth",
                             "expected the base64 of USER:PASSWORD");
    all = arena_sv(b->arena, buf_view(&plain));
    if (!all.ptr)
        return err_nomem(b->err);
    sv_cut(all, ':', &user, &password);
    h->username = user;
    h->password = password;
    return 0;
}

static int read_hosts(Binder *b, const Value *v, RegistryConfig *c)
{
    const BindFrame configs = { .key = SV("configs") };
    int r;

    b->frame = &configs;
    if (v && v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]RegistryConfig");
    c->hosts = arena_array(&c->arena, RegistryHostConfig, value_len(v) + 1u);
    if (!c->hosts)
        return err_nomem(b->err);
    value_map_foreach (row, v) {
        BindFrame one = { .up = &configs, .key = row->key };
        RegistryHostConfig *h = &c->hosts[c->n_hosts++];
        Host host = { 0 };

        b->frame = &one;
        if ((r = bind_struct(b, &type_host, &host, &row->val)) < 0)
            return r;
        h->host = sv_eq(row->key, SV("index.docker.io")) ? SV("docker.io") : row->key;
        h->tls = host.tls;
        if (!sv_empty(host.tls.cert_file) != !sv_empty(host.tls.key_file))
            return bind_fail_key(b, &row->val, "tls", "cert_file and key_file belong together");
        if ((r = read_auth(b, &row->val, &host.auth, h)) < 0)
            return r;
    }
    b->frame = NULL;
    return 0;
}

int registry_config_parse(StrView text, const char *name, RegistryConfig **ret, Err *err)
{
    RegistryConfig *c = calloc(1, sizeof *c);
    Binder b = { .file = name, .err = err };
    File file = { 0 };
    Value doc;
    int r;

    if (!c)
        return err_nomem(err);
    arena_init(&c->arena, ARENA_DEFAULT_LIMIT);
    b.arena = &c->arena;
    if ((r = bind_document(text, name, &c->arena, &doc, err)) >= 0 &&
        (r = bind_struct(&b, &type_file, &file, &doc)) >= 0 &&
        (r = read_mirrors(&b, file.mirrors, c)) >= 0)
        r = read_hosts(&b, file.configs, c);
    if (r < 0)
        registry_config_free(c);
    else
        *ret = c;
    return r;
}

int registry_config_load(const char *file, RegistryConfig **ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, file, REGISTRY_CONFIG_MAX, &text);

    if (r == -EFBIG)
        return err_set(err, ERR_LIMIT, 0, "%s is larger than %d bytes", file, REGISTRY_CONFIG_MAX);
    if (r < 0 && r != -ENOENT)
        return err_neg(err, r, "read %s", file);
    return registry_config_parse(buf_view(&text), file, ret, err);
}

RegistryConfig *registry_config_free(RegistryConfig *c)
{
    if (!c)
        return NULL;
    for (unsigned i = 0; i < c->n_mirrors; i++)
        for (unsigned k = 0; k < c->mirrors[i].n_rewrites; k++)
            regex_free(c->mirrors[i].rewrites[k].match);
    arena_free(&c->arena);
    free(c);
    return NULL;
}

/* ---- asking ---- */

const RegistryHostConfig *registry_config_host(const RegistryConfig *c, StrView host)
{
    for (unsigned i = 0; i < c->n_hosts; i++)
        if (sv_eq_nocase(c->hosts[i].host, host))
            return &c->hosts[i];
    return NULL;
}

static const Mirror *find_mirror(const RegistryConfig *c, StrView host)
{
    const Mirror *all = NULL;

    for (unsigned i = 0; i < c->n_mirrors; i++) {
        if (sv_eq_nocase(c->mirrors[i].host, host))
            return &c->mirrors[i];
        if (sv_eq(c->mirrors[i].host, SV("*")))
            all = &c->mirrors[i];
    }
    return all;
}

static bool is_word(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_';
}

enum { GROUPS_MAX = 32 };

/* "$1", "${1}", "${name}", "$$", as Go's Regexp.Expand reads them: a name is as long as it can be,
 * and a group that is not there is empty. Returns what is left behind the reference. */
static StrView expand_one(const Regex *re, StrView rest, const StrView *groups, Buf *out)
{
    StrView name;
    uint64_t n;
    ssize_t end;
    size_t len = 0;

    if (sv_starts(rest, SV("$"))) {
        buf_putc(out, '$');
        return sv_skip(rest, 1);
    }
    if (sv_starts(rest, SV("{")) && (end = sv_find_char(rest, '}')) > 0) {
        name = sv_n(rest.ptr + 1, (size_t)end - 1);
        rest = sv_skip(rest, (size_t)end + 1);
    } else {
        while (len < rest.len && is_word(rest.ptr[len]))
            len++;
        name = sv_head(rest, len);
        rest = sv_skip(rest, len);
        if (!len)
            buf_putc(out, '$');
    }
    if (sv_to_u64(name, &n) < 0)
        n = name.len ? (uint64_t)regex_group_number(re, name) : GROUPS_MAX;
    if (n < GROUPS_MAX)
        buf_sv(out, groups[n]);
    return rest;
}

static void expand(const Rewrite *w, const StrView *groups, Buf *out)
{
    StrView rest = w->into, plain;

    while (sv_cut(rest, '$', &plain, &rest)) {
        buf_sv(out, plain);
        rest = expand_one(w->match, rest, groups, out);
    }
    buf_sv(out, plain);
}

/* Every match of the first expression that matches at all. ptr NULL: out of memory. */
static StrView rewritten(const Mirror *m, StrView path, Arena *a)
{
    for (unsigned i = 0; i < m->n_rewrites; i++) {
        const Rewrite *w = &m->rewrites[i];
        StrView groups[GROUPS_MAX];
        _cleanup_buf_ Buf out = BUF_INIT;
        size_t at = 0, last = SIZE_MAX; /* where the latest match ended */

        if (!regex_match(w->match, path))
            continue;
        out.limit = 64 * 1024;
        while (at <= path.len && regex_groups_from(w->match, path, at, groups, GROUPS_MAX)) {
            size_t from = (size_t)(groups[0].ptr - path.ptr), end = from + groups[0].len;

            buf_append(&out, path.ptr + at, from - at);
            if (groups[0].len || from != last) /* none that is empty behind another, as in Go */
                expand(w, groups, &out);
            at = last = end;
            if (groups[0].len == 0) { /* an empty match: on by one byte */
                if (at < path.len)
                    buf_putc(&out, path.ptr[at]);
                at++;
            }
        }
        if (at < path.len)
            buf_append(&out, path.ptr + at, path.len - at);
        return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
    }
    return path;
}

/* This machine's own addresses, where registries of developers are, mostly without TLS. */
static bool is_loopback(StrView host)
{
    char text[64];
    struct in_addr v4;
    ssize_t colon = sv_rfind_char(host, ':');

    if (colon > (ssize_t)sv_rfind_char(host, ']'))
        host = sv_head(host, (size_t)colon);
    return sv_eq_nocase(host, SV("localhost")) || sv_eq(host, SV("[::1]")) ||
           (sv_copy_cstr(host, text, sizeof text) && inet_pton(AF_INET, text, &v4) == 1 &&
            (ntohl(v4.s_addr) >> 24) == 127);
}

static int own_endpoint(const RegistryConfig *c, const ImageRef *ref, Arena *a,
                        RegistryEndpoint *ret, Err *err)
{
    StrView domain = arena_sv(a, sv_cstr(ref->domain));
    StrView path = arena_sv(a, sv_cstr(ref->path));
    RegistryEndpoint e = { .host = domain, .path = path };

    if (!domain.ptr || !path.ptr)
        return err_nomem(err);
    e.config = registry_config_host(c, domain);
    e.may_clear = is_loopback(domain);
    e.base = sv_eq(domain, SV("docker.io")) ? SV("https://registry-1.docker.io/v2")
                                            : arena_printf(a, "https://%s/v2", ref->domain);
    if (!e.base.ptr)
        return err_nomem(err);
    *ret = e;
    return 0;
}

static int mirror_endpoint(const RegistryConfig *c, const Mirror *m, StrView endpoint, StrView path,
                           Arena *a, RegistryEndpoint *ret, Err *err)
{
    FetchUrl url;
    RegistryEndpoint e = { .is_mirror = true };
    int r = fetch_url_parse(endpoint, &url, err);

    if (r < 0)
        return r;
    e.host = url.authority;
    e.path = rewritten(m, path, a);
    e.base = url.target.ptr >= endpoint.ptr && url.target.ptr < endpoint.ptr + endpoint.len
                 ? endpoint /* a path of its own */
                 : arena_printf(a, "%.*s/v2", SV_FMT(endpoint));
    e.config = registry_config_host(c, e.host);
    if (!e.path.ptr || !e.base.ptr)
        return err_nomem(err);
    *ret = e;
    return 0;
}

int registry_endpoints(const RegistryConfig *c, const ImageRef *ref, Arena *a,
                       RegistryEndpoint **ret, unsigned *ret_n, Err *err)
{
    const Mirror *m = find_mirror(c, sv_cstr(ref->domain));
    RegistryEndpoint *list = arena_array(a, RegistryEndpoint, REGISTRY_ENDPOINTS_MAX);
    RegistryEndpoint own;
    unsigned n = 0;
    int r;

    if (!list)
        return err_nomem(err);
    if ((r = own_endpoint(c, ref, a, &own, err)) < 0)
        return r;
    for (unsigned i = 0; m && i < m->endpoints.len; i++) {
        r = mirror_endpoint(c, m, m->endpoints.items[i], own.path, a, &list[n], err);
        if (r < 0)
            return r;
        /* Named for itself: clear text, a path of its own; who it is to does not change. */
        if (sv_eq_nocase(list[n].host, own.host) && sv_eq(list[n].path, own.path))
            list[n].is_mirror = false;
        n++;
    }
    /* An address that is listed already (http instead of https, say) is not asked in another way.
     */
    for (unsigned i = 0; i < n; i++)
        if (!list[i].is_mirror) {
            *ret = list;
            *ret_n = n;
            return 0;
        }
    list[n++] = own;
    *ret = list;
    *ret_n = n;
    return 0;
}

int registry_endpoint(const RegistryConfig *c, const ImageRef *ref, Arena *a, RegistryEndpoint *ret,
                      Err *err)
{
    RegistryEndpoint *list;
    unsigned n;
    int r = registry_endpoints(c, ref, a, &list, &n, err);

    for (unsigned i = 0; r >= 0 && i < n; i++)
        if (!list[i].is_mirror) { /* there always is one */
            *ret = list[i];
            return 0;
        }
    return r;
}
