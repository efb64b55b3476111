/* serviceaccount.c - what each active namespace has: the ServiceAccount "default", and the
 * ConfigMap kube-root-ca.crt with which pods verify the API server. Two controllers, keyed by
 * namespace. */
#include "controller/controller_internal.h"

static void observe(Controller *c, KindId kind, KindId made, StrView name, ApiObject *old,
                    ApiObject *now)
{
    if (kind == KIND_NAMESPACE && now)
        controller_queue(c, SV_NULL, now->name);
    else if (kind == made && sv_eq((now ? now : old)->name, name))
        controller_queue(c, SV_NULL, (now ? now : old)->ns);
}

static void observe_account(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    observe(c, kind, KIND_SERVICEACCOUNT, SV("default"), old, now);
}

static void observe_root_ca(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    observe(c, kind, KIND_ROOT_CA, SV("kube-root-ca.crt"), old, now);
}

static bool is_active(Job *j)
{
    ApiObject *ns = obj_find(j->c->cs, KIND_NAMESPACE, SV_NULL, j->name);
    return ns && !obj_deleting(ns);
}

static Value named(Job *j, KindId kind, StrView name)
{
    Value v = value_map();
    value_set(&j->arena, &v, SV("apiVersion"), value_sv(kind_info[kind].api_version));
    value_set(&j->arena, &v, SV("kind"), value_sv(kind_info[kind].kind));
    value_set_path(&j->arena, &v, "metadata.name", value_sv(name));
    value_set_path(&j->arena, &v, "metadata.namespace", value_sv(j->name));
    return v;
}

static void reconcile_account(Job *j)
{
    if (!is_active(j) || obj_find(j->c->cs, KIND_SERVICEACCOUNT, j->name, SV("default")))
        return;
    Value account = named(j, KIND_SERVICEACCOUNT, SV("default"));
    job_create(j, KIND_SERVICEACCOUNT, &account, NULL, NULL);
}

static void reconcile_root_ca(Job *j)
{
    if (!is_active(j))
        return;
    StrView pem = buf_view(&j->c->cs->root_ca);
    Value data = value_map();
    value_set(&j->arena, &data, SV("ca.crt"), value_sv(pem));
    ApiObject *had = obj_find(j->c->cs, KIND_ROOT_CA, j->name, SV("kube-root-ca.crt"));
    if (!had) {
        Value map = named(j, KIND_ROOT_CA, SV("kube-root-ca.crt"));
        value_set(&j->arena, &map, SV("data"), data);
        value_set_path(&j->arena, value_get(&map, SV("metadata")), "annotations", value_map());
        value_set(
            &j->arena, value_path(&map, "metadata.annotations"), SV("kubernetes.io/description"),
            value_sv(
                SV("The certificate of the authority that signed the API server's certificate.")));
        job_create(j, KIND_ROOT_CA, &map, NULL, NULL);
    } else if (!value_equal(value_get(obj_doc(had), SV("data")), &data)) {
        Value map = obj_copy(j, had);
        value_set(&j->arena, &map, SV("data"), data);
        job_update(j, KIND_ROOT_CA, SV_NULL, &map);
    }
}

const ControllerDef serviceaccount_controller = { "serviceaccount-controller", observe_account,
                                                  reconcile_account, 4 };
const ControllerDef rootca_controller = { "root-ca-controller", observe_root_ca, reconcile_root_ca,
                                          4 };
