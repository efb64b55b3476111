/* Types that nest freely: lists of lists, maps of lists of objects, in everything that walks the
 * tables. */
#include "doc.h"

#include "api/check.h"
#include "api/defaults.h"
#include "api/openapi.h"
#include "api/typed.h"
#include "codec/protobuf.h"

static const SchemaField port_fields[] = {
    { .name = SV_INIT("port"), .type = SCHEMA_INT32, .flags = SCHEMA_F_OMIT_ALWAYS },
    { .name = SV_INIT("protocol"), .type = SCHEMA_STRING, .def = SV_INIT("\"TCP\"") },
};
static const SchemaObject port = { SV_INIT("io.example.v1.Port"), port_fields, 2, { 0 } };

static const StrView port_keys[] = { SV_INIT("port"), SV_INIT("protocol") };
static const SchemaField numbers = { .type = SCHEMA_INT32, .card = SCHEMA_LIST },
                         ports = { .type = SCHEMA_OBJECT,
                                   .object = &port,
                                   .card = SCHEMA_LIST,
                                   .list_type = SCHEMA_LIST_MAP,
                                   .list_keys = port_keys,
                                   .n_list_keys = 2 },
                         labels = { .type = SCHEMA_STRING, .card = SCHEMA_MAP },
                         names = { .type = SCHEMA_STRING,
                                   .card = SCHEMA_LIST,
                                   .flags = SCHEMA_F_UNION_LIST };
static const SchemaField fields[] = {
    { .name = SV_INIT("matrix"), .type = SCHEMA_ITEM, .card = SCHEMA_LIST, .item = &numbers },
    { .name = SV_INIT("zones"), .type = SCHEMA_ITEM, .card = SCHEMA_MAP, .item = &ports },
    { .name = SV_INIT("tags"), .type = SCHEMA_ITEM, .card = SCHEMA_LIST, .item = &labels },
    { .name = SV_INIT("extra"), .pb = 1, .type = SCHEMA_ITEM, .card = SCHEMA_MAP, .item = &names },
};
static const SchemaObject type = { SV_INIT("io.example.v1.Nested"), fields, 4, { 0 } };

static void test_values_are_checked_at_every_depth(void **state)
{
    static const struct {
        const char *text, *want;
    } bad[] = {
        { "{'matrix':[[1],['2']]}", "json: cannot unmarshal string into Go struct field "
                                    "Nested.matrix of type int32" },
        { "{'matrix':[1]}", "json: cannot unmarshal number into Go struct field "
                            "Nested.matrix of type []int32" },
        { "{'matrix':{}}", "json: cannot unmarshal object into Go struct field "
                           "Nested.matrix of type [][]int32" },
        { "{'zones':{'a':[{'port':true}]}}", "json: cannot unmarshal bool into Go struct field "
                                             "Port.zones.port of type int32" },
        { "{'zones':{'a':{}}}", "json: cannot unmarshal object into Go struct field "
                                "Nested.zones of type []v1.Port" },
        { "{'tags':['a']}", "json: cannot unmarshal string into Go struct field "
                            "Nested.tags of type map[string]string" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_arena_ Arena a;
        Err err = { 0 };
        arena_init(&a, 0);
        Value v = doc(&a, bad[i].text);
        assert_int_equal(api_decode_check(&type, &v, &a, NULL, &err), -ERR_INVALID);
        assert_string_equal(err.msg, bad[i].want);
    }
}

static void test_nulls_become_empty_and_unknown_fields_go(void **state)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    arena_init(&a, 0);
    Value v = doc(&a, "{'matrix':[null,[null]],'zones':{'a':null,'b':[null,{'port':1,'x':2}]},"
                      "'tags':[null]}"),
          unknown = value_list();
    assert_int_equal(api_decode_check(&type, &v, &a, &unknown, &err), 0);
    assert_doc(&a, &v, "{'matrix':[[],[0]],'zones':{'a':[],'b':[{},{'port':1}]},'tags':[{}]}");
    assert_doc(&a, &unknown, "['unknown field \\\"zones.b[1].x\\\"']");
}

static void test_defaults_reach_objects_in_maps_of_lists(void **state)
{
    const ApiResource kind = { .group = SV_INIT("example.io"),
                               .kind = SV_INIT("Nested"),
                               .schema = &type };
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v = doc(&a, "{'zones':{'a':[{},{'port':2,'protocol':'UDP'}]},'matrix':[[1]]}");
    assert_true(api_defaults_apply(&kind, &v, &a));
    assert_doc(&a, &v,
               "{'zones':{'a':[{'port':0,'protocol':'TCP'},{'port':2,'protocol':'UDP'}]},"
               "'matrix':[[1]]}");
}

/* Lists of maps are owned by key below a map's value as they are elsewhere; lists of lists as a
 * whole. */
static void test_owned_fields_follow_the_items_type(void **state)
{
    _cleanup_arena_ Arena a;
    FieldSet set;
    Value fields_v1, obj, config;
    Err err = { 0 };
    arena_init(&a, 0);
    obj = doc(&a, "{'zones':{'a':[{'port':1,'protocol':'TCP'}]},'matrix':[[1],[2]]}");
    assert_int_equal(typed_fields(&type, &obj, &a, &set, &err), 0);
    assert_true(fieldset_encode(&set, &a, &fields_v1));
    assert_doc(&a, &fields_v1,
               "{'f:matrix':{},'f:zones':{'f:a':{'.':{},"
               "'k:{\\\"port\\\":1,\\\"protocol\\\":\\\"TCP\\\"}':"
               "{'.':{},'f:port':{},'f:protocol':{}}}}}");
    config = doc(&a, "{'zones':{'a':[{'port':2,'protocol':'TCP'}],'b':[]},'matrix':[[3]]}");
    assert_true(typed_merge(&type, &obj, &config, &a));
    assert_doc(&a, &obj,
               "{'zones':{'a':[{'port':1,'protocol':'TCP'},{'port':2,'protocol':'TCP'}],'b':[]},"
               "'matrix':[[3]]}");
}

static void test_openapi_describes_the_items(void **state)
{
    const ApiResource kind = { .group = SV_INIT("example.io"),
                               .version = SV_INIT("v1"),
                               .kind = SV_INIT("Nested"),
                               .plural = SV_INIT("nesteds"),
                               .api_version = SV_INIT("example.io/v1"),
                               .verbs = API_GET,
                               .served = true,
                               .schema = &type },
                      *row = &kind;
    _cleanup_arena_ Arena a;
    Value v;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(openapi_v3(&row, 1, &a, &v, &err), 0);
    const Value *schemas = value_path(&v, "components.schemas"),
                *properties =
                    value_get(value_get(schemas, SV("io.example.v1.Nested")), SV("properties"));
    assert_doc(&a, value_path(properties, "matrix.items"),
               "{'type':'array','items':{'type':'integer','format':'int32'}}");
    assert_doc(&a, value_path(properties, "tags.items"),
               "{'type':'object','additionalProperties':{'type':'string'}}");
    const Value *zone = value_path(properties, "zones.additionalProperties");
    assert_sv(value_str(value_get(zone, SV("type"))), "array");
    assert_non_null(value_get(zone, SV("items")));
}

static void test_maps_of_lists_are_messages_in_protobuf(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Value v, back;
    Err err = { 0 };
    arena_init(&a, 0);
    v = doc(&a, "{'extra':{'a':['x','y'],'b':[]}}");
    assert_int_equal(protobuf_encode(&type, &v, &out, &err), 0);
    assert_int_equal(protobuf_decode(&type, buf_view(&out), &a, &back, &err), 0);
    assert_true(value_equal(&v, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_checked_at_every_depth),
        cmocka_unit_test(test_nulls_become_empty_and_unknown_fields_go),
        cmocka_unit_test(test_defaults_reach_objects_in_maps_of_lists),
        cmocka_unit_test(test_owned_fields_follow_the_items_type),
        cmocka_unit_test(test_openapi_describes_the_items),
        cmocka_unit_test(test_maps_of_lists_are_messages_in_protobuf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
