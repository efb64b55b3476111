/* body.c - from the bytes of a request to a checked tree. */
#include "apiserver/body.h"

#include "api/check.h"
#include "apiserver/respond.h"
#include "codec/json.h"
#include "codec/protobuf.h"
#include "codec/yaml.h"

typedef struct Strictness {
    bool strict, warn;
    Arena *arena;
    Value found; /* list of sentences, at most API_UNKNOWN_MAX */
} Strictness;

/* All warnings of an answer together, as kube-apiserver bounds them. */
enum { WARNINGS_MAX = 4 * 1024 };

static void on_duplicate(void *ctx, StrView path)
{
    Strictness *s = ctx;
    if (s->found.len >= API_UNKNOWN_MAX)
        return;
    value_push(s->arena, &s->found,
               value_sv(arena_printf(s->arena, "duplicate field \"%.*s\"", SV_FMT(path))));
}

static void read_strictness(ApiCall *x, Strictness *s)
{
    StrView mode = SV("Warn");
    http_query(x->req, SV("fieldValidation"), &mode);
    *s = (Strictness){ .strict = sv_eq(mode, SV("Strict")),
                       .warn = sv_eq(mode, SV("Warn")) || !mode.len,
                       .arena = x->arena,
                       .found = value_list() };
}

/* A protobuf body: the envelope names the kind, the table of the expected type reads the message.
 */
static int decode_protobuf(ApiCall *x, const SchemaObject *schema, Value *ret, Err *err)
{
    ProtobufEnvelope env;
    int r;
    if ((r = protobuf_open(x->req->body, &env, err)) < 0 ||
        (r = protobuf_decode(schema, env.raw, x->arena, ret, err)) < 0)
        return r;
    return value_set(x->arena, ret, SV("kind"), value_sv(env.kind)) &&
                   value_set(x->arena, ret, SV("apiVersion"), value_sv(env.api_version))
               ? 0
               : err_nomem(err);
}

static int decode_text(ApiCall *x, const SchemaObject *schema, Strictness *s, Value *ret, Err *err)
{
    StrView type, params, ctype = http_header(x->req, SV("content-type"));
    sv_cut(ctype, ';', &type, &params);
    type = sv_trim(type);
    JsonOptions opt = { .on_duplicate = on_duplicate, .ctx = s, .depth_max = JSON_DEPTH_LIMIT };
    if (sv_eq(type, SV("application/vnd.kubernetes.protobuf")))
        return decode_protobuf(x, schema, ret, err);
    if (sv_eq(type, SV("application/yaml")) || sv_eq(type, SV("application/apply-patch+yaml")))
        return yaml_decode(x->req->body, x->arena, &opt, ret, NULL, err);
    if (type.len && !sv_eq(type, SV("application/json")) &&
        !sv_starts(type, SV("application/merge-patch")) &&
        !sv_starts(type, SV("application/strategic-merge-patch")) && !sv_eq(type, SV("*/*")))
        return err_set(
            err, ERR_UNSUPPORTED, 0,
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf");
    return json_decode(x->req->body, x->arena, &opt, ret, err);
}

/* Warnings in headers (RFC 7234), as many as fit. */
static void warn(ApiCall *x, const Value *sentences)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t total = 0;
    value_list_foreach (it, sentences) {
        buf_clear(&text);
        buf_sv(&text, SV("299 - "));
        json_encode_string(value_str(it), &text);
        total += text.len;
        if (total > WARNINGS_MAX)
            return;
        http_set_header(x->req, SV("Warning"), buf_view(&text), NULL);
    }
}

/* Reports what strictness found: an error, or warnings. */
static bool report_found(ApiCall *x, const Strictness *s, StrView kind, StrView api_version)
{
    if (!value_len(&s->found) || (!s->strict && !s->warn))
        return true;
    if (!s->strict) {
        warn(x, &s->found);
        return true;
    }
    _cleanup_buf_ Buf text = BUF_INIT;
    text.limit = WARNINGS_MAX;
    value_list_foreach (it, &s->found)
        buf_printf(&text, "%s%.*s", text.len ? ", " : "", SV_FMT(value_str(it)));
    respond_status(
        x, REASON_BAD_REQUEST,
        "%.*s in version \"%.*s\" cannot be handled as a %.*s: strict decoding error: %.*s",
        SV_FMT(kind), SV_FMT(x->version.len ? x->version : api_version), SV_FMT(kind),
        (int)text.len, text.ptr);
    return false;
}

static bool check_kind(ApiCall *x, const Value *v, StrView group, StrView version, StrView kind)
{
    StrView got_kind = value_str(value_get(v, SV("kind"))),
            got_version = value_str(value_get(v, SV("apiVersion")));
    StrView want =
        group.len ? arena_printf(x->arena, "%.*s/%.*s", SV_FMT(group), SV_FMT(version)) : version;
    if (got_kind.len && !sv_eq(got_kind, kind)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "%.*s in version \"%.*s\" cannot be handled as a %.*s: kind \"%.*s\" does not match the expected kind",
            SV_FMT(got_kind), SV_FMT(got_version), SV_FMT(kind), SV_FMT(got_kind));
        return false;
    }
    if (got_version.len && !sv_eq(got_version, want)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "the API version in the data (%.*s) does not match the expected API version (%.*s)",
            SV_FMT(got_version), SV_FMT(want));
        return false;
    }
    return true;
}

/* Decodes against the type; unknown fields go where duplicates went. */
static bool check_body(ApiCall *x, const SchemaObject *schema, StrView kind, StrView version,
                       Strictness *s, Value *v)
{
    Err err = { 0 };
    if (v->kind != VALUE_MAP) {
        respond_status(x, REASON_BAD_REQUEST, "the body of the request must be a JSON object");
        return false;
    }
    if (api_decode_check(schema, v, x->arena, &s->found, &err) < 0) {
        if (err.code == ERR_INVALID)
            respond_status(x, REASON_BAD_REQUEST,
                           "%.*s in version \"%.*s\" cannot be handled as a %.*s: %s", SV_FMT(kind),
                           SV_FMT(version), SV_FMT(kind), err.msg);
        else
            respond_err(x, &err);
        return false;
    }
    return report_found(x, s, kind, version);
}

bool body_read(ApiCall *x, const SchemaObject *schema, StrView group, StrView version, StrView kind,
               Value *ret)
{
    Strictness s;
    Err err = { 0 };
    read_strictness(x, &s);
    int r = decode_text(x, schema, &s, ret, &err);
    if (r == -ERR_UNSUPPORTED)
        respond_status(x, REASON_UNSUPPORTED_MEDIA_TYPE, "%s", err.msg);
    else if (r == -ERR_INVALID || r == -ERR_LIMIT)
        respond_status(x, REASON_BAD_REQUEST, "couldn't get version/kind; json parse error: %s",
                       err.msg);
    else if (r < 0)
        respond_err(x, &err);
    return r == 0 && check_kind(x, ret, group, version, kind) &&
           check_body(x, schema, kind, version, &s, ret);
}

int body_decode(ApiCall *x, const char *schema_name, Value *ret, Err *err)
{
    const SchemaObject *schema = api_schema_find(sv_cstr(schema_name));
    Strictness s = { .arena = x->arena, .found = value_list() };
    ASSERT(schema);
    return decode_text(x, schema, &s, ret, err);
}

bool body_read_object(ApiCall *x, Value *ret)
{
    return body_read(x, x->res->schema, x->res->group, x->res->version, x->res->kind, ret);
}

bool body_check(ApiCall *x, Value *obj)
{
    Strictness s;
    read_strictness(x, &s);
    return check_body(x, x->res->schema, x->res->kind, x->res->version, &s, obj);
}

bool body_is_same_object(ApiCall *x, const Value *obj)
{
    StrView name = value_path_str(obj, "metadata.name"),
            ns = value_path_str(obj, "metadata.namespace");
    if (!name.len)
        respond_status(
            x, REASON_BAD_REQUEST,
            "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
            SV_FMT(x->name));
    else if (!sv_eq(name, x->name))
        respond_status(x, REASON_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       SV_FMT(name), SV_FMT(x->name));
    else if (x->res->namespaced && ns.len && !sv_eq(ns, x->ns))
        respond_status(
            x, REASON_BAD_REQUEST,
            "the namespace of the object (%.*s) does not match the namespace on the request (%.*s)",
            SV_FMT(ns), SV_FMT(x->ns));
    else
        return true;
    return false;
}
