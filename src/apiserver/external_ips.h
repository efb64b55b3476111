/* external_ips.h - which addresses from outside a Service may ask for. */
#pragma once

#include "api/errors.h"
#include "apiserver/call.h"

/* Refuses addresses of spec.externalIPs, spec.loadBalancerIP and status.loadBalancer.ingress that
 * `old` (NULL: it is new) does not have and that belong to a node, to pods or to Services, by an
 * error of their field: whoever may make a Service could take what others send there
 * (CVE-2020-8554). Addresses that no machine has are refused as Kubernetes refuses them. */
void external_ips_check(ApiCall *x, const Value *obj, const Value *old, ApiErrors *errors);
/* Whether `obj` has an external address that `old` has not: for DenyServiceExternalIPs. */
bool external_ips_new(const Value *obj, const Value *old);
