#include "unit.h"

#include "api/kinds.h"

static void test_rows_are_found_by_plural_and_by_kind(void **state)
{
    const ApiResource *r = api_resource_find(SV("apps"), SV("v1"), SV("deployments"));

    assert_non_null(r);
    assert_sv(r->kind, "Deployment");
    assert_sv(r->api_version, "apps/v1");
    assert_sv(r->short_names[0], "deploy");
    assert_ptr_equal(r, api_kind_find(SV("apps"), SV("v1"), SV("Deployment")));
    assert_null(api_resource_find(SV(""), SV("v1"), SV("deployments")));
    const ApiSubresource *scale = api_sub_find(r, SV("scale"));
    assert_non_null(scale);
    assert_sv(scale->kind, "Scale");
    assert_sv(scale->kind_group, "autoscaling");
    assert_int_equal(scale->verbs, API_GET | API_UPDATE | API_PATCH);
    assert_null(api_sub_find(r, SV("log")));
}

static void test_every_row_is_sound(void **state)
{
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *r = &api_resources[i];
        assert_ptr_equal(api_resource_find(r->group, r->version, r->plural), r);
        assert_non_null(schema_field(r->schema, SV("apiVersion")));
        assert_non_null(schema_field(r->schema, SV("metadata")));
        assert_true(r->verbs & API_CREATE);
        if (r->stored)
            assert_true(r->n_columns >= 2);
        for (unsigned j = 0; j < r->n_subs; j++) {
            const ApiSubresource *s = &r->subs[j];
            assert_true(s->verbs != 0);
            assert_true(s->kind.len > 0);
        }
    }
}

static void test_schemas_are_sorted_and_complete(void **state)
{
    for (size_t i = 0; i < api_schemas_len; i++) {
        const SchemaObject *o = api_schemas[i];
        assert_ptr_equal(api_schema_find(o->name), o);
        for (unsigned j = 0; j < o->n_fields; j++) {
            const SchemaField *f = &o->fields[j];
            assert_true((f->type == SCHEMA_OBJECT) == (f->object != NULL));
            assert_true((f->flags & SCHEMA_F_INLINE) != 0 || f->name.len > 0);
            if (f->merge_key.len)
                assert_non_null(schema_field(f->object, f->merge_key));
            for (unsigned k = 0; k < f->n_list_keys; k++)
                assert_non_null(schema_field(f->object, f->list_keys[k]));
        }
    }
    assert_null(api_schema_find(SV("io.k8s.api.core.v1.Nothing")));
}

static void test_inline_fields_are_seen_through(void **state)
{
    const SchemaObject *volume = api_schema_find(SV("io.k8s.api.core.v1.Volume"));
    const SchemaField *f = schema_field(volume, SV("hostPath"));

    assert_non_null(f);
    assert_sv(f->object->name, "io.k8s.api.core.v1.HostPathVolumeSource");
    const SchemaObject *spec = api_schema_find(SV("io.k8s.api.core.v1.PodSpec"));
    f = schema_field(spec, SV("containers"));
    assert_sv(f->merge_key, "name");
    assert_int_equal(f->list_type, SCHEMA_LIST_MAP);
    assert_true(f->flags & SCHEMA_F_MERGE);
    f = schema_field(api_schema_find(SV("io.k8s.api.core.v1.ServicePort")), SV("protocol"));
    assert_sv(f->def, "\"TCP\"");
    assert_int_equal(f->n_enums, 3);
}

static void test_verbs_have_names(void **state)
{
    assert_sv(api_verb_name(API_WATCH), "watch");
    assert_sv(api_verb_name(API_DELETECOLLECTION), "deletecollection");
    assert_sv(api_verb_name(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_found_by_plural_and_by_kind),
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_schemas_are_sorted_and_complete),
        cmocka_unit_test(test_inline_fields_are_seen_through),
        cmocka_unit_test(test_verbs_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
