/* rest_write.c - create and update. */
#include "apiserver/body.h"
#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "apiserver/write.h"

static bool make_from_body(WriteOp *w)
{
    const Value *body = w->plan.ctx;
    if (w->plan.way == WRITE_CREATE && !sv_eq(w->x->res->kind, SV("Service"))) {
        w->obj = *body; /* made once: it claims nothing but its name */
        return true;
    }
    if (value_clone(w->x->arena, body, &w->obj))
        return true;
    respond_nomem(w->x);
    return false;
}

static bool read_object(ApiCall *x, void *ctx)
{
    return body_read_object(x, ctx);
}

void rest_create(ApiCall *x)
{
    Value *body = arena_new(x->arena, Value);
    if (!body)
        respond_nomem(x);
    else
        write_start(x, &(WritePlan){ .way = WRITE_CREATE,
                                     .read = read_object,
                                     .make = make_from_body,
                                     .ctx = body });
}

static bool read_same_object(ApiCall *x, void *ctx)
{
    const Value *body = ctx;
    if (!body_read_object(x, ctx))
        return false;
    StrView name = value_path_str(body, "metadata.name"),
            ns = value_path_str(body, "metadata.namespace");
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

void rest_update(ApiCall *x)
{
    Value *body = arena_new(x->arena, Value);
    if (!body)
        respond_nomem(x);
    else
        write_start(x, &(WritePlan){ .way = WRITE_UPDATE,
                                     .read = read_same_object,
                                     .make = make_from_body,
                                     .ctx = body });
}
