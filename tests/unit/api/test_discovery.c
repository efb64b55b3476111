/* test_discovery.c - which kinds a server says that it has. */
#include "doc.h"

#include "api/discovery.h"

static const char groups[] =
    "{'items':[{'metadata':{'name':'apps'},'versions':["
    "{'version':'v1','resources':["
    "{'resource':'deployments','responseKind':{'kind':'Deployment'},'scope':'Namespaced',"
    "'verbs':['create','delete','deletecollection','list','watch']},"
    "{'resource':'reviews','responseKind':{'kind':'Review'},'scope':'Cluster','verbs':['create']}]},"
    "{'version':'v1beta1','resources':["
    "{'resource':'deployments','responseKind':{'kind':'Deployment'},'scope':'Namespaced',"
    "'verbs':['list']},"
    "{'resource':'olds','responseKind':{'kind':'Old'},'scope':'Namespaced','verbs':['list','delete']}"
    "]}]},"
    "{'metadata':{'name':'metrics.k8s.io'},'versions':[{'version':'v1beta1','freshness':'Stale'}]},"
    "{'metadata':{'name':'a/b'},'versions':[{'version':'v1'}]},"
    "{'metadata':{},'versions':[{'version':'v1','resources':[{'resource':'broken'},"
    "{'resource':'deployments','responseKind':{'kind':'Other'},'verbs':['list']}]}]},17]}";

static void every_resource_is_found_once_in_its_group(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v = doc(&a, groups);
    ServedKinds s = { 0 };
    assert_true(served_kinds_add(&s, &v, &a));
    assert_int_equal(s.kinds.len, 4);
    const ServedKind *k = s.kinds.items;
    assert_true(sv_eq(k[0].group, SV("apps")) && sv_eq(k[0].version, SV("v1")));
    assert_true(sv_eq(k[0].plural, SV("deployments")) && sv_eq(k[0].kind, SV("Deployment")));
    assert_true(k[0].namespaced && k[0].listed && k[0].watched && k[0].deleted && k[0].swept);
    assert_false(k[1].namespaced || k[1].listed || k[1].watched || k[1].deleted || k[1].swept);
    assert_true(sv_eq(k[2].plural, SV("olds")) && sv_eq(k[2].version, SV("v1beta1")));
    assert_true(k[2].listed && k[2].deleted && !k[2].watched && !k[2].swept);
    assert_true(sv_eq(k[3].group, SV("")) && sv_eq(k[3].kind, SV("Other")));
    served_kinds_free(&s);
}

static void absent_servers_and_wrong_names_are_told(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v = doc(&a, groups);
    ServedKinds s = { 0 };
    assert_true(served_kinds_add(&s, &v, &a));
    assert_int_equal(s.stale.len, 1);
    assert_true(served_kinds_stale(&s, SV("metrics.k8s.io")));
    assert_false(served_kinds_stale(&s, SV("apps")));
    assert_int_equal(s.wrong.len, 1);
    assert_true(sv_eq(s.wrong.items[0].group, SV("a/b")));
    served_kinds_free(&s);
}

static void an_arena_that_is_full_is_told(void **state)
{
    _cleanup_arena_ Arena a, small;
    arena_init(&a, 0);
    Value v = doc(&a, groups);
    ServedKinds s = { 0 };
    arena_init(&small, 1);
    assert_false(served_kinds_add(&s, &v, &small));
    served_kinds_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_is_found_once_in_its_group),
        cmocka_unit_test(absent_servers_and_wrong_names_are_told),
        cmocka_unit_test(an_arena_that_is_full_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
