/* test_filters.c - the cache of system call filters, with a compiler that counts. */
#include "kubelet/filters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "unit.h"

static atomic_uint compiled;
static atomic_bool broken;

/* The filter of some capabilities is their number. */
static int count(uint64_t caps, Buf *out, Err *err)
{
    atomic_fetch_add(&compiled, 1);
    if (broken)
        return err_set(err, ERR_UNSUPPORTED, 0, "no filter for %llu", (unsigned long long)caps);
    buf_printf(out, "%llu", (unsigned long long)caps);
    return 0;
}

static void want(FilterCache *c, uint64_t caps, unsigned new_ones)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    char text[32];
    Err err = { 0 };
    StrView got;
    unsigned before = compiled;
    assert_int_equal(filter_cache_get(c, caps, &a, &got, &err), 0);
    snprintf(text, sizeof text, "%llu", (unsigned long long)caps);
    assert_true(sv_eq(got, sv_cstr(text)));
    assert_int_equal(compiled - before, new_ones);
}

static FilterCache *new_cache(void)
{
    FilterCache *c = NULL;
    Err err = { 0 };
    compiled = 0;
    broken = false;
    assert_int_equal(filter_cache_new(count, &c, &err), 0);
    return c;
}

static void test_a_filter_is_compiled_once(void **state)
{
    FilterCache *c = new_cache();
    want(c, 7, 1);
    want(c, 7, 0);
    want(c, 0, 1); /* no capability at all is a set like any other */
    want(c, 0, 0);
    want(c, 7, 0);
    filter_cache_free(c);
}

static void test_what_was_not_used_for_longest_goes(void **state)
{
    FilterCache *c = new_cache();
    for (uint64_t i = 0; i < FILTERS_MAX; i++)
        want(c, i, 1);
    want(c, 0, 0); /* now 1 is the oldest */
    want(c, 1000, 1);
    want(c, 0, 0);
    want(c, 2, 0);
    want(c, 1, 1);
    filter_cache_free(c);
}

static void test_a_failure_is_told_and_not_kept(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    FilterCache *c = new_cache();
    Err err = { 0 };
    StrView got = SV("untouched");
    broken = true;
    assert_int_equal(filter_cache_get(c, 9, &a, &got, &err), -ERR_UNSUPPORTED);
    assert_string_equal(err.msg, "no filter for 9");
    assert_true(sv_eq(got, SV("untouched")));
    broken = false;
    want(c, 9, 1);
    filter_cache_free(c);
}

static void test_an_arena_that_is_full_is_an_error(void **state)
{
    FilterCache *c = new_cache();
    want(c, 12345678, 1);
    for (size_t limit = 1; limit < 8; limit++) {
        Arena a;
        Err err = { 0 };
        StrView got;
        arena_init(&a, limit);
        assert_int_equal(filter_cache_get(c, 12345678, &a, &got, &err), -ERR_NOMEM);
        arena_free(&a);
    }
    filter_cache_free(c);
}

static void *ask_all(void *cache)
{
    for (uint64_t i = 0; i < 2000; i++) {
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        char text[32];
        StrView got;
        uint64_t caps = i % (FILTERS_MAX + 4); /* more than it keeps */
        snprintf(text, sizeof text, "%llu", (unsigned long long)caps);
        if (filter_cache_get(cache, caps, &a, &got, NULL) < 0 || !sv_eq(got, sv_cstr(text)))
            return cache;
    }
    return NULL;
}

static void test_threads_get_what_they_asked_for(void **state)
{
    FilterCache *c = new_cache();
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_all, c), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *wrong = c;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    filter_cache_free(c);
}

static void test_the_default_is_the_real_compiler(void **state)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    FilterCache *c = NULL;
    StrView got;
    assert_int_equal(filter_cache_new(NULL, &c, NULL), 0);
    assert_int_equal(filter_cache_get(c, 0, &a, &got, NULL), 0);
    assert_true(got.len > 1000 && got.len % 8 == 0); /* instructions of BPF */
    assert_null(filter_cache_free(c));
    assert_null(filter_cache_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_filter_is_compiled_once),
        cmocka_unit_test(test_what_was_not_used_for_longest_goes),
        cmocka_unit_test(test_a_failure_is_told_and_not_kept),
        cmocka_unit_test(test_an_arena_that_is_full_is_an_error),
        cmocka_unit_test(test_threads_get_what_they_asked_for),
        cmocka_unit_test(test_the_default_is_the_real_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
