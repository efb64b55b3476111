#include "unit.h"

#include "codec/value.h"

static int setup(void **state)
{
    Arena *a = malloc(sizeof *a);

    arena_init(a, 0);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    free(*state);
    return 0;
}

static void test_set_replaces_and_keeps_order(void **state)
{
    Arena *a = *state;
    Value m = value_map();

    for (int i = 0; i < 20; i++)
        assert_non_null(value_set(a, &m, arena_printf(a, "k%d", i), value_int(i)));
    assert_non_null(value_set(a, &m, SV("k3"), value_int(33)));
    assert_int_equal(value_len(&m), 20);
    assert_int_equal(value_int_or(value_get(&m, SV("k3")), 0), 33);
    assert_true(value_del(&m, SV("k0")));
    assert_false(value_del(&m, SV("k0")));
    assert_sv(m.members[0].key, "k1");
}

static void test_path_makes_maps_on_the_way(void **state)
{
    Arena *a = *state;
    Value v = value_null();

    assert_non_null(value_set_path(a, &v, "spec.template.name", value_sv(SV("x"))));
    assert_sv(value_path_str(&v, "spec.template.name"), "x");
    assert_null(value_path(&v, "spec.nothing.name"));
    assert_null(value_set_path(a, &v, "spec.template.name.deeper", value_null()));
    assert_non_null(value_set_path(a, &v, "top", value_bool(true)));
    assert_true(value_bool_or(value_get(&v, SV("top")), false));
}

static void test_list_push_and_remove(void **state)
{
    Arena *a = *state;
    Value l = value_list();

    for (int i = 0; i < 9; i++)
        assert_non_null(value_push(a, &l, value_int(i)));
    value_remove(&l, 0);
    value_remove(&l, 100);
    assert_int_equal(value_len(&l), 8);
    assert_int_equal(value_int_or(value_at(&l, 0), -1), 1);
    assert_null(value_at(&l, 8));
    assert_null(value_push(a, value_at(&l, 0), value_null()));
}

static void test_equal_ignores_member_order_but_not_number_kind(void **state)
{
    Arena *a = *state;
    Value x = value_map(), y = value_map();

    value_set(a, &x, SV("a"), value_int(1));
    value_set(a, &x, SV("b"), value_list());
    value_set(a, &y, SV("b"), value_list());
    value_set(a, &y, SV("a"), value_int(1));
    assert_true(value_equal(&x, &y));
    value_set(a, &y, SV("a"), value_double(1));
    assert_false(value_equal(&x, &y));
    value_del(&y, SV("a"));
    assert_false(value_equal(&x, &y));
}

static void test_clone_is_independent(void **state)
{
    Arena *a = *state;
    char text[] = "hello";
    Value v = value_map(), copy;

    value_set_path(a, &v, "a.b", value_sv(sv_cstr(text)));
    value_push(a, value_set(a, &v, SV("l"), value_list()), value_int(1));
    assert_true(value_clone(a, &v, &copy));
    assert_true(value_equal(&v, &copy));
    text[0] = 'j';
    assert_sv(value_path_str(&copy, "a.b"), "hello");
    value_push(a, value_get(&copy, SV("l")), value_int(2));
    assert_int_equal(value_len(value_get(&v, SV("l"))), 1);
}

static void test_exhausted_arena_is_reported(void **state)
{
    _cleanup_arena_ Arena small;
    Value l = value_list();
    uint32_t n = 0;

    arena_init(&small, 64 * 1024);
    while (value_push(&small, &l, value_int(n)))
        n++;
    assert_in_range(n, 1, 64 * 1024 / sizeof(Value));
    assert_int_equal(value_len(&l), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_set_replaces_and_keeps_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_makes_maps_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_push_and_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal_ignores_member_order_but_not_number_kind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_clone_is_independent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exhausted_arena_is_reported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
