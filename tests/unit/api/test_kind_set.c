/* test_kind_set.c - sets of kinds: what is found, in which order, and how long a row lives. */
#include "unit.h"

#include "api/kind_set.h"

typedef struct Custom {
    ApiKindOwner owner;
    ApiResource row;
    bool freed;
} Custom;

static void on_free(ApiKindOwner *o)
{
    ((Custom *)o)->freed = true; /* its first member */
}

static void custom(Custom *c, const char *version, const char *plural, const char *kind)
{
    *c = (Custom){ .owner = { .refs = 1, .free = on_free },
                   .row = { .group = SV("example.com"),
                            .version = sv_cstr(version),
                            .kind = sv_cstr(kind),
                            .plural = sv_cstr(plural),
                            .namespaced = true,
                            .stored = true,
                            .served = true,
                            .api_version = SV("example.com/v1"),
                            .place = SV("example.com/widgets"),
                            .owner = &c->owner } };
}

static ApiKinds *make(const ApiResource *const *rows, size_t n)
{
    ApiKinds *k = NULL;
    Err err = { 0 };
    if (api_kinds_new(rows, n, &k, &err) < 0)
        fail_msg("%s", err.msg);
    return k;
}

static void assert_key(const ApiKinds *k, const char *key, const char *kind, const char *ns,
                       const char *name)
{
    StrView got_ns, got_name;
    const ApiResource *r = api_kinds_of_key(k, sv_cstr(key), &got_ns, &got_name);
    if (!kind) {
        assert_null(r);
        return;
    }
    assert_non_null(r);
    assert_sv(r->kind, kind);
    assert_sv(got_name, name);
    assert_int_equal(got_ns.ptr != NULL, ns != NULL);
    if (ns)
        assert_sv(got_ns, ns);
}

static void test_built_in_kinds_are_found(void **state)
{
    ApiKinds *k = make(NULL, 0);
    assert_sv(api_kinds_find(k, SV("apps"), SV("v1"), SV("deployments"))->kind, "Deployment");
    assert_sv(api_kinds_find_kind(k, SV(""), SV("v1"), SV("Pod"))->plural, "pods");
    assert_null(api_kinds_find(k, SV("apps"), SV("v2"), SV("deployments")));
    assert_null(api_kinds_find(k, SV(""), SV("v1"), SV("deployments")));
    size_t at = 0, n = 0;
    for (const ApiResource *r; (r = api_kinds_next(k, &at)); n++) {
        assert_true(r->served);
        assert_ptr_equal(r, api_kinds_find(k, r->group, r->version, r->plural));
    }
    assert_true(n > 40);
    at = 0;
    const ApiGroupVersion *core = api_kinds_next_version(k, &at);
    assert_sv(core->group, "");
    assert_sv(core->package, "io.k8s.api.core.v1");
    api_kinds_unref(k);
}

static void test_keys_lead_to_their_kinds(void **state)
{
    Custom w;
    custom(&w, "v1", "widgets", "Widget");
    const ApiResource *rows[] = { &w.row };
    ApiKinds *k = make(rows, 1);
    assert_key(k, "/registry/pods/default/a", "Pod", "default", "a");
    assert_key(k, "/registry/minions/a", "Node", NULL, "a");
    assert_key(k, "/registry/services/specs/default/a", "Service", "default", "a");
    assert_key(k, "/registry/services/endpoints/default/a", "Endpoints", "default", "a");
    assert_key(k, "/registry/example.com/widgets/default/a", "Widget", "default", "a");
    assert_key(k, "/registry/pods/a", NULL, NULL, NULL);
    assert_key(k, "/registry/pods/default/a/b", NULL, NULL, NULL);
    assert_key(k, "/registry/pods/default/", NULL, NULL, NULL);
    assert_key(k, "/registry/minions/a/b", NULL, NULL, NULL);
    assert_key(k, "/registry/services/default/a", NULL, NULL, NULL);
    assert_key(k, "/registry/nothing/default/a", NULL, NULL, NULL);
    assert_key(k, "/registry/pods", NULL, NULL, NULL);
    assert_key(k, "/elsewhere/pods/default/a", NULL, NULL, NULL);
    /* Of a kind with several versions it is the first. */
    StrView ns, name;
    assert_sv(api_kinds_of_key(k, SV("/registry/horizontalpodautoscalers/default/h"), &ns, &name)
                  ->version,
              "v2");
    assert_sv(api_kinds_of_key(k, SV("/registry/events/default/e"), &ns, &name)->group, "");
    api_kinds_unref(k);
}

static void test_rows_live_as_long_as_a_set_has_them(void **state)
{
    Custom v2, v1, gone;
    custom(&v2, "v2", "widgets", "Widget");
    custom(&v1, "v1", "widgets", "Widget");
    custom(&gone, "v1", "others", "Other");
    const ApiResource *rows[] = { &v2.row, &v1.row, &gone.row };
    ApiKinds *old = make(rows, 3), *held = api_kinds_ref(old), *now = make(rows, 2);
    Custom *all[] = { &v2, &v1, &gone };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        assert_int_equal(atomic_fetch_sub(&all[i]->owner.refs, 1), i == 2 ? 2 : 3);
    api_kinds_unref(old);
    assert_false(gone.freed);
    assert_ptr_equal(api_kinds_find(held, SV("example.com"), SV("v1"), SV("others")), &gone.row);
    assert_null(api_kinds_find(now, SV("example.com"), SV("v1"), SV("others")));
    api_kinds_unref(held);
    assert_true(gone.freed);
    assert_false(v2.freed);
    size_t at = 0;
    const ApiGroupVersion *gv, *last[2] = { NULL };
    while ((gv = api_kinds_next_version(now, &at))) {
        last[0] = last[1];
        last[1] = gv;
    }
    assert_sv(last[0]->version, "v2");
    assert_sv(last[1]->version, "v1");
    assert_sv(last[1]->package, "");
    api_kinds_unref(now);
    assert_true(v2.freed);
    assert_true(v1.freed);
}

static void test_two_kinds_of_one_name_are_refused(void **state)
{
    Custom a, b;
    ApiKinds *k = NULL;
    Err err = { 0 };
    const ApiResource *rows[] = { &a.row, &b.row };
    custom(&a, "v1", "widgets", "Widget");
    custom(&b, "v1", "widgets", "Gadget");
    assert_int_equal(api_kinds_new(rows, 2, &k, &err), -ERR_EXISTS);
    assert_non_null(strstr(err.msg, "'widgets' in 'example.com/v1'"));
    custom(&b, "v1", "gadgets", "Widget");
    assert_int_equal(api_kinds_new(rows, 2, &k, &err), -ERR_EXISTS);
    assert_non_null(strstr(err.msg, "'Widget' in 'example.com/v1'"));
    assert_int_equal(atomic_load(&b.owner.refs), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_kinds_are_found),
        cmocka_unit_test(test_keys_lead_to_their_kinds),
        cmocka_unit_test(test_rows_live_as_long_as_a_set_has_them),
        cmocka_unit_test(test_two_kinds_of_one_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
