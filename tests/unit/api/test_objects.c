/* Kubernetes' example objects have every field of every kind set: none may be unknown to our tables,
 * and each field's value must have the type that the table says. Exit status 77: no such data. */
#include <stdio.h>

#include "api/kinds.h"
#include "base/file.h"
#include "codec/json.h"

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

static int walk_one(const SchemaField *f, const Value *v, const char *where)
{
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
    value_map_foreach (m, v) {
        if (!(f->flags & SCHEMA_F_UNION_LIST))
            bad += walk_one(f, &m->val, where);
    }
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

static int check(int dir, const ApiResource *r)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    char name[256];
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    StrView group = r->group.len ? r->group : SV("core");
    snprintf(name, sizeof name, "%.*s.%.*s.%.*s.json", SV_FMT(group), SV_FMT(r->version),
             SV_FMT(r->kind));
    if (file_read(dir, name, FILE_MAX, &text) < 0 ||
        json_decode(buf_view(&text), &a, NULL, &v, &err) < 0) {
        printf("%s: %s\n", name, err.msg[0] ? err.msg : "cannot read");
        return 1;
    }
    return walk(r->schema, &v, name);
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
