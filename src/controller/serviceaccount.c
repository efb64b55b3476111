/* serviceaccount.c - what each active namespace has: the ServiceAccount "default", and the
 * ConfigMap kube-root-ca.crt with which pods verify the API server. Two controllers, keyed by
 * namespace. */
#include "controller/controller_internal.h"

static void observe(Controller *c, const WatchedKind *kind, const WatchedKind *made, StrView name,
                    ApiObject *old, ApiObject *now)
{
    if (kind == &kind_namespaces && now)
        controller_queue(c, SV_NULL, now->name);
    else if (kind == made && sv_eq((now ? now : old)->name, name))
        controller_queue(c, SV_NULL, (now ? now : old)->ns);
}

static void observe_account(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    observe(c, kind, &kind_serviceaccounts, SV("default"), old, now);
}

static void observe_root_ca(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now)
{
    observe(c, kind, &kind_root_cas, SV("kube-root-ca.crt"), old, now);
}

static bool is_active(Job *j)
{
    ApiObject *ns = obj_find(j->c, &kind_namespaces, SV_NULL, j->name);
    return ns && !obj_deleting(ns);
}

static Value named(Job *j, const WatchedKind *kind, StrView name)
{
    Value v = value_map();
    value_set(&j->arena, &v, SV("apiVersion"), value_sv(kind->api_version));
    value_set(&j->arena, &v, SV("kind"), value_sv(kind->kind));
    value_set_path(&j->arena, &v, "metadata.name", value_sv(name));
    value_set_path(&j->arena, &v, "metadata.namespace", value_sv(j->name));
    return v;
}

static void reconcile_account(Job *j)
{
    if (!is_active(j) || obj_find(j->c, &kind_serviceaccounts, j->name, SV("default")))
        return;
    Value account = named(j, &kind_serviceaccounts, SV("default"));
    job_create(j, &kind_serviceaccounts, &account, NULL, NULL);
}

static void reconcile_root_ca(Job *j)
{
    if (!is_active(j))
        return;
    StrView pem = buf_view(&j->c->cs->root_ca);
    Value data = value_map();
    value_set(&j->arena, &data, SV("ca.crt"), value_sv(pem));
    ApiObject *had = obj_find(j->c, &kind_root_cas, j->name, SV("kube-root-ca.crt"));
    if (!had) {
        Value map = named(j, &kind_root_cas, SV("kube-root-ca.crt"));
        value_set(&j->arena, &map, SV("data"), data);
        value_set_path(&j->arena, value_get(&map, SV("metadata")), "annotations", value_map());
        value_set(
            &j->arena, value_path(&map, "metadata.annotations"), SV("kubernetes.io/description"),
            value_sv(
                SV("The certificate of the authority that signed the API server's certificate.")));
        job_create(j, &kind_root_cas, &map, NULL, NULL);
    } else if (((const RootCaView *)had->projection)->data_digest != digest_of(&data)) {
        /* Nothing else may stand there: the member is replaced as a whole. */
        Value ops = value_list(), op = value_map();
        value_set(&j->arena, &op, SV("op"), value_sv(SV("add")));
        value_set(&j->arena, &op, SV("path"), value_sv(SV("/data")));
        value_set(&j->arena, &op, SV("value"), data);
        value_push(&j->arena, &ops, op);
        job_call(j, &(JobRequest){ .method = SV("PATCH"),
                                   .kind = &kind_root_cas,
                                   .body = &ops,
                                   .content_type = API_PATCH_JSON,
                                   .target = { .ns = had->ns, .name = had->name } });
    }
}

const ControllerDef serviceaccount_controller = { .name = "serviceaccount-controller",
                                                  .queue = "serviceaccount",
                                                  .workers = 4,
                                                  .kinds = { &kind_namespaces,
                                                             &kind_serviceaccounts },
                                                  .observe = observe_account,
                                                  .reconcile = reconcile_account };
const ControllerDef rootca_controller = { .name = "root-ca-controller",
                                          .queue = "root_ca_cert_publisher",
                                          .workers = 4,
                                          .kinds = { &kind_namespaces, &kind_root_cas },
                                          .observe = observe_root_ca,
                                          .reconcile = reconcile_root_ca };
