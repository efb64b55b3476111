/* test_key_index.c - indexes of large maps: found, appended, dropped, united; exhausted arenas. */
#include "unit.h"
#include "codec/key_index.h"

enum { MANY = 5000 };

static Value numbered(Arena *a, unsigned n)
{
    Value map = value_map();
    for (unsigned i = 0; i < n; i++)
        assert_non_null(value_append(a, &map, arena_printf(a, "k%u", i), value_int(i)));
    return map;
}

static void test_a_view_finds_appends_and_drops(void **state)
{
    static const unsigned sizes[] = { 0, 3, MANY };
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        unsigned n = sizes[s];
        Value map = numbered(&a, n);
        MapView v;
        assert_true(map_view_init(&v, &map, n, &a));
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(map_view_get(&v, arena_printf(&a, "k%u", i))->i, i);
        assert_null(map_view_get(&v, SV("other")));
        assert_true(map_view_append(&v, SV("other"), value_int(-1)));
        assert_int_equal(map_view_get(&v, SV("other"))->i, -1);
        map_view_drop(&v, SV("k1"));
        map_view_drop(&v, SV("k1"));
        assert_null(map_view_get(&v, SV("k1")));
        map_view_end(&v);
        assert_int_equal(map.len, n + 1 - (n > 1));
        assert_null(value_get(&map, SV("k1")));
        assert_int_equal(value_get(&map, SV("other"))->i, -1);
    }
}

static void test_no_map_is_an_empty_view(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    MapView v;
    assert_true(map_view_init(&v, NULL, MANY, &a));
    assert_null(map_view_get(&v, SV("k")));
    assert_false(map_view_append(&v, SV("k"), value_null()));
}

static void test_united_members_keep_place_and_last_value(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value map = numbered(&a, MANY);
    for (unsigned i = 0; i < MANY; i += 2)
        assert_non_null(value_append(&a, &map, arena_printf(&a, "k%u", i), value_int(-1)));
    assert_true(value_unite_members(&map, &a));
    assert_int_equal(map.len, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(map.members[i].val.i, i % 2 ? (int)i : -1);
}

static void test_maps_in_another_order_are_equal(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value x = numbered(&a, MANY), y = value_map();
    for (unsigned i = MANY; i-- > 0;)
        assert_non_null(value_append(&a, &y, x.members[i].key, x.members[i].val));
    assert_true(value_equal(&x, &y));
    y.members[7].val = value_int(-1);
    assert_false(value_equal(&x, &y));
}

static void test_keys_of_values_tell_types_apart(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value text = value_sv(SV("1")), number = value_int(1), real = value_double(1.0);
    assert_false(sv_eq(key_of_value(&text, &a), key_of_value(&number, &a)));
    assert_false(sv_eq(key_of_value(&real, &a), key_of_value(&number, &a)));
}

static void test_an_exhausted_arena_is_told(void **state)
{
    _cleanup_arena_ Arena full, roomy;
    arena_init(&full, 4096);
    arena_init(&roomy, 0);
    Value map = numbered(&roomy, MANY);
    MapView v;
    assert_false(map_view_init(&v, &map, MANY, &full));
    assert_true(full.failed);
    assert_non_null(arena_alloc(&roomy, 1));
    assert_false(roomy.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_view_finds_appends_and_drops),
        cmocka_unit_test(test_no_map_is_an_empty_view),
        cmocka_unit_test(test_united_members_keep_place_and_last_value),
        cmocka_unit_test(test_maps_in_another_order_are_equal),
        cmocka_unit_test(test_keys_of_values_tell_types_apart),
        cmocka_unit_test(test_an_exhausted_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
