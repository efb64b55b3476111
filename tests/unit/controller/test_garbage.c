/* test_garbage.c - what becomes of an object whose owners go. */
#include "unit.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solid_owners_keep_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
