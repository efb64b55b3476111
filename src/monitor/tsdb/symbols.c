/* symbols.c - see symbols.h. An open-addressing table of numbers; deletion shifts what follows. */
#include "monitor/tsdb/symbols.h"

enum { SLOTS_MIN = 64 };

void symbols_init(Symbols *s)
{
    *s = (Symbols){ .free_head = SYMBOL_NONE };
}

void symbols_free(Symbols *s)
{
    for (uint32_t i = 0; i < s->len; i++)
        free(s->items[i].text);
    free(s->items);
    free(s->slots);
    symbols_init(s);
}

static uint32_t home(const Symbols *s, StrView text)
{
    uint64_t h = sv_hash(text);
    return (uint32_t)(h ^ h >> 32) & (s->n_slots - 1);
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t slot_of(const Symbols *s, StrView text)
{
    uint32_t i = home(s, text);
    while (s->slots[i] != SYMBOL_NONE && !sv_eq(symbols_text(s, s->slots[i]), text))
        i = (i + 1) & (s->n_slots - 1);
    return i;
}

uint32_t symbols_find(const Symbols *s, StrView text)
{
    return s->n_slots ? s->slots[slot_of(s, text)] : SYMBOL_NONE;
}

static bool grow_table(Symbols *s)
{
    if (s->n_slots && (s->live + 1) * 10 < s->n_slots * 7ULL)
        return true;
    uint32_t n = s->n_slots ? s->n_slots * 2 : SLOTS_MIN;
    uint32_t *slots = malloc(n * sizeof *slots), *old = s->slots;
    if (!slots)
        return false;
    memset(slots, 0xff, n * sizeof *slots);
    s->slots = slots;
    s->n_slots = n;
    for (uint32_t i = 0; i < s->len; i++)
        if (s->items[i].text)
            slots[slot_of(s, symbols_text(s, i))] = i;
    free(old);
    return true;
}

static uint32_t new_number(Symbols *s)
{
    uint32_t n = s->free_head;
    if (n != SYMBOL_NONE) {
        s->free_head = s->items[n].next_free;
        return n;
    }
    if (s->len == s->cap) {
        uint32_t cap = s->cap ? s->cap + s->cap / 2 : 256;
        Symbol *p = realloc(s->items, cap * sizeof *p);
        if (!p)
            return SYMBOL_NONE;
        s->items = p;
        s->cap = cap;
    }
    return s->len++;
}

uint32_t symbols_hold(Symbols *s, StrView text)
{
    if (!grow_table(s))
        return SYMBOL_NONE;
    uint32_t slot = slot_of(s, text), n = s->slots[slot];
    if (n != SYMBOL_NONE) {
        s->items[n].refs++;
        return n;
    }
    char *copy = malloc(text.len ? text.len : 1);
    if (!copy)
        return SYMBOL_NONE;
    if ((n = new_number(s)) == SYMBOL_NONE) {
        free(copy);
        return SYMBOL_NONE;
    }
    memcpy(copy, text.ptr, text.len);
    s->items[n] = (Symbol){ .text = copy, .len = (uint32_t)text.len, .refs = 1 };
    s->slots[slot] = n;
    s->live++;
    s->bytes += text.len;
    return n;
}

void symbols_drop(Symbols *s, uint32_t n)
{
    Symbol *sym = &s->items[n];
    if (--sym->refs)
        return;
    uint32_t hole = slot_of(s, symbols_text(s, n)), mask = s->n_slots - 1;
    s->slots[hole] = SYMBOL_NONE;
    /* What was pushed past the hole moves back into it. */
    for (uint32_t i = (hole + 1) & mask; s->slots[i] != SYMBOL_NONE; i = (i + 1) & mask) {
        uint32_t want = home(s, symbols_text(s, s->slots[i]));
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            s->slots[hole] = s->slots[i];
            s->slots[i] = SYMBOL_NONE;
            hole = i;
        }
    }
    s->bytes -= sym->len;
    s->live--;
    free(sym->text);
    *sym = (Symbol){ .next_free = s->free_head };
    s->free_head = n;
}
