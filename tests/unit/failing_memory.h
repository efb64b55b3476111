/* failing_memory.h - memory that ends where a test wants it to, for tests that are linked with
 * failing_memory_args. Included by one file of a test only. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static _Thread_local long allocs_left = -1; /* < 0: no end */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static inline bool none_left(void)
{
    if (allocs_left == 0) {
        errno = ENOMEM;
        return true;
    }
    allocs_left -= allocs_left > 0;
    return false;
}

void *__wrap_malloc(size_t n)
{
    return none_left() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
    return none_left() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n)
{
    return none_left() ? NULL : __real_realloc(p, n);
}
