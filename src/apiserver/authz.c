/* authz.c - may they: the rights of nodes, and RBAC for everybody. */
#include "apiserver/authz.h"

#include "api/selector.h"
#include "apiserver/node_rights.h"

bool authorize(ApiServer *srv, const Access *a)
{
    return node_may(srv, a) || rbac_allows(srv->rbac, a);
}

/* A list or watch that selects one name is one of that object, and one of a node's pods is that. */
static void read_selector(ApiCall *x, Access *a)
{
    StrView text;
    Selector s;
    bool one = sv_eq(a->verb, SV("list")) || sv_eq(a->verb, SV("watch"));
    if (!one || !x->res || !http_query(x->req, SV("fieldSelector"), &text) ||
        field_selector_parse(text, x->res, x->arena, &s, NULL) < 0)
        return;
    for (uint32_t i = 0; i < s.n_terms; i++) {
        const SelectorTerm *t = &s.terms[i];
        if (t->op == SELECTOR_EQ && sv_eq(t->key, SV("metadata.name")) && !a->name.len)
            a->name = t->values[0];
        if (t->op == SELECTOR_EQ && sv_eq(t->key, SV("spec.nodeName")))
            a->on_node = t->values[0];
    }
}

bool authorize_call(ApiCall *x, StrView verb)
{
    Access a = { .user = &x->user,
                 .verb = verb,
                 .is_resource = x->is_resource,
                 .group = x->group,
                 .version = x->version,
                 .resource = x->resource,
                 .sub = x->sub,
                 .ns = x->ns,
                 .name = x->name,
                 .path = x->req->path };
    if (x->is_resource)
        read_selector(x, &a);
    return authorize(x->srv, &a);
}
