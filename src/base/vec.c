/* vec.c - the growing and shrinking steps of VEC(). */
#include "base/vec.h"

enum { CAP_KEPT = 64 }; /* up to this many items an array does not shrink */

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

void vec_shrink_(void **items, size_t *cap, size_t len, size_t size)
{
    if (*cap <= CAP_KEPT || len * 4 >= *cap)
        return;
    void *p = realloc(*items, *cap / 2 * size);
    if (!p)
        return; /* the larger one does, too */
    *items = p;
    *cap /= 2;
}
