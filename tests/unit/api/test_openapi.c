#include "doc.h"

#include "api/openapi.h"
#include "codec/protobuf.h"

static ApiKinds *kinds;

/* Every $ref of the tree must lead to a schema. */
static void check_refs(const Value *v, const Value *schemas, const char *prefix)
{
    StrView ref = value_str(value_get(v, SV("$ref")));

    if (ref.len) {
        assert_true(sv_starts(ref, sv_cstr(prefix)));
        if (!value_get(schemas, sv_skip(ref, strlen(prefix))))
            fail_msg("%.*s leads nowhere", SV_FMT(ref));
    }
    value_map_foreach (m, v)
        check_refs(&m->val, schemas, prefix);
    value_list_foreach (it, v)
        check_refs(it, schemas, prefix);
}

static void test_v2_is_whole(void **state)
{
    _cleanup_arena_ Arena a;
    const ApiResource *const *rows;
    size_t n;
    Value d;

    arena_init(&a, 0);
    assert_int_equal(openapi_rows(kinds, SV(""), SV(""), &a, &rows, &n, NULL), 0);
    assert_int_equal(openapi_v2(rows, n, &a, &d, NULL), 0);
    const Value *definitions = value_get(&d, SV("definitions"));
    check_refs(&d, definitions, "#/definitions/");
    const Value *spec = value_get(definitions, SV("io.k8s.api.core.v1.PodSpec"));
    const Value *containers = value_path(spec, "properties.containers");
    assert_sv(value_path_str(containers, "x-kubernetes-patch-merge-key"), "name");
    assert_sv(value_path_str(containers, "x-kubernetes-patch-strategy"), "merge");
    assert_sv(value_path_str(containers, "items.$ref"),
              "#/definitions/io.k8s.api.core.v1.Container");
    const Value *pod = value_get(definitions, SV("io.k8s.api.core.v1.Pod"));
    const Value *gvk = value_get(pod, SV("x-kubernetes-group-version-kind"));
    assert_doc(&a, gvk, "[{'group':'','version':'v1','kind':'Pod'}]");
    const Value *path = value_get(value_get(&d, SV("paths")),
                                  SV("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"));
    assert_sv(value_path_str(path, "patch.operationId"), "patchAppsV1NamespacedDeployment");
    assert_sv(value_path_str(path, "patch.x-kubernetes-group-version-kind.kind"), "Deployment");
}

static void test_v3_has_one_group_version(void **state)
{
    _cleanup_arena_ Arena a;
    const ApiResource *const *rows;
    size_t n;
    Value d;

    arena_init(&a, 0);
    assert_int_equal(openapi_rows(kinds, SV("apps"), SV("v1"), &a, &rows, &n, NULL), 0);
    assert_int_equal(n, 5);
    assert_int_equal(openapi_v3(rows, n, &a, &d, NULL), 0);
    check_refs(&d, value_path(&d, "components.schemas"), "#/components/schemas/");
    assert_null(value_get(value_get(&d, SV("paths")), SV("/api/v1/pods")));
    assert_non_null(value_get(value_get(&d, SV("paths")), SV("/apis/apps/v1/deployments")));
}

static void test_index(void **state)
{
    _cleanup_arena_ Arena a;
    char hash[OPENAPI_HASH_SIZE];
    Value index = value_map();

    arena_init(&a, 0);
    openapi_hash(SV("x"), hash);
    assert_int_equal(strlen(hash), OPENAPI_HASH_SIZE - 1);
    assert_true(openapi_index_add(&index, SV(""), SV("v1"), "AB", &a));
    assert_true(openapi_index_add(&index, SV("apps"), SV("v1"), "CD", &a));
    assert_doc(&a, &index,
               "{'paths':{'api/v1':{'serverRelativeURL':'/openapi/v3/api/v1?hash=AB'},"
               "'apis/apps/v1':{'serverRelativeURL':'/openapi/v3/apis/apps/v1?hash=CD'}}}");
}

static void test_gnostic_form_is_well_formed(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    const ApiResource *const *rows;
    unsigned definitions = 0;
    ProtobufField f;
    size_t n;
    Value d;
    int r;

    arena_init(&a, 0);
    assert_int_equal(openapi_rows(kinds, SV(""), SV(""), &a, &rows, &n, NULL), 0);
    assert_int_equal(openapi_v2(rows, n, &a, &d, NULL), 0);
    openapi_v2_protobuf(&d, &out);
    assert_false(out.failed);
    for (StrView rest = buf_view(&out); (r = protobuf_next(&rest, &f, NULL)) > 0;) {
        for (StrView in = f.bytes; f.number == 9 && protobuf_next(&in, &f, NULL) > 0; f.number = 9)
            definitions++;
    }
    assert_int_equal(r, 0);
    assert_int_equal(definitions, value_len(value_get(&d, SV("definitions"))));
}

static void test_exhausted_arena_is_reported(void **state)
{
    _cleanup_arena_ Arena a;
    const ApiResource *const *rows;
    size_t n;
    Value d;

    arena_init(&a, 300 * 1024);
    assert_int_equal(openapi_rows(kinds, SV(""), SV(""), &a, &rows, &n, NULL), 0);
    assert_int_equal(openapi_v2(rows, n, &a, &d, NULL), -ERR_NOMEM);
}

int main(void)
{
    Err err = { 0 };
    if (api_kinds_new(NULL, 0, &kinds, &err) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v2_is_whole),
        cmocka_unit_test(test_v3_has_one_group_version),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_gnostic_form_is_well_formed),
        cmocka_unit_test(test_exhausted_arena_is_reported),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_kinds_unref(kinds);
    return failed;
}
