/* test_turns.c - whose turn it is, for everything that can wait: few clients and many, those that
 * leave, places that end in any order. */
#include "unit.h"

#include "base/turns.h"

static Turn of(char client)
{
    return (Turn){ .client = { (uint8_t)client } };
}

/* Everyone that has a turn now, as a text of clients. */
static const char *next_ones(Turns *q, char ret[32])
{
    size_t n = 0;
    for (Turn *t; (t = turns_next(q));)
        ret[n++] = (char)t->client[0];
    ret[n] = '\0';
    return ret;
}

static void test_the_oldest_comes_first(void **state)
{
    (void)state;
    Turns q;
    Turn t[3] = { of('a'), of('b'), of('c') };
    char text[32];
    turns_init(&q, 0, 0);
    for (int i = 0; i < 3; i++)
        turns_add(&q, &t[i]);
    assert_int_equal(q.n_waiting, 3);
    assert_string_equal(next_ones(&q, text), "abc");
    assert_int_equal(q.n_active, 3);
    assert_null(q.waiting);
    turns_add(&q, &(Turn){ .client = "d" });
    assert_string_equal(next_ones(&q, text), "d"); /* the end of the queue is where it was */
}

static void test_who_has_fewest_places_comes_before_older_ones(void **state)
{
    (void)state;
    Turns q;
    Turn t[6] = { of('a'), of('a'), of('a'), of('b'), of('b'), of('c') };
    char text[32];
    turns_init(&q, 4, 0);
    for (int i = 0; i < 6; i++)
        turns_add(&q, &t[i]);
    assert_string_equal(next_ones(&q, text), "abca");
    turns_end(&q, &t[5]); /* c's */
    assert_string_equal(next_ones(&q, text), "b");
    turns_end(&q, &t[0]);
    assert_string_equal(next_ones(&q, text), "a");
    assert_int_equal(q.n_waiting, 0);
}

static void test_nobody_has_more_than_the_share(void **state)
{
    (void)state;
    Turns q;
    Turn t[4] = { of('a'), of('a'), of('a'), of('b') };
    char text[32];
    turns_init(&q, 4, 2);
    for (int i = 0; i < 3; i++)
        turns_add(&q, &t[i]);
    assert_string_equal(next_ones(&q, text), "aa"); /* though two places are free */
    turns_add(&q, &t[3]);
    assert_string_equal(next_ones(&q, text), "b");
    turns_end(&q, &t[0]);
    assert_string_equal(next_ones(&q, text), "a");
}

static void test_who_has_left_waits_for_nobody(void **state)
{
    (void)state;
    Turns q;
    Turn t[3] = { of('a'), of('a'), of('a') };
    char text[32];
    turns_init(&q, 2, 1);
    for (int i = 0; i < 3; i++)
        turns_add(&q, &t[i]);
    assert_string_equal(next_ones(&q, text), "a");
    t[2].left = true;
    assert_ptr_equal(turns_next(&q), &t[2]);
    turns_end(&q, &t[2]);
    turns_drop(&q, &t[1]);
    assert_int_equal(q.n_waiting, 0);
    turns_end(&q, &t[0]);
    assert_int_equal(q.n_active, 0);
    assert_null(turns_next(&q));
}

/* Against a plain list: whatever is done, everyone is in exactly one place, and the counts are
 * right. */
static void test_any_order(void **state)
{
    enum { ALL = 40, STEPS = 20000 };
    static Turn t[ALL];
    char where[ALL] = { 0 }; /* 'w' waits, 'p' has a place */
    unsigned seed = 7;
    Turns q;
    (void)state;
    turns_init(&q, 5, 3);
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1103515245 + 12345;
        unsigned i = (seed >> 8) % ALL, waiting = 0, active = 0;
        if (where[i] == 0) {
            t[i] = of((char)('a' + i % 4));
            turns_add(&q, &t[i]);
            where[i] = 'w';
        } else if (where[i] == 'w' && (seed >> 20) % 2) {
            turns_drop(&q, &t[i]);
            where[i] = 0;
        } else if (where[i] == 'p') {
            turns_end(&q, &t[i]);
            where[i] = 0;
        }
        for (Turn *x; (seed >> 21) % 2 && (x = turns_next(&q));) {
            assert_int_equal(where[x - t], 'w');
            where[x - t] = 'p';
        }
        for (unsigned k = 0; k < ALL; k++) {
            waiting += where[k] == 'w';
            active += where[k] == 'p';
        }
        assert_int_equal(q.n_waiting, waiting);
        assert_int_equal(q.n_active, active);
        assert_true(active <= 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_comes_first),
        cmocka_unit_test(test_who_has_fewest_places_comes_before_older_ones),
        cmocka_unit_test(test_nobody_has_more_than_the_share),
        cmocka_unit_test(test_who_has_left_waits_for_nobody),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
