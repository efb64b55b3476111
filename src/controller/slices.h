/* slices.h - the EndpointSlices of one owner, brought to what they should be.
 *
 * Endpoints that share their kind of address and their ports lie in one slice, up to its limit.
 * Each such group goes to a slice that has its ports already, else to one that nothing else needs,
 * else to a new one. Everything lives in the job's arena; slices_end() frees the rest. */
#pragma once

#include "controller/controller_internal.h"

enum { SLICE_ENDPOINTS_MAX = 1000 }; /* the API's limit for one slice */

#define SLICE_SERVICE_LABEL SV("kubernetes.io/service-name")
#define SLICE_MANAGER_LABEL SV("endpointslice.kubernetes.io/managed-by")

typedef struct Slices {
    Job *job;
    const WatchedKind *owner_kind;
    const ApiObject *owner;    /* of the same name as the Service */
    Value labels, annotations; /* of every slice; annotations may be null */
    struct SliceGroup *first, **end;
    Map by_key; /* address type and ports → the last group with them */
    Buf key;
} Slices;

/* `manager` is who the slices' label says that makes them; `from` are labels that they take over.
 */
void slices_begin(Slices *s, Job *j, const WatchedKind *owner_kind, const ApiObject *owner,
                  StrView manager, const Value *from);
/* Puts an endpoint to those of its kind; NULL makes sure that there is a slice at all. False: out
 * of memory. */
bool slices_add(Slices *s, StrView address_type, Value ports, const Value *endpoint);
/* Makes the calls that bring the owner's slices there. */
void slices_write(Slices *s);
void slices_end(Slices *s);

/* A port in the form of a slice: always with a name and a protocol. */
Value slice_port(Arena *a, const Value *port, int64_t number);
