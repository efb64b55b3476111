/* ids.h - sorted lists of series numbers, and what selections do with them. */
#pragma once

#include "base/macros.h"

typedef struct Ids {
    uint32_t *items;
    size_t len, cap;
} Ids;

void ids_free(Ids *l);
bool ids_reserve(Ids *l, size_t n) NODISCARD;
/* Appends; the caller keeps the order. */
bool ids_push(Ids *l, uint32_t id) NODISCARD;
bool ids_append(Ids *l, const uint32_t *ids, size_t n) NODISCARD;
/* Sorts and drops doubles: after several lists were appended. */
bool ids_normalize(Ids *l) NODISCARD;
void ids_intersect(Ids *l, const Ids *with); /* keeps what is in both */
void ids_subtract(Ids *l, const Ids *without);

#define _cleanup_ids_ _cleanup_(ids_free)
