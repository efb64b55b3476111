/* access.c - see access.h. */
#include "web/access.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/log.h"

enum { DIGEST_SIZE = 32 };

typedef struct Digest {
    unsigned char bytes[DIGEST_SIZE];
} Digest;

/* One password on its way. */
typedef struct Attempt {
    struct Attempt *next;
    Access *access;
    HttpReq *req; /* NULL: the peer has gone */
    char password[ACCESS_CREDENTIALS_MAX + 1];
    char hash[WEB_CONFIG_HASH_LEN + 1]; /* of the user; of nobody where there is none */
    Digest digest;
    bool known, right;
} Attempt;

struct Access {
    Loop *loop;
    AccessOptions opt;
    WebConfig *config;
    Source *timer;
    bool stopping;

    unsigned char key[DIGEST_SIZE]; /* of the digests, new at each start */
    Digest right[ACCESS_KNOWN_MAX];
    unsigned n_right, next_right;

    Attempt *head, **tail; /* the first one is being computed if `hashing` */
    unsigned n_waiting;
    bool hashing;

    double tokens; /* of rate_limit */
    int64_t tokens_ns;

    /* A look at the files, on a pool thread. */
    bool looking, retry; /* retry: the last one found a file that was wrong */
    bool seen;           /* this look found a change */
    WebConfig *fresh;
    Err err;
    char complaint[sizeof(((Err *)0)->msg)]; /* the last one, not to be repeated */
};

/* ---- answers ---- */

static void set_headers(const Access *a, HttpReq *req)
{
    const StrPairs *h = &a->config->headers;
    for (unsigned i = 0; i < h->len; i++)
        http_set_header(req, h->items[i].name, h->items[i].value, NULL);
}

static void refuse(HttpReq *req, int status)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s\n", http_reason(status));
    if (status == 401)
        http_set_header(req, SV("WWW-Authenticate"), SV("Basic"), NULL);
    http_respond(req, status, SV("text/plain; charset=utf-8"), sv_n(text, (size_t)n));
}

/* ---- what was right before ---- */

static bool make_digest(const Access *a, StrView credentials, const char *hash, Digest *ret)
{
    /* A user's name has no ':', so that the text is unambiguous; the hash at its end makes a
     * changed password another digest. */
    unsigned char text[ACCESS_CREDENTIALS_MAX + WEB_CONFIG_HASH_LEN];
    unsigned n = DIGEST_SIZE;
    memcpy(text, credentials.ptr, credentials.len);
    memcpy(text + credentials.len, hash, WEB_CONFIG_HASH_LEN);
    bool ok = HMAC(EVP_sha256(), a->key, sizeof a->key, text, credentials.len + WEB_CONFIG_HASH_LEN,
                   ret->bytes, &n) != NULL;
    OPENSSL_cleanse(text, sizeof text);
    return ok;
}

static bool was_right(const Access *a, const Digest *d)
{
    bool found = false;
    for (unsigned i = 0; i < a->n_right; i++)
        found |= CRYPTO_memcmp(d->bytes, a->right[i].bytes, DIGEST_SIZE) == 0;
    return found;
}

static void remember(Access *a, const Digest *d)
{
    if (was_right(a, d))
        return;
    a->right[a->next_right] = *d;
    a->next_right = (a->next_right + 1) % ACCESS_KNOWN_MAX;
    a->n_right = MIN(a->n_right + 1, (unsigned)ACCESS_KNOWN_MAX);
}

/* ---- passwords ---- */

static void attempt_free(Attempt *t)
{
    OPENSSL_cleanse(t->password, sizeof t->password);
    free(t);
}

static void on_gone(void *ctx)
{
    ((Attempt *)ctx)->req = NULL;
}

static void hash_work(void *ctx)
{
    Attempt *t = ctx;
    struct crypt_data *data = calloc(1, sizeof *data);
    if (!data)
        return;
    const char *got = crypt_rn(t->password, t->hash, data, sizeof *data); /* NULL: not a hash */
    t->right = got && strlen(got) == WEB_CONFIG_HASH_LEN &&
               CRYPTO_memcmp(got, t->hash, WEB_CONFIG_HASH_LEN) == 0;
    OPENSSL_cleanse(data, sizeof *data);
    free(data);
}

static void hash_next(Access *a);

/* The first one of the queue has its answer. */
static void settle(Access *a, bool ok)
{
    Attempt *t = a->head;
    a->head = t->next;
    if (!a->head)
        a->tail = &a->head;
    a->n_waiting--;
    if (t->req) {
        http_on_close(t->req, NULL, NULL);
        if (ok)
            a->opt.handler(a->opt.ctx, t->req);
        else
            refuse(t->req, 401);
    }
    attempt_free(t);
}

static void hash_done(void *ctx)
{
    Access *a = ((Attempt *)ctx)->access;
    Attempt *t = a->head;
    a->hashing = false;
    bool ok = t->right && t->known;
    if (ok)
        remember(a, &t->digest);
    settle(a, ok);
    hash_next(a);
}

static void hash_next(Access *a)
{
    while (a->head && !a->hashing) {
        Attempt *t = a->head;
        if (!t->req || a->stopping)
            settle(a, false);
        else if (was_right(a, &t->digest)) /* by now */
            settle(a, true);
        else if (loop_work(a->loop, hash_work, hash_done, t, NULL) == 0)
            a->hashing = true;
        else
            settle(a, false);
    }
}

/* The hash of a user, or for nobody one of the same cost. */
static bool hash_of(const Access *a, StrView user, char ret[WEB_CONFIG_HASH_LEN + 1])
{
    const StrPairs *users = &a->config->users;
    snprintf(ret, WEB_CONFIG_HASH_LEN + 1, "$2b$%02u$%s", a->config->cost,
             "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi");
    for (unsigned i = 0; i < users->len; i++)
        if (sv_eq(users->items[i].name, user)) {
            memcpy(ret, users->items[i].value.ptr, WEB_CONFIG_HASH_LEN);
            return true;
        }
    return false;
}

static void check_password(Access *a, HttpReq *req, StrView credentials)
{
    StrView user, password;
    Attempt *t = NULL;
    if (!sv_cut(credentials, ':', &user, &password) || memchr(password.ptr, 0, password.len)) {
        refuse(req, 401);
        return;
    }
    if (a->n_waiting >= ACCESS_WAITING_MAX || !(t = calloc(1, sizeof *t))) {
        refuse(req, 503);
        return;
    }
    t->access = a;
    t->known = hash_of(a, user, t->hash);
    sv_copy_cstr(password, t->password, sizeof t->password);
    if (!make_digest(a, credentials, t->hash, &t->digest)) {
        attempt_free(t);
        refuse(req, 503);
        return;
    }
    if (t->known && was_right(a, &t->digest)) {
        attempt_free(t);
        a->opt.handler(a->opt.ctx, req);
        return;
    }
    t->req = req;
    http_on_close(req, on_gone, t);
    *a->tail = t;
    a->tail = &t->next;
    a->n_waiting++;
    hash_next(a);
}

static void authenticate(Access *a, HttpReq *req)
{
    StrView header = http_header(req, SV("authorization")), scheme, coded;
    Buf text = BUF_INIT;
    text.limit = ACCESS_CREDENTIALS_MAX;
    if (!sv_cut(header, ' ', &scheme, &coded) || !sv_eq_nocase(scheme, SV("basic")) ||
        coded.len > 2 * ACCESS_CREDENTIALS_MAX || base64_decode(BASE64_STD, coded, &text) < 0 ||
        text.failed)
        refuse(req, 401);
    else
        check_password(a, req, buf_view(&text));
    if (text.ptr)
        OPENSSL_cleanse(text.ptr, text.cap);
    buf_free(&text);
}

/* ---- rate ---- */

/* A bucket of `burst` tokens that gets one more each interval. */
static bool within_rate(Access *a)
{
    const WebConfig *c = a->config;
    int64_t now = loop_now_ns(a->loop);
    if (!c->burst || !c->interval_ms)
        return true;
    a->tokens += (double)(now - a->tokens_ns) / 1e6 / (double)c->interval_ms;
    a->tokens = MIN(a->tokens, (double)c->burst);
    a->tokens_ns = now;
    if (a->tokens < 1)
        return false;
    a->tokens -= 1;
    return true;
}

void access_handle(void *access, HttpReq *req)
{
    Access *a = access;
    if (!within_rate(a)) {
        refuse(req, 429);
        return;
    }
    set_headers(a, req);
    if (a->config->users.len)
        authenticate(a, req);
    else
        a->opt.handler(a->opt.ctx, req);
}

/* ---- the files ---- */

static void look_work(void *ctx)
{
    Access *a = ctx;
    a->seen = a->retry || web_config_changed(a->config);
    if (!a->seen)
        return;
    a->err = (Err){ 0 };
    if (web_config_load(a->config->files[0], &a->fresh, &a->err) < 0)
        return;
    if (!a->fresh->tls != !a->config->tls) {
        a->fresh = web_config_free(a->fresh);
        err_set(&a->err, ERR_INVALID, 0,
                "%s: tls_server_config: TLS is switched on and off by a restart only",
                a->config->files[0]);
    }
}

static void take_fresh(Access *a)
{
    web_config_free(a->config);
    a->config = a->fresh;
    a->fresh = NULL;
    a->tokens = (double)a->config->burst;
    a->complaint[0] = 0;
    if (a->config->tls)
        a->opt.on_tls(a->opt.ctx, a->config->tls);
    log_info("%s: read again", a->config->files[0]);
}

static void look_done(void *ctx)
{
    Access *a = ctx;
    a->looking = false;
    if (a->stopping || !a->seen)
        return;
    a->retry = !a->fresh;
    if (a->fresh) {
        take_fresh(a);
    } else if (strcmp(a->complaint, a->err.msg) != 0) {
        log_error("%s; the old one stays in force", a->err.msg);
        snprintf(a->complaint, sizeof a->complaint, "%s", a->err.msg);
    }
}

static void on_timer(void *ctx)
{
    Access *a = ctx;
    if (!a->looking)
        a->looking = loop_work(a->loop, look_work, look_done, a, NULL) == 0;
}

/* ---- life ---- */

int access_new(Loop *l, const AccessOptions *opt, Access **ret, Err *err)
{
    Access *a = calloc(1, sizeof *a);
    if (!a)
        return err_nomem(err);
    a->loop = l;
    a->opt = *opt;
    a->tail = &a->head;
    int r = random_bytes(a->key, sizeof a->key);
    if (r < 0)
        err_neg(err, r, "random bytes");
    else
        r = web_config_load(opt->file, &a->config, err);
    if (r >= 0) {
        a->tokens = (double)a->config->burst;
        a->tokens_ns = loop_now_ns(l);
        r = loop_add_timer(l, ACCESS_LOOK_MS, ACCESS_LOOK_MS, on_timer, a, &a->timer, err);
    }
    if (r < 0) {
        access_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

TlsContext *access_tls(const Access *a)
{
    return a->config->tls;
}

void access_stop(Access *a)
{
    if (!a)
        return;
    a->stopping = true;
    a->timer = source_free(a->timer);
}

Access *access_free(Access *a)
{
    if (!a)
        return NULL;
    ASSERT(!a->hashing && !a->looking);
    a->stopping = true;
    a->timer = source_free(a->timer);
    hash_next(a);
    web_config_free(a->fresh);
    web_config_free(a->config);
    OPENSSL_cleanse(a->key, sizeof a->key);
    free(a);
    return NULL;
}
