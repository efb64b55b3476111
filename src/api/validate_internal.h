/* validate_internal.h - the vocabulary that the checks of all kinds are written in. */
#pragma once

#include "api/names.h"
#include "api/validate.h"
#include "codec/key_index.h"

static inline const Value *get(const Value *map, const char *key)
{
    return value_get(map, sv_cstr(key));
}
static inline StrView text(const Value *map, const char *key)
{
    return value_str(get(map, key));
}
static inline int64_t number(const Value *map, const char *key)
{
    return value_int_or(get(map, key), 0);
}
static inline bool truth(const Value *map, const char *key)
{
    return value_bool_or(get(map, key), false);
}
static inline uint32_t count(const Value *map, const char *key)
{
    return value_len(get(map, key));
}
/* The value for an error message: what is there, or an empty string. */
static inline Value shown(const Value *v)
{
    return v ? *v : value_sv(SV(""));
}

/* Names that must differ: each is noted as it passes, at constant cost. */
typedef struct Twins {
    ApiErrors *errors; /* whose arena is used */
    KeyIndex seen;
} Twins;
/* Whether the name has passed before; notes it. */
bool is_twin(Twins *t, StrView name);
bool twin_known(const Twins *t, StrView name);

void check_name(ApiErrors *e, const ApiPath *p, StrView s, NameCheck *check);
/* Required when empty, else the name's faults. */
void check_required_name(ApiErrors *e, const ApiPath *p, StrView s, NameCheck *check);
/* Each: looks at the member `key` of `map`; absent is fine unless said otherwise. */
void check_not_negative(ApiErrors *e, const ApiPath *p, const Value *map, const char *key);
void check_range(ApiErrors *e, const ApiPath *p, const Value *map, const char *key, int64_t low,
                 int64_t high);
void check_required_text(ApiErrors *e, const ApiPath *p, const Value *map, const char *key);
void check_one_of(ApiErrors *e, const ApiPath *p, const Value *map, const char *key,
                  const StrView *allowed, size_t n, bool required);
/* A port of an object: a number in 1..65535, or (IntOrString) the name of one. */
void check_port(ApiErrors *e, const ApiPath *p, const Value *map, const char *key);
void check_labels(ApiErrors *e, const ApiPath *p, const Value *labels);
void check_label_selector(ApiErrors *e, const ApiPath *p, const Value *selector);
/* "field is immutable" when the member differs from the old object's; absent equals empty. */
void check_immutable(ApiErrors *e, const ApiPath *p, const Value *map, const Value *old,
                     const char *key);
bool same(const Value *a, const Value *b); /* absent, null and empty are the same */
void check_relative_path(ApiErrors *e, const ApiPath *p, StrView path);

/* Pods: spec at `p`; `meta_labels` of the template are checked by the caller. */
/* `claims`: volumeClaimTemplates, which may be mounted like volumes; or NULL. */
void validate_pod_spec(ApiErrors *e, const ApiPath *p, const Value *spec, const Value *claims);
void validate_containers(ApiErrors *e, const ApiPath *spec_path, const Value *spec,
                         const Value *claims);
void validate_volumes(ApiErrors *e, const ApiPath *p, const Value *volumes);
void validate_resources(ApiErrors *e, const ApiPath *p, const Value *resources);
void validate_template(ApiErrors *e, const ApiPath *p, const Value *template, const Value *claims);

typedef void ValidateFn(const Value *obj, const Value *old, ApiErrors *e);
ValidateFn validate_pod, validate_service, validate_deployment, validate_replica_set,
    validate_stateful_set, validate_daemon_set, validate_replication_controller, validate_job,
    validate_autoscaler, validate_cron_job, validate_config_map, validate_secret, validate_role,
    validate_cluster_role, validate_role_binding, validate_cluster_role_binding, validate_lease,
    validate_claim, validate_volume, validate_endpoints, validate_endpoint_slice,
    validate_disruption_budget, validate_priority_class, validate_storage_class, validate_ingress,
    validate_node, validate_network_policy, validate_ip_address, validate_event,
    validate_newer_event;
