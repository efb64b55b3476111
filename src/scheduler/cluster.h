/* cluster.h - what the scheduler knows of nodes, pods and namespaces, kept up to date step by step:
 * what a node has in use changes with each pod that comes or goes and is never counted anew. No
 * I/O. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "scheduler/fit.h"
#include "scheduler/terms.h"

typedef struct SchedNode SchedNode;

typedef struct HostPort {
    StrView ip, protocol; /* ip empty: all addresses */
    int64_t port;
} HostPort;

/* What is kept of a pod. Bound ones are one block of memory, unless they have affinity terms. */
typedef struct SchedPod {
    StrView ns, name, uid, key, node_name, nominated; /* key: "namespace/name" */
    Value labels;                                     /* a map, perhaps empty */
    Value pod; /* of pods that wait: the parts of spec and status that decide about them */
    void *doc; /* its memory */
    Request request;
    int32_t priority;
    int64_t start_ns; /* since when it runs, else since when it exists */
    bool waits, done, terminating, never_preempts;
    AffinityTerms required, required_anti, preferred, preferred_anti;
    HostPort *ports;
    uint32_t n_ports;
    Arena arena;
    /* The cluster's own. */
    SchedNode *node, *nominated_to;
    bool excluded; /* as if it were not there: a victim on trial */
} SchedPod;

/* NULL: memory is exhausted. */
SchedPod *sched_pod_new(const Value *pod);
SchedPod *sched_pod_free(SchedPod *p); /* always NULL; it must be in no cluster */

/* The part of a Node object that matters. */
typedef struct NodeInfo {
    Arena arena;
    NodeFacts facts; /* `used` is not set */
} NodeInfo;
/* Copies what it needs; NULL: out of memory. To be ended by node_info_free(), which returns NULL.
 */
NodeInfo *node_info_new(const Value *node);
NodeInfo *node_info_free(NodeInfo *n);
/* Would a pod that waits be decided on alike? */
bool node_info_same(const NodeInfo *a, const NodeInfo *b);

typedef VEC(SchedPod *) PodList;
#define pods_foreach(it, list) /* also of a const list */                                          \
    for (SchedPod *const *it = (list)->items; it && it < (list)->items + (list)->len; it++)

struct SchedNode {
    char *name;
    NodeFacts facts;   /* its texts belong to `info` */
    NodeInfo *info;    /* NULL: pods name it, but there is no such Node */
    size_t index;      /* in Cluster.nodes, while `info` is there */
    PodList pods;      /* bound to it or about to be, and not done */
    PodList nominated; /* they wait for victims to leave it */
    VEC(Extra) extras; /* in use, with names of its own */
};

typedef struct Cluster {
    VEC(SchedNode *) nodes; /* those that exist */
    Map by_name;            /* all */
    Map namespaces;         /* to const Value *, their labels */
    PodList with_anti;      /* bound pods with required anti-affinity … */
    PodList with_terms;     /* … and with other affinity terms */
    size_t next;            /* where the next search begins */
} Cluster;

/* Its nodes with it; infos and pods are their makers'. */
void cluster_free(Cluster *c);
/* The node as it is now. `info` must live until it is replaced or removed. */
bool cluster_set_node(Cluster *c, StrView name, NodeInfo *info) NODISCARD;
void cluster_remove_node(Cluster *c, StrView name);
SchedNode *cluster_node(const Cluster *c, StrView name); /* NULL: there is no such Node */

/* Counts the pod on the node, which need not exist. */
bool cluster_place(Cluster *c, SchedPod *p, StrView node) NODISCARD;
bool cluster_nominate(Cluster *c, SchedPod *p, StrView node) NODISCARD;
/* Counts what a pod on the node asks for as in use, or as free again, as though it were not there.
 */
void cluster_count(SchedNode *n, const SchedPod *p, bool in_use);
/* Takes the pod off its node and off the one it was nominated to; nothing if there is none. */
void cluster_take(Cluster *c, SchedPod *p);
