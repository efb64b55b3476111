/* pairs.h - numbers by topology: label key and value of a node. */
#pragma once

#include "base/map.h"
#include "codec/value.h"

typedef struct Pairs {
    Map map;
    bool failed; /* memory is exhausted: a number is missing */
} Pairs;

void pairs_add(Pairs *p, StrView key, StrView value, int64_t n);
int64_t pairs_get(const Pairs *p, StrView key, StrView value); /* 0 when absent */
/* pairs_add() under the value that the labels have for `key`; nothing if they have none. */
void pairs_add_node(Pairs *p, StrView key, const Value *labels, int64_t n);
void pairs_free(Pairs *p);
