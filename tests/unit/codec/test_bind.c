/* test_bind.c - documents to structs: each kind of member, defaults, what does not fit with its
 * file, line and key, from YAML whose scalars stay text and from JSON. */
#include "unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "codec/bind.h"
#include "codec/json.h"
#include "codec/yaml.h"

typedef struct Part {
    StrView name;
    int64_t n;
} Part;
typedef struct Doc {
    bool flag;
    int8_t tri;
    StrView text;
    int64_t number;
    uint64_t size;
    double ratio;
    StrList texts;
    StrParams params;
    const Value *any;
    Part part, more;
    Part *maybe;
    LIST(Part) parts;
    int own;
} Doc;

enum { FIELD_COLOR = FIELD_OWN };

static void part_init(void *obj)
{
    ((Part *)obj)->n = 7;
}

static int part_check(Binder *b, void *obj, const Value *v)
{
    const Part *p = obj;
    return p->n == 13 ? bind_fail_key(b, v, "n", "%d brings bad luck", 13) : 0;
}

static const Field part_fields[] = { BIND(Part, "name", TEXT, name), BIND(Part, "n", INT, n) };
static const Type type_part = { "Part",    sizeof(Part), part_fields, ARRAY_SIZE(part_fields),
                                part_init, part_check };
static const Field more_fields[] = { BIND(Part, "more_name", TEXT, name) };
static const Type type_more = { "More", sizeof(Part), more_fields, ARRAY_SIZE(more_fields) };
static const Field doc_fields[] = {
    BIND(Doc, "flag", BOOL, flag),
    BIND(Doc, "tri", TRI, tri),
    BIND(Doc, "text", TEXT, text),
    BIND(Doc, "number", INT, number),
    BIND(Doc, "size", UINT, size),
    BIND(Doc, "ratio", DOUBLE, ratio),
    BIND(Doc, "texts", TEXTS, texts),
    BIND(Doc, "params", PARAMS, params),
    BIND(Doc, "any", VALUE, any),
    BIND_SUB(Doc, "part", STRUCT, part, type_part),
    BIND_SUB(Doc, "", INLINE, more, type_more),
    BIND_SUB(Doc, "maybe", POINTER, maybe, type_part),
    BIND_SUB(Doc, "parts", LIST, parts, type_part),
    BIND(Doc, "color", COLOR, own),
};
static const Type type_doc = { "Doc", sizeof(Doc), doc_fields, ARRAY_SIZE(doc_fields) };

static int read_color(Binder *b, const Field *f, void *at, const Value *v)
{
    assert_int_equal(f->kind, FIELD_COLOR);
    if (!sv_eq(value_str(v), SV("red")))
        return bind_fail(b, v, "no color");
    *(int *)at = 3;
    return 0;
}

static int unknown(Binder *b, StrView key, const Value *v)
{
    return sv_eq(key, SV("old")) ? bind_fail(b, v, "\"old\" is no more") : 0;
}

static const BindFormat as_text = { .read = read_color, .unknown = unknown };
static const BindFormat as_json = { .typed = true, .lenient = true, .read = read_color };

static Arena arena;
static char said[512];

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_free(&arena);
    return 0;
}

/* False: said[] has the error. */
static bool bind(const char *text, bool json, Doc *ret)
{
    JsonOptions opt = { .plain_text = !json, .lines = true };
    Value v;
    Err err = { 0 };
    Binder b = { .file = "f", .arena = &arena, .format = json ? &as_json : &as_text, .err = &err };
    *ret = (Doc){ 0 };
    int r = json ? json_decode(sv_cstr(text), &arena, &opt, &v, &err)
                 : yaml_decode(sv_cstr(text), &arena, &opt, &v, NULL, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    r = bind_struct(&b, &type_doc, ret, &v);
    snprintf(said, sizeof said, "%s", err.msg);
    return r == 0;
}

static void check(const Doc *d)
{
    assert_true(d->flag);
    assert_int_equal(d->tri, 0);
    assert_sv(d->text, "0010");
    assert_int_equal(d->number, -5);
    assert_int_equal(d->size, 6);
    assert_true(d->ratio == 1.5);
    assert_int_equal(d->texts.len, 2);
    assert_sv(d->texts.items[1], "b");
    assert_int_equal(d->params.len, 2);
    assert_sv(d->params.items[0].name, "a"); /* sorted */
    assert_sv(d->params.items[0].values.items[0], "x");
    assert_int_equal(value_len(d->any), 1);
    assert_sv(d->part.name, "p");
    assert_int_equal(d->part.n, 7); /* its default */
    assert_sv(d->more.name, "inline");
    assert_null(d->maybe);
    assert_int_equal(d->parts.len, 2);
    assert_int_equal(d->parts.items[1].n, 2);
    assert_int_equal(d->own, 3);
}

static void test_text(void **state)
{
    Doc d;
    assert_true(bind("flag: yes\ntri: off\ntext: 0010\nnumber: -5\nsize: 6\nratio: 1.5\n"
                     "texts: [a, b]\nparams: {b: [y], a: x}\nany: {z: 1}\npart: {name: p}\n"
                     "more_name: inline\nmaybe: null\nparts: [{n: 1}, {n: 2}]\ncolor: red\n",
                     false, &d));
    check(&d);
    assert_true(bind("{}", false, &d));
    assert_int_equal(d.tri, BIND_UNSET);
    assert_int_equal(d.part.n, 7);
    assert_true(bind("maybe: {name: m}", false, &d));
    assert_sv(d.maybe->name, "m");
}

static void test_json(void **state)
{
    Doc d;
    assert_true(bind("{\"flag\":true,\"tri\":false,\"text\":\"0010\",\"number\":-5,\"size\":6,"
                     "\"ratio\":1.5,\"texts\":[\"a\",\"b\"],\"params\":{\"b\":[\"y\"],\"a\":\"x\"},"
                     "\"any\":{\"z\":1},\"part\":{\"name\":\"p\"},\"more_name\":\"inline\","
                     "\"maybe\":null,\"parts\":[{\"n\":1},{\"n\":2}],\"color\":\"red\","
                     "\"somebody's\":{}}",
                     true, &d));
    check(&d);
}

static void test_errors_say_where(void **state)
{
    static const struct {
        const char *text, *says;
        bool json;
    } cases[] = {
        { "a:\n  b", "f:1: field a not found in type Doc", false },
        { "\nold: 1", "f:2: \"old\" is no more", false },
        { "flag: maybe", "f:1: flag: cannot unmarshal !!str `maybe` into bool", false },
        { "number: 1x", "f:1: number: cannot unmarshal !!str `1x` into int", false },
        { "size: -1", "f:1: size: cannot unmarshal !!str `-1` into uint", false },
        { "text: [a]", "f:1: text: cannot unmarshal !!seq into string", false },
        { "part: x", "f:1: part: cannot unmarshal !!str `x` into Part", false },
        { "parts:\n- n: 1\n-\n  n: 13\n", "f:4: parts[1].n: 13 brings bad luck", false },
        { "parts: [null]", "f:1: parts[0]: empty or null section", false },
        { "texts:\n- a\n- {}\n", "f:3: texts[1]: cannot unmarshal !!map into string", false },
        { "params: {a: {}}", "f:1: params.a: cannot unmarshal !!map into []string", false },
        { "color: blue", "f:1: color: no color", false },
        { "{\n\"parts\": [\n {\"n\": 1},\n {\n\"n\": \"2\"}]}",
          "f:5: parts[1].n: cannot unmarshal !!str `2` into int", true },
        { "{\"flag\":\n\n\"true\"}", "f:1: flag: cannot unmarshal !!str `true` into bool", true },
        { "{\"flag\":1}", "f:1: flag: cannot unmarshal a number into bool", true },
        { "{\"number\":true}", "f:1: number: cannot unmarshal a bool into int", true },
        { "{\"number\":1.5}", "f:1: number: cannot unmarshal a number into int", true },
        { "{\"size\":-1}", "f:1: size: cannot unmarshal a number into uint", true },
        { "[]", "f:1: cannot unmarshal !!seq into Doc", true },
    };
    Doc d;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_false(bind(cases[i].text, cases[i].json, &d));
        assert_string_equal(said, cases[i].says);
    }
}

static void count(void *ctx, void *obj)
{
    ++*(int *)ctx;
}

static void test_visit(void **state)
{
    Doc d;
    int n = 0;
    assert_true(bind("parts: [{}, {}]\nmaybe: {}", false, &d));
    bind_visit(&type_doc, &d, &type_part, count, &n);
    assert_int_equal(n, 4); /* part, maybe, two of parts */
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = { CASE(test_text), CASE(test_json),
                                        CASE(test_errors_say_where), CASE(test_visit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
