/* test_heap.c - the least comes first, whatever is added, taken out or moved in between. */
#include "unit.h"

#include <limits.h>

#include <stdlib.h>

#include "base/heap.h"
#include "failing_memory.h"

typedef struct Item {
    HeapNode node;
    unsigned rank;
} Item;

enum { N = 500 };

static bool before(const HeapNode *a, const HeapNode *b)
{
    return ((const Item *)a)->rank < ((const Item *)b)->rank;
}

static unsigned least(const Item *items)
{
    unsigned min = UINT_MAX;
    for (int i = 0; i < N; i++)
        if (heap_has(&items[i].node))
            min = MIN(min, items[i].rank);
    return min;
}

static void test_order_under_changes(void **state)
{
    static Item items[N];
    Heap h = { .before = before };
    unsigned seed = 1;
    memset(items, 0, sizeof items);
    assert_null(heap_first(&h));
    for (int round = 0; round < 20000; round++) {
        Item *it = &items[(unsigned)rand_r(&seed) % N];
        if (!heap_has(&it->node)) {
            it->rank = (unsigned)rand_r(&seed) % 1000;
            assert_true(heap_add(&h, &it->node));
        } else if (rand_r(&seed) % 2) {
            it->rank = (unsigned)rand_r(&seed) % 1000;
            heap_moved(&h, &it->node);
        } else
            heap_remove(&h, &it->node);
        const Item *first = (const Item *)heap_first(&h);
        assert_int_equal(first ? first->rank : UINT_MAX, least(items));
    }
    for (unsigned last = 0; heap_len(&h);) {
        Item *first = (Item *)heap_first(&h);
        assert_true(first->rank >= last);
        last = first->rank;
        heap_remove(&h, &first->node);
        assert_false(heap_has(&first->node));
    }
    heap_free(&h);
}

static void test_without_memory(void **state)
{
    Item a = { .rank = 1 };
    Heap h = { .before = before };
    allocs_left = 0;
    assert_false(heap_add(&h, &a.node));
    allocs_left = -1;
    assert_false(heap_has(&a.node));
    assert_true(heap_add(&h, &a.node));
    heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_under_changes),
                                        cmocka_unit_test(test_without_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
