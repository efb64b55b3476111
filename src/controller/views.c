/* views.c - fills the views of the kinds that the controllers watch. Each is filled twice, as
 * api/pack.h has it: to measure, then to copy. */
#include "controller/views.h"

#include "api/pack.h"
#include "base/clock.h"

/* ---- values ---- */

typedef struct DigestPart {
    uint64_t kind, a, b;
} DigestPart;

static uint64_t mix(uint64_t kind, uint64_t a, uint64_t b)
{
    DigestPart part = { kind, a, b };
    return sv_hash(sv_n((const char *)&part, sizeof part));
}

uint64_t digest_of(const Value *v)
{
    uint64_t sum = 0;
    if (!v)
        return mix(VALUE_NULL, 0, 0);
    switch (v->kind) {
    case VALUE_BOOL:
        return mix(v->kind, v->b, 0);
    case VALUE_INT:
        return mix(v->kind, (uint64_t)v->i, 0);
    case VALUE_DOUBLE:
        return mix(v->kind, sv_hash(sv_n((const char *)&v->d, sizeof v->d)), 0);
    case VALUE_STRING:
        return mix(v->kind, sv_hash(value_str(v)), v->str_len);
    case VALUE_LIST:
        value_list_foreach (it, v)
            sum = mix(v->kind, sum, digest_of(it));
        return mix(v->kind, sum, v->len);
    case VALUE_MAP:
        value_map_foreach (m, v) /* a sum: the order of members says nothing */
            sum += mix(v->kind, sv_hash(m->key), digest_of(&m->val));
        return mix(v->kind, sum, v->len);
    default:
        return mix(VALUE_NULL, 0, 0);
    }
}

static int64_t time_at(const Value *v, const char *path)
{
    int64_t ns;
    return rfc3339_parse(value_path_str(v, path), &ns) < 0 ? 0 : ns;
}

static int64_t int_at(const Value *v, const char *path, int64_t fallback)
{
    return value_int_or(value_path(v, path), fallback);
}

static bool says(const Value *v, const char *path, StrView text)
{
    return sv_eq(value_path_str(v, path), text);
}

static StrView note_at(const Value *obj, StrView key)
{
    return value_str(value_get(value_path(obj, "metadata.annotations"), key));
}

static Value map_at(Pack *p, const Value *v, const char *path)
{
    const Value *map = value_path(v, path);
    return value_is(map, VALUE_MAP) ? pack_value(p, map) : value_map();
}

/* A map without one of its members. */
static Value map_without(Pack *p, const Value *map, StrView left)
{
    Value out = value_map();
    uint32_t n = value_len(map) - (value_is(map, VALUE_MAP) && value_get(map, left));
    Member *members = n ? pack_bytes(p, n * sizeof *members) : NULL;
    value_map_foreach (m, map) {
        if (sv_eq(m->key, left))
            continue;
        Member copy = { pack_sv(p, m->key), pack_value(p, &m->val) };
        if (members)
            members[out.len++] = copy;
    }
    out.members = members;
    out.cap = out.len;
    return out;
}

static bool is_in(const Value *list, StrView text)
{
    value_list_foreach (v, list) {
        if (sv_eq(value_str(v), text))
            return true;
    }
    return false;
}

/* ---- metadata ---- */

/* What nearly every owner reference says is not copied each time. */
static StrView pack_known(Pack *p, StrView s)
{
    static const StrView known[] = { SV_INIT("v1"),         SV_INIT("apps/v1"),
                                     SV_INIT("ReplicaSet"), SV_INIT("Deployment"),
                                     SV_INIT("Service"),    SV_INIT("Endpoints"),
                                     SV_INIT("TCP"),        SV_INIT("discovery.k8s.io/v1") };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq(known[i], s))
            return known[i];
    return pack_sv(p, s);
}

static void fill_owners(Pack *p, const Value *list, MetaView *m)
{
    m->n_owners = value_is(list, VALUE_LIST) ? list->len : 0;
    OwnerRef *refs = m->n_owners ? pack_bytes(p, m->n_owners * sizeof *refs) : NULL;
    m->owners = refs;
    value_list_foreach (v, list) {
        OwnerRef ref = { .api_version = pack_known(p, value_str(value_get(v, SV("apiVersion")))),
                         .kind = pack_known(p, value_str(value_get(v, SV("kind")))),
                         .name = pack_sv(p, value_str(value_get(v, SV("name")))),
                         .uid = pack_sv(p, value_str(value_get(v, SV("uid")))),
                         .controls = value_bool_or(value_get(v, SV("controller")), false),
                         .blocks = value_bool_or(value_get(v, SV("blockOwnerDeletion")), false) };
        if (refs)
            *refs++ = ref;
    }
}

static void fill_meta(Pack *p, const Value *obj, MetaView *m, bool labels)
{
    const Value *finalizers = value_path(obj, "metadata.finalizers");
    fill_owners(p, value_path(obj, "metadata.ownerReferences"), m);
    m->labels = labels ? map_at(p, obj, "metadata.labels") : value_map();
    m->created_ns = time_at(obj, "metadata.creationTimestamp");
    m->deleting = value_path_str(obj, "metadata.deletionTimestamp").len > 0;
    m->foreground = is_in(finalizers, SV("foregroundDeletion"));
    m->orphan = is_in(finalizers, SV("orphan"));
}

/* Defines NAME_new() from fill_NAME(). */
#define VIEW(NAME, T)                                                                              \
    static void *NAME##_new(void *ctx, const Value *obj)                                           \
    {                                                                                              \
        (void)ctx;                                                                                 \
        Pack p = { 0 };                                                                            \
        T measured = { 0 };                                                                        \
        fill_##NAME(&p, obj, &measured);                                                           \
        T *view = pack_alloc(&p, sizeof *view);                                                    \
        if (view)                                                                                  \
            fill_##NAME(&p, obj, view);                                                            \
        return view;                                                                               \
    }

static void fill_bare(Pack *p, const Value *obj, MetaView *m)
{
    fill_meta(p, obj, m, false);
}
VIEW(bare, MetaView)

/* ---- pods ---- */

static PodPhase phase_of(const Value *pod)
{
    static const StrView names[] = { [POD_PENDING] = SV_INIT("Pending"),
                                     [POD_RUNNING] = SV_INIT("Running"),
                                     [POD_SUCCEEDED] = SV_INIT("Succeeded"),
                                     [POD_FAILED] = SV_INIT("Failed"),
                                     [POD_UNKNOWN] = SV_INIT("Unknown") };
    StrView phase = value_path_str(pod, "status.phase");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (sv_eq(names[i], phase))
            return (PodPhase)i;
    return POD_PENDING;
}

static void fill_ready(const Value *pod, PodView *v)
{
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        if (!sv_eq(value_str(value_get(c, SV("type"))), SV("Ready")))
            continue;
        v->ready = sv_eq(value_str(value_get(c, SV("status"))), SV("True"));
        v->ready_since_ns = v->ready ? time_at(c, "lastTransitionTime") : 0;
        return;
    }
}

static void fill_containers(const Value *pod, PodView *v)
{
    value_list_foreach (s, value_path(pod, "status.containerStatuses")) {
        v->restarts = MAX(v->restarts, (uint32_t)int_at(s, "restartCount", 0));
        v->ended_ns = MAX(v->ended_ns, time_at(s, "state.terminated.finishedAt"));
        v->ended_ns = MAX(v->ended_ns, time_at(s, "lastState.terminated.finishedAt"));
    }
}

static void fill_ports(Pack *p, const Value *pod, PodView *v)
{
    uint32_t n = 0;
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        value_list_foreach (port, value_get(c, SV("ports")))
            n += value_path_str(port, "name").len > 0;
    }
    PodPort *ports = n ? pack_bytes(p, n * sizeof *ports) : NULL;
    v->ports = ports;
    v->n_ports = n;
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        value_list_foreach (port, value_get(c, SV("ports"))) {
            StrView name = value_path_str(port, "name"), proto = value_path_str(port, "protocol");
            if (!name.len)
                continue;
            PodPort copy = { pack_sv(p, name), pack_known(p, proto.len ? proto : SV("TCP")),
                             (int32_t)int_at(port, "containerPort", 0) };
            if (ports)
                *ports++ = copy;
        }
    }
}

#define TOLERATION(KEY, LEN)                                                                       \
    {                                                                                              \
        { SV_INIT("key"), { .kind = VALUE_STRING, .str = KEY, .str_len = LEN } },                  \
            { SV_INIT("operator"), { .kind = VALUE_STRING, .str = "Exists", .str_len = 6 } },      \
            { SV_INIT("effect"), { .kind = VALUE_STRING, .str = "NoExecute", .str_len = 9 } },     \
            { SV_INIT("tolerationSeconds"), { .kind = VALUE_INT, .i = 300 } },                     \
    }

/* The tolerations that admission gives to every pod are there once. Only ever read. */
static const Value *usual_tolerations(void)
{
    static const Member not_ready[] = TOLERATION("node.kubernetes.io/not-ready", 28),
                        unreachable[] = TOLERATION("node.kubernetes.io/unreachable", 30);
    static const Value items[] = {
        { .kind = VALUE_MAP, .len = 4, .cap = 4, .members = (Member *)not_ready },
        { .kind = VALUE_MAP, .len = 4, .cap = 4, .members = (Member *)unreachable },
    };
    static const Value list = { .kind = VALUE_LIST, .len = 2, .cap = 2, .items = (Value *)items };
    return &list;
}

static void fill_tolerations(Pack *p, const Value *pod, PodView *v)
{
    const Value *list = value_path(pod, "spec.tolerations");
    v->tolerations = usual_tolerations();
    if (value_is(list, VALUE_LIST) && value_equal(list, v->tolerations))
        return;
    Value copy = pack_value(p, list), *own = pack_bytes(p, sizeof *own);
    if (own)
        *own = copy;
    v->tolerations = own;
}

static void fill_pod(Pack *p, const Value *obj, PodView *v)
{
    fill_meta(p, obj, &v->meta, true);
    v->node = pack_sv(p, value_path_str(obj, "spec.nodeName"));
    v->ip = pack_sv(p, value_path_str(obj, "status.podIP"));
    v->hostname = pack_sv(p, value_path_str(obj, "spec.hostname"));
    v->subdomain = pack_sv(p, value_path_str(obj, "spec.subdomain"));
    fill_tolerations(p, obj, v);
    fill_ports(p, obj, v);
    fill_containers(obj, v);
    fill_ready(obj, v);
    v->phase = phase_of(obj);
    StrView cost = note_at(obj, SV("controller.kubernetes.io/pod-deletion-cost"));
    if (sv_to_i64(cost, &v->deletion_cost) < 0)
        v->deletion_cost = 0;
}
VIEW(pod, PodView)

/* ---- nodes ---- */

static Value pack_conditions(Pack *p, const Value *list)
{
    static const StrView kept[] = { SV_INIT("type"), SV_INIT("status") };
    uint32_t n = value_len(list), k = 0;
    Value out = value_list();
    Value *items = n ? pack_bytes(p, n * sizeof *items) : NULL;
    value_list_foreach (c, list) {
        Member *members = pack_bytes(p, ARRAY_SIZE(kept) * sizeof *members);
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
            Member m = { kept[i], value_sv(pack_sv(p, value_str(value_get(c, kept[i])))) };
            if (members)
                members[i] = m;
        }
        if (items)
            items[k++] = (Value){ .kind = VALUE_MAP, .len = 2, .cap = 2, .members = members };
    }
    out.items = items;
    out.len = out.cap = k;
    return out;
}

/* A map of these members; the keys are literals. */
static Value pack_map(Pack *p, const Member *from, uint32_t n)
{
    Value out = value_map();
    Member *members = pack_bytes(p, n * sizeof *members);
    if (members) {
        memcpy(members, from, n * sizeof *members);
        out.members = members;
        out.len = out.cap = n;
    }
    return out;
}

static void fill_node(Pack *p, const Value *obj, NodeView *v)
{
    const Value *taints = value_path(obj, "spec.taints");
    Member spec[] = {
        { SV("unschedulable"),
          value_bool(value_bool_or(value_path(obj, "spec.unschedulable"), false)) },
        { SV("taints"), value_is(taints, VALUE_LIST) ? pack_value(p, taints) : value_list() },
    };
    Member status[] = { { SV("conditions"),
                          pack_conditions(p, value_path(obj, "status.conditions")) } };
    Member doc[] = { { SV("spec"), pack_map(p, spec, ARRAY_SIZE(spec)) },
                     { SV("status"), pack_map(p, status, ARRAY_SIZE(status)) } };
    fill_meta(p, obj, &v->meta, true);
    v->doc = pack_map(p, doc, ARRAY_SIZE(doc));
    value_list_foreach (t, taints) {
        if (sv_eq(value_str(value_get(t, SV("effect"))), SV("NoExecute")))
            v->evicts = true;
    }
}
VIEW(node, NodeView)

static void fill_lease(Pack *p, const Value *obj, LeaseView *v)
{
    fill_meta(p, obj, &v->meta, false);
    v->renewed_ns = time_at(obj, "spec.renewTime");
}
VIEW(lease, LeaseView)

/* ---- sets of replicas ---- */

#define LAST_APPLIED SV("kubectl.kubernetes.io/last-applied-configuration")

/* The digest of a pod template without the label by which a Deployment tells its sets apart. */
static uint64_t template_digest(const Value *obj)
{
    const Value *tmpl = value_path(obj, "spec.template");
    const Value *meta = value_get(tmpl, SV("metadata")), *labels = value_get(meta, SV("labels"));
    uint64_t sum = 0;
    value_map_foreach (m, labels) {
        if (!sv_eq(m->key, SV("pod-template-hash")))
            sum += mix(VALUE_MAP, sv_hash(m->key), digest_of(&m->val));
    }
    value_map_foreach (m, meta) {
        if (!sv_eq(m->key, SV("labels")))
            sum += mix(VALUE_STRING, sv_hash(m->key), digest_of(&m->val));
    }
    return mix(VALUE_MAP, sum, digest_of(value_get(tmpl, SV("spec"))));
}

static void fill_replicas(Pack *p, const Value *obj, ReplicasView *v)
{
    fill_meta(p, obj, &v->meta, true);
    v->selector = pack_value(p, value_path(obj, "spec.selector"));
    v->template_labels = map_at(p, obj, "spec.template.metadata.labels");
    v->annotations = map_without(p, value_path(obj, "metadata.annotations"), LAST_APPLIED);
    v->template_digest = template_digest(obj);
    v->replicas = int_at(obj, "spec.replicas", 1);
    v->min_ready_s = int_at(obj, "spec.minReadySeconds", 0);
    v->generation = int_at(obj, "metadata.generation", 0);
    v->status.replicas = int_at(obj, "status.replicas", 0);
    v->status.labeled = int_at(obj, "status.fullyLabeledReplicas", 0);
    v->status.ready = int_at(obj, "status.readyReplicas", 0);
    v->status.available = int_at(obj, "status.availableReplicas", 0);
    v->status.observed = int_at(obj, "status.observedGeneration", 0);
}
VIEW(replicas, ReplicasView)

static void fill_deployment(Pack *p, const Value *obj, DeploymentView *v)
{
    fill_meta(p, obj, &v->meta, false);
    v->selector = pack_value(p, value_path(obj, "spec.selector"));
    v->annotations = map_without(p, value_path(obj, "metadata.annotations"), LAST_APPLIED);
    v->status = map_at(p, obj, "status");
    v->max_surge = pack_value(p, value_path(obj, "spec.strategy.rollingUpdate.maxSurge"));
    v->max_unavailable =
        pack_value(p, value_path(obj, "spec.strategy.rollingUpdate.maxUnavailable"));
    v->template_digest = template_digest(obj);
    v->replicas = int_at(obj, "spec.replicas", 1);
    v->deadline_s = int_at(obj, "spec.progressDeadlineSeconds", 600);
    v->history_limit = int_at(obj, "spec.revisionHistoryLimit", 10);
    v->generation = int_at(obj, "metadata.generation", 0);
    v->paused = value_bool_or(value_path(obj, "spec.paused"), false);
    v->recreate = says(obj, "spec.strategy.type", SV("Recreate"));
}
VIEW(deployment, DeploymentView)

/* ---- services ---- */

static void fill_service(Pack *p, const Value *obj, ServiceView *v)
{
    fill_meta(p, obj, &v->meta, true);
    v->selector = map_at(p, obj, "spec.selector");
    v->ports = pack_value(p, value_path(obj, "spec.ports"));
    v->has_selector = value_is(value_path(obj, "spec.selector"), VALUE_MAP);
    v->external_name = says(obj, "spec.type", SV("ExternalName"));
    v->headless = says(obj, "spec.clusterIP", SV("None"));
    v->not_ready_too = value_bool_or(value_path(obj, "spec.publishNotReadyAddresses"), false);
}
VIEW(service, ServiceView)

static uint64_t digest_of_list(const Value *list)
{
    const Value none = value_list();
    return digest_of(value_is(list, VALUE_LIST) ? list : &none);
}

static void fill_slice(Pack *p, const Value *obj, SliceView *v)
{
    fill_meta(p, obj, &v->meta, true);
    v->address_type = pack_sv(p, value_path_str(obj, "addressType"));
    v->ports = pack_value(p, value_get(obj, SV("ports")));
    v->annotations = map_at(p, obj, "metadata.annotations");
    v->endpoints_digest = digest_of_list(value_get(obj, SV("endpoints")));
}
VIEW(slice, SliceView)

static void fill_endpoints(Pack *p, const Value *obj, EndpointsView *v)
{
    fill_meta(p, obj, &v->meta, true);
    v->subsets_digest = digest_of_list(value_get(obj, SV("subsets")));
    v->over_capacity = note_at(obj, SV("endpoints.kubernetes.io/over-capacity")).ptr != NULL;
    v->leads = note_at(obj, SV("control-plane.alpha.kubernetes.io/leader")).ptr != NULL;
}
VIEW(endpoints, EndpointsView)

/* ---- what namespaces have ---- */

static void fill_secret(Pack *p, const Value *obj, SecretView *v)
{
    fill_meta(p, obj, &v->meta, false);
    v->account = pack_sv(p, note_at(obj, SV("kubernetes.io/service-account.name")));
    v->account_uid = pack_sv(p, note_at(obj, SV("kubernetes.io/service-account.uid")));
}
VIEW(secret, SecretView)

static void fill_root_ca(Pack *p, const Value *obj, RootCaView *v)
{
    fill_meta(p, obj, &v->meta, false);
    v->data_digest = digest_of(value_get(obj, SV("data")));
}
VIEW(root_ca, RootCaView)

/* ---- kinds ---- */

#define CORE(PLURAL, KIND)                                                                         \
    .group = SV_INIT(""), .version = SV_INIT("v1"), .plural = SV_INIT(PLURAL),                     \
    .kind = SV_INIT(KIND), .api_version = SV_INIT("v1")
#define GROUPED(GROUP, PLURAL, KIND)                                                               \
    .group = SV_INIT(GROUP), .version = SV_INIT("v1"), .plural = SV_INIT(PLURAL),                  \
    .kind = SV_INIT(KIND), .api_version = SV_INIT(GROUP "/v1")

const WatchedKind kind_pods = { CORE("pods", "Pod"), .view = pod_new };
const WatchedKind kind_replicasets = { GROUPED("apps", "replicasets", "ReplicaSet"),
                                       .view = replicas_new };
const WatchedKind kind_replicationcontrollers = {
    CORE("replicationcontrollers", "ReplicationController"), .view = replicas_new
};
const WatchedKind kind_deployments = { GROUPED("apps", "deployments", "Deployment"),
                                       .view = deployment_new };
const WatchedKind kind_services = { CORE("services", "Service"), .view = service_new };
const WatchedKind kind_endpointslices = {
    GROUPED("discovery.k8s.io", "endpointslices", "EndpointSlice"), .view = slice_new
};
const WatchedKind kind_endpoints = { CORE("endpoints", "Endpoints"), .view = endpoints_new };
const WatchedKind kind_namespaces = { CORE("namespaces", "Namespace"), .view = bare_new };
const WatchedKind kind_serviceaccounts = { CORE("serviceaccounts", "ServiceAccount"),
                                           .view = bare_new };
const WatchedKind kind_token_secrets = { CORE("secrets", "Secret"), .metadata_only = true,
                                         .field_selector =
                                             SV_INIT("type=kubernetes.io/service-account-token"),
                                         .view = secret_new };
const WatchedKind kind_root_cas = { CORE("configmaps", "ConfigMap"),
                                    .field_selector = SV_INIT("metadata.name=kube-root-ca.crt"),
                                    .view = root_ca_new };
const WatchedKind kind_nodes = { CORE("nodes", "Node"), .view = node_new };
const WatchedKind kind_node_leases = { GROUPED("coordination.k8s.io", "leases", "Lease"),
                                       .ns = SV_INIT("kube-node-lease"), .view = lease_new };

static const WatchedKind *const kinds[] = {
    &kind_pods,        &kind_replicasets, &kind_replicationcontrollers,
    &kind_deployments, &kind_services,    &kind_endpointslices,
    &kind_endpoints,   &kind_namespaces,  &kind_serviceaccounts,
    &kind_nodes,
};

const WatchedKind *watched_kind_find(StrView group, StrView plural)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (sv_eq(kinds[i]->group, group) && sv_eq(kinds[i]->plural, plural))
            return kinds[i];
    return NULL;
}

/* ---- indexes ---- */

const OwnerRef *controller_of(const ApiObject *o)
{
    const MetaView *m = meta_of(o);
    for (uint32_t i = 0; i < m->n_owners; i++)
        if (m->owners[i].controls)
            return &m->owners[i];
    return NULL;
}

bool owners_equal(const MetaView *a, const MetaView *b)
{
    if (a->n_owners != b->n_owners)
        return false;
    for (uint32_t i = 0; i < a->n_owners; i++) {
        const OwnerRef *x = &a->owners[i], *y = &b->owners[i];
        if (!sv_eq(x->uid, y->uid) || !sv_eq(x->name, y->name) || !sv_eq(x->kind, y->kind) ||
            !sv_eq(x->api_version, y->api_version) || x->controls != y->controls ||
            x->blocks != y->blocks)
            return false;
    }
    return true;
}

static void index_controller(const ApiObject *o, InformerEmit *e)
{
    const OwnerRef *ref = controller_of(o);
    if (ref && ref->uid.len)
        informer_emit(e, ref->uid);
}

static void index_other_owners(const ApiObject *o, InformerEmit *e)
{
    const MetaView *m = meta_of(o);
    const OwnerRef *controller = controller_of(o);
    for (uint32_t i = 0; i < m->n_owners; i++)
        if (&m->owners[i] != controller && m->owners[i].uid.len)
            informer_emit(e, m->owners[i].uid);
}

static void index_ns(const ApiObject *o, InformerEmit *e)
{
    informer_emit(e, o->ns);
}

static void index_uid(const ApiObject *o, InformerEmit *e)
{
    informer_emit(e, o->uid);
}

static void index_node(const ApiObject *o, InformerEmit *e)
{
    const PodView *pod = o->projection;
    if (pod->node.len)
        informer_emit(e, pod->node);
}

InformerConfig watched_config(const WatchedKind *k)
{
    InformerConfig cfg = { .target = { .group = k->group,
                                       .version = k->version,
                                       .plural = k->plural,
                                       .ns = k->ns,
                                       .metadata_only = k->metadata_only },
                           .field_selector = k->field_selector,
                           .project = k->view,
                           .unproject = free,
                           .drop_json = true,
                           .indexes = { index_controller, index_other_owners, index_uid, index_ns,
                                        index_node },
                           .n_indexes = k == &kind_pods ? 5 : 4 };
    return cfg;
}

InformerConfig meta_config(StrView group, StrView version, StrView plural)
{
    InformerConfig cfg = watched_config(&(WatchedKind){ .group = group,
                                                        .version = version,
                                                        .plural = plural,
                                                        .metadata_only = true,
                                                        .view = bare_new });
    cfg.n_indexes = 3;
    return cfg;
}
