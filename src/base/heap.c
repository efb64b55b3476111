/* heap.c - see heap.h. */
#include "base/heap.h"

#include <stdlib.h>

static void put(Heap *h, size_t at, HeapNode *n)
{
    h->nodes.items[at] = n;
    n->place = at + 1;
}

static void sift_up(Heap *h, size_t at)
{
    HeapNode **v = h->nodes.items, *n = v[at];
    for (; at && h->before(n, v[(at - 1) / 2]); at = (at - 1) / 2)
        put(h, at, v[(at - 1) / 2]);
    put(h, at, n);
}

static void sift_down(Heap *h, size_t at)
{
    HeapNode **v = h->nodes.items, *n = v[at];
    for (size_t child; (child = 2 * at + 1) < h->nodes.len; at = child) {
        if (child + 1 < h->nodes.len && h->before(v[child + 1], v[child]))
            child++;
        if (!h->before(v[child], n))
            break;
        put(h, at, v[child]);
    }
    put(h, at, n);
}

bool heap_add(Heap *h, HeapNode *n)
{
    ASSERT(!n->place);
    if (!vec_push(&h->nodes, n))
        return false;
    sift_up(h, h->nodes.len - 1);
    return true;
}

void heap_moved(Heap *h, HeapNode *n)
{
    ASSERT(n->place);
    sift_up(h, n->place - 1);
    sift_down(h, n->place - 1);
}

void heap_remove(Heap *h, HeapNode *n)
{
    ASSERT(n->place && n->place <= h->nodes.len);
    size_t at = n->place - 1;
    HeapNode *last = h->nodes.items[--h->nodes.len];
    n->place = 0;
    if (last != n) {
        put(h, at, last);
        heap_moved(h, last);
    }
    vec_shrink(&h->nodes);
}

void heap_free(Heap *h)
{
    vec_free(&h->nodes);
}
