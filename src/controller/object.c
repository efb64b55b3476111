/* object.c - finding the informers' objects, and the little documents that controllers write. */
#include <stdio.h>

#include "controller/controller_internal.h"

static const Informer *informer_for(const Controller *c, const WatchedKind *kind)
{
    for (unsigned i = 0; i < c->n_watching; i++)
        if (c->watching[i].kind == kind)
            return informer_of(c->watching[i].use);
    ASSERT_MSG(false, "%s does not name the kind %.*s", c->def->name, SV_FMT(kind->plural));
    return NULL;
}

bool obj_deleting(const ApiObject *o)
{
    return o && meta_of(o)->deleting;
}

ApiObject *obj_find(const Controller *c, const WatchedKind *kind, StrView ns, StrView name)
{
    return informer_get_named(informer_for(c, kind), ns, name);
}

size_t obj_count(const Controller *c, const WatchedKind *kind)
{
    return informer_len(informer_for(c, kind));
}

ApiObject *obj_next(const Controller *c, const WatchedKind *kind, size_t *pos)
{
    return informer_next(informer_for(c, kind), pos);
}

ApiObject *const *obj_indexed(const Controller *c, const WatchedKind *kind, unsigned index,
                              StrView value, size_t *ret_n)
{
    return informer_by_index(informer_for(c, kind), index, value, ret_n);
}

ApiObject *const *obj_owned(const Controller *c, const WatchedKind *kind, const ApiObject *owner,
                            size_t *ret_n)
{
    return obj_indexed(c, kind, INDEX_CONTROLLER, owner->uid, ret_n);
}

Value obj_owner_refs(Arena *a, const WatchedKind *kind, const ApiObject *owner)
{
    Value refs = value_list(), ref = value_map();
    value_set(a, &ref, SV("apiVersion"), value_sv(kind->api_version));
    value_set(a, &ref, SV("kind"), value_sv(kind->kind));
    value_set(a, &ref, SV("name"), value_sv(owner->name));
    value_set(a, &ref, SV("uid"), value_sv(owner->uid));
    value_set(a, &ref, SV("controller"), value_bool(true));
    value_set(a, &ref, SV("blockOwnerDeletion"), value_bool(true));
    value_push(a, &refs, ref);
    return refs;
}

Value map_patch(Arena *a, const Value *had, const Value *want)
{
    Value patch = value_map();
    value_map_foreach (m, had) {
        if (!value_get(want, m->key))
            value_set(a, &patch, m->key, value_null());
    }
    value_map_foreach (m, want) {
        const Value *v = value_get(had, m->key);
        if (!v || !value_equal(v, &m->val))
            value_set(a, &patch, m->key, m->val);
    }
    return patch;
}

void obj_event(Controller *c, const WatchedKind *kind, const ApiObject *o, StrView type,
               StrView reason, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    EventRef ref = { .api_version = kind->api_version,
                     .kind = kind->kind,
                     .ns = o->ns,
                     .name = o->name,
                     .uid = o->uid,
                     .resource_version = o->resource_version };
    event_record(c->events, &ref, type, reason, "%s", text);
}

void controller_queue(Controller *c, StrView ns, StrView name)
{
    char key[512];
    int n = ns.len ? snprintf(key, sizeof key, "%.*s/%.*s", SV_FMT(ns), SV_FMT(name))
                   : snprintf(key, sizeof key, "%.*s", SV_FMT(name));
    if (n > 0 && (size_t)n < sizeof key)
        workqueue_add(c->queue, sv_n(key, (size_t)n));
}

int64_t time_of(const Value *v)
{
    int64_t ns;
    return rfc3339_parse(value_str(v), &ns) < 0 ? 0 : ns;
}

Value time_now(Arena *a)
{
    char text[RFC3339_SIZE];
    return value_sv(arena_sv(a, sv_cstr(rfc3339_format(clock_real_ns(), 0, text))));
}

bool pod_ended(const PodView *pod)
{
    return pod->phase == POD_SUCCEEDED || pod->phase == POD_FAILED;
}

bool pod_active(const Controller *c, const ApiObject *pod)
{
    return !obj_deleting(pod) && !pod_ended(pod_of(pod)) && !map_has(&c->doomed, pod->uid);
}

bool pod_available(const PodView *pod, int64_t min_ready_s, int64_t now_ns, uint64_t *ret_wait_ms)
{
    *ret_wait_ms = 0;
    if (!pod->ready)
        return false;
    if (min_ready_s <= 0)
        return true;
    int64_t left = pod->ready_since_ns + min_ready_s * NSEC_PER_SEC - now_ns;
    if (left <= 0)
        return true;
    *ret_wait_ms = (uint64_t)(left / NSEC_PER_MSEC) + 1;
    return false;
}
