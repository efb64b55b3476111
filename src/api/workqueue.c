/* workqueue.c - a queue of keys to reconcile, on a loop.
 *
 * A key has one item: `dirty` (there is something to do), `running` (a worker has it) and, in a
 * heap ordered by time, a moment at which it becomes dirty again. A key that gets dirty while it
 * runs waits for workqueue_done(). An item without any of these and without failures is forgotten.
 */
#include "api/workqueue.h"

#include "api/workqueue_metrics.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"

typedef struct Item Item;
struct Item {
    HeapNode node; /* first: an item is where its node is */
    char *key;
    size_t key_len;
    Item *next; /* in the ready list */
    bool dirty, running;
    unsigned failures;
    int64_t added_ns, begun_ns; /* while it waits, while it runs: since when */
    int64_t due_ns;             /* valid while it is in the heap */
};

struct WorkQueue {
    Loop *loop;
    Source *timer;
    WorkFn *fn;
    void *ctx;
    unsigned workers, running;
    Map items;
    Item *head, *tail;
    size_t n_ready;
    Heap heap;
    uint64_t lost;
    unsigned refs;
    bool dispatch_due, freed;
    Metrics *metrics;
    WorkQueueMetrics counts;
};

static StrView key_of(const Item *it)
{
    return sv_n(it->key, it->key_len);
}

static Item *find(const WorkQueue *q, StrView key)
{
    return map_get(&q->items, key);
}

static Item *get(WorkQueue *q, StrView key)
{
    Item *it = find(q, key);
    if (it)
        return it;
    it = calloc(1, sizeof *it);
    char *copy = it ? strndup(key.ptr ? key.ptr : "", key.len) : NULL;
    if (!copy || !map_set(&q->items, key, it, NULL)) {
        free(copy);
        free(it);
        q->lost++;
        return NULL;
    }
    it->key = copy;
    it->key_len = key.len;
    return it;
}

static void drop_if_done(WorkQueue *q, Item *it)
{
    if (it->dirty || it->running || it->failures || heap_has(&it->node))
        return;
    map_del(&q->items, key_of(it));
    free(it->key);
    free(it);
}

/* ---- the heap of delayed keys ---- */

static bool is_due_before(const HeapNode *a, const HeapNode *b)
{
    return ((const Item *)a)->due_ns < ((const Item *)b)->due_ns;
}

static Item *first_due(const WorkQueue *q)
{
    return (Item *)heap_first(&q->heap);
}

static void arm_timer(WorkQueue *q)
{
    const Item *next = first_due(q);
    if (!next) {
        source_stop_timer(q->timer);
        return;
    }
    int64_t left = next->due_ns - loop_now_ns(q->loop);
    uint64_t ms = left > 0 ? (uint64_t)(left + 999999) / 1000000 : 0;
    (void)source_set_timer(q->timer, ms, 0, NULL); /* cannot fail for a timer with a callback */
}

/* ---- workers ---- */

static void dispatch_later(WorkQueue *q);

static void push_ready(WorkQueue *q, Item *it)
{
    it->next = NULL;
    if (q->tail)
        q->tail->next = it;
    else
        q->head = it;
    q->tail = it;
    q->n_ready++;
    dispatch_later(q);
}

static void make_dirty(WorkQueue *q, Item *it)
{
    if (it->dirty)
        return;
    it->dirty = true;
    it->added_ns = clock_mono_ns();
    queue_metrics_added(&q->counts);
    if (!it->running)
        push_ready(q, it);
}

static void unref(WorkQueue *q)
{
    if (--q->refs > 0)
        return;
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&q->items, &i, &key, &val);) {
        Item *it = val;
        free(it->key);
        free(it);
    }
    map_free(&q->items);
    heap_free(&q->heap);
    free(q);
}

/* Keys that make each other dirty would keep the loop here for ever: after a turn's share the rest
 * is deferred, and the loop serves its other sources after a few rounds of deferred work. */
static void dispatch(void *ctx)
{
    WorkQueue *q = ctx;
    q->dispatch_due = false;
    q->refs++;
    int64_t start = clock_mono_ns();
    for (unsigned n = 0; !q->freed && q->head && q->running < q->workers; n++) {
        if (n >= WORKQUEUE_TURN_ITEMS || clock_mono_ns() - start >= WORKQUEUE_TURN_NS) {
            dispatch_later(q);
            break;
        }
        Item *it = q->head;
        q->head = it->next;
        if (!q->head)
            q->tail = NULL;
        q->n_ready--;
        it->dirty = false;
        it->running = true;
        it->begun_ns = clock_mono_ns();
        queue_metrics_waited(&q->counts, it->begun_ns - it->added_ns);
        q->running++;
        q->fn(q->ctx, key_of(it));
    }
    unref(q);
}

static void dispatch_later(WorkQueue *q)
{
    if (!q->dispatch_due)
        q->dispatch_due = loop_defer(q->loop, dispatch, q, NULL) == 0;
}

static void on_timer(void *ctx)
{
    WorkQueue *q = ctx;
    int64_t now = loop_now_ns(q->loop);
    for (Item *it; (it = first_due(q)) && it->due_ns <= now;) {
        heap_remove(&q->heap, &it->node);
        make_dirty(q, it);
    }
    arm_timer(q);
}

/* ---- what is counted ---- */

static void collect(void *ctx)
{
    const WorkQueue *q = ctx;
    int64_t now = clock_mono_ns(), sum = 0, longest = 0;
    StrView key;
    void *val;
    for (size_t i = 0; q->running && map_next(&q->items, &i, &key, &val);) {
        const Item *it = val;
        if (!it->running)
            continue;
        sum += now - it->begun_ns;
        longest = MAX(longest, now - it->begun_ns);
    }
    queue_metrics_state(&q->counts, q->n_ready, sum, longest);
}

void workqueue_count(WorkQueue *q, Metrics *m, const char *name)
{
    q->metrics = m;
    queue_metrics_init(&q->counts, m, name);
    metrics_on_collect(m, collect, q);
}

/* ---- the public side ---- */

int workqueue_new(Loop *l, unsigned workers, WorkFn *fn, void *ctx, WorkQueue **ret, Err *err)
{
    WorkQueue *q = calloc(1, sizeof *q);
    if (!q)
        return err_nomem(err);
    q->loop = l;
    q->workers = workers ? workers : 1;
    q->fn = fn;
    q->ctx = ctx;
    q->refs = 1;
    q->heap.before = is_due_before;
    int r = loop_add_timer(l, 0, 0, on_timer, q, &q->timer, err);
    if (r < 0) {
        free(q);
        return r;
    }
    source_stop_timer(q->timer);
    *ret = q;
    return 0;
}

WorkQueue *workqueue_free(WorkQueue *q)
{
    if (!q || q->freed)
        return NULL;
    q->freed = true;
    metrics_off_collect(q->metrics, collect, q);
    q->timer = source_free(q->timer);
    if (q->dispatch_due)
        loop_defer_cancel(q->loop, dispatch, q);
    unref(q);
    return NULL;
}

void workqueue_add(WorkQueue *q, StrView key)
{
    Item *it = get(q, key);
    if (it)
        make_dirty(q, it);
}

void workqueue_add_after(WorkQueue *q, StrView key, uint64_t delay_ms)
{
    if (delay_ms == 0) {
        workqueue_add(q, key);
        return;
    }
    Item *it = get(q, key);
    if (!it)
        return;
    int64_t due = loop_now_ns(q->loop) + (int64_t)MIN(delay_ms, UINT64_C(1) << 40) * 1000000;
    if (heap_has(&it->node)) { /* the earlier moment wins */
        if (due < it->due_ns) {
            it->due_ns = due;
            heap_moved(&q->heap, &it->node);
        }
    } else {
        it->due_ns = due;
        if (!heap_add(&q->heap, &it->node)) {
            q->lost++;
            drop_if_done(q, it);
            return;
        }
    }
    arm_timer(q);
}

void workqueue_add_rate_limited(WorkQueue *q, StrView key)
{
    Item *it = get(q, key);
    if (!it)
        return;
    unsigned shift = MIN(it->failures, 20u);
    uint64_t ms = MIN((uint64_t)WORKQUEUE_BASE_DELAY_MS << shift, (uint64_t)WORKQUEUE_MAX_DELAY_MS);
    it->failures++;
    queue_metrics_retried(&q->counts);
    workqueue_add_after(q, key, ms);
}

void workqueue_forget(WorkQueue *q, StrView key)
{
    Item *it = find(q, key);
    if (!it)
        return;
    it->failures = 0;
    drop_if_done(q, it);
}

unsigned workqueue_failures(const WorkQueue *q, StrView key)
{
    const Item *it = find(q, key);
    return it ? it->failures : 0;
}

void workqueue_done(WorkQueue *q, StrView key)
{
    Item *it = find(q, key);
    if (!it || !it->running)
        return;
    it->running = false;
    q->running--;
    queue_metrics_worked(&q->counts, clock_mono_ns() - it->begun_ns);
    if (it->dirty)
        push_ready(q, it);
    else
        drop_if_done(q, it);
    if (q->head)
        dispatch_later(q);
}

void workqueue_finish(WorkQueue *q, StrView key, bool ok)
{
    if (ok)
        workqueue_forget(q, key);
    else
        workqueue_add_rate_limited(q, key);
    workqueue_done(q, key);
}

size_t workqueue_len(const WorkQueue *q)
{
    return q->n_ready;
}

uint64_t workqueue_lost(const WorkQueue *q)
{
    return q->lost;
}
