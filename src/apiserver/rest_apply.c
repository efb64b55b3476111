/* rest_apply.c - server-side apply.
 *
 * An apply computes the new object and its owners first (api/managers.h) and then goes the way of
 * every create or update; WriteOp.settled tells that way that the owners are settled. */
#include "apiserver/authz.h"
#include "apiserver/body.h"
#include "apiserver/fields.h"
#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "apiserver/write.h"

typedef struct Apply {
    Value config;
    bool force;
} Apply;

static bool check_config(ApiCall *x, const Value *config)
{
    StrView name = value_path_str(config, "metadata.name");
    if (!value_str(value_get(config, SV("apiVersion"))).len ||
        !value_str(value_get(config, SV("kind"))).len)
        respond_status(x, REASON_BAD_REQUEST,
                       "an applied configuration must name its apiVersion and kind");
    else if (value_path(config, "metadata.managedFields"))
        respond_status(x, REASON_BAD_REQUEST, "metadata.managedFields must be nil");
    else if (name.len && !sv_eq(name, x->name))
        respond_status(x, REASON_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       SV_FMT(name), SV_FMT(x->name));
    else
        return true;
    return false;
}

/* Applying may create: that takes the right to create as well. */
static bool may_create(ApiCall *x)
{
    if (x->sub.len)
        respond_not_found(x);
    else if (authorize_call(x, SV("create")))
        return true;
    else
        respond_forbidden(x, "User \"%.*s\" cannot create resource \"%.*s\" by applying it",
                          SV_FMT(x->user.name), SV_FMT(x->resource));
    return false;
}

static void respond_apply_conflicts(ApiCall *x, const ApplyConflicts *c)
{
    Value causes = value_list();
    for (unsigned i = 0; i < c->len; i++) {
        Value cause = value_map();
        value_set(x->arena, &cause, SV("reason"), value_sv(SV("FieldManagerConflict")));
        value_set(x->arena, &cause, SV("message"),
                  value_sv(apply_conflict_cause(&c->items[i], x->arena)));
        value_set(x->arena, &cause, SV("field"), value_sv(c->items[i].path));
        value_push(x->arena, &causes, cause);
    }
    respond_with_causes(x, REASON_CONFLICT, apply_conflicts_text(c, x->arena), &causes);
}

static void respond_unfit(ApiCall *x, const Err *err)
{
    respond_status(x, REASON_BAD_REQUEST,
                   "failed to create typed patch object (%.*s/%.*s; %.*s, Kind=%.*s): %s",
                   SV_FMT(x->ns), SV_FMT(x->name), SV_FMT(x->res->api_version),
                   SV_FMT(x->res->kind), err->msg);
}

static bool make_applied(WriteOp *w)
{
    ApiCall *x = w->x;
    const Apply *ap = w->plan.ctx;
    Managers *m = arena_new(x->arena, Managers);
    FieldWriter writer;
    ApplyConflicts conflicts;
    Err err = { 0 };
    if (!m || !fields_writer(x, &writer)) {
        respond_nomem(x);
        return false;
    }
    const Value *live = w->have ? &w->old : NULL;
    if (live && managers_decode(value_path(live, "metadata.managedFields"), x->arena, m, NULL) < 0)
        *m = (Managers){ 0 };
    int r = managers_apply(m, &writer, live, &ap->config, ap->force, x->arena, &w->obj, &conflicts,
                           &err);
    if (r == -ERR_CONFLICT)
        respond_apply_conflicts(x, &conflicts);
    else if (r == -ERR_INVALID)
        respond_unfit(x, &err);
    else if (r < 0 || !value_set_path(x->arena, &w->obj, "metadata.name", value_sv(x->name)))
        respond_nomem(x);
    else {
        /* The revision in the result is the stored one unless the configuration names one. */
        if (live && !value_path(&ap->config, "metadata.resourceVersion"))
            value_del(value_get(&w->obj, SV("metadata")), SV("resourceVersion"));
        w->settled = m;
        return true;
    }
    return false;
}

static bool read_config(ApiCall *x, void *ctx)
{
    Apply *ap = ctx;
    return body_read_object(x, &ap->config) && check_config(x, &ap->config);
}

void rest_apply(ApiCall *x)
{
    Apply *ap = arena_new(x->arena, Apply);
    if (!ap)
        respond_nomem(x);
    else {
        ap->force = http_query_true(x->req, SV("force"));
        write_start(x, &(WritePlan){ .way = WRITE_UPSERT,
                                     .read = read_config,
                                     .may_create = may_create,
                                     .make = make_applied,
                                     .ctx = ap });
    }
}
