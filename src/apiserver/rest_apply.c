/* rest_apply.c - who owns which fields: notes it on every write, and serves server-side apply.
 *
 * An apply computes the new object and its owners first (api/managers.h) and then goes the way of
 * every create or update; Exchange.applied tells that way that the owners are settled. */
#include "api/managers.h"
#include "apiserver/internal.h"
#include "base/clock.h"
#include "base/encode.h"

typedef struct Apply {
    Value config;
    bool force;
} Apply;

/* The fieldManager parameter, or what stands before the slash of the User-Agent. */
static StrView manager_name(Exchange *x)
{
    StrView name = SV_NULL, rest;
    http_query(x->req, SV("fieldManager"), &name);
    if (!name.len)
        sv_cut(http_header(x->req, SV("user-agent")), '/', &name, &rest);
    return name.len ? sv_head(name, MANAGER_NAME_MAX) : SV("unknown");
}

static bool writer_init(Exchange *x, FieldWriter *ret)
{
    char now[RFC3339_SIZE];
    rfc3339_format(clock_real_ns(), 0, now);
    *ret = (FieldWriter){ .manager = arena_sv(x->arena, manager_name(x)),
                          .subresource = x->sub,
                          .now = arena_sv(x->arena, sv_cstr(now)),
                          .res = x->res,
                          .ignore_status = !x->sub.len && api_sub_find(x->res, SV("status")) };
    return ret->manager.ptr && ret->now.ptr;
}

/* A list that says nothing, or one entry that says nothing, asks to forget the history. */
static bool asks_to_forget(const Value *given)
{
    return value_is(given, VALUE_LIST) &&
           (!given->len ||
            (given->len == 1 && !value_str(value_get(&given->items[0], SV("operation"))).len));
}

bool track_fields(Exchange *x, Value *obj, const Value *old, const Value *given)
{
    Managers m = { 0 }, *settled = x->applied;
    FieldWriter w;
    const Value *stored = value_path(old, "metadata.managedFields");
    Err err = { 0 };
    bool ok = settled != NULL;
    if (!ok && !asks_to_forget(given)) {
        /* What a client sends is taken when it can be read; else what is stored. */
        if (!given || managers_decode(given, x->arena, &m, NULL) < 0)
            if (managers_decode(stored, x->arena, &m, &err) < 0)
                m = (Managers){ 0 };
    }
    if (!ok)
        ok = writer_init(x, &w) && managers_update(&m, &w, old, obj, x->arena);
    if (ok && managers_store(settled ? settled : &m, x->arena, obj))
        return true;
    respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    return false;
}

/* ---- apply ---- */

static bool check_options(Exchange *x, Apply *ap)
{
    StrView manager = SV_NULL;
    http_query(x->req, SV("fieldManager"), &manager);
    ap->force = http_query_true(x->req, SV("force"));
    if (!manager.len)
        respond_status(x, REASON_INVALID,
                       "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is "
                       "required for apply patch");
    else if (manager.len > MANAGER_NAME_MAX)
        respond_status(x, REASON_INVALID,
                       "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not "
                       "be more than %d bytes",
                       MANAGER_NAME_MAX);
    else
        return true;
    return false;
}

static bool check_config(Exchange *x, const Value *config)
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
static bool may_create(Exchange *x)
{
    Access a = { .user = &x->user,
                 .verb = SV("create"),
                 .is_resource = true,
                 .group = x->group,
                 .version = x->version,
                 .resource = x->resource,
                 .ns = x->ns,
                 .name = x->name };
    if (x->sub.len)
        respond_not_found(x);
    else if (authorize(x->srv, &a))
        return true;
    else
        respond_forbidden(x, "User \"%.*s\" cannot create resource \"%.*s\" by applying it",
                          SV_FMT(x->user.name), SV_FMT(x->resource));
    return false;
}

static void respond_apply_conflicts(Exchange *x, const ApplyConflicts *c)
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

static void apply_again(Exchange *x, void *ctx);

static void apply_to(Exchange *x, Apply *ap, const ObjectRev *have)
{
    Value live, obj;
    Managers *m = arena_new(x->arena, Managers);
    FieldWriter w;
    ApplyConflicts conflicts;
    Err err = { 0 };
    if (!m || !writer_init(x, &w)) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    if (have && object_decode(x->res, have, x->arena, &live, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (have && managers_decode(value_path(&live, "metadata.managedFields"), x->arena, m, NULL) < 0)
        *m = (Managers){ 0 };
    int r = managers_apply(m, &w, have ? &live : NULL, &ap->config, ap->force, x->arena, &obj,
                           &conflicts, &err);
    if (r == -ERR_CONFLICT)
        respond_apply_conflicts(x, &conflicts);
    else if (r == -ERR_INVALID)
        respond_status(x, REASON_BAD_REQUEST,
                       "failed to create typed patch object (%.*s/%.*s; %.*s, Kind=%.*s): %s",
                       SV_FMT(x->ns), SV_FMT(x->name), SV_FMT(x->res->api_version),
                       SV_FMT(x->res->kind), err.msg);
    if (r == -ERR_CONFLICT || r == -ERR_INVALID)
        return;
    if (r < 0 || !value_set_path(x->arena, &obj, "metadata.name", value_sv(x->name))) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    x->applied = m;
    if (!have) {
        create_object(x, &obj);
        return;
    }
    /* The revision in the result is the stored one unless the configuration names one. */
    if (!value_path(&ap->config, "metadata.resourceVersion"))
        value_del(value_get(&obj, SV("metadata")), SV("resourceVersion"));
    update_object(x, &obj, have, apply_again, ap);
}

static void apply_again(Exchange *x, void *ctx)
{
    Snapshot *sn = store_snapshot(x->srv->store);
    StrView ns = x->res->namespaced ? x->ns : SV_NULL;
    ObjectRev *have =
        registry_key(x->res, ns, x->name, x->key) ? snapshot_get(sn, sv_cstr(x->key)) : NULL;
    if (have || may_create(x))
        apply_to(x, ctx, have);
    snapshot_unref(sn);
}

void rest_apply(Exchange *x)
{
    Apply *ap = arena_new(x->arena, Apply);
    if (!ap)
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    else if (check_options(x, ap) &&
             read_body(x, x->res->schema, x->res->group, x->res->version, x->res->kind,
                       &ap->config) &&
             check_config(x, &ap->config))
        apply_again(x, ap);
}
