/* discovery.h - which kinds of objects an API server has, custom and aggregated ones included:
 * reads the documents of GET /api and GET /apis. No I/O. */
#pragma once

#include "base/vec.h"
#include "codec/value.h"

/* What to ask for with those: the answers are APIGroupDiscoveryLists. */
#define DISCOVERY_ACCEPT "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

typedef struct ServedKind {
    StrView group, version, plural, kind;
    bool namespaced;
    bool listed, watched, deleted,
        swept; /* verbs: list; list and watch; delete; deletecollection */
} ServedKind;

typedef struct GroupVersion {
    StrView group, version;
} GroupVersion;

enum { DISCOVERY_KINDS_MAX = 4096 };

/* Begins empty, {0}; ended by served_kinds_free(). */
typedef struct ServedKinds {
    VEC(ServedKind) kinds;
    VEC(GroupVersion) stale; /* whose server does not answer: what it has is not known */
    VEC(GroupVersion) wrong; /* whose name is none */
} ServedKinds;

/* Adds the kinds of a document: each resource once, in the first version of its group that has it.
 * Texts are copied to the arena. False: no memory, or more than DISCOVERY_KINDS_MAX kinds. */
bool served_kinds_add(ServedKinds *s, const Value *doc, Arena *a) NODISCARD;
void served_kinds_free(ServedKinds *s);
/* Whether a version of this group is stale. */
bool served_kinds_stale(const ServedKinds *s, StrView group);
