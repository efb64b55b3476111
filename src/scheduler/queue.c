/* queue.c - two binary heaps over the same entries. */
#include "scheduler/queue.h"

#include "base/clock.h"

typedef enum EntryState { ENTRY_READY, ENTRY_TAKEN, ENTRY_PARKED, ENTRY_PAUSING } EntryState;

struct QueueEntry {
    char *key;
    int32_t priority;
    uint64_t sequence;
    unsigned failures;
    int64_t until_ns; /* end of the pause */
    EntryState state;
    size_t at; /* in its heap */
};

static bool before(const QueueEntry *a, const QueueEntry *b)
{
    if (a->state == ENTRY_PAUSING)
        return a->until_ns < b->until_ns;
    return a->priority != b->priority ? a->priority > b->priority : a->sequence < b->sequence;
}

static void place(QueueEntry **v, size_t at, QueueEntry *e)
{
    v[at] = e;
    e->at = at;
}

static void sift_up(QueueEntry **v, size_t at)
{
    QueueEntry *e = v[at];
    for (; at && before(e, v[(at - 1) / 2]); at = (at - 1) / 2)
        place(v, at, v[(at - 1) / 2]);
    place(v, at, e);
}

static void sift_down(QueueEntry **v, size_t n, size_t at)
{
    QueueEntry *e = v[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(v[child + 1], v[child]))
            child++;
        if (!before(v[child], e))
            break;
        place(v, at, v[child]);
    }
    place(v, at, e);
}

static bool heap_push(SchedQueue *q, QueueEntry *e, EntryState state)
{
    e->state = state;
    bool ok = state == ENTRY_READY ? vec_push(&q->ready, e) : vec_push(&q->pausing, e);
    if (!ok) {
        e->state = ENTRY_PARKED;
        q->parked++;
    } else if (state == ENTRY_READY)
        sift_up(q->ready.items, q->ready.len - 1);
    else
        sift_up(q->pausing.items, q->pausing.len - 1);
    return ok;
}

static void heap_remove(QueueEntry **v, size_t *len, QueueEntry *e)
{
    QueueEntry *last = v[--*len];
    if (last == e)
        return;
    size_t at = e->at;
    place(v, at, last);
    sift_up(v, at);
    sift_down(v, *len, last->at);
}

/* Out of whatever it is in. */
static void detach(SchedQueue *q, QueueEntry *e)
{
    if (e->state == ENTRY_READY)
        heap_remove(q->ready.items, &q->ready.len, e);
    else if (e->state == ENTRY_PAUSING)
        heap_remove(q->pausing.items, &q->pausing.len, e);
    else if (e->state == ENTRY_PARKED)
        q->parked--;
    vec_shrink(&q->ready);
    vec_shrink(&q->pausing);
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
    return heap_push(q, e, ENTRY_READY);
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
    while (q->pausing.len && q->pausing.items[0]->until_ns <= now) {
        QueueEntry *e = q->pausing.items[0];
        detach(q, e);
        heap_push(q, e, ENTRY_READY);
    }
    if (!q->ready.len)
        return SV_NULL;
    QueueEntry *e = q->ready.items[0];
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
        heap_push(q, e, ENTRY_PAUSING);
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
        heap_push(q, e, e->until_ns <= now ? ENTRY_READY : ENTRY_PAUSING);
    }
}

int64_t queue_next(const SchedQueue *q)
{
    return q->pausing.len ? q->pausing.items[0]->until_ns : INT64_MAX;
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
    vec_free(&q->ready);
    vec_free(&q->pausing);
    *q = (SchedQueue){ 0 };
}
