/* internal.h - the proxy's parts: model.c (objects → what matters of them), plan.c (model → wanted
 * chains and elements, pure), program.c (difference of two plans → one nf_tables transaction),
 * proxy.c (informers). */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "codec/value.h"
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
    StrView ns, name;
    uint32_t cluster_ip; /* 0: headless or none; ignored then */
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

enum { PLAN_RULES_MAX = 24 };
typedef struct PlanChain {
    const char *name;
    uint8_t proto;
    const char *text; /* its rules in words: equal texts, equal chains */
    PlanRule rules[PLAN_RULES_MAX];
    unsigned n_rules;
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

typedef struct Plan {
    Arena arena;
    Map chains; /* PlanChain by name */
    Map elems;  /* PlanElem by set and key in words */
} Plan;

typedef struct PlanInput {
    const ServiceModel *const *services;
    const SliceModel *const *slices;
    size_t n_services, n_slices;
} PlanInput;

/* Pure. A clash of addresses is decided for the first service. ERR_NOMEM; ERR_LIMIT for too many
 * source ranges. */
int plan_new(const PlanInput *in, Plan **ret, Err *err) NODISCARD;
Plan *plan_free(Plan *p);
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
