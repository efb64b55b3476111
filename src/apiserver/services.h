/* services.h - cluster addresses and node ports of Services. */
#pragma once

#include "api/errors.h"
#include "apiserver/call.h"

int services_new(Store *store, StrView cidr, uint16_t port_min, uint16_t port_max,
                 ServiceAlloc **ret, Err *err);
ServiceAlloc *services_free(ServiceAlloc *a);
/* Fills clusterIP(s) and nodePorts of a Service; errors in Kubernetes' words. Reserved until the
 * event of the committed object confirms, or services_forget() gives them back. */
bool services_assign(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old,
                     ApiErrors *errors);
void services_forget(ServiceAlloc *a, const Value *obj);
void services_event(void *alloc, const StoreEvent *ev); /* a HubFn */
void services_first_address(const ServiceAlloc *a, unsigned nth, char buf[static 16]);
