/* test_garbage.c - what becomes of an object whose owners go, and how kinds are found. */
#include "unit.h"

#include "base/arena.h"
#include "codec/json.h"
#include "controller/discovery.h"
#include "controller/garbage_plan.h"

static void solid_owners_keep_an_object(void **state)
{
    static const struct {
        OwnerState owners[3];
        size_t n;
        bool has_dependents;
        GarbagePlan want;
    } rows[] = {
        { { 0 }, 0, false, GARBAGE_KEEP },
        { { OWNER_SOLID }, 1, false, GARBAGE_KEEP },
        { { OWNER_GONE }, 1, false, GARBAGE_DELETE },
        { { OWNER_GONE }, 1, true, GARBAGE_DELETE },
        { { OWNER_SOLID, OWNER_GONE }, 2, true, GARBAGE_TRIM },
        { { OWNER_WAITING, OWNER_SOLID }, 2, true, GARBAGE_TRIM },
        { { OWNER_WAITING }, 1, false, GARBAGE_DELETE },
        { { OWNER_WAITING }, 1, true, GARBAGE_DELETE_FOREGROUND },
        { { OWNER_GONE, OWNER_WAITING, OWNER_GONE }, 3, true, GARBAGE_DELETE_FOREGROUND },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(garbage_plan(rows[i].owners, rows[i].n, rows[i].has_dependents),
                         rows[i].want);
}

static const char groups[] =
    "{\"items\":[{\"metadata\":{\"name\":\"apps\"},\"versions\":["
    "{\"version\":\"v1\",\"resources\":["
    "{\"resource\":\"deployments\",\"responseKind\":{\"kind\":\"Deployment\"},\"scope\":\"Namespaced\","
    "\"verbs\":[\"create\",\"delete\",\"deletecollection\",\"list\",\"watch\"]},"
    "{\"resource\":\"reviews\",\"responseKind\":{\"kind\":\"Review\"},\"scope\":\"Cluster\",\"verbs\":[\"create\"]}]},"
    "{\"version\":\"v1beta1\",\"resources\":["
    "{\"resource\":\"deployments\",\"responseKind\":{\"kind\":\"Deployment\"},\"scope\":\"Namespaced\","
    "\"verbs\":[\"list\"]}]}]},"
    "{\"metadata\":{},\"versions\":[{\"version\":\"v1\",\"resources\":[{\"resource\":\"broken\"}]}]},17]}";

static void every_resource_is_found_once(void **state)
{
    _cleanup_arena_ Arena a;
    Value doc;
    ServedKind kinds[4];
    size_t n = 0;
    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(groups), &a, NULL, &doc, NULL), 0);
    discovery_kinds(&doc, kinds, ARRAY_SIZE(kinds), &n);
    assert_int_equal(n, 2); /* each resource once, in its first version; nothing without a name */
    assert_true(sv_eq(kinds[0].group, SV("apps")) && sv_eq(kinds[0].version, SV("v1")));
    assert_true(sv_eq(kinds[0].plural, SV("deployments")) &&
                sv_eq(kinds[0].kind, SV("Deployment")));
    assert_true(kinds[0].namespaced && kinds[0].watched && kinds[0].deleted && kinds[0].swept);
    assert_false(kinds[1].namespaced || kinds[1].watched || kinds[1].deleted || kinds[1].swept);
    n = 0;
    discovery_kinds(&doc, kinds, 1, &n);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solid_owners_keep_an_object),
        cmocka_unit_test(every_resource_is_found_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
