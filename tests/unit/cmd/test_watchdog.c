/* test_watchdog.c - roles that speak, are silent, and burn CPU, on a clock of the test's own. */
#include "base/clock.h"
#include "cmd/watchdog.h"
#include "unit.h"

/* Looks whenever it is due, until `end` seconds; the role uses `burn` of the time. Returns the
 * second in which it is to be ended; 0: it is not. */
static int64_t ended_after(Watchdog *w, int64_t end, double burn)
{
    for (int64_t now = watchdog_due(w); now <= end * NSEC_PER_SEC; now = watchdog_due(w)) {
        if (watchdog_look(w, now, (int64_t)((double)now * burn)))
            return now / NSEC_PER_SEC;
        assert_true(watchdog_due(w) > now); /* or the supervisor would run in circles */
    }
    return 0;
}

static Watchdog ready_role(void)
{
    Watchdog w;
    watchdog_start(&w, 0);
    watchdog_hear(&w, SV("STATUS=serving\nREADY=1"), 0);
    return w;
}

static void test_silence_that_burns_ends_after_ten_seconds(void **state)
{
    Watchdog w = ready_role();
    assert_int_equal(ended_after(&w, 100, 1.0), 10);
    w = ready_role();
    assert_int_equal(ended_after(&w, 100, 0.6), 10);
}

static void test_silence_that_waits_ends_after_a_minute(void **state)
{
    Watchdog w = ready_role();
    assert_int_equal(ended_after(&w, 100, 0.0), 60);
    w = ready_role();
    assert_int_equal(ended_after(&w, 100, 0.3), 60);
}

/* It waited for its disk for twenty seconds, and runs in circles since. */
static void test_burning_that_begins_later_is_seen(void **state)
{
    Watchdog w = ready_role();
    assert_int_equal(ended_after(&w, 20, 0.0), 0);
    int64_t at = w.doubted;
    assert_true(at >= 15 * NSEC_PER_SEC);
    assert_true(watchdog_look(&w, at + 2 * NSEC_PER_SEC, 2 * NSEC_PER_SEC));
}

static void test_a_word_begins_anew(void **state)
{
    Watchdog w = ready_role();
    for (int64_t sec = 0; sec < 300; sec += 9) {
        watchdog_hear(&w, SV("WATCHDOG=1"), sec * NSEC_PER_SEC);
        assert_int_equal(ended_after(&w, sec + 9, 1.0), 0);
    }
    watchdog_hear(&w, SV("STATUS=busy"), 295 * NSEC_PER_SEC); /* no sign of its loop */
    assert_int_equal(ended_after(&w, 400, 1.0), 297 + 10);
}

static void test_starting_may_burn_for_a_minute_from_its_last_progress(void **state)
{
    Watchdog w;
    watchdog_start(&w, 0);
    assert_int_equal(ended_after(&w, 100, 1.0), 60);
    watchdog_start(&w, 0);
    watchdog_hear(&w, SV("WATCHDOG=1"), 50 * NSEC_PER_SEC);
    assert_int_equal(ended_after(&w, 200, 1.0), 110);
}

static void test_a_limit_of_its_own(void **state)
{
    Watchdog w = ready_role();
    watchdog_hear(&w, SV("WATCHDOG_USEC=4000000"), 0);
    assert_int_equal(ended_after(&w, 100, 0.0), 4);
    for (size_t i = 0; i < 3; i++) {
        static const char *const bad[] = { "WATCHDOG_USEC=", "WATCHDOG_USEC=-1",
                                           "WATCHDOG_USEC=99999999999999999999" };
        w = ready_role();
        watchdog_hear(&w, sv_cstr(bad[i]), 0);
        assert_int_equal(ended_after(&w, 100, 0.0), 60);
    }
}

static void test_starting_takes_longer_when_it_says_so(void **state)
{
    Watchdog w;
    watchdog_start(&w, 0);
    watchdog_hear(&w, SV("WATCHDOG=1"), 5 * NSEC_PER_SEC); /* that its loop turns is no progress */
    assert_int_equal(w.extended, 0);
    watchdog_hear(&w, SV("EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1"), 20 * NSEC_PER_SEC);
    assert_int_equal(w.extended, 50 * NSEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_that_burns_ends_after_ten_seconds),
        cmocka_unit_test(test_silence_that_waits_ends_after_a_minute),
        cmocka_unit_test(test_burning_that_begins_later_is_seen),
        cmocka_unit_test(test_a_word_begins_anew),
        cmocka_unit_test(test_starting_may_burn_for_a_minute_from_its_last_progress),
        cmocka_unit_test(test_a_limit_of_its_own),
        cmocka_unit_test(test_starting_takes_longer_when_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
