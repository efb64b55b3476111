/* marks.c - which records of the log have entries that are not done with. Shards are served
 * independently of each other; what may be forgotten is what lies before the oldest open mark. */
#include "monitor/remote/internal.h"

static Mark *at(const Marks *m, uint32_t mark)
{
    return &m->items[(m->head + (mark - m->base)) % m->cap];
}

static bool grow(Marks *m)
{
    uint32_t cap = m->cap ? m->cap * 2 : 64;
    Mark *items = malloc(cap * sizeof *items);
    if (!items)
        return false;
    for (uint32_t i = 0; i < m->len; i++)
        items[i] = m->items[(m->head + i) % m->cap];
    free(m->items);
    m->items = items;
    m->cap = cap;
    m->head = 0;
    return true;
}

bool marks_open(Marks *m, WalPlace begin, uint32_t *ret)
{
    if (m->len == m->cap && !grow(m))
        return false;
    *ret = m->base + m->len++;
    *at(m, *ret) = (Mark){ begin, 0 };
    return true;
}

void marks_hold(Marks *m, uint32_t mark)
{
    at(m, mark)->open++;
}

void marks_release(Marks *m, uint32_t mark)
{
    Mark *x = at(m, mark);
    ASSERT(x->open > 0);
    x->open--;
}

bool marks_oldest(Marks *m, WalPlace *ret)
{
    while (m->len && m->items[m->head].open == 0) {
        m->head = (m->head + 1) % m->cap;
        m->base++;
        m->len--;
    }
    if (m->len)
        *ret = m->items[m->head].begin;
    return m->len > 0;
}

void marks_free(Marks *m)
{
    free(m->items);
    *m = (Marks){ 0 };
}
