/* heap.h - a binary heap of items that know their place in it, so that any of them can be taken out
 * or change its rank. An item has a HeapNode; `before` finds the items around two of them. */
#pragma once

#include "base/vec.h"

typedef struct HeapNode {
    size_t place; /* from 1; 0: in no heap */
} HeapNode;

typedef bool HeapBeforeFn(const HeapNode *a, const HeapNode *b);

/* Zero but for `before`. Items belong to the caller. */
typedef struct Heap {
    HeapBeforeFn *before;
    VEC(HeapNode *) nodes;
} Heap;

static inline bool heap_has(const HeapNode *n)
{
    return n->place > 0;
}
static inline size_t heap_len(const Heap *h)
{
    return h->nodes.len;
}
static inline HeapNode *heap_first(const Heap *h) /* NULL: it is empty */
{
    return h->nodes.len ? h->nodes.items[0] : NULL;
}
bool heap_add(Heap *h, HeapNode *n) NODISCARD; /* one that is in none; false: memory exhausted */
void heap_remove(Heap *h, HeapNode *n);        /* gives memory back where crowds go */
void heap_moved(Heap *h, HeapNode *n);         /* its rank has changed */
void heap_free(Heap *h);                       /* the items are not touched */
