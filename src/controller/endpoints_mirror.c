/* endpoints_mirror.c - Endpoints that somebody wrote for a Service without a selector are mirrored
 * to EndpointSlices, which is all that proxies and DNS look at.
 *
 * Keyed by Service and Endpoints, which share their name. The slices belong to the Endpoints and go
 * with them; where the Service goes or gets a selector they are deleted here. As Kubernetes'
 * endpointslicemirroring controller. */
#include "controller/slices.h"

#define MANAGER SV("endpointslicemirroring-controller.k8s.io")

enum { SUBSET_ADDRESSES_MAX = 1000 }; /* mirrored of one subset */

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    const Value *labels = &meta_of(o)->labels;
    if (kind != &kind_endpointslices)
        controller_queue(c, o->ns, o->name);
    else if (sv_eq(value_str(value_get(labels, SLICE_MANAGER_LABEL)), MANAGER))
        controller_queue(c, o->ns, value_str(value_get(labels, SLICE_SERVICE_LABEL)));
}

/* Leaders were elected on Endpoints once: such an object leads nowhere. */
static bool is_mirrored(const ApiObject *service, const ApiObject *endpoints)
{
    if (!service || !endpoints || obj_deleting(endpoints))
        return false;
    const EndpointsView *v = endpoints->projection;
    StrView skip =
        value_str(value_get(&v->meta.labels, SV("endpointslice.kubernetes.io/skip-mirror")));
    return !((const ServiceView *)service->projection)->has_selector && !sv_eq(skip, SV("true")) &&
           !v->leads;
}

static Value endpoint_of(Arena *a, const Value *address, bool ready)
{
    static const StrView copied[] = { SV_INIT("hostname"), SV_INIT("nodeName"),
                                      SV_INIT("targetRef") };
    Value e = value_map(), addresses = value_list(), conditions = value_map();
    value_push(a, &addresses, value_sv(value_str(value_get(address, SV("ip")))));
    value_set(a, &conditions, SV("ready"), value_bool(ready));
    value_set(a, &e, SV("addresses"), addresses);
    value_set(a, &e, SV("conditions"), conditions);
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *v = value_get(address, copied[i]);
        if (v && (value_str(v).len || value_is(v, VALUE_MAP)))
            value_set(a, &e, copied[i], *v);
    }
    return e;
}

/* Adds the addresses of a subset; what is over the limit is counted. */
static bool add_subset(Slices *s, const Value *subset, size_t *skipped)
{
    static const StrView lists[] = { SV_INIT("addresses"), SV_INIT("notReadyAddresses") };
    Arena *a = &s->job->arena;
    Value ports = value_list();
    size_t n = 0;
    value_list_foreach (p, value_get(subset, SV("ports")))
        value_push(a, &ports, slice_port(a, p, value_int_or(value_get(p, SV("port")), 0)));
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (address, value_get(subset, lists[l])) {
            if (n++ >= SUBSET_ADDRESSES_MAX) {
                ++*skipped;
                continue;
            }
            StrView ip = value_str(value_get(address, SV("ip")));
            Value e = endpoint_of(a, address, l == 0);
            if (!slices_add(s, sv_find_char(ip, ':') >= 0 ? SV("IPv6") : SV("IPv4"), ports, &e))
                return false;
        }
    }
    return true;
}

/* The Endpoints' annotations, but those that are about the object itself. */
static Value mirrored_annotations(Arena *a, const Value *endpoints)
{
    static const StrView left[] = { SV_INIT("endpoints.kubernetes.io/last-change-trigger-time"),
                                    SV_INIT("kubectl.kubernetes.io/last-applied-configuration") };
    Value out = value_map();
    value_map_foreach (m, value_path(endpoints, "metadata.annotations")) {
        if (!sv_eq(m->key, left[0]) && !sv_eq(m->key, left[1]))
            value_set(a, &out, m->key, m->val);
    }
    return out;
}

static void mirror(Job *j, const ApiObject *endpoints, const Value *doc)
{
    size_t skipped = 0;
    bool ok = true;
    Slices s;
    slices_begin(&s, j, &kind_endpoints, endpoints, MANAGER, &meta_of(endpoints)->labels);
    s.annotations = mirrored_annotations(&j->arena, doc);
    value_list_foreach (subset, value_get(doc, SV("subsets")))
        ok = ok && add_subset(&s, subset, &skipped);
    if (ok)
        slices_write(&s);
    else
        job_fail(j);
    if (skipped)
        obj_event(
            j->c, &kind_endpoints, endpoints, SV("Warning"), SV("TooManyAddressesToMirror"),
            "A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %zu "
            "addresses were skipped",
            SUBSET_ADDRESSES_MAX, skipped);
    slices_end(&s);
}

/* The addresses, which no view has. Endpoints that have changed meanwhile come back by that. */
static bool on_endpoints(Job *j, const ApiResult *r, void *arg)
{
    const ApiObject *service = obj_find(j->c, &kind_services, j->ns, j->name),
                    *endpoints = obj_find(j->c, &kind_endpoints, j->ns, j->name);
    (void)arg;
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (is_mirrored(service, endpoints) &&
        sv_eq(value_path_str(r->body, "metadata.resourceVersion"), endpoints->resource_version))
        mirror(j, endpoints, r->body);
    return true;
}

static void reconcile(Job *j)
{
    ApiObject *service = obj_find(j->c, &kind_services, j->ns, j->name),
              *endpoints = obj_find(j->c, &kind_endpoints, j->ns, j->name);
    if (!endpoints)
        return; /* its slices go with their owner */
    if (is_mirrored(service, endpoints)) {
        job_get(j, &kind_endpoints, j->ns, j->name, on_endpoints, NULL);
        return;
    }
    size_t n;
    ApiObject *const *slices = obj_owned(j->c, &kind_endpointslices, endpoints, &n);
    for (size_t i = 0; i < n; i++)
        job_delete(j, &kind_endpointslices, slices[i], SV("Background"), NULL, NULL);
}

const ControllerDef endpoints_mirror_controller = { .name = "endpoint-slice-mirroring-controller",
                                                    .queue = "endpoint_slice_mirroring",
                                                    .workers = 5,
                                                    .kinds = { &kind_services, &kind_endpoints,
                                                               &kind_endpointslices },
                                                    .observe = observe,
                                                    .reconcile = reconcile };
