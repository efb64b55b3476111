/* rest_patch.c - JSON patch, merge patch and strategic merge patch. */
#include "api/patch.h"
#include "apiserver/body.h"
#include "apiserver/handlers.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "apiserver/write.h"
#include "codec/json.h"

static StrView patch_type(ApiCall *x)
{
    StrView type, params;
    sv_cut(http_header(x->req, SV("content-type")), ';', &type, &params);
    return type;
}

static bool apply_patch(ApiCall *x, const Value *patch, Value *obj)
{
    StrView type = patch_type(x);
    Err err = { 0 };
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

static bool make_patched(WriteOp *w)
{
    ApiCall *x = w->x;
    const Value *patch = w->plan.ctx;
    Err err = { 0 };
    if (object_decode(x->res, w->have, x->arena, &w->obj, &err) < 0) {
        respond_err(x, &err);
        return false;
    }
    if (!apply_patch(x, patch, &w->obj) || !body_check(x, &w->obj))
        return false;
    /* The revision in the result is the stored one unless the patch itself names one. */
    if (!value_path(patch, "metadata.resourceVersion") && value_get(&w->obj, SV("metadata")))
        value_del(value_get(&w->obj, SV("metadata")), SV("resourceVersion"));
    return body_is_same_object(x, &w->obj); /* a patch may not lead to another */
}

static bool read_patch(ApiCall *x, void *ctx)
{
    Err err = { 0 };
    JsonOptions opt = { .depth_max = JSON_DEPTH_LIMIT };
    if (json_decode(x->req->body, x->arena, &opt, ctx, &err) == 0)
        return true;
    respond_status(x, REASON_BAD_REQUEST, "error decoding patch: %s", err.msg);
    return false;
}

void rest_patch(ApiCall *x)
{
    static const StrView types[] = { SV_INIT("application/json-patch+json"),
                                     SV_INIT("application/merge-patch+json"),
                                     SV_INIT("application/strategic-merge-patch+json") };
    StrView type = patch_type(x);
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        known |= sv_eq(type, types[i]);
    if (sv_eq(type, SV("application/apply-patch+yaml"))) {
        rest_apply(x);
        return;
    }
    Value *patch = arena_new(x->arena, Value);
    if (!known)
        respond_status(
            x, REASON_UNSUPPORTED_MEDIA_TYPE,
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/strategic-merge-patch+json, application/apply-patch+yaml");
    else if (!patch)
        respond_nomem(x);
    else
        write_start(x, &(WritePlan){ .way = WRITE_UPDATE,
                                     .read = read_patch,
                                     .make = make_patched,
                                     .ctx = patch });
}
