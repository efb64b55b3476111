/* Kubernetes' example objects have every field of every kind set: none may be unknown to our
 * tables, each field's value must have the type that the table says, the type check must leave the
 * object as it is, and its protobuf and YAML forms must be the same document, there and back. Exit
 * status 77: no such data. */
#include <stdio.h>

#include "api/check.h"
#include "api/kinds.h"
#include "base/file.h"
#include "codec/json.h"
#include "codec/protobuf.h"
#include "codec/yaml.h"

enum { EXIT_SKIP = 77, FILE_MAX = 4 << 20 };

static int walk(const SchemaObject *o, const Value *v, const char *where);

static bool scalar_fits(const SchemaField *f, const Value *v)
{
    switch ((SchemaType)f->type) {
    case SCHEMA_BOOL:
        return v->kind == VALUE_BOOL;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return v->kind == VALUE_INT;
    case SCHEMA_DOUBLE:
        return v->kind == VALUE_INT || v->kind == VALUE_DOUBLE;
    case SCHEMA_INT_OR_STRING:
        return v->kind == VALUE_INT || v->kind == VALUE_STRING;
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        return v->kind == VALUE_MAP;
    case SCHEMA_JSON:
        return true;
    default:
        return v->kind == VALUE_STRING;
    }
}

static int walk_field(const SchemaField *f, const Value *v, const char *where);

static int walk_one(const SchemaField *f, const Value *v, const char *where)
{
    if (f->type == SCHEMA_ITEM)
        return walk_field(f->item, v, where);
    if (v->kind == VALUE_NULL)
        return 0;
    if (f->type == SCHEMA_OBJECT)
        return walk(f->object, v, where);
    if (scalar_fits(f, v))
        return 0;
    printf("%s: wrong type at '%.*s'\n", where, SV_FMT(f->name));
    return 1;
}

static int walk_field(const SchemaField *f, const Value *v, const char *where)
{
    int bad = 0;

    if (f->card == SCHEMA_ONE)
        return walk_one(f, v, where);
    value_list_foreach (it, v)
        bad += walk_one(f, it, where);
    value_map_foreach (m, v)
        bad += walk_one(f, &m->val, where);
    return bad;
}

static int walk(const SchemaObject *o, const Value *v, const char *where)
{
    int bad = 0;

    value_map_foreach (m, v) {
        const SchemaField *f = schema_field(o, m->key);
        if (f) {
            bad += walk_field(f, &m->val, where);
            continue;
        }
        printf("%s: unknown field '%.*s' in %.*s\n", where, SV_FMT(m->key), SV_FMT(o->name));
        bad++;
    }
    return bad;
}

static int fail(const char *name, const char *what, const Err *err)
{
    printf("%s: %s %s\n", name, what, err->msg);
    return 1;
}

/* Reads kind `r`'s file with the ending `ext`. */
static bool read_object(int dir, const ApiResource *r, const char *ext, char name[static 256],
                        Buf *text)
{
    StrView group = r->group.len ? r->group : SV("core");

    snprintf(name, 256, "%.*s.%.*s.%.*s.%s", SV_FMT(group), SV_FMT(r->version), SV_FMT(r->kind),
             ext);
    buf_clear(text);
    return file_read(dir, name, FILE_MAX, text) == 0;
}

static int compare(const char *name, const char *what, const Value *got, const Value *want)
{
    _cleanup_buf_ Buf x = BUF_INIT, y = BUF_INIT;

    if (value_equal(got, want))
        return 0;
    json_encode(got, &x);
    json_encode(want, &y);
    printf("%s: %s\n got %s\nwant %s\n", name, what, buf_cstr(&x), buf_cstr(&y));
    return 1;
}

static int decode_envelope(StrView bytes, const ApiResource *r, Arena *a, Value *ret, Err *err)
{
    ProtobufEnvelope e;

    if (protobuf_open(bytes, &e, err) < 0 || protobuf_decode(r->schema, e.raw, a, ret, err) < 0)
        return -1;
    value_set(a, ret, SV("apiVersion"), value_sv(e.api_version));
    value_set(a, ret, SV("kind"), value_sv(e.kind));
    return 0;
}

static int check_protobuf(int dir, const ApiResource *r, const Value *want, Arena *a)
{
    _cleanup_buf_ Buf bytes = BUF_INIT, again = BUF_INIT;
    char name[256];
    Err err = { 0 };
    Value v;

    if (!read_object(dir, r, "pb", name, &bytes) ||
        decode_envelope(buf_view(&bytes), r, a, &v, &err) < 0)
        return fail(name, "decode", &err);
    if (compare(name, "differs from JSON", &v, want))
        return 1;
    if (protobuf_seal(r->api_version, r->kind, r->schema, want, &again, &err) < 0 ||
        decode_envelope(buf_view(&again), r, a, &v, &err) < 0)
        return fail(name, "encode", &err);
    if (compare(name, "does not round-trip", &v, want))
        return 1;
    /* The files have every field set, so the bytes themselves must be the same. */
    if (sv_eq(buf_view(&bytes), buf_view(&again)))
        return 0;
    printf("%s: bytes differ (%zu, %zu)\n", name, bytes.len, again.len);
    return 1;
}

static int check_yaml(int dir, const ApiResource *r, const Value *want, Arena *a)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char name[256];
    Err err = { 0 };
    Value v;

    if (!read_object(dir, r, "yaml", name, &text) ||
        yaml_decode(buf_view(&text), a, NULL, &v, NULL, &err) < 0)
        return fail(name, "decode", &err);
    return compare(name, "differs from JSON", &v, want);
}

static int check(int dir, const ApiResource *r)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    char name[256];
    Err err = { 0 };
    Value v, checked;

    arena_init(&a, 0);
    if (!read_object(dir, r, "json", name, &text) ||
        json_decode(buf_view(&text), &a, NULL, &v, &err) < 0)
        return fail(name, "decode", &err);
    int bad = walk(r->schema, &v, name);
    if (!value_clone(&a, &v, &checked) || api_decode_check(r->schema, &checked, &a, NULL, &err) < 0)
        return fail(name, "type check", &err);
    bad += compare(name, "changed by the type check", &checked, &v);
    return bad + check_protobuf(dir, r, &v, &a) + check_yaml(dir, r, &v, &a);
}

int main(int argc, char **argv)
{
    int dir = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int bad = 0;

    if (dir < 0)
        return EXIT_SKIP;
    for (size_t i = 0; i < api_resources_len; i++)
        bad += check(dir, &api_resources[i]);
    close(dir);
    printf("%zu kinds, %d failures\n", api_resources_len, bad);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
