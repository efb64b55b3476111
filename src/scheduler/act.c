/* act.c - calls to the API server. Each is asynchronous; what it needs later it keeps itself. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "scheduler/internal.h"

enum { NAME_SIZE = 256, KEY_SIZE = 600 };

static EventRef event_ref(const SchedPod *p)
{
    return (EventRef){
        .api_version = SV("v1"), .kind = SV("Pod"), .ns = p->ns, .name = p->name, .uid = p->uid
    };
}

/* ---- binding ---- */

typedef struct Bind {
    Scheduler *s;
    char key[KEY_SIZE], node[NAME_SIZE], uid[64];
    int64_t begin_ns;
} Bind;

static void unplace(Scheduler *s, StrView key)
{
    SchedPod *p = scheduler_pod(s, key);
    if (!p || !p->waits)
        return;
    cluster_take(&s->cluster, p);
    if (p->nominated.len && !cluster_nominate(&s->cluster, p, p->nominated))
        log_warn("pod %.*s: out of memory, its nomination is forgotten", SV_FMT(key));
    queue_park(&s->queue, key, loop_now_ns(s->loop), true);
    scheduler_turn_soon(s);
}

static void on_bound(void *ctx, const ApiResult *r)
{
    Bind *b = ctx;
    Scheduler *s = b->s;
    StrView key = sv_cstr(b->key);
    SchedPod *p = scheduler_pod(s, key);
    s->binding--;
    sched_metrics_attempt(&s->metrics, r->err ? ATTEMPT_ERROR : ATTEMPT_SCHEDULED, b->begin_ns);
    if (r->err && r->err->code != ERR_NOT_FOUND && r->err->code != ERR_CONFLICT)
        log_warn("bind pod %s to %s: %s", b->key, b->node, r->err->msg);
    if (r->err)
        unplace(s, key);
    else
        queue_remove(&s->queue, key);
    if (!r->err && p && sv_eq(p->uid, sv_cstr(b->uid))) {
        EventRef ref = event_ref(p);
        event_record(s->events, &ref, SV("Normal"), SV("Scheduled"),
                     "Successfully assigned %s to %s", b->key, b->node);
    }
    scheduler_turn_soon(s);
    free(b);
}

void act_bind(Scheduler *s, SchedPod *p, StrView node, int64_t begin_ns)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value body = value_map();
    Bind *b = calloc(1, sizeof *b);
    Err err = { 0 };
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), p->ns, p->name, SV("binding") };
    value_set(&a, &body, SV("kind"), value_sv(SV("Binding")));
    value_set(&a, &body, SV("apiVersion"), value_sv(SV("v1")));
    value_set_path(&a, &body, "metadata.name", value_sv(p->name));
    value_set_path(&a, &body, "metadata.uid", value_sv(p->uid));
    value_set_path(&a, &body, "target.kind", value_sv(SV("Node")));
    value_set_path(&a, &body, "target.name", value_sv(node));
    if (b) {
        b->s = s;
        b->begin_ns = begin_ns;
        sv_copy_cstr(p->key, b->key, sizeof b->key);
        sv_copy_cstr(node, b->node, sizeof b->node);
        sv_copy_cstr(p->uid, b->uid, sizeof b->uid);
    }
    if (b && api_create(s->api, &t, &body, on_bound, b, NULL, &err) == 0) {
        s->binding++;
        return;
    }
    free(b);
    unplace(s, p->key);
}

/* ---- conditions ---- */

static Value condition(Arena *a, StrView type, StrView status, StrView reason, StrView message)
{
    Value c = value_map();
    char now[RFC3339_SIZE];
    rfc3339_format(clock_real_ns(), 0, now);
    value_set(a, &c, SV("type"), value_sv(type));
    value_set(a, &c, SV("status"), value_sv(status));
    value_set(a, &c, SV("reason"), value_sv(reason));
    value_set(a, &c, SV("message"), value_sv(message));
    value_set(a, &c, SV("lastProbeTime"), value_null());
    value_set(a, &c, SV("lastTransitionTime"), value_sv(arena_sv(a, sv_cstr(now))));
    return c;
}

static int patch_status(Scheduler *s, const SchedPod *p, const Value *patch, ApiDoneFn *done,
                        void *ctx, Err *err)
{
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), p->ns, p->name, SV("status") };
    return api_patch(s->api, &t, API_PATCH_STRATEGIC, SV_NULL, patch, done, ctx, NULL, err);
}

static bool says_already(const SchedPod *p, StrView message)
{
    value_list_foreach (c, value_path(&p->pod, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled")))
            return sv_eq(value_str(value_get(c, SV("message"))), message);
    }
    return false;
}

void act_report(Scheduler *s, const SchedPod *p, StrView message, const StrView *nominated)
{
    bool news = !says_already(p, message);
    bool moves = nominated && !sv_eq(*nominated, p->nominated);
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value patch = value_map(), list = value_list();
    EventRef ref = event_ref(p);
    Err err = { 0 };
    if (!news && !moves)
        return;
    if (news) {
        event_record(s->events, &ref, SV("Warning"), SV("FailedScheduling"), "%.*s",
                     SV_FMT(message));
        value_push(&a, &list,
                   condition(&a, SV("PodScheduled"), SV("False"), SV("Unschedulable"), message));
        value_set_path(&a, &patch, "status.conditions", list);
    }
    if (moves)
        value_set_path(&a, &patch, "status.nominatedNodeName",
                       nominated->len ? value_sv(*nominated) : value_null());
    if (patch_status(s, p, &patch, NULL, NULL, &err) < 0)
        log_warn("pod %.*s: report: %s", SV_FMT(p->key), err.msg);
}

/* ---- victims ---- */

typedef struct Evict {
    Scheduler *s;
    char ns[64], name[NAME_SIZE], uid[64];
} Evict;

/* Says on the pod why it goes, then deletes it with its own grace period. */
static void on_condition_set(void *ctx, const ApiResult *r)
{
    Evict *e = ctx;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value options = value_map();
    Err err = { 0 };
    ApiTarget t = { SV(""), SV("v1"), SV("pods"), sv_cstr(e->ns), sv_cstr(e->name), SV_NULL };
    value_set_path(&a, &options, "preconditions.uid", value_sv(sv_cstr(e->uid)));
    if (r->err && r->err->code == ERR_NOT_FOUND)
        ; /* it has gone already */
    else if (api_delete(e->s->api, &t, &options, NULL, NULL, NULL, &err) < 0)
        log_warn("preempt pod %s/%s: %s", e->ns, e->name, err.msg);
    free(e);
}

void act_evict(Scheduler *s, const SchedPod *victim, const SchedPod *by, StrView node)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value patch = value_map(), list = value_list();
    Err err = { 0 };
    Evict *e = calloc(1, sizeof *e);
    EventRef ref = event_ref(victim);
    if (!e || victim->terminating) {
        free(e);
        return;
    }
    e->s = s;
    sv_copy_cstr(victim->ns, e->ns, sizeof e->ns);
    sv_copy_cstr(victim->name, e->name, sizeof e->name);
    sv_copy_cstr(victim->uid, e->uid, sizeof e->uid);
    value_push(&a, &list,
               condition(&a, SV("DisruptionTarget"), SV("True"), SV("PreemptionByScheduler"),
                         SV("default-scheduler: preempting to accommodate a higher priority pod")));
    value_set_path(&a, &patch, "status.conditions", list);
    if (patch_status(s, victim, &patch, on_condition_set, e, &err) < 0) {
        log_warn("preempt pod %.*s: %s", SV_FMT(victim->key), err.msg);
        free(e);
        return;
    }
    event_record(s->events, &ref, SV("Normal"), SV("Preempted"),
                 "Preempted by pod %.*s on node %.*s", SV_FMT(by->uid), SV_FMT(node));
}
