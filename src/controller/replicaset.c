/* replicaset.c - keeps spec.replicas pods of each ReplicaSet and ReplicationController: creates
 * what is missing - in batches of 1, 2, 4 …, so that a template which is refused costs one request
 * -, deletes what is too many (the least useful first), adopts and releases pods, and reports the
 * counts. A template whose pods fail at once is tried again after growing delays only. */
#include "controller/attempt.h"
#include "controller/rank.h"

#include "controller/controller_internal.h"

enum { BURST = 500 }; /* pods made or deleted in one go */

static KindId set_kind(const Controller *c)
{
    return c->def == &replication_controller ? KIND_REPLICATIONCONTROLLER : KIND_REPLICASET;
}

static void queue_owner(Controller *c, const ApiObject *pod)
{
    const Value *ref = obj_controller_ref(pod);
    if (ref && sv_eq(value_str(value_get(ref, SV("kind"))), kind_info[set_kind(c)].kind))
        controller_queue(c, pod->ns, value_str(value_get(ref, SV("name"))));
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    if (kind == set_kind(c))
        controller_queue(c, o->ns, o->name);
    if (kind != KIND_POD)
        return;
    if (!now || obj_deleting(now))
        map_del(&c->doomed, o->uid);
    queue_owner(c, o);
    if (old && now)
        queue_owner(c, old); /* it may have had another one */
    if (now && !obj_controller_ref(now)) {
        size_t n; /* whoever selects it may adopt it */
        ApiObject *const *sets =
            informer_by_index(c->cs->informers[set_kind(c)], INDEX_NS, now->ns, &n);
        for (size_t i = 0; i < n; i++)
            controller_queue(c, sets[i]->ns, sets[i]->name);
    }
}

/* ---- claiming ---- */

static Selector *selector_of(Job *j, const ApiObject *rs)
{
    Selector *ret = arena_new(&j->arena, Selector);
    if (!ret) {
        job_fail(j);
        return NULL;
    }
    const Value *sel = value_path(obj_doc(rs), "spec.selector");
    int r = set_kind(j->c) == KIND_REPLICASET ? selector_from_object(sel, &j->arena, ret, NULL)
                                              : selector_from_labels(sel, &j->arena, ret, NULL);
    if (r < 0)
        job_fail(j);
    return r < 0 ? NULL : ret;
}

/* ---- creating ---- */

typedef struct Batch {
    Value pod; /* its own copy: the informer's may go meanwhile */
    int64_t left, size, waiting;
    bool failed;
} Batch;

static void create_batch(Job *j, Batch *b);

static bool on_created(Job *j, const ApiResult *r, void *arg)
{
    Batch *b = arg;
    ApiObject *rs = obj_find(j->c->cs, set_kind(j->c), j->ns, j->name);
    bool ending =
        r->err && sv_find(sv_cstr(r->err->msg), SV("because it is being terminated")) >= 0;
    if (rs && !r->err)
        obj_event(j->c, set_kind(j->c), rs, SV("Normal"), SV("SuccessfulCreate"),
                  "Created pod: %.*s", SV_FMT(value_path_str(r->body, "metadata.name")));
    else if (rs && !ending)
        obj_event(j->c, set_kind(j->c), rs, SV("Warning"), SV("FailedCreate"), "Error creating: %s",
                  r->err->msg);
    b->failed |= r->err != NULL;
    if (--b->waiting == 0 && !b->failed && b->left > 0) {
        b->size *= 2;
        create_batch(j, b);
    }
    return ending; /* nothing can be made in a namespace that ends: no repetition */
}

static void create_batch(Job *j, Batch *b)
{
    int64_t n = MIN(b->size, b->left);
    b->left -= n;
    b->waiting = n;
    for (int64_t i = 0; i < n && !j->failed; i++)
        job_create(j, KIND_POD, &b->pod, on_created, b);
}

static void create_pods(Job *j, const ApiObject *rs, int64_t n)
{
    Arena *a = &j->arena;
    const Value *tmpl = value_path(obj_doc(rs), "spec.template");
    const Value *meta = value_get(tmpl, SV("metadata"));
    Value pod = value_map(), pod_meta = value_map();
    value_set(a, &pod_meta, SV("generateName"),
              value_sv(arena_printf(a, "%.*s-", SV_FMT(rs->name))));
    value_set(a, &pod_meta, SV("namespace"), value_sv(rs->ns));
    static const StrView copied[] = { SV_INIT("labels"), SV_INIT("annotations"),
                                      SV_INIT("finalizers") };
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *v = value_get(meta, copied[i]);
        if (v)
            value_set(a, &pod_meta, copied[i], *v);
    }
    value_set(a, &pod_meta, SV("ownerReferences"), obj_owner_refs(a, set_kind(j->c), rs));
    value_set(a, &pod, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &pod, SV("kind"), value_sv(SV("Pod")));
    value_set(a, &pod, SV("metadata"), pod_meta);
    const Value *spec = value_get(tmpl, SV("spec"));
    if (spec)
        value_set(a, &pod, SV("spec"), *spec);
    Batch *b = arena_new(a, Batch);
    if (!b || !value_clone(a, &pod, &b->pod)) {
        job_fail(j);
        return;
    }
    b->left = n;
    b->size = 1;
    create_batch(j, b);
}

/* When the pod's last container ended; 0 when none has. */
static int64_t last_end(const Value *pod)
{
    int64_t end = 0;
    value_list_foreach (s, value_path(pod, "status.containerStatuses")) {
        end = MAX(end, time_of(value_path(s, "state.terminated.finishedAt")));
        end = MAX(end, time_of(value_path(s, "lastState.terminated.finishedAt")));
    }
    return end;
}

static Attempt attempt_of(const ApiObject *pod)
{
    const Value *doc = obj_doc(pod);
    StrView phase = value_path_str(doc, "status.phase");
    Attempt a = { time_of(value_path(doc, "metadata.creationTimestamp")), ATTEMPT_TAKEN };
    if (sv_eq(phase, SV("Failed"))) {
        int64_t age_ms = (last_end(doc) - a.created_ns) / NSEC_PER_MSEC;
        if (age_ms < ATTEMPT_YOUNG_MS)
            a.outcome = ATTEMPT_REFUSED;
    } else if (!sv_eq(phase, SV("Running")) && !sv_eq(phase, SV("Succeeded")))
        a.outcome = ATTEMPT_OPEN;
    return a;
}

/* While the pods fail at once, one is tried at growing intervals; the rest follow when a node takes
 * it. */
static void create_missing(Job *j, const ApiObject *rs, ApiObject *const *owned, size_t n_owned,
                           int64_t missing)
{
    Attempt *attempts = arena_array(&j->arena, Attempt, n_owned + 1);
    if (!attempts) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_owned; i++)
        attempts[i] = attempt_of(owned[i]);
    AttemptDelay d = attempt_delay(attempts, n_owned, clock_real_ns());
    if (d.wait_ms > 0)
        job_again(j, d.wait_ms);
    else
        create_pods(j, rs, d.refused ? 1 : missing);
}

/* ---- deleting ---- */

static bool on_deleted(Job *j, const ApiResult *r, void *arg)
{
    StrView *name_uid = arg;
    ApiObject *rs = obj_find(j->c->cs, set_kind(j->c), j->ns, j->name);
    if (r->err)
        map_del(&j->c->doomed, name_uid[1]);
    if (rs && !r->err)
        obj_event(j->c, set_kind(j->c), rs, SV("Normal"), SV("SuccessfulDelete"),
                  "Deleted pod: %.*s", SV_FMT(name_uid[0]));
    return false;
}

static PodRank rank_of(const ApiObject *pod)
{
    const Value *v = obj_doc(pod);
    StrView phase = value_path_str(v, "status.phase");
    PodRank r = { .assigned = value_path_str(v, "spec.nodeName").len > 0,
                  .ready = pod_ready(v),
                  .phase = sv_eq(phase, SV("Running"))   ? 2
                           : sv_eq(phase, SV("Unknown")) ? 1
                                                         : 0,
                  .created_ns = time_of(value_path(v, "metadata.creationTimestamp")) };
    const Value *cost = value_get(value_path(v, "metadata.annotations"),
                                  SV("controller.kubernetes.io/pod-deletion-cost"));
    if (sv_to_i64(value_str(cost), &r.deletion_cost) < 0)
        r.deletion_cost = 0;
    if (r.ready)
        r.ready_ns = time_of(value_get(condition_find(v, SV("Ready")), SV("lastTransitionTime")));
    value_list_foreach (s, value_path(v, "status.containerStatuses"))
        r.restarts = MAX(r.restarts, value_int_or(value_get(s, SV("restartCount")), 0));
    return r;
}

static void delete_pods(Job *j, ApiObject *const *active, size_t n_active, size_t n)
{
    PodRank *ranks = arena_array(&j->arena, PodRank, n_active);
    if (!ranks) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_active; i++) {
        ranks[i] = rank_of(active[i]);
        ranks[i].pod = active[i];
    }
    pod_rank_sort(ranks, n_active);
    for (size_t i = 0; i < n; i++) {
        const ApiObject *pod = ranks[i].pod;
        StrView *arg = arena_array(&j->arena, StrView, 2);
        if (!arg || !map_set(&j->c->doomed, pod->uid, j->c, NULL)) {
            job_fail(j);
            return;
        }
        arg[0] = arena_sv(&j->arena, pod->name);
        arg[1] = arena_sv(&j->arena, pod->uid);
        job_delete(j, KIND_POD, pod, SV("Background"), on_deleted, arg);
    }
}

/* ---- status ---- */

typedef struct Counts {
    int64_t replicas, labeled, ready, available;
} Counts;

static bool matches_all(const Value *pod, const Value *labels)
{
    value_map_foreach (m, labels) {
        const Value *have = value_get(value_path(pod, "metadata.labels"), m->key);
        if (!have || !sv_eq(value_str(have), value_str(&m->val)))
            return false;
    }
    return true;
}

static Counts count(Job *j, const Value *rs, ApiObject *const *active, size_t n)
{
    Counts c = { .replicas = (int64_t)n };
    int64_t min_ready = value_int_or(value_path(rs, "spec.minReadySeconds"), 0),
            now = clock_real_ns();
    const Value *labels = value_path(rs, "spec.template.metadata.labels");
    for (size_t i = 0; i < n; i++) {
        const Value *pod = obj_doc(active[i]);
        uint64_t wait;
        c.labeled += matches_all(pod, labels);
        c.ready += pod_ready(pod);
        c.available += pod_available(pod, min_ready, now, &wait);
        if (wait)
            job_again(j, wait);
    }
    return c;
}

static void write_status(Job *j, const ApiObject *rs, const Counts *c)
{
    const Value *doc = obj_doc(rs), *had = value_get(doc, SV("status"));
    const struct {
        StrView name;
        int64_t value;
    } fields[] = { { SV("replicas"), c->replicas },
                   { SV("fullyLabeledReplicas"), c->labeled },
                   { SV("readyReplicas"), c->ready },
                   { SV("availableReplicas"), c->available },
                   { SV("observedGeneration"),
                     value_int_or(value_path(doc, "metadata.generation"), 0) } };
    bool same = true;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        same = same && value_int_or(value_get(had, fields[i].name), 0) == fields[i].value;
    if (same)
        return;
    Value copy = obj_copy(j, rs), status = value_map();
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i].value || i == 0)
            value_set(&j->arena, &status, fields[i].name, value_int(fields[i].value));
    value_set(&j->arena, &copy, SV("status"), status);
    job_update(j, set_kind(j->c), SV("status"), &copy);
}

static void reconcile(Job *j)
{
    ApiObject *rs = obj_find(j->c->cs, set_kind(j->c), j->ns, j->name);
    const Selector *selector = rs ? selector_of(j, rs) : NULL;
    if (!selector)
        return;
    if (!obj_deleting(rs) && claim_orphans(j, set_kind(j->c), rs, KIND_POD, selector)) {
        job_again(j, 10); /* counted when the informer has seen it */
        return;
    }
    size_t n_owned, n = 0;
    ApiObject *const *owned = obj_owned(j->c->cs, KIND_POD, rs, &n_owned);
    ApiObject **active = arena_array(&j->arena, ApiObject *, n_owned + 1);
    if (!active) {
        job_fail(j);
        return;
    }
    for (size_t i = 0; i < n_owned; i++) {
        if (!pod_active(j->c, owned[i]))
            continue;
        if (claim_matches(selector, owned[i]))
            active[n++] = owned[i];
        else if (!obj_deleting(rs))
            claim_release(j, rs, KIND_POD, owned[i]);
    }
    int64_t wanted = value_int_or(value_path(obj_doc(rs), "spec.replicas"), 1),
            diff = wanted - (int64_t)n;
    Counts counts = count(j, obj_doc(rs), active, n);
    write_status(j, rs, &counts);
    if (obj_deleting(rs))
        return;
    if (diff > 0)
        create_missing(j, rs, owned, n_owned, MIN(diff, BURST));
    else if (diff < 0)
        delete_pods(j, active, n, (size_t)MIN(-diff, BURST));
}

const ControllerDef replicaset_controller = {
    "replicaset-controller", observe, reconcile, 5, NULL, NULL
};
const ControllerDef replication_controller = {
    "replication-controller", observe, reconcile, 5, NULL, NULL
};
