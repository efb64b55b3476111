/* cluster.c - nodes with the pods on them. A node that pods name before it exists, or after it has
 * gone, keeps its account until they are gone too. */
#include "scheduler/cluster.h"

#include "base/clock.h"

/* ---- pods ---- */

/* Memory that was counted before, handed out piece by piece. */
typedef struct Pack {
    char *at;
} Pack;

static StrView pack_text(Pack *p, StrView s)
{
    StrView copy = sv_n(p->at, s.len);
    if (s.len)
        memcpy(p->at, s.ptr, s.len);
    p->at += s.len;
    return copy;
}

static size_t labels_size(const Value *labels)
{
    size_t n = 0;
    value_map_foreach (m, labels)
        n += sizeof(Member) + m->key.len + value_str(&m->val).len;
    return n;
}

/* The members first: they want alignment. */
static void pack_labels(Pack *p, const Value *labels, Member *members, Value *ret)
{
    uint32_t n = value_len(labels);
    *ret = value_map();
    ret->members = members;
    ret->len = ret->cap = n;
    value_map_foreach (m, labels)
        *members++ = (Member){ pack_text(p, m->key), value_sv(pack_text(p, value_str(&m->val))) };
}

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
    request_of_pod(pod, &p->request);
}

SchedPod *sched_pod_new(const Value *pod)
{
    StrView ns = value_path_str(pod, "metadata.namespace"),
            name = value_path_str(pod, "metadata.name"), uid = value_path_str(pod, "metadata.uid"),
            node = value_path_str(pod, "spec.nodeName"),
            nominated = value_path_str(pod, "status.nominatedNodeName");
    const Value *labels = value_path(pod, "metadata.labels");
    SchedPod *p = calloc(1, sizeof *p + labels_size(labels) + ns.len + name.len + 1 + uid.len +
                                node.len + nominated.len);
    if (!p)
        return NULL;
    Pack pack = { (char *)(p + 1) + value_len(labels) * sizeof(Member) };
    arena_init(&p->arena, 0);
    p->key.ptr = pack.at;
    p->ns = pack_text(&pack, ns);
    pack_text(&pack, SV("/"));
    p->name = pack_text(&pack, name);
    p->key.len = ns.len + 1 + name.len;
    p->uid = pack_text(&pack, uid);
    p->node_name = pack_text(&pack, node);
    p->nominated = pack_text(&pack, nominated);
    pack_labels(&pack, labels, (Member *)(p + 1), &p->labels);
    read_state(p, pod);
    if ((!p->done && (!read_affinity(p, pod) || !read_ports(p, pod))) ||
        (p->waits && !value_clone(&p->arena, pod, &p->pod)))
        return sched_pod_free(p);
    return p;
}

SchedPod *sched_pod_free(SchedPod *p)
{
    if (p)
        arena_free(&p->arena);
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
    request_of_node(node, &n->facts.allocatable);
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
           memcmp(&a->facts.allocatable, &b->facts.allocatable, sizeof a->facts.allocatable) == 0 &&
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

/* ---- which pod is where ---- */

static void list_remove(PodList *list, const SchedPod *p)
{
    for (size_t i = 0; i < list->len; i++)
        if (list->items[i] == p) {
            vec_swap_remove(list, i);
            return;
        }
}

bool cluster_place(Cluster *c, SchedPod *p, StrView node)
{
    SchedNode *n = any_node(c, node);
    ASSERT(!p->node);
    if (!n)
        return false;
    if (!vec_push(&n->pods, p)) {
        drop_if_unused(c, n);
        return false;
    }
    p->node = n;
    request_add(&n->facts.used, &p->request);
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
        request_sub(&n->facts.used, &p->request);
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
