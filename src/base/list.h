/* list.h - counted arrays that no longer grow once they are made, and those of texts. What they
 * point at belongs to the arena or owner that their giver names. */
#pragma once

#include "base/str.h"

#define LIST(T)                                                                                    \
    struct {                                                                                       \
        T *items;                                                                                  \
        unsigned len;                                                                              \
    }

typedef LIST(StrView) StrList;

typedef struct StrPair {
    StrView name, value;
} StrPair;
typedef LIST(const StrPair) StrPairs;

typedef struct StrParam { /* one name, its values */
    StrView name;
    StrList values;
} StrParam;
typedef LIST(StrParam) StrParams;
