/* deployment_status.c - counts and the conditions Available and Progressing, on which
 * `kubectl rollout status` relies. */
#include "controller/deployment.h"

typedef struct Totals {
    int64_t replicas, updated, ready, available, unavailable;
} Totals;

static Totals totals_of(const Rollout *v)
{
    Totals t = { .updated = v->sets[0] ? set_view(v->sets[0])->status.replicas : 0 };
    int64_t wanted = 0;
    for (size_t i = 0; i < v->n; i++) {
        wanted += v->plan[i].replicas;
        if (!v->sets[i])
            continue;
        t.replicas += set_view(v->sets[i])->status.replicas;
        t.ready += set_view(v->sets[i])->status.ready;
        t.available += set_view(v->sets[i])->status.available;
    }
    t.unavailable = MAX(wanted - t.available, 0);
    return t;
}

/* The condition of this type, or NULL. */
static const Value *condition_find(const Value *status, StrView type)
{
    value_list_foreach (c, value_get(status, SV("conditions"))) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return c;
    }
    return NULL;
}

bool deployment_complete(const Rollout *v)
{
    Totals t = totals_of(v);
    return v->sets[0] && t.updated == v->view->replicas && t.replicas == v->view->replicas &&
           t.available >= v->view->replicas;
}

typedef struct Condition {
    StrView type, status, reason, message;
    bool refresh; /* progress was made: lastUpdateTime moves even when nothing else changes */
} Condition;

static void put_condition(Rollout *v, Value *list, const Condition *c)
{
    Arena *a = &v->job->arena;
    const Value *had = condition_find(&v->view->status, c->type);
    bool same_status = had && sv_eq(value_str(value_get(had, SV("status"))), c->status);
    bool same =
        same_status && sv_eq(value_str(value_get(had, SV("reason"))), c->reason) && !c->refresh;
    const Value *update = same ? value_get(had, SV("lastUpdateTime")) : NULL;
    const Value *transition = same_status ? value_get(had, SV("lastTransitionTime")) : NULL;
    Value now = time_now(a), item = value_map();
    value_set(a, &item, SV("type"), value_sv(c->type));
    value_set(a, &item, SV("status"), value_sv(c->status));
    value_set(a, &item, SV("lastUpdateTime"), update ? *update : now);
    value_set(a, &item, SV("lastTransitionTime"), transition ? *transition : now);
    value_set(a, &item, SV("reason"), value_sv(c->reason));
    value_set(a, &item, SV("message"), value_sv(c->message));
    value_push(a, list, item);
}

static bool progressed(const Rollout *v, const Totals *t)
{
    const Value *s = &v->view->status;
    int64_t updated = value_int_or(value_get(s, SV("updatedReplicas")), 0);
    int64_t old = value_int_or(value_get(s, SV("replicas")), 0) - updated;
    return t->updated > updated || t->replicas - t->updated < old ||
           t->ready > value_int_or(value_get(s, SV("readyReplicas")), 0) ||
           t->available > value_int_or(value_get(s, SV("availableReplicas")), 0);
}

static Condition progress_of(Rollout *v, const Totals *t)
{
    Arena *a = &v->job->arena;
    const Value *had = condition_find(&v->view->status, SV("Progressing"));
    StrView reason = value_str(value_get(had, SV("reason")));
    Condition c = { SV("Progressing"), SV("True"), SV("ReplicaSetUpdated"),
                    SV("The rollout is progressing."), false };
    StrView name = v->sets[0] ? v->sets[0]->name : SV("");
    int64_t deadline = v->view->deadline_s;
    int64_t left =
        time_of(value_get(had, SV("lastUpdateTime"))) + deadline * NSEC_PER_SEC - clock_real_ns();
    bool timed = had && !sv_eq(reason, SV("NewReplicaSetAvailable")) &&
                 !sv_eq(reason, SV("DeploymentPaused"));
    if (v->view->paused) {
        c.status = SV("Unknown");
        c.reason = SV("DeploymentPaused");
        c.message = SV("Deployment is paused");
    } else if (deployment_complete(v)) {
        c.reason = SV("NewReplicaSetAvailable");
        c.message =
            arena_printf(a, "ReplicaSet \"%.*s\" has successfully progressed.", SV_FMT(name));
    } else if (progressed(v, t)) {
        c.refresh = true;
    } else if (timed && (left <= 0 || sv_eq(reason, SV("ProgressDeadlineExceeded")))) {
        c.status = SV("False");
        c.reason = SV("ProgressDeadlineExceeded");
        c.message = arena_printf(a, "ReplicaSet \"%.*s\" has timed out progressing.", SV_FMT(name));
    } else if (!had || !v->sets[0] || sv_eq(reason, SV("NewReplicaSetCreated"))) {
        c.reason = SV("NewReplicaSetCreated");
        c.message = arena_printf(a, "Created new replica set \"%.*s\"", SV_FMT(name));
    }
    if (timed && left > 0 && !sv_eq(c.reason, SV("ProgressDeadlineExceeded")))
        job_again(v->job, (uint64_t)(left / NSEC_PER_MSEC) + 1000);
    return c;
}

void deployment_write_status(Rollout *v)
{
    Arena *a = &v->job->arena;
    Totals t = totals_of(v);
    const struct {
        StrView name;
        int64_t value;
    } counts[] = { { SV("observedGeneration"), v->view->generation },
                   { SV("replicas"), t.replicas },
                   { SV("updatedReplicas"), t.updated },
                   { SV("readyReplicas"), t.ready },
                   { SV("availableReplicas"), t.available },
                   { SV("unavailableReplicas"), t.unavailable } };
    Value status = value_map(), list = value_list();
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        if (counts[i].value)
            value_set(a, &status, counts[i].name, value_int(counts[i].value));
    bool enough = t.available >= v->view->replicas - v->limits.unavailable;
    Condition available = { SV("Available"), enough ? SV("True") : SV("False"),
                            enough ? SV("MinimumReplicasAvailable")
                                   : SV("MinimumReplicasUnavailable"),
                            enough ? SV("Deployment has minimum availability.")
                                   : SV("Deployment does not have minimum availability."),
                            false };
    Condition progress = progress_of(v, &t);
    put_condition(v, &list, &available);
    put_condition(v, &list, &progress);
    value_set(a, &status, SV("conditions"), list);
    const Value *collisions = value_get(&v->view->status, SV("collisionCount"));
    if (collisions)
        value_set(a, &status, SV("collisionCount"), *collisions);
    Value patch = value_map(), changes = map_patch(a, &v->view->status, &status);
    if (!changes.len)
        return;
    value_set(a, &patch, SV("status"), changes);
    job_patch(v->job, &kind_deployments, v->deployment, SV("status"), API_PATCH_MERGE, &patch);
}
