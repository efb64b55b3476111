/* queue.c - two heaps over the same entries. */
#include "scheduler/queue.h"

#include "base/clock.h"

typedef struct QueueEntry QueueEntry;
typedef enum EntryState { ENTRY_READY, ENTRY_TAKEN, ENTRY_PARKED, ENTRY_PAUSING } EntryState;

struct QueueEntry {
    HeapNode node; /* first: an entry is where its node is */
    char *key;
    int32_t priority;
    uint64_t sequence;
    unsigned failures;
    int64_t until_ns; /* end of the pause */
    EntryState state;
};

static bool is_older(const HeapNode *x, const HeapNode *y)
{
    const QueueEntry *a = (const QueueEntry *)x, *b = (const QueueEntry *)y;
    return a->priority != b->priority ? a->priority > b->priority : a->sequence < b->sequence;
}

static bool pauses_less(const HeapNode *x, const HeapNode *y)
{
    return ((const QueueEntry *)x)->until_ns < ((const QueueEntry *)y)->until_ns;
}

static QueueEntry *first_of(const Heap *h)
{
    return (QueueEntry *)heap_first(h);
}

static bool enter(SchedQueue *q, QueueEntry *e, EntryState state)
{
    q->ready.before = is_older; /* a queue begins with zeros */
    q->pausing.before = pauses_less;
    e->state = state;
    if (heap_add(state == ENTRY_READY ? &q->ready : &q->pausing, &e->node))
        return true;
    e->state = ENTRY_PARKED;
    q->parked++;
    return false;
}

/* Out of whatever it is in. */
static void detach(SchedQueue *q, QueueEntry *e)
{
    if (e->state == ENTRY_READY)
        heap_remove(&q->ready, &e->node);
    else if (e->state == ENTRY_PAUSING)
        heap_remove(&q->pausing, &e->node);
    else if (e->state == ENTRY_PARKED)
        q->parked--;
    e->state = ENTRY_TAKEN;
}

bool queue_add(SchedQueue *q, StrView key, int32_t priority)
{
    QueueEntry *e = map_get(&q->entries, key);
    if (e)
        detach(q, e);
    else {
        e = calloc(1, sizeof *e);
        if (e)
            e->key = strndup(key.ptr, key.len);
        if (!e || !e->key || !map_set(&q->entries, key, e, NULL)) {
            if (e)
                free(e->key);
            free(e);
            return false;
        }
        e->sequence = ++q->sequence;
    }
    e->priority = priority;
    return enter(q, e, ENTRY_READY);
}

void queue_remove(SchedQueue *q, StrView key)
{
    QueueEntry *e = map_del(&q->entries, key);
    if (!e)
        return;
    detach(q, e);
    free(e->key);
    free(e);
}

StrView queue_pop(SchedQueue *q, int64_t now)
{
    for (QueueEntry *e; (e = first_of(&q->pausing)) && e->until_ns <= now;) {
        detach(q, e);
        enter(q, e, ENTRY_READY);
    }
    QueueEntry *e = first_of(&q->ready);
    if (!e)
        return SV_NULL;
    detach(q, e);
    return sv_cstr(e->key);
}

static int64_t pause_ms(const QueueEntry *e)
{
    unsigned doublings = MIN(e->failures - 1, 10u);
    return MIN((int64_t)QUEUE_BACKOFF_MIN_MS << doublings, (int64_t)QUEUE_BACKOFF_MAX_MS);
}

void queue_park(SchedQueue *q, StrView key, int64_t now, bool retry)
{
    QueueEntry *e = map_get(&q->entries, key);
    if (!e || e->state != ENTRY_TAKEN) /* gone, or changed meanwhile: it is ready again */
        return;
    e->failures++;
    e->until_ns = now + pause_ms(e) * NSEC_PER_MSEC;
    if (retry)
        enter(q, e, ENTRY_PAUSING);
    else {
        e->state = ENTRY_PARKED;
        q->parked++;
    }
}

void queue_wake(SchedQueue *q, int64_t now)
{
    StrView key;
    void *p;
    if (!q->parked)
        return;
    for (size_t i = 0; map_next(&q->entries, &i, &key, &p);) {
        QueueEntry *e = p;
        if (e->state != ENTRY_PARKED)
            continue;
        detach(q, e);
        enter(q, e, e->until_ns <= now ? ENTRY_READY : ENTRY_PAUSING);
    }
}

int64_t queue_next(const SchedQueue *q)
{
    const QueueEntry *e = first_of(&q->pausing);
    return e ? e->until_ns : INT64_MAX;
}

void queue_free(SchedQueue *q)
{
    StrView key;
    void *e;
    for (size_t i = 0; map_next(&q->entries, &i, &key, &e);) {
        free(((QueueEntry *)e)->key);
        free(e);
    }
    map_free(&q->entries);
    heap_free(&q->ready);
    heap_free(&q->pausing);
    *q = (SchedQueue){ 0 };
}
