/* authz.h - may they: the rights of nodes (node_rights.h) and RBAC. */
#pragma once

#include "apiserver/call.h"

typedef struct Access {
    const User *user;
    StrView verb;
    bool is_resource;
    StrView group, version, resource, sub, ns, name; /* resource requests */
    StrView on_node; /* a list or watch of nothing but the pods of this node */
    StrView path;    /* others */
} Access;

/* True when the rights of nodes or RBAC allow it. */
bool authorize(ApiServer *srv, const Access *a);
/* The same for another verb on what the call names. */
bool authorize_call(ApiCall *x, StrView verb);

/* rbac.c: from any thread. The store must have been opened with rbac_marks(). */
int rbac_new(Store *store, Rbac **ret, Err *err) NODISCARD;
Rbac *rbac_free(Rbac *r);
bool rbac_allows(Rbac *rbac, const Access *a);
bool rbac_marks(StrView key); /* StoreConfig.marks: a key of rbac.authorization.k8s.io */
/* What all roles and bindings come to, as of the last of their changes; never NULL but without
 * memory, when nobody is allowed anything. A reference of the caller's. */
typedef struct RbacIndex RbacIndex;
RbacIndex *rbac_index(Rbac *r);
RbacIndex *rbac_index_unref(RbacIndex *i); /* always NULL; NULL is fine */
unsigned rbac_made(Rbac *r);               /* how many there have been: for tests */
/* The rules of a user in a namespace (for SelfSubjectRulesReview), appended as JSON values. */
void rbac_rules_for(Rbac *r, const User *u, StrView ns, Arena *a, Value *ret_resource_rules,
                    Value *ret_path_rules);
/* Escalation check: does the user hold all rules of this Role's `rules`? */
bool rbac_covers(Rbac *r, const User *u, StrView ns, const Value *rules);
