/* expiry.h - a heap of what will end by itself, nearest end first. */
#pragma once

#include "base/vec.h"
#include "store/store.h"

typedef struct Expiry {
    int64_t at; /* Unix seconds */
    ObjectRev *obj;
} Expiry;

typedef VEC(Expiry) ExpiryHeap;

/* Remembers an object with an expiry; holds a reference. With no memory for it the object outlives
 * its time until the store is opened again. */
void expiry_push(ExpiryHeap *h, ObjectRev *o);
/* Takes one whose time has come: the caller owns the reference. NULL: none is due. */
ObjectRev *expiry_pop_due(ExpiryHeap *h, int64_t now);
void expiry_free(ExpiryHeap *h);
