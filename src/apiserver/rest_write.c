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
    return body_read_object(x, ctx) && body_is_same_object(x, ctx);
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
