/* answer.c - the answers to writes: the object, its Scale, or a Status. */
#include "apiserver/answer.h"

#include "api/selector.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "codec/json.h"

/* ---- Scale ---- */

static StrView selector_text(ApiCall *x, const Value *obj)
{
    const Value *sel = value_path(obj, "spec.selector");
    Selector parsed;
    if (sv_eq(x->res->kind, SV("ReplicationController"))) {
        _cleanup_buf_ Buf out = BUF_INIT;
        value_map_foreach (m, sel)
            buf_printf(&out, "%s%.*s=%.*s", out.len ? "," : "", SV_FMT(m->key),
                       SV_FMT(value_str(&m->val)));
        return arena_sv(x->arena, buf_view(&out));
    }
    _cleanup_buf_ Buf text = BUF_INIT;
    if (!sel || selector_from_object(sel, x->arena, &parsed, NULL) < 0)
        return SV("");
    selector_format(&parsed, &text);
    return arena_sv(x->arena, buf_view(&text));
}

Value scale_value(ApiCall *x, const Value *obj, uint64_t rev)
{
    Arena *a = x->arena;
    Value v = value_map(), meta = value_map(), spec = value_map(), status = value_map();
    static const StrView copied[] = { SV_INIT("name"), SV_INIT("namespace"), SV_INIT("uid"),
                                      SV_INIT("creationTimestamp") };
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *m = value_get(value_get(obj, SV("metadata")), copied[i]);
        if (m)
            value_set(a, &meta, copied[i], *m);
    }
    value_set(a, &meta, SV("resourceVersion"),
              value_sv(arena_printf(a, "%llu", (unsigned long long)rev)));
    value_set(a, &spec, SV("replicas"),
              value_int(value_int_or(value_path(obj, "spec.replicas"), 0)));
    value_set(a, &status, SV("replicas"),
              value_int(value_int_or(value_path(obj, "status.replicas"), 0)));
    value_set(a, &status, SV("selector"), value_sv(selector_text(x, obj)));
    value_set(a, &v, SV("kind"), value_sv(SV("Scale")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("autoscaling/v1")));
    value_set(a, &v, SV("metadata"), meta);
    value_set(a, &v, SV("spec"), spec);
    value_set(a, &v, SV("status"), status);
    return v;
}

/* ---- the object, or a Status ---- */

static void answer_success(ApiCall *x, int code)
{
    Value v = value_map();
    value_set(x->arena, &v, SV("kind"), value_sv(SV("Status")));
    value_set(x->arena, &v, SV("apiVersion"), value_sv(SV("v1")));
    value_set(x->arena, &v, SV("metadata"), value_map());
    value_set(x->arena, &v, SV("status"), value_sv(SV("Success")));
    value_set(x->arena, &v, SV("code"), value_int(code));
    respond_value(x, code, &v);
}

static void answer_scale(ApiCall *x, int code, ObjectRev *o)
{
    Value obj;
    Err err = { 0 };
    if (object_decode(x->res, o, x->arena, &obj, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    Value v = scale_value(x, &obj, o->mod_rev);
    respond_value(x, code, &v);
}

static void answer_deleted(ApiCall *x, int code, ObjectRev *o)
{
    /* Kinds whose deletion answers with the object, as kube-apiserver's storage does. */
    static const StrView whole[] = { SV_INIT("Pod"),
                                     SV_INIT("Service"),
                                     SV_INIT("ServiceAccount"),
                                     SV_INIT("PersistentVolume"),
                                     SV_INIT("PersistentVolumeClaim"),
                                     SV_INIT("PodTemplate"),
                                     SV_INIT("ResourceQuota") };
    for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
        if (sv_eq(x->res->kind, whole[i])) {
            respond_object(x, code, o);
            return;
        }
    Value meta;
    StrView text = arena_sv(x->arena, object_metadata_text(o)), uid = SV_NULL;
    if (text.ptr && json_decode(text, x->arena, NULL, &meta, NULL) == 0)
        uid = value_str(value_get(&meta, SV("uid")));
    respond_success(x, uid);
}

void answer_written(ApiCall *x, AnswerForm form, int code, ObjectRev *o)
{
    switch (form) {
    case ANSWER_OBJECT:
        respond_object(x, code, o);
        break;
    case ANSWER_DELETED:
        answer_deleted(x, code, o);
        break;
    case ANSWER_STATUS:
        answer_success(x, code);
        break;
    case ANSWER_SCALE:
        answer_scale(x, code, o);
        break;
    }
}

void answer_unwritten(ApiCall *x, AnswerForm form, int code, Value *obj)
{
    uint64_t rev = 0;
    if (form == ANSWER_STATUS) {
        answer_success(x, code);
    } else if (form == ANSWER_SCALE) {
        sv_to_u64(value_path_str(obj, "metadata.resourceVersion"), &rev);
        Value v = scale_value(x, obj, rev);
        respond_value(x, code, &v);
    } else {
        if (code == 201 && value_get(obj, SV("metadata")))
            value_del(value_get(obj, SV("metadata")), SV("resourceVersion"));
        respond_value(x, code, obj);
    }
}
