/* internal.h - the proxy's parts: model.c (objects → what matters of them), plan.c (model → wanted
 * chains and elements, pure), refuse.c (what of it must not be), program.c (difference of two plans
 * → one nf_tables transaction), proxy.c (informers). */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "codec/value.h"
#include "netlink/listeners.h"
#include "netlink/nft.h"
#include "proxy/proxy.h"

typedef struct ServicePort {
    StrView name;
    uint8_t proto; /* IPPROTO_* */
    uint16_t port, node_port;
} ServicePort;

/* Addresses are in network order, ports in the host's. */
typedef struct ServiceModel {
    Arena arena;
    StrView ns, name, uid, created; /* created: RFC 3339, so that texts sort as times */
    uint32_t cluster_ip;            /* 0: headless or none; ignored then */
    ServicePort *ports;
    uint32_t *external, *ingress, *range_addr, *range_mask;
    unsigned n_ports, n_external, n_ingress, n_ranges;
    bool external_local, internal_local, publish_not_ready;
    uint32_t affinity_s; /* 0: none */
} ServiceModel;

typedef struct Endpoint {
    uint32_t addr;
    bool ready, serving, terminating, local;
} Endpoint;

typedef struct SliceModel {
    Arena arena;
    StrView ns, service;
    ServicePort *ports;
    Endpoint *eps;
    unsigned n_ports, n_eps;
} SliceModel;

/* NULL: memory exhausted. */
ServiceModel *service_model_new(const Value *service);
SliceModel *slice_model_new(const Value *slice, StrView node_name);
void service_model_free(void *m);
void slice_model_free(void *m);

typedef enum RuleKind {
    RULE_MARK,           /* masquerade this connection */
    RULE_MARK_OUTSIDERS, /* the same unless a pod sends */
    RULE_PODS_GOTO,      /* from a pod: to `chain` */
    RULE_HOST_GOTO,      /* from this machine: mark, to `chain` */
    RULE_RANGE_GOTO,     /* from addr/mask: to `chain` */
    RULE_GOTO,
    RULE_DROP,
    RULE_DNAT, /* to one of the endpoints; with affinity_s the same one again: each endpoint has a
                  set of the clients that it had, "aff-CHAIN/ADDRESS/PORT" */
} RuleKind;

typedef struct PlanTarget { /* eight bytes as the map holds them */
    uint32_t addr;
    uint16_t port, pad; /* network order */
} PlanTarget;

typedef struct PlanRule {
    RuleKind kind;
    uint32_t addr, mask, affinity_s;
    const char *chain;
    PlanTarget *targets;
    unsigned n_targets;
} PlanRule;

typedef struct PlanChain {
    const char *name;
    uint8_t proto;
    const char *text; /* its rules in words: equal texts, equal chains */
    PlanRule *rules;
    unsigned n_rules, max_rules;
} PlanChain;

typedef enum PlanSet {
    PLAN_SERVICES,
    PLAN_NODEPORTS,
    PLAN_REFUSED,
    PLAN_REFUSED_NODEPORTS,
    PLAN_HAIRPIN,
    PLAN_SET_MAX
} PlanSet;
extern const char *const plan_set_names[PLAN_SET_MAX];

typedef struct PlanElem {
    PlanSet set;
    uint32_t key[3];
    unsigned key_len;  /* bytes */
    const char *chain; /* NULL: an element of a plain set */
} PlanElem;

/* A part of a service that is not programmed, and why: for an event. */
typedef struct PlanRefusal {
    const ServiceModel *service; /* the caller's */
    const char *reason, *text;   /* reason: one word, as events have it */
    struct PlanRefusal *next;
} PlanRefusal;

typedef struct Plan {
    Arena arena;
    Map chains; /* PlanChain by name */
    Map elems;  /* PlanElem by set and key in words */
    PlanRefusal *refusals;
    bool has_node_ports;
} Plan;

typedef struct PlanInput {
    const ServiceModel *const *services;
    const SliceModel *const *slices;
    size_t n_services, n_slices;
    /* Ranges, network order; mask 0: none. An endpoint in that of the services would send a
     * connection round and round; an external address in one of them would take what is another's.
     */
    uint32_t service_addr, service_mask, pod_addr, pod_mask;
    const uint32_t *local; /* addresses of this machine */
    size_t n_local;
    const uint16_t *reserved; /* TCP ports that count as listened on */
    size_t n_reserved;
    const Listeners *listeners; /* whose ports are never taken; may be NULL */
} PlanInput;

/* Pure. A clash of addresses is decided for the oldest service. What must not be programmed is left
 * out and told in `refusals`. ERR_NOMEM. */
int plan_new(const PlanInput *in, Plan **ret, Err *err) NODISCARD;
Plan *plan_free(Plan *p);
/* Why nothing is ever sent to an endpoint at, or taken for a service's own address of, `addr`;
 * NULL: it may be. */
const char *plan_endpoint_fault(const PlanInput *in, uint32_t addr);
const char *plan_external_fault(const PlanInput *in, uint32_t addr);
/* What of one port may be reached from outside; the rest is told in the plan's refusals. */
typedef struct PlanOutside {
    uint16_t node_port; /* 0: none */
    uint32_t *external, *ingress;
    unsigned n_external, n_ingress;
} PlanOutside;
bool plan_outside_of(Plan *p, const PlanInput *in, const ServiceModel *s, const ServicePort *sp,
                     PlanOutside *ret) NODISCARD; /* false: memory exhausted */
/* Adds to the refusals unless it is told already; false: memory exhausted. */
bool plan_refuse(Plan *p, const ServiceModel *s, const char *reason, const char *fmt, ...)
    PRINTF(4, 5) NODISCARD;
/* Sorted lines, for tests and people. */
void plan_text(const Plan *p, Buf *out);

typedef struct ProgramConfig {
    const char *table, *bridge;
    uint32_t pod_addr, pod_mask;
    bool bridge_calls; /* bridge-nf-call-iptables is on: replies on the bridge pass the translation
                        */
} ProgramConfig;

/* The whole table instead of whatever is there, in one transaction; `now` NULL: the bare base. */
int program_replace(Nft *n, const ProgramConfig *cfg, const Plan *now, Err *err) NODISCARD;
/* The bare base unless there is a table already: that of a run before goes on serving. */
int program_ensure(Nft *n, const ProgramConfig *cfg, Err *err) NODISCARD;
/* From `old` (NULL: the bare base) to `now`, in one transaction. ret_ops may be NULL. */
int program_change(Nft *n, const ProgramConfig *cfg, const Plan *old, const Plan *now,
                   size_t *ret_ops, Err *err) NODISCARD;
bool program_bridge_calls(void);
