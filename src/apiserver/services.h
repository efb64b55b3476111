/* services.h - cluster addresses and node ports of Services. */
#pragma once

#include "api/errors.h"
#include "apiserver/call.h"

int services_new(Store *store, StrView cidr, uint16_t port_min, uint16_t port_max,
                 ServiceAlloc **ret, Err *err) NODISCARD;
ServiceAlloc *services_free(ServiceAlloc *a);
/* Gives a Service what its type needs and it does not have (clusterIPs, nodePorts), keeps what
 * `old` (NULL: it is new) has, and drops what came with another type. Errors in Kubernetes' words.
 * Nothing is taken by that: see services_claims(). */
bool services_choose(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old,
                     ApiErrors *errors);
/* What the transaction that brings a Service from `old` to `obj` (NULL: none) takes and gives back,
 * in the arena. ERR_EXISTS at its commit: somebody has taken one meanwhile. ERR_INVALID: too many
 * for one transaction. */
int services_claims(Store *store, const Value *obj, const Value *old, Arena *arena,
                    StoreOp **ret_ops, size_t *ret_n, Err *err) NODISCARD;
/* At the start: claims what Services of an older store have, gives back what nobody has. */
int services_repair(Store *store, Err *err) NODISCARD;
bool services_has_address(const ServiceAlloc *a, StrView text); /* in the range of addresses */
void services_event(void *alloc, const StoreEvent *ev);         /* a HubFn */
void services_first_address(const ServiceAlloc *a, unsigned nth, char buf[static 16]);
