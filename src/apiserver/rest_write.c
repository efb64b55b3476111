/* rest_write.c - create, update and patch, and the way of every write into the store.
 *
 * A write is checked against a snapshot and committed under the condition that the object is still
 * the version it was made from. When somebody was faster, a patch (and an update without a
 * revision) is done again on the newer version; everything else is answered with a conflict. */
#include <stdio.h>

#include "api/defaults.h"
#include "api/patch.h"
#include "api/validate.h"
#include "apiserver/internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "codec/protobuf.h"
#include "codec/yaml.h"

static StrView scope_ns(const Exchange *x)
{
    return x->res->namespaced ? x->ns : SV_NULL;
}

/* ---- committing ---- */

typedef struct Commit {
    Exchange *x; /* NULL once the peer has gone */
    Loop *loop;
    RetryFn *retry;
    void *retry_ctx;
    bool is_delete;
    ObjectRev *obj; /* what was written or deleted */
    Err err;
} Commit;

static void respond_written(Exchange *x, bool deleted, ObjectRev *obj)
{
    if (x->answer_status) {
        Value v = value_map();
        value_set(x->arena, &v, SV("kind"), value_sv(SV("Status")));
        value_set(x->arena, &v, SV("apiVersion"), value_sv(SV("v1")));
        value_set(x->arena, &v, SV("metadata"), value_map());
        value_set(x->arena, &v, SV("status"), value_sv(SV("Success")));
        value_set(x->arena, &v, SV("code"), value_int(x->status_on_success));
        respond_value(x, x->status_on_success, &v);
    } else if (x->answer_scale)
        respond_scale(x, obj);
    else if (deleted)
        respond_deleted(x, obj);
    else
        respond_object(x, x->status_on_success, obj);
}

static void commit_finish(void *ctx)
{
    Commit *c = ctx;
    Exchange *x = c->x;
    if (x) {
        http_on_close(x->req, NULL, NULL);
        if (c->err.code == ERR_NONE)
            respond_written(x, c->is_delete, c->obj);
        else if ((c->err.code == ERR_CONFLICT || c->err.code == ERR_NOT_FOUND) && c->retry &&
                 x->tries++ < PATCH_RETRIES_MAX)
            c->retry(x, c->retry_ctx);
        else if (c->err.code == ERR_EXISTS)
            respond_exists(x, x->name);
        else if (c->err.code == ERR_NOT_FOUND)
            respond_not_found(x);
        else if (c->err.code == ERR_CONFLICT)
            respond_conflict(x, NULL);
        else
            respond_err(x, &c->err);
    }
    object_rev_unref(c->obj);
    free(c);
}

static void on_committed(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    Commit *c = ctx;
    c->obj = object_rev_ref(obj);
    if (err)
        c->err = *err;
    loop_post(c->loop, commit_finish, c, NULL);
}

static void on_peer_gone(void *ctx)
{
    Commit *c = ctx;
    c->x = NULL; /* the write goes on; only the answer has nobody to go to */
}

static void commit_op(Exchange *x, const StoreOp *op, RetryFn *retry, void *ctx)
{
    Err err = { 0 };
    Commit *c = calloc(1, sizeof *c);
    if (!c) {
        err_nomem(&err);
        respond_err(x, &err);
        return;
    }
    *c = (Commit){ .x = x,
                   .loop = x->srv->loop,
                   .retry = retry,
                   .retry_ctx = ctx,
                   .is_delete = op->kind == STORE_DELETE };
    http_on_close(x->req, on_peer_gone, c);
    if (store_commit(x->srv->store, op, 1, on_committed, c, &err) < 0) {
        http_on_close(x->req, NULL, NULL);
        free(c);
        respond_err(x, &err);
    }
}

/* How an object would look that a dry run does not write. */
static void respond_unwritten(Exchange *x, const Value *obj)
{
    Value copy = *obj;
    Value *meta = value_get(&copy, SV("metadata"));
    if (x->status_on_success == 201 && meta)
        value_del(meta, SV("resourceVersion"));
    respond_value(x, x->status_on_success, &copy);
}

/* Kubernetes keeps events for an hour. */
static int64_t lifetime_of(const ApiResource *res)
{
    return sv_eq(res->kind, SV("Event")) ? 3600 : 0;
}

void commit_object(Exchange *x, const Value *obj, const ObjectRev *have, RetryFn *retry, void *ctx)
{
    if (x->dry_run) {
        respond_unwritten(x, obj);
        return;
    }
    _cleanup_buf_ Buf val = BUF_INIT, attrs = BUF_INIT;
    object_store_form(obj, &val);
    attrs_build(x->res, obj, &attrs);
    Err err = { 0 };
    if (val.failed || attrs.failed) {
        err_nomem(&err);
        respond_err(x, &err);
    } else if (have && sv_eq(buf_view(&val), have->val)) {
        respond_written(x, false, (ObjectRev *)have); /* nothing changes: no new revision */
    } else {
        StoreOp op = { STORE_PUT,      sv_cstr(x->key),  have ? have->mod_rev : 0,
                       buf_view(&val), buf_view(&attrs), lifetime_of(x->res) };
        commit_op(x, &op, retry, ctx);
    }
}

void commit_delete(Exchange *x, const ObjectRev *have, RetryFn *retry, void *ctx)
{
    if (x->dry_run) {
        respond_deleted(x, (ObjectRev *)have);
        return;
    }
    StoreOp op = { STORE_DELETE, have->key, have->mod_rev, SV_NULL, SV_NULL, 0 };
    commit_op(x, &op, retry, ctx);
}

/* ---- reading the body ---- */

typedef struct Strictness {
    bool strict, warn;
    Arena *arena;
    Value found; /* list of sentences */
} Strictness;

static void on_duplicate(void *ctx, StrView path)
{
    Strictness *s = ctx;
    value_push(s->arena, &s->found,
               value_sv(arena_printf(s->arena, "duplicate field \"%.*s\"", SV_FMT(path))));
}

static bool read_strictness(Exchange *x, Strictness *s)
{
    StrView mode = SV("Warn");
    http_query(x->req, SV("fieldValidation"), &mode);
    *s = (Strictness){ .strict = sv_eq(mode, SV("Strict")),
                       .warn = sv_eq(mode, SV("Warn")) || !mode.len,
                       .arena = x->arena,
                       .found = value_list() };
    if (s->strict || s->warn || sv_eq(mode, SV("Ignore")))
        return true;
    respond_status(
        x, REASON_INVALID,
        "fieldValidation: Unsupported value: \"%.*s\": supported values: \"Ignore\", \"Strict\", \"Warn\"",
        SV_FMT(sv_head(mode, 64)));
    return false;
}

/* A protobuf body: the envelope names the kind, the table of the expected type reads the message.
 */
static int decode_protobuf(Exchange *x, const SchemaObject *schema, Value *ret, Err *err)
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

static int decode_text(Exchange *x, const SchemaObject *schema, Strictness *s, Value *ret, Err *err)
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

/* Reports what strictness found: an error, or warnings in headers (RFC 7234's Warning). */
static bool report_found(Exchange *x, const Strictness *s, StrView kind, StrView api_version)
{
    if (!value_len(&s->found) || (!s->strict && !s->warn))
        return true;
    _cleanup_buf_ Buf text = BUF_INIT;
    value_list_foreach (it, &s->found) {
        if (s->strict)
            buf_printf(&text, "%s%.*s", text.len ? ", " : "", SV_FMT(value_str(it)));
        else {
            buf_clear(&text);
            buf_sv(&text, SV("299 - "));
            json_encode_string(value_str(it), &text);
            http_set_header(x->req, SV("Warning"), buf_view(&text), NULL);
        }
    }
    if (!s->strict)
        return true;
    StrView version = api_version;
    respond_status(
        x, REASON_BAD_REQUEST,
        "%.*s in version \"%.*s\" cannot be handled as a %.*s: strict decoding error: %.*s",
        SV_FMT(kind), SV_FMT(x->version.len ? x->version : version), SV_FMT(kind), (int)text.len,
        text.ptr);
    return false;
}

static bool check_kind(Exchange *x, const Value *v, StrView group, StrView version, StrView kind)
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
static bool check_body(Exchange *x, const SchemaObject *schema, StrView kind, StrView version,
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

bool read_body(Exchange *x, const SchemaObject *schema, StrView group, StrView version,
               StrView kind, Value *ret)
{
    Strictness s;
    Err err = { 0 };
    if (!read_strictness(x, &s))
        return false;
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

int decode_body(Exchange *x, const char *schema_name, Value *ret, Err *err)
{
    const SchemaObject *schema = api_schema_find(sv_cstr(schema_name));
    Strictness s = { .arena = x->arena, .found = value_list() };
    ASSERT(schema);
    return decode_text(x, schema, &s, ret, err);
}

/* ---- create ---- */

static bool place_in_namespace(Exchange *x, Value *meta)
{
    StrView ns = value_str(value_get(meta, SV("namespace")));
    if (!x->res->namespaced) {
        value_del(meta, SV("namespace"));
        return true;
    }
    if (ns.len && !sv_eq(ns, x->ns)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request");
        return false;
    }
    return value_set(x->arena, meta, SV("namespace"), value_sv(x->ns)) != NULL;
}

/* Takes the name, or makes one from generateName (five random characters, names cut at 63). */
static bool name_object(Exchange *x, Value *meta)
{
    x->name = value_str(value_get(meta, SV("name")));
    StrView base = value_str(value_get(meta, SV("generateName")));
    if (!x->name.len && base.len) {
        char suffix[5];
        random_suffix(suffix, sizeof suffix);
        x->name =
            arena_printf(x->arena, "%.*s%.5s", (int)MIN(base.len, (size_t)58), base.ptr, suffix);
        value_set(x->arena, meta, SV("name"), value_sv(x->name));
    }
    if (!x->name.len) {
        ApiErrors errors = { .arena = x->arena };
        ApiPath metadata = API_FIELD(NULL, "metadata"), name = API_FIELD(&metadata, "name");
        api_required(&errors, &name, "name or generateName is required");
        respond_invalid(x, SV(""), &errors);
        return false;
    }
    return true;
}

static void stamp_new(Exchange *x, Value *meta)
{
    char uid[UUID_SIZE] = "", now[RFC3339_SIZE];
    uuid4(uid);
    rfc3339_format(clock_real_ns(), 0, now);
    value_set(x->arena, meta, SV("uid"), value_sv(arena_sv(x->arena, sv_cstr(uid))));
    value_set(x->arena, meta, SV("creationTimestamp"), value_sv(arena_sv(x->arena, sv_cstr(now))));
    value_del(meta, SV("deletionTimestamp"));
    value_del(meta, SV("deletionGracePeriodSeconds"));
    value_del(meta, SV("selfLink"));
    value_del(meta, SV("managedFields"));
    value_del(meta, SV("resourceVersion"));
}

static bool validate(Exchange *x, const Value *obj, const Value *old)
{
    ApiErrors errors = { .arena = x->arena };
    if (sv_eq(x->sub, SV("status")))
        api_validate_meta(x->res, obj, old, &errors);
    else
        api_validate(x->res, obj, old, &errors);
    if (!errors.len)
        return true;
    respond_invalid(x, x->name, &errors);
    return false;
}

static bool is_taken(Exchange *x)
{
    Snapshot *sn = store_snapshot(x->srv->store);
    bool taken = snapshot_get(sn, sv_cstr(x->key)) != NULL;
    snapshot_unref(sn);
    return taken;
}

void create_object(Exchange *x, Value *obj)
{
    Value *meta = value_get(obj, SV("metadata"));
    if (!value_is(meta, VALUE_MAP))
        meta = value_set(x->arena, obj, SV("metadata"), value_map());
    if (!meta) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    if (value_str(value_get(meta, SV("resourceVersion"))).len) {
        respond_status(x, REASON_BAD_REQUEST,
                       "resourceVersion should not be set on objects to be created");
        return;
    }
    if (!place_in_namespace(x, meta) || !name_object(x, meta))
        return;
    if (!registry_key(x->res, scope_ns(x), x->name, x->key)) {
        respond_status(x, REASON_BAD_REQUEST,
                       "metadata.name: Too long: may not be more than 253 bytes");
        return;
    }
    if (is_taken(x)) { /* before anything is reserved for it; the store has the last word */
        respond_exists(x, x->name);
        return;
    }
    stamp_new(x, meta);
    strategy_prepare_create(x, obj);
    if (!api_defaults_apply(x->res, obj, x->arena)) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    if (!admit(x, obj, NULL) || !validate(x, obj, NULL) || !track_fields(x, obj, NULL, NULL))
        return;
    warn_if_idle(x);
    x->status_on_success = 201;
    commit_object(x, obj, NULL, NULL, NULL);
}

void rest_create(Exchange *x)
{
    Value obj;
    if (read_body(x, x->res->schema, x->res->group, x->res->version, x->res->kind, &obj))
        create_object(x, &obj);
}

/* ---- update ---- */

/* What no client may change; and the finalizers that end an object which is being deleted. */
static void keep_identity(Exchange *x, Value *obj, const Value *old)
{
    static const StrView kept[] = { SV_INIT("uid"),
                                    SV_INIT("creationTimestamp"),
                                    SV_INIT("deletionTimestamp"),
                                    SV_INIT("deletionGracePeriodSeconds"),
                                    SV_INIT("generation"),
                                    SV_INIT("generateName") };
    Value *meta = value_get(obj, SV("metadata"));
    const Value *old_meta = value_get(old, SV("metadata"));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        const Value *v = value_get(old_meta, kept[i]);
        if (v)
            value_set(x->arena, meta, kept[i], *v);
        else
            value_del(meta, kept[i]);
    }
    value_del(meta, SV("selfLink"));
    value_del(meta, SV("managedFields"));
}

static bool check_preconditions(Exchange *x, const Value *obj, const Value *old,
                                const ObjectRev *have, bool *ret_unconditional)
{
    StrView rv = value_path_str(obj, "metadata.resourceVersion"),
            uid = value_path_str(obj, "metadata.uid");
    uint64_t rev = 0;
    *ret_unconditional = !rv.len || sv_eq(rv, SV("0"));
    if (uid.len && !sv_eq(uid, value_path_str(old, "metadata.uid"))) {
        StrView why =
            arena_printf(x->arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                         SV_FMT(uid), SV_FMT(value_path_str(old, "metadata.uid")));
        respond_conflict(x, why.ptr);
        return false;
    }
    if (!*ret_unconditional && (sv_to_u64(rv, &rev) < 0 || rev != have->mod_rev)) {
        respond_conflict(x, NULL);
        return false;
    }
    return true;
}

/* An object that is being deleted goes when its last finalizer does. */
static bool deletion_complete(const Value *obj)
{
    const Value *meta = value_get(obj, SV("metadata"));
    return value_get(meta, SV("deletionTimestamp")) &&
           !value_len(value_get(meta, SV("finalizers"))) &&
           !value_len(value_path(obj, "spec.finalizers")) &&
           value_int_or(value_get(meta, SV("deletionGracePeriodSeconds")), 0) == 0;
}

void update_object(Exchange *x, Value *obj, const ObjectRev *have, RetryFn *retry, void *ctx)
{
    Value old;
    Err err = { 0 };
    bool unconditional;
    const Value *sent = value_path(obj, "metadata.managedFields");
    Value given = sent ? *sent : value_null();
    if (object_decode(x->res, have, x->arena, &old, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (!check_preconditions(x, obj, &old, have, &unconditional))
        return;
    value_set(x->arena, obj, SV("kind"), value_sv(x->res->kind));
    value_set(x->arena, obj, SV("apiVersion"), value_sv(x->res->api_version));
    keep_identity(x, obj, &old);
    if (x->res->namespaced)
        value_set_path(x->arena, obj, "metadata.namespace", value_sv(x->ns));
    strategy_prepare_update(x, obj, &old);
    if (!api_defaults_apply(x->res, obj, x->arena)) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    if (!admit(x, obj, &old) || !validate(x, obj, &old) ||
        !track_fields(x, obj, &old, sent ? &given : NULL))
        return;
    x->status_on_success = 200;
    if (deletion_complete(obj) && !x->dry_run)
        commit_delete(x, have, unconditional ? retry : NULL, ctx);
    else
        commit_object(x, obj, have, unconditional ? retry : NULL, ctx);
}

static void update_again(Exchange *x, void *ctx)
{
    Value *body = ctx, obj;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    if (have && value_clone(x->arena, body, &obj))
        update_object(x, &obj, have, update_again, body);
    else if (have)
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    snapshot_unref(sn);
}

void rest_update(Exchange *x)
{
    Value *body = arena_new(x->arena, Value);
    if (!body || !read_body(x, x->res->schema, x->res->group, x->res->version, x->res->kind, body))
        return;
    StrView name = value_path_str(body, "metadata.name"),
            ns = value_path_str(body, "metadata.namespace");
    if (!sv_eq(name, x->name))
        respond_status(x, REASON_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       SV_FMT(name), SV_FMT(x->name));
    else if (x->res->namespaced && ns.len && !sv_eq(ns, x->ns))
        respond_status(
            x, REASON_BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request");
    else
        update_again(x, body);
}

/* ---- patch ---- */

static bool apply_patch(Exchange *x, const Value *patch, Value *obj)
{
    StrView type, params;
    Err err = { 0 };
    sv_cut(http_header(x->req, SV("content-type")), ';', &type, &params);
    int r;
    if (sv_eq(type, SV("application/json-patch+json")))
        r = patch_json(obj, patch, x->arena, &err);
    else if (sv_eq(type, SV("application/merge-patch+json")))
        r = patch_merge(obj, patch, x->arena, &err);
    else
        r = patch_strategic(x->res->schema, obj, patch, x->arena, &err);
    if (r == 0)
        return true;
    if (r == -ERR_CONFLICT)
        respond_status(x, REASON_INVALID, "%s", err.msg);
    else
        respond_err(x, &err);
    return false;
}

static void patch_again(Exchange *x, void *ctx)
{
    const Value *patch = ctx;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    Value obj;
    Err err = { 0 };
    Strictness s;
    if (have && object_decode(x->res, have, x->arena, &obj, &err) < 0)
        respond_err(x, &err);
    else if (have && read_strictness(x, &s) && apply_patch(x, patch, &obj) &&
             check_body(x, x->res->schema, x->res->kind, x->res->version, &s, &obj)) {
        /* The revision in the result is the stored one unless the patch itself names one. */
        if (!value_path(patch, "metadata.resourceVersion") && value_get(&obj, SV("metadata")))
            value_del(value_get(&obj, SV("metadata")), SV("resourceVersion"));
        if (!sv_eq(value_path_str(&obj, "metadata.name"), x->name))
            respond_status(
                x, REASON_BAD_REQUEST,
                "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                SV_FMT(value_path_str(&obj, "metadata.name")), SV_FMT(x->name));
        else
            update_object(x, &obj, have, patch_again, ctx);
    }
    snapshot_unref(sn);
}

void rest_patch(Exchange *x)
{
    static const StrView types[] = { SV_INIT("application/json-patch+json"),
                                     SV_INIT("application/merge-patch+json"),
                                     SV_INIT("application/strategic-merge-patch+json") };
    StrView type, params;
    sv_cut(http_header(x->req, SV("content-type")), ';', &type, &params);
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        known |= sv_eq(type, types[i]);
    if (sv_eq(type, SV("application/apply-patch+yaml"))) {
        rest_apply(x);
        return;
    }
    Value *patch = arena_new(x->arena, Value);
    Err err = { 0 };
    JsonOptions opt = { .depth_max = JSON_DEPTH_LIMIT };
    if (!known || !patch)
        respond_status(
            x, REASON_UNSUPPORTED_MEDIA_TYPE,
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/strategic-merge-patch+json, application/apply-patch+yaml");
    else if (json_decode(x->req->body, x->arena, &opt, patch, &err) < 0)
        respond_status(x, REASON_BAD_REQUEST, "error decoding patch: %s", err.msg);
    else
        patch_again(x, patch);
}
