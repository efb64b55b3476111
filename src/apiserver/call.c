/* call.c - questions about a call that need nothing but itself. */
#include "apiserver/call.h"

bool user_in_group(const User *u, StrView group)
{
    for (unsigned i = 0; i < u->n_groups; i++)
        if (sv_eq(u->groups[i], group))
            return true;
    return false;
}

static void release_kinds(void *ctx)
{
    api_kinds_unref(ctx);
}

bool call_hold_kinds(ApiCall *x, ApiKinds *kinds)
{
    if (!arena_at_end(x->arena, release_kinds, kinds))
        return false;
    x->kinds = api_kinds_ref(kinds);
    return true;
}

StrView call_scope(const ApiCall *x)
{
    return x->res->namespaced ? x->ns : SV_NULL;
}
