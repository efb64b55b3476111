/* validate.h - whether an object may be stored, in Kubernetes' words. */
#pragma once

#include "api/errors.h"
#include "api/kinds.h"
#include "api/names.h"

/* Checks a complete object (defaults applied, name generated, metadata filled by the server) and
 * gathers all that is wrong in `e`. `old` is the stored object on update, NULL on create. A write
 * of the status subresource needs only api_validate_meta(). Custom kinds get the metadata checks.
 */
void api_validate(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e);

/* A pod written through its ephemeralcontainers subresource: those that it has stay as they are. */
void api_validate_ephemeral(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e);

/* An address that is no machine's: unspecified, loopback, link-local. */
void api_validate_address_not_special(ApiErrors *e, const ApiPath *p, StrView address);

void api_validate_meta(const ApiResource *r, const Value *obj, const Value *old, ApiErrors *e);

/* The format of the names that objects of this kind have. */
NameCheck *api_name_format(const ApiResource *r);
