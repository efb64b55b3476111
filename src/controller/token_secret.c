/* token_secret.c - Secrets with a token of a service account end with the account.
 *
 * The API server fills them (apiserver/token_secret.h). This controller, keyed by Secret, sees
 * their metadata only. An account that is not there is looked for in the API server before anything
 * is deleted: its event may come after the Secret's. */
#include "controller/controller_internal.h"

#define ACCOUNT_UID SV("kubernetes.io/service-account.uid")

static const SecretView *view(const ApiObject *secret)
{
    return secret->projection;
}

static void observe(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    if (kind == &kind_token_secrets && now)
        controller_queue(c, now->ns, now->name);
    if (kind != &kind_serviceaccounts || now)
        return;
    size_t n;
    ApiObject *const *secrets = obj_indexed(c, &kind_token_secrets, INDEX_NS, old->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(view(secrets[i])->account, old->name))
            controller_queue(c, secrets[i]->ns, secrets[i]->name);
}

static bool is_account_of(const ApiObject *secret, StrView uid)
{
    StrView wanted = view(secret)->account_uid;
    return uid.len && (!wanted.len || sv_eq(wanted, uid));
}

static bool on_account(Job *j, const ApiResult *r, void *arg)
{
    bool missing = r->err && r->err->code == ERR_NOT_FOUND;
    ApiObject *secret = obj_find(j->c, &kind_token_secrets, j->ns, j->name);
    StrView uid = r->err ? SV_NULL : value_path_str(r->body, "metadata.uid");
    if (secret && !obj_deleting(secret) && (missing || !r->err) && !is_account_of(secret, uid))
        job_delete(j, &kind_token_secrets, secret, SV("Background"), NULL, NULL);
    return missing;
}

/* A Secret of a store from before the server filled them: any write makes it do so. */
static void have_filled(Job *j, const ApiObject *secret, StrView uid)
{
    Value patch = value_map(), annotations = value_map();
    value_set(&j->arena, &annotations, ACCOUNT_UID, value_sv(uid));
    value_set_path(&j->arena, &patch, "metadata.annotations", annotations);
    job_call(j, &(JobRequest){ .method = SV("PATCH"),
                               .kind = &kind_token_secrets,
                               .body = &patch,
                               .content_type = API_PATCH_MERGE,
                               .target = { .ns = secret->ns, .name = secret->name } });
}

static void reconcile(Job *j)
{
    ApiObject *secret = obj_find(j->c, &kind_token_secrets, j->ns, j->name);
    if (!secret || obj_deleting(secret) || !view(secret)->account.len)
        return;
    StrView name = view(secret)->account;
    ApiObject *account = obj_find(j->c, &kind_serviceaccounts, j->ns, name);
    if (account && !obj_deleting(account) && is_account_of(secret, account->uid)) {
        if (!view(secret)->account_uid.len)
            have_filled(j, secret, account->uid);
        return;
    }
    job_get(j, &kind_serviceaccounts, j->ns, name, on_account, NULL);
}

const ControllerDef token_secret_controller = { .name = "token-cleaner",
                                                .queue = "serviceaccount_tokens_secret",
                                                .workers = 2,
                                                .kinds = { &kind_token_secrets,
                                                           &kind_serviceaccounts },
                                                .observe = observe,
                                                .reconcile = reconcile };
