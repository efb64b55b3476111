/* sigv4.c - see sigv4.h: the request in its canonical form, and the chain of keys. */
#include "fetch/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "base/encode.h"

enum { HASH = 32, HASH_HEX = 2 * HASH, DATE = 8, PARAMS_MAX = 256 };

#define ALGORITHM "AWS4-HMAC-SHA256"

static bool hash_hex(StrView data, char out[static HASH_HEX])
{
    uint8_t hash[HASH];
    if (EVP_Digest(data.len ? data.ptr : "", data.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    hex_encode(hash, sizeof hash, out);
    return true;
}

static bool hmac(const void *key, size_t n, StrView data, uint8_t out[static HASH])
{
    return HMAC(EVP_sha256(), key, (int)n, (const uint8_t *)data.ptr, data.len, out, NULL) != NULL;
}

/* ---- path ---- */

/* Services whose names of objects may be any text: their paths are signed as they are sent. */
static bool is_s3(StrView service)
{
    return sv_eq(service, SV("s3")) || sv_eq(service, SV("s3-outposts")) ||
           sv_eq(service, SV("s3-object-lambda"));
}

/* Without empty, "." and ".." segments, each encoded once more. */
static void put_path(StrView path, Buf *out)
{
    size_t begin = out->len;
    bool slash = sv_ends(path, SV("/")) || sv_ends(path, SV("/.")) || sv_ends(path, SV("/.."));
    StrView rest = path, segment;
    while (sv_next(&rest, '/', &segment)) {
        if (sv_empty(segment) || sv_eq(segment, SV(".")))
            continue;
        if (sv_eq(segment, SV(".."))) {
            ssize_t at = sv_rfind_char(sv_skip(buf_view(out), begin), '/');
            out->len = at < 0 ? begin : begin + (size_t)at;
            continue;
        }
        buf_putc(out, '/');
        percent_encode(segment, out);
    }
    if (slash || out->len == begin)
        buf_putc(out, '/');
}

/* ---- query ---- */

typedef struct Param {
    StrView name, value; /* encoded */
} Param;

static int by_param(const void *x, const void *y)
{
    const Param *a = x, *b = y;
    int c = sv_cmp(a->name, b->name);
    return c ? c : sv_cmp(a->value, b->value);
}

static StrView encode_again(Arena *a, StrView text)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView plain = http_unescape(a, text, true);
    percent_encode(plain.ptr ? plain : text, &out);
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

static int put_query(StrView query, Arena *a, Buf *out, Err *err)
{
    Param params[PARAMS_MAX];
    unsigned n = 0;
    StrView one;
    while (sv_next(&query, '&', &one)) {
        StrView name, value;
        if (sv_empty(one))
            continue;
        if (n == PARAMS_MAX)
            return err_set(err, ERR_LIMIT, 0, "a URL to be signed has more than %d parameters",
                           PARAMS_MAX);
        if (!sv_cut(one, '=', &name, &value)) {
            name = one;
            value = SV("");
        }
        params[n] = (Param){ encode_again(a, name), encode_again(a, value) };
        if (!params[n].name.ptr || !params[n].value.ptr)
            return err_nomem(err);
        n++;
    }
    qsort(params, n, sizeof *params, by_param);
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_putc(out, '&');
        buf_sv(out, params[i].name);
        buf_putc(out, '=');
        buf_sv(out, params[i].value);
    }
    return 0;
}

/* ---- headers ---- */

/* What proxies change or others add on the way. */
static bool is_signed(StrView name)
{
    static const StrView not [] = { SV_INIT("authorization"),   SV_INIT("user-agent"),
                                    SV_INIT("expect"),          SV_INIT("connection"),
                                    SV_INIT("accept-encoding"), SV_INIT("uber-trace-id"),
                                    SV_INIT("x-amzn-trace-id"), SV_INIT("content-length") };
    for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
        if (sv_eq(name, not [i]))
            return false;
    return true;
}

/* Trimmed, with runs of spaces as one. */
static void put_value(StrView value, Buf *out)
{
    value = sv_trim(value);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != ' ' || value.ptr[i - 1] != ' ')
            buf_putc(out, value.ptr[i]);
}

typedef struct Named {
    HttpHeader h;
    unsigned at; /* equal names keep their order */
} Named;

static int by_name(const void *x, const void *y)
{
    const Named *a = x, *b = y;
    int c = sv_cmp(a->h.name, b->h.name);
    return c ? c : (a->at > b->at) - (a->at < b->at);
}

/* "name:value\n" of each, and their names with ';' between. */
static int put_headers(const Sigv4Request *rq, const HttpHeader *more, unsigned n_more, Arena *a,
                       Buf *out, Buf *names, Err *err)
{
    unsigned n = 0, all = rq->n_headers + n_more;
    Named *sorted = arena_array(a, Named, all + 1u);
    if (!sorted)
        return err_nomem(err);
    for (unsigned i = 0; i < all; i++) {
        HttpHeader h = i < rq->n_headers ? rq->headers[i] : more[i - rq->n_headers];
        if (is_signed(h.name))
            sorted[n++] = (Named){ h, i };
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    for (unsigned i = 0; i < n; i++) {
        bool again = i && sv_eq(sorted[i].h.name, sorted[i - 1].h.name);
        if (again) {
            out->len--; /* the end of the line */
            buf_putc(out, ',');
        } else {
            buf_printf(out, "%.*s:", SV_FMT(sorted[i].h.name));
            buf_printf(names, "%s%.*s", i ? ";" : "", SV_FMT(sorted[i].h.name));
        }
        put_value(sorted[i].h.value, out);
        buf_putc(out, '\n');
    }
    return 0;
}

/* ---- the signature ---- */

static bool sign(const Sigv4 *s, StrView date, StrView text, char out[static HASH_HEX])
{
    uint8_t key[HASH], next[HASH];
    char first[256];
    const StrView parts[] = { date, s->region, s->service, SV("aws4_request"), text };
    if (s->secret.len > sizeof first - 4)
        return false;
    memcpy(first, "AWS4", 4);
    if (s->secret.len)
        memcpy(first + 4, s->secret.ptr, s->secret.len);
    bool ok = hmac(first, 4 + s->secret.len, parts[0], key);
    for (size_t i = 1; ok && i < ARRAY_SIZE(parts); i++) {
        ok = hmac(key, sizeof key, parts[i], next);
        memcpy(key, next, sizeof key);
    }
    hex_encode(key, sizeof key, out);
    return ok;
}

/* Those that must know the hash of the body beforehand. */
static bool wants_hash(StrView service)
{
    return is_s3(service) || sv_eq(service, SV("glacier")) || sv_eq(service, SV("aoss"));
}

int sigv4_sign(const Sigv4 *s, const Sigv4Request *rq, Arena *a,
               HttpHeader ret[static SIGV4_HEADERS_MAX], unsigned *ret_n, Err *err)
{
    _cleanup_buf_ Buf canonical = BUF_INIT, names = BUF_INIT;
    char stamp[32], body[HASH_HEX], hash[HASH_HEX], signature[HASH_HEX];
    struct tm tm;
    time_t now = (time_t)s->now_s;
    StrView path, query;
    unsigned n = 0;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    StrView date = sv_n(stamp, DATE);
    if (!sv_cut(rq->target, '?', &path, &query)) {
        path = rq->target;
        query = SV("");
    }
    if (!hash_hex(rq->body, body))
        return err_nomem(err);
    ret[n++] = (HttpHeader){ SV("x-amz-date"), arena_sv(a, sv_cstr(stamp)) };
    if (s->session.len)
        ret[n++] = (HttpHeader){ SV("x-amz-security-token"), s->session };
    if (wants_hash(s->service))
        ret[n++] = (HttpHeader){ SV("x-amz-content-sha256"), arena_sv(a, sv_n(body, HASH_HEX)) };
    buf_printf(&canonical, "%.*s\n", SV_FMT(rq->method));
    if (is_s3(s->service))
        buf_sv(&canonical, path);
    else
        put_path(path, &canonical);
    buf_putc(&canonical, '\n');
    int r = put_query(query, a, &canonical, err);
    buf_putc(&canonical, '\n');
    if (r == 0)
        r = put_headers(rq, ret, n, a, &canonical, &names, err);
    if (r < 0)
        return r;
    buf_printf(&canonical, "\n%.*s\n%.*s", SV_FMT(buf_view(&names)), HASH_HEX, body);
    if (canonical.failed || names.failed || !hash_hex(buf_view(&canonical), hash))
        return err_nomem(err);
    StrView scope = arena_printf(a, "%.*s/%.*s/%.*s/aws4_request", SV_FMT(date), SV_FMT(s->region),
                                 SV_FMT(s->service)),
            text =
                arena_printf(a, ALGORITHM "\n%s\n%.*s\n%.*s", stamp, SV_FMT(scope), HASH_HEX, hash);
    if (!scope.ptr || !text.ptr)
        return err_nomem(err);
    if (!sign(s, date, text, signature))
        return err_set(err, ERR_INVALID, 0, "the secret key is too long to sign with");
    ret[n++] = (HttpHeader){
        SV("authorization"),
        arena_printf(a, ALGORITHM " Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.*s",
                     SV_FMT(s->key_id), SV_FMT(scope), SV_FMT(buf_view(&names)), HASH_HEX,
                     signature)
    };
    for (unsigned i = 0; i < n; i++)
        if (!ret[i].value.ptr)
            return err_nomem(err);
    *ret_n = n;
    return 0;
}
