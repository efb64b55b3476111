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

void slices_begin(Slices *s, Job *j, const WatchedKind *owner_kind, const ApiObject *owner,
                  StrView manager, const Value *from)
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

static const SliceView *view(const ApiObject *slice)
{
    return slice->projection;
}

static void create_slice(Slices *s, const SliceGroup *g)
{
    Arena *a = &s->job->arena;
    Value slice = value_map();
    value_set(a, &slice, SV("apiVersion"), value_sv(SV("discovery.k8s.io/v1")));
    value_set(a, &slice, SV("kind"), value_sv(SV("EndpointSlice")));
    value_set_path(a, &slice, "metadata.generateName",
                   value_sv(arena_printf(a, "%.*s-", SV_FMT(s->owner->name))));
    value_set_path(a, &slice, "metadata.namespace", value_sv(s->owner->ns));
    value_set_path(a, &slice, "metadata.ownerReferences",
                   obj_owner_refs(a, s->owner_kind, s->owner));
    value_set_path(a, &slice, "metadata.labels", s->labels);
    if (value_is(&s->annotations, VALUE_MAP))
        value_set_path(a, &slice, "metadata.annotations", s->annotations);
    value_set(a, &slice, SV("addressType"), value_sv(g->address_type));
    value_set(a, &slice, SV("endpoints"), g->endpoints);
    value_set(a, &slice, SV("ports"), g->ports);
    job_create(s->job, &kind_endpointslices, &slice, NULL, NULL);
}

static bool same_list(const Value *have, const Value *want)
{
    const Value none = value_list();
    return value_equal(value_is(have, VALUE_LIST) ? have : &none, want);
}

static void write_group(Slices *s, const SliceGroup *g)
{
    Arena *a = &s->job->arena;
    if (!g->slice) {
        create_slice(s, g);
        return;
    }
    const SliceView *had = view(g->slice);
    Value patch = value_map(), labels = map_patch(a, &had->meta.labels, &s->labels),
          notes = value_is(&s->annotations, VALUE_MAP)
                      ? map_patch(a, &had->annotations, &s->annotations)
                      : value_map();
    if (had->endpoints_digest != digest_of(&g->endpoints))
        value_set(a, &patch, SV("endpoints"), g->endpoints);
    if (!same_list(&had->ports, &g->ports))
        value_set(a, &patch, SV("ports"), g->ports);
    if (labels.len)
        value_set_path(a, &patch, "metadata.labels", labels);
    if (notes.len)
        value_set_path(a, &patch, "metadata.annotations", notes);
    if (patch.len)
        job_patch(s->job, &kind_endpointslices, g->slice, SV_NULL, API_PATCH_MERGE, &patch);
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp((*(ApiObject *const *)a)->name, (*(ApiObject *const *)b)->name);
}

/* The owner's slices, in an order of their own: the same group for the same slice. */
static ApiObject **own_slices(const Slices *s, size_t *ret_n)
{
    ApiObject *const *owned = obj_owned(s->job->c, &kind_endpointslices, s->owner, ret_n);
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
        if (!o || !sv_eq(view(o)->address_type, address_type))
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
        make_key(view(slices[i])->address_type, &view(slices[i])->ports, &s->key);
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
            job_delete(s->job, &kind_endpointslices, spare[i], SV("Background"), NULL, NULL);
}
