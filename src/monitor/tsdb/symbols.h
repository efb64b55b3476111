/* symbols.h - label names and values of the head, each text once, known by a small number.
 * Not thread-safe: the head's locks guard it. A number is good as long as somebody holds it. */
#pragma once

#include "base/str.h"

typedef struct Symbol {
    char *text; /* NULL: a free number */
    uint32_t len, refs;
    uint32_t next_free;
} Symbol;

typedef struct Symbols {
    Symbol *items;
    uint32_t len, cap, live;
    uint32_t free_head; /* SYMBOL_NONE: none */
    uint32_t *slots;    /* hash table of numbers */
    uint32_t n_slots;   /* a power of two */
    uint64_t bytes;     /* of the texts */
} Symbols;

enum { SYMBOL_NONE = UINT32_MAX };

void symbols_init(Symbols *s);
void symbols_free(Symbols *s);
uint32_t symbols_find(const Symbols *s, StrView text); /* SYMBOL_NONE: not there */
/* Finds or adds, and holds once more. SYMBOL_NONE: out of memory. */
uint32_t symbols_hold(Symbols *s, StrView text);
void symbols_drop(Symbols *s, uint32_t n);
static inline StrView symbols_text(const Symbols *s, uint32_t n)
{
    return (StrView){ s->items[n].text, s->items[n].len };
}
