/* answer.c - the answers to writes: the object, its Scale, or a Status. */
#include "apiserver/answer.h"

#include "api/selector.h"
#include "apiserver/object.h"
#include "apiserver/printers.h"
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

static void push_column(Arena *a, Value *list, const char *name, const char *type, const char *doc)
{
    Value c = value_map();
    value_set(a, &c, SV("name"), value_sv(sv_cstr(name)));
    value_set(a, &c, SV("type"), value_sv(sv_cstr(type)));
    value_set(a, &c, SV("format"), value_sv(SV("")));
    value_set(a, &c, SV("description"), value_sv(sv_cstr(doc)));
    value_set(a, &c, SV("priority"), value_int(0));
    value_push(a, list, c);
}

static Value scale_partial(Arena *a, const Value *scale)
{
    Value v = value_map();
    value_set(a, &v, SV("kind"), value_sv(SV("PartialObjectMetadata")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("meta.k8s.io/v1")));
    value_set(a, &v, SV("metadata"), *value_get(scale, SV("metadata")));
    return v;
}

static Value scale_table(Arena *a, const Value *scale)
{
    Value v = value_map(), columns = value_list(), rows = value_list(), row = value_map(),
          cells = value_list(), meta = value_map();
    const Value *rv = value_path(scale, "metadata.resourceVersion");
    push_column(a, &columns, "Name", "string", "Name of the object that is scaled.");
    push_column(a, &columns, "Desired", "integer", "Wanted replicas.");
    push_column(a, &columns, "Available", "integer", "Replicas there are.");
    push_column(a, &columns, "Age", "string", "Time since the object was created.");
    value_push(a, &cells, *value_path(scale, "metadata.name"));
    value_push(a, &cells, *value_path(scale, "spec.replicas"));
    value_push(a, &cells, *value_path(scale, "status.replicas"));
    value_push(a, &cells,
               value_sv(print_since(a, value_path_str(scale, "metadata.creationTimestamp"))));
    value_set(a, &row, SV("cells"), cells);
    value_set(a, &row, SV("object"), scale_partial(a, scale));
    value_push(a, &rows, row);
    if (rv)
        value_set(a, &meta, SV("resourceVersion"), *rv);
    value_set(a, &v, SV("kind"), value_sv(SV("Table")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("meta.k8s.io/v1")));
    value_set(a, &v, SV("metadata"), meta);
    value_set(a, &v, SV("columnDefinitions"), columns);
    value_set(a, &v, SV("rows"), rows);
    return v;
}

void respond_scale(ApiCall *x, int code, const Value *obj, uint64_t rev)
{
    Value v = scale_value(x, obj, rev);
    if (respond_exhausted(x))
        return;
    if (x->form == OUTPUT_TABLE)
        v = scale_table(x->arena, &v);
    else if (x->form == OUTPUT_PARTIAL)
        v = scale_partial(x->arena, &v);
    respond_value(x, code, &v);
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
    respond_scale(x, code, &obj, o->mod_rev);
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

void answer_without_token(ApiCall *x, int code, ObjectRev *o)
{
    Value secret, *data;
    Err err = { 0 };
    if (x->form != OUTPUT_OBJECT) {
        x->include = SV("Metadata"); /* of a Table */
        respond_object(x, code, o);
        return;
    }
    if (object_decode(x->res, o, x->arena, &secret, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    data = value_get(&secret, SV("data"));
    value_del(data, SV("token"));
    respond_value(x, code, &secret);
}

void answer_unwritten(ApiCall *x, AnswerForm form, int code, Value *obj)
{
    uint64_t rev = 0;
    if (form == ANSWER_STATUS) {
        answer_success(x, code);
    } else if (form == ANSWER_SCALE) {
        sv_to_u64(value_path_str(obj, "metadata.resourceVersion"), &rev);
        respond_scale(x, code, obj, rev);
    } else {
        if (code == 201 && value_get(obj, SV("metadata")))
            value_del(value_get(obj, SV("metadata")), SV("resourceVersion"));
        respond_value(x, code, obj);
    }
}
