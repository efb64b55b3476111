/* test_caps.c - names and sets of capabilities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/capability.h>

#include "oci/caps.h"

#define BIT(n) (UINT64_C(1) << (n))

static void test_parse(void **state)
{
    uint64_t m;

    assert_int_equal(caps_parse(SV("NET_ADMIN"), &m, NULL), 0);
    assert_true(m == BIT(CAP_NET_ADMIN));
    assert_int_equal(caps_parse(SV("cap_sys_time"), &m, NULL), 0);
    assert_true(m == BIT(CAP_SYS_TIME));
    assert_int_equal(caps_parse(SV("all"), &m, NULL), 0);
    assert_true(m == caps_held());
    assert_int_equal(caps_parse(SV("CAP_"), &m, NULL), -ERR_INVALID);
    assert_int_equal(caps_parse(SV("NET ADMIN"), &m, NULL), -ERR_INVALID);
    assert_string_equal(caps_name(CAP_CHECKPOINT_RESTORE), "CAP_CHECKPOINT_RESTORE");
    assert_null(caps_name(64));
}

static void test_adjust_adds_and_drops(void **state)
{
    const char *const admin[] = { "NET_ADMIN" }, *const all[] = { "ALL" },
                      *const chown[] = { "CHOWN" };
    uint64_t m;

    assert_int_equal(caps_adjust(caps_default(), admin, 1, chown, 1, &m, NULL), 0);
    assert_true(m == ((caps_default() | BIT(CAP_NET_ADMIN)) & ~BIT(CAP_CHOWN)));
    assert_int_equal(caps_adjust(caps_default(), NULL, 0, all, 1, &m, NULL), 0);
    assert_true(m == 0);
    assert_int_equal(caps_adjust(caps_default(), admin, 1, all, 1, &m, NULL), 0);
    assert_true(m == BIT(CAP_NET_ADMIN));
    assert_int_equal(caps_adjust(caps_default(), all, 1, chown, 1, &m, NULL), 0);
    assert_true(m == (caps_held() & ~BIT(CAP_CHOWN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_adjust_adds_and_drops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
