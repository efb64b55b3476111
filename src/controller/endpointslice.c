/* endpointslice.c - where the pods of each Service with a selector are: EndpointSlices, one for
 * each set of ports (a named target port may differ from pod to pod) and 1000 pods, and the
 * Endpoints object of the same name for older clients. Two controllers, keyed by Service. */
#include "api/selector.h"
#include "controller/slices.h"

#define MANAGER SV("endpointslice-controller.k8s.io")

static const ServiceView *view(const ApiObject *service)
{
    return service->projection;
}

static bool selects(const ApiObject *service, const ApiObject *pod)
{
    const Value *selector = &view(service)->selector;
    if (!pod || !value_len(selector))
        return false;
    value_map_foreach (m, selector) {
        const Value *have = value_get(&meta_of(pod)->labels, m->key);
        if (!have || !sv_eq(value_str(have), value_str(&m->val)))
            return false;
    }
    return true;
}

static void observe_pod(Controller *c, ApiObject *old, ApiObject *now)
{
    size_t n;
    ApiObject *const *services =
        obj_indexed(c, &kind_services, INDEX_NS, (now ? now : old)->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (selects(services[i], old) || selects(services[i], now))
            controller_queue(c, services[i]->ns, services[i]->name);
}

static void observe_slices(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    StrView service = value_str(value_get(&meta_of(o)->labels, SLICE_SERVICE_LABEL));
    if (kind == &kind_services)
        controller_queue(c, o->ns, o->name);
    else if (kind == &kind_pods)
        observe_pod(c, old, now);
    else if (service.len)
        controller_queue(c, o->ns, service);
}

static void observe_endpoints(Controller *c, const WatchedKind *kind, ApiObject *old,
                              ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == &kind_pods)
        observe_pod(c, old, now);
    else
        controller_queue(c, o->ns, o->name);
}

/* ---- pods ---- */

/* The pods with an address that the Service selects; those that ended do not count. */
static ApiObject **pods_of(Job *j, const ApiObject *service, size_t *ret_n)
{
    size_t n, found = 0;
    ApiObject *const *pods = obj_indexed(j->c, &kind_pods, INDEX_NS, service->ns, &n);
    ApiObject **out = arena_array(&j->arena, ApiObject *, n + 1);
    for (size_t i = 0; out && i < n; i++)
        if (!pod_ended(pod_of(pods[i])) && pod_of(pods[i])->ip.len && selects(service, pods[i]))
            out[found++] = pods[i];
    *ret_n = found;
    return out;
}

static int64_t port_number(const Value *port, const ApiObject *pod)
{
    const Value *target = value_get(port, SV("targetPort"));
    const PodView *v = pod_of(pod);
    StrView name = value_str(target), protocol = value_str(value_get(port, SV("protocol")));
    if (!name.len)
        return value_int_or(target, 0) ? value_int_or(target, 0)
                                       : value_int_or(value_get(port, SV("port")), 0);
    for (uint32_t i = 0; i < v->n_ports; i++)
        if (sv_eq(v->ports[i].name, name) && sv_eq(v->ports[i].protocol, protocol))
            return v->ports[i].number;
    return 0;
}

/* A port in the form of Endpoints: a name only where there is one. */
static Value port_value(Arena *a, const Value *port, int64_t number)
{
    Value out = slice_port(a, port, number);
    if (!value_path_str(&out, "name").len)
        value_del(&out, SV("name"));
    return out;
}

static Value target_ref(Arena *a, const ApiObject *pod)
{
    Value ref = value_map();
    value_set(a, &ref, SV("kind"), value_sv(SV("Pod")));
    value_set(a, &ref, SV("name"), value_sv(pod->name));
    value_set(a, &ref, SV("namespace"), value_sv(pod->ns));
    value_set(a, &ref, SV("uid"), value_sv(pod->uid));
    return ref;
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp((*(ApiObject *const *)a)->name, (*(ApiObject *const *)b)->name);
}

/* ---- EndpointSlice ---- */

static Value endpoint_of(Arena *a, const ApiObject *service, const ApiObject *pod)
{
    Value e = value_map(), addresses = value_list(), conditions = value_map();
    const PodView *v = pod_of(pod);
    bool ready = view(service)->not_ready_too || (v->ready && !v->meta.deleting);
    value_push(a, &addresses, value_sv(v->ip));
    value_set(a, &conditions, SV("ready"), value_bool(ready));
    value_set(a, &conditions, SV("serving"), value_bool(v->ready));
    value_set(a, &conditions, SV("terminating"), value_bool(v->meta.deleting));
    value_set(a, &e, SV("addresses"), addresses);
    value_set(a, &e, SV("conditions"), conditions);
    if (v->hostname.len && sv_eq(v->subdomain, service->name))
        value_set(a, &e, SV("hostname"), value_sv(v->hostname));
    if (v->node.len)
        value_set(a, &e, SV("nodeName"), value_sv(v->node));
    value_set(a, &e, SV("targetRef"), target_ref(a, pod));
    return e;
}

static Value ports_of_pod(Arena *a, const ApiObject *service, const ApiObject *pod)
{
    Value list = value_list();
    value_list_foreach (port, &view(service)->ports) {
        int64_t number = port_number(port, pod);
        if (number)
            value_push(a, &list, slice_port(a, port, number));
    }
    return list;
}

static bool add_pods(Slices *s, const ApiObject *service, ApiObject *const *pods, size_t n)
{
    Arena *a = &s->job->arena;
    for (size_t i = 0; i < n; i++) {
        Value endpoint = endpoint_of(a, service, pods[i]);
        if (!slices_add(s, SV("IPv4"), ports_of_pod(a, service, pods[i]), &endpoint))
            return false;
    }
    return n > 0 ||
           slices_add(s, SV("IPv4"), value_list(), NULL); /* an empty slice stands for it */
}

/* The Service's own labels; the one that tells headless Services follows from the Service alone,
 * whatever its user wrote. */
static Value labels_of(Arena *a, const ApiObject *service)
{
    Value labels = value_map();
    StrView headless = SV("service.kubernetes.io/headless");
    value_map_foreach (m, &meta_of(service)->labels) {
        if (!sv_eq(m->key, headless))
            value_set(a, &labels, m->key, m->val);
    }
    if (view(service)->headless)
        value_set(a, &labels, headless, value_sv(SV("")));
    return labels;
}

static bool is_served(const ApiObject *service)
{
    return service && !obj_deleting(service) && value_len(&view(service)->selector) > 0 &&
           !view(service)->external_name;
}

static void reconcile_slices(Job *j)
{
    ApiObject *service = obj_find(j->c, &kind_services, j->ns, j->name);
    if (!is_served(service))
        return; /* its slices go with their owner */
    size_t n;
    ApiObject **pods = pods_of(j, service, &n);
    if (!pods) {
        job_fail(j);
        return;
    }
    if (n)
        qsort(pods, n, sizeof *pods, by_name);
    Value labels = labels_of(&j->arena, service);
    Slices s;
    slices_begin(&s, j, &kind_services, service, MANAGER, &labels);
    if (add_pods(&s, service, pods, n))
        slices_write(&s);
    else
        job_fail(j);
    slices_end(&s);
}

/* ---- Endpoints ---- */

/* One subset for each set of pods that share ports, as Kubernetes' canonical form has it. */
typedef struct Offer { /* one port, and who has it */
    Value port;        /* null: the Service names no ports */
    Value ready, not_ready;
    Buf pods; /* their numbers */
    struct Offer *next;
} Offer;

static Value address_of(Arena *a, const ApiObject *pod)
{
    Value address = value_map();
    StrView node = pod_of(pod)->node;
    value_set(a, &address, SV("ip"), value_sv(pod_of(pod)->ip));
    if (node.len)
        value_set(a, &address, SV("nodeName"), value_sv(node));
    value_set(a, &address, SV("targetRef"), target_ref(a, pod));
    return address;
}

/* Appends the offers of one port of the Service (NULL: of a Service without ports) at *end. */
static Offer **add_offers(Job *j, const ApiObject *service, const Value *port,
                          ApiObject *const *pods, size_t n, Offer **end)
{
    _cleanup_map_ Map by_number = { 0 };
    bool anyway = view(service)->not_ready_too;
    for (size_t i = 0; i < n; i++) {
        int64_t number = port ? port_number(port, pods[i]) : -1;
        StrView key = arena_printf(&j->arena, "%lld", (long long)number);
        if (!number || (obj_deleting(pods[i]) && !anyway))
            continue;
        Offer *o = map_get(&by_number, key);
        if (!o) {
            o = arena_new(&j->arena, Offer);
            if (!o || !map_set(&by_number, key, o, NULL)) {
                job_fail(j);
                break;
            }
            *o = (Offer){ .port = port ? port_value(&j->arena, port, number) : value_null(),
                          .ready = value_list(),
                          .not_ready = value_list() };
            *end = o;
            end = &o->next;
        }
        buf_printf(&o->pods, "%zu,", i);
        value_push(&j->arena, anyway || pod_of(pods[i])->ready ? &o->ready : &o->not_ready,
                   address_of(&j->arena, pods[i]));
    }
    return end;
}

static Value subset_of(Arena *a, const Offer *o)
{
    Value subset = value_map(), ports = value_list();
    if (value_len(&o->ready))
        value_set(a, &subset, SV("addresses"), o->ready);
    if (value_len(&o->not_ready))
        value_set(a, &subset, SV("notReadyAddresses"), o->not_ready);
    if (value_is(&o->port, VALUE_MAP)) {
        value_push(a, &ports, o->port);
        value_set(a, &subset, SV("ports"), ports);
    }
    return subset;
}

static Value subsets_of(Job *j, const ApiObject *service, ApiObject *const *pods, size_t n)
{
    _cleanup_map_ Map by_pods = { 0 }; /* a text of pods → the number of its subset + 1 */
    Value subsets = value_list();
    Offer *offers = NULL, **end = &offers;
    const Value *ports = &view(service)->ports;
    n = MIN(n, (size_t)SLICE_ENDPOINTS_MAX);
    if (!value_len(ports))
        add_offers(j, service, NULL, pods, n, end);
    value_list_foreach (port, ports)
        end = add_offers(j, service, port, pods, n, end);
    for (Offer *o = offers; o; o = o->next) {
        uintptr_t at = (uintptr_t)map_get(&by_pods, buf_view(&o->pods));
        if (at)
            value_push(&j->arena, value_get(value_at(&subsets, (uint32_t)at - 1), SV("ports")),
                       o->port);
        else if (value_push(&j->arena, &subsets, subset_of(&j->arena, o)) && !o->pods.failed &&
                 map_set(&by_pods, buf_view(&o->pods), (void *)(uintptr_t)value_len(&subsets),
                         NULL))
            continue;
        else
            job_fail(j);
    }
    for (Offer *o = offers; o; o = o->next)
        buf_free(&o->pods);
    return subsets;
}

#define MANAGED_BY    SV("endpoints.kubernetes.io/managed-by")
#define OVER_CAPACITY SV("endpoints.kubernetes.io/over-capacity")

/* Tells readers of Endpoints that there are more addresses than it shows. */
static Value capacity_note(Arena *a, bool truncated)
{
    Value notes = value_map();
    value_set(a, &notes, OVER_CAPACITY, truncated ? value_sv(SV("truncated")) : value_null());
    return notes;
}

static void create_endpoints(Job *j, const ApiObject *service, Value labels, Value subsets,
                             bool truncated)
{
    Arena *a = &j->arena;
    Value out = value_map();
    value_set(a, &out, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &out, SV("kind"), value_sv(SV("Endpoints")));
    value_set_path(a, &out, "metadata.name", value_sv(service->name));
    value_set_path(a, &out, "metadata.namespace", value_sv(service->ns));
    value_set_path(a, &out, "metadata.labels", labels);
    if (truncated)
        value_set_path(a, &out, "metadata.annotations", capacity_note(a, true));
    value_set(a, &out, SV("subsets"), subsets);
    job_create(j, &kind_endpoints, &out, NULL, NULL);
}

static void write_endpoints(Job *j, const ApiObject *service, const ApiObject *had)
{
    Arena *a = &j->arena;
    size_t n;
    ApiObject **pods = pods_of(j, service, &n);
    if (!pods) {
        job_fail(j);
        return;
    }
    if (n)
        qsort(pods, n, sizeof *pods, by_name);
    Value subsets = subsets_of(j, service, pods, n), labels = labels_of(a, service);
    bool truncated = n > SLICE_ENDPOINTS_MAX;
    value_set(a, &labels, MANAGED_BY, value_sv(SV("endpoint-controller")));
    if (!had) {
        create_endpoints(j, service, labels, subsets, truncated);
        return;
    }
    const EndpointsView *v = had->projection;
    Value patch = value_map(), changes = map_patch(a, &v->meta.labels, &labels);
    if (v->subsets_digest != digest_of(&subsets))
        value_set(a, &patch, SV("subsets"), subsets);
    if (changes.len)
        value_set_path(a, &patch, "metadata.labels", changes);
    if (truncated != v->over_capacity)
        value_set_path(a, &patch, "metadata.annotations", capacity_note(a, truncated));
    if (patch.len)
        job_patch(j, &kind_endpoints, had, SV_NULL, API_PATCH_MERGE, &patch);
}

static void reconcile_endpoints(Job *j)
{
    ApiObject *service = obj_find(j->c, &kind_services, j->ns, j->name);
    ApiObject *had = obj_find(j->c, &kind_endpoints, j->ns, j->name);
    if (is_served(service)) {
        write_endpoints(j, service, had);
        return;
    }
    if (!service && had &&
        sv_eq(value_str(value_get(&meta_of(had)->labels, MANAGED_BY)), SV("endpoint-controller")))
        job_delete(j, &kind_endpoints, had, SV("Background"), NULL, NULL);
}

const ControllerDef endpointslice_controller = { .name = "endpoint-slice-controller",
                                                 .queue = "endpoint_slice",
                                                 .workers = 5,
                                                 .kinds = { &kind_services, &kind_pods,
                                                            &kind_endpointslices },
                                                 .observe = observe_slices,
                                                 .reconcile = reconcile_slices };
const ControllerDef endpoints_controller = { .name = "endpoint-controller",
                                             .queue = "endpoint",
                                             .workers = 5,
                                             .kinds = { &kind_services, &kind_pods,
                                                        &kind_endpoints },
                                             .observe = observe_endpoints,
                                             .reconcile = reconcile_endpoints };
