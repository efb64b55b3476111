/* cluster.c - nodes with the pods on them. A node that pods name before it exists, or after it has
 * gone, keeps its account until they are gone too. */
#include "scheduler/cluster.h"

#include "api/pack.h"
#include "base/clock.h"

/* ---- pods ---- */

static int64_t time_at(const Value *pod, const char *path)
{
    int64_t ns;
    return rfc3339_parse(value_path_str(pod, path), &ns) == 0 ? ns : 0;
}

static bool read_affinity(SchedPod *p, const Value *pod)
{
    const Value *affinity = value_path(pod, "spec.affinity");
    const char required[] = "requiredDuringSchedulingIgnoredDuringExecution",
               preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    if (!value_get(affinity, SV("podAffinity")) && !value_get(affinity, SV("podAntiAffinity")))
        return true;
    Value own;
    if (!value_clone(&p->arena, affinity, &own))
        return false;
    const Value *with = value_get(&own, SV("podAffinity")),
                *against = value_get(&own, SV("podAntiAffinity"));
    struct {
        const Value *list;
        bool weighted;
        AffinityTerms *to;
    } parts[] = {
        { value_get(with, sv_cstr(required)), false, &p->required },
        { value_get(against, sv_cstr(required)), false, &p->required_anti },
        { value_get(with, sv_cstr(preferred)), true, &p->preferred },
        { value_get(against, sv_cstr(preferred)), true, &p->preferred_anti },
    };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (!affinity_terms_read(parts[i].list, parts[i].weighted, p->ns, &p->labels, &p->arena,
                                 parts[i].to))
            return false;
    return true;
}

static uint32_t count_ports(const Value *pod)
{
    uint32_t n = 0;
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        value_list_foreach (port, value_get(c, SV("ports")))
            n += value_int_or(value_get(port, SV("hostPort")), 0) > 0;
    }
    return n;
}

static bool read_ports(SchedPod *p, const Value *pod)
{
    uint32_t n = count_ports(pod);
    if (!n)
        return true;
    if (!(p->ports = arena_array(&p->arena, HostPort, n)))
        return false;
    value_list_foreach (c, value_path(pod, "spec.containers")) {
        value_list_foreach (port, value_get(c, SV("ports"))) {
            StrView ip = value_str(value_get(port, SV("hostIP"))),
                    protocol = value_str(value_get(port, SV("protocol")));
            int64_t number = value_int_or(value_get(port, SV("hostPort")), 0);
            if (number <= 0)
                continue;
            HostPort *h = &p->ports[p->n_ports++];
            h->port = number;
            h->ip = arena_sv(&p->arena, sv_eq(ip, SV("0.0.0.0")) ? SV("") : ip);
            h->protocol = arena_sv(&p->arena, protocol.len ? protocol : SV("TCP"));
            if (!h->ip.ptr || !h->protocol.ptr)
                return false;
        }
    }
    return true;
}

static void read_state(SchedPod *p, const Value *pod)
{
    StrView phase = value_path_str(pod, "status.phase"),
            scheduler = value_path_str(pod, "spec.schedulerName");
    p->priority = (int32_t)value_int_or(value_path(pod, "spec.priority"), 0);
    p->never_preempts = sv_eq(value_path_str(pod, "spec.preemptionPolicy"), SV("Never"));
    p->done = sv_eq(phase, SV("Succeeded")) || sv_eq(phase, SV("Failed"));
    p->terminating = value_path(pod, "metadata.deletionTimestamp") != NULL;
    p->start_ns = time_at(pod, "status.startTime");
    if (!p->start_ns)
        p->start_ns = time_at(pod, "metadata.creationTimestamp");
    p->waits = !p->node_name.len && !p->done && !p->terminating &&
               !value_len(value_path(pod, "spec.schedulingGates")) &&
               (!scheduler.len || sv_eq(scheduler, SV("default-scheduler")));
}

/* Of a pod that waits: what fit.c, spread.c and support.c look at, and what was said of it. */
static bool keep_doc(SchedPod *p, const Value *pod)
{
    static const StrView kept[] = { SV_INIT("nodeSelector"), SV_INIT("affinity"),
                                    SV_INIT("tolerations"), SV_INIT("topologySpreadConstraints"),
                                    SV_INIT("resourceClaims") };
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value doc = value_map(), spec = value_map(), conditions = value_list();
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        const Value *v = value_get(value_get(pod, SV("spec")), kept[i]);
        if (v)
            value_set(&a, &spec, kept[i], *v);
    }
    value_list_foreach (c, value_path(pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled")))
            value_push(&a, &conditions, *c);
    }
    value_set(&a, &doc, SV("spec"), spec);
    value_set_path(&a, &doc, "status.conditions", conditions);
    if (a.failed)
        return false;
    Pack pack = { 0 };
    (void)pack_value(&pack, &doc);
    p->doc = pack_alloc(&pack, 0);
    p->pod = p->doc ? pack_value(&pack, &doc) : value_null();
    return p->doc != NULL;
}

static void fill_extras(Pack *pack, const Request *r, SchedPod *p)
{
    Extra *extras = r->n_extras ? pack_bytes(pack, r->n_extras * sizeof *extras) : NULL;
    for (uint32_t i = 0; i < r->n_extras; i++) {
        StrView name = pack_sv(pack, r->extras[i].name);
        if (extras)
            extras[i] = (Extra){ name, r->extras[i].amount };
    }
    p->request = *r;
    p->request.extras = extras;
}

static StrView pack_key(Pack *pack, StrView ns, StrView name)
{
    size_t n = ns.len + 1 + name.len;
    char *key = pack_bytes(pack, n);
    if (!key)
        return SV_NULL;
    memcpy(key, ns.ptr, ns.len);
    key[ns.len] = '/';
    memcpy(key + ns.len + 1, name.ptr, name.len);
    return sv_n(key, n);
}

static void fill_pod(Pack *pack, const Value *pod, const Request *r, SchedPod *p)
{
    StrView ns = value_path_str(pod, "metadata.namespace"),
            name = value_path_str(pod, "metadata.name");
    const Value *labels = value_path(pod, "metadata.labels");
    p->key = pack_key(pack, ns.ptr ? ns : SV(""), name.ptr ? name : SV(""));
    p->ns = sv_n(p->key.ptr, ns.len);
    p->name = sv_n(p->key.ptr ? p->key.ptr + ns.len + 1 : NULL, name.len);
    p->uid = pack_sv(pack, value_path_str(pod, "metadata.uid"));
    p->node_name = pack_sv(pack, value_path_str(pod, "spec.nodeName"));
    p->nominated = pack_sv(pack, value_path_str(pod, "status.nominatedNodeName"));
    p->labels = value_is(labels, VALUE_MAP) ? pack_value(pack, labels) : value_map();
    fill_extras(pack, r, p);
}

SchedPod *sched_pod_new(const Value *pod)
{
    _cleanup_arena_ Arena scratch;
    Request request;
    Pack pack = { 0 };
    SchedPod measured;
    arena_init(&scratch, 0);
    if (!request_of_pod(pod, &scratch, &request))
        return NULL;
    fill_pod(&pack, pod, &request, &measured);
    SchedPod *p = pack_alloc(&pack, sizeof *p);
    if (!p)
        return NULL;
    arena_init(&p->arena, 0);
    fill_pod(&pack, pod, &request, p);
    read_state(p, pod);
    if ((!p->done && (!read_affinity(p, pod) || !read_ports(p, pod))) ||
        (p->waits && !keep_doc(p, pod)))
        return sched_pod_free(p);
    return p;
}

SchedPod *sched_pod_free(SchedPod *p)
{
    if (p) {
        arena_free(&p->arena);
        free(p->doc);
    }
    free(p);
    return NULL;
}

/* ---- nodes ---- */

static const Value *keep(Arena *a, const Value *v, bool *ok)
{
    Value *copy = v ? arena_new(a, Value) : NULL;
    if (v && (!copy || !value_clone(a, v, copy)))
        *ok = false;
    return copy;
}

NodeInfo *node_info_new(const Value *node)
{
    NodeInfo *n = calloc(1, sizeof *n);
    bool ok = n != NULL;
    if (!ok)
        return NULL;
    arena_init(&n->arena, 0);
    n->facts.name = arena_sv(&n->arena, value_path_str(node, "metadata.name"));
    n->facts.labels = keep(&n->arena, value_path(node, "metadata.labels"), &ok);
    n->facts.taints = keep(&n->arena, value_path(node, "spec.taints"), &ok);
    n->facts.unschedulable = value_bool_or(value_path(node, "spec.unschedulable"), false);
    Request *has = &n->facts.allocatable;
    ok = request_of_node(node, &n->arena, has) && ok;
    for (uint32_t i = 0; ok && i < has->n_extras; i++)
        ok = (has->extras[i].name = arena_sv(&n->arena, has->extras[i].name)).ptr != NULL;
    return ok && n->facts.name.ptr ? n : node_info_free(n);
}

NodeInfo *node_info_free(NodeInfo *n)
{
    if (n)
        arena_free(&n->arena);
    free(n);
    return NULL;
}

static bool same_value(const Value *a, const Value *b)
{
    return a == b || (a && b && value_equal(a, b));
}

bool node_info_same(const NodeInfo *a, const NodeInfo *b)
{
    return a->facts.unschedulable == b->facts.unschedulable &&
           request_equal(&a->facts.allocatable, &b->facts.allocatable) &&
           same_value(a->facts.labels, b->facts.labels) &&
           same_value(a->facts.taints, b->facts.taints);
}

static SchedNode *any_node(Cluster *c, StrView name)
{
    SchedNode *n = map_get(&c->by_name, name);
    if (n)
        return n;
    n = calloc(1, sizeof *n);
    if (n)
        n->name = strndup(name.ptr, name.len);
    if (!n || !n->name || !map_set(&c->by_name, name, n, NULL)) {
        if (n)
            free(n->name);
        free(n);
        return NULL;
    }
    return n;
}

static void node_free(SchedNode *n)
{
    vec_free(&n->pods);
    vec_free(&n->nominated);
    vec_foreach (e, &n->extras)
        free((char *)e->name.ptr);
    vec_free(&n->extras);
    free(n->name);
    free(n);
}

static void drop_if_unused(Cluster *c, SchedNode *n)
{
    if (n->info || n->pods.len || n->nominated.len)
        return;
    map_del(&c->by_name, sv_cstr(n->name));
    node_free(n);
}

bool cluster_set_node(Cluster *c, StrView name, NodeInfo *info)
{
    SchedNode *n = any_node(c, name);
    if (!n)
        return false;
    if (!n->info) {
        if (!vec_push(&c->nodes, n)) {
            drop_if_unused(c, n);
            return false;
        }
        n->index = c->nodes.len - 1;
    }
    Request used = n->facts.used;
    n->info = info;
    n->facts = info->facts;
    n->facts.used = used;
    return true;
}

void cluster_remove_node(Cluster *c, StrView name)
{
    SchedNode *n = map_get(&c->by_name, name);
    if (!n || !n->info)
        return;
    vec_swap_remove(&c->nodes, n->index);
    if (n->index < c->nodes.len)
        c->nodes.items[n->index]->index = n->index;
    n->info = NULL;
    n->facts = (NodeFacts){ .used = n->facts.used };
    drop_if_unused(c, n);
}

SchedNode *cluster_node(const Cluster *c, StrView name)
{
    SchedNode *n = map_get(&c->by_name, name);
    return n && n->info ? n : NULL;
}

/* ---- what is in use ---- */

static Extra *extra_of(SchedNode *n, StrView name)
{
    vec_foreach (e, &n->extras) {
        if (sv_eq(e->name, name))
            return e;
    }
    return NULL;
}

/* A place to count each of the pod's extras at. */
static bool prepare_extras(SchedNode *n, const SchedPod *p)
{
    for (uint32_t i = 0; i < p->request.n_extras; i++) {
        StrView name = p->request.extras[i].name;
        if (extra_of(n, name))
            continue;
        char *own = strndup(name.ptr, name.len);
        if (!own || !vec_push(&n->extras, ((Extra){ sv_n(own, name.len), 0 }))) {
            free(own);
            return false;
        }
    }
    return true;
}

void cluster_count(SchedNode *n, const SchedPod *p, bool in_use)
{
    if (in_use)
        request_add(&n->facts.used, &p->request);
    else
        request_sub(&n->facts.used, &p->request);
    for (uint32_t i = 0; i < p->request.n_extras; i++) {
        Extra *e = extra_of(n, p->request.extras[i].name);
        ASSERT(e);
        e->amount += in_use ? p->request.extras[i].amount : -p->request.extras[i].amount;
    }
}

static void forget_unused_extras(SchedNode *n)
{
    for (size_t i = n->extras.len; i-- > 0;)
        if (n->extras.items[i].amount == 0) {
            free((char *)n->extras.items[i].name.ptr);
            vec_swap_remove(&n->extras, i);
        }
}

/* ---- which pod is where ---- */

static void list_remove(PodList *list, const SchedPod *p)
{
    for (size_t i = 0; i < list->len; i++)
        if (list->items[i] == p) {
            vec_swap_remove(list, i);
            vec_shrink(list);
            return;
        }
}

bool cluster_place(Cluster *c, SchedPod *p, StrView node)
{
    SchedNode *n = any_node(c, node);
    ASSERT(!p->node);
    if (!n)
        return false;
    if (!prepare_extras(n, p) || !vec_push(&n->pods, p)) {
        forget_unused_extras(n);
        drop_if_unused(c, n);
        return false;
    }
    p->node = n;
    cluster_count(n, p, true);
    bool anti = p->required_anti.n, terms = p->required.n || p->preferred.n || p->preferred_anti.n;
    if ((anti && !vec_push(&c->with_anti, p)) || (terms && !vec_push(&c->with_terms, p))) {
        cluster_take(c, p);
        return false;
    }
    return true;
}

bool cluster_nominate(Cluster *c, SchedPod *p, StrView node)
{
    SchedNode *n = any_node(c, node);
    if (!n || !vec_push(&n->nominated, p))
        return false;
    p->nominated_to = n;
    return true;
}

void cluster_take(Cluster *c, SchedPod *p)
{
    SchedNode *n = TAKE_PTR(p->node), *nominated = TAKE_PTR(p->nominated_to);
    if (n) {
        list_remove(&n->pods, p);
        cluster_count(n, p, false);
        forget_unused_extras(n);
        if (p->required_anti.n)
            list_remove(&c->with_anti, p);
        if (p->required.n || p->preferred.n || p->preferred_anti.n)
            list_remove(&c->with_terms, p);
    }
    if (nominated && nominated != n) {
        list_remove(&nominated->nominated, p);
        drop_if_unused(c, nominated);
    } else if (nominated)
        list_remove(&nominated->nominated, p);
    if (n)
        drop_if_unused(c, n);
}

void cluster_free(Cluster *c)
{
    StrView name;
    void *n;
    for (size_t i = 0; map_next(&c->by_name, &i, &name, &n);)
        node_free(n);
    map_free(&c->by_name);
    map_free(&c->namespaces);
    vec_free(&c->nodes);
    vec_free(&c->with_anti);
    vec_free(&c->with_terms);
    *c = (Cluster){ 0 };
}
