/* authn.c - who asks: a verified client certificate (CN is the user, O are groups), or a
 * service-account token whose account (and whatever it is bound to) still exist with the uid in it;
 * else system:anonymous. */
#include "apiserver/authn.h"

#include "apiserver/object.h"
#include "apiserver/token_secret.h"
#include "codec/json.h"
#include "base/clock.h"

static bool add_group(User *u, StrView group)
{
    if (u->n_groups >= GROUPS_MAX)
        return false;
    u->groups[u->n_groups++] = group;
    return true;
}

/* The uid of a stored object; empty when it is not there. */
static StrView uid_of(Snapshot *sn, StrView plural, StrView ns, StrView name, Arena *a)
{
    char key[STORE_KEY_MAX];
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), plural);
    ObjectRev *o = res && registry_key(res, ns, name, key) ? snapshot_get(sn, sv_cstr(key)) : NULL;
    Value meta;
    if (!o)
        return SV_NULL;
    StrView text = arena_sv(a, object_metadata_text(o));
    if (!text.ptr || json_decode(text, a, NULL, &meta, NULL) < 0)
        return SV_NULL;
    if (value_get(&meta, SV("deletionTimestamp")) && !sv_eq(plural, SV("pods")))
        return SV_NULL;
    return value_str(value_get(&meta, SV("uid")));
}

static int gone(Err *err, const char *what, StrView ns, StrView name)
{
    return err_set(err, ERR_UNAUTHENTICATED, 0, "%s %.*s%s%.*s of the token has been deleted", what,
                   SV_FMT(ns), ns.len ? "/" : "", SV_FMT(name));
}

/* Whether everything that the token is bound to is still there, and still the same. */
static int check_bound(Snapshot *sn, const TokenClaims *c, StrView token, Arena *a, Err *err)
{
    if (!sv_eq(uid_of(sn, SV("serviceaccounts"), c->ns, c->account, a), c->account_uid))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "service account %.*s/%.*s has been deleted",
                       SV_FMT(c->ns), SV_FMT(c->account));
    if (c->legacy)
        return token_secret_holds(sn, c->ns, c->secret, token, a)
                   ? 0
                   : err_set(err, ERR_UNAUTHENTICATED, 0,
                             "secret %.*s/%.*s has been deleted or holds another token",
                             SV_FMT(c->ns), SV_FMT(c->secret));
    if (c->pod.len && !sv_eq(uid_of(sn, SV("pods"), c->ns, c->pod, a), c->pod_uid))
        return gone(err, "pod", c->ns, c->pod);
    if (c->secret.len && !sv_eq(uid_of(sn, SV("secrets"), c->ns, c->secret, a), c->secret_uid))
        return gone(err, "secret", c->ns, c->secret);
    if (!c->pod.len && c->node.len &&
        !sv_eq(uid_of(sn, SV("nodes"), SV_NULL, c->node, a), c->node_uid))
        return gone(err, "node", SV(""), c->node);
    return 0;
}

static bool audience_fits(const TokenClaims *c, const StrView *audiences, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < c->n_audiences; j++)
            if (sv_eq(audiences[i], c->audiences[j]))
                return true;
    return false;
}

int authenticate_token(ApiServer *srv, StrView token, Arena *a, const StrView *audiences,
                       unsigned n_audiences, User *ret, TokenClaims *ret_claims, Err *err)
{
    TokenClaims c;
    int r = token_verify(srv->tokens, token, clock_real_ns() / NSEC_PER_SEC, a, &c, err);
    if (r < 0)
        return r;
    if (!audience_fits(&c, audiences, n_audiences))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token is not meant for this audience");
    Snapshot *sn = store_snapshot(srv->store);
    r = check_bound(sn, &c, token, a, err);
    snapshot_unref(sn);
    if (r < 0)
        return r;
    *ret = (User){
        .uid = c.account_uid, .pod_name = c.pod, .pod_uid = c.pod_uid, .node_name = c.node
    };
    ret->name = arena_printf(a, "system:serviceaccount:%.*s:%.*s", SV_FMT(c.ns), SV_FMT(c.account));
    add_group(ret, SV("system:serviceaccounts"));
    add_group(ret, arena_printf(a, "system:serviceaccounts:%.*s", SV_FMT(c.ns)));
    add_group(ret, SV("system:authenticated"));
    if (ret_claims)
        *ret_claims = c;
    return 0;
}

bool authn_is_own_role(const TlsPeer *peer)
{
    return peer && peer->verified && sv_starts(peer->common_name, SV("system:"));
}

static int from_certificate(ApiCall *x, Err *err)
{
    const TlsPeer *peer = x->req->peer;
    x->user.name =
        arena_sv(x->arena, peer->common_name); /* the connection may end before the call */
    for (unsigned i = 0; i < peer->n_orgs; i++)
        add_group(&x->user, arena_sv(x->arena, peer->orgs[i]));
    add_group(&x->user, SV("system:authenticated"));
    return 0;
}

int authenticate(ApiCall *x, Err *err)
{
    if (x->req->peer && x->req->peer->verified && x->req->peer->common_name.len)
        return from_certificate(x, err);
    StrView auth = http_header(x->req, SV("authorization"));
    if (!auth.len) {
        x->user.name = SV("system:anonymous");
        add_group(&x->user, SV("system:unauthenticated"));
        return 0;
    }
    StrView scheme, token;
    sv_cut(auth, ' ', &scheme, &token);
    if (!sv_eq_nocase(scheme, SV("bearer")))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "authorization scheme '%.*s' is not supported",
                       SV_FMT(sv_head(scheme, 20)));
    StrView audience = token_issuer(x->srv->tokens);
    return authenticate_token(x->srv, sv_trim(token), x->arena, &audience, 1, &x->user, NULL, err);
}
