/* test_object_index.c - objects under values, few and many, against a plain model. */
#include "unit.h"

#include <stdio.h>

#include "api/informer.h"
#include "api/object_index.h"

enum { OBJECTS = 3000, VALUES = 3 };

static const StrView values[VALUES] = { SV_INIT("a"), SV_INIT("b"), SV_INIT("c") };

static bool has(const ObjectIndex *x, StrView value, const ApiObject *o)
{
    size_t n;
    ApiObject *const *all = object_index_get(x, value, &n);
    for (size_t i = 0; i < n; i++)
        if (all[i] == o)
            return true;
    return false;
}

static size_t count(const ObjectIndex *x, StrView value)
{
    size_t n;
    (void)object_index_get(x, value, &n);
    return n;
}

static void what_is_added_is_found_until_it_is_removed(void **state)
{
    static ApiObject objects[OBJECTS];
    static bool model[VALUES][OBJECTS];
    size_t in[VALUES] = { 0 };
    ObjectIndex x = { 0 };
    uint32_t seed = 1;
    for (unsigned round = 0; round < 200000; round++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned v = (seed >> 8) % VALUES, i = (seed >> 10) % OBJECTS;
        /* Grows in the first half of the rounds, and shrinks in the second. */
        bool add = (seed >> 28) < (round < 100000 ? 11 : 5);
        if (add) {
            assert_true(object_index_add(&x, values[v], &objects[i]));
            in[v] += !model[v][i];
        } else {
            object_index_del(&x, values[v], &objects[i]);
            in[v] -= model[v][i];
        }
        model[v][i] = add;
        assert_int_equal(count(&x, values[v]), in[v]);
    }
    for (unsigned v = 0; v < VALUES; v++)
        for (unsigned i = 0; i < OBJECTS; i += 7)
            assert_int_equal(has(&x, values[v], &objects[i]), model[v][i]);
    for (unsigned v = 0; v < VALUES; v++)
        for (unsigned i = 0; i < OBJECTS; i++)
            object_index_del(&x, values[v], &objects[i]);
    assert_int_equal(x.buckets.len, 0);
    object_index_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_until_it_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
