/* expiry.c - a binary heap by time. */
#include "store/expiry.h"

static void swap(Expiry *a, Expiry *b)
{
    Expiry t = *a;
    *a = *b;
    *b = t;
}

void expiry_push(ExpiryHeap *heap, ObjectRev *o)
{
    Expiry e = { o->expires, object_rev_ref(o) };
    if (!vec_push(heap, e)) {
        object_rev_unref(o);
        return;
    }
    Expiry *h = heap->items;
    for (size_t i = heap->len - 1; i && h[i].at < h[(i - 1) / 2].at; i = (i - 1) / 2)
        swap(&h[i], &h[(i - 1) / 2]);
}

ObjectRev *expiry_pop_due(ExpiryHeap *heap, int64_t now)
{
    Expiry *h = heap->items;
    if (!heap->len || h[0].at > now)
        return NULL;
    ObjectRev *o = h[0].obj;
    size_t n = --heap->len;
    h[0] = h[n];
    for (size_t i = 0, c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1].at < h[c].at)
            c++;
        if (h[i].at <= h[c].at)
            break;
        swap(&h[i], &h[c]);
    }
    return o;
}

void expiry_free(ExpiryHeap *heap)
{
    vec_foreach (e, heap)
        object_rev_unref(e->obj);
    vec_free(heap);
}
