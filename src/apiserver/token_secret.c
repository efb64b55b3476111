/* token_secret.c - Secrets that hold a token of a service account. */
#include "apiserver/token_secret.h"

#include "apiserver/fields.h"
#include "apiserver/object.h"
#include "apiserver/token.h"
#include "base/encode.h"

#define TOKEN_TYPE   SV("kubernetes.io/service-account-token")
#define ACCOUNT_NAME SV("kubernetes.io/service-account.name")
#define ACCOUNT_UID  SV("kubernetes.io/service-account.uid")

/* An object of the core group in the snapshot, in the arena; false when there is none. */
static bool stored(Snapshot *sn, StrView plural, StrView ns, StrView name, Arena *a, Value *ret)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), plural);
    char key[STORE_KEY_MAX];
    ObjectRev *o = registry_key(res, ns, name, key) ? snapshot_get(sn, sv_cstr(key)) : NULL;
    return o && object_decode(res, o, a, ret, NULL) == 0;
}

/* The uid of the account; empty when there is none, or it is on its way out. */
static StrView account_uid(ApiCall *x, StrView name)
{
    Value account;
    Snapshot *sn = store_snapshot(x->srv->store);
    bool ok = name.len && stored(sn, SV("serviceaccounts"), x->ns, name, x->arena, &account);
    snapshot_unref(sn);
    return ok && !value_path(&account, "metadata.deletionTimestamp")
               ? value_path_str(&account, "metadata.uid")
               : SV_NULL;
}

static bool set_data(Arena *a, Value *data, StrView key, StrView plain)
{
    _cleanup_buf_ Buf b64 = BUF_INIT;
    base64_encode(BASE64_STD, plain, &b64);
    StrView text = arena_sv(a, buf_view(&b64));
    return !b64.failed && text.ptr && value_set(a, data, key, value_sv(text));
}

static bool fill(ApiCall *x, Value *obj, StrView uid, StrView token)
{
    Arena *a = x->arena;
    Value *data = value_get(obj, SV("data")), *notes = value_path(obj, "metadata.annotations");
    if (!value_is(data, VALUE_MAP))
        data = value_set(a, obj, SV("data"), value_map());
    return data && set_data(a, data, SV("ca.crt"), x->srv->client_ca) &&
           set_data(a, data, SV("namespace"), x->ns) &&
           (!token.len || set_data(a, data, SV("token"), token)) &&
           value_set(a, notes, ACCOUNT_UID, value_sv(uid));
}

/* The account that such a Secret names; empty for anything else. Without a name it is not valid,
 * and validation says so. */
static StrView account_of(const ApiCall *x, const Value *obj)
{
    if (x->res->group.len || !sv_eq(x->res->kind, SV("Secret")) ||
        !sv_eq(value_str(value_get(obj, SV("type"))), TOKEN_TYPE))
        return SV_NULL;
    return value_str(value_get(value_path(obj, "metadata.annotations"), ACCOUNT_NAME));
}

/* Its uid, when it is there and not another one than the Secret says. */
static StrView fitting_uid(ApiCall *x, const Value *obj, StrView account)
{
    StrView uid = account_uid(x, account),
            wanted = value_str(value_get(value_path(obj, "metadata.annotations"), ACCOUNT_UID));
    return wanted.len && !sv_eq(wanted, uid) ? SV_NULL : uid;
}

bool token_secret_lacks_account(ApiCall *x, const Value *obj, StrView *ret_account)
{
    *ret_account = account_of(x, obj);
    return ret_account->len && !fitting_uid(x, obj, *ret_account).len;
}

int token_secret_fill(ApiCall *x, Value *obj, bool *ret_made, Err *err)
{
    StrView account = account_of(x, obj), token = SV_NULL, uid;
    Value before;
    int r;
    *ret_made = false;
    if (!account.len || x->dry_run || !(uid = fitting_uid(x, obj, account)).len)
        return 0;
    TokenClaims c = {
        .ns = x->ns, .account = account, .account_uid = uid, .secret = x->name, .legacy = true
    };
    if (!value_path_str(obj, "data.token").len &&
        (r = token_issue(x->srv->tokens, &c, x->arena, &token, err)) < 0)
        return r;
    *ret_made = token.len > 0;
    return value_clone(x->arena, obj, &before) && fill(x, obj, uid, token) &&
                   fields_track_as(x, SV("kube-controller-manager"), obj, &before)
               ? 0
               : err_nomem(err);
}

bool token_secret_holds(Snapshot *sn, StrView ns, StrView name, StrView token, Arena *a)
{
    Value secret;
    _cleanup_buf_ Buf held = BUF_INIT;
    return stored(sn, SV("secrets"), ns, name, a, &secret) &&
           !value_path(&secret, "metadata.deletionTimestamp") &&
           sv_eq(value_str(value_get(&secret, SV("type"))), TOKEN_TYPE) &&
           base64_decode(BASE64_STD, value_path_str(&secret, "data.token"), &held) == 0 &&
           sv_eq(buf_view(&held), token);
}
