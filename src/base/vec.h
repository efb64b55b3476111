/* vec.h - a growing array of any type: VEC(Pod *) pods = { 0 }; if (!vec_push(&pods, pod)) … */
#pragma once

#include "base/macros.h"

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t len, cap;                                                                           \
    }

bool vec_grow_(void **items, size_t *cap, size_t need, size_t size);

void vec_shrink_(void **items, size_t *cap, size_t len, size_t size);

/* Appends a copy; false when memory is exhausted (the vector is as it was). */
#define vec_push(v, x)                                                                             \
    (vec_grow_((void **)&(v)->items, &(v)->cap, (v)->len + 1, sizeof *(v)->items)                  \
         ? ((v)->items[(v)->len++] = (x), true)                                                    \
         : false)
#define vec_reserve(v, n) vec_grow_((void **)&(v)->items, &(v)->cap, (n), sizeof *(v)->items)
/* Where less than a quarter of much memory is in use: half of it goes back. After removing. */
#define vec_shrink(v) vec_shrink_((void **)&(v)->items, &(v)->cap, (v)->len, sizeof *(v)->items)
#define vec_free(v)   (free((v)->items), (v)->items = NULL, (v)->len = (v)->cap = 0)
#define vec_clear(v)  ((void)((v)->len = 0))
/* Removes item i; the last item takes its place. */
#define vec_swap_remove(v, i) ((void)((v)->items[(i)] = (v)->items[--(v)->len]))
/* Removes item i and keeps the order. */
#define vec_remove(v, i)                                                                           \
    (memmove(&(v)->items[(i)], &(v)->items[(i) + 1], ((v)->len - (i)-1) * sizeof *(v)->items),     \
     (void)(v)->len--)
#define vec_foreach(it, v)                                                                         \
    for (__typeof__((v)->items + 0) it = (v)->items; it && it < (v)->items + (v)->len; it++)
