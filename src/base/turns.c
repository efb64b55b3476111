/* turns.c - see turns.h. Who has places is counted by going through them: there are few. */
#include "base/turns.h"

#include <string.h>

void turns_init(Turns *q, unsigned places, unsigned share)
{
    *q = (Turns){ .places = places, .share = share };
    q->tail = &q->waiting;
}

static void take_out(Turn *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

static unsigned places_of(const Turns *q, const Turn *t)
{
    unsigned n = 0;
    for (const Turn *x = q->active; x; x = x->next)
        n += memcmp(x->client, t->client, sizeof x->client) == 0;
    return n;
}

void turns_add(Turns *q, Turn *t)
{
    t->next = NULL;
    t->link = q->tail;
    *q->tail = t;
    q->tail = &t->next;
    q->n_waiting++;
}

void turns_drop(Turns *q, Turn *t)
{
    if (!t->next)
        q->tail = t->link;
    take_out(t);
    q->n_waiting--;
}

void turns_end(Turns *q, Turn *t)
{
    take_out(t);
    q->n_active--;
}

static void give_place(Turns *q, Turn *t)
{
    turns_drop(q, t);
    t->next = q->active;
    t->link = &q->active;
    if (t->next)
        t->next->link = &t->next;
    q->active = t;
    q->n_active++;
}

Turn *turns_next(Turns *q)
{
    if (q->places && q->n_active >= q->places)
        return NULL;
    Turn *best = NULL;
    unsigned fewest = q->share ? q->share : UINT32_MAX;
    for (Turn *t = q->waiting; t && fewest > 0; t = t->next) {
        unsigned n = t->left ? 0 : places_of(q, t);
        if (n >= fewest)
            continue;
        fewest = n;
        best = t;
    }
    if (best)
        give_place(q, best);
    return best;
}
