#include "unit.h"

#include "api/quantity.h"

static void expect(const char *in, const char *want)
{
    char text[API_QUANTITY_TEXT_MAX];
    ApiQuantity q;
    Err err = { 0 };

    if (api_quantity_parse(sv_cstr(in), &q, &err) < 0)
        fail_msg("%s: %s", in, err.msg);
    api_quantity_format(&q, text);
    if (strcmp(text, want) != 0)
        fail_msg("%s: got %s, want %s", in, text, want);
}

static void test_canonical_form(void **state)
{
    static const char *const pairs[][2] = {
        { "0", "0" },
        { "100m", "100m" },
        { "1000m", "1" },
        { "0.5", "500m" },
        { "1.5Gi", "1536Mi" },
        { "1Gi", "1Gi" },
        { "1024Mi", "1Gi" },
        { "1000", "1k" },
        { "1500", "1500" },
        { "1e3", "1e3" },
        { "1E3", "1e3" },
        { "1E", "1E" },
        { "0.1n", "1n" },
        { "-0.1n", "-1n" },
        { "-100m", "-100m" },
        { "+5", "5" },
        { "512", "512" },
        { "0.5Ki", "512" },
        { "1.1Ki", "1126400m" },
        { "12e6", "12e6" },
        { ".5", "500m" },
        { "5.", "5" },
        { "100000000000000000000", "9223372036854775807" },
        { "8Ei", "9223372036854775807" },
        { "1e-3", "1e-3" },
        { "3Mi", "3Mi" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        expect(pairs[i][0], pairs[i][1]);
}

static void test_bad_text_is_refused(void **state)
{
    static const char *const bad[] = { "",     "-",   ".",   "1.2.3", "abc",
                                       "1 Gi", "1gi", "1KI", "1e",    "1m5" };
    ApiQuantity q;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Err err = { 0 };
        assert_int_equal(api_quantity_parse(sv_cstr(bad[i]), &q, &err), -ERR_INVALID);
        assert_true(
            sv_starts(sv_cstr(err.msg), SV("quantities must match the regular expression")));
    }
}

static void test_arithmetic_and_rounding(void **state)
{
    ApiQuantity a, b;

    assert_int_equal(api_quantity_parse(SV("1500m"), &a, NULL), 0);
    assert_int_equal(api_quantity_value(&a), 2);
    assert_int_equal(api_quantity_milli(&a), 1500);
    assert_int_equal(api_quantity_parse(SV("-1500m"), &b, NULL), 0);
    assert_int_equal(api_quantity_value(&b), -2);
    assert_true(api_quantity_cmp(&a, &b) > 0);
    api_quantity_add(&a, &b);
    assert_int_equal(api_quantity_value(&a), 0);
    ApiQuantity sum = { 0 };
    assert_int_equal(api_quantity_parse(SV("1Gi"), &b, NULL), 0);
    api_quantity_add(&sum, &b);
    api_quantity_add(&sum, &b);
    char text[API_QUANTITY_TEXT_MAX];
    api_quantity_format(&sum, text);
    assert_string_equal(text, "2Gi");
    api_quantity_sub(&sum, &b);
    assert_int_equal(api_quantity_value(&sum), 1 << 30);
    b = api_quantity_of(INT64_MAX, API_QUANTITY_DECIMAL_SI);
    assert_true(api_quantity_milli(&b) == INT64_MAX);
}

static void test_values_of_documents(void **state)
{
    ApiQuantity q;
    Value v = value_double(0.25);

    assert_int_equal(api_quantity_from(&v, &q, NULL), 0);
    assert_int_equal(api_quantity_milli(&q), 250);
    v = value_int(3);
    assert_int_equal(api_quantity_from(&v, &q, NULL), 0);
    assert_int_equal(api_quantity_value(&q), 3);
    assert_int_equal(api_quantity_from(NULL, &q, NULL), 0);
    assert_int_equal(api_quantity_value(&q), 0);
    v = value_bool(true);
    assert_int_equal(api_quantity_from(&v, &q, NULL), -ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_bad_text_is_refused),
        cmocka_unit_test(test_arithmetic_and_rounding),
        cmocka_unit_test(test_values_of_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
