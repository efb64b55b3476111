/* discovery.h - which kinds of objects the API server has, custom ones included. */
#pragma once

#include "codec/value.h"

typedef struct ServedKind {
    StrView group, version, plural, kind;
    bool namespaced, watched, deleted,
        swept; /* verbs: list and watch; delete; deletecollection and list */
} ServedKind;

/* Accept header for GET /api and GET /apis; the answers are APIGroupDiscoveryLists. */
#define DISCOVERY_ACCEPT "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

/* Appends the kinds of a discovery document to ret[*n]: each resource once, in the first version of
 * its group that has it. Views into the document. What does not fit in `max` is left out. */
void discovery_kinds(const Value *doc, ServedKind *ret, size_t max, size_t *n);
