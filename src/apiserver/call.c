/* call.c - questions about a call that need nothing but itself. */
#include "apiserver/call.h"

bool user_in_group(const User *u, StrView group)
{
    for (unsigned i = 0; i < u->n_groups; i++)
        if (sv_eq(u->groups[i], group))
            return true;
    return false;
}

StrView call_scope(const ApiCall *x)
{
    return x->res->namespaced ? x->ns : SV_NULL;
}
