/* slices.c - the EndpointSlices of one owner, brought to what they should be. */
#include "controller/slices.h"

/* Endpoints with the same ports, up to a slice's limit. */
typedef struct SliceGroup {
    StrView address_type;
    Value ports, endpoints;
    ApiObject *slice;        /* where they are already, or NULL */
    struct SliceGroup *next; /* of all */
    struct SliceGroup *same; /* with the same key */
} SliceGroup;

void slices_begin(Slices *s, Job *j, KindId owner_kind, const ApiObject *owner, StrView manager,
                  const Value *from)
{
    Arena *a = &j->arena;
    *s = (Slices){ .job = j, .owner_kind = owner_kind, .owner = owner, .labels = value_map() };
    s->end = &s->first;
    value_map_foreach (m, from)
        value_set(a, &s->labels, m->key, m->val);
    value_set(a, &s->labels, SLICE_SERVICE_LABEL, value_sv(owner->name));
    value_set(a, &s->labels, SLICE_MANAGER_LABEL, value_sv(manager));
}

void slices_end(Slices *s)
{
    map_free(&s->by_key);
    buf_free(&s->key);
}

Value slice_port(Arena *a, const Value *port, int64_t number)
{
    Value out = value_map();
    StrView protocol = value_str(value_get(port, SV("protocol")));
    const Value *app = value_get(port, SV("appProtocol"));
    StrView name = value_str(value_get(port, SV("name")));
    value_set(a, &out, SV("name"), value_sv(name.ptr ? name : SV("")));
    value_set(a, &out, SV("port"), value_int(number));
    value_set(a, &out, SV("protocol"), value_sv(protocol.len ? protocol : SV("TCP")));
    if (app)
        value_set(a, &out, SV("appProtocol"), *app);
    return out;
}

/* A text that two slices share when they are for the same ports and kind of address. */
static void make_key(StrView address_type, const Value *ports, Buf *key)
{
    buf_clear(key);
    buf_printf(key, "%.*s:", SV_FMT(address_type));
    value_list_foreach (p, ports) {
        StrView name = value_str(value_get(p, SV("name"))),
                protocol = value_str(value_get(p, SV("protocol"))),
                app = value_str(value_get(p, SV("appProtocol")));
        buf_printf(key, "%.*s/%lld/%.*s/%.*s,", SV_FMT(name),
                   (long long)value_int_or(value_get(p, SV("port")), 0), SV_FMT(protocol),
                   SV_FMT(app));
    }
}

bool slices_add(Slices *s, StrView address_type, Value ports, const Value *endpoint)
{
    make_key(address_type, &ports, &s->key);
    SliceGroup *have = map_get(&s->by_key, buf_view(&s->key)), *g = have;
    if (!g || value_len(&g->endpoints) >= SLICE_ENDPOINTS_MAX) {
        g = arena_new(&s->job->arena, SliceGroup);
        if (!g || s->key.failed || !map_set(&s->by_key, buf_view(&s->key), g, NULL))
            return false;
        *g = (SliceGroup){
            .address_type = address_type, .ports = ports, .endpoints = value_list(), .same = have
        };
        *s->end = g;
        s->end = &g->next;
    }
    return !endpoint || value_push(&s->job->arena, &g->endpoints, *endpoint);
}

/* ---- writing ---- */

static bool is_same(const Value *doc, const char *path, const Value *want)
{
    const Value none = value_is(want, VALUE_MAP) ? value_map() : value_list();
    const Value *have = value_path(doc, path);
    return value_equal(have ? have : &none, want);
}

static void write_group(Slices *s, const SliceGroup *g)
{
    Job *j = s->job;
    Arena *a = &j->arena;
    const Value *had = obj_doc(g->slice);
    bool notes = value_is(&s->annotations, VALUE_MAP);
    if (had && is_same(had, "endpoints", &g->endpoints) && is_same(had, "ports", &g->ports) &&
        is_same(had, "metadata.labels", &s->labels) &&
        (!notes || is_same(had, "metadata.annotations", &s->annotations)))
        return;
    Value slice = had ? obj_copy(j, g->slice) : value_map();
    if (!had) {
        value_set(a, &slice, SV("apiVersion"), value_sv(SV("discovery.k8s.io/v1")));
        value_set(a, &slice, SV("kind"), value_sv(SV("EndpointSlice")));
        value_set_path(a, &slice, "metadata.generateName",
                       value_sv(arena_printf(a, "%.*s-", SV_FMT(s->owner->name))));
        value_set_path(a, &slice, "metadata.namespace", value_sv(s->owner->ns));
        value_set_path(a, &slice, "metadata.ownerReferences",
                       obj_owner_refs(a, s->owner_kind, s->owner));
        value_set(a, &slice, SV("addressType"), value_sv(g->address_type));
    }
    value_set_path(a, &slice, "metadata.labels", s->labels);
    if (notes)
        value_set_path(a, &slice, "metadata.annotations", s->annotations);
    value_set(a, &slice, SV("endpoints"), g->endpoints);
    value_set(a, &slice, SV("ports"), g->ports);
    if (had)
        job_update(j, KIND_ENDPOINTSLICE, SV_NULL, &slice);
    else
        job_create(j, KIND_ENDPOINTSLICE, &slice, NULL, NULL);
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp((*(ApiObject *const *)a)->name, (*(ApiObject *const *)b)->name);
}

/* The owner's slices, in an order of their own: the same group for the same slice. */
static ApiObject **own_slices(const Slices *s, size_t *ret_n)
{
    ApiObject *const *owned = obj_owned(s->job->c->cs, KIND_ENDPOINTSLICE, s->owner, ret_n);
    ApiObject **list = arena_array(&s->job->arena, ApiObject *, *ret_n + 1);
    for (size_t i = 0; list && i < *ret_n; i++)
        list[i] = owned[i];
    if (list && *ret_n)
        qsort(list, *ret_n, sizeof(ApiObject *), by_name);
    return list;
}

/* The kind of address of a slice never changes: a spare one serves its own kind only. */
static ApiObject *take_spare(ApiObject **spare, size_t n, StrView address_type)
{
    for (size_t i = 0; i < n; i++) {
        ApiObject *o = spare[i];
        if (!o || !sv_eq(value_path_str(obj_doc(o), "addressType"), address_type))
            continue;
        spare[i] = NULL;
        return o;
    }
    return NULL;
}

void slices_write(Slices *s)
{
    size_t n, n_spare = 0;
    ApiObject **slices = own_slices(s, &n), **spare = slices;
    if (!slices || s->key.failed) {
        job_fail(s->job);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const Value *doc = obj_doc(slices[i]);
        make_key(value_path_str(doc, "addressType"), value_get(doc, SV("ports")), &s->key);
        SliceGroup *g = map_get(&s->by_key, buf_view(&s->key));
        if (g && !map_set(&s->by_key, buf_view(&s->key), g->same, NULL))
            g = NULL;
        if (g)
            g->slice = slices[i];
        else
            spare[n_spare++] = slices[i]; /* behind the place that is read */
    }
    for (SliceGroup *g = s->first; g; g = g->next) {
        if (!g->slice)
            g->slice = take_spare(spare, n_spare, g->address_type);
        write_group(s, g);
    }
    for (size_t i = 0; i < n_spare; i++)
        if (spare[i])
            job_delete(s->job, KIND_ENDPOINTSLICE, spare[i], SV("Background"), NULL, NULL);
}
