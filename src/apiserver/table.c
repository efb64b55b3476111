/* table.c - meta.k8s.io/v1 Tables: what `kubectl get` prints.
 *
 * Columns come from the table of kinds, the cells of a row from printers.c. */
#include "apiserver/table.h"

#include <stdio.h>

#include "apiserver/object.h"
#include "apiserver/printers.h"
#include "codec/json.h"

static Value cell(Arena *a, const ApiResource *res, const ApiColumn *col, const Value *obj)
{
    Value v;
    return print_cell(a, res, col, obj, &v) ? v : value_sv(SV(""));
}

/* Whether a pod has run to its end: kubectl leaves such rows out where it is asked to. */
static void row_conditions(const ApiResource *res, const Value *obj, Buf *out)
{
    StrView phase = value_path_str(obj, "status.phase");
    bool failed = sv_eq(phase, SV("Failed"));
    if (!sv_eq(res->kind, SV("Pod")) || (!failed && !sv_eq(phase, SV("Succeeded"))))
        return;
    buf_printf(out,
               ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"%s\","
               "\"message\":\"%s\"}]",
               failed ? "Failed" : "Succeeded",
               failed ? "The pod failed." : "The pod has completed successfully.");
}

static void encode_columns(const ApiResource *res, Buf *out)
{
    buf_sv(out, SV(",\"columnDefinitions\":["));
    for (unsigned i = 0; i < res->n_columns; i++) {
        const ApiColumn *c = &res->columns[i];
        buf_sv(out, i ? SV(",{\"name\":") : SV("{\"name\":"));
        json_encode_string(c->name, out);
        buf_sv(out, SV(",\"type\":"));
        json_encode_string(c->type, out);
        buf_sv(out, SV(",\"format\":"));
        json_encode_string(c->format, out);
        buf_sv(out, SV(",\"description\":"));
        json_encode_string(c->doc, out);
        buf_printf(out, ",\"priority\":%d}", c->priority);
    }
    buf_putc(out, ']');
}

TableInclude table_include(ApiCall *x)
{
    if (!x->include.ptr && !http_query(x->req, SV("includeObject"), &x->include))
        x->include = SV("Metadata"); /* read once: a watch prints for hours */
    return sv_eq(x->include, SV("None"))     ? TABLE_NONE
           : sv_eq(x->include, SV("Object")) ? TABLE_OBJECT
                                             : TABLE_METADATA;
}

/* What a row carries of its object. */
static void row_object(ApiCall *x, const ObjectRev *o, Buf *out, StrView *ret_rest,
                       StrView *ret_end)
{
    *ret_end = SV("}");
    TableInclude include = table_include(x);
    if (include == TABLE_NONE) {
        *ret_rest = SV("null");
        return;
    }
    if (include == TABLE_OBJECT) {
        *ret_rest = object_open(x->res, o, o->mod_rev, false, out);
        return;
    }
    buf_sv(out,
           SV("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
              "\"resourceVersion\":\""));
    buf_u64(out, o->mod_rev);
    buf_sv(out, SV("\","));
    *ret_rest = sv_skip(object_metadata_text(o), 1);
    *ret_end = SV("}}");
}

/* The tree of the object lives in an arena of its own, since a watch prints for hours. */
void table_row_parts(ApiCall *x, const ObjectRev *o, Arena *scratch, Buf *out, StrView *ret_rest,
                     StrView *ret_end)
{
    Value obj;
    arena_reset(scratch);
    buf_sv(out, SV("{\"cells\":["));
    if (json_decode(o->val, scratch, NULL, &obj, NULL) == 0) {
        for (unsigned i = 0; i < x->res->n_columns; i++) {
            if (i)
                buf_putc(out, ',');
            Value v = cell(scratch, x->res, &x->res->columns[i], &obj);
            json_encode(&v, out);
        }
        buf_putc(out, ']');
        row_conditions(x->res, &obj, out);
    } else
        out->failed = true;
    buf_sv(out, SV(",\"object\":"));
    row_object(x, o, out, ret_rest, ret_end);
}

void table_row(ApiCall *x, const ObjectRev *o, Arena *scratch, Buf *out)
{
    StrView rest, end;
    table_row_parts(x, o, scratch, out, &rest, &end);
    buf_sv(out, rest);
    buf_sv(out, end);
}

void table_begin(ApiCall *x, StrView rv, StrView cont, bool with_columns, Buf *out)
{
    buf_sv(
        out,
        SV("{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\""));
    buf_sv(out, rv);
    buf_putc(out, '"');
    if (cont.len) {
        buf_sv(out, SV(",\"continue\":\""));
        buf_sv(out, cont);
        buf_putc(out, '"');
    }
    buf_putc(out, '}');
    if (with_columns)
        encode_columns(x->res, out);
    else
        buf_sv(out, SV(",\"columnDefinitions\":null"));
    buf_sv(out, SV(",\"rows\":["));
}

void table_end(Buf *out)
{
    buf_sv(out, SV("]}"));
}

void table_encode(ApiCall *x, ObjectRev *const *objs, size_t n, StrView rv, StrView cont,
                  bool with_columns, Buf *out)
{
    table_begin(x, rv, cont, with_columns, out);
    Arena scratch;
    arena_init(&scratch, ARENA_DEFAULT_LIMIT);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        table_row(x, objs[i], &scratch, out);
    }
    arena_free(&scratch);
    table_end(out);
}
