/* pack.h - parts of an object in one block of exactly the needed size, for projections of
 * informers.
 *
 * The same function fills a projection twice: first with a Pack that only measures, then with one
 * that copies:
 *
 *     static void fill(Pack *p, const Value *obj, Thing *t) { t->name = pack_sv(p, …); }
 *     Pack p = { 0 }; Thing t; fill(&p, obj, &t);
 *     Thing *ret = pack_alloc(&p, sizeof *ret);  if (ret) fill(&p, obj, ret);
 *
 * free() releases all of it. */
#pragma once

#include "codec/value.h"

typedef struct Pack {
    char *at;    /* NULL: measuring */
    size_t size; /* bytes counted while measuring */
} Pack;

void *pack_alloc(Pack *p,
                 size_t head);       /* zeroed head; the pack copies behind it. NULL: no memory */
void *pack_bytes(Pack *p, size_t n); /* NULL while measuring; aligned for any type of 8 bytes */
StrView pack_sv(Pack *p, StrView s); /* empty stays empty */
/* A deep copy; while measuring, the value itself. NULL becomes null. */
Value pack_value(Pack *p, const Value *v);
