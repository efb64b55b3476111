/* vec.c - the growing step of VEC(). */
#include "base/vec.h"

bool vec_grow_(void **items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return true;
    size_t n = *cap ? *cap * 2 : 8, bytes;
    if (n < need)
        n = need;
    if (__builtin_mul_overflow(n, size, &bytes))
        return false;
    void *p = realloc(*items, bytes);
    if (!p)
        return false;
    *items = p;
    *cap = n;
    return true;
}
