/* views.h - what the controllers keep of objects: a view for each kind that they watch.
 *
 * A view is the projection of the kind's informer: one block of memory, made when a version of the
 * object arrives, never changed, and shared by all controllers. It begins with a MetaView, which is
 * all that the garbage collector keeps of kinds that nobody else watches. Texts and values in it
 * live as long as it does. Of trees that are only compared (a template, endpoints) a view keeps a
 * digest; where such a tree is needed it is read from the server.
 *
 * To watch another kind: its view and the function that fills it, and a row of kind_…; with those
 * a controller names it in its ControllerDef. A field that a controller needs is added here. */
#pragma once

#include "api/informer.h"
#include "codec/value.h"

/* ---- what all have ---- */

typedef struct OwnerRef {
    StrView api_version, kind, name, uid;
    bool controls, blocks; /* controller, blockOwnerDeletion */
} OwnerRef;

typedef struct MetaView {
    const OwnerRef *owners;
    Value labels;       /* a map, perhaps empty */
    int64_t created_ns; /* real time; 0: not said */
    uint32_t n_owners;
    bool deleting;
    bool foreground, orphan; /* the garbage collector's finalizers */
} MetaView;

/* A keyed hash of a value, for this process: equal values have equal ones, whatever the order of
 * their members; others differ but for a chance of 2^-64. NULL is as null. */
uint64_t digest_of(const Value *v);

/* ---- the views ---- */

typedef enum PodPhase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN } PodPhase;

typedef struct PodPort {
    StrView name, protocol;
    int32_t number;
} PodPort;

typedef struct PodView {
    MetaView meta;
    StrView node, ip, hostname, subdomain;
    const Value *tolerations;   /* those that matter for NoExecute taints */
    const PodPort *ports;       /* those with a name */
    uint32_t n_ports, restarts; /* restarts: of the container with the most */
    int64_t deletion_cost;
    int64_t ready_since_ns; /* 0: not ready */
    int64_t ended_ns;       /* when its last container ended; 0: none has */
    PodPhase phase;
    bool ready;
} PodView;

typedef struct NodeView {
    MetaView meta;
    Value
        doc; /* a Node of spec.unschedulable, spec.taints, and status.conditions' type and status */
    bool evicts; /* has a NoExecute taint */
} NodeView;

typedef struct LeaseView {
    MetaView meta;
    int64_t renewed_ns;
} LeaseView;

/* A ReplicaSet or a ReplicationController. */
typedef struct ReplicasView {
    MetaView meta;
    Value selector;           /* a LabelSelector, or the map of labels of a ReplicationController */
    Value template_labels;    /* of its pods */
    Value annotations;        /* but for what kubectl last applied */
    uint64_t template_digest; /* without the label pod-template-hash */
    int64_t replicas, min_ready_s, generation;
    struct {
        int64_t replicas, labeled, ready, available, observed;
    } status;
} ReplicasView;

typedef struct DeploymentView {
    MetaView meta;
    Value selector, annotations, status;
    Value max_surge, max_unavailable; /* null: not said */
    uint64_t template_digest;
    int64_t replicas, deadline_s, history_limit, generation;
    bool paused, recreate;
} DeploymentView;

typedef struct ServiceView {
    MetaView meta;
    Value selector, ports;
    bool has_selector;                           /* also an empty one */
    bool external_name, headless, not_ready_too; /* publishNotReadyAddresses */
} ServiceView;

typedef struct SliceView {
    MetaView meta;
    StrView address_type;
    Value ports, annotations;
    uint64_t endpoints_digest;
} SliceView;

typedef struct EndpointsView {
    MetaView meta;
    uint64_t subsets_digest;
    bool over_capacity, leads; /* annotations: truncated; the lock of a leader election */
} EndpointsView;

typedef struct SecretView { /* with the token of a service account */
    MetaView meta;
    StrView account, account_uid;
} SecretView;

typedef struct RootCaView {
    MetaView meta;
    uint64_t data_digest;
} RootCaView;

/* ---- kinds ---- */

/* A kind to watch. Known by its address. */
typedef struct WatchedKind {
    StrView group, version, plural, kind, api_version;
    StrView ns, field_selector; /* empty: all */
    bool metadata_only;
    void *(*view)(void *ctx, const Value *obj); /* NULL: no memory. Freed with free() */
} WatchedKind;

extern const WatchedKind kind_pods, kind_replicasets, kind_replicationcontrollers, kind_deployments,
    kind_services, kind_endpointslices, kind_endpoints, kind_namespaces, kind_serviceaccounts,
    kind_token_secrets, /* of type kubernetes.io/service-account-token: their metadata only */
    kind_root_cas,      /* ConfigMaps named kube-root-ca.crt */
    kind_nodes, kind_node_leases;

/* By the uid of the owner that controls an object; by the uids of its other owners; by its own uid.
 * Only of the kinds above: by namespace; by spec.nodeName (pods). */
enum { INDEX_CONTROLLER, INDEX_OTHER_OWNER, INDEX_UID, INDEX_NS, INDEX_NODE };

/* The informer that watches `kind`: equal for equal kinds, so that controllers share it. */
InformerConfig watched_config(const WatchedKind *kind);
/* The kind above that watches all objects of this one; NULL: none does. */
const WatchedKind *watched_kind_find(StrView group, StrView plural);
/* The informer of any other kind, which keeps a MetaView of each object. */
InformerConfig meta_config(StrView group, StrView version, StrView plural);

static inline const MetaView *meta_of(const ApiObject *o)
{
    return o->projection;
}
/* The owner that controls an object, or NULL. */
const OwnerRef *controller_of(const ApiObject *o);
bool owners_equal(const MetaView *a, const MetaView *b);
