/* endpointslice.c - where the pods of each Service with a selector are: EndpointSlices, one for
 * each set of ports (a named target port may differ from pod to pod) and 1000 pods, and the
 * Endpoints object of the same name for older clients. Two controllers, keyed by Service. */
#include "api/selector.h"
#include "controller/slices.h"

#define MANAGER SV("endpointslice-controller.k8s.io")

static bool selects(const Value *service, const ApiObject *pod)
{
    if (!pod || !value_len(value_path(service, "spec.selector")))
        return false;
    value_map_foreach (m, value_path(service, "spec.selector")) {
        const Value *have = value_get(value_get(obj_meta(pod), SV("labels")), m->key);
        if (!have || !sv_eq(value_str(have), value_str(&m->val)))
            return false;
    }
    return true;
}

static void observe_pod(Controller *c, ApiObject *old, ApiObject *now)
{
    size_t n;
    ApiObject *const *services =
        informer_by_index(c->cs->informers[KIND_SERVICE], INDEX_NS, (now ? now : old)->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (selects(obj_doc(services[i]), old) || selects(obj_doc(services[i]), now))
            controller_queue(c, services[i]->ns, services[i]->name);
}

static void observe_slices(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    StrView service =
        value_str(value_get(value_get(obj_meta(o), SV("labels")), SLICE_SERVICE_LABEL));
    if (kind == KIND_SERVICE)
        controller_queue(c, o->ns, o->name);
    else if (kind == KIND_POD)
        observe_pod(c, old, now);
    else if (kind == KIND_ENDPOINTSLICE && service.len)
        controller_queue(c, o->ns, service);
}

static void observe_endpoints(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == KIND_SERVICE || kind == KIND_ENDPOINTS)
        controller_queue(c, o->ns, o->name);
    else if (kind == KIND_POD)
        observe_pod(c, old, now);
}

/* ---- pods ---- */

static StrView pod_ip(const ApiObject *pod)
{
    return value_path_str(obj_doc(pod), "status.podIP");
}

/* The pods with an address that the Service selects; those that ended do not count. */
static ApiObject **pods_of(Job *j, const ApiObject *service, size_t *ret_n)
{
    size_t n, found = 0;
    ApiObject *const *pods =
        informer_by_index(j->c->cs->informers[KIND_POD], INDEX_NS, service->ns, &n);
    ApiObject **out = arena_array(&j->arena, ApiObject *, n + 1);
    for (size_t i = 0; out && i < n; i++) {
        StrView phase = value_path_str(obj_doc(pods[i]), "status.phase");
        bool ended = sv_eq(phase, SV("Succeeded")) || sv_eq(phase, SV("Failed"));
        if (!ended && pod_ip(pods[i]).len && selects(obj_doc(service), pods[i]))
            out[found++] = pods[i];
    }
    *ret_n = found;
    return out;
}

static int64_t port_number(const Value *port, const ApiObject *pod)
{
    const Value *target = value_get(port, SV("targetPort"));
    StrView name = value_str(target), protocol = value_str(value_get(port, SV("protocol")));
    if (!name.len)
        return value_int_or(target, 0) ? value_int_or(target, 0)
                                       : value_int_or(value_get(port, SV("port")), 0);
    value_list_foreach (container, value_path(obj_doc(pod), "spec.containers")) {
        value_list_foreach (p, value_get(container, SV("ports"))) {
            StrView have = value_str(value_get(p, SV("protocol")));
            if (sv_eq(value_str(value_get(p, SV("name"))), name) &&
                sv_eq(have.len ? have : SV("TCP"), protocol))
                return value_int_or(value_get(p, SV("containerPort")), 0);
        }
    }
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
    bool serving = pod_ready(obj_doc(pod)), terminating = obj_deleting(pod);
    bool anyway =
        value_bool_or(value_path(obj_doc(service), "spec.publishNotReadyAddresses"), false);
    value_push(a, &addresses, value_sv(pod_ip(pod)));
    value_set(a, &conditions, SV("ready"), value_bool(anyway || (serving && !terminating)));
    value_set(a, &conditions, SV("serving"), value_bool(serving));
    value_set(a, &conditions, SV("terminating"), value_bool(terminating));
    value_set(a, &e, SV("addresses"), addresses);
    value_set(a, &e, SV("conditions"), conditions);
    StrView node = value_path_str(obj_doc(pod), "spec.nodeName"),
            host = value_path_str(obj_doc(pod), "spec.hostname");
    if (host.len && sv_eq(value_path_str(obj_doc(pod), "spec.subdomain"), service->name))
        value_set(a, &e, SV("hostname"), value_sv(host));
    if (node.len)
        value_set(a, &e, SV("nodeName"), value_sv(node));
    value_set(a, &e, SV("targetRef"), target_ref(a, pod));
    return e;
}

static Value ports_of_pod(Arena *a, const ApiObject *service, const ApiObject *pod)
{
    Value list = value_list();
    value_list_foreach (port, value_path(obj_doc(service), "spec.ports")) {
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
    value_map_foreach (m, value_path(obj_doc(service), "metadata.labels")) {
        if (!sv_eq(m->key, headless))
            value_set(a, &labels, m->key, m->val);
    }
    if (sv_eq(value_path_str(obj_doc(service), "spec.clusterIP"), SV("None")))
        value_set(a, &labels, headless, value_sv(SV("")));
    return labels;
}

static bool is_served(const ApiObject *service)
{
    return service && !obj_deleting(service) &&
           value_len(value_path(obj_doc(service), "spec.selector")) > 0 &&
           !sv_eq(value_path_str(obj_doc(service), "spec.type"), SV("ExternalName"));
}

static void reconcile_slices(Job *j)
{
    ApiObject *service = obj_find(j->c->cs, KIND_SERVICE, j->ns, j->name);
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
    slices_begin(&s, j, KIND_SERVICE, service, MANAGER, &labels);
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
    StrView node = value_path_str(obj_doc(pod), "spec.nodeName");
    value_set(a, &address, SV("ip"), value_sv(pod_ip(pod)));
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
    bool anyway =
        value_bool_or(value_path(obj_doc(service), "spec.publishNotReadyAddresses"), false);
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
        value_push(&j->arena, anyway || pod_ready(obj_doc(pods[i])) ? &o->ready : &o->not_ready,
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
    const Value *ports = value_path(obj_doc(service), "spec.ports");
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

/* What tells readers of Endpoints that there are more than it shows. */
static void note_capacity(Arena *a, Value *endpoints, bool truncated)
{
    StrView key = SV("endpoints.kubernetes.io/over-capacity");
    Value *notes = value_path(endpoints, "metadata.annotations");
    if (!truncated && value_is(notes, VALUE_MAP))
        value_del(notes, key);
    if (!truncated)
        return;
    if (!value_is(notes, VALUE_MAP))
        notes = value_set_path(a, endpoints, "metadata.annotations", value_map());
    if (notes)
        value_set(a, notes, key, value_sv(SV("truncated")));
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
    Value out = had ? obj_copy(j, had) : value_map(), none = value_list();
    const Value *old = value_get(obj_doc(had), SV("subsets"));
    bool truncated = n > SLICE_ENDPOINTS_MAX;
    value_set(a, &labels, SV("endpoints.kubernetes.io/managed-by"),
              value_sv(SV("endpoint-controller")));
    if (had && value_equal(old ? old : &none, &subsets) &&
        value_equal(value_get(obj_meta(had), SV("labels")), &labels) &&
        truncated == (value_get(value_get(obj_meta(had), SV("annotations")),
                                SV("endpoints.kubernetes.io/over-capacity")) != NULL))
        return;
    value_set(a, &out, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &out, SV("kind"), value_sv(SV("Endpoints")));
    value_set_path(a, &out, "metadata.name", value_sv(service->name));
    value_set_path(a, &out, "metadata.namespace", value_sv(service->ns));
    value_set_path(a, &out, "metadata.labels", labels);
    note_capacity(a, &out, truncated);
    value_set(a, &out, SV("subsets"), subsets);
    if (had)
        job_update(j, KIND_ENDPOINTS, SV_NULL, &out);
    else
        job_create(j, KIND_ENDPOINTS, &out, NULL, NULL);
}

static void reconcile_endpoints(Job *j)
{
    ApiObject *service = obj_find(j->c->cs, KIND_SERVICE, j->ns, j->name);
    ApiObject *had = obj_find(j->c->cs, KIND_ENDPOINTS, j->ns, j->name);
    const Value *had_labels = value_get(obj_meta(had), SV("labels"));
    if (!is_served(service)) {
        bool ours =
            sv_eq(value_str(value_get(had_labels, SV("endpoints.kubernetes.io/managed-by"))),
                  SV("endpoint-controller"));
        if (!service && had && ours)
            job_delete(j, KIND_ENDPOINTS, had, SV("Background"), NULL, NULL);
        return;
    }
    write_endpoints(j, service, had);
}

const ControllerDef endpointslice_controller = { "endpoint-slice-controller", observe_slices,
                                                 reconcile_slices, 5 };
const ControllerDef endpoints_controller = { "endpoint-controller", observe_endpoints,
                                             reconcile_endpoints, 5 };
