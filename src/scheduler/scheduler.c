/* scheduler.c - informers keep the picture of the cluster, a queue has the pods without a node.
 *
 * A pod is decided on what is known now; it counts on its node from that moment, so that the next
 * decision sees it, and its binding is under way while others are decided. What fits nowhere is
 * parked, and comes back when a node or a pod has changed, and once a minute. To add a constraint
 * see decide.c. */
#include "scheduler/scheduler.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "scheduler/internal.h"
#include "scheduler/support.h"

enum {
    RETRY_PARKED_MS = 60 * 1000,
    WAKE_DELAY_MS = 20, /* changes come in crowds */
    BINDS_MAX = 128,
    TURN_MS = 5, /* then the sockets have their turn */
};

SchedPod *scheduler_pod(Scheduler *s, StrView key)
{
    ApiObject *o = informer_get(s->informers[WATCH_PODS], key);
    return o ? o->projection : NULL;
}

/* ---- one pod ---- */

static size_t collect_budgets(Scheduler *s, Arena *a, Budget ***ret)
{
    Informer *inf = s->informers[WATCH_BUDGETS];
    size_t n = 0, pos = 0;
    *ret = arena_array(a, Budget *, informer_len(inf) + 1);
    for (ApiObject *o; *ret && (o = informer_next(inf, &pos));)
        (*ret)[n++] = o->projection;
    return n;
}

/* It fits nowhere as things are: others may have to make room. */
static void unschedulable(Scheduler *s, SchedPod *p, const Decision *d, Arena *a)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Budget **budgets;
    size_t n = collect_budgets(s, a, &budgets);
    Preemption plan;
    sched_metrics_preemption(&s->metrics);
    decision_explain(d, &text);
    if (d->nodes)
        buf_putc(&text, ' ');
    if (!budgets || (d->nodes && !preempt_plan(&s->cluster, p, d, budgets, n, a, &plan, &text)) ||
        text.failed) {
        log_warn("pod %.*s: out of memory while looking for room", SV_FMT(p->key));
        return;
    }
    if (!d->nodes || !plan.node) {
        StrView none = SV("");
        bool cleared = d->nodes && !plan.waits;
        act_report(s, p, buf_view(&text), cleared ? &none : NULL);
        return;
    }
    StrView node = sv_cstr(plan.node->name);
    if (text.len && text.ptr[text.len - 1] == ' ')
        text.len--;
    for (size_t i = 0; i < plan.n_victims; i++)
        act_evict(s, plan.victims[i], p, node);
    if (!p->nominated_to && !cluster_nominate(&s->cluster, p, node))
        log_warn("pod %.*s: out of memory, not nominated", SV_FMT(p->key));
    act_report(s, p, buf_view(&text), &node);
}

static void schedule_one(Scheduler *s, StrView key)
{
    SchedPod *p = scheduler_pod(s, key);
    int64_t begin = clock_mono_ns();
    AttemptResult result = ATTEMPT_UNSCHEDULABLE;
    Decision d;
    if (!p || !p->waits || p->node) {
        queue_remove(&s->queue, key);
        return;
    }
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    const char *missing = support_missing(&p->pod);
    if (missing) {
        char text[160];
        snprintf(text, sizeof text, "%s is not supported by this scheduler", missing);
        act_report(s, p, sv_cstr(text), NULL);
    } else if (!decide(&s->cluster, p, &a, &d)) {
        log_warn("pod %.*s: out of memory, or a selector that cannot be read", SV_FMT(key));
        result = ATTEMPT_ERROR;
    } else if (!d.node)
        unschedulable(s, p, &d, &a);
    else {
        StrView node = d.node->facts.name;
        cluster_take(&s->cluster, p); /* its nomination */
        if (cluster_place(&s->cluster, p, node)) {
            act_bind(s, p, node, begin); /* its place in the queue stays until that has ended */
            return;
        }
        result = ATTEMPT_ERROR;
    }
    sched_metrics_attempt(&s->metrics, result, begin);
    queue_park(&s->queue, key, loop_now_ns(s->loop), false);
}

/* ---- turns ---- */

static void on_turn(void *ctx)
{
    Scheduler *s = ctx;
    int64_t begin = clock_mono_ns(), now = loop_now_ns(s->loop), next;
    StrView key;
    if (s->synced < WATCH_MAX)
        return;
    while (s->binding < BINDS_MAX && clock_mono_ns() - begin < TURN_MS * NSEC_PER_MSEC) {
        key = queue_pop(&s->queue, now);
        if (!key.ptr)
            break;
        char copy[600]; /* the queue's own text may go with its entry */
        if (sv_copy_cstr(key, copy, sizeof copy))
            schedule_one(s, sv_cstr(copy));
        else
            queue_remove(&s->queue, key);
    }
    if (s->binding >= BINDS_MAX)
        return; /* the next binding that ends goes on */
    if (heap_len(&s->queue.ready))
        scheduler_turn_soon(s);
    else if ((next = queue_next(&s->queue)) != INT64_MAX)
        source_set_timer(s->turn, (uint64_t)(MAX(next - now, INT64_C(0)) / NSEC_PER_MSEC) + 1, 0,
                         NULL);
}

void scheduler_turn_soon(Scheduler *s)
{
    source_set_timer(s->turn, 0, 0, NULL);
}

static void on_wake(void *ctx)
{
    Scheduler *s = ctx;
    s->wake_armed = false;
    queue_wake(&s->queue, loop_now_ns(s->loop));
    scheduler_turn_soon(s);
}

/* Something has changed that may let a parked pod in. */
static void changed(Scheduler *s)
{
    if (s->wake_armed || !s->queue.parked)
        return;
    s->wake_armed = source_set_timer(s->wake, WAKE_DELAY_MS, 0, NULL) == 0;
}

/* ---- pods ---- */

static void enqueue(Scheduler *s, const SchedPod *p)
{
    if (!queue_add(&s->queue, p->key, p->priority))
        log_warn("pod %.*s: out of memory, it waits for the next change", SV_FMT(p->key));
    scheduler_turn_soon(s);
}

/* Counts the pod where it is, or where it is on its way to. */
static void put(Scheduler *s, SchedPod *p, StrView assumed)
{
    StrView node = p->node_name.len ? p->node_name : p->waits ? assumed : SV_NULL;
    bool ok = map_set(&s->pods, p->key, p, NULL);
    if (ok && node.len && !p->done)
        ok = cluster_place(&s->cluster, p, node);
    else if (ok && p->waits && p->nominated.len)
        ok = cluster_nominate(&s->cluster, p, p->nominated);
    if (!ok)
        log_error("pod %.*s: out of memory, its node seems emptier than it is", SV_FMT(p->key));
}

static void on_pod_add(void *ctx, ApiObject *o)
{
    Scheduler *s = ctx;
    SchedPod *p = o->projection;
    put(s, p, SV_NULL);
    if (p->waits)
        enqueue(s, p);
    else
        changed(s); /* others may want to be near it */
}

/* Its own status is no news for a pod that waits. */
static bool asks_for_the_same(const SchedPod *a, const SchedPod *b)
{
    return a->waits && b->waits && a->priority == b->priority &&
           request_equal(&a->request, &b->request) && value_equal(&a->labels, &b->labels) &&
           value_equal(value_get(&a->pod, SV("spec")), value_get(&b->pod, SV("spec")));
}

static void on_pod_update(void *ctx, ApiObject *old, ApiObject *now)
{
    Scheduler *s = ctx;
    SchedPod *before = old->projection, *after = now->projection;
    bool same_pod = sv_eq(before->uid, after->uid);
    /* The name's memory goes with the node when nobody is left on it. */
    char assumed[256] = "";
    if (before->node && before->waits && same_pod)
        sv_copy_cstr(sv_cstr(before->node->name), assumed, sizeof assumed);
    cluster_take(&s->cluster, before);
    put(s, after, sv_cstr(assumed));
    if (!after->waits)
        queue_remove(&s->queue, after->key);
    else if (!after->node && (!same_pod || !asks_for_the_same(before, after)))
        enqueue(s, after);
    if (before->done != after->done || before->node_name.len != after->node_name.len ||
        !value_equal(&before->labels, &after->labels) || before->terminating != after->terminating)
        changed(s);
}

static void on_pod_delete(void *ctx, ApiObject *last)
{
    Scheduler *s = ctx;
    SchedPod *p = map_del(&s->pods, last->key); /* `last` is another version of it */
    if (p)
        cluster_take(&s->cluster, p);
    queue_remove(&s->queue, last->key);
    event_forget(s->events, last->uid);
    changed(s);
}

static void *project_pod(void *ctx, const Value *v)
{
    return sched_pod_new(v);
}

static void unproject_pod(void *p)
{
    sched_pod_free(p);
}

/* ---- nodes ---- */

static void set_node(Scheduler *s, ApiObject *o)
{
    if (!cluster_set_node(&s->cluster, o->name, o->projection))
        log_error("node %.*s: out of memory, it gets no pods", SV_FMT(o->name));
}

static void on_node_add(void *ctx, ApiObject *o)
{
    set_node(ctx, o);
    changed(ctx);
}

static void on_node_update(void *ctx, ApiObject *old, ApiObject *now)
{
    set_node(ctx, now);
    if (!node_info_same(old->projection, now->projection))
        changed(ctx);
}

static void on_node_delete(void *ctx, ApiObject *last)
{
    Scheduler *s = ctx;
    cluster_remove_node(&s->cluster, last->name);
    changed(s);
}

static void *project_node(void *ctx, const Value *v)
{
    return node_info_new(v);
}

static void unproject_node(void *p)
{
    node_info_free(p);
}

/* ---- namespaces, budgets ---- */

typedef struct Labels {
    Arena arena;
    Value v;
} Labels;

static void unproject_labels(void *p)
{
    Labels *l = p;
    arena_free(&l->arena);
    free(l);
}

static void *project_labels(void *ctx, const Value *v)
{
    Labels *l = calloc(1, sizeof *l);
    const Value *labels = value_path(v, "metadata.labels");
    if (!l)
        return NULL;
    arena_init(&l->arena, 0);
    l->v = value_map();
    if (!labels || value_clone(&l->arena, labels, &l->v))
        return l;
    unproject_labels(l);
    return NULL;
}

static void on_namespace(void *ctx, ApiObject *o)
{
    Scheduler *s = ctx;
    if (!map_set(&s->cluster.namespaces, o->name, &((Labels *)o->projection)->v, NULL))
        log_error("namespace %.*s: out of memory, its labels are not known", SV_FMT(o->name));
    changed(s);
}

static void on_namespace_update(void *ctx, ApiObject *old, ApiObject *now)
{
    on_namespace(ctx, now);
}

static void on_namespace_delete(void *ctx, ApiObject *last)
{
    Scheduler *s = ctx;
    map_del(&s->cluster.namespaces, last->name);
}

static void *project_budget(void *ctx, const Value *v)
{
    return budget_new(v);
}

static void unproject_budget(void *p)
{
    budget_free(p);
}

/* ---- start ---- */

static void on_synced(void *ctx)
{
    Scheduler *s = ctx;
    if (++s->synced < WATCH_MAX)
        return;
    scheduler_turn_soon(s);
    if (s->on_synced)
        s->on_synced(s->ctx);
}

static int watch(Scheduler *s, Err *err)
{
    InformerConfig all[WATCH_MAX] = {
        [WATCH_PODS] = { .target = { SV(""), SV("v1"), SV("pods") },
                         .project = project_pod,
                         .unproject = unproject_pod,
                         .events.on_add = on_pod_add,
                         .events.on_update = on_pod_update,
                         .events.on_delete = on_pod_delete },
        [WATCH_NODES] = { .target = { SV(""), SV("v1"), SV("nodes") },
                          .project = project_node,
                          .unproject = unproject_node,
                          .events.on_add = on_node_add,
                          .events.on_update = on_node_update,
                          .events.on_delete = on_node_delete },
        [WATCH_NAMESPACES] = { .target = { SV(""), SV("v1"), SV("namespaces") },
                               .project = project_labels,
                               .unproject = unproject_labels,
                               .events.on_add = on_namespace,
                               .events.on_update = on_namespace_update,
                               .events.on_delete = on_namespace_delete },
        [WATCH_BUDGETS] = { .target = { SV("policy"), SV("v1"), SV("poddisruptionbudgets") },
                            .project = project_budget,
                            .unproject = unproject_budget },
    };
    for (Watched w = 0; w < WATCH_MAX; w++) {
        all[w].drop_json = true;
        all[w].events.on_synced = on_synced;
        all[w].events.ctx = s;
        int r = informer_new(s->api, &all[w], &s->informers[w], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void retry_parked(void *ctx)
{
    changed(ctx);
}

static int start(Scheduler *s, Err *err)
{
    int r;
    if ((r = event_recorder_new(s->api, SV("default-scheduler"), SV_NULL, &s->events, err)) < 0 ||
        (r = loop_add_timer(s->loop, 0, 0, on_turn, s, &s->turn, err)) < 0 ||
        (r = loop_add_timer(s->loop, 0, 0, on_wake, s, &s->wake, err)) < 0 ||
        (r = loop_add_timer(s->loop, RETRY_PARKED_MS, RETRY_PARKED_MS, retry_parked, s, &s->retry,
                            err)) < 0)
        return r;
    return watch(s, err);
}

int scheduler_new(Loop *l, ApiClient *api, void (*on_synced_fn)(void *ctx), void *ctx,
                  Scheduler **ret, Err *err)
{
    Scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->loop = l;
    s->api = api;
    s->on_synced = on_synced_fn;
    s->ctx = ctx;
    sched_metrics_start(&s->metrics, api_client_metrics(api), &s->queue);
    int r = start(s, err);
    if (r < 0) {
        scheduler_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

Scheduler *scheduler_free(Scheduler *s)
{
    if (!s)
        return NULL;
    sched_metrics_stop(&s->metrics);
    for (Watched w = 0; w < WATCH_MAX; w++)
        informer_free(s->informers[w]);
    event_recorder_free(s->events);
    source_free(s->turn);
    source_free(s->wake);
    source_free(s->retry);
    queue_free(&s->queue);
    map_free(&s->pods);
    cluster_free(&s->cluster); /* after the informers: it only refers to pods and nodes */
    free(s);
    return NULL;
}
