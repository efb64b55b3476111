/* fields.h - who owns which fields: metadata.managedFields of every write. */
#pragma once

#include "api/managers.h"
#include "apiserver/call.h"

/* Fills *ret with who writes now, by the call's fieldManager or User-Agent. False: out of memory.
 */
bool fields_writer(ApiCall *x, FieldWriter *ret);
/* Brings metadata.managedFields of `obj` up to date, just before it is committed. `old` is what is
 * stored (NULL: nothing), `given` what the client sent for managedFields (NULL: nothing), `settled`
 * the owners when an apply has computed them. False: out of memory. */
bool fields_track(ApiCall *x, Value *obj, const Value *old, const Value *given, Managers *settled);
/* The same for what the server itself has changed since, in the name of `manager`; `before` is the
 * object without that. False: out of memory. */
bool fields_track_as(ApiCall *x, StrView manager, Value *obj, const Value *before);
