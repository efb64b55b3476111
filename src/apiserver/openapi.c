/* openapi.c - /openapi/v2 and /openapi/v3.
 *
 * Documents are made anew for each request that needs one: clients keep them by ETag and hash, and
 * the megabytes that they take are better spent elsewhere. What is kept are the hashes. */
#include "api/openapi.h"

#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "codec/json.h"

struct OpenApiCache {
    Buf index; /* the v3 index as JSON */
    char v2_hash[OPENAPI_HASH_SIZE];
};

OpenApiCache *openapi_cache_free(OpenApiCache *c)
{
    if (c)
        buf_free(&c->index);
    free(c);
    return NULL;
}

static int build(StrView group, StrView version, bool v2, Arena *a, Buf *out, Value *ret, Err *err)
{
    const ApiResource *const *rows;
    size_t n;
    int r;
    if ((r = openapi_rows(group, version, a, &rows, &n, err)) < 0)
        return r;
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "the server could not find the requested resource");
    if ((r = v2 ? openapi_v2(rows, n, a, ret, err) : openapi_v3(rows, n, a, ret, err)) < 0)
        return r;
    if (out)
        json_encode(ret, out);
    return out && out->failed ? err_nomem(err) : 0;
}

static bool has_served(const ApiGroupVersion *gv)
{
    for (size_t i = 0; i < api_resources_len; i++)
        if (api_resources[i].served && sv_eq(api_resources[i].group, gv->group) &&
            sv_eq(api_resources[i].version, gv->version))
            return true;
    return false;
}

static int build_index(OpenApiCache *c, Err *err)
{
    _cleanup_arena_ Arena index_arena;
    arena_init(&index_arena, 0);
    Value index = value_map();
    for (size_t i = 0; i < api_group_versions_len; i++) {
        const ApiGroupVersion *gv = &api_group_versions[i];
        char hash[OPENAPI_HASH_SIZE];
        Value doc;
        if (!has_served(gv))
            continue;
        _cleanup_arena_ Arena a;
        _cleanup_buf_ Buf text = BUF_INIT;
        arena_init(&a, 0);
        int r = build(gv->group, gv->version, false, &a, &text, &doc, err);
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
    if (!x->srv->openapi)
        x->srv->openapi = calloc(1, sizeof(OpenApiCache));
    return x->srv->openapi;
}

/* Answers 304 when the client has it; else sets the ETag. */
static bool unchanged(ApiCall *x, const char *hash)
{
    StrView tag = arena_printf(x->arena, "\"%s\"", hash);
    http_set_header(x->req, SV("ETag"), tag, NULL);
    if (!sv_eq(http_header(x->req, SV("if-none-match")), tag))
        return false;
    http_respond(x->req, 304, SV(""), SV(""));
    return true;
}

static void respond_v2(ApiCall *x)
{
    static const StrView spellings[] = {
        SV_INIT("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
        SV_INIT("application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
    };
    StrView accept = http_header(x->req, SV("accept")), type = SV("application/json");
    bool protobuf = false;
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
        if (sv_find(accept, spellings[i]) >= 0) {
            protobuf = true;
            type = spellings[1]; /* the older one, with '@', is no media type that Go's clients can
                                    parse */
        }
    OpenApiCache *c = cache(x);
    if (c && c->v2_hash[0] && unchanged(x, c->v2_hash))
        return;
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf text = BUF_INIT, binary = BUF_INIT;
    arena_init(&a, 0);
    Value doc;
    Err err = { 0 };
    if (build(SV(""), SV(""), true, &a, &text, &doc, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (c && !c->v2_hash[0]) {
        openapi_hash(buf_view(&text), c->v2_hash);
        if (unchanged(x, c->v2_hash))
            return;
    }
    if (protobuf)
        openapi_v2_protobuf(&doc, &binary);
    if (binary.failed)
        respond_nomem(x);
    else
        respond_large(x, type, protobuf ? buf_view(&binary) : buf_view(&text));
}

static void respond_v3_index(ApiCall *x)
{
    OpenApiCache *c = cache(x);
    Err err = { 0 };
    if (!c)
        respond_nomem(x);
    else if (!c->index.len && build_index(c, &err) < 0) {
        buf_free(&c->index);
        respond_err(x, &err);
    } else
        respond_json(x, 200, buf_view(&c->index));
}

/* /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION */
static void respond_v3(ApiCall *x, StrView path)
{
    StrView first, rest, group = SV(""), version;
    char hash[OPENAPI_HASH_SIZE];
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf text = BUF_INIT;
    arena_init(&a, 0);
    Value doc;
    Err err = { 0 };
    sv_cut(path, '/', &first, &rest);
    version = rest;
    if (sv_eq(first, SV("apis")))
        sv_cut(rest, '/', &group, &version);
    if (!version.len || build(group, version, false, &a, &text, &doc, &err) < 0) {
        respond_status(x, REASON_NOT_FOUND, "the server could not find the requested resource");
        return;
    }
    openapi_hash(buf_view(&text), hash);
    if (!unchanged(x, hash))
        respond_large(x, SV("application/json"), buf_view(&text));
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
