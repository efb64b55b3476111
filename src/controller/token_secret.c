/* token_secret.c - Secrets with a token of a service account end with the account.
 *
 * The API server fills them (apiserver/token_secret.h). This controller, keyed by Secret, sees
 * their metadata only. An account that is not there is looked for in the API server before anything
 * is deleted: its event may come after the Secret's. */
#include "controller/controller_internal.h"

#define ACCOUNT_NAME SV("kubernetes.io/service-account.name")
#define ACCOUNT_UID  SV("kubernetes.io/service-account.uid")

static StrView annotation(const ApiObject *secret, StrView key)
{
    return value_str(value_get(value_get(obj_meta(secret), SV("annotations")), key));
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    if (kind == KIND_TOKEN_SECRET && now)
        controller_queue(c, now->ns, now->name);
    if (kind != KIND_SERVICEACCOUNT || now)
        return;
    size_t n;
    ApiObject *const *secrets =
        informer_by_index(c->cs->informers[KIND_TOKEN_SECRET], INDEX_NS, old->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(annotation(secrets[i], ACCOUNT_NAME), old->name))
            controller_queue(c, secrets[i]->ns, secrets[i]->name);
}

static bool is_account_of(const ApiObject *secret, StrView uid)
{
    StrView wanted = annotation(secret, ACCOUNT_UID);
    return uid.len && (!wanted.len || sv_eq(wanted, uid));
}

static bool on_account(Job *j, const ApiResult *r, void *arg)
{
    bool missing = r->err && r->err->code == ERR_NOT_FOUND;
    ApiObject *secret = obj_find(j->c->cs, KIND_TOKEN_SECRET, j->ns, j->name);
    StrView uid = r->err ? SV_NULL : value_path_str(r->body, "metadata.uid");
    if (secret && !obj_deleting(secret) && (missing || !r->err) && !is_account_of(secret, uid))
        job_delete(j, KIND_TOKEN_SECRET, secret, SV("Background"), NULL, NULL);
    return missing;
}

/* A Secret of a store from before the server filled them: any write makes it do so. */
static void have_filled(Job *j, const ApiObject *secret, StrView uid)
{
    Value patch = value_map(), annotations = value_map();
    value_set(&j->arena, &annotations, ACCOUNT_UID, value_sv(uid));
    value_set_path(&j->arena, &patch, "metadata.annotations", annotations);
    job_call(j, &(JobRequest){ .method = SV("PATCH"),
                               .kind = KIND_TOKEN_SECRET,
                               .body = &patch,
                               .content_type = API_PATCH_MERGE,
                               .target = { .ns = secret->ns, .name = secret->name } });
}

static void reconcile(Job *j)
{
    ApiObject *secret = obj_find(j->c->cs, KIND_TOKEN_SECRET, j->ns, j->name);
    StrView name = annotation(secret, ACCOUNT_NAME);
    if (!secret || obj_deleting(secret) || !name.len)
        return;
    ApiObject *account = obj_find(j->c->cs, KIND_SERVICEACCOUNT, j->ns, name);
    if (account && !obj_deleting(account) && is_account_of(secret, account->uid)) {
        if (!annotation(secret, ACCOUNT_UID).len)
            have_filled(j, secret, account->uid);
        return;
    }
    job_call(j, &(JobRequest){ .method = SV("GET"),
                               .kind = KIND_SERVICEACCOUNT,
                               .target = { .ns = j->ns, .name = arena_sv(&j->arena, name) },
                               .done = on_account });
}

const ControllerDef token_secret_controller = { "token-cleaner", observe, reconcile, 2 };
