/* fields.c - notes on every write who owns which fields of the object (api/managers.h). */
#include "apiserver/fields.h"

#include "base/clock.h"

/* The fieldManager parameter, or what stands before the slash of the User-Agent. */
static StrView manager_name(ApiCall *x)
{
    StrView name = SV_NULL, rest;
    http_query(x->req, SV("fieldManager"), &name);
    if (!name.len)
        sv_cut(http_header(x->req, SV("user-agent")), '/', &name, &rest);
    return name.len ? sv_head(name, MANAGER_NAME_MAX) : SV("unknown");
}

bool fields_writer(ApiCall *x, FieldWriter *ret)
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

bool fields_track(ApiCall *x, Value *obj, const Value *old, const Value *given, Managers *settled)
{
    Managers m = { 0 };
    FieldWriter w;
    if (settled)
        return managers_store(settled, x->arena, obj);
    if (!asks_to_forget(given)) {
        /* What a client sends is taken when it can be read; else what is stored. */
        const Value *stored = value_path(old, "metadata.managedFields");
        if ((!given || managers_decode(given, x->arena, &m, NULL) < 0) &&
            managers_decode(stored, x->arena, &m, NULL) < 0)
            m = (Managers){ 0 };
    }
    return fields_writer(x, &w) && managers_update(&m, &w, old, obj, x->arena) &&
           managers_store(&m, x->arena, obj);
}

bool fields_track_as(ApiCall *x, StrView manager, Value *obj, const Value *before)
{
    Managers m = { 0 };
    FieldWriter w;
    if (managers_decode(value_path(obj, "metadata.managedFields"), x->arena, &m, NULL) < 0 ||
        !fields_writer(x, &w))
        return false;
    w.manager = manager;
    return managers_update(&m, &w, before, obj, x->arena) && managers_store(&m, x->arena, obj);
}
