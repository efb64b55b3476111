/* scheduler.c - informers of nodes and pods, a queue of pods without a node, and binding.
 *
 * A pod is decided on what is known now; its node counts as used from that moment (`assumed`), so
 * that the next decision sees it. What fits nowhere waits, and is looked at again when a node or a
 * bound pod changes, and once a minute. To add a constraint see fit.c. */
#include "scheduler/scheduler.h"

#include <stdio.h>

#include "api/events.h"
#include "api/informer.h"
#include "api/workqueue.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "scheduler/fit.h"
#include "scheduler/support.h"

enum { RETRY_WAITING_MS = 60 * 1000, NODES_SHOWN_MAX = 8 };

/* What is kept of a pod. */
typedef struct PodFacts {
    Arena arena;
    Value pod; /* only of pods that wait for a node */
    char node[256];
    Request request;
    bool waits, done;
} PodFacts;

typedef struct NodeEntry {
    Arena arena;
    NodeFacts facts;
    Value node;
} NodeEntry;

struct Scheduler {
    Loop *loop;
    ApiClient *api;
    Informer *pods, *nodes;
    WorkQueue *queue;
    EventRecorder *events;
    Map assumed; /* "ns/name" of pods on their way to a node: strdup'ed node name */
    Source *retry;
    void (*on_synced)(void *ctx);
    void *ctx;
    bool pods_synced, nodes_synced;
};

/* ---- projections ---- */

static void free_pod(void *p)
{
    PodFacts *f = p;
    arena_free(&f->arena);
    free(f);
}

static void *project_pod(void *ctx, const Value *obj)
{
    PodFacts *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    arena_init(&f->arena, 0);
    StrView phase = value_path_str(obj, "status.phase"),
            scheduler = value_path_str(obj, "spec.schedulerName");
    f->done = sv_eq(phase, SV("Succeeded")) || sv_eq(phase, SV("Failed"));
    sv_copy_cstr(value_path_str(obj, "spec.nodeName"), f->node, sizeof f->node);
    f->waits = !f->node[0] && !f->done && !value_path(obj, "metadata.deletionTimestamp") &&
               !value_len(value_path(obj, "spec.schedulingGates")) &&
               (!scheduler.len || sv_eq(scheduler, SV("default-scheduler")));
    request_of_pod(obj, &f->request);
    if (f->waits && !value_clone(&f->arena, obj, &f->pod)) {
        free_pod(f);
        return NULL;
    }
    return f;
}

static void free_node(void *p)
{
    NodeEntry *n = p;
    arena_free(&n->arena);
    free(n);
}

static void *project_node(void *ctx, const Value *obj)
{
    NodeEntry *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    arena_init(&n->arena, 0);
    if (!value_clone(&n->arena, obj, &n->node)) {
        free_node(n);
        return NULL;
    }
    n->facts = (NodeFacts){ .name = value_path_str(&n->node, "metadata.name"),
                            .labels = value_path(&n->node, "metadata.labels"),
                            .taints = value_path(&n->node, "spec.taints"),
                            .unschedulable =
                                value_bool_or(value_path(&n->node, "spec.unschedulable"), false) };
    request_of_node(&n->node, &n->facts.allocatable);
    return n;
}

/* ---- the state of the nodes ---- */

static void add_request(Request *to, const Request *r)
{
    to->cpu_milli += r->cpu_milli;
    to->memory += r->memory;
    to->pods += r->pods;
}

/* Sums what runs or is about to run on each node. */
static void count_usage(Scheduler *s)
{
    size_t pos = 0;
    for (ApiObject *o; (o = informer_next(s->nodes, &pos));)
        ((NodeEntry *)o->projection)->facts.used = (Request){ 0 };
    pos = 0;
    for (ApiObject *o; (o = informer_next(s->pods, &pos));) {
        const PodFacts *f = o->projection;
        const char *node = f->node[0] ? f->node : map_get(&s->assumed, o->key);
        ApiObject *n = node && !f->done ? informer_get(s->nodes, sv_cstr(node)) : NULL;
        if (n)
            add_request(&((NodeEntry *)n->projection)->facts.used, &f->request);
    }
}

static void forget_assumed(Scheduler *s, StrView key)
{
    free(map_del(&s->assumed, key));
}

/* ---- one pod ---- */

typedef struct Verdict {
    const NodeEntry *best;
    unsigned nodes, against[FIT_MAX];
    StrView taint;
    Buf text; /* "0/3 nodes are available: 2 Insufficient cpu, …" */
} Verdict;

static void judge(Scheduler *s, const PodFacts *f, Verdict *v)
{
    int64_t best = 0;
    size_t pos = 0;
    count_usage(s);
    for (ApiObject *o; (o = informer_next(s->nodes, &pos));) {
        const NodeEntry *n = o->projection;
        const Value *taint;
        FitReason why = fit_check(&f->pod, &f->request, &n->facts, &taint);
        v->nodes++;
        v->against[why]++;
        if (why == FIT_TAINT)
            v->taint = value_str(value_get(taint, SV("key")));
        if (why != FIT_OK)
            continue;
        int64_t score = fit_score(&f->pod, &f->request, &n->facts);
        if (!v->best || score > best) {
            v->best = n;
            best = score;
        }
    }
}

static void explain(Verdict *v)
{
    buf_printf(&v->text, "0/%u nodes are available: ", v->nodes);
    bool first = true;
    for (int why = FIT_OK + 1; why < FIT_MAX; why++) {
        if (!v->against[why])
            continue;
        buf_printf(&v->text, "%s%u %s", first ? "" : ", ", v->against[why], fit_reason_text[why]);
        if (why == FIT_TAINT)
            buf_printf(&v->text, " {%.*s: }", SV_FMT(v->taint));
        first = false;
    }
    if (!v->nodes)
        buf_sv(&v->text, SV("no nodes available to schedule pods"));
    buf_putc(&v->text, '.');
}

static EventRef event_ref(const ApiObject *o)
{
    return (EventRef){ .api_version = SV("v1"),
                       .kind = SV("Pod"),
                       .ns = o->ns,
                       .name = o->name,
                       .uid = o->uid,
                       .resource_version = o->resource_version };
}

/* The condition that `kubectl describe` and autoscalers read. */
static void report_unschedulable(Scheduler *s, const ApiObject *o, const PodFacts *f,
                                 StrView message)
{
    EventRef ref = event_ref(o);
    value_list_foreach (c, value_path(&f->pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled")) &&
            sv_eq(value_str(value_get(c, SV("message"))), message))
            return;
    }
    event_record(s->events, &ref, SV("Warning"), SV("FailedScheduling"), "%.*s", SV_FMT(message));
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value patch = value_map(), list = value_list(), c = value_map();
    char now[RFC3339_SIZE];
    rfc3339_format(clock_real_ns(), 0, now);
    value_set(&a, &c, SV("type"), value_sv(SV("PodScheduled")));
    value_set(&a, &c, SV("status"), value_sv(SV("False")));
    value_set(&a, &c, SV("reason"), value_sv(SV("Unschedulable")));
    value_set(&a, &c, SV("message"), value_sv(message));
    value_set(&a, &c, SV("lastProbeTime"), value_null());
    value_set(&a, &c, SV("lastTransitionTime"), value_sv(sv_cstr(now)));
    value_push(&a, &list, c);
    value_set_path(&a, &patch, "status.conditions", list);
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), o->ns, o->name, SV("status") };
    Err err = { 0 };
    if (api_patch(s->api, &t, API_PATCH_STRATEGIC, SV_NULL, &patch, NULL, NULL, NULL, &err) < 0)
        log_warn("pod %.*s: report: %s", SV_FMT(o->key), err.msg);
}

typedef struct Bind {
    Scheduler *s;
    char key[600], node[256];
} Bind;

static void on_bound(void *ctx, const ApiResult *r)
{
    Bind *b = ctx;
    Scheduler *s = b->s;
    StrView key = sv_cstr(b->key);
    ApiObject *o = informer_get(s->pods, key);
    if (r->err && r->err->code != ERR_NOT_FOUND && r->err->code != ERR_CONFLICT)
        log_warn("bind pod %s to %s: %s", b->key, b->node, r->err->msg);
    if (r->err)
        forget_assumed(s, key);
    else if (o) {
        EventRef ref = event_ref(o);
        event_record(s->events, &ref, SV("Normal"), SV("Scheduled"),
                     "Successfully assigned %s to %s", b->key, b->node);
    }
    workqueue_finish(s->queue, key, !r->err);
    free(b);
}

static bool send_binding(Scheduler *s, const ApiObject *o, StrView node)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value body = value_map();
    Bind *b = calloc(1, sizeof *b);
    char *assumed = strndup(node.ptr, node.len);
    Err err = { 0 };
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), o->ns, o->name, SV("binding") };
    if (!b || !assumed || !map_set(&s->assumed, o->key, assumed, NULL)) {
        free(assumed);
        free(b);
        return false;
    }
    b->s = s;
    sv_copy_cstr(o->key, b->key, sizeof b->key);
    sv_copy_cstr(node, b->node, sizeof b->node);
    value_set(&a, &body, SV("kind"), value_sv(SV("Binding")));
    value_set(&a, &body, SV("apiVersion"), value_sv(SV("v1")));
    value_set_path(&a, &body, "metadata.name", value_sv(o->name));
    value_set_path(&a, &body, "metadata.uid", value_sv(o->uid));
    value_set_path(&a, &body, "target.kind", value_sv(SV("Node")));
    value_set_path(&a, &body, "target.name", value_sv(node));
    if (api_create(s->api, &t, &body, on_bound, b, NULL, &err) == 0)
        return true;
    forget_assumed(s, o->key);
    free(b);
    return false;
}

static void schedule_one(void *ctx, StrView key)
{
    Scheduler *s = ctx;
    ApiObject *o = informer_get(s->pods, key);
    const PodFacts *f = o ? o->projection : NULL;
    if (!f || !f->waits || map_has(&s->assumed, key) || !s->nodes_synced) {
        workqueue_finish(s->queue, key, true);
        return;
    }
    Verdict v = { 0 };
    const char *missing = support_missing(&f->pod);
    if (missing)
        buf_printf(&v.text, "%s is not supported by this scheduler", missing);
    else
        judge(s, f, &v);
    if (v.best) {
        if (!send_binding(s, o, v.best->facts.name))
            workqueue_finish(s->queue, key, false);
    } else {
        if (!missing)
            explain(&v);
        report_unschedulable(s, o, f, buf_view(&v.text));
        workqueue_finish(s->queue, key, true); /* a change of the cluster brings it back */
    }
    buf_free(&v.text);
}

/* ---- what brings pods to the queue ---- */

static void consider(Scheduler *s, const ApiObject *o)
{
    const PodFacts *f = o->projection;
    if (f->waits)
        workqueue_add(s->queue, o->key);
}

static void consider_all(void *ctx)
{
    Scheduler *s = ctx;
    size_t pos = 0;
    for (ApiObject *o; s->pods && (o = informer_next(s->pods, &pos));)
        consider(s, o);
}

static void on_pod_add(void *ctx, ApiObject *o)
{
    Scheduler *s = ctx;
    const PodFacts *f = o->projection;
    if (f->node[0])
        forget_assumed(s, o->key);
    consider(s, o);
}

static void on_pod_update(void *ctx, ApiObject *old, ApiObject *now)
{
    const PodFacts *before = old->projection, *after = now->projection;
    on_pod_add(ctx, now);
    if (!before->done && after->done)
        consider_all(ctx);
}

static void on_pod_delete(void *ctx, ApiObject *last)
{
    forget_assumed(ctx, last->key);
    consider_all(ctx);
}

static void on_node_change(void *ctx, ApiObject *o)
{
    consider_all(ctx);
}

static void on_node_update(void *ctx, ApiObject *old, ApiObject *now)
{
    const NodeEntry *a = old->projection, *b = now->projection;
    bool same =
        value_equal(value_get(&a->node, SV("spec")), value_get(&b->node, SV("spec"))) &&
        memcmp(&a->facts.allocatable, &b->facts.allocatable, sizeof a->facts.allocatable) == 0;
    if (!same || !a->facts.labels != !b->facts.labels ||
        (a->facts.labels && !value_equal(a->facts.labels, b->facts.labels)))
        consider_all(ctx);
}

static void synced(Scheduler *s)
{
    if (!s->pods_synced || !s->nodes_synced)
        return;
    consider_all(s);
    if (s->on_synced)
        s->on_synced(s->ctx);
}

static void on_pods_synced(void *ctx)
{
    Scheduler *s = ctx;
    s->pods_synced = true;
    synced(s);
}

static void on_nodes_synced(void *ctx)
{
    Scheduler *s = ctx;
    s->nodes_synced = true;
    synced(s);
}

static int start(Scheduler *s, Err *err)
{
    InformerConfig nodes = { .target = { SV(""), SV("v1"), SV("nodes"), SV_NULL, SV_NULL, SV_NULL },
                             .project = project_node,
                             .unproject = free_node,
                             .drop_json = true,
                             .on_add = on_node_change,
                             .on_update = on_node_update,
                             .on_delete = on_node_change,
                             .on_synced = on_nodes_synced,
                             .ctx = s };
    InformerConfig pods = { .target = { SV(""), SV("v1"), SV("pods"), SV_NULL, SV_NULL, SV_NULL },
                            .project = project_pod,
                            .unproject = free_pod,
                            .drop_json = true,
                            .on_add = on_pod_add,
                            .on_update = on_pod_update,
                            .on_delete = on_pod_delete,
                            .on_synced = on_pods_synced,
                            .ctx = s };
    int r;
    if ((r = event_recorder_new(s->api, SV("default-scheduler"), SV_NULL, &s->events, err)) < 0 ||
        (r = workqueue_new(s->loop, 1, schedule_one, s, &s->queue, err)) < 0 ||
        (r = loop_add_timer(s->loop, RETRY_WAITING_MS, RETRY_WAITING_MS, consider_all, s, &s->retry,
                            err)) < 0 ||
        (r = informer_new(s->api, &nodes, &s->nodes, err)) < 0)
        return r;
    return informer_new(s->api, &pods, &s->pods, err);
}

int scheduler_new(Loop *l, ApiClient *api, void (*on_synced)(void *ctx), void *ctx, Scheduler **ret,
                  Err *err)
{
    Scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->loop = l;
    s->api = api;
    s->on_synced = on_synced;
    s->ctx = ctx;
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
    StrView key;
    void *node;
    if (!s)
        return NULL;
    informer_free(s->pods);
    informer_free(s->nodes);
    workqueue_free(s->queue);
    event_recorder_free(s->events);
    source_free(s->retry);
    for (size_t i = 0; map_next(&s->assumed, &i, &key, &node);)
        free(node);
    map_free(&s->assumed);
    free(s);
    return NULL;
}
