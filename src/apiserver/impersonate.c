/* impersonate.c - acting as somebody else: the headers Impersonate-User, -Group and -Uid.
 *
 * Each name that is claimed must be allowed to the caller by itself (verb "impersonate"); only then
 * the request goes on with the claimed identity and none of the caller's rights. Extra values are
 * refused, since nothing here carries them on.
 * Source: Kubernetes' reference "Authenticating", user impersonation. */
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "apiserver/respond.h"

#define AUTHN_GROUP SV("authentication.k8s.io")

typedef struct Claim {
    StrView group, resource, ns, name;
} Claim;

static bool claim_allowed(ApiCall *x, const Claim *c)
{
    Access a = { .user = &x->user,
                 .verb = SV("impersonate"),
                 .is_resource = true,
                 .group = c->group,
                 .version = SV("v1"),
                 .resource = c->resource,
                 .ns = c->ns,
                 .name = c->name };
    if (authorize(x->srv, &a))
        return true;
    respond_status(x, REASON_FORBIDDEN,
                   "%.*s%s%.*s \"%.*s\" is forbidden: User \"%.*s\" cannot impersonate resource "
                   "\"%.*s\" in API group \"%.*s\" %s%.*s%s",
                   SV_FMT(c->resource), c->group.len ? "." : "", SV_FMT(c->group), SV_FMT(c->name),
                   SV_FMT(x->user.name), SV_FMT(c->resource), SV_FMT(c->group),
                   c->ns.len ? "in the namespace \"" : "at the cluster scope", SV_FMT(c->ns),
                   c->ns.len ? "\"" : "");
    return false;
}

static bool add_group(ApiCall *x, User *u, StrView group)
{
    if (u->n_groups < GROUPS_MAX) {
        u->groups[u->n_groups++] = group;
        return true;
    }
    respond_status(x, REASON_BAD_REQUEST, "Impersonate-Group: more than %d groups", GROUPS_MAX);
    return false;
}

/* "system:serviceaccount:NS:NAME" is claimed as that account, anything else as a user. */
static bool claim_user(ApiCall *x, StrView name, User *as, bool *ret_account)
{
    StrView rest, ns, account;
    *ret_account = sv_starts(name, SV("system:serviceaccount:")) &&
                   (rest = sv_skip(name, strlen("system:serviceaccount:")),
                    sv_cut(rest, ':', &ns, &account)) &&
                   ns.len && account.len;
    Claim c = *ret_account ? (Claim){ SV(""), SV("serviceaccounts"), ns, account }
                           : (Claim){ SV(""), SV("users"), SV_NULL, name };
    as->name = name;
    return claim_allowed(x, &c);
}

static bool claim_rest(ApiCall *x, User *as)
{
    for (uint32_t i = 0; i < x->req->n_headers; i++) {
        const HttpHeader *h = &x->req->headers[i];
        if (sv_eq(h->name, SV("impersonate-group"))) {
            Claim c = { SV(""), SV("groups"), SV_NULL, h->value };
            if (!claim_allowed(x, &c) || !add_group(x, as, h->value))
                return false;
        } else if (sv_eq(h->name, SV("impersonate-uid"))) {
            Claim c = { AUTHN_GROUP, SV("uids"), SV_NULL, h->value };
            if (!claim_allowed(x, &c))
                return false;
            as->uid = h->value;
        } else if (sv_starts(h->name, SV("impersonate-extra-"))) {
            respond_status(x, REASON_BAD_REQUEST,
                           "%.*s: impersonating extra values is not supported by this server",
                           SV_FMT(h->name));
            return false;
        }
    }
    return true;
}

/* Nobody claims who one is known to be: that follows from the name. */
static bool default_groups(ApiCall *x, User *as, bool account)
{
    if (account && !as->n_groups) {
        StrView ns = sv_skip(as->name, strlen("system:serviceaccount:")), rest;
        sv_cut(ns, ':', &ns, &rest);
        StrView own = arena_printf(x->arena, "system:serviceaccounts:%.*s", SV_FMT(ns));
        if (!add_group(x, as, SV("system:serviceaccounts")) || !add_group(x, as, own))
            return false;
    }
    StrView known = sv_eq(as->name, SV("system:anonymous")) ? SV("system:unauthenticated")
                                                            : SV("system:authenticated");
    return user_in_group(as, known) || add_group(x, as, known);
}

bool impersonate(ApiCall *x)
{
    StrView name = SV_NULL;
    bool asked = false, account;
    for (uint32_t i = 0; i < x->req->n_headers; i++) {
        const HttpHeader *h = &x->req->headers[i];
        asked |= sv_starts(h->name, SV("impersonate-"));
        if (sv_eq(h->name, SV("impersonate-user")))
            name = h->value;
    }
    if (!asked)
        return true;
    if (!name.len) {
        respond_status(x, REASON_BAD_REQUEST,
                       "groups, uid or extra values are claimed without Impersonate-User");
        return false;
    }
    User as = { 0 };
    if (!claim_user(x, name, &as, &account) || !claim_rest(x, &as) ||
        !default_groups(x, &as, account))
        return false;
    x->user = as;
    return true;
}
