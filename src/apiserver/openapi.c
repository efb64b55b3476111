/* openapi.c - /openapi/v2 and /openapi/v3.
 *
 * A document is made when a request needs it, shared by all answers that are on their way, and gone
 * with the last of them: clients keep documents by ETag and hash, and the megabytes that they take
 * are better spent elsewhere. What is kept are the hashes. */
#include "api/openapi.h"

#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "codec/gzip.h"
#include "codec/json.h"

typedef struct Document {
    struct Document *next, **link;
    unsigned refs; /* answers on their way */
    StrView path;  /* as in its URL; lies in `name` */
    bool protobuf, gzip;
    char hash[OPENAPI_HASH_SIZE]; /* of the JSON */
    Buf text;
    char name[];
} Document;

struct OpenApiCache {
    ApiKinds *kinds; /* that all of this is made of; another set: another cache */
    Document *documents;
    Buf index; /* the v3 index as JSON */
    char v2_hash[OPENAPI_HASH_SIZE];
};

/* The older spelling, with '@', is no media type that Go's clients can parse: answered is the
 * other. */
static const StrView v2_protobuf[] = {
    SV_INIT("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
    SV_INIT("application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
};

/* Documents that are on their way go with their last answer. */
OpenApiCache *openapi_cache_free(OpenApiCache *c)
{
    if (!c)
        return NULL;
    for (Document *d = c->documents, *next; d; d = next) {
        next = d->next;
        d->next = NULL;
        d->link = NULL;
    }
    buf_free(&c->index);
    api_kinds_unref(c->kinds);
    free(c);
    return NULL;
}

static int build(const ApiKinds *k, StrView group, StrView version, bool v2, Arena *a, Buf *out,
                 Value *ret, Err *err)
{
    const ApiResource *const *rows;
    size_t n;
    int r;
    if ((r = openapi_rows(k, group, version, a, &rows, &n, err)) < 0)
        return r;
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "the server could not find the requested resource");
    if ((r = v2 ? openapi_v2(rows, n, a, ret, err) : openapi_v3(rows, n, a, ret, err)) < 0)
        return r;
    if (out)
        json_encode(ret, out);
    return out && out->failed ? err_nomem(err) : 0;
}

static int build_index(OpenApiCache *c, const ApiKinds *k, Err *err)
{
    _cleanup_arena_ Arena index_arena;
    arena_init(&index_arena, 0);
    Value index = value_map();
    size_t at = 0;
    for (const ApiGroupVersion *gv; (gv = api_kinds_next_version(k, &at));) {
        char hash[OPENAPI_HASH_SIZE];
        Value doc;
        _cleanup_arena_ Arena a;
        _cleanup_buf_ Buf text = BUF_INIT;
        arena_init(&a, 0);
        int r = build(k, gv->group, gv->version, false, &a, &text, &doc, err);
        if (r < 0)
            return r;
        openapi_hash(buf_view(&text), hash);
        StrView kept = arena_sv(&index_arena, sv_cstr(hash));
        if (!kept.ptr || !openapi_index_add(&index, gv->group, gv->version, kept.ptr, &index_arena))
            return err_nomem(err);
    }
    json_encode(&index, &c->index);
    return c->index.failed ? err_nomem(err) : 0;
}

static OpenApiCache *cache(ApiCall *x)
{
    OpenApiCache *c = x->on->openapi;
    if (c && c->kinds == x->srv->kinds)
        return c;
    x->on->openapi = openapi_cache_free(c);
    if ((c = calloc(1, sizeof *c)))
        c->kinds = api_kinds_ref(x->srv->kinds);
    return x->on->openapi = c;
}

static StrView tag_of(ApiCall *x, const char *hash)
{
    return arena_printf(x->arena, "\"%s\"", hash);
}

/* Answers 304 when the client has it. */
static bool unchanged(ApiCall *x, const char *hash)
{
    StrView tag = tag_of(x, hash);
    if (!tag.len || !sv_eq(http_header(x->req, SV("if-none-match")), tag))
        return false; /* without memory there is no tag, as there is in most requests */
    http_set_header(x->req, SV("ETag"), tag, NULL);
    http_respond(x->req, 304, SV(""), SV(""));
    return true;
}

static void document_unref(void *ctx)
{
    Document *d = ctx;
    if (--d->refs)
        return;
    if (d->link)
        *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    buf_free(&d->text);
    free(d);
}

static Document *document_find(const OpenApiCache *c, StrView path, bool protobuf, bool gzip)
{
    Document *d = c->documents;
    while (d && !(sv_eq(d->path, path) && d->protobuf == protobuf && d->gzip == gzip))
        d = d->next;
    if (d)
        d->refs++;
    return d;
}

static Document *document_new(StrView path, bool protobuf)
{
    Document *d = calloc(1, sizeof *d + path.len);
    if (!d)
        return NULL;
    memcpy(d->name, path.ptr, path.len);
    d->path = sv_n(d->name, path.len);
    d->protobuf = protobuf;
    d->refs = 1;
    return d;
}

/* The text for a client that takes gzip is the compressed one alone. */
static void document_zip(Document *d)
{
    Buf zipped = BUF_INIT;
    if (!gzip_pack(buf_view(&d->text), &zipped)) {
        buf_free(&zipped);
        return;
    }
    buf_free(&d->text);
    d->text = zipped;
    d->gzip = true;
}

/* `version` empty: v2, of everything. */
static int document_make(const ApiCall *x, StrView path, StrView group, StrView version,
                         bool protobuf, Document **ret, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf json = BUF_INIT;
    arena_init(&a, 0);
    Value tree;
    int r = build(x->kinds, group, version, !version.len, &a, &json, &tree, err);
    if (r < 0)
        return r;
    Document *d = document_new(path, protobuf);
    if (!d)
        return err_nomem(err);
    openapi_hash(buf_view(&json), d->hash);
    if (protobuf)
        openapi_v2_protobuf(&tree, &d->text);
    else {
        d->text = json;
        json = (Buf)BUF_INIT;
    }
    if (d->text.failed) {
        document_unref(d);
        return err_nomem(err);
    }
    if (gzip_wanted(x, d->text.len))
        document_zip(d);
    *ret = d;
    return 0;
}

static void document_share(OpenApiCache *c, Document *d)
{
    d->next = c->documents;
    d->link = &c->documents;
    if (d->next)
        d->next->link = &d->next;
    c->documents = d;
}

/* Takes over the caller's reference. */
static void respond_document(ApiCall *x, Document *d)
{
    if (unchanged(x, d->hash)) {
        document_unref(d);
        return;
    }
    http_set_header(x->req, SV("ETag"), tag_of(x, d->hash), NULL);
    if (respond_exhausted(x)) {
        document_unref(d);
        return;
    }
    if (d->gzip)
        set_gzip_headers(x);
    HttpPiece piece = { d->text.ptr, d->text.len };
    http_respond_pieces(x->req, 200, d->protobuf ? v2_protobuf[1] : SV("application/json"), &piece,
                        1, document_unref, d);
}

static void respond_shared(ApiCall *x, StrView path, StrView group, StrView version, bool protobuf)
{
    OpenApiCache *c = cache(x);
    Err err = { 0 };
    if (!c) {
        respond_nomem(x);
        return;
    }
    bool gzip = gzip_wanted(x, SIZE_MAX);
    Document *d = document_find(c, path, protobuf, gzip);
    if (!d && gzip)
        d = document_find(c, path, protobuf, false); /* too short to be worth it */
    if (!d && document_make(x, path, group, version, protobuf, &d, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (!d->link)
        document_share(c, d);
    if (!version.len)
        memcpy(c->v2_hash, d->hash, sizeof d->hash);
    respond_document(x, d);
}

static void respond_v2(ApiCall *x)
{
    StrView accept = http_header(x->req, SV("accept"));
    bool protobuf = false;
    for (size_t i = 0; i < ARRAY_SIZE(v2_protobuf); i++)
        protobuf |= sv_find(accept, v2_protobuf[i]) >= 0;
    OpenApiCache *c = cache(x);
    if (!c || !c->v2_hash[0] || !unchanged(x, c->v2_hash))
        respond_shared(x, SV("v2"), SV(""), SV(""), protobuf);
}

static void respond_v3_index(ApiCall *x)
{
    OpenApiCache *c = cache(x);
    Err err = { 0 };
    if (!c)
        respond_nomem(x);
    else if (!c->index.len && build_index(c, x->kinds, &err) < 0) {
        buf_free(&c->index);
        respond_err(x, &err);
    } else
        respond_json(x, 200, buf_view(&c->index));
}

/* /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION */
static void respond_v3(ApiCall *x, StrView path)
{
    StrView first, rest, group = SV(""), version;
    sv_cut(path, '/', &first, &rest);
    version = rest;
    bool named = sv_eq(first, SV("apis")), core = sv_eq(first, SV("api"));
    if (named)
        sv_cut(rest, '/', &group, &version);
    if (version.len && (named ? group.len > 0 : core)) /* each document has one path */
        respond_shared(x, path, group, version, false);
    else
        respond_status(x, REASON_NOT_FOUND, "the server could not find the requested resource");
}

bool openapi_handle(ApiCall *x)
{
    StrView path = x->req->path, v3 = SV("/openapi/v3");
    if (sv_eq(path, SV("/openapi/v2")))
        respond_v2(x);
    else if (sv_eq(path, v3))
        respond_v3_index(x);
    else if (sv_starts(path, SV("/openapi/v3/")))
        respond_v3(x, sv_skip(path, v3.len + 1));
    else
        return false;
    return true;
}
